"""Switch this DAG on, and leave it on: every minute it stops what is on air past its end.

A broadcast ends itself, through its trigger and its tasks. This DAG ends a broadcast that neither can: of a run that timed out
while its triggerer was dead, of a worker that was lost before it deferred to the triggerer, of a DAG that was paused half way.
It leaves every other broadcast alone.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_provider_timav.operators.broadcast import ReapBroadcastsOperator

with DAG(
    dag_id="timav_reap_broadcasts",
    schedule="* * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["timav", "example"],
    doc_md=__doc__,
) as dag:
    ReapBroadcastsOperator(task_id="reap")
