"""How triggers ask Airflow: one question at a time, in a thread of its own.

A triggerer's channel to Airflow takes one question at a time, whoever asks; a hundred triggers that wait for it must not hold
the threads in which others read certificates and look up names. Under ``dag.test`` two questions at once even get lost.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ask", "ask_patiently", "try_to_ask"]

T = TypeVar("T")

_THREAD: Final = ThreadPoolExecutor(1, thread_name_prefix="timav-asking")


async def ask(question: Callable[[], T]) -> T:
    """Return what a synchronous call of Airflow's SDK returns; the loop goes on meanwhile.

    :raises Exception: whatever the call raises.
    """
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_THREAD, lambda: context.run(question))


async def try_to_ask(log: Any, trouble: str, question: Callable[[], T]) -> T | None:
    """Ask; where Airflow does not answer, log ``trouble`` and return None: the show goes on."""
    try:
        return await ask(question)
    except Exception:  # whatever Airflow's stores raise
        log.warning("%s", trouble, exc_info=True)
        return None


async def ask_patiently(question: Callable[[], T], pauses: Sequence[float] = (0.5, 1.0, 2.0, 4.0)) -> T:
    """Ask for something that a decision hangs on: Airflow may be busy just now.

    :raises Exception: what the last try raised.
    """
    for pause in pauses:
        try:
            return await ask(question)
        except Exception:  # noqa: BLE001 - the last try's leaves this function
            await asyncio.sleep(pause)
    return await ask(question)
