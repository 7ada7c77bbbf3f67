"""Probes streams: moves the bytes, in the triggers' loop as in a loop of its own on a worker.

There is one reader and no synchronous twin: a sensor that pokes runs the same coroutines as the trigger (`poll_briefly`), so
that no mode can come to trust another certificate, follow another redirect or wait longer than the others.

Each probe, whatever the servers do, is over within `PROBE_SECONDS`, holds at most 16 MiB of a body and more than one only for a
few probes at a time, until the body has been read; bodies that are compressed, or long, are parsed a few at a time, too. It
never raises for its findings. One client serves all streams of one loop and proxy: one TLS context, at most `turns.MOST_TURNS`
connections in use.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from airflow_provider_timav.frames import HiddenText
from airflow_provider_timav.proxies import part
from airflow_provider_timav.stream import reasons
from airflow_provider_timav.stream.address import host, is_rtmp
from airflow_provider_timav.stream.deadlines import Deadlines
from airflow_provider_timav.stream.fetch import Answer, Conversation, Get, NoAnswer
from airflow_provider_timav.stream.hls import probe_hls
from airflow_provider_timav.stream.large_bodies import BodySlot
from airflow_provider_timav.stream.polling import next_pause
from airflow_provider_timav.stream.pools import WAY, Way
from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.rtmp import RtmpReader
from airflow_provider_timav.stream.session import Session
from airflow_provider_timav.stream.state import StreamState
from airflow_provider_timav.stream.turns import Turns

if TYPE_CHECKING:
    import ssl
    from types import ModuleType

    from airflow_provider_timav.stream.http_client import HttpClient

__all__ = ["Reader", "follow", "poll_briefly", "shared_reader", "wall_clock"]

PROBE_SECONDS = 10.0
"""For one probe, from the first connection to the last byte."""

LARGE_BODY: Final = 1 << 16
"""Bytes from which on a body is parsed in a thread: the loop has others to serve."""

SMALL_PACKAGE: Final = 1 << 9
"""Bytes up to which a compressed body is unpacked in the loop; it can become a thousand times as long."""

MOST_LARGE_BODIES: Final = 4
"""Bodies at once that are longer than `large_bodies.MODEST_BODY`, and threads at once that unpack or parse one: unpacked it may
be as long."""

T = TypeVar("T")


def wall_clock() -> Callable[[], float]:
    """Return a clock in seconds since the epoch that no correction of the system's time can set back or forth."""
    origin = time.time() - time.monotonic()
    return lambda: origin + time.monotonic()


class Reader:
    """Probes streams; made by `shared_reader`, which also closes it.

    :param proxy: the proxy's address, or None. Its credentials go to the proxy only, and into no address.
    """

    def __init__(self, proxy: str | None = None) -> None:
        address, pair = (None, None) if proxy is None else part(proxy)
        self._proxy: str | None = address
        self._introduction: dict[str, str] = {} if pair is None else {"Proxy-Authorization": HiddenText(pair)}
        self._http: HttpClient | None = None
        self._opening = asyncio.Lock()
        # A wait for a turn is no fault of the stream's: it must not count against the probe's time.
        self._turns = Turns()
        self._deadlines = Deadlines()
        self._large = asyncio.Semaphore(MOST_LARGE_BODIES)
        # No server is waited for while one of these is held, so the wait for one is short.
        self._threads = asyncio.Semaphore(MOST_LARGE_BODIES)
        self._rtmp = RtmpReader()
        self.users = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} users={self.users}>"

    async def open(self) -> None:
        """Make the client, once, for the first user. The slow part (the import, the certificates) runs in a thread."""
        async with self._opening:
            if self._http is None:
                http_client, context = await asyncio.to_thread(_load)
                self._http = http_client.HttpClient(context, self._proxy, self._introduction)

    async def close(self) -> None:
        """Close every connection."""
        if self._http is not None:
            await self._http.close()

    async def probe(
        self, url: str, state: StreamState, clock: Callable[[], float], session: Session | None = None
    ) -> Probe:
        """Probe a stream once; see `probe_hls` for arguments and result.

        :raises RtmpNotInstalled: if it is an RTMP stream, and PyAV is missing.
        """
        if is_rtmp(url):
            return await self._rtmp.probe(url, state, clock)
        if (http := self._http) is None:
            raise RuntimeError("the reader is not open")
        session = Session() if session is None else session
        conversation = probe_hls(url, state, clock, session)
        answer: Answer | NoAnswer | None = None
        answered = False
        slot = BodySlot(self._large)
        async with self._turns.turn(host(url), answered=session.answered):
            now = asyncio.get_running_loop().time
            end = now() + PROBE_SECONDS
            try:
                while True:
                    step = await self._next(conversation, answer)
                    slot.release()
                    if isinstance(step, Probe):
                        session.answered = answered
                        return step
                    begun = now()
                    way = Way(end - (end - begun) * (1 - step.share))
                    WAY.set(way)
                    try:
                        with self._deadlines.at(way.end):
                            answer = await http.get(step, session, slot, way)
                            answered = answered or isinstance(answer, Answer)
                    except TimeoutError:
                        # Findings from before the time was over still count: a playlist, if a segment kept us waiting.
                        answer = NoAnswer(self._late(way, way.end - begun))
            finally:
                slot.release()

    def _late(self, way: Way, seconds: float) -> str:
        """Return which party did not answer in time.

        Without a tunnel a proxy may itself be waiting for the server; a good one reports that (504), and the probe has
        seen nothing of the stream.
        """
        if self._proxy is not None and not way.is_past_proxy:
            return reasons.in_time(reasons.PROXY_AWAY)
        if way.resolving:
            return reasons.in_time(reasons.HOST_UNKNOWN)
        return f"no answer within {max(seconds, 0):.2g} s"

    async def _next(self, conversation: Conversation[Probe], answer: Answer | NoAnswer | None) -> Get | Probe:
        if not isinstance(answer, Answer) or len(answer.body) <= (SMALL_PACKAGE if answer.encoding else LARGE_BODY):
            return _advance(conversation, answer)
        async with self._threads:
            step = await asyncio.to_thread(_advance, conversation, answer)
        # The conversation keeps the answer for as long as it requests segments, and has no use for its body.
        object.__setattr__(answer, "body", b"")
        return step


def _load() -> tuple[ModuleType, ssl.SSLContext]:
    from airflow_provider_timav.stream import http_client

    return http_client, http_client.trust()


def _advance(conversation: Conversation[Probe], answer: Answer | NoAnswer | None) -> Get | Probe:
    """Hand an answer over; return the next request, or the probe.

    A StopIteration cannot leave a thread, so it ends here.
    """
    try:
        return next(conversation) if answer is None else conversation.send(answer)
    except StopIteration as end:
        probe: Probe = end.value
        return probe


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
            # First out of sight, then closed: a user that comes in between gets a new one.
            del _readers[key]
            await reader.close()


async def follow(
    reader: Reader,
    url: str,
    state: StreamState,
    *,
    grace: float,
    enough: Callable[[StreamState], Awaitable[bool]],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> StreamState:
    """Poll a stream until it is enough.

    :param state: the state from before.
    :param grace: seconds, see `StreamState.after`.
    :param enough: gets the state after each probe, and returns whether to stop.
    :returns: the last state.
    """
    clock, session = wall_clock(), Session()
    while True:
        state = state.after(await reader.probe(url, state, clock, session), grace=grace)
        if await enough(state):
            return state
        await sleep(next_pause(state, random.random()))  # noqa: S311  # it spreads load, it keeps no secret


def poll_briefly(
    url: str, state: StreamState, *, grace: float, seconds: float, proxy: str | None = None
) -> StreamState:
    """Poll a stream for a short while, on a thread that has no loop of its own to run (a worker's).

    It probes again, two times or more, as long as that can change the answer (`StreamState.unsettled`): while the stream is
    STARTING or RESET, and if it was LIVE and has only just gone. It ends with any other verdict, and with the first probe after
    ``seconds`` are over; that probe may take `PROBE_SECONDS`.

    :param grace: seconds, see `StreamState.after`.
    """

    async def poll() -> StreamState:
        end = time.monotonic() + seconds

        async def enough(known: StreamState) -> bool:
            return not known.unsettled or time.monotonic() >= end

        async def nap(pause: float) -> None:
            await asyncio.sleep(min(pause, max(end - time.monotonic(), 0)))

        async with shared_reader(proxy) as reader:
            return await follow(reader, url, state, grace=grace, enough=enough, sleep=nap)

    return _run(poll())


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, also if a loop runs already on this thread (a notebook's, for ``dag.test``)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
