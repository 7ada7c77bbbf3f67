"""Tell a channel when a broadcast is on air, when its stream stalls, and when it is off air, with Airflow's own notifiers.

`HttpNotifier` of ``apache-airflow-providers-http`` posts JSON to whatever takes it: a chat's webhook, a status page. Those for
Slack, Apprise or mail are used the same way. Its connection ``timav_channel`` (type HTTP) holds host and token; path and text
stand here.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.http.notifications.http import HttpNotifier
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param

from airflow_provider_timav.broadcast import Broadcast
from airflow_provider_timav.sensors.live_stream import LiveStreamSensor


def tell(text: str) -> HttpNotifier:
    """Return what posts this text; it is rendered with the context of the task whose callback it is."""
    return HttpNotifier(
        http_conn_id="timav_channel",
        endpoint="/notify",
        json={"text": "Room {{ params.room_id }}: " + text},
        extra_options={"timeout": 10},
    )


with DAG(
    dag_id="timav_told_on_air",
    schedule=None,
    tags=["timav", "example"],
    params={
        "room_id": Param(10086, type="integer", minimum=0, maximum=4294967295, title="Room"),
        "user_id": Param("host_1", type="string", title="Host"),
        "seconds_on_air": Param(900, type="integer", minimum=1, maximum=21600, title="Seconds on air"),
        "grace": Param(60, type="integer", minimum=1, title="Seconds that a stream may take to appear, or be gone"),
    },
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    # A broadcast that did not work out is a failed run, whichever task it was.
    on_failure_callback=tell("the broadcast has failed ({{ run_id }})"),
    doc_md=__doc__,
) as dag:
    show = Broadcast(
        room_id="{{ params.room_id }}",
        user_id="{{ params.user_id }}",
        duration="{{ params.seconds_on_air }}",
        grace="{{ params.grace }}",
        on_stall="notify",
        on_stall_callback=tell("the stream is {{ stall.verdict }} since {{ stall.since }}"),
    )
    off_air = EmptyOperator(
        task_id="off_air",
        on_success_callback=tell("off air ({{ ti.xcom_pull(task_ids='broadcast.result', key='outcome') }})"),
    )
    show >> off_air

    # A push that has started is not yet a picture: what viewers can see counts as on air.
    LiveStreamSensor(
        task_id="on_air_for_viewers",
        url=show.hls_url,
        timeout=120,
        deferrable=True,
        retries=0,
        on_success_callback=tell("on air at {{ task.url }}"),
    )
