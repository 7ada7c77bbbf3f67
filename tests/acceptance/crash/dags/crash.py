"""What the crash matrix runs: a start, a look at what is live, a stop; one of the two operations dies where the plan says.

The plan is the run's conf: `task` (`start` or `stop`), `deaths` (try number → point), `supervisor` (whether the process above
the task dies first), `notes` (a folder: who died where, one file per try), and where the service is. Nothing in the provider
knows of it: the process of the task wraps the provider's functions in itself before it executes.
"""
# Airflow's authoring API is not typed for this.
# mypy: disable-error-code="index, no-untyped-call, call-arg, arg-type"

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from airflow.sdk import DAG, task

from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator, StopRecordOperator

HERE = {
    "room_id": "{{ dag_run.conf.room_id }}",
    "user_id": "host",
    "timav_conn_id": "{{ dag_run.conf.conn_id }}",
    # above the `delay` that the matrix gives a request which the service carries out after its sender's death
    "retry_delay": timedelta(seconds=3),
}
SERVICE_SECONDS = 20


class Plan:
    """How this try is to end, if at all."""

    def __init__(self, context: Any) -> None:
        conf, ti = context["dag_run"].conf, context["ti"]
        self.conf = conf
        self.try_number: int = ti.try_number
        ours = ti.task_id == conf["task"]
        self.point: str | None = conf["deaths"].get(str(ti.try_number)) if ours else None

    def die(self) -> NoReturn:
        """End this process as a kernel out of memory does; where planned, its supervisor first."""
        parent = os.getppid()
        note = {"point": self.point, "try": self.try_number, "at": time.time(), "pid": os.getpid(), "parent": parent}
        Path(self.conf["notes"], f"{self.try_number}.json").write_text(json.dumps(note))
        if self.conf["supervisor"]:
            title = Path(f"/proc/{parent}/cmdline").read_text()
            if "LocalExecutor" not in title:
                raise RuntimeError(f"above this task is no worker, but {title!r}")
            os.kill(parent, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("survived SIGKILL")

    def ask(self, path: str) -> Any:
        """What the service's control interface says, asked for without the provider's client."""
        with urllib.request.urlopen(f"{self.conf['control']}/control/{path}", timeout=5) as answer:  # noqa: S310 - http
            return json.load(answer)

    def once(self, condition: Callable[[], bool]) -> None:
        """Die as soon as this holds."""
        deadline = time.monotonic() + SERVICE_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.point}: the service did not come so far")
            time.sleep(0.02)
        self.die()


def arm(context: Any) -> None:
    """Arrange this try's death; runs in the task's process, directly before `execute`."""
    plan = Plan(context)
    if plan.point is not None:
        ARMS[plan.point](plan, "start" if plan.conf["task"] == "start" else "stop")


def after_execute(context: Any, result: Any) -> None:
    """Die where `execute` has returned and Airflow has pushed nothing of it; runs in the task's process."""
    plan = Plan(context)
    if plan.point == "before_xcom":
        plan.die()


def fails(plan: Plan, task_id: str) -> None:
    raise RuntimeError("this try fails before its first write")


def before_intent(plan: Plan, task_id: str) -> None:
    before(*INTENT[task_id](), plan.die)


def after_intent(plan: Plan, task_id: str) -> None:
    after(*INTENT[task_id](), plan.die)


def sending(plan: Plan, task_id: str) -> None:
    """Half of the body is on the wire."""
    from airflow_provider_timav.videorelay.sockets import TlsSocket

    inner = TlsSocket.send

    def send(self: TlsSocket, data: Any, flags: int = 0) -> int:
        if bytes(data[:1]) == b"{":
            inner(self, data[: len(data) // 2], flags)
            plan.die()
        return inner(self, data, flags)

    setattr(TlsSocket, "send", send)  # noqa: B010 - the type checker refuses the plain assignment


def sent(plan: Plan, task_id: str) -> None:
    """The service has read the request, which its fault `delay` keeps it from carrying out yet."""
    before_answer(lambda: plan.once(lambda: not plan.ask("state")["faults"]))


def accepted(plan: Plan, task_id: str) -> None:
    """The service has carried the request out; its fault `delay_answer` keeps it from saying so."""
    before_answer(lambda: plan.once(lambda: done(plan.ask("journal"), plan.conf["operation"])))


def answered(plan: Plan, task_id: str) -> None:
    """The first bytes of the answer have arrived; nothing has read them yet."""
    from airflow_provider_timav.videorelay.sockets import TlsSocket

    after(TlsSocket, "_receive", plan.die)


def before_store(plan: Plan, task_id: str) -> None:
    """The result is known, and noted nowhere."""
    from airflow_provider_timav.operators._intent import Intent
    from airflow_provider_timav.operators._stop import StopOperator

    if task_id == "start":
        before(Intent, "settle", plan.die)
    else:
        after(StopOperator, "send", plan.die)


def after_xcom(plan: Plan, task_id: str) -> None:
    """All XComs are pushed; that the task has succeeded is not reported."""
    from airflow.sdk.execution_time import task_runner

    after(task_runner, "_push_xcom_if_needed", plan.die)


def start_intent() -> tuple[Any, str]:
    from airflow_provider_timav.operators._intent import Intent

    return Intent, "begin"


def stop_intent() -> tuple[Any, str]:
    """A stop has nothing to write down before it is sent: what stands there is the look at the claim."""
    from airflow_provider_timav.operators._stop import StopOperator

    return StopOperator, "no_need"


INTENT = {"start": start_intent, "stop": stop_intent}
ARMS: dict[str, Callable[[Plan, str], None]] = {
    arm.__name__: arm
    for arm in (fails, before_intent, after_intent, sending, sent, accepted, answered, before_store, after_xcom)
} | {"before_xcom": lambda plan, task_id: None}


def before(owner: Any, name: str, act: Callable[[], Any]) -> None:
    inner = getattr(owner, name)

    def wrapper(*arguments: Any, **keywords: Any) -> Any:
        act()
        return inner(*arguments, **keywords)

    setattr(owner, name, wrapper)


def after(owner: Any, name: str, act: Callable[[], Any]) -> None:
    inner = getattr(owner, name)

    def wrapper(*arguments: Any, **keywords: Any) -> Any:
        inner(*arguments, **keywords)
        return act()

    setattr(owner, name, wrapper)


def before_answer(act: Callable[[], Any]) -> None:
    """Act when the client has sent everything and wants to read."""
    from airflow_provider_timav.videorelay.sockets import TlsSocket

    before(TlsSocket, "recv_into", act)


def done(journal: list[dict[str, Any]], operation: str) -> bool:
    return any(entry["operation"] == operation and entry["executed"] for entry in journal)


@task(task_id="live", trigger_rule="all_done", retries=0)
def look(**context: Any) -> dict[str, Any]:
    """What runs now, from the service itself."""
    state = Plan(context).ask("state")
    return {
        "pushes": [push["urls"] for push in state["pushes"]],
        "recordings": [recording["file_name"] for recording in state["recordings"]],
    }


# By retries: how many at once. Those that wait for a heartbeat's timeout hold a worker's place.
RUNS = {1: 4, 2: 2}
MORTAL = {**HERE, "pre_execute": arm, "post_execute": after_execute}
PRESENT = {"wait_for_user": 0}  # the host is there: who waits all the same is wrong, and is soon found out
LAST = {"start_task_id": "start", "trigger_rule": "all_done"}

for retries, runs in RUNS.items():
    some = {"schedule": None, "max_active_runs": runs, "default_args": {"retries": retries}}
    with DAG(f"crash_push_{retries}", **some):
        start_push = StartPushOperator(task_id="start", **MORTAL, **PRESENT, live_code="hls+rtmp", rate_types=[0, 10])
        start_push >> look() >> StopPushOperator(task_id="stop", **MORTAL, **LAST)
    with DAG(f"crash_record_{retries}", **some):
        start_record = StartRecordOperator(task_id="start", **MORTAL, **PRESENT)
        start_record >> look() >> StopRecordOperator(task_id="stop", **MORTAL, **LAST)
