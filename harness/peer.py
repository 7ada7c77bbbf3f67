"""A peer between client and emulator that breaks connections where the emulator's own faults do not reach.

It ends the client's TLS, reads requests, and lets a script decide what becomes of each: whether it is handed on to the emulator
(which alone executes anything, so that its journal holds the truth), and which bytes come back, when, and how the connection
ends.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import trustme

from airflow_provider_timav.emulator import Emulator

__all__ = ["BlackHole", "Fault", "Greeting", "Peer", "Wire", "listening", "server_context"]


def server_context(emulator: Emulator, authority: trustme.CA, *names: str, **facts: Any) -> ssl.SSLContext:
    """The server's side with a certificate of ``authority``; clients need one of the emulator's authority, as there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=emulator.certificates.ca_pem)
    authority.issue_cert(*(names or ("127.0.0.1",)), **facts).configure_cert(context)
    return context


@functools.lru_cache(maxsize=4)
def _contexts(emulator: Emulator) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The client's side towards the emulator, and the server's side as the emulator has it."""
    return emulator.certificates.client_context(), emulator.certificates.server_context()


@dataclass
class Wire:
    """One request on one connection, for a script to answer, or not. ``head`` is its first line and its header fields."""

    connection: socket.socket
    method: str
    target: str
    head: str
    body: bytes
    emulator: Emulator
    ended: threading.Event

    def execute(self) -> bytes:
        """Hand the request on; return the body of the true answer."""
        port = urlsplit(self.emulator.api_url).port
        onward = http.client.HTTPSConnection("127.0.0.1", port, context=_contexts(self.emulator)[0])
        try:
            onward.request(self.method, self.target, self.body, {"Content-Type": "application/json"})
            return onward.getresponse().read()
        finally:
            onward.close()

    def send(self, data: bytes) -> None:
        """Send, however often the client reads."""
        self.connection.sendall(data)

    def answer(self, body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> None:
        """Send a whole answer; ``length`` lies about the body's."""
        said = len(body) if length is None else length
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {said}", *headers]
        self.send("\r\n".join([*lines, "", ""]).encode() + body)

    def drip(self, data: bytes, seconds: float) -> None:
        """Send byte by byte, so many seconds apart, until the client or the test has gone."""
        for place in range(len(data)):
            if self.ended.wait(seconds):
                return
            self.send(data[place : place + 1])

    def hang(self) -> None:
        """Send nothing, and keep the connection open until the test ends."""
        self.ended.wait()

    def reset(self) -> None:
        """End with a TCP reset."""
        _reset(self.connection)


Fault = Callable[[Wire], None]
Greeting = Callable[[socket.socket], socket.socket | None]


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@dataclass
class Peer:
    """A port in front of ``emulator``, with the emulator's own certificate unless ``context`` says otherwise.

    ``fault`` befalls the next ``faults_left`` requests, and its connection then ends; other requests are handed on and answered
    truly. ``greet`` replaces the TLS handshake; what it returns is the connection, None if there is none.
    """

    emulator: Emulator
    context: ssl.SSLContext | None = None
    fault: Fault | None = None
    faults_left: int = 0
    greet: Greeting | None = None
    connections: int = 0
    posts: int = 0
    clients: list[str] = field(default_factory=list)

    def __enter__(self) -> Peer:
        self._context = self.context or _contexts(self.emulator)[1]
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._acceptor = threading.Thread(target=self._accept, name="fault-peer", daemon=True)
        self._acceptor.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        port: int = self._listener.getsockname()[1]
        return port

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with self._lock:
                self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), name="fault-peer", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        current = plain
        try:
            greeted = self._shake_hands(plain) if self.greet is None else self.greet(plain)
            if greeted is None:
                return
            current = greeted
            with self._lock:
                self._open[self._open.index(plain)] = current
            while self._converse(current):
                pass
        except (OSError, http.client.HTTPException):
            pass  # the client has gone, or refused us: what it says about that is under test
        finally:
            with self._lock:
                self._open = [each for each in self._open if each is not current and each is not plain]
            _close(current)
            _close(plain)

    def _shake_hands(self, plain: socket.socket) -> ssl.SSLSocket:
        shaken = self._context.wrap_socket(plain, server_side=True)
        found: Any = shaken.getpeercert() or {}
        self.clients += [value for part in found.get("subject", ()) for name, value in part if name == "commonName"]
        return shaken

    def _converse(self, connection: socket.socket) -> bool:
        """Deal with one request; return whether the connection goes on."""
        request = _read(connection)
        if request is None:
            return False
        wire = Wire(connection, *request, self.emulator, self._ended)
        with self._lock:
            self.posts += 1
            fault = self.fault if self.faults_left > 0 else None
            self.faults_left -= 1
        if fault is None:
            wire.answer(wire.execute())
            return True
        fault(wire)
        return False


def _close(connection: socket.socket) -> None:
    """Close in good order: what was sent arrives, which closing on unread bytes would undo."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_WR)
    connection.close()


def _read(connection: socket.socket) -> tuple[str, str, str, bytes] | None:
    received = b""
    while b"\r\n\r\n" not in received:
        if not (piece := connection.recv(65536)):
            return None
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    while len(body) < int(headers.get("content-length", "0")):
        if not (piece := connection.recv(65536)):
            return None
        body += piece
    return method, target, head.decode("latin-1"), body


class BlackHole:
    """An address that answers no connection: a port whose queue is full, whose system drops what comes after."""

    def __enter__(self) -> BlackHole:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self._filling = [socket.socket() for _ in range(4)]
        for each in self._filling:
            each.setblocking(False)
            each.connect_ex(self._listener.getsockname())
        return self

    def __exit__(self, *exc_info: object) -> None:
        for each in [*self._filling, self._listener]:
            each.close()

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        port: int = self._listener.getsockname()[1]
        return port


@contextlib.contextmanager
def listening(say: Callable[[socket.socket], None], host: str = "127.0.0.1") -> Iterator[int]:
    """A port whose peer reads once, says what it has to say, and closes."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, 0), family=family)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.recv(4096)
                say(connection)
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(5.0)
                connection.recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
