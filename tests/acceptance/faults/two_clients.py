"""What both clients must make of the same: refusals, handshakes, proxies, hosts, forms of HTTP, statuses.

One table for both columns. Each row has the form of a case of the catalogue, and is played with one operation; its ``number``
is what it is about.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import itertools
import json
import os
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from airflow_provider_timav.videorelay.errors import (
    AmbiguousOutcome,
    CertificateError,
    ConfigurationError,
    CredentialError,
    ProtocolError,
    RateLimited,
    RequestRejected,
    ServiceError,
    TransportError,
)
from harness.peer import Wire, listening
from tests.acceptance.faults.catalogue import (
    CUT_SECONDS,
    DONE,
    LOST_AFTER,
    UNREACHED,
    Arrange,
    Case,
    Expected,
    answered,
    emulated,
    extra,
    foreign,
    key_material,
    local,
    refused,
    unsent,
    wired,
)
from tests.acceptance.faults.stage import Scene

__all__ = ["ROWS"]


# --- answers ---------------------------------------------------------------------------------------------------------


def says(body: bytes) -> Arrange:
    """Nothing is executed, and this body comes back."""
    return wired(lambda wire: wire.answer(body))


def gateway(code: int, text: str = "refused") -> Arrange:
    """A refusal of the gateway."""
    return says(json.dumps({"ActionStatus": "FAIL", "ErrorCode": code, "ErrorInfo": text}).encode())


def echoes_usersig(wire: Wire) -> None:
    """A refusal that quotes what was sent in confidence."""
    usersig = wire.target.partition("usersig=")[2].partition("&")[0]
    wire.answer(json.dumps({"ErrorCode": 70003, "ErrorInfo": f"bad sig: {usersig}"}).encode())


# With a secret key in the connection, a second UserSig is signed and tried.
SIGNED_TWICE: Final = Expected(error=CredentialError, seen=2, executed=0, tries=2)


# --- handshakes ------------------------------------------------------------------------------------------------------


def greeted(greet: Callable[[socket.socket], socket.socket | None]) -> Arrange:
    """A peer that greets so instead of shaking hands."""
    return lambda scene, times: scene.through(greet=greet)


def alert(code: int) -> Arrange:
    """A fatal alert in answer to the greeting."""

    def greet(connection: socket.socket) -> None:
        connection.recv(16384)
        connection.sendall(b"\x15\x03\x03\0\2\2" + bytes([code]))

    return greeted(greet)


def no_cipher_in_common(scene: Scene, times: int) -> None:
    """A server of TLS 1.2 whose one cipher no client of today offers."""
    context = scene.stage.emulator.certificates.server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")
    scene.through(context=context)


def without_secure_renegotiation(connection: socket.socket) -> None:
    """A ServerHello without the extension of RFC 5746."""
    connection.recv(16384)
    body = b"\x03\x03" + os.urandom(32) + b"\0\xc0\x2f\0"
    hello = b"\2" + len(body).to_bytes(3, "big") + body
    connection.sendall(b"\x16\x03\x03" + len(hello).to_bytes(2, "big") + hello)
    connection.recv(16384)


def no_tls(connection: socket.socket) -> None:
    """A server of plain HTTP."""
    connection.recv(16384)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@functools.cache
def _long_chain() -> tuple[str, str]:
    """A chain of 8 KB and its key of 4096 bits, with which it takes a while to sign."""
    key = rsa.generate_private_key(65537, 4096)
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{each} of the chain".ljust(60))]) for each in range(7)
    ]
    now = datetime.now(UTC)
    chain = [
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=99))
        .add_extension(x509.BasicConstraints(ca=place > 0, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        for place, (subject, issuer) in enumerate(itertools.pairwise(names))
    ]
    pem = "".join(each.public_bytes(Encoding.PEM).decode() for each in chain)
    return pem, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def long_chain(scene: Scene) -> dict[str, str]:
    """A foreign certificate whose chain takes several writes: it is refused, and the connection closed, while they go on."""
    chain, key = _long_chain()
    return {"client_cert": chain, "private_key": key}


def answers_unread(connection: socket.socket, context: ssl.SSLContext) -> None:
    """Shake hands, refuse by an answer, and close without having read the request: the system resets."""
    shaken = context.wrap_socket(connection, server_side=True)
    shaken.sendall(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    # As from here on, what arrives is answered by a reset.
    socket.socket.close(shaken)


def refused_unread(scene: Scene, times: int) -> None:
    """A peer that answers before it has read, and closes."""
    context = scene.stage.emulator.certificates.server_context()
    scene.through(greet=lambda connection: answers_unread(connection, context))


# --- proxies ---------------------------------------------------------------------------------------------------------


def proxy_says(data: bytes) -> Arrange:
    """Through a proxy that says so and closes."""

    def arrange(scene: Scene, times: int) -> None:
        port = scene.stack.enter_context(listening(lambda connection: connection.sendall(data)))
        scene.extra(proxy=f"http://127.0.0.1:{port}")

    return arrange


def proxy_answers(status: int) -> Arrange:
    """Through a proxy that answers with a status."""
    return proxy_says(f"HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno".encode())


def tunnel(consent: bytes, written: str = "http://127.0.0.1:{port}") -> Arrange:
    """Through a proxy that consents so, and tunnels; its address is written so."""

    def arrange(scene: Scene, times: int) -> None:
        def say(connection: socket.socket) -> None:
            connection.sendall(consent)
            with socket.create_connection(("127.0.0.1", scene.connection["port"])) as onward:
                back = threading.Thread(target=_pump, args=(onward, connection), daemon=True)
                back.start()
                _pump(connection, onward)
                back.join()

        host = "::1" if "[" in written else "127.0.0.1"
        port = scene.stack.enter_context(listening(say, host))
        scene.extra(proxy=written.format(port=port))

    return arrange


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)


REFUSED_BY_PROXY: Final = unsent(ProtocolError, field="proxy", words="the proxy refuses to connect")
PROXY_CANNOT: Final = Expected(
    error=TransportError, seen=0, executed=0, tries=3, field="proxy", words="the proxy cannot connect"
)
PROXY_UNREADABLE: Final = Expected(
    error=TransportError, seen=0, executed=0, tries=3, field="proxy", words="the proxy gives no usable answer"
)


# --- forms of HTTP ---------------------------------------------------------------------------------------------------


def formed(form: Callable[[bytes], bytes]) -> Arrange:
    """The operation is executed, and its true answer comes back in another form of HTTP, raw."""
    return wired(lambda wire: wire.send(form(wire.execute())))


def reply(body: bytes, *fields: str, status: str = "HTTP/1.1 200 OK", length: bool = True, end: str = "\r\n") -> bytes:
    """An answer of these parts."""
    lines = [status, *([f"Content-Length: {len(body)}"] if length else []), *fields]
    return (end.join(lines) + 2 * end).encode("latin-1") + body


def chunked(body: bytes, *, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    """An answer in two chunks."""
    half = len(body) // 2
    pieces = b"".join(b"%X%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in (body[:half], body[half:]))
    return reply(pieces + b"0\r\n" + trailer + b"\r\n", "Transfer-Encoding: chunked", length=False)


def in_bytes(body: bytes) -> bytes:
    """An answer in chunks of one byte."""
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    return reply(pieces + b"0\r\n\r\n", "Transfer-Encoding: chunked", length=False)


def raw_deflate(body: bytes) -> bytes:
    """Deflated without zlib's header, as some servers send it."""
    packing = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packing.compress(body) + packing.flush()


def slowly(wire: Wire) -> None:
    """The answer in pieces of three bytes."""
    answer = reply(wire.execute())
    for place in range(0, len(answer), 3):
        wire.send(answer[place : place + 3])


FORMS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "header line of 9 KB": lambda body: reply(body, "Set-Cookie: " + "x" * 9000),
    "header line of 60 KB": lambda body: reply(body, "Set-Cookie: " + "x" * 60_000),
    "120 header fields": lambda body: reply(body, *[f"X-{number}: v" for number in range(120)]),
    "3000 header fields": lambda body: reply(body, *[f"X-{number}: v" for number in range(3000)]),
    "100 before it": lambda body: b"HTTP/1.1 100 Continue\r\n\r\n" + reply(body),
    "102 before it": lambda body: b"HTTP/1.1 102 Processing\r\n\r\n" + reply(body),
    "103 before it": lambda body: b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + reply(body),
    "three 103 before it": lambda body: 3 * b"HTTP/1.1 103 Early Hints\r\n\r\n" + reply(body),
    "Content-Length twice, equal": lambda body: reply(body, f"Content-Length: {len(body)}"),
    "Content-Length as a list, equal": lambda body: reply(
        body, f"Content-Length: {len(body)}, {len(body)}", length=False
    ),
    "Connection: close, bytes behind": lambda body: reply(body, "Connection: close") + b"<!-- -->",
    "bytes behind": lambda body: reply(body) + b"<!-- -->",
    "a second answer behind": lambda body: reply(body) + reply(b"{}"),
    "until it closes": lambda body: reply(body, length=False),
    "HTTP/1.0": lambda body: reply(body, status="HTTP/1.0 200 OK"),
    "HTTP/1.0 until it closes": lambda body: reply(body, status="HTTP/1.0 200 OK", length=False),
    "no reason": lambda body: reply(body, status="HTTP/1.1 200"),
    "reason in Latin": lambda body: reply(body, status="HTTP/1.1 200 \xfcber"),
    "line ends without CR": lambda body: reply(body, end="\n"),
    "folded header": lambda body: reply(body, "X-Folded: a\r\n b"),
    "header beyond ASCII": lambda body: reply(body, "X-Name: \xfc"),
    "header without a value": lambda body: reply(body, "X-Empty:"),
    "chunks": chunked,
    "chunks with extensions": lambda body: chunked(body, extension=b";a=b"),
    "chunks with a trailer": lambda body: chunked(body, trailer=b"X-After: 1\r\n"),
    "gzip": lambda body: reply(gzip.compress(body), "Content-Encoding: gzip"),
    "x-gzip in capitals": lambda body: reply(gzip.compress(body), "Content-Encoding: X-GZIP"),
    "gzip of two members": lambda body: reply(
        gzip.compress(body[:30]) + gzip.compress(body[30:]), "Content-Encoding: gzip"
    ),
    "gzip with zeros behind": lambda body: reply(gzip.compress(body) + b"\0" * 8, "Content-Encoding: gzip"),
    "deflate": lambda body: reply(zlib.compress(body), "Content-Encoding: deflate"),
    "deflate without zlib's header": lambda body: reply(raw_deflate(body), "Content-Encoding: deflate"),
    "gzip within deflate": lambda body: reply(zlib.compress(gzip.compress(body)), "Content-Encoding: gzip, deflate"),
    "gzip of a hundred members": lambda body: reply(
        gzip.compress(b"") * 99 + gzip.compress(body), "Content-Encoding: gzip"
    ),
    "identity": lambda body: reply(body, "Content-Encoding: identity"),
    "chunks of a byte each": lambda body: in_bytes(b" " * 4000 + body),
    "Content-Type of 9 KB": lambda body: reply(body, "Content-Type: " + "x" * 9000),
    "Content-Type with a control character": lambda body: reply(body, "Content-Type: a\x01\x7fb"),
    "150 of Content-Type": lambda body: reply(body, *["Content-Type: text/html"] * 150),
    "150 of Retry-After": lambda body: reply(body, *["Retry-After: 1"] * 150),
}
NO_FORMS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "header of 100 KB": lambda body: reply(body, "X: " + "x" * 100_000),
    "header line without a colon": lambda body: reply(body, "oops"),
    "blank before the colon": lambda body: reply(body, "X-Odd : 1"),
    "lengths that differ": lambda body: reply(body, "Content-Length: 1"),
    "length with a sign": lambda body: reply(body, f"Content-Length: +{len(body)}", length=False),
    "length in words": lambda body: reply(body, "Content-Length: many", length=False),
    "another transfer coding": lambda body: reply(body, "Transfer-Encoding: gzip", length=False),
    "informational answers without end": lambda body: 99 * b"HTTP/1.1 103 Early Hints\r\n\r\n" + reply(body),
    "101": lambda body: b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + body,
    "HTTP/2": lambda body: reply(body, status="HTTP/2 200"),
    "status of two digits": lambda body: reply(body, status="HTTP/1.1 20 OK"),
    "nothing but the body": lambda body: body,
    "chunk of a wrong length": lambda body: reply(
        b"ffff\r\n" + body + b"\r\n0\r\n\r\n", "Transfer-Encoding: chunked", length=False
    ),
    "gzip that is cut off": lambda body: reply(gzip.compress(body)[:-9], "Content-Encoding: gzip"),
    "deflate that is none": lambda body: reply(b"x" + body, "Content-Encoding: deflate"),
    "chunks without end": lambda body: in_bytes(b" " * 9000 + body),
    "gzip of members without end": lambda body: reply(
        gzip.compress(b"") * 200 + gzip.compress(body), "Content-Encoding: gzip"
    ),
    "a coding that is not known": lambda body: reply(gzip.compress(body), "Content-Encoding: zstd"),
}


def cut_off(wire: Wire) -> None:
    """Half of the page that explains a refusal, and then a TCP reset."""
    wire.answer(b"<html>", status="403 No", length=99)
    time.sleep(0.05)  # what was sent is to arrive before the reset
    wire.reset()


def stalls(wire: Wire) -> None:
    """A refusal whose page does not come to its end, on a connection that stays open."""
    wire.answer(b"<html>", status="403 No", length=99)
    wire.hang()


def drips(wire: Wire) -> None:
    """A refusal whose page comes a byte at a time."""
    wire.answer(b"", status="403 No", length=99)
    wire.drip(b"<html>" * 16, 0.05)


def asks_to_wait(*fields: str) -> Arrange:
    """A 429 with these fields."""
    return wired(lambda wire: wire.answer(b"", *fields, status="429 Slow"))


def store(scene: Scene, times: int) -> None:
    """A system whose store of CAs is there and holds none, and a connection without a CA of its own."""
    path = scene.stage.folder / "store.pem"
    path.write_text("# none\n")
    patch = scene.stack.enter_context(pytest.MonkeyPatch.context())
    places = ssl.DefaultVerifyPaths("", "", "SSL_CERT_FILE", str(path), "SSL_CERT_DIR", str(scene.stage.folder))
    patch.setattr(ssl, "get_default_verify_paths", lambda: places)
    scene.extra(ca_cert=None)


REFUSED_BADLY: Final[dict[str, Callable[[Wire], None]]] = {
    "whose page is reset": cut_off,
    "whose page is cut off": lambda wire: wire.answer(b"<html>", status="403 No", length=99),
    "whose page is too large": lambda wire: wire.answer(b" " * (2**20 + 1), status="403 No"),
    "whose page is no gzip": lambda wire: wire.answer(b"<html>", "Content-Encoding: gzip", status="403 No"),
    "whose page is a bomb": lambda wire: wire.answer(
        gzip.compress(b" " * 2**22), "Content-Encoding: gzip", status="403 No"
    ),
    "without the page that it calls packed": lambda wire: wire.answer(b"", "Content-Encoding: gzip", status="403 No"),
    "with a broken chunk": lambda wire: wire.send(b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
}


def at(host: str) -> Arrange:
    """A connection whose host is written so."""
    return lambda scene, times: scene.connection.update(host=host)


ONE: Final = ("stop_push",)
LOST: Final = Expected(error=AmbiguousOutcome, seen=0, executed=0, tries=3, says="maybe", words="whether")


def row(about: str, what: str, arrange: Arrange, expected: Expected, *, seconds: float | None = None) -> Case:
    """A row of the table."""
    return Case(number=about, what=what, arrange=arrange, expected=expected, operations=ONE, seconds=seconds)


ROWS: Final = (
    *(
        row("refusal", f"gateway code {code}", gateway(code), SIGNED_TWICE)
        for code in (20002, 70003, 70004, 70019, 70021, 70099, 70214, 70236, 70300, 70346)
    ),
    row("refusal", "gateway code 70017", gateway(70017), SIGNED_TWICE),
    row(
        "refusal",
        "gateway code 70017 for a time-out",
        gateway(70017, "check timed out"),
        Expected(error=ServiceError, seen=3, executed=0, tries=3, words="server timed out"),
    ),
    row(
        "refusal",
        "line break in its text",
        says(b'{"ActionStatus":"FAIL","ErrorCode":60017,"ErrorInfo":"for\nbidden"}'),
        refused(RequestRejected, words='"for bidden"'),
    ),
    row("refusal", "UserSig in its text", wired(echoes_usersig), SIGNED_TWICE),
    *(
        row(
            "refusal",
            f"head result {number}",
            emulated(code=number, layer="head"),
            refused(RequestRejected, words=f"head code {number - 2**32}"),
        )
        for number in (2**32 - 1, 2**32 - 2, 2**32 - 4, 2**32 - 5)
    ),
    row(
        "alert that is not lost",
        "foreign client certificate",
        key_material(foreign),
        unsent(CertificateError, field="client_cert", words="refused the client certificate"),
    ),
    row(
        "alert that is not lost",
        "foreign client certificate with a long chain",
        key_material(long_chain),
        unsent(CertificateError, field="client_cert", words="refused the client certificate"),
    ),
    row("alert that is not lost", "answer before the request was read", refused_unread, unsent(ProtocolError)),
    *(
        row("proxy", f"status {status}", proxy_answers(status), REFUSED_BY_PROXY)
        for status in (301, 302, 400, 401, 403, 404, 405, 501, 505, 511)
    ),
    *(
        row("proxy", f"status {status}", proxy_answers(status), PROXY_CANNOT)
        for status in (408, 429, 500, 502, 503, 504)
    ),
    row("proxy", "status 407", proxy_answers(407), unsent(ProtocolError, field="proxy", words="other credentials")),
    row("proxy", "no HTTP", proxy_says(b"SSH-2.0-OpenSSH_9.2\r\n"), PROXY_UNREADABLE),
    row("proxy", "closes", proxy_says(b""), PROXY_UNREADABLE),
    row("proxy", "half an answer", proxy_says(b"HTTP/1.1 200 OK\r\nX:"), PROXY_UNREADABLE),
    *(
        row("proxy", f"consents with {consent.split(b'@')[0]!r}", tunnel(consent), DONE)
        for consent in (
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n",
            b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        )
    ),
    row("proxy", "consents with a long head", tunnel(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2000 + b"\r\n"), DONE),
    *(
        row("proxy", f"written {written}", tunnel(b"HTTP/1.1 200 OK\r\n\r\n", written), DONE)
        for written in (
            "HTTP://127.0.0.1:{port}/",
            "http://CORP\\joe:p%40ss@127.0.0.1:0{port}",
            "http://joe:密码@localhost.:{port}",
            *(("http://[0:0::1]:{port}",) if socket.has_dualstack_ipv6() else ()),
        )
    ),
    *(
        row("proxy", f"written {written!a}", extra(proxy=written), local("proxy", "", error=ConfigurationError))
        for written in (
            "http://pro xy:1",
            "http://proxy\u3002example:1",
            "http://proxy:0",
            "http://proxy:99999",
            "http://a,b:1",
            "http://[::1:3128",
            "http://127.1:3128",
            "https://proxy:3128",
            "proxy:3128",
        )
    ),
    *(
        row("handshake", f"alert {code} to the greeting", alert(code), unsent(ProtocolError, field="host"))
        for code in (40, 42, 46, 47, 48, 49, 50, 51, 70, 71, 109, 110, 112, 116, 120)
    ),
    row("handshake", "alert 80 (internal error) to the greeting", alert(80), UNREACHED),
    row("handshake", "no cipher in common", no_cipher_in_common, unsent(ProtocolError, field="host")),
    row(
        "handshake",
        "no secure renegotiation",
        greeted(without_secure_renegotiation),
        unsent(ProtocolError, field="host"),
    ),
    row("handshake", "no TLS", greeted(no_tls), unsent(ProtocolError, field="host", words="does not speak TLS")),
    *(
        row("host", f"written {host!a}", at(host), DONE)
        for host in ("HTTPS://127.0.0.1/", "LocalHost", "localhost.", "https://LOCALHOST.")
    ),
    *(
        row("host", f"written {host!a}", at(host), local("host", "", error=ConfigurationError))
        for host in (
            "a\u3002invalid",
            "\u200blocalhost",
            "local\u00adhost",
            "\uff4cocalhost",
            "'127.0.0.1'",
            "*.invalid",
            "127.0.0.1%20",
            "127.0.0.1,127.0.0.2",
            "a..b.invalid",
            "127.1",
            "[::1",
            "localhost:0",
        )
    ),
    *(row("HTTP", what, formed(form), DONE) for what, form in FORMS.items()),
    row("HTTP", "three bytes at a time", wired(slowly), DONE),
    *(row("HTTP", what, formed(form), LOST_AFTER) for what, form in NO_FORMS.items()),
    *(
        row("status", f"{status}", emulated(status=status), refused(CertificateError, field="client_cert"))
        for status in (495, 496)
    ),
    *(
        row("status", f"{status}", emulated(status=status), refused(ProtocolError, field=field))
        for status, field in ((401, None), (404, "host"), (407, "proxy"), (421, "host"), (497, "host"), (511, "proxy"))
    ),
    *(
        row("status", f"403 {what}", wired(script), refused(ProtocolError, words="HTTP 403"))
        for what, script in REFUSED_BADLY.items()
    ),
    *(
        row(
            "status",
            f"403 whose page {script.__name__}",
            wired(script),
            refused(ProtocolError, words="HTTP 403"),
            seconds=CUT_SECONDS,
        )
        for script in (stalls, drips)
    ),
    *(
        row(
            "status",
            f"429 with {what}",
            asks_to_wait(*fields),
            Expected(error=RateLimited, seen=3, executed=0, tries=3),
        )
        for what, fields in {
            "Retry-After twice": ("Retry-After: 1", "Retry-After: 2"),
            "an empty Retry-After": ("Retry-After:",),
            "Retry-After in other digits": ("Retry-After: \xb2",),
        }.items()
    ),
    row(
        "CAs",
        "a store of the system without any",
        store,
        Expected(error=ConfigurationError, seen=0, executed=0, field="ca_cert", words="store of CAs", connections=0),
    ),
    row(
        "status",
        "403 with IIS's page on client certificates",
        emulated(status=403, body="<h2>403.7 - Forbidden: SSL client certificate is required.</h2>"),
        refused(CertificateError, field="client_cert", words="no client certificate arrived"),
    ),
    row("status", "200 in text that changes nothing", answered(lambda body: body, "X-Served-By: edge"), DONE),
)
