"""Several rooms at once: the same broadcast, mapped over a list that is known only when the run starts.

Each room is a broadcast of its own: if one fails, the others go on. The task that publishes a recording is inside the mapped
group, so that one room's failure does not keep the others' recordings from being published.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, task, task_group

from airflow_provider_timav.broadcast import Broadcast

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
        ),
        "seconds_on_air": Param(900, type="integer", minimum=1, maximum=21600, title="Seconds on air"),
    },
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    doc_md=__doc__,
) as dag:

    @task
    def rooms(*, params: Any) -> list[dict[str, Any]]:
        return list(params["rooms"])

    @task
    def publish(file_ids: list[str]) -> list[str]:
        return file_ids

    @task_group
    def room(room_id: int, user_id: str) -> None:
        broadcast = Broadcast(
            room_id=room_id, user_id=user_id, duration="{{ params.seconds_on_air }}", wait_for_user="PT2M"
        )
        publish(broadcast.file_ids)

    room.expand_kwargs(rooms())
