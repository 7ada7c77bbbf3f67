"""One task instance as an operator sees it: XComs that a retry wipes, a store that it does not."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from airflow.sdk import BaseOperator, XComArg
from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.execution_time.context import OutletEventAccessors


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
    """A task of one run; ``peers`` are the run's other tasks, by id. Arguments that are another task's XCom are rendered."""

    operator: BaseOperator
    peers: dict[str, Task] = field(default_factory=dict)
    store: Store | None = field(default_factory=Store)
    state: str | None = None
    first_reschedule: datetime | None = None
    map_index: int | None = -1
    dag_id: str = "show"
    run_id: str = "manual__1"
    xcoms: dict[str, Any] = field(default_factory=dict)
    run_after: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: datetime | None = None  # the run; when it was due unless given
    team: str | None = None
    outlet_events: OutletEventAccessors = field(default_factory=OutletEventAccessors)

    @property
    def task_id(self) -> str:
        return self.operator.task_id

    def execute(self) -> Any:
        """Run one try: XComs of the last one are gone, what is returned is pushed key by key."""
        self.xcoms.clear()
        self.state = "failed"
        try:
            return self._returned(self._rendered().execute(self._context()))
        except TaskDeferred:
            self.state = "deferred"
            raise

    def resume(self, event: Any) -> Any:
        """Come back from the trigger: the XComs are still there."""
        operator: Any = self._rendered()
        return self._returned(operator.execute_complete(self._context(), event))

    def _returned(self, result: Any) -> Any:
        keys = result if isinstance(result, dict) else {}
        self.xcoms |= json.loads(json.dumps({**keys, "return_value": result}))
        self.state = "success"
        return result

    def _context(self) -> Any:
        return {
            "ti": self,
            "task_state_store": self.store,
            "dag_run": SimpleNamespace(
                run_after=self.run_after, start_date=self.began or self.run_after, team_name=self.team
            ),
            "outlet_events": self.outlet_events,
        }

    def _rendered(self) -> BaseOperator:
        arguments = {name: getattr(self.operator, name) for name in self.operator.template_fields}
        linked = {name: value for name, value in arguments.items() if self._linked(value) is not value}
        if not linked:
            return self.operator
        rendered = copy.copy(self.operator)
        for name, value in linked.items():
            setattr(rendered, name, self._linked(value))
        return rendered

    def _linked(self, value: Any) -> Any:
        """An argument with the XComs that it links to, itself or in a dict, in their places."""
        if isinstance(value, XComArg):
            link: Any = value
            return self.peers[link.operator.task_id].xcoms[link.key]
        if isinstance(value, dict) and any(self._linked(entry) is not entry for entry in value.values()):
            return {name: self._linked(entry) for name, entry in value.items()}
        return value

    def xcom_push(self, *, key: str, value: Any) -> None:
        json.dumps(value)
        self.xcoms[key] = value

    def xcom_pull(self, *, task_ids: str, key: str, map_indexes: int) -> Any:
        assert map_indexes == (-1 if self.map_index is None else self.map_index)
        return self.peers[task_ids].xcoms.get(key) if task_ids in self.peers else None

    def get_task_states(self, *, dag_id: str, task_ids: list[str], run_ids: list[str], map_index: int) -> Any:
        assert (dag_id, run_ids) == (self.dag_id, [self.run_id])
        mapped = "" if map_index < 0 else f"_{map_index}"
        known = [task_id for task_id in task_ids if task_id in self.peers]
        return {self.run_id: {f"{task_id}{mapped}": self.peers[task_id].state for task_id in known}}

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        return self.first_reschedule
