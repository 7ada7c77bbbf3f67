"""Questions to Airflow: a trigger that is told to end ends, whatever it was just asking."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from airflow_provider_timav.triggers.asking import ask


def test_cancellation_that_meets_the_answer_is_not_swallowed() -> None:
    """A watch that goes on would keep the show's stops waiting for ever."""

    async def meet() -> None:
        gate = threading.Event()
        asking = asyncio.create_task(ask(gate.wait, 10))
        await asyncio.sleep(0.05)
        gate.set()
        time.sleep(0.05)  # noqa: ASYNC251 - the answer comes while the loop is busy
        await asyncio.sleep(0)  # the answer has arrived, and nobody has been woken yet
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    for _ in range(5):
        asyncio.run(meet())
