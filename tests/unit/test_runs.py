"""What is asked of Airflow about a task of a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_timav.runs import FINAL_STATES, NEVER_RAN, NO_STATE, TaskKey, map_index_of, states_of
from harness.supervisor import Run, Supervisor


@pytest.fixture
def run(supervisor: Supervisor) -> Run:
    return Run(supervisor)


def key(run: Run, name: str = "on_air") -> TaskKey:
    return TaskKey("show", run.run_id, f"broadcast.{name}", run.map_index)


@pytest.mark.parametrize(("map_index", "expected"), [(None, -1), (-1, -1), (0, 0), (7, 7)])
def test_task_that_is_not_mapped_has_one_map_index(map_index: Any, expected: int) -> None:
    ti = SimpleNamespace(dag_id="show", run_id="r", task_id="a", map_index=map_index)
    assert map_index_of(ti) == expected
    assert TaskKey.of(ti) == TaskKey("show", "r", "a", expected)
    assert TaskKey.of(ti, "b").task_id == "b"


def test_key_is_json() -> None:
    task = TaskKey("show", "r", "a", 2)
    assert TaskKey(**task.to_json()) == task


@pytest.mark.parametrize("map_index", [-1, 3])
def test_state(map_index: int, supervisor: Supervisor) -> None:
    run = Run(supervisor, map_index=map_index)
    Run(supervisor, map_index=5)["on_air"].state = "failed"
    task = key(run)
    assert task.state() == NO_STATE
    run["on_air"].state = "deferred"
    assert task.state() == "deferred"
    assert task.state(run["stop_push"]) == "deferred"


def test_task_that_is_gone_has_no_state(run: Run, supervisor: Supervisor) -> None:
    supervisor.tasks.clear()
    assert key(run).state() is None


def test_state_that_cannot_be_asked_is_no_answer(run: Run, supervisor: Supervisor) -> None:
    """``gone`` would be one, and a broadcast would be ended on the word of a busy server."""
    supervisor.failing = {"GetTaskStates"}
    with pytest.raises(Exception, match="API_SERVER_ERROR"):
        key(run).state()


def test_task_that_does_something_yet_is_in_no_final_state() -> None:
    busy = {"none", "scheduled", "queued", "running", "restarting", "up_for_retry", "up_for_reschedule", "deferred"}
    assert not busy & FINAL_STATES
    assert {"success", "failed", "skipped", "removed", "upstream_failed"} == FINAL_STATES
    assert not {"success", "failed", "running"} & NEVER_RAN


def test_xcoms_are_read_and_written(run: Run) -> None:
    assert key(run).raw_xcom("control") is None
    key(run).set_raw_xcom("stopped", {"file_ids": ["1"]})
    assert key(run).raw_xcom("stopped") == {"file_ids": ["1"]}
    assert run["on_air"].xcoms == {"stopped": {"file_ids": ["1"]}}


def test_xcoms_of_another_map_index_are_another_tasks(supervisor: Supervisor) -> None:
    first, second = Run(supervisor, map_index=0), Run(supervisor, map_index=1)
    key(first).set_raw_xcom("control", {"stop": True})
    assert key(second).raw_xcom("control") is None


def test_class_that_an_xcom_names_is_not_made(run: Run) -> None:
    run["on_air"].xcoms["control"] = {"__classname__": "builtins.tuple", "__version__": 1, "__data__": [1]}
    assert key(run).raw_xcom("control")["__classname__"] == "builtins.tuple"


def test_states_of_several_tasks_take_one_request(run: Run, supervisor: Supervisor) -> None:
    run["on_air"].state = "deferred"
    supervisor.tasks.pop(("show", run.run_id, "broadcast.result", -1))
    supervisor.asked.clear()
    assert states_of([key(run, name) for name in ("reserve", "on_air", "result")]) == [NO_STATE, "deferred", None]
    assert [name for name, _ in supervisor.asked] == ["GetTaskStates"]
