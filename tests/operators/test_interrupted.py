"""A run within one process that is interrupted leaves nothing on air."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.execution_time import supervisor as supervisors
from airflow.sdk.execution_time import task_runner

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.operators import interrupted
from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator
from airflow_provider_timav.videorelay.errors import TransportError
from tests.operators.task import Task

HOST: dict[str, Any] = {"room_id": 10086, "user_id": "host_1"}


class AllInOne(supervisors.InProcessSupervisorComms):
    """The channel of `dag.test`, which ends in the same process."""

    def __init__(self) -> None:
        """Answers nothing: these tasks have no broadcast around them."""


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", AllInOne(), raising=False)
    monkeypatch.setattr(interrupted, "_ON_AIR", {})


@pytest.mark.usefixtures("in_process")
class TestWithinOneProcess:
    def test_what_was_started_is_stopped_when_the_process_ends(self, timav_emulator: Emulator) -> None:
        Task(StartPushOperator(task_id="start_push", **HOST)).execute()
        Task(StartRecordOperator(task_id="start_record", **HOST)).execute()
        interrupted._stop_all()
        assert (timav_emulator.pushes, timav_emulator.recordings) == ((), ())
        stops = [entry.operation for entry in timav_emulator.journal][2:]
        assert stops == ["stop_record", "stop_push"]  # the file ids come only with the recording's own stop

    def test_what_is_stopped_already_is_forgotten(self, timav_emulator: Emulator) -> None:
        start = Task(StartPushOperator(task_id="start_push", **HOST))
        start.execute()
        Task(
            StopPushOperator(task_id="stop_push", start_task_id="start_push", **HOST), peers={"start_push": start}
        ).execute()
        posts = len(timav_emulator.journal)
        interrupted._stop_all()
        assert len(timav_emulator.journal) == posts

    def test_what_was_refused_is_not_stopped(self, timav_emulator: Emulator) -> None:
        timav_emulator.leave(10086, "host_1")
        with pytest.raises(Exception, match="40000411"):
            Task(StartPushOperator(task_id="start_push", wait_for_user=0, **HOST)).execute()
        timav_emulator.enter(10086, "host_1")
        with TimAVHook() as hook:
            hook.start_push(**HOST)
        interrupted._stop_all()
        assert len(timav_emulator.pushes) == 1

    def test_start_that_is_interrupted_before_it_is_sent_stops_nobodys(
        self, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupts(*_: Any) -> Any:
            raise KeyboardInterrupt

        with TimAVHook() as hook:
            hook.start_push(**HOST)
        monkeypatch.setattr(StartPushOperator, "_come_to_one", interrupts)
        with pytest.raises(KeyboardInterrupt):
            Task(StartPushOperator(task_id="start_push", **HOST)).execute()
        interrupted._stop_all()
        assert len(timav_emulator.pushes) == 1

    def test_foreign_push_is_left_alone(self, timav_emulator: Emulator) -> None:
        with TimAVHook() as hook:
            hook.start_push(**HOST)
        assert Task(StartPushOperator(task_id="start_push", **HOST)).execute()["outcome"] == "adopted"
        interrupted._stop_all()
        assert len(timav_emulator.pushes) == 1

    def test_start_that_is_interrupted_itself_is_stopped(
        self, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        send = StartPushOperator.send_start

        def interrupted_after(self: Any, hook: Any, arguments: Any) -> Any:
            send(self, hook, arguments)
            raise KeyboardInterrupt

        monkeypatch.setattr(StartPushOperator, "send_start", interrupted_after)
        with pytest.raises(KeyboardInterrupt):
            Task(StartPushOperator(task_id="start_push", **HOST)).execute()
        interrupted._stop_all()
        assert timav_emulator.pushes == ()

    def test_stop_that_fails_does_not_keep_the_others(
        self, timav_emulator: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fails(seconds: float) -> bool:
            raise TransportError("not reached")

        interrupted.remember(("record", "timav_default", "1", "host", "camera"), fails)
        Task(StartPushOperator(task_id="start_push", **HOST)).execute()
        interrupted._stop_all()
        assert timav_emulator.pushes == ()
        assert "The record of host in room 1 may be on air still" in caplog.text


def test_supervised_task_leaves_it_to_others(timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupted, "_ON_AIR", {})
    Task(StartPushOperator(task_id="start_push", **HOST)).execute()
    assert interrupted._ON_AIR == {}
