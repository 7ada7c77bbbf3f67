"""The trigger, run in a loop against a real server. Airflow's XComs are a dict."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from airflow.sdk import serde
from airflow.sdk._shared.module_loading import import_string

from airflow_provider_timav.runs import TaskKey
from airflow_provider_timav.stream import reader as reader_module
from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.state import StreamState
from airflow_provider_timav.stream.verdict import Verdict
from airflow_provider_timav.triggers import _sdk_calls, live_stream
from airflow_provider_timav.triggers.live_stream import LiveStreamTrigger
from harness.streams.site import Site, media, running

T = TypeVar("T")
KEY = {"dag_id": "show", "run_id": "monday", "task_id": "watch", "map_index": -1}


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as site:
        yield site


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_stream, "MIN_AGE", 0.0)
    monkeypatch.setattr(live_stream, "START_SPREAD", 0.0)
    monkeypatch.setattr(reader_module, "next_pause", lambda state, chance: 0.1)


class XComs:
    """The XComs of one task."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.memory: Any = None
        self.writes: list[Any] = []
        self.threads: set[bool] = set()
        # Functions, and not our bound methods, which would not get the task.
        monkeypatch.setattr(TaskKey, "raw_xcom", lambda task, key: self.read(task, key))  # noqa: PLW0108
        monkeypatch.setattr(TaskKey, "set_raw_xcom", lambda task, key, value: self.write(task, key, value))  # noqa: PLW0108

    def _note_thread(self) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self.threads.add(True)
        else:
            self.threads.add(False)

    def read(self, task: TaskKey, key: str) -> Any:
        self._note_thread()
        assert (task.to_json(), key) == (KEY, "watch")
        return self.memory

    def write(self, task: TaskKey, key: str, memory: Any) -> None:
        self._note_thread()
        assert (task.to_json(), key) == (KEY, "watch")
        self.memory = json.loads(json.dumps(memory))
        self.writes.append(self.memory["verdict"])


@pytest.fixture
def xcoms(monkeypatch: pytest.MonkeyPatch) -> XComs:
    return XComs(monkeypatch)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(coroutine, 20))


async def fire(trigger: LiveStreamTrigger) -> dict[str, Any]:
    events = [event async for event in trigger.run()]
    assert len(events) == 1
    payload: dict[str, Any] = events[0].payload
    return payload


def was_live(ago: float = 1000) -> dict[str, Any]:
    at = time.time() - ago
    probes = (Probe(at - 1 + number / 2, 10 + number, 3, 1, playable=True) for number in range(3))
    known = StreamState()
    for probe in probes:
        known = known.after(probe, grace=60)
    assert known.verdict is Verdict.LIVE
    return known.to_json()


def test_it_fires_when_the_stream_is_live_and_the_event_holds_no_address(site: Site) -> None:
    event = run(fire(LiveStreamTrigger(url=site.live() + "?auth=secret")))
    assert event["status"] == "reached"
    assert event["verdict"] == "LIVE"
    assert set(event) == {"status", "verdict", "since", "tail", "target_duration"}
    assert "http" not in json.dumps(event)


def test_it_fires_when_the_stream_has_ended(site: Site) -> None:
    url = site.text("/live.m3u8", media(7, 3, endlist=True))
    event = run(fire(LiveStreamTrigger(url=url, until="ended")))
    assert (event["status"], event["verdict"], event["tail"]) == ("reached", "ENDED", 10)


def test_a_stream_that_has_ended_and_should_become_live_is_told_apart(site: Site) -> None:
    assert run(fire(LiveStreamTrigger(url=site.ending(visits=2), until="live")))["status"] == "ended"


def test_end_that_was_there_before_is_waited_through(site: Site) -> None:
    url = site.text("/live.m3u8", media(7, 3, endlist=True))
    event = run(fire(LiveStreamTrigger(url=url, until="live", deadline=time.time() + 0.5)))
    assert (event["status"], event["verdict"]) == ("timeout", "ENDED")


@pytest.mark.parametrize("form", ["epoch", "iso"])
def test_the_deadline_ends_the_wait(site: Site, form: str) -> None:
    from datetime import UTC, datetime

    end = time.time() + 0.3
    deadline = end if form == "epoch" else datetime.fromtimestamp(end, UTC).isoformat()
    event = run(fire(LiveStreamTrigger(url=site.url + "/live.m3u8", deadline=deadline)))
    assert (event["status"], event["verdict"]) == ("timeout", "ABSENT")
    assert 0 <= time.time() - end < 3


def test_a_deadline_that_is_over_fires_at_once(site: Site) -> None:
    event = run(fire(LiveStreamTrigger(url=site.url + "/live.m3u8", deadline=time.time() - 60)))
    assert (event["status"], event["verdict"]) == ("timeout", "UNKNOWN")


def test_it_never_fires_before_it_is_old_enough(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler fails a task whose trigger fires while it is being deferred."""
    monkeypatch.setattr(live_stream, "MIN_AGE", 0.4)
    url = site.text("/live.m3u8", media(7, 3, endlist=True))
    begun = time.monotonic()
    run(fire(LiveStreamTrigger(url=url, until="ended")))
    assert time.monotonic() - begun >= 0.4


def test_a_stream_that_was_live_ends_when_it_is_gone_for_longer_than_grace(site: Site, xcoms: XComs) -> None:
    event = run(fire(LiveStreamTrigger(url=site.vanishing(), until="ended", grace=0.2, task_key=KEY)))
    assert (event["status"], event["verdict"]) == ("reached", "ENDED")
    assert xcoms.writes == ["LIVE", "ABSENT", "ENDED"]
    assert xcoms.threads == {True}, "Airflow's calls belong into threads"


def test_having_been_live_outlives_a_restart_of_the_triggerer(site: Site, xcoms: XComs) -> None:
    xcoms.memory = was_live()
    url = site.url + "/live.m3u8"
    event = run(fire(LiveStreamTrigger(url=url, until="ended", grace=0.2, task_key=KEY)))
    assert event["verdict"] == "ENDED"


def test_without_that_memory_a_stream_that_is_not_there_has_not_ended(site: Site, xcoms: XComs) -> None:
    trigger = LiveStreamTrigger(
        url=site.url + "/live.m3u8", until="ended", grace=0, deadline=time.time() + 0.4, task_key=KEY
    )
    assert run(fire(trigger))["status"] == "timeout"
    assert xcoms.writes == []


def test_waiting_for_live_needs_no_memory_and_touches_no_xcom(site: Site, xcoms: XComs) -> None:
    run(fire(LiveStreamTrigger(url=site.live(every=0.15), task_key=KEY)))
    assert xcoms.threads == set()


def test_stores_that_fail_are_logged_and_change_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> None:
        raise OSError("the API server is away")

    monkeypatch.setattr(TaskKey, "raw_xcom", fails)
    monkeypatch.setattr(TaskKey, "set_raw_xcom", fails)
    story = [media(0, 1), media(0, 2), media(0, 3), media(0, 3, endlist=True)]
    site.pages["/live.m3u8"] = lambda visit: visit.answer(story.pop(0))
    trigger = LiveStreamTrigger(url=site.url + "/live.m3u8", until="ended", task_key=KEY)
    trigger._log = logging.getLogger("test")  # type: ignore[assignment]  # so that caplog can see it
    event = run(fire(trigger))
    assert event["verdict"] == "ENDED"
    assert "could not be read" in caplog.text
    assert "could not be stored" in caplog.text


def test_stores_that_hang_do_not_stop_the_probes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sdk_calls, "STORE_SECONDS", 0.05)
    released = threading.Event()

    def hangs(*_: Any) -> None:
        released.wait(60)

    monkeypatch.setattr(TaskKey, "raw_xcom", hangs)
    monkeypatch.setattr(TaskKey, "set_raw_xcom", hangs)
    trigger = LiveStreamTrigger(url=site.vanishing(), until="ended", grace=0.2, task_key=KEY)
    try:
        assert run(fire(trigger))["verdict"] == "ENDED"
    finally:
        released.set()


def test_a_connection_that_cannot_be_read_just_now_is_asked_for_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.pages["http://cdn.example/live.m3u8"] = lambda visit: visit.answer(media(7, 3, endlist=True))
    troubles = [OSError("the API server is away")]

    def proxy(conn_id: str | None) -> str:
        if troubles:
            raise troubles.pop()
        return site.url

    monkeypatch.setattr(live_stream, "_proxy", proxy)
    trigger = LiveStreamTrigger(url="http://cdn.example/live.m3u8", until="ended", timav_conn_id="timav")
    assert run(fire(trigger))["verdict"] == "ENDED"


def test_the_log_names_the_place_and_the_reason_and_not_the_query(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    trigger = LiveStreamTrigger(url=site.url + "/live.m3u8?auth=secret", deadline=time.time() + 0.3)
    trigger._log = logging.getLogger("test")  # type: ignore[assignment]  # so that caplog can see it
    with caplog.at_level(logging.INFO):
        run(fire(trigger))
    assert f"{site.url}/live.m3u8 is ABSENT (HTTP status 404)" in caplog.text
    assert "secret" not in caplog.text


def test_its_repr_does_not_show_the_query() -> None:
    shown = repr(LiveStreamTrigger(url="https://cdn.example/live.m3u8?auth=secret", deadline=5.0))
    assert "https://cdn.example/live.m3u8" in shown
    assert "secret" not in shown


def test_it_comes_back_from_the_database_as_it_went_in() -> None:
    trigger = LiveStreamTrigger(
        url="https://cdn.example/live.m3u8?auth=1",
        until="ended",
        grace=5,
        deadline=1.5,
        timav_conn_id="t",
        task_key=KEY,
    )
    classpath, arguments = trigger.serialize()
    assert json.loads(json.dumps(arguments)) == arguments
    again = import_string(classpath)(**serde.deserialize(serde.serialize(arguments)))  # type: ignore[arg-type]
    assert again.serialize() == trigger.serialize()


def test_arguments_of_another_version_do_no_harm() -> None:
    trigger = LiveStreamTrigger(url="https://cdn.example/a", invented_later=True)
    assert trigger.serialize()[1]["until"] == "live"


@pytest.mark.parametrize(
    "arguments",
    [{"until": "finished"}, {"deadline": "2026-11-23T12:00:00"}, {"deadline": "noon"}],
    ids=["until", "deadline-without-zone", "deadline-no-time"],
)
def test_arguments_that_make_no_sense_are_errors_and_no_events(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"until|time zone|isoformat"):
        run(fire(LiveStreamTrigger(url="https://cdn.example/a", **arguments)))


def test_a_fault_of_our_own_is_never_an_event(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> StreamState:
        raise KeyError("a bug")

    monkeypatch.setattr(reader_module, "follow", broken)
    with pytest.raises(KeyError, match="a bug"):
        run(fire(LiveStreamTrigger(url=site.url + "/live.m3u8")))
    assert not reader_module._readers


def test_the_proxy_of_the_connection_is_used(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.pages["http://cdn.example/live.m3u8"] = lambda visit: visit.answer(media(7, 3, endlist=True))
    monkeypatch.setattr(live_stream, "_proxy", lambda conn_id: site.url if conn_id == "with_proxy" else None)
    trigger = LiveStreamTrigger(url="http://cdn.example/live.m3u8", until="ended", timav_conn_id="with_proxy")
    assert run(fire(trigger))["verdict"] == "ENDED"
    assert site.paths() == ["http://cdn.example/live.m3u8"]


@pytest.mark.usefixtures("small_heap")
def test_a_hundred_triggers_share_one_client_never_block_the_loop_and_leave_nothing_open(site: Site) -> None:
    url = site.live(every=0.3)
    busiest = longest = 0.0
    clients: set[int] = set()

    async def pulse() -> None:
        nonlocal busiest, longest
        while True:
            before, worked = time.monotonic(), time.thread_time()
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - before)
            busiest = max(busiest, time.thread_time() - worked)
            clients.update(id(reader) for reader in reader_module._readers.values())

    async def crowd() -> list[str]:
        heart = asyncio.create_task(pulse())
        events = await asyncio.gather(*(fire(LiveStreamTrigger(url=url)) for _ in range(100)))
        heart.cancel()
        return [event["verdict"] for event in events]

    assert run(crowd()) == ["LIVE"] * 100
    assert len(clients) == 1
    assert site.all_connections <= 20
    # The loop's own work, which no neighbour on the machine can lengthen; and no wait for anything in it.
    assert busiest < 0.2
    assert longest < 1
    assert not reader_module._readers


def test_a_trigger_that_is_cancelled_lets_go_of_the_client(site: Site) -> None:
    async def cancelled() -> None:
        task = asyncio.create_task(fire(LiveStreamTrigger(url=site.url + "/live.m3u8")))
        assert await asyncio.to_thread(site.visited.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not reader_module._readers

    run(cancelled())


def test_its_module_imports_nothing_heavy() -> None:
    program = (
        "import sys, airflow.sdk, airflow.sdk.bases.sensor, airflow.triggers.base; before = set(sys.modules)\n"
        "import airflow_provider_timav.triggers.live_stream; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    new = done.stdout.split()
    assert len(new) <= 25
    assert not [name for name in new if name.split(".")[0] in ("requests", "aiohttp", "m3u8", "yarl")]
    assert not [name for name in new if ".videorelay." in name and not name.endswith(".errors")]
