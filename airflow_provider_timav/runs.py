"""Read a task's state and its raw XComs from Airflow, for tasks, triggers and callbacks alike.

Synchronous on purpose: the SDK's asynchronous calls fail if a trigger runs inline (``dag.test``). A trigger makes these in a
thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["FINAL_STATES", "NEVER_RAN", "NO_STATE", "TaskKey", "map_index_of", "states_of"]

FINAL_STATES = frozenset({"success", "failed", "skipped", "removed", "upstream_failed"})
"""States in which a task does nothing any more, unless it is cleared."""

NO_STATE = "none"
"""The state of a task instance without one: it is not scheduled yet, or was cleared a moment ago."""

NEVER_RAN = frozenset({NO_STATE, "removed", "skipped", "upstream_failed"})
"""States of a task without any trace of a run; they show that it never ran."""


def map_index_of(ti: Any) -> int:
    """Return a task instance's map index; -1 if it is not mapped, for which Airflow also uses None."""
    return -1 if ti.map_index is None else int(ti.map_index)


@dataclass(frozen=True, slots=True)
class TaskKey:
    """A task of a run."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @classmethod
    def of(cls, ti: Any, task_id: str | None = None) -> TaskKey:
        """Return the key of a task instance, or of its neighbour with this id."""
        return cls(ti.dag_id, ti.run_id, ti.task_id if task_id is None else task_id, map_index_of(ti))

    def to_json(self) -> dict[str, Any]:
        """Return the key as a dict of JSON primitives; ``TaskKey(**…)`` reads it."""
        return asdict(self)

    def state(self, asking: Any = None) -> str | None:
        """Return the task's state, ``none`` if it has none at the moment, None if there is no such task.

        :param asking: the task instance that makes the call, if a task does.
        """
        return states_of([self], asking)[0]

    def raw_xcom(self, key: str) -> Any:
        """Return the XCom under ``key`` as it is stored, or None. No backend resolves it, and no class is created from it.

        People can write XComs: read the result with `reading`.
        """
        from airflow.sdk.execution_time.xcom import XCom

        return XCom._get_xcom_db_ref(key=key, **self.to_json()).value

    def set_raw_xcom(self, key: str, value: Any) -> None:
        """Write an XCom as Airflow writes the addresses of its buttons: into its database, whatever backend keeps the others.

        For values that the web interface reads, which cannot call a backend, and for those that must not wait for one.
        """
        from airflow.sdk.execution_time.xcom import XCom

        XCom._set_xcom_in_db(key=key, value=value, **self.to_json())


def states_of(tasks: Sequence[TaskKey], asking: Any = None) -> list[str | None]:
    """Return the states of several tasks of one run and map index in one request, each as `TaskKey.state` does."""
    if asking is None:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        asking = RuntimeTaskInstance
    first = tasks[0]
    states = asking.get_task_states(
        dag_id=first.dag_id,
        task_ids=[task.task_id for task in tasks],
        run_ids=[first.run_id],
        map_index=first.map_index,
    ).get(first.run_id, {})
    # A mapped task's name carries its map index.
    suffix = "" if first.map_index < 0 else f"_{first.map_index}"
    names = [f"{task.task_id}{suffix}" for task in tasks]
    return [str(states[name] or NO_STATE) if name in states else None for name in names]
