"""Who waits for whom."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from airflow_provider_timav.stream import turns as turns_module
from airflow_provider_timav.stream.turns import LANE, MOST_TURNS, SHARE, SILENT_LANE, Turns

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(coroutine, 20))


class Crowd:
    """Probes that hold their turns until they are released."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.released = asyncio.Event()
        self.holding = 0
        self.most = 0
        self.tasks: list[asyncio.Task[None]] = []

    async def hold(self, host: str, answered: bool | None) -> None:
        async with self.turns.turn(host, answered=answered):
            self.holding += 1
            self.most = max(self.most, self.holding)
            await self.released.wait()
            self.holding -= 1

    async def come(self, count: int, host: str, *, answered: bool | None) -> None:
        self.tasks += [asyncio.create_task(self.hold(host, answered)) for _ in range(count)]
        await asyncio.sleep(0.02)

    async def go(self) -> None:
        self.released.set()
        await asyncio.gather(*self.tasks)


def at_once(turns: Turns, host: str, *, answered: bool | None = True) -> Coroutine[Any, Any, bool]:
    """Tell whether there is a turn without a wait."""

    async def ask() -> bool:
        try:
            async with asyncio.timeout(0.02), turns.turn(host, answered=answered):
                return True
        except TimeoutError:
            return False

    return ask()


def test_silent_streams_keep_no_other_waiting() -> None:
    async def crowded() -> tuple[bool, bool, bool]:
        crowd = Crowd()
        await crowd.come(1000, "silent.example", answered=False)
        found = (
            await at_once(crowd.turns, "silent.example", answered=True),
            await at_once(crowd.turns, "silent.example", answered=None),
            await at_once(crowd.turns, "other.example", answered=False),
        )
        assert crowd.most == SILENT_LANE
        await crowd.go()
        return found

    assert run(crowded()) == (True, True, False)


def test_one_host_has_its_share_of_both_lanes() -> None:
    async def crowded() -> tuple[int, bool, bool]:
        crowd = Crowd()
        await crowd.come(50, "busy.example", answered=True)
        await crowd.come(50, "busy.example", answered=None)
        most = crowd.most
        found = await at_once(crowd.turns, "busy.example"), await at_once(crowd.turns, "other.example")
        await crowd.go()
        assert len([task for task in crowd.tasks if task.done()]) == 100
        return most, *found

    assert run(crowded()) == (SHARE, False, True)


def test_probe_that_takes_long_makes_way_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "PATIENCE_SECONDS", 0.05)

    async def crowded() -> tuple[int, bool]:
        crowd = Crowd()
        await crowd.come(40, "silent.example", answered=None)
        while crowd.holding < 40:  # noqa: ASYNC110 - it waits for timers
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        found = await at_once(crowd.turns, "silent.example", answered=None)
        await crowd.come(200, "silent.example", answered=None)
        await asyncio.sleep(0.3)
        most = crowd.most
        await crowd.go()
        return most, found

    most, found = run(crowded())
    assert found
    assert most == SILENT_LANE + SHARE <= MOST_TURNS


def test_turn_that_nobody_waits_for_any_longer_is_not_lost() -> None:
    async def crowded() -> None:
        crowd = Crowd()
        await crowd.come(SHARE, "busy.example", answered=True)
        waiting = asyncio.create_task(crowd.hold("busy.example", True))
        late = asyncio.create_task(crowd.hold("busy.example", True))
        await asyncio.sleep(0.01)
        waiting.cancel()
        crowd.released.set()
        await asyncio.sleep(0)
        await asyncio.gather(late, *crowd.tasks)
        for _ in range(LANE):
            assert await at_once(crowd.turns, "busy.example")

    run(crowded())


def test_turn_that_was_given_to_one_who_goes_is_passed_on() -> None:
    async def crowded() -> None:
        turns = Turns()
        released = asyncio.Event()

        async def hold() -> None:
            async with turns.turn("busy.example", answered=True):
                await released.wait()

        holders = [asyncio.create_task(hold()) for _ in range(SHARE)]
        await asyncio.sleep(0)
        waiting = asyncio.create_task(hold())
        await asyncio.sleep(0)
        released.set()
        await asyncio.sleep(0)  # the turns are given back, and one is the waiting one's
        waiting.cancel()
        await asyncio.gather(*holders, waiting, return_exceptions=True)
        for _ in range(LANE):
            assert await at_once(turns, "busy.example")

    run(crowded())


def test_watches_that_are_cancelled_together_keep_no_turn_and_no_other_waiting() -> None:
    async def cancelled() -> bool:
        crowd = Crowd()
        await crowd.come(2 * LANE, "busy.example", answered=True)
        gone, stay = crowd.tasks[: LANE + 5], crowd.tasks[LANE + 5 :]
        for task in gone:
            task.cancel()
        ends = await asyncio.gather(*gone, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends)
        crowd.released.set()
        await asyncio.gather(*stay)
        return await at_once(crowd.turns, "busy.example")

    assert run(cancelled())
