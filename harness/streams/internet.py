"""An internet on loopback: names, public addresses and the sites behind them, and a note of each address that was dialled."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from harness.streams.site import Site

T = TypeVar("T")

PUBLIC = "93.184.216.34"
OTHER_PUBLIC = "151.101.1.69"
PUBLIC_6 = "2606:2800:220:1::1"


class Internet:
    """Names that are looked up here, and a way from public addresses to sites.

    :param sites: by public address. What is dialled on any other address goes where that address leads.
    :param names: addresses by name; a function is asked anew each time.
    """

    def __init__(
        self, sites: dict[str, Site], names: dict[str, Sequence[str] | Callable[[], Sequence[str]]] | None = None
    ) -> None:
        self.sites = sites
        self.names = names or {}
        self.dialled: list[str] = []
        self.asked: list[str] = []

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine whose connections go through this internet."""
        internet = self

        class Loop(asyncio.SelectorEventLoop):
            async def sock_connect(self, sock: socket.socket, address: Any) -> None:
                internet.dialled.append(address[0])
                if (site := internet.sites.get(address[0])) is not None:
                    loopback = "::ffff:127.0.0.1" if sock.family == socket.AF_INET6 else "127.0.0.1"
                    address = (loopback, site.server.server_address[1], *address[2:])
                await super().sock_connect(sock, address)

        with self._looked_up(), asyncio.Runner(loop_factory=Loop) as runner:
            return runner.run(asyncio.wait_for(coroutine, 20))

    @contextmanager
    def _looked_up(self) -> Iterator[None]:
        look_up: Any = socket.getaddrinfo

        def changed(host: Any, port: Any, *args: Any, **facts: Any) -> list[Any]:
            if host not in self.names:
                return list(look_up(host, port, *args, **facts))
            self.asked.append(host)
            found = self.names[host]
            addresses = found() if callable(found) else found
            if not addresses:
                raise socket.gaierror(socket.EAI_NONAME, "not known")
            return [info for one in addresses for info in look_up(one, port, *args, **facts)]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", changed)
            yield
