"""Keeps connections of two kinds apart: one pool leads to public addresses only, the other to all the rest only.

So the pool of an answer says whether its server is public, also for a connection that has been open for long, and
nothing lies between the check and the connection: the number that is checked is the one that the system connects to.
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
    """A host's name was not resolved in time. It is no `TimeoutError`, for that is one of the connection."""

    def __init__(self) -> None:
        super().__init__("no answer of a name server in time")


class Way:
    """How far a request has come: if nothing answers in time, it shows which party did not.

    :param end: when the request's time is over, by the loop's clock.
    """

    __slots__ = ("answered", "connected", "end", "resolving", "sockets", "tunnel")

    def __init__(self, end: float) -> None:
        self.end = end
        self.resolving = False
        """Whether a name is being looked up."""
        self.sockets = 0
        """Connections that were begun at the last try: within a tunnel TLS is a second one."""
        self.connected = False
        """Whether there is a connection for the request."""
        self.answered = False
        """Whether the head of an answer is there."""
        self.tunnel = False
        """Whether it leads through a tunnel, if it leads through a proxy."""

    @property
    def is_past_proxy(self) -> bool:
        """Return whether a proxy, if there is one, has done its part."""
        return self.answered or (self.tunnel and (self.connected or self.sockets > 1))


WAY: ContextVar[Way | None] = ContextVar("timav_way", default=None)
"""That of the request that is being made; the library hands nothing on to resolvers and connections."""


class _NamesOf(Names):
    """The addresses of one kind. A name with addresses of both kinds is a public one, and only its public ones are used.

    :param public: of which kind; None of both.
    :param seconds: to resolve one name.
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
        :raises LateName: if it takes too long; other requests for the same name wait on.
        :raises OSError: if it has none at all.
        """
        way = WAY.get() or Way(0)
        way.resolving = True  # and so it stays if the request's own time is over
        try:
            async with asyncio.timeout(self._seconds):
                found = await self._names.resolve(host, port, family)
        except TimeoutError:
            raise LateName from None
        way.resolving = False
        if self._public is None:
            return found
        public = [one for one in found if is_public(one["host"])]
        if bool(public) is not self._public:
            raise WrongNetwork
        return public or found


def _sockets(*, public: bool) -> Callable[[Any], socket.socket]:
    """Return a factory of sockets: the last step before a socket is connected to an address."""

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
    :param seconds: for a look-up of a name, and again for one connection.
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
