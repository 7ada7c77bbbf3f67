"""How triggers ask Airflow: one question at a time, in threads of their own, and never for longer than they can wait.

A triggerer's channel to Airflow takes one question at a time, whoever asks; a hundred triggers that wait for it must not hold
the threads in which others read certificates and look up names. Under ``dag.test`` two questions at once get lost.
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

__all__ = ["ask", "ask_patiently", "try_to_ask"]

T = TypeVar("T")

STORE_SECONDS: Final = 10.0
"""How long to wait for Airflow's stores."""

GIVE_WAY_SECONDS: Final = 2.0
"""After which nobody waits any longer behind a question that hangs: Airflow's calls can, for minutes."""

_THREADS: Final = ThreadPoolExecutor(8, thread_name_prefix="timav-asking")
_TURN: Final = threading.Lock()


def _in_turn(question: Callable[[], T]) -> T:
    mine = _TURN.acquire(timeout=GIVE_WAY_SECONDS)
    try:
        return question()
    finally:
        if mine:
            _TURN.release()


async def ask(question: Callable[[], T], seconds: float | None = None) -> T:
    """Return what a synchronous call of Airflow's SDK returns; the loop goes on meanwhile.

    :param seconds: how long to wait. A call that takes longer goes on in its thread, and nobody hears of it.
    :raises TimeoutError: if it took longer.
    :raises Exception: whatever the call raises.
    """
    context = contextvars.copy_context()  # each trigger's log is told by it
    future = asyncio.get_running_loop().run_in_executor(_THREADS, context.run, _in_turn, question)
    # Not `asyncio.wait_for`: where a cancellation meets the answer, Python 3.11's swallows the cancellation.
    async with asyncio.timeout(seconds):
        return await future


async def try_to_ask(log: Any, trouble: str, question: Callable[[], T], at_most: float = math.inf) -> T | None:
    """Ask; where Airflow does not answer in time, log ``trouble`` and return None: the show goes on.

    :param at_most: how many seconds to wait, where that is less than `STORE_SECONDS`.
    """
    try:
        return await ask(question, min(STORE_SECONDS, at_most))
    except Exception:  # whatever Airflow's stores raise
        log.warning("%s", trouble, exc_info=True)
        return None


async def ask_patiently(question: Callable[[], T], pauses: Sequence[float] = (0.5, 1.0, 2.0)) -> T:
    """Ask for something that a decision hangs on: Airflow may be busy just now. It takes 15.5 s at the most.

    :raises Exception: what the last try raised.
    """
    for pause in pauses:
        try:
            return await ask(question, 3.0)
        except Exception:  # noqa: BLE001 - the last try's leaves this function
            await asyncio.sleep(pause)
    return await ask(question, 3.0)
