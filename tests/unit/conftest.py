"""What tests of whole broadcasts share: runs of a broadcast, the reaper, a stranger's push, and no waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.leases import reaper as reaping
from airflow_provider_timav.operators import _stop as stop_module
from airflow_provider_timav.operators.broadcast import ReapBroadcastsOperator
from airflow_provider_timav.videorelay import exchange
from harness.supervisor import Run, Supervisor
from harness.task import Task


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaping, "LOOK_AGAIN_SECONDS", 0)
    monkeypatch.setattr(stop_module, "LOOK_AGAIN_SECONDS", (0.0,))
    monkeypatch.setattr("time.sleep", lambda seconds: None)


@pytest.fixture
def no_pauses(no_waiting: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have calls repeat at once, with a budget of their own."""
    pause = exchange.Exchange._pause
    at_once: Callable[..., float | None] = lambda self, error: None if pause(self, error) is None else 0.0  # noqa: E731
    monkeypatch.setattr(exchange.Exchange, "_pause", at_once)
    monkeypatch.setattr(exchange.BUDGET, "_left", 10)
    monkeypatch.setattr(stop_module, "LOOK_AGAIN_SECONDS", (0.0, 0.0))


@pytest.fixture
def show(supervisor: Supervisor, timav_emulator: Emulator) -> Callable[..., Run]:
    """Makes a run of the DAG `show`, by its id and the arguments of its `Broadcast`."""

    def make(run_id: str = "manual__1", group_id: str = "broadcast", map_index: int = -1, **arguments: Any) -> Run:
        given = {key: arguments.pop(key) for key in ("run_after",) if key in arguments}
        return Run(supervisor, arguments, run_id=run_id, group_id=group_id, map_index=map_index, **given)

    return make


@pytest.fixture
def reaper() -> Task:
    return Task(ReapBroadcastsOperator(task_id="reap"))


@pytest.fixture
def foreign_push(timav_emulator: Emulator) -> Callable[..., None]:
    """Returns what starts a push there, as another system would."""

    def start(room_id: int = 10086) -> None:
        with TimAVHook() as hook:
            hook.start_push(room_id=room_id, user_id="host_1")

    return start


@pytest.fixture
def foreign(timav_emulator: Emulator) -> Emulator:
    """Has a push and a recording running that another system has started."""
    with TimAVHook() as hook:
        hook.start_push(room_id=10086, user_id="host_1")
        hook.start_record(room_id=10086, user_id="host_1", file_name="theirs")
    timav_emulator.clear_journal()
    return timav_emulator
