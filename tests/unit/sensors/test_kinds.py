"""The sensor's result for each kind of stream, in each of its modes."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import timezone
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException, TaskDeferred

from airflow_provider_timav.runs import TaskKey
from airflow_provider_timav.sensors.live_stream import LiveStreamSensor
from airflow_provider_timav.triggers import live_stream as trigger_module
from airflow_provider_timav.triggers.live_stream import LiveStreamTrigger
from harness.streams.kinds import GRACE, KINDS, SECONDS
from harness.streams.origin import Clock, OutOfTime, scripted
from tests.unit.sensors.test_live_stream import KEY, MODES, Store

POKE_INTERVAL = 30.0


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trigger_module, "MIN_AGE", 0.0)
    monkeypatch.setattr(trigger_module, "START_SPREAD", 0.0)
    xcoms: dict[str, Any] = {}
    monkeypatch.setattr(TaskKey, "raw_xcom", lambda task, key: xcoms.get(key))
    monkeypatch.setattr(TaskKey, "set_raw_xcom", lambda task, key, value: xcoms.update({key: value}))


def outcome(clock: Clock, **arguments: Any) -> str:
    """Run a sensor to its end, or to that of the time; the time between two pokes passes on the clock."""

    class Poking(LiveStreamSensor):
        def poke(self, context: Any) -> Any:
            found = super().poke(context)
            if not found:
                clock.advance(POKE_INTERVAL)
            return found

    ti = SimpleNamespace(
        **KEY, get_first_reschedule_date=lambda _: timezone.utcnow(), xcom_push=lambda key, value: None
    )
    context: Any = {"ti": ti, "task_state_store": Store()}
    try:
        while True:
            sensor = Poking(task_id="watch", poke_interval=0.001, timeout=3600, grace=GRACE, **arguments)
            try:
                found = sensor.execute(context)
            except AirflowRescheduleException:
                continue
            except TaskDeferred as deferred:
                trigger = LiveStreamTrigger(**json.loads(json.dumps(deferred.trigger.serialize()[1])))

                async def first_event(trigger: LiveStreamTrigger = trigger) -> Any:
                    return await anext(trigger.run())

                found = sensor.resume_execution(
                    "execute_complete", {"event": asyncio.run(first_event()).payload}, context
                )
            verdict: str = found["verdict"]
            return verdict.lower()
    except AirflowFailException:
        return "fails"
    except OutOfTime:
        return "waits"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("until", ["live", "ended"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_mode_comes_to_what_viewers_see(kind: str, until: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stream = Clock(SECONDS), KINDS[kind]
    with scripted(stream.script(clock), clock, monkeypatch) as site:
        assert outcome(clock, url=site.url + stream.url, until=until, **MODES[mode]) == getattr(stream, until)
