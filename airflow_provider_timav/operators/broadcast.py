"""The tasks of a `Broadcast` that are not a single operation, and the one that clears up after all broadcasts."""

from __future__ import annotations

import contextlib
import re
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import AssetAlias, BaseOperator, conf

from airflow_provider_timav.arguments import given, is_constant, optional, template_marks, time_span
from airflow_provider_timav.assets import create_asset
from airflow_provider_timav.links import (
    PushConsoleLink,
    RecordingConsoleLink,
    RecordingLink,
    WatchLiveLink,
    live_page,
    show_links,
)
from airflow_provider_timav.operators.operation import TimAVOperator, said_on_failure
from airflow_provider_timav.operators.options import hold_callback
from airflow_provider_timav.operators.waiting import ask_again, waiting_until
from airflow_provider_timav.templates import TextStaysText
from airflow_provider_timav.videorelay.errors import AlreadyRunning, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from airflow.sdk import Context
    from airflow.sdk.definitions.edges import EdgeModifier

    from airflow_provider_timav.hooks.timav import TimAVHook
    from airflow_provider_timav.leases import Kind, Lease, Ledger, Owner, Stopped
    from airflow_provider_timav.operators.reservation import Plan

__all__ = ["BroadcastResultOperator", "OnAirOperator", "ReapBroadcastsOperator", "ReserveBroadcastOperator"]

_NOTED = "timav:reservation"
_ARRIVED = "timav:arrived"

_NO_STALL = ("UNKNOWN", "STARTING", "LIVE", "RESET")
"""Verdicts that no stall has been told of."""

COME_BACK = timedelta(seconds=15)
"""How long after its end a broadcast may still be its trigger's. Then the task comes back to a worker, which ends it."""


class ReserveBroadcastOperator(TimAVOperator):
    """Checks everything, takes the room for this run, and fixes when the show ends. It sends nothing that would need a stop.

    The setup of a `Broadcast`, whose teardowns run only where it succeeded. The arguments are those of `Broadcast`; all of
    them are templated and checked here, before anything is written.

    The end and the generation, which tells this broadcast from any other, are fixed once and kept over retries and clears.
    A lease of another run whose end is ahead is waited for, as long as ``wait_for_user``; one that is over is taken, after its
    stop has been sent. A run that comes later than ``skip_if_late``, or after its own end, is skipped: nothing is started.

    XComs, each also under its own key: ``lease`` (what the group's other tasks need to know), ``timav_conn_id``, ``room_id``,
    ``user_id``, ``sdk_type``, ``push_data_type``, ``record``, ``file_name``, ``end``.

    :raises ConfigurationError: naming the option that breaks a rule, or the field of the connection.
    :raises AlreadyRunning: if another run holds the room for longer than the wait; it names that run.
    """

    _fields = (
        "room_id",
        "user_id",
        "duration",
        "ends_at",
        "max_duration",
        "live_code",
        "rate_types",
        "sdk_type",
        "push_data_type",
        "channel_name",
        "player_password",
        "push_options",
        "record",
        "file_name",
        "record_options",
        "require_file_ids",
        "wait_for_user",
        "if_already_running",
        "until",
        "grace",
        "on_stall",
        "skip_if_late",
    )
    template_fields: Sequence[str] = (*TimAVOperator.template_fields, *_fields)

    def __init__(
        self,
        *,
        room_id: int | str,
        user_id: str,
        duration: timedelta | float | str | None = None,
        ends_at: datetime | str | None = None,
        max_duration: timedelta | float | str = timedelta(hours=6),
        live_code: str | int = "hls",
        rate_types: Sequence[str | int] | str | None = None,
        sdk_type: str | int = "normal",
        push_data_type: str | int = "camera",
        channel_name: str | None = None,
        player_password: str | None = None,
        push_options: dict[str, Any] | str | None = None,
        record: bool | str = True,
        file_name: str | None = None,
        record_options: dict[str, Any] | str | None = None,
        require_file_ids: bool | str = False,
        wait_for_user: timedelta | float | str = timedelta(minutes=5),
        if_already_running: str = "recover",
        until: str = "deadline",
        grace: timedelta | float | str = timedelta(seconds=60),
        on_stall: str = "ignore",
        skip_if_late: timedelta | float | str | None = timedelta(minutes=10),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.room_id = room_id
        self.user_id = user_id
        self.duration = duration
        self.ends_at = ends_at
        self.max_duration = max_duration
        self.live_code = live_code
        self.rate_types = rate_types
        self.sdk_type = sdk_type
        self.push_data_type = push_data_type
        self.channel_name = channel_name
        self.player_password = player_password
        self.push_options = push_options
        self.record = record
        self.file_name = file_name
        self.record_options = record_options
        self.require_file_ids = require_file_ids
        self.wait_for_user = wait_for_user
        self.if_already_running = if_already_running
        self.until = until
        self.grace = grace
        self.on_stall = on_stall
        self.skip_if_late = skip_if_late
        self.check_constants(ReserveBroadcastOperator.template_fields)

    def hold(self, arguments: Mapping[str, Any], is_settled: Callable[[Any], bool]) -> None:
        """Hold those of these options that are settled to their rules, one beside another, too."""
        from airflow_provider_timav.operators.reservation import check_options

        check_options(arguments, is_settled)

    @said_on_failure
    def execute(self, context: Context) -> dict[str, Any]:
        """Reserve; return what the other tasks of the group need."""
        from airflow.sdk.log import mask_secret

        from airflow_provider_timav.hooks.timav import TimAVHook
        from airflow_provider_timav.leases import Ledger, Owner, word
        from airflow_provider_timav.operators.reservation import Plan, default_file_name
        from airflow_provider_timav.runs import map_index_of
        from airflow_provider_timav.videorelay.line import forms

        ti, store = context["ti"], self._store(context)
        owner = Owner(ti.dag_id, ti.run_id, self.task_id.rpartition(".")[0], map_index_of(ti))
        lease = self._noted(store, owner)
        if lease is not None:
            # First of all: whatever fails here, what is on air must be found to be this run's.
            word.renew(lease)
        arrived = self._arrival(store, context)
        if (password := optional(self.player_password)) is not None:
            mask_secret([*forms(str(password))])
        plan = Plan.of({name: getattr(self, name) for name in ("timav_conn_id", *self._fields)})
        self.log_request(
            {name: getattr(self, name) for name in self._fields if optional(getattr(self, name)) is not None}
        )
        _refuse_teams(context)
        key = plan.key if lease is None else lease.key
        with TimAVHook(key.timav_conn_id) as hook:
            hook.get_conn()  # a bad connection is refused here, and not when the show is to end
            ledger = Ledger(key.variable)
            held = ledger.lease()
            if lease is None and held is not None and held.owner == owner and _store_forgets(store):
                lease = held  # where the store forgets what has succeeded, the ledger does not
                word.renew(lease)
            if lease is None:
                self._refuse_if_late(plan, arrived, context)
                self._take_over(ledger, hook, plan, context)
                lease = self._lease(plan, owner, arrived)
                # Before the lease: without it the lease gives no right to anything, not even to the room.
                word.give(lease)
            else:
                self._go_on(ledger, lease, hook)
                if held is None or held.generation != lease.generation:
                    self._take_over(ledger, hook, plan, context)
            if store is not None:
                store.set(_NOTED, lease.to_json())
            if held is None or held.generation != lease.generation:
                ledger.hold(lease)
        end = ledger.end(lease)
        self.log.info("Room %s is reserved for %s until %s.", lease.key.room_id, lease.key.user_id, _seconds(end))
        if lease.key.user_id != lease.key.user_id.strip():
            self.log.warning("user_id begins or ends with a blank: %r.", lease.key.user_id)
        return {
            "lease": lease.to_json(),
            "timav_conn_id": lease.key.timav_conn_id,
            "room_id": lease.key.room_id,
            "user_id": lease.key.user_id,
            "sdk_type": lease.key.sdk_type,
            "push_data_type": lease.key.push_data_type,
            "record": plan.record,
            "file_name": plan.file_name or default_file_name(lease.key.room_id, owner, lease.generation),
            "end": end.isoformat(),
        }

    def _store(self, context: Context) -> Any:
        store = context.get("task_state_store")
        if store is not None and _store_forgets(store):
            self.log.warning(
                "[state_store] clear_on_success is on: a broadcast that is cleared on air starts its push anew, elsewhere."
            )
        return store

    def _arrival(self, store: Any, context: Context) -> datetime:
        """Return when this run came for the room: once, however often the task is retried or cleared after that.

        Where other tasks come before it, the run came when it began: what it does first is no lateness.
        """
        from airflow_provider_timav.reading import Fields, Unreadable

        noted = None if store is None else store.get(_ARRIVED)
        if noted is not None:
            try:
                return Fields(noted).moment("at")
            except Unreadable as wrong:
                self.log.warning("When this run came for the room cannot be read (%s): it counts as now.", wrong)
        # Who has waited for the room was here in time.
        arrived = waiting_until(context, timedelta(0))
        began = getattr(context["dag_run"], "start_date", None)
        if self.upstream_task_ids and began is not None:
            arrived = min(arrived, began)
        if store is not None:
            store.set(_ARRIVED, {"at": arrived.astimezone(UTC).isoformat()})
        return arrived

    def _noted(self, store: Any, owner: Owner) -> Lease | None:
        """Return what an earlier try has reserved for this very broadcast."""
        from airflow_provider_timav.leases import Lease
        from airflow_provider_timav.reading import Unreadable

        noted = None if store is None else store.get(_NOTED)
        if noted is None:
            return None
        try:
            lease = Lease.from_json(noted)
        except Unreadable as wrong:
            self.log.warning("What an earlier try has reserved cannot be read (%s): it is passed over.", wrong)
            return None
        if lease.owner != owner:
            self.log.warning("What is noted as reserved by an earlier try is another broadcast's: it is passed over.")
            return None
        return lease

    def _refuse_if_late(self, plan: Plan, arrived: datetime, context: Context) -> None:
        due: datetime = context["dag_run"].run_after
        late = arrived - due
        if plan.skip_if_late is not None and late > plan.skip_if_late:
            _skip(f"the show was due at {due.isoformat()}, {late} ago: it is not started any more")

    def _lease(self, plan: Plan, owner: Owner, arrived: datetime) -> Lease:
        from airflow.sdk.exceptions import AirflowFailException

        from airflow_provider_timav.leases import Lease

        now = datetime.now(UTC)
        end = plan.end(now)
        if end <= now and end > arrived:
            raise AirflowFailException(
                f"the show's end has passed ({end.isoformat()}) before the room could be reserved: it did not go on air. "
                "The log of the earlier tries says why."
            )
        if end <= now:
            _skip(f"the show's end has passed ({end.isoformat()}): it is not started any more")
        if cut := plan.cut_by(now):
            self.log.warning(
                "max_duration (%s) ends the broadcast at %s, %s sooner than wanted: raise max_duration for a longer one.",
                *(plan.max_duration, _seconds(end), cut),
            )
        return Lease(plan.key, owner, uuid.uuid4().hex, end, plan.title, plan.record, plan.protected)

    def _go_on(self, ledger: Ledger, lease: Lease, hook: TimAVHook) -> None:
        """Go on with a reservation of an earlier try; one whose end has passed is only cleared up after."""
        end = ledger.end(lease)
        if end > datetime.now(UTC):
            return
        from airflow_provider_timav.operators.ending import end as stop

        stop(ledger, lease, hook).raise_failed()
        _skip(f"the show's end has passed ({end.isoformat()}); a new run is a new show")

    def _take_over(self, ledger: Ledger, hook: TimAVHook, plan: Plan, context: Context) -> None:
        """See to it that nobody else holds the room: wait for one whose show is on, end one that should be over.

        A lease whose run is gone, or has never had it, holds nothing: it is overwritten, and no stop is sent on its word.
        """
        held, now = ledger.lease(), datetime.now(UTC)
        if held is None:
            return
        from airflow_provider_timav.leases import GRACE
        from airflow_provider_timav.operators.ending import end
        from airflow_provider_timav.operators.reaping import LOOK_AGAIN_SECONDS

        if not ledger.is_there(held):
            # Where its run was deleted a moment ago, its trigger is about to stop the show, on the word of this lease.
            time.sleep(LOOK_AGAIN_SECONDS)
            if ledger.lease() != held or ledger.is_there(held):
                self._take_over(ledger, hook, plan, context)
                return
            self.log.warning(
                "The run that holds room %s (%s) is gone: its place is taken.", held.key.room_id, held.owner
            )
            ledger.drop(held)
            return
        until = ledger.wanted_until(held, now=now)
        if until + GRACE <= now:
            self.log.warning("The lease of %s is over since %s and is taken over.", held.owner, until.isoformat())
        elif ledger.is_left(held):
            self.log.warning("The run of %s is over and has left its lease: it is taken over.", held.owner)
        else:
            where = f"Room {held.key.room_id} is held for {held.key.user_id} by {held.owner} until {until.isoformat()}"
            ask_again(
                waiting_until(context, plan.wait_for_user),
                lambda again, last: self.log.info(
                    "%s. Asking again at %s, for the last time by %s.", where, again, last
                ),
            )
            raise AlreadyRunning(f"{where}: nothing was sent. Raise wait_for_user, or end that broadcast.")
        end(ledger, held, hook).raise_failed()


def _store_forgets(store: Any) -> bool:
    return store is None or conf.getboolean("state_store", "clear_on_success", fallback=False)


def _refuse_teams(context: Context) -> None:
    """Refuse a broadcast of a team's DAG.

    :raises ConfigurationError: if the DAG belongs to a team. Airflow 3.3 lets a triggerer read neither the Variables nor the
        connections of a team, nor write its XComs: such a show would neither be watched nor end on time.
    """
    if team := getattr(context["dag_run"], "team_name", None):
        raise ConfigurationError(
            f"this DAG belongs to the team {team!r}: a Broadcast must be in a DAG of a bundle without a team, for Airflow's "
            "triggerer has no access to what a team owns ([core] multi_team)",
            field="timav_conn_id",
        )


def _seconds(at: datetime) -> str:
    """Return a point in time for people to read."""
    return at.isoformat(timespec="seconds")


def _skip(why: str) -> NoReturn:
    from airflow.sdk.exceptions import AirflowSkipException

    raise AirflowSkipException(why)


class OnAirOperator(TimAVOperator):
    """Waits in the triggerer while the show is on; its trigger ends it (`OnAirTrigger`), whatever becomes of this task.

    It defers at once and holds no worker slot. ``retries=0`` is raised to 1: Airflow can take a resumed task for a lost one.

    XComs: ``control``, by which people move the end (``{"end": ISO 8601 with a zone}``, or ``{"stop": true}``), written before
    the task defers; ``started_at``; ``stopped``, which the trigger writes as soon as it has stopped the show; and, in
    ``return_value``, ``outcome`` (``deadline``, ``stopped``, ``stream_ended``), ``ended_at``, and the last ``verdict`` on the
    stream.

    :param lease: what ``reserve`` has handed on (templated).
    :param until: ``deadline``, or ``stream_ended``: then it ends early, once the stream is over (templated).
    :param grace: how long a stream that was live may be gone before it is over (templated).
    :param on_stall: ``ignore``, ``notify`` (``on_stall_callback`` is called, once for each stall) or ``fail`` (the show is
        ended and the task fails) (templated).
    :param on_stall_callback: called on a worker with the context, in which ``stall`` tells the verdict and since when.
    :param retry_delay: short, for nothing but the reaper watches over the show between two tries.
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
        """Return whose show this is, as far as the lease tells."""
        lease = self.lease if isinstance(self.lease, dict) else {}
        return f"Broadcast of {lease.get('user_id', '?')} in room {lease.get('room_id', '?')}"

    @said_on_failure
    def execute(self, context: Context) -> None:
        """Hand the show over to the trigger."""
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
        TaskKey.of(ti).set_raw_xcom(CONTROL, {"end": ledger.end(lease).isoformat()})
        if push is not None and push.on_air:
            ti.xcom_push(key="started_at", value=push.at.isoformat())
        if hls_url:
            ti.xcom_push(key="hls_url", value=hls_url)  # from which Airflow makes the button once the task has deferred
            ti.xcom_push(key=WatchLiveLink().xcom_key, value=live_page(hls_url, broadcast=True))
        elif rtmp_url:
            self.log.info("There is no HLS address to look at: the trigger watches the RTMP stream.")
        else:
            self.log.warning("%s: this task keeps time and control only.", why)
        self.log.info("%s: on air until %s.", self.subject(), _seconds(ledger.end(lease)))
        self._hand_over(context, told=False)

    def _hand_over(self, context: Context, *, told: bool, end: datetime | None = None) -> NoReturn:
        from airflow_provider_timav.leases import Ledger
        from airflow_provider_timav.runs import TaskKey
        from airflow_provider_timav.triggers.on_air import OnAirTrigger

        lease = self._held()
        ledger = Ledger(lease.key.variable)
        end = end or ledger.end(lease)
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
        """Return how the show ended, or call ``on_stall_callback`` and go on.

        :raises AirflowFailException: if the stream stalled and ``on_stall`` is ``fail``.
        :raises RuntimeError: if the event is not one of this operator's trigger.
        """
        status = event.get("status") if isinstance(event, dict) else None
        if status == "stalled":
            self._notify(context, event)
            self._hand_over(context, told=True)
        if status == "failed":
            from airflow.sdk.exceptions import AirflowFailException

            raise AirflowFailException(f"the stream is {event['verdict']} since {event['since']}: the show is ended")
        if status not in ("deadline", "stopped", "stream_ended"):
            raise RuntimeError(f"the trigger fired an event that this operator does not know (status {status!r})")
        lease = self._held()
        ended_at = re.sub(r"\.\d+", "", event["ended_at"])  # whatever it is, the show is over
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

    @said_on_failure
    def come_back(self, context: Context) -> dict[str, Any]:
        """End the show from a worker: no trigger has done so. Where a person has moved its end, hand it over again.

        What cannot be stopped here is left to the stops, which come next and are retried.
        """
        from airflow_provider_timav.hooks.timav import TimAVHook
        from airflow_provider_timav.leases import CONTROL, Control, Ledger
        from airflow_provider_timav.operators.ending import end

        lease, now = self._held(), datetime.now(UTC)
        ledger = Ledger(lease.key.variable)
        until, verdict = ledger.wanted_until(lease, now=now), self._verdict(ledger, lease)
        if until > now:
            self.log.info("The end was moved to %s: a trigger takes over again.", _seconds(until))
            self._hand_over(context, told=verdict not in _NO_STALL, end=until)
        self.log.warning(
            "No trigger has ended the show, %s after its end: it is ended here. Does a triggerer run, with capacity for it?",
            now - until,
        )
        if ledger.standing(lease) in ("ours", "unknown"):
            with TimAVHook(lease.key.timav_conn_id) as hook:
                ending = end(ledger, lease, hook)
            for kind, error in ending.errors.items():
                self.log.error("The %s is not stopped yet: %s", kind, error.with_advice)
        ended_at = datetime.now(UTC).isoformat()
        outcome = "deadline"
        with contextlib.suppress(Exception):  # whatever it is, the show is over
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
        except Exception:  # an author's: the show goes on without it
            self.log.exception("on_stall_callback has failed; the show goes on.")

    def _held(self) -> Lease:
        lease = self.held_lease()
        if lease is None:
            raise ConfigurationError("lease is missing: this task belongs into a Broadcast", field="lease")
        return lease

    def _of(self, context: Context, lease: Lease, name: str, key: str) -> Any:
        task = lease.owner.task(name)
        return context["ti"].xcom_pull(task_ids=task.task_id, key=key, map_indexes=task.map_index)


class BroadcastResultOperator(TextStaysText, BaseOperator):
    """What a broadcast comes to: the leaf of its group, which runs only if the show and both stops have succeeded.

    XComs, each also under its own key: ``file_ids``, ``file_ids_status``, ``file_name``, ``outcome`` (``deadline``, ``stopped``
    by a person, ``stream_ended``), ``started_at``, ``ended_at`` (ISO 8601), ``room_id``, ``user_id``, ``title``. What is not
    known is left out.

    The recording becomes one event of the asset ``timav://<connection>/<room>/<user>/<camera or screen>``, once, over retries
    and clears. Its ``extra`` holds ``file_ids`` (texts), ``file_name``, ``room_id``, ``user_id``, ``push_data_type``,
    ``started_at``, ``ended_at``.

    :param lease: what ``reserve`` has handed on (templated).
    :param recordings: the alias, or its name, through which the event is emitted; left out, there is none.
    """

    template_fields: Sequence[str] = ("lease",)
    operator_extra_links = (RecordingLink(), RecordingConsoleLink())
    ui_color = "#d9f0ec"

    def __init__(
        self,
        *,
        lease: Any,
        recordings: AssetAlias | str | None = None,
        multiple_outputs: bool = True,
        outlets: Any = None,
        **kwargs: Any,
    ) -> None:
        series = AssetAlias(recordings) if isinstance(recordings, str) else recordings
        super().__init__(multiple_outputs=multiple_outputs, outlets=outlets, **kwargs)
        if series is not None:
            self.outlets = [*self.outlets, series]  # whatever the author's are: one asset, or several
        self.recordings = series
        self.lease = lease

    def update_relative(self, other: Any, upstream: bool = True, edge_modifier: EdgeModifier | None = None) -> None:
        """Take part in an edge that another task sets."""
        super().update_relative(other, upstream, edge_modifier)
        if not upstream:
            self.keep_after_the_stops([other])

    def set_downstream(self, task_or_task_list: Any, edge_modifier: EdgeModifier | None = None) -> None:
        """Set tasks below this one."""
        super().set_downstream(task_or_task_list, edge_modifier)
        self.keep_after_the_stops(task_or_task_list if isinstance(task_or_task_list, Sequence) else [task_or_task_list])

    def keep_after_the_stops(self, below: Iterable[Any]) -> None:
        """Have teardowns below this task wait for the stops by themselves: where the broadcast fails, this task is done first.

        What ``@teardown`` makes has the rule of a teardown before it is one.
        """
        stops = [task for task in self.upstream_list if task.is_teardown]
        for task in (root for one in below for root in one.roots):
            if stops and (task.is_teardown or task.trigger_rule == "all_done_setup_success"):
                task.set_upstream(stops)

    def pre_execute(self, context: Context) -> None:
        """Show the buttons that can be shown while the task runs."""
        show_links(self, context["ti"])

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the result."""
        from airflow_provider_timav.leases import Stopped, given_lease
        from airflow_provider_timav.notes import note_recording
        from airflow_provider_timav.runs import TaskKey

        lease = given_lease(self.lease)
        if lease is None:
            raise ConfigurationError("lease is missing: this task belongs into a Broadcast", field="lease")
        owner, ti = lease.owner, context["ti"]

        def of(name: str, key: str = "return_value") -> Any:
            return ti.xcom_pull(task_ids=owner.task(name).task_id, key=key, map_indexes=owner.map_index)

        # Where a person has marked on_air successful, it has returned nothing, and its trigger has noted the stop.
        stopped = Stopped.noted_by(owner.task("on_air"))
        ended = of("on_air") or {"outcome": "stopped", "ended_at": stopped.ended_at and stopped.ended_at.isoformat()}
        # Where a person has marked the stop successful, it has returned nothing, and the trigger may have the file ids.
        recording = of("stop_record") or _recording(of("start_record", "claim"), stopped)
        result = {
            "file_ids": recording["file_ids"],
            "file_ids_status": recording["file_ids_status"],
            "file_name": of("start_record", "file_name"),
            "outcome": ended["outcome"],
            "started_at": of("on_air", "started_at"),
            "ended_at": ended.get("ended_at") or datetime.now(UTC).isoformat(),
            "room_id": lease.key.room_id,
            "user_id": lease.key.user_id,
            "title": lease.title,
        }
        self.log.info(
            "Broadcast of %s in room %s: %s. File ids (%s): %s.",
            lease.key.user_id,
            lease.key.room_id,
            result["outcome"],
            result["file_ids_status"],
            ", ".join(result["file_ids"]) or "none",
        )
        result = {name: value for name, value in result.items() if optional(value) is not None}
        note_recording(TaskKey.of(ti), result)
        if self.recordings is not None and result["file_ids"]:
            self._hand_on(self.recordings, lease, result, context)
        return result

    def _hand_on(self, series: AssetAlias, lease: Lease, result: dict[str, Any], context: Context) -> None:
        from airflow_provider_timav.operators.recordings import hand_on

        key = lease.key
        where: dict[str, Any] = {"room_id": key.room_id, "user_id": key.user_id, "push_data_type": key.push_data_type}
        what = {name: result[name] for name in ("file_name", "started_at", "ended_at") if name in result}
        asset = create_asset(timav_conn_id=key.timav_conn_id, **where)
        if fresh := hand_on(result["file_ids"], asset, series, where | what, context):
            self.log.info("Handed on as an event of %s: %s.", asset.uri, ", ".join(fresh))
        else:
            self.log.info("The recording has been handed on before, as an event of %s.", asset.uri)


def _recording(claim: Any, stopped: Stopped) -> dict[str, Any]:
    """Return what is known of a recording whose stop task has said nothing."""
    file_ids = list(stopped.file_ids)
    if claim in ("sent", "ours"):
        return {"file_ids": file_ids, "file_ids_status": "recovered" if file_ids else "lost"}
    return {"file_ids": [], "file_ids_status": "none"}


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
        from airflow_provider_timav.operators.reaping import reap_all

        reaping = reap_all(self._connections(self.timav_conn_ids))
        if reaping.errors:
            raise reaping.errors[0]
        return reaping.reports

    @staticmethod
    def _connections(given_ids: Sequence[str] | str | None) -> Sequence[str] | None:
        from airflow_provider_timav.arguments import texts

        found = optional(given_ids)
        return None if found is None else texts(found, "timav_conn_ids")
