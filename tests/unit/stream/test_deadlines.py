"""Deadlines: a body that takes longer ends as with ``asyncio.timeout_at``, and one timer serves all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from airflow_provider_timav.stream.deadlines import Deadlines


def run(body: Callable[[Deadlines, Callable[[], float]], Coroutine[Any, Any, Any]]) -> Any:
    async def main() -> Any:
        return await body(Deadlines(), asyncio.get_running_loop().time)

    return asyncio.run(main())


def test_body_that_is_done_in_time_is_left_alone() -> None:
    async def body(deadlines: Deadlines, now: Callable[[], float]) -> str:
        with deadlines.at(now() + 60):
            await asyncio.sleep(0)
            done = "done"
        await asyncio.sleep(0)
        return done

    assert run(body) == "done"


def test_body_that_takes_longer_ends_with_a_timeout() -> None:
    async def body(deadlines: Deadlines, now: Callable[[], float]) -> float:
        began = now()
        with pytest.raises(TimeoutError):
            with deadlines.at(began + 0.05):
                await asyncio.sleep(60)
        await asyncio.sleep(0)  # and the task goes on
        return now() - began

    assert 0.04 < run(body) < 10


def test_deadline_that_has_passed_ends_the_body_at_its_first_pause() -> None:
    async def body(deadlines: Deadlines, now: Callable[[], float]) -> None:
        with pytest.raises(TimeoutError):
            with deadlines.at(now() - 1):
                await asyncio.sleep(60)

    run(body)


def test_an_earlier_deadline_does_not_wait_for_a_later_one() -> None:
    async def body(deadlines: Deadlines, now: Callable[[], float]) -> list[str]:
        ended: list[str] = []

        async def one(name: str, seconds: float) -> None:
            with pytest.raises(TimeoutError):
                with deadlines.at(now() + seconds):
                    await asyncio.sleep(60)
            ended.append(name)

        await asyncio.gather(one("later", 0.15), one("earlier", 0.05), one("between", 0.1))
        return ended

    assert run(body) == ["earlier", "between", "later"]


def test_deadline_after_one_that_was_kept_still_ends_its_body() -> None:
    async def body(deadlines: Deadlines, now: Callable[[], float]) -> None:
        with deadlines.at(now() + 0.02):
            await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            with deadlines.at(now() + 0.05):
                await asyncio.sleep(60)

    run(body)


def test_task_that_is_cancelled_by_another_stays_cancelled() -> None:
    async def body(deadlines: Deadlines, now: Callable[[], float]) -> bool:
        async def one() -> None:
            with deadlines.at(now() + 60):
                await asyncio.sleep(60)

        task = asyncio.create_task(one())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(body)


def test_task_that_is_cancelled_in_the_moment_of_its_deadline_stays_cancelled() -> None:
    async def body(deadlines: Deadlines, now: Callable[[], float]) -> bool:
        async def one() -> None:
            with deadlines.at(now()):
                await asyncio.sleep(60)

        task = asyncio.create_task(one())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(task.cancel)
        await asyncio.wait([task])
        return task.cancelled()

    assert run(body)


def test_errors_of_the_body_pass() -> None:
    async def body(deadlines: Deadlines, now: Callable[[], float]) -> None:
        with pytest.raises(ZeroDivisionError), deadlines.at(now() + 60):
            raise ZeroDivisionError

    run(body)
