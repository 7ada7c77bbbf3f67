"""Notify a channel when a broadcast is on air, when its stream stalls, and when it is off air, with Airflow's own notifiers.

`HttpNotifier` of ``apache-airflow-providers-http`` posts JSON to a webhook: a chat, a status page. The notifiers for
Slack, Apprise or mail are used the same way. The connection ``timav_channel`` (type HTTP) holds host and token; path and text
are below.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.http.notifications.http import HttpNotifier
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param

from airflow_provider_timav.broadcast import Broadcast
from airflow_provider_timav.sensors.live_stream import LiveStreamSensor


def notify(text: str) -> HttpNotifier:
    """Return a notifier that posts this text, rendered with the context of the task whose callback it is."""
    return HttpNotifier(
        http_conn_id="timav_channel",
        endpoint="/notify",
        json={"text": "Room {{ params.room_id }}: " + text},
        extra_options={"timeout": 10},
    )


with DAG(
    dag_id="timav_notify_on_air",
    schedule=None,
    tags=["timav", "example"],
    params={
        "room_id": Param(10086, type="integer", minimum=0, maximum=4294967295, title="Room"),
        "user_id": Param("host_1", type="string", title="Host"),
        "seconds_on_air": Param(900, type="integer", minimum=1, maximum=21600, title="Seconds on air"),
        "grace": Param(60, type="integer", minimum=1, title="Seconds that a stream may take to appear, or be gone"),
    },
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    # A failed broadcast is a failed run, whichever of its tasks failed.
    on_failure_callback=notify("the broadcast has failed ({{ run_id }})"),
    doc_md=__doc__,
) as dag:
    broadcast = Broadcast(
        room_id="{{ params.room_id }}",
        user_id="{{ params.user_id }}",
        duration="{{ params.seconds_on_air }}",
        grace="{{ params.grace }}",
        on_stall="notify",
        on_stall_callback=notify("the stream has been {{ stall.verdict }} since {{ stall.since }}"),
    )
    off_air = EmptyOperator(
        task_id="off_air",
        on_success_callback=notify("off air ({{ ti.xcom_pull(task_ids='broadcast.result', key='outcome') }})"),
    )
    broadcast >> off_air

    # A push that has started is not yet a picture; this waits until viewers can see one.
    LiveStreamSensor(
        task_id="on_air_for_viewers",
        url=broadcast.hls_url,
        timeout=120,
        deferrable=True,
        retries=0,
        on_success_callback=notify("on air at {{ task.url }}"),
    )
