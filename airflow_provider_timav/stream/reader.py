"""Moves the bytes of a look: aiohttp, in the triggers' loop as in a loop of its own on a worker.

There is one mover and no synchronous twin: a sensor that pokes runs the same coroutines as the trigger (`glance`), so
that no mode can come to trust another certificate, follow another redirect or wait longer than the others.

What holds for each look, whatever the servers do: it is over within `LOOK_SECONDS`, holds at most 16 MiB of a body and more
than one only for a few looks at a time, until the body has been read; what is unpacked, and what is long, is read a few at a
time, too. It sends no credential, and no cookie but to the host that has set it in the same watch,
takes nothing from the environment or from ``.netrc``, and never raises for what it finds. One client serves all watches of one
loop and proxy: one TLS context, at most `turns.MOST_TURNS` connections in use.

What a public server says leads to public addresses only. Without a proxy each request goes through a pool that leads to such
addresses, or through one that leads to none (`pools`). Through a proxy it is the proxy that looks names up; addresses that are
written out are held to the rule here.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import random
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_timav.frames import HiddenText
from airflow_provider_timav.names import RememberedNames
from airflow_provider_timav.proxies import part
from airflow_provider_timav.stream import reasons
from airflow_provider_timav.stream.address import host, is_rtmp, written
from airflow_provider_timav.stream.deadlines import Deadlines
from airflow_provider_timav.stream.looking import Answer, Conversation, Get, NoAnswer, looking
from airflow_provider_timav.stream.network import may_be_public
from airflow_provider_timav.stream.pools import WAY, LateName, Way, WrongNetwork, open_pool
from airflow_provider_timav.stream.rtmp import RtmpReader
from airflow_provider_timav.stream.session import Session
from airflow_provider_timav.stream.turns import MOST_TURNS, Turns
from airflow_provider_timav.stream.watch import Look, Watch, next_pause

if TYPE_CHECKING:
    from types import ModuleType

    import aiohttp
    from yarl import URL

__all__ = ["Reader", "follow", "glance", "shared_reader"]

LOOK_SECONDS = 10.0
"""For one look, from the first connection to the last byte."""

CONNECT_SECONDS = 5.0
"""For looking a name up, and again for one connection, so that a dead host does not keep a socket from the others for long."""

LARGE_BODY = 1 << 16
"""Bytes from which on a body is parsed in a thread: the loop has others to serve."""

SMALL_PACKAGE = 1 << 9
"""Bytes up to which a compressed body is unpacked in the loop; it can become a thousand times as long."""

MODEST_BODY = 1 << 20
"""Bytes of a body that each look may hold. For more it waits for its turn, so that twenty of them do not fill the memory."""

MOST_LARGE_BODIES = 4
"""Bodies at once that are longer than that, and threads at once that unpack or parse one: unpacked it may be as long."""

REFUSAL_BODY = 1 << 16
"""Bytes that are read of an answer that is no success, so that its connection can be used again."""

REFUSAL_SECONDS = 0.2
"""For that; its status has said all by then."""

FIRST_BYTES = 64
"""Bytes by which a sample of a segment is told from a page."""

LARGEST_COOKIES = 1 << 13
"""Bytes of the cookies of a watch; servers refuse more."""

_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "airflow-provider-timav"}

_OUR_NETWORK = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE}
"""What the system says where the fault is on this side: no way, no address, no socket."""

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


class _Room:
    """A look's place among the few that may hold a large body."""

    __slots__ = ("_held", "_places")

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._held = False

    async def take(self) -> None:
        """Wait for a place, if there is none yet."""
        if not self._held:
            await self._places.acquire()
            self._held = True

    def leave(self) -> None:
        """Give the place back, if there is one."""
        if self._held:
            self._held = False
            self._places.release()


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
        self._url_of: type[URL] | None = None
        self._opening = asyncio.Lock()
        # Waiting for a turn is no fault of the stream's: it must not count against the look's time.
        self._turns = Turns()
        self._deadlines = Deadlines()
        self._large = asyncio.Semaphore(MOST_LARGE_BODIES)
        # No server is waited for while one of these is held, so nobody waits long for it.
        self._threads = asyncio.Semaphore(MOST_LARGE_BODIES)
        self._rtmp = RtmpReader()
        self.users = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} users={self.users}>"

    async def open(self) -> None:
        """Make the client, once, whoever asks first. What takes long (the import, the certificates) runs in a thread."""
        async with self._opening:
            if self._pools:
                return
            aiohttp, url_of, context = await asyncio.to_thread(_load)
            self._aiohttp, self._url_of = aiohttp, url_of
            # A name server that does not answer must not keep the loop's pool of threads, nor the end of a glance.
            names = RememberedNames()
            for public in (True, False) if self._proxy is None else (None,):
                self._pools[public] = open_pool(
                    context,
                    names,
                    public=public,
                    limit=MOST_TURNS,
                    seconds=CONNECT_SECONDS,
                    headers=_HEADERS,
                )

    async def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            await pool.close()

    async def look(self, url: str, watch: Watch, clock: Callable[[], float], session: Session | None = None) -> Look:
        """Look at a stream once; see `looking` for the arguments and the answer.

        :raises RtmpNotInstalled: if it is an RTMP stream, and PyAV is missing.
        """
        if is_rtmp(url):
            return await self._rtmp.look(url, watch, clock)
        session = Session() if session is None else session
        conversation = looking(url, watch, clock, session)
        answer: Answer | NoAnswer | None = None
        answered = False
        room = _Room(self._large)
        async with self._turns.turn(host(url), answered=session.answered):
            now = asyncio.get_running_loop().time
            end = now() + LOOK_SECONDS
            try:
                while True:
                    step = await self._next(conversation, answer)
                    room.leave()
                    if isinstance(step, Look):
                        session.answered = answered
                        return step
                    begun = now()
                    way = Way(end - (end - begun) * (1 - step.share))
                    WAY.set(way)
                    try:
                        with self._deadlines.at(way.end):
                            answer = await self._get(step, session, room, way)
                            answered = answered or isinstance(answer, Answer)
                    except TimeoutError:
                        # What was found before the time was over still counts: a playlist, if a segment kept us waiting.
                        answer = NoAnswer(self._late(way, way.end - begun))
            finally:
                room.leave()

    def _late(self, way: Way, seconds: float) -> str:
        """Say who it was that did not answer in time.

        What a proxy is asked without a tunnel it may be waiting for itself; a good one says so (504), and of the stream
        nothing has been seen.
        """
        if self._proxy is not None and not way.is_past_proxy:
            return reasons.in_time(reasons.PROXY_AWAY)
        if way.looking_up:
            return reasons.in_time(reasons.HOST_UNKNOWN)
        return f"no answer within {max(seconds, 0):.2g} s"

    async def _next(self, conversation: Conversation, answer: Answer | NoAnswer | None) -> Get | Look:
        if not isinstance(answer, Answer) or len(answer.body) <= (SMALL_PACKAGE if answer.encoding else LARGE_BODY):
            return _advance(conversation, answer)
        async with self._threads:
            step = await asyncio.to_thread(_advance, conversation, answer)
        # The conversation keeps the answer for as long as it asks for segments, and has no use for its body.
        object.__setattr__(answer, "body", b"")
        return step

    async def _get(self, get: Get, session: Session, room: _Room, way: Way) -> Answer | NoAnswer:
        try:
            address = session.address if session.address_of == get.url else self._address(get, session)
        except ValueError as error:
            return NoAnswer(f"no answer ({type(error).__name__})")
        if self._proxy is not None:
            public = may_be_public(address.raw_host or "")
            if get.public_only and not public:
                return _REFUSED
            return replace(await self._ask(None, address, get, session, room, way), public=public)
        if not get.public_only:
            answer = await self._ask(False, address, get, session, room, way)
            if answer is not _REFUSED:
                return answer
        answer = await self._ask(True, address, get, session, room, way)
        if answer is not _REFUSED:
            return replace(answer, public=True)
        # Where any address may be asked, the name has changed its mind between two look-ups: the next look will tell.
        return _REFUSED if get.public_only else NoAnswer(reasons.NO_CONNECTION)

    def _address(self, get: Get, session: Session) -> URL:
        """Return what aiohttp takes for an address; that of a playlist, which is asked again and again, is kept.

        :raises ValueError: if it is none.
        """
        if self._url_of is None:
            raise RuntimeError("the reader is not open")
        # A signed query must arrive as it was written; only what is no ASCII has to be encoded.
        address = self._url_of(written(get.url), encoded=True)
        if not get.sample:
            session.address_of, session.address = get.url, address
        return address

    async def _ask(
        self, public: bool | None, address: URL, get: Get, session: Session, room: _Room, way: Way
    ) -> Answer | NoAnswer:
        """Make one request through one of the pools."""
        if self._aiohttp is None:
            raise RuntimeError("the reader is not open")
        headers: dict[str, str] = {}
        if get.offset is not None:
            headers["Range"] = f"bytes={get.offset}-{get.offset + get.limit - 1}"
        if get.gzip:
            headers["Accept-Encoding"] = "gzip"
        if session.cookies is not None and (cookies := session.cookies.filter_cookies(address)):
            headers["Cookie"] = "; ".join(f"{name}={cookie.coded_value}" for name, cookie in cookies.items())
        # Within TLS a request's headers are the server's to read: the proxy is told with the request for the tunnel. Without
        # TLS there is no tunnel, and the request is the proxy's.
        way.tunnel = address.scheme == "https"
        to_proxy = self._introduction if way.tunnel else None
        if to_proxy is None:
            headers |= self._introduction
        try:
            async with self._pools[public].get(
                address, headers=headers, allow_redirects=False, proxy=self._proxy, proxy_headers=to_proxy
            ) as response:
                way.answered = True
                if self._proxy is not None and response.status == 407:
                    return NoAnswer(reasons.PROXY_REFUSES)
                if "Set-Cookie" in response.headers:
                    self._keep_cookies(session, response, address)
                body = b""
                if 200 <= response.status < 300:
                    body = await self._body(response.content, get, room)
                elif not response.content.at_eof():
                    await self._rest(response.content, way)
                return Answer(
                    status=response.status,
                    body=body,
                    encoding=response.headers.get("Content-Encoding", "").strip().lower(),
                    location=response.headers.get("Location"),
                    length=response.content_length if get.offset else None,
                )
        except (self._aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(getattr(error, "os_error", None), WrongNetwork):
                return _REFUSED
            if self._proxy is not None and not way.is_past_proxy and (why := _why_proxy(self._aiohttp, error, way)):
                return NoAnswer(why)
            return NoAnswer(_why(self._aiohttp, error))

    async def _rest(self, content: aiohttp.StreamReader, way: Way) -> None:
        """Read the body of an answer whose status says all, if it comes at once, so that its connection can be used again."""
        if self._aiohttp is None:
            return
        left, now = REFUSAL_BODY, asyncio.get_running_loop().time()
        # Nor must it take the time that is left: the status would be lost with it.
        with contextlib.suppress(self._aiohttp.ClientError, OSError, ValueError):
            async with asyncio.timeout_at(min(now + REFUSAL_SECONDS, (now + way.end) / 2)):
                while left and (piece := await content.read(left)):
                    left -= len(piece)

    async def _body(self, content: aiohttp.StreamReader, get: Get, room: _Room) -> bytes:
        """Read as much of a body as is needed: of a sample the first bytes, of a playlist one byte beyond its limit."""
        if get.sample:
            most, needed = get.limit, min(FIRST_BYTES, get.limit)
        else:
            most = needed = get.limit + 1
        body = bytearray()
        while len(body) < min(needed, MODEST_BODY) and (piece := await content.read(most - len(body))):
            body += piece
        if MODEST_BODY <= len(body) < needed:
            await room.take()  # it is left when the body has been read
            while len(body) < needed and (piece := await content.read(most - len(body))):
                body += piece
        return bytes(body)

    def _keep_cookies(self, session: Session, response: aiohttp.ClientResponse, address: URL) -> None:
        """Keep what a server has set, for this watch: every player sends it back (RFC 6265)."""
        if self._aiohttp is None:
            return
        if session.cookies is None:
            session.cookies = self._aiohttp.CookieJar(unsafe=True, quote_cookie=False)
        with contextlib.suppress(ValueError):
            session.cookies.update_cookies_from_headers(response.headers.getall("Set-Cookie"), address)
        if sum(len(cookie.key) + len(cookie.value) for cookie in session.cookies) > LARGEST_COOKIES:
            session.cookies = None


def _load() -> tuple[ModuleType, type[URL], ssl.SSLContext]:
    import aiohttp
    from yarl import URL

    return aiohttp, URL, _trust()


def _advance(conversation: Conversation, answer: Answer | NoAnswer | None) -> Get | Look:
    """Hand an answer over; return the next request, or the look.

    A StopIteration cannot leave a thread, so it ends here.
    """
    try:
        return next(conversation) if answer is None else conversation.send(answer)
    except StopIteration as end:
        look: Look = end.value
        return look


def _why_proxy(aiohttp: ModuleType, error: Exception, way: Way) -> str | None:
    """Say why nothing came of a request before the proxy had done its part; None if that was none of the proxy's doing."""
    if _is_no_way(error):
        return reasons.NO_ROUTE
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return reasons.PROXY_REFUSES
    if isinstance(error, TimeoutError) or isinstance(getattr(error, "os_error", None), LateName):
        return reasons.in_time(reasons.PROXY_AWAY)
    # Without a tunnel an answer that cannot be read may be the server's, as the proxy has passed it on.
    by_proxy = (
        (aiohttp.ClientConnectionError, aiohttp.ClientResponseError) if way.tunnel else aiohttp.ClientConnectionError
    )
    return reasons.PROXY_AWAY if isinstance(error, by_proxy) else None


def _is_no_way(error: Exception) -> bool:
    system = getattr(error, "os_error", error)
    return isinstance(system, OSError) and system.errno in _OUR_NETWORK and not isinstance(system, socket.gaierror)


def _why(aiohttp: ModuleType, error: Exception) -> str:
    """Say why nothing answered. The text of these exceptions quotes addresses, with the query; none of it is used."""
    if _is_no_way(error):
        return reasons.NO_ROUTE
    if isinstance(getattr(error, "os_error", None), LateName):
        return reasons.in_time(reasons.HOST_UNKNOWN)
    from airflow_provider_timav.stream.protocol import Overloaded

    told: tuple[tuple[type[Exception], str], ...] = (
        (Overloaded, "an answer with too much beside its body"),
        (aiohttp.ClientConnectorDNSError, reasons.HOST_UNKNOWN),
        (aiohttp.ClientSSLError, reasons.NO_TLS),
        (TimeoutError, "no connection in time"),
        (aiohttp.ClientConnectorError, reasons.NO_CONNECTION),
        (aiohttp.ClientPayloadError, reasons.CUT_OFF),
        (aiohttp.ServerDisconnectedError, "the server hung up"),
    )
    return next((reason for kind, reason in told if isinstance(error, kind)), f"no answer ({type(error).__name__})")


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
    clock, session = wall_clock(), Session()
    while True:
        watch = watch.after(await reader.look(url, watch, clock, session), grace=grace)
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

    It reads again, two times or more, as long as that can change the answer (`Watch.unsettled`): while the stream is STARTING
    or RESET, and where it was LIVE and has only just gone. It ends with any other verdict, and with the first look after
    ``seconds`` are over; that look may take `LOOK_SECONDS`.

    :param grace: seconds, see `Watch.after`.
    """

    async def look() -> Watch:
        end = time.monotonic() + seconds

        async def enough(known: Watch) -> bool:
            return not known.unsettled or time.monotonic() >= end

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
