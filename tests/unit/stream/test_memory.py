"""The memory of a stream's state, which outlives the process."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_timav.stream.state import StreamState
from airflow_provider_timav.stream.track import Track
from airflow_provider_timav.stream.verdict import Verdict
from tests.unit.stream.series import LIVE, NOON, absent, seen, state


def test_was_live_outlives_the_process() -> None:
    memory = json.loads(json.dumps(state(*LIVE).to_json()))
    assert state(absent(1000), absent(1001), absent(1061), begin=StreamState.from_json(memory)).verdict is Verdict.ENDED


def test_a_memory_of_another_version_is_read_as_far_as_it_goes() -> None:
    memory = {
        "verdict": "LIVE",
        "since": NOON,
        "at": NOON,
        "tail": 10,
        "read_at": NOON,
        "moved_at": NOON,
        "proven": True,
    }
    known = StreamState.from_json({**memory, "progress_at": NOON, "was_live": True, "variant": 1})
    assert (known.verdict, known.was_live, known.tail) == (Verdict.LIVE, True, None)
    assert state(seen(5, 11, variant=1), begin=known).verdict is Verdict.STARTING


def test_a_memory_of_yesterday_makes_nothing_live_at_the_first_probe() -> None:
    memory = state(*LIVE).to_json()
    assert state(seen(86_400, 40_000), begin=StreamState.from_json(memory)).verdict is Verdict.STARTING


@pytest.mark.parametrize(
    "memory",
    [
        None,
        "LIVE",
        [],
        {},
        {"verdict": "ON FIRE", "since": "noon", "tail": "10", "was_live": 1, "at": math.inf, "read_at": True},
        {"tail": 10, "moved_at": 5.0, "proven": True},
        {"since": 1e300, "target_duration": -4, "reason": 7, "colour": "red"},
        {"tail": 10, "progress_at": 5.0, "tracks": [7, None, {"tail": 1}, {"tail": "1", "first": 0, "read_at": 1}]},
        {"tail": 10, "tracks": [{"variant": None, "tail": 10, "first": 7, "read_at": 1.0}]},
    ],
)
def test_a_memory_that_cannot_be_read_is_no_memory(memory: Any) -> None:
    assert StreamState.from_json(memory) == StreamState()


def test_what_can_be_read_of_a_memory_is_kept() -> None:
    known = StreamState.from_json({"verdict": "LIVE", "was_live": True, "added_in": "a later version"})
    assert known == StreamState(verdict=Verdict.LIVE, was_live=True)


def test_memory_is_small() -> None:
    known = StreamState()
    for variant in range(9):
        for probe in LIVE:
            known = state(
                replace(probe, variant=variant, names=(2**32 - 1,) * 3, dated="2026-11-23T12:00:00.123+00:00"),
                begin=known,
            )
    assert len(known.marks.tracks) == 4
    assert all(isinstance(track, Track) for track in known.marks.tracks)
    assert len(json.dumps(known.to_json())) < 2048
