"""What the stream makes the trigger of a broadcast do: end early, report a stall, or fail."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_timav.emulator import Emulator, Switches
from airflow_provider_timav.stream import reader as reader_module
from airflow_provider_timav.triggers.on_air import OnAirTrigger
from harness.streams.pyav import FakeAV, accepting, at_pace, install, prove_quickly, standing_still, uninstall
from harness.supervisor import Run, Supervisor
from tests.unit.triggers.trigger import (
    ending_in,
    fire,
    off_air,
    seen_in_ledger,
    until,
    within,
)


@pytest.fixture(autouse=True)
def _hurried(hurried: None) -> None:
    """Before the fixtures of a class, which may change it back."""


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
