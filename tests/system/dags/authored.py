"""Broadcasts as authors write them: within setups, with options from elsewhere, below ``default_args`` of every kind."""

from __future__ import annotations

import time
from typing import Any

from airflow.sdk import DAG, Asset, setup, task, task_group, teardown

from airflow_provider_timav.broadcast import Broadcast

PARAMS: dict[str, Any] = {"room": 801, "user": "host", "seconds": 75}
PLACE: dict[str, Any] = {
    "room_id": "{{ params.room }}",
    "user_id": "{{ params.user }}",
    "duration": "{{ params.seconds }}",
    "wait_for_user": 0,
}

for name in ("around", "failing"):
    connection = {"timav_conn_id": f"authored_{name}"}
    with DAG(f"authored_{name}", schedule=None, params=PARAMS, default_args=connection, max_active_tasks=1):

        @setup
        def create() -> None:
            """Take longer than it takes to start a broadcast's first task."""
            time.sleep(6)

        @teardown
        def delete() -> None:
            """Clear up."""

        with create() >> delete():
            Broadcast(**PLACE)

with DAG("authored_options", schedule=None, params={**PARAMS, "push": {"channel_describe": "of a parameter"}}):

    @task
    def pick() -> dict[str, Any]:
        """Choose what the recording is filed under."""
        return {"tags": ["of a task"], "class_id": 7}

    Broadcast(
        **PLACE,
        timav_conn_id="authored",
        push_options="{{ params.push | tojson }}",
        record_options=pick(),  # type: ignore[arg-type]  # an XComArg stands for the dict
    )

    @task_group
    def studio(room_id: int, push: dict[str, Any]) -> None:
        """Broadcast one room of several."""
        Broadcast(
            room_id=room_id, user_id="host", duration=75, timav_conn_id="authored", push_options=push, record=False
        )

    studio.expand_kwargs([{"room_id": 803, "push": {"channel_describe": "mapped"}}, {"room_id": 804, "push": "{}"}])

with DAG("authored_native", schedule=None, params={**PARAMS, "title": "1_000"}, render_template_as_native_obj=True):
    Broadcast(**PLACE, channel_name="{{ params.title }}", timav_conn_id="authored", record=False)

with DAG("authored_fail_fast", schedule=None, params=PARAMS, fail_fast=True):

    @task
    def beside() -> None:
        """Fail while the broadcast is on air, or while it is starting."""
        time.sleep(30)
        raise RuntimeError("on purpose")

    beside()
    Broadcast(**PLACE, timav_conn_id="authored")


def holiday(context: Any) -> None:
    """Do nothing: the broadcast is on every day."""


with DAG(
    "authored_defaults",
    schedule=None,
    params=PARAMS,
    default_args={
        "timav_conn_id": "authored",
        "do_xcom_push": False,
        "multiple_outputs": False,
        "trigger_rule": "none_failed",
        "max_active_tis_per_dag": 1,
        "outlets": Asset("authored"),
        "pre_execute": holiday,
        "record": False,
        "retries": 0,
    },
):
    Broadcast(**PLACE)
