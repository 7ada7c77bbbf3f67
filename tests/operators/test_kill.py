"""A task that is told to end: its stream comes down within five seconds, and never before its start."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowTaskTimeout

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator, StopRecordOperator
from airflow_provider_timav.videorelay.errors import AmbiguousOutcome, TimAVError
from tests.operators.task import Task

HOST: dict[str, Any] = {"room_id": 10086, "user_id": "host_1"}


def start_push(**arguments: Any) -> Task:
    return Task(StartPushOperator(task_id="start_push", **{**HOST, "wait_for_user": 0, **arguments}))


@contextmanager
def interrupted(handler: Callable[..., None], after: float) -> Iterator[None]:
    """Run ``handler`` in the main thread, on top of whatever it does, after so many seconds."""
    before = signal.signal(signal.SIGUSR1, handler)
    timer = threading.Timer(after, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        yield
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)


@contextmanager
def told_to_end(task: Task, after: float) -> Iterator[None]:
    """Call ``on_kill`` as Airflow does: from a signal handler, while ``execute`` goes on."""
    took: list[float] = []

    def handler(*_: Any) -> None:
        began = time.monotonic()
        task.operator.on_kill()
        took.append(time.monotonic() - began)

    with interrupted(handler, after):
        yield
    assert took
    assert took[0] < 4.5


def operations(emulator: Emulator) -> list[str | None]:
    return [entry.operation for entry in emulator.journal if entry.executed]


def test_start_whose_answer_is_on_its_way_is_stopped_after_it(timav_emulator: Emulator) -> None:
    """The handler runs on top of the start: a stop that it sent itself would overtake it."""
    timav_emulator.fail_next(1, "start_push", delay_answer=1.0)
    task = start_push()
    with told_to_end(task, after=0.4), pytest.raises(AmbiguousOutcome, match="told to end"):
        task.execute()
    assert operations(timav_emulator) == ["start_push", "stop_push"]
    assert not timav_emulator.pushes


def test_start_that_does_not_answer_is_cut_and_stopped(timav_emulator: Emulator) -> None:
    timav_emulator.fail_next(1, "start_push", delay_answer=30.0)
    task = start_push()
    began = time.monotonic()
    with told_to_end(task, after=0.3), pytest.raises(AmbiguousOutcome, match="told to end"):
        task.execute()
    assert time.monotonic() - began < 0.3 + 4.5
    assert operations(timav_emulator) == ["start_push", "stop_push"]
    assert not timav_emulator.pushes


def test_start_in_its_pause_does_not_sit_it_out(timav_emulator: Emulator) -> None:
    timav_emulator.fail_next(3, "start_push", status=429, headers={"Retry-After": "20"})
    task = start_push()
    began = time.monotonic()
    with told_to_end(task, after=0.3), pytest.raises(AmbiguousOutcome, match="told to end"):
        task.execute()
    assert time.monotonic() - began < 2.0
    assert operations(timav_emulator) == []


def test_start_that_was_noted_is_stopped_by_the_handler(timav_emulator: Emulator) -> None:
    task = start_push()
    task.execute()
    task.operator.on_kill()
    assert operations(timav_emulator) == ["start_push", "stop_push"]


def test_retry_after_a_kill_starts_anew(timav_emulator: Emulator) -> None:
    timav_emulator.fail_next(1, "start_push", delay_answer=1.0)
    task = start_push()
    with told_to_end(task, after=0.4), pytest.raises(AmbiguousOutcome):
        task.execute()
    assert task.execute()["outcome"] == "started"
    assert len(timav_emulator.pushes) == 1


def test_foreign_stream_is_left_alone(timav_emulator: Emulator) -> None:
    with TimAVHook() as hook:
        hook.start_push(**HOST)
    timav_emulator.fail_next(1, "start_push", delay_answer=1.0)
    task = start_push()
    with told_to_end(task, after=0.4), pytest.raises(AmbiguousOutcome, match="told to end"):
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

    with interrupted(expire, after=0.4), pytest.raises(AirflowTaskTimeout):
        task.execute()
    task.operator.on_kill()
    assert operations(timav_emulator) == ["start_push", "stop_push"]


def test_recording_is_ended_too(timav_emulator: Emulator) -> None:
    timav_emulator.fail_next(1, "start_record", delay_answer=1.0)
    task = Task(StartRecordOperator(task_id="start_record", **HOST, wait_for_user=0))
    with told_to_end(task, after=0.4), pytest.raises(AmbiguousOutcome, match="told to end"):
        task.execute()
    assert operations(timav_emulator) == ["start_record", "stop_record"]


def test_stop_that_hangs_is_sent_once_more_and_keeps_its_ids(timav_emulator: Emulator) -> None:
    with TimAVHook() as hook:
        hook.start_record(**HOST, file_name="news")
    timav_emulator.fail_next(1, "stop_record", delay=30.0, execute=False)
    task = Task(StopRecordOperator(task_id="stop_record", **HOST))
    began = time.monotonic()
    with told_to_end(task, after=0.3):
        result = task.execute()
    assert time.monotonic() - began < 4.8
    assert result["file_ids"] == timav_emulator.file_ids("news")
    assert task.execute()["file_ids_status"] == "recovered"


def test_stop_that_cannot_arrive_says_so(timav_emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    with TimAVHook() as hook:
        hook.start_push(**HOST)
    timav_emulator.fail_next(9, "stop_push", delay=30.0, execute=False)
    task = Task(StopPushOperator(task_id="stop_push", **HOST))
    with told_to_end(task, after=0.3), pytest.raises(TimAVError):
        task.execute()
    assert "could not be stopped" in caplog.text
