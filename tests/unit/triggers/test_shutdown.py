"""The file ids of a broadcast that ends: they come only once, and are noted whoever dies."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.leases import Claim, Lease, LeaseKey, Ledger, Owner
from airflow_provider_timav.leases.shutdown import ShutdownReport
from airflow_provider_timav.runs import TaskKey
from airflow_provider_timav.triggers import _shutdown
from airflow_provider_timav.videorelay import exchange
from harness.ledger import Sheet

TASK = TaskKey("show", "tonight", "broadcast.on_air")
LOG = logging.getLogger(__name__)


@pytest.fixture
def xcoms(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the task's XComs hold; the ledger is a fresh one."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(Ledger, "store", Sheet())
    monkeypatch.setattr(TaskKey, "raw_xcom", lambda self, key: found.get(key))
    monkeypatch.setattr(TaskKey, "set_raw_xcom", lambda self, key, value: found.__setitem__(key, value))
    return found


class Show:
    """A broadcast on air, and how it is ended."""

    def __init__(self, emulator: Emulator) -> None:
        key = LeaseKey("timav_default", emulator.room_id, emulator.user_id, "camera")
        owner = Owner(TASK.dag_id, TASK.run_id, "broadcast")
        self.emulator = emulator
        self.lease = Lease(key, owner, "generation", datetime.now(UTC))
        self.ledger = Ledger(key.variable)
        self.ledger.write_lease(self.lease)
        with TimAVHook() as hook:
            hook.start_push(room_id=key.room_id, user_id=key.user_id)
            hook.start_record(room_id=key.room_id, user_id=key.user_id, file_name="name")
            self.settings = hook.settings()
        for kind in ("push", "record"):
            self.ledger.write_claim(kind, Claim("generation", "ours", "start"))

    async def end(self) -> ShutdownReport:
        async def look_up() -> Any:
            return self.settings

        return await _shutdown.stop_broadcast(
            self.lease,
            self.ledger,
            ["push", "record"],
            settings=self.settings,
            look_up=look_up,
            on_air=TASK,
            log=LOG,
        )

    def noted(self) -> tuple[str, ...]:
        """The ids that stand in the ledger."""
        claim = self.ledger.claim("record", "generation")
        return claim.file_ids if claim else ()


async def once(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def test_ids_do_not_wait_for_a_push_that_is_slow_to_stop(timav_emulator: Emulator, xcoms: dict[str, Any]) -> None:
    async def die_between() -> None:
        timav_emulator.fail_next(operation="stop_push", delay_answer=30)
        dying = asyncio.create_task(show.end())
        await once(lambda: "stopped" in xcoms and show.noted())
        assert show.ledger.lease() is not None, "the push is on air for all we know"
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)

    show = Show(timav_emulator)
    asyncio.run(die_between())
    ids = timav_emulator.file_ids("name")
    assert ids
    assert xcoms["stopped"]["file_ids"] == ids == list(show.noted())


def test_second_try_leaves_the_next_show_alone(timav_emulator: Emulator, xcoms: dict[str, Any], at_once: None) -> None:
    """A try may take longer than the 30 s after which the room may be taken over."""
    show = Show(timav_emulator)
    timav_emulator.fail_next(9, operation="stop_push", status=502)
    taken = Lease(show.lease.key, Owner("show", "tomorrow", "broadcast"), "next", datetime.now(UTC))

    def take_over(entry: Any) -> None:
        show.ledger.write_lease(taken)
        show.ledger.write_claim("push", Claim("next", "ours"))

    timav_emulator.on_request = take_over
    ended = asyncio.run(show.end())
    tries = [entry for entry in timav_emulator.journal if entry.operation == "stop_push"]
    assert len(tries) == 1
    assert "push" not in ended.outcomes
    claim = show.ledger.claim("push", "next")
    assert claim is not None
    assert claim.state == "ours"


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_shutdown, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(exchange.Exchange, "_pause", lambda self, error: None)


@pytest.mark.parametrize("lost", ["nothing", "the XCom", "the note in the ledger"])
def test_the_trigger_that_comes_after_keeps_what_was_noted(
    timav_emulator: Emulator, xcoms: dict[str, Any], lost: str
) -> None:
    show = Show(timav_emulator)
    asyncio.run(show.end())
    ids = timav_emulator.file_ids("name")
    if lost == "the XCom":
        del xcoms["stopped"]
    if lost == "the note in the ledger":
        show.ledger.write_claim("record", Claim("generation", "ours", "start"))
    ended = asyncio.run(show.end())
    assert ended.outcomes == {"push": "already_stopped", "record": "already_stopped"}
    assert xcoms["stopped"]["file_ids"] == ids == list(show.noted()) == list(ended.file_ids)
    assert show.ledger.lease() is None
