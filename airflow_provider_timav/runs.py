"""What Airflow knows of a task of a run: its state, and the XComs that its own database keeps.

For tasks, triggers and callbacks alike.

Synchronous on purpose: the asynchronous calls of the SDK fail where a trigger runs inline (``dag.test``). A trigger makes
these in a thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["FINAL_STATES", "NEVER_RAN", "NO_STATE", "TaskKey", "map_index_of", "states_of"]

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
        return states_of([self], asking)[0]

    def raw_xcom(self, key: str) -> Any:
        """Return the XCom under ``key`` as it is stored, or None: no backend resolves it, and no class that it names is made.

        People can write XComs: what comes back is to be read by `reading`.
        """
        from airflow.sdk.execution_time.xcom import XCom

        return XCom._get_xcom_db_ref(key=key, **self.to_json()).value

    def set_raw_xcom(self, key: str, value: Any) -> None:
        """Write an XCom as Airflow writes the addresses of its buttons: into its database, whatever backend keeps the others.

        For what the web interface reads, which cannot ask a backend, and for what must not wait for one.
        """
        from airflow.sdk.execution_time.xcom import XCom

        XCom._set_xcom_in_db(key=key, value=value, **self.to_json())


def states_of(tasks: Sequence[TaskKey], asking: Any = None) -> list[str | None]:
    """Return the states of tasks of one run and map index in one request, as `TaskKey.state` does for one."""
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
