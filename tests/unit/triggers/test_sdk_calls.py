"""SDK calls of triggers: a trigger that is cancelled ends, whatever call is in progress."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from airflow_provider_timav.triggers._sdk_calls import call_sdk


def test_cancellation_that_meets_the_answer_is_not_swallowed() -> None:
    """A watch that goes on would keep the broadcast's stops waiting for ever."""

    async def meet() -> None:
        gate = threading.Event()
        calling = asyncio.create_task(call_sdk(gate.wait, 10))
        await asyncio.sleep(0.05)
        gate.set()
        time.sleep(0.05)  # noqa: ASYNC251 - the answer comes while the loop is busy
        await asyncio.sleep(0)  # the answer has arrived, and nobody has been woken yet
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling

    for _ in range(5):
        asyncio.run(meet())
