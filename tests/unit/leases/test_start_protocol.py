"""The start protocol: its decisions, without Airflow, network or waiting."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_timav.leases import Lease, LeaseKey, Owner
from airflow_provider_timav.leases.start_protocol import (
    MOST_RESTARTS,
    Done,
    Earlier,
    Fail,
    IfAlreadyRunning,
    Restart,
    StartProtocol,
    Wait,
    ended_meanwhile,
    parse_policy,
    refusal,
)
from airflow_provider_timav.reading import Unreadable
from airflow_provider_timav.videorelay.errors import (
    AlreadyRunning,
    AmbiguousOutcome,
    ConfigurationError,
    QuotaExceeded,
    RoomNotReady,
    TransportError,
)

STARTED = {"outcome": "started", "hls_url": "http://live/1.m3u8"}
NAME = {"file_name": "morning"}
NOTHING = Earlier()
UNKNOWN = Earlier("first", "sent")
OURS = Earlier("first", "ours", STARTED, "2026-11-24T12:00:00+00:00")
THEIRS = Earlier("first", "foreign", {"outcome": "adopted"})
RUNNING = AlreadyRunning("a push runs already", executed="no")
MAY_RUN = AlreadyRunning("a recording runs, or nobody is there", executed="no", doubtful=True)
AFTER_AMBIGUITY = AlreadyRunning("a push runs already", executed="no", after_ambiguity=True)
NOT_READY = RoomNotReady("the room is not open", executed="no")
LOST = AmbiguousOutcome("no answer", executed="maybe")
REFUSED = QuotaExceeded("no channel left", executed="no")
POLICIES: tuple[IfAlreadyRunning, ...] = ("recover", "restart", "fail")


def push(earlier: Earlier = NOTHING, policy: IfAlreadyRunning = "recover") -> StartProtocol:
    return StartProtocol(earlier, policy)


def record(earlier: Earlier = NOTHING, policy: IfAlreadyRunning = "recover") -> StartProtocol:
    return StartProtocol(earlier, policy, NAME)


class TestFirstAnswer:
    @pytest.mark.parametrize("policy", POLICIES)
    @pytest.mark.parametrize("earlier", [NOTHING, UNKNOWN, OURS, THEIRS], ids=["nothing", "unknown", "ours", "theirs"])
    def test_start_that_is_carried_out_is_ours(self, earlier: Earlier, policy: IfAlreadyRunning) -> None:
        protocol = push(earlier, policy)
        assert protocol.answered(STARTED) == Done(STARTED, "ours")
        assert protocol.may_be_running

    def test_refusal_withdraws_the_intent(self) -> None:
        protocol = push()
        assert protocol.answered(REFUSED) == Fail(REFUSED, "withdraw")
        assert not protocol.may_be_running

    def test_lost_answer_keeps_the_intent(self) -> None:
        protocol = push()
        assert protocol.answered(LOST) == Fail(LOST, "nothing")
        assert protocol.may_be_running

    def test_host_who_is_not_there_is_waited_for(self) -> None:
        assert push().answered(NOT_READY) == Wait(NOT_READY, withdraw=True, then=Fail(NOT_READY, "nothing"))

    def test_host_who_may_be_there_after_all_is_waited_for_with_the_intent(self) -> None:
        not_ready = RoomNotReady("the room is not open", executed="maybe")
        assert push().answered(not_ready) == Wait(not_ready, withdraw=False, then=Fail(not_ready, "nothing"))


class TestRunningAlready:
    @pytest.mark.parametrize("policy", POLICIES)
    @pytest.mark.parametrize("make", [push, record])
    def test_one_whose_result_is_known_is_recovered(self, make: Any, policy: IfAlreadyRunning) -> None:
        protocol = make(OURS, policy)
        assert protocol.answered(RUNNING) == Done({**STARTED, "outcome": "recovered"}, "ours", recovered=True)
        assert protocol.may_be_running

    @pytest.mark.parametrize("policy", POLICIES)
    @pytest.mark.parametrize(
        ("earlier", "answer"), [(UNKNOWN, RUNNING), (NOTHING, AFTER_AMBIGUITY), (OURS, AFTER_AMBIGUITY)]
    )
    def test_push_of_ours_whose_urls_are_lost_is_restarted(
        self, earlier: Earlier, answer: AlreadyRunning, policy: IfAlreadyRunning
    ) -> None:
        protocol = push(earlier, policy)
        assert protocol.answered(answer) == Restart()
        assert protocol.may_be_running
        assert protocol.answered(STARTED) == Done({**STARTED, "outcome": "restarted"}, "ours")

    @pytest.mark.parametrize("policy", POLICIES)
    @pytest.mark.parametrize(("earlier", "answer"), [(UNKNOWN, RUNNING), (NOTHING, AFTER_AMBIGUITY)])
    def test_recording_of_ours_goes_on_in_one_piece(
        self, earlier: Earlier, answer: AlreadyRunning, policy: IfAlreadyRunning
    ) -> None:
        protocol = record(earlier, policy)
        assert protocol.answered(answer) == Done({"outcome": "adopted", **NAME}, "sent")
        assert protocol.may_be_running

    @pytest.mark.parametrize("earlier", [NOTHING, THEIRS], ids=["nothing", "theirs"])
    def test_one_of_others_is_left_alone_restarted_or_refused(self, earlier: Earlier) -> None:
        assert push(earlier, "recover").answered(RUNNING) == Done({"outcome": "adopted"}, "foreign")
        assert push(earlier, "fail").answered(RUNNING) == Fail(RUNNING, "foreign")
        protocol = push(earlier, "restart")
        assert protocol.answered(RUNNING) == Restart()
        assert not protocol.may_be_running

    @pytest.mark.parametrize(
        ("policy", "then"),
        [("recover", Done({"outcome": "adopted"}, "foreign")), ("fail", Fail(MAY_RUN, "foreign"))],
    )
    def test_doubtful_one_is_waited_for_first(self, policy: IfAlreadyRunning, then: Done | Fail) -> None:
        assert record(NOTHING, policy).answered(MAY_RUN) == Wait(MAY_RUN, withdraw=True, then=then)

    @pytest.mark.parametrize("earlier", [NOTHING, UNKNOWN, OURS], ids=["nothing", "unknown", "ours"])
    @pytest.mark.parametrize("answer", [RUNNING, AFTER_AMBIGUITY], ids=["running", "after ambiguity"])
    @pytest.mark.parametrize("policy", ["recover", "restart"])
    def test_room_that_another_broadcast_holds_is_left_to_it(
        self, earlier: Earlier, answer: AlreadyRunning, policy: IfAlreadyRunning
    ) -> None:
        protocol = push(earlier, policy)
        assert protocol.answered(answer, theirs=True) == Done({"outcome": "adopted"}, "foreign")
        assert not protocol.may_be_running


class TestRestart:
    def restarting(self, earlier: Earlier = UNKNOWN, policy: IfAlreadyRunning = "recover") -> StartProtocol:
        protocol = push(earlier, policy)
        assert protocol.answered(RUNNING) == Restart()
        return protocol

    def test_stop_that_fails_keeps_what_may_be_ours(self) -> None:
        error = TransportError("unreachable", executed="no")
        assert self.restarting().answered(error) == Fail(error, "nothing")

    def test_stop_that_is_refused_leaves_one_of_others_to_them(self) -> None:
        error = TransportError("unreachable", executed="no")
        assert self.restarting(NOTHING, "restart").answered(error) == Fail(error, "withdraw")

    def test_one_that_others_start_in_between_is_left_alone(self) -> None:
        assert self.restarting().answered(RUNNING) == Done({"outcome": "adopted"}, "foreign")
        assert self.restarting(NOTHING, "restart").answered(RUNNING) == Done({"outcome": "adopted"}, "foreign")

    def test_restart_whose_own_answer_is_lost_is_made_again_and_then_left_to_the_next_try(self) -> None:
        protocol = self.restarting(NOTHING, "restart")
        for _ in range(MOST_RESTARTS - 1):
            assert protocol.answered(AFTER_AMBIGUITY) == Restart()
        decision = protocol.answered(AFTER_AMBIGUITY)
        assert isinstance(decision, Fail)
        assert isinstance(decision.error, AmbiguousOutcome)
        assert (decision.note, protocol.may_be_running) == ("nothing", True)

    def test_restarted_recording_whose_answer_is_lost_runs_and_is_ours(self) -> None:
        protocol = record(NOTHING, "restart")
        assert protocol.answered(RUNNING) == Restart()
        assert protocol.answered(AFTER_AMBIGUITY) == Done({"outcome": "restarted", **NAME}, "sent")

    def test_host_who_leaves_in_between_is_waited_for(self) -> None:
        assert self.restarting().answered(NOT_READY) == Wait(NOT_READY, withdraw=False, then=Fail(NOT_READY))


class TestEarlier:
    def test_notes_are_read_back(self) -> None:
        result = {**STARTED, "live_urls": [{"type": "hls", "rate": "original", "url": "http://live/1.m3u8"}]}
        noted = {"start_id": "s", "claim": "ours", "result": result, "at": "2026-11-24T12:00:00+00:00", "phase": "done"}
        earlier = Earlier.from_json(noted)
        assert earlier == Earlier("s", "ours", result, "2026-11-24T12:00:00+00:00")
        assert (earlier.own_result, earlier.may_be_ours) == (result, False)

    def test_result_without_addresses(self) -> None:
        assert Earlier.from_json({"claim": "ours", "result": NAME}).own_result == NAME

    def test_intent_without_a_result(self) -> None:
        earlier = Earlier.from_json({"start_id": "s", "claim": "sent"})
        assert (earlier.own_result, earlier.may_be_ours) == (None, True)

    @pytest.mark.parametrize(
        "noted",
        [
            {"claim": "stopped"},
            {"claim": "ours", "result": []},
            {"claim": "ours", "result": {"live_urls": {}}},
            {"claim": "ours", "at": "noon"},
            "ours",
        ],
        ids=str,
    )
    def test_anything_else_is_unreadable(self, noted: Any) -> None:
        with pytest.raises(Unreadable):
            Earlier.from_json(noted)


def test_policy_is_one_of_three() -> None:
    assert [parse_policy(policy) for policy in POLICIES] == list(POLICIES)
    with pytest.raises(ConfigurationError, match="if_already_running must be recover, restart or fail, not 'retry'"):
        parse_policy("retry")


NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LEASE = Lease(LeaseKey("timav_default", 10086, "host_1", "camera"), Owner("d", "r", "b"), "g", NOW + timedelta(hours=1))
OTHER = replace(LEASE, generation="another", owner=Owner("d", "other", "b"))


class TestBroadcast:
    @pytest.mark.parametrize(
        ("held", "over", "end", "message", "taken"),
        [
            (None, False, 60, "was released", False),
            (OTHER, False, 60, "is held by b of run other", True),
            (OTHER, True, -60, "is held by b of run other", True),
            (LEASE, True, 60, "was ended before this start", False),
            (LEASE, False, 0, "end has passed", False),
        ],
    )
    def test_start_of_one_that_is_over_is_refused(
        self, held: Lease | None, over: bool, end: float, message: str, taken: bool
    ) -> None:
        refused = refusal(LEASE, held, on_air_is_over=over, end=NOW + timedelta(seconds=end), now=NOW)
        assert refused is not None
        assert message in refused.message
        assert "nothing was sent" in refused.message
        assert refused.taken is taken

    def test_start_of_one_whose_end_is_ahead_is_sent(self) -> None:
        assert refusal(LEASE, LEASE, on_air_is_over=False, end=NOW + timedelta(seconds=1), now=NOW) is None

    @pytest.mark.parametrize(
        ("held", "over", "ended"),
        [(LEASE, False, False), (LEASE, True, True), (OTHER, False, True), (None, False, True)],
    )
    def test_one_that_was_ended_while_it_started_is_told(self, held: Lease | None, over: bool, ended: bool) -> None:
        assert ended_meanwhile(LEASE, held, on_air_is_over=over) is ended
