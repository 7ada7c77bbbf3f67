"""A recording is emitted as one event, once; and if Airflow's record of events cannot be read, never twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset, AssetAlias

from airflow_provider_timav.assets import create_asset
from airflow_provider_timav.operators._recording_events import emit_recording
from harness.task import Store

ASSET, SERIES = create_asset(room_id=1, user_id="host"), AssetAlias("news")
DUE = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class Airflow:
    """What a task sees of Airflow: its events of earlier tries that have succeeded, and its own outlets."""

    store: Store | None = field(default_factory=Store)
    events: list[dict[str, Any]] = field(default_factory=list)
    emitted: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    away: bool = False

    def emit(self, *file_ids: str) -> list[str]:
        outlet = SimpleNamespace(add=self._add)
        context: Any = {
            "task_state_store": self.store,
            "outlet_events": {SERIES: outlet},
            "dag_run": SimpleNamespace(run_after=DUE),
        }
        return emit_recording(list(file_ids), ASSET, SERIES, {"room_id": 1}, context)

    def succeed(self) -> None:
        """Airflow writes what was emitted together with the task's success."""
        self.events += self.emitted
        self.emitted.clear()

    def die(self) -> None:
        """The process ends before its success: what it emitted is lost, what it noted is not."""
        self.emitted.clear()

    def _add(self, asset: Asset, extra: dict[str, Any]) -> None:
        assert asset == ASSET
        self.emitted.append(extra)

    def ask(self, *, asset_name: str, asset_uri: str) -> Any:
        def after(when: str) -> list[Any]:
            self.asked.append((asset_name, asset_uri, when))
            if self.away:
                raise RuntimeError("500")
            return [SimpleNamespace(extra=extra) for extra in self.events]

        return SimpleNamespace(after=after)


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    made = Airflow()
    monkeypatch.setattr("airflow.sdk.execution_time.context.InletEventsAccessor", made.ask)
    return made


def test_all_files_of_a_recording_are_one_event(airflow: Airflow) -> None:
    assert airflow.emit("11", "12") == ["11", "12"]
    assert airflow.emitted == [{"file_ids": ["11", "12"], "room_id": 1}]


def test_without_a_recording_there_is_no_event(airflow: Airflow) -> None:
    assert airflow.emit() == []
    assert (airflow.emitted, airflow.asked) == ([], [])


def test_a_task_that_is_cleared_adds_none(airflow: Airflow) -> None:
    airflow.emit("11", "12")
    airflow.succeed()
    assert airflow.emit("11", "12") == []
    assert airflow.emitted == []
    assert airflow.asked == [(ASSET.name, ASSET.uri, DUE.isoformat())]


def test_a_file_that_was_found_later_is_emitted_alone(airflow: Airflow) -> None:
    airflow.emit("11")
    airflow.succeed()
    assert airflow.emit("11", "12") == ["12"]


def test_the_first_try_asks_nothing(airflow: Airflow) -> None:
    """What was never noted was never emitted."""
    airflow.emit("11")
    assert airflow.asked == []


def test_a_try_that_died_before_its_success_is_made_up_for(airflow: Airflow) -> None:
    airflow.emit("11")
    airflow.die()
    assert airflow.emit("11") == ["11"]
    airflow.succeed()
    assert airflow.emit("11") == []


def test_without_airflows_record_the_note_keeps_it_from_being_emitted_twice(
    airflow: Airflow, caplog: pytest.LogCaptureFixture
) -> None:
    airflow.emit("11")
    airflow.succeed()
    airflow.away = True
    assert airflow.emit("11", "12") == ["12"]
    assert "using the task's own note" in caplog.text


def test_without_a_store_airflow_is_always_asked(airflow: Airflow) -> None:
    airflow.store = None
    airflow.emit("11")
    airflow.succeed()
    assert airflow.emit("11") == []
    assert len(airflow.asked) == 2


def test_the_note_does_not_expire(airflow: Airflow) -> None:
    """A run may be cleared years later."""
    from airflow.sdk import NEVER_EXPIRE  # type: ignore[attr-defined]  # Airflow's stub lacks it

    airflow.emit("11")
    assert airflow.store is not None
    assert airflow.store.retentions == {"timav:handed_on": NEVER_EXPIRE}
