"""The HTTP of an answer, a proxy's included, read by one reader for both clients: what one of them takes, the other takes.

The libraries of the two clients have a parser each, and these differ: in how many fields a head may have and how long they may
be, in informational answers before the true one, in fields that stand twice, in what follows the end, in packed bodies. To a
start the difference is that between "started" and "maybe executed". So each library is given the answer in its plainest form,
and the form of an answer is judged here, by ``h11``. There is no I/O in here.

Taken beyond RFC 9112: line ends without CR, bytes behind the end of the answer (they are dropped, and the connection
is not used again). Refused, because the end of the answer or its meaning is uncertain: a line of the head without
a colon, lengths that differ, transfer codings other than ``chunked``.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import Any, Final, Literal

import h11

from airflow_provider_timav.videorelay.exchange import ANSWER_BYTES
from airflow_provider_timav.videorelay.reply import Reply

__all__ = ["HEAD_BYTES", "MOST_INTERIM", "AnswerReader", "BrokenAnswerError", "TooLargeError"]

HEAD_BYTES: Final = 64 * 1024
"""Of status line and header fields together, however many there are."""
RECEIVE_BYTES: Final = 16 * 1024
PIECE_BYTES: Final = 4 * 1024
MOST_INTERIM: Final = 16
"""Informational answers (100, 103 …) before the true one."""
MOST_CHUNKS: Final = 8192
"""Each takes some 10 µs to read, be it of one byte, and the loop of the triggers waits meanwhile."""
MOST_MEMBERS: Final = 128
"""Of ``gzip``. A copy is made for each answer."""
RECEIVED_BYTES: Final = 2 * ANSWER_BYTES
"""Of the answer as it comes, with its head and the framing of its chunks."""
FIELD_BYTES: Final = 200
"""Of a field that is handed on; the part that is read stands at its beginning."""

# How an answer is read depends on the request's method alone. Made once: making one takes as long as reading.
_ASKED: Final = {
    method: h11.Request(method=method, target="-:1", headers=[("Host", "-")]) for method in ("POST", "CONNECT")
}
_ASKED_ALL: Final = h11.EndOfMessage()

# The header fields that are read (``reply.Reply``).
_HANDED_ON: Final = (b"content-type", b"date", b"retry-after")
_NO_WRITING: Final = re.compile(rb"[^ -~]")


class TooLargeError(OSError):
    """The answer exceeds the cap."""


class BrokenAnswerError(OSError):
    """The bytes that came are no whole answer of HTTP; its text says in a few words why, and quotes nothing."""


class AnswerReader:
    """Reads the answer to one request as its bytes come, and hands it on whole: unpacked, with its length, without the rest.

    :param method: of the request. Of the answer to a ``CONNECT`` only the head is read: what follows a consent is the tunnel,
        and what follows a refusal is of no use.
    """

    def __init__(self, method: Literal["POST", "CONNECT"] = "POST") -> None:
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
        self._connection.send(_ASKED[method])
        self._connection.send(_ASKED_ALL)
        self._asks_for_tunnel = method == "CONNECT"
        self._head: h11.Response | None = None
        self._body = bytearray()
        self._interim = 0
        self._chunks = 0
        self._received = 0
        self._left = memoryview(b"")
        self._is_followed = False
        self.whole = False
        self.holds_more = False
        """Whether more has come than was received last, as the receiver notes. Treated like bytes behind the answer."""

    def give(self, buffer: Any, receive: Callable[[memoryview], int]) -> int:
        """Fill a buffer with the answer, after receiving the rest of it; return the number of bytes, 0 at its end.

        :param receive: fills a buffer with received bytes, and returns 0 at the end of the connection.
        """
        if not self.whole:
            self._left = memoryview(self._received_by(receive))
        given = self._left[: len(buffer)]
        buffer[: len(given)] = given
        self._left = self._left[len(given) :]
        return len(given)

    def _received_by(self, receive: Callable[[memoryview], int]) -> bytes:
        received = memoryview(bytearray(RECEIVE_BYTES))
        while True:
            try:
                count = receive(received)
            except OSError:  # one of them is TimeoutError
                if plain := self.cut_off():
                    return plain
                raise
            if plain := self.feed(bytes(received[:count])):
                return plain

    def feed(self, received: bytes) -> bytes:
        """Take received bytes, ``b""`` for the end; return the answer once it is whole, until then ``b""``.

        :raises BrokenAnswerError: if this is no HTTP that can be read, or ended too early.
        :raises TooLargeError: if the answer exceeds the cap, packed or unpacked.
        """
        if self.whole:
            return b""
        trouble: OSError | None = None
        is_whole = False
        try:
            is_whole = self._take(received)
        except (BrokenAnswerError, TooLargeError) as found:
            trouble = found
        except h11.RemoteProtocolError:
            # Its text quotes the answer; a connection that ends in the middle is a protocol error to it, too.
            trouble = BrokenAnswerError(
                "no HTTP that can be read" if received else "closed before the answer was whole"
            )
        if trouble is None:
            return self._plain() if is_whole else b""
        if plain := self.cut_off():
            return plain
        raise trouble

    def decided(self) -> Reply | None:
        """Return the answer if its status is there and decides by itself, whatever became of the rest."""
        if self._head is None or self._head.status_code == 200:
            return None
        fields = dict(self._fields())
        retry_after = fields.get(b"retry-after")
        return Reply(
            self._head.status_code,
            self._unpacked(),
            None if retry_after is None else retry_after.decode(),
            fields.get(b"content-type", b"").decode(),
        )

    def cut_off(self) -> bytes:
        """Return the answer though its end will not come, if its status decides by itself; otherwise ``b""``.

        A refusal is one, whatever becomes of the page that explains it.
        """
        if self.whole or self._head is None or self._head.status_code == 200:
            return b""
        self.whole = True
        return self._plain()

    def _take(self, received: bytes) -> bool:
        # Piece by piece, so that the cap on the head does not depend on how much came at once.
        for place in range(0, max(len(received), 1), PIECE_BYTES):
            self._is_followed = self.whole
            if self.whole:
                break
            piece = received[place : place + PIECE_BYTES]
            self._received += len(piece)
            if self._received > RECEIVED_BYTES:
                raise TooLargeError
            self._connection.receive_data(piece)
            self.whole = self._read()
        return self.whole

    def _read(self) -> bool:
        """Take note of the events that have come; return whether the answer is whole."""
        while (event := self._connection.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.InformationalResponse):
                self._interim += 1
                if self._interim > MOST_INTERIM:
                    raise BrokenAnswerError("informational answers without end")
            elif isinstance(event, h11.Response):
                self._head = event
                if self._asks_for_tunnel:
                    return True
            elif isinstance(event, h11.Data):
                self._body += event.data
                self._chunks += event.chunk_start
                if self._chunks > MOST_CHUNKS:
                    raise BrokenAnswerError("chunks without end")
                if len(self._body) > ANSWER_BYTES:
                    raise TooLargeError
            else:
                return True
        return False

    def _plain(self) -> bytes:
        assert self._head is not None  # noqa: S101 - a whole answer has a head
        status = self._head.status_code
        if self._asks_for_tunnel and status < 300:
            return b"HTTP/1.1 200 -\r\n\r\n"  # any 2xx is a consent (RFC 9110, 9.3.6)
        body = self._unpacked()
        lines = [b"HTTP/1.1 %d -" % status]
        lines += [name + b": " + value for name, value in self._fields()]
        if status in (204, 304):
            body = b""  # as these have none, no library would read one
        else:
            lines.append(b"Content-Length: %d" % len(body))
        is_followed = self._is_followed or self.holds_more or self._connection.trailing_data[0]
        if is_followed or self._connection.their_state is not h11.DONE:
            lines.append(b"Connection: close")
        return b"\r\n".join([*lines, b"", body])

    def _fields(self) -> list[tuple[bytes, bytes]]:
        """Return the head to hand on: each field once, short and in ASCII, because the libraries differ in the others."""
        assert self._head is not None  # noqa: S101 - see _plain
        found: dict[bytes, bytes] = {}
        for name, value in self._head.headers:
            if name in _HANDED_ON and name not in found:
                found[name] = _NO_WRITING.sub(b"?", value[:FIELD_BYTES]).strip()
        return [*found.items()]

    def _unpacked(self) -> bytes:
        assert self._head is not None  # noqa: S101 - see _plain
        codings = b",".join(value for name, value in self._head.headers if name == b"content-encoding").decode(
            "latin-1"
        )
        try:
            return unpacked(bytes(self._body[:ANSWER_BYTES]), codings)
        except (zlib.error, TooLargeError):
            if self._head.status_code == 200:
                raise
            return b""


def unpacked(body: bytes, codings: str) -> bytes:
    """Undo content codings that were not asked for, as far as the cap: a bomb is never unpacked.

    ``gzip`` may have several members (RFC 1952), though not without end, ``deflate`` may lack zlib's header, as some servers
    send it. A coding that is not known is left as it is.

    :raises zlib.error: if it is not packed as it says; nothing at all may be said to be packed.
    :raises TooLargeError: if it exceeds the cap.
    """
    if not body:
        return b""
    for coding in reversed([each.strip().lower() for each in codings.split(",") if each.strip()][:3]):
        if coding in ("gzip", "x-gzip"):
            body = _gunzipped(body)
        elif coding == "deflate":
            body = _inflated(body)
    return body


def _gunzipped(packed: bytes) -> bytes:
    found = bytearray()
    members = 0
    while not members or packed[:2] == b"\x1f\x8b":  # zeros and other padding may follow the last member
        members += 1
        if members > MOST_MEMBERS:
            raise zlib.error("members without end")
        unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        found += _capped(unpacking.decompress(packed, ANSWER_BYTES + 1 - len(found)), already=len(found))
        if not unpacking.eof:
            raise zlib.error("cut off")
        packed = unpacking.unused_data
        if not packed:
            break
    return bytes(found)


def _inflated(packed: bytes) -> bytes:
    for wbits in (zlib.MAX_WBITS, -zlib.MAX_WBITS):
        unpacking = zlib.decompressobj(wbits=wbits)
        try:
            found = _capped(unpacking.decompress(packed, ANSWER_BYTES + 1))
        except zlib.error:
            continue
        if unpacking.eof:
            return found
    raise zlib.error("not deflated")


def _capped(found: bytes, *, already: int = 0) -> bytes:
    if already + len(found) > ANSWER_BYTES:
        raise TooLargeError
    return found
