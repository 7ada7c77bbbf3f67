"""How a task waits without holding a worker slot: it is rescheduled, uses up no retry, and keeps an absolute deadline."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context

__all__ = ["SOONEST_SECONDS", "ask_again", "seconds_of", "waiting_until"]

# Sooner than 10 s after a task gave its slot back, the scheduler may take the new leg for the old one's end.
SOONEST_SECONDS = 10.0
ASK_AGAIN_SECONDS = (15.0, 20.0)


def waiting_until(context: Context, span: timedelta) -> datetime:
    """Return until when to wait: counted from the first time that this task had to wait, over its retries."""
    first = context["ti"].get_first_reschedule_date(context)
    return (first or datetime.now(UTC)) + span


def ask_again(until: datetime, say: Callable[[str, str], None]) -> None:
    """Give the slot back until the next question; return where the wait is over.

    :param say: is told when the next question is, and until when there will be any; both in ISO 8601.
    :raises AirflowRescheduleException: until the next question.
    """
    from airflow.sdk.exceptions import AirflowRescheduleException

    now = datetime.now(UTC)
    if until - now < timedelta(seconds=SOONEST_SECONDS):
        return
    # The last time is the end of the wait: who comes in its last seconds has come in time.
    again = min(now + timedelta(seconds=random.uniform(*ASK_AGAIN_SECONDS)), until)  # noqa: S311 - jitter
    say(seconds_of(again), seconds_of(until))
    raise AirflowRescheduleException(again)  # type: ignore[no-untyped-call]


def seconds_of(at: datetime) -> str:
    """Return a point in time for people, in ISO 8601 to the second."""
    return at.isoformat(timespec="seconds")
