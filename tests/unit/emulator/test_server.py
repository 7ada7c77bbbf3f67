"""Mutual TLS, counted; and ends without a trace."""

from __future__ import annotations

import gc
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from airflow_provider_timav.emulator import Certificates, Emulator
from harness.caller import START_PUSH, STOP_PUSH, Caller


def _context(trusted: str, client: tuple[str, str] | None, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=trusted)
    if client:
        path = tmp_path_factory.mktemp("client") / "client.pem"
        path.write_text("".join(client))
        context.load_cert_chain(path)
    return context


def test_one_connection_takes_one_handshake(emulator: Emulator, caller: Caller) -> None:
    for _ in range(5):
        caller.call(6, STOP_PUSH)
    assert (emulator.handshakes, emulator.connections) == (1, 1)
    assert {entry.connection for entry in emulator.journal} == {1}
    with Caller(emulator) as second:
        second.call(6, STOP_PUSH)
    assert emulator.handshakes == 2


def _expired(own: Certificates) -> tuple[str, str]:
    return own.issue_client(not_after=datetime.now(UTC) - timedelta(days=1))


def _early(own: Certificates) -> tuple[str, str]:
    return own.issue_client(not_before=datetime.now(UTC) + timedelta(days=1))


def _foreign(own: Certificates) -> tuple[str, str]:
    return Certificates().issue_client()


def _none(own: Certificates) -> None:
    return None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("client", "alert"),
    [
        (_none, "CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE"),
        (_foreign, "UNKNOWN_CA"),
        (_expired, "CERTIFICATE_EXPIRED"),
        (_early, "BAD_CERTIFICATE"),
    ],
)
def test_a_client_without_a_good_certificate_is_told_by_an_alert(
    emulator: Emulator,
    tmp_path_factory: pytest.TempPathFactory,
    client: Callable[[Certificates], tuple[str, str] | None],
    alert: str,
    version: ssl.TLSVersion,
) -> None:
    context = _context(emulator.certificates.ca_pem, client(emulator.certificates), tmp_path_factory)
    context.minimum_version = context.maximum_version = version
    with Caller(emulator, context) as caller, pytest.raises(ssl.SSLError, match=alert):
        caller.call(6, START_PUSH)
    assert emulator.handshakes == 0
    assert len(emulator.handshake_failures) == 1
    assert emulator.journal == ()


def test_tls_1_1_is_refused(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> None:
    context = _context(emulator.certificates.ca_pem, None, tmp_path_factory)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with Caller(emulator, context) as caller, pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        caller.call(6, START_PUSH)


def test_the_server_is_known_by_address_and_by_name(emulator: Emulator) -> None:
    port = urlsplit(emulator.api_url).port
    for host in ("127.0.0.1", "localhost"):
        with socket.create_connection(("127.0.0.1", port or 0), 5) as raw:
            raw.settimeout(5)
            with emulator.certificates.client_context().wrap_socket(raw, server_hostname=host) as secured:
                assert secured.version() == "TLSv1.3"
    with (
        socket.create_connection(("127.0.0.1", port or 0), 5) as raw,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        emulator.certificates.client_context().wrap_socket(raw, server_hostname="example.org")


def test_the_name_in_the_clients_certificate_stands_in_the_journal(
    emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> None:
    client = emulator.certificates.issue_client(common_name="worker 7")
    with Caller(emulator, _context(emulator.certificates.ca_pem, client, tmp_path_factory)) as caller:
        caller.call(6, STOP_PUSH)
    assert emulator.journal[0].client == "worker 7"


def test_plain_http_to_the_api_is_refused(emulator: Emulator) -> None:
    connection = http.client.HTTPConnection(urlsplit(emulator.api_url).netloc, timeout=5)
    connection.request("GET", "/")
    with pytest.raises((OSError, http.client.HTTPException)):
        connection.getresponse()
    connection.close()
    assert emulator.handshake_failures == ("http request",)


def test_it_listens_on_loopback_alone(emulator: Emulator) -> None:
    for url in (emulator.api_url, emulator.media_url):
        with pytest.raises(OSError, match=r"refused|unreachable"):
            socket.create_connection(("127.0.0.2", urlsplit(url).port or 0), 2)


def test_it_stops_at_once_with_connections_open() -> None:
    """Kept-alive, stalled, delayed and half-sent connections hold nothing up, and leave nothing behind."""
    before = threading.active_count()
    with Emulator() as emulator:
        address = ("127.0.0.1", urlsplit(emulator.api_url).port or 0)
        with Caller(emulator) as kept, socket.create_connection(address) as silent:
            kept.call(6, STOP_PUSH)
            with emulator.certificates.client_context().wrap_socket(
                socket.create_connection(address), server_hostname="127.0.0.1"
            ) as half:
                half.sendall(b"POST /v3")
                started = time.perf_counter()
                emulator.stop()
                assert time.perf_counter() - started < 3
                assert silent.recv(1) == b""
    emulator.stop()
    assert threading.active_count() == before
    gc.collect()  # an unclosed socket or loop would warn here, and warnings are errors


def test_it_starts_quickly() -> None:
    """Certificates included, below 150 ms of work: time in which other programs run is not counted."""
    took = []
    for _ in range(3):
        started = time.process_time()
        with Emulator():
            took.append(time.process_time() - started)
    assert min(took) < 0.15


def test_a_port_that_is_taken_is_an_error(emulator: Emulator) -> None:
    port = urlsplit(emulator.media_url).port or 0
    other = Emulator(media_port=port)
    with pytest.raises(OSError, match="in use"):
        other.start()
    other.stop()


def test_nothing_secret_shows_in_a_repr(emulator: Emulator) -> None:
    assert emulator.secret_key not in repr(emulator)
    assert "PRIVATE" not in repr(emulator.certificates)
