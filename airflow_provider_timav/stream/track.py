"""The high-water mark of one list of segments, and which other lists are older copies of it.

Caches hand out older copies, so a lower tail near the mark is an older copy, and proves nothing. Only a tail far below, a list
that begins at the first numbers, or other names under the same numbers come from an encoder that restarted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.segments import moment

__all__ = ["FARTHEST_BACK", "MOVES_WITHIN", "Track"]

MOVES_WITHIN: Final = 3
"""Target durations within which a live playlist's tail moves. A player's buffer is about as long."""

COPIES_SECONDS: Final = 20.0
"""How long caches may hand out older copies of a list, at least: twice as long as its mark may stand still, if that is more."""

FARTHEST_BACK: Final = 12
"""Segments by which an older copy may lie behind; caches keep lists for seconds. A list further back has begun anew."""


@dataclass(frozen=True, slots=True)
class Track:
    """The high-water mark of one list: a variant's, since its encoder started.

    :param variant: see `Probe`.
    :param tail: the mark, the highest tail that was read.
    :param first: the number of the first segment of the list with that tail.
    :param read_at: when the mark was last read; the end of that probe.
    :param moves: how often the mark was seen to move since the stream last stood still, at most `marks.MOVES_THAT_PROVE`.
    :param moved_at: when two reads that were close enough saw it move last; None if none did.
    :param proved: the number after that of the last segment which answered; those from there on are yet to be proved.
    :param names: see `Probe`.
    :param dated: see `Probe`.
    :param copied_at: since when it has looked like an older copy of another track; None if it does not. Caches that take turns
        show each other's lists, or a lower one, before long. If it moves on by itself for longer than copies are handed out, it
        is the list that viewers see: of an encoder that restarted under the numbers and names of before.
    """

    variant: int | None
    tail: int
    first: int
    read_at: float
    moves: int = 0
    moved_at: float | None = None
    proved: int = 0
    names: tuple[int, ...] = ()
    dated: str = ""
    copied_at: float | None = None

    @classmethod
    def of(cls, probe: Probe, *, moves: int = 0, copied_at: float | None = None) -> Track:
        """Return the track of a list after its first probe."""
        tail = probe.tail or 0
        first = tail - probe.segments
        return cls(probe.variant, tail, first, probe.done_at, moves, None, tail, probe.names, probe.dated, copied_at)

    def is_old(self, at: float, tolerance: float) -> bool:
        """Return whether the mark was last read so long ago that no cache has a copy of its list any more."""
        return at - self.read_at > _copies_for(tolerance)

    def counts(self, at: float, tolerance: float) -> bool:
        """Return whether its moves are the stream's, and not those of older copies."""
        return self.copied_at is None or at - self.copied_at > _copies_for(tolerance)

    def holds(self, probe: Probe, tolerance: float) -> bool:
        """Return whether a list of this variant continues this one or is a copy of it, and not one that began anew.

        :param tolerance: seconds within which a live mark moves.
        """
        if probe.tail is None or probe.tail >= self.tail:
            return True
        then, now = moment(self.dated), moment(probe.dated)
        if then is not None and now is not None:
            # A list that was encoded later bears a later date; an older copy bears an earlier one.
            return now <= then
        common, alike = self._compared(probe)
        if self.is_old(probe.at, tolerance):
            # A cache may have had it for hours, but not one that starts at the first numbers: there a session begins, under
            # the same names.
            return alike and probe.tail > FARTHEST_BACK
        # Lists may be so short that an older copy does not overlap; an encoder begins at the first numbers.
        begins = probe.tail - probe.segments <= 1 and probe.tail <= self.first
        return probe.tail > self.tail - FARTHEST_BACK and not begins and (alike or not common)

    def is_behind(self, probe: Probe, tolerance: float) -> bool:
        """Return whether another variant's list goes on beyond this one: by its dates, or by its numbers if names are alike.

        :param tolerance: seconds within which a live mark moves.
        """
        then, now = moment(self.dated), moment(probe.dated)
        if then is not None and now is not None:
            # Renditions of one moment may be dated some milliseconds apart.
            return now - then > tolerance / MOVES_WITHIN / 2
        return probe.tail is not None and probe.tail > self.tail and self._compared(probe)[1]

    def _compared(self, probe: Probe) -> tuple[bool, bool]:
        """Return whether some numbers whose names are known stand in both lists, and whether one of these has the same name."""
        tail = probe.tail or 0
        mine = {self.tail - len(self.names) + place: name for place, name in enumerate(self.names)}
        theirs = {tail - len(probe.names) + place: name for place, name in enumerate(probe.names)}
        common = mine.keys() & theirs.keys()
        return bool(common), any(mine[number] == theirs[number] for number in common)


def _copies_for(tolerance: float) -> float:
    """Return for how many seconds caches may hand out older copies of a list whose mark moves within so many."""
    return max(COPIES_SECONDS, 2 * tolerance)
