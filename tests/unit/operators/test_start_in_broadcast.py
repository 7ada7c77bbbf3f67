"""The starts of a broadcast: their claims stand in the ledger, and what they start never outlives the broadcast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
)

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.leases import KINDS, Claim, Kind
from airflow_provider_timav.videorelay.errors import (
    AlreadyRunning,
    AmbiguousOutcome,
    RoomNotReady,
    TimAVError,
)
from harness.supervisor import Run, Supervisor, minutes_ago, sent
from harness.task import Store

pytestmark = pytest.mark.usefixtures("no_pauses")

HOST: dict[str, Any] = {"room_id": 10086, "user_id": "host_1"}


class TestStarts:
    def test_claims_stand_in_the_ledger(self, show: Callable[..., Run]) -> None:
        run = show()
        run.start()
        claims = [run.claim(kind) for kind in KINDS]
        assert [claim.state for claim in claims if claim] == ["ours", "ours"]
        assert claims[0] is not None
        assert claims[0].start_id == run["start_push"].xcoms["start_id"]

    def test_recording_of_a_push_that_was_never_started_is_not_started(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """A person has marked its task as successful while it waited for the host."""
        timav_emulator.leave(**HOST)
        run = show(wait_for_user=60)
        run.execute("reserve")
        with pytest.raises(AirflowRescheduleException):
            run.execute("start_push")
        timav_emulator.enter(**HOST)
        with pytest.raises(AirflowFailException, match="push was never started"):
            run.execute("start_record")
        assert timav_emulator.recordings == ()

    def test_recording_that_is_not_wanted_succeeds_without_sending(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        run = show(record=False)
        run.start()
        assert run["start_record"].xcoms["outcome"] == "not_requested"
        assert sent(timav_emulator) == ["start_push"]
        assert run.claim("record") is None

    def test_file_name_is_the_same_over_a_clear(self, show: Callable[..., Run]) -> None:
        run = show()
        run.start()
        name = run["start_record"].xcoms["file_name"]
        run.clear()
        run.start()
        assert run["start_record"].xcoms["file_name"] == name

    def test_options_reach_the_service(self, show: Callable[..., Run], timav_emulator: Emulator) -> None:
        run = show(
            push_options={"channel_describe": "All of it"},
            record_options={"tags": '["news"]', "class_id": "7"},
            channel_name="News",
            live_code="hls+rtmp",
            file_name="10086_news",
        )
        run.start()
        push, record = (entry.fields for entry in timav_emulator.journal)
        assert (push["str_channel_name"], push["str_channel_describe"], push["uint32_live_code"]) == (
            "News",
            "All of it",
            6,
        )
        assert record["string_file_name"] == "10086_news"

    @pytest.mark.parametrize("task", ["start_push", "start_record"])
    def test_nothing_is_started_after_the_end(
        self, task: str, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        run = show()
        run.execute("reserve")
        run.end_at(minutes_ago(1))
        with pytest.raises(AirflowFailException, match="end has passed"):
            run.execute(task)
        assert sent(timav_emulator) == []

    def test_nothing_is_started_in_a_room_that_another_run_holds_by_now(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        first = show("first")
        first.execute("reserve")
        first.supervisor.variables.clear()
        show("second").execute("reserve")
        with pytest.raises(AlreadyRunning, match="run second"):
            first.execute("start_push")
        assert sent(timav_emulator) == []

    def test_nothing_is_started_once_the_broadcast_was_ended(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """By a notifier, while the task waited for its host: no reaper would find what is started now."""
        run = show()
        run.execute("reserve")
        run.ledger.release(run.lease.generation)
        with pytest.raises(AirflowFailException, match="was released"):
            run.execute("start_push")
        assert sent(timav_emulator) == []

    @pytest.mark.parametrize("kind", KINDS)
    def test_start_that_is_under_way_while_the_broadcast_is_ended_does_not_stay(
        self, kind: Kind, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """The stop of a notifier comes first, the start is carried out after it."""
        run = show()
        run.execute("reserve")
        ledger, generation = run.ledger, run.lease.generation

        def end_it(entry: Any) -> None:
            ledger.write_claim(kind, Claim(generation, "stopped"))
            ledger.release(generation)

        timav_emulator.on_request = end_it
        with pytest.raises(AirflowFailException, match="ended while"):
            run.execute(f"start_{kind}")
        assert sent(timav_emulator) == [f"start_{kind}", f"stop_{kind}"]
        assert (timav_emulator.pushes, timav_emulator.recordings) == ((), ())

    @pytest.mark.parametrize("kind", KINDS)
    def test_start_that_is_under_way_while_another_broadcast_takes_the_room_over_does_not_stay(
        self, kind: Kind, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        run, other = show(), show("manual__2")
        run.execute("reserve")
        ledger, held = (
            run.ledger,
            replace(run.lease, generation="other", owner=replace(run.lease.owner, run_id=other.run_id)),
        )
        timav_emulator.on_request = lambda entry: ledger.write_lease(held)
        with pytest.raises(AirflowFailException, match="ended while"):
            run.execute(f"start_{kind}")
        assert sent(timav_emulator) == [f"start_{kind}", f"stop_{kind}"]
        assert ledger.lease() == held

    @pytest.mark.parametrize("kind", KINDS)
    def test_what_another_broadcast_has_on_air_by_now_is_not_taken_for_our_own(
        self, kind: Kind, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """Cleared near its end: the broadcast that took the room over has stopped ours, and runs its own there."""
        run, other = show(), show("manual__2")
        run.execute("reserve", f"start_{kind}")
        ledger, held = (
            run.ledger,
            replace(run.lease, generation="other", owner=replace(run.lease.owner, run_id=other.run_id)),
        )
        theirs = Claim("other", "ours")

        def take_over(entry: Any) -> None:
            ledger.write_lease(held)
            ledger.write_claim(kind, theirs)

        timav_emulator.on_request = take_over
        if kind == "record":  # as after an answer that was lost
            run["start_record"].store = Store()
        before = sent(timav_emulator)
        assert run.execute(f"start_{kind}")["outcome"] == "adopted"
        assert run.execute(f"stop_{kind}")["outcome"] == "already_stopped"
        assert sent(timav_emulator) == [*before, f"start_{kind}"]
        assert ledger.claim(kind, "other") == theirs
        assert len(timav_emulator.pushes) + len(timav_emulator.recordings) == 1

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("answered", [True, False])
    def test_ledger_knows_whose_it_is_where_the_store_forgets(
        self, kind: Kind, answered: bool, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """Airflow may be told to clear the state of tasks that succeeded; then the run is cleared on air."""
        run = show()
        run.execute("reserve")
        if answered:
            run.execute(f"start_{kind}")
        else:
            timav_emulator.fail_next(3, f"start_{kind}", drop="after")
            with pytest.raises(TimAVError):
                run.execute(f"start_{kind}")
        run[f"start_{kind}"].store = Store()
        run.execute(f"start_{kind}")
        claim = run.claim(kind)
        assert claim is not None
        assert claim.on_air
        run.execute(f"stop_{kind}")
        assert (timav_emulator.pushes, timav_emulator.recordings) == ((), ())

    @pytest.mark.parametrize("kind", KINDS)
    def test_nothing_is_started_once_a_person_has_ended_the_broadcast(
        self, kind: Kind, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """A person marks on_air successful while a start is still queued: nothing would stop a start after the stops."""
        run = show()
        run.execute("reserve")
        run["on_air"].state = "success"
        with pytest.raises(AirflowFailException, match="ended before"):
            run.execute(f"start_{kind}")
        assert sent(timav_emulator) == []

    @pytest.mark.parametrize("kind", KINDS)
    def test_start_that_is_under_way_while_a_person_ends_the_broadcast_does_not_stay(
        self, kind: Kind, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """The stop task may have been told "already stopped" before the start was carried out."""
        run = show()
        run.execute("reserve")
        timav_emulator.on_request = lambda entry: setattr(run["on_air"], "state", "success")
        with pytest.raises(AirflowFailException, match="ended while"):
            run.execute(f"start_{kind}")
        assert sent(timav_emulator) == [f"start_{kind}", f"stop_{kind}"]
        assert (timav_emulator.pushes, timav_emulator.recordings) == ((), ())
        claim = run.claim(kind)
        assert claim is not None
        assert claim.state == "stopped"
        if kind == "record":
            result = run.execute("stop_record")
            assert (result["file_ids_status"], result["file_ids"]) == ("recovered", list(claim.file_ids))
            assert result["file_ids"]

    def test_starts_and_stops_go_where_it_was_reserved(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """A template may render to another connection at another time, and the trigger and the reaper know the first one."""
        run = show()
        run.execute("reserve")
        run.renders(timav_conn_id="another_application")
        run.execute("reserve", "start_push", "start_record")
        assert run.on_air().lease["timav_conn_id"] == "timav_default"
        run.execute("stop_record", "stop_push")
        assert sent(timav_emulator) == ["start_push", "start_record", "stop_record", "stop_push"]
        assert run.supervisor.variables == {}

    def test_doubtful_answer_while_the_host_is_away_says_nothing_about_the_next_start(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """The code means "runs already" as well as "host absent". A later start is ours, whether or not its answer is lost."""
        run = show(wait_for_user="PT10M")
        run.execute("reserve")
        timav_emulator.fail_next(operation="start_record", code=30000415)
        with pytest.raises(AirflowRescheduleException):
            run.execute("start_record")
        assert run["start_record"].xcoms["claim"] == "refused"
        timav_emulator.fail_next(3, "start_record", drop="after")
        with pytest.raises(AmbiguousOutcome):
            run.execute("start_record")
        run.execute("start_record")
        result = run.execute("stop_record")
        assert (result["outcome"], result["file_ids_status"]) == ("stopped", "complete")
        assert timav_emulator.recordings == ()

    def test_start_stands_where_that_cannot_be_asked(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run = show()
        run.execute("reserve")

        def fail_from_now_on(message: Any) -> None:
            claimed = type(message).__name__ == "PutVariable" and '"ours"' in message.value
            supervisor.failing |= {"GetVariable"} if claimed else set()

        supervisor.on_message = fail_from_now_on
        assert run.execute("start_push")["outcome"] == "started"
        assert len(timav_emulator.pushes) == 1

    def test_nothing_is_started_where_the_claim_cannot_be_noted(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run = show()
        run.execute("reserve")
        supervisor.failing = {"PutVariable"}
        with pytest.raises(Exception, match="API_SERVER_ERROR"):
            run.execute("start_push")
        assert sent(timav_emulator) == []

    def test_wait_for_the_host_ends_with_the_broadcast(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        timav_emulator.leave(10086, "host_1")
        run = show(wait_for_user="PT1H")
        run.execute("reserve")
        with pytest.raises(AirflowRescheduleException):
            run.execute("start_push")
        run.end_at(datetime.now(UTC) + timedelta(seconds=5))
        with pytest.raises(RoomNotReady):
            run.execute("start_push")

    def test_lost_answer_is_claimed_and_stopped(self, show: Callable[..., Run], timav_emulator: Emulator) -> None:
        run = show()
        run.execute("reserve")
        timav_emulator.fail_next(3, "start_push", drop="after")
        with pytest.raises(AmbiguousOutcome):
            run.execute("start_push")
        run["start_push"].xcoms.clear()
        claim = run.claim("push")
        assert claim is not None
        assert (claim.state, claim.on_air) == ("sent", True)
        assert run.execute("stop_push") == {"outcome": "stopped"}

    def test_stream_of_an_earlier_try_began_when_that_did(self, show: Callable[..., Run]) -> None:
        run = show()
        run.execute("reserve", "start_push")
        began = run.claim("push")
        run.execute("start_push")
        assert run["start_push"].xcoms["outcome"] == "recovered"
        assert run.claim("push") == began


class TestForeign:
    def test_what_was_adopted_is_never_stopped(self, show: Callable[..., Run], foreign: Emulator) -> None:
        run = show()
        run.start()
        trigger = run.on_air()
        assert (trigger.stops, trigger.hls_url) == ([], None)
        run["on_air"].resume({"status": "deadline", "ended_at": "2026-11-24T21:00:00+00:00", "verdict": "UNKNOWN"})
        assert run.execute("stop_push") == {"outcome": "not_ours"}
        assert run.execute("stop_record") == {"outcome": "not_ours", "file_ids": [], "file_ids_status": "none"}
        result = run.execute("result")
        assert (result["outcome"], result["file_ids_status"]) == ("deadline", "none")
        assert (len(foreign.pushes), len(foreign.recordings)) == (1, 1)
        assert run.supervisor.variables == {}

    def test_not_even_after_a_clear(self, show: Callable[..., Run], foreign: Emulator) -> None:
        run = show()
        for _ in range(2):
            run.start()
            run.clear("start_push", "start_record")
        assert run.execute("stop_push", "stop_push") is not None
        assert len(foreign.recordings) == 1

    def test_not_where_ours_was_stopped_and_the_run_is_cleared(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """A stored result is of a stream that has ended: another system has started the one that runs now."""
        run = show()
        run.start()
        run.execute("stop_push", "stop_record")
        with TimAVHook() as hook:
            hook.start_push(**HOST)
        run.clear()
        run.execute("reserve")
        assert run.execute("start_push") == {"outcome": "adopted"}
        assert run.execute("stop_push") == {"outcome": "not_ours"}
        assert len(timav_emulator.pushes) == 1

    def test_fail_fails_and_leaves_it_alone(self, show: Callable[..., Run], foreign: Emulator) -> None:
        run = show(if_already_running="fail")
        run.execute("reserve")
        with pytest.raises(AlreadyRunning):
            run.execute("start_push")
        assert run.execute("stop_push") == {"outcome": "not_ours"}
        assert len(foreign.pushes) == 1
