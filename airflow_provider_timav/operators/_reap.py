"""The task that clears up after all broadcasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_timav.arguments import is_constant, optional, template_marks

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["ReapBroadcastsOperator"]


class ReapBroadcastsOperator(BaseOperator):
    """Stops what is on air past its end, whatever has become of the run that started it.

    For a DAG of its own that runs every minute and is never paused: it closes what nothing else can, such as a run that timed
    out while its triggerer was dead. What is still wanted is left alone: a lease is over 30 s after its end in force, or once
    the tasks of its run that have to do with it have come to their own end, or are gone.

    A stop is sent only for a lease that its run confirms: anybody with rights on Variables can write one. The lease of a run
    that is gone is given up without a stop; one that cannot be read is removed after a day, with a warning.

    XCom ``return_value``: a list with a dict for each lease that was ended: ``room_id``, ``user_id``, ``push_data_type``,
    ``owner``, ``end``, and what came of it: ``push``, ``record`` (the outcomes of the stops that were sent), ``file_ids``.

    :param timav_conn_ids: the connections that it is for: a list, or a JSON list in one string (templated). Left out, all.
    :raises TimAVError: what kept one of the stops from arriving, after all others were sent.
    """

    template_fields: Sequence[str] = ("timav_conn_ids",)
    ui_color = "#d9f0ec"

    def __init__(self, *, timav_conn_ids: Sequence[str] | str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.timav_conn_ids = timav_conn_ids
        if timav_conn_ids is not None and is_constant(timav_conn_ids, template_marks(self.get_dag())):
            self._connections(timav_conn_ids)

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Look at every lease there is; return what was ended, and what came of it."""
        from airflow_provider_timav.leases.reaper import reap_all

        reaped = reap_all(self._connections(self.timav_conn_ids))
        if reaped.errors:
            raise reaped.errors[0]
        return reaped.ended

    @staticmethod
    def _connections(given_ids: Sequence[str] | str | None) -> Sequence[str] | None:
        from airflow_provider_timav.arguments import texts

        found = optional(given_ids)
        return None if found is None else texts(found, "timav_conn_ids")
