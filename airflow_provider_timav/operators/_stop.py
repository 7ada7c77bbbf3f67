"""Stop a push or a recording, unless the claim of the same run says that there is nothing of ours to stop."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeVar

from airflow_provider_timav.arguments import none_if_blank
from airflow_provider_timav.operators._base import TimAVOperator
from airflow_provider_timav.operators._kill_guard import KillGuard
from airflow_provider_timav.videorelay.errors import AmbiguousOutcome, TimAVError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_provider_timav.hooks.timav import TimAVHook
    from airflow_provider_timav.leases import Claim, Lease
    from airflow_provider_timav.videorelay.calls import Call

__all__ = ["StopOperator"]

ResultT = TypeVar("ResultT")
NoNeed = Literal["never_started", "not_ours", "already_stopped"]

_NO_NEED: Final[dict[str, NoNeed]] = {
    "foreign": "not_ours",
    "planned": "never_started",
    "refused": "never_started",
    "stopped": "already_stopped",
}
"""By the state of the claim: why nothing is to be stopped."""

LOOK_AGAIN_SECONDS = (0.0, 1.0, 2.0, 4.0)
"""The pauses before each search for the file ids of another stop of the broadcast, which may be about to note them."""


class StopOperator(TimAVOperator):
    """Stops a push or a recording; safe to repeat, and tried hard.

    :param start_task_id: the id of the task that started it, in the same run, with the prefix of its TaskGroup (templated; no
        edge of the graph). Unset, or if the run has no such task, the stop is always sent. Set, a stream that this run did
        not start is left alone.
    :param lease: the lease that ``reserve`` of a ``Broadcast`` hands on (templated): the claim is then read from its ledger,
        which outlives the retries of the start, and deleted once the stream is stopped.
    :param retries: 5 unless the author or ``default_args`` say otherwise: a forgotten stream costs money.
    """

    template_fields: Sequence[str] = (*TimAVOperator.template_fields, "start_task_id", "lease")
    kind: ClassVar[Literal["push", "record"]]

    def __init__(
        self,
        *,
        start_task_id: str | None = None,
        lease: dict[str, Any] | None = None,
        retries: int = 5,
        retry_delay: timedelta | float = timedelta(seconds=20),
        **kwargs: Any,
    ) -> None:
        super().__init__(retries=retries, retry_delay=retry_delay, **kwargs)
        self.start_task_id = start_task_id
        self.lease = lease
        self.kill_guard = KillGuard.none()
        self._claimed: Claim | None = None

    def send(self, hook: TimAVHook, call: Call[ResultT]) -> ResultT:
        """Send the stop and return its result; if the task is told to end meanwhile, send it once more, at once."""
        late: list[ResultT] = []

        def at_once(seconds: float) -> None:
            with hook.another() as other:
                late.append(other.call(call, max_posts=1, seconds=seconds))

        client = hook.get_conn()
        guard = self.kill_guard = KillGuard(cancel=client.cancel, stop=at_once)
        guard.may_be_running = True
        try:
            with guard.in_progress():
                result = hook.call(call)
        except TimAVError:
            if guard.killed:
                guard.stop_now()
            if not late:
                raise
            result = late[0]
        guard.may_be_running = False
        return result

    def on_kill(self) -> None:
        """Send the stop within the five seconds that are left to the task."""
        self.kill_guard.kill()

    def no_need(self, context: Context) -> NoNeed | None:
        """Return why the stop must not be sent, or None, also if that cannot be told."""
        if (lease := self.held_lease()) is not None:
            return self._no_need_by(lease)
        claim = self.of_start(context, "claim")
        if claim in _NO_NEED:
            return _NO_NEED[claim]
        if claim is None and self._never_started(context):
            return "never_started"
        return None

    def _no_need_by(self, lease: Lease) -> NoNeed | None:
        from airflow_provider_timav.leases import Ledger
        from airflow_provider_timav.leases.confirmation import start_of

        ledger = Ledger(lease.key.variable)
        claim = self._claimed = ledger.claim(self.kind, lease.generation)
        if claim is not None:
            return _NO_NEED.get(claim.state)
        held = ledger.lease()
        if held is not None and held.generation != lease.generation:
            # The broadcast that took the room over has sent our stop first. What runs there now is its own.
            return "already_stopped"
        # No claim, or one that cannot be read. A start leaves a mark with the run before it is sent; without one, or after a
        # stop, what runs there was started by others.
        started = start_of(self.kind, lease)
        if started == "sent":
            return None
        return "never_started" if started is None else "already_stopped"

    def _never_started(self, context: Context) -> bool:
        from airflow_provider_timav.runs import NEVER_RAN, TaskKey, map_index_of

        start_task_id = none_if_blank(self.start_task_id)
        if start_task_id is None:
            return False
        ti = context["ti"]
        state = TaskKey.of(ti, str(start_task_id)).state(ti)
        if state is None:
            self.log.warning(
                "start_task_id: this run has no task %s%s; within a TaskGroup its id begins with the group's. "
                "Cannot tell whether it started anything; sending the stop.",
                start_task_id,
                "" if map_index_of(ti) < 0 else f" with map index {map_index_of(ti)}",
            )
        if state in NEVER_RAN:
            return True
        return bool(self.of_start(context, "outcome") == "not_requested")

    def release_claim(self) -> None:
        """Delete the claim in the broadcast's ledger after the stop, and release the lease; errors of Airflow are logged only.

        :raises AmbiguousOutcome: if the start went on meanwhile, as it may if a person has ended the broadcast while it was
            starting: this stop may have come before it, and the next try stops it.
        """
        if (lease := self.held_lease()) is None:
            return
        from airflow_provider_timav.leases import Ledger
        from airflow_provider_timav.leases.confirmation import note_stopped

        ledger = Ledger(lease.key.variable)
        went_on = False
        try:
            claim = ledger.claim(self.kind, lease.generation)
            went_on = claim is not None and claim.on_air and claim != self._claimed
            if not went_on:
                # Before the claim is deleted: this task may run once more, and what it finds then was started by others.
                note_stopped(self.kind, lease)
                ledger.delete_claim(self.kind, lease.generation)
                ledger.release(lease.generation)
        except Exception:  # whatever Airflow raises: the stop is done, and the reaper clears up
            self.log.warning("The lease could not be released; the reaper will do it.", exc_info=True)
        if went_on:
            raise AmbiguousOutcome(
                f"the {self.kind} was starting while it was stopped: another try stops it", executed="maybe"
            )

    def noted_by_others(self, context: Context) -> Sequence[str]:
        """Return the file ids that another stop of the broadcast has noted: the trigger's, the reaper's, a notifier's."""
        if (lease := self.held_lease()) is None:
            return ()
        from airflow_provider_timav.leases import Ledger, Stopped

        ledger = Ledger(lease.key.variable)
        for pause in LOOK_AGAIN_SECONDS:
            time.sleep(pause)
            claim = ledger.claim("record", lease.generation)
            if claim is not None and claim.file_ids:
                return claim.file_ids
            if file_ids := Stopped.noted_by(lease.owner.task("on_air")).file_ids:
                return file_ids
            if claim is not None and claim.state == "stopped":
                break  # the other stop has noted that there were none
        return ()

    def of_start(self, context: Context, key: str) -> Any:
        """Return an XCom of the start task; None if there is none, or no start task is named."""
        from airflow_provider_timav.runs import map_index_of

        start_task_id = none_if_blank(self.start_task_id)
        if start_task_id is None:
            return None
        ti = context["ti"]
        return ti.xcom_pull(task_ids=start_task_id, key=key, map_indexes=map_index_of(ti))
