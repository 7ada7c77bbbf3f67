"""Resolve host names in dedicated daemon threads.

The system's look-up cannot be interrupted, and takes minutes if a name server does not answer. In a shared pool it would block
all other users of the pool, and the end of the pool's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver, ResolveResult
else:
    # aiohttp does not check the type, and importing it takes longer than a loop may be blocked.
    AbstractResolver = object

__all__ = ["Names", "RememberedNames", "look_up"]


def look_up(host: str, port: int, tell: Callable[[list[Any] | OSError], None]) -> threading.Thread:
    """Resolve a name in a thread of its own, which calls ``tell`` with the addresses or the error.

    The system's look-up cannot be interrupted: a late one is left to itself, and must not occupy a thread of a pool meanwhile.
    """

    def found() -> list[Any] | OSError:
        try:
            return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except UnicodeError:
            return socket.gaierror(socket.EAI_NONAME, "no name of a host")
        except OSError as error:
            return error

    thread = threading.Thread(target=lambda: tell(found()), name="timav-look-up", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the interpreter is shutting down, as after an interrupt, and starts no more threads
        tell(found())
    return thread


class Names(AbstractResolver):
    """Resolve names for aiohttp, each in a thread of its own."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return a name's addresses. A caller may cancel the wait at any time."""
        return _results(await _asked(host, port), host, port)

    async def close(self) -> None:
        """Do nothing: no resource is held."""


REMEMBERED_SECONDS = 10.0
"""How long aiohttp remembers names. A stream's host moves less often, and not every probe should query a name server."""

MOST_NAMES = 1000


class RememberedNames(Names):
    """Resolve a name once for concurrent and closely following callers; a failure is not remembered."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, asyncio.Future[list[Any] | OSError]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return a name's addresses. A caller may cancel the wait at any time."""
        asked_at, answer = self._known.get(host, (0.0, None))
        if answer is None or (answer.done() and time.monotonic() - asked_at > REMEMBERED_SECONDS):
            answer = _asked(host, port)
            self._known.pop(host, None)  # the oldest stand first
            self._known[host] = time.monotonic(), answer
            while len(self._known) > MOST_NAMES:
                del self._known[next(iter(self._known))]
        # Shielded, because other callers wait for it, too.
        found = await asyncio.shield(answer)
        if isinstance(found, OSError) and self._known.get(host, (0.0, None))[1] is answer:
            del self._known[host]
        return _results(found, host, port)


def _asked(host: str, port: int) -> asyncio.Future[list[Any] | OSError]:
    """Return a future of the result of a look-up in a thread of its own."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Any] | OSError] = loop.create_future()

    def settle(found: list[Any] | OSError) -> None:
        if not answer.done():
            answer.set_result(found)

    def tell(found: list[Any] | OSError) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, found)

    look_up(host, port, tell)
    return answer


def _results(found: list[Any] | OSError, host: str, port: int) -> list[ResolveResult]:
    if isinstance(found, OSError):
        raise found
    return [
        {"hostname": host, "host": address[0], "port": port, "family": kind, "proto": 0, "flags": 0}
        for kind, _, _, _, address in found
    ]
