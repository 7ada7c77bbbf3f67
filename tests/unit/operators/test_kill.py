"""A task that is told to end: its stream comes down within five seconds, and never before its start."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowTaskTimeout

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator, StopRecordOperator
from airflow_provider_timav.videorelay.client import Client
from airflow_provider_timav.videorelay.errors import AmbiguousOutcome, TimAVError
from harness.killing import executed, held, interrupted, told_to_end
from harness.task import Task

HOST: dict[str, Any] = {"room_id": 10086, "user_id": "host_1"}


def start_push(**arguments: Any) -> Task:
    return Task(StartPushOperator(task_id="start_push", **{**HOST, "wait_for_user": 0, **arguments}))


def operations(emulator: Emulator) -> list[str | None]:
    return [entry.operation for entry in emulator.journal if entry.executed]


def test_start_whose_answer_is_on_its_way_is_stopped_after_it(timav_emulator: Emulator) -> None:
    """The handler runs on top of the start: a stop that it sent itself would overtake it."""
    timav_emulator.fail_next(1, "start_push", delay_answer=0.5)
    task = start_push()
    with (
        told_to_end(task, executed(timav_emulator, "start_push")),
        pytest.raises(AmbiguousOutcome, match="told to end"),
    ):
        task.execute()
    assert operations(timav_emulator) == ["start_push", "stop_push"]
    assert not timav_emulator.pushes


def test_start_that_does_not_answer_is_cut_and_stopped(timav_emulator: Emulator) -> None:
    timav_emulator.fail_next(1, "start_push", delay_answer=30.0)
    task = start_push()
    with (
        told_to_end(task, executed(timav_emulator, "start_push")),
        pytest.raises(AmbiguousOutcome, match="told to end"),
    ):
        task.execute()
    assert operations(timav_emulator) == ["start_push", "stop_push"]
    assert not timav_emulator.pushes


def test_start_in_its_pause_does_not_sit_it_out(timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    timav_emulator.fail_next(3, "start_push", status=429, headers={"Retry-After": "20"})
    pauses, wait = threading.Event(), Client._wait

    def paused(self: Client, seconds: float) -> None:
        pauses.set()
        wait(self, seconds)

    monkeypatch.setattr(Client, "_wait", paused)
    task = start_push()
    with told_to_end(task, pauses.is_set), pytest.raises(AmbiguousOutcome, match="told to end"):
        task.execute()
    assert [(entry.operation, entry.executed) for entry in timav_emulator.journal] == [("start_push", False)]


def test_start_that_was_noted_is_stopped_by_the_handler(timav_emulator: Emulator) -> None:
    task = start_push()
    task.execute()
    task.operator.on_kill()
    assert operations(timav_emulator) == ["start_push", "stop_push"]
    with pytest.raises(AmbiguousOutcome, match="told to end"):  # what it has started is gone: it must not be a success
        task.operator.post_execute({})


def test_start_that_nobody_told_to_end_is_a_success(timav_emulator: Emulator) -> None:
    task = start_push()
    task.execute()
    task.operator.post_execute({})
    assert len(timav_emulator.pushes) == 1


def test_retry_after_a_kill_starts_anew(timav_emulator: Emulator) -> None:
    timav_emulator.fail_next(1, "start_push", delay_answer=0.5)
    task = start_push()
    with told_to_end(task, executed(timav_emulator, "start_push")), pytest.raises(AmbiguousOutcome):
        task.execute()
    assert task.execute()["outcome"] == "started"
    assert len(timav_emulator.pushes) == 1


def test_foreign_stream_is_left_alone(timav_emulator: Emulator) -> None:
    with TimAVHook() as hook:
        hook.start_push(**HOST)
    timav_emulator.fail_next(1, "start_push", delay_answer=0.5)
    task = start_push()
    with (
        told_to_end(task, lambda: len(timav_emulator.journal) == 2),
        pytest.raises(AmbiguousOutcome, match="told to end"),
    ):
        task.execute()
    assert len(timav_emulator.pushes) == 1


def test_task_that_has_not_begun_has_nothing_to_stop(timav_emulator: Emulator) -> None:
    for operator in (StartPushOperator, StopPushOperator, StartRecordOperator, StopRecordOperator):
        operator(task_id="task", **HOST).on_kill()
    assert timav_emulator.journal == ()


def test_execution_timeout_stops_what_it_interrupted(timav_emulator: Emulator) -> None:
    """Airflow raises in the middle of the call and then calls ``on_kill``."""
    timav_emulator.fail_next(1, "start_push", delay_answer=30.0)
    task = start_push()

    def expire(*_: Any) -> None:
        raise AirflowTaskTimeout

    with interrupted(expire, executed(timav_emulator, "start_push")), pytest.raises(AirflowTaskTimeout):
        task.execute()
    task.operator.on_kill()
    assert operations(timav_emulator) == ["start_push", "stop_push"]


def test_recording_is_ended_too(timav_emulator: Emulator) -> None:
    timav_emulator.fail_next(1, "start_record", delay_answer=0.5)
    task = Task(StartRecordOperator(task_id="start_record", **HOST, wait_for_user=0))
    with (
        told_to_end(task, executed(timav_emulator, "start_record")),
        pytest.raises(AmbiguousOutcome, match="told to end"),
    ):
        task.execute()
    assert operations(timav_emulator) == ["start_record", "stop_record"]


def test_stop_that_hangs_is_sent_once_more_and_keeps_its_ids(timav_emulator: Emulator) -> None:
    with TimAVHook() as hook:
        hook.start_record(**HOST, file_name="news")
    timav_emulator.fail_next(1, "stop_record", delay=30.0, execute=False)
    task = Task(StopRecordOperator(task_id="stop_record", **HOST))
    with told_to_end(task, held(timav_emulator)):
        result = task.execute()
    assert result["file_ids"] == timav_emulator.file_ids("news")
    assert task.execute()["file_ids_status"] == "recovered"


def test_stop_that_cannot_arrive_says_so(timav_emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    with TimAVHook() as hook:
        hook.start_push(**HOST)
    timav_emulator.fail_next(9, "stop_push", delay=30.0, execute=False)
    task = Task(StopPushOperator(task_id="stop_push", **HOST))
    with told_to_end(task, held(timav_emulator)), pytest.raises(TimAVError):
        task.execute()
    assert "could not be stopped" in caplog.text
