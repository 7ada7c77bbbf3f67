"""The pause between two probes of a stream."""

from __future__ import annotations

from typing import Final

from airflow_provider_timav.stream.state import StreamState
from airflow_provider_timav.stream.verdict import Verdict

__all__ = ["next_pause"]

SHORTEST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 10.0
"""Seconds between two probes, whatever target duration the playlist declares; half of the shortest while the stream may prove
to be live."""


def next_pause(state: StreamState, chance: float) -> float:
    """Return the seconds until the next probe: a target duration while the stream plays on, half of it while it does not.

    It is a third of it while a list may prove to be live, and no pause passes the moment at which the stream would be stalled.

    :param chance: a random number from 0 to 1. It spreads the pause by a tenth to either side, so that many polls that
        began together do not stay together.
    """
    pause, shortest = state.marks.pace, SHORTEST_PAUSE
    if state.verdict in (Verdict.STARTING, Verdict.RESET):
        pause, shortest = pause / 3, SHORTEST_PAUSE / 2
    elif not state.moving:
        pause /= 2
    pause = min(max(pause, shortest), LONGEST_PAUSE) * (0.9 + 0.2 * chance)
    left = state.seconds_to_stall
    return max(left, SHORTEST_PAUSE / 2) if left is not None and left < pause else pause
