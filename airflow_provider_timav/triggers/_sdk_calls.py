"""Call Airflow's synchronous SDK from triggers: serialised, in threads of their own, each call with a timeout.

A triggerer's channel to Airflow takes one call at a time. A hundred triggers that wait for it must not hold the threads in
which others read certificates and resolve names. Under ``dag.test`` two calls at the same time lose each other's answers.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["call_sdk", "call_sdk_or_none", "call_sdk_with_retries"]

T = TypeVar("T")

STORE_SECONDS: Final = 10.0
"""Longest wait for an answer of Airflow's stores."""

GIVE_WAY_SECONDS: Final = 2.0
"""Longest wait for the lock behind a hung SDK call: Airflow's calls can hang for minutes."""

_THREADS: Final = ThreadPoolExecutor(8, thread_name_prefix="timav-sdk-call")
_LOCK: Final = threading.Lock()


def _serialised(call: Callable[[], T]) -> T:
    locked = _LOCK.acquire(timeout=GIVE_WAY_SECONDS)
    try:
        return call()
    finally:
        if locked:
            _LOCK.release()


async def call_sdk(call: Callable[[], T], seconds: float | None = None) -> T:
    """Return what a synchronous SDK call returns; the event loop goes on meanwhile.

    :param seconds: how long to wait. A call that takes longer goes on in its thread, and its result is dropped.
    :raises TimeoutError: if it took longer.
    :raises Exception: whatever the call raises.
    """
    context = contextvars.copy_context()  # the trigger's log context
    future = asyncio.get_running_loop().run_in_executor(_THREADS, context.run, _serialised, call)
    # Not `asyncio.wait_for`: Python 3.11's swallows a cancellation that arrives together with the result.
    async with asyncio.timeout(seconds):
        return await future


async def call_sdk_or_none(log: Any, trouble: str, call: Callable[[], T], at_most: float = math.inf) -> T | None:
    """Return what an SDK call returns; if it fails or is late, log ``trouble`` and return None, so that the broadcast goes on.

    :param at_most: seconds to wait, if fewer than `STORE_SECONDS`.
    """
    try:
        return await call_sdk(call, min(STORE_SECONDS, at_most))
    except Exception:  # whatever Airflow's stores raise
        log.warning("%s", trouble, exc_info=True)
        return None


async def call_sdk_with_retries(call: Callable[[], T], pauses: Sequence[float] = (0.5, 1.0, 2.0)) -> T:
    """Return what an SDK call returns on which a decision depends; retry it, for 15.5 s at most.

    :raises Exception: what the last try raised.
    """
    for pause in pauses:
        try:
            return await call_sdk(call, 3.0)
        except Exception:  # noqa: BLE001 - the last try raises
            await asyncio.sleep(pause)
    return await call_sdk(call, 3.0)
