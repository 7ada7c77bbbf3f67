"""Posts with aiohttp, over connections that are kept for the next post: all that is known of that library is in here.

Importing it imports aiohttp, which takes longer than a loop may be blocked: ``aclient`` does it in a thread.

Seven traps of the library are closed here:

- its exceptions carry the request, and not all of them are its ``ClientError``: ``aclient`` lets none of them out;
- whether a fault came before the first byte is unknown: the TLS object notes it, as the synchronous client's socket does;
- it has a way of its own to read HTTP: it is given the answer in its plainest form (``http1``);
- a write that fails ends the connection, and the peer's last words before it closed are lost: such a write is let pass;
- it looks names up in the loop's pool of threads, where a name server that does not answer would block every other trigger;
- closing TLS is a goodbye to the peer, and the socket of one that does not answer stays open: it is cut off instead;
- a kept connection may hold bytes that nothing has asked for, and they would be the next answer: it is closed instead.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import socket
import ssl
import weakref
from typing import Any, Final, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from airflow_provider_timav.names import Names
from airflow_provider_timav.videorelay.exchange import CONNECT_SECONDS, READ_SECONDS, Post
from airflow_provider_timav.videorelay.http1 import AnswerReader
from airflow_provider_timav.videorelay.line import Secret, introduced
from airflow_provider_timav.videorelay.reply import Reply
from airflow_provider_timav.videorelay.transport import HEADERS, Flight, PatientSocket, current_flight

__all__ = ["Connections"]

MOST_CONNECTIONS: Final = 20
"""To one service, however many triggers share the client: a post waits for its turn."""

IDLE_SECONDS: Final = 2.0
"""For how long a connection is kept that carries nothing. A server's idle close that meets a reuse looks like an answer that
was lost."""


def _flight() -> Flight:
    flight = current_flight()
    assert flight is not None  # noqa: S101 - a send has begun one
    return flight


class _Answers(ResponseHandler):
    """Gives the library the answers of the service, and of a proxy before them, in their plainest form."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._flight = _flight()
        self._is_broken = False

    def set_response_params(self, **params: Any) -> None:
        """Take the post that is to be written next: a kept connection has carried others before."""
        flight = _flight()
        if flight is not self._flight and self.transport is not None:
            tls: Any = self.transport.get_extra_info("ssl_object")
            self._flight = tls.flight = flight
            flight.connected = flight.reached = flight.greeted = True
        super().set_response_params(**params)

    @property
    def _reader(self) -> AnswerReader:
        return self._flight.answer if self._flight.reached else self._flight.consent

    def data_received(self, data: bytes) -> None:
        """Take the bytes that TLS has decrypted, or that the proxy has sent."""
        if not data:  # the library's own call, to go on with what it has
            super().data_received(data)
            return
        if self._flight.reached and self._flight.answer.whole:
            if self.transport is not None:
                self.transport.close()
            return
        self.start_timeout()
        self._read(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Take the end of the connection, which may be that of the answer."""
        if exc is None:
            self._read(b"")
        elif plain := self._reader.cut_off():
            super().data_received(plain)
        super().connection_lost(exc)

    def _read(self, received: bytes) -> None:
        if self._is_broken:
            return
        try:
            plain = self._reader.feed(received)
        except Exception as broken:  # noqa: BLE001 - it is raised to the task that awaits the answer
            self._is_broken = True
            self._flight.refusal = self._flight.refusal or broken
            self.set_exception(broken)
            if self.transport is not None:
                self.transport.close()
            return
        if plain:
            super().data_received(plain)


class _Abrupt:
    """A transport that closes at once.

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
    """Makes the connections, and can cut them off."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._made: weakref.WeakSet[_Answers] = weakref.WeakSet()
        super().__init__(
            ssl=context,
            resolver=Names(),
            use_dns_cache=False,
            socket_factory=_listening,
            limit=MOST_CONNECTIONS,
            keepalive_timeout=IDLE_SECONDS,
        )
        made: Any = functools.partial(_Answers, loop=self._loop)
        self._factory = made

    async def _create_connection(self, *args: Any, **kwargs: Any) -> ResponseHandler:
        protocol = await super()._create_connection(*args, **kwargs)
        if protocol.transport is None:
            # Refused while the handshake's end was being reported; aiohttp would stumble over it, and warn with our secrets.
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        protocol.transport = cast("asyncio.Transport", _Abrupt(protocol.transport))
        self._made.add(cast("_Answers", protocol))
        return protocol

    async def _create_direct_connection(self, *args: Any, **kwargs: Any) -> tuple[asyncio.Transport, ResponseHandler]:
        transport, protocol = await super()._create_direct_connection(*args, **kwargs)
        flight = current_flight()
        if flight is not None:
            flight.connected = True
        if flight is not None and flight.introduction is not None and protocol.transport is not None:
            # TLS will begin on the transport itself.
            protocol.transport = cast("asyncio.Transport", _Introducing(transport, flight.introduction))
        return transport, protocol

    def cut(self) -> None:
        """Close every connection that is open, those in use as well."""
        for protocol in self._made:
            protocol.abort()

    def forget(self) -> None:
        """Use no connection again that is open now."""
        for protocol in self._made:
            if protocol in self._acquired:
                protocol.force_close()
            else:
                protocol.abort()


def _listening(address: Any) -> socket.socket:
    family, kind, protocol, *_ = address
    return PatientSocket(family, kind, protocol)


class Connections:
    """The connections to one service. To be made, used and closed in one loop.

    :param proxy: the address of the proxy to go through, without credentials, or None.
    """

    def __init__(self, context: ssl.SSLContext, proxy: str | None) -> None:
        self._proxy = proxy
        self._turns = asyncio.Semaphore(MOST_CONNECTIONS)
        self._connector = _Connector(context)
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=HEADERS,
            auto_decompress=False,
            trust_env=False,
        )

    async def send(self, post: Post) -> Reply:
        """Send a post, return its reply. The caller keeps the post's deadline.

        :raises Exception: of aiohttp, asyncio, ssl, zlib …, whose text may hold the request's address.
        """
        limits = aiohttp.ClientTimeout(
            total=None,
            # Name, proxy and handshake together.
            connect=min(CONNECT_SECONDS, post.seconds),
            sock_read=min(READ_SECONDS, post.seconds),
        )
        async with (
            self._turns,
            # The address is encoded already: yarl would take the percent signs of an identifier for something to tidy up.
            self._session.post(
                URL(post.url, encoded=True),
                data=memoryview(post.body),
                allow_redirects=False,
                proxy=self._proxy,
                timeout=limits,
            ) as response,
        ):
            return Reply(
                response.status,
                await response.read(),  # whole, unpacked and within the cap
                response.headers.get("Retry-After"),
                response.headers.get("Content-Type", ""),
            )

    def forget(self) -> None:
        """Use no connection again that is open now."""
        self._connector.forget()

    async def close(self) -> None:
        """Close every connection."""
        self._connector.cut()
        await self._session.close()
