"""Start a push or a recording, over lost answers, killed workers, retries, and streams that run already."""

from __future__ import annotations

import time
from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.sdk import conf

from airflow_provider_timav.arguments import none_if_blank, parse_duration
from airflow_provider_timav.operators._base import TimAVOperator, log_failure
from airflow_provider_timav.operators._kill_guard import KillGuard
from airflow_provider_timav.operators._reschedule import SOONEST_SECONDS, reschedule_poll, waiting_until
from airflow_provider_timav.options import or_default
from airflow_provider_timav.videorelay.errors import (
    AlreadyRunning,
    AmbiguousOutcome,
    TimAVError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.sdk import Context

    from airflow_provider_timav.hooks.timav import TimAVHook
    from airflow_provider_timav.leases import Kind, Lease
    from airflow_provider_timav.leases.start_protocol import Done, Fail, IfAlreadyRunning, StartProtocol, Wait
    from airflow_provider_timav.operators._checked_start import CheckedStart

__all__ = ["StartOperator"]


class StartOperator(TimAVOperator):
    """Starts a push or a recording: succeeds with one running, whatever happens in between, or says why not.

    :param wait_for_user: how long to wait for the room to be open and the host to be in it: a timedelta, seconds, or ISO 8601
        (templated). No worker slot is held in between and no retry is used up. Less than 10 s does not wait.
    :param if_already_running: what to do when one with this room, user and kind of data runs already (templated):

        ``recover``  take it over if an earlier try of this task started it, otherwise leave it alone (``adopted``);
        ``restart``  stop it, no matter which client started it, and start anew;
        ``fail``     fail with ``AlreadyRunning`` unless an earlier try of this task started it.
    :param deferrable: whether a trigger sends the start, and polls for the host: every 2 s at first, every 10 s after ten
        minutes, with no worker and hardly any load. Airflow's ``[operators] default_deferrable`` is the default.
    :param starts_at: when to start, at the second: a datetime with a time zone, or ISO 8601 with one (templated). A trigger
        sends the start then, deferrable or not; if the time has passed, at once. ``wait_for_user`` counts from then on.
    :param lease: the lease that ``reserve`` of a ``Broadcast`` hands on (templated): the claim then stands in its ledger, and
        nothing is sent once its end has passed, or another broadcast holds the room.
    """

    template_fields: Sequence[str] = (
        *TimAVOperator.template_fields,
        "wait_for_user",
        "if_already_running",
        "starts_at",
        "lease",
    )
    kind: ClassVar[Literal["push", "record"]]

    def __init__(
        self,
        *,
        wait_for_user: timedelta | float | str = timedelta(minutes=5),
        if_already_running: IfAlreadyRunning | str = "recover",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        starts_at: datetime | str | None = None,
        lease: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.wait_for_user = wait_for_user
        self.if_already_running = if_already_running
        self.deferrable = deferrable
        self.starts_at = starts_at
        self.lease = lease
        self.kill_guard = KillGuard.none()

    @abstractmethod
    def checked_start(self, context: Context) -> CheckedStart:
        """Return the calls of this start and of its stop, checked; this sends nothing.

        :raises ConfigurationError: naming the argument that breaks a rule.
        """

    def send_start(self, hook: TimAVHook, checked: CheckedStart) -> dict[str, Any]:
        """Send the start; return its result as plain data without None."""
        result: dict[str, Any] = hook.call(checked.start).model_dump(mode="json", exclude_none=True)
        return result

    def send_stop(self, hook: TimAVHook, checked: CheckedStart, **limits: Any) -> Any:
        """Send the stop of what the start has started; return its result.

        :param limits: those of ``TimAVHook.call``.
        """
        return hook.call(checked.stop, **limits)

    @abstractmethod
    def hand_on(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        """Log the result of the start, show what can be shown of it, and return it."""

    def start(self, context: Context, checked: CheckedStart) -> dict[str, Any]:
        """Start, and return the result as plain data without None; the intent and the result are noted on the way.

        :raises TaskDeferred: if a trigger sends the start.
        """
        self.log_request(checked.arguments)
        if self.deferrable or none_if_blank(self.starts_at) is not None:
            if (lease := self.held_lease()) is not None:
                self._end_ahead(lease)
            from airflow_provider_timav.operators._start_deferral import defer_start

            defer_start(self, context, checked)
        return self.send_from_worker(context, checked, waits=True)

    @log_failure
    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Return the result of the start that the trigger has sent."""
        from airflow_provider_timav.operators._start_deferral import started_by_trigger

        return self.hand_on(context, started_by_trigger(self, context, self.checked_start(context), event))

    def starts(self, checked: CheckedStart) -> Sequence[tuple[Kind, CheckedStart]]:
        """Return the starts that the trigger sends, this task's own first."""
        return [(self.kind, checked)]

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume once the trigger has fired, or once Airflow has waited for it in vain."""
        from airflow.sdk.exceptions import TaskDeferralError, TaskDeferralTimeout

        from airflow_provider_timav.operators._start_deferral import defer_again_at_the_time

        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            why, waits = "No trigger has sent the start. Check that a triggerer has capacity for it.", False
        except TaskDeferralError as failed:
            why, waits = f"The trigger of the start has failed ({type(failed).__name__}).", True
            defer_again_at_the_time(self)
        self.log.warning("%s Sending the start from this worker.", why)
        return self.resume_without_trigger(context, waits=waits)

    @log_failure
    def resume_without_trigger(self, context: Context, *, waits: bool) -> dict[str, Any]:
        """Send the start from this worker, because no trigger has."""
        return self.hand_on(context, self.send_from_worker(context, self.checked_start(context), waits=waits))

    def send_from_worker(self, context: Context, checked: CheckedStart, *, waits: bool) -> dict[str, Any]:
        """Send the start from this process; return the result.

        :param waits: whether the host is waited for, by being rescheduled.
        """
        from airflow_provider_timav.interrupted import remember
        from airflow_provider_timav.leases.start_protocol import Fail, StartProtocol, Wait, parse_policy
        from airflow_provider_timav.operators._intent import Intent

        policy = parse_policy(or_default(self.if_already_running, "if_already_running"))
        wait = parse_duration(or_default(self.wait_for_user, "wait_for_user"), "wait_for_user")
        until = waiting_until(context, wait) if waits else datetime.now(UTC)
        lease = self.held_lease()
        if lease is not None:
            # The last poll comes before the end: after it, the log would not say that the host never came.
            until = min(until, self._end_ahead(lease) - timedelta(seconds=SOONEST_SECONDS))
        with self.make_hook() as hook:
            # A bad connection is refused before the intent is written: nothing will have been sent.
            client = hook.get_conn()
            guard = self.kill_guard = KillGuard(cancel=client.cancel, stop=self.stop_at_once(hook, checked))
            intent = Intent(context["ti"], context.get("task_state_store"), self.kind, lease)
            earlier = intent.begin()
            remember(self.place(checked.arguments), guard.stop_if_running)
            decision = self._decide(hook, checked, StartProtocol(earlier, policy, checked.known))
            self._raise_if_killed()
            intent.settle(decision)
            if isinstance(decision, Wait):
                self._wait(decision.error, until)
                decision = decision.then
                intent.settle(decision)
            if isinstance(decision, Fail):
                raise decision.error
            if decision.claim == "foreign":
                self.log.warning("A %s runs already that this task did not start: leaving it alone.", self.kind)
            elif lease is not None:
                self._stop_if_ended(lease, hook, checked)
            return dict(decision.result)

    def _decide(self, hook: TimAVHook, checked: CheckedStart, protocol: StartProtocol) -> Done | Wait | Fail:
        """Send the start, and what the protocol decides on after each answer, until it is done."""
        from airflow_provider_timav.leases.start_protocol import Restart

        def start() -> dict[str, Any]:
            return self.send_start(hook, checked)

        def restart() -> dict[str, Any]:
            self.send_stop(hook, checked)
            time.sleep(1.0)  # the service needs a moment between the end of a stream and the next start of the same one
            return self.send_start(hook, checked)

        answer = self._answer(start)
        while True:
            theirs = isinstance(answer, AlreadyRunning) and self._is_theirs()
            decision = protocol.answered(answer, theirs=theirs)
            self.kill_guard.may_be_running |= protocol.may_be_running
            if not isinstance(decision, Restart):
                return decision
            self._raise_if_killed()
            answer = self._answer(restart)

    def _answer(self, send: Callable[[], dict[str, Any]]) -> dict[str, Any] | TimAVError:
        try:
            with self.kill_guard.in_progress():
                return send()
        except TimAVError as error:
            return error

    def _is_theirs(self) -> bool:
        """Tell whether another broadcast holds the room by now."""
        if (lease := self.held_lease()) is None:
            return False
        from airflow_provider_timav.leases import Ledger

        held = Ledger(lease.key.variable).lease()
        return held is not None and held.generation != lease.generation

    def stop_at_once(self, hook: TimAVHook, checked: CheckedStart) -> Callable[[float], None]:
        """Return a function that sends one stop over a connection of its own, for ``KillGuard``."""

        def stop(seconds: float) -> None:
            with hook.another() as other:
                self.send_stop(other, checked, max_posts=1, seconds=seconds)

        return stop

    def post_execute(self, context: Any, result: Any = None) -> None:
        """Fail if the task was told to end after its start: that is stopped by now, and a success would be untrue.

        Not covered: a task that is told to end while Airflow stores its result. It is a success, and stopped.

        :raises AmbiguousOutcome: if the task was told to end.
        """
        super().post_execute(context, result)
        self._raise_if_killed()

    def on_kill(self) -> None:
        """Leave nothing on air that this task started, within the five seconds that are left to it."""
        self.kill_guard.kill()

    def _raise_if_killed(self) -> None:
        """Send the stop and raise if the task was told to end while a call was in progress.

        The error allows a retry: a pod that is moved elsewhere has a task that should go on there. If a person has ended the
        task, Airflow ignores the error.
        """
        if self.kill_guard.killed:
            self.kill_guard.stop_now()
            raise AmbiguousOutcome(f"the task was told to end while its {self.kind} was starting", executed="maybe")

    def _end_ahead(self, lease: Lease) -> datetime:
        """Return the end in force of the broadcast, which must be ahead.

        :raises AirflowFailException: if nothing may be sent for it, and another try would find the same.
        :raises AlreadyRunning: if another broadcast holds the room.
        """
        from airflow.sdk.exceptions import AirflowFailException

        from airflow_provider_timav.leases import Ledger
        from airflow_provider_timav.leases.start_protocol import refusal

        ledger = Ledger(lease.key.variable)
        end = ledger.end_in_force(lease)
        push = ledger.claim("push", lease.generation) if self.kind == "record" else None
        refused = refusal(
            lease, ledger.lease(), on_air_is_over=_on_air_is_over(lease), end=end, now=datetime.now(UTC), push=push
        )
        if refused is None:
            return end
        raise AlreadyRunning(refused.message) if refused.taken else AirflowFailException(refused.message)

    def _stop_if_ended(self, lease: Lease, hook: TimAVHook, checked: CheckedStart) -> None:
        """Stop what was started if the broadcast was ended meanwhile.

        :raises AirflowFailException: if it was.
        """
        from airflow.sdk.exceptions import AirflowFailException

        from airflow_provider_timav.leases import Ledger
        from airflow_provider_timav.leases.shutdown import ShutdownReport
        from airflow_provider_timav.leases.start_protocol import ended_meanwhile

        ledger = Ledger(lease.key.variable)
        try:
            ended = ended_meanwhile(lease, ledger.lease(), on_air_is_over=_on_air_is_over(lease))
        except Exception:  # whatever Airflow raises: what runs has a trigger to end it
            self.log.warning("Cannot tell whether the broadcast was ended meanwhile.", exc_info=True)
            return
        if not ended:
            return
        report = ShutdownReport()
        report.answered(self.kind, self.send_stop(hook, checked))
        self.note_off_air(checked.arguments)
        try:
            report.note_in_ledger(lease, ledger)
        except Exception:  # as above: it is stopped, and the reaper clears up
            self.log.warning("The stop could not be noted; the reaper will clear up.", exc_info=True)
        raise AirflowFailException(f"the broadcast was ended while its {self.kind} was starting: it is stopped")

    def _wait(self, error: TimAVError, until: datetime) -> None:
        """Wait for the host; return if the wait is over."""
        who, room, code = ", ".join(error.user_ids), error.room_id, error.code
        message = "%s is not in room %s yet (code %s). Next poll at %s, last poll by %s."
        reschedule_poll(until, lambda again, last: self.log.info(message, who, room, code, again, last))


def _on_air_is_over(lease: Lease) -> bool:
    """Tell whether ``on_air`` has come to its end: from then on the stops of the run may be sent, and nothing after them."""
    from airflow_provider_timav.runs import FINAL_STATES

    return lease.owner.task("on_air").state() in FINAL_STATES
