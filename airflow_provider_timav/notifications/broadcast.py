"""End broadcasts from a callback: when a run fails, or misses its deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

from airflow_provider_timav.arguments import none_if_blank

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["EndBroadcastNotifier"]


class EndBroadcastNotifier(BaseNotifier):
    """Ends the broadcasts of a run that are on one connection: for failure callbacks and deadline alerts.

    Reads only the run from the context: that of a deadline alert holds nothing else, nor does that of a run without tasks.

    :param timav_conn_id: the connection of the broadcasts to end (templated).
    :param group_id: end only the broadcasts of this task group, such as ``broadcast`` (templated).
    """

    template_fields: Sequence[str] = ("timav_conn_id", "group_id")

    def __init__(self, timav_conn_id: str = "timav_default", group_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.timav_conn_id = timav_conn_id
        self.group_id = group_id

    def notify(self, context: Context) -> None:
        """End the broadcasts of the context's run.

        :raises TimAVError: the first failure, after all others were ended.
        """
        from airflow_provider_timav.hooks.timav import TimAVHook
        from airflow_provider_timav.leases import ledgers
        from airflow_provider_timav.leases.confirmation import confirms
        from airflow_provider_timav.leases.shutdown import stop_broadcast

        run, group_id = _run(context), none_if_blank(self.group_id)
        errors: list[Exception] = []
        for ledger in ledgers():
            try:
                lease = ledger.lease()
                if lease is None or (lease.owner.dag_id, lease.owner.run_id) != run:
                    continue
                if group_id not in (None, lease.owner.group_id):
                    continue
                if not confirms(lease):
                    self.log.warning("%s has not reserved room %s; ignoring its lease.", lease.owner, lease.key.room_id)
                    continue
                if lease.key.timav_conn_id != self.timav_conn_id:
                    self.log.warning("%s is on another connection; leaving it alone.", lease.owner)
                    continue
                with TimAVHook(lease.key.timav_conn_id) as hook:
                    stops = stop_broadcast(ledger, lease, hook)
            except Exception as error:  # noqa: BLE001 - raised below, once the others are ended
                errors.append(error)
                continue
            errors.extend(stops.errors.values())
            self.log.warning("The broadcast of %s in room %s: %s", lease.key.user_id, lease.key.room_id, stops)
        if errors:
            raise errors[0]

    async def async_notify(self, context: Context) -> None:
        """End the broadcasts in a thread: a deadline alert runs in the triggerer."""
        await asyncio.to_thread(self.notify, context)


def _run(context: Any) -> tuple[str, str]:
    """Return DAG and run of a context: a deadline alert's holds the run as a dict, a DAG callback's may hold only its id."""
    run = context.get("dag_run")
    if run is None:
        return str(context["dag"].dag_id), str(context["run_id"])
    if isinstance(run, dict):
        return str(run["dag_id"]), str(run.get("dag_run_id") or run.get("run_id"))
    return str(run.dag_id), str(run.run_id)
