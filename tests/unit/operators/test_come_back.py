"""`on_air` comes back by itself where no trigger has ended the broadcast: no capacity, a queue that no triggerer serves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason
from airflow.sdk.exceptions import TaskDeferralError, TaskDeferred

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.leases import Claim, Watch
from airflow_provider_timav.operators import _stop as stop_module
from harness.supervisor import Run, Supervisor, triggered

LATE = {"error": TriggerFailureReason.TRIGGER_TIMEOUT}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop_module, "LOOK_AGAIN_SECONDS", (0.0,))


@pytest.fixture
def run(supervisor: Supervisor, timav_emulator: Emulator) -> Run:
    """On air, and past its end by fifteen seconds."""
    run = Run(supervisor)
    run.start()
    run.on_air()
    past(run)
    return run


def past(run: Run, seconds: float = 15) -> None:
    end = datetime.now(UTC) - timedelta(seconds=seconds)
    run.end_at(end)
    run["on_air"].xcoms["control"] = {"end": end.isoformat()}


def come_back(run: Run, next_kwargs: Any = LATE) -> Any:
    """What Airflow calls once the deferral's time is over."""
    task = run["on_air"]
    operator: Any = task._rendered()
    return task._returned(operator.resume_execution(TRIGGER_FAIL_REPR, next_kwargs, task._context()))


def test_show_is_ended_from_the_worker(run: Run, timav_emulator: Emulator) -> None:
    result = come_back(run)
    assert result["outcome"] == "deadline"
    assert (timav_emulator.pushes, timav_emulator.recordings) == ((), ())


def test_show_that_a_person_has_told_to_stop_is_stopped(run: Run, timav_emulator: Emulator) -> None:
    run["on_air"].xcoms["control"] = {"stop": True}
    assert come_back(run)["outcome"] == "stopped"
    assert (timav_emulator.pushes, timav_emulator.recordings) == ((), ())


def test_control_that_nobody_can_read_changes_nothing(run: Run, timav_emulator: Emulator) -> None:
    run["on_air"].xcoms["control"] = {"stop": "at once"}
    assert come_back(run)["outcome"] == "deadline"
    assert timav_emulator.pushes == ()


def test_file_ids_reach_the_result(run: Run, timav_emulator: Emulator) -> None:
    come_back(run)
    ids = timav_emulator.file_ids(run["start_record"].xcoms["file_name"])
    assert run["on_air"].xcoms["stopped"]["file_ids"] == ids
    assert run.execute("stop_record")["file_ids"] == ids
    assert run.execute("stop_push")["outcome"] == "already_stopped"
    result = run.execute("result")
    assert (result["file_ids"], result["file_ids_status"], result["outcome"]) == (ids, "recovered", "deadline")


def test_file_ids_that_a_trigger_noted_before_it_died_are_kept(run: Run, timav_emulator: Emulator) -> None:
    with TimAVHook() as hook:
        ids = list(hook.stop_record(room_id=10086, user_id="host_1").file_ids)
    run["on_air"].xcoms["stopped"] = {"file_ids": ids}
    come_back(run)
    assert run.execute("stop_record")["file_ids"] == ids


@pytest.mark.parametrize("how", ["control", "ledger"])
def test_moved_end_is_handed_to_a_trigger_again(how: str, run: Run, timav_emulator: Emulator) -> None:
    later = datetime.now(UTC) + timedelta(minutes=5)
    if how == "control":
        run["on_air"].xcoms["control"] = {"end": later.isoformat()}
    else:
        run["on_air"].xcoms.pop("control")
        run.ledger.write_watch(Watch(run.lease.generation, later))
    with pytest.raises(TaskDeferred) as deferred:
        come_back(run)
    assert datetime.fromisoformat(triggered(deferred.value).end) == later
    assert isinstance(deferred.value.timeout, timedelta)
    assert timedelta(minutes=5) < deferred.value.timeout < timedelta(minutes=6)
    assert len(timav_emulator.pushes) == 1


@pytest.mark.parametrize(("verdict", "told"), [("LIVE", False), ("STALLED", True), ("ENDED", True)])
def test_stall_is_told_of_once_over_a_moved_end(verdict: str, told: bool, run: Run) -> None:
    later = datetime.now(UTC) + timedelta(minutes=5)
    run["on_air"].xcoms["control"] = {"end": later.isoformat()}
    run.ledger.write_watch(Watch(run.lease.generation, later, {"verdict": verdict}))
    with pytest.raises(TaskDeferred) as deferred:
        come_back(run)
    assert triggered(deferred.value).told is told


def test_show_that_the_trigger_has_ended_meanwhile_is_not_stopped_twice(run: Run, timav_emulator: Emulator) -> None:
    for kind in ("push", "record"):
        run.ledger.write_claim(kind, Claim(run.lease.generation, "stopped"))
    run.ledger.release(run.lease.generation)
    timav_emulator.clear_journal()
    assert come_back(run)["outcome"] == "deadline"
    assert timav_emulator.journal == ()


def test_next_show_in_the_room_is_left_alone(run: Run, supervisor: Supervisor, timav_emulator: Emulator) -> None:
    past(run, seconds=60)
    second = Run(supervisor, run_id="second")
    second.start()
    come_back(run)
    assert len(timav_emulator.pushes) == 1


def test_stop_that_fails_is_left_to_the_stops(run: Run, timav_emulator: Emulator) -> None:
    with timav_emulator.unreachable():
        assert come_back(run)["outcome"] == "deadline"
    assert run.execute("stop_push")["outcome"] == "stopped"
    assert run.execute("stop_record")["file_ids_status"] == "complete"


def test_trigger_that_has_failed_is_a_failure(run: Run) -> None:
    """A retry makes another one."""
    with pytest.raises(TaskDeferralError):
        come_back(run, {"error": TriggerFailureReason.TRIGGER_FAILURE})


def test_event_of_the_trigger_is_taken_as_ever(run: Run) -> None:
    event = {"status": "deadline", "ended_at": datetime.now(UTC).isoformat(), "verdict": "LIVE"}
    task = run["on_air"]
    operator: Any = task._rendered()
    result = operator.resume_execution("execute_complete", {"event": event}, task._context())
    assert (result["outcome"], result["verdict"]) == ("deadline", "LIVE")


def test_verdict_is_the_last_that_was_noted(run: Run) -> None:
    run.ledger.write_watch(Watch(run.lease.generation, stream={"verdict": "STALLED"}))
    assert come_back(run)["verdict"] == "STALLED"
