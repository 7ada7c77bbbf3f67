"""A broadcast every Friday evening: wait for the host, push, record, watch, stop, hand on.

`Broadcast` makes sure that nothing stays on air, whatever happens in between, and that a run which comes late (a scheduler
that was down, a DAG that was unpaused days after its last date) starts nothing. Switch `timav_reap_broadcasts` on as well.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param, task

from airflow_provider_timav.broadcast import Broadcast

with DAG(
    dag_id="timav_scheduled_broadcast",
    schedule="0 20 * * 5",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["timav", "example"],
    params={
        "room_id": Param(10086, type="integer", minimum=0, maximum=4294967295, title="Room"),
        "user_id": Param("host_1", type="string", title="Host"),
        "seconds_on_air": Param(3600, type="integer", minimum=1, maximum=21600, title="Seconds on air"),
    },
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    doc_md=__doc__,
) as dag:
    broadcast = Broadcast(
        room_id="{{ params.room_id }}",
        user_id="{{ params.user_id }}",
        duration="{{ params.seconds_on_air }}",
        channel_name="Friday night",
        record_options={"tags": ["friday"]},
        wait_for_user="PT10M",
    )

    @task
    def announce(live_urls: list[dict[str, str]]) -> str:
        """Runs as soon as the push has started, while the broadcast is on."""
        return f"on air at {live_urls[0]['url']}"

    @task
    def publish(file_ids: list[str], outcome: str) -> dict[str, object]:
        """Runs once the broadcast has ended and both stops have succeeded."""
        return {"file_ids": file_ids, "outcome": outcome}

    announce(broadcast.live_urls)
    publish(broadcast.file_ids, broadcast.outcome)
