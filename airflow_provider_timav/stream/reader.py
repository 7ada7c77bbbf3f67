"""Moves the bytes of a look: aiohttp, in the triggers' loop as in a loop of its own on a worker.

There is one mover and no synchronous twin: a sensor that pokes runs the same coroutines as the trigger (`glance`), so
that no mode can come to trust another certificate, follow another redirect or wait longer than the others.

What holds for each look, whatever the servers do: it is over within `LOOK_SECONDS`, holds at most a mebibyte of a body,
sends no credential and no cookie, takes nothing from the environment or from ``.netrc``, and never raises for what it
finds. One client serves all watches of one loop and proxy: one TLS context, at most `MOST_SOCKETS` connections in use.

What a public server says leads to public addresses only. Without a proxy each request goes through a pool that leads to such
addresses, or through one that leads to none (`pools`). Through a proxy it is the proxy that looks names up; addresses that are
written out are held to the rule here.
"""

from __future__ import annotations

import asyncio
import functools
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_timav.frames import HiddenText
from airflow_provider_timav.names import RememberedNames
from airflow_provider_timav.proxies import part
from airflow_provider_timav.stream.looking import Answer, Conversation, Get, NoAnswer, looking
from airflow_provider_timav.stream.network import may_be_public
from airflow_provider_timav.stream.pools import WrongNetwork, open_pool
from airflow_provider_timav.stream.watch import Look, Verdict, Watch, next_pause

if TYPE_CHECKING:
    from types import ModuleType

    import aiohttp
    from yarl import URL

__all__ = ["Reader", "follow", "glance", "shared_reader"]

LOOK_SECONDS = 10.0
"""For one look, from the first connection to the last byte."""

CONNECT_SECONDS = 5.0
"""For one connection, so that a dead host does not keep a socket from the others for long."""

MOST_SOCKETS = 20

LARGE_BODY = 1 << 16
"""Bytes from which on a body is parsed in a thread: a mebibyte takes half a second, and the loop has others to serve."""

_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "airflow-provider-timav"}

_REFUSED = NoAnswer("no server on an address that may be asked", refused=True)

T = TypeVar("T")


def wall_clock() -> Callable[[], float]:
    """Return a clock in seconds since the epoch that no correction of the system's time can set back or forth."""
    origin = time.time() - time.monotonic()
    return lambda: origin + time.monotonic()


@functools.cache
def _trust() -> ssl.SSLContext:
    """Trust what the system trusts (or ``SSL_CERT_FILE``); built once per process, for it costs up to 20 ms."""
    return ssl.create_default_context()


class Reader:
    """Looks at streams; made by `shared_reader`, which also closes it.

    :param proxy: the proxy's address, or None. What it holds of credentials goes to the proxy only, and into no address.
    """

    def __init__(self, proxy: str | None = None) -> None:
        address, pair = (None, None) if proxy is None else part(proxy)
        self._proxy: str | None = address
        self._introduction: dict[str, str] = {} if pair is None else {"Proxy-Authorization": HiddenText(pair)}
        self._pools: dict[bool | None, aiohttp.ClientSession] = {}
        self._aiohttp: ModuleType | None = None
        self._opening = asyncio.Lock()
        # Waiting for a turn is no fault of the stream's: it must not count against the look's time.
        self._turns = asyncio.Semaphore(MOST_SOCKETS)
        self.users = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} users={self.users}>"

    async def open(self) -> None:
        """Make the client, once, whoever asks first. What takes long (the import, the certificates) runs in a thread."""
        async with self._opening:
            if self._pools:
                return
            aiohttp, context = await asyncio.to_thread(_load)
            self._aiohttp = aiohttp
            # A name server that does not answer must not keep the loop's pool of threads, nor the end of a glance.
            names = RememberedNames()
            for public in (True, False) if self._proxy is None else (None,):
                self._pools[public] = open_pool(
                    context,
                    names,
                    public=public,
                    limit=MOST_SOCKETS,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                    headers=_HEADERS,
                )

    async def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            await pool.close()

    async def look(self, url: str, watch: Watch, clock: Callable[[], float]) -> Look:
        """Look at a stream once; see `looking` for the arguments and the answer."""
        conversation = looking(url, watch, clock)
        answer: Answer | NoAnswer | None = None
        async with self._turns:
            end = asyncio.get_running_loop().time() + LOOK_SECONDS
            while True:
                step = await self._next(conversation, answer)
                if isinstance(step, Look):
                    return step
                try:
                    async with asyncio.timeout_at(end):
                        answer = await self._get(step)
                except TimeoutError:
                    # What was found before the time was over still counts: a playlist, if a segment kept us waiting.
                    answer = NoAnswer(f"no answer within {LOOK_SECONDS:g} s")

    async def _next(self, conversation: Conversation, answer: Answer | NoAnswer | None) -> Get | Look:
        if isinstance(answer, Answer) and (len(answer.body) > LARGE_BODY or answer.encoding):
            return await asyncio.to_thread(_advance, conversation, answer)
        return _advance(conversation, answer)

    async def _get(self, get: Get) -> Answer | NoAnswer:
        from yarl import URL

        # A signed query must arrive as it was written; only what is no ASCII has to be encoded.
        try:
            address = URL(get.url, encoded=get.url.isascii())
        except ValueError as error:
            return NoAnswer(f"no answer ({type(error).__name__})")
        if self._proxy is not None:
            public = may_be_public(address.raw_host or "")
            if get.public_only and not public:
                return _REFUSED
            return replace(await self._ask(None, address, get), public=public)
        if not get.public_only:
            answer = await self._ask(False, address, get)
            if answer is not _REFUSED:
                return answer
        answer = await self._ask(True, address, get)
        if answer is not _REFUSED:
            return replace(answer, public=True)
        # Where any address may be asked, the name has changed its mind between two look-ups: the next look will tell.
        return _REFUSED if get.public_only else NoAnswer("no connection")

    async def _ask(self, public: bool | None, address: URL, get: Get) -> Answer | NoAnswer:
        """Make one request through one of the pools."""
        if self._aiohttp is None:
            raise RuntimeError("the reader is not open")
        headers = {"Range": f"bytes=0-{get.limit - 1}"} if get.sample else {}
        # Within TLS a request's headers are the server's to read: the proxy is told with the request for the tunnel. Without
        # TLS there is no tunnel, and the request is the proxy's.
        to_proxy = self._introduction if address.scheme == "https" else None
        if to_proxy is None:
            headers |= self._introduction
        try:
            async with self._pools[public].get(
                address, headers=headers, allow_redirects=False, proxy=self._proxy, proxy_headers=to_proxy
            ) as response:
                # Of a sample the first bytes that come are enough; a playlist is read one byte beyond its limit.
                needed = 1 if get.sample else get.limit + 1
                body = bytearray()
                while len(body) < needed and (piece := await response.content.read(get.limit + 1 - len(body))):
                    body += piece
                return Answer(
                    status=response.status,
                    body=bytes(body),
                    encoding=response.headers.get("Content-Encoding", "").strip().lower(),
                    location=response.headers.get("Location"),
                )
        except (self._aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(getattr(error, "os_error", None), WrongNetwork):
                return _REFUSED
            return NoAnswer(_why(self._aiohttp, error))


def _load() -> tuple[ModuleType, ssl.SSLContext]:
    import aiohttp

    return aiohttp, _trust()


def _advance(conversation: Conversation, answer: Answer | NoAnswer | None) -> Get | Look:
    """Hand an answer over; return the next request, or the look.

    A StopIteration cannot leave a thread, so it ends here.
    """
    try:
        return next(conversation) if answer is None else conversation.send(answer)
    except StopIteration as end:
        look: Look = end.value
        return look


def _why(aiohttp: ModuleType, error: Exception) -> str:
    """Say why nothing answered. The text of these exceptions quotes addresses, with the query; none of it is used."""
    reasons: tuple[tuple[type[Exception], str], ...] = (
        (aiohttp.ClientConnectorDNSError, "the host name is not known"),
        (aiohttp.ClientSSLError, "no TLS connection: the server's certificate is not trusted, or it speaks no TLS"),
        (aiohttp.ClientProxyConnectionError, "the proxy does not answer"),
        (aiohttp.ClientHttpProxyError, "the proxy refuses"),
        (TimeoutError, "no connection in time"),
        (aiohttp.ClientConnectorError, "no connection"),
        (aiohttp.ClientPayloadError, "a body that was cut off"),
        (aiohttp.ServerDisconnectedError, "the server hung up"),
    )
    return next((reason for kind, reason in reasons if isinstance(error, kind)), f"no answer ({type(error).__name__})")


_readers: dict[tuple[asyncio.AbstractEventLoop, str | None], Reader] = {}


@asynccontextmanager
async def shared_reader(proxy: str | None = None) -> AsyncIterator[Reader]:
    """Lend the reader of the running loop for this proxy; its last user closes it.

    A client of its own for each of a thousand triggers would cost up to a megabyte each, and a blocked loop at the start.
    """
    key = (asyncio.get_running_loop(), proxy)
    reader = _readers.setdefault(key, Reader(proxy))
    reader.users += 1
    try:
        await reader.open()
        yield reader
    finally:
        reader.users -= 1
        if not reader.users:
            # First out of sight, then closed: who comes in between gets a new one.
            del _readers[key]
            await reader.close()


async def follow(
    reader: Reader,
    url: str,
    watch: Watch,
    *,
    grace: float,
    enough: Callable[[Watch], Awaitable[bool]],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Watch:
    """Look at a stream again and again until it is enough.

    :param watch: what is known from before.
    :param grace: seconds, see `Watch.after`.
    :param enough: is told what is known after each look, and says whether to stop.
    :returns: what was known then.
    """
    clock = wall_clock()
    while True:
        watch = watch.after(await reader.look(url, watch, clock), grace=grace)
        if await enough(watch):
            return watch
        await sleep(next_pause(watch, random.random()))  # noqa: S311  # it spreads load, it keeps no secret


def glance(
    url: str,
    watch: Watch,
    *,
    grace: float,
    seconds: float,
    proxy: str | None = None,
) -> Watch:
    """Look at a stream for a short while, on a thread that has no loop of its own to run (a worker's).

    It reads again, two times or more, as long as that can change the answer: while the stream is STARTING or RESET. It
    ends with any other verdict, and with the first look after ``seconds`` are over; that look may take `LOOK_SECONDS`.

    :param grace: seconds, see `Watch.after`.
    """

    async def look() -> Watch:
        end = time.monotonic() + seconds

        async def enough(known: Watch) -> bool:
            return known.verdict not in (Verdict.STARTING, Verdict.RESET) or time.monotonic() >= end

        async def nap(pause: float) -> None:
            await asyncio.sleep(min(pause, max(end - time.monotonic(), 0)))

        async with shared_reader(proxy) as reader:
            return await follow(reader, url, watch, grace=grace, enough=enough, sleep=nap)

    return _run(look())


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, also where a loop runs already on this thread (a notebook's, for ``dag.test``)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
