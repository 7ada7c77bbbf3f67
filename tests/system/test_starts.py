"""Starts that a trigger sends, on a real Airflow: at the second, for hosts who come late, over the loss of a triggerer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest

from airflow_provider_timav.emulator import JournalEntry
from harness.processes import until
from harness.rest import Run
from harness.service import Witness, connect
from harness.site import AirflowSite

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

AT_ONCE, LATE, FAILED, SUCCEEDED, ALONE = (701, 702, 703), 711, 712, 713, 714
ROOMS = (*AT_ONCE, LATE, FAILED, SUCCEEDED, ALONE)

DAGS = '''
"""Broadcasts that a trigger starts."""

from airflow.sdk import DAG
from airflow_provider_timav.broadcast import Broadcast
from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator

HOST = {"user_id": "host", "timav_conn_id": "timav_starts"}

def after(seconds):
    return "{{ (dag_run.run_after + macros.timedelta(seconds=%s)).isoformat() }}" % seconds

# Late enough for the triggerer to be killed before the claims are written: after that, the next one waits until they are stale.
with DAG("starts_at_once", schedule=None):
    for room in (701, 702, 703):
        Broadcast(f"room_{room}", room_id=room, **HOST, starts_at=after(80), duration=20)

with DAG("starts_late", schedule=None):
    Broadcast(room_id=711, **HOST, starts_at=after(5), duration=75, wait_for_user=60)

for room, name in ((712, "failed"), (713, "success")):
    with DAG(f"starts_marked_{name}", schedule=None):
        Broadcast(room_id=room, **HOST, starts_at=after(80), duration=60)

with DAG("starts_alone", schedule=None):
    start = StartPushOperator(task_id="start", room_id=714, **HOST, deferrable=True)
    start >> StopPushOperator(task_id="stop", room_id=714, **HOST, start_task_id="start").as_teardown(setups=start)
'''


@pytest.fixture(scope="module")
def service() -> Iterator[Witness]:
    with Witness(rooms={room: [] if room == LATE else ["host"] for room in ROOMS}) as service:
        yield service


@pytest.fixture(scope="module")
def runs(airflow_site: AirflowSite, service: Witness) -> dict[str, Run]:
    """Runs that were played to their ends; the triggerer was killed while the first three waited for their time."""
    site = airflow_site
    connect(site, "timav_starts", service.connection())
    site.write_dag("starts", DAGS)
    runs = {name: site.trigger(f"starts_{name}") for name in ("at_once", "marked_failed", "marked_success")}
    for room in AT_ONCE:
        site.wait_for_task(runs["at_once"], f"room_{room}.start_push", "deferred", timeout=60)
    for state in ("failed", "success"):
        site.wait_for_task(runs[f"marked_{state}"], "broadcast.start_push", "deferred", timeout=60)
        site.mark(runs[f"marked_{state}"], "broadcast.start_push", state)
    try:
        site.kill("triggerer")
    finally:
        site.start("triggerer")
    runs |= {name: site.trigger(f"starts_{name}") for name in ("late", "alone")}
    until(lambda: len(service.operations(LATE)) >= 5, timeout=60, failure=site.consoles, check=site.check)
    service.enter(LATE, "host")
    until(lambda: service.on_air(LATE), timeout=30, failure=site.consoles, check=site.check)
    assert site.task_instance(runs["late"], "broadcast.start_push").state == "deferred"
    for run in runs.values():
        site.wait(run, 240)
    return runs


def executed(service: Witness, room: int, operation: str) -> list[JournalEntry]:
    return [
        entry
        for entry in service.journal
        if (entry.room_id, entry.operation, entry.executed) == (room, operation, True)
    ]


@pytest.mark.parametrize("room", AT_ONCE)
def test_push_and_recording_start_once_and_not_before_their_second(
    room: int, runs: dict[str, Run], service: Witness
) -> None:
    """Though the triggerer was killed before."""
    run = runs["at_once"]
    assert run.state == "success"
    starts_at = datetime.fromisoformat(run.xcom(f"room_{room}.reserve", "starts_at"))
    for operation in ("start_push", "start_record"):
        (start,) = executed(service, room, operation)
        assert start.at >= starts_at
    push = run.xcom(f"room_{room}.start_push")
    assert push["outcome"] == "started"
    assert push["hls_url"].startswith("http")
    assert run.xcom(f"room_{room}.start_record", "outcome") == "recovered"
    assert run.xcom(f"room_{room}.result", "file_ids")
    assert service.on_air(room) == []


def test_host_who_comes_later_is_on_air_without_a_worker(runs: dict[str, Run], service: Witness) -> None:
    assert runs["late"].state == "success"
    assert len(executed(service, LATE, "start_push")) == 1
    assert runs["late"].xcom("broadcast.result", "file_ids")


@pytest.mark.parametrize(("state", "room"), [("failed", FAILED), ("success", SUCCEEDED)])
def test_task_that_a_person_marks_before_the_start_starts_nothing(
    state: str, room: int, runs: dict[str, Run], service: Witness
) -> None:
    assert runs[f"marked_{state}"].state == "failed"
    assert executed(service, room, "start_push") == executed(service, room, "start_record") == []


def test_push_by_itself_may_be_started_by_a_trigger(runs: dict[str, Run], service: Witness) -> None:
    run = runs["alone"]
    assert run.state == "success"
    assert run.xcom("start", "outcome") == "started"
    assert run.xcom("stop", "outcome") == "stopped"
    assert [operation for operation, _ in service.operations(ALONE)] == ["start_push", "stop_push"]
