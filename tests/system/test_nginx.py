"""Debian's nginx in front of the emulator: a TLS peer that shares nothing with our client or with Python's ssl.

It asks for a client certificate (`ssl_verify_client on`) and calls the emulator with one of its own.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_timav.emulator import Certificates, Emulator
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.videorelay import calls
from airflow_provider_timav.videorelay.aclient import AsyncClient
from airflow_provider_timav.videorelay.client import Client
from airflow_provider_timav.videorelay.errors import AmbiguousOutcome, CertificateError
from airflow_provider_timav.videorelay.exchange import Service
from airflow_provider_timav.videorelay.tls import Identity
from airflow_provider_timav.videorelay.usersig import StaticUserSig
from harness.clients import KINDS, Blocking
from harness.nginx import HEAD, NGINX, nginx_running
from harness.processes import until
from harness.site import free_port

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: apt-get install nginx-light)"),
]

CONFIG = """
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/server.crt;
        ssl_certificate_key {folder}/server.key;
        ssl_client_certificate {folder}/ca.crt;
        ssl_verify_client on;
        location / {{
            proxy_pass {upstream};
            proxy_ssl_certificate {folder}/proxy.crt;
            proxy_ssl_certificate_key {folder}/proxy.key;
            proxy_ssl_trusted_certificate {folder}/ca.crt;
            proxy_ssl_verify on;
            proxy_ssl_name localhost;
        }}
    }}
}}
"""


@dataclass
class Front:
    """A running nginx, the emulator behind it, and what nginx noted of each request."""

    port: int
    folder: Path
    emulator: Emulator

    def connection(self, **extra: Any) -> dict[str, Any]:
        """A connection that leads to nginx instead of the emulator itself."""
        return {**self.emulator.connection(**extra), "port": self.port}

    def statuses(self, count: int) -> list[int]:
        """The HTTP statuses that nginx has answered, once it has noted `count` of them: it does so after the answer."""

        def lines() -> list[str]:
            return (self.folder / "access.log").read_text().splitlines()

        until(lambda: len(lines()) >= count, timeout=5, failure=lambda: f"nginx noted {lines()}", check=lambda: None)
        return [int(line.split('" ')[1].split()[0]) for line in lines()]


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("nginx")
    with Emulator() as emulator:
        made = emulator.certificates
        proxy_cert, proxy_key = made.issue_client("nginx")
        files = {
            "ca.crt": made.ca_pem,
            "server.crt": made.server_cert_pem,
            "server.key": made.server_key_pem,
            "proxy.crt": proxy_cert,
            "proxy.key": proxy_key,
        }
        for name, text in files.items():
            (folder / name).touch(mode=0o600)
            (folder / name).write_text(text)
        port = free_port()
        configuration = (HEAD + CONFIG).format(folder=folder, port=port, upstream=emulator.api_url)
        with nginx_running(folder, configuration, port):
            yield Front(port, folder, emulator)


@pytest.fixture(autouse=True)
def fresh(front: Front) -> None:
    front.emulator.clear_journal()
    (front.folder / "access.log").write_text("")


def connect(monkeypatch: pytest.MonkeyPatch, connection: dict[str, Any]) -> TimAVHook:
    monkeypatch.setenv("AIRFLOW_CONN_TIMAV_DEFAULT", json.dumps(connection))
    return TimAVHook()


def test_a_broadcast_works_through_nginx(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    identity: dict[str, Any] = {"room_id": front.emulator.room_id, "user_id": front.emulator.user_id}
    with connect(monkeypatch, front.connection()) as hook:
        started = hook.start_push(**identity, channel_name="直播 & more")
        hook.start_record(**identity, file_name="through_nginx")
        assert started.hls_url == front.emulator.pushes[0].live_urls[0].url
        assert hook.stop_record(**identity).file_ids == tuple(front.emulator.file_ids("through_nginx"))
        assert hook.stop_push(**identity).outcome == "stopped"
        assert hook.test_connection()[0]
    assert front.statuses(5) == [200] * 5
    assert [entry.executed for entry in front.emulator.journal] == [True, True, True, True, False]


def test_a_trigger_stops_through_nginx_what_a_task_has_started(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    identity: dict[str, Any] = {"room_id": front.emulator.room_id, "user_id": front.emulator.user_id}
    with connect(monkeypatch, front.connection()) as hook:
        hook.start_push(**identity)
        hook.start_record(**identity, file_name="by_a_trigger")
        with Blocking(hook.async_client()) as client:
            recorded = client.call(calls.stop_record(**identity))
            assert recorded.file_ids == tuple(front.emulator.file_ids("by_a_trigger"))
            assert client.call(calls.stop_push(**identity)).outcome == "stopped"
    assert front.statuses(4) == [200] * 4
    assert not front.emulator.pushes


NOW = datetime.now(UTC)
YEAR_2020 = datetime(2020, 6, 1, tzinfo=UTC)


def no_certificate(made: Certificates) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=made.ca_pem)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def foreign_certificate(made: Certificates) -> ssl.SSLContext:
    other = Certificates()
    identity = Identity.load(client_cert=other.client_cert_pem, private_key=other.client_key_pem)
    return identity.context(made.ca_pem)


def expired_certificate(made: Certificates) -> ssl.SSLContext:
    """The client's own check is given a clock that stands in 2020."""
    chain, key = made.issue_client(not_before=YEAR_2020 - timedelta(days=1), not_after=YEAR_2020 + timedelta(days=99))
    return Identity.load(client_cert=chain, private_key=key, now=YEAR_2020).context(made.ca_pem)


@pytest.mark.parametrize(
    ("context", "said"),
    [
        (no_certificate, "no client certificate arrived"),
        (foreign_certificate, "the client certificate was refused (foreign, or expired)"),
        (expired_certificate, "the client certificate was refused (foreign, or expired)"),
    ],
    ids=["missing", "foreign", "expired"],
)
@pytest.mark.parametrize("asynchronous", [False, True], ids=KINDS)
def test_a_refused_client_certificate_is_named(
    front: Front, asynchronous: bool, context: Callable[[Certificates], ssl.SSLContext], said: str
) -> None:
    """It completes the handshake and answers 400 with a page; it is posted once, and the emulator hears of nothing."""
    emulator = front.emulator
    service = Service(
        f"https://127.0.0.1:{front.port}",
        emulator.sdkappid,
        emulator.identifier,
        StaticUserSig(emulator.usersig),
    )
    kind = AsyncClient if asynchronous else Client
    made = kind(service, lambda: context(emulator.certificates))
    with (
        Blocking(made) if isinstance(made, AsyncClient) else made as client,
        pytest.raises(CertificateError) as refused,
    ):
        client.call(calls.start_push(room_id=emulator.room_id, user_id=emulator.user_id))
    error = refused.value
    assert (error.field, error.code, error.layer) == ("client_cert", 400, "http")
    assert (error.retryable, error.executed, error.posts) == (False, "no", 1)
    assert said in str(error)
    assert emulator.usersig not in str(error)
    assert front.statuses(1) == [400]
    assert (emulator.journal, emulator.pushes) == ((), ())


def test_the_test_button_says_that_the_certificate_is_foreign(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Certificates()
    foreign = front.connection(client_cert=other.client_cert_pem, private_key=other.client_key_pem)
    works, message = connect(monkeypatch, foreign).test_connection()
    assert not works
    assert "reached. Certificate: refused: the client certificate was refused" in message
    assert front.statuses(1) == [400]


def test_an_expired_certificate_does_not_leave_this_machine(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    chain, key = front.emulator.certificates.issue_client(
        not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=1)
    )
    hook = connect(monkeypatch, front.connection(client_cert=chain, private_key=key))
    with pytest.raises(CertificateError, match="expired on") as refused:
        hook.start_push(room_id=front.emulator.room_id, user_id=front.emulator.user_id)
    assert refused.value.field == "client_cert"
    assert front.statuses(0) == []


def test_a_dead_upstream_leaves_the_outcome_open(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """502 comes with and without the upstream having been reached: the same operation is sent again, then it is open."""
    with (
        front.emulator.unreachable(),
        connect(monkeypatch, front.connection()) as hook,
        pytest.raises(AmbiguousOutcome, match="502") as failed,
    ):
        hook.start_push(room_id=front.emulator.room_id, user_id=front.emulator.user_id)
    error = failed.value
    assert (error.code, error.layer, error.executed, error.retryable) == (502, "http", "maybe", True)
    assert error.posts == 3
    assert front.statuses(3) == [502] * 3
    assert front.emulator.journal == ()
    assert TimAVHook().test_connection()[0], "the service is found again"
    assert front.statuses(4)[3:] == [200]
