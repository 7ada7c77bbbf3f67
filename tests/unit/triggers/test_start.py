"""The trigger that sends starts, run in a loop against the emulator, over TLS. Airflow is a stand-in for its supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.leases import Claim
from airflow_provider_timav.triggers import _bookkeeping, _starting, start
from airflow_provider_timav.triggers.start import StartTrigger
from airflow_provider_timav.videorelay.errors import AlreadyRunning, CertificateError, QuotaExceeded, RoomNotReady
from harness.supervisor import Run, Supervisor, sent
from tests.unit.triggers.trigger import HOST, ending_in, fire, off_air, rotate, until, within

Show = Callable[..., Run]


@pytest.fixture(autouse=True)
def _hurried(hurried: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses: what waits a second, waits a tenth of it."""
    monkeypatch.setattr(start, "MIN_AGE", 0.0)
    monkeypatch.setattr(_starting, "POLL_SECONDS", (0.1, 0.2))
    monkeypatch.setattr(_starting, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(_bookkeeping, "NOTE_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(_starting, "ARM_SECONDS", (0.3, 0.4))
    monkeypatch.setattr(_starting, "STALE_SECONDS", 1.0)
    monkeypatch.setattr(_starting, "RECORD_SECONDS", 0.5)
    monkeypatch.setattr(_starting, "FAULT_SECONDS", 5.0)


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def reserved(show: Show, seconds: float = 0.0, **options: Any) -> tuple[Run, StartTrigger]:
    """A run whose push is to start in so many seconds, with the trigger that it has deferred to."""
    run = show(starts_at=in_seconds(seconds), preroll=600, **options)
    run.execute("reserve")
    return run, quiet(run.deferred("start_push"))


def quiet(trigger: StartTrigger) -> StartTrigger:
    trigger._log = logging.getLogger("test")  # type: ignore[assignment]
    return trigger


async def fired(trigger: StartTrigger) -> dict[str, Any]:
    events = [event async for event in trigger.run()]
    assert len(events) == 1
    payload: dict[str, Any] = events[0].payload
    return payload


async def taken_away(firing: asyncio.Task[Any], trigger: StartTrigger) -> None:
    """Cancel a trigger and tell it that it is killed, as Airflow does."""
    firing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await firing
    await trigger.on_kill()


STARTED = {"status": "started", "error": None}


class TestStart:
    def test_push_and_recording_start_at_the_second(self, show: Show, timav_emulator: Emulator) -> None:
        executed: list[float] = []
        timav_emulator.on_request = lambda entry: executed.append(time.time())
        run, trigger = reserved(show, 1.5)
        executed.clear()  # of the check before
        assert within(fired(trigger)) == STARTED
        at = datetime.fromisoformat(str(trigger.at)).timestamp()
        assert sent(timav_emulator)[-2:] == ["start_push", "start_record"]
        assert min(executed) >= at
        assert len(timav_emulator.pushes) == len(timav_emulator.recordings) == 1
        result = run["start_push"].resume(STARTED)
        assert result["outcome"] == "started"
        assert result["hls_url"].startswith("http")
        assert run["start_push"].xcoms["claim"] == "ours"

    def test_run_goes_on_to_its_result(self, show: Show, timav_emulator: Emulator) -> None:
        """The recording is found running by its own task, and is stopped with its file ids."""
        run, trigger = reserved(show)
        run["start_push"].resume(within(fired(trigger)))
        recording = run.execute("start_record")
        assert recording["outcome"] == "recovered"
        assert recording["file_name"] == run["reserve"].xcoms["file_name"]
        assert [claim.state for claim in (run.claim("push"), run.claim("record")) if claim] == ["ours", "ours"]
        on_air = ending_in(0.3, run)
        assert sorted(on_air.stops) == ["push", "record"]
        run["on_air"].resume(within(fire(on_air)))
        run.execute("stop_record", "stop_push")
        result = run.execute("result")
        assert result["file_ids"] == timav_emulator.file_ids(recording["file_name"])
        assert off_air(timav_emulator)
        assert run.supervisor.variables == {}

    def test_nothing_is_claimed_to_be_sent_before(self, show: Show) -> None:
        run, trigger = reserved(show, 600)
        assert [claim.state for claim in (run.claim("push"), run.claim("record")) if claim] == ["planned", "planned"]
        run["start_push"].state = "failed"
        assert run.execute("stop_push")["outcome"] == "never_started"
        assert trigger.at is not None

    def test_broadcast_without_a_recording_starts_none(self, show: Show, timav_emulator: Emulator) -> None:
        run, trigger = reserved(show, record=False)
        within(fired(trigger))
        run["start_push"].resume(STARTED)
        assert run.execute("start_record")["outcome"] == "not_requested"
        assert (len(timav_emulator.pushes), len(timav_emulator.recordings)) == (1, 0)

    def test_options_reach_the_service(self, show: Show, timav_emulator: Emulator) -> None:
        _, trigger = reserved(
            show,
            push_options={"channel_describe": "All of it"},
            record_options={"tags": '["news"]'},
            channel_name="News",
            live_code="hls+rtmp",
            player_password="viewers-secret",
            push_data_type="screen",
        )
        assert "viewers-secret" not in repr(trigger)
        within(fired(trigger))
        push, record = (entry.fields for entry in timav_emulator.journal[-2:])
        assert (push["str_channel_name"], push["str_channel_describe"]) == ("News", "All of it")
        assert push["str_player_pwd"] == "***"  # the emulator shows no password
        assert (record["string_tags"], record["uint32_record_data_type"]) == (["news"], 1)

    def test_host_who_comes_later_is_on_air_at_once(self, show: Show, timav_emulator: Emulator) -> None:
        timav_emulator.leave(**HOST)
        run, trigger = reserved(show, wait_for_user=60)
        entered: list[float] = []

        async def comes() -> float:
            firing = asyncio.create_task(fired(trigger))
            await until(lambda: sent(timav_emulator).count("start_push") >= 4)
            assert (claim := run.claim("push")) is not None
            assert claim.state == "sent"
            timav_emulator.enter(**HOST)
            entered.append(time.monotonic())
            assert await firing == STARTED
            return time.monotonic() - entered[0]

        assert within(comes()) < 1.0
        assert len(timav_emulator.pushes) == 1

    def test_polls_share_a_connection(self, show: Show, timav_emulator: Emulator) -> None:
        timav_emulator.leave(**HOST)
        _, trigger = reserved(show, wait_for_user=1)
        before = timav_emulator.handshakes
        assert within(fired(trigger))["status"] == "failed"
        assert sent(timav_emulator).count("start_push") >= 4
        assert timav_emulator.handshakes == before + 1


class TestFailure:
    def test_host_who_does_not_come(self, show: Show, timav_emulator: Emulator) -> None:
        timav_emulator.leave(**HOST)
        run, trigger = reserved(show, wait_for_user=0)
        event = within(fired(trigger))
        assert event["status"] == "failed"
        with pytest.raises(RoomNotReady) as failed:
            run["start_push"].resume(event)
        assert (failed.value.room_id, failed.value.user_ids) == (HOST["room_id"], (HOST["user_id"],))
        assert failed.value.code == 40000411
        assert [claim.state for claim in (run.claim("push"), run.claim("record")) if claim] == ["refused", "refused"]
        assert run.execute("stop_push")["outcome"] == "never_started"

    def test_refusal_is_the_tasks_error(self, show: Show, timav_emulator: Emulator) -> None:
        run, trigger = reserved(show)
        timav_emulator.fail_next(1, code=20101)
        with pytest.raises(QuotaExceeded):
            run["start_push"].resume(within(fired(trigger)))

    def test_certificate_that_was_replaced_by_a_wrong_one(
        self, show: Show, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run, trigger = reserved(show)
        wrong = json.dumps(timav_emulator.connection(client_cert="nonsense"))
        monkeypatch.setenv("AIRFLOW_CONN_TIMAV_DEFAULT", wrong)
        with pytest.raises(CertificateError) as failed:
            run["start_push"].resume(within(fired(trigger)))
        assert failed.value.field == "client_cert"

    def test_certificate_that_is_rotated_while_the_host_is_waited_for(
        self, show: Show, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from airflow_provider_timav.triggers import _sender

        monkeypatch.setattr(_sender, "SETTINGS_SECONDS", 0.0)
        timav_emulator.leave(**HOST)
        _, trigger = reserved(show, wait_for_user=60)

        async def rotated() -> None:
            firing = asyncio.create_task(fired(trigger))
            await until(lambda: sent(timav_emulator).count("start_push") >= 2)
            rotate(timav_emulator, monkeypatch)
            await until(lambda: timav_emulator.journal[-1].client == "the next one")
            timav_emulator.enter(**HOST)
            assert await firing == STARTED

        within(rotated())

    def test_broadcast_that_was_ended_before(self, show: Show, timav_emulator: Emulator) -> None:
        run, trigger = reserved(show)
        run.ledger.release(run.lease.generation)
        event = within(fired(trigger))
        assert event["status"] == "refused"
        with pytest.raises(AirflowFailException, match="was ended"):
            run["start_push"].resume(event)
        assert timav_emulator.pushes == ()

    def test_room_that_another_broadcast_holds_by_now(self, show: Show, timav_emulator: Emulator) -> None:
        run, trigger = reserved(show)
        run.ledger.release(run.lease.generation)
        other = show("another")
        other.execute("reserve")
        event = within(fired(trigger))
        with pytest.raises(AlreadyRunning, match="is held by"):
            run["start_push"].resume(event)

    @pytest.mark.parametrize("state", ["failed", "success", None])
    def test_task_that_a_person_has_ended_starts_nothing(
        self, state: str | None, show: Show, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run, trigger = reserved(show)
        run["start_push"].state = state
        if state is None:
            supervisor.tasks.clear()
        assert within(fired(trigger))["status"] == "refused"
        assert timav_emulator.pushes == ()


class TestFaultsOfTheService:
    def test_start_whose_answer_is_lost_is_on_air_once_and_its_urls_are_known(
        self, show: Show, timav_emulator: Emulator
    ) -> None:
        run, trigger = reserved(show)
        timav_emulator.fail_next(1, drop="after")
        assert within(fired(trigger)) == STARTED
        result = run["start_push"].resume(STARTED)
        assert result["outcome"] == "restarted"
        assert (len(timav_emulator.pushes), len(timav_emulator.recordings)) == (1, 1)

    def test_push_of_others_is_left_alone(self, show: Show, timav_emulator: Emulator) -> None:
        with TimAVHook() as hook:
            hook.start_push(**HOST)
        run, trigger = reserved(show)
        within(fired(trigger))
        assert run["start_push"].resume(STARTED)["outcome"] == "adopted"
        run.execute("start_record")
        assert run.on_air().stops == ["record"]

    def test_airflow_that_does_not_take_the_note_at_once(
        self, show: Show, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run, trigger = reserved(show)

        async def noted_late() -> dict[str, Any]:
            firing = asyncio.create_task(fired(trigger))
            await until(lambda: timav_emulator.recordings)
            supervisor.failing.add("SetXCom")
            await asyncio.sleep(0.8)
            supervisor.failing.clear()
            return await firing

        assert within(noted_late()) == STARTED
        assert run["start_push"].resume(STARTED)["hls_url"]


class TestInstances:
    def test_second_instance_sends_nothing_once_the_start_is_noted(self, show: Show, timav_emulator: Emulator) -> None:
        run, trigger = reserved(show)
        second = quiet(StartTrigger(**trigger.serialize()[1]))
        assert within(fired(trigger)) == within(fired(second)) == STARTED
        assert sent(timav_emulator).count("start_push") == 1
        assert run["start_push"].resume(STARTED)["outcome"] == "started"

    def test_second_instance_waits_for_a_post_that_is_under_way(self, show: Show, timav_emulator: Emulator) -> None:
        run, trigger = reserved(show)
        second = quiet(StartTrigger(**trigger.serialize()[1]))
        timav_emulator.fail_next(1, delay=0.6)

        async def both() -> None:
            firing = asyncio.create_task(fired(trigger))
            await until(lambda: (claim := run.claim("push")) is not None and claim.state == "sent")
            assert await fired(second) == STARTED
            assert await firing == STARTED

        within(both())
        assert sent(timav_emulator).count("start_push") == 1
        assert "stop_push" not in sent(timav_emulator)[1:]

    def test_instance_after_a_killed_one_starts_what_was_not_sent(self, show: Show, timav_emulator: Emulator) -> None:
        run, trigger = reserved(show)
        run.ledger.write_claim("push", Claim(run.lease.generation, "sent", "x", by=f"{trigger.attempt}-dead"))
        assert within(fired(trigger)) == STARTED
        assert run["start_push"].resume(STARTED)["outcome"] == "started"

    def test_instance_after_a_killed_one_restarts_what_was_not_noted(
        self, show: Show, timav_emulator: Emulator
    ) -> None:
        run, trigger = reserved(show)
        with TimAVHook() as hook:
            hook.start_push(**HOST)
        run.ledger.write_claim("push", Claim(run.lease.generation, "sent", "x", by=f"{trigger.attempt}-dead"))
        assert within(fired(trigger)) == STARTED
        assert run["start_push"].resume(STARTED)["outcome"] == "restarted"
        assert len(timav_emulator.pushes) == 1


class TestTakenAway:
    def test_task_that_is_ended_while_it_waits_leaves_nothing_and_claims_nothing(
        self, show: Show, timav_emulator: Emulator
    ) -> None:
        timav_emulator.leave(**HOST)
        run, trigger = reserved(show, wait_for_user=60)

        async def failed_by_a_person() -> None:
            firing = asyncio.create_task(fired(trigger))
            await until(lambda: sent(timav_emulator).count("start_push") >= 2)
            run["start_push"].state = "failed"
            await taken_away(firing, trigger)

        within(failed_by_a_person())
        timav_emulator.enter(**HOST)
        assert run.execute("stop_push")["outcome"] == "never_started"
        assert off_air(timav_emulator)

    def test_task_that_is_ended_while_its_start_is_under_way_leaves_nothing(
        self, show: Show, timav_emulator: Emulator
    ) -> None:
        """The stop comes after the start, however long that takes."""
        run, trigger = reserved(show)
        timav_emulator.fail_next(1, delay=0.8)

        async def failed_by_a_person() -> None:
            firing = asyncio.create_task(fired(trigger))
            await until(lambda: (claim := run.claim("push")) is not None and claim.state == "sent")
            await asyncio.sleep(0.3)
            run["start_push"].state = "failed"
            await taken_away(firing, trigger)

        within(failed_by_a_person())
        assert off_air(timav_emulator)

    def test_start_that_is_answered_after_the_stops_is_stopped_again(
        self, show: Show, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Airflow gives ``on_kill`` less time than a post may take."""
        monkeypatch.setattr(start, "IN_AIR_SECONDS", 0.2)
        run, trigger = reserved(show)
        timav_emulator.fail_next(1, delay=1.0)

        async def failed_by_a_person() -> None:
            firing = asyncio.create_task(fired(trigger))
            await until(lambda: (claim := run.claim("push")) is not None and claim.state == "sent")
            await asyncio.sleep(0.3)
            run["start_push"].state = "failed"
            await taken_away(firing, trigger)
            assert trigger._stepping_back is not None
            await trigger._stepping_back

        within(failed_by_a_person())
        assert "start_push" in sent(timav_emulator)
        assert off_air(timav_emulator)

    def test_start_whose_answer_is_lost_as_the_trigger_is_moved_stays_claimed(
        self, show: Show, timav_emulator: Emulator
    ) -> None:
        run, trigger = reserved(show)
        timav_emulator.fail_next(1, delay=0.6, drop="after")

        async def moved() -> None:
            firing = asyncio.create_task(fired(trigger))
            await until(lambda: (claim := run.claim("push")) is not None and claim.state == "sent")
            await asyncio.sleep(0.3)
            await taken_away(firing, trigger)
            assert trigger._stepping_back is not None
            await trigger._stepping_back

        within(moved())
        assert len(timav_emulator.pushes) == 1
        claims = [claim.state for claim in (run.claim("push"), run.claim("record")) if claim]
        assert claims == ["sent", "planned"]
        assert run.execute("stop_push")["outcome"] == "stopped"

    def test_late_note_does_not_overwrite_the_next_instances(
        self, show: Show, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        """An instance that was cut off from Airflow, and replaced meanwhile."""
        run, trigger = reserved(show, record=False)

        async def cut_off() -> None:
            firing = asyncio.create_task(fired(trigger))
            await until(lambda: (claim := run.claim("push")) is not None and claim.state == "sent")
            supervisor.failing |= {"SetXCom", "PutVariable"}
            await until(lambda: timav_emulator.pushes)
            await asyncio.sleep(0.3)
            supervisor.failing.clear()
            next_one = Claim(run.lease.generation, "ours", "next", by=f"{trigger.attempt}-next")
            run.ledger.write_claim("push", next_one)
            await asyncio.sleep(2.5)
            assert not firing.done()  # fenced: it waits to be cancelled
            firing.cancel()

        within(cut_off())
        assert (claim := run.claim("push")) is not None
        assert claim.start_id == "next"

    def test_trigger_that_is_moved_while_its_start_is_under_way_notes_it_for_the_next(
        self, show: Show, timav_emulator: Emulator
    ) -> None:
        run, trigger = reserved(show)
        timav_emulator.fail_next(1, delay=0.8)

        async def moved() -> dict[str, Any]:
            firing = asyncio.create_task(fired(trigger))
            await until(lambda: (claim := run.claim("push")) is not None and claim.state == "sent")
            await asyncio.sleep(0.3)
            await taken_away(firing, trigger)
            return await fired(quiet(StartTrigger(**trigger.serialize()[1])))

        assert within(moved()) == STARTED
        assert sent(timav_emulator).count("start_push") == 1
        assert (len(timav_emulator.pushes), len(timav_emulator.recordings)) == (1, 1)

    def test_trigger_that_is_moved_while_it_waits_is_followed_at_once(
        self, show: Show, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_starting, "STALE_SECONDS", 600.0)
        timav_emulator.leave(**HOST)
        _, trigger = reserved(show, wait_for_user=60)

        async def moved() -> dict[str, Any]:
            firing = asyncio.create_task(fired(trigger))
            await until(lambda: sent(timav_emulator).count("start_push") >= 2)
            await taken_away(firing, trigger)
            timav_emulator.enter(**HOST)
            return await fired(quiet(StartTrigger(**trigger.serialize()[1])))

        assert within(moved()) == STARTED

    def test_task_that_is_cleared_has_a_new_trigger_and_the_old_one_is_fenced(
        self, show: Show, timav_emulator: Emulator
    ) -> None:
        timav_emulator.leave(**HOST)
        run, trigger = reserved(show, wait_for_user=60)

        async def cleared() -> dict[str, Any]:
            firing = asyncio.create_task(fired(trigger))
            await until(lambda: sent(timav_emulator).count("start_push") >= 2)
            await taken_away(firing, trigger)
            new = quiet(run.deferred("start_push"))
            old = asyncio.create_task(fired(quiet(StartTrigger(**trigger.serialize()[1]))))
            timav_emulator.enter(**HOST)
            event = await fired(new)
            assert not old.done()
            old.cancel()
            return event

        assert within(cleared()) == STARTED
        assert len(timav_emulator.pushes) == 1


class TestTakenAwayFromTheDead:
    """An instance that came after others is told that the task is over, or one that was replaced is."""

    def test_start_of_an_instance_that_died_is_stopped(self, show: Show, timav_emulator: Emulator) -> None:
        run, trigger = reserved(show, record=False)
        with TimAVHook() as hook:
            hook.start_push(**HOST)
        run.ledger.write_claim("push", Claim(run.lease.generation, "sent", "x", by=f"{trigger.attempt}-dead"))

        async def failed_by_a_person() -> None:
            firing = asyncio.create_task(fired(trigger))
            await asyncio.sleep(0.3)
            run["start_push"].state = "failed"
            await taken_away(firing, trigger)

        within(failed_by_a_person())
        assert off_air(timav_emulator)

    @pytest.mark.parametrize("by", ["next", None])
    def test_instance_that_was_replaced_stops_nothing(
        self, by: str | None, show: Show, timav_emulator: Emulator
    ) -> None:
        """The next one has put the broadcast on air, and the task has succeeded."""
        run, trigger = reserved(show, record=False)
        timav_emulator.fail_next(1, delay=0.8)

        async def replaced() -> None:
            firing = asyncio.create_task(fired(trigger))
            await until(lambda: (claim := run.claim("push")) is not None and claim.state == "sent")
            await asyncio.sleep(0.3)
            name = None if by is None else f"{trigger.attempt}-{by}"
            run.ledger.write_claim("push", Claim(run.lease.generation, "ours", "y", by=name))
            run["start_push"].state = "success"
            await taken_away(firing, trigger)
            assert trigger._stepping_back is not None
            await trigger._stepping_back

        within(replaced())
        assert len(timav_emulator.pushes) == 1
        assert (claim := run.claim("push")) is not None
        assert (claim.state, claim.start_id) == ("ours", "y")


class TestCleared:
    def test_stream_that_was_stopped_since_is_not_taken_for_the_one_of_the_store(
        self, show: Show, timav_emulator: Emulator
    ) -> None:
        """Others push the host by now: theirs is left alone."""
        run, trigger = reserved(show, record=False)
        run["start_push"].resume(within(fired(trigger)))
        run.execute("start_record", "stop_record", "stop_push")
        with TimAVHook() as hook:
            hook.start_push(**HOST)
        run.ledger.write_lease(run.lease)
        run["start_push"].xcoms.clear()
        again = quiet(run.deferred("start_push"))
        within(fired(again))
        assert run["start_push"].resume(STARTED)["outcome"] == "adopted"

    def test_nothing_of_a_stream_that_was_stopped_comes_back_with_a_retry(
        self, show: Show, timav_emulator: Emulator
    ) -> None:
        """Stopped and cleared; the host is away for one try, and then others push the host."""
        run, trigger = reserved(show, record=False)
        run["start_push"].resume(within(fired(trigger)))
        run.execute("start_record", "stop_record", "stop_push")
        run.ledger.write_lease(run.lease)
        timav_emulator.leave(**HOST)
        run["start_push"].xcoms.clear()
        with pytest.raises(RoomNotReady):
            run["start_push"].resume(within(fired(quiet(run.deferred("start_push")))))
        timav_emulator.enter(**HOST)
        with TimAVHook() as hook:
            hook.start_push(**HOST)
        again = quiet(run.deferred("start_push"))
        within(fired(again))
        assert run["start_push"].resume(STARTED)["outcome"] == "adopted"

    def test_result_of_the_attempt_before_is_used(self, show: Show, timav_emulator: Emulator) -> None:
        """Cleared before the task has resumed: what its trigger has noted is not restarted."""
        run, trigger = reserved(show, record=False)
        within(fired(trigger))
        run["start_push"].xcoms.clear()
        again = quiet(run.deferred("start_push"))
        within(fired(again))
        assert run["start_push"].resume(STARTED)["outcome"] == "recovered"
        assert "stop_push" not in sent(timav_emulator)[1:]

    def test_stream_that_still_runs_is_recovered_under_its_id(self, show: Show, timav_emulator: Emulator) -> None:
        run, trigger = reserved(show, record=False)
        first = run["start_push"].resume(within(fired(trigger)))
        before = run.claim("push")
        again = quiet(run.deferred("start_push"))
        within(fired(again))
        result = run["start_push"].resume(STARTED)
        assert (result["outcome"], result["hls_url"]) == ("recovered", first["hls_url"])
        after = run.claim("push")
        assert before is not None
        assert after is not None
        assert (after.start_id, after.at) == (before.start_id, before.at)
        assert len(timav_emulator.pushes) == 1


class TestWorker:
    def test_worker_sends_the_start_if_no_trigger_has(self, show: Show, timav_emulator: Emulator) -> None:
        from airflow.sdk.exceptions import TaskDeferralTimeout

        run, _ = reserved(show)
        operator: Any = run["start_push"]._rendered()

        def timed_out(*args: Any) -> Any:
            raise TaskDeferralTimeout("Trigger timeout")

        operator.execute_complete = timed_out
        run["start_push"]._returned(operator.resume_execution("execute_complete", None, run["start_push"]._context()))
        assert run["start_push"].xcoms["outcome"] == "started"
        assert len(timav_emulator.pushes) == 1

    def test_result_that_is_not_noted_is_recovered(self, show: Show, timav_emulator: Emulator) -> None:
        run, trigger = reserved(show)
        within(fired(trigger))
        for task in ("reserve", "start_push"):
            del run[task].xcoms["push_claim"]
        result = run["start_push"].resume(STARTED)
        assert (result["outcome"], len(timav_emulator.pushes)) == ("restarted", 1)

    def test_event_of_another_kind_is_refused(self, show: Show) -> None:
        run, _ = reserved(show)
        with pytest.raises(RuntimeError, match="unknown status"):
            run["start_push"].resume({"status": "?"})
