"""What test_task_runs.py runs to see what Sentry is told: starts that fail, each in a task process that Sentry watches."""
# Airflow's authoring API is not typed for this.
# mypy: disable-error-code="index, no-untyped-call, call-arg, arg-type"

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG

from airflow_provider_timav.operators.push import StartPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator

FOLDER = Path("@folder@")  # the test puts one of its own in its place


def watch(context: Any) -> None:
    """Have Sentry watch this process, with its defaults; what it would send is written to a file."""
    import sentry_sdk
    from sentry_sdk.envelope import Envelope
    from sentry_sdk.transport import Transport

    class Written(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            with (FOLDER / context["ti"].task_id).open("ab") as file:
                file.write(envelope.serialize())

    sentry_sdk.init("http://key@127.0.0.1:1/1", transport=Written)


def tell(context: Any) -> None:
    """Tell Sentry why the task has failed."""
    import sentry_sdk

    sentry_sdk.capture_exception(context["exception"])


with DAG(
    "runs_watched",
    schedule=None,
    default_args={
        "timav_conn_id": "timav_stuck",
        "retries": 0,
        "on_execute_callback": watch,
        "on_failure_callback": tell,
    },
):
    here = {"room_id": 700, "user_id": "host"}
    password = {"player_password": "{{ var.value.audience }}"}
    StartRecordOperator(task_id="refused", **here)
    StartPushOperator(task_id="late", **here, **password, execution_timeout=timedelta(seconds=5))
    StartPushOperator(task_id="away", **here, **password, timav_conn_id="timav_proxied")
    StartPushOperator(task_id="closed", **here, **password, timav_conn_id="timav_closed")
