"""Airflow as its SDK sees it from a task or a trigger: Variables, XComs and states, behind the supervisor's messages.

What is ours runs unchanged, down to the SDK's own calls; nothing of it is replaced.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator, XComArg
from airflow.sdk.api.datamodels._generated import XComResponse
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType, TaskDeferred
from airflow.sdk.execution_time import comms, task_runner

from airflow_provider_timav.broadcast import Broadcast
from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.leases import Claim, Kind, Lease, Ledger, is_entry, lease_of
from airflow_provider_timav.triggers.on_air import OnAirTrigger
from harness.task import Store, Task

DAG_ID = "show"
SHOW: dict[str, Any] = {"room_id": 10086, "user_id": "host_1", "duration": 600, "wait_for_user": 0}


class Supervisor:
    """Answers the SDK's messages. ``failing`` holds names of messages that fail, ``hanging`` of those that are not answered."""

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}
        self.tasks: dict[tuple[str, str, str, int], Task] = {}
        self.failing: set[str] = set()
        self.hanging: set[str] = set()
        self.released = threading.Event()
        self.asked: list[tuple[str, str]] = []
        self.on_loop: set[bool] = set()
        self.on_message: Callable[[Any], None] = lambda message: None

    def send(self, msg: Any) -> Any:
        name = type(msg).__name__
        self.asked.append((name, str(getattr(msg, "key", ""))))
        self.on_loop.add(_in_a_loop())
        self.on_message(msg)
        if name in self.hanging:
            self.released.wait(30)
        if name in self.failing:
            raise AirflowRuntimeError(
                comms.ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 500})
            )
        return getattr(self, f"_{name}")(msg)

    def _GetVariable(self, msg: Any) -> Any:  # noqa: N802 - named as the message
        if msg.key not in self.variables:
            raise _not_found(ErrorType.VARIABLE_NOT_FOUND, msg.key)
        return comms.VariableResult(key=msg.key, value=self.variables[msg.key])

    def _PutVariable(self, msg: Any) -> Any:  # noqa: N802
        self.variables[msg.key] = msg.value
        return comms.OKResponse(ok=True)

    def _DeleteVariable(self, msg: Any) -> Any:  # noqa: N802
        if self.variables.pop(msg.key, None) is None:
            raise _not_found(ErrorType.GENERIC_ERROR, msg.key)
        return comms.OKResponse(ok=True)

    def _GetVariableKeys(self, msg: Any) -> Any:  # noqa: N802
        keys = sorted(name for name in list(self.variables) if name.startswith(msg.prefix or ""))
        return comms.VariableKeysResult(keys=keys[msg.offset : msg.offset + msg.limit], total_entries=len(keys))

    def _GetXCom(self, msg: Any) -> Any:  # noqa: N802
        task = self.tasks.get((msg.dag_id, msg.run_id, msg.task_id, -1 if msg.map_index is None else msg.map_index))
        value = None if task is None else task.xcoms.get(msg.key)
        return comms.XComResult.from_xcom_response(XComResponse(key=msg.key, value=value))

    def _SetXCom(self, msg: Any) -> Any:  # noqa: N802
        task = self.tasks.get((msg.dag_id, msg.run_id, msg.task_id, -1 if msg.map_index is None else msg.map_index))
        if task is None:
            raise _not_found(ErrorType.GENERIC_ERROR, msg.task_id)
        task.xcoms[msg.key] = json.loads(json.dumps(msg.value))
        return comms.OKResponse(ok=True)

    def _GetTaskStates(self, msg: Any) -> Any:  # noqa: N802
        states: dict[str, Any] = {}
        for (dag_id, run_id, task_id, map_index), task in self.tasks.items():
            if (
                (dag_id, [run_id]) == (msg.dag_id, msg.run_ids)
                and task_id in msg.task_ids
                and map_index == msg.map_index
            ):
                states[task_id if map_index < 0 else f"{task_id}_{map_index}"] = task.state
        return comms.TaskStatesResult(task_states={msg.run_ids[0]: states} if states else {})

    def _MaskSecret(self, msg: Any) -> Any:  # noqa: N802
        return None

    # -- for tests -----------------------------------------------------------------------------------------------------

    def entries(self) -> set[str]:
        """The ledger's entries by their ends, such as ``push``; the lease itself is ``""``."""
        return {name.removeprefix(lease_of(name)).lstrip("-") for name in self.variables if is_entry(name)}


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _not_found(error: ErrorType, what: str) -> AirflowRuntimeError:
    return AirflowRuntimeError(comms.ErrorResponse(error=error, detail={"message": f"{what} not found"}))


@contextmanager
def supervised(monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    supervisor = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    yield supervisor
    supervisor.released.set()


@dataclass
class Run:
    """A run of a DAG that is one broadcast, each task of which is executed by the test."""

    supervisor: Supervisor
    arguments: dict[str, Any] = field(default_factory=dict)
    run_id: str = "manual__1"
    group_id: str = "broadcast"
    map_index: int = -1
    run_after: datetime = field(default_factory=lambda: datetime.now(UTC))
    tasks: dict[str, Task] = field(init=False)

    def __post_init__(self) -> None:
        with DAG(DAG_ID) as dag:
            Broadcast(self.group_id, **{**SHOW, **self.arguments})
        self.tasks = {}
        for operator in dag.tasks:
            assert isinstance(operator, BaseOperator)
            task = Task(
                operator,
                peers=self.tasks,
                run_id=self.run_id,
                map_index=self.map_index,
                run_after=self.run_after,
            )
            self.tasks[operator.task_id] = task
            self.supervisor.tasks[DAG_ID, self.run_id, operator.task_id, self.map_index] = task

    def __getitem__(self, name: str) -> Task:
        return self.tasks[f"{self.group_id}.{name}"]

    def execute(self, *names: str) -> Any:
        """Execute these tasks, one after the other; return what the last one returns."""
        return [self[name].execute() for name in names][-1]

    def start(self) -> None:
        """Bring it on air, up to the trigger."""
        self.execute("reserve", "start_push", "start_record")

    def renders(self, **values: Any) -> Run:
        """Have the options of `Broadcast` render to these values, wherever they stand as templates."""
        for task in self.tasks.values():
            for name, value in values.items():
                if name in task.operator.template_fields and not isinstance(getattr(task.operator, name), XComArg):
                    setattr(task.operator, name, value)
        return self

    def on_air(self) -> OnAirTrigger:
        """Execute ``on_air``; return the trigger that it defers to, as the triggerer gets it."""
        trigger = self.deferred("on_air")
        assert isinstance(trigger, OnAirTrigger)
        return trigger

    def deferred(self, name: str) -> Any:
        """Execute a task that defers; return its trigger, as the triggerer gets it."""
        with pytest.raises(TaskDeferred) as deferred:
            self.execute(name)
        return triggered(deferred.value)

    @property
    def lease(self) -> Lease:
        return Lease.from_json(self["reserve"].xcoms["lease"])

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.lease.key.variable)

    def claim(self, kind: Kind) -> Claim | None:
        return self.ledger.claim(kind, self.lease.generation)

    def end_at(self, end: datetime) -> None:
        """Have the reservation end at another time: as if it were made at another time."""
        lease = self.lease
        moved = Lease(lease.key, lease.owner, lease.generation, end, lease.title, lease.record)
        self["reserve"].xcoms["lease"] = moved.to_json()
        assert self["reserve"].store is not None
        self["reserve"].store.set("timav:reservation", moved.to_json())
        if self.ledger.lease() is not None:
            self.ledger.write_lease(moved)

    def clear(self, *names: str) -> None:
        """Take the tasks' XComs and states away; what ``task_state_store`` holds stays."""
        for name in names or ("reserve", "start_push", "start_record", "on_air", "stop_record", "stop_push", "result"):
            self[name].xcoms.clear()
            self[name].state = None


def triggered(deferred: TaskDeferred) -> Any:
    """Return the trigger after its way through the database."""
    _, arguments = deferred.trigger.serialize()
    return type(deferred.trigger)(**json.loads(json.dumps(arguments)))


def sent(emulator: Emulator) -> list[str | None]:
    """Return the operations that were sent to the emulator, in order."""
    return [entry.operation for entry in emulator.journal]


def minutes_ago(minutes: float) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


__all__ = ["DAG_ID", "SHOW", "Run", "Store", "Supervisor", "minutes_ago", "sent", "supervised", "triggered"]
