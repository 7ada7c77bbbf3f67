"""Connections of two kinds that never mix: one pool leads to public addresses only, the other to all the rest only.

So the pool that an answer came through says where its server is, also for a connection that has been open for long, and
nothing lies between the check and the connection: what is checked is the number that the system is told to connect to.
Both pools ask the same names, so that a host is looked up once.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from inspect import signature
from typing import TYPE_CHECKING, Any

from airflow_provider_timav.names import Names, RememberedNames
from airflow_provider_timav.stream.network import is_public

if TYPE_CHECKING:
    import ssl

    import aiohttp
    from aiohttp.abc import ResolveResult

__all__ = ["WrongNetwork", "open_pool"]


MOST_HEADERS = 10_000


class WrongNetwork(OSError):
    """None of a host's addresses is of the kind that the pool leads to; nothing has been sent."""

    def __init__(self) -> None:
        super().__init__("an address of the other kind")


class _NamesOf(Names):
    """The addresses of one kind. A name with addresses of both kinds is a public one, and only its public ones are used."""

    def __init__(self, names: RememberedNames, *, public: bool) -> None:
        self._names = names
        self._public = public

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return a name's addresses of this kind.

        :raises WrongNetwork: if there are none.
        """
        found = await self._names.resolve(host, port, family)
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
    context: ssl.SSLContext, names: RememberedNames, *, public: bool | None, limit: int, **facts: Any
) -> aiohttp.ClientSession:
    """Return a client with a pool of its own, that leads to public addresses, to the others, or (None) to a proxy.

    aiohttp must have been imported before: that takes long.

    :param limit: of connections in use.
    :param facts: of the client: see ``aiohttp.ClientSession``.
    """
    import aiohttp

    from airflow_provider_timav.stream.protocol import LARGEST_HEAD, Connector

    # The number of headers is limited since aiohttp 3.14; `protocol` limits all of them together.
    facts |= {"max_headers": MOST_HEADERS} if "max_headers" in signature(aiohttp.ClientSession).parameters else {}
    # The names remember what they have found; a second memory would only be an older one.
    ways: dict[str, Any] = {"resolver": names, "use_dns_cache": False}
    if public is not None:
        ways |= {"resolver": _NamesOf(names, public=public), "socket_factory": _sockets(public=public)}
    return aiohttp.ClientSession(
        connector=Connector(limit=limit, ssl=context, **ways),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        max_line_size=LARGEST_HEAD,
        max_field_size=LARGEST_HEAD,
        **facts,
    )
