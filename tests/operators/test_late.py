"""A broadcast that comes too late: `reserve` skips it before anything is written or sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.leases import Claim, Lease, Ledger
from airflow_provider_timav.operators.broadcast import ReserveBroadcastOperator
from airflow_provider_timav.runs import TaskKey
from tests.ledger import Sheet
from tests.operators.task import Store


class Run:
    """A run that was due so long ago, and its `reserve`."""

    def __init__(self, emulator: Emulator, due: timedelta, **options: Any) -> None:
        self.emulator = emulator
        self.due = datetime.now(UTC) - due
        self.store = Store()
        where: dict[str, Any] = {"room_id": emulator.room_id, "user_id": emulator.user_id}
        self.reserve = ReserveBroadcastOperator(task_id="broadcast.reserve", **where, **options)

    def execute(self) -> dict[str, Any]:
        ti = SimpleNamespace(
            dag_id="show",
            run_id="scheduled__1",
            task_id="broadcast.reserve",
            map_index=-1,
            get_first_reschedule_date=lambda context: None,
        )
        context: Any = {"ti": ti, "task_state_store": self.store, "dag_run": SimpleNamespace(run_after=self.due)}
        return self.reserve.execute(context)

    @property
    def posts(self) -> list[str | None]:
        """What was asked for at the service."""
        return [entry.operation for entry in self.emulator.journal]


@pytest.fixture
def sheet(monkeypatch: pytest.MonkeyPatch) -> Sheet:
    found = Sheet()
    monkeypatch.setattr(Ledger, "store", found)
    monkeypatch.setattr(TaskKey, "xcom", lambda self, key: None)
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
    assert (sheet.texts, run.store.values, run.posts) == ({}, {}, [])


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
    with pytest.raises(AirflowSkipException, match="the show's end has passed"):
        run.execute()
    assert (sheet.texts, run.store.values, run.posts) == ({}, {}, [])


class TestWithAReservation:
    """A retry, or a clear: it is the same show, however late it is by now."""

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
        with pytest.raises(AirflowSkipException, match="a new run is a new show"):
            run.execute()
        assert run.posts == ["start_push", "stop_push"]
        assert Ledger(lease.key.variable).lease() is None
        assert timav_emulator.pushes == ()
