"""Work of triggers that goes on when Airflow cancels them, and their late imports."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

__all__ = ["finished", "load", "uncancelled"]

T = TypeVar("T")

_RUNNING: Final[set[asyncio.Task[Any]]] = set()
"""Tasks that are never cancelled; the loop itself holds only weak references."""


def uncancelled(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start work that goes on even if the trigger is cancelled. The end of the triggerer ends it, too."""
    task = asyncio.create_task(work)
    _RUNNING.add(task)
    task.add_done_callback(_RUNNING.discard)
    return task


async def finished(work: Coroutine[Any, Any, T]) -> T:
    """Return what work returns, however often the trigger is cancelled meanwhile: Airflow does so about once a second."""
    task = uncancelled(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    return await task


async def load(*names: str) -> None:
    """Import modules of this package in a thread: the loop has others to serve."""
    for name in names:
        await asyncio.to_thread(importlib.import_module, f"airflow_provider_timav.{name}")
