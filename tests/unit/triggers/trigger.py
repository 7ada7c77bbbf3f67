"""What the tests of a broadcast's trigger do: run it, move its end, and look at what it has sent."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.triggers.on_air import OnAirTrigger
from harness.supervisor import Run

T = TypeVar("T")
HOST: dict[str, Any] = {"room_id": 10086, "user_id": "host_1"}


def soon(pause: Callable[..., float | None]) -> Callable[..., float | None]:
    return lambda self, error: None if pause(self, error) is None else 0.0


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
