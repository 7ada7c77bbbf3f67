"""What Airflow knows of a task of a run: its state, and the XComs it has. For tasks, triggers and callbacks alike.

Synchronous on purpose: the asynchronous calls of the SDK fail where a trigger runs inline (``dag.test``). A trigger makes
these in a thread.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["FINAL_STATES", "NEVER_RAN", "NO_STATE", "TaskKey", "map_index_of"]

FINAL_STATES = frozenset({"success", "failed", "skipped", "removed", "upstream_failed"})
"""States in which a task does nothing any more, unless somebody clears it."""

NO_STATE = "none"
"""The state of a task instance that has none: it is not scheduled yet, or was cleared a moment ago."""

NEVER_RAN = frozenset({NO_STATE, "removed", "skipped", "upstream_failed"})
"""States of a task which has left no trace that show that it never ran."""


def map_index_of(ti: Any) -> int:
    """Return a task instance's map index; -1 where it is not mapped, which Airflow also calls None."""
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
        """Return the task's state, ``none`` where it has none at the moment, None where there is no such task.

        :param asking: the task instance that asks, where a task does.
        """
        if asking is None:
            from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

            asking = RuntimeTaskInstance
        states = asking.get_task_states(
            dag_id=self.dag_id, task_ids=[self.task_id], run_ids=[self.run_id], map_index=self.map_index
        ).get(self.run_id, {})
        # A mapped task's name carries its map index.
        name = self.task_id if self.map_index < 0 else f"{self.task_id}_{self.map_index}"
        return str(states[name] or NO_STATE) if name in states else None

    def xcom(self, key: str) -> Any:
        """Return the XCom under ``key``, or None."""
        from airflow.sdk.execution_time.xcom import XCom

        return XCom.get_one(key=key, **self.to_json())

    def set_xcom(self, key: str, value: Any) -> None:
        """Write the XCom under ``key``: for the task's own trigger."""
        from airflow.sdk.execution_time.xcom import XCom

        XCom.set(key=key, value=value, **self.to_json())
