"""Series of probes of one stream; time is a number here."""

from __future__ import annotations

from typing import Any

from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.state import StreamState
from airflow_provider_timav.stream.verdict import Verdict

GRACE = 60.0
NOON = 1_795_435_200.0


def seen(at: float, tail: int, *, playable: bool | None = True, **facts: Any) -> Probe:
    return Probe(at=NOON + at, tail=tail, segments=3, target_duration=2, playable=playable, **facts)


def absent(at: float) -> Probe:
    return Probe(at=NOON + at, absence="HTTP status 404")


def empty(at: float, tail: int = 0) -> Probe:
    return Probe(at=NOON + at, tail=tail, target_duration=2)


def state(*probes: Probe, begin: StreamState | None = None) -> StreamState:
    known = begin or StreamState()
    for probe in probes:
        known = known.after(probe, grace=GRACE)
    return known


def verdicts(*probes: Probe) -> list[Verdict]:
    known = StreamState()
    return [(known := known.after(probe, grace=GRACE)).verdict for probe in probes]


LIVE = (seen(0, 10), seen(1, 11), seen(2, 12))
