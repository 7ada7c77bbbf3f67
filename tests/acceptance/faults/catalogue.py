"""The catalogue of faults: each with what it does to an operation, and what the operation must come to.

Numbers: T is TLS, C is TCP and the way there, H is HTTP, J is the answer's JSON. What the numbers M (meaning) and A (task)
stand for takes more than one operation, or a task: they are in ``test_catalogue``.

Two cases are milder than "unknown": a handshake that stalls (T14) or is reset (T15) proves that nothing was sent.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from airflow_provider_timav.emulator.certificates import Certificates
from airflow_provider_timav.videorelay import calls
from airflow_provider_timav.videorelay.client import Client
from airflow_provider_timav.videorelay.errors import (
    AmbiguousOutcome,
    CertificateError,
    ConfigurationError,
    ProtocolError,
    RequestRejected,
    ServiceError,
    TimAVError,
    TransportError,
)
from harness.clients import AnyClient
from harness.connect_proxy import ConnectProxy
from harness.look_ups import looked_up
from harness.peer import BlackHole, Wire, server_context
from tests.acceptance.faults.stage import OPERATIONS, PROXY_PASSWORD, Scene, closed_port

__all__ = ["CASES", "LEFT_OUT", "NUMBERS", "OTHERWHERE", "Case", "Expected", "looked_up"]

Arrange = Callable[[Scene, int], None]
Check = Callable[[Any], bool]

#: The catalogue's cases that concern a single operation.
NUMBERS: Final = frozenset(
    {f"T{number}" for number in (*range(1, 16), 18)}
    | {f"C{number}" for number in (*range(1, 9), 10, 12)}
    | {f"H{number}" for number in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 13, 14, 16, 17, 18, 19, 20)}
    | {f"J{number}" for number in (1, 2, 3, 4, 6, 9, 10, 13, 14, 15, 16, 17, 19, 20, 21, 23, 24)}
    | {f"M{number}" for number in (1, 2, 3, 4, 5, 6, 8, 9, 10, 11)}
    | {f"A{number}" for number in (1, 2, 3, 4, 5, 6, 8, 13, 14, 16, 19, 20, 21)}
)
#: The other numbers of the catalogue, and whose they are.
OTHERWHERE: Final = {
    "A10": "a trigger's: the stream is watched, nothing is operated",
    "A11": "a trigger's",
    "A12": "a trigger's: the end of a deferral",
    "A17": "a whole broadcast's: what is in the past is skipped",
    "A22": "a trigger's: arguments of an older version",
    **{f"L{number}": "the stream reader's" for number in (1, 2, 3, 5, 7, 8, 10, 11, 13, 14, 15)},
}
#: Numbers without a test, each with the reason; at most two.
LEFT_OUT: Final[dict[str, str]] = {}

ALL: Final = tuple(OPERATIONS)
WITH_BODY: Final = tuple(name for name, operation in calls.OPERATIONS.items() if operation.oper is not None)
PUSHED: Final = ("start_push",)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What an operation comes to.

    :param error: the class of the error, exactly; None for a result.
    :param seen: how many posts arrive.
    :param executed: how often the service's state has changed in the end.
    :param tries: how many posts the error speaks of, those included that did not arrive.
    :param says: the error's ``executed``.
    :param field: the error's ``field``.
    :param words: a part of the error's text.
    :param settled: whether a second post settles it, where only the first one is hit.
    :param connections: how many connections are made, where that is the point.
    """

    error: type[TimAVError] | None = None
    seen: int = 1
    executed: int = 1
    tries: int = 1
    says: str = "no"
    field: str | None = None
    words: str = ""
    settled: bool = False
    connections: int | None = None


DONE: Final = Expected()
LOST_BEFORE: Final = Expected(
    error=AmbiguousOutcome, seen=3, executed=0, tries=3, says="maybe", words="whether", settled=True
)
LOST_AFTER: Final = dataclasses.replace(LOST_BEFORE, executed=1)
UNREACHED: Final = Expected(
    error=TransportError, seen=0, executed=0, tries=3, words="nothing was executed", settled=True
)
# What the request must have arrived in, before the answer that never comes is cut off.
CUT_SECONDS: Final = 0.8
CUT_SHORT: Final = Expected(error=AmbiguousOutcome, executed=1, says="maybe", words="no answer in time")


def refused(error: type[TimAVError], **facts: Any) -> Expected:
    """One post arrived and was refused; another would be."""
    return Expected(error=error, executed=0, **facts)


def unsent(error: type[TimAVError], **facts: Any) -> Expected:
    """A connection was made, and nothing was sent on it that could be executed."""
    return Expected(error=error, seen=0, executed=0, **facts)


def local(field: str, words: str, *, error: type[TimAVError] = CertificateError) -> Expected:
    """Refused before there was a connection."""
    return Expected(error=error, seen=0, executed=0, tries=0, field=field, words=words, connections=0)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One line of the catalogue.

    :param arrange: makes the fault happen to the next so many posts.
    :param differs: what other operations come to.
    :param seconds: the operation's time, where the case is about time; it must be kept.
    :param check: what must hold of the result.
    :param warns: what the log must say.
    """

    number: str
    what: str
    arrange: Arrange
    expected: Expected
    operations: tuple[str, ...] = ALL
    differs: dict[str, Expected] = dataclasses.field(default_factory=dict)
    seconds: float | None = None
    check: Check | None = None
    warns: str = ""

    @property
    def name(self) -> str:
        """The number and what happens."""
        return f"{self.number} {self.what}"

    def of(self, operation: str) -> Expected:
        """What this operation comes to."""
        return self.differs.get(operation, self.expected)


# --- arrangements ----------------------------------------------------------------------------------------------------


def emulated(**fault: Any) -> Arrange:
    """A fault that the emulator itself can play."""
    return lambda scene, times: scene.stage.emulator.fail_next(times, **fault)


def wired(fault: Callable[[Wire], None]) -> Arrange:
    """A fault of the connection behind the handshake."""
    return lambda scene, times: scene.through(fault=fault, times=times)


def raw(data: bytes) -> Arrange:
    """The operation is executed, and these bytes come back."""

    def fault(wire: Wire) -> None:
        wire.execute()
        wire.send(data)

    return wired(fault)


def answered(change: Callable[[bytes], bytes], *headers: str) -> Arrange:
    """The operation is executed, and its true answer comes back changed."""
    return wired(lambda wire: wire.answer(change(wire.execute()), *headers))


def edited(change: Callable[[dict[str, Any]], Any]) -> Arrange:
    """The operation is executed, and the true answer's JSON comes back changed: in place, or as what ``change`` returns."""

    def changed(body: bytes) -> bytes:
        answer = json.loads(body)
        replaced = change(answer)
        return json.dumps(answer if replaced is None else replaced).encode()

    return answered(changed)


def extra(**changes: Any) -> Arrange:
    """Other fields in the connection's extra."""
    return lambda scene, times: scene.extra(**changes)


def key_material(make: Callable[[Scene], dict[str, Any]]) -> Arrange:
    """Other key material in the connection; a plain key without a passphrase unless it says so."""
    return lambda scene, times: scene.extra(**{"private_key_passphrase": None, **make(scene)})


def served(**facts: Any) -> Arrange:
    """A server whose certificate the connection's CA vouches for, but for ``facts``."""

    def arrange(scene: Scene, times: int) -> None:
        scene.extra(ca_cert=scene.stage.foreign.cert_pem.bytes().decode())
        scene.through(context=scene.stage.own_context(**facts))

    return arrange


def by_proxy(status: int | None) -> Arrange:
    """Through a proxy that answers so."""

    def arrange(scene: Scene, times: int) -> None:
        proxy = scene.stack.enter_context(ConnectProxy(status))
        scene.extra(proxy=proxy.url.replace("pr0xypass", PROXY_PASSWORD))

    return arrange


def by_no_proxy(scene: Scene, times: int) -> None:
    """Through a proxy that is not there."""
    scene.extra(proxy=f"http://user:{PROXY_PASSWORD}@127.0.0.1:{closed_port(scene.stack)}")


def by_no_proxy_to_40700(scene: Scene, times: int) -> None:
    """The same, on the way to a port that looks like a proxy's refusal."""
    scene.lead_to(40700)
    by_no_proxy(scene, times)


def no_listener(scene: Scene, times: int) -> None:
    """Connections are refused by the system."""
    scene.lead_to(closed_port(scene.stack))


def black_hole(scene: Scene, times: int) -> None:
    """Connections are not answered at all."""
    scene.lead_to(scene.stack.enter_context(BlackHole()).port)


def many_addresses(scene: Scene, times: int) -> None:
    """A host of eight addresses, none of which answers."""
    scene.lead_to(scene.stack.enter_context(BlackHole()).port, "many.invalid")
    scene.stack.enter_context(
        looked_up("many.invalid", lambda look_up, *args, **facts: look_up(*args, **facts)[:1] * 8)
    )


def slow_name_server(scene: Scene, times: int) -> None:
    """A look-up that takes much longer than the operation may."""
    over = threading.Event()
    scene.stack.callback(over.set)

    def answer(look_up: Any, *args: Any, **facts: Any) -> list[Any]:
        over.wait(30.0)
        raise socket.gaierror(socket.EAI_AGAIN, "no name server answers")

    scene.lead_to(443, "slow.invalid")
    scene.stack.enter_context(looked_up("slow.invalid", answer))


def proxy_drips(scene: Scene, times: int) -> None:
    """Through a proxy whose consent comes a byte at a time, and never ends."""

    def greet(connection: socket.socket) -> None:
        connection.recv(4096)
        for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 400:
            connection.sendall(bytes((byte,)))
            time.sleep(0.05)

    back = dict(scene.connection)
    scene.through(greet=greet)
    port = scene.connection["port"]
    scene.connection = back
    scene.extra(proxy=f"http://user:{PROXY_PASSWORD}@127.0.0.1:{port}")


def redirected(status: int) -> Arrange:
    """To another host, which would take the request."""

    def arrange(scene: Scene, times: int) -> None:
        there = f"https://127.0.0.1:{scene.stage.elsewhere.port}/v3/openim/videorelay"
        scene.stage.emulator.fail_next(times, status=status, headers={"Location": there})

    return arrange


def no_certificate(scene: Scene, times: int) -> None:
    """The client presents no certificate: TLS 1.3, whose alert comes after the request was written."""
    scene.without_certificate = True


def only_tls_1_2(then: Arrange) -> Arrange:
    """The same with TLS 1.2, whose alert comes within the handshake."""

    def arrange(scene: Scene, times: int) -> None:
        then(scene, times)
        context = scene.stage.emulator.certificates.server_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        scene.through(context=context)

    return arrange


def another_host(scene: Scene, times: int) -> None:
    """A server whose certificate is another host's."""
    scene.extra(ca_cert=scene.stage.foreign.cert_pem.bytes().decode())
    with_name = server_context(scene.stage.emulator, scene.stage.foreign, "elsewhere.example")
    scene.through(context=with_name)


def old_tls(scene: Scene, times: int) -> None:
    """A server that knows TLS 1.1 at most."""
    context = scene.stage.emulator.certificates.server_context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # naming it at all is deprecated
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    scene.through(context=context)


def reset_in_handshake(scene: Scene, times: int) -> None:
    """A TCP reset in answer to the ClientHello."""

    def greet(connection: socket.socket) -> None:
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()

    scene.through(greet=greet)


def public_ca(scene: Scene, times: int) -> None:
    """A server whose CA the environment trusts, and the connection does not."""
    store = scene.stage.folder / "public.pem"
    store.write_bytes(scene.stage.foreign.cert_pem.bytes())
    scene.environment = dict.fromkeys(("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"), str(store))
    scene.through(context=scene.stage.own_context())


def idle_too_long(scene: Scene, times: int) -> None:
    """The client has a connection that was not used for more than two seconds, which the server may be about to close."""

    def before_call(client: AnyClient) -> None:
        scene.stage._call(client, "stop_push", 1)
        if isinstance(client, Client):  # the other one keeps no connection at all
            client._last_used -= 2.1

    scene.before_call = before_call


def expired(scene: Scene) -> dict[str, str]:
    """A client certificate of yesterday."""
    now = datetime.now(UTC)
    return _issued(scene, not_before=now - timedelta(days=9), not_after=now - timedelta(days=1))


def early(scene: Scene) -> dict[str, str]:
    """A client certificate of tomorrow."""
    now = datetime.now(UTC)
    return _issued(scene, not_before=now + timedelta(days=1), not_after=now + timedelta(days=9))


def _issued(scene: Scene, **facts: Any) -> dict[str, str]:
    certificate, key = scene.stage.emulator.certificates.issue_client(**facts)
    return {"client_cert": certificate, "private_key": key}


def foreign(scene: Scene) -> dict[str, str]:
    """A client certificate of an authority that the server does not know."""
    other = Certificates()
    return {"client_cert": other.client_cert_pem, "private_key": other.client_key_pem}


# --- scripts ---------------------------------------------------------------------------------------------------------


def reset_in_body(wire: Wire) -> None:
    """Half of the answer, then a TCP reset."""
    body = wire.execute()
    wire.answer(body[: len(body) // 2], length=len(body))
    wire.reset()


def body_drips(wire: Wire) -> None:
    """The head of the answer at once, its body a byte at a time."""
    body = wire.execute()
    wire.answer(b"", length=len(body))
    wire.drip(body, 0.05)


def head_drips(wire: Wire) -> None:
    """Even the head of the answer comes a byte at a time."""
    wire.execute()
    wire.drip(b"HTTP/1.1 200 OK\r\n" + b"X-Slow: yes\r\n" * 500, 0.05)


def hangs(wire: Wire) -> None:
    """Executed, and then silence."""
    wire.execute()
    wire.hang()


def continues(wire: Wire) -> None:
    """A 100 before the answer, unrequested."""
    wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    wire.answer(wire.execute())


def bomb(wire: Wire) -> None:
    """A small answer that unpacks to 32 MiB."""
    wire.execute()
    wire.answer(BOMB, "Content-Encoding: gzip")


def too_long(wire: Wire) -> None:
    """Content-Length promises more than comes."""
    body = wire.execute()
    wire.answer(body, length=len(body) + 10)


def too_short(wire: Wire) -> None:
    """Content-Length cuts the answer off."""
    body = wire.execute()
    wire.answer(body, length=len(body) - 10)


BOMB: Final = gzip.compress(b" " * 2**25, 1)
CHUNKED: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HTML: Final = b"<html><body>Please log in</body></html>"


# --- changes of the answer -------------------------------------------------------------------------------------------


def rsp(answer: dict[str, Any]) -> dict[str, Any]:
    """The business body; where there is none (0x1), the head, which holds a result too."""
    if "rspbody" not in answer:
        head: dict[str, Any] = answer["reqhead"]
        return head
    (body,) = answer["rspbody"].values()
    found: dict[str, Any] = body
    return found


def put(**fields: Any) -> Callable[[dict[str, Any]], None]:
    """Other fields in the business body."""
    return lambda answer: rsp(answer).update(fields)


def head_with(**fields: Any) -> Callable[[dict[str, Any]], None]:
    """Other fields in the head."""
    return lambda answer: answer["reqhead"].update(fields)


def spliced(text: str) -> Arrange:
    """Raw text as the value of one more field."""
    return answered(lambda body: body.rstrip()[:-1] + b', "more": ' + text.encode() + b"}")


def as_text(value: Any) -> Any:
    """Every number as text."""
    if isinstance(value, dict):
        return {name: as_text(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [as_text(inner) for inner in value]
    return str(value) if isinstance(value, int) else value


def result_with(digits: str) -> Arrange:
    """These digits as the business body's result (for 0x1: the head's)."""
    marked = 987654321987

    def change(body: bytes) -> bytes:
        answer = json.loads(body)
        rsp(answer)["uint32_result"] = marked
        return json.dumps(answer).replace(str(marked), digits).encode()

    return answered(change)


def urls_with(change: Callable[[list[dict[str, Any]]], Any]) -> Arrange:
    """Other live URLs."""
    return edited(lambda answer: rsp(answer).update(msg_live_url=change(rsp(answer)["msg_live_url"])))


def key_with_blank(urls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The specification's own spelling of the rate's key, with a blank at its end."""
    return [{("RateType " if name == "RateType" else name): value for name, value in url.items()} for url in urls]


def no_urls(result: Any) -> bool:
    """Started, and no URL is known."""
    return (result.outcome, result.live_urls, result.hls_url) == ("started", (), None)


def all_urls(result: Any) -> bool:
    """Started, with the URLs of two formats in two rates."""
    return len(result.live_urls) == 4 and {url.rate for url in result.live_urls} == {"original", "sd"}


def unwrapped(answer: dict[str, Any]) -> None:
    """The specification's form: ``rspbody`` is the result."""
    answer["rspbody"] = rsp(answer)


def without_body(answer: dict[str, Any]) -> None:
    """A head that says success, and nothing else."""
    del answer["rspbody"]


UNKNOWN_START: Final = refused(ServiceError, says="maybe", words="lacks")
NGINX: Final = "<html><head><title>400 {0}</title></head><body><center>{0}</center></body></html>"
CLIENT_REFUSED: Final = unsent(CertificateError, field="client_cert", words="refused the client certificate")
MISREAD: Final = LOST_AFTER

_NO_LIST: Final[tuple[Any, ...]] = (None, "", [])

CASES: Final = (
    # --- TLS
    Case(number="T1", what="no client certificate, TLS 1.3", arrange=no_certificate, expected=CLIENT_REFUSED),
    Case(
        number="T1",
        what="no client certificate, TLS 1.2",
        arrange=only_tls_1_2(no_certificate),
        expected=CLIENT_REFUSED,
    ),
    Case(
        number="T2",
        what="no client certificate, said by nginx",
        arrange=emulated(status=400, body=NGINX.format("No required SSL certificate was sent")),
        expected=refused(CertificateError, field="client_cert", words="no client certificate arrived"),
    ),
    Case(
        number="T3", what="foreign client certificate, TLS 1.3", arrange=key_material(foreign), expected=CLIENT_REFUSED
    ),
    Case(
        number="T3",
        what="foreign client certificate, TLS 1.2",
        arrange=only_tls_1_2(key_material(foreign)),
        expected=CLIENT_REFUSED,
    ),
    Case(
        number="T3",
        what="foreign client certificate, said by nginx",
        arrange=emulated(status=400, body=NGINX.format("The SSL certificate error")),
        expected=refused(CertificateError, field="client_cert", words="was refused"),
    ),
    Case(
        number="T4",
        what="expired client certificate",
        arrange=key_material(expired),
        expected=local("client_cert", "expired on"),
    ),
    Case(
        number="T5",
        what="client certificate that is not valid yet",
        arrange=key_material(early),
        expected=local("client_cert", "not valid before"),
    ),
    Case(
        number="T6",
        what="key of another certificate",
        arrange=key_material(lambda scene: {"private_key": _issued(scene)["private_key"]}),
        expected=local("private_key", "not the key of client_cert"),
    ),
    Case(
        number="T7",
        what="encrypted key without its passphrase",
        arrange=extra(private_key_passphrase=None),
        expected=local("private_key_passphrase", "is encrypted"),
    ),
    Case(
        number="T7",
        what="encrypted key with a wrong passphrase",
        arrange=extra(private_key_passphrase="another one"),
        expected=local("private_key_passphrase", "is wrong"),
    ),
    Case(
        number="T8",
        what="key whose line breaks are literal",
        arrange=lambda scene, times: scene.extra(private_key=scene.stage.encrypted_key.replace("\n", "\\n")),
        expected=DONE,
    ),
    Case(
        number="T8",
        what="key whose line breaks are blanks",
        arrange=lambda scene, times: scene.extra(private_key=scene.stage.encrypted_key.strip().replace("\n", " ")),
        expected=DONE,
    ),
    Case(
        number="T8",
        what="key that is cut off",
        arrange=lambda scene, times: scene.extra(private_key=scene.stage.encrypted_key[:-60]),
        expected=local("private_key", "holds no PEM"),
    ),
    Case(
        number="T9",
        what="server of an unknown CA",
        arrange=lambda scene, times: scene.through(context=scene.stage.own_context()),
        expected=unsent(CertificateError, field="ca_cert", words="server's certificate is refused"),
    ),
    Case(
        number="T10",
        what="server of a CA that only the environment trusts",
        arrange=public_ca,
        expected=unsent(CertificateError, field="ca_cert", words="server's certificate is refused"),
    ),
    Case(
        number="T11",
        what="expired server certificate",
        arrange=served(not_after=datetime.now(UTC) - timedelta(days=1)),
        expected=unsent(CertificateError, field="ca_cert", words="expired"),
    ),
    Case(
        number="T12",
        what="certificate of another host",
        arrange=another_host,
        expected=unsent(CertificateError, field="host", words="IP address mismatch"),
    ),
    Case(
        number="T13",
        what="server that knows TLS 1.1 at most",
        arrange=old_tls,
        expected=unsent(ProtocolError, field="host", words="TLS 1.2"),
    ),
    Case(
        number="T14",
        what="handshake that stalls",
        arrange=emulated(stall=True),
        expected=unsent(TransportError, words="nothing was executed"),
        seconds=0.2,
    ),
    Case(number="T15", what="reset in the handshake", arrange=reset_in_handshake, expected=UNREACHED),
    Case(number="T15", what="reset before the handshake", arrange=emulated(refuse=True), expected=UNREACHED),
    # --- TCP and the way there
    Case(number="C1", what="connection refused", arrange=no_listener, expected=UNREACHED),
    Case(
        number="C2",
        what="name that cannot be resolved",
        arrange=lambda scene, times: scene.lead_to(443, "host.invalid"),
        expected=dataclasses.replace(UNREACHED, words="cannot be resolved"),
    ),
    Case(
        number="C2",
        what="name that no host can have",
        arrange=lambda scene, times: scene.lead_to(443, f"{'x' * 70}.invalid"),
        expected=local("host", "63 characters at most", error=ConfigurationError),
    ),
    Case(
        number="C2",
        what="name server that does not answer",
        arrange=slow_name_server,
        expected=unsent(TransportError, words="nothing was executed"),
        seconds=0.2,
    ),
    Case(
        number="C3",
        what="host of eight addresses that do not answer",
        arrange=many_addresses,
        expected=unsent(TransportError, words="nothing was executed"),
        seconds=0.2,
    ),
    Case(
        number="C3",
        what="connection that is never answered",
        arrange=black_hole,
        expected=unsent(TransportError, words="nothing was executed"),
        seconds=0.2,
    ),
    Case(number="C4", what="closed before executing", arrange=emulated(drop="before"), expected=LOST_BEFORE),
    Case(number="C4", what="closed after executing", arrange=emulated(drop="after"), expected=LOST_AFTER),
    Case(number="C4", what="silence after executing", arrange=wired(hangs), expected=CUT_SHORT, seconds=CUT_SECONDS),
    Case(number="C5", what="reset before executing", arrange=emulated(reset="before"), expected=LOST_BEFORE),
    Case(number="C5", what="reset after executing", arrange=emulated(reset="after"), expected=LOST_AFTER),
    Case(number="C6", what="reset in the body", arrange=wired(reset_in_body), expected=LOST_AFTER),
    Case(number="C7", what="body that drips", arrange=wired(body_drips), expected=CUT_SHORT, seconds=CUT_SECONDS),
    Case(number="C8", what="head that drips", arrange=wired(head_drips), expected=CUT_SHORT, seconds=CUT_SECONDS),
    Case(number="C10", what="kept connection that idled", arrange=idle_too_long, expected=Expected(connections=2)),
    Case(
        number="C12",
        what="proxy that is not there",
        arrange=by_no_proxy,
        expected=dataclasses.replace(UNREACHED, words="the proxy was not reached"),
    ),
    Case(
        number="C12",
        what="proxy that is not there, on the way to port 40700",
        arrange=by_no_proxy_to_40700,
        expected=dataclasses.replace(UNREACHED, words="the proxy was not reached"),
    ),
    Case(
        number="C12",
        what="proxy that wants other credentials",
        arrange=by_proxy(407),
        expected=unsent(ProtocolError, field="proxy", words="407"),
    ),
    Case(
        number="C12",
        what="proxy that cannot reach the host",
        arrange=by_proxy(502),
        expected=dataclasses.replace(UNREACHED, field="proxy", words="the proxy cannot connect (502)"),
    ),
    Case(
        number="C12",
        what="proxy that never answers",
        arrange=by_proxy(None),
        expected=unsent(TransportError, field="proxy", words="nothing was executed"),
        seconds=0.2,
    ),
    Case(
        number="C12",
        what="proxy whose answer drips",
        arrange=proxy_drips,
        expected=unsent(TransportError, field="proxy", words="nothing was executed"),
        seconds=0.2,
    ),
    Case(number="C12", what="proxy that works", arrange=by_proxy(200), expected=DONE),
    # --- HTTP
    *(
        Case(
            number="H1",
            what=f"redirect {status}",
            arrange=redirected(status),
            expected=refused(ProtocolError, field="host", words="redirects"),
        )
        for status in (301, 302, 303, 307, 308)
    ),
    *(
        Case(
            number=number,
            what=f"status {status}",
            arrange=emulated(status=status, body="<html>no</html>"),
            expected=refused(ProtocolError, field=field, words=f"HTTP {status}"),
        )
        for number, status, field in (
            ("H2", 400, None),
            ("H3", 401, None),
            ("H3", 403, None),
            ("H4", 404, "host"),
            ("H5", 413, None),
        )
    ),
    Case(number="H7", what="status 500, executed", arrange=emulated(status=500, execute=True), expected=LOST_AFTER),
    Case(number="H7", what="status 500, not executed", arrange=emulated(status=500), expected=LOST_BEFORE),
    Case(number="H8", what="status 502", arrange=emulated(status=502, body="<html>bad gateway"), expected=LOST_BEFORE),
    Case(number="H9", what="status 503", arrange=emulated(status=503), expected=LOST_BEFORE),
    Case(
        number="H9",
        what="status 503 with Retry-After",
        arrange=emulated(status=503, headers={"Retry-After": "1"}),
        expected=Expected(error=ServiceError, seen=3, executed=0, tries=3, words="HTTP 503", settled=True),
    ),
    Case(
        number="H9",
        what="status 503 with a proxy's page",
        arrange=wired(lambda wire: wire.answer(HTML, "Content-Type: text/html", status="503 No")),
        expected=Expected(error=ServiceError, seen=3, executed=0, tries=3, words="HTTP 503", settled=True),
    ),
    Case(number="H10", what="status 504, executed", arrange=emulated(status=504, execute=True), expected=LOST_AFTER),
    Case(number="H11", what="100 before the answer", arrange=wired(continues), expected=DONE),
    Case(number="H13", what="chunk without a length", arrange=raw(CHUNKED + b"zz\r\n"), expected=LOST_AFTER),
    Case(number="H13", what="no last chunk", arrange=raw(CHUNKED + b"2\r\n{}\r\n"), expected=LOST_AFTER),
    Case(number="H13", what="chunk that is cut off", arrange=raw(CHUNKED + b"ff\r\n{}"), expected=LOST_AFTER),
    Case(number="H14", what="gzip bomb", arrange=wired(bomb), expected=LOST_AFTER),
    Case(number="H16", what="200 with nothing", arrange=answered(lambda body: b""), expected=LOST_AFTER),
    Case(number="H16", what="204", arrange=emulated(status=204, execute=True), expected=LOST_AFTER),
    Case(
        number="H17",
        what="captive portal",
        arrange=wired(lambda wire: wire.answer(HTML, "Content-Type: text/html")),
        expected=LOST_BEFORE,
    ),
    Case(number="H18", what="Content-Length too long", arrange=wired(too_long), expected=LOST_AFTER),
    Case(number="H18", what="Content-Length too short", arrange=wired(too_short), expected=LOST_AFTER),
    Case(
        number="H19",
        what="5000 headers",
        arrange=raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000 + b"\r\n"),
        expected=LOST_AFTER,
    ),
    Case(
        number="H19",
        what="header of 1 MiB",
        arrange=raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2**20 + b"\r\n\r\n"),
        expected=LOST_AFTER,
    ),
    Case(
        number="H20",
        what="valid JSON as text/html",
        arrange=answered(lambda body: body, "Content-Type: text/html; charset=gbk"),
        expected=DONE,
    ),
    # --- JSON
    Case(number="J1", what="truncated JSON", arrange=answered(lambda body: body[:-9]), expected=MISREAD),
    Case(number="J2", what="NaN", arrange=spliced("NaN"), expected=MISREAD),
    Case(number="J2", what="Infinity", arrange=spliced("-Infinity"), expected=MISREAD),
    Case(number="J3", what="1e400", arrange=spliced("1e400"), expected=MISREAD),
    Case(number="J4", what="integer of 5000 digits", arrange=spliced("9" * 5000), expected=MISREAD),
    Case(number="J4", what="result of 4000 digits", arrange=result_with("9" * 4000), expected=MISREAD),
    Case(number="J4", what="result past 32 bits", arrange=result_with(str(2**32)), expected=MISREAD),
    Case(number="J6", what="numbers as text", arrange=edited(as_text), expected=DONE),
    Case(number="J6", what="result that is true", arrange=result_with("true"), expected=MISREAD),
    Case(number="J6", what="result that is false", arrange=result_with("false"), expected=MISREAD),
    Case(number="J9", what="byte order mark", arrange=answered(lambda body: b"\xef\xbb\xbf" + body), expected=DONE),
    Case(
        number="J10",
        what="success beside a text in GBK",
        arrange=answered(lambda body: body.rstrip()[:-1] + ', "note": "成功"}'.encode("gbk")),
        expected=DONE,
    ),
    Case(
        number="J10",
        what="code beside a text in GBK",
        arrange=wired(
            lambda wire: wire.answer('{"ActionStatus":"FAIL","ErrorCode":60017,"ErrorInfo":"禁止"}'.encode("gbk"))
        ),
        expected=refused(RequestRejected, words="60017"),
    ),
    Case(number="J13", what="list", arrange=edited(lambda answer: [answer]), expected=MISREAD),
    Case(number="J13", what="null", arrange=answered(lambda body: b"null"), expected=MISREAD),
    Case(number="J13", what="number", arrange=answered(lambda body: b"0"), expected=MISREAD),
    Case(number="J14", what="something behind it", arrange=answered(lambda body: body + b"{}"), expected=MISREAD),
    Case(
        number="J15",
        what="unknown fields",
        arrange=edited(
            lambda answer: (answer.update(more=[1]), put(str_new="x")(answer), head_with(x=None)(answer))[-1]
        ),
        expected=DONE,
    ),
    Case(number="J16", what="no rspbody", arrange=edited(without_body), expected=MISREAD, operations=WITH_BODY),
    Case(
        number="J17", what="rspbody that is not wrapped", arrange=edited(unwrapped), expected=DONE, operations=WITH_BODY
    ),
    Case(number="J19", what="another sequence number", arrange=edited(head_with(uint32_seq=7)), expected=MISREAD),
    Case(number="J19", what="another cookie", arrange=edited(head_with(bytes_cookie_buff="c0")), expected=MISREAD),
    Case(number="J19", what="another sub-command", arrange=edited(head_with(uint32_sub_cmd=3)), expected=MISREAD),
    Case(number="J19", what="another room", arrange=edited(head_with(uint32_auth_key=7)), expected=MISREAD),
    Case(
        number="J19",
        what="sequence number as text",
        arrange=edited(lambda answer: head_with(uint32_seq=str(answer["reqhead"]["uint32_seq"]))(answer)),
        expected=DONE,
    ),
    Case(
        number="J20",
        what="rate key with a blank at its end",
        arrange=urls_with(key_with_blank),
        expected=DONE,
        operations=PUSHED,
        check=all_urls,
    ),
    *(
        Case(
            number="J21",
            what=f"live URLs that are {value!r}",
            arrange=edited(put(msg_live_url=value)),
            expected=DONE,
            operations=PUSHED,
            check=no_urls,
            warns="holds no live URL",
        )
        for value in _NO_LIST
    ),
    Case(
        number="J21",
        what="live URLs as JSON in a string",
        arrange=urls_with(json.dumps),
        expected=DONE,
        operations=PUSHED,
        check=all_urls,
    ),
    Case(
        number="J21",
        what="one live URL instead of a list",
        arrange=urls_with(lambda urls: urls[0]),
        expected=DONE,
        operations=PUSHED,
        check=lambda result: len(result.live_urls) == 1,
    ),
    Case(
        number="J21",
        what="a bad live URL among good ones",
        arrange=urls_with(lambda urls: [*urls, {"uint32_type": 1}, 7]),
        expected=DONE,
        operations=PUSHED,
        check=all_urls,
        warns="without a usable address",
    ),
    Case(
        number="J23",
        what="channel id as text",
        arrange=edited(put(uint64_channel_id="16093425727655551234")),
        expected=DONE,
        operations=PUSHED,
        check=lambda result: bool(result.channel_id == "16093425727655551234"),
    ),
    Case(
        number="J23",
        what="channel id past 2^53",
        arrange=edited(put(uint64_channel_id=2**64 - 1)),
        expected=DONE,
        operations=PUSHED,
        check=lambda result: bool(result.channel_id == "18446744073709551615"),
    ),
    Case(
        number="J23",
        what="channel id as a float",
        arrange=edited(put(uint64_channel_id=9.2e18)),
        expected=DONE,
        operations=PUSHED,
        check=lambda result: result.channel_id is None,
        warns="uint64_channel_id",
    ),
    Case(
        number="J24",
        what="result -1 in an unsigned field",
        arrange=result_with("-1"),
        expected=Expected(error=ServiceError, says="maybe", words="lacks"),
        # An answer that may lack a body: this is the head's -1, a documented refusal.
        differs={
            name: Expected(error=RequestRejected, words="cannot be unpacked") for name in ALL if name not in WITH_BODY
        },
    ),
)
