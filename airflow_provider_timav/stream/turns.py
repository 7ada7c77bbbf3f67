"""Shares a few connections among many streams: a server that keeps silent must not keep the others waiting.

There are three lanes: for streams that answered the last time, for new ones, and for those whose servers kept silent. A probe
that does not end soon goes over to the last lane, if there is room, and makes way for the next. Of the first two together no
host has more than half of one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

__all__ = ["MOST_TURNS", "Turns"]

LANE: Final = 40
"""Probes at once of streams that answer, and of new ones."""

SHARE: Final = 20
"""Probes at once of one host's streams that answer and of new ones: a probe takes some 50 ms, so that is 400 a second."""

SILENT_LANE: Final = 60
"""Probes at once of streams whose servers keep silent. They wait, and cost nothing but their connections."""

MOST_TURNS: Final = 2 * LANE + SILENT_LANE

PATIENCE_SECONDS: Final = 1.0
"""After which a probe makes way for others."""


class _Lane:
    """Turns that are taken in order, but for hosts that have their share.

    :param held: how many turns each host has, of this lane and of those that share the count.
    """

    def __init__(self, size: int, share: int, held: dict[str, int]) -> None:
        self._free = size
        self._share = share
        self._held = held
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()
        self.beside: tuple[_Lane, ...] = (self,)
        """The lanes that share the count, this one included."""

    def taken_at_once(self, host: str) -> bool:
        """Take a turn if there is one for this host."""
        held = self._held.get(host, 0)
        if not self._free or held >= self._share:
            return False
        self._free -= 1
        self._held[host] = held + 1
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
        for lane in self.beside:
            lane.pass_on()

    def pass_on(self) -> None:
        """Give a turn to the first probe that waits and may have one."""
        for host, turn in self._waiting:
            # One that was cancelled this moment leaves by itself.
            if not turn.done() and self.taken_at_once(host):
                self._waiting.remove((host, turn))
                turn.set_result(None)
                return


class _Turn:
    """A turn, which is waited for, and held, with ``async with``."""

    __slots__ = ("_turns", "host", "lane", "since")

    def __init__(self, turns: Turns, lane: _Lane, host: str) -> None:
        self.lane = lane
        self.host = host
        self.since = 0.0
        self._turns = turns

    async def __aenter__(self) -> None:
        if not self.lane.taken_at_once(self.host):
            await self.lane.take(self.host)
        self._turns.begin(self)

    async def __aexit__(self, *_: object) -> None:
        self._turns.end(self)


class Turns:
    """The turns of one reader."""

    def __init__(self) -> None:
        held: dict[str, int] = {}
        self._answering, self._new = _Lane(LANE, SHARE, held), _Lane(LANE, SHARE, held)
        self._answering.beside = self._new.beside = (self._answering, self._new)
        self._silent = _Lane(SILENT_LANE, SILENT_LANE, {})
        self._impatient: dict[_Turn, None] = {}
        """Those that may have to make way, the oldest first."""
        self._timer_set = False

    def turn(self, host: str, *, answered: bool | None) -> _Turn:
        """Return a turn, to be waited for and held with ``async with``.

        :param host: of the stream's address.
        :param answered: whether the stream answered the last time; None for the first probe.
        """
        lane = self._new if answered is None else self._answering if answered else self._silent
        return _Turn(self, lane, host)

    def begin(self, turn: _Turn) -> None:
        """Note that a turn is held."""
        if turn.lane is self._silent:
            return
        loop = asyncio.get_running_loop()
        turn.since = loop.time()
        self._impatient[turn] = None
        if not self._timer_set:
            # One timer for all: thousands that are cancelled again would cost more than the probes' own work.
            self._timer_set = True
            loop.call_later(PATIENCE_SECONDS, self._make_way)

    def end(self, turn: _Turn) -> None:
        """Give a turn back."""
        self._impatient.pop(turn, None)
        turn.lane.give_back(turn.host)

    def _make_way(self) -> None:
        """Have the turns that are held for too long make way, as far as there is room."""
        loop = asyncio.get_running_loop()
        late = loop.time() - PATIENCE_SECONDS
        for turn in list(self._impatient):
            if turn.since > late or not self._silent.taken_at_once(turn.host):
                break
            del self._impatient[turn]
            turn.lane.give_back(turn.host)
            turn.lane = self._silent
        self._timer_set = bool(self._impatient)
        if self._timer_set:
            loop.call_later(PATIENCE_SECONDS / 4, self._make_way)
