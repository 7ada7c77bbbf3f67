"""The on-air clock: its decisions, taken step by step without Airflow, network or waiting."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_timav.triggers._clock import (
    LATE_SECONDS,
    LEASE_SECONDS,
    PUNCTUAL_SECONDS,
    LookUpConnection,
    Note,
    OnAirClock,
    Over,
    ReadControl,
    ReadLease,
    Sleep,
    Step,
)

BEGIN = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def at(seconds: float) -> dict[str, str]:
    """What a person writes to have the broadcast end then."""
    return {"end": (BEGIN + timedelta(seconds=seconds)).isoformat()}


class World:
    """Time that passes as steps are taken, and answers to them.

    :param controls: what ``control`` holds, poll by poll; the last one stays.
    :param lease_states: how the broadcast stands with its lease, likewise.
    :param takes: the seconds that each step takes, by its class.
    """

    def __init__(
        self,
        *,
        end: float,
        controls: list[Any] | None = None,
        lease_states: list[Any] | None = None,
        takes: dict[type[Step], float] | None = None,
    ) -> None:
        self.now = BEGIN
        self.steps: list[tuple[float, Step]] = []
        self.clock = OnAirClock(BEGIN + timedelta(seconds=end), 10086, now=lambda: self.now, spread=self._spread)
        self._controls = _then_the_last(controls or [None])
        self._lease_states = _then_the_last(lease_states or ["ours"])
        self._takes = takes or {}

    def _spread(self, low: float, high: float) -> float:
        assert low <= high
        return low

    @property
    def passed(self) -> float:
        return (self.now - BEGIN).total_seconds()

    def take(self, steps: Generator[Step, Any, Any]) -> Any:
        answer: Any = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as decision:
                return decision.value
            self.steps.append((self.passed, step))
            assert len(self.steps) < 10_000, "it goes on for ever"
            answer = self._answer(step)

    def _answer(self, step: Step) -> Any:
        seconds = step.seconds if isinstance(step, Sleep) else self._takes.get(type(step), 0.0)
        assert seconds >= 0
        self.now += timedelta(seconds=seconds)
        if isinstance(step, ReadControl):
            return next(self._controls)
        return next(self._lease_states) if isinstance(step, ReadLease) else None

    def over(self) -> Over:
        decided: Over = self.take(self.clock.steps())
        return decided

    def when(self, kind: type[Step]) -> list[float]:
        return [seconds for seconds, step in self.steps if isinstance(step, kind)]

    def notes(self) -> list[Note]:
        return [step for _, step in self.steps if isinstance(step, Note)]


def _then_the_last(answers: list[Any]) -> Iterator[Any]:
    yield from answers
    while True:
        yield answers[-1]


class TestEnd:
    def test_it_is_over_at_the_end_and_not_before(self) -> None:
        world = World(end=120)
        assert world.over() == Over("deadline")
        assert world.passed == 120

    def test_end_that_has_passed_is_over_at_once_after_one_poll(self) -> None:
        world = World(end=-5)
        assert world.over() == Over("deadline")
        assert (world.passed, world.when(ReadControl), world.when(ReadLease)) == (0, [0], [])

    def test_control_is_polled_every_ten_seconds_and_once_more_shortly_before_the_end(self) -> None:
        world = World(end=35)
        world.over()
        assert world.when(ReadControl) == [0, 10, 20, 30, 34]

    def test_last_poll_reads_the_lease(self) -> None:
        world = World(end=35, lease_states=["ours"])
        world.over()
        assert world.when(ReadLease) == [34]
        assert world.clock.lease_state == "ours"

    def test_lease_that_cannot_be_read_is_unknown(self) -> None:
        world = World(end=35, lease_states=[None])
        assert world.over() == Over("deadline")
        assert world.clock.lease_state == "unknown"

    def test_end_is_kept_though_each_answer_is_late(self) -> None:
        world = World(end=35, takes={ReadControl: 4.0, LookUpConnection: 7.0})
        assert world.over() == Over("deadline")
        assert 35 <= world.passed <= 39

    def test_first_poll_is_patient_and_later_ones_wait_no_longer_than_until_the_end(self) -> None:
        world = World(end=25)
        world.over()
        polls = [step.at_most for _, step in world.steps if isinstance(step, ReadControl)]
        assert polls == [math.inf, 15, 5, 1]

    def test_triggers_that_start_together_begin_apart(self) -> None:
        world = World(end=25)
        world.clock._spread = lambda low, high: high
        world.take(world.clock.steps(start_spread=3.0))
        assert world.when(ReadControl)[0] == 3.0

    def test_clock_that_is_set_back_does_not_lengthen_a_pause(self) -> None:
        world = World(end=35, takes={})
        steps = world.clock.steps()
        seconds = []
        answer: Any = None
        for _ in range(20):
            step = steps.send(answer)
            answer = None
            if isinstance(step, Sleep):
                seconds.append(step.seconds)
            if isinstance(step, LookUpConnection):
                world.now -= timedelta(hours=1)
        assert max(seconds) <= 13


class TestConnection:
    def test_it_is_looked_up_once_shortly_before_the_end(self) -> None:
        world = World(end=100)
        world.over()
        (when,) = world.when(LookUpConnection)
        assert 70 < when < 100

    def test_it_is_looked_up_again_before_an_end_that_was_moved(self) -> None:
        world = World(end=45, controls=[None, None, None, at(200)])
        world.over()
        first, second = world.when(LookUpConnection)
        assert first < 45
        assert 170 < second < 200


class TestPeople:
    def test_person_who_stops_it_ends_it_at_the_next_poll(self) -> None:
        world = World(end=3600, controls=[None, {"stop": True}])
        over = world.over()
        assert (over.status, world.passed) == ("stopped", 10)
        assert "10086" in over.why

    @pytest.mark.parametrize("moved", [200, 15], ids=["later", "sooner"])
    def test_end_that_a_person_has_moved_counts_and_is_noted(self, moved: float) -> None:
        world = World(end=60, controls=[None, at(moved)])
        assert world.over() == Over("deadline")
        assert world.passed == moved
        (note,) = world.notes()
        assert (note.warning, world.clock.moved_end, world.clock.error) == (
            False,
            BEGIN + timedelta(seconds=moved),
            None,
        )

    def test_end_can_be_moved_in_the_last_poll(self) -> None:
        world = World(end=35, controls=[None, None, None, None, at(80)])
        world.over()
        assert world.passed == 80

    def test_end_can_be_moved_twice(self) -> None:
        world = World(end=12, controls=[None, None, at(30), at(50)])
        world.over()
        assert world.passed == 50
        assert [note.message[-30:] for note in world.notes()] == [
            f"at {at(30)['end']} now."[-30:],
            f"at {at(50)['end']} now."[-30:],
        ]

    def test_nonsense_is_noted_once_and_changes_nothing(self) -> None:
        world = World(end=60, controls=[None, {"end": "soon"}])
        assert world.over() == Over("deadline")
        assert world.passed == 60
        (note,) = world.notes()
        assert note.warning
        assert "Nothing is changed" in (world.clock.error or "")

    def test_each_nonsense_is_noted(self) -> None:
        world = World(end=60, controls=[{"end": "soon"}, {"end": "later"}, {"end": "later"}])
        world.over()
        assert len(world.notes()) == 2

    def test_right_word_after_a_wrong_one_takes_the_error_back(self) -> None:
        world = World(end=60, controls=[{"end": "soon"}, at(90)])
        world.over()
        assert (world.passed, world.clock.error) == (90, None)

    def test_control_that_holds_the_end_in_force_is_no_fault_once_it_has_passed(self) -> None:
        world = World(end=20, controls=[at(20)], takes={ReadControl: 12.0})
        assert world.over() == Over("deadline")
        assert world.notes() == []

    def test_end_that_an_earlier_trigger_has_noted_counts(self) -> None:
        world = World(end=20)
        world.clock.moved_end = BEGIN + timedelta(seconds=50)
        world.over()
        assert world.passed == 50


class TestOthers:
    @pytest.mark.parametrize("state", ["theirs", "over"])
    def test_broadcast_that_others_have_ended_is_over_within_a_minute(self, state: str) -> None:
        world = World(end=3600, lease_states=[state])
        over = world.over()
        assert over.status == "stopped"
        assert LEASE_SECONDS <= world.passed <= LEASE_SECONDS + 13
        assert world.clock.lease_state == state

    @pytest.mark.parametrize("state", ["ours", "unknown", None])
    def test_it_goes_on_otherwise(self, state: str | None) -> None:
        world = World(end=200, lease_states=[state])
        assert world.over() == Over("deadline")
        assert world.passed == 200

    def test_clock_that_is_set_back_has_the_lease_read(self) -> None:
        world = World(end=100)
        steps = world.clock.steps()
        taken: list[Step] = [next(steps), steps.send(None)]
        world.now -= timedelta(hours=1)
        taken.append(steps.send(None))
        assert isinstance(taken[-1], ReadLease)


class TestLastCheck:
    """What is read between the end and the stops."""

    def checked(self, status: str, late: float, known: Any, answer: Any = None) -> tuple[bool, list[Step], OnAirClock]:
        world = World(end=0, lease_states=[answer])
        world.now += timedelta(seconds=late)
        world.clock.lease_state = known
        return world.take(world.clock.last_check(status)), [step for _, step in world.steps], world.clock

    @pytest.mark.parametrize("known", ["ours", "unknown"])
    def test_punctual_end_whose_lease_was_read_needs_nothing_more(self, known: str) -> None:
        may_stop, steps, _ = self.checked("deadline", 0.1, known)
        assert (may_stop, steps) == (True, [])

    @pytest.mark.parametrize("known", ["theirs", "over"])
    @pytest.mark.parametrize(("status", "late"), [("deadline", 0.1), ("deadline", 60), ("stopped", 0)])
    def test_broadcast_that_others_have_ended_is_not_stopped(self, known: str, status: str, late: float) -> None:
        may_stop, steps, _ = self.checked(status, late, known, "ours")
        assert (may_stop, steps) == (False, [])

    def test_punctual_end_waits_two_seconds_for_a_lease_that_was_not_read(self) -> None:
        may_stop, steps, clock = self.checked("deadline", 0.1, None)
        assert (may_stop, steps, clock.lease_state) == (True, [ReadLease(PUNCTUAL_SECONDS)], "unknown")

    @pytest.mark.parametrize(("status", "late"), [("deadline", LATE_SECONDS + 1), ("stopped", 0), ("stream_ended", 0)])
    @pytest.mark.parametrize("known", [None, "ours", "unknown"])
    def test_late_or_early_end_reads_the_lease_patiently(self, status: str, late: float, known: Any) -> None:
        may_stop, steps, _ = self.checked(status, late, known, "ours")
        assert (may_stop, steps) == (True, [ReadLease(math.inf)])

    @pytest.mark.parametrize(
        ("answer", "may_stop"), [("ours", True), ("unknown", True), (None, True), ("theirs", False), ("over", False)]
    )
    def test_room_of_others_is_left_alone_and_what_cannot_be_told_counts_as_ours(
        self, answer: str | None, may_stop: bool
    ) -> None:
        assert self.checked("stopped", 0, None, answer)[0] is may_stop
