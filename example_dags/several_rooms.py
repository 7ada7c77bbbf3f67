"""Several rooms at once: the same broadcast, mapped over a list that is known only when the run starts.

Each room is an instance of its own: where one fails, the others go on, and each is stopped by its own stop.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param, task, task_group

from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.sensors.live_stream import LiveStreamSensor

with DAG(
    dag_id="timav_several_rooms",
    schedule=None,
    tags=["timav", "example"],
    params={
        "rooms": Param(
            [{"room_id": 10086, "user_id": "host_1"}, {"room_id": 10087, "user_id": "host_2"}],
            type="array",
            items={"type": "object"},
            title="Rooms and their hosts",
        )
    },
    doc_md=__doc__,
) as dag:

    @task
    def rooms(*, params: Any) -> list[dict[str, Any]]:
        return list(params["rooms"])

    @task_group
    def broadcast(room_id: int, user_id: str) -> None:
        reserve = EmptyOperator(task_id="reserve").as_setup()
        start_push = StartPushOperator(
            task_id="start_push", room_id=room_id, user_id=user_id, wait_for_user="PT2M", retries=2
        )
        is_live = LiveStreamSensor(
            task_id="is_live", url=start_push.output["hls_url"], mode="reschedule", poke_interval=15, timeout=300
        )
        stop_push = StopPushOperator(
            task_id="stop_push", room_id=room_id, user_id=user_id, start_task_id=start_push.task_id
        ).as_teardown(setups=reserve)
        reserve >> start_push >> is_live >> stop_push

    broadcast.expand_kwargs(rooms())
