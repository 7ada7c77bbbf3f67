"""The pause between two probes."""

from __future__ import annotations

import pytest

from airflow_provider_timav.stream.polling import next_pause
from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.state import StreamState
from airflow_provider_timav.stream.verdict import Verdict
from tests.unit.stream.series import LIVE, NOON, absent, empty, seen, state


@pytest.mark.parametrize(
    ("known", "seconds"),
    [
        (state(*LIVE), 2),
        (state(*LIVE, seen(3, 12)), 1),
        (state(seen(0, 10)), 2 / 3),
        (state(Probe(at=0, tail=5, segments=1, target_duration=6)), 2),
        (state(absent(0)), 3),
        (state(Probe(at=0, tail=5, segments=1, target_duration=0.5)), 0.5),
        (state(empty(0, 5), Probe(at=NOON + 1, tail=5, target_duration=0.2)), 1),
        (state(Probe(at=0, tail=5, segments=1, target_duration=3600)), 10),
    ],
    ids=["moving", "unchanged", "short-start", "start", "nothing-known", "floor-at-the-start", "floor", "ceiling"],
)
def test_the_next_probe_is_after_a_target_duration_or_half_of_it(known: StreamState, seconds: float) -> None:
    assert next_pause(known, 0.5) == pytest.approx(seconds)
    assert next_pause(known, 0) == pytest.approx(seconds * 0.9)
    assert next_pause(known, 1) == pytest.approx(seconds * 1.1)


def test_probe_is_made_at_the_moment_at_which_a_stream_would_be_stalled() -> None:
    known = state(*LIVE, seen(5, 12), seen(7.4, 12))
    assert known.verdict is Verdict.LIVE
    assert next_pause(known, 0.5) == pytest.approx(0.61)
    assert state(seen(8.01, 12), begin=known).verdict is Verdict.STALLED
