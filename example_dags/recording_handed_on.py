"""A recording is made by one DAG and picked up by another, through an event of an asset.

Each recording of the first one is an event that carries its file ids, room, user, file name and times. The second one runs for
the events of the broadcast's series, ``timav://recordings/<DAG id>/<group id>``, whichever room they come from, and has nothing
to know but that name. A recording is handed on once, whatever is retried or cleared in between.

Who wants the recordings of one host only has that host's asset as the schedule:
``Asset(uri="timav://timav_default/10086/host_1/camera")``.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, AssetAlias, Param, task

from airflow_provider_timav.broadcast import Broadcast

NEWS = AssetAlias("timav://recordings/timav_record/broadcast")

with DAG(
    dag_id="timav_record",
    schedule=None,
    tags=["timav", "example"],
    params={
        "room_id": Param(10086, type="integer", minimum=0, maximum=4294967295, title="Room"),
        "user_id": Param("host_1", type="string", title="Host"),
        "seconds": Param(600, type="integer", minimum=1, maximum=21600, title="How long, in seconds"),
    },
    default_args={"retries": 2},
    doc_md=__doc__,
) as producer:
    Broadcast(
        room_id="{{ params.room_id }}",
        user_id="{{ params.user_id }}",
        duration="{{ params.seconds }}",
        record_options={"tags": ["news"]},
        require_file_ids=True,
    )

with DAG(dag_id="timav_pick_up_recording", schedule=[NEWS], tags=["timav", "example"], doc_md=__doc__) as consumer:

    @task
    def pick_up(*, triggering_asset_events: Any) -> list[dict[str, Any]]:
        """Return what is known of every recording that this run was started for."""
        # Under the alias: under the asset that it came from, each event stands once more.
        return [event.extra for event in triggering_asset_events[NEWS]]

    pick_up()
