"""Wait without holding a worker slot: the task is rescheduled, uses up no retry, and keeps an absolute last moment."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context

__all__ = ["SOONEST_SECONDS", "reschedule_poll", "seconds_of", "waiting_until"]

# Sooner than 10 s after a task gave its slot back, the scheduler may take the new leg for the old one's end.
SOONEST_SECONDS = 10.0
POLL_SECONDS = (15.0, 20.0)


def waiting_until(context: Context, span: timedelta) -> datetime:
    """Return the end of the wait: ``span`` after the first time that this task was rescheduled, over its retries."""
    first = context["ti"].get_first_reschedule_date(context)
    return (first or datetime.now(UTC)) + span


def reschedule_poll(until: datetime, say: Callable[[str, str], None]) -> None:
    """Give the slot back until the next poll; return if the wait is over.

    :param say: is called with the time of the next poll and with that of the last one, in ISO 8601.
    :raises AirflowRescheduleException: with the time of the next poll.
    """
    from airflow.sdk.exceptions import AirflowRescheduleException

    now = datetime.now(UTC)
    if until - now < timedelta(seconds=SOONEST_SECONDS):
        return
    # The last poll is at the end of the wait: a host who comes in its last seconds has come in time.
    again = min(now + timedelta(seconds=random.uniform(*POLL_SECONDS)), until)  # noqa: S311 - jitter
    say(seconds_of(again), seconds_of(until))
    raise AirflowRescheduleException(again)  # type: ignore[no-untyped-call]


def seconds_of(at: datetime) -> str:
    """Return a time in ISO 8601, to the second."""
    return at.isoformat(timespec="seconds")
