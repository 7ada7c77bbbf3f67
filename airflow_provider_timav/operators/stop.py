"""How a stop knows whether it may: what the start task of the same run claims, where one is named; push and recording alike."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from airflow_provider_timav.arguments import optional
from airflow_provider_timav.operators.flight import Flight
from airflow_provider_timav.operators.operation import TimAVOperator
from airflow_provider_timav.videorelay.errors import TimAVError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_provider_timav.hooks.timav import TimAVHook
    from airflow_provider_timav.videorelay.calls import Call

__all__ = ["StopOperator"]

ResultT = TypeVar("ResultT")

# States of a start task that has left no claim in which it never ran.
_NEVER_RAN = frozenset({None, "removed", "skipped", "upstream_failed"})


class StopOperator(TimAVOperator):
    """Stops a push or a recording; safe to repeat, and tried hard.

    :param start_task_id: the id of the task that started it, in the same run (templated; no edge of the graph). Unset, the
        stop is always sent. Set, a stream that this run did not start is left alone.
    :param retries: 5 unless the author or ``default_args`` say otherwise: a forgotten stream costs money.
    """

    template_fields: Sequence[str] = (*TimAVOperator.template_fields, "start_task_id")

    def __init__(
        self,
        *,
        start_task_id: str | None = None,
        retries: int = 5,
        retry_delay: timedelta | float = timedelta(seconds=20),
        **kwargs: Any,
    ) -> None:
        super().__init__(retries=retries, retry_delay=retry_delay, **kwargs)
        self.start_task_id = start_task_id
        self.flight = Flight.none()

    def send(self, hook: TimAVHook, call: Call[ResultT]) -> ResultT:
        """Send the stop and return its result; where the task is told to end meanwhile, send it once more, at once."""
        late: list[ResultT] = []

        def at_once(seconds: float) -> None:
            with hook.another() as other:
                late.append(other.get_conn().call(call, max_posts=1, seconds=seconds))

        client = hook.get_conn()
        flight = self.flight = Flight(cancel=client.cancel, stop=at_once)
        flight.up = True
        try:
            with flight.sending():
                result = client.call(call)
        except TimAVError:
            if flight.killed:
                flight.land()
            if not late:
                raise
            result = late[0]
        flight.up = False
        return result

    def on_kill(self) -> None:
        """Have the stop arrive within the five seconds that are left to the task."""
        self.flight.kill()

    def no_need(self, context: Context) -> Literal["never_started", "not_ours"] | None:
        """Return why the stop must not be sent, or None. When it cannot be told, the stop is sent."""
        claim = self.of_start(context, "claim")
        if claim == "foreign":
            return "not_ours"
        if claim is None and optional(self.start_task_id) is not None and self._start_state(context) in _NEVER_RAN:
            return "never_started"
        return None

    def of_start(self, context: Context, key: str) -> Any:
        """Return an XCom of the start task, or None where there is none or no start task is named."""
        start_task_id = optional(self.start_task_id)
        if start_task_id is None:
            return None
        ti = context["ti"]
        return ti.xcom_pull(task_ids=start_task_id, key=key, map_indexes=_map_index(ti))

    def _start_state(self, context: Context) -> str | None:
        ti = context["ti"]
        states = ti.get_task_states(
            dag_id=ti.dag_id, task_ids=[str(self.start_task_id)], run_ids=[ti.run_id], map_index=_map_index(ti)
        ).get(ti.run_id, {})
        # A mapped task's key carries its map index.
        state = next((state for key, state in states.items() if key.startswith(str(self.start_task_id))), None)
        return None if state is None else str(state)


def _map_index(ti: Any) -> int:
    return -1 if ti.map_index is None else int(ti.map_index)
