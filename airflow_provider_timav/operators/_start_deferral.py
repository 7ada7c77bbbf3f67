"""Have the triggerer send a start: what its task does before it defers, and what it makes of the trigger's event.

A DAG file does not pay for it: only a task that runs imports this.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NoReturn

from airflow_provider_timav.arguments import none_if_blank, parse_datetime, parse_duration
from airflow_provider_timav.operators._reschedule import SOONEST_SECONDS, seconds_of
from airflow_provider_timav.options import or_default
from airflow_provider_timav.videorelay.errors import AlreadyRunning

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_timav.leases import Kind
    from airflow_provider_timav.operators._checked_start import CheckedStart
    from airflow_provider_timav.operators._start import StartOperator

__all__ = ["defer_again_at_the_time", "defer_start", "started_by_trigger"]

LAST_POLL: Final = timedelta(seconds=10)
"""How long before the end of its broadcast a start is sent at the latest."""

SLACK: Final = timedelta(minutes=4)
"""How long after the wait for the host the trigger may still answer. Then the task resumes on a worker, and sends the start."""


def defer_start(operator: StartOperator, context: Context, checked: CheckedStart) -> NoReturn:
    """Plan the starts in the notes, and defer until the trigger has sent them.

    :raises ConfigurationError: naming ``starts_at``, or a field of the connection: nothing will be sent.
    """
    from airflow_provider_timav.leases.start_notes import StartNotes
    from airflow_provider_timav.leases.start_protocol import parse_policy
    from airflow_provider_timav.operators._intent import Intent
    from airflow_provider_timav.runs import TaskKey
    from airflow_provider_timav.triggers.start import StartTrigger

    lease, task = operator.held_lease(), TaskKey.of(context["ti"])
    wait = parse_duration(or_default(operator.wait_for_user, "wait_for_user"), "wait_for_user")
    at = _begin_of(operator)
    begins = datetime.now(UTC) if at is None else max(at, datetime.now(UTC))
    with operator.make_hook() as hook:
        # A bad connection is refused before anything is planned.
        hook.get_conn()
    attempt = uuid.uuid4().hex
    notes = StartNotes(task, lease)
    planned = []
    for kind, start in operator.starts(checked):
        earlier = notes.earlier(kind)
        if kind == operator.kind:
            # Before anything is planned: a claim that was given up says that a stream of the store is over.
            intent = Intent(context["ti"], context.get("task_state_store"), kind, lease)
            earlier = intent.recalled(earlier)
            intent.planned(attempt, begins, earlier)
        if earlier.claim not in ("sent", "ours"):
            notes.planned(kind, attempt)
        arguments = start.start.request.arguments()
        planned.append({"kind": kind, "arguments": arguments, "earlier": earlier.to_json() or None})
        _stop_if_interrupted(operator, kind, start, arguments)
    until = begins + wait
    if lease is not None:
        # The last poll comes before the end: after it, the log would not say that the host never came.
        until = max(min(until, lease.end - LAST_POLL), begins)
    operator.defer(
        trigger=StartTrigger(
            timav_conn_id=str(operator.timav_conn_id),
            starts=planned,
            task_key=task.to_json(),
            attempt=attempt,
            policy=parse_policy(or_default(operator.if_already_running, "if_already_running")),
            until=until.isoformat(),
            at=None if at is None else at.isoformat(),
            lease=None if lease is None else lease.to_json(),
        ),
        method_name="execute_complete",
        timeout=until - datetime.now(UTC) + SLACK,
    )


def _stop_if_interrupted(operator: StartOperator, kind: Kind, start: CheckedStart, arguments: dict[str, Any]) -> None:
    """Have what the trigger starts stopped if the process ends that is task and trigger in one."""
    from airflow_provider_timav.interrupted import is_all_in_one, remember

    if not is_all_in_one():
        return
    from airflow_provider_timav.triggers._sender import was_posted

    def stop(seconds: float) -> bool:
        if not was_posted(str(operator.timav_conn_id), kind, arguments):
            return False
        with operator.make_hook() as hook:
            hook.call(start.stop, max_posts=1, seconds=seconds)
        return True

    remember(operator.place(start.arguments, kind), stop)


def started_by_trigger(operator: StartOperator, context: Context, checked: CheckedStart, event: Any) -> dict[str, Any]:
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
    lease, ti = operator.held_lease(), context["ti"]
    intent = Intent(ti, context.get("task_state_store"), operator.kind, lease)
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
    claim = notes.claim(operator.kind)
    result = None if claim is None else notes.result(operator.kind, claim)
    if claim is None or result is None:
        operator.log.warning(
            "The trigger has started the %s, and its result is not noted: recovering it.", operator.kind
        )
        return operator.send_from_worker(context, checked, waits=False)
    intent.taken_over(claim, result)
    return dict(result)


def defer_again_at_the_time(operator: StartOperator) -> None:
    """Give the worker back until the time of the start, if that is ahead: the next trigger may do better.

    :raises AirflowRescheduleException: with that time.
    """
    from airflow.sdk.exceptions import AirflowRescheduleException

    at = _begin_of(operator)
    if at is not None and at - datetime.now(UTC) > timedelta(seconds=SOONEST_SECONDS):
        operator.log.warning("The trigger of the start has failed; another one sends it at %s.", seconds_of(at))
        raise AirflowRescheduleException(at)  # type: ignore[no-untyped-call]


def _begin_of(operator: StartOperator) -> datetime | None:
    given = none_if_blank(operator.starts_at)
    return None if given is None else parse_datetime(given, "starts_at").astimezone(UTC)
