"""Judges a series of probes of a stream: one verdict, whichever part of the package makes the probes.

The state machine is pure: a `StreamState` holds the findings so far, `StreamState.after` returns the state after one more
probe. It has no clock, no socket and no Airflow, so the sensor in each of its modes and the triggers cannot come to different
verdicts about the same probes. The proof that a stream lives is read by `marks`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from airflow_provider_timav.stream.marks import Marks, earlier
from airflow_provider_timav.stream.memory import read_fields
from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.verdict import GONE, Verdict

__all__ = ["UNSEEN_SECONDS", "StreamState"]

UNSEEN_SECONDS: Final = 6 * 3600.0
"""How long a stream that was live may be *not seen* (refused to us, our network down) before it has ended: as long as a
broadcast takes at most by default. ``grace`` holds for a stream that is seen to be gone."""

PROBES_THAT_PROVE: Final = 3
"""Probes without a sign of life before a stream has stalled or ended if probing paused: one could be of an older copy."""

_MOMENT: Final = 0.01
"""Seconds."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """The findings about a stream after the probes so far. A new `StreamState` knows nothing.

    Every field is plain JSON, so that the memory of "was LIVE" can be kept where it outlives the process (`to_json`,
    `from_json`). All times are seconds since the epoch.

    :param verdict: the verdict now.
    :param since: when that verdict was reached.
    :param at: when the last probe was made.
    :param marks: the high-water marks of the stream's lists.
    :param idle: probes since the last sign of life, at most `PROBES_THAT_PROVE`.
    :param probing_since: since when no pause between two probes was longer than a live mark may stand still.
    :param was_live: whether the stream was ever LIVE.
    :param found_ended: whether its end was there before the first probe: the last broadcast's list.
    :param gone_since: since when it has been seen to be ABSENT, EMPTY or STALLED without a break.
    :param unseen_since: since when it has been so and, at least once, only for us.
    :param reason: why the last probe found no playlist, or nothing that plays; empty otherwise.
    :param public: whether the playlist's host ever was on a public address. It then has to stay on one: a name that leads
        into a network of our own later on is not trusted with it.
    """

    verdict: Verdict = Verdict.UNKNOWN
    since: float | None = None
    at: float = -math.inf
    marks: Marks = field(default_factory=Marks)
    idle: int = 0
    probing_since: float | None = None
    was_live: bool = False
    found_ended: bool = False
    gone_since: float | None = None
    unseen_since: float | None = None
    reason: str = ""
    public: bool = False

    def after(self, probe: Probe, *, grace: float) -> StreamState:
        """Return the state after one more probe.

        :param grace: seconds that a stream which was LIVE may be seen to be ABSENT, EMPTY or STALLED before it has ENDED.
        """
        past = self._set_back(self.at - probe.at) if probe.at < self.at else self
        marks = past.marks
        for other in probe.others:
            marks = marks.after(other)
        reset = marks.is_reset(probe)
        marks = marks.after(probe)
        alive = marks.progress_at != past.marks.progress_at
        idle = 0 if alive else min(past.idle + 1, PROBES_THAT_PROVE)
        probing_since = past.probing_since if past._is_continued_by(probe) else probe.at
        conclusive = _is_conclusive(idle, probing_since, marks)
        verdict = _verdict(probe, marks, reset=reset, conclusive=conclusive or past.verdict in GONE)
        gone_since, unseen_since = None, None
        if past.verdict is Verdict.ENDED and verdict is not Verdict.LIVE and not past.marks.is_new(probe):
            verdict = Verdict.ENDED
            gone_since, unseen_since = past.gone_since, past.unseen_since
        elif verdict in GONE:
            gone_since, unseen_since = past._gone(probe, marks, verdict, probing_since)
            if past.was_live and conclusive and _gone_too_long(probe.at, gone_since, unseen_since, grace):
                verdict = Verdict.ENDED
        if verdict is Verdict.STALLED:
            marks = marks.unproven()

        seen_moving = past.was_live or past.marks.moved
        return StreamState(
            verdict=verdict,
            since=probe.at if verdict is not past.verdict else past.since,
            at=probe.at,
            marks=marks,
            idle=idle,
            probing_since=probing_since,
            was_live=past.was_live or verdict is Verdict.LIVE,
            found_ended=verdict is Verdict.ENDED and not seen_moving and (past.found_ended or probe.endlist),
            gone_since=gone_since,
            unseen_since=unseen_since,
            reason="" if verdict is Verdict.LIVE else probe.reason,
            public=past.public or probe.public,
        )

    @property
    def tail(self) -> int | None:
        """The mark of the list that was last read."""
        return self.marks.tail

    @property
    def moving(self) -> bool:
        """Whether the last probe saw the stream live and move on."""
        return self.marks.played_at is not None and self.marks.played_at == self.at

    @property
    def seconds_to_stall(self) -> float | None:
        """Seconds from the last probe to the first moment at which a stream that does not move is stalled.

        None if it is stalled, or if only more probes can show it.
        """
        if self.verdict not in (Verdict.STARTING, Verdict.RESET, Verdict.LIVE) or self.marks.progress_at is None:
            return None
        left = self.marks.progress_at + self.marks.tolerance - self.at
        return max(left, 0) + _MOMENT if left >= 0 or self._is_conclusive else None

    @property
    def unsettled(self) -> bool:
        """Whether the next probes may well find otherwise: a list may prove to be live, or a live stream has only just gone."""
        just_gone = self.was_live and self.verdict in GONE and not self._is_conclusive
        return just_gone or self.verdict in (Verdict.STARTING, Verdict.RESET)

    @property
    def is_over(self) -> bool:
        """Whether the stream has ended since the first probe. An end that was there before is the last broadcast's."""
        return self.verdict is Verdict.ENDED and not self.found_ended

    def is_news(self, before: StreamState) -> bool:
        """Return whether this differs from the state before: another verdict, or that the stream is not seen."""
        unseen = (self.unseen_since is None) is not (before.unseen_since is None)
        return self.verdict is not before.verdict or unseen

    def seen_stalled(self, began: float, *, grace: float) -> bool:
        """Return whether viewers see nothing new although they should: the stream stalled, ended, or never came.

        A stream that is not seen counts as stalled only after `UNSEEN_SECONDS`, and the rest of the last broadcast (a list that
        stands still, or its end) only after ``grace``.

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
        """Return the result for users, as plain JSON: ``{verdict, since, tail, target_duration}``.

        ``since`` is ISO 8601 in UTC, ``target_duration`` is in seconds; values that are not known are None.
        """
        return {
            "verdict": self.verdict.value,
            "since": None if self.since is None else datetime.fromtimestamp(self.since, UTC).isoformat(),
            "tail": self.marks.tail,
            "target_duration": self.marks.target_duration,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the whole state as a dict of JSON primitives; the marks stand among the other fields."""
        memory = asdict(self)
        memory |= memory.pop("marks")
        memory["verdict"] = self.verdict.value
        memory["tracks"] = [{**track, "names": list(track["names"])} for track in memory["tracks"]]
        if not math.isfinite(self.at):
            del memory["at"]
        return memory

    @classmethod
    def from_json(cls, memory: Any) -> StreamState:
        """Return the state that `to_json` wrote; fields that cannot be read are not known, and nothing is raised."""
        if not isinstance(memory, dict):
            return cls()
        marks = Marks(**read_fields(Marks, memory))
        # A mark without its time could be of any day, so it proves nothing.
        if not marks.tracks or marks.progress_at is None:
            marks = marks.without_tracks()
        return cls(marks=marks, **read_fields(cls, memory))

    @property
    def _is_conclusive(self) -> bool:
        return _is_conclusive(self.idle, self.probing_since, self.marks)

    def _is_continued_by(self, probe: Probe) -> bool:
        """Return whether the probe before was so lately that both see one course of events."""
        tracks = self.marks.tracks
        last = max(self.at, tracks[0].read_at) if tracks else self.at
        return probe.asked_at - last <= self.marks.tolerance

    def _gone(
        self, probe: Probe, marks: Marks, verdict: Verdict, probing_since: float | None
    ) -> tuple[float | None, float | None]:
        """Return since when the stream has been gone, and since when not seen.

        :param marks: after this probe.
        """
        unseen_since = self.unseen_since
        if probe.unseen:
            return None, probe.at if unseen_since is None else unseen_since
        # A tail that stands still shows since when the stream has been gone; not so if the probe before was blind, or so long
        # ago that this may be an older copy.
        began = probe.at
        if verdict is Verdict.STALLED and unseen_since is None:
            stalled_at = _stalled_at(marks, probe)
            began = stalled_at if probing_since is None else max(stalled_at, probing_since)
        return min(began, probe.at if self.gone_since is None else self.gone_since), unseen_since

    def _set_back(self, seconds: float) -> StreamState:
        """Move every time back: the clock went back, by a correction or to another machine's."""
        return replace(
            self,
            since=earlier(self.since, seconds),
            at=self.at - seconds,
            marks=self.marks.set_back(seconds),
            probing_since=earlier(self.probing_since, seconds),
            gone_since=earlier(self.gone_since, seconds),
            unseen_since=earlier(self.unseen_since, seconds),
        )


def _verdict(probe: Probe, marks: Marks, *, reset: bool, conclusive: bool) -> Verdict:
    """Return the verdict of one probe, before grace and the memory of an end are considered.

    :param marks: after this probe.
    :param reset: whether its list began anew.
    :param conclusive: whether the probes suffice to find that it stands still.
    """
    if probe.tail is None:
        return Verdict.ABSENT
    if probe.endlist:
        return Verdict.ENDED
    if not probe.segments:
        return Verdict.EMPTY
    at, stalled_at = probe.asked_at, _stalled_at(marks, probe)
    if reset and at <= stalled_at:
        return Verdict.RESET
    if marks.played_at is not None and at - marks.played_at <= marks.tolerance:
        return Verdict.LIVE
    return Verdict.STALLED if conclusive and at > stalled_at else Verdict.STARTING


def _stalled_at(marks: Marks, probe: Probe) -> float:
    """Return the moment after which a stream that does not move is stalled."""
    return (probe.at if marks.progress_at is None else marks.progress_at) + marks.tolerance


def _is_conclusive(idle: int, probing_since: float | None, marks: Marks) -> bool:
    """Return whether the probes suffice to find the stream gone: without a pause since its last sign of life, or several.

    :param idle: probes since then.
    """
    if idle >= PROBES_THAT_PROVE:
        return True
    return probing_since is not None and marks.progress_at is not None and probing_since <= marks.progress_at


def _gone_too_long(at: float, gone_since: float | None, unseen_since: float | None, grace: float) -> bool:
    if gone_since is not None and at - gone_since > grace:
        return True
    return unseen_since is not None and at - unseen_since > max(grace, UNSEEN_SECONDS)
