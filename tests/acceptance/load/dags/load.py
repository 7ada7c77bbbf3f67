"""Many shows on air at once, in the rooms and until the end that the run's configuration names.

`load_broadcasts` is the real thing: a `Broadcast` for each room. `load_shows` spares two cores most of the tasks: one does what
the first three of a `Broadcast` do, with the provider's own means: it takes the lease, starts push and recording, notes its
claims, and hands over to the very trigger that keeps a `Broadcast` on air.
"""
# Airflow's authoring API is not typed for this.
# mypy: disable-error-code="index, no-untyped-call, call-arg, arg-type"

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, BaseOperator, Context, TaskGroup, task, task_group

from airflow_provider_timav.broadcast import Broadcast
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.leases import CONTROL, KINDS, Claim, Lease, LeaseKey, Ledger, Owner
from airflow_provider_timav.operators._plan import default_file_name
from airflow_provider_timav.runs import TaskKey
from airflow_provider_timav.triggers.on_air import OnAirTrigger

CONN_ID = "timav_load"
AT_ONCE = 1000  # as many as there are
STOCK = 250


class Show(BaseOperator):
    """A broadcast in one room, from its start to its end."""

    template_fields = ("room_id", "end")

    def __init__(self, *, room_id: int, end: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.room_id = room_id
        self.end = end

    def execute(self, context: Context) -> None:
        ti = context["ti"]
        key = LeaseKey(CONN_ID, self.room_id, "host", "camera")
        owner = Owner(ti.dag_id, ti.run_id, "show", -1 if ti.map_index is None else ti.map_index)
        lease = Lease(key, owner, uuid.uuid4().hex, datetime.fromisoformat(self.end))
        ledger = Ledger(key.variable)
        ledger.write_lease(lease)
        who = {"room_id": key.room_id, "user_id": key.user_id}
        with TimAVHook(CONN_ID) as hook:
            push = hook.start_push(**who)
            hook.start_record(**who, file_name=default_file_name(key.room_id, owner, lease.generation))
        for kind in KINDS:
            ledger.write_claim(kind, Claim(lease.generation, "ours"))
        ti.xcom_push(key=CONTROL, value={"end": self.end})
        self.defer(
            trigger=OnAirTrigger(
                lease=lease.to_json(),
                end=self.end,
                task_key=TaskKey.of(ti).to_json(),
                stops=list(KINDS),
                hls_url=push.hls_url,
            ),
            method_name="over",
        )

    def over(self, context: Context, event: Any = None) -> dict[str, Any]:
        return dict(event)


@task
def rooms(*, dag_run: Any) -> list[int]:
    return list(dag_run.conf["rooms"])


END = "{{ dag_run.conf.end }}"

# The runs that shows were reserved by which nobody ends: it is paused, so its tasks are there and do nothing.
with DAG("stock", schedule=None, is_paused_upon_creation=True):
    for number in range(STOCK):
        EmptyOperator(task_id=f"show_{number}.reserve") >> EmptyOperator(task_id=f"show_{number}.on_air")

with DAG("load_shows", schedule=None, max_active_tasks=AT_ONCE):
    listed = rooms()
    with TaskGroup("show"):
        Show.partial(task_id="on_air", end=END, retries=1).expand(room_id=listed)

with DAG("load_broadcasts", schedule=None, max_active_tasks=AT_ONCE):

    @task_group
    def show(room_id: Any) -> None:
        Broadcast(room_id=room_id, user_id="host", ends_at=END, timav_conn_id=CONN_ID)

    show.expand(room_id=rooms())

with DAG("load_starts", schedule=None, max_active_tasks=AT_ONCE):

    @task_group
    def planned(room_id: Any) -> None:
        Broadcast(
            room_id=room_id,
            user_id="host",
            starts_at="{{ dag_run.conf.at }}",
            preroll="PT1H",
            ends_at=END,
            timav_conn_id=CONN_ID,
        )

    planned.expand(room_id=rooms())

with DAG("load_noop", schedule=None, max_active_tasks=AT_ONCE):

    @task
    def nothing(room_id: int) -> None: ...

    nothing.expand(room_id=rooms())
