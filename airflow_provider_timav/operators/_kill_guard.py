"""Stops an operation safely when Airflow tells its task to end.

Airflow calls ``on_kill`` from a signal handler, on top of the interrupted main thread, and lets ``execute`` go on; SIGKILL
comes five seconds after SIGTERM. So the handler must not overtake a start that is in progress (the stop would arrive first,
and the stream would stay on), and must not call Airflow (the interrupted thread may be using the channel to the supervisor).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

from airflow_provider_timav.videorelay.errors import TimAVError

__all__ = ["KillGuard"]

log = logging.getLogger(__name__)

CUT_AFTER_SECONDS = 2.0
STOP_SECONDS = 2.0


class KillGuard:
    """How far a task's operation has got, for the signal handler that has to stop it.

    :param cancel: ends the call in progress within a number of seconds (``Client.cancel``).
    :param stop: sends one stop over a connection of its own, within a number of seconds.
    """

    def __init__(self, *, cancel: Callable[[float], None], stop: Callable[[float], None]) -> None:
        self._cancel = cancel
        self._stop = stop
        self._in_progress = False
        self.may_be_running = False
        """Whether a push or a recording of this task may be running."""
        self.killed = False
        """Whether the task was told to end."""

    @classmethod
    def none(cls) -> KillGuard:
        """Return the guard of a task that has not sent anything."""
        return cls(cancel=_nothing, stop=_nothing)

    @contextlib.contextmanager
    def in_progress(self) -> Iterator[None]:
        """Surround a call. Unless the service refuses it, what it starts may be running afterwards."""
        self._in_progress = True
        try:
            yield
        except TimAVError as error:
            self.may_be_running = self.may_be_running or error.executed != "no"
            raise
        except BaseException:
            self.may_be_running = True
            raise
        else:
            self.may_be_running = True
        finally:
            self._in_progress = False

    def kill(self) -> None:
        """Stop now, or, if a call is in progress, end it and leave the stop to its caller (``stop_now``). For ``on_kill``."""
        self.killed = True
        if self._in_progress:
            self._cancel(CUT_AFTER_SECONDS)
        else:
            self.stop_now()

    def stop_if_running(self, seconds: float) -> bool:
        """Send the stop if something may be running, also by a call that was interrupted; return whether it was sent."""
        if not (self.may_be_running or self._in_progress):
            return False
        self._stop(seconds)
        return True

    def stop_now(self) -> None:
        """Send the stop if something may be running, and log what came of it."""
        if not self.may_be_running:
            return
        self.may_be_running = False
        try:
            self._stop(STOP_SECONDS)
        except TimAVError as error:
            log.error("The task was told to end, and its stream could not be stopped: %s", error.with_advice)  # noqa: TRY400 - no traceback
        else:
            log.warning("The task was told to end: stopped what it had started.")


def _nothing(_: float) -> None:
    """Do nothing."""
