"""The measurement of many watchers: its streams move, its table shows missed goals, and its short form runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_timav.stream.playlist import parse
from airflow_provider_timav.stream.segments import MediaPlaylist
from harness.project import PROJECT
from tests.acceptance.bench.report import exit_status
from tests.acceptance.watchers.__main__ import measured, rows
from tests.acceptance.watchers.server import SEGMENTS, TARGET_SECONDS, answer


def told(**facts: Any) -> dict[str, Any]:
    return {
        "probes": 100,
        "live": 100,
        "cpu": 0.05,
        "late_p99": 0.01,
        "alone": 0,
        "resident": 10 * 1024 * 1000,
        **facts,
    }


def listed(path: str, now: float) -> MediaPlaylist:
    found = parse(answer(path, now).partition(b"\r\n\r\n")[2])
    assert isinstance(found, MediaPlaylist)
    return found


def test_each_stream_gets_a_segment_in_each_target_duration_at_a_moment_of_its_own() -> None:
    now = 1_795_435_200.0
    for path in ("/0.m3u8", "/1.m3u8", "/999.m3u8"):
        assert listed(path, now).segments == SEGMENTS
        assert listed(path, now + TARGET_SECONDS).tail == listed(path, now).tail + 1
    half = now + TARGET_SECONDS / 2
    assert listed("/0.m3u8", half).tail - listed("/0.m3u8", now).tail == 0
    assert listed("/1.m3u8", half).tail - listed("/1.m3u8", now).tail == 1


def test_the_ratio_is_the_median_over_the_rounds_of_both_sides() -> None:
    here = [told(cpu=0.05), told(cpu=0.10), told(cpu=0.30)]
    there = [told(cpu=0.05), told(cpu=0.10), told(cpu=0.05)]
    found = rows(here, there, many=1000, bare=False)
    assert found[0].measured.startswith("1x ")
    assert exit_status(found, strict=True) == 0


@pytest.mark.parametrize(
    "worse",
    [{"cpu": 0.06}, {"resident": 30 * 1024 * 1000}, {"late_p99": 0.2}, {"live": 98}],
    ids=["cpu", "memory", "late", "not-live"],
)
def test_what_is_worse_is_missed(worse: dict[str, Any]) -> None:
    assert exit_status(rows([told()], [told()], many=1000, bare=False), strict=True) == 0
    assert exit_status(rows([told(**worse)], [told()], many=1000, bare=False), strict=True) == 1


@pytest.mark.system
@pytest.mark.parametrize("against", [None, PROJECT], ids=["bare-pollers", "a-checkout"])
def test_both_sides_probe_at_the_same_time(against: Path | None) -> None:
    for side in measured(20, 1, against, settled=10, seconds=4):
        assert side[0]["probes"] >= 20
        # Some probes of a process that has just begun, on a busy machine, come before the second segment.
        assert side[0]["live"] >= 0.5 * side[0]["probes"]
        assert 0 < side[0]["cpu"] < 4
