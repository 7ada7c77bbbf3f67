"""Remove members from a room, 1 to 10 at a time.

The service does not confirm that they are gone, and they may enter again.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_timav.operators.room import KickMembersOperator

with DAG(
    dag_id="timav_remove_members",
    schedule=None,
    tags=["timav", "example"],
    params={
        "room_id": Param(10086, type="integer", minimum=0, maximum=4294967295, title="Room"),
        "user_ids": Param(
            ["troll_1"],
            type="array",
            items={"type": "string"},
            minItems=1,
            maxItems=10,
            title="Members to remove",
            description="One account per line, at most ten.",
        ),
    },
    render_template_as_native_obj=True,
    doc_md=__doc__,
) as dag:
    KickMembersOperator(task_id="remove", room_id="{{ params.room_id }}", user_ids="{{ params.user_ids }}", retries=2)
