"""What a series of looks at a live playlist proves: one verdict, the same for whoever looks.

The state machine is pure: a `Watch` is what is known so far, `Watch.after` returns what is known after one more look. No
clock, no socket and no Airflow in here, so the sensor in each of its modes and the triggers cannot come to different
verdicts about the same looks.

The measure is the *tail* of the playlist: ``media sequence + number of segments``, the number that the next segment will
have. A stream is live if its tail moves, and nothing else shows that: the cached list of yesterday's show has segments,
answers 200 and plays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from airflow_provider_timav.reading import LARGEST_NUMBER, said

__all__ = ["Look", "Verdict", "Watch", "next_pause"]

MOVES_WITHIN = 3
"""Target durations within which a live playlist's tail moves. A player's buffer is about as long."""

UNTOLD_TARGET_DURATION = 6.0
"""Seconds taken for a target duration while none is known; what HLS encoders are commonly set to."""

SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 10.0
"""Seconds between two looks, whatever the playlist says its target duration is."""

_LATEST = 253_402_300_799
"""Seconds since the epoch; the last that a datetime can hold."""

_LONGEST_REASON = 200
"""Characters."""


class Verdict(StrEnum):
    """What can be said of a stream from the viewer's side."""

    UNKNOWN = "UNKNOWN"
    """Nobody has looked, or there is no HLS address to look at."""
    ABSENT = "ABSENT"
    """No playlist: 4xx, 5xx, no answer in time, or a body that is none."""
    EMPTY = "EMPTY"
    """A playlist without segments."""
    STARTING = "STARTING"
    """Segments, but we have not yet seen the tail move and the newest segment answer."""
    LIVE = "LIVE"
    """Two of our reads saw the tail move, at most three target durations ago, and the newest segment has bytes."""
    STALLED = "STALLED"
    """No such move for more than three target durations."""
    RESET = "RESET"
    """The tail went back: the encoder started again."""
    ENDED = "ENDED"
    """The playlist says so, or the stream was LIVE and has been gone for longer than the grace period."""


_GONE = (Verdict.ABSENT, Verdict.EMPTY, Verdict.STALLED)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a stream found.

    :param at: when the playlist was read, in seconds since the epoch.
    :param tail: media sequence + number of segments; None if there is no readable playlist, ``absence`` then says why.
    :param segments: how many segments the playlist lists.
    :param target_duration: seconds; None if the playlist does not tell.
    :param endlist: whether the playlist says that nothing will follow.
    :param playable: whether the newest segment answered with bytes; None if it was not asked.
    :param variant: the place in the master playlist that this was read from; None without one. Numbers of different
        variants do not compare (RFC 8216, 6.2.4).
    :param absence: why there is no readable playlist, in a few words without any address.
    :param refused: why the newest segment was not asked though it should have been, likewise.
    :param public: whether the playlist's host is on a public address; what it says then leads to public addresses only.
    """

    at: float
    tail: int | None = None
    segments: int = 0
    target_duration: float | None = None
    endlist: bool = False
    playable: bool | None = None
    variant: int | None = None
    absence: str = ""
    refused: str = ""
    public: bool = False


@dataclass(frozen=True, slots=True)
class Watch:
    """What is known of a stream after the looks so far. A new `Watch` knows nothing.

    Every field is plain JSON, so that the memory of "was LIVE" can be kept where it outlives the process (`to_json`,
    `from_json`). All times are seconds since the epoch.

    :param verdict: what can be said now.
    :param since: when that verdict was reached.
    :param at: when the last look was made.
    :param tail: the tail that was last read.
    :param target_duration: the target duration that was last read, in seconds.
    :param variant: where the tail was read from, see `Look`.
    :param read_at: when the tail was last read.
    :param moved_at: when two reads last saw the tail move; None if none did since the watch, or the encoder, started.
    :param proven: whether the newest segment has answered with bytes since that move.
    :param progress_at: when there last was a sign of life: a proven move, or a tail that had nothing to compare with.
    :param was_live: whether the stream was ever LIVE.
    :param gone_since: since when it has been ABSENT, EMPTY or STALLED without a break.
    :param reason: why the last look found no playlist, or would not ask for the newest segment; empty otherwise.
    :param public: whether the playlist's host ever was on a public address. It then has to stay on one: a name that leads
        into a network of our own later on is not trusted with it.
    """

    verdict: Verdict = Verdict.UNKNOWN
    since: float | None = None
    at: float = -math.inf
    tail: int | None = None
    target_duration: float | None = None
    variant: int | None = None
    read_at: float | None = None
    moved_at: float | None = None
    proven: bool = False
    progress_at: float | None = None
    was_live: bool = False
    gone_since: float | None = None
    reason: str = ""
    public: bool = False

    def after(self, look: Look, *, grace: float) -> Watch:
        """Return what is known after one more look.

        :param grace: seconds that a stream which was LIVE may be ABSENT, EMPTY or STALLED before it has ENDED.
        """
        past = self._set_back(self.at - look.at) if look.at < self.at else self
        now = past._read(look)
        verdict = past._judge(look, now)

        gone_since = None
        if verdict in _GONE:
            # A tail that stands still tells since when the stream is gone, however long ago the look before was.
            began = now._stalled_at if verdict is Verdict.STALLED else look.at
            gone_since = min(began, look.at if past.gone_since is None else past.gone_since)
            if past.was_live and look.at - gone_since > grace:
                verdict = Verdict.ENDED
        if past.verdict is Verdict.ENDED and not _new_tail(past, look):
            verdict = Verdict.ENDED

        return replace(
            now,
            verdict=verdict,
            since=look.at if verdict is not past.verdict else past.since,
            was_live=past.was_live or verdict is Verdict.LIVE,
            gone_since=gone_since,
            reason=look.absence or look.refused,
            public=past.public or look.public,
        )

    def asks_for_segment(self, look: Look) -> bool:
        """Tell whether the newest segment decides what this look proves; it is fetched for nothing else."""
        if look.endlist or not look.segments:
            return False
        now = self._read(look)
        return now.moved_at is not None and not now.proven

    @property
    def moving(self) -> bool:
        """Whether the last look saw the tail move."""
        return self.moved_at is not None and self.moved_at == self.at

    def seen_stalled(self, began: float, *, grace: float) -> bool:
        """Tell whether viewers see nothing new, where there should be something: it stalled, ended, or never came.

        :param began: since when there should be something, in seconds since the epoch.
        :param grace: seconds that a stream may take to appear.
        """
        if self.verdict in (Verdict.STALLED, Verdict.ENDED):
            return True
        absent = self.verdict in (Verdict.ABSENT, Verdict.EMPTY) and not self.was_live
        return absent and self.gone_since is not None and self.at - max(began, self.gone_since) > grace

    def summary(self) -> dict[str, Any]:
        """Return what users get, as plain JSON: ``{verdict, since, tail, target_duration}``.

        ``since`` is ISO 8601 in UTC, ``target_duration`` is in seconds; what is not known is None.
        """
        return {
            "verdict": self.verdict.value,
            "since": None if self.since is None else datetime.fromtimestamp(self.since, UTC).isoformat(),
            "tail": self.tail,
            "target_duration": self.target_duration,
        }

    def to_json(self) -> dict[str, Any]:
        """Return everything that is known as a dict of JSON primitives."""
        memory = asdict(self)
        memory["verdict"] = self.verdict.value
        if not math.isfinite(self.at):
            del memory["at"]
        return memory

    @classmethod
    def from_json(cls, memory: Any) -> Watch:
        """Return the watch that `to_json` wrote; whatever cannot be read is not known, and nothing is raised.

        The memory may come from another version of this package, or from a store that people can write to.
        """
        if not isinstance(memory, dict):
            return cls()
        known: dict[str, Any] = {}
        for field in fields(cls):
            value = memory.get(field.name)
            if value is not None and (reads := _READERS[str(field.type)](value)) is not None:
                known[field.name] = reads
        watch = cls(**known)
        # A tail without its time could be of any day, so it proves nothing.
        if watch.read_at is None or watch.progress_at is None:
            watch = replace(watch, tail=None, moved_at=None, proven=False)
        return watch

    @property
    def _tolerance(self) -> float:
        return MOVES_WITHIN * (self.target_duration or UNTOLD_TARGET_DURATION)

    @property
    def _stalled_at(self) -> float:
        return (self.at if self.progress_at is None else self.progress_at) + self._tolerance

    def _read(self, look: Look) -> Watch:
        """Take in what the look says of the tail; the verdict is not touched."""
        now = replace(self, at=look.at)
        if look.tail is None:
            return now
        now = replace(now, target_duration=look.target_duration or self.target_duration)
        if not look.segments:
            # The number of a segment that is not there yet: what then comes has nothing to compare with.
            return replace(now, tail=None, moved_at=None, proven=False)

        tail, read_at = self.tail, self.read_at
        now = replace(now, tail=look.tail, variant=look.variant, read_at=look.at)
        if tail is None or read_at is None:
            return now._anew()
        if look.variant != self.variant:
            return now
        if look.tail < tail:
            return now._anew()
        if look.tail > tail:
            if look.at - read_at > now._tolerance:
                # It has moved, but nobody knows when: it may have stopped right after the look before.
                return now._anew()
            now = replace(now, moved_at=look.at, proven=False)
        if not now.proven and now.moved_at is not None and look.playable:
            now = replace(now, proven=True, progress_at=now.moved_at)
        return now

    def _anew(self) -> Watch:
        return replace(self, moved_at=None, proven=False, progress_at=self.at)

    def _judge(self, look: Look, now: Watch) -> Verdict:
        """Return the verdict of this look, before grace and the memory of an end are considered."""
        if look.tail is None:
            return Verdict.ABSENT
        if look.endlist:
            return Verdict.ENDED
        if not look.segments:
            return Verdict.EMPTY
        if self.tail is not None and look.variant == self.variant and look.tail < self.tail:
            return Verdict.RESET
        if now.proven and now.moved_at is not None and now.at - now.moved_at <= now._tolerance:
            return Verdict.LIVE
        if now.at > now._stalled_at:
            return Verdict.STALLED
        return Verdict.STARTING

    def _set_back(self, seconds: float) -> Watch:
        """Move every time back: the clock went back, by a correction or to another machine's."""

        def back(then: float | None) -> float | None:
            return None if then is None else then - seconds

        return replace(
            self,
            since=back(self.since),
            at=self.at - seconds,
            read_at=back(self.read_at),
            moved_at=back(self.moved_at),
            progress_at=back(self.progress_at),
            gone_since=back(self.gone_since),
        )


def _new_tail(past: Watch, look: Look) -> bool:
    """Tell whether something was added to the playlist, or it began anew, since the end."""
    return bool(look.segments) and (past.tail is None or (look.variant == past.variant and look.tail != past.tail))


def _number(value: Any) -> Any:
    sane = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LATEST
    return value if sane else None


def _whole(value: Any) -> Any:
    sane = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_NUMBER
    return value if sane else None


def _reason(value: Any) -> Any:
    return said(value, most=_LONGEST_REASON) if isinstance(value, str) else None


_READERS: dict[str, Callable[[Any], Any]] = {
    "Verdict": lambda value: Verdict(value) if value in list(Verdict) else None,
    "float": _number,
    "float | None": _number,
    "int | None": _whole,
    "bool": lambda value: value if isinstance(value, bool) else None,
    "str": _reason,
}


def next_pause(watch: Watch, chance: float) -> float:
    """Return the seconds until the next look: a target duration while the tail moves, half of it while it does not.

    :param chance: a random number from 0 to 1. It spreads the pause by a tenth to either side, so that many watches that
        began together do not poll together.
    """
    pause = watch.target_duration or UNTOLD_TARGET_DURATION
    if not watch.moving:
        pause /= 2
    return min(max(pause, SHORTEST_PAUSE), LONGEST_PAUSE) * (0.9 + 0.2 * chance)
