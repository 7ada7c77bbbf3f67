"""A scripted stream: the segments of an encoder, the answers at a moment, and when viewers get something new.

All times are seconds since the first probe. Nothing in here has a clock: a stream is a function of time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from tests.acceptance.verdicts.cdn import Reply, Request
from tests.acceptance.verdicts.segments import Holds, Segment

__all__ = ["Fresh", "Shown", "Stream", "freshness", "longest_pause", "made"]


class Shown(StrEnum):
    """The kind of list that the address shows to the watcher."""

    LISTED = "listed"
    """A list of segments that may grow."""
    OVER = "over"
    """A list that declares its end."""
    NOTHING = "nothing"
    """No list, or one without segments; viewers have none either."""
    HIDDEN = "hidden"
    """Nothing to us only: viewers go on watching."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """New media: when the first viewers can have it, and when all of them can."""

    first: float
    everywhere: float


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A script with all its dice thrown.

    :param target: the target duration, in seconds.
    :param grace: seconds that the watcher is given as grace.
    :param seconds: how long it is watched.
    :param answer: the CDN; None hangs up.
    :param fresh: when viewers get new media, in order.
    :param shows: the kind of list that the address shows at a moment.
    :param begins: when an encoder begins anew, after the first.
    :param latency: seconds that a request for this path takes.
    :param fails: why there is no connection to a host at a moment, if there is none.
    :param note: the choices of the dice, in a few words.
    """

    target: int
    grace: float
    seconds: float
    answer: Callable[[Request], Reply | None]
    fresh: Sequence[Fresh]
    shows: Callable[[float], Shown]
    latency: Callable[[str], float]
    begins: Sequence[float] = ()
    fails: Callable[[float, str], OSError | None] = lambda at, host: None
    host: str = "127.0.0.1"
    path: str = "/live.m3u8"
    note: str = ""


def longest_pause(target: float) -> float:
    """Return the longest pause between two probes that is promised: a target duration of 1 to 10 s, and a tenth."""
    return 1.1 * min(max(target, 1.0), 10.0)


def made(
    dice: Random,
    *,
    first: int,
    begin: float,
    end: float,
    target: int,
    jitter: float = 0.0,
    late: Callable[[], float] = lambda: 0.0,
    holds: Holds = Holds.MEDIA,
) -> list[Segment]:
    """Return the segments of one encoder: a segment for each target duration, each listed up to ``jitter`` of it later.

    :param late: seconds after which a segment that is listed is there.
    """
    segments = []
    for place in range(max(int((end - begin) / target), 0) + 1):
        listed = begin + (place + dice.uniform(0, jitter)) * target
        if listed > end:
            break
        segments.append(Segment(first + place, float(target), listed, listed + late(), holds))
    return segments


def freshness(segments: Iterable[Segment], lag: float = 0.0) -> list[Fresh]:
    """Return when these segments are new to viewers: those of them that hold media."""
    moments = (max(one.listed, one.there) for one in segments if one.holds is Holds.MEDIA)
    return [Fresh(moment, moment + lag) for moment in moments]
