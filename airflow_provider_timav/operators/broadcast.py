"""The tasks of a `Broadcast` that are not a single operation, and the one that clears up after all broadcasts."""

from __future__ import annotations

import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import AssetAlias, BaseOperator, conf

from airflow_provider_timav.arguments import given, optional, time_span
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
from airflow_provider_timav.operators.recordings import hand_on
from airflow_provider_timav.operators.waiting import ask_again, waiting_until
from airflow_provider_timav.runs import FINAL_STATES, map_index_of
from airflow_provider_timav.videorelay.errors import AlreadyRunning, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.sdk import Context

    from airflow_provider_timav.hooks.timav import TimAVHook
    from airflow_provider_timav.leases import Kind, Lease, Ledger
    from airflow_provider_timav.operators.reservation import Plan

__all__ = ["BroadcastResultOperator", "OnAirOperator", "ReapBroadcastsOperator", "ReserveBroadcastOperator"]

_RESERVATION = "timav:reservation"
_LOOK_AGAIN_SECONDS = 10.0
_KEEP_NOTES = timedelta(days=1)
"""How long the reaper keeps what a stop has noted of a broadcast whose own tasks have not picked it up."""


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
        push_options: dict[str, Any] | None = None,
        record: bool | str = True,
        file_name: str | None = None,
        record_options: dict[str, Any] | None = None,
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

    @said_on_failure
    def execute(self, context: Context) -> dict[str, Any]:
        """Reserve; return what the other tasks of the group need."""
        from airflow.sdk.log import mask_secret

        from airflow_provider_timav.hooks.timav import TimAVHook
        from airflow_provider_timav.leases import Lease, Ledger, Owner
        from airflow_provider_timav.operators.reservation import Plan, default_file_name

        if isinstance(self.player_password, str):
            mask_secret(self.player_password)
        plan = Plan.of({name: getattr(self, name) for name in ("timav_conn_id", *self._fields)})
        self.log_request(
            {name: getattr(self, name) for name in self._fields if optional(getattr(self, name)) is not None}
        )
        ti, store = context["ti"], self._store(context)
        owner = Owner(ti.dag_id, ti.run_id, self.task_id.rpartition(".")[0], map_index_of(ti))
        noted = store.get(_RESERVATION) if store is not None else None
        lease = Lease.from_json(noted) if noted is not None else None
        key = plan.key if lease is None else lease.key
        with TimAVHook(key.timav_conn_id) as hook:
            hook.get_conn()  # a bad connection is refused here, and not when the show is to end
            ledger = Ledger(key.variable)
            held = ledger.lease()
            if lease is None and held is not None and held.owner == owner:
                lease = held  # where the store forgets what has succeeded, the ledger does not
            if lease is None:
                self._refuse_if_late(plan, context)
                self._take_over(ledger, hook, plan, context)
                lease = self._lease(plan, owner)
            else:
                self._go_on(ledger, lease, hook)
                if held is None or held.generation != lease.generation:
                    self._take_over(ledger, hook, plan, context)
            if store is not None:
                store.set(_RESERVATION, lease.to_json())
            if held is None or held.generation != lease.generation:
                ledger.hold(lease)
        end = ledger.end(lease)
        self.log.info("Room %s is reserved for %s until %s.", lease.key.room_id, lease.key.user_id, _seconds(end))
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
        if conf.getboolean("state_store", "clear_on_success", fallback=False):
            self.log.warning(
                "[state_store] clear_on_success is on: a broadcast that is cleared on air starts its push anew, elsewhere."
            )
        return context.get("task_state_store")

    def _refuse_if_late(self, plan: Plan, context: Context) -> None:
        due: datetime = context["dag_run"].run_after
        # Who has waited for the room was here in time.
        late = waiting_until(context, timedelta(0)) - due
        if plan.skip_if_late is not None and late > plan.skip_if_late:
            _skip(f"the show was due at {due.isoformat()}, {late} ago: it is not started any more")

    def _lease(self, plan: Plan, owner: Any) -> Lease:
        from airflow_provider_timav.leases import Lease

        now = datetime.now(UTC)
        end = plan.end(now)
        if end <= now:
            _skip(f"the show's end has passed ({end.isoformat()}): it is not started any more")
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
        """See to it that nobody else holds the room: wait for one whose show is on, end one that should be over."""
        held, now = ledger.lease(), datetime.now(UTC)
        if held is None:
            return
        from airflow_provider_timav.leases import GRACE
        from airflow_provider_timav.operators.ending import end

        until = ledger.wanted_until(held, now=now)
        if until + GRACE > now:
            where = f"Room {held.key.room_id} is held for {held.key.user_id} by {held.owner} until {until.isoformat()}"
            ask_again(
                waiting_until(context, plan.wait_for_user),
                lambda again, last: self.log.info(
                    "%s. Asking again at %s, for the last time by %s.", where, again, last
                ),
            )
            raise AlreadyRunning(f"{where}: nothing was sent. Raise wait_for_user, or end that broadcast.")
        self.log.warning("The lease of %s is over since %s and is taken over.", held.owner, until.isoformat())
        end(ledger, held, hook).raise_failed()


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

        if self._retries_raised:
            self.log.info(
                "retries=0 is raised to 1: Airflow can take a task that comes back from its trigger for a lost one."
            )
        lease, ti = self._held(), context["ti"]
        ledger = Ledger(lease.key.variable)
        push = ledger.claim("push", lease.generation)
        hls_url = self._of(context, lease, "start_push", "hls_url")
        ti.xcom_push(key=CONTROL, value={"end": ledger.end(lease).isoformat()})
        if push is not None and push.on_air:
            ti.xcom_push(key="started_at", value=push.at.isoformat())
        if hls_url:
            ti.xcom_push(key="hls_url", value=hls_url)  # from which Airflow makes the button once the task has deferred
            ti.xcom_push(key=WatchLiveLink().xcom_key, value=live_page(hls_url, broadcast=True))
        else:
            self.log.warning("There is no HLS address to look at: this task keeps time and control only.")
        self.log.info("%s: on air until %s.", self.subject(), _seconds(ledger.end(lease)))
        self._hand_over(context, told=False)

    def _hand_over(self, context: Context, *, told: bool) -> NoReturn:
        from airflow_provider_timav.leases import Ledger
        from airflow_provider_timav.runs import TaskKey
        from airflow_provider_timav.triggers.on_air import OnAirTrigger

        lease = self._held()
        ledger = Ledger(lease.key.variable)
        self.defer(
            trigger=OnAirTrigger(
                lease=lease.to_json(),
                end=ledger.end(lease).isoformat(),
                task_key=TaskKey.of(context["ti"]).to_json(),
                stops=self._stops(context, lease, ledger),
                hls_url=self._of(context, lease, "start_push", "hls_url"),
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


class BroadcastResultOperator(BaseOperator):
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
        outlets: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        series = AssetAlias(recordings) if isinstance(recordings, str) else recordings
        emitted = [] if series is None else [series]
        super().__init__(multiple_outputs=multiple_outputs, outlets=[*(outlets or ()), *emitted], **kwargs)
        self.recordings = series
        self.lease = lease

    def pre_execute(self, context: Context) -> None:
        """Show the buttons that can be shown while the task runs."""
        show_links(self, context["ti"])

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the result."""
        from airflow_provider_timav.leases import given_lease

        lease = given_lease(self.lease)
        if lease is None:
            raise ConfigurationError("lease is missing: this task belongs into a Broadcast", field="lease")
        owner, ti = lease.owner, context["ti"]

        def of(name: str, key: str = "return_value") -> Any:
            return ti.xcom_pull(task_ids=owner.task(name).task_id, key=key, map_indexes=owner.map_index)

        # Where a person has marked on_air successful, it has returned nothing, and its trigger has noted the stop.
        ended = of("on_air") or {"outcome": "stopped", "ended_at": (of("on_air", "stopped") or {}).get("ended_at")}
        # Where a person has marked the stop successful, it has returned nothing, and the trigger may have the file ids.
        recording = of("stop_record") or _recording(of("start_record", "claim"), of("on_air", "stopped"))
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
        if self.recordings is not None and result["file_ids"]:
            self._hand_on(self.recordings, lease, result, context)
        return result

    def _hand_on(self, series: AssetAlias, lease: Lease, result: dict[str, Any], context: Context) -> None:
        key = lease.key
        where: dict[str, Any] = {"room_id": key.room_id, "user_id": key.user_id, "push_data_type": key.push_data_type}
        what = {name: result[name] for name in ("file_name", "started_at", "ended_at") if name in result}
        asset = create_asset(timav_conn_id=key.timav_conn_id, **where)
        if fresh := hand_on(result["file_ids"], asset, series, where | what, context):
            self.log.info("Handed on as an event of %s: %s.", asset.uri, ", ".join(fresh))
        else:
            self.log.info("The recording has been handed on before, as an event of %s.", asset.uri)


def _recording(claim: Any, stopped: Any) -> dict[str, Any]:
    """Return what is known of a recording whose stop task has said nothing."""
    file_ids = stopped.get("file_ids", []) if isinstance(stopped, dict) else []
    if claim in ("sent", "ours"):
        return {"file_ids": file_ids, "file_ids_status": "recovered" if file_ids else "lost"}
    return {"file_ids": [], "file_ids_status": "none"}


class ReapBroadcastsOperator(BaseOperator):
    """Stops what is on air past its end, whatever has become of the run that started it.

    For a DAG of its own that runs every minute and is never paused: it closes what nothing else can, such as a run that timed
    out while its triggerer was dead. What is still wanted is left alone: a lease is over 30 s after its end in force, or once
    ``on_air`` and the stops of its run have come to their own end and something is on air still.

    XCom ``return_value``: a list with a dict for each lease that was ended: ``room_id``, ``user_id``, ``push_data_type``,
    ``owner``, ``end``, and what came of it: ``push``, ``record`` (the outcomes of the stops that were sent), ``file_ids``.

    :raises TimAVError: what kept one of the stops from arriving, after all others were sent.
    """

    ui_color = "#d9f0ec"

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Look at every lease there is; return what was ended, and what came of it."""
        from airflow_provider_timav.leases import GRACE, ledgers
        from airflow_provider_timav.operators.ending import reap

        over: list[tuple[Ledger, Lease, datetime]] = []
        left: list[tuple[Ledger, Lease]] = []
        errors: list[Exception] = []
        for ledger in ledgers():
            try:
                lease, now = ledger.lease(), datetime.now(UTC)
                ledger.clean(before=now - _KEEP_NOTES)
                # The second question costs more, and few need it.
                if lease is not None and ledger.end(lease) + GRACE <= now:
                    end = ledger.wanted_until(lease, now=now)
                    if end + GRACE <= now:
                        over.append((ledger, lease, end))
                elif lease is not None and _is_left(ledger, lease):
                    left.append((ledger, lease))
            except Exception as error:  # whatever Airflow raises: there are others to end
                self.log.exception("The lease %s could not be looked at.", ledger.variable)
                errors.append(error)
        with ThreadPoolExecutor(max_workers=8) as threads:
            endings = list(threads.map(lambda one: reap(*one), over))
            if left:
                # Where a run was marked a moment ago, its trigger is about to stop the show.
                time.sleep(_LOOK_AGAIN_SECONDS)
                endings += [ending for ending in threads.map(lambda one: self._reap_left(*one), left) if ending]
        self.log.info("%s leases were over.", len(endings))
        errors += [error for _, error in endings if error is not None]
        if errors:
            raise errors[0]
        return [report for report, _ in endings]

    def _reap_left(self, ledger: Ledger, lease: Lease) -> tuple[dict[str, Any], Exception | None] | None:
        """End what a run has left on air, where it still does: a person may have cleared the run meanwhile."""
        from airflow_provider_timav.operators.ending import reap

        try:
            left = _is_left(ledger, lease)
        except Exception:  # whatever Airflow raises: the next run looks again
            self.log.exception("The lease %s could not be looked at.", ledger.variable)
            return None
        return reap(ledger, lease, datetime.now(UTC)) if left else None


def _is_left(ledger: Ledger, lease: Lease) -> bool:
    """Tell whether something is on air that its run has done with: before its end, nobody else would stop it."""
    from airflow_provider_timav.leases import KINDS

    claims = [ledger.claim(kind, lease.generation) for kind in KINDS]
    if not any(claim is not None and claim.on_air for claim in claims):
        return False
    return all(lease.owner.task(name).state() in FINAL_STATES for name in ("on_air", "stop_push", "stop_record"))
