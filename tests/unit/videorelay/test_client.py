"""Both clients on real TLS sockets: deadlines, caps, trust, and what each fault of the transport comes to."""

from __future__ import annotations

import contextlib
import gzip
import resource
import socket
import ssl
import threading
import time
import urllib.parse
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import requests.adapters

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.emulator.certificates import Certificates
from airflow_provider_timav.videorelay import calls, exchange, sockets
from airflow_provider_timav.videorelay import client as client_module
from airflow_provider_timav.videorelay.client import Client
from airflow_provider_timav.videorelay.errors import (
    AmbiguousOutcome,
    CertificateError,
    ConfigurationError,
    ProtocolError,
    RateLimited,
    ServiceError,
    TimAVError,
    TransportError,
)
from airflow_provider_timav.videorelay.transport import current_flight
from harness.clients import AnyClient, Blocking, ClientOf, start
from harness.look_ups import looked_up
from harness.peer import BlackHole, Peer, Wire

FOREIGN = Certificates()


FAULTS: dict[str, tuple[dict[str, Any], type[TimAVError], int]] = {
    "C1 refused": ({"refuse": True}, TransportError, 0),
    "C4 closed before executing": ({"drop": "before"}, AmbiguousOutcome, 3),
    "C4 closed after executing": ({"drop": "after", "code": None}, AmbiguousOutcome, 3),
    "C5 reset after executing": ({"reset": "after"}, AmbiguousOutcome, 3),
    "C6 answer cut off": ({"truncate": 10}, AmbiguousOutcome, 3),
    "H1 301": ({"status": 301, "headers": {"Location": "https://127.0.0.1:1/"}}, ProtocolError, 1),
    "H1 302": ({"status": 302, "headers": {"Location": "https://127.0.0.1:1/"}}, ProtocolError, 1),
    "H1 303": ({"status": 303, "headers": {"Location": "https://127.0.0.1:1/"}}, ProtocolError, 1),
    "H1 307": ({"status": 307, "headers": {"Location": "https://127.0.0.1:1/"}}, ProtocolError, 1),
    "H1 308": ({"status": 308, "headers": {"Location": "https://127.0.0.1:1/"}}, ProtocolError, 1),
    "H2 400": ({"status": 400}, ProtocolError, 1),
    "H3 401": ({"status": 401}, ProtocolError, 1),
    "H3 403": ({"status": 403}, ProtocolError, 1),
    "H4 404": ({"status": 404}, ProtocolError, 1),
    "H5 413": ({"status": 413}, ProtocolError, 1),
    "H7 500": ({"status": 500}, AmbiguousOutcome, 3),
    "H8 502": ({"status": 502, "body": "<html>"}, AmbiguousOutcome, 3),
    "H9 503": ({"status": 503}, AmbiguousOutcome, 3),
    "H9 503 with Retry-After": ({"status": 503, "headers": {"Retry-After": "1"}}, ServiceError, 3),
    "429": ({"status": 429, "headers": {"Retry-After": "1"}}, RateLimited, 3),
    "H10 504": ({"status": 504}, AmbiguousOutcome, 3),
    "H13 a broken chunk": (
        {"raw": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"},
        AmbiguousOutcome,
        3,
    ),
    "H13 no last chunk": (
        {"raw": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"},
        AmbiguousOutcome,
        3,
    ),
    "H16 200 with nothing": ({"raw": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}, AmbiguousOutcome, 3),
    "H16 204": ({"status": 204}, AmbiguousOutcome, 3),
    "H17 a captive portal": (
        {"raw": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"},
        AmbiguousOutcome,
        3,
    ),
    "H18 less than announced": ({"raw": b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}"}, AmbiguousOutcome, 3),
    "H19 a header line of 1 MiB": (
        {"raw": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2**20 + b"\r\n\r\n"},
        AmbiguousOutcome,
        3,
    ),
    "H19 5000 headers": ({"raw": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000 + b"\r\n"}, AmbiguousOutcome, 3),
    "HTTP/0.9": ({"raw": b"hello"}, AmbiguousOutcome, 3),
    "103 as the last word": ({"raw": b"HTTP/1.1 103 Early Hints\r\n\r\n"}, AmbiguousOutcome, 3),
}


@pytest.mark.parametrize(("fault", "kind", "posts"), FAULTS.values(), ids=FAULTS.keys())
def test_fault_has_its_error_and_its_posts(
    fault: dict[str, Any], kind: type[TimAVError], posts: int, emulator: Emulator, client_of: ClientOf
) -> None:
    emulator.fail_next(9, **fault)
    with client_of(emulator) as client, pytest.raises(kind) as failed:
        start(client, emulator)
    assert type(failed.value) is kind
    assert len(emulator.journal) == posts
    assert (failed.value.__cause__, failed.value.__context__) == (None, None)
    assert emulator.usersig not in str(failed.value)


def test_first_line_of_the_fault_passes(emulator: Emulator, client_of: ClientOf) -> None:
    """A lost answer is settled by the second post; the start was executed once."""
    emulator.fail_next(1, drop="before")
    with client_of(emulator) as client:
        assert start(client, emulator).outcome == "started"
    assert [entry.executed for entry in emulator.journal] == [False, True]


@pytest.mark.parametrize(
    "body", [b'{"x": "' + b"y" * 2_000_000 + b'"}', gzip.compress(b"\0" * 2**27)], ids=["plain", "gzip"]
)
def test_answer_is_capped(body: bytes, emulator: Emulator, client_of: ClientOf) -> None:
    """H14: 128 MiB of nothing, packed into 128 KiB, must not be unpacked."""
    coding = b"Content-Encoding: gzip\r\n" if body[:2] == b"\x1f\x8b" else b""
    head = b"HTTP/1.1 200 OK\r\n" + coding + b"Content-Length: %d\r\n\r\n" % len(body)
    emulator.fail_next(1, raw=head + body)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with client_of(emulator) as client, pytest.raises(AmbiguousOutcome, match="exceeds 1048576 bytes"):
        start(client, emulator, max_posts=1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 * 1024


def test_header_fields_drop_no_credentials_elsewhere(emulator: Emulator, client_of: ClientOf) -> None:
    """H1: the second host of a redirect hears nothing."""
    with Emulator() as second:
        emulator.fail_next(1, status=307, headers={"Location": second.api_url})
        with client_of(emulator) as client, pytest.raises(ProtocolError, match="redirects"):
            start(client, emulator)
        assert (second.connections, second.journal) == (0, ())


@pytest.mark.parametrize(
    ("usersig", "identifier"),
    [
        pytest.param("eJw*tzcz2+Value/of-a_UserSig=", "admin", id="as the vendor signs"),
        pytest.param("%2A%25 é&usersig=x#?;", "管理 員", id="whatever else"),
    ],
)
def test_address_is_encoded_once(usersig: str, identifier: str, emulator: Emulator, client_of: ClientOf) -> None:
    arrived: list[str] = []

    def fault(wire: Wire) -> None:
        arrived.append(wire.target)
        wire.answer(b"", status="403 No")

    with Peer(emulator, fault=fault, faults_left=1) as peer:
        endpoint = f"https://127.0.0.1:{peer.port}"
        with client_of(emulator, endpoint=endpoint, usersig=usersig, identifier=identifier) as client:
            with pytest.raises(ProtocolError):
                start(client, emulator)
    (target,) = arrived
    quoted = [urllib.parse.quote(text, safe="") for text in (usersig, identifier)]
    assert target.startswith(f"/v3/openim/videorelay?usersig={quoted[0]}&identifier={quoted[1]}&sdkappid=")


def test_headers_ask_for_json_as_it_is_and_nothing_of_the_past(emulator: Emulator, client_of: ClientOf) -> None:
    """No compression, no cookie that an earlier answer set."""
    arrived: list[str] = []

    def fault(wire: Wire) -> None:
        arrived.append(wire.head)
        wire.answer(wire.execute(), "Set-Cookie: tasty=yes; Path=/")

    with Peer(emulator, fault=fault, faults_left=2) as peer:
        with client_of(emulator, endpoint=f"https://127.0.0.1:{peer.port}") as client:
            for _ in range(2):
                client.call(calls.stop_push(room_id=1, user_id="a"))
    assert len(arrived) == 2
    for head in arrived:
        names = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
        assert names["accept-encoding"] == "identity"
        assert names["content-type"] == "application/json"
        assert names["user-agent"] == "airflow-provider-timav"
        assert not {"cookie", "authorization", "transfer-encoding"} & names.keys()


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_answer_that_is_packed_unasked_is_read(
    coding: str, pack: Callable[[bytes], bytes], emulator: Emulator, client_of: ClientOf
) -> None:
    with Peer(
        emulator,
        fault=lambda wire: wire.answer(pack(wire.execute()), f"Content-Encoding: {coding}"),
        faults_left=1,
    ) as peer:
        with client_of(emulator, endpoint=f"https://127.0.0.1:{peer.port}") as client:
            assert start(client, emulator).outcome == "started"


def test_answer_that_cannot_be_unpacked(emulator: Emulator, client_of: ClientOf) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"
    emulator.fail_next(1, raw=raw)
    with client_of(emulator) as client, pytest.raises(AmbiguousOutcome, match="cannot be unpacked"):
        start(client, emulator, max_posts=1)


class TestDeadline:
    """20 seconds for a post, whatever the peer does; here with less, so that the tests are quick."""

    @pytest.mark.parametrize(
        "fault",
        [
            pytest.param({"drip": 0.2}, id="C7 the answer drips"),
            pytest.param({"delay": 30.0}, id="no answer"),
        ],
    )
    def test_post_ends_in_time(self, fault: dict[str, Any], emulator: Emulator, client_of: ClientOf) -> None:
        emulator.fail_next(1, **fault)
        began = time.monotonic()
        with client_of(emulator) as client, pytest.raises(AmbiguousOutcome, match="no answer in time"):
            start(client, emulator, max_posts=1, seconds=1.0)
        assert time.monotonic() - began < 5.0

    def test_handshake_that_stalls_was_never_sent(self, emulator: Emulator, client_of: ClientOf) -> None:
        """T14: the library reports a read timeout, as if something had been sent; the socket knows better."""
        emulator.fail_next(1, stall=True)
        began = time.monotonic()
        with client_of(emulator) as client, pytest.raises(TransportError) as failed:
            start(client, emulator, max_posts=1, seconds=1.0)
        assert failed.value.executed == "no"
        assert time.monotonic() - began < 5.0

    def test_kept_connection_keeps_no_deadline(self, emulator: Emulator, sync_client_of: ClientOf) -> None:
        with sync_client_of(emulator) as client:
            start(client, emulator, seconds=1.0)
            emulator.fail_next(1, delay=1.2)
            stopped = client.call(calls.stop_push(room_id=emulator.room_id, user_id=emulator.user_id))
        assert stopped.outcome == "stopped"
        assert emulator.handshakes == 1


class TestCut:
    """A call that is cancelled before it was sent ends at once, was not executed, and is not sent later either."""

    @pytest.fixture(autouse=True)
    def _patient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing but the cut ends a call in here."""
        monkeypatch.setattr(client_module, "CONNECT_SECONDS", 60.0)
        monkeypatch.setattr(exchange, "POST_SECONDS", 60.0)

    @staticmethod
    def calling(client: AnyClient, emulator: Emulator) -> tuple[threading.Event, list[TimAVError]]:
        """Call in a thread; return what is set once the call is over, and what it came to."""
        over, errors = threading.Event(), list[TimAVError]()

        def call() -> None:
            try:
                start(client, emulator)
            except TimAVError as error:
                errors.append(error)
            over.set()

        threading.Thread(target=call, daemon=True).start()
        return over, errors

    def test_while_the_name_is_looked_up(self, emulator: Emulator, sync_client_of: ClientOf) -> None:
        asked, released = threading.Event(), threading.Event()

        def answer(look_up: Callable[..., list[Any]], *args: Any, **facts: Any) -> list[Any]:
            asked.set()
            released.wait(60)
            return look_up(*args, **facts)

        port = urllib.parse.urlsplit(emulator.api_url).port
        with (
            looked_up("late.invalid", answer),
            sync_client_of(emulator, endpoint=f"https://late.invalid:{port}") as client,
        ):
            assert isinstance(client, Client)
            over, errors = self.calling(client, emulator)
            try:
                assert asked.wait(20)
                client.cancel(0)
                assert over.wait(20)
            finally:
                released.set()
            for thread in threading.enumerate():
                if thread.name == "timav-look-up":
                    thread.join(20)
        assert [type(error) for error in errors] == [TransportError]
        assert errors[0].executed == "no"
        assert emulator.connections == 0

    def test_while_the_connection_is_made(
        self, emulator: Emulator, sync_client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connecting = threading.Event()

        def connect(own: socket.socket, address: Any) -> None:
            connecting.set()
            socket.socket.connect(own, address)

        monkeypatch.setattr(sockets._PlainSocket, "connect", connect)
        with BlackHole() as hole, sync_client_of(emulator, endpoint=f"https://127.0.0.1:{hole.port}") as client:
            assert isinstance(client, Client)
            over, errors = self.calling(client, emulator)
            assert connecting.wait(20)
            client.cancel(0)
            assert over.wait(20)
        assert [type(error) for error in errors] == [TransportError]
        assert errors[0].executed == "no"

    def test_in_the_moment_before_the_connection_is_made(
        self, emulator: Emulator, sync_client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The socket cannot be shut down yet, and connects: nothing is said on it."""

        def connect(own: socket.socket, address: Any) -> None:
            flight = current_flight()
            assert flight is not None
            assert isinstance(client, Client)
            client.cancel(0)
            for _ in range(100):
                if flight.deadline <= time.monotonic():
                    break
                time.sleep(0.01)
            socket.socket.connect(own, address)

        monkeypatch.setattr(sockets._PlainSocket, "connect", connect)
        with socket.create_server(("127.0.0.1", 0)) as peer:
            endpoint = f"https://127.0.0.1:{peer.getsockname()[1]}"
            with sync_client_of(emulator, endpoint=endpoint) as client:
                over, errors = self.calling(client, emulator)
                assert over.wait(20)
            peer.settimeout(20)
            connection, _ = peer.accept()
            with connection:
                connection.settimeout(20)
                assert connection.recv(1) == b""
        assert [error.executed for error in errors] == ["no"]


def test_whatever_a_library_raises_does_not_get_out(
    emulator: Emulator, sync_client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its text holds the address: identifier and SDKAppID are no secret, and none of the error's business either."""

    def send(adapter: Any, request: Any, **_: Any) -> None:
        raise AssertionError(request.url)

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    with sync_client_of(emulator) as client, pytest.raises(TransportError) as failed:
        start(client, emulator, max_posts=1)
    assert (failed.value.__cause__, failed.value.__context__) == (None, None)
    assert "usersig" not in str(failed.value)


class TestTrust:
    def test_nothing_widens_the_trust(
        self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, client_of: ClientOf
    ) -> None:
        """The library would add certifi's CAs to the context on each new connection, or those that the environment names."""
        import certifi

        monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
        monkeypatch.setenv("CURL_CA_BUNDLE", certifi.where())
        monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
        contexts: list[ssl.SSLContext] = []
        with client_of(emulator, contexts=contexts) as client:
            for _ in range(10):
                client.call(calls.stop_push(room_id=1, user_id="a"))
                client.forget_connections()
        assert [len(context.get_ca_certs()) for context in contexts] == [1]
        assert emulator.handshakes == 10

    def test_foreign_client_certificate(self, emulator: Emulator, client_of: ClientOf) -> None:
        with client_of(emulator, certificates=FOREIGN) as client, pytest.raises(CertificateError) as failed:
            start(client, emulator)
        assert failed.value.field == "client_cert"
        assert emulator.journal == ()

    def test_server_of_an_unknown_ca(self, emulator: Emulator, client_of: ClientOf) -> None:
        """T9, T10: nothing is sent to a server that the connection's CA does not vouch for."""
        with Emulator() as other, client_of(emulator, endpoint=other.api_url) as client:
            with pytest.raises(CertificateError) as failed:
                start(client, emulator)
            assert failed.value.field == "ca_cert"
            assert other.journal == ()

    def test_hostname_is_checked(self, emulator: Emulator, client_of: ClientOf) -> None:
        """T12."""
        with served("127.0.0.2", emulator) as port:
            wrong = f"https://127.0.0.2:{port}"
            with (
                client_of(emulator, endpoint=wrong) as client,
                pytest.raises(CertificateError, match=r"(?i)ip address") as bad,
            ):
                start(client, emulator)
        assert bad.value.field == "host"

    def test_old_tls_is_refused(self, emulator: Emulator, client_of: ClientOf) -> None:
        """T13."""
        context = emulator.certificates.server_context()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # naming it at all is deprecated
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with served("127.0.0.1", emulator, context) as port:
            endpoint = f"https://127.0.0.1:{port}"
            with client_of(emulator, endpoint=endpoint) as client, pytest.raises(ProtocolError, match=r"TLS 1\.2"):
                start(client, emulator)

    def test_plain_http_on_the_port(self, emulator: Emulator, client_of: ClientOf) -> None:
        with served("127.0.0.1", emulator, greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
            endpoint = f"https://127.0.0.1:{port}"
            with (
                client_of(emulator, endpoint=endpoint) as client,
                pytest.raises(ProtocolError, match="does not speak TLS"),
            ):
                start(client, emulator)


class served:  # noqa: N801 - reads as a statement
    """A port that shakes hands, or answers with a greeting that is no TLS, and closes."""

    def __init__(
        self, host: str, emulator: Emulator, context: ssl.SSLContext | None = None, greeting: bytes | None = None
    ) -> None:
        self._greeting = greeting
        self._listener = socket.create_server((host, 0))
        self._context = context or emulator.certificates.server_context()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                if self._greeting is None:
                    self._context.wrap_socket(connection, server_side=True).close()
                else:
                    connection.recv(4096)
                    connection.sendall(self._greeting)

    def __enter__(self) -> int:
        self._thread.start()
        port: int = self._listener.getsockname()[1]
        return port

    def __exit__(self, *exc_info: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


class TestConnections:
    def test_idle_connection_is_not_used_again(self, emulator: Emulator, client_of: ClientOf) -> None:
        """C10: a server's idle close that meets a reuse would look like a lost answer."""
        with client_of(emulator) as client:
            start(client, emulator)
            if isinstance(client, Client):
                client._last_used -= 2.1
            client.call(calls.stop_push(room_id=emulator.room_id, user_id=emulator.user_id))
        assert emulator.handshakes == 2

    def test_name_that_cannot_be_resolved(self, emulator: Emulator, client_of: ClientOf) -> None:
        """C2."""
        with (
            client_of(emulator, endpoint="https://host.invalid") as client,
            pytest.raises(TransportError, match="resolved"),
        ):
            start(client, emulator, max_posts=1)

    def test_environment_has_no_say(
        self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, client_of: ClientOf
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
        with client_of(emulator) as client:
            assert start(client, emulator).outcome == "started"


@pytest.mark.parametrize("trouble", [OSError(24, "Too many open files"), RuntimeError("no")], ids=["system", "library"])
def test_context_that_cannot_be_made_is_no_fault_of_the_network(
    trouble: Exception, emulator: Emulator, client_of: ClientOf
) -> None:
    def broken() -> ssl.SSLContext:
        raise trouble

    with client_of(emulator) as client:
        bare: Any = client.client if isinstance(client, Blocking) else client
        bare._make_context = broken
        with pytest.raises(ConfigurationError, match="cannot prepare TLS") as refused:
            start(client, emulator)
    assert (refused.value.field, refused.value.executed, refused.value.posts) == (None, "no", 1)
    assert refused.value.retryable is isinstance(trouble, OSError)
    assert refused.value.__context__ is None
