"""A start outside of a broadcast that a trigger sends: what its task keeps over retries and clears."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRescheduleException, TaskDeferralError, TaskDeferred

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator
from airflow_provider_timav.triggers import start
from airflow_provider_timav.triggers.start import StartTrigger
from airflow_provider_timav.videorelay.errors import ConfigurationError, RoomNotReady
from harness.supervisor import DAG_ID, Supervisor, sent, triggered
from harness.task import Task

HOST: dict[str, Any] = {"room_id": 10086, "user_id": "host_1"}
STARTED = {"status": "started", "error": None}

pytestmark = pytest.mark.usefixtures("no_pauses")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "MIN_AGE", 0.0)


@pytest.fixture
def peers(supervisor: Supervisor, timav_emulator: Emulator) -> dict[str, Task]:
    """A push that a trigger starts, and its stop."""
    peers: dict[str, Task] = {}
    operators = [
        StartPushOperator(task_id="start", **HOST, deferrable=True, wait_for_user=0),
        StopPushOperator(task_id="stop", **HOST, start_task_id="start"),
    ]
    for operator in operators:
        peers[operator.task_id] = Task(operator, peers=peers)
        supervisor.tasks[DAG_ID, "manual__1", operator.task_id, -1] = peers[operator.task_id]
    return peers


def deferred(task: Task) -> StartTrigger:
    with pytest.raises(TaskDeferred) as raised:
        task.execute()
    trigger: StartTrigger = triggered(raised.value)
    trigger._log = logging.getLogger("test")  # type: ignore[assignment]
    return trigger


def fired(trigger: StartTrigger) -> Any:
    async def event() -> Any:
        (event,) = [event async for event in trigger.run()]
        return event.payload

    return json.loads(json.dumps(asyncio.run(asyncio.wait_for(event(), 60))))


def test_push_is_started_and_stopped(peers: dict[str, Task], timav_emulator: Emulator) -> None:
    task = peers["start"]
    assert task.resume(fired(deferred(task)))["outcome"] == "started"
    assert task.xcoms["claim"] == "ours"
    assert peers["stop"].execute()["outcome"] == "stopped"
    assert sent(timav_emulator) == ["start_push", "stop_push"]


def test_push_that_its_trigger_has_not_sent_is_not_stopped(peers: dict[str, Task], timav_emulator: Emulator) -> None:
    """Others push the same host."""
    deferred(peers["start"])
    peers["start"].state = "failed"
    with TimAVHook() as hook:
        hook.start_push(**HOST)
    assert peers["stop"].execute()["outcome"] == "never_started"
    assert len(timav_emulator.pushes) == 1


def test_push_of_a_task_that_was_cleared_before_it_resumed_is_its_own(
    peers: dict[str, Task], timav_emulator: Emulator
) -> None:
    """A clear takes the XComs, and with them what the trigger has noted."""
    task = peers["start"]
    fired(deferred(task))
    result = task.resume(fired(deferred(task)))
    assert (result["outcome"], len(timav_emulator.pushes)) == ("restarted", 1)
    assert peers["stop"].execute()["outcome"] == "stopped"


def test_push_of_others_before_the_time_is_theirs(
    supervisor: Supervisor, peers: dict[str, Task], timav_emulator: Emulator
) -> None:
    """The task is cleared before its trigger could have sent anything."""
    task = peers["start"]
    operator: Any = task.operator
    operator.starts_at = datetime.now(UTC) + timedelta(minutes=5)
    deferred(task)
    operator.starts_at = None
    with TimAVHook() as hook:
        hook.start_push(**HOST)
    assert task.resume(fired(deferred(task)))["outcome"] == "adopted"
    assert peers["stop"].execute()["outcome"] == "not_ours"


def test_failure_is_forgotten_by_the_next_try(peers: dict[str, Task], timav_emulator: Emulator) -> None:
    timav_emulator.leave(**HOST)
    task = peers["start"]
    with pytest.raises(RoomNotReady):
        task.resume(fired(deferred(task)))
    assert task.store is not None
    assert task.store.values == {}
    timav_emulator.enter(**HOST)
    with TimAVHook() as hook:
        hook.start_push(**HOST)
    assert task.resume(fired(deferred(task)))["outcome"] == "adopted"


def test_trigger_that_fails_by_itself_leaves_the_start_to_the_worker(
    peers: dict[str, Task], timav_emulator: Emulator
) -> None:
    task = peers["start"]
    deferred(task)
    operator: Any = task._rendered()

    def failed(*args: Any) -> Any:
        raise TaskDeferralError("Trigger failure")

    operator.execute_complete = failed
    assert operator.resume_execution("execute_complete", None, task._context())["outcome"] == "started"
    assert len(timav_emulator.pushes) == 1


def test_trigger_that_fails_before_its_time_does_not_put_the_host_on_air_early(
    peers: dict[str, Task], timav_emulator: Emulator
) -> None:
    """A triggerer on which the package is missing, say."""
    task = peers["start"]
    at = datetime.now(UTC) + timedelta(minutes=5)
    settings: Any = task.operator
    settings.starts_at = at
    deferred(task)
    operator: Any = task._rendered()

    def failed(*args: Any) -> Any:
        raise TaskDeferralError("Trigger failure")

    operator.execute_complete = failed
    with pytest.raises(AirflowRescheduleException) as again:
        operator.resume_execution("execute_complete", None, task._context())
    assert again.value.reschedule_date == at
    assert timav_emulator.pushes == ()


def test_recording_may_be_started_by_a_trigger_as_well(supervisor: Supervisor, timav_emulator: Emulator) -> None:
    task = Task(StartRecordOperator(task_id="record", **HOST, file_name="evening", deferrable=True))
    supervisor.tasks[DAG_ID, "manual__1", "record", -1] = task
    result = task.resume(fired(deferred(task)))
    assert (result["outcome"], result["file_name"]) == ("started", "evening")
    assert len(timav_emulator.recordings) == 1


def test_airflows_own_default_decides(peers: dict[str, Task]) -> None:
    assert StartPushOperator(task_id="push", **HOST).deferrable is False


def test_wrong_argument_is_refused_before_the_task_defers(
    supervisor: Supervisor, peers: dict[str, Task], timav_emulator: Emulator
) -> None:
    operator: Any = peers["start"].operator
    operator.starts_at = "tomorrow"
    with pytest.raises(ConfigurationError, match="starts_at"):
        peers["start"].execute()
    assert peers["start"].xcoms == {}
