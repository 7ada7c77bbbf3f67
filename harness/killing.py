"""A signal in the middle of an operation: sent when the service has come to a certain point, not after a certain time."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from airflow_provider_timav.emulator import Emulator
from harness.task import Task

POLL_SECONDS = 0.005
LEFT_SECONDS = 5.0  # from SIGTERM to SIGKILL


def executed(emulator: Emulator, operation: str) -> Callable[[], bool]:
    """Whether the service has carried this operation out; its answer may be held back."""
    return lambda: any(entry.executed and entry.operation == operation for entry in emulator.journal)


def held(emulator: Emulator) -> Callable[[], bool]:
    """Whether a request has met one of the faults that are queued now: it has arrived, and is held by its ``delay``."""
    before = emulator.pending_faults
    return lambda: emulator.pending_faults != before


@contextmanager
def interrupted(handler: Callable[..., None], when: Callable[[], bool]) -> Iterator[None]:
    """Run ``handler`` in the main thread, on top of whatever it does, as soon as ``when`` holds."""
    over = threading.Event()
    main = threading.main_thread().ident
    assert main

    def watch() -> None:
        while not when():
            if over.wait(POLL_SECONDS):
                return
        signal.pthread_kill(main, signal.SIGTERM)

    watcher = threading.Thread(target=watch, daemon=True)
    before = signal.signal(signal.SIGTERM, handler)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        signal.signal(signal.SIGTERM, before)


@contextmanager
def told_to_end(task: Task, when: Callable[[], bool]) -> Iterator[None]:
    """Call ``on_kill`` as Airflow does at SIGTERM, while ``execute`` goes on; the block must be over before SIGKILL."""
    told: list[float] = []

    def handler(*_: Any) -> None:
        told.append(time.monotonic())
        task.operator.on_kill()

    with interrupted(handler, when):
        yield
    assert len(told) == 1
    assert time.monotonic() - told[0] < LEFT_SECONDS
