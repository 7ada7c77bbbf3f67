"""The benchmark suite: that its short form runs, that the exact goals are met, and what its exit status says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.project import PROJECT
from tests.acceptance.bench.goals import GROUPS
from tests.acceptance.bench.measure import Effort, interleave
from tests.acceptance.bench.report import Row, exit_status, table


def row(*, met: bool | None, exact: bool) -> Row:
    return Row(goal_id="P0", what="a goal", measured="1", goal="2", met=met, exact=exact)


@pytest.mark.parametrize(
    ("missed", "strict", "status"),
    [
        (row(met=False, exact=True), False, 1),
        (row(met=False, exact=True), True, 1),
        (row(met=False, exact=False), False, 0),
        (row(met=False, exact=False), True, 1),
        (row(met=True, exact=True), True, 0),
        (row(met=None, exact=False), True, 0),
    ],
)
def test_timings_count_in_the_exit_status_only_when_strict(missed: Row, strict: bool, status: int) -> None:
    assert exit_status([row(met=True, exact=False), missed], strict=strict) == status
    assert ("NO" in table([missed])) is (missed.met is False)


def test_sides_take_turns_and_none_is_always_first() -> None:
    turns: list[str] = []
    sides = {name: lambda name=name: turns.append(name) for name in "abc"}
    interleave(sides, Effort(rounds=2, turns=3), calls=2, warm_up=1)
    assert [turns[place : place + 3] for place in range(3, 12, 3)] == [list("abc"), list("bca"), list("cab")]
    assert {name: turns.count(name) for name in "abc"} == dict.fromkeys("abc", 7)


@pytest.mark.system
def test_short_form_shows_every_goal_and_meets_the_exact_ones() -> None:
    command = [sys.executable, "-m", "tests.acceptance.bench", "--quick"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("P")}
    assert shown == {goal_id for goal_ids in GROUPS.values() for goal_id in goal_ids}
