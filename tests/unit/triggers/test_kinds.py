"""The result of a broadcast on air for each kind of stream: with ``until="stream_ended"``, and with each ``on_stall``."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.triggers import on_air
from airflow_provider_timav.triggers.on_air import OnAirTrigger
from harness.streams.kinds import GRACE, KINDS, SECONDS
from harness.streams.origin import Clock, scripted
from harness.supervisor import Run, Supervisor

OPTIONS: dict[str, dict[str, str]] = {
    "stream_ended": {"until": "stream_ended"},
    "ignore": {"on_stall": "ignore"},
    "notify": {"on_stall": "notify"},
    "fail": {"on_stall": "fail"},
}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_air, "MIN_AGE", 0.0)
    monkeypatch.setattr(on_air, "START_SPREAD", 0.0)


async def outcome(trigger: OnAirTrigger, clock: Clock) -> str:
    """Return the status with which the trigger fires, or that the broadcast goes on."""

    async def fire() -> str:
        async for event in trigger.run():
            return str(event.payload["status"])
        raise AssertionError("no event")

    firing = asyncio.create_task(fire())
    over = asyncio.create_task(asyncio.to_thread(clock.over.wait, 120))
    await asyncio.wait({firing, over}, return_when=asyncio.FIRST_COMPLETED)
    if firing.done():
        clock.over.set()
        return firing.result()
    firing.cancel()
    return "goes on"


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_broadcast_ends_and_stalls_as_its_viewers_see_it(
    kind: str, option: str, supervisor: Supervisor, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, stream = Clock(SECONDS), KINDS[kind]
    run = Run(supervisor)
    run.start()
    run.end_at(datetime.now(UTC) + timedelta(hours=1))
    expected: dict[str, Any] = {
        "stream_ended": "stream_ended" if stream.over else "goes on",
        "ignore": "goes on",
        "notify": "stalled" if stream.stall else "goes on",
        "fail": "failed" if stream.stall else "goes on",
    }
    with scripted(stream.script(clock), clock, monkeypatch) as site:
        trigger = run.on_air()
        trigger.hls_url, trigger.grace = site.url + stream.url, GRACE
        for name, value in OPTIONS[option].items():
            setattr(trigger, name, value)
        assert asyncio.run(asyncio.wait_for(outcome(trigger, clock), 150)) == expected[option]
    assert bool(timav_emulator.pushes) is (expected[option] in ("goes on", "stalled"))
