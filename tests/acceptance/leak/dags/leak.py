"""The DAGs of the leak matrix: each twice, with `Broadcast` and wired as one does without it, and the reaper.

A run's conf says where and until when: `room_id` (the mapped DAG: `rooms`), `conn_id`, `ends_at`; and who dies: `die` maps the
name of a task, mapped `name[index]`, to `before` (killed before its `execute`), `after` (killed when `execute` has returned and
Airflow has pushed nothing of it) or `raise` (fails there), in its first try alone.
"""
# Airflow's authoring API is not typed for this.
# mypy: disable-error-code="index, no-untyped-call, call-arg, arg-type"

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import DAG, BaseOperator, task, task_group

from airflow_provider_timav.broadcast import Broadcast
from airflow_provider_timav.operators.broadcast import ReapBroadcastsOperator
from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator, StopRecordOperator

ROUNDS = int(os.environ.get("TIMAV_LEAK_ROUNDS", "1"))
TIMEOUT = timedelta(seconds=120)
HERE = {"user_id": "host", "timav_conn_id": "{{ dag_run.conf.conn_id }}"}
ROOM = "{{ dag_run.conf.room_id }}"
ENDS_AT = "{{ dag_run.conf.ends_at }}"
# The host is mostly there from the start: then only a room that another run holds is waited for.
WAIT_SECONDS = "{{ dag_run.conf.get('wait', 20) }}"


def planned(context: Any) -> str | None:
    """How this try is to end, if at all."""
    ti = context["ti"]
    if ti.try_number > 1:
        return None
    name = ti.task_id.rpartition(".")[2] + (
        f"[{ti.map_index}]" if ti.map_index is not None and ti.map_index >= 0 else ""
    )
    how: str | None = context["dag_run"].conf.get("die", {}).get(name)
    return how


def before_execute(context: Any) -> None:
    if planned(context) == "before":
        os.kill(os.getpid(), signal.SIGKILL)


def after_execute(context: Any, result: Any) -> None:
    how = planned(context)
    if how == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "raise":
        raise RuntimeError("this task fails once the service has done what it asked for")


@task(task_id="after", retries=0)
def use(file_ids: Any) -> Any:
    """What a consumer of the recording gets."""
    return file_ids


def with_group(room_id: Any = ROOM) -> Any:
    """The broadcast; what its consumers take."""
    return Broadcast(room_id=room_id, ends_at=ENDS_AT, wait_for_user=WAIT_SECONDS, **HERE).file_ids


def by_hand(room_id: Any = ROOM) -> Any:
    """The same without it, as anybody would: start, start, wait, and the stops as teardowns of their starts."""
    here = {**HERE, "room_id": room_id}
    start_push = StartPushOperator(task_id="start_push", wait_for_user=WAIT_SECONDS, **here)
    start_record = StartRecordOperator(task_id="start_record", wait_for_user=WAIT_SECONDS, **here)
    on_air = DateTimeSensorAsync(task_id="on_air", target_time=ENDS_AT)
    stop_record = StopRecordOperator(task_id="stop_record", **here).as_teardown(setups=start_record)
    stop_push = StopPushOperator(task_id="stop_push", **here).as_teardown(setups=start_push)
    start_push >> start_record >> on_air >> [stop_record, stop_push]
    return stop_record.output["file_ids"]


def define(dag_id: str, show: Callable[..., Any], *, retries: int = 2, mapped: bool = False, **options: Any) -> DAG:
    defaults = {
        "retries": retries,
        "retry_delay": timedelta(seconds=5),
    }
    dag = DAG(dag_id, schedule=None, max_active_runs=100, max_active_tasks=100, default_args=defaults, **options)
    with dag:
        if mapped:

            @task
            def rooms(**context: Any) -> list[int]:
                return list(context["dag_run"].conf["rooms"])

            inside = []

            @task_group
            def shows(room_id: Any) -> None:
                inside.append(show(room_id))

            shows.expand(room_id=rooms())
            use(inside[0])
        else:
            use(show())
    for one in dag.tasks:
        # Not by `default_args`: of a broadcast's tasks they reach `reserve` alone.
        if isinstance(one, BaseOperator):
            one._pre_execute_hook = before_execute
            one._post_execute_hook = after_execute
    return dag


ALL_DAGS: list[DAG] = []
for wiring, show in {"leak": with_group, "naive": by_hand}.items():
    ALL_DAGS += [
        define(f"{wiring}_plain", show),
        define(f"{wiring}_last_try", show, retries=0),
        define(f"{wiring}_timeout", show, dagrun_timeout=TIMEOUT),
        define(f"{wiring}_mapped", show, retries=0, mapped=True),
        *(
            define(f"{wiring}_{name}_{number}", show)
            for number in range(1, ROUNDS + 1)
            for name in ("paused", "paused_start", "deleted")
        ),
    ]

with DAG("reaper", schedule="* * * * *", start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, max_active_runs=1):
    # above all other tasks, or it waits for a worker while there is something to reap
    ReapBroadcastsOperator(task_id="reap", priority_weight=1000)
