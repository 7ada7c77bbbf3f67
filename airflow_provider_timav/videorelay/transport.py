"""The state of a post in the air, for both clients, from its sockets and from TLS.

TLS itself knows whether anything was sent, and a library does not: an exception that says "timeout" or "closed" comes
from either side of the first byte, and only before it can nothing have been executed. ``blame`` judges a fault.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_provider_timav.videorelay.http1 import AnswerReader
from airflow_provider_timav.videorelay.line import RequestLine, Secret
from airflow_provider_timav.videorelay.reply import Reply

__all__ = ["HEADERS", "Flight", "PatientSocket", "TlsObject", "current_flight", "in_flight"]

HEADERS: Final = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "airflow-provider-timav",
}


@dataclass
class Flight:
    """The post that this thread, or this task of a loop, has in the air, as its sockets know it. ``repr`` shows no credential.

    :param deadline: until when it may take, on the monotonic clock.
    :param line: writes the UserSig into the request line.
    :param introduction: the header line for a proxy, with the request for a tunnel.
    :param connected: whether something has taken the connection: the service, or the proxy if there is one.
    :param reached: whether TLS with the service has begun; until then a proxy, if there is one, answers.
    :param greeted: whether the service has answered the greeting of TLS: only then can it have asked for a certificate.
    :param sent: whether the first byte has left.
    :param refusal: the fault that TLS, or the reader of answers, found, in case a library loses it.
    :param socket: the one in use, so that the synchronous client can cut it.
    """

    deadline: float
    line: RequestLine = field(repr=False)
    introduction: Secret | None = field(default=None, repr=False)
    connected: bool = False
    reached: bool = False
    greeted: bool = False
    sent: bool = False
    refusal: Exception | None = None
    socket: socket.socket | None = None

    @functools.cached_property
    def answer(self) -> AnswerReader:
        """The reader of the service's answer; made when there is something to read, while the service is at work."""
        return AnswerReader()

    @functools.cached_property
    def consent(self) -> AnswerReader:
        """The reader of a proxy's answer; most flights have none."""
        return AnswerReader("CONNECT")

    def decided(self) -> Reply | None:
        """Return the service's refusal of the post, if its status is all that came before a fault or a deadline."""
        return self.answer.decided() if self.sent else None


_FLIGHT: ContextVar[Flight | None] = ContextVar("timav_flight", default=None)


@contextlib.contextmanager
def in_flight(flight: Flight) -> Iterator[None]:
    """Have the sockets of this thread or task note their steps in this flight."""
    token = _FLIGHT.set(flight)
    try:
        yield
    finally:
        _FLIGHT.reset(token)


def current_flight() -> Flight | None:
    """Return the flight that this thread or task is in."""
    return _FLIGHT.get()


class TlsObject(ssl.SSLObject):
    """TLS that notes its progress in its flight, and puts the UserSig into the request line.

    ``flight`` is that of the post in the air, by default the one in which hands are shaken.
    """

    flight: Flight | None = None

    def do_handshake(self) -> None:
        """Shake hands with the service, and with no other party."""
        if self.flight is None and (flight := current_flight()) is not None:
            self.flight = flight
            flight.reached = True
        try:
            super().do_handshake()
        finally:
            if self.flight is not None:
                self.flight.greeted = self.cipher() is not None

    def write(self, data: Any) -> int:
        """Encrypt bytes to send, and note that some were sent."""
        if self.flight is None or self.flight.line.filled:
            return self._leave(data)
        return self.flight.line.write(data, self._leave)

    def _leave(self, data: Any) -> int:
        if self.flight is not None:
            self.flight.sent = True  # from here on, nothing proves that it was not executed
        return super().write(data)

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        """Decrypt received bytes, and keep a refusal: a library forgets one that comes before it has written."""
        try:
            return super().read(len, buffer)
        except ssl.SSLError as error:
            if self.flight is not None and error.reason and "ALERT" in error.reason:
                self.flight.refusal = error
            raise


class PatientSocket(socket.socket):
    """A socket on which no write fails because the peer has closed.

    Libraries give a connection up then. A peer that refuses says why before it closes, in an alert or in an answer to half a
    request, and reading brings that, or the end.
    """

    def send(self, data: Any, flags: int = 0) -> int:
        """Send what can be sent."""
        with contextlib.suppress(ConnectionError):
            return super().send(data, flags)
        return memoryview(data).nbytes

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of it."""
        with contextlib.suppress(ConnectionError):
            super().sendall(data, flags)

    def sendmsg(self, buffers: Any, *args: Any) -> int:
        """Send what can be sent of several pieces."""
        pieces = [memoryview(piece) for piece in buffers]
        with contextlib.suppress(ConnectionError):
            return super().sendmsg(pieces, *args)
        return sum(piece.nbytes for piece in pieces)
