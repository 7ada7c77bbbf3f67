"""Looks names of hosts up in threads that nobody else waits for.

The system's look-up cannot be interrupted, and where a name server does not answer it takes minutes. In a pool of threads it
would keep everybody else who needs the pool waiting, and the end of the loop that the pool belongs to.
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
    # aiohttp does not ask for the type, and importing it takes longer than a loop may be blocked.
    AbstractResolver = object

__all__ = ["Names", "RememberedNames", "look_up"]


def look_up(host: str, port: int, tell: Callable[[list[Any] | OSError], None]) -> threading.Thread:
    """Look a name up in a thread of its own, which tells what it found or why it found nothing.

    The system's look-up cannot be interrupted: a late one is left to itself, and must take no thread from a pool meanwhile.
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
    except RuntimeError:  # the interpreter ends, as where a run was interrupted: it starts no thread any more
        tell(found())
    return thread


class Names(AbstractResolver):
    """What aiohttp asks for the addresses of a name."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return a name's addresses; whoever does not want to wait any longer is free to go."""
        return _results(await _asked(host, port), host, port)

    async def close(self) -> None:
        """Nothing is kept."""


REMEMBERED_SECONDS = 10.0
"""How long aiohttp remembers names. A stream's host moves more rarely than that, and each look must not query a name server."""

MOST_NAMES = 1000


class RememberedNames(Names):
    """Asks once for a name that many want to know at once or shortly after one another; a failure is not remembered."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, asyncio.Future[list[Any] | OSError]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return a name's addresses; whoever does not want to wait any longer is free to go."""
        asked_at, answer = self._known.get(host, (0.0, None))
        if answer is None or (answer.done() and time.monotonic() - asked_at > REMEMBERED_SECONDS):
            answer = _asked(host, port)
            self._known.pop(host, None)  # the oldest stand first
            self._known[host] = time.monotonic(), answer
            while len(self._known) > MOST_NAMES:
                del self._known[next(iter(self._known))]
        # Shielded, for the others who wait.
        found = await asyncio.shield(answer)
        if isinstance(found, OSError) and self._known.get(host, (0.0, None))[1] is answer:
            del self._known[host]
        return _results(found, host, port)


def _asked(host: str, port: int) -> asyncio.Future[list[Any] | OSError]:
    """Return what a look-up in a thread of its own will have found."""
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
