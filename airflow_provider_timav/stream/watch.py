"""What a series of looks at a live playlist proves: one verdict, the same for whoever looks.

The state machine is pure: a `Watch` is what is known so far, `Watch.after` returns what is known after one more look. No
clock, no socket and no Airflow in here, so the sensor in each of its modes and the triggers cannot come to different
verdicts about the same looks.

The measure is the *tail* of a playlist: ``media sequence + number of segments``, the number that the next segment will
have. Its highest value so far is the *mark*. A stream is live if its mark moves and what was added has bytes, and nothing else
shows that: the cached list of yesterday's broadcast has segments, answers 200 and plays. Caches hand out older copies, so a
lower tail near the mark is an older copy, and says nothing; however many of them take turns, they move no mark for long. Only
a tail far below, a list that begins where numbers do, or other names under the same numbers are an encoder that began anew.
Of an RTMP stream the tail is the newest timestamp, in milliseconds (`arrivals`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from airflow_provider_timav.reading import LARGEST_NUMBER, said
from airflow_provider_timav.stream.playlist import moment
from airflow_provider_timav.stream.reasons import is_unseen

__all__ = ["UNSEEN_SECONDS", "Look", "Track", "Verdict", "Watch", "next_pause"]

MOVES_WITHIN: Final = 3
"""Target durations within which a live playlist's tail moves. A player's buffer is about as long."""

MOVES_THAT_PROVE: Final = 2
"""Moves that show that a stream is live. One could be two caches of a broadcast that is over, the older of which came first."""

DOUBTED_AFTER: Final = 1.5
"""Target durations without a sign of life after which other variants are read, too: before the stream counts as stalled."""

UNSEEN_SECONDS: Final = 6 * 3600.0
"""How long a stream that was live may be *not seen* (refused to us, our network down) before it has ended: as long as a
broadcast takes at most by default. What ``grace`` says holds for a stream that is seen to be gone."""

UNTOLD_TARGET_DURATION: Final = 6.0
"""Seconds taken for a target duration while none is known; what HLS encoders are commonly set to."""

SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 10.0
"""Seconds between two looks, whatever the playlist says its target duration is; half as long where it may prove to be live."""

LOOKS_THAT_TELL: Final = 3
"""Looks without a sign of life before a stream has stalled or ended where looking paused: one could be of an older copy."""

MOST_TRACKS: Final = 4
"""Lists whose marks are kept: variants, and what was there before an encoder began anew. Of each one copy is kept beside it."""

COPIES_SECONDS: Final = 20.0
"""For which caches may hand out older copies of a list, at least: twice what its mark may stand still, where that is more."""

_FARTHEST_BACK: Final = 12
"""Segments by which an older copy may lie behind; caches keep lists for seconds. What lies further back began anew."""

_MOMENT: Final = 0.01
"""Seconds."""

_LATEST = 253_402_300_799
"""Seconds since the epoch; the last that a datetime can hold."""

_LONGEST_REASON = 200
"""Characters."""


class Verdict(StrEnum):
    """What can be said of a stream from the viewer's side."""

    UNKNOWN = "UNKNOWN"
    """Nobody has looked, or there is no address to look at."""
    ABSENT = "ABSENT"
    """No playlist: 4xx, 5xx, no answer in time, or a body that is none. No RTMP stream: no connection, refused, or silence.
    The reason says if that is for us only."""
    EMPTY = "EMPTY"
    """A playlist without segments."""
    STARTING = "STARTING"
    """Segments, but we have not yet seen the mark move twice and what was added answer."""
    LIVE = "LIVE"
    """Our reads saw the mark move, at most three target durations ago, and a segment that was added has bytes."""
    STALLED = "STALLED"
    """No such move for more than three target durations."""
    RESET = "RESET"
    """The tail went back, and not to an older copy: the encoder started again."""
    ENDED = "ENDED"
    """The playlist says so, or the stream was LIVE and has been gone for longer than the grace period."""


_GONE = (Verdict.ABSENT, Verdict.EMPTY, Verdict.STALLED)


@dataclass(slots=True)
class Look:
    """What one look at a stream found. It is filled in while the look goes on: a copy for each step is slow.

    :param at: when the playlist was read, in seconds since the epoch.
    :param tail: media sequence + number of segments; None if there is no readable playlist, ``absence`` then says why.
    :param segments: how many segments the playlist lists.
    :param target_duration: seconds; None if the playlist does not tell.
    :param endlist: whether the playlist says that nothing will follow.
    :param playable: whether a segment that was added answered with bytes; None if none was asked.
    :param variant: the place in the master playlist that this was read from; None without one. Numbers of different
        variants do not compare (RFC 8216, 6.2.4).
    :param absence: why there is no readable playlist, in a few words without any address (`reasons`).
    :param refused: why what was added does not play, likewise.
    :param public: whether the playlist's host is on a public address; what it says then leads to public addresses only.
    :param proved: the number of the segment that answered; None for the newest.
    :param names: digests of the names of the newest segments, oldest first; empty where they are not known.
    :param dated: the newest ``EXT-X-PROGRAM-DATE-TIME``, as written.
    :param asked: when the playlist was asked for; None for ``at``. A slow answer is not an old one.
    :param done: when the last answer of the look was in; None for ``at``. What passes in a look is not time without looking.
    :param others: what other variants showed in the same look.
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
    proved: int | None = None
    names: tuple[int, ...] = ()
    dated: str = ""
    asked: float | None = None
    done: float | None = None
    others: tuple[Look, ...] = ()


@dataclass(frozen=True, slots=True)
class Track:
    """What is known of one list: a variant's, since its encoder began.

    :param variant: see `Look`.
    :param tail: the mark, the highest tail that was read.
    :param first: the number of the first segment of the list with that tail.
    :param read_at: when the mark was last read; the end of that look.
    :param moves: how often the mark was seen to move since the stream last stood still, at most `MOVES_THAT_PROVE`.
    :param moved_at: when two reads that were close enough saw it move last; None if none did.
    :param proved: the number after that of the last segment which answered; those from there on are yet to be proved.
    :param names: see `Look`.
    :param dated: see `Look`.
    :param copied_at: since when it looks like an older copy of another track; None if it does not. Caches that take turns show
        each other's lists, or a lower one, before long. If it moves on by itself for longer than copies are handed out, it is
        what viewers see: an encoder that began anew under the numbers and names of before.
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

    def is_old(self, at: float, tolerance: float) -> bool:
        """Tell whether the mark was last read so long ago that nothing is a copy of its list any more."""
        return at - self.read_at > _copies_for(tolerance)

    def counts(self, at: float, tolerance: float) -> bool:
        """Tell whether its moves are the stream's, and not those of older copies."""
        return self.copied_at is None or at - self.copied_at > _copies_for(tolerance)

    def holds(self, look: Look, tolerance: float) -> bool:
        """Tell whether a list of this variant continues this one or is a copy of it, and not one that began anew.

        :param tolerance: seconds within which a live mark moves.
        """
        if look.tail is None or look.tail >= self.tail:
            return True
        then, now = moment(self.dated), moment(look.dated)
        if then is not None and now is not None:
            # What was encoded later stands under a later date; an older copy under an earlier one.
            return now <= then
        common, alike = self._compared(look)
        if self.is_old(look.at, tolerance):
            # A cache may have had it for hours, but not where numbers begin: there a session begins, under the same names.
            return alike and look.tail > _FARTHEST_BACK
        # Lists may be so short that an older copy does not overlap; an encoder begins where numbers do.
        begins = look.tail - look.segments <= 1 and look.tail <= self.first
        return look.tail > self.tail - _FARTHEST_BACK and not begins and (alike or not common)

    def is_behind(self, look: Look, tolerance: float) -> bool:
        """Tell whether another variant's list goes on beyond this one: by its dates, or its numbers where both are named alike.

        :param tolerance: seconds within which a live mark moves.
        """
        then, now = moment(self.dated), moment(look.dated)
        if then is not None and now is not None:
            # Renditions of one moment may be dated some milliseconds apart.
            return now - then > tolerance / MOVES_WITHIN / 2
        return look.tail is not None and look.tail > self.tail and self._compared(look)[1]

    def _compared(self, look: Look) -> tuple[bool, bool]:
        """Tell whether some numbers whose names are known stand in both lists, and whether one of these has the same name."""
        tail = look.tail or 0
        mine = {self.tail - len(self.names) + place: name for place, name in enumerate(self.names)}
        theirs = {tail - len(look.names) + place: name for place, name in enumerate(look.names)}
        common = mine.keys() & theirs.keys()
        return bool(common), any(mine[number] == theirs[number] for number in common)


@dataclass(frozen=True, slots=True)
class Watch:
    """What is known of a stream after the looks so far. A new `Watch` knows nothing.

    Every field is plain JSON, so that the memory of "was LIVE" can be kept where it outlives the process (`to_json`,
    `from_json`). All times are seconds since the epoch.

    :param verdict: what can be said now.
    :param since: when that verdict was reached.
    :param at: when the last look was made.
    :param tail: the mark of the list that was last read.
    :param target_duration: the target duration that was last read, in seconds.
    :param variant: the variant that was last read, see `Look`. It is read first the next time.
    :param tracks: the lists that are known, the last read first.
    :param progress_at: when there last was a sign of life: a move that was proved, or a list that had nothing to compare with.
    :param played_at: when the stream last moved and was proved to be live; None if it was not since it began anew.
    :param restarted: whether an encoder that began anew has counted as a sign of life since the last proof. It does once.
    :param idle: looks since the last sign of life, at most `LOOKS_THAT_TELL`.
    :param looking_since: since when there was no pause between two looks that is longer than a live mark may stand still.
    :param was_live: whether the stream was ever LIVE.
    :param found_ended: whether its end was there before we came: the last broadcast's list.
    :param gone_since: since when it has been seen to be ABSENT, EMPTY or STALLED without a break.
    :param unseen_since: since when it has been so and, at least once, only for us.
    :param reason: why the last look found no playlist, or nothing that plays; empty otherwise.
    :param public: whether the playlist's host ever was on a public address. It then has to stay on one: a name that leads
        into a network of our own later on is not trusted with it.
    """

    verdict: Verdict = Verdict.UNKNOWN
    since: float | None = None
    at: float = -math.inf
    tail: int | None = None
    target_duration: float | None = None
    variant: int | None = None
    tracks: tuple[Track, ...] = ()
    progress_at: float | None = None
    played_at: float | None = None
    restarted: bool = False
    idle: int = 0
    looking_since: float | None = None
    was_live: bool = False
    found_ended: bool = False
    gone_since: float | None = None
    unseen_since: float | None = None
    reason: str = ""
    public: bool = False

    def after(self, look: Look, *, grace: float) -> Watch:
        """Return what is known after one more look.

        :param grace: seconds that a stream which was LIVE may be seen to be ABSENT, EMPTY or STALLED before it has ENDED.
        """
        past = self._set_back(self.at - look.at) if look.at < self.at else self
        now = past if past._is_continued_by(look) else replace(past, looking_since=look.at)
        for other in look.others:
            now = now._read(other)
        reset = now._is_reset(look)
        now = now._read(look)
        alive = now.progress_at != past.progress_at
        idle = 0 if alive else min(past.idle + 1, LOOKS_THAT_TELL)
        told = now._is_told(idle)
        verdict = now._judge(look, reset=reset, told=told or past.verdict in _GONE)
        gone_since, unseen_since, tracks, played_at = None, None, now.tracks, now.played_at
        if past.verdict is Verdict.ENDED and verdict is not Verdict.LIVE and not past._is_new(look):
            verdict = Verdict.ENDED
            gone_since, unseen_since = past.gone_since, past.unseen_since
        elif verdict in _GONE:
            gone_since, unseen_since = now._gone(past, look, verdict)
            if past.was_live and told and _gone_too_long(look.at, gone_since, unseen_since, grace):
                verdict = Verdict.ENDED
        if verdict is Verdict.STALLED:
            # It has to be proved anew: a cache that is a little fresher than the others moves a mark, too.
            played_at = None
            tracks = tuple(track if track.copied_at else replace(track, moves=0) for track in now.tracks)

        return replace(
            now,
            verdict=verdict,
            since=look.at if verdict is not past.verdict else past.since,
            tracks=tracks,
            played_at=played_at,
            idle=idle,
            was_live=past.was_live or verdict is Verdict.LIVE,
            found_ended=verdict is Verdict.ENDED and not past._seen_moving and (past.found_ended or look.endlist),
            gone_since=gone_since,
            unseen_since=unseen_since,
            reason="" if verdict is Verdict.LIVE else _said(look),
            public=past.public or look.public,
        )

    def unproved(self, look: Look) -> int | None:
        """Return from which number on a segment decides what this look proves; None if none is to be asked for."""
        track = None if look.endlist or not look.segments else self._track_of(look)
        if track is None or look.tail is None or look.tail < track.tail or not track.counts(look.at, self.tolerance):
            return None
        moved = self._is_timely(look, track) if look.tail > track.tail else track.moved_at is not None
        return track.proved if moved and track.proved < look.tail else None

    def doubted(self, at: float) -> bool:
        """Tell whether there has been no sign of life for so long that other variants are to be read, too."""
        if self.progress_at is None:
            return False
        return at - self.progress_at > DOUBTED_AFTER * (self.target_duration or UNTOLD_TARGET_DURATION)

    @property
    def moving(self) -> bool:
        """Whether the last look saw the stream live and move on."""
        return self.played_at is not None and self.played_at == self.at

    @property
    def seconds_to_stall(self) -> float | None:
        """Seconds from the last look to the first moment at which a stream that does not move is stalled.

        None if it is, or if it takes more looks to tell.
        """
        if self.verdict not in (Verdict.STARTING, Verdict.RESET, Verdict.LIVE) or self.progress_at is None:
            return None
        left = self._stalled_at - self.at
        return max(left, 0) + _MOMENT if left >= 0 or self._is_told(self.idle) else None

    @property
    def unsettled(self) -> bool:
        """Whether the next looks may well say otherwise: there is something to prove, or what was live has only just gone."""
        just_gone = self.was_live and self.verdict in _GONE and not self._is_told(self.idle)
        return just_gone or self.verdict in (Verdict.STARTING, Verdict.RESET)

    @property
    def is_over(self) -> bool:
        """Whether the stream has ended since we came. An end that was there before is the last broadcast's."""
        return self.verdict is Verdict.ENDED and not self.found_ended

    def is_news(self, before: Watch) -> bool:
        """Tell whether this says something else than what was known before: another verdict, or that the stream is not seen."""
        unseen = (self.unseen_since is None) is not (before.unseen_since is None)
        return self.verdict is not before.verdict or unseen

    def seen_stalled(self, began: float, *, grace: float) -> bool:
        """Tell whether viewers see nothing new, where there should be something: it stalled, ended, or never came.

        What is not seen is no stall before `UNSEEN_SECONDS` are over, and what is left of the last broadcast (a list that
        stands still, or its end) is none before ``grace`` is.

        :param began: since when there should be something, in seconds since the epoch.
        :param grace: seconds that a stream may take to appear.
        """
        if self.unseen_since is not None:
            return self.at - max(began, self.unseen_since) > max(grace, UNSEEN_SECONDS)
        if self.was_live or self.is_over:
            return self.verdict in (Verdict.STALLED, Verdict.ENDED)
        gone_since = self.since if self.verdict is Verdict.ENDED else self.gone_since
        return gone_since is not None and self.at - max(began, gone_since) > grace

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
        """Return the whole watch as a dict of JSON primitives."""
        memory = asdict(self)
        memory["verdict"] = self.verdict.value
        memory["tracks"] = [{**track, "names": list(track["names"])} for track in memory["tracks"]]
        if not math.isfinite(self.at):
            del memory["at"]
        return memory

    @classmethod
    def from_json(cls, memory: Any) -> Watch:
        """Return the watch that `to_json` wrote; whatever cannot be read is not known, and nothing is raised.

        The memory may come from another version of this package, or from a store that people can write to.
        """
        known: dict[str, Any] = {}
        if isinstance(memory, dict):
            known = _read_fields(cls, memory)
        watch = cls(**known)
        # A mark without its time could be of any day, so it proves nothing.
        if not watch.tracks or watch.progress_at is None:
            watch = replace(watch, tail=None, tracks=(), progress_at=None, played_at=None, restarted=False)
        return watch

    @property
    def _seen_moving(self) -> bool:
        return self.was_live or any(track.moves or track.moved_at is not None for track in self.tracks)

    def _is_told(self, idle: int) -> bool:
        """Tell whether there were looks enough to tell that it is gone: without a pause since it last lived, or several.

        :param idle: looks since then.
        """
        if idle >= LOOKS_THAT_TELL:
            return True
        began, progress_at = self.looking_since, self.progress_at
        return began is not None and progress_at is not None and began <= progress_at

    @property
    def tolerance(self) -> float:
        """Seconds within which a live stream moves."""
        return MOVES_WITHIN * (self.target_duration or UNTOLD_TARGET_DURATION)

    @property
    def _stalled_at(self) -> float:
        return (self.at if self.progress_at is None else self.progress_at) + self.tolerance

    def _track_of(self, look: Look) -> Track | None:
        """Return the list that this look continues or has a copy of; the one with the higher mark, where there are several."""
        if len(self.tracks) == 1 and look.tail is not None:  # nearly always, and it goes on
            (track,) = self.tracks
            if track.variant == look.variant and look.tail >= track.tail:
                return track
        tolerance = self.tolerance
        held = [track for track in self.tracks if track.variant == look.variant and track.holds(look, tolerance)]
        # A tail above all marks goes on from the nearest.
        below = [track for track in held if look.tail is not None and track.tail <= look.tail]
        return max(below or held, key=lambda track: track.tail, default=None)

    def _is_reset(self, look: Look) -> bool:
        """Tell whether this look shows a list that began anew."""
        tolerance = self.tolerance
        known = any(
            # Of another variant than the last an old list says nothing of when an encoder began.
            track.variant == look.variant and (look.variant == self.variant or not track.is_old(look.at, tolerance))
            for track in self.tracks
        )
        return bool(look.segments) and known and self._track_of(look) is None

    def _is_new(self, look: Look) -> bool:
        """Tell whether something was added, or the list began anew, since the end."""
        if not look.segments or look.tail is None or look.endlist:
            return False
        track = self._track_of(look)
        added = track is not None and track.copied_at is None and look.tail > track.tail
        return not self.tracks or self._is_reset(look) or added

    def _is_timely(self, look: Look, track: Track) -> bool:
        """Tell whether a mark that has moved did so lately: between reads far apart it may have been right after the first."""
        tolerance = MOVES_WITHIN * (look.target_duration or self.target_duration or UNTOLD_TARGET_DURATION)
        return (look.at if look.asked is None else look.asked) - track.read_at <= tolerance

    def _is_continued_by(self, look: Look) -> bool:
        """Tell whether the look before was so lately that what it saw and what this one sees are one story."""
        last = max(self.at, self.tracks[0].read_at) if self.tracks else self.at
        return (look.at if look.asked is None else look.asked) - last <= self.tolerance

    def _read(self, look: Look) -> Watch:
        """Take in what the look says of its list; the verdict is not touched.

        Each look of each watch passes here: what changes is collected, for ``replace`` is slow.
        """
        changes: dict[str, Any] = {"at": look.at}
        if look.tail is None:
            return replace(self, **changes)
        changes["target_duration"] = look.target_duration or self.target_duration
        if not look.segments:
            return replace(self, **changes)
        track = self._track_of(look)
        if track is None:
            return replace(self, **changes)._begun(look, reset=self._is_reset(look))
        if look.tail < track.tail or (track.copied_at is not None and not self._is_timely(look, track)):
            return replace(self, **changes)._copied(look)

        counts = track.counts(look.at, self.tolerance)
        moves: dict[str, Any] = {"read_at": look.at if look.done is None else look.done}
        moved_at, count = track.moved_at, track.moves
        if look.tail > track.tail:
            timely = self._is_timely(look, track)
            moved_at, count = look.at if timely else None, min(track.moves + 1, MOVES_THAT_PROVE)
            if not timely and counts:
                changes["progress_at"] = look.at
            moves |= {
                "tail": look.tail,
                "first": look.tail - look.segments,
                "moves": count,
                "moved_at": moved_at,
                "names": look.names,
                "dated": look.dated,
            }
        if counts and look.playable and moved_at is not None and track.proved < look.tail:
            moves["proved"] = (look.tail - 1 if look.proved is None else look.proved) + 1
            changes |= {"progress_at": _later(self.progress_at, moved_at), "restarted": False}
            if count >= MOVES_THAT_PROVE:
                changes["played_at"] = _later(self.played_at, moved_at)
        if counts:
            # What it looked like an older copy of, if it did, is over: an encoder began anew.
            moves["copied_at"] = None
            changes["tail"] = look.tail
        tracks = self._with(replace(track, **moves), look.at, before=track)
        return replace(self, **changes, variant=look.variant, tracks=tracks)

    def _copied(self, look: Look) -> Watch:
        """Take in what looks like an older copy; the last one of each variant is kept."""
        copy = replace(_track(look), copied_at=look.at)
        return replace(self, variant=look.variant, tracks=self._with(copy, look.at))

    def _with(self, track: Track, at: float, *, before: Track | None = None) -> tuple[Track, ...]:
        """Return the lists that are known, with this one as the last that was read.

        Those of other variants are kept, however old: begun anew at an older copy, they would move up to the same mark again.
        Of its own variant one copy is kept, until the list itself is read, and lists as long as they may have copies.

        :param before: what was known of it.
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

    def _begun(self, look: Look, *, reset: bool) -> Watch:
        """Take in a list that has nothing to compare with: the first, another variant's, or one that began anew."""
        if look.tail is None:
            return self
        # Each variant may have a cache that is behind, and move once. So what others have shown does not count here, unless
        # this one goes on beyond all of them; and then but for the last move.
        others = [track for track in self.tracks if track.variant != look.variant]
        moved = any(track.moves for track in others) and all(track.is_behind(look, self.tolerance) for track in others)
        track = replace(_track(look), moves=MOVES_THAT_PROVE - 1 if moved and not reset else 0)
        now = replace(self, tail=look.tail, variant=look.variant, tracks=self._with(track, look.at))
        if reset:
            now = replace(now, played_at=None, restarted=True)
        return now if self.tracks and not (reset and not self.restarted) else replace(now, progress_at=look.at)

    def _judge(self, look: Look, *, reset: bool, told: bool) -> Verdict:
        """Return the verdict of this look, before grace and the memory of an end are considered.

        :param told: whether there were looks enough to tell that it stands still.
        """
        if look.tail is None:
            return Verdict.ABSENT
        if look.endlist:
            return Verdict.ENDED
        if not look.segments:
            return Verdict.EMPTY
        at = look.at if look.asked is None else look.asked
        if reset and at <= self._stalled_at:
            return Verdict.RESET
        if self.played_at is not None and at - self.played_at <= self.tolerance:
            return Verdict.LIVE
        return Verdict.STALLED if told and at > self._stalled_at else Verdict.STARTING

    def _gone(self, past: Watch, look: Look, verdict: Verdict) -> tuple[float | None, float | None]:
        """Return since when the stream has been gone, and since when not seen."""
        unseen_since = past.unseen_since
        if is_unseen(look.absence or look.refused):
            return None, look.at if unseen_since is None else unseen_since
        # A tail that stands still tells since when the stream is gone; not so where the look before was blind, or so long ago
        # that this may be an older copy.
        began = look.at
        if verdict is Verdict.STALLED and unseen_since is None:
            began = self._stalled_at if self.looking_since is None else max(self._stalled_at, self.looking_since)
        return min(began, look.at if past.gone_since is None else past.gone_since), unseen_since

    def _set_back(self, seconds: float) -> Watch:
        """Move every time back: the clock went back, by a correction or to another machine's."""

        def back(then: float | None) -> float | None:
            return None if then is None else then - seconds

        return replace(
            self,
            since=back(self.since),
            at=self.at - seconds,
            tracks=tuple(
                replace(
                    track,
                    read_at=track.read_at - seconds,
                    moved_at=back(track.moved_at),
                    copied_at=back(track.copied_at),
                )
                for track in self.tracks
            ),
            progress_at=back(self.progress_at),
            played_at=back(self.played_at),
            looking_since=back(self.looking_since),
            gone_since=back(self.gone_since),
            unseen_since=back(self.unseen_since),
        )


def _track(look: Look) -> Track:
    """Return what a first look at a list tells of it."""
    tail = look.tail or 0
    read_at = look.at if look.done is None else look.done
    return Track(look.variant, tail, tail - look.segments, read_at, proved=tail, names=look.names, dated=look.dated)


def _copies_for(tolerance: float) -> float:
    """Return for how many seconds caches may hand out older copies of a list whose mark moves within so many."""
    return max(COPIES_SECONDS, 2 * tolerance)


def _later(one: float | None, other: float) -> float:
    return other if one is None else max(one, other)


def _gone_too_long(at: float, gone_since: float | None, unseen_since: float | None, grace: float) -> bool:
    if gone_since is not None and at - gone_since > grace:
        return True
    return unseen_since is not None and at - unseen_since > max(grace, UNSEEN_SECONDS)


def _said(look: Look) -> str:
    """Return the reason of a look for people."""
    reason = look.absence or look.refused
    return f"not seen, {reason}" if is_unseen(reason) else reason


def _read_fields(kind: Any, memory: dict[Any, Any]) -> dict[str, Any]:
    """Return the fields of a dataclass that can be read."""
    known: dict[str, Any] = {}
    for one in fields(kind):
        value = memory.get(one.name)
        if value is not None and (found := _READERS[str(one.type)](value)) is not None:
            known[one.name] = found
    return known


def _tracks(value: Any) -> tuple[Track, ...] | None:
    """Return the tracks that can be read."""
    found = []
    for memory in value[: 2 * MOST_TRACKS] if isinstance(value, list) else ():
        known = {"variant": None, **_read_fields(Track, memory)} if isinstance(memory, dict) else {}
        if {"tail", "first", "read_at"} <= known.keys():
            found.append(Track(**known))
    return tuple(found)


def _number(value: Any) -> Any:
    sane = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LATEST
    return value if sane else None


def _whole(value: Any) -> Any:
    sane = isinstance(value, int) and not isinstance(value, bool) and -LARGEST_NUMBER <= value <= LARGEST_NUMBER
    return value if sane else None


def _wholes(value: Any) -> Any:
    sane = isinstance(value, list) and len(value) <= _FARTHEST_BACK and all(_whole(one) is not None for one in value)
    return tuple(value) if sane else None


def _text(value: Any) -> Any:
    return said(value, most=_LONGEST_REASON) if isinstance(value, str) else None


_READERS: dict[str, Callable[[Any], Any]] = {
    "Verdict": lambda value: Verdict(value) if value in list(Verdict) else None,
    "float": _number,
    "float | None": _number,
    "int": _whole,
    "int | None": _whole,
    "bool": lambda value: value if isinstance(value, bool) else None,
    "str": _text,
    "tuple[int, ...]": _wholes,
    "tuple[Track, ...]": _tracks,
}


def next_pause(watch: Watch, chance: float) -> float:
    """Return the seconds until the next look: a target duration while the stream plays on, half of it while it does not.

    A third of it where there is a list that may prove to be live, and not past the moment at which it would be stalled.

    :param chance: a random number from 0 to 1. It spreads the pause by a tenth to either side, so that many watches that
        began together do not poll together.
    """
    pause, shortest = watch.target_duration or UNTOLD_TARGET_DURATION, SHORTEST_PAUSE
    if watch.verdict in (Verdict.STARTING, Verdict.RESET):
        pause, shortest = pause / 3, SHORTEST_PAUSE / 2
    elif not watch.moving:
        pause /= 2
    pause = min(max(pause, shortest), LONGEST_PAUSE) * (0.9 + 0.2 * chance)
    left = watch.seconds_to_stall
    return max(left, SHORTEST_PAUSE / 2) if left is not None and left < pause else pause
