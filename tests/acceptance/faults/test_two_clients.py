"""One table, both columns: what the client of tasks and that of triggers make of the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.faults.catalogue import Case
from tests.acceptance.faults.stage import Observed, Stage
from tests.acceptance.faults.two_clients import ROWS

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def stages() -> Iterator[tuple[Stage, Stage]]:
    """The same place twice: one for each client."""
    with Stage() as of_tasks, Stage(asynchronous=True) as of_triggers:
        yield of_tasks, of_triggers


def column(observed: Observed) -> dict[str, Any]:
    """What a client has made of it: everything but the wording that names a port."""
    error = observed.error
    made: dict[str, Any] = {"seen": observed.seen, "executed": observed.executed}
    if error is None:
        return {**made, "outcome": observed.result.outcome}
    return {
        **made,
        "class": type(error).__name__,
        "field": error.field,
        "posts": error.posts,
        "says": error.executed,
        "retryable": error.retryable,
        "treated as": error.outcome_class,
        "layer": error.layer,
        "code": error.code,
        "message": error.message,
        "asks to wait": error.retry_after,
    }


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.name)
def test_both_clients_make_the_same_of_it(case: Case, stages: tuple[Stage, Stage]) -> None:
    (operation,) = case.operations
    columns = []
    limits: dict[str, Any] = {} if case.seconds is None else {"seconds": case.seconds}
    for stage in stages:
        observed = stage.play(operation, lambda scene: case.arrange(scene, 9), **limits)
        assert observed.hits == set()
        columns.append(column(observed))
    ours, theirs = columns
    assert ours == theirs
    expected = case.of(operation)
    assert (ours["seen"], ours["executed"]) == (expected.seen, expected.executed)
    assert ours.get("class") == (expected.error and expected.error.__name__)
    if expected.error is None:
        assert ours["outcome"] == "stopped"
        return
    assert (ours["field"], ours["posts"], ours["says"]) == (expected.field, expected.tries, expected.says)
    assert expected.words in ours["message"]


def test_every_row_has_its_own_name() -> None:
    names = [case.name for case in ROWS]
    assert len(names) == len(set(names))
