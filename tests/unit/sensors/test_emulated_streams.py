"""The reader's verdicts on the emulator's streams, and the sensor's on a push through the API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.emulator.switches import Switches
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.sensors.live_stream import LiveStreamSensor
from airflow_provider_timav.stream import reader as reader_module
from airflow_provider_timav.stream.reader import follow, shared_reader
from airflow_provider_timav.stream.state import StreamState
from airflow_provider_timav.stream.verdict import Verdict

SPEED = 15.0


@contextmanager
def emulated(monkeypatch: pytest.MonkeyPatch, **switches: Any) -> Iterator[Emulator]:
    """An emulator whose streams are fifteen times as fast as real ones, and a reader whose clock is so, too."""
    monkeypatch.setattr(reader_module, "wall_clock", lambda: lambda: time.time() * SPEED)
    monkeypatch.setattr(reader_module, "next_pause", lambda state, chance: 0.05)
    with Emulator(switches=Switches(stream_speed=SPEED, **switches)) as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_TIMAV_DEFAULT", emulator.connection_json())
        yield emulator


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with emulated(monkeypatch) as emulator:
        yield emulator


def start_push(emulator: Emulator) -> str:
    hook = TimAVHook()
    try:
        started = hook.start_push(room_id=emulator.room_id, user_id=emulator.user_id)
    finally:
        hook.close()
    return next(live.url for live in started.live_urls if ".m3u8" in live.url)


def stop_push(emulator: Emulator) -> None:
    hook = TimAVHook()
    try:
        hook.stop_push(room_id=emulator.room_id, user_id=emulator.user_id)
    finally:
        hook.close()


def until(url: str, *verdicts: Verdict, state: StreamState | None = None, grace: float = 600) -> StreamState:
    async def enough(known: StreamState) -> bool:
        return known.verdict in verdicts

    async def polling() -> StreamState:
        async with shared_reader() as reader:
            return await follow(reader, url, state or StreamState(), grace=grace, enough=enough)

    return asyncio.run(asyncio.wait_for(polling(), 15))


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ("freeze", Verdict.STALLED),
        ("hollow", Verdict.STALLED),
        ("reset", Verdict.RESET),
        ("end", Verdict.ENDED),
        ("absent", Verdict.ABSENT),
        ("error", Verdict.ABSENT),
        ("empty", Verdict.EMPTY),
    ],
)
def test_each_thing_that_can_happen_to_a_stream_is_seen_and_so_is_its_return(
    emulator: Emulator, change: Any, verdict: Verdict
) -> None:
    url = start_push(emulator)
    live = until(url, Verdict.LIVE)
    while live.tail is None or live.tail < 12:  # numbers that overlap could be an older copy of the list
        live = until(url, Verdict.LIVE, state=live)
    emulator.change_stream(change)
    changed = until(url, *set(Verdict) - {Verdict.LIVE, Verdict.STARTING}, state=live)
    assert changed.verdict is verdict
    emulator.resume()
    assert until(url, Verdict.LIVE, state=changed).was_live


@pytest.mark.parametrize("after_stop", ["endlist", "stall", "absent"])
def test_the_end_of_a_push_is_seen_whatever_the_playlist_does_then(
    after_stop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with emulated(monkeypatch, playlist_after_stop=after_stop) as emulator:
        url = start_push(emulator)
        live = until(url, Verdict.LIVE)
        stop_push(emulator)
        assert until(url, Verdict.ENDED, state=live, grace=3).verdict is Verdict.ENDED


def test_the_list_of_the_last_show_is_not_taken_for_a_live_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    with emulated(monkeypatch, playlist_after_stop="stall") as emulator:
        url = start_push(emulator)
        until(url, Verdict.LIVE)
        stop_push(emulator)
        assert until(url, Verdict.LIVE, Verdict.STALLED).verdict is Verdict.STALLED


def test_the_sensor_sees_a_push_through_the_api_go_live(emulator: Emulator) -> None:
    sensor = LiveStreamSensor(task_id="watch", url=start_push(emulator), timav_conn_id="timav_default")
    context: Any = {"ti": SimpleNamespace(), "task_state_store": None}
    result = sensor.execute(context)
    assert (result["verdict"], result["target_duration"]) == ("LIVE", 2)
