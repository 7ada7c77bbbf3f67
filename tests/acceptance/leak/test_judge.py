"""The judge of the leak matrix: it has an expectation for every case, and sees everything that could be wrong."""

from __future__ import annotations

import runpy
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_timav.emulator import JournalEntry
from tests.acceptance.leak.cases import CASES, PHASES, SHORT, TIMEOUT_SECONDS, Case, Expected
from tests.acceptance.leak.judge import TASKS, Observed, differences, fits, off_air_at, posts
from tests.acceptance.leak.kept import load, save
from tests.acceptance.leak.matrix import DAGS, Play
from tests.acceptance.leak.report import lines, markdown, shortened, table
from tests.acceptance.leak.scenarios import PHASE_ACTS, SCENARIOS

FILE_IDS = ["5285890803757278096", "5285890803757278097"]


def as_expected(wanted: Expected) -> Observed:
    """What is seen where all is well."""
    tasks = {} if wanted.run == "gone" else dict.fromkeys(TASKS, "success") | dict(wanted.others)
    some = wanted.ids[0]
    within = wanted.off.within if wanted.off else None
    by_end = wanted.off is not None and wanted.off.after == "end"
    return Observed(
        run=wanted.run,
        tasks=tasks,
        tries=wanted.tries,
        outcome=wanted.outcome,
        push=example(wanted.push),
        record=example(wanted.record),
        ids=some,
        handed_on=FILE_IDS if some in ("complete", "recovered") else [],
        true_ids=FILE_IDS if wanted.record else [],
        off_after_end=within if by_end else -30.0,
        off_after_act=60.0 if by_end else within,
        left=[],
        leases=[],
    )


def example(pattern: str) -> str:
    """The shortest posts that fit."""
    return " ".join(word.rstrip("+") for word in pattern.split() if not word.endswith("*"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_expected_is_accepted(case: Case) -> None:
    assert [differences(wanted, as_expected(wanted)) for wanted in case.expected] == [[]] * len(case.expected)


def test_task_that_airflow_has_taken_for_lost_is_accepted() -> None:
    wanted = Expected()
    assert differences(wanted, replace(as_expected(wanted), tries={"on_air": 2})) == []


END, ACT = Expected(), next(case for case in CASES if case.name == "stop_now").expected[0]
FAILED = next(case for case in CASES if case.name == "marked_failed").expected[0]
GONE = next(case for case in CASES if case.name == "dag_deleted").expected[0]
WRONG: dict[str, tuple[Expected, dict[str, Any]]] = {
    "a push is left on air": (END, {"left": ["push of host"], "off_after_end": None}),
    "off air too late": (END, {"off_after_end": 60.1}),
    "off air too late after what was done": (ACT, {"off_after_act": 15.1}),
    "off air before the end": (END, {"off_after_end": -1.1}),
    "never on air": (END, {"off_after_end": None}),
    "nobody did anything": (ACT, {"off_after_act": None}),
    "another run state": (END, {"run": "failed"}),
    "a run that is still there": (GONE, {"run": "running"}),
    "a task in another state": (END, {"tasks": dict.fromkeys(TASKS, "success") | {"after": "skipped"}}),
    "a consumer that ran": (FAILED, {"tasks": dict.fromkeys(TASKS, "success") | {"on_air": "failed"}}),
    "a task that is not there": (END, {"tasks": dict.fromkeys(TASKS[1:], "success")}),
    "a try too many": (END, {"tries": {"stop_push": 2}}),
    "a third try of on_air": (END, {"tries": {"on_air": 3}}),
    "another outcome": (END, {"outcome": "stopped"}),
    "one stop too many": (END, {"push": "start! stop! stop"}),
    "a stop that came too early": (END, {"push": "start! stop! start! stop!"}),
    "no recording": (END, {"record": ""}),
    "ids lost": (END, {"ids": "lost", "handed_on": []}),
    "other ids": (END, {"handed_on": FILE_IDS[:1]}),
    "ids that nobody may have": (replace(END, ids=("none",)), {"handed_on": FILE_IDS}),
    "a room that is still held": (END, {"leases": ["timav_lease_00"]}),
}


@pytest.mark.parametrize(("wanted", "changed"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_found(wanted: Expected, changed: dict[str, Any]) -> None:
    assert differences(wanted, replace(as_expected(wanted), **changed)) != []


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        ("start! stop!", ["start! stop!"], ["", "start!", "start! stop", "start! stop! stop"]),
        ("start! stop! stop*", ["start! stop!", "start! stop! stop stop"], ["start! stop", "start! stop! stop!"]),
        ("start! stop+ stop!", ["start! stop stop!", "start! stop stop stop!"], ["start! stop!"]),
        ("", [""], ["stop"]),
    ],
)
def test_posts_fit_a_pattern_word_by_word(pattern: str, good: Iterable[str], bad: Iterable[str]) -> None:
    assert all(fits(one, pattern) for one in good)
    assert not any(fits(one, pattern) for one in bad)


def entry(operation: str, second: int, *, executed: bool = True) -> JournalEntry:
    at = datetime.fromtimestamp(second, UTC)
    return JournalEntry(
        at=at, connection=1, client="", method="POST", path="/", operation=operation, executed=executed, room_id=1
    )


def test_the_air_is_clear_with_the_last_stop_that_changed_something() -> None:
    journal = [
        entry("start_push", 1),
        entry("start_record", 2),
        entry("stop_record", 8),
        entry("stop_push", 9),
        entry("stop_push", 12, executed=False),
    ]
    assert off_air_at(journal) == 9
    assert posts(journal, "push") == "start! stop! stop"
    assert posts(journal, "record") == "start! stop!"
    assert off_air_at(journal[:2]) is None


def test_every_phase_and_every_scenario_belongs_to_a_case() -> None:
    assert set(SCENARIOS) < {case.name for case in CASES}
    assert set(PHASE_ACTS) == set(PHASES) == {case.phase for case in CASES if case.phase}
    assert len({case.name for case in CASES}) == len(CASES)


def test_every_case_is_there_with_its_dag() -> None:
    ids = {dag.dag_id for dag in runpy.run_path(str(DAGS / "leak.py"))["ALL_DAGS"]}
    for case in CASES:
        assert {f"{wiring}_{case.dag}{'_1' * case.own_dag}" for wiring in ("leak", "naive")} <= ids
    assert runpy.run_path(str(DAGS / "leak.py"))["TIMEOUT"].total_seconds() == TIMEOUT_SECONDS


def test_the_short_form_breaks_no_part_that_its_cases_share() -> None:
    assert len(SHORT) >= 8
    assert all(case.phase is None for case in SHORT)


def test_the_tables_tell_rounds_apart_that_differ() -> None:
    case = CASES[0]
    good = as_expected(case.expected[0])
    bad = replace(good, left=["push of host"], off_after_end=None)
    plays = [Play(case, "leak", number, [seen], 1.0) for number, seen in enumerate([good, bad, good], 1)]
    rows = lines(plays, [case], "leak")
    assert [row[-1] for row in rows] == ["ok 2/3", "WRONG 1/3"]
    assert "LEFT ON AIR: push" in rows[1]
    assert "LEFT ON AIR" in table(rows)
    assert "LEFT ON AIR" in markdown(plays, [case], settings={"a": "1"}, rounds=3)


@pytest.mark.parametrize(
    ("posts", "shown"),
    [
        ("start! stop! stop", "start! stop! stop"),
        ("start! stop stop stop!", "start! stop stop stop!"),
        ("start! stop stop stop stop!", "start! stop+ stop!"),
        ("start! stop! stop stop stop", "start! stop! stop+"),
        ("", ""),
    ],
)
def test_many_repeats_are_shown_as_one(posts: str, shown: str) -> None:
    assert shortened(posts) == shown


def test_plays_can_be_kept_and_are_judged_anew(tmp_path: Path) -> None:
    case = CASES[0]
    good = as_expected(case.expected[0])
    plays = [
        Play(case, "leak", 1, [good], 1.0),
        Play(case, "leak", 2, [replace(good, left=["push of host"])], 1.0),
        Play(case, "naive", 1, [], 1.0, "stuck"),
    ]
    assert load(tmp_path / "plays.json") == []
    save(tmp_path / "plays.json", plays)
    kept = load(tmp_path / "plays.json")
    assert kept == plays
    assert [bool(play.wrong) for play in kept] == [False, True, False]


def test_what_got_stuck_is_wrong() -> None:
    assert Play(CASES[0], "leak", 1, [], 1.0, "SiteError: stuck").wrong
    assert not Play(CASES[0], "naive", 1, [], 1.0, "SiteError: stuck").wrong
