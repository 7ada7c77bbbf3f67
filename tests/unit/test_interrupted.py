"""A run within one process that is interrupted leaves nothing on air."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.execution_time import supervisor as supervisors
from airflow.sdk.execution_time import task_runner

from airflow_provider_timav import interrupted
from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.interrupted import Place
from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator
from airflow_provider_timav.videorelay.errors import TransportError
from harness.task import Task

HOST: dict[str, Any] = {"room_id": 10086, "user_id": "host_1"}
ELSEWHERE = Place("record", "timav_default", "1", "host", "camera")


class AllInOne(supervisors.InProcessSupervisorComms):
    """The channel of `dag.test`, which ends in the same process."""

    def __init__(self) -> None:
        """Answers nothing: these tasks have no broadcast around them."""


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    outside = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background of a shell begins without
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", AllInOne(), raising=False)
    monkeypatch.setattr(interrupted, "_ON_AIR", {})
    yield
    interrupted._INTERRUPTS.unwatch()
    assert signal.getsignal(signal.SIGINT) is before
    signal.signal(signal.SIGINT, outside)


def start_push() -> Task:
    task = Task(StartPushOperator(task_id="start_push", **HOST))
    task.execute()
    return task


def ctrl_c() -> None:
    """Press it in a task: Airflow takes the exception for the task's failure, and goes on."""
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("in_process")
class TestWithinOneProcess:
    def test_what_was_started_is_stopped_where_the_run_was_interrupted(
        self, timav_emulator: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        start_push()
        Task(StartRecordOperator(task_id="start_record", **HOST)).execute()
        ctrl_c()
        interrupted._stop_all()
        assert (timav_emulator.pushes, timav_emulator.recordings) == ((), ())
        stops = [entry.operation for entry in timav_emulator.journal][2:]
        assert stops == ["stop_record", "stop_push"]  # the file ids come only with the recording's own stop
        assert "The run was interrupted: the push of host_1 in room 10086 is stopped." in caplog.text

    def test_process_that_ends_as_it_should_leaves_the_push_to_its_stop(
        self, timav_emulator: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        """As `airflow tasks test`, or a DAG whose stop is in another one."""
        start_push()
        interrupted._stop_all()
        assert len(timav_emulator.pushes) == 1
        assert "interrupted" not in caplog.text

    def test_broadcast_does_not_outlive_its_process(self, caplog: pytest.LogCaptureFixture) -> None:
        """Its own stops have failed: nobody comes after."""
        stopped: list[float] = []
        place = Place("push", "timav_default", "1", "host", "camera", of_broadcast=True)

        def stop(seconds: float) -> bool:
            stopped.append(seconds)
            return True

        interrupted.remember(place, stop)
        interrupted._stop_all()
        assert len(stopped) == 1
        assert "The process ends before its broadcast: the push of host in room 1 is stopped." in caplog.text

    def test_exception_that_ends_the_process_is_an_interrupt_as_well(
        self, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where the run is in another thread, no handler can be set."""
        thread = threading.Thread(target=start_push)
        thread.start()
        thread.join()
        monkeypatch.setattr("sys.last_value", KeyboardInterrupt(), raising=False)
        interrupted._stop_all()
        assert timav_emulator.pushes == ()

    def test_interrupt_goes_on_to_the_handler_before(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[int] = []
        before = signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
        try:
            interrupted.remember(ELSEWHERE, lambda _: True)
            signal.raise_signal(signal.SIGINT)
            assert (seen, interrupted._INTERRUPTS.seen) == ([signal.SIGINT], True)
            interrupted.forget(ELSEWHERE)
        finally:
            signal.signal(signal.SIGINT, before)

    def test_handler_that_came_after_is_left_in_place(self) -> None:
        """And one that hands on to ours is not called by it in turn."""
        before = signal.getsignal(signal.SIGINT)
        interrupted.remember(ELSEWHERE, lambda _: True)
        ours: Any = signal.getsignal(signal.SIGINT)

        def others(number: int, frame: Any) -> None:
            ours(number, frame)

        signal.signal(signal.SIGINT, others)
        try:
            interrupted.remember(ELSEWHERE, lambda _: True)
            ctrl_c()
            interrupted.forget(ELSEWHERE)
            assert signal.getsignal(signal.SIGINT) is others
        finally:
            signal.signal(signal.SIGINT, before)

    @pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
    def test_interrupt_that_python_does_not_see_stays_unseen(self, handler: signal.Handlers) -> None:
        before = signal.signal(signal.SIGINT, handler)
        try:
            interrupted.remember(ELSEWHERE, lambda _: True)
            assert signal.getsignal(signal.SIGINT) is handler
        finally:
            signal.signal(signal.SIGINT, before)

    def test_interrupt_of_a_run_before_does_not_count(self, timav_emulator: Emulator) -> None:
        """As in a notebook, where one process has many."""
        interrupted.remember(ELSEWHERE, lambda _: True)
        ctrl_c()
        interrupted.forget(ELSEWHERE)
        start_push()
        interrupted._stop_all()
        assert len(timav_emulator.pushes) == 1

    def test_what_is_stopped_already_is_forgotten(self, timav_emulator: Emulator) -> None:
        start = start_push()
        ctrl_c()
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
        ctrl_c()
        interrupted._stop_all()
        assert len(timav_emulator.pushes) == 1

    def test_start_that_is_interrupted_before_it_is_sent_stops_nobodys(
        self, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupts(*_: Any) -> Any:
            signal.raise_signal(signal.SIGINT)

        with TimAVHook() as hook:
            hook.start_push(**HOST)
        monkeypatch.setattr(StartPushOperator, "_decide", interrupts)
        with pytest.raises(KeyboardInterrupt):
            start_push()
        interrupted._stop_all()
        assert len(timav_emulator.pushes) == 1

    def test_foreign_push_is_left_alone(self, timav_emulator: Emulator) -> None:
        with TimAVHook() as hook:
            hook.start_push(**HOST)
        assert start_push().xcoms["outcome"] == "adopted"
        ctrl_c()
        interrupted._stop_all()
        assert len(timav_emulator.pushes) == 1

    def test_start_that_is_interrupted_itself_is_stopped(
        self, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        send = StartPushOperator.send_start

        def interrupted_after(self: Any, hook: Any, checked: Any) -> Any:
            send(self, hook, checked)
            signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(StartPushOperator, "send_start", interrupted_after)
        with pytest.raises(KeyboardInterrupt):
            start_push()
        interrupted._stop_all()
        assert timav_emulator.pushes == ()

    def test_stop_that_fails_does_not_keep_the_others(
        self, timav_emulator: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fails(seconds: float) -> bool:
            raise TransportError("not reached")

        interrupted.remember(ELSEWHERE, fails)
        start_push()
        ctrl_c()
        interrupted._stop_all()
        assert timav_emulator.pushes == ()
        assert "The record of host in room 1 may still be on air" in caplog.text


def test_lease_makes_it_a_broadcasts(timav_emulator: Emulator) -> None:
    """The stops have the same place, with a lease and without."""
    own = StartPushOperator(task_id="own", **HOST)
    leased = StartPushOperator(task_id="leased", **HOST, lease={"room_id": 10086})
    places = [operator.place({**HOST, "push_data_type": "camera"}) for operator in (own, leased)]
    assert [place.of_broadcast for place in places] == [False, True]
    assert places[0] == places[1]


def test_supervised_task_leaves_it_to_others(timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(interrupted, "_ON_AIR", {})
    start_push()
    assert interrupted._ON_AIR == {}
    assert signal.getsignal(signal.SIGINT) is before
