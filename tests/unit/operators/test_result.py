"""`result`: what a broadcast hands on to the tasks that follow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.operators.broadcast import BroadcastResultOperator
from airflow_provider_timav.videorelay.errors import (
    ConfigurationError,
)
from harness.supervisor import Run
from harness.task import Task

pytestmark = pytest.mark.usefixtures("no_pauses")


class TestResult:
    def ended(self, run: Run, outcome: str = "deadline") -> dict[str, Any]:
        run.start()
        run.on_air()
        run["on_air"].resume({"status": outcome, "ended_at": "2026-11-24T21:00:00+00:00", "verdict": "LIVE"})
        run.execute("stop_push", "stop_record")
        result: dict[str, Any] = run.execute("result")
        return result

    def test_everything_that_is_known(self, show: Callable[..., Run], timav_emulator: Emulator) -> None:
        run = show(channel_name="Evening show")
        result = self.ended(run)
        name = run["start_record"].xcoms["file_name"]
        assert result == {
            "file_ids": timav_emulator.file_ids(name),
            "file_ids_status": "complete",
            "file_name": name,
            "outcome": "deadline",
            "started_at": run["on_air"].xcoms["started_at"],
            "ended_at": "2026-11-24T21:00:00+00:00",
            "room_id": 10086,
            "user_id": "host_1",
            "title": "Evening show",
        }

    def test_without_a_recording_there_is_no_file_name(self, show: Callable[..., Run]) -> None:
        result = self.ended(show(record=False), "stream_ended")
        assert (result["file_ids"], result["file_ids_status"]) == ([], "none")
        assert "file_name" not in result
        assert result["outcome"] == "stream_ended"

    def test_task_that_a_person_has_marked_was_stopped_by_a_person(self, show: Callable[..., Run]) -> None:
        run = show()
        run.start()
        run.on_air()
        run["on_air"].xcoms["stopped"] = {"file_ids": [], "ended_at": "2026-11-24T20:59:00+00:00"}
        run.execute("stop_push", "stop_record")
        result = run.execute("result")
        assert (result["outcome"], result["ended_at"]) == ("stopped", "2026-11-24T20:59:00+00:00")

    def test_without_any_note_it_has_ended_by_now(self, show: Callable[..., Run]) -> None:
        run = show()
        run.start()
        run.on_air()
        before = datetime.now(UTC)
        run.execute("stop_push", "stop_record")
        assert datetime.fromisoformat(run.execute("result")["ended_at"]) >= before

    @pytest.mark.parametrize(("stopped", "status"), [({"file_ids": ["77"]}, "recovered"), ({}, "lost"), (None, "lost")])
    def test_stop_that_a_person_has_marked_says_nothing_and_others_may(
        self, stopped: Any, status: str, show: Callable[..., Run]
    ) -> None:
        run = show()
        run.start()
        run.on_air()
        run["on_air"].xcoms["stopped"] = stopped
        result = run.execute("result")
        assert (result["file_ids"], result["file_ids_status"]) == (["77"] if status == "recovered" else [], status)

    def test_mapped_broadcast_has_its_own(self, show: Callable[..., Run], timav_emulator: Emulator) -> None:
        runs = [show(map_index=index, push_data_type=kind) for index, kind in enumerate(("camera", "screen"))]
        results = [self.ended(run) for run in runs]
        assert [len(result["file_ids"]) for result in results] == [1, 1]
        assert results[0]["file_ids"] != results[1]["file_ids"]

    def test_without_a_lease_it_is_no_broadcast(self) -> None:
        with pytest.raises(ConfigurationError, match="lease"):
            Task(BroadcastResultOperator(task_id="result", lease="None")).execute()
