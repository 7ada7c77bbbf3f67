"""As much of HTTP/1.1 as the emulator serves, over connections that can also be cut, reset and slowed down.

A web framework hides the socket; the faults need it: bytes that are no HTTP, a reset between executing and answering, an
answer byte by byte. TLS is done here over memory buffers for the same reason: asyncio's own closes a connection whose
client certificate is refused without sending the alert that tells the client why.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["BadRequest", "Connection", "Request", "Response", "json_response"]

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_BODY_BYTES: Final = 1024 * 1024
_CHUNK: Final = 64 * 1024
_LINGER_SECONDS: Final = 0.5
T = TypeVar("T")


class BadRequest(Exception):
    """The bytes that came are no request that can be served; `status` is the answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request; `path` is still percent-encoded, header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    keep_alive: bool


@dataclass(frozen=True, kw_only=True)
class Response:
    """One answer; `Content-Length`, `Date` and, unless given, `Content-Type` are added when it is encoded."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self, *, keep_alive: bool = True, head_only: bool = False) -> bytes:
        """Return the bytes to send."""
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:
            phrase = "Unknown"
        headers = {
            "Content-Type": self.content_type,
            "Content-Length": str(len(self.body)),
            "Date": format_datetime(datetime.now(UTC), usegmt=True),
            "Connection": "keep-alive" if keep_alive else "close",
            **self.headers,
        }
        lines = [f"HTTP/1.1 {self.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if head_only else self.body)


def json_response(document: object, status: int = 200) -> Response:
    """Return a document as an answer."""
    body = json.dumps(document, ensure_ascii=False).encode()
    return Response(status=status, body=body, content_type="application/json; charset=utf-8")


class Connection:
    """One accepted TCP connection, with or without TLS. One task reads and writes it in turn."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.number = number
        self.client = ""
        self.busy = False
        self._reader = reader
        self._writer = writer
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._buffer = b""

    # --- bytes ---------------------------------------------------------------------------------------------------

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Do the server's side of the handshake; `client` is the certificate's common name afterwards.

        :raises ssl.SSLError: or OSError when it fails; `close` then sends the peer the alert that says why.
        """
        tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        await self._pump(tls.do_handshake)
        self._tls = tls
        subject = (tls.getpeercert() or {}).get("subject", ())
        names = dict(pair for attributes in subject for pair in attributes)  # type: ignore[misc]  # typeshed: any depth
        self.client = str(names.get("commonName", ""))

    async def _pump(self, step: Callable[..., T], *arguments: Any) -> T:
        """Run one step of the TLS engine, carrying its bytes to and from the socket."""
        while True:
            try:
                result = step(*arguments)
            except ssl.SSLWantReadError:
                await self._flush()
                received = await self._reader.read(_CHUNK)
                if received:
                    self._incoming.write(received)
                else:
                    self._incoming.write_eof()
            else:
                await self._flush()
                return result

    async def _flush(self) -> None:
        if self._outgoing.pending:
            self._writer.write(self._outgoing.read())
            await self._writer.drain()

    async def _read_some(self) -> bytes:
        if self._tls is None:
            return await self._reader.read(_CHUNK)
        try:
            return await self._pump(self._tls.read, _CHUNK)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return b""

    async def write(self, payload: bytes) -> None:
        """Send bytes."""
        if self._tls is None:
            self._writer.write(payload)
            await self._writer.drain()
            return
        for start in range(0, len(payload), _CHUNK):
            await self._pump(self._tls.write, payload[start : start + _CHUNK])

    # --- requests ------------------------------------------------------------------------------------------------

    async def read_request(self) -> Request | None:
        """Return the next request, or None when the peer has closed.

        :raises BadRequest: for bytes that are no request that can be served.
        """
        while b"\r\n\r\n" not in self._buffer:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise BadRequest(431, "the head is too long")
            received = await self._read_some()
            if not received:
                return None
            self.busy = True
            self._buffer += received
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        method, target, version, headers = _parse_head(head)
        if headers.get("expect", "").lower() == "100-continue":
            await self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await self._read_body(headers)
        path, _, query = target.partition("?")
        connection = headers.get("connection", "").lower()
        keep_alive = connection != "close" if version == "HTTP/1.1" else connection == "keep-alive"
        return Request(method=method, path=path, query=query, headers=headers, body=body, keep_alive=keep_alive)

    async def _read_body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return await self._read_chunks()
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise BadRequest(400, "Content-Length is not a number")
        if len(length) > 9 or int(length) > MAX_BODY_BYTES:
            raise BadRequest(413, "the body is too long")
        return await self._read_exactly(int(length))

    async def _read_chunks(self) -> bytes:
        body = b""
        while True:
            line = (await self._read_line()).split(b";")[0]
            try:
                length = int(line, 16)
            except ValueError:
                raise BadRequest(400, "a chunk without a length") from None
            if not 0 <= length <= MAX_BODY_BYTES - len(body):
                raise BadRequest(413, "the body is too long")
            if length == 0:
                while await self._read_line():  # trailers
                    pass
                return body
            body += await self._read_exactly(length)
            await self._read_line()

    async def _read_line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            await self._fill()
        line, self._buffer = self._buffer.split(b"\r\n", 1)
        return line

    async def _read_exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            await self._fill()
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    async def _fill(self) -> None:
        received = await self._read_some()
        if not received:
            raise ConnectionResetError("the peer closed in the middle of a request")
        if len(self._buffer) > MAX_BODY_BYTES:
            raise BadRequest(413, "the body is too long")
        self._buffer += received

    # --- ends ----------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Close in good order: the bytes that were written arrive."""
        with suppress(OSError):
            if self._tls is not None:
                with suppress(ssl.SSLError):  # the peer's own goodbye is not waited for
                    self._tls.unwrap()
            await self._flush()
            await self._linger()
        self.abort()

    def reset(self) -> None:
        """End with a TCP reset; bytes that the peer has not read are lost."""
        raw = self._writer.get_extra_info("socket")
        with suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def abort(self) -> None:
        """End at once."""
        self._writer.transport.abort()

    async def _linger(self) -> None:
        """Let the peer read to the end: closing on unread bytes would reset the connection and lose it."""
        with suppress(OSError, TimeoutError):
            if self._writer.can_write_eof():
                self._writer.write_eof()
            async with asyncio.timeout(_LINGER_SECONDS):
                while await self._reader.read(_CHUNK):
                    pass


def _parse_head(head: bytes) -> tuple[str, str, str, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or parts[2] not in ("HTTP/1.0", "HTTP/1.1"):
        raise BadRequest(400, "not an HTTP/1.1 request")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequest(400, "a header without a colon")
        headers[name.strip().lower()] = value.strip()
    return parts[0], parts[1], parts[2], headers
