"""The judge of the crash matrix: it has an expectation for every case, and sees everything that could be wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.acceptance.crash.matrix import Observed, differences
from tests.acceptance.crash.points import ALL, EXPECTED, OPERATIONS, POINTS, SHORT, Case, Operation

URLS = [{"type": "hls", "rate": "original", "url": "http://127.0.0.1/live.m3u8"}]
FILE_IDS = ["5285890803757278096", "5285890803757278097"]


def as_expected(case: Case) -> Observed:
    """What is seen where all is well."""
    wanted, push = case.expected, case.kind == "push"
    start: dict[str, Any] = {"outcome": wanted.start}
    start |= {"live_urls": URLS, "channel_id": "7"} if push else {"file_name": "7001_ab"}
    stop: dict[str, Any] = {"outcome": wanted.stop}
    if not push:
        stop |= {"file_ids_status": wanted.handed_on, "file_ids": [] if wanted.handed_on == "lost" else FILE_IDS}
    return Observed(
        states={
            "start": "success" if wanted.start else "failed",
            "live": "success",
            "stop": "success" if wanted.stop else "failed",
        },
        tries=wanted.tries,
        posts=wanted.posts,
        live={"pushes": [[URLS[0]["url"]]] if push else [], "recordings": [] if push else ["7001_ab"]},
        left=[],
        start=start if wanted.start else None,
        stop=stop if wanted.stop else None,
        claim={None: None, "adopted": "sent"}.get(wanted.start, "ours"),
        astray=[],
        true_urls=URLS if push else [],
        true_channel_id="7" if push else None,
        true_file_ids=[] if push else FILE_IDS,
        deaths=case.kills,
        surviving_workers=[],
        heartbeats_missed=len(case.kills) if case.supervisor else 0,
        executed_after_death={"sent": True, "accepted": False}.get(case.deaths[1]),
        lost_said=wanted.handed_on == "lost",
    )


@pytest.mark.parametrize("case", ALL, ids=str)
def test_what_is_expected_is_accepted(case: Case) -> None:
    assert differences(case, as_expected(case)) == []


PUSH = Case("start_push", "accepted", supervisor=True)
RECORD = Case("stop_record", "before_store")
WRONG: dict[str, tuple[Case, dict[str, Any]]] = {
    "two pushes are live": (PUSH, {"live": {"pushes": [[URLS[0]["url"]]] * 2, "recordings": []}}),
    "nothing is live": (PUSH, {"live": {"pushes": [], "recordings": []}}),
    "another push is live": (PUSH, {"live": {"pushes": [["http://127.0.0.1/other.m3u8"]], "recordings": []}}),
    "a push is left": (PUSH, {"left": ["push of host"]}),
    "one post too many": (PUSH, {"posts": PUSH.expected.posts + " stop"}),
    "a start that is not stopped": (PUSH, {"posts": "start! start stop! start! stop"}),
    "a try too few": (PUSH, {"tries": 1}),
    "old URLs": (PUSH, {"true_urls": [URLS[0] | {"url": "http://127.0.0.1/new.m3u8"}]}),
    "an old channel": (PUSH, {"true_channel_id": "8"}),
    "an outcome that is not said": (PUSH, {"start": {"outcome": "started", "live_urls": URLS, "channel_id": "7"}}),
    "a claim that is open": (PUSH, {"claim": "sent"}),
    "an XCom that says otherwise": (PUSH, {"astray": ["start: hls_url"]}),
    "a failed start": (PUSH, {"start": None, "states": {"start": "failed", "live": "success", "stop": "success"}}),
    "nobody died": (PUSH, {"deaths": {}}),
    "died elsewhere": (PUSH, {"deaths": {1: "after_intent"}}),
    "the worker survived": (PUSH, {"surviving_workers": [1]}),
    "no heartbeat was missed": (PUSH, {"heartbeats_missed": 0}),
    "killed before the service had accepted": (PUSH, {"executed_after_death": True}),
    "a worker died, too": (RECORD, {"heartbeats_missed": 1}),
    "lost ids of which nobody is told": (RECORD, {"lost_said": False}),
    "made-up ids": (
        RECORD,
        {"stop": {"outcome": "already_stopped", "file_ids_status": "complete", "file_ids": ["1"]}},
    ),
    "another file name": (RECORD, {"start": {"outcome": "started", "file_name": "7001_cd"}}),
}


@pytest.mark.parametrize(("case", "changed"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_found(case: Case, changed: dict[str, Any]) -> None:
    assert differences(case, replace(as_expected(case), **changed)) != []


def test_every_operation_dies_at_every_point() -> None:
    assert set(EXPECTED) == set(OPERATIONS)
    assert {frozenset(points) for points in EXPECTED.values()} == {frozenset(POINTS)}
    assert len(set(ALL)) == 2 * len(OPERATIONS) * len(POINTS)


def test_the_short_form_has_each_operation_and_eight_points() -> None:
    assert {case.operation for case in SHORT} == set(OPERATIONS)
    assert len({case.point for case in SHORT}) == len(SHORT) == 8


@pytest.mark.parametrize("operation", OPERATIONS)
def test_whatever_was_started_is_stopped(operation: Operation) -> None:
    """The table itself promises nothing else."""
    for expected in EXPECTED[operation].values():
        assert expected.starts == expected.stops
