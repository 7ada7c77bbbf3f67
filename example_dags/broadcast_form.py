"""A broadcast that an operator starts from the Airflow UI: press Trigger, fill the form, watch the show.

No secret is asked for: what is typed into a trigger form can be read by everyone who may see the run.
"""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.sensors.date_time import DateTimeSensor
from airflow.sdk import DAG, Param

from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.sensors.live_stream import LiveStreamSensor

with DAG(
    dag_id="timav_broadcast_form",
    schedule=None,
    max_active_runs=4,
    tags=["timav", "example"],
    params={
        "room_id": Param(
            10086,
            type="integer",
            minimum=0,
            maximum=4294967295,
            title="Room",
            description="The number of the room that the host enters in the app.",
        ),
        "user_id": Param("host_1", type="string", minLength=1, title="Host", description="The account of the host."),
        "title": Param(
            "Live", type="string", maxLength=60, title="Title", description="The channel's name, as viewers see it."
        ),
        "seconds_on_air": Param(
            900,
            type="integer",
            minimum=1,
            maximum=21600,
            title="How long",
            description="Seconds on air, at most six hours, counted from pressing Trigger.",
        ),
        "picture": Param(
            "camera",
            type="string",
            enum=["camera", "screen"],
            values_display={"camera": "The host's camera", "screen": "The host's screen"},
            title="What is sent",
            section="Picture",
        ),
        "outputs": Param(
            "hls",
            type="string",
            enum=["hls", "rtmp", "hls+rtmp"],
            values_display={"hls": "HLS (browsers, phones)", "rtmp": "RTMP (other platforms)", "hls+rtmp": "Both"},
            title="Outputs",
            description="With RTMP alone nobody can check here that the stream plays.",
            section="Picture",
        ),
        "rates": Param(
            ["original"],
            type="array",
            items={"type": "string", "enum": ["original", "sd", "hd"]},
            examples=["original", "sd", "hd"],
            values_display={"original": "As sent", "sd": "SD, 550 kbit/s", "hd": "HD, 900 kbit/s"},
            title="Quality",
            description="Each one gives an address of its own.",
            section="Picture",
        ),
        "wait_minutes": Param(
            5,
            type="integer",
            minimum=0,
            maximum=120,
            title="Wait for the host",
            description="Minutes to wait until the host has entered the room.",
            section="Timing",
        ),
    },
    render_template_as_native_obj=True,
    doc_md=__doc__,
) as dag:
    host = {
        "room_id": "{{ params.room_id }}",
        "user_id": "{{ params.user_id }}",
        "push_data_type": "{{ params.picture }}",
    }

    reserve = EmptyOperator(task_id="reserve").as_setup()
    start_push = StartPushOperator(
        task_id="start_push",
        **host,
        channel_name="{{ params.title }}",
        live_code="{{ params.outputs }}",
        rate_types="{{ params.rates }}",
        wait_for_user="{{ params.wait_minutes * 60 }}",
        retries=2,
    )
    on_air = DateTimeSensor(
        task_id="on_air",
        target_time="{{ (dag_run.run_after + macros.timedelta(seconds=params.seconds_on_air)).isoformat() }}",
        mode="reschedule",
        poke_interval=15,
    )
    plays = LiveStreamSensor(
        task_id="plays", url="{{ ti.xcom_pull('start_push', key='hls_url') }}", timeout=300, deferrable=True, retries=1
    )
    stop_push = StopPushOperator(task_id="stop_push", **host, start_task_id="start_push").as_teardown(setups=reserve)
    over = EmptyOperator(task_id="over")

    reserve >> start_push >> [on_air, plays] >> stop_push
    [on_air, plays] >> over
