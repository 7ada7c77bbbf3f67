"""The trigger that ends a broadcast, run in a loop against the emulator, over TLS. Airflow is a stand-in for its supervisor."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from airflow.sdk import serde
from airflow.sdk._shared.module_loading import import_string

from airflow_provider_timav.emulator import Emulator, Switches
from airflow_provider_timav.hooks.timav import Settings, TimAVHook
from airflow_provider_timav.leases import Claim, Lease, Ledger, Watch
from airflow_provider_timav.operators import _stop as stop_module
from airflow_provider_timav.stream import reader as reader_module
from airflow_provider_timav.triggers import _clock, _sdk_calls, _shutdown, on_air
from airflow_provider_timav.triggers.on_air import OnAirTrigger
from airflow_provider_timav.videorelay import exchange
from harness.streams.pyav import FakeAV, accepting, at_pace, install, prove_quickly, standing_still, uninstall
from harness.supervisor import Run, Supervisor

T = TypeVar("T")
HOST: dict[str, Any] = {"room_id": 10086, "user_id": "host_1"}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_air, "MIN_AGE", 0.0)
    monkeypatch.setattr(on_air, "START_SPREAD", 0.0)
    monkeypatch.setattr(_clock, "CONTROL_SECONDS", (0.1, 0.15))
    monkeypatch.setattr(_clock, "LAST_POLL_SECONDS", (0.1, 0.2))
    monkeypatch.setattr(_sdk_calls, "GIVE_WAY_SECONDS", 0.2)
    monkeypatch.setattr(_shutdown, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(_shutdown, "TOGETHER_SECONDS", 0.1)
    monkeypatch.setattr(reader_module, "next_pause", lambda watch, chance: 0.1)
    monkeypatch.setattr(stop_module, "LOOK_AGAIN_SECONDS", (0.0,))
    monkeypatch.setattr(exchange.BUDGET, "_left", 10)
    monkeypatch.setattr(exchange.Exchange, "_pause", _soon(exchange.Exchange._pause))


def _soon(pause: Callable[..., float | None]) -> Callable[..., float | None]:
    return lambda self, error: None if pause(self, error) is None else 0.0


@pytest.fixture
def run(supervisor: Supervisor, timav_emulator: Emulator) -> Run:
    run = Run(supervisor)
    run.start()
    return run


def ending_in(seconds: float, run: Run, **arguments: Any) -> OnAirTrigger:
    """The trigger of a broadcast that ends so soon. What it logs is where caplog sees it."""
    run.end_at(datetime.now(UTC) + timedelta(seconds=seconds))
    trigger = run.on_air()
    for name, value in arguments.items():
        setattr(trigger, name, value)
    trigger._log = logging.getLogger("test")  # type: ignore[assignment]
    return trigger


def within(coroutine: Coroutine[Any, Any, T], seconds: float = 90) -> T:
    return asyncio.run(asyncio.wait_for(coroutine, seconds))


async def fire(trigger: OnAirTrigger) -> dict[str, Any]:
    events = [event async for event in trigger.run()]
    assert len(events) == 1
    payload: dict[str, Any] = json.loads(json.dumps(events[0].payload))
    return payload


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another thread
            await asyncio.sleep(0.01)


def off_air(emulator: Emulator) -> bool:
    return not emulator.pushes and not emulator.recordings


def sent(emulator: Emulator) -> list[str]:
    return sorted(str(entry.operation) for entry in emulator.journal)[2:]


def stopped_by(emulator: Emulator) -> set[str]:
    """The clients whose certificates the stops came with."""
    return {entry.client for entry in emulator.journal if str(entry.operation).startswith("stop")}


def rotate(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace certificate and key in the connection by those of "the next one"."""
    cert, key = emulator.certificates.issue_client(common_name="the next one")
    connection = emulator.connection(client_cert=cert, private_key=key)
    monkeypatch.setenv("AIRFLOW_CONN_TIMAV_DEFAULT", json.dumps(connection))


def moved(seconds: float) -> dict[str, Any]:
    return {"end": (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()}


def seen_in_ledger(run: Run) -> str | None:
    """The verdict that stands where people look."""
    watch = run.ledger.watch(run.lease.generation)
    return None if watch is None or watch.stream is None else str(watch.stream["verdict"])


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


class TestStream:
    @pytest.fixture
    def timav_emulator(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        with Emulator(switches=Switches(stream_speed=20.0)) as emulator:
            monkeypatch.setenv("AIRFLOW_CONN_TIMAV_DEFAULT", emulator.connection_json())
            yield emulator

    @staticmethod
    async def verdict(run: Run, verdict: str) -> None:
        await until(lambda: seen_in_ledger(run) == verdict)

    def test_verdicts_are_kept_where_people_look(self, run: Run) -> None:
        trigger = ending_in(60, run)

        async def live() -> None:
            firing = asyncio.create_task(fire(trigger))
            await self.verdict(run, "LIVE")
            firing.cancel()

        within(live())

    def test_event_says_what_was_seen_last(self, run: Run, caplog: pytest.LogCaptureFixture) -> None:
        trigger = ending_in(2.5, run)
        with caplog.at_level(logging.INFO):
            event = within(fire(trigger))
        assert (event["status"], event["verdict"]) == ("deadline", "LIVE")
        assert "The stream of room 10086 is LIVE" in caplog.text
        assert "http" not in json.dumps(event)

    def test_host_who_drops_and_returns_goes_on(self, run: Run, timav_emulator: Emulator) -> None:
        trigger = ending_in(60, run, until="stream_ended", grace=30.0)

        async def dropped() -> None:
            firing = asyncio.create_task(fire(trigger))
            await self.verdict(run, "LIVE")
            timav_emulator.change_stream("absent")
            await self.verdict(run, "ABSENT")
            timav_emulator.resume()
            await self.verdict(run, "LIVE")
            assert not firing.done()
            firing.cancel()

        within(dropped())
        assert not off_air(timav_emulator)

    def test_stream_that_is_gone_for_longer_than_grace_is_over(self, run: Run, timav_emulator: Emulator) -> None:
        trigger = ending_in(60, run, until="stream_ended", grace=0.3)

        async def gone() -> dict[str, Any]:
            firing = asyncio.create_task(fire(trigger))
            await self.verdict(run, "LIVE")
            timav_emulator.change_stream("absent")
            return await firing

        event = within(gone())
        assert (event["status"], event["verdict"]) == ("stream_ended", "ENDED")
        assert off_air(timav_emulator)

    def test_having_been_live_outlives_a_restart(self, run: Run, timav_emulator: Emulator) -> None:
        trigger = ending_in(60, run, until="stream_ended", grace=0.3)

        async def restarted() -> dict[str, Any]:
            firing = asyncio.create_task(fire(trigger))
            await self.verdict(run, "LIVE")
            firing.cancel()
            timav_emulator.change_stream("absent")
            again = OnAirTrigger(**trigger.serialize()[1])
            return await fire(again)

        assert within(restarted())["status"] == "stream_ended"

    def test_until_the_deadline_a_stream_may_end(self, run: Run, timav_emulator: Emulator) -> None:
        trigger = ending_in(1.5, run, until="deadline")
        timav_emulator.end_stream()
        event = within(fire(trigger))
        assert (event["status"], event["verdict"]) == ("deadline", "ENDED")

    def test_stall_is_told_of_once_and_the_show_goes_on(self, run: Run, timav_emulator: Emulator) -> None:
        trigger = ending_in(4.5, run, on_stall="notify", grace=0.2)
        timav_emulator.end_stream()
        event = within(fire(trigger))
        assert (event["status"], event["verdict"]) == ("stalled", "ENDED")
        assert not off_air(timav_emulator)
        assert "stopped" not in run["on_air"].xcoms
        again = OnAirTrigger(**{**trigger.serialize()[1], "told": True})
        assert within(fire(again))["status"] == "deadline"

    def test_next_stall_is_told_of_again(self, run: Run, timav_emulator: Emulator) -> None:
        trigger = ending_in(60, run, on_stall="notify", told=True, grace=0.2)

        async def twice() -> dict[str, Any]:
            timav_emulator.end_stream()
            firing = asyncio.create_task(fire(trigger))
            await self.verdict(run, "ENDED")
            timav_emulator.resume()
            await self.verdict(run, "LIVE")
            timav_emulator.end_stream()
            return await firing

        assert within(twice())["status"] == "stalled"

    def test_restarted_triggerer_remembers_that_it_played_again(self, run: Run, timav_emulator: Emulator) -> None:
        trigger = ending_in(60, run, on_stall="notify", told=True, grace=0.2)

        async def restarted() -> dict[str, Any]:
            firing = asyncio.create_task(fire(trigger))
            await self.verdict(run, "LIVE")
            firing.cancel()
            timav_emulator.end_stream()
            return await fire(OnAirTrigger(**{**trigger.serialize()[1], "told": True}))

        assert within(restarted())["status"] == "stalled"

    def test_stall_can_end_the_show(self, run: Run, timav_emulator: Emulator) -> None:
        trigger = ending_in(60, run, on_stall="fail", grace=0.2)
        timav_emulator.end_stream()
        event = within(fire(trigger))
        assert (event["status"], event["verdict"]) == ("failed", "ENDED")
        assert event["since"]
        assert off_air(timav_emulator)

    def test_stream_that_never_comes_is_a_stall_after_grace(self, run: Run, timav_emulator: Emulator) -> None:
        trigger = ending_in(60, run, on_stall="fail", grace=0.5)
        timav_emulator.change_stream("absent")
        assert within(fire(trigger))["status"] == "failed"

    def test_address_that_cannot_be_read_leaves_time_and_control(
        self, run: Run, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def broken(*_: Any, **__: Any) -> Any:
            raise KeyError("a bug")

        monkeypatch.setattr(reader_module, "follow", broken)
        assert within(fire(ending_in(0.5, run)))["status"] == "deadline"
        assert "A watch over the broadcast has failed" in caplog.text
        assert off_air(timav_emulator)

    def test_clock_that_breaks_leaves_the_end(
        self, run: Run, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A watch of a stream alone would never end the broadcast."""

        async def broken(*_: Any) -> Any:
            raise KeyError("a bug")

        trigger = ending_in(0.8, run)
        monkeypatch.setattr(trigger, "_until_end", broken)
        assert within(fire(trigger))["status"] == "deadline"
        assert datetime.now(UTC) >= datetime.fromisoformat(trigger.end)
        assert off_air(timav_emulator)


class TestRtmp:
    """A stream that is RTMP only: the same watch, whatever moves the bytes."""

    @pytest.fixture
    def run(self, supervisor: Supervisor, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Run:
        prove_quickly(monkeypatch)
        run = Run(supervisor, {"live_code": "rtmp"})
        run.start()
        return run

    @pytest.fixture
    def av(self, monkeypatch: pytest.MonkeyPatch) -> FakeAV:
        return install(monkeypatch)

    def test_event_says_what_was_seen_last(self, run: Run, av: FakeAV) -> None:
        av.packets = at_pace
        with accepting() as url:
            event = within(fire(ending_in(2.5, run, rtmp_url=url)))
        assert (event["status"], event["verdict"]) == ("deadline", "LIVE")

    def test_stream_that_is_gone_for_longer_than_grace_is_over(
        self, run: Run, av: FakeAV, timav_emulator: Emulator
    ) -> None:
        av.packets = at_pace

        async def vanishing(trigger: OnAirTrigger) -> dict[str, Any]:
            firing = asyncio.create_task(fire(trigger))
            await until(lambda: seen_in_ledger(run) == "LIVE")
            av.packets = lambda: iter(())  # the server ends each connection
            return await firing

        with accepting() as url:
            event = within(vanishing(ending_in(600, run, rtmp_url=url, until="stream_ended", grace=0.5)))
        assert (event["status"], event["verdict"]) == ("stream_ended", "ENDED")
        assert off_air(timav_emulator)

    @pytest.mark.parametrize(("on_stall", "status"), [("notify", "stalled"), ("fail", "failed")])
    def test_source_that_hangs_is_a_stall(
        self, run: Run, av: FakeAV, on_stall: str, status: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("airflow_provider_timav.stream.marks.UNTOLD_TARGET_DURATION", 0.3)
        monkeypatch.setattr("airflow_provider_timav.stream.rtmp.PROBE_SECONDS", 0.5)
        av.packets = at_pace

        async def hanging(trigger: OnAirTrigger) -> dict[str, Any]:
            firing = asyncio.create_task(fire(trigger))
            await until(lambda: seen_in_ledger(run) == "LIVE")
            av.packets = standing_still
            return await firing

        with accepting() as url:
            event = within(hanging(ending_in(600, run, rtmp_url=url, on_stall=on_stall)))
        assert (event["status"], event["verdict"]) == (status, "STALLED")

    def test_triggerer_without_the_extra_leaves_time_and_control(
        self,
        run: Run,
        timav_emulator: Emulator,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        uninstall(monkeypatch)
        with accepting() as url:
            event = within(fire(ending_in(0.5, run, rtmp_url=url + "?txSecret=secret")))
        assert (event["status"], event["verdict"]) == ("deadline", "UNKNOWN")
        assert off_air(timav_emulator)
        assert "airflow-provider-timav[rtmp]" in caplog.text
        assert "secret" not in caplog.text


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


class TestSomebodyElsesShow:
    """The lease was given up early, by a notifier, and another broadcast is on in the same place by the time of our end."""

    @pytest.fixture(autouse=True)
    def _unhurried(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A busy machine answers the last look, too."""
        monkeypatch.setattr(_clock, "LAST_POLL_SECONDS", (2.0, 2.1))
        monkeypatch.setattr(_clock, "PUNCTUAL_SECONDS", 30.0)

    def ended_elsewhere(self, run: Run, seconds: float) -> OnAirTrigger:
        from airflow_provider_timav.leases.shutdown import stop_broadcast

        trigger = ending_in(seconds, run)
        with TimAVHook() as hook:
            stop_broadcast(run.ledger, run.lease, hook)
        return trigger

    def test_run_does_not_wait_for_the_end_of_a_show_that_is_over(
        self, run: Run, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_clock, "LEASE_SECONDS", 0.0)
        trigger = self.ended_elsewhere(run, 3600)
        before = sent(timav_emulator)
        event = within(fire(trigger))
        assert event["status"] == "stopped"
        assert datetime.fromisoformat(event["ended_at"]) < datetime.fromisoformat(trigger.end)
        assert sent(timav_emulator) == before

    def test_room_that_is_known_to_be_theirs_stays_so_where_airflow_does_not_answer_again(
        self, run: Run, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_clock, "LEASE_SECONDS", 0.0)
        trigger = self.ended_elsewhere(run, 3600)
        second = Run(run.supervisor, run_id="second")
        second.start()
        answers = iter([second.ledger.lease_state(run.lease)])
        monkeypatch.setattr(Ledger, "lease_state", lambda self, lease: next(answers))
        assert within(fire(trigger))["status"] == "stopped"
        assert (len(timav_emulator.pushes), len(timav_emulator.recordings)) == (1, 1)

    @pytest.mark.parametrize("how", ["ours", "unknown"])
    def test_show_that_is_on_goes_on(
        self, how: str, run: Run, supervisor: Supervisor, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_clock, "LEASE_SECONDS", 0.0)
        trigger = ending_in(1.5, run)
        if how == "unknown":
            supervisor.variables.clear()
        assert within(fire(trigger))["status"] == "deadline"
        assert off_air(timav_emulator)

    @pytest.mark.parametrize("how", ["deadline", "stop", "late"])
    def test_it_is_left_alone(self, how: str, run: Run, supervisor: Supervisor, timav_emulator: Emulator) -> None:
        trigger = self.ended_elsewhere(run, -60 if how == "late" else 3.0)
        second = Run(supervisor, run_id="second")
        second.start()
        if how == "stop":
            run["on_air"].xcoms["control"] = {"stop": True}
        event = within(fire(trigger))
        assert event["status"] == ("stopped" if how == "stop" else "deadline")
        assert (len(timav_emulator.pushes), len(timav_emulator.recordings)) == (1, 1)
        assert second.ledger.lease() == second.lease
        claim = second.claim("push")
        assert claim is not None
        assert claim.state == "ours"
        result = run.execute("stop_record")
        assert result["file_ids"] == timav_emulator.file_ids(run["start_record"].xcoms["file_name"])

    def test_what_was_stopped_already_is_not_stopped_again(self, run: Run, timav_emulator: Emulator) -> None:
        """A triggerer died between its stop and its event; by now a person may have put something on air by hand."""
        trigger = ending_in(0.3, run)
        within(fire(trigger))
        with TimAVHook() as hook:
            hook.start_push(**HOST)
        again = OnAirTrigger(**trigger.serialize()[1])
        assert again.stops == ["push", "record"]
        assert within(fire(again))["status"] == "deadline"
        assert len(timav_emulator.pushes) == 1


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


class TestStores:
    """Airflow's stores may fail or hang: the stop goes out first, and in time."""

    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_sdk_calls, "STORE_SECONDS", 1.0)
        monkeypatch.setattr(_clock, "PUNCTUAL_SECONDS", 0.5)

    @pytest.mark.parametrize("message", ["GetXCom", "SetXCom", "GetVariable", "PutVariable", "DeleteVariable"])
    def test_store_that_fails_keeps_no_stop(
        self, message: str, run: Run, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        trigger = ending_in(0.5, run)
        supervisor.failing = {message}
        assert within(fire(trigger))["status"] == "deadline"
        assert off_air(timav_emulator)

    def test_nothing_works_and_it_stops(self, run: Run, supervisor: Supervisor, timav_emulator: Emulator) -> None:
        trigger = ending_in(0.5, run)
        supervisor.failing = {"GetXCom", "SetXCom", "GetVariable", "GetVariableKeys", "PutVariable", "DeleteVariable"}
        assert within(fire(trigger))["status"] == "deadline"
        assert off_air(timav_emulator)

    def test_ids_survive_where_one_of_the_notes_fails(
        self, run: Run, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        trigger = ending_in(0.3, run)
        supervisor.failing = {"SetXCom"}
        event = within(fire(trigger))
        supervisor.failing = set()
        run["on_air"].resume(event)
        run.execute("stop_push", "stop_record")
        ids = timav_emulator.file_ids(run["start_record"].xcoms["file_name"])
        assert run.execute("result")["file_ids"] == ids

    def test_no_note_is_written_before_the_stop(
        self, run: Run, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        trigger = ending_in(0.5, run, hls_url=None)
        begun = len(supervisor.asked)
        on_air_then: list[int] = []
        supervisor.on_message = lambda message: (
            on_air_then.append(len(timav_emulator.pushes) + len(timav_emulator.recordings))
            if type(message).__name__ in ("SetXCom", "PutVariable", "DeleteVariable")
            else None
        )
        within(fire(trigger))
        assert len(supervisor.asked) > begun
        assert on_air_then
        assert set(on_air_then) == {0}

    def test_stores_that_hang_do_not_delay_the_end(
        self, run: Run, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        trigger = ending_in(2.5, run)

        async def hanging() -> None:
            firing = asyncio.create_task(fire(trigger))
            await until(lambda: trigger._settings)
            supervisor.hanging = {"GetXCom", "GetVariable", "PutVariable", "SetXCom"}
            await until(lambda: off_air(timav_emulator))
            supervisor.released.set()
            await firing

        within(hanging())

    def test_stores_that_hang_from_the_start_do_not_keep_it_on_air(
        self, run: Run, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        trigger = ending_in(0.5, run)
        supervisor.hanging = {"GetXCom", "GetVariable", "PutVariable", "SetXCom"}

        async def hanging() -> None:
            firing = asyncio.create_task(fire(trigger))
            await until(lambda: off_air(timav_emulator))
            supervisor.released.set()
            await firing

        within(hanging())

    def test_many_shows_end_while_airflow_hangs(
        self, run: Run, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        """No thread that a stop needs is taken by a call that hangs."""
        trigger = ending_in(2.5, run)
        others = [OnAirTrigger(**{**trigger.serialize()[1], "stops": []}) for _ in range(40)]

        async def hanging() -> None:
            crowd = [asyncio.create_task(fire(one)) for one in (*others, trigger)]
            await until(lambda: trigger._settings)
            supervisor.hanging = {"GetXCom", "GetVariable", "PutVariable", "SetXCom"}
            await until(lambda: off_air(timav_emulator))
            supervisor.released.set()
            await asyncio.gather(*crowd)

        within(hanging())

    def test_show_that_was_extended_is_not_ended_by_a_slow_restart(
        self, run: Run, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        """A triggerer that has just been restarted is slow, and the end that its arguments know has passed."""
        trigger = ending_in(-5, run)
        run["on_air"].xcoms["control"] = moved(1.5)
        supervisor.on_message = lambda message: time.sleep(0.2)
        assert within(fire(trigger))["status"] == "deadline"
        assert datetime.now(UTC) >= datetime.fromisoformat(run["on_air"].xcoms["control"]["end"])

    def test_airflow_is_asked_in_threads(self, run: Run, supervisor: Supervisor) -> None:
        supervisor.on_loop.clear()
        within(fire(ending_in(0.5, run)))
        supervisor.on_loop.clear()
        trigger = ending_in(0.5, run)
        supervisor.on_loop.clear()
        within(fire(trigger))
        run["on_air"].state = "success"
        within(trigger.on_kill())
        assert supervisor.on_loop == {False}


class TestDatabase:
    def test_it_comes_back_as_it_went_in(self, run: Run) -> None:
        trigger = ending_in(600, run, until="stream_ended", grace=5.0, on_stall="notify", told=True)
        classpath, arguments = trigger.serialize()
        assert json.loads(json.dumps(arguments)) == arguments
        again = import_string(classpath)(**serde.deserialize(serde.serialize(arguments)))  # type: ignore[arg-type]
        assert again.serialize() == trigger.serialize()

    def test_arguments_of_another_version_do_no_harm(self, run: Run) -> None:
        _, arguments = ending_in(600, run).serialize()
        later = OnAirTrigger(**{**arguments, "invented": 1})
        assert later.serialize()[1] == arguments
        earlier = OnAirTrigger(**{name: arguments[name] for name in ("lease", "end", "task_key", "stops")})
        assert (earlier.hls_url, earlier.until, earlier.on_stall, earlier.told) == (None, "deadline", "ignore", False)

    def test_its_repr_shows_no_query(self, run: Run) -> None:
        trigger = ending_in(600, run, hls_url="https://cdn.example/live.m3u8?auth=secret")
        assert "https://cdn.example/live.m3u8" in repr(trigger)
        assert "secret" not in repr(trigger)
        assert "hls_url=None" in repr(ending_in(600, run, hls_url=None))
        trigger = ending_in(600, run, hls_url=None, rtmp_url="rtmp://cdn.example/live/42?txSecret=secret")
        assert "rtmp://cdn.example/live/42" in repr(trigger)
        assert "secret" not in repr(trigger)

    def test_its_module_imports_nothing_heavy(self) -> None:
        program = (
            "import sys, airflow.sdk, airflow.sdk.bases.sensor, airflow.triggers.base; before = set(sys.modules)\n"
            "import airflow_provider_timav.triggers.on_air; print(*sorted(set(sys.modules) - before))"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        new = done.stdout.split()
        assert len(new) <= 25
        assert not [name for name in new if name.split(".")[0] in ("requests", "aiohttp", "m3u8", "yarl")]


def test_fifty_shows_that_end_together_never_block_the_loop(supervisor: Supervisor, timav_emulator: Emulator) -> None:
    triggers = []
    for number in range(50):
        timav_emulator.enter(number, "host_1")
        run = Run(supervisor, {"room_id": number, "record": False}, run_id=f"run_{number}")
        run.start()
        triggers.append(run)
    busiest = 0.0

    async def pulse() -> None:
        nonlocal busiest
        while True:
            worked = time.thread_time()
            await asyncio.sleep(0.005)
            busiest = max(busiest, time.thread_time() - worked)

    async def crowd() -> list[str]:
        heart = asyncio.create_task(pulse())
        events = await asyncio.gather(*(fire(ending_in(1.5, run)) for run in triggers))
        heart.cancel()
        return [event["status"] for event in events]

    assert within(crowd()) == ["deadline"] * 50
    assert not timav_emulator.pushes
    # The loop's own work, which no neighbour on the machine can lengthen.
    assert busiest < 0.5


def test_watch_of_another_show_moves_no_end(run: Run) -> None:
    trigger = ending_in(0.5, run)
    Ledger(run.lease.key.variable).write_watch(Watch("another", datetime.now(UTC) + timedelta(hours=1)))
    assert within(fire(trigger))["status"] == "deadline"
