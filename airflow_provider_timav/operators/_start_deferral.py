"""Have the triggerer send a start: what its task does before it defers, and what it makes of the trigger's event."""

from __future__ import annotations

import uuid
from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NoReturn

from airflow_provider_timav.arguments import none_if_blank, parse_datetime, parse_duration
from airflow_provider_timav.operators._base import TimAVOperator
from airflow_provider_timav.operators._reschedule import SOONEST_SECONDS, seconds_of
from airflow_provider_timav.options import or_default
from airflow_provider_timav.videorelay.errors import AlreadyRunning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_provider_timav.leases import Kind
    from airflow_provider_timav.operators._checked_start import CheckedStart

__all__ = ["DeferrableStart"]

LAST_POLL: Final = timedelta(seconds=10)
"""How long before the end of its broadcast a start is sent at the latest."""

SLACK: Final = timedelta(minutes=4)
"""How long after the wait for the host the trigger may still answer. Then the task resumes on a worker, and sends the start."""


class DeferrableStart(TimAVOperator):
    """The part of a start operator that hands the start to `StartTrigger`."""

    deferrable: bool
    starts_at: datetime | str | None
    wait_for_user: timedelta | float | str
    if_already_running: str
    kind: ClassVar[Literal["push", "record"]]

    @abstractmethod
    def send_from_worker(self, context: Context, checked: CheckedStart, *, waits: bool) -> dict[str, Any]:
        """Send the start from this process; return the result."""

    def starts(self, checked: CheckedStart) -> Sequence[tuple[Kind, CheckedStart]]:
        """Return the starts that the trigger sends, this task's own first."""
        return [(self.kind, checked)]

    def defer_start(self, context: Context, checked: CheckedStart) -> NoReturn:
        """Plan the starts in the notes, and defer until the trigger has sent them.

        :raises ConfigurationError: naming ``starts_at``, or a field of the connection: nothing will be sent.
        """
        from airflow_provider_timav.leases.start_notes import StartNotes
        from airflow_provider_timav.leases.start_protocol import parse_policy
        from airflow_provider_timav.operators._intent import Intent
        from airflow_provider_timav.runs import TaskKey
        from airflow_provider_timav.triggers.start import StartTrigger

        lease, task = self.held_lease(), TaskKey.of(context["ti"])
        wait = parse_duration(or_default(self.wait_for_user, "wait_for_user"), "wait_for_user")
        at = self._at()
        begins = datetime.now(UTC) if at is None else max(at, datetime.now(UTC))
        with self.make_hook() as hook:
            # A bad connection is refused before anything is planned.
            hook.get_conn()
        attempt = uuid.uuid4().hex
        notes = StartNotes(task, lease)
        planned = []
        for kind, start in self.starts(checked):
            earlier = notes.earlier(kind)
            if kind == self.kind:
                # Before anything is planned: a claim that was given up says that a stream of the store is over.
                intent = Intent(context["ti"], context.get("task_state_store"), kind, lease)
                earlier = intent.recalled(earlier)
                intent.planned(attempt, begins, earlier)
            if earlier.claim not in ("sent", "ours"):
                notes.planned(kind, attempt)
            arguments = start.start.request.arguments()
            planned.append({"kind": kind, "arguments": arguments, "earlier": earlier.to_json() or None})
            self._stop_if_interrupted(kind, start, arguments)
        until = begins + wait
        if lease is not None:
            # The last poll comes before the end: after it, the log would not say that the host never came.
            until = max(min(until, lease.end - LAST_POLL), begins)
        self.defer(
            trigger=StartTrigger(
                timav_conn_id=str(self.timav_conn_id),
                starts=planned,
                task_key=task.to_json(),
                attempt=attempt,
                policy=parse_policy(or_default(self.if_already_running, "if_already_running")),
                until=until.isoformat(),
                at=None if at is None else at.isoformat(),
                lease=None if lease is None else lease.to_json(),
            ),
            method_name="execute_complete",
            timeout=until - datetime.now(UTC) + SLACK,
        )

    def _stop_if_interrupted(self, kind: Kind, start: CheckedStart, arguments: dict[str, Any]) -> None:
        """Have what the trigger starts stopped if the process ends that is task and trigger in one."""
        from airflow_provider_timav.interrupted import is_all_in_one, remember

        if not is_all_in_one():
            return
        from airflow_provider_timav.triggers._sender import was_posted

        def stop(seconds: float) -> bool:
            if not was_posted(str(self.timav_conn_id), kind, arguments):
                return False
            with self.make_hook() as hook:
                hook.call(start.stop, max_posts=1, seconds=seconds)
            return True

        remember(self.place(start.arguments, kind), stop)

    def started_by_trigger(self, context: Context, checked: CheckedStart, event: Any) -> dict[str, Any]:
        """Return the result of the start that the trigger has sent.

        :raises TimAVError: the error that the start came to.
        :raises AirflowFailException: if the broadcast was ended before.
        :raises AlreadyRunning: if another broadcast holds the room.
        """
        from airflow.sdk.exceptions import AirflowFailException

        from airflow_provider_timav.leases.start_notes import StartNotes
        from airflow_provider_timav.operators._intent import Intent
        from airflow_provider_timav.runs import TaskKey
        from airflow_provider_timav.videorelay.errors import TimAVError

        status = event.get("status") if isinstance(event, dict) else None
        lease, ti = self.held_lease(), context["ti"]
        intent = Intent(ti, context.get("task_state_store"), self.kind, lease)
        if status == "failed":
            error = TimAVError.from_json(event["error"])
            intent.failed(in_doubt=bool(event.get("in_doubt")))
            raise error
        if status == "refused":
            intent.failed(in_doubt=False)
            message = str(event["error"]["message"])
            raise AlreadyRunning(message) if event["error"].get("taken") else AirflowFailException(message)
        if status != "started":
            raise RuntimeError(f"the trigger fired an event with an unknown status ({status!r})")
        notes = StartNotes(TaskKey.of(ti), lease)
        claim = notes.claim(self.kind)
        result = None if claim is None else notes.result(self.kind, claim)
        if claim is None or result is None:
            self.log.warning("The trigger has started the %s, and its result is not noted: recovering it.", self.kind)
            return self.send_from_worker(context, checked, waits=False)
        intent.taken_over(claim, result)
        return dict(result)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume once the trigger has fired, or once Airflow has waited for it in vain."""
        from airflow.sdk.exceptions import TaskDeferralError, TaskDeferralTimeout

        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            why, waits = "No trigger has sent the start. Check that a triggerer has capacity for it.", False
        except TaskDeferralError as failed:
            why, waits = f"The trigger of the start has failed ({type(failed).__name__}).", True
            self._defer_again_at_the_time()
        self.log.warning("%s Sending the start from this worker.", why)
        return self.resume_without_trigger(context, waits=waits)

    def _defer_again_at_the_time(self) -> None:
        """Give the worker back until the time of the start, if that is ahead: the next trigger may do better.

        :raises AirflowRescheduleException: with that time.
        """
        from airflow.sdk.exceptions import AirflowRescheduleException

        at = self._at()
        if at is not None and at - datetime.now(UTC) > timedelta(seconds=SOONEST_SECONDS):
            self.log.warning("The trigger of the start has failed; another one sends it at %s.", seconds_of(at))
            raise AirflowRescheduleException(at)  # type: ignore[no-untyped-call]

    def _at(self) -> datetime | None:
        given = none_if_blank(self.starts_at)
        return None if given is None else parse_datetime(given, "starts_at").astimezone(UTC)

    @abstractmethod
    def resume_without_trigger(self, context: Context, *, waits: bool) -> Any:
        """Send the start from this process, and return what the task returns."""
