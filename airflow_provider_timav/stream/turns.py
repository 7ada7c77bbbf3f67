"""Who may use a connection when many watches share a few: a server that keeps silent must not keep the others waiting.

There are three lanes: for watches whose stream answered the last time, for new ones, and for those that nobody answered. A look
that has not come to its end soon goes over to the last lane, if there is room, and makes way for the next. In each of the
first two no host has more than half of the turns.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

__all__ = ["MOST_TURNS", "Turns"]

LANE: Final = 40
"""Looks at once at streams that answer, and at new ones. A look takes some 50 ms: half of these, the share of one host, are 400
a second."""

SILENT_LANE: Final = 60
"""Looks at once at streams that nobody answers for. They wait, and cost nothing but their connections."""

MOST_TURNS: Final = 2 * LANE + SILENT_LANE

PATIENCE_SECONDS: Final = 1.0
"""After which a look makes way for others."""


class _Lane:
    """Turns that are taken in order, but for hosts that have their share."""

    def __init__(self, size: int, share: int) -> None:
        self._free = size
        self._share = share
        self._held: Counter[str] = Counter()
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()

    def taken_at_once(self, host: str) -> bool:
        """Take a turn if there is one for this host."""
        if not self._free or self._held[host] >= self._share:
            return False
        self._free -= 1
        self._held[host] += 1
        return True

    async def take(self, host: str) -> None:
        if self.taken_at_once(host):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((host, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(host)
            else:
                self._waiting.remove((host, turn))
            raise

    def give_back(self, host: str) -> None:
        self._free += 1
        self._held[host] -= 1
        if not self._held[host]:
            del self._held[host]
        for host_waiting, turn in self._waiting:
            # One that was cancelled this moment leaves by itself.
            if not turn.done() and self.taken_at_once(host_waiting):
                self._waiting.remove((host_waiting, turn))
                turn.set_result(None)
                return


class Turns:
    """The turns of one reader."""

    def __init__(self) -> None:
        self._answering = _Lane(LANE, LANE // 2)
        self._new = _Lane(LANE, LANE // 2)
        self._silent = _Lane(SILENT_LANE, SILENT_LANE)

    @asynccontextmanager
    async def turn(self, host: str, *, answered: bool | None) -> AsyncIterator[None]:
        """Wait for a turn, and hold it.

        :param host: whose it is for.
        :param answered: whether the stream answered the last time; None for the first look.
        """
        lane = self._new if answered is None else self._answering if answered else self._silent
        await lane.take(host)
        held = [lane]

        def make_way() -> None:
            if self._silent.taken_at_once(host):
                held.append(self._silent)
                held.pop(0).give_back(host)

        timer = None if lane is self._silent else asyncio.get_running_loop().call_later(PATIENCE_SECONDS, make_way)
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()
            held[0].give_back(host)
