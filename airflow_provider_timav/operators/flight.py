"""How an operation comes down safely when its task is told to end.

Airflow calls ``on_kill`` from a signal handler, on top of whatever the main thread is doing, and lets ``execute`` go on; five
seconds after SIGTERM comes SIGKILL. So the handler must not overtake a start that is in the air (its stop would come first and
the stream stay on), must not ask Airflow for anything (the channel to the supervisor may be in use by the very thread that was
interrupted), and has no time to lose.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

from airflow_provider_timav.videorelay.errors import TimAVError

__all__ = ["Flight"]

log = logging.getLogger(__name__)

CUT_AFTER_SECONDS = 2.0
STOP_SECONDS = 2.0


class Flight:
    """Where the operation of a task is, for a signal handler to read.

    :param cancel: has the call in the air end within so many seconds (``Client.cancel``).
    :param stop: sends one stop over a connection of its own, in at most so many seconds.
    """

    def __init__(self, *, cancel: Callable[[float], None], stop: Callable[[float], None]) -> None:
        self._cancel = cancel
        self._stop = stop
        self._sending = False
        self.up = False
        """Whether there may be something of ours in the air."""
        self.killed = False
        """Whether the task was told to end."""

    @classmethod
    def none(cls) -> Flight:
        """Return the flight of a task that has not begun: there is nothing to bring down."""
        return cls(cancel=_nothing, stop=_nothing)

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """Surround what is sent. What leaves it other than by the service's refusal may have been carried out."""
        self._sending = True
        try:
            yield
        except TimAVError as error:
            self.up = self.up or error.executed != "no"
            raise
        except BaseException:
            self.up = True
            raise
        else:
            self.up = True
        finally:
            self._sending = False

    def kill(self) -> None:
        """Come down: now, or, while a call is under way, as soon as it has ended (``land``). For ``on_kill``."""
        self.killed = True
        if self._sending:
            self._cancel(CUT_AFTER_SECONDS)
        else:
            self.land()

    def stop_if_up(self, seconds: float) -> bool:
        """Send the stop if there may be something of ours in the air, a call that was interrupted included; return whether."""
        if not (self.up or self._sending):
            return False
        self._stop(seconds)
        return True

    def land(self) -> None:
        """Send the stop if there may be something of ours in the air."""
        if not self.up:
            return
        self.up = False
        try:
            self._stop(STOP_SECONDS)
        except TimAVError as error:
            log.error("The task was told to end, and its stream could not be stopped: %s", error.with_advice)  # noqa: TRY400 - no traceback
        else:
            log.warning("The task was told to end: what it had started is stopped.")


def _nothing(_: float) -> None:
    """Do nothing."""
