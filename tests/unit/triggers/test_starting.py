"""The way of a start in a trigger: its decisions, taken step by step without Airflow, network or waiting."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_timav.leases import Claim, Kind
from airflow_provider_timav.leases.start_protocol import Done, Earlier, Fail, IfAlreadyRunning, Refusal
from airflow_provider_timav.triggers._start_steps import (
    CheckBroadcast,
    Checked,
    Fenced,
    Left,
    NoteDecision,
    NotStarted,
    Outcome,
    Planned,
    PostRestart,
    PostStart,
    Prepare,
    ReadLease,
    ReadLeft,
    Refused,
    Sleep,
    Started,
    Step,
    WriteClaims,
)
from airflow_provider_timav.triggers._starting import (
    ARM_SECONDS,
    AWAY_SECONDS,
    CHECK_SECONDS,
    FAULT_SECONDS,
    POST_SECONDS,
    RECORD_SECONDS,
    REFRESH_SECONDS,
    STALE_SECONDS,
    Starting,
)
from airflow_provider_timav.videorelay.errors import (
    AlreadyRunning,
    AmbiguousOutcome,
    QuotaExceeded,
    RateLimited,
    RoomNotReady,
    TransportError,
)

BEGIN = datetime(2026, 11, 28, 20, 0, tzinfo=UTC)
ATTEMPT = "attempt"
ME, OTHER = f"{ATTEMPT}-me", f"{ATTEMPT}-other"
STARTED = {"outcome": "started", "hls_url": "https://live/1.m3u8"}
RECORDED = {"outcome": "started", "file_name": "evening"}
NOT_READY = RoomNotReady("the host is not in the room")
RUNNING = AlreadyRunning("a push runs already")
LOST = AmbiguousOutcome("no answer", executed="maybe")
UNREACHABLE = TransportError("not reached")
NO_CHANNEL = QuotaExceeded("no channel left")
ENDED = Refusal("the broadcast was ended")


def claim(state: Any, by: str | None = OTHER, *, age: float = 0.0, start_id: str = "theirs") -> Claim:
    return Claim("generation", state, start_id, BEGIN - timedelta(seconds=age), by=by)


class World:
    """Time that passes as steps are taken, notes that are read and written, and a service with answers.

    :param at: seconds from the beginning until the start; None sends it at once.
    :param answers: of the service, by kind, one after the other; the last one stays.
    :param left: what the notes hold of each start.
    :param refusals: seconds from which on the broadcast is ended.
    """

    def __init__(
        self,
        *,
        at: float | None = None,
        wait: float = 300.0,
        end: float | None = None,
        policy: IfAlreadyRunning = "recover",
        answers: dict[Kind, list[Any]] | None = None,
        left: dict[Kind, Left] | None = None,
        earlier: dict[Kind, Earlier] | None = None,
        kinds: tuple[Kind, ...] = ("push",),
        ended_from: float | None = None,
    ) -> None:
        self.passed = 0.0
        self.taken: list[tuple[float, Step]] = []
        self.notes: dict[Kind, Left] = left or {}
        self.answers: dict[Kind, list[Any]] = answers or {"push": [STARTED], "record": [RECORDED]}
        self.lease_state = "ours"
        self.unreadable = self.unwritable = False
        self.on_step: Callable[[Step], None] = lambda step: None
        self.ended_from = ended_from
        earlier = earlier or {}
        known = {"record": {"file_name": "evening"}}
        self.starting = Starting(
            [Planned(kind, earlier.get(kind, Earlier()), known.get(kind)) for kind in kinds],
            policy,
            at=None if at is None else BEGIN + timedelta(seconds=at),
            until=BEGIN + timedelta(seconds=max(at or 0.0, 0.0) + wait),
            end=None if end is None else BEGIN + timedelta(seconds=end),
            name=ME,
            attempt=ATTEMPT,
            now=lambda: BEGIN + timedelta(seconds=self.passed),
            monotonic=lambda: self.passed,
            spread=lambda low, high: high,
        )

    def run(self) -> Outcome:
        steps: Generator[Step, Any, Outcome] = self.starting.steps()
        answer: Any = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome
            self.taken.append((self.passed, step))
            assert len(self.taken) < 10_000, "it goes on for ever"
            self.on_step(step)
            answer = self._answer(step)

    def _answer(self, step: Step) -> Any:
        match step:
            case Sleep(seconds):
                assert seconds >= 0
                self.passed += seconds
            case ReadLeft(kind):
                return None if self.unreadable else self.notes.get(kind, Left())
            case WriteClaims(kinds):
                if self.unwritable:
                    return None
                now = BEGIN + timedelta(seconds=self.passed)
                for kind in kinds:
                    self.notes[kind] = Left(Claim("generation", "sent", self.starting.start_ids[kind], now, by=ME))
                return True
            case PostStart(kind) | PostRestart(kind):
                answers = self.answers[kind]
                return answers.pop(0) if len(answers) > 1 else answers[0]
            case CheckBroadcast():
                if self.unreadable:
                    return None
                return Checked(ENDED if self.ended_from is not None and self.passed >= self.ended_from else None)
            case ReadLease():
                return self.lease_state
        return None

    def when(self, kind: type[Step]) -> list[float]:
        return [passed for passed, step in self.taken if isinstance(step, kind)]

    def posts(self) -> list[Step]:
        return [step for _, step in self.taken if isinstance(step, PostStart | PostRestart)]

    def noted(self) -> list[tuple[Kind, Done | Fail]]:
        return [(step.kind, step.decision) for _, step in self.taken if isinstance(step, NoteDecision)]


class TestTime:
    def test_post_is_all_that_is_left_at_the_second(self) -> None:
        world = World(at=600)
        assert world.run() == Started({"push": Done(STARTED, "ours")})
        assert world.when(PostStart) == [600]
        assert world.when(WriteClaims) == world.when(Prepare) == [600 - ARM_SECONDS[1]]
        last = [passed for passed, step in world.taken if passed == 600]
        assert len(last) == 2  # the post, and the beginning of its note

    @pytest.mark.parametrize("at", [None, -30.0, 0.0])
    def test_without_a_time_ahead_it_starts_at_once(self, at: float | None) -> None:
        world = World(at=at)
        world.run()
        assert world.when(PostStart) == [0]

    def test_claims_are_written_before_the_first_post(self) -> None:
        world = World(kinds=("push", "record"))
        world.run()
        order = [type(step) for _, step in world.taken]
        assert order.index(WriteClaims) < order.index(PostStart)
        assert [step for _, step in world.taken if isinstance(step, WriteClaims)] == [WriteClaims(("push", "record"))]

    def test_recording_follows_the_push_and_waits_for_no_note(self) -> None:
        world = World(at=600, kinds=("push", "record"))
        assert world.run() == Started({"push": Done(STARTED, "ours"), "record": Done(RECORDED, "ours")})
        assert world.when(PostStart) == [600, 600]

    def test_broadcast_that_is_ended_before_is_not_started(self) -> None:
        world = World(at=600, ended_from=90)
        assert world.run() == Refused(ENDED)
        assert (world.posts(), world.noted()) == ([], [])
        assert world.passed <= 90 + CHECK_SECONDS

    def test_broadcast_that_is_ended_while_it_is_armed_is_not_started(self) -> None:
        world = World(at=600, ended_from=600 - ARM_SECONDS[1])
        assert world.run() == Refused(ENDED)
        assert world.posts() == []


class TestHost:
    def test_host_is_polled_for_every_two_seconds_at_first(self) -> None:
        world = World(answers={"push": [NOT_READY] * 5 + [STARTED]})
        assert world.run() == Started({"push": Done(STARTED, "ours")})
        assert world.when(PostStart) == [0, 2, 4, 6, 8, 10]

    def test_host_is_polled_for_every_ten_seconds_after_ten_minutes(self) -> None:
        world = World(wait=3600, answers={"push": [NOT_READY]})
        world.run()
        times = world.when(PostStart)
        pauses = [after - before for before, after in pairwise(times) if before > 600]
        assert pauses[:-1] == pytest.approx([10] * (len(pauses) - 1))

    def test_wait_counts_from_the_start_and_ends_with_a_last_poll(self) -> None:
        world = World(at=100, wait=30, answers={"push": [NOT_READY]})
        assert world.run() == NotStarted(NOT_READY, in_doubt=False)
        assert (world.when(PostStart)[0], world.when(PostStart)[-1]) == (100, 130)
        assert world.noted() == [("push", Fail(NOT_READY, "withdraw"))]

    def test_both_claims_are_taken_back_if_the_host_does_not_come(self) -> None:
        world = World(wait=0, kinds=("push", "record"), answers={"push": [NOT_READY]})
        assert world.run() == NotStarted(NOT_READY, in_doubt=False)
        assert world.noted() == [("push", Fail(NOT_READY, "withdraw")), ("record", Fail(NOT_READY, "withdraw"))]

    def test_name_is_written_anew_while_it_polls(self) -> None:
        world = World(wait=200, answers={"push": [NOT_READY]})
        world.run()
        times = world.when(WriteClaims)
        assert all(after - before < REFRESH_SECONDS + 5 for before, after in pairwise(times))
        assert len(times) >= 200 / (REFRESH_SECONDS + 5)

    def test_broadcast_that_is_ended_meanwhile_is_not_started(self) -> None:
        world = World(wait=600, answers={"push": [NOT_READY]}, ended_from=100, kinds=("push", "record"))
        assert world.run() == Refused(ENDED)
        assert world.passed <= 100 + CHECK_SECONDS + 10
        assert [kind for kind, _ in world.noted()] == ["push", "record"]

    def test_host_who_has_left_again_does_not_hold_up_the_push(self) -> None:
        """The recording's own task goes on waiting."""
        world = World(kinds=("push", "record"), answers={"push": [STARTED], "record": [NOT_READY]})
        assert world.run() == Started({"push": Done(STARTED, "ours")})
        assert world.passed == RECORD_SECONDS
        assert world.noted()[-1] == ("record", Fail(NOT_READY, "withdraw"))


class TestFaults:
    def test_service_that_is_not_reached_is_tried_again(self) -> None:
        world = World(answers={"push": [UNREACHABLE, UNREACHABLE, STARTED]})
        assert world.run() == Started({"push": Done(STARTED, "ours")})
        assert world.when(PostStart) == [0, 2, 4]

    def test_service_says_when_to_come_again(self) -> None:
        world = World(answers={"push": [RateLimited("slower", retry_after=7.0), STARTED]})
        world.run()
        assert world.when(PostStart) == [0, 7]

    def test_refusal_is_no_reason_to_try_again(self) -> None:
        world = World(answers={"push": [NO_CHANNEL]}, kinds=("push", "record"))
        assert world.run() == NotStarted(NO_CHANNEL, in_doubt=False)
        assert world.noted() == [("push", Fail(NO_CHANNEL, "withdraw")), ("record", Fail(NO_CHANNEL, "withdraw"))]

    def test_start_whose_answer_is_lost_is_settled_by_the_next(self) -> None:
        """It was carried out: its URLs are lost, so it is restarted; the name is looked for before."""
        world = World(answers={"push": [LOST, RUNNING, STARTED]})
        assert world.run() == Started({"push": Done({**STARTED, "outcome": "restarted"}, "ours")})
        assert world.posts() == [PostStart("push"), PostStart("push"), PostRestart("push")]
        order = [type(step) for _, step in world.taken]
        restart = order.index(PostRestart)
        assert order[restart - 3 : restart] == [ReadLeft, CheckBroadcast, WriteClaims]

    def test_recording_whose_answer_is_lost_goes_on_in_one_piece(self) -> None:
        world = World(kinds=("record",), answers={"record": [LOST, RUNNING]})
        assert world.run() == Started({"record": Done({"outcome": "adopted", "file_name": "evening"}, "sent")})
        assert PostRestart("record") not in world.posts()

    @pytest.mark.parametrize("wait", [0, 10])
    def test_fault_is_tried_again_for_a_minute_even_if_no_host_is_waited_for(self, wait: float) -> None:
        world = World(wait=wait, answers={"push": [UNREACHABLE]})
        assert world.run() == NotStarted(UNREACHABLE, in_doubt=False)
        assert world.passed == FAULT_SECONDS

    def test_recording_that_meets_a_fault_does_not_hold_up_the_push(self) -> None:
        world = World(kinds=("push", "record"), answers={"push": [STARTED], "record": [UNREACHABLE]})
        assert world.run() == Started({"push": Done(STARTED, "ours")})
        assert world.passed == RECORD_SECONDS

    def test_recording_that_may_be_one_of_others_is_left_to_them_after_the_wait(self) -> None:
        may_run = AlreadyRunning("a recording runs, or nobody is there", doubtful=True)
        world = World(kinds=("record",), wait=4, answers={"record": [may_run]})
        assert world.run() == Started({"record": Done({"outcome": "adopted"}, "foreign")})
        assert world.when(PostStart) == [0, 2, 4]

    def test_claim_stays_if_nothing_shows_what_became_of_the_start(self) -> None:
        world = World(wait=10, answers={"push": [LOST]}, kinds=("push", "record"))
        assert world.run() == NotStarted(LOST, in_doubt=True)
        assert world.noted() == [("push", Fail(LOST, "nothing")), ("record", Fail(LOST, "withdraw"))]
        assert world.starting.may_be_on_air == ["push"]
        assert world.starting.unsent == ["record"]

    def test_push_of_others_is_left_alone(self) -> None:
        world = World(answers={"push": [RUNNING]})
        assert world.run() == Started({"push": Done({"outcome": "adopted"}, "foreign")})
        assert world.starting.may_be_on_air == []

    def test_push_of_the_broadcast_that_holds_the_room_now_is_left_alone(self) -> None:
        world = World(answers={"push": [LOST, RUNNING]})
        world.lease_state = "theirs"
        assert world.run() == Started({"push": Done({"outcome": "adopted"}, "foreign")})


class TestEarlier:
    def test_stream_of_an_earlier_try_is_recovered(self) -> None:
        """After a clear: it is asked for, and its result is known."""
        earlier = Earlier("first", "ours", STARTED)
        world = World(
            answers={"push": [RUNNING]},
            left={"push": Left(claim("ours", None, start_id="first"), STARTED)},
            earlier={"push": earlier},
        )
        assert world.run() == Started({"push": Done({**STARTED, "outcome": "recovered"}, "ours", recovered=True)})
        assert world.posts() == [PostStart("push")]

    def test_claim_that_is_newer_than_what_the_task_knows_counts(self) -> None:
        world = World(
            answers={"push": [RUNNING, STARTED]},
            left={"push": Left(claim("sent", "before-x", age=STALE_SECONDS, start_id="second"))},
            earlier={"push": Earlier("first", "ours", STARTED)},
        )
        assert world.run() == Started({"push": Done({**STARTED, "outcome": "restarted"}, "ours")})

    @pytest.mark.parametrize("state", ["refused", "planned"])
    def test_claim_on_nothing_gives_no_right_to_what_runs(self, state: str) -> None:
        left: dict[Kind, Left] = {"push": Left(claim(state, None, start_id=ATTEMPT))}
        world = World(answers={"push": [RUNNING]}, left=left)
        assert world.run() == Started({"push": Done({"outcome": "adopted"}, "foreign")})


class TestInstances:
    """Airflow has moved the trigger, or runs it twice."""

    def test_start_that_is_noted_is_not_sent_again(self) -> None:
        world = World(left={"push": Left(claim("ours"), STARTED)})
        assert world.run() == Started({"push": Done(STARTED, "ours", recovered=True)})
        assert (world.posts(), world.noted(), world.when(WriteClaims)) == ([], [], [])
        assert world.starting.start_ids["push"] == "theirs"
        assert world.starting.may_be_on_air == ["push"]

    def test_only_what_is_missing_is_sent(self) -> None:
        world = World(left={"push": Left(claim("ours"), STARTED)}, kinds=("push", "record"))
        outcome = world.run()
        assert isinstance(outcome, Started)
        assert world.posts() == [PostStart("record")]
        assert world.when(WriteClaims) == [0]

    def test_post_that_may_still_be_answered_elsewhere_is_waited_for(self) -> None:
        world = World(left={"push": Left(claim("sent"))})

        def answered_after_eleven_seconds(step: Step) -> None:
            if world.passed >= 11 and isinstance(step, ReadLeft):
                world.notes["push"] = Left(claim("ours"), STARTED)

        world.on_step = answered_after_eleven_seconds
        assert world.run() == Started({"push": Done(STARTED, "ours", recovered=True)})
        assert world.posts() == []

    def test_post_of_which_nothing_is_noted_in_time_is_restarted(self) -> None:
        world = World(left={"push": Left(claim("sent", age=20))}, answers={"push": [RUNNING, STARTED]})
        assert world.starting.earlier("push") == Earlier()
        assert world.run() == Started({"push": Done({**STARTED, "outcome": "restarted"}, "ours")})
        assert world.when(PostStart)[0] == pytest.approx(STALE_SECONDS - 20, abs=2)

    def test_stop_that_came_while_this_instance_was_suspended_ends_it(self) -> None:
        """What it has on air by then is stopped again: it is no other instance that has taken over."""
        world = World()

        def suspended(step: Step) -> None:
            if isinstance(step, PostStart):
                world.passed += POST_SECONDS + AWAY_SECONDS + 1
                world.notes["push"] = Left(claim("stopped", ME))

        world.on_step = suspended
        assert isinstance(world.run(), Refused)
        assert world.starting.may_be_on_air == ["push"]

    def test_result_of_another_attempt_is_recovered(self) -> None:
        left: dict[Kind, Left] = {"push": Left(claim("ours", "before-x", start_id="second"), STARTED)}
        world = World(answers={"push": [RUNNING]}, left=left, earlier={"push": Earlier("first", "sent")})
        assert world.run() == Started({"push": Done({**STARTED, "outcome": "recovered"}, "ours", recovered=True)})

    def test_nothing_is_sent_after_the_end(self) -> None:
        world = World(wait=20, end=30, answers={"push": [UNREACHABLE]})
        assert world.run() == NotStarted(UNREACHABLE, in_doubt=False)
        assert world.passed == 30

    def test_start_that_was_never_carried_out_is_sent(self) -> None:
        world = World(left={"push": Left(claim("sent", age=STALE_SECONDS))})
        assert world.run() == Started({"push": Done(STARTED, "ours")})

    def test_broadcast_that_was_stopped_is_not_started(self) -> None:
        world = World(left={"push": Left(claim("stopped", None))})
        assert isinstance(world.run(), Refused)
        assert world.posts() == []

    def test_task_that_has_deferred_anew_has_another_trigger(self) -> None:
        world = World(left={"push": Left(claim("planned", None, start_id="another attempt"))})
        assert world.run() == Fenced()
        assert world.posts() == []

    def test_instance_that_was_suspended_before_the_start_looks_for_its_name(self) -> None:
        world = World(at=60)

        def suspended(step: Step) -> None:
            if isinstance(step, Sleep) and world.when(WriteClaims):
                world.passed += AWAY_SECONDS + 1
                world.notes["push"] = Left(claim("ours"), STARTED)

        world.on_step = suspended
        assert world.run() == Fenced()
        assert world.posts() == []

    def test_instance_that_was_suspended_and_kept_its_name_goes_on(self) -> None:
        world = World(at=60)

        def suspended(step: Step) -> None:
            if isinstance(step, Sleep) and world.when(WriteClaims):
                world.passed += AWAY_SECONDS + 1

        world.on_step = suspended
        assert isinstance(world.run(), Started)
        assert len(world.when(WriteClaims)) == 2

    def test_instance_that_was_suspended_while_it_posted_does_nothing_more(self) -> None:
        world = World()

        def suspended(step: Step) -> None:
            if isinstance(step, PostStart):
                world.passed += POST_SECONDS + AWAY_SECONDS + 1
                world.notes["push"] = Left(claim("ours"), STARTED)

        world.on_step = suspended
        assert world.run() == Fenced()
        assert world.noted() == []

    def test_name_that_was_replaced_while_it_polls_ends_it(self) -> None:
        world = World(answers={"push": [NOT_READY]}, wait=600)

        def replaced(step: Step) -> None:
            if world.passed > 10:
                world.notes["push"] = Left(claim("sent"))

        world.on_step = replaced
        assert world.run() == Fenced()
        assert world.passed <= 10 + REFRESH_SECONDS

    def test_restart_is_not_sent_after_the_name_was_replaced(self) -> None:
        world = World(answers={"push": [LOST, RUNNING]})

        def replaced(step: Step) -> None:
            if len(world.posts()) == 2:
                world.notes["push"] = Left(claim("sent"))

        world.on_step = replaced
        assert world.run() == Fenced()
        assert PostRestart("push") not in world.posts()

    def test_broadcast_whose_notes_are_gone_is_checked(self) -> None:
        """Its stops have come while this instance was suspended."""
        world = World(at=60, ended_from=64)

        def suspended(step: Step) -> None:
            if isinstance(step, Sleep) and world.when(WriteClaims):
                world.passed += AWAY_SECONDS + 1
                world.notes.clear()

        world.on_step = suspended
        assert world.run() == Refused(ENDED)
        assert world.posts() == []

    def test_post_of_which_nothing_is_known_is_in_doubt(self) -> None:
        """The trigger is cancelled while it is under way, or its answer is in hand and not judged yet."""
        world = World(kinds=("push", "record"))
        steps = world.starting.steps()
        answer: Any = None
        while not isinstance(step := steps.send(answer), PostStart):
            answer = world._answer(step)
        assert world.starting.may_be_on_air == world.starting.unanswered == ["push"]
        assert world.starting.unsent == ["record"]
        world.starting.settle("push")
        assert world.starting.may_be_on_air == []

    def test_result_that_is_noted_is_found_under_its_id_after_another_loss(self) -> None:
        """A clear on air, and the triggerer is lost before this instance has got its answer."""
        left: dict[Kind, Left] = {"push": Left(claim("ours", None, start_id="first"), STARTED)}
        world = World(answers={"push": [RUNNING]}, left=left, earlier={"push": Earlier("first", "ours", STARTED)})
        world.run()
        assert world.starting.start_ids["push"] == "first"
        assert (claimed := world.notes["push"].claim) is not None
        assert claimed.start_id == "first"

    def test_stream_that_is_started_anew_has_an_id_of_its_own(self) -> None:
        left: dict[Kind, Left] = {"push": Left(claim("ours", None, start_id="first"), STARTED)}
        world = World(answers={"push": [STARTED]}, left=left, earlier={"push": Earlier("first", "ours", STARTED)})
        world.run()
        assert world.starting.start_ids["push"] != "first"

    def test_host_who_is_not_there_settles_a_lost_answer(self) -> None:
        """What runs later was started by others."""
        world = World(answers={"push": [LOST, NOT_READY, RUNNING]})
        assert world.run() == Started({"push": Done({"outcome": "adopted"}, "foreign")})

    def test_notes_that_were_swept_name_no_other_instance(self) -> None:
        world = World(answers={"push": [NOT_READY] * 20 + [STARTED]}, wait=600)

        def swept(step: Step) -> None:
            if world.passed > 10 and isinstance(step, ReadLeft):
                world.notes.clear()

        world.on_step = swept
        assert isinstance(world.run(), Started)

    @pytest.mark.parametrize("trouble", ["unreadable", "unwritable"])
    def test_nothing_is_posted_before_the_claims_are_written(self, trouble: str) -> None:
        """Airflow is away for a minute, and again for good: the task itself goes on then."""
        world = World(at=60, wait=120)

        def away(step: Step) -> None:
            setattr(world, trouble, world.passed < 90)

        world.on_step = away
        assert isinstance(world.run(), Started)
        assert world.when(PostStart)[0] >= 90
        world = World(at=60, wait=120)
        setattr(world, trouble, True)
        outcome = world.run()
        assert isinstance(outcome, NotStarted)
        assert (world.posts(), world.passed) == ([], 180)

    @pytest.mark.parametrize("trouble", ["unreadable", "unwritable"])
    def test_nothing_is_posted_as_long_as_the_name_cannot_be_written_anew(self, trouble: str) -> None:
        world = World(answers={"push": [NOT_READY]}, wait=120)

        def away_from_the_first_post_on(step: Step) -> None:
            setattr(world, trouble, bool(world.posts()))

        world.on_step = away_from_the_first_post_on
        outcome = world.run()
        assert isinstance(outcome, NotStarted)
        assert isinstance(outcome.error, AmbiguousOutcome)
        assert world.when(PostStart)[-1] < REFRESH_SECONDS
        assert world.noted() == [("push", Fail(outcome.error, "withdraw"))]

    def test_restart_waits_until_the_name_can_be_read(self) -> None:
        world = World(answers={"push": [LOST, RUNNING, STARTED]}, wait=120)

        def away_for_a_minute(step: Step) -> None:
            world.unreadable = world.passed < 60

        world.on_step = away_for_a_minute
        assert isinstance(world.run(), Started)
        assert world.when(PostRestart)[0] >= 60

    def test_answer_is_noted_only_after_the_name_was_found(self) -> None:
        """Airflow is away, and this instance was suspended: it may have been replaced."""
        world = World()

        def suspended(step: Step) -> None:
            if isinstance(step, PostStart):
                world.passed += POST_SECONDS + AWAY_SECONDS + 1
            world.unreadable = world.passed < 60

        world.on_step = suspended
        assert isinstance(world.run(), Started)
        assert world.when(NoteDecision)[0] >= 60
