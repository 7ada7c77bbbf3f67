"""The sensor in each of its modes: the same stream, the same result. The stream comes from a real server."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, timezone
from airflow.sdk.bases.sensor import PokeReturnValue
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_timav.retry import TimAVRetryPolicy
from airflow_provider_timav.runs import TaskKey
from airflow_provider_timav.sensors import live_stream as sensor_module
from airflow_provider_timav.sensors.live_stream import LiveStreamSensor
from airflow_provider_timav.stream import reader as reader_module
from airflow_provider_timav.stream.state import StreamState
from airflow_provider_timav.triggers import live_stream as trigger_module
from airflow_provider_timav.videorelay.errors import ConfigurationError
from harness.streams.pyav import accepting, at_pace, install, prove_quickly, uninstall
from harness.streams.site import Site, Visit, media, running

MODES: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke"},
    "reschedule": {"mode": "reschedule"},
    "deferrable": {"deferrable": True},
}
KEY = {"dag_id": "show", "run_id": "monday", "task_id": "watch", "map_index": -1}


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as site:
        yield site


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> dict[str, Any]:
    return MODES[request.param]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trigger_module, "MIN_AGE", 0.0)
    monkeypatch.setattr(trigger_module, "START_SPREAD", 0.0)
    monkeypatch.setattr(reader_module, "next_pause", lambda state, chance: 0.1)
    xcoms: dict[str, Any] = {}
    monkeypatch.setattr(TaskKey, "raw_xcom", lambda task, key: xcoms.get(key))
    monkeypatch.setattr(TaskKey, "set_raw_xcom", lambda task, key, value: xcoms.update({key: value}))


class Store:
    """A task's state store."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.kept.get(key)

    def set(self, key: str, value: Any) -> None:
        self.kept[key] = json.loads(json.dumps(value))

    def delete(self, key: str) -> None:
        self.kept.pop(key, None)


class Worker:
    """Runs a sensor as Airflow does: again and again after a reschedule, and over the trigger after a deferral."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments
        self.began = timezone.utcnow()
        self.store = Store()
        self.xcoms: dict[str, Any] = {}
        ti = SimpleNamespace(
            **KEY,
            get_first_reschedule_date=lambda _: self.began,
            xcom_push=lambda key, value: self.xcoms.update({key: json.loads(json.dumps(value))}),
        )
        self.context: Any = {"ti": ti, "task_state_store": self.store}
        self.deferrals = 0

    def sensor(self) -> LiveStreamSensor:
        return LiveStreamSensor(task_id="watch", poke_interval=0.1, **self.arguments)

    def run(self) -> Any:
        while True:
            try:
                return self.sensor().execute(self.context)
            except AirflowRescheduleException:
                time.sleep(0.1)
            except TaskDeferred as deferred:
                self.deferrals += 1
                classpath, arguments = deferred.trigger.serialize()
                assert classpath.endswith(".LiveStreamTrigger")
                trigger = trigger_module.LiveStreamTrigger(**json.loads(json.dumps(arguments)))

                async def first_event(trigger: trigger_module.LiveStreamTrigger = trigger) -> Any:
                    return await anext(trigger.run())

                event = asyncio.run(first_event())
                resumed = {**(deferred.kwargs or {}), "event": json.loads(json.dumps(event.payload))}
                return self.sensor().resume_execution(deferred.method_name, resumed, self.context)


def test_it_succeeds_when_the_stream_is_live(site: Site, mode: dict[str, Any]) -> None:
    worker = Worker(url=site.live(every=0.15), timeout=15, **mode)
    result = worker.run()
    assert set(result) == {"verdict", "since", "tail", "target_duration"}
    assert result["verdict"] == "LIVE"
    assert result["target_duration"] == 1
    assert result["tail"] >= 4
    assert json.loads(json.dumps(result)) == result
    assert timezone.utcnow() - datetime.fromisoformat(result["since"]) < timedelta(minutes=1)
    assert worker.deferrals == bool(mode.get("deferrable"))


def test_deferrable_wins_over_reschedule(site: Site) -> None:
    worker = Worker(url=site.live(every=0.15), timeout=15, deferrable=True, mode="reschedule")
    assert worker.run()["verdict"] == "LIVE"
    assert worker.deferrals == 1


def test_it_succeeds_when_a_stream_that_was_live_has_vanished(site: Site, mode: dict[str, Any]) -> None:
    worker = Worker(url=site.vanishing(), until="ended", grace=0.2, timeout=15, **mode)
    assert worker.run()["verdict"] == "ENDED"
    assert worker.store.kept == {}, "a task that is cleared must not find the end of this broadcast"


def test_it_succeeds_when_the_playlist_says_that_the_stream_has_ended(site: Site, mode: dict[str, Any]) -> None:
    worker = Worker(url=site.text("/live.m3u8", media(7, 3, endlist=True)), until="ended", **mode)
    result = worker.run()
    assert (result["verdict"], result["tail"], result["target_duration"]) == ("ENDED", 10, 1)


def test_a_stream_that_has_ended_cannot_become_live_and_fails_for_good(site: Site, mode: dict[str, Any]) -> None:
    worker = Worker(url=site.ending(visits=2), **mode)
    with pytest.raises(AirflowFailException, match=r"the stream ended at .* will not become live"):
        worker.run()


def test_end_of_the_last_broadcast_is_no_answer_to_a_wait_for_live(site: Site, mode: dict[str, Any]) -> None:
    """Its list still stands where the next one is to come."""
    began = time.monotonic()

    def page(visit: Visit) -> None:
        passed = time.monotonic() - began
        visit.answer(media(7, 3, endlist=True) if passed < 0.8 else media(int(passed / 0.15) + 8, 3))

    site.pages["/live.m3u8"] = page
    worker = Worker(url=site.url + "/live.m3u8", timeout=30, **mode)
    assert worker.run()["verdict"] == "LIVE"


@pytest.mark.parametrize("soft_fail", [False, True], ids=["fails", "soft-fails"])
def test_a_stream_that_never_comes_times_out(site: Site, mode: dict[str, Any], soft_fail: bool) -> None:
    worker = Worker(url=site.url + "/live.m3u8?auth=secret", timeout=0.2, soft_fail=soft_fail, **mode)
    with pytest.raises(AirflowSkipException if soft_fail else AirflowSensorTimeout) as caught:
        worker.run()
    assert "secret" not in str(caught.value)


def test_the_cached_list_of_the_last_show_times_out_in_time(site: Site, mode: dict[str, Any]) -> None:
    worker = Worker(url=site.text("/live.m3u8", media(7, 3)), timeout=0.3, **mode)
    begun = time.monotonic()
    with pytest.raises(AirflowSensorTimeout):
        worker.run()
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize("grace", [0.3, "0.3", "PT0.3S", timedelta(seconds=0.3)], ids=str)
def test_grace_is_a_span_of_time_in_any_form(site: Site, grace: Any) -> None:
    sensor = LiveStreamSensor(task_id="watch", url=site.url, grace=grace)
    assert sensor._wait().grace == 0.3


@pytest.mark.parametrize("nothing", [None, "", "None"], ids=repr)
def test_what_renders_to_nothing_means_the_default(site: Site, nothing: Any) -> None:
    wait = LiveStreamSensor(task_id="watch", url=site.url, until=nothing, grace=nothing)._wait()
    assert (wait.until, wait.grace) == ("live", 60)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("url", "", "no address"),
        ("url", " ", "no address"),
        ("url", "None", "no address"),
        ("url", None, "no address"),
        ("url", ["https://cdn.example/a"], "not a list"),
        ("url", "rtmp://me:secret@cdn.example/live/42", "user name"),
        ("url", "rtmpe://cdn.example/live/42", "http or https"),
        ("url", "ftp://cdn.example/live.m3u8", "http or https"),
        ("url", "live.m3u8", "http or https"),
        ("url", "https://me:secret@cdn.example/a.m3u8", "user name"),
        ("until", "over", "live or ended"),
        ("grace", "a while", "grace"),
        ("grace", -1, "grace"),
    ],
)
def test_a_wrong_argument_is_refused_under_its_name_in_each_mode(
    mode: dict[str, Any], field: str, value: Any, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        Worker(**{"url": "https://cdn.example/a.m3u8", field: value, **mode}).run()
    assert caught.value.field == field
    assert "secret" not in str(caught.value)


class TestRtmp:
    def test_a_stream_that_sends_is_live(self, mode: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        install(monkeypatch).packets = at_pace
        prove_quickly(monkeypatch)
        with accepting() as url:
            result = Worker(url=url, timeout=30, **mode).run()
        assert (result["verdict"], result["target_duration"]) == ("LIVE", None)
        assert result["tail"] > 50_000

    def test_a_stream_that_was_live_and_is_gone_has_ended(
        self, mode: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        av = install(monkeypatch)
        prove_quickly(monkeypatch)
        probes = itertools.count()
        av.packets = lambda: at_pace() if next(probes) < 3 else iter(())
        with accepting() as url:
            result = Worker(url=url, until="ended", grace=0.2, timeout=30, **mode).run()
        assert result["verdict"] == "ENDED"

    def test_without_the_extra_it_says_what_to_install(
        self, mode: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On the worker and not before: the DAG processor needs no extra."""
        uninstall(monkeypatch)
        worker = Worker(url="rtmp://cdn.example/live/42?txSecret=1", **mode)
        worker.sensor()
        with pytest.raises(ConfigurationError, match=r"url: .* 'airflow-provider-timav\[rtmp\]'") as refused:
            worker.run()
        assert refused.value.field == "url"
        assert "txSecret" not in str(refused.value)


def test_arguments_are_checked_after_rendering_and_not_before() -> None:
    with DAG("show"):
        sensor = LiveStreamSensor(
            task_id="watch",
            url="{{ ti.xcom_pull(task_ids='start') }}",
            until="{{ params.until }}",
            grace="{{ params.grace }}",
            timav_conn_id="{{ params.connection }}",
        )
    rendered = {"until": "ended", "grace": "PT2M", "connection": ""}
    ti = SimpleNamespace(xcom_pull=lambda task_ids: " https://cdn.example/live.m3u8 ")
    context: Any = {"ti": ti, "params": rendered}
    sensor.render_template_fields(context)
    wait = sensor._wait()
    assert (wait.url, wait.until, wait.grace, wait.timav_conn_id) == (
        "https://cdn.example/live.m3u8",
        "ended",
        120,
        None,
    )


def test_each_poke_reads_more_than_once_so_that_one_is_enough_to_see_a_live_stream(site: Site) -> None:
    worker = Worker(url=site.live(every=0.15))
    done = worker.sensor().poke(worker.context)
    assert isinstance(done, PokeReturnValue)
    assert done.is_done


def test_a_poke_at_a_stream_that_stands_still_is_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensor_module, "POKE_SECONDS", 0.4)
    worker = Worker(url=site.text("/live.m3u8", media(7, 3, target=5)))
    begun = time.monotonic()
    assert worker.sensor().poke(worker.context) is False
    assert time.monotonic() - begun < 3
    assert worker.store.kept["watch"]["watch"]["verdict"] == "STARTING"


def let_time_pass(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Set the clock of probes forward."""
    now = reader_module.wall_clock()
    monkeypatch.setattr(reader_module, "wall_clock", lambda: lambda: now() + seconds)


@pytest.mark.parametrize("stale", ["same-list", "older-list", "404", "empty"])
def test_one_stale_answer_long_after_the_last_poke_ends_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, stale: str
) -> None:
    """A deferrable sensor would have polled on meanwhile, and seen the stream go on."""
    url = site.live(every=0.2)
    live = site.pages["/live.m3u8"]
    worker = Worker(url=url, until="ended", grace=1)
    worker.sensor().poke(worker.context)
    known = worker.store.kept["watch"]["watch"]
    assert known["verdict"] == "LIVE"
    let_time_pass(monkeypatch, 600)
    answers = {
        "same-list": media(known["tail"] - 3, 3),
        "older-list": media(known["tail"] - 4, 3),
        "404": "gone",
        "empty": media(known["tail"], 0),
    }
    answered: list[bool] = []

    def page(visit: Visit) -> None:
        if answered:
            return live(visit)
        answered.append(True)
        return visit.answer(answers[stale], 404 if stale == "404" else 200)

    site.pages["/live.m3u8"] = page
    assert worker.sensor().poke(worker.context) is False
    assert worker.store.kept["watch"]["watch"]["verdict"] == "LIVE"


def test_stream_that_went_while_nobody_looked_has_ended_after_grace(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(url=site.live(every=0.2), until="ended", grace=60)
    worker.sensor().poke(worker.context)
    let_time_pass(monkeypatch, 600)
    del site.pages["/live.m3u8"]
    assert worker.sensor().poke(worker.context) is False
    let_time_pass(monkeypatch, 120)
    assert worker.sensor().poke(worker.context)


def test_the_memory_of_another_stream_is_not_used(site: Site) -> None:
    worker = Worker(url=site.url + "/today.m3u8", until="ended", grace=0)
    memory = {"verdict": "ENDED", "was_live": True, "since": time.time() - 9000}
    worker.store.set("watch", {"place": site.url + "/yesterday.m3u8", "watch": memory})
    assert worker.sensor().poke(worker.context) is False
    worker.store.set("watch", {"place": site.url + "/today.m3u8", "watch": memory})
    assert worker.sensor().poke(worker.context)


def test_a_task_that_is_cleared_does_not_take_the_end_of_the_earlier_show_for_its_own(site: Site) -> None:
    """Airflow raises max_tries when it clears a task, and leaves it alone for a retry or a reschedule."""
    worker = Worker(url=site.url + "/live.m3u8", until="ended", grace=0)
    worker.context["ti"].max_tries = 2
    assert worker.sensor().poke(worker.context) is False
    stored = worker.store.kept["watch"]
    assert stored["max_tries"] == 2
    stored["watch"] = {"verdict": "ENDED", "was_live": True, "since": time.time() - 9000}
    worker.context["ti"].max_tries = 4
    assert worker.sensor().poke(worker.context) is False
    worker.store.set("watch", stored)
    worker.context["ti"].max_tries = 2
    assert worker.sensor().poke(worker.context)


class BrokenStore:
    def __getattr__(self, name: str) -> Any:
        raise OSError("the API server is away")


@pytest.mark.parametrize(
    ("store", "said"),
    [({}, "no task state store"), ({"task_state_store": BrokenStore()}, "could not be")],
    ids=["absent", "broken"],
)
def test_without_a_state_store_a_poke_warns_and_goes_on(
    site: Site, store: Any, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    sensor = LiveStreamSensor(task_id="watch", url=site.live(every=0.15))
    sensor._cached_logger = logging.getLogger("test")  # type: ignore[assignment]  # so that caplog can see it
    assert sensor.poke(store)
    assert said in caplog.text


def test_the_log_holds_no_query(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker(url=site.url + "/live.m3u8?auth=secret")
    sensor = worker.sensor()
    sensor._cached_logger = logging.getLogger("test")  # type: ignore[assignment]  # so that caplog can see it
    with caplog.at_level(logging.DEBUG, "test"):
        sensor.poke(worker.context)
    assert f"{site.url}/live.m3u8 is ABSENT (HTTP status 404)" in caplog.text
    assert "secret" not in caplog.text
    assert "secret" not in json.dumps(worker.store.kept)


@pytest.mark.parametrize("kind", ["poke", "deferrable"])
def test_the_proxy_of_the_connection_is_used_to_read_the_stream(
    site: Site, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_timav.hooks import timav

    monkeypatch.setattr(timav, "TimAVHook", lambda conn_id: SimpleNamespace(proxy={"timav": site.url}[conn_id]))
    site.pages["http://cdn.example/live.m3u8"] = lambda visit: visit.answer(media(7, 3, endlist=True))
    worker = Worker(url="http://cdn.example/live.m3u8", until="ended", timav_conn_id="timav", **MODES[kind])
    assert worker.run()["verdict"] == "ENDED"


def test_a_connection_that_is_wrong_is_refused_before_anything_waits_for_it(
    mode: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "timav", "login": "administrator", "password": "x", "extra": {"sdkappid": "none"}}
    monkeypatch.setenv("AIRFLOW_CONN_TIMAV_WRONG", json.dumps(connection))
    worker = Worker(url="https://cdn.example/a", timav_conn_id="timav_wrong", **mode)
    with pytest.raises(ConfigurationError) as caught:
        worker.run()
    assert caught.value.field == "sdkappid"
    assert worker.deferrals == 0


@pytest.mark.parametrize(
    "event",
    [
        None,
        "reached",
        {},
        {"status": "success", "verdict": "LIVE"},
        {"status": "reached"},
        {"status": "error", "verdict": None, "since": None, "tail": None, "target_duration": None},
    ],
    ids=["none", "text", "empty", "unknown-status", "no-result", "error"],
)
@pytest.mark.parametrize("soft_fail", [False, True], ids=["", "soft-fail"])
def test_an_event_that_is_none_of_ours_fails_loudly(event: Any, soft_fail: bool) -> None:
    sensor = LiveStreamSensor(task_id="watch", url="https://cdn.example/a", soft_fail=soft_fail)
    with pytest.raises(RuntimeError, match="does not know"):
        sensor.resume_execution("execute_complete", {"event": event}, {})


def test_a_resumption_without_any_argument_fails_loudly() -> None:
    """`dag.test` drops a deferral's arguments."""
    with pytest.raises(RuntimeError, match="does not know"):
        LiveStreamSensor(task_id="watch", url="https://cdn.example/a").execute_complete({})


def test_the_deferral_has_an_absolute_deadline_and_airflows_own_limit_behind_it() -> None:
    worker = Worker(url="https://cdn.example/a", timeout=600, deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        worker.sensor().execute(worker.context)
    arguments = deferred.value.trigger.serialize()[1]
    assert arguments["deadline"] == pytest.approx(time.time() + 600, abs=5)
    assert arguments["task_key"] == KEY
    assert deferred.value.timeout == timedelta(seconds=660)


def test_the_triggers_memory_is_there_before_the_trigger_and_knows_nothing() -> None:
    """Airflow logs an error for an XCom that is not there."""
    worker = Worker(url="https://cdn.example/a", until="ended", deferrable=True)
    with pytest.raises(TaskDeferred):
        worker.sensor().execute(worker.context)
    assert StreamState.from_json(worker.xcoms["watch"]) == StreamState()


def test_the_authors_retry_policy_wins_over_the_default() -> None:
    assert isinstance(LiveStreamSensor(task_id="a", url="http://x/").retry_policy, TimAVRetryPolicy)
    assert LiveStreamSensor(task_id="b", url="http://x/", retry_policy=None).retry_policy is None
    assert LiveStreamSensor(task_id="c", url="http://x/", default_args={"retry_policy": None}).retry_policy is None


def test_it_can_be_mapped() -> None:
    with DAG("show"):
        LiveStreamSensor.partial(task_id="watch", deferrable=True).expand(
            url=["https://a.example/", "https://b.example/"]
        )


def test_importing_it_is_cheap() -> None:
    program = (
        "import sys, airflow.sdk; airflow.sdk.BaseSensorOperator, airflow.sdk.BaseHook; before = set(sys.modules)\n"
        "import airflow_provider_timav.sensors.live_stream; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    new = done.stdout.split()
    assert len(new) <= 25, new
    assert not [name for name in new if name.split(".")[0] in ("requests", "aiohttp", "m3u8", "yarl")]
    assert {name for name in new if ".videorelay." in name} <= {"airflow_provider_timav.videorelay.errors"}
