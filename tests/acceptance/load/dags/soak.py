"""One broadcast in the room and for the time that the run's configuration names; many runs at a time."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_timav.broadcast import Broadcast

with DAG("soak", schedule=None, max_active_runs=100, max_active_tasks=100):
    Broadcast(
        room_id="{{ dag_run.conf.room_id }}",
        user_id="host",
        duration="{{ dag_run.conf.seconds }}",
        timav_conn_id="{{ dag_run.conf.conn_id }}",
    )
