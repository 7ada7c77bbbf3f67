"""The reaper, as it stands in a DAG of its own: when it is asked, and each minute."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_provider_timav.operators.broadcast import ReapBroadcastsOperator

with DAG("reap", schedule=None):
    ReapBroadcastsOperator(task_id="reap")

with DAG(
    "reap_each_minute",
    schedule="* * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    max_active_runs=1,
    is_paused_upon_creation=True,
):
    ReapBroadcastsOperator(task_id="reap")
