"""Buttons: where they lead, and that they are there while a task runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk import BaseOperator

from airflow_provider_timav.get_provider_info import get_provider_info
from airflow_provider_timav.leases import Lease, LeaseKey, Owner
from airflow_provider_timav.links import RecordingLink, show_links
from airflow_provider_timav.operators.broadcast import BroadcastResultOperator, OnAirOperator
from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator, StopRecordOperator

HOST: dict[str, Any] = {"room_id": 1, "user_id": "host"}
CONSOLE = "https://console.cloud.tencent.com"


def lease(map_index: int = -1) -> dict[str, Any]:
    key = LeaseKey("timav_default", 1, "host", "camera")
    owner = Owner("show", "manual__2026-01-02T03:04:05+00:00", "room.broadcast", map_index)
    return Lease(key, owner, "generation", datetime(2026, 1, 2, tzinfo=UTC)).to_json()


@dataclass
class TaskInstance:
    """As far as links look at one."""

    dag_id: str = "show"
    run_id: str = "manual__1"
    task_id: str = "a task"
    map_index: int | None = None
    pushed: dict[str, str] = field(default_factory=dict)
    fails: bool = False

    def xcom_push(self, *, key: str, value: str) -> None:
        if self.fails:
            raise RuntimeError("the API server is away")
        self.pushed[key] = value


RECORDING = "/dags/show/runs/manual__2026-01-02T03%3A04%3A05%2B00%3A00/tasks/room.broadcast.result/xcom"


class TestRecording:
    def test_in_a_broadcast_it_leads_to_what_the_result_hands_on(self) -> None:
        operator = StopRecordOperator(task_id="stop", **HOST, lease=lease())
        assert RecordingLink().get_link(operator, ti_key=TaskInstance()) == RECORDING

    def test_in_a_mapped_one_to_its_own(self) -> None:
        operator = StopRecordOperator(task_id="stop", **HOST, lease=lease(map_index=3))
        link = RecordingLink().get_link(operator, ti_key=TaskInstance())
        assert link == RECORDING.replace("/xcom", "/mapped/3/xcom")

    def test_elsewhere_to_the_task_itself(self) -> None:
        link = RecordingLink().get_link(StopRecordOperator(task_id="stop", **HOST), ti_key=TaskInstance())
        assert link == "/dags/show/runs/manual__1/tasks/a%20task/xcom"

    def test_below_the_path_that_airflow_is_served_at(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://example.org/airflow/")
        link = RecordingLink().get_link(StopRecordOperator(task_id="stop", **HOST), ti_key=TaskInstance())
        assert link.startswith("/airflow/dags/show/")


STREAMS = {"_link_PushConsoleLink": f"{CONSOLE}/live/streammanage"}
MEDIA = {"_link_RecordingConsoleLink": f"{CONSOLE}/vod/media"}
OWN = {"_link_RecordingLink": RECORDING}


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        pytest.param(lambda: StartPushOperator(task_id="t", **HOST), STREAMS, id="start_push"),
        pytest.param(lambda: StopPushOperator(task_id="t", **HOST), STREAMS, id="stop_push"),
        pytest.param(lambda: StartRecordOperator(task_id="t", **HOST, lease=lease()), OWN | MEDIA, id="start_record"),
        pytest.param(lambda: StopRecordOperator(task_id="t", **HOST, lease=lease()), OWN | MEDIA, id="stop_record"),
        pytest.param(lambda: OnAirOperator(task_id="t", lease=lease()), OWN | STREAMS, id="on_air"),
        pytest.param(lambda: BroadcastResultOperator(task_id="t", lease=lease()), OWN | MEDIA, id="result"),
    ],
)
def test_what_is_known_before_the_operation_is_there_from_then_on(
    make: Callable[[], BaseOperator], shown: dict[str, str]
) -> None:
    """Airflow itself makes buttons only when a task has ended or deferred."""
    ti = TaskInstance()
    make().pre_execute({"ti": ti})
    assert ti.pushed == shown


def test_a_button_that_cannot_be_shown_keeps_nothing_from_being_sent() -> None:
    ti = TaskInstance(fails=True)
    show_links(StopPushOperator(task_id="t", **HOST), ti)
    assert ti.pushed == {}


def test_airflow_is_told_of_every_button() -> None:
    operators = (
        StartPushOperator,
        StopPushOperator,
        StartRecordOperator,
        StopRecordOperator,
        OnAirOperator,
        BroadcastResultOperator,
    )
    used = {type(link).__name__ for operator in operators for link in operator.operator_extra_links}
    assert {path.rpartition(".")[2] for path in get_provider_info()["extra-links"]} == used
