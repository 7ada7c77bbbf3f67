"""A broadcast that comes too late: `reserve` skips it before anything is written or sent."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.leases import Claim, Lease, Ledger
from airflow_provider_timav.operators.broadcast import ReserveBroadcastOperator
from airflow_provider_timav.options import BroadcastOptions
from airflow_provider_timav.runs import TaskKey
from harness.ledger import Sheet
from harness.task import Store


class Run:
    """A run that was due so long ago, and its `reserve`; it began as late as that unless `began` says when."""

    def __init__(self, emulator: Emulator, due: timedelta, *, began: timedelta | None = None, **options: Any) -> None:
        self.emulator = emulator
        self.due = datetime.now(UTC) - due
        self.began = None if began is None else datetime.now(UTC) - began
        self.store = Store()
        where: dict[str, Any] = {"room_id": emulator.room_id, "user_id": emulator.user_id}
        self.reserve = ReserveBroadcastOperator(
            task_id="broadcast.reserve", options=BroadcastOptions(**where, **options)
        )

    def execute(self) -> dict[str, Any]:
        ti = SimpleNamespace(
            dag_id="show",
            run_id="scheduled__1",
            task_id="broadcast.reserve",
            map_index=-1,
            get_first_reschedule_date=lambda context: None,
        )
        dag_run = SimpleNamespace(run_after=self.due, start_date=self.began)
        context: Any = {"ti": ti, "task_state_store": self.store, "dag_run": dag_run}
        return self.reserve.execute(context)

    @property
    def posts(self) -> list[str | None]:
        """What was asked for at the service."""
        return [entry.operation for entry in self.emulator.journal]


@pytest.fixture
def sheet(monkeypatch: pytest.MonkeyPatch) -> Sheet:
    found = Sheet()
    monkeypatch.setattr(Ledger, "store", found)
    xcoms: dict[tuple[TaskKey, str], Any] = {}
    monkeypatch.setattr(TaskKey, "raw_xcom", lambda self, key: xcoms.get((self, key)))
    monkeypatch.setattr(TaskKey, "set_raw_xcom", lambda self, key, value: xcoms.update({(self, key): value}))
    return found


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("due", "options"),
    [
        pytest.param(timedelta(minutes=10, seconds=1), {}, id="more than the ten minutes of the default"),
        pytest.param(timedelta(days=400), {}, id="a backfill"),
        pytest.param(timedelta(seconds=31), {"skip_if_late": 30}, id="seconds"),
        pytest.param(2 * HOUR, {"skip_if_late": "PT1H"}, id="ISO 8601"),
    ],
)
def test_a_run_that_is_late_is_skipped(
    timav_emulator: Emulator, sheet: Sheet, due: timedelta, options: dict[str, Any]
) -> None:
    run = Run(timav_emulator, due, duration=3600, **options)
    with pytest.raises(AirflowSkipException, match=f"was due at {run.due.isoformat()}".replace("+", r"\+")):
        run.execute()
    assert (sheet.texts, set(run.store.values), run.posts) == ({}, {"timav:arrived"}, [])


@pytest.mark.parametrize(
    ("due", "options"),
    [
        pytest.param(timedelta(minutes=9), {}, id="less than the default"),
        pytest.param(2 * HOUR, {"skip_if_late": "PT3H"}, id="less than it says"),
        pytest.param(timedelta(days=400), {"skip_if_late": None}, id="never too late"),
        pytest.param(-timedelta(seconds=3), {"skip_if_late": 0}, id="a scheduler whose clock is ahead"),
    ],
)
def test_a_run_that_is_not_too_late_lasts_from_now_on(
    timav_emulator: Emulator, sheet: Sheet, due: timedelta, options: dict[str, Any]
) -> None:
    run = Run(timav_emulator, due, duration=3600, **options)
    before = datetime.now(UTC)
    end = datetime.fromisoformat(run.execute()["end"])
    assert before + HOUR <= end <= datetime.now(UTC) + HOUR
    assert run.posts == []


def test_an_end_that_has_passed_is_skipped_however_late_a_run_may_be(timav_emulator: Emulator, sheet: Sheet) -> None:
    ends_at = datetime.now(UTC) - timedelta(seconds=1)
    run = Run(timav_emulator, HOUR, ends_at=ends_at, skip_if_late=None)
    with pytest.raises(AirflowSkipException, match="the broadcast's end has passed"):
        run.execute()
    assert (sheet.texts, set(run.store.values), run.posts) == ({}, {"timav:arrived"}, [])


class TestLatenessIsJudgedOnce:
    """A run that came in time and needed tries, or a mended connection, is not late, and never skipped."""

    def failed(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """The first try: the connection is not there yet."""
        with monkeypatch.context() as patched:
            patched.delenv("AIRFLOW_CONN_TIMAV_DEFAULT")
            with pytest.raises(Exception, match="timav_default"):
                run.execute()

    def hours_pass(self, run: Run) -> None:
        """All that was, was an hour earlier."""
        run.due -= HOUR
        arrived = datetime.fromisoformat(run.store.get("timav:arrived")["at"])
        run.store.set("timav:arrived", {"at": (arrived - HOUR).isoformat()})

    def test_a_retry_of_one_that_came_in_time_goes_on_air(
        self, timav_emulator: Emulator, sheet: Sheet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = Run(timav_emulator, timedelta(minutes=9), duration=3600)
        self.failed(run, monkeypatch)
        self.hours_pass(run)
        assert run.execute()["room_id"] == timav_emulator.room_id

    def test_one_that_came_late_stays_late(
        self, timav_emulator: Emulator, sheet: Sheet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = Run(timav_emulator, timedelta(minutes=11), duration=3600)
        self.failed(run, monkeypatch)
        with pytest.raises(AirflowSkipException):
            run.execute()

    def test_one_whose_end_has_passed_over_its_tries_fails(
        self, timav_emulator: Emulator, sheet: Sheet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its viewers have waited for it: a run that says success would hide that."""
        ends_at = datetime.now(UTC) + timedelta(seconds=0.2)
        run = Run(timav_emulator, timedelta(minutes=1), ends_at=ends_at)
        self.failed(run, monkeypatch)
        time.sleep(0.3)
        with pytest.raises(AirflowFailException, match="did not go on air"):
            run.execute()
        assert run.posts == []

    @pytest.mark.parametrize("noted", ["", 7, [], {}, {"at": "noon"}, {"at": "2026-11-24T10:00:00"}], ids=str)
    def test_a_note_that_nobody_can_read_is_as_none(self, noted: Any, timav_emulator: Emulator, sheet: Sheet) -> None:
        run = Run(timav_emulator, timedelta(minutes=9), duration=3600)
        run.store.set("timav:arrived", noted)
        assert run.execute()["room_id"] == timav_emulator.room_id

    def test_work_that_comes_before_the_show_is_no_lateness(self, timav_emulator: Emulator, sheet: Sheet) -> None:
        run = Run(timav_emulator, HOUR, began=HOUR - timedelta(seconds=5), duration=3600)
        run.reserve.upstream_task_ids.add("prepare_slides")
        assert run.execute()["room_id"] == timav_emulator.room_id

    def test_run_that_began_late_is_late_whatever_it_does_first(self, timav_emulator: Emulator, sheet: Sheet) -> None:
        run = Run(timav_emulator, 2 * HOUR, began=HOUR, duration=3600)
        run.reserve.upstream_task_ids.add("prepare_slides")
        with pytest.raises(AirflowSkipException):
            run.execute()

    def test_wait_for_a_worker_is_lateness(self, timav_emulator: Emulator, sheet: Sheet) -> None:
        run = Run(timav_emulator, HOUR, began=HOUR, duration=3600)
        with pytest.raises(AirflowSkipException):
            run.execute()


class TestWithAReservation:
    """A retry, or a clear: it is the same broadcast, however late it is by now."""

    def test_one_whose_end_is_ahead_goes_on(self, timav_emulator: Emulator, sheet: Sheet) -> None:
        run = Run(timav_emulator, timedelta(minutes=5), duration=2 * 3600)
        first = run.execute()
        run.due -= HOUR
        assert run.execute() == first
        assert run.posts == []

    def test_one_whose_end_has_passed_is_cleared_up_after(self, timav_emulator: Emulator, sheet: Sheet) -> None:
        run = Run(timav_emulator, timedelta(minutes=5), duration=3600)
        lease = Lease.from_json(run.execute()["lease"])
        with run.reserve.make_hook() as hook:
            hook.start_push(room_id=lease.key.room_id, user_id=lease.key.user_id)
        Ledger(lease.key.variable).tell("push", Claim(lease.generation, "ours"))
        over = Lease(lease.key, lease.owner, lease.generation, datetime.now(UTC) - HOUR)
        Ledger(lease.key.variable).hold(over)
        run.store.set("timav:reservation", over.to_json())
        with pytest.raises(AirflowSkipException, match="a new run is a new broadcast"):
            run.execute()
        assert run.posts == ["start_push", "stop_push"]
        assert Ledger(lease.key.variable).lease() is None
        assert timav_emulator.pushes == ()
