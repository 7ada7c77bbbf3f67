"""What test_task_runs.py runs: every operator, and the sensor in its three modes."""
# Airflow's authoring API is not typed for this.
# mypy: disable-error-code="index, no-untyped-call, call-arg, arg-type"

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator, StopRecordOperator
from airflow_provider_timav.operators.room import KickMembersOperator
from airflow_provider_timav.sensors.live_stream import LiveStreamSensor

LITERAL = "@player_password@"  # the test puts one of its own in its place
HOST = {"room_id": "{{ params.room_id }}", "user_id": "{{ params.user_id }}"}
PARAMS = {"room_id": Param(0, type="integer"), "user_id": Param("host", type="string")}
RUNS = {"timav_conn_id": "timav_runs"}
SIGNED = {"timav_conn_id": "timav_signed"}
SOON = timedelta(seconds=1)
MODES = {
    "poke": {"mode": "poke", "poke_interval": 5},
    "reschedule": {"mode": "reschedule", "poke_interval": 10},
    "deferrable": {"deferrable": True},
}


@task
def read(found: dict[str, Any]) -> dict[str, Any]:
    """Return what other tasks left, as it arrives in a task."""
    return found


with DAG("runs_broadcast", schedule=None, params=PARAMS, default_args=RUNS):
    start_push = StartPushOperator(
        task_id="start_push",
        **HOST,
        live_code="hls+rtmp",
        rate_types=["sd", "original"],
        tape_flag=True,
        channel_name="Evening show",
        player_password="{{ var.value.audience }}",
    )
    start_record = StartRecordOperator(task_id="start_record", **HOST, tags=["evening"])
    kick = KickMembersOperator(task_id="kick", room_id="{{ params.room_id }}", user_ids=["troll_1", "troll_2"])
    stop_record = StopRecordOperator(task_id="stop_record", **HOST, start_task_id="start_record", require_file_ids=True)
    stop_push = StopPushOperator(task_id="stop_push", **HOST, start_task_id="start_push")
    start_push >> start_record >> kick >> [stop_record, stop_push]
    keys = ("live_urls", "hls_url", "rtmp_url", "channel_id", "tape_task_id", "outcome")
    read.override(task_id="read_push")({key: start_push.output[key] for key in keys})
    read.override(task_id="read_record")(
        {key: stop_record.output[key] for key in ("file_ids", "file_ids_status", "outcome")}
    )

with DAG("runs_streams", schedule=None, params=PARAMS, default_args=RUNS):
    start_push = StartPushOperator(task_id="start_push", **HOST)
    stop_push = StopPushOperator(task_id="stop_push", **HOST, start_task_id="start_push", trigger_rule="all_done")
    for until in ("live", "ended"):
        for name, mode in MODES.items():
            sensor = LiveStreamSensor(
                task_id=f"{until}_{name}",
                url=start_push.output["hls_url"],
                until=until,
                grace=5,
                timeout=150,
                **mode,
            )
            sensor >> stop_push

with DAG("runs_waits", schedule=None, params=PARAMS, default_args=RUNS | {"retries": 0}):
    start_push = StartPushOperator(task_id="start_push", **HOST, wait_for_user="PT3M", player_password=LITERAL)
    start_record = StartRecordOperator(task_id="start_record", **HOST, wait_for_user=180)
    start_push >> StopPushOperator(task_id="stop_push", **HOST, start_task_id="start_push")
    start_record >> StopRecordOperator(task_id="stop_record", **HOST, start_task_id="start_record")

with DAG("runs_mapped", schedule=None, default_args=RUNS | {"retries": 0}):
    rooms = [401, 402, 403]
    starts = StartPushOperator.partial(task_id="start_push", user_id="host", wait_for_user=0).expand(room_id=rooms)
    stops = StopPushOperator.partial(
        task_id="stop_push", user_id="host", start_task_id="start_push", trigger_rule="all_done"
    ).expand(room_id=rooms)
    starts >> stops

with DAG("runs_foreign", schedule=None, params=PARAMS, default_args=RUNS | {"retries": 0}):
    for policy in ("fail", "recover"):
        for kind, (start, stop) in {
            "push": (StartPushOperator, StopPushOperator),
            "record": (StartRecordOperator, StopRecordOperator),
        }.items():
            start(task_id=f"{policy}_{kind}", **HOST, wait_for_user=0, if_already_running=policy) >> stop(
                task_id=f"stop_{policy}_{kind}", **HOST, start_task_id=f"{policy}_{kind}", trigger_rule="all_done"
            )

with DAG("runs_proxied", schedule=None, default_args={"timav_conn_id": "timav_proxied", "retries": 0}):
    here = {"room_id": 1, "user_id": "host"}
    StartPushOperator(task_id="start_push", **here, player_password=LITERAL)
    StopPushOperator(task_id="stop_push", **here)
    StartRecordOperator(task_id="start_record", **here)
    StopRecordOperator(task_id="stop_record", **here)
    KickMembersOperator(task_id="kick", room_id=1, user_ids=["troll"])
    for name, mode in MODES.items():
        timeout = 40 if name == "deferrable" else 5  # the test looks at it while it is deferred
        LiveStreamSensor(task_id=f"live_{name}", url="http://127.0.0.1:1/live.m3u8", timeout=timeout, **mode)

with DAG("runs_failures", schedule=None, default_args=SIGNED | {"retry_delay": SOON}):
    here = {"room_id": 500, "user_id": "host"}
    KickMembersOperator(task_id="retried", room_id=500, user_ids=["troll"], retries=2)
    StopRecordOperator(task_id="rejected", **here)  # retries=5 is its own default
    StartPushOperator(task_id="refused", room_id="{{ 2 ** 32 }}", user_id="host", player_password=LITERAL, retries=3)
    lost = StartPushOperator(task_id="lost", **here, player_password=LITERAL, retries=1)
    lost >> StopPushOperator(task_id="stop_lost", **here, start_task_id="lost")
