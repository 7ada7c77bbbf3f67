"""One post with aiohttp, over a connection of its own: all that is known of that library is in here.

Importing it imports aiohttp, which takes longer than a loop may be blocked: ``aclient`` does it in a thread.

Four traps of the library are closed here:

- its exceptions carry the request, and not all of them are its ``ClientError``: ``aclient`` lets none of them out;
- which of them came before the first byte cannot be told: the TLS object notes it, as the synchronous client's socket does;
- it looks names up in the loop's pool of threads, where a name server that does not answer would block every other trigger;
- closing TLS is a goodbye to the peer, and the socket of one that does not answer stays open: it is cut off instead.
"""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
import zlib
from typing import TYPE_CHECKING, Any, cast

import aiohttp
from yarl import URL

from airflow_provider_timav.names import Names
from airflow_provider_timav.videorelay.answers import Reply
from airflow_provider_timav.videorelay.exchange import ANSWER_BYTES, CONNECT_SECONDS, READ_SECONDS, Post
from airflow_provider_timav.videorelay.line import Secret, introduced
from airflow_provider_timav.videorelay.transport import HEADERS, Flight, TooLargeError, current_flight

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler

__all__ = ["TlsObject", "send"]


class TlsObject(ssl.SSLObject):
    """TLS that notes in the flight in which it shakes hands what came of it, and puts the UserSig into the request line."""

    _flight: Flight | None = None

    def do_handshake(self) -> None:
        """Shake hands, with the service and with nobody else."""
        if self._flight is None and (flight := current_flight()) is not None:
            self._flight = flight
            flight.reached = True
        super().do_handshake()

    def write(self, data: Any) -> int:
        """Encrypt what is to be sent, and note that something was."""
        if self._flight is None or self._flight.line.filled:
            return self._leave(data)
        return self._flight.line.write(data, self._leave)

    def _leave(self, data: Any) -> int:
        if self._flight is not None:
            self._flight.sent = True  # from here on, nobody can prove that nothing was executed
        return super().write(data)

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        """Decrypt what was received, and keep a refusal: the library forgets one that comes before it has written."""
        try:
            return super().read(len, buffer)
        except ssl.SSLError as error:
            if self._flight is not None and error.reason and "ALERT" in error.reason:
                self._flight.refusal = error
            raise


class _Abrupt:
    """A transport that goes at once, whoever closes it.

    asyncio's own waits up to 30 seconds for the peer's goodbye; closed twice, it cannot even be aborted any more.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        """Close without a word."""
        self._transport.abort()


class _Introducing:
    """A transport to a proxy that adds the introduction to the request for a tunnel: the one thing that is written on it."""

    def __init__(self, transport: asyncio.Transport, introduction: Secret) -> None:
        self._transport = transport
        self._introduction = introduction

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: Any) -> None:
        """Send it."""
        self._transport.write(introduced(data, self._introduction))

    def writelines(self, pieces: Any) -> None:
        """Send it in one piece."""
        self.write(b"".join(pieces))


class _Connector(aiohttp.TCPConnector):
    """Makes one connection, and can cut it off."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(ssl=context, resolver=Names(), use_dns_cache=False, force_close=True)
        self._transport: asyncio.Transport | None = None

    async def _create_connection(self, *args: Any, **kwargs: Any) -> ResponseHandler:
        protocol = await super()._create_connection(*args, **kwargs)
        if protocol.transport is None:
            # Refused while the handshake's end was being reported; aiohttp would stumble over it, and warn with our secrets.
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        self._transport = protocol.transport
        protocol.transport = cast("asyncio.Transport", _Abrupt(protocol.transport))
        return protocol

    async def _create_direct_connection(self, *args: Any, **kwargs: Any) -> tuple[asyncio.Transport, ResponseHandler]:
        transport, protocol = await super()._create_direct_connection(*args, **kwargs)
        flight = current_flight()
        if flight is not None and flight.introduction is not None and protocol.transport is not None:
            # TLS will begin on the transport itself.
            protocol.transport = cast("asyncio.Transport", _Introducing(transport, flight.introduction))
        return transport, protocol

    def cut(self) -> None:
        """Close the connection, where it is open still."""
        if self._transport is not None:
            self._transport.abort()


async def send(post: Post, context: ssl.SSLContext, proxy: str | None) -> Reply:
    """Send a post, return what came back. The caller keeps the post's deadline, and no connection is left.

    :param proxy: its address, without credentials.
    :raises Exception: of aiohttp, asyncio, ssl, zlib …, whose text may hold the request's address.
    """
    limits = aiohttp.ClientTimeout(
        total=None,
        # Name, proxy and handshake together.
        connect=min(CONNECT_SECONDS, post.seconds),
        sock_read=min(READ_SECONDS, post.seconds),
    )
    connector = _Connector(context)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=HEADERS,
        timeout=limits,
        auto_decompress=False,
        trust_env=False,
    ) as session:
        try:
            # The address is encoded already: yarl would take the percent signs of an identifier for something to tidy up.
            async with session.post(
                URL(post.url, encoded=True), data=memoryview(post.body), allow_redirects=False, proxy=proxy
            ) as response:
                return Reply(
                    response.status,
                    _unpacked(await _body(response), response.headers.get("Content-Encoding", "")),
                    response.headers.get("Retry-After"),
                    response.headers.get("Content-Type", ""),
                )
        finally:
            connector.cut()


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    while piece := await response.content.read(ANSWER_BYTES + 1 - len(body)):
        body += piece
        if len(body) > ANSWER_BYTES:
            raise TooLargeError
    return bytes(body)


def _unpacked(body: bytes, coding: str) -> bytes:
    """Undo a content coding that nobody asked for, as far as the cap: a bomb is never unpacked."""
    if coding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    unpacked = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(body, ANSWER_BYTES + 1)
    if len(unpacked) > ANSWER_BYTES:
        raise TooLargeError
    return unpacked
