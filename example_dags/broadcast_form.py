"""Start a broadcast: press Trigger, fill in the form, and watch the broadcast from the run.

The form asks for room, host, title, length, and whether to record. The sections below, which need not be opened, hold what is
sent, and how long to wait for a host who is late. The run's task *start_push* has the button *Watch live*; marking *on_air* as
successful ends the broadcast early. Everybody who may see the run can read the values of the form: it asks for no password, and
none should be typed into it.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_timav.broadcast import Broadcast

PICTURE = "What is sent"
WAITING = "If the host is late"

with DAG(
    dag_id="timav_broadcast_form",
    dag_display_name="Start a broadcast",
    schedule=None,
    max_active_runs=4,
    tags=["timav", "example"],
    # The form checks choices, numbers and required fields. It would leave a pattern to the server, whose answer it shows as
    # "Bad Request".
    params={
        "room_id": Param(
            10086,
            type="integer",
            minimum=0,
            maximum=4294967295,
            title="Room",
            description="The number of the room that the host enters in the app.",
        ),
        "user_id": Param(
            "host_1",
            type="string",
            minLength=1,
            title="Host",
            description="The account that the host is logged in with in the app, written exactly as there.",
        ),
        "title": Param(
            "Live",
            type="string",
            maxLength=60,
            title="Title",
            description="What viewers read above the picture; at most 60 characters.",
        ),
        "minutes": Param(
            15,
            type="integer",
            minimum=1,
            maximum=360,
            title="How long (minutes)",
            description=(
                "Counted from pressing Trigger (or from when the room is free, if another broadcast is on), so add what the "
                "host may need to arrive. At most 360 (six hours)."
            ),
        ),
        "record": Param(
            True,
            type="boolean",
            title="Record it",
            description="When the broadcast is over, the task 'result' has the recording's file ids.",
        ),
        "picture": Param(
            "camera",
            type="string",
            enum=["camera", "screen"],
            values_display={"camera": "The host's camera", "screen": "The host's screen"},
            title="Picture",
            section=PICTURE,
        ),
        "outputs": Param(
            "hls",
            type="string",
            enum=["hls", "hls+rtmp", "rtmp"],
            values_display={
                "hls": "HLS: browsers and phones",
                "hls+rtmp": "HLS and RTMP",
                "rtmp": "RTMP only: other platforms",
            },
            title="Outputs",
            description="Browsers cannot play RTMP. It is watched only if the extra rtmp is installed.",
            section=PICTURE,
        ),
        "quality": Param(
            ["original"],
            type="array",
            items={"type": "string", "enum": ["original", "hd", "sd"]},
            minItems=1,
            uniqueItems=True,
            examples=["original", "hd", "sd"],
            values_display={"original": "As the host sends it", "hd": "HD, 900 kbit/s", "sd": "SD, 550 kbit/s"},
            title="Quality",
            description="One or more; each one gets an address of its own.",
            section=PICTURE,
        ),
        "wait_minutes": Param(
            5,
            type="integer",
            minimum=0,
            maximum=120,
            title="Wait for the host (minutes)",
            description="How long to wait until the host has entered the room; 0 does not wait. The end does not move.",
            section=WAITING,
        ),
    },
    default_args={"retries": 2},
    doc_md=__doc__,
) as dag:
    Broadcast(
        room_id="{{ params.room_id }}",
        user_id="{{ params.user_id }}",
        duration="{{ params.minutes * 60 }}",
        channel_name="{{ params.title }}",
        push_data_type="{{ params.picture }}",
        live_code="{{ params.outputs }}",
        rate_types="{{ params.quality | tojson }}",
        record="{{ params.record }}",
        wait_for_user="{{ params.wait_minutes * 60 }}",
    )
