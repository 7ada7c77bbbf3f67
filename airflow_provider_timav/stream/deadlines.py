"""Time limits of many requests with one timer for all.

A timer for each, nearly all of which are cancelled, costs as much CPU as a third of a playlist.
"""

from __future__ import annotations

import asyncio
import math
from types import TracebackType

__all__ = ["Deadlines"]


class Deadlines:
    """The deadlines of the requests of one loop."""

    def __init__(self) -> None:
        self._pending: set[_Deadline] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    def at(self, end: float) -> _Deadline:
        """Return a limit for the body of a ``with`` statement, as ``asyncio.timeout_at`` sets one.

        :param end: by the loop's clock. The body is cancelled then, and `TimeoutError` raised in its place.
        """
        return _Deadline(self, end)

    def add(self, deadline: _Deadline) -> None:
        """Watch a deadline."""
        self._pending.add(deadline)
        if deadline.end < self._timer_at:
            self._set_timer(deadline.end)

    def remove(self, deadline: _Deadline) -> None:
        """Stop watching a deadline. The timer stays: the next deadline is later than the one before, as a rule."""
        self._pending.discard(deadline)

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = asyncio.get_running_loop().call_at(at, self._expire)

    def _expire(self) -> None:
        now = asyncio.get_running_loop().time()
        self._timer, self._timer_at = None, math.inf
        for deadline in [one for one in self._pending if one.end <= now]:
            self._pending.discard(deadline)
            deadline.expire()
        if self._pending:
            self._set_timer(min(one.end for one in self._pending))


class _Deadline:
    """See `Deadlines.at`."""

    __slots__ = ("_cancelling", "_deadlines", "_expired", "_task", "end")

    def __init__(self, deadlines: Deadlines, end: float) -> None:
        self.end = end
        self._deadlines = deadlines
        self._expired = False
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        if self._task is None:
            raise RuntimeError("a deadline holds for a task")
        self._cancelling = self._task.cancelling()
        self._deadlines.add(self)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._deadlines.remove(self)
        # As `asyncio.Timeout` does: a task that was cancelled for another reason, too, stays cancelled.
        if (
            self._expired
            and self._task is not None
            and self._task.uncancel() <= self._cancelling
            and kind is not None
            and issubclass(kind, asyncio.CancelledError)
        ):
            raise TimeoutError from error

    def expire(self) -> None:
        """Cancel the body."""
        self._expired = True
        if self._task is not None:
            self._task.cancel()
