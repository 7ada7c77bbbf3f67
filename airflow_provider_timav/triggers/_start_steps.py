"""The steps that `Starting` yields to the trigger of a start, with what is sent in for each, and its outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_timav.leases.start_protocol import Done, Earlier, Fail, Refusal
from airflow_provider_timav.triggers._clock import ReadLease, Sleep

if TYPE_CHECKING:
    from airflow_provider_timav.leases import Claim, Kind
    from airflow_provider_timav.videorelay.errors import TimAVError

__all__ = [
    "CheckBroadcast",
    "Checked",
    "Fenced",
    "Left",
    "NotStarted",
    "NoteDecision",
    "Outcome",
    "Planned",
    "PostRestart",
    "PostStart",
    "Prepare",
    "ReadLease",
    "ReadLeft",
    "Refused",
    "Sleep",
    "Started",
    "Step",
    "WriteClaims",
    "event_of",
]


@dataclass(frozen=True, slots=True)
class Left:
    """What stands of a start in the notes of others: its claim, and the result that was noted beside it."""

    claim: Claim | None = None
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """What was read of the broadcast: why nothing may be sent for it, or None."""

    refusal: Refusal | None


@dataclass(frozen=True, slots=True)
class Planned:
    """One start that a trigger is to send.

    :param earlier: what earlier tries of its task left.
    :param known: its result, if the arguments tell all of it; see `StartProtocol`.
    """

    kind: Kind
    earlier: Earlier = field(default_factory=Earlier)
    known: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ReadLeft:
    """Send what stands of a start in the notes (`Left`), None if they cannot be read."""

    kind: Kind


@dataclass(frozen=True, slots=True)
class CheckBroadcast:
    """Send whether something may be sent (`Checked`), None if that cannot be read."""


@dataclass(frozen=True, slots=True)
class WriteClaims:
    """Write the claims ``sent`` on these starts, with the name of this instance; send in whether they are written."""

    kinds: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class Prepare:
    """Look the connection up and load its key. What fails here, fails again with the post, which reports it."""


@dataclass(frozen=True, slots=True)
class PostStart:
    """Send the start, and send its answer in: a result, or an error."""

    kind: Kind


@dataclass(frozen=True, slots=True)
class PostRestart:
    """Stop what runs, give the service a moment, start anew, and send the answer in."""

    kind: Kind


@dataclass(frozen=True, slots=True)
class NoteDecision:
    """Begin to note a decision; do not wait for it."""

    kind: Kind
    decision: Done | Fail


Step = Sleep | ReadLeft | ReadLease | CheckBroadcast | WriteClaims | Prepare | PostStart | PostRestart | NoteDecision


@dataclass(frozen=True, slots=True)
class Started:
    """The first start has succeeded.

    :param done: by kind. A second start that is missing here goes on in its own task.
    """

    done: Mapping[Kind, Done]


@dataclass(frozen=True, slots=True)
class NotStarted:
    """The first start has failed.

    :param in_doubt: whether something may have been started all the same.
    """

    error: TimAVError
    in_doubt: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing may be sent any more."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Fenced:
    """Another instance has taken over: this one does nothing more, and waits to be cancelled."""


Outcome = Started | NotStarted | Refused | Fenced


def event_of(outcome: Started | NotStarted | Refused) -> dict[str, Any]:
    """Return the payload of the trigger's event: no address, for Airflow logs events."""
    if isinstance(outcome, NotStarted):
        return {"status": "failed", "error": outcome.error.to_json(), "in_doubt": outcome.in_doubt}
    if isinstance(outcome, Refused):
        return {"status": "refused", "error": {"message": outcome.refusal.message, "taken": outcome.refusal.taken}}
    return {"status": "started", "error": None}
