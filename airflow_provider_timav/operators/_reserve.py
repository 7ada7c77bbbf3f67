"""The first task of a `Broadcast`: checks everything, takes the room, and fixes the end."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import conf

from airflow_provider_timav.arguments import optional
from airflow_provider_timav.operators._base import TimAVOperator, log_failure
from airflow_provider_timav.operators._reschedule import reschedule_poll, seconds_of, waiting_until
from airflow_provider_timav.videorelay.errors import AlreadyRunning, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow.sdk import Context

    from airflow_provider_timav.hooks.timav import TimAVHook
    from airflow_provider_timav.leases import Lease, Ledger, Owner
    from airflow_provider_timav.operators._plan import Plan

__all__ = ["ReserveBroadcastOperator"]

_NOTED = "timav:reservation"
_ARRIVED = "timav:arrived"


class ReserveBroadcastOperator(TimAVOperator):
    """Checks everything, takes the room for this run, and fixes the broadcast's end. It sends nothing that would need a stop.

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
        from airflow_provider_timav.operators._plan import check_options

        check_options(arguments, is_settled)

    @log_failure
    def execute(self, context: Context) -> dict[str, Any]:
        """Reserve; return what the other tasks of the group need."""
        from airflow.sdk.log import mask_secret

        from airflow_provider_timav.hooks.timav import TimAVHook
        from airflow_provider_timav.leases import Ledger, Owner, confirmation
        from airflow_provider_timav.operators._plan import Plan, default_file_name
        from airflow_provider_timav.runs import map_index_of
        from airflow_provider_timav.videorelay.line import forms

        ti, store = context["ti"], self._store(context)
        owner = Owner(ti.dag_id, ti.run_id, self.task_id.rpartition(".")[0], map_index_of(ti))
        lease = self._noted(store, owner)
        if lease is not None:
            # First of all: whatever fails here, what is on air must be found to be this run's.
            confirmation.renew(lease)
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
            hook.get_conn()  # a bad connection is refused here, and not when the broadcast is to end
            ledger = Ledger(key.variable)
            held = ledger.lease()
            if lease is None and held is not None and held.owner == owner and _store_forgets(store):
                lease = held  # where the store forgets what has succeeded, the ledger does not
                confirmation.renew(lease)
            if lease is None:
                self._refuse_if_late(plan, arrived, context)
                self._take_over(ledger, hook, plan, context)
                lease = self._lease(plan, owner, arrived)
                # Before the lease: without it the lease gives no right to anything, not even to the room.
                confirmation.give(lease)
            else:
                self._go_on(ledger, lease, hook)
                if held is None or held.generation != lease.generation:
                    self._take_over(ledger, hook, plan, context)
            if store is not None:
                store.set(_NOTED, lease.to_json())
            if held is None or held.generation != lease.generation:
                ledger.write_lease(lease)
        end = ledger.end_in_force(lease)
        self.log.info("Room %s is reserved for %s until %s.", lease.key.room_id, lease.key.user_id, seconds_of(end))
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
            _skip(f"the broadcast was due at {due.isoformat()}, {late} ago: it is not started any more")

    def _lease(self, plan: Plan, owner: Owner, arrived: datetime) -> Lease:
        from airflow.sdk.exceptions import AirflowFailException

        from airflow_provider_timav.leases import Lease

        now = datetime.now(UTC)
        end = plan.end(now)
        if end <= now and end > arrived:
            raise AirflowFailException(
                f"the broadcast's end has passed ({end.isoformat()}) before the room could be reserved: it did not go on air. "
                "The log of the earlier tries says why."
            )
        if end <= now:
            _skip(f"the broadcast's end has passed ({end.isoformat()}): it is not started any more")
        if cut := plan.cut_by(now):
            self.log.warning(
                "max_duration (%s) ends the broadcast at %s, %s sooner than wanted: raise max_duration for a longer one.",
                *(plan.max_duration, seconds_of(end), cut),
            )
        return Lease(plan.key, owner, uuid.uuid4().hex, end, plan.title, plan.record, plan.protected)

    def _go_on(self, ledger: Ledger, lease: Lease, hook: TimAVHook) -> None:
        """Go on with a reservation of an earlier try; one whose end has passed is only cleared up after."""
        end = ledger.end_in_force(lease)
        if end > datetime.now(UTC):
            return
        from airflow_provider_timav.leases.shutdown import stop_broadcast

        stop_broadcast(ledger, lease, hook).raise_failed()
        _skip(f"the broadcast's end has passed ({end.isoformat()}); a new run is a new broadcast")

    def _take_over(self, ledger: Ledger, hook: TimAVHook, plan: Plan, context: Context) -> None:
        """See to it that nobody else holds the room: wait for one whose broadcast is on, end one that should be over.

        A lease whose run is gone, or has never had it, holds nothing: it is overwritten, and no stop is sent on its word.
        """
        held, now = ledger.lease(), datetime.now(UTC)
        if held is None:
            return
        from airflow_provider_timav.leases import RELEASE_GRACE
        from airflow_provider_timav.leases.reaper import LOOK_AGAIN_SECONDS
        from airflow_provider_timav.leases.shutdown import stop_broadcast

        if not ledger.is_there(held):
            # Where its run was deleted a moment ago, its trigger is about to stop the broadcast, on the word of this lease.
            time.sleep(LOOK_AGAIN_SECONDS)
            if ledger.lease() != held or ledger.is_there(held):
                self._take_over(ledger, hook, plan, context)
                return
            self.log.warning(
                "The run that holds room %s (%s) is gone: its place is taken.", held.key.room_id, held.owner
            )
            ledger.discard(held)
            return
        until = ledger.wanted_until(held, now=now)
        if until + RELEASE_GRACE <= now:
            self.log.warning("The lease of %s is over since %s and is taken over.", held.owner, until.isoformat())
        elif ledger.is_left(held):
            self.log.warning("The run of %s is over and has left its lease: it is taken over.", held.owner)
        else:
            where = f"Room {held.key.room_id} is held for {held.key.user_id} by {held.owner} until {until.isoformat()}"
            reschedule_poll(
                waiting_until(context, plan.wait_for_user),
                lambda again, last: self.log.info("%s. Next poll at %s, last poll by %s.", where, again, last),
            )
            raise AlreadyRunning(f"{where}: nothing was sent. Raise wait_for_user, or end that broadcast.")
        stop_broadcast(ledger, held, hook).raise_failed()


def _store_forgets(store: Any) -> bool:
    return store is None or conf.getboolean("state_store", "clear_on_success", fallback=False)


def _refuse_teams(context: Context) -> None:
    """Refuse a broadcast of a team's DAG.

    :raises ConfigurationError: if the DAG belongs to a team. Airflow 3.3 lets a triggerer read neither the Variables nor the
        connections of a team, nor write its XComs: such a broadcast would neither be watched nor end on time.
    """
    if team := getattr(context["dag_run"], "team_name", None):
        raise ConfigurationError(
            f"this DAG belongs to the team {team!r}: a Broadcast must be in a DAG of a bundle without a team, for Airflow's "
            "triggerer has no access to what a team owns ([core] multi_team)",
            field="timav_conn_id",
        )


def _skip(why: str) -> NoReturn:
    from airflow.sdk.exceptions import AirflowSkipException

    raise AirflowSkipException(why)
