"""The task of a `Broadcast` that waits in the triggerer while the broadcast is on air; its trigger ends the broadcast."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_timav.arguments import is_constant, parse_duration, template_marks
from airflow_provider_timav.links import PushConsoleLink, RecordingLink, WatchLiveLink, live_page
from airflow_provider_timav.operators._base import TimAVOperator, log_failure
from airflow_provider_timav.operators._reschedule import seconds_of
from airflow_provider_timav.options import BroadcastOptions, or_default
from airflow_provider_timav.videorelay.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context

    from airflow_provider_timav.leases import Kind, Lease, Ledger

__all__ = ["OnAirOperator"]

_NO_STALL = ("UNKNOWN", "STARTING", "LIVE", "RESET")
"""Verdicts for which ``on_stall_callback`` has not been called."""

_DEFERRAL_SLACK = timedelta(seconds=15)
"""How long after the end the trigger may still end the broadcast. Then the task resumes on a worker, which ends it."""


class OnAirOperator(TimAVOperator):
    """Waits in the triggerer while the broadcast is on air; `OnAirTrigger` ends it, whatever happens to this task.

    Defers at once and holds no worker slot. Raises ``retries=0`` to 1: Airflow can mistake a resumed task for a lost one.

    XComs: ``control``, by which people move the end (``{"end": ISO 8601 with a time zone}``, or ``{"stop": true}``), written
    before the task defers; ``started_at``; ``stopped``, which the trigger writes as soon as it has stopped the broadcast; and,
    in ``return_value``, ``outcome`` (``deadline``, ``stopped``, ``stream_ended``), ``ended_at``, and the last ``verdict`` on
    the stream.

    :param lease: the XCom ``lease`` of ``reserve`` (templated).
    :param until: ``deadline``; or ``stream_ended``, to end early once the stream has ended (templated).
    :param grace: how long a stream that was live may be gone before it has ended (templated).
    :param on_stall: ``ignore``, ``notify`` (calls ``on_stall_callback``, once for each stall) or ``fail`` (ends the broadcast
        and fails the task) (templated).
    :param on_stall_callback: called on a worker with the context, whose ``stall`` holds the verdict and since when.
    :param retry_delay: short, because only the reaper watches over the broadcast between two tries.
    """

    template_fields: Sequence[str] = (*TimAVOperator.template_fields, "lease", "until", "grace", "on_stall")
    operator_extra_links = (WatchLiveLink(), RecordingLink(), PushConsoleLink())

    def __init__(
        self,
        *,
        lease: Any,
        until: str = BroadcastOptions.until,
        grace: timedelta | float | str = BroadcastOptions.grace,
        on_stall: str = BroadcastOptions.on_stall,
        on_stall_callback: Callable[[Context], Any] | None = BroadcastOptions.on_stall_callback,
        retry_delay: timedelta | float = timedelta(seconds=15),
        **kwargs: Any,
    ) -> None:
        super().__init__(retry_delay=retry_delay, **kwargs)
        from airflow_provider_timav.operators._stall_callback import check_callback

        self.lease = lease
        self.until = until
        self.grace = grace
        self.on_stall = on_stall
        self.on_stall_callback = on_stall_callback
        self.check_constants(OnAirOperator.template_fields)
        marks = template_marks(self.get_dag())
        check_callback(on_stall_callback, on_stall, lambda value: is_constant(value, marks))
        self._retries_raised = not self.retries
        if self._retries_raised:
            self.retries = 1

    def subject(self) -> str:
        """Return whose broadcast this is, as far as the lease says."""
        lease = self.lease if isinstance(self.lease, dict) else {}
        return f"Broadcast of {lease.get('user_id', '?')} in room {lease.get('room_id', '?')}"

    @log_failure
    def execute(self, context: Context) -> None:
        """Defer to the trigger."""
        from airflow_provider_timav.leases import CONTROL, Ledger
        from airflow_provider_timav.runs import TaskKey

        if self._retries_raised:
            self.log.info(
                "retries=0 is raised to 1: Airflow can mistake a task that its trigger has resumed for a lost one."
            )
        lease, ti = self._held(), context["ti"]
        ledger = Ledger(lease.key.variable)
        push = ledger.claim("push", lease.generation)
        hls_url, rtmp_url, why = self._stream(context, lease)
        # Raw, so that the page Broadcasts can read it, whichever backend stores XComs.
        TaskKey.of(ti).set_raw_xcom(CONTROL, {"end": ledger.end_in_force(lease).isoformat()})
        if push is not None and push.on_air:
            ti.xcom_push(key="started_at", value=push.at.isoformat())
        if hls_url:
            ti.xcom_push(key="hls_url", value=hls_url)  # Airflow makes the button of it once the task has deferred
            ti.xcom_push(key=WatchLiveLink().xcom_key, value=live_page(hls_url, broadcast=True))
        elif rtmp_url:
            self.log.info("There is no HLS URL to watch: the trigger watches the RTMP stream.")
        else:
            self.log.warning("%s: the trigger keeps time and control only.", why)
        self.log.info("%s: on air until %s.", self.subject(), seconds_of(ledger.end_in_force(lease)))
        self._defer(context, told=False)

    def _defer(self, context: Context, *, told: bool, end: datetime | None = None) -> NoReturn:
        from airflow_provider_timav.leases import Ledger
        from airflow_provider_timav.runs import TaskKey
        from airflow_provider_timav.triggers.on_air import OnAirTrigger

        lease = self._held()
        ledger = Ledger(lease.key.variable)
        end = end or ledger.end_in_force(lease)
        hls_url, rtmp_url, _ = self._stream(context, lease)
        self.defer(
            # Without a triggerer that has capacity and serves its queue, the trigger never runs, and never ends anything.
            timeout=max(end - datetime.now(UTC), timedelta(0)) + _DEFERRAL_SLACK,
            trigger=OnAirTrigger(
                lease=lease.to_json(),
                end=end.isoformat(),
                task_key=TaskKey.of(context["ti"]).to_json(),
                stops=self._stops(context, lease, ledger),
                hls_url=hls_url,
                rtmp_url=rtmp_url,
                until=or_default(self.until, "until"),
                grace=parse_duration(or_default(self.grace, "grace"), "grace").total_seconds(),
                on_stall=or_default(self.on_stall, "on_stall"),
                told=told,
            ),
            method_name="execute_complete",
        )

    def _stops(self, context: Context, lease: Lease, ledger: Ledger) -> list[Kind]:
        """Return what is ours to stop: by the ledger or, if that was deleted, by the XComs of the starts."""
        from airflow_provider_timav.leases import KINDS

        stops: list[Kind] = []
        for kind in KINDS:
            claim = ledger.claim(kind, lease.generation)
            state = self._of(context, lease, f"start_{kind}", "claim") if claim is None else claim.state
            if state in ("sent", "ours"):
                stops.append(kind)
        return stops

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Return how the broadcast ended; or call ``on_stall_callback``, and defer again.

        :raises AirflowFailException: if the stream stalled and ``on_stall`` is ``fail``.
        :raises RuntimeError: if the event is not one of `OnAirTrigger`.
        """
        status = event.get("status") if isinstance(event, dict) else None
        if status == "stalled":
            self._notify(context, event)
            self._defer(context, told=True)
        if status == "failed":
            from airflow.sdk.exceptions import AirflowFailException

            raise AirflowFailException(
                f"the stream has been {event['verdict']} since {event['since']}: the broadcast was ended"
            )
        if status not in ("deadline", "stopped", "stream_ended"):
            raise RuntimeError(f"the trigger fired an event with an unknown status ({status!r})")
        lease = self._held()
        ended_at = re.sub(r"\.\d+", "", event["ended_at"])  # not parsed: the broadcast has ended, whatever it says
        self.log.info("Room %s has been off air since %s (%s).", lease.key.room_id, ended_at, status)
        return {"outcome": status, "ended_at": event["ended_at"], "verdict": event.get("verdict", "UNKNOWN")}

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume once the trigger has fired, or once Airflow has waited for it in vain until after the end."""
        from airflow.sdk.exceptions import TaskDeferralTimeout

        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            pass
        return self.end_from_worker(context)

    @log_failure
    def end_from_worker(self, context: Context) -> dict[str, Any]:
        """End the broadcast from a worker, because no trigger has; defer again if a person has moved its end.

        If a stop fails here, the stop tasks, which come next, retry it.
        """
        from airflow_provider_timav.hooks.timav import TimAVHook
        from airflow_provider_timav.leases import CONTROL, Control, Ledger
        from airflow_provider_timav.leases.shutdown import stop_broadcast

        lease, now = self._held(), datetime.now(UTC)
        ledger = Ledger(lease.key.variable)
        until, verdict = ledger.wanted_until(lease, now=now), self._verdict(ledger, lease)
        if until > now:
            self.log.info("The end was moved to %s: deferring again.", seconds_of(until))
            self._defer(context, told=verdict not in _NO_STALL, end=until)
        self.log.warning(
            "No trigger has ended the broadcast, %s after its end: ending it here. Check that a triggerer has capacity for it.",
            now - until,
        )
        if ledger.lease_state(lease) in ("ours", "unknown"):
            with TimAVHook(lease.key.timav_conn_id) as hook:
                stops = stop_broadcast(ledger, lease, hook)
            for kind in stops.errors:
                self.log.error("The %s is not stopped yet: %s", kind, stops.reason(kind))
        ended_at = datetime.now(UTC).isoformat()
        outcome = "deadline"
        with contextlib.suppress(Exception):  # the broadcast has ended, even if `control` cannot be read
            if Control.read(lease.owner.task("on_air").raw_xcom(CONTROL), now=now).stop:
                outcome = "stopped"
        return {"outcome": outcome, "ended_at": ended_at, "verdict": verdict}

    def _verdict(self, ledger: Ledger, lease: Lease) -> str:
        """Return the last verdict on the stream in the ledger."""
        from airflow_provider_timav.stream.state import StreamState

        watch = ledger.watch(lease.generation)
        return StreamState.from_json(None if watch is None else watch.stream).verdict.value

    def _stream(self, context: Context, lease: Lease) -> tuple[str | None, str | None, str]:
        """Return the HLS URL of the push to watch, else its RTMP URL, else why neither can be watched."""
        from airflow_provider_timav.stream.address import fault, is_rtmp, missing, stream_fault

        hls_url, rtmp_url = (self._of(context, lease, "start_push", name) for name in ("hls_url", "rtmp_url"))
        if isinstance(hls_url, str) and fault(hls_url) is None:
            return hls_url, None, ""
        if not isinstance(rtmp_url, str) or not is_rtmp(rtmp_url) or stream_fault(rtmp_url) is not None:
            return None, None, "There is no URL to watch"
        if (lack := missing(rtmp_url)) is not None:
            return None, None, f"There is no HLS URL to watch, and {lack}"
        return None, rtmp_url, ""

    def _notify(self, context: Context, event: dict[str, Any]) -> None:
        stall = {"verdict": event["verdict"], "since": event["since"]}
        self.log.warning("The stream has been %s since %s.", stall["verdict"], stall["since"])
        if self.on_stall_callback is None:
            return
        try:
            self.on_stall_callback({**context, "stall": stall})  # type: ignore[typeddict-unknown-key]
        except Exception:  # the author's code must not end the broadcast
            self.log.exception("on_stall_callback failed; the broadcast goes on.")

    def _held(self) -> Lease:
        lease = self.held_lease()
        if lease is None:
            raise ConfigurationError("lease is missing: this task must be inside a Broadcast", field="lease")
        return lease

    def _of(self, context: Context, lease: Lease, name: str, key: str) -> Any:
        task = lease.owner.task(name)
        return context["ti"].xcom_pull(task_ids=task.task_id, key=key, map_indexes=task.map_index)
