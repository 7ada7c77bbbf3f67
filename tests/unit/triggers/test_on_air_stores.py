"""The trigger of a broadcast beside Airflow's stores: others' leases, stores that hang or fail, its own row in the database."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from airflow.sdk import serde
from airflow.sdk._shared.module_loading import import_string

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.leases import Ledger
from airflow_provider_timav.triggers import _clock, _sdk_calls
from airflow_provider_timav.triggers.on_air import OnAirTrigger
from harness.supervisor import Run, Supervisor
from tests.unit.triggers.trigger import (
    HOST,
    ending_in,
    fire,
    moved,
    off_air,
    sent,
    until,
    within,
)


@pytest.fixture(autouse=True)
def _hurried(hurried: None) -> None:
    """Before the fixtures of a class, which may change it back."""


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
