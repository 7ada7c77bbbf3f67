"""Decide what the trigger of a broadcast that is on air does next, and when: from ``control``, the end, and the lease. No I/O.

`OnAirClock.steps` and `OnAirClock.last_check` are generators: they yield one step after the other, and are sent its result.
The trigger takes the steps; tests take them without Airflow, network or waiting.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from airflow_provider_timav.leases import Control
from airflow_provider_timav.videorelay.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_timav.leases import LeaseState

__all__ = ["LookUpConnection", "Note", "OnAirClock", "Over", "ReadControl", "ReadLease", "Sleep", "Step"]

CONTROL_SECONDS: Final = (10.0, 13.0)
"""The time between two polls of ``control``. One poll costs the triggerer's supervisor 17 ms, which all triggers share."""

LAST_POLL_SECONDS: Final = (1.0, 4.0)
"""How long before the end ``control`` is polled once more, so that a late extension is not in vain."""

LATE_SECONDS: Final = 10.0
"""From how late on the lease is read before the stop: it is not taken over sooner than 30 s after its end. A trigger that is
in time has read it with its last poll."""

PUNCTUAL_SECONDS: Final = 2.0
"""Longest wait for the lease before a stop that is in time, if the last poll has not read it: Airflow may hang."""

LEASE_SECONDS: Final = 60.0
"""How often the lease is read meanwhile: a notifier may have ended the broadcast."""

REFRESH_SECONDS: Final = 30.0
"""How long before the end the connection is looked up once more: early, because a hundred broadcasts may end in the same
minute; late, because credentials may be rotated. If Airflow does not answer then, the first look-up counts."""

Status = Literal["deadline", "stopped"]


@dataclass(frozen=True, slots=True)
class ReadControl:
    """Send the value of the XCom ``control``, None if it cannot be read within this many seconds."""

    at_most: float


@dataclass(frozen=True, slots=True)
class ReadLease:
    """Send how the broadcast stands with its lease, None if that cannot be read within this many seconds."""

    at_most: float


@dataclass(frozen=True, slots=True)
class LookUpConnection:
    """Look the connection up anew, within this many seconds."""

    at_most: float


@dataclass(frozen=True, slots=True)
class Note:
    """Log a message, and note `OnAirClock.moved_end` and `OnAirClock.error` in the ledger, within this many seconds."""

    message: str
    warning: bool
    at_most: float


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait this many seconds."""

    seconds: float


Step = ReadControl | ReadLease | LookUpConnection | Note | Sleep


@dataclass(frozen=True, slots=True)
class Over:
    """The broadcast is to be ended.

    :param why: a sentence for the log; empty for the end that was planned.
    """

    status: Status
    why: str = ""


class OnAirClock:
    """The end in force of one broadcast, and what a trigger has to do until then.

    :param end: as reserved.
    :param room_id: for messages.
    :param now: tells the time.
    :param spread: a random number between two others, so that triggers do not poll at the same time.
    """

    def __init__(
        self,
        end: datetime,
        room_id: Any,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        spread: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.reserved_end = end
        self.moved_end: datetime | None = None
        """The end that a person has moved it to."""
        self.error: str | None = None
        """The last fault, for people."""
        self.lease_state: LeaseState | None = None
        """How the broadcast stands with its lease, as last read; None if it was not read since the end was moved."""
        self._room_id = room_id
        self._now = now
        self._spread = spread

    @property
    def end_in_force(self) -> datetime:
        """The end that a person has moved it to, else the one reserved."""
        return self.moved_end or self.reserved_end

    def left(self) -> float:
        """Return the seconds until the end in force; 0 once it has passed."""
        return max((self.end_in_force - self._now()).total_seconds(), 0)

    def steps(self, start_spread: float = 0.0) -> Generator[Step, Any, Over]:
        """Yield the steps until the broadcast is to be ended: at its end, when a person says so, or when others have ended it.

        :param start_spread: within how many seconds to begin: triggers that start together must not poll together.
        """
        refused: Any = None
        polled_last = refreshed = False
        lease_read_at = self._now()
        yield Sleep(self._spread(0, start_spread))
        # At first patiently: a triggerer that was just restarted is slow, and the end may have been moved.
        patience = math.inf
        while True:
            value = yield ReadControl(patience)
            try:
                control = Control.read(value, now=self._now())
            except ConfigurationError as wrong:
                control = Control()
                if value != refused and not self._is_end_in_force(value):
                    self.error = f"{wrong}. Nothing is changed."
                    yield Note(self.error, warning=True, at_most=self.left())
                refused = value
            if control.stop:
                return Over("stopped", f"A person has stopped the broadcast in room {self._room_id}.")
            if control.end is not None and control.end != self.end_in_force:
                self.moved_end, self.error, polled_last, refreshed = control.end, None, False, False
                message = f"The broadcast in room {self._room_id} ends at {control.end.isoformat()} now."
                yield Note(message, warning=False, at_most=self.left())
            if not 0 <= (self._now() - lease_read_at).total_seconds() < LEASE_SECONDS:
                lease_read_at = self._now()
                lease_state = yield ReadLease(self.left())
                if lease_state in ("theirs", "over"):
                    self.lease_state = lease_state  # which does not change any more
                    return Over("stopped", f"The broadcast in room {self._room_id} was ended elsewhere.")
            left = self.left()
            if left > 0 and polled_last:
                self.lease_state = (yield ReadLease(left)) or "unknown"
                yield Sleep(self.left())
            if left <= 0 or polled_last:
                return Over("deadline")
            last_poll = max(left - self._spread(*LAST_POLL_SECONDS), 0)
            pause = min(self._spread(*CONTROL_SECONDS), last_poll)
            polled_last = pause >= last_poll
            began = self._now()
            if left < REFRESH_SECONDS and not refreshed:
                refreshed = True
                yield LookUpConnection(left)
            # Not longer either, if the machine's clock was set back meanwhile.
            yield Sleep(min(max(pause - (self._now() - began).total_seconds(), 0), pause))
            patience = self.left()

    def last_check(self, status: str) -> Generator[Step, Any, bool]:
        """Yield what is left to read before the stops; return whether they may be sent.

        What cannot be told counts as ours.

        :param status: why the broadcast is ended.
        """
        late = (self._now() - self.end_in_force).total_seconds()
        punctual = status == "deadline" and late <= LATE_SECONDS
        if self.lease_state is None or (self.lease_state not in ("theirs", "over") and not punctual):
            at_most = PUNCTUAL_SECONDS if punctual else math.inf
            self.lease_state = (yield ReadLease(at_most)) or "unknown"
        return self.lease_state not in ("theirs", "over")

    def _is_end_in_force(self, value: Any) -> bool:
        """Tell whether a ``control`` that has passed is just the end that is being kept."""
        ends = (self.reserved_end.isoformat(), self.end_in_force.isoformat())
        return isinstance(value, dict) and value.get("end") in ends
