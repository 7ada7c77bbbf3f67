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
from harness.supervisor import Run, Supervisor
from harness.task import Task


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaping, "LOOK_AGAIN_SECONDS", 0)
    monkeypatch.setattr(stop_module, "LOOK_AGAIN_SECONDS", (0.0,))
    monkeypatch.setattr("time.sleep", lambda seconds: None)


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
    """Has somebody else push there."""

    def start(room_id: int = 10086) -> None:
        with TimAVHook() as hook:
            hook.start_push(room_id=room_id, user_id="host_1")

    return start
