"""The judge of the soak: what must be is accepted, and whatever is not as it must be is found."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.rest import AirflowClient, Run
from tests.acceptance.load.figures import late_figures, percentile
from tests.acceptance.load.reaping import OVER, WANTED, stock
from tests.acceptance.load.soak import Aired, Soaked

END = datetime(2026, 11, 24, 20, 0, tzinfo=UTC)
UNWANTED = {41001: END}


def posts(**moved: float) -> list[tuple[str, datetime, bool]]:
    """Those of a broadcast; each stop so many seconds after the end."""
    stops = {"stop_push": 0.1, "stop_record": 0.2} | moved
    starts = [(name, END - timedelta(seconds=60), True) for name in ("start_push", "start_record")]
    return starts + [(name, END + timedelta(seconds=late), True) for name, late in stops.items()]


def aired(**changed: Any) -> Aired:
    run = Run("soak", "manual__1", AirflowClient("http://127.0.0.1:9", {}))
    result = {"outcome": "deadline", "file_ids": ["1"], "file_name": "show"}
    one = Aired(40001, 60, run, 0, end=END, state="success", posts=posts(), result=result, file_ids=["1"])
    return replace(one, **changed)


def soaked(*broadcasts: Aired, **changed: Any) -> Soaked:
    gone = {room: since + timedelta(seconds=70) for room, since in UNWANTED.items()}
    whole = Soaked(list(broadcasts), 1, ["success"], list(UNWANTED), dict(UNWANTED), gone)
    return replace(whole, **changed)


def test_what_must_be_is_accepted() -> None:
    late = ("stop_push", END + timedelta(seconds=1), False)  # of the task that comes after the trigger
    assert soaked(aired(posts=[*posts(), late])).wrong() == []


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"posts": posts(stop_push=-1)}, "stopped 1.0 s before its end"),
        ({"posts": posts(stop_record=-0.2)}, "stopped 0.2 s before its end"),
        ({"posts": posts(stop_push=61)}, "stopped 61.0 s after its end"),
        ({"posts": posts()[:-1]}, "executed: "),
        ({"posts": [*posts(), posts()[0]]}, "executed: "),
        ({"state": "failed"}, "the run: failed"),
        ({"result": {"outcome": "stopped", "file_ids": ["1"]}}, "outcome: stopped"),
        ({"file_ids": ["1", "2"]}, "file ids: "),
    ],
)
def test_a_broadcast_that_went_wrong_is_found(changed: dict[str, Any], found: str) -> None:
    (wrong,) = soaked(aired(**changed)).wrong()
    assert found in wrong


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"reaped": [*UNWANTED, 40001]}, "the reaper has ended"),
        ({"reaped": []}, "the reaper has ended"),
        ({"unwanted_gone": {}}, "which nobody wanted"),
        ({"unwanted_gone": {41001: END + timedelta(seconds=121)}}, "which nobody wanted"),
        ({"reaper_states": ["success", "failed"]}, "the reaper's runs"),
        ({"reaper_states": []}, "the reaper's runs"),
        ({"left": ["push of host"]}, "left on air"),
        ({"held": [40001]}, "still held"),
    ],
)
def test_a_reaper_that_went_wrong_is_found(changed: dict[str, Any], found: str) -> None:
    (wrong,) = soaked(aired(), **changed).wrong()
    assert found in wrong


def test_the_leases_are_as_many_as_were_asked_for() -> None:
    over, wanted = stock(END)
    assert (len(over), len(wanted)) == (OVER, WANTED)
    assert len({show.room_id for show in [*over, *wanted]}) == 140


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (99, 99), (100, 100), (1, 1), (0, 1)])
def test_a_percentile_is_a_value_that_was_measured(percent: float, value: int) -> None:
    assert percentile(range(1, 101), percent) == value
    assert percentile([value], percent) == value


def test_nothing_measured_is_said() -> None:
    assert late_figures([]) == "nothing to measure"
