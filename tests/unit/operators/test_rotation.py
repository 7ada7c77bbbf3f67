"""What was replaced in the connection between start and stop counts for the stop."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks import timav
from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.retry import TimAVRetryPolicy
from airflow_provider_timav.videorelay.errors import CertificateError, CredentialError
from harness.task import Task

Pauses = Callable[[Callable[[], object]], list[float]]

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


class TestPairOfFiles:
    """A certificate and its key are two files, and are replaced one after the other."""

    @pytest.fixture
    def pair(self, timav_emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
        """The files that the connection names."""
        files = tmp_path / "tls.crt", tmp_path / "tls.key"
        own = timav_emulator.certificates
        for path, text in zip(files, (own.client_cert_pem, own.client_key_pem), strict=True):
            path.write_text(text)
        paths = [str(path) for path in files]
        connect(monkeypatch, timav_emulator.connection(client_cert=paths[0], private_key=paths[1]))
        return files

    @pytest.fixture
    def pauses(self, monkeypatch: pytest.MonkeyPatch) -> Pauses:
        """Have something happen in each pause before files are read once more; the pauses themselves are listed."""

        def during(happens: Callable[[], object]) -> list[float]:
            found: list[float] = []

            def sleep(seconds: float) -> None:
                found.append(seconds)
                happens()

            monkeypatch.setattr(timav, "time", SimpleNamespace(sleep=sleep))
            return found

        return during

    @pytest.mark.parametrize("first", [0, 1], ids=["certificate first", "key first"])
    def test_that_is_half_replaced_is_read_once_more(
        self,
        first: int,
        pair: tuple[Path, Path],
        pauses: Pauses,
        timav_emulator: Emulator,
    ) -> None:
        Task(StartPushOperator(task_id="start_push", **HOST)).execute()
        texts = timav_emulator.certificates.issue_client(common_name="the next one")
        pair[first].write_text(texts[first])
        seen = pauses(lambda: pair[1 - first].write_text(texts[1 - first]))
        assert Task(StopPushOperator(task_id="stop_push", **HOST)).execute() == {"outcome": "stopped"}
        assert seen == [timav.ROTATION_SECONDS]
        assert [entry.client for entry in timav_emulator.journal] == ["timav client", "the next one"]

    @pytest.mark.parametrize("written", ["", "-----BEGIN CERTIFICATE-----\nMIIB"], ids=["empty", "half written"])
    def test_that_is_being_written_is_read_once_more(
        self,
        written: str,
        pair: tuple[Path, Path],
        pauses: Pauses,
        timav_emulator: Emulator,
    ) -> None:
        whole = pair[0].read_text()
        pair[0].write_text(written)
        pauses(lambda: pair[0].write_text(whole))
        assert Task(StopPushOperator(task_id="stop_push", **HOST)).execute()["outcome"] == "already_stopped"

    def test_triggers_read_it_once_more_too(
        self,
        pair: tuple[Path, Path],
        pauses: Pauses,
        timav_emulator: Emulator,
    ) -> None:
        certificate, key = timav_emulator.certificates.issue_client()
        pair[0].write_text(certificate)
        seen = pauses(lambda: pair[1].write_text(key))
        timav.TimAVHook().async_client()
        assert len(seen) == 1

    def test_that_stays_unfit_fails_after_one_pause(
        self,
        pair: tuple[Path, Path],
        pauses: Pauses,
        timav_emulator: Emulator,
    ) -> None:
        pair[1].write_text(timav_emulator.certificates.issue_client()[1])
        seen = pauses(lambda: None)
        with pytest.raises(CertificateError, match="not the key of client_cert") as failed:
            Task(StopPushOperator(task_id="stop_push", **HOST)).execute()
        assert (failed.value.field, len(seen)) == ("private_key", 1)
        assert failed.value.__context__ is None

    def test_texts_come_together_and_are_read_once(
        self,
        pauses: Pauses,
        timav_emulator: Emulator,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        connect(monkeypatch, timav_emulator.connection(private_key=timav_emulator.certificates.issue_client()[1]))
        seen = pauses(lambda: None)
        with pytest.raises(CertificateError):
            Task(StopPushOperator(task_id="stop_push", **HOST)).execute()
        assert seen == []

    def test_a_test_of_the_connection_does_not_wait(
        self,
        pair: tuple[Path, Path],
        pauses: Pauses,
        timav_emulator: Emulator,
    ) -> None:
        pair[1].write_text(timav_emulator.certificates.issue_client()[1])
        seen = pauses(lambda: None)
        accepted, said = timav.TimAVHook().test_connection()
        assert not accepted
        assert "not the key of client_cert" in said
        assert seen == []
