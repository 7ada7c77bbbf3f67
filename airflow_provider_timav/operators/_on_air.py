"""The task of a `Broadcast` that waits while it is on air: in the triggerer, whose trigger ends it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_timav.arguments import given, is_constant, template_marks, time_span
from airflow_provider_timav.links import (
    PushConsoleLink,
    RecordingLink,
    WatchLiveLink,
    live_page,
)
from airflow_provider_timav.operators._base import TimAVOperator, log_failure
from airflow_provider_timav.operators._options import hold_callback
from airflow_provider_timav.operators._reschedule import seconds_of
from airflow_provider_timav.videorelay.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context

    from airflow_provider_timav.leases import Kind, Lease, Ledger

__all__ = ["COME_BACK", "OnAirOperator"]

_NO_STALL = ("UNKNOWN", "STARTING", "LIVE", "RESET")
"""Verdicts that no stall has been told of."""

COME_BACK = timedelta(seconds=15)
"""How long after its end a broadcast may still be its trigger's. Then the task comes back to a worker, which ends it."""


class OnAirOperator(TimAVOperator):
    """Waits in the triggerer while the broadcast is on; its trigger ends it (`OnAirTrigger`), whatever becomes of this task.

    It defers at once and holds no worker slot. ``retries=0`` is raised to 1: Airflow can take a resumed task for a lost one.

    XComs: ``control``, by which people move the end (``{"end": ISO 8601 with a zone}``, or ``{"stop": true}``), written before
    the task defers; ``started_at``; ``stopped``, which the trigger writes as soon as it has stopped the broadcast; and, in
    ``return_value``, ``outcome`` (``deadline``, ``stopped``, ``stream_ended``), ``ended_at``, and the last ``verdict`` on the
    stream.

    :param lease: what ``reserve`` has handed on (templated).
    :param until: ``deadline``, or ``stream_ended``: then it ends early, once the stream is over (templated).
    :param grace: how long a stream that was live may be gone before it is over (templated).
    :param on_stall: ``ignore``, ``notify`` (``on_stall_callback`` is called, once for each stall) or ``fail`` (the broadcast is
        ended and the task fails) (templated).
    :param on_stall_callback: called on a worker with the context, in which ``stall`` tells the verdict and since when.
    :param retry_delay: short, for nothing but the reaper watches over the broadcast between two tries.
    """

    template_fields: Sequence[str] = (*TimAVOperator.template_fields, "lease", "until", "grace", "on_stall")
    operator_extra_links = (WatchLiveLink(), RecordingLink(), PushConsoleLink())

    def __init__(
        self,
        *,
        lease: Any,
        until: str = "deadline",
        grace: timedelta | float | str = timedelta(seconds=60),
        on_stall: str = "ignore",
        on_stall_callback: Callable[[Context], Any] | None = None,
        retry_delay: timedelta | float = timedelta(seconds=15),
        **kwargs: Any,
    ) -> None:
        super().__init__(retry_delay=retry_delay, **kwargs)
        self.lease = lease
        self.until = until
        self.grace = grace
        self.on_stall = on_stall
        self.on_stall_callback = on_stall_callback
        self.check_constants(OnAirOperator.template_fields)
        marks = template_marks(self.get_dag())
        hold_callback(on_stall_callback, on_stall, lambda value: is_constant(value, marks))
        self._retries_raised = not self.retries
        if self._retries_raised:
            self.retries = 1

    def subject(self) -> str:
        """Return whose broadcast this is, as far as the lease tells."""
        lease = self.lease if isinstance(self.lease, dict) else {}
        return f"Broadcast of {lease.get('user_id', '?')} in room {lease.get('room_id', '?')}"

    @log_failure
    def execute(self, context: Context) -> None:
        """Hand the broadcast over to the trigger."""
        from airflow_provider_timav.leases import CONTROL, Ledger
        from airflow_provider_timav.runs import TaskKey

        if self._retries_raised:
            self.log.info(
                "retries=0 is raised to 1: Airflow can take a task that comes back from its trigger for a lost one."
            )
        lease, ti = self._held(), context["ti"]
        ledger = Ledger(lease.key.variable)
        push = ledger.claim("push", lease.generation)
        hls_url, rtmp_url, why = self._stream(context, lease)
        # As it is stored, so that the page Broadcasts can read it whatever backend keeps XComs.
        TaskKey.of(ti).set_raw_xcom(CONTROL, {"end": ledger.end_in_force(lease).isoformat()})
        if push is not None and push.on_air:
            ti.xcom_push(key="started_at", value=push.at.isoformat())
        if hls_url:
            ti.xcom_push(key="hls_url", value=hls_url)  # from which Airflow makes the button once the task has deferred
            ti.xcom_push(key=WatchLiveLink().xcom_key, value=live_page(hls_url, broadcast=True))
        elif rtmp_url:
            self.log.info("There is no HLS address to look at: the trigger watches the RTMP stream.")
        else:
            self.log.warning("%s: this task keeps time and control only.", why)
        self.log.info("%s: on air until %s.", self.subject(), seconds_of(ledger.end_in_force(lease)))
        self._hand_over(context, told=False)

    def _hand_over(self, context: Context, *, told: bool, end: datetime | None = None) -> NoReturn:
        from airflow_provider_timav.leases import Ledger
        from airflow_provider_timav.runs import TaskKey
        from airflow_provider_timav.triggers.on_air import OnAirTrigger

        lease = self._held()
        ledger = Ledger(lease.key.variable)
        end = end or ledger.end_in_force(lease)
        hls_url, rtmp_url, _ = self._stream(context, lease)
        self.defer(
            # A trigger that nobody runs, for want of capacity or of a triggerer for its queue, ends nothing.
            timeout=max(end - datetime.now(UTC), timedelta(0)) + COME_BACK,
            trigger=OnAirTrigger(
                lease=lease.to_json(),
                end=end.isoformat(),
                task_key=TaskKey.of(context["ti"]).to_json(),
                stops=self._stops(context, lease, ledger),
                hls_url=hls_url,
                rtmp_url=rtmp_url,
                until=given(self.until, "until"),
                grace=time_span(given(self.grace, "grace"), "grace").total_seconds(),
                on_stall=given(self.on_stall, "on_stall"),
                told=told,
            ),
            method_name="execute_complete",
        )

    def _stops(self, context: Context, lease: Lease, ledger: Ledger) -> list[Kind]:
        """Return what is ours to stop: by the ledger, or, where somebody has deleted that, by what the starts have said."""
        from airflow_provider_timav.leases import KINDS

        stops: list[Kind] = []
        for kind in KINDS:
            claim = ledger.claim(kind, lease.generation)
            said = self._of(context, lease, f"start_{kind}", "claim") if claim is None else claim.state
            if said in ("sent", "ours"):
                stops.append(kind)
        return stops

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Return how the broadcast ended, or call ``on_stall_callback`` and go on.

        :raises AirflowFailException: if the stream stalled and ``on_stall`` is ``fail``.
        :raises RuntimeError: if the event is not one of this operator's trigger.
        """
        status = event.get("status") if isinstance(event, dict) else None
        if status == "stalled":
            self._notify(context, event)
            self._hand_over(context, told=True)
        if status == "failed":
            from airflow.sdk.exceptions import AirflowFailException

            raise AirflowFailException(
                f"the stream is {event['verdict']} since {event['since']}: the broadcast is ended"
            )
        if status not in ("deadline", "stopped", "stream_ended"):
            raise RuntimeError(f"the trigger fired an event that this operator does not know (status {status!r})")
        lease = self._held()
        ended_at = re.sub(r"\.\d+", "", event["ended_at"])  # whatever it is, the broadcast is over
        self.log.info("Room %s is off air since %s (%s).", lease.key.room_id, ended_at, status)
        return {"outcome": status, "ended_at": event["ended_at"], "verdict": event.get("verdict", "UNKNOWN")}

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on once the trigger has fired, or once Airflow has waited for it in vain until after the end."""
        from airflow.sdk.exceptions import TaskDeferralTimeout

        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            pass
        return self.come_back(context)

    @log_failure
    def come_back(self, context: Context) -> dict[str, Any]:
        """End the broadcast from a worker: no trigger has done so. Where a person has moved its end, hand it over again.

        What cannot be stopped here is left to the stops, which come next and are retried.
        """
        from airflow_provider_timav.hooks.timav import TimAVHook
        from airflow_provider_timav.leases import CONTROL, Control, Ledger
        from airflow_provider_timav.leases.shutdown import stop_broadcast

        lease, now = self._held(), datetime.now(UTC)
        ledger = Ledger(lease.key.variable)
        until, verdict = ledger.wanted_until(lease, now=now), self._verdict(ledger, lease)
        if until > now:
            self.log.info("The end was moved to %s: a trigger takes over again.", seconds_of(until))
            self._hand_over(context, told=verdict not in _NO_STALL, end=until)
        self.log.warning(
            "No trigger has ended the broadcast, %s after its end: ending it here. Does a triggerer run, with capacity for it?",
            now - until,
        )
        if ledger.lease_state(lease) in ("ours", "unknown"):
            with TimAVHook(lease.key.timav_conn_id) as hook:
                stops = stop_broadcast(ledger, lease, hook)
            for kind in stops.errors:
                self.log.error("The %s is not stopped yet: %s", kind, stops.reason(kind))
        ended_at = datetime.now(UTC).isoformat()
        outcome = "deadline"
        with contextlib.suppress(Exception):  # whatever it is, the broadcast is over
            if Control.read(lease.owner.task("on_air").raw_xcom(CONTROL), now=now).stop:
                outcome = "stopped"
        return {"outcome": outcome, "ended_at": ended_at, "verdict": verdict}

    def _verdict(self, ledger: Ledger, lease: Lease) -> str:
        """Return the last verdict on the stream that a trigger has noted."""
        from airflow_provider_timav.stream.watch import Watch

        watch = ledger.watch(lease.generation)
        return Watch.from_json(None if watch is None else watch.stream).verdict.value

    def _stream(self, context: Context, lease: Lease) -> tuple[str | None, str | None, str]:
        """Return what to watch, as the start has handed on: the HLS address, or else the RTMP address, or else why not."""
        from airflow_provider_timav.stream.address import fault, is_rtmp, missing, stream_fault

        hls_url, rtmp_url = (self._of(context, lease, "start_push", name) for name in ("hls_url", "rtmp_url"))
        if isinstance(hls_url, str) and fault(hls_url) is None:
            return hls_url, None, ""
        if not isinstance(rtmp_url, str) or not is_rtmp(rtmp_url) or stream_fault(rtmp_url) is not None:
            return None, None, "There is no address to look at"
        if (lack := missing(rtmp_url)) is not None:
            return None, None, f"There is no HLS address to look at, and {lack}"
        return None, rtmp_url, ""

    def _notify(self, context: Context, event: dict[str, Any]) -> None:
        stall = {"verdict": event["verdict"], "since": event["since"]}
        self.log.warning("The stream is %s since %s.", stall["verdict"], stall["since"])
        if self.on_stall_callback is None:
            return
        try:
            self.on_stall_callback({**context, "stall": stall})  # type: ignore[typeddict-unknown-key]
        except Exception:  # an author's: the broadcast goes on without it
            self.log.exception("on_stall_callback has failed; the broadcast goes on.")

    def _held(self) -> Lease:
        lease = self.held_lease()
        if lease is None:
            raise ConfigurationError("lease is missing: this task belongs into a Broadcast", field="lease")
        return lease

    def _of(self, context: Context, lease: Lease, name: str, key: str) -> Any:
        task = lease.owner.task(name)
        return context["ti"].xcom_pull(task_ids=task.task_id, key=key, map_indexes=task.map_index)
