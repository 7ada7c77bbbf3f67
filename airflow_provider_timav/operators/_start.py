"""How a start survives a lost answer, a killed worker, a retry, and a stream that runs already; push and recording alike."""

from __future__ import annotations

import time
from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_timav.arguments import time_span
from airflow_provider_timav.operators._base import TimAVOperator
from airflow_provider_timav.operators._kill_guard import KillGuard
from airflow_provider_timav.operators._reschedule import SOONEST_SECONDS, ask_again, waiting_until
from airflow_provider_timav.options import given
from airflow_provider_timav.videorelay.errors import (
    AlreadyRunning,
    AmbiguousOutcome,
    ConfigurationError,
    RoomNotReady,
    TimAVError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.sdk import Context

    from airflow_provider_timav.hooks.timav import TimAVHook
    from airflow_provider_timav.leases import Lease
    from airflow_provider_timav.operators._intent import Claim, Earlier

__all__ = ["StartOperator"]

IfAlreadyRunning = Literal["recover", "restart", "fail"]


class StartOperator(TimAVOperator):
    """Starts a push or a recording and ends with one running, whatever happens in between, or says why not.

    :param wait_for_user: how long to wait for the room to be open and the host to be in it: a timedelta, seconds, or ISO 8601
        (templated). No worker slot is held in between and no retry is used up. Less than 10 s does not wait.
    :param if_already_running: what to do when one with this room, user and kind of data runs already (templated):

        ``recover``  take it over where an earlier try of this task started it, otherwise leave it alone (``adopted``);
        ``restart``  stop it, whoever started it, and start anew;
        ``fail``     fail with ``AlreadyRunning`` unless an earlier try of this task started it.
    :param lease: what ``reserve`` of a ``Broadcast`` has handed on (templated): the claim then stands in its ledger, and
        nothing is sent once its end has passed, or once somebody else holds it.
    """

    template_fields: Sequence[str] = (*TimAVOperator.template_fields, "wait_for_user", "if_already_running", "lease")
    kind: ClassVar[Literal["push", "record"]]

    def __init__(
        self,
        *,
        wait_for_user: timedelta | float | str = timedelta(minutes=5),
        if_already_running: IfAlreadyRunning | str = "recover",
        lease: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.wait_for_user = wait_for_user
        self.if_already_running = if_already_running
        self.lease = lease
        self.kill_guard = KillGuard.none()

    @abstractmethod
    def checked_arguments(self, context: Context) -> dict[str, Any]:
        """Return the arguments of the hook's start, after a check that sends nothing.

        :raises ConfigurationError: naming the argument that breaks a rule.
        """

    @abstractmethod
    def send_start(self, hook: TimAVHook, arguments: dict[str, Any]) -> dict[str, Any]:
        """Send the start; return its result."""

    @abstractmethod
    def send_stop(self, hook: TimAVHook, arguments: dict[str, Any], **limits: Any) -> Sequence[str]:
        """Send the stop of what ``arguments`` would start; return the file ids of a recording.

        :param limits: those of ``Client.call``.
        """

    @abstractmethod
    def settle_own(self, hook: TimAVHook, arguments: dict[str, Any]) -> tuple[dict[str, Any], Claim]:
        """Settle that one runs which an earlier try of this task probably started, and of which no result is known."""

    def start(self, context: Context) -> dict[str, Any]:
        """Start, and return the result as plain data without None; the intent and the result are noted on the way."""
        from airflow_provider_timav.operators._intent import Intent
        from airflow_provider_timav.operators._interrupted import remember

        arguments = self.checked_arguments(context)
        self.log_request(arguments)
        policy = self._policy()
        until = waiting_until(context, time_span(given(self.wait_for_user, "wait_for_user"), "wait_for_user"))
        lease = self.held_lease()
        if lease is not None:
            # The last question comes before the end: after it, nobody would hear that the host never came.
            until = min(until, self._still_held(lease, context) - timedelta(seconds=SOONEST_SECONDS))
        with self.make_hook() as hook:
            # A bad connection is refused before the intent is written: nothing will have been sent.
            client = hook.get_conn()
            guard = self.kill_guard = KillGuard(cancel=client.cancel, stop=self.stop_at_once(hook, arguments))
            intent = Intent(context, self.kind, lease)
            earlier = intent.begin()
            remember(self.place(arguments), guard.stop_if_running)
            try:
                result, claim = self._come_to_one(hook, arguments, earlier, policy)
            except AlreadyRunning as foreign:
                self._raise_if_killed()
                if foreign.doubtful:
                    # The code may also mean that nobody is there yet: as long as that is waited for, nothing is known.
                    intent.withdraw(earlier)
                    self._wait(foreign, until)
                intent.foreign()
                if policy == "fail":
                    raise
                result, claim = {"outcome": "adopted"}, "foreign"
            except TimAVError as error:
                self._raise_if_killed()
                if not guard.may_be_running:
                    intent.withdraw(earlier)
                if isinstance(error, RoomNotReady):
                    self._wait(error, until)
                raise
            self._raise_if_killed()
            if result["outcome"] == "recovered":
                intent.recovered(earlier, result)
            else:
                intent.done(result, claim)
            if claim != "foreign" and lease is not None:
                self._stop_if_ended(lease, hook, arguments, context)
            if claim == "foreign":
                self.log.warning("A %s runs already that this task did not start: it is left alone.", self.kind)
            return result

    def _come_to_one(
        self, hook: TimAVHook, arguments: dict[str, Any], earlier: Earlier, policy: IfAlreadyRunning
    ) -> tuple[dict[str, Any], Claim]:
        """Return the result of the one that runs now, and the claim on it.

        :raises AlreadyRunning: if it is somebody else's, and is to be left alone.
        """
        try:
            with self.kill_guard.in_progress():
                return self.send_start(hook, arguments), "ours"
        except AlreadyRunning as running:
            if self._taken_over():
                raise
            noted = None if running.after_ambiguity else earlier.own_result
            own = noted is not None or earlier.may_be_ours or running.after_ambiguity
            if own:
                self.kill_guard.may_be_running = True
            if self.kill_guard.killed or not (own or policy == "restart"):
                raise
        if noted is not None:
            return {**noted, "outcome": "recovered"}, "ours"
        with self.kill_guard.in_progress():
            return self.settle_own(hook, arguments) if own else (self.restart(hook, arguments), "ours")

    def _taken_over(self) -> bool:
        """Tell whether another broadcast holds the room by now: it has stopped what was ours, and what runs is its own."""
        if (lease := self.held_lease()) is None:
            return False
        from airflow_provider_timav.leases import Ledger

        held = Ledger(lease.key.variable).lease()
        return held is not None and held.generation != lease.generation

    def restart(self, hook: TimAVHook, arguments: dict[str, Any]) -> dict[str, Any]:
        """Stop what runs and start anew: the only way to learn the URLs of a start whose answer was lost."""
        self.send_stop(hook, arguments)
        time.sleep(1.0)  # the service needs a moment between the end of a stream and the next start of the same one
        return {**self.send_start(hook, arguments), "outcome": "restarted"}

    def stop_at_once(self, hook: TimAVHook, arguments: dict[str, Any]) -> Callable[[float], None]:
        """Return what sends one stop over a connection of its own, for ``KillGuard``."""

        def stop(seconds: float) -> None:
            with hook.another() as other:
                self.send_stop(other, arguments, max_posts=1, seconds=seconds)

        return stop

    def post_execute(self, context: Any, result: Any = None) -> None:
        """Fail where the task was told to end after its start: that is stopped by now, and a success would be untrue.

        Not covered: a task that is told to end while Airflow stores what it has returned. It is a success, and stopped.

        :raises AmbiguousOutcome: if it was.
        """
        super().post_execute(context, result)
        self._raise_if_killed()

    def on_kill(self) -> None:
        """Leave nothing on air that this task started, within the five seconds that are left to it."""
        self.kill_guard.kill()

    def _raise_if_killed(self) -> None:
        """Come down where the task was told to end while a call was under way.

        The error is one that is worth a retry: a pod that is moved elsewhere has a task that should go on there. Where a person
        has ended the task, Airflow takes no further word from it.
        """
        if self.kill_guard.killed:
            self.kill_guard.stop_now()
            raise AmbiguousOutcome(f"the task was told to end while its {self.kind} was starting", executed="maybe")

    def _still_held(self, lease: Lease, context: Context) -> datetime:
        """Return the broadcast's end, which must be ahead; a worker may have been lost, or the task have waited, until then.

        :raises AirflowFailException: if it has passed, or the lease was given up: a notifier has ended the broadcast while this
            task waited, or a person has deleted it, and then no reaper would find what is started; or if ``on_air`` is over:
            the broadcast was stopped, and its stops may have run already. Nothing is sent, and another try would find the same.
        :raises AlreadyRunning: if somebody else holds the lease by now.
        """
        from airflow.sdk.exceptions import AirflowFailException

        from airflow_provider_timav.leases import Ledger

        ledger = Ledger(lease.key.variable)
        held = ledger.lease()
        if held is None:
            raise AirflowFailException(
                f"the lease of room {lease.key.room_id} was given up, the broadcast was ended: nothing was sent. "
                "Trigger a new run."
            )
        if held.generation != lease.generation:
            raise AlreadyRunning(
                f"room {lease.key.room_id} is held by {held.owner} by now: nothing was sent. Trigger a new run."
            )
        if self._is_over(lease, context):
            raise AirflowFailException(
                "the broadcast was ended before this start: nothing was sent. Trigger a new run."
            )
        end = ledger.end(lease)
        if end <= datetime.now(UTC):
            raise AirflowFailException(
                f"the broadcast's end has passed ({end.isoformat()}): nothing was sent. Trigger a new run."
            )
        return end

    def _is_over(self, lease: Lease, context: Context) -> bool:
        """Tell whether the broadcast is over for its run: from then on its stops may run, and nothing comes after them."""
        from airflow_provider_timav.runs import FINAL_STATES

        return lease.owner.task("on_air").state(context["ti"]) in FINAL_STATES

    def _stop_if_ended(self, lease: Lease, hook: TimAVHook, arguments: dict[str, Any], context: Context) -> None:
        """Stop what was started where the broadcast was ended meanwhile: its stops may have come before the start.

        :raises AirflowFailException: if it was.
        """
        from airflow.sdk.exceptions import AirflowFailException

        from airflow_provider_timav.leases import Claim, Ledger

        ledger = Ledger(lease.key.variable)
        try:
            held = ledger.lease()
            # Somebody else's lease: our end has passed meanwhile, and what was started would stay in their way.
            ended = held is None or held.generation != lease.generation or self._is_over(lease, context)
        except Exception:  # whatever Airflow raises: what runs has a trigger to end it
            self.log.warning("Whether the broadcast was ended meanwhile could not be read.", exc_info=True)
            return
        if not ended:
            return
        file_ids = self.send_stop(hook, arguments)
        self.note_off_air(arguments)
        try:
            claim = ledger.claim(self.kind, lease.generation)
            start_id = None if claim is None else claim.start_id
            ledger.tell(self.kind, Claim(lease.generation, "stopped", start_id, file_ids=tuple(file_ids)))
            ledger.close(lease.generation)
        except Exception:  # as above: it is stopped, and the reaper clears up
            self.log.warning("The stop could not be noted; the reaper will clear up.", exc_info=True)
        raise AirflowFailException(f"the broadcast was ended while its {self.kind} was starting: it is stopped")

    def _policy(self) -> IfAlreadyRunning:
        policy: IfAlreadyRunning = given(self.if_already_running, "if_already_running")
        if policy not in ("recover", "restart", "fail"):
            raise ConfigurationError(
                f"if_already_running must be recover, restart or fail, not {policy!r}", field="if_already_running"
            )
        return policy

    def _wait(self, error: TimAVError, until: datetime) -> None:
        """Wait for the host; return where the wait is over."""
        who, room, code = ", ".join(error.user_ids), error.room_id, error.code
        message = "%s is not in room %s yet (code %s). Asking again at %s, for the last time by %s."
        ask_again(until, lambda again, last: self.log.info(message, who, room, code, again, last))
