"""What was replaced in the connection between start and stop counts for the stop."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.retry import TimAVRetryPolicy
from airflow_provider_timav.videorelay.errors import CredentialError
from tests.operators.task import Task

HOST: dict[str, Any] = {"room_id": 10086, "user_id": "host_1"}


def connect(monkeypatch: pytest.MonkeyPatch, connection: dict[str, Any]) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TIMAV_DEFAULT", json.dumps(connection))


def test_stop_presents_the_new_certificate(timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    Task(StartPushOperator(task_id="start_push", **HOST)).execute()
    cert, key = timav_emulator.certificates.issue_client(common_name="the next one")
    connect(monkeypatch, timav_emulator.connection(client_cert=cert, private_key=key))
    Task(StopPushOperator(task_id="stop_push", **HOST)).execute()
    assert [entry.client for entry in timav_emulator.journal] == ["timav client", "the next one"]
    assert not timav_emulator.pushes


def test_stop_signs_with_the_new_secret_key(timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    Task(StartPushOperator(task_id="start_push", **HOST)).execute()
    connect(monkeypatch, timav_emulator.connection(sign=True))
    assert Task(StopPushOperator(task_id="stop_push", **HOST)).execute() == {"outcome": "stopped"}


def test_expired_usersig_is_retried_until_somebody_replaces_it(
    timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    Task(StartPushOperator(task_id="start_push", **HOST)).execute()
    expired = timav_emulator.sign(issued_at=0, validity_seconds=60)
    connect(monkeypatch, timav_emulator.connection() | {"password": expired})
    stop = Task(StopPushOperator(task_id="stop_push", **HOST))
    with pytest.raises(
        CredentialError, match=r"stop_push in room 10086 for host_1: .*password of the connection"
    ) as failed:
        stop.execute()
    assert TimAVRetryPolicy().evaluate(failed.value, 1, 6).action.value == "retry"
    connect(monkeypatch, timav_emulator.connection())
    assert stop.execute() == {"outcome": "stopped"}
