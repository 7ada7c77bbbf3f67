"""What test_recordings.py runs: broadcasts that hand their recordings on, and the DAG that picks them up."""
# Airflow's authoring API is not typed for this.
# mypy: disable-error-code="index, no-untyped-call, call-arg, arg-type"

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset, AssetAlias, Param, task

from airflow_provider_timav.broadcast import Broadcast
from airflow_provider_timav.operators.push import StartPushOperator
from airflow_provider_timav.operators.room import KickMembersOperator

PARAMS = {"room_id": Param(0, type="integer"), "record": Param(True, type="boolean")}
SOON = timedelta(seconds=1)
SHOW: dict[str, Any] = {
    "room_id": "{{ params.room_id }}",
    "user_id": "host",
    "duration": 70,  # on a busy machine half a minute is over before the recording starts
    "record": "{{ params.record }}",
    "channel_name": "Evening show",
    "player_password": "{{ var.value.audience_password }}",
    "timav_conn_id": "timav_shown",
}

with DAG("shown_own", schedule=None, params=PARAMS):
    Broadcast(**SHOW)

with DAG("shown_series", schedule=None, params=PARAMS):
    show = Broadcast(**SHOW)

    def taken_down(context: Any, result: Any = None) -> None:
        """End the first try after it has emitted and noted, and before Airflow hears that it has succeeded."""
        if context["ti"].try_number == 1:
            raise RuntimeError("taken down")

    result: Any = show["result"]
    result._post_execute_hook = taken_down
    result.retries, result.retry_delay = 1, SOON

with DAG("shown_retried", schedule=None, params=PARAMS):
    retried = Broadcast(**{**SHOW, "timav_conn_id": "timav_flaky"})
    stop_record: Any = retried["stop_record"]
    stop_record.retry_delay = SOON

SCHEDULES: dict[str, Any] = {
    "own": [AssetAlias("timav://recordings/shown_own/broadcast")],
    "series": show.recordings | retried.recordings,
    "room": [Asset(uri="timav://timav_shown/701/host/camera")],
}
for name, series in SCHEDULES.items():
    with DAG(f"picks_up_{name}", schedule=series, max_active_runs=4):

        @task
        def pick_up(*, triggering_asset_events: Any) -> list[dict[str, Any]]:
            """Return what this run was started for: each event stands under its asset and, once more, under its alias."""
            events = [event for found in triggering_asset_events.values() for event in found]
            return list({event.extra["file_name"]: event.extra for event in events}.values())

        pick_up()

with DAG("shown_failures", schedule=None, default_args={"timav_conn_id": "timav_shown", "user_id": "host"}):
    StartPushOperator(task_id="wrong_room", room_id="{{ -1 }}")
    StartPushOperator(task_id="nobody_there", room_id=999, wait_for_user=0)
    KickMembersOperator(task_id="nobody_named", room_id=999, user_ids="{{ [] }}")
    StartPushOperator(task_id="slow", room_id=998, timav_conn_id="timav_slow", player_password=SHOW["player_password"])
