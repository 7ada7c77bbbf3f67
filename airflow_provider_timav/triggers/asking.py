"""How triggers ask Airflow for something: in threads of their own, and never for longer than they can wait."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

__all__ = ["ask"]

T = TypeVar("T")

# Airflow's calls can hang for minutes while its API server is away. They must not hang in the threads that the loop lends to
# everybody: a stop needs one of those to read its certificate.
_THREADS: Final = ThreadPoolExecutor(max_workers=8, thread_name_prefix="timav-asks-airflow")


async def ask(access: Callable[[], T], seconds: float | None = None) -> T:
    """Return what ``access`` returns; it makes the SDK's synchronous calls (the others fail under ``dag.test``).

    :param seconds: how long to wait. A call that takes longer goes on in its thread, and nobody hears of it.
    :raises TimeoutError: if it took longer.
    """
    context = contextvars.copy_context()  # each trigger's log is told by it
    future = asyncio.get_running_loop().run_in_executor(_THREADS, context.run, access)
    return await asyncio.wait_for(future, seconds)
