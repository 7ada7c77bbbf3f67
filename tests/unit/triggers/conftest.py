"""What the tests of the triggers share."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.operators import _stop as stop_module
from airflow_provider_timav.stream import reader as reader_module
from airflow_provider_timav.triggers import _clock, _sdk_calls, _shutdown, on_air
from airflow_provider_timav.videorelay import exchange
from harness.supervisor import Run, Supervisor
from tests.unit.triggers.trigger import soon


@pytest.fixture
def small_heap() -> Iterator[None]:
    """Keep the collector from what earlier tests have left: searching all of that holds the loop, too."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses: what waits a second, waits a tenth of it."""
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
    monkeypatch.setattr(exchange.Exchange, "_pause", soon(exchange.Exchange._pause))


@pytest.fixture
def run(supervisor: Supervisor, timav_emulator: Emulator) -> Run:
    run = Run(supervisor)
    run.start()
    return run
