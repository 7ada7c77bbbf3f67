"""Sockets that know the deadline of a post, so that it holds however a peer spreads its bytes.

The library's timeouts count anew for each address of a host, each read, and each line of a proxy's answer; the system's look-up
of a name knows none at all. Here one deadline counts for all of them.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from typing import Any, Final

import urllib3.connection
import urllib3.connectionpool
import urllib3.exceptions
from urllib3.util.ssltransport import SSLTransport

from airflow_provider_timav.names import look_up
from airflow_provider_timav.videorelay.http1 import AnswerReader
from airflow_provider_timav.videorelay.line import introduced
from airflow_provider_timav.videorelay.transport import Flight, PatientSocket, current_flight

__all__ = ["Pool", "TlsSocket"]

LOOK_UP_STEP: Final = 0.1
"""Seconds after which a wait for a name sees that its post was cut: a cut moves the deadline."""


def _bound(own: socket.socket) -> Flight | None:
    """Have a socket wait no longer than the flight's deadline, which must not have passed."""
    flight = current_flight()
    if flight is not None:
        flight.socket = own
        left = flight.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        timeout = own.gettimeout()
        if timeout is None or left < timeout:
            own.settimeout(left)
    return flight


class TlsSocket(SSLTransport):
    """TLS on a socket, as ``TlsObject`` has it, that gives the answer as ``http1`` does.

    Not ``ssl.SSLSocket``: that gives up with a write that fails, also in the handshake, and loses an alert that has come.
    """

    def __init__(self, plain: _PlainSocket, context: ssl.SSLContext, server_hostname: str) -> None:
        self._plain = plain
        self._answer: AnswerReader
        self._trouble: ssl.SSLError | None = None
        try:
            super().__init__(plain, context, server_hostname)
        except ssl.SSLError:
            plain.sendall(self.outgoing.read())  # the alert that tells the server what is wrong with it
            raise

    @classmethod
    def _create(cls, sock: _PlainSocket, *, server_hostname: str, context: ssl.SSLContext, **_: Any) -> TlsSocket:
        """Shake hands on a socket: what ``SSLContext.wrap_socket`` calls."""
        return cls(sock, context, server_hostname)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Give of the answer, which is read whole first."""
        flight = current_flight()
        assert flight is not None  # noqa: S101 - a read follows a post
        self._answer = flight.answer
        return self._answer.give(memoryview(buffer)[: nbytes or len(buffer)], self._receive)

    def _receive(self, buffer: memoryview) -> int:
        """Fill a buffer with received application data; note for the answer whether more is left.

        The library looks for that in the system's socket, and there it is no longer: all received bytes were taken together. A
        connection with an unrequested answer in it would give that to the next post.
        """
        if self._trouble is not None:
            raise self._trouble
        count: Any = super().recv_into(buffer)
        is_over = False
        # A server's session tickets are among it; reading takes them out, and finds nothing.
        while count < len(buffer) and self.incoming.pending and not is_over:
            try:
                more: Any = self.sslobj.read(len(buffer) - count, buffer[count:])
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError as trouble:
                self._trouble, is_over = trouble, True  # it comes after what is read already
            else:
                count, is_over = count + more, not more
        is_left = self.incoming.pending or self.sslobj.pending() or not self._plain.is_between_records
        self._answer.holds_more = is_over or bool(is_left)
        return int(count)

    def send(self, data: Any, flags: int = 0) -> int:
        """Send what can be sent, of the post in the air."""
        own: Any = self.sslobj
        if (flight := current_flight()) is not None:
            own.flight, flight.reached, flight.greeted = flight, True, True
        return super().send(data, flags)


class _PlainSocket(PatientSocket):
    """The socket below TLS, on which every wait ends by the deadline, and on which a proxy is asked to make way at first."""

    _has_asked = False
    _begun = b""
    _missing = 0

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receive records of TLS, and note their ends."""
        _bound(self)
        received = super().recv(size, flags)
        self._follow(received)
        return received

    @property
    def is_between_records(self) -> bool:
        """Whether no record of TLS has come in part only: OpenSSL keeps such a part to itself."""
        return not self._begun and not self._missing

    def _follow(self, received: bytes) -> None:
        # The head of a record has its length in the last two of five bytes (RFC 8446, 5.1). Mostly a record comes by itself.
        if self.is_between_records and len(received) >= 5 and len(received) - 5 == received[3] << 8 | received[4]:
            return
        received, place = self._begun + received, self._missing
        while place + 5 <= len(received):
            place += 5 + (received[place + 3] << 8 | received[place + 4])
        self._begun = received[place:]
        self._missing = max(place - len(received), 0)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        flight = current_flight()
        assert flight is not None  # noqa: S101 - a read follows a post
        return flight.consent.give(memoryview(buffer)[: nbytes or len(buffer)], self._receive)

    def _receive(self, buffer: memoryview) -> int:
        _bound(self)
        return super().recv_into(buffer)

    def sendall(self, data: Any, flags: int = 0) -> None:
        if not data:  # as a reader of TLS mostly has nothing to write
            return
        flight = _bound(self)
        if flight is None or flight.introduction is None or self._has_asked:
            super().sendall(data, flags)
        else:
            super().sendall(introduced(data, flight.introduction), flags)
            self._has_asked = True


class _Connection(urllib3.connection.HTTPSConnection):
    """A connection that is made within its timeout, look-up and all addresses together."""

    def _new_conn(self) -> socket.socket:
        try:
            return self._connected()
        except socket.gaierror as unknown:
            raise urllib3.exceptions.NameResolutionError(self.host, self, unknown) from unknown
        except TimeoutError as late:
            raise urllib3.exceptions.ConnectTimeoutError(self, "no connection in time") from late
        except OSError as refused:
            raise urllib3.exceptions.NewConnectionError(self, "no connection") from refused

    def _connected(self) -> socket.socket:
        assert isinstance(self.timeout, float)  # noqa: S101 - every request has one
        until = time.monotonic() + self.timeout
        # A proxy's address keeps its brackets.
        addresses = _look_up(self._dns_host.strip("[]"), self.port, self.timeout)
        trouble: OSError = socket.gaierror(socket.EAI_NONAME, "the name has no address")
        for place, (family, kind, protocol, _, address) in enumerate(addresses):
            # An address that does not answer leaves the next ones their share.
            share = (until - time.monotonic()) / (len(addresses) - place)
            if share <= 0:
                raise TimeoutError
            plain = _PlainSocket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    plain.setsockopt(*option)
                plain.settimeout(share)
                # So that a cut wakes it up while it connects; one that came before has moved the deadline.
                _bound(plain)
                plain.connect(address)
                plain.settimeout(self.timeout)
                # A cut that met the socket before it was connecting has not closed it.
                _bound(plain)
            except OSError as error:
                plain.close()
                trouble = error
            else:
                if (flight := current_flight()) is not None:
                    flight.connected = True
                return plain
        raise trouble


def _look_up(host: str, port: int, seconds: float) -> list[Any]:
    """Return a name's addresses, within so many seconds and the flight's deadline."""
    with contextlib.suppress(socket.gaierror):  # an address needs no look-up, and no thread for one
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    found: list[list[Any] | OSError] = []
    thread, flight, until = look_up(host, port, found.append), current_flight(), time.monotonic() + seconds
    while thread.is_alive():
        left = (until if flight is None else min(until, flight.deadline)) - time.monotonic()
        if left <= 0:
            break
        thread.join(min(LOOK_UP_STEP, left))
    if not found:
        raise TimeoutError
    (answer,) = found
    if isinstance(answer, OSError):
        raise answer
    return answer


class Pool(urllib3.connectionpool.HTTPSConnectionPool):
    """A pool of such connections."""

    ConnectionCls = _Connection
