"""A broadcast that an operator starts from the Airflow UI: press Trigger, fill the form, watch the show.

No secret is asked for: what is typed into a trigger form can be read by everyone who may see the run.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_timav.broadcast import Broadcast

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
        "record": Param(
            True, type="boolean", title="Record it", description="The recording's file ids are handed on at the end."
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
    default_args={"retries": 2},
    doc_md=__doc__,
) as dag:
    Broadcast(
        room_id="{{ params.room_id }}",
        user_id="{{ params.user_id }}",
        duration="{{ params.seconds_on_air }}",
        channel_name="{{ params.title }}",
        push_data_type="{{ params.picture }}",
        live_code="{{ params.outputs }}",
        rate_types="{{ params.rates }}",
        record="{{ params.record }}",
        wait_for_user="{{ params.wait_minutes * 60 }}",
    )
