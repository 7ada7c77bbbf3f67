"""The asynchronous client: moves the bytes of an exchange with aiohttp, for triggers, whose loop it never blocks.

It differs from the synchronous client in nothing but that: the same exchange says what to post and when to stop, the same
``blame`` judges a fault, and connections are kept as long. Close it in the loop in which it was used.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from airflow_provider_timav.frames import forget_variables
from airflow_provider_timav.videorelay.blame import error_of
from airflow_provider_timav.videorelay.calls import Call
from airflow_provider_timav.videorelay.errors import TimAVError
from airflow_provider_timav.videorelay.exchange import Exchange, Post, Service
from airflow_provider_timav.videorelay.line import Proxy, RequestLine
from airflow_provider_timav.videorelay.outcomes import table
from airflow_provider_timav.videorelay.reply import Reply
from airflow_provider_timav.videorelay.tls import unmade
from airflow_provider_timav.videorelay.transport import Flight, TlsObject, in_flight

if TYPE_CHECKING:
    from types import ModuleType

    from airflow_provider_timav.videorelay.asockets import Connections

__all__ = ["AsyncClient"]

ResultT = TypeVar("ResultT")

# Bytes from which on an answer is read in a thread: a mebibyte of the worst JSON takes 0.3 s. True ones have a few hundred.
LARGE_ANSWER: Final = 1 << 16


class AsyncClient:
    """Sends calls over mutual TLS. Several tasks may use it at once.

    :param service: the address to call, and the identity to call as.
    :param context: makes the SSLContext (``tls.Identity.context``); called once, in a thread, before the first post.
    :param proxy: ``http://[user:password@]host:port`` to go through, or None. The environment has no say.
    :param sleep: waits between posts.
    """

    def __init__(
        self,
        service: Service,
        context: Callable[[], ssl.SSLContext],
        *,
        proxy: str | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._service = service
        self._make_context = context
        self._proxy = Proxy.of(proxy) if proxy else None
        self._sleep = sleep
        self._opening = asyncio.Lock()
        self._opened: tuple[ModuleType, ssl.SSLContext] | None = None
        self._connections: Connections | None = None

    def __repr__(self) -> str:
        return f"<AsyncClient of {self._service.endpoint}>"

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the kept connections, and let go of the SSLContext and of the key in it."""
        connections, self._connections = self._connections, None
        self._opened = None
        if connections is not None:
            await connections.close()

    def forget_connections(self) -> None:
        """Close the kept connections that carry nothing; the next post opens a new one."""
        if self._connections is not None:
            self._connections.forget()

    async def call(self, call: Call[ResultT], **limits: Any) -> ResultT:
        """Carry an operation out: at most 3 posts, 60 seconds in all, the same operation sent again if that is safe.

        A task that is cancelled in here leaves no connection; the outcome of the post in the air is then unknown.

        :param limits: ``max_posts``, ``seconds`` and ``numbers`` of ``Exchange``.
        :raises TimAVError: the failure; it knows operation, room, users, posts and whether the operation was executed.
        """
        handled = sys.exception()
        try:
            return await self._call(call, **limits)
        except BaseException as error:
            forget_variables(error, handled)
            raise

    async def _call(self, call: Call[ResultT], **limits: Any) -> ResultT:
        exchange = Exchange(call, self._service, **limits)
        while True:
            post = exchange.next_post()
            try:
                outcome: Reply | TimAVError = await self._post(post)
            except TimAVError as error:
                outcome = error
            # Outside of the except clause: the error of the call has no context.
            is_answered = False
            try:
                if isinstance(outcome, TimAVError):
                    pause: float | None = exchange.failed(outcome)
                elif len(outcome.body) > LARGE_ANSWER:
                    pause = await asyncio.to_thread(exchange.answered, outcome)
                else:
                    pause = exchange.answered(outcome)
                is_answered = pause is None
            except TimAVError as error:
                # A business code stands in an answer that was proven to be meant for this post.
                is_answered = error.layer == "body" and isinstance(outcome, Reply)
                raise
            finally:
                if not is_answered:
                    # A server that answered badly may be about to close, and the next post on that connection would be lost.
                    self.forget_connections()
            if pause is None:
                return exchange.result
            await self._sleep(pause)

    async def _post(self, post: Post) -> Reply:
        """Send one post, return its reply: the one place that sees the transport's exceptions."""
        connections = await self._connected()
        proxy = self._proxy
        introduction = proxy.introduction if proxy else None
        flight = Flight(time.monotonic() + post.seconds, RequestLine(post.usersig), introduction)
        trouble: BaseException
        with in_flight(flight):
            try:
                async with asyncio.timeout(post.seconds):
                    reply: Reply = await connections.send(post)
                    return reply
            except Exception as raised:  # noqa: BLE001 - whatever it is, and it has been an AssertionError, holds the request
                trouble = raised
        if (decided := flight.decided()) is not None:
            return decided
        # Outside of the except clause, so that the new error has no context: the request stands in the old one.
        error = error_of(trouble, flight, proxied=proxy is not None)
        trouble = error
        raise error

    async def _connected(self) -> Connections:
        asockets, context = await self._open()
        if self._connections is None:
            self._connections = asockets.Connections(context, self._proxy.address if self._proxy else None)
        assert self._connections is not None  # noqa: S101 - for mypy: the module is imported late
        return self._connections

    async def _open(self) -> tuple[ModuleType, ssl.SSLContext]:
        """Import the library and make the context in a thread, once, for all posts."""
        async with self._opening:
            if self._opened is None:
                odd: TimAVError | None = None
                try:
                    self._opened = await asyncio.to_thread(_open, self._make_context)
                except TimAVError:
                    raise
                except Exception as unexpected:  # noqa: BLE001 - whatever it is, it is not of the network
                    odd = unmade(unexpected)
                # Outside of the except clause: the new error has no context.
                if odd is not None:
                    raise odd
            assert self._opened is not None  # noqa: S101 - it was made, or not
            return self._opened


def _open(make_context: Callable[[], ssl.SSLContext]) -> tuple[ModuleType, ssl.SSLContext]:
    from airflow_provider_timav.videorelay import asockets

    table()  # a file that would else be read by the first answer that is no success
    context = make_context()
    context.sslobject_class = TlsObject
    return asockets, context
