"""Whom the Test button's one line is about, for faults on the way to the service."""

from __future__ import annotations

import json
import os
import ssl

import pytest

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.videorelay.tls import forget_contexts
from harness.peer import listening


def line_of(monkeypatch: pytest.MonkeyPatch, connection: dict[str, object]) -> str:
    monkeypatch.setenv("AIRFLOW_CONN_TIMAV_DEFAULT", json.dumps(connection))
    accepted, said = TimAVHook().test_connection()
    assert not accepted
    return said


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("403 Forbidden", "Proxy: the proxy refuses to connect (403). "),
        ("503 No", "Proxy: the proxy cannot connect (503), nothing was executed. "),
        ("407 No", "Proxy: the proxy wants other credentials (407): check proxy of the connection. "),
    ],
)
def test_proxy_that_refuses(status: str, said: str, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()
    with listening(lambda connection: connection.sendall(answer)) as port:
        line = line_of(monkeypatch, timav_emulator.connection(proxy=f"http://joe:pr0xypass@127.0.0.1:{port}"))
    assert line.startswith(said)
    assert "pr0xypass" not in line
    assert "joe" not in line


def test_proxy_that_is_misspelt(timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    line = line_of(monkeypatch, timav_emulator.connection(proxy="http://joe:pr0xypass@pro xy:1"))
    assert line.startswith(
        "Connection: incomplete or wrong: proxy must be http://host:port or http://user:password@host:port"
    )
    assert "pr0xypass" not in line


def test_handshake_that_fails_before_a_certificate_was_asked_for(
    timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(lambda connection: connection.sendall(b"\x15\x03\x03\0\2\2\x28")) as port:
        line = line_of(monkeypatch, timav_emulator.connection() | {"port": port})
    assert line.startswith(f"Host https://127.0.0.1:{port}: gives no usable answer: the server refuses what this")
    assert "client_cert" not in line


@pytest.mark.parametrize("status", [495, 496])
def test_status_of_a_refused_certificate(
    status: int, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    timav_emulator.fail_next(1, status=status)
    assert ": reached. Certificate: refused: " in line_of(monkeypatch, timav_emulator.connection())


def test_refusal_quotes_the_service(timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    timav_emulator.fail_next(1, code=70004, layer="gateway", reason="sig cut off")
    line = line_of(monkeypatch, timav_emulator.connection())
    assert 'Credential (UserSig): refused: UserSig is cut off (gateway code 70004: "sig cut off").' in line


def test_machine_that_cannot_prepare_tls(timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> int:
        raise OSError(24, "Too many open files")

    connection = timav_emulator.connection()
    forget_contexts()
    monkeypatch.setattr(os, "memfd_create", refuse)
    line = line_of(monkeypatch, connection)
    assert line.startswith("Connection: not tested: this machine cannot prepare TLS (Too many open files)")
    assert "Correct the argument" not in line


def test_store_of_cas_that_cannot_be_used(timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = timav_emulator.connection(ca_cert=None)

    def refuse(*args: object, **facts: object) -> None:
        raise PermissionError(13, "Permission denied")

    forget_contexts()
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", refuse)
    line = line_of(monkeypatch, connection)
    assert line.startswith(
        "Connection: incomplete or wrong: ca_cert is empty, and this system's store of CAs cannot be read"
    )
