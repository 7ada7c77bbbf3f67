"""A broadcast every Friday evening: wait for the host, push, see that it plays, record, stop, hand on.

The stops are teardowns of ``reserve``, a task that sends nothing: a teardown runs only where its setup succeeded, so the
start itself must not be the setup. ``reserve`` skips a run that comes late (a scheduler that was down, a DAG that was unpaused
days after its last date): a show of the past must not go on air. ``published`` is an ordinary task below everything: only
through it is a failed broadcast a failed run.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.sensors.date_time import DateTimeSensor
from airflow.sdk import DAG, Param, setup, task
from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator, StopRecordOperator
from airflow_provider_timav.sensors.live_stream import LiveStreamSensor

with DAG(
    dag_id="timav_scheduled_broadcast",
    schedule="0 20 * * 5",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["timav", "example"],
    params={
        "room_id": Param(10086, type="integer", minimum=0, maximum=4294967295, title="Room"),
        "user_id": Param("host_1", type="string", title="Host"),
        "seconds_on_air": Param(3600, type="integer", minimum=1, maximum=21600, title="Seconds on air"),
    },
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    doc_md=__doc__,
) as dag:
    host = {"room_id": "{{ params.room_id }}", "user_id": "{{ params.user_id }}"}

    @setup
    def reserve(*, dag_run: Any) -> None:
        late = datetime.now(UTC) - dag_run.run_after
        if late > timedelta(minutes=10):
            raise AirflowSkipException(f"the broadcast should have begun {late} ago")

    reserved = reserve()
    start_push = StartPushOperator(task_id="start_push", **host, channel_name="Friday night", wait_for_user="PT10M")
    is_live = LiveStreamSensor(
        task_id="is_live", url=start_push.output["hls_url"], mode="reschedule", poke_interval=15, timeout=300
    )
    start_record = StartRecordOperator(task_id="start_record", **host, tags=["friday"])
    on_air = DateTimeSensor(
        task_id="on_air",
        target_time="{{ (dag_run.run_after + macros.timedelta(seconds=params.seconds_on_air)).isoformat() }}",
        mode="reschedule",
        poke_interval=15,
    )
    stop_record = StopRecordOperator(task_id="stop_record", **host, start_task_id="start_record").as_teardown(
        setups=reserved
    )
    stop_push = StopPushOperator(task_id="stop_push", **host, start_task_id="start_push").as_teardown(setups=reserved)

    @task
    def published(live_urls: list[dict[str, str]], verdict: dict[str, str], file_ids: list[str]) -> dict[str, object]:
        return {"live_urls": live_urls, "verdict": verdict["verdict"], "file_ids": file_ids}

    reserved >> start_push >> is_live >> start_record >> on_air >> [stop_record, stop_push]
    on_air >> published(start_push.output["live_urls"], is_live.output, stop_record.output["file_ids"])
