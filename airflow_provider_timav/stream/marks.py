"""The high-water marks of a stream's lists, and which signs of life they show.

The measure is the *tail* of a playlist: ``media sequence + number of segments``, the number that the next segment will
have. Its highest value so far is the *mark* of the list. A stream is live if its mark moves and a segment that was added has
bytes, and nothing else shows that: the cached list of yesterday's broadcast has segments, answers 200 and plays. However many
older copies take turns (`track`), they move no mark for long.

Of an RTMP stream the tail is the newest timestamp, in milliseconds (`arrivals`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.track import MOVES_WITHIN, Track

__all__ = ["MOST_TRACKS", "Marks"]

MOVES_THAT_PROVE: Final = 2
"""Moves that show that a stream is live. One could be two caches of a broadcast that is over, the older of which came first."""

DOUBTED_AFTER: Final = 1.5
"""Target durations without a sign of life after which other variants are read, too: before the stream counts as stalled."""

UNTOLD_TARGET_DURATION: Final = 6.0
"""Seconds taken for a target duration while none is known; HLS encoders are commonly set to it."""

MOST_TRACKS: Final = 4
"""Lists whose marks are kept: variants, and lists from before an encoder restarted. Of each one copy is kept beside it."""


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of a stream's lists after the probes so far. Times are seconds since the epoch.

    :param tail: the mark of the list that was last read.
    :param target_duration: the target duration that was last read, in seconds.
    :param variant: the variant that was last read, see `Probe`. It is read first the next time.
    :param tracks: the lists that are known, the last read first.
    :param progress_at: when there last was a sign of life: a move that was proved, or a list that had nothing to compare with.
    :param played_at: when the stream last moved and was proved to be live; None if it was not since it began anew.
    :param restarted: whether an encoder that restarted has counted as a sign of life since the last proof. It does once.
    """

    tail: int | None = None
    target_duration: float | None = None
    variant: int | None = None
    tracks: tuple[Track, ...] = ()
    progress_at: float | None = None
    played_at: float | None = None
    restarted: bool = False

    @property
    def pace(self) -> float:
        """Seconds between two segments: the target duration, or the usual one while none is known."""
        return self.target_duration or UNTOLD_TARGET_DURATION

    @property
    def tolerance(self) -> float:
        """Seconds within which a live stream moves."""
        return MOVES_WITHIN * self.pace

    @property
    def moved(self) -> bool:
        """Whether any mark was seen to move."""
        return any(track.moves or track.moved_at is not None for track in self.tracks)

    def doubted(self, at: float) -> bool:
        """Return whether there has been no sign of life for so long that other variants are to be read, too."""
        return self.progress_at is not None and at - self.progress_at > DOUBTED_AFTER * self.pace

    def unproved(self, probe: Probe) -> int | None:
        """Return from which number on a segment decides what this probe proves; None if none is to be requested."""
        track = None if probe.endlist or not probe.segments else self._track_of(probe)
        if track is None or probe.tail is None or probe.tail < track.tail or not track.counts(probe.at, self.tolerance):
            return None
        moved = self._is_timely(probe, track) if probe.tail > track.tail else track.moved_at is not None
        return track.proved if moved and track.proved < probe.tail else None

    def is_reset(self, probe: Probe) -> bool:
        """Return whether a probe shows a list that began anew."""
        tolerance = self.tolerance
        known = any(
            # Of another variant than the last an old list does not show when an encoder started.
            track.variant == probe.variant and (probe.variant == self.variant or not track.is_old(probe.at, tolerance))
            for track in self.tracks
        )
        return bool(probe.segments) and known and self._track_of(probe) is None

    def is_new(self, probe: Probe) -> bool:
        """Return whether something was added, or the list began anew, since the end."""
        if not probe.segments or probe.tail is None or probe.endlist:
            return False
        track = self._track_of(probe)
        added = track is not None and track.copied_at is None and probe.tail > track.tail
        return not self.tracks or self.is_reset(probe) or added

    def after(self, probe: Probe) -> Marks:
        """Return the marks after one more probe. The probe's `others` are not read.

        Each probe of each stream passes here: changes are collected, for ``replace`` is slow.
        """
        if probe.tail is None:
            return self
        changes: dict[str, Any] = {"target_duration": probe.target_duration or self.target_duration}
        if not probe.segments:
            return replace(self, **changes)
        track = self._track_of(probe)
        if track is None:
            return replace(self, **changes)._begun(probe, reset=self.is_reset(probe))
        if probe.tail < track.tail or (track.copied_at is not None and not self._is_timely(probe, track)):
            return replace(self, **changes)._copied(probe)

        counts = track.counts(probe.at, self.tolerance)
        moves: dict[str, Any] = {"read_at": probe.done_at}
        moved_at, count = track.moved_at, track.moves
        if probe.tail > track.tail:
            timely = self._is_timely(probe, track)
            moved_at, count = probe.at if timely else None, min(track.moves + 1, MOVES_THAT_PROVE)
            if not timely and counts:
                changes["progress_at"] = probe.at
            moves |= {
                "tail": probe.tail,
                "first": probe.tail - probe.segments,
                "moves": count,
                "moved_at": moved_at,
                "names": probe.names,
                "dated": probe.dated,
            }
        if counts and probe.playable and moved_at is not None and track.proved < probe.tail:
            moves["proved"] = (probe.tail - 1 if probe.proved is None else probe.proved) + 1
            changes |= {"progress_at": _later(self.progress_at, moved_at), "restarted": False}
            if count >= MOVES_THAT_PROVE:
                changes["played_at"] = _later(self.played_at, moved_at)
        if counts:
            # If it looked like an older copy, it does so no longer: an encoder restarted.
            moves["copied_at"] = None
            changes["tail"] = probe.tail
        tracks = self._with(replace(track, **moves), probe.at, before=track)
        return replace(self, **changes, variant=probe.variant, tracks=tracks)

    def unproven(self) -> Marks:
        """Return the marks of a stream that has stalled.

        It has to be proved anew: a cache that is a little fresher than the others moves a mark, too.
        """
        tracks = tuple(track if track.copied_at else replace(track, moves=0) for track in self.tracks)
        return replace(self, played_at=None, tracks=tracks)

    def without_tracks(self) -> Marks:
        """Return the marks of lists with which nothing more is compared."""
        return Marks(target_duration=self.target_duration, variant=self.variant)

    def set_back(self, seconds: float) -> Marks:
        """Move every time back: the clock went back, by a correction or to another machine's."""
        tracks = tuple(
            replace(
                track,
                read_at=track.read_at - seconds,
                moved_at=earlier(track.moved_at, seconds),
                copied_at=earlier(track.copied_at, seconds),
            )
            for track in self.tracks
        )
        progress_at, played_at = earlier(self.progress_at, seconds), earlier(self.played_at, seconds)
        return replace(self, tracks=tracks, progress_at=progress_at, played_at=played_at)

    def _track_of(self, probe: Probe) -> Track | None:
        """Return the list that a probe continues or has a copy of; the one with the higher mark, if there are several."""
        if len(self.tracks) == 1 and probe.tail is not None:  # nearly always, and it goes on
            (track,) = self.tracks
            if track.variant == probe.variant and probe.tail >= track.tail:
                return track
        tolerance = self.tolerance
        held = [track for track in self.tracks if track.variant == probe.variant and track.holds(probe, tolerance)]
        # A tail above all marks goes on from the nearest.
        below = [track for track in held if probe.tail is not None and track.tail <= probe.tail]
        return max(below or held, key=lambda track: track.tail, default=None)

    def _is_timely(self, probe: Probe, track: Track) -> bool:
        """Return whether a mark that has moved did so lately: between reads far apart it may have been long ago."""
        pace = probe.target_duration or self.pace
        return probe.asked_at - track.read_at <= MOVES_WITHIN * pace

    def _copied(self, probe: Probe) -> Marks:
        """Take in a list that looks like an older copy; the last one of each variant is kept."""
        copy = Track.of(probe, copied_at=probe.at)
        return replace(self, variant=probe.variant, tracks=self._with(copy, probe.at))

    def _begun(self, probe: Probe, *, reset: bool) -> Marks:
        """Take in a list that has nothing to compare with: the first, another variant's, or one that began anew."""
        if probe.tail is None:
            return self
        # Each variant may have a cache that is behind, and move once. So moves of others do not count here, unless
        # this one goes on beyond all of them; and then except for the last move.
        others = [track for track in self.tracks if track.variant != probe.variant]
        moved = any(track.moves for track in others) and all(track.is_behind(probe, self.tolerance) for track in others)
        track = Track.of(probe, moves=MOVES_THAT_PROVE - 1 if moved and not reset else 0)
        marks = replace(self, tail=probe.tail, variant=probe.variant, tracks=self._with(track, probe.at))
        if reset:
            marks = replace(marks, played_at=None, restarted=True)
        if self.tracks and not (reset and not self.restarted):
            return marks
        return replace(marks, progress_at=probe.at)

    def _with(self, track: Track, at: float, *, before: Track | None = None) -> tuple[Track, ...]:
        """Return the lists that are known, with this one as the last that was read.

        Those of other variants are kept, however old: begun anew at an older copy, they would move up to the same mark again.
        Of its own variant one copy is kept, until the list itself is read, and lists as long as they may have copies.

        :param before: the track before this probe, which it replaces.
        """
        rest = [one for one in self.tracks if one is not before]
        if not rest:  # nearly always
            return (track,)
        tolerance = self.tolerance
        is_copy = track.copied_at is not None
        known = [
            one
            for one in rest
            if one.variant != track.variant or (one.copied_at is None and (is_copy or not one.is_old(at, tolerance)))
        ]
        known.insert(0, track)
        lists = [one for one in known if one.copied_at is None][:MOST_TRACKS]
        copies = [one for one in known if one.copied_at is not None][:MOST_TRACKS]
        return (*lists, *copies)


def earlier(then: float | None, seconds: float) -> float | None:
    """Return a time so many seconds earlier; None stays None."""
    return None if then is None else then - seconds


def _later(one: float | None, other: float) -> float:
    return other if one is None else max(one, other)
