"""One DAG makes a recording, and another picks it up, through an event of an asset.

Each recording of the first DAG is an event with its file ids, room, user, file name and times. The second DAG runs for the
events of the broadcast's series, ``timav://recordings/<DAG id>/<group id>``, from whichever room, and needs to know only that
name. Each recording is emitted once, over all retries and clears.

To get only the recordings of one host, schedule the DAG on that host's asset:
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
        """Return what the events of this run say of each recording."""
        # Under the alias: each event is listed a second time under its asset.
        return [event.extra for event in triggering_asset_events[NEWS]]

    pick_up()
