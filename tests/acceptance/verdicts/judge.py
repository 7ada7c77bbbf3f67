"""Compares a watcher's verdicts with the truth: the script knows when viewers got something new.

Players begin three target durations before the end of a list (RFC 8216, 6.3.3): so much is left to play when nothing new comes.
A verdict may be late by that and by a poll, which is the longest pause of the watcher and the probe after it.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from airflow_provider_timav.stream.verdict import Verdict
from tests.acceptance.verdicts.origin import Probe
from tests.acceptance.verdicts.stream import Fresh, Shown, Stream, longest_pause

__all__ = ["BUFFERED", "Marks", "judged"]

BUFFERED = 3
"""Target durations of media that a viewer's player has before it."""

LIVE_WITHIN = 2
"""Target durations after which a live stream has been seen to be live, beside the poll."""


@dataclass
class Marks:
    """The marks of the probes of a play, or of several.

    Times are fractions of what is allowed: 1 is just in time, infinity is never.
    """

    probes: int = 0
    false_live: int = 0
    false_ended: int = 0
    false_stalled: int = 0
    false_reset: int = 0
    live_after: list[float] = field(default_factory=list)
    stalled_after: list[float] = field(default_factory=list)
    ended_after: list[float] = field(default_factory=list)
    mistaken: int = 0
    """Probes at which live or not live was wrong, beyond doubt."""
    status_false_live: int = 0
    """Probes at which a check that takes status 200 for live is wrong so."""
    status_mistaken: int = 0
    wrong: list[str] = field(default_factory=list)
    """Everything that is not as it must be, in words."""

    def __add__(self, other: Marks) -> Marks:
        return Marks(
            **{name: getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__},
        )


def judged(stream: Stream, probes: Sequence[Probe]) -> Marks:
    """Return the marks of the probes of a stream."""
    return _Judge(stream, probes).marks()


class _Judge:
    def __init__(self, stream: Stream, probes: Sequence[Probe]) -> None:
        self._stream = stream
        self._probes = probes
        self._buffer = float(BUFFERED * stream.target)
        # A verdict holds until the next probe has ended.
        self._poll = longest_pause(stream.target) + max(probe.at - probe.began for probe in probes)
        self._marks = Marks(probes=len(probes))
        self._arrivals = sorted(
            moment for one in stream.fresh for moment in (one.first, one.everywhere) if math.isfinite(moment)
        )
        self._everywhere = sorted((one for one in stream.fresh), key=lambda one: one.everywhere)

    def marks(self) -> Marks:
        for probe in self._probes:
            self._single(probe)
        for spell in self._spells():
            self._until_live(spell)
        for silence in self._silences():
            self._until_stalled(silence)
            self._until_ended(silence)
        return self._marks

    def _wrong(self, what: str, at: float) -> None:
        self._marks.wrong.append(f"{what} at {at:.1f} s")

    def _latest(self, at: float) -> float:
        """Return when any viewer got something new for the last time."""
        place = bisect_right(self._arrivals, at)
        return self._arrivals[place - 1] if place else -math.inf

    def _known_to_all(self, at: float) -> Fresh | None:
        """Return the last that every viewer has been able to get."""
        place = bisect_right(self._everywhere, at, key=lambda one: one.everywhere)
        return self._everywhere[place - 1] if place else None

    def _single(self, probe: Probe) -> None:
        """Judge one probe for itself."""
        silent = probe.at - self._latest(probe.at)
        says_live = probe.verdict is Verdict.LIVE
        if says_live and silent > self._buffer + self._poll:
            self._marks.false_live += 1
            self._wrong("LIVE, and nothing has come for longer than viewers can play", probe.at)
        known = self._known_to_all(probe.began)
        if probe.verdict is Verdict.STALLED and known is not None and probe.at <= known.first + self._buffer:
            self._marks.false_stalled += 1
            self._wrong("STALLED while viewers play on", probe.at)
        began = any(0 <= probe.at - begin <= self._buffer + self._poll for begin in self._stream.begins)
        if probe.verdict is Verdict.RESET and not began:
            self._marks.false_reset += 1
            self._wrong("RESET, and no encoder has begun anew", probe.at)
        if probe.verdict is Verdict.ENDED and not self._is_over(probe):
            self._marks.false_ended += 1
            self._wrong("ENDED, and the broadcast goes on", probe.at)
        if silent <= self._buffer:
            self._marks.mistaken += not says_live
            self._marks.status_mistaken += probe.status != 200
        elif silent > self._buffer + self._poll:
            self._marks.mistaken += says_live
            self._marks.status_false_live += probe.status == 200
            self._marks.status_mistaken += probe.status == 200

    def _is_over(self, probe: Probe) -> bool:
        """Return whether the list has declared its end since the last new media, or has been gone for longer than grace."""
        since = self._latest(probe.began)
        if any(one.shown is Shown.OVER and since <= one.at <= probe.at for one in self._probes):
            return True
        was_live = any(one.verdict is Verdict.LIVE and one.at < probe.at for one in self._probes)
        return was_live and probe.at - since > self._stream.grace

    def _spells(self) -> Iterator[list[Probe]]:
        """Give the probes of each time in which there was something new again and again, and the list to be seen."""
        begins = sorted(self._stream.begins)

        def spell(probe: Probe) -> tuple[bool, int]:
            live = probe.shown is Shown.LISTED and probe.at - self._latest(probe.at) <= self._buffer
            return live, bisect_right(begins, probe.at)

        for (live, _), probes in itertools.groupby(self._probes, spell):
            if live:
                yield list(probes)

    def _until_live(self, spell: Sequence[Probe]) -> None:
        """Hold the longest time without LIVE to its limit."""
        allowed = LIVE_WITHIN * self._stream.target + self._poll
        for says_live, run in itertools.groupby(spell, lambda probe: probe.verdict is Verdict.LIVE):
            if says_live:
                continue
            began = next(run).at
            until = next((probe.at for probe in spell if probe.at > began and probe.verdict is Verdict.LIVE), None)
            if until is None and spell[-1].at - began <= allowed:
                continue  # the spell was too short
            self._marks.live_after.append(math.inf if until is None else (until - began) / allowed)
            if until is None or until - began > allowed:
                self._wrong(f"not LIVE within {allowed:.1f} s of the probe", began)

    def _silences(self) -> Iterator[tuple[float, list[Probe]]]:
        """Give each time in which nothing new came for so long that a verdict must show it: its begin, and the probes in it."""
        first, last = self._probes[0].at, self._probes[-1].at
        moments = [moment for moment in self._arrivals if moment < last]
        for since, until in itertools.pairwise([-math.inf, *moments, last]):
            if until - max(since, first) > self._buffer:
                probes = [probe for probe in self._probes if since <= probe.at and probe.at <= until]
                yield since, probes

    def _until_stalled(self, silence: tuple[float, Sequence[Probe]]) -> None:
        """Hold the time until STALLED to its limit, if the list stands there unchanged all that time."""
        since, probes = silence
        since = max(since, self._probes[0].at)
        allowed = self._buffer + self._poll
        meanwhile = [probe for probe in probes if probe.at <= since + allowed]
        if probes[-1].at <= since + allowed or any(probe.shown is not Shown.LISTED for probe in meanwhile):
            return
        told = next((probe.at for probe in probes if probe.verdict in (Verdict.STALLED, Verdict.ENDED)), math.inf)
        self._marks.stalled_after.append((told - since) / allowed)
        if told > since + allowed:
            self._wrong(f"not STALLED within {allowed:.1f} s of the last that viewers got", since)

    def _until_ended(self, silence: tuple[float, Sequence[Probe]]) -> None:
        """Hold the time until ENDED to its limit: a poll after ENDLIST, or when grace is over."""
        since, probes = silence
        was_live = any(probe.verdict is Verdict.LIVE for probe in self._probes if probe.at <= since + self._poll)
        if not was_live or any(probe.shown is Shown.HIDDEN for probe in probes):
            return
        if (over := next((probe.began for probe in probes if probe.shown is Shown.OVER), None)) is not None:
            since, allowed = over, self._poll
        else:
            # Of a list that stands still the grace period begins with the stall.
            allowed = self._buffer + self._poll + self._stream.grace + self._poll
        if probes[-1].at <= since + allowed:
            return
        told = next((probe.at for probe in probes if probe.at >= since and probe.verdict is Verdict.ENDED), math.inf)
        self._marks.ended_after.append((told - since) / allowed)
        if told > since + allowed:
            self._wrong(f"not ENDED within {allowed:.1f} s of the end", since)
