"""The trigger that ends a broadcast, run in a loop against the emulator, over TLS. Airflow is a stand-in for its supervisor."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import Settings, TimAVHook
from airflow_provider_timav.leases import Claim, Lease, Ledger, Watch
from airflow_provider_timav.triggers import _clock, _shutdown, on_air
from airflow_provider_timav.triggers.on_air import OnAirTrigger
from harness.streams.pyav import uninstall
from harness.supervisor import Run, Supervisor
from tests.unit.triggers.trigger import (
    HOST,
    ending_in,
    fire,
    moved,
    off_air,
    rotate,
    sent,
    stopped_by,
    until,
    within,
)


@pytest.fixture(autouse=True)
def _hurried(hurried: None) -> None:
    """Before the fixtures of a class, which may change it back."""


class TestDeadline:
    def test_show_is_stopped_at_its_end_and_the_ids_are_noted(self, run: Run, timav_emulator: Emulator) -> None:
        trigger = ending_in(0.8, run)
        stopped_at: list[float] = []
        timav_emulator.on_request = lambda entry: stopped_at.append(time.time())
        event = within(fire(trigger))
        assert event["status"] == "deadline"
        assert set(event) == {"status", "ended_at", "verdict", "since"}
        assert off_air(timav_emulator)
        assert sent(timav_emulator) == ["stop_push", "stop_record"]
        late = [at - datetime.fromisoformat(trigger.end).timestamp() for at in stopped_at]
        assert min(late) >= 0
        ids = timav_emulator.file_ids(run["start_record"].xcoms["file_name"])
        noted = run["on_air"].xcoms["stopped"]
        assert noted["file_ids"] == ids
        assert noted["outcomes"] == {"push": "stopped", "record": "stopped"}
        assert noted["ended_at"] == event["ended_at"]
        claim = run.claim("record")
        assert claim is not None
        assert (claim.state, list(claim.file_ids)) == ("stopped", ids)

    def test_lease_is_given_up(self, run: Run, supervisor: Supervisor) -> None:
        within(fire(ending_in(0.3, run)))
        assert supervisor.entries() == {"push", "record"}

    def test_tasks_that_come_after_it_have_nothing_left_to_do(self, run: Run, timav_emulator: Emulator) -> None:
        run["on_air"].resume(within(fire(ending_in(0.3, run))))
        run.execute("stop_push", "stop_record")
        result = run.execute("result")
        assert result["file_ids"] == timav_emulator.file_ids(run["start_record"].xcoms["file_name"])
        assert (result["outcome"], result["file_ids_status"]) == ("deadline", "recovered")
        assert run.supervisor.variables == {}

    def test_end_that_has_passed_meanwhile_is_now(self, run: Run, timav_emulator: Emulator) -> None:
        """A triggerer was down."""
        assert within(fire(ending_in(-40, run)))["status"] == "deadline"
        assert off_air(timav_emulator)

    def test_it_never_fires_before_it_is_old_enough(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """The scheduler fails a task whose trigger fires while it is being deferred."""
        monkeypatch.setattr(on_air, "MIN_AGE", 0.6)
        begun = time.monotonic()
        within(fire(ending_in(-1, run)))
        assert time.monotonic() - begun >= 0.6

    def test_it_does_not_wait_for_that_with_its_stop(
        self, run: Run, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(on_air, "MIN_AGE", 600.0)

        async def stopped() -> None:
            firing = asyncio.create_task(fire(ending_in(-1, run)))
            await until(lambda: off_air(timav_emulator))
            firing.cancel()

        within(stopped())

    def test_only_what_is_ours_is_stopped(self, supervisor: Supervisor, timav_emulator: Emulator) -> None:
        with TimAVHook() as hook:
            hook.start_push(**HOST)
        run = Run(supervisor)
        run.start()
        trigger = ending_in(0.3, run)
        assert trigger.stops == ["record"]
        within(fire(trigger))
        assert (len(timav_emulator.pushes), len(timav_emulator.recordings)) == (1, 0)

    def test_with_nothing_to_stop_the_lease_is_given_up_all_the_same(
        self, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        with TimAVHook() as hook:
            hook.start_push(**HOST)
        run = Run(supervisor, {"record": False})
        run.start()
        assert within(fire(ending_in(0.3, run)))["status"] == "deadline"
        assert supervisor.entries() == {"push"}

    def test_without_an_address_it_keeps_time(
        self, supervisor: Supervisor, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        uninstall(monkeypatch)
        run = Run(supervisor, {"live_code": "rtmp"})
        run.start()
        event = within(fire(ending_in(0.3, run)))
        assert (event["status"], event["verdict"], event["since"]) == ("deadline", "UNKNOWN", None)


class TestControl:
    def test_end_can_be_moved_to_later_and_that_outlives_a_restart(self, run: Run, timav_emulator: Emulator) -> None:
        trigger = ending_in(0.8, run)
        later = moved(2.2)

        async def extended() -> dict[str, Any]:
            firing = asyncio.create_task(fire(trigger))
            run["on_air"].xcoms["control"] = later
            await until(lambda: run.ledger.watch(run.lease.generation))
            firing.cancel()  # the triggerer is restarted, with the arguments of old
            with suppress(asyncio.CancelledError):
                await firing
            await asyncio.sleep(1.0)
            assert not off_air(timav_emulator)
            run["on_air"].xcoms.clear()  # and people's word is gone with a clear
            return await fire(OnAirTrigger(**trigger.serialize()[1]))

        assert within(extended())["status"] == "deadline"
        assert datetime.now(UTC) >= datetime.fromisoformat(later["end"])
        assert off_air(timav_emulator)

    def test_end_that_was_moved_is_in_the_ledger(self, run: Run) -> None:
        trigger = ending_in(60, run)

        async def told() -> None:
            firing = asyncio.create_task(fire(trigger))
            run["on_air"].xcoms["control"] = moved(3600)
            await until(
                lambda: (
                    run.ledger.end_in_force(run.lease) == datetime.fromisoformat(run["on_air"].xcoms["control"]["end"])
                )
            )
            firing.cancel()

        within(told())

    def test_end_can_be_moved_to_earlier(self, run: Run, timav_emulator: Emulator) -> None:
        trigger = ending_in(600, run)
        run["on_air"].xcoms["control"] = moved(0.6)
        assert within(fire(trigger))["status"] == "deadline"
        assert off_air(timav_emulator)

    def test_stop(self, run: Run, timav_emulator: Emulator) -> None:
        trigger = ending_in(600, run)
        run["on_air"].xcoms["control"] = {"stop": True}
        assert within(fire(trigger))["status"] == "stopped"
        assert off_air(timav_emulator)

    @pytest.mark.parametrize("value", ["garbage", {"end": "2001-01-01T00:00:00Z"}, {"end": 7}, {"stop": "yes"}, [], 7])
    def test_what_makes_no_sense_changes_nothing_and_is_said_once(
        self, value: Any, run: Run, timav_emulator: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        trigger = ending_in(0.9, run)
        run["on_air"].xcoms["control"] = value
        assert within(fire(trigger))["status"] == "deadline"
        assert datetime.now(UTC) >= datetime.fromisoformat(trigger.end)
        assert caplog.text.count("Nothing is changed") == 1
        assert off_air(timav_emulator)

    def test_end_that_it_keeps_anyway_is_nothing_to_complain_of(
        self, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        within(fire(ending_in(-20, run)))
        assert "Nothing is changed" not in caplog.text


class TestKill:
    """``on_kill`` is called for whatever takes the trigger away; only some of it ends the broadcast."""

    def kill(self, run: Run, state: str | None) -> None:
        trigger = ending_in(600, run)
        run["on_air"].state = state
        within(trigger.on_kill())

    @pytest.mark.parametrize("state", ["success", "failed", "skipped", "removed", "upstream_failed"])
    def test_final_state_ends_it(self, state: str, run: Run, timav_emulator: Emulator) -> None:
        self.kill(run, state)
        assert off_air(timav_emulator)
        assert run["on_air"].xcoms["stopped"]["file_ids"]

    @pytest.mark.parametrize(
        "state",
        [None, "deferred", "scheduled", "queued", "running", "restarting", "up_for_retry", "up_for_reschedule"],
    )
    def test_any_other_state_means_hands_off(self, state: str | None, run: Run, timav_emulator: Emulator) -> None:
        self.kill(run, state)
        assert sent(timav_emulator) == []

    def test_task_that_is_gone_is_over(self, run: Run, supervisor: Supervisor, timav_emulator: Emulator) -> None:
        """Its DAG was deleted; there is no XCom to write any more, and the stop does not mind."""
        trigger = ending_in(600, run)
        supervisor.tasks.clear()
        within(trigger.on_kill())
        assert off_air(timav_emulator)
        assert run.ledger.claim(
            "record", Claim.from_json(json.loads(supervisor.variables[f"{run.ledger.variable}-record"])).generation
        )

    def test_lease_of_another_show_means_hands_off(
        self, run: Run, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        trigger = ending_in(600, run)
        run["on_air"].state = "success"
        run["on_air"].xcoms.clear()
        run.end_at(datetime.now(UTC) - timedelta(minutes=5))
        Run(supervisor, run_id="second").start()
        timav_emulator.clear_journal()
        within(trigger.on_kill())
        assert timav_emulator.journal == ()

    def test_show_that_is_over_means_hands_off(self, run: Run, timav_emulator: Emulator) -> None:
        trigger = ending_in(600, run)
        run["on_air"].state = "success"
        run.execute("stop_push", "stop_record")
        timav_emulator.clear_journal()
        within(trigger.on_kill())
        assert timav_emulator.journal == ()

    def test_lease_that_somebody_has_deleted_does_not_leave_it_on_air(
        self, run: Run, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        trigger = ending_in(600, run)
        run["on_air"].state = "skipped"
        del supervisor.variables[run.ledger.variable]
        within(trigger.on_kill())
        assert off_air(timav_emulator)

    def test_ids_of_a_stop_that_is_under_way_are_not_lost(self, run: Run, timav_emulator: Emulator) -> None:
        """As where `dagrun_timeout` comes together with the end: the answer has the ids, and no other stop gets them."""
        timav_emulator.fail_next(operation="stop_record", delay_answer=1.0)
        trigger = ending_in(0.3, run)

        async def taken_away_while_it_stops() -> None:
            running = asyncio.create_task(fire(trigger))
            await until(lambda: "stop_record" in sent(timav_emulator) or not timav_emulator.recordings)
            run["on_air"].state = "skipped"
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await trigger.on_kill()

        within(taken_away_while_it_stops())
        ids = timav_emulator.file_ids(run["start_record"].xcoms["file_name"])
        assert ids
        assert run["on_air"].xcoms["stopped"]["file_ids"] == ids
        assert sent(timav_emulator) == ["stop_push", "stop_record"]

    def test_busy_airflow_is_asked_again(self, run: Run, supervisor: Supervisor, timav_emulator: Emulator) -> None:
        trigger = ending_in(600, run)
        run["on_air"].state = "skipped"
        supervisor.failing = {"GetTaskStates", "GetVariable"}
        asked = len(supervisor.asked)

        def recover(message: Any) -> None:
            if len(supervisor.asked) > asked + 4:
                supervisor.failing = set()

        supervisor.on_message = recover
        within(trigger.on_kill())
        assert off_air(timav_emulator)

    def test_state_that_cannot_be_learned_means_hands_off(
        self, run: Run, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        trigger = ending_in(600, run)
        run["on_air"].state = "skipped"
        supervisor.failing = {"GetTaskStates"}
        with pytest.raises(Exception, match="API_SERVER_ERROR"):
            within(trigger.on_kill())
        assert sent(timav_emulator) == []

    def test_it_is_done_within_the_time_it_has(self, run: Run, timav_emulator: Emulator) -> None:
        """30 s, by Airflow's default: the stop that arrives must not wait for the one that hangs, nor its file ids."""
        trigger = ending_in(600, run)
        run["on_air"].state = "success"
        timav_emulator.fail_next(9, "stop_push", delay=30.0)

        async def killed() -> None:
            killing = asyncio.create_task(trigger.on_kill())
            await until(lambda: "stopped" in run["on_air"].xcoms)
            assert not killing.done()

        within(killed())  # the end of the loop ends it
        assert not timav_emulator.recordings
        assert run["on_air"].xcoms["stopped"]["file_ids"]

    def test_airflow_that_cancels_it_with_each_turn_of_its_loop_does_not_keep_it_from_its_work(
        self, run: Run, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        """It is on the list of those to cancel until it is done: on a busy machine that is longer than the first question."""
        trigger = ending_in(600, run)
        run["on_air"].state = "skipped"
        supervisor.on_message = lambda message: time.sleep(0.1)

        async def killed() -> None:
            killing = asyncio.create_task(asyncio.wait_for(trigger.on_kill(), 30))
            for _ in range(4):
                await asyncio.sleep(0.05)
                killing.cancel()
            with suppress(asyncio.CancelledError):
                await killing
            # In whichever order: where the recording's answer comes while the push is noted, the ledger has its ids first.
            await until(lambda: run["on_air"].xcoms.get("stopped", {}).get("file_ids") and run.ledger.lease() is None)

        within(killed())
        assert off_air(timav_emulator)

    def test_limits_add_up_to_less_than_what_airflow_gives(self) -> None:
        asked = 4 * 3.0 + 0.5 + 1.0 + 2.0
        assert asked + _shutdown.HURRIED_SECONDS < 30

    def test_triggerer_that_is_restarted_stops_nothing(self, run: Run, timav_emulator: Emulator) -> None:
        trigger = ending_in(600, run)

        async def restarted() -> None:
            firing = asyncio.create_task(fire(trigger))
            await asyncio.sleep(0.3)
            firing.cancel()
            with suppress(asyncio.CancelledError):
                await firing
            await trigger.cleanup()

        within(restarted())
        assert sent(timav_emulator) == []


class TestServiceAndConnection:
    def test_stop_that_fails_is_tried_once_more(self, run: Run, timav_emulator: Emulator) -> None:
        trigger = ending_in(0.3, run)
        timav_emulator.fail_next(3, "stop_push", status=503)
        within(fire(trigger))
        assert off_air(timav_emulator)

    def test_service_that_is_down_leaves_claim_and_lease_for_tasks_and_reaper(
        self, run: Run, supervisor: Supervisor, timav_emulator: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        trigger = ending_in(0.3, run)
        with timav_emulator.unreachable():
            assert within(fire(trigger))["status"] == "deadline"
        assert "is not stopped" in caplog.text
        assert {"", "push", "record"} <= supervisor.entries()
        assert run["on_air"].xcoms["stopped"]["outcomes"] == {}
        run["on_air"].resume({"status": "deadline", "ended_at": "x"})
        assert run.execute("stop_push") == {"outcome": "stopped"}
        assert run.execute("stop_record")["file_ids_status"] == "complete"

    def test_one_stop_that_fails_does_not_keep_the_other(
        self, run: Run, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        trigger = ending_in(0.3, run)
        timav_emulator.fail_next(9, "stop_record", code=20004)
        within(fire(trigger))
        assert (len(timav_emulator.pushes), len(timav_emulator.recordings)) == (0, 1)
        assert run.claim("record").on_air  # type: ignore[union-attr]
        assert run.ledger.lease() is not None

    def test_connection_that_was_broken_meanwhile_fires_all_the_same(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        trigger = ending_in(0.3, run)
        monkeypatch.setenv("AIRFLOW_CONN_TIMAV_DEFAULT", '{"conn_type": "timav"}')
        assert within(fire(trigger))["status"] == "deadline"
        assert "could not be looked up" in caplog.text
        assert run.ledger.lease() is not None

    def test_certificate_that_cannot_be_read_fires_all_the_same(
        self, run: Run, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        trigger = ending_in(0.3, run)
        broken = timav_emulator.connection(client_cert="-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----")
        monkeypatch.setenv("AIRFLOW_CONN_TIMAV_DEFAULT", json.dumps(broken))
        assert within(fire(trigger))["status"] == "deadline"
        assert "client_cert" in caplog.text

    def test_credentials_that_were_rotated_during_the_show_count_for_its_stop(
        self, run: Run, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_clock, "REFRESH_SECONDS", 0.0)
        trigger = ending_in(600, run)

        async def rotated() -> None:
            firing = asyncio.create_task(fire(trigger))
            await until(lambda: trigger._settings)
            first = trigger._settings
            rotate(timav_emulator, monkeypatch)
            monkeypatch.setattr(_clock, "REFRESH_SECONDS", 3600.0)  # the end is near
            await until(lambda: trigger._settings != first)
            run["on_air"].xcoms["control"] = {"stop": True}
            await firing

        within(rotated())
        assert stopped_by(timav_emulator) == {"the next one"}

    def test_credentials_that_were_rotated_after_an_extension_count_too(
        self, run: Run, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The end was near once before, and they were looked up for it."""
        monkeypatch.setattr(_clock, "REFRESH_SECONDS", 3600.0)
        trigger = ending_in(600, run)
        looks = 0

        async def looked_up(lease: Lease, at_most: float = math.inf) -> Settings | None:
            nonlocal looks
            found = await OnAirTrigger._look_up(trigger, lease, at_most)
            looks += 1
            return found

        monkeypatch.setattr(trigger, "_look_up", looked_up)

        async def rotated() -> None:
            firing = asyncio.create_task(fire(trigger))
            await until(lambda: looks == 2)  # at the beginning, and as the end is near
            first = trigger._settings
            rotate(timav_emulator, monkeypatch)
            run["on_air"].xcoms["control"] = moved(900)
            await until(lambda: trigger._settings != first)
            run["on_air"].xcoms["control"] = {"stop": True}
            await firing

        within(rotated())
        assert stopped_by(timav_emulator) == {"the next one"}

    def test_credentials_that_are_refused_are_looked_up_anew(
        self, run: Run, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Rotated in the very seconds before the end."""
        trigger = ending_in(1.0, run)
        good = timav_emulator.connection_json()
        expired = timav_emulator.sign(issued_at=0, validity_seconds=60)
        monkeypatch.setenv(
            "AIRFLOW_CONN_TIMAV_DEFAULT", json.dumps(timav_emulator.connection() | {"password": expired})
        )
        timav_emulator.on_request = lambda entry: monkeypatch.setenv("AIRFLOW_CONN_TIMAV_DEFAULT", good)
        within(fire(trigger))
        assert off_air(timav_emulator)

    def test_no_secret_is_in_log_event_or_note(
        self, run: Run, supervisor: Supervisor, timav_emulator: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        trigger = ending_in(0.5, run, hls_url=f"{timav_emulator.media_url}/live/x.m3u8?auth=0pen*sesame")
        timav_emulator.fail_next(1, "stop_push", status=503)
        with caplog.at_level(logging.DEBUG):
            event = within(fire(trigger))
        shown = f"{event} {trigger!r} {caplog.text} {supervisor.variables} {run['on_air'].xcoms['stopped']}"
        assert "0pen*sesame" not in shown
        assert timav_emulator.usersig not in shown


def test_watch_of_another_show_moves_no_end(run: Run) -> None:
    trigger = ending_in(0.5, run)
    Ledger(run.lease.key.variable).observe(Watch("another", datetime.now(UTC) + timedelta(hours=1)))
    assert within(fire(trigger))["status"] == "deadline"
