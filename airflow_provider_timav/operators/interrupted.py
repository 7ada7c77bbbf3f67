"""Leaves nothing on air when a run within one process, such as ``airflow dags test``, is interrupted.

There, tasks and triggers run one after the other in a process without scheduler, triggerer or reaper: Ctrl-C ends all of them
at once, wherever it meets them, and nobody comes after. So what a start may have put on air is remembered until a stop has
arrived, and stopped when the process ends.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable
from typing import Any, Final

from airflow_provider_timav.videorelay.errors import TimAVError

__all__ = ["forget", "remember"]

log = logging.getLogger(__name__)

STOP_SECONDS: Final = 10.0
"""For one stop at the end of the process, its repeats included."""

_ON_AIR: Final[dict[tuple[Any, ...], Callable[[float], bool]]] = {}


def remember(place: tuple[Any, ...], stop: Callable[[float], bool]) -> None:
    """Have ``stop`` called at the end of this process, unless `forget` is called for the same place before.

    Does nothing where a supervisor watches over the task's process: there, others see to the stop.

    :param place: what is on air: kind, connection, room, user and kind of data.
    :param stop: sends one stop, in at most so many seconds, where something may be on air; returns whether it has.
    """
    if not _is_all_in_one():
        return
    if not _ON_AIR:
        atexit.unregister(_stop_all)
        atexit.register(_stop_all)
    _ON_AIR[place] = stop


def forget(place: tuple[Any, ...]) -> None:
    """Note that nothing is on air there any more that this process has started."""
    _ON_AIR.pop(place, None)


def _is_all_in_one() -> bool:
    """Tell whether supervisor, task and trigger share this process."""
    from airflow.sdk.execution_time import supervisor, task_runner

    comms = getattr(task_runner, "SUPERVISOR_COMMS", None)
    return isinstance(comms, supervisor.InProcessSupervisorComms)


def _stop_all() -> None:
    # The recording first: its file ids come only with its own stop.
    for place in sorted(_ON_AIR, key=lambda place: str(place[0]) != "record"):
        stop = _ON_AIR.pop(place)
        kind, room_id, user_id = place[0], place[2], place[3]
        try:
            sent = stop(STOP_SECONDS)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others must still be stopped
            why = error.with_advice if isinstance(error, TimAVError) else type(error).__name__
            log.error("The %s of %s in room %s may be on air still: %s", kind, user_id, room_id, why)  # noqa: TRY400 - no traceback
        else:
            if not sent:
                continue
            log.warning("The run was interrupted: the %s of %s in room %s is stopped.", kind, user_id, room_id)
