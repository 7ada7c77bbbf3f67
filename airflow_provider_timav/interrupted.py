"""Leave nothing on air when a run within one process, such as ``airflow dags test``, is interrupted.

There, tasks and triggers run one after the other in a process without scheduler, triggerer or reaper: Ctrl-C ends all of them
at once, wherever it meets them, and no other process stops their streams. So a start is remembered until a stop has arrived,
and stopped when the process ends: a broadcast's in any case, a single start's only if the run was interrupted. A push whose
stop belongs to another DAG is to outlive a process that ends as it should.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final

from airflow_provider_timav.videorelay.errors import TimAVError

__all__ = ["Place", "forget", "is_all_in_one", "remember"]

log = logging.getLogger(__name__)

STOP_SECONDS: Final = 10.0
"""For one stop at the end of the process, its repeats included."""


@dataclass(frozen=True)
class Place:
    """The identity of a push or a recording.

    :param of_broadcast: whether it is a `Broadcast`'s, which never outlives its process.
    """

    kind: str
    timav_conn_id: str
    room_id: str
    user_id: str
    data_type: str
    of_broadcast: bool = field(default=False, compare=False)


class _Interrupts:
    """Note SIGINT, and hand it on to the handler before.

    The exception alone is not enough: within a task Airflow takes ``KeyboardInterrupt`` for a failure, and goes on.
    """

    def __init__(self) -> None:
        self.seen = False
        self._note: Any = None
        self._before: Any = None

    def watch(self) -> None:
        """Note interrupts from here on, if Python handles them."""
        before = signal.getsignal(signal.SIGINT)
        if before is self._note or not callable(before):
            return

        def note(number: int, frame: FrameType | None) -> Any:
            self.seen = True
            return before(number, frame)

        with contextlib.suppress(ValueError):  # only the main thread may
            signal.signal(signal.SIGINT, note)
            self._note, self._before = note, before

    def unwatch(self) -> None:
        """Forget the interrupts so far, and give the signal back, unless other code has it by now."""
        self.seen = False
        if self._note is not None and signal.getsignal(signal.SIGINT) is self._note:
            with contextlib.suppress(ValueError):
                signal.signal(signal.SIGINT, self._before)

    def ended_the_process(self) -> bool:
        """Tell whether an interrupt was noted, or is the exception that ends the process."""
        return self.seen or isinstance(getattr(sys, "last_value", None), KeyboardInterrupt)


_INTERRUPTS: Final = _Interrupts()
_ON_AIR: Final[dict[Place, Callable[[float], bool]]] = {}


def remember(place: Place, stop: Callable[[float], bool]) -> None:
    """Have ``stop`` called at the end of this process if it must not go on, unless `forget` is called for the place before.

    Do nothing if a supervisor watches over the task's process: there, trigger and reaper stop the stream.

    :param place: the push or recording that may be on air.
    :param stop: sends one stop, within a number of seconds, if something may be on air; returns whether it has.
    """
    if not is_all_in_one():
        return
    if not _ON_AIR:
        atexit.unregister(_stop_all)
        atexit.register(_stop_all)
    _INTERRUPTS.watch()
    _ON_AIR.pop(place, None)  # an equal key would stay, and with it whose it was
    _ON_AIR[place] = stop


def forget(place: Place) -> None:
    """Note that this process has nothing on air there any more."""
    if _ON_AIR.pop(place, None) is not None and not _ON_AIR:
        _INTERRUPTS.unwatch()


def is_all_in_one() -> bool:
    """Tell whether supervisor, task and trigger share this process."""
    from airflow.sdk.execution_time import supervisor, task_runner

    comms = getattr(task_runner, "SUPERVISOR_COMMS", None)
    return isinstance(comms, supervisor.InProcessSupervisorComms)


def _stop_all() -> None:
    interrupted = _INTERRUPTS.ended_the_process()
    reason = "The run was interrupted" if interrupted else "The process ends before its broadcast"
    # The recording first: its file ids come only with its own stop.
    for place in sorted(_ON_AIR, key=lambda place: place.kind != "record"):
        stop = _ON_AIR.pop(place)
        if not (interrupted or place.of_broadcast):
            continue
        try:
            sent = stop(STOP_SECONDS)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others must still be stopped
            why = error.with_advice if isinstance(error, TimAVError) else type(error).__name__
            said = "The %s of %s in room %s may still be on air: %s", place.kind, place.user_id, place.room_id, why
            log.error(*said)  # noqa: TRY400 - no traceback
        else:
            if not sent:
                continue
            log.warning("%s: the %s of %s in room %s is stopped.", reason, place.kind, place.user_id, place.room_id)
    _INTERRUPTS.unwatch()
