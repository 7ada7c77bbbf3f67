"""The reaper for once, when it is asked."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_timav.operators.broadcast import ReapBroadcastsOperator

with DAG("reap", schedule=None):
    ReapBroadcastsOperator(task_id="reap")
