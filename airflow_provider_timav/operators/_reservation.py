"""The first task of a `Broadcast`: checks every option, takes the room, and fixes the end."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import conf

from airflow_provider_timav.arguments import none_if_blank
from airflow_provider_timav.operators._base import TimAVOperator, log_failure
from airflow_provider_timav.operators._reschedule import SOONEST_SECONDS, reschedule_poll, seconds_of, waiting_until
from airflow_provider_timav.options import TEMPLATED, BroadcastOptions
from airflow_provider_timav.videorelay.errors import AlreadyRunning, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_timav.hooks.timav import TimAVHook
    from airflow_provider_timav.leases import Lease, Ledger, Owner
    from airflow_provider_timav.operators._plan import Plan

__all__ = ["ReserveBroadcastOperator"]

_RESERVED = "timav:reservation"
_ARRIVED = "timav:arrived"


class ReserveBroadcastOperator(TimAVOperator):
    """Checks every option, takes the room for this run, and fixes the broadcast's end. It starts nothing.

    The setup of a `Broadcast`: the stops run only if it succeeded. Nothing is written before all options are checked.

    With ``starts_at`` it waits until the ``preroll``, takes the room then, and has the service accept certificate and
    credential: what is wrong is known before the start.

    The end and the generation, which distinguishes this broadcast from any other, are fixed once and kept over retries and
    clears. If another run holds a lease whose end is ahead, the task waits for it as long as ``wait_for_user``; an expired
    lease is taken over after its stop has been sent. A run that begins later than ``skip_if_late`` allows, or after its own
    end, is skipped.

    XComs, each also under its own key: ``lease`` (for the group's other tasks), ``timav_conn_id``, ``room_id``, ``user_id``,
    ``sdk_type``, ``push_data_type``, ``record``, ``file_name``, ``starts_at`` (empty if it begins with its run), ``end``.

    :param options: those of the `Broadcast`. Each that is templated becomes an attribute and a template field of this task.
    :raises ConfigurationError: naming the option that breaks a rule, or the field of the connection.
    :raises AlreadyRunning: if another run holds the room for longer than the wait; it names that run.
    """

    template_fields: Sequence[str] = TEMPLATED

    def __init__(self, *, options: BroadcastOptions, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in TEMPLATED:
            setattr(self, name, getattr(options, name))
        self.check_constants(TEMPLATED)

    @property
    def options(self) -> BroadcastOptions:
        """The options; once the task runs, as they have rendered."""
        return BroadcastOptions.of(vars(self))

    def check_arguments(self, arguments: Mapping[str, Any], is_final: Callable[[Any], bool]) -> None:
        """Check those options whose values are final, each against its rule, and against the others."""
        from airflow_provider_timav.operators._plan import check_options

        check_options(BroadcastOptions.of(arguments), is_final)

    @log_failure
    def execute(self, context: Context) -> dict[str, Any]:
        """Reserve the room; return what the other tasks of the group need."""
        from airflow.sdk.log import mask_secret

        from airflow_provider_timav.hooks.timav import TimAVHook
        from airflow_provider_timav.leases import Ledger, Owner, confirmation
        from airflow_provider_timav.operators._plan import Plan
        from airflow_provider_timav.operators._preflight import preflight
        from airflow_provider_timav.runs import map_index_of
        from airflow_provider_timav.videorelay.line import forms

        ti, store = context["ti"], self._store(context)
        owner = Owner(ti.dag_id, ti.run_id, self.task_id.rpartition(".")[0], map_index_of(ti))
        lease = self._reserved_before(store, owner)
        if lease is not None:
            # Before anything that may fail: what is on air must be found to be this run's.
            confirmation.renew(lease)
        arrived = self._arrival(store, context)
        options = self.options
        if (password := none_if_blank(options.player_password)) is not None:
            mask_secret([*forms(str(password))])
        plan = Plan.of(options)
        given = {name: value for name, value in options.as_dict().items() if none_if_blank(value) is not None}
        self.log_request({name: value for name, value in given.items() if name != "timav_conn_id"})
        _refuse_teams(context)
        key = plan.key if lease is None else lease.key
        with TimAVHook(key.timav_conn_id) as hook:
            hook.get_conn()  # refuses a wrong connection now, not when the broadcast is to end
            ledger = Ledger(key.variable)
            held = ledger.lease()
            if lease is None and held is not None and held.owner == owner and _store_forgets(store):
                lease = held  # the ledger remembers what such a store has forgotten
                confirmation.renew(lease)
            if lease is None:
                self._wait_until_ready(plan)
                arrived = self._arrival_for(plan, arrived, store)
                self._refuse_if_late(plan, arrived, context)
                self._take_over(ledger, hook, plan, context)
                if plan.starts_at is not None and plan.starts_at > datetime.now(UTC):
                    preflight(hook, plan.end(datetime.now(UTC)), self.log)
                lease = self._new_lease(plan, owner, arrived)
                # Before the lease: without it the lease gives no right to anything, not even to the room.
                confirmation.give(lease)
            else:
                self._refuse_if_ended(ledger, lease, hook)
                if held is None or held.generation != lease.generation:
                    self._take_over(ledger, hook, plan, context)
            if store is not None:
                store.set(_RESERVED, lease.to_json())
            if held is None or held.generation != lease.generation:
                ledger.write_lease(lease)
        return self._result(plan, lease, ledger.end_in_force(lease))

    def _result(self, plan: Plan, lease: Lease, end: datetime) -> dict[str, Any]:
        from airflow_provider_timav.operators._plan import default_file_name

        key = lease.key
        begin = "" if lease.start is None else f" from {seconds_of(lease.start)}"
        self.log.info("Room %s is reserved for %s%s until %s.", key.room_id, key.user_id, begin, seconds_of(end))
        if key.user_id != key.user_id.strip():
            self.log.warning("user_id begins or ends with a blank: %r.", key.user_id)
        return {
            "lease": lease.to_json(),
            "timav_conn_id": key.timav_conn_id,
            "room_id": key.room_id,
            "user_id": key.user_id,
            "sdk_type": key.sdk_type,
            "push_data_type": key.push_data_type,
            "record": plan.record,
            "file_name": plan.file_name or default_file_name(key.room_id, lease.owner, lease.generation),
            "starts_at": "" if lease.start is None else lease.start.isoformat(),
            "end": end.isoformat(),
        }

    def _store(self, context: Context) -> Any:
        store = context.get("task_state_store")
        if store is not None and _store_forgets(store):
            self.log.warning(
                "[state_store] clear_on_success is on: a broadcast that is cleared on air restarts its push, with other URLs."
            )
        return store

    def _arrival(self, store: Any, context: Context) -> datetime:
        """Return when this run first came for the room, however often the task has been retried or cleared since.

        If other tasks precede this one, the run came when it began: time spent in them is not lateness.
        """
        from airflow_provider_timav.reading import Fields, Unreadable

        noted = None if store is None else store.get(_ARRIVED)
        if noted is not None:
            try:
                return Fields(noted).moment("at")
            except Unreadable as wrong:
                self.log.warning("Cannot read when this run first came for the room (%s); using now.", wrong)
        # Time spent waiting for the room is not lateness, either.
        arrived = waiting_until(context, timedelta(0))
        began = getattr(context["dag_run"], "start_date", None)
        if self.upstream_task_ids and began is not None:
            arrived = min(arrived, began)
        if store is not None:
            store.set(_ARRIVED, {"at": arrived.astimezone(UTC).isoformat()})
        return arrived

    def _reserved_before(self, store: Any, owner: Owner) -> Lease | None:
        """Return the lease that an earlier try has reserved for this very broadcast."""
        from airflow_provider_timav.leases import Lease
        from airflow_provider_timav.reading import Unreadable

        noted = None if store is None else store.get(_RESERVED)
        if noted is None:
            return None
        try:
            lease = Lease.from_json(noted)
        except Unreadable as wrong:
            self.log.warning("Cannot read the reservation of an earlier try (%s); ignoring it.", wrong)
            return None
        if lease.owner != owner:
            self.log.warning("The stored reservation belongs to another broadcast; ignoring it.")
            return None
        return lease

    def _refuse_if_late(self, plan: Plan, arrived: datetime, context: Context) -> None:
        due: datetime = plan.starts_at or context["dag_run"].run_after
        late = arrived - due
        if plan.skip_if_late is not None and late > plan.skip_if_late:
            _skip(f"the broadcast was due at {due.isoformat()}, {late} ago (skip_if_late): not starting it")

    def _arrival_for(self, plan: Plan, arrived: datetime, store: Any) -> datetime:
        """Return when the run came for the room; for one that came early, when it came again at the time to take it."""
        now = datetime.now(UTC)
        if plan.ready_at is None or not arrived < plan.ready_at <= now:
            return arrived
        if store is not None:
            store.set(_ARRIVED, {"at": now.isoformat()})
        return now

    def _wait_until_ready(self, plan: Plan) -> None:
        """Give the worker back until the room is to be taken, if that is far enough away.

        :raises AirflowRescheduleException: with that time.
        """
        from airflow.sdk.exceptions import AirflowRescheduleException

        ready = plan.ready_at
        if ready is None or ready - datetime.now(UTC) < timedelta(seconds=SOONEST_SECONDS):
            return
        self.log.info("The broadcast starts at %s; the room is taken at %s.", plan.starts_at, seconds_of(ready))
        raise AirflowRescheduleException(ready)  # type: ignore[no-untyped-call]

    def _new_lease(self, plan: Plan, owner: Owner, arrived: datetime) -> Lease:
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
            _skip(f"the broadcast's end has passed ({end.isoformat()}): not starting it")
        if cut := plan.cut_by(now):
            self.log.warning(
                "max_duration (%s) ends the broadcast at %s, %s sooner than wanted: raise max_duration for a longer one.",
                *(plan.max_duration, seconds_of(end), cut),
            )
        return Lease(plan.key, owner, uuid.uuid4().hex, end, plan.title, plan.record, plan.protected, plan.starts_at)

    def _refuse_if_ended(self, ledger: Ledger, lease: Lease, hook: TimAVHook) -> None:
        """If the end of an earlier try's reservation has passed, stop what it has left on air, and skip."""
        end = ledger.end_in_force(lease)
        if end > datetime.now(UTC):
            return
        from airflow_provider_timav.leases.shutdown import stop_broadcast

        stop_broadcast(ledger, lease, hook).raise_failed()
        _skip(f"the broadcast's end has passed ({end.isoformat()}); a new run is a new broadcast")

    def _take_over(self, ledger: Ledger, hook: TimAVHook, plan: Plan, context: Context) -> None:
        """Free the room: wait for a broadcast that is on, end one that should have ended.

        A lease whose run is gone, or never confirmed it, reserves nothing: it is overwritten, and no stop is sent for it.
        """
        held, now = ledger.lease(), datetime.now(UTC)
        if held is None:
            return
        from airflow_provider_timav.leases import RELEASE_GRACE
        from airflow_provider_timav.leases.reaper import LOOK_AGAIN_SECONDS
        from airflow_provider_timav.leases.shutdown import stop_broadcast

        if not ledger.is_there(held):
            # If its run was deleted a moment ago, its trigger is about to stop the broadcast, and needs this lease to do so.
            time.sleep(LOOK_AGAIN_SECONDS)
            if ledger.lease() != held or ledger.is_there(held):
                self._take_over(ledger, hook, plan, context)
                return
            self.log.warning("The run that holds room %s (%s) is gone; taking the room.", held.key.room_id, held.owner)
            ledger.discard(held)
            return
        until = ledger.wanted_until(held, now=now)
        if until + RELEASE_GRACE <= now:
            self.log.warning("The lease of %s ended at %s; taking it over.", held.owner, until.isoformat())
        elif ledger.is_left(held):
            self.log.warning("The run of %s has finished and left its lease; taking it over.", held.owner)
        else:
            where = f"Room {held.key.room_id} is held for {held.key.user_id} by {held.owner} until {until.isoformat()}"
            last = None if plan.starts_at is None else plan.starts_at + plan.wait_for_user
            reschedule_poll(
                last or waiting_until(context, plan.wait_for_user),
                lambda again, last: self.log.info("%s. Next poll at %s, last poll by %s.", where, again, last),
            )
            raise AlreadyRunning(f"{where}: nothing was sent. Raise wait_for_user, or end that broadcast.")
        stop_broadcast(ledger, held, hook).raise_failed()


def _store_forgets(store: Any) -> bool:
    return store is None or conf.getboolean("state_store", "clear_on_success", fallback=False)


def _refuse_teams(context: Context) -> None:
    """Refuse a broadcast of a team's DAG.

    :raises ConfigurationError: if the DAG belongs to a team. Airflow 3.3 lets a triggerer read neither the Variables nor the
        connections of a team, nor write its XComs: nothing would watch such a broadcast, or end it on time.
    """
    if team := getattr(context["dag_run"], "team_name", None):
        raise ConfigurationError(
            f"this DAG belongs to the team {team!r}: a Broadcast must be in a DAG of a bundle without a team, because "
            "Airflow's triggerer has no access to what a team owns ([core] multi_team)",
            field="timav_conn_id",
        )


def _skip(why: str) -> NoReturn:
    from airflow.sdk.exceptions import AirflowSkipException

    raise AirflowSkipException(why)
