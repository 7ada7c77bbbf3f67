"""A recording is made by one DAG and picked up by another, through an asset.

The first records a host for a while and emits an event of the asset ``timav://recordings/news`` that carries the file ids. The
second runs for each event and has nothing to know but the asset.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.sensors.date_time import DateTimeSensor
from airflow.sdk import DAG, Asset, Param, task

from airflow_provider_timav.operators.record import StartRecordOperator, StopRecordOperator

recordings = Asset(name="timav_recordings_news", uri="timav://recordings/news", group="timav")

with DAG(
    dag_id="timav_record",
    schedule=None,
    tags=["timav", "example"],
    params={
        "room_id": Param(10086, type="integer", minimum=0, maximum=4294967295, title="Room"),
        "user_id": Param("host_1", type="string", title="Host"),
        "seconds": Param(600, type="integer", minimum=1, maximum=21600, title="How long, in seconds"),
    },
    doc_md=__doc__,
) as producer:
    host = {"room_id": "{{ params.room_id }}", "user_id": "{{ params.user_id }}"}

    reserve = EmptyOperator(task_id="reserve").as_setup()
    start_record = StartRecordOperator(task_id="start_record", **host, tags=["news"], retries=2)
    recording = DateTimeSensor(
        task_id="recording",
        target_time="{{ (dag_run.run_after + macros.timedelta(seconds=params.seconds)).isoformat() }}",
        mode="reschedule",
        poke_interval=15,
    )
    stop_record = StopRecordOperator(
        task_id="stop_record", **host, start_task_id="start_record", require_file_ids=True
    ).as_teardown(setups=reserve)

    @task(outlets=[recordings])
    def hand_on(file_ids: list[str], file_name: str, *, outlet_events: Any) -> None:
        outlet_events[recordings].extra = {"file_ids": file_ids, "file_name": file_name}

    handed_on = hand_on(stop_record.output["file_ids"], start_record.output["file_name"])
    reserve >> start_record >> recording >> stop_record
    recording >> handed_on

with DAG(
    dag_id="timav_pick_up_recording", schedule=[recordings], tags=["timav", "example"], doc_md=__doc__
) as consumer:

    @task
    def pick_up(*, triggering_asset_events: Any) -> list[str]:
        """Return the file ids of every recording that this run was started for."""
        events = [event for found in triggering_asset_events.values() for event in found]
        return [file_id for event in events for file_id in event.extra["file_ids"]]

    pick_up()
