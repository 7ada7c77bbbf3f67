"""Connections of two kinds that never mix: one pool leads to public addresses only, the other to all the rest only.

So the pool that an answer came through says where its server is, also for a connection that has been open for long, and
nothing lies between the check and the connection: what is checked is the number that the system is told to connect to.
Both pools ask the same names, so that a host is looked up once.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextvars import ContextVar
from inspect import signature
from typing import TYPE_CHECKING, Any

from airflow_provider_timav.names import Names, RememberedNames
from airflow_provider_timav.stream.network import is_public

if TYPE_CHECKING:
    import ssl

    import aiohttp
    from aiohttp.abc import ResolveResult

__all__ = ["WAY", "LateName", "Way", "WrongNetwork", "open_pool"]


MOST_HEADERS = 10_000


class WrongNetwork(OSError):
    """None of a host's addresses is of the kind that the pool leads to; nothing has been sent."""

    def __init__(self) -> None:
        super().__init__("an address of the other kind")


class LateName(OSError):
    """A host's name was not looked up in time. It is no `TimeoutError`, for that is one of the connection."""

    def __init__(self) -> None:
        super().__init__("no answer of a name server in time")


class Way:
    """How far a request has come: where nothing answers in time, it says who it was that did not.

    :param end: when the request's time is over, by the loop's clock.
    """

    __slots__ = ("answered", "connected", "end", "looking_up", "sockets", "tunnel")

    def __init__(self, end: float) -> None:
        self.end = end
        self.looking_up = False
        """Whether a name is being looked up."""
        self.sockets = 0
        """Connections that were begun at the last try: within a tunnel TLS is a second one."""
        self.connected = False
        """Whether there is a connection on which to ask."""
        self.answered = False
        """Whether the head of an answer is there."""
        self.tunnel = False
        """Whether it leads through a tunnel, if it leads through a proxy."""

    @property
    def is_past_proxy(self) -> bool:
        """Tell whether a proxy, if there is one, has done what it has to."""
        return self.answered or (self.tunnel and (self.connected or self.sockets > 1))


WAY: ContextVar[Way | None] = ContextVar("timav_way", default=None)
"""That of the request that is being made; the library hands nothing on to resolvers and connections."""


class _NamesOf(Names):
    """The addresses of one kind. A name with addresses of both kinds is a public one, and only its public ones are used.

    :param public: of which kind; None of both.
    :param seconds: for one look-up.
    """

    def __init__(self, names: RememberedNames, *, public: bool | None, seconds: float) -> None:
        self._names = names
        self._public = public
        self._seconds = seconds

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return a name's addresses of this kind.

        :raises WrongNetwork: if there are none.
        :raises LateName: if it takes too long; those who wait for the same name wait on.
        :raises OSError: if it has none at all.
        """
        way = WAY.get() or Way(0)
        way.looking_up = True  # and so it stays where the request's own time is over
        try:
            async with asyncio.timeout(self._seconds):
                found = await self._names.resolve(host, port, family)
        except TimeoutError:
            raise LateName from None
        way.looking_up = False
        if self._public is None:
            return found
        public = [one for one in found if is_public(one["host"])]
        if bool(public) is not self._public:
            raise WrongNetwork
        return public or found


def _sockets(*, public: bool) -> Callable[[Any], socket.socket]:
    """Return what makes a socket for an address, which is the last that happens before it is connected to that address."""

    def make(info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        if is_public(address[0]) is not public:
            raise WrongNetwork
        return socket.socket(family, kind, protocol)

    return make


def open_pool(
    context: ssl.SSLContext, names: RememberedNames, *, public: bool | None, limit: int, seconds: float, **facts: Any
) -> aiohttp.ClientSession:
    """Return a client with a pool of its own, that leads to public addresses, to the others, or (None) to a proxy.

    aiohttp must have been imported before: that takes long.

    :param limit: of connections in use.
    :param seconds: for looking a name up, and again for one connection.
    :param facts: of the client: see ``aiohttp.ClientSession``.
    """
    import aiohttp

    from airflow_provider_timav.stream.protocol import LARGEST_HEAD, Connector

    # The number of headers is limited since aiohttp 3.14; `protocol` limits all of them together.
    facts |= {"max_headers": MOST_HEADERS} if "max_headers" in signature(aiohttp.ClientSession).parameters else {}
    # The names remember what they have found; a second memory would only be an older one.
    ways: dict[str, Any] = {"resolver": _NamesOf(names, public=public, seconds=seconds), "use_dns_cache": False}
    if public is not None:
        ways["socket_factory"] = _sockets(public=public)
    return aiohttp.ClientSession(
        connector=Connector(limit=limit, ssl=context, **ways),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=seconds),
        max_line_size=LARGEST_HEAD,
        max_field_size=LARGEST_HEAD,
        **facts,
    )
