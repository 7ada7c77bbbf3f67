"""Reads HTTP/1.1 more liberally than aiohttp does, as browsers do, and more strictly, so that it costs little.

More liberally: a ``Content-Length`` that is repeated with one value counts once (RFC 9110, 8.6); beside ``Transfer-Encoding:
chunked`` it does not count (RFC 9112, 6.3), and the connection is not used again. More strictly: a head has a largest size,
interim answers included, and so have the bytes on the wire beside a body, such as the marks between chunks of one byte.

Importing this imports aiohttp.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from aiohttp import ClientPayloadError, TCPConnector
from aiohttp.client_proto import ResponseHandler

from airflow_provider_timav.stream.pools import WAY

if TYPE_CHECKING:
    from aiohttp.connector import Connection

__all__ = ["Connector", "Overloaded", "tidied"]

LARGEST_HEAD: Final = 1 << 18
"""Bytes of an answer's head, and of the interim answers before it; browsers take as many."""

MOST_INTERIM: Final = 20
"""Interim answers (1xx) to one request."""

LARGEST_OVERHEAD: Final = 1 << 17
"""Bytes of an answer that are not its body (chunk sizes, extensions, trailers), beyond half of the bytes of its body."""

_SLICE: Final = 1 << 14
"""Bytes after which that is checked: each chunk of one byte costs a microsecond."""

_END = re.compile(rb"\r?\n\r?\n")
_INTERIM = re.compile(rb"HTTP/1\.\d 1(?!01)\d\d")
# The value as a whole: an expression for the blanks at its end takes the square of how many there are within it.
_FRAMING = re.compile(rb"^(content-length|transfer-encoding)[ \t]*:(.*)\n", re.IGNORECASE | re.MULTILINE)


class Overloaded(ClientPayloadError):
    """There is more beside an answer's body than any server needs."""


class Answers(ResponseHandler):
    """Takes the bytes of a connection; see the module."""

    _head: bytearray | None = None
    _interim = 0
    _wire = 0

    def set_response_params(self, **facts: Any) -> None:
        """Begin to read an answer."""
        self._head, self._interim, self._wire = bytearray(), 0, 0
        super().set_response_params(**facts)

    def data_received(self, data: bytes) -> None:
        """Pass on an answer's head as a whole, and its body as it comes."""
        if self._head is not None:
            if not self._head and _is_ordinary(data):
                self._head = None
            elif (answer := self._complete(data)) is None:
                return
            else:
                data = answer
        if len(data) <= _SLICE and self._wire + len(data) <= LARGEST_OVERHEAD:  # nearly always
            self._wire += len(data)
            ResponseHandler.data_received(self, data)
        else:
            self._pass_on(data)

    def _complete(self, data: bytes) -> bytes | None:
        """Return the final answer from its head on, once it is there."""
        head = self._head
        if head is None:
            return data
        searched = max(len(head) - 3, 0)
        head += data
        self._wire += len(data)
        while head[:5] == b"HTTP/"[: len(head)] and self._wire <= LARGEST_HEAD + len(data):
            if (found := _END.search(head, searched)) is None:
                if self._wire > LARGEST_HEAD:
                    break
                return None
            if _INTERIM.match(head) is None:
                self._head, self._wire = None, 0
                return tidied(bytes(head[: found.end()])) + bytes(head[found.end() :])
            self._interim += 1
            if self._interim > MOST_INTERIM:
                break
            del head[: found.end()]
            searched = 0
        self._head = None
        if head[:5] != b"HTTP/"[: len(head)]:
            return bytes(head)  # bytes that are no HTTP are the parser's to refuse
        self._refuse()
        return None

    def _pass_on(self, data: bytes) -> None:
        if len(data) <= _SLICE:
            ResponseHandler.data_received(self, data)
            self._weigh(len(data))
            return
        for begin in range(0, len(data), _SLICE):
            part = data[begin : begin + _SLICE]
            ResponseHandler.data_received(self, part)
            self._weigh(len(part))
            if self.transport is None:
                return

    def _weigh(self, length: int) -> None:
        """Count the bytes that have come, and refuse them if too few of them are body."""
        self._wire += length
        if self._wire <= LARGEST_OVERHEAD or (payload := self._payload) is None:
            return
        if self._wire - 1.5 * payload.total_bytes > LARGEST_OVERHEAD:
            self._refuse()

    def _refuse(self) -> None:
        error = Overloaded()
        if self._payload is not None:
            self._payload.set_exception(error)
        self.set_exception(error)
        if self.transport is not None:
            self.transport.abort()


class Connector(TCPConnector):
    """A pool of connections whose answers are read by `Answers`, and which notes how far a request has come."""

    def __init__(self, **facts: Any) -> None:
        super().__init__(**facts)
        # aiohttp has no other place for it; the tests show that it is used.
        self._factory: Any = self._begun

    def _begun(self) -> Answers:
        if (way := WAY.get()) is not None:
            way.sockets += 1
        return Answers(loop=self._loop)

    async def connect(self, *request: Any, **facts: Any) -> Connection:
        """Return a connection, a new one or one that was used before; raises the same errors as before."""
        way = WAY.get()
        if way is not None:
            way.sockets = 0  # the library may be trying again
        connection = await super().connect(*request, **facts)
        if way is not None:
            way.connected = True
        return connection


def _is_ordinary(data: bytes) -> bool:
    """Return whether bytes begin with the whole head of a success that needs no change: nearly all do."""
    end = data.find(b"\r\n\r\n")
    if end < 0 or end > LARGEST_HEAD or data[:10] != b"HTTP/1.1 2":
        return False
    head = data[:end].lower()
    length = head.find(b"\ncontent-length:")
    if length < 0:
        return True
    line = head.find(b"\n", length + 1)
    told = head[length + 1 : line if line >= 0 else end]
    return b"," not in told and b"\ncontent-length" not in head[length + 1 :] and b"\ntransfer-encoding" not in head


def tidied(head: bytes) -> bytes:
    """Return an answer's head with one declaration of its body's end, as browsers understand it.

    :param head: status line and headers, with the empty line. One whose lengths differ is returned as it is: no client can
        find the end of its body.
    """
    framing = _FRAMING.findall(head)
    if len(framing) < 2 and not (framing and b"," in framing[0][1]):
        return head
    lengths = {one.strip() for name, value in framing if name.lower() == b"content-length" for one in value.split(b",")}
    coded = any(name.lower() == b"transfer-encoding" for name, _ in framing)
    if len(lengths) != 1:
        return head
    status, _, headers = head.partition(b"\n")
    rest = _FRAMING.sub(lambda found: found[0] if found[1].lower() == b"transfer-encoding" else b"", headers)
    length = b"" if coded else b"Content-Length: " + lengths.pop() + b"\r\n"
    return status + b"\n" + length + b"Connection: close\r\n" + rest
