"""One task instance as an operator sees it: XComs that a retry wipes, a store that it does not."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow.sdk import BaseOperator


@dataclass
class Store:
    """``task_state_store``: JSON values, None refused, kept over retries and clears."""

    values: dict[str, str] = field(default_factory=dict)
    retentions: dict[str, Any] = field(default_factory=dict)

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        assert value is not None
        self.values[key] = json.dumps(value)
        if retention is not None:
            self.retentions[key] = retention

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


@dataclass
class Task:
    """A task of one run; ``peers`` are the run's other tasks, by id."""

    operator: BaseOperator
    peers: dict[str, Task] = field(default_factory=dict)
    store: Store | None = field(default_factory=Store)
    state: str | None = None
    first_reschedule: datetime | None = None
    map_index: int | None = -1
    dag_id: str = "show"
    run_id: str = "manual__1"
    xcoms: dict[str, Any] = field(default_factory=dict)

    @property
    def task_id(self) -> str:
        return self.operator.task_id

    def execute(self) -> Any:
        """Run one try: XComs of the last one are gone, what is returned is pushed key by key."""
        self.xcoms.clear()
        context: Any = {"ti": self, "task_state_store": self.store}
        result = self.operator.execute(context)
        self.xcoms |= {**result, "return_value": result}
        return result

    def xcom_push(self, *, key: str, value: Any) -> None:
        json.dumps(value)
        self.xcoms[key] = value

    def xcom_pull(self, *, task_ids: str, key: str, map_indexes: int) -> Any:
        assert map_indexes == (-1 if self.map_index is None else self.map_index)
        return self.peers[task_ids].xcoms.get(key) if task_ids in self.peers else None

    def get_task_states(self, *, dag_id: str, task_ids: list[str], run_ids: list[str], map_index: int) -> Any:
        assert (dag_id, run_ids) == (self.dag_id, [self.run_id])
        return {self.run_id: {task_id: self.peers[task_id].state for task_id in task_ids if task_id in self.peers}}

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        return self.first_reschedule
