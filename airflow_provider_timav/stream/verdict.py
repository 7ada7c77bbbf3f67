"""The verdicts on a stream, as its viewers see it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["GONE", "Verdict"]


class Verdict(StrEnum):
    """The verdict of a series of probes on a stream."""

    UNKNOWN = "UNKNOWN"
    """No probe has been made, or there is no address to probe."""
    ABSENT = "ABSENT"
    """No playlist: 4xx, 5xx, no answer in time, or a body that is none. No RTMP stream: no connection, refused, or silence.
    The reason says if that holds for us only."""
    EMPTY = "EMPTY"
    """A playlist without segments."""
    STARTING = "STARTING"
    """Segments, but the mark has not yet moved twice, or no segment that was added has answered."""
    LIVE = "LIVE"
    """Probes saw the mark move, at most three target durations ago, and a segment that was added has bytes."""
    STALLED = "STALLED"
    """No such move for more than three target durations."""
    RESET = "RESET"
    """The tail went back, and not to an older copy: the encoder restarted."""
    ENDED = "ENDED"
    """The playlist says so, or the stream was LIVE and has been gone for longer than the grace period."""


GONE: Final = (Verdict.ABSENT, Verdict.EMPTY, Verdict.STALLED)
"""Verdicts after which a stream that was LIVE ends, once they have held for longer than the grace period."""
