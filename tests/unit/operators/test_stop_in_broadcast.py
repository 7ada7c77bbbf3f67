"""The stops of a broadcast: they stop what its claims call ours, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.leases import KINDS, Claim, Kind
from airflow_provider_timav.videorelay.errors import (
    AmbiguousOutcome,
    RecordingLost,
    TimAVError,
)
from harness.supervisor import Run, Supervisor, minutes_ago, sent

pytestmark = pytest.mark.usefixtures("no_pauses")

HOST: dict[str, Any] = {"room_id": 10086, "user_id": "host_1"}


class TestStops:
    def test_what_is_ours_is_stopped_and_the_lease_given_up(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run = show()
        run.start()
        name = run["start_record"].xcoms["file_name"]
        assert run.execute("stop_push") == {"outcome": "stopped"}
        assert supervisor.entries() == {"", "record"}
        result = run.execute("stop_record")
        assert result == {
            "outcome": "stopped",
            "file_ids": timav_emulator.file_ids(name),
            "file_ids_status": "complete",
        }
        assert supervisor.variables == {}

    @pytest.mark.parametrize("kind", KINDS)
    def test_start_that_goes_on_meanwhile_is_stopped_by_another_try(
        self, kind: Kind, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """Its request was slower than the stop's. The claim that it notes is not given up by a stop that came before it."""
        run = show()
        run.execute("reserve")
        ledger, generation = run.ledger, run.lease.generation
        ledger.write_claim(kind, Claim(generation, "sent", "start"))

        timav_emulator.on_request = lambda entry: ledger.write_claim(kind, Claim(generation, "ours", "start"))
        with pytest.raises(AmbiguousOutcome, match="another try stops it"):
            run.execute(f"stop_{kind}")
        timav_emulator.on_request = None
        with TimAVHook() as hook:
            hook.start_push(**HOST) if kind == "push" else hook.start_record(**HOST, file_name="slow")
        assert ledger.lease() is not None
        assert run.execute(f"stop_{kind}")["outcome"] == "stopped"
        assert (timav_emulator.pushes, timav_emulator.recordings) == ((), ())
        assert run.supervisor.variables == {}

    @pytest.mark.parametrize("state", [None, "upstream_failed", "skipped", "removed"])
    def test_what_never_started_is_not_stopped(
        self, state: str | None, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run = show()
        run.execute("reserve")
        run["start_push"].state = run["start_record"].state = state
        assert run.execute("stop_push") == {"outcome": "never_started"}
        assert run.execute("stop_record")["outcome"] == "never_started"
        assert (sent(timav_emulator), supervisor.variables) == ([], {})

    def test_claim_that_makes_no_sense_is_none(self, show: Callable[..., Run], supervisor: Supervisor) -> None:
        run = show()
        run.start()
        supervisor.variables[f"{run.ledger.variable}-push"] = "garbage"
        assert run.execute("stop_push") == {"outcome": "stopped"}

    def test_ledger_that_cannot_be_read_stops_no_other_stream(
        self, show: Callable[..., Run], supervisor: Supervisor, foreign: Emulator
    ) -> None:
        run = show()
        run.start()
        supervisor.failing = {"GetVariable"}
        with pytest.raises(LookupError):
            run.execute("stop_push")
        assert len(foreign.pushes) == 1

    def test_what_is_stopped_already_is_not_stopped_twice(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """By now, another system without a lease may use the room."""
        run = show()
        run.start()
        generation = run.lease.generation
        run.ledger.write_claim("push", Claim(generation, "stopped"))
        run.ledger.write_claim("record", Claim(generation, "stopped", file_ids=("77",)))
        timav_emulator.clear_journal()
        assert run.execute("stop_push") == {"outcome": "already_stopped"}
        result = run.execute("stop_record")
        assert result == {"outcome": "already_stopped", "file_ids": ["77"], "file_ids_status": "recovered"}
        assert sent(timav_emulator) == []

    def test_next_broadcasts_stream_is_left_alone(self, show: Callable[..., Run], timav_emulator: Emulator) -> None:
        first = show("first")
        first.start()
        first.end_at(minutes_ago(5))
        show("second").start()
        timav_emulator.clear_journal()
        assert first.execute("stop_push") == {"outcome": "already_stopped"}
        assert sent(timav_emulator) == []

    def test_ids_that_the_trigger_has_noted_are_found(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run = show()
        run.start()
        with TimAVHook() as hook:
            hook.stop_record(**HOST)
        run["on_air"].xcoms["stopped"] = {"file_ids": ["77"]}
        result = run.execute("stop_record")
        assert result == {"outcome": "already_stopped", "file_ids": ["77"], "file_ids_status": "recovered"}
        assert run.execute("stop_record")["file_ids"] == ["77"]

    def test_ids_without_a_note_are_lost(self, show: Callable[..., Run]) -> None:
        run = show(require_file_ids=True)
        run.start()
        with TimAVHook() as hook:
            hook.stop_record(**HOST)
        with pytest.raises(RecordingLost, match=run["start_record"].xcoms["file_name"]):
            run.execute("stop_record")

    def test_stop_that_fails_keeps_claim_and_lease_for_the_reaper(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run = show()
        run.start()
        timav_emulator.fail_next(9, "stop_push", status=503)
        with pytest.raises(TimAVError):
            run.execute("stop_push")
        run.execute("stop_record")
        assert supervisor.entries() == {"", "push"}

    def test_stop_is_done_where_its_note_fails(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run = show()
        run.start()
        supervisor.failing = {"DeleteVariable"}
        assert run.execute("stop_push") == {"outcome": "stopped"}
        assert not timav_emulator.pushes
