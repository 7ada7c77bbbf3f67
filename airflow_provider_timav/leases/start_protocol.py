"""Decide how a start goes on, from what earlier tries left, the answer, and the policy. No I/O.

A mover sends the calls, hands each answer to `StartProtocol.answered`, and does what the decision says: today that is the
start task (``operators/_start.py``). Tests hand answers in without Airflow, network or waiting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, cast, get_args

from airflow_provider_timav.reading import Fields, Unreadable
from airflow_provider_timav.videorelay.errors import (
    AlreadyRunning,
    AmbiguousOutcome,
    ConfigurationError,
    RoomNotReady,
    TimAVError,
)

if TYPE_CHECKING:
    from airflow_provider_timav.leases.entries import Claim, Lease, State

__all__ = [
    "Done",
    "Earlier",
    "Fail",
    "IfAlreadyRunning",
    "Refusal",
    "Restart",
    "StartProtocol",
    "Wait",
    "ended_meanwhile",
    "parse_policy",
    "read_result",
    "refusal",
]

IfAlreadyRunning = Literal["recover", "restart", "fail"]

MOST_RESTARTS: Final = 2
"""Restarts of one try. A restart whose own answer is lost is made once more; after that, the next try goes on."""

LONGEST_ADDRESS: Final = 8192
"""Characters of an address, and of any other text in a result."""

_CLAIMS: Final[tuple[State, ...]] = ("sent", "ours", "foreign", "refused")


def parse_policy(value: Any) -> IfAlreadyRunning:
    """Return ``if_already_running`` as rendered.

    :raises ConfigurationError: naming it.
    """
    if value not in get_args(IfAlreadyRunning):
        raise ConfigurationError(
            f"if_already_running must be recover, restart or fail, not {value!r}", field="if_already_running"
        )
    return cast("IfAlreadyRunning", value)


@dataclass(frozen=True)
class Earlier:
    """What earlier tries of a start left: the claim on what they may have started, and its result.

    :param at: since when it runs, in ISO 8601.
    """

    start_id: str | None = None
    claim: State | None = None
    result: Mapping[str, Any] | None = None
    at: str | None = None

    @classmethod
    def from_json(cls, noted: Any) -> Earlier:
        """Read what a start task has noted.

        :raises Unreadable: for anything else.
        """
        fields = Fields(noted)
        at, result = fields.moment_or_none("at"), fields.get("result")
        return cls(
            start_id=fields.text_or_none("start_id", most=64),
            claim=fields.choice("claim", _CLAIMS),
            result=None if result is None else read_result(fields.within("result")),
            at=None if at is None else at.isoformat(),
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON primitives, for `from_json`; empty if nothing was left."""
        noted = {
            "start_id": self.start_id,
            "claim": self.claim,
            "result": None if self.result is None else dict(self.result),
            "at": self.at,
        }
        return {name: value for name, value in noted.items() if value is not None}

    @property
    def own_result(self) -> Mapping[str, Any] | None:
        """The result of a start by an earlier try, whose stream still ran when this try began."""
        return self.result if self.claim == "ours" else None

    @property
    def may_be_ours(self) -> bool:
        """Whether an earlier try may have started what runs now: its answer was lost, or it took over one such."""
        return self.claim == "sent"


def read_result(fields: Fields) -> dict[str, Any]:
    """Return the result of a start, as it was handed on: texts, and for each rate an address.

    :raises Unreadable: for anything else.
    """
    texts = ("outcome", "hls_url", "rtmp_url", "channel_id", "tape_task_id", "file_name")
    result: dict[str, Any] = {
        name: text for name in texts if (text := fields.text_or_none(name, most=LONGEST_ADDRESS)) is not None
    }
    if (urls := fields.get("live_urls")) is not None:
        if not isinstance(urls, list):
            raise Unreadable("live_urls is no list")
        result["live_urls"] = [_live_url(Fields(url)) for url in urls]
    return result


def _live_url(fields: Fields) -> dict[str, str]:
    return {name: fields.text(name, most=LONGEST_ADDRESS) for name in ("type", "rate", "url")}


@dataclass(frozen=True, slots=True)
class Restart:
    """Stop what runs, give the service a moment, start anew, and hand in the answer: the start's, or the stop's error."""


@dataclass(frozen=True, slots=True)
class Done:
    """One runs. Note result and claim, and hand the result on.

    :param claim: ``ours``, ``sent`` (ours, for all that is known), or ``foreign``.
    :param recovered: whether it is the stream of an earlier try, which goes on under its ``start_id``.
    """

    result: Mapping[str, Any]
    claim: State
    recovered: bool = False


@dataclass(frozen=True, slots=True)
class Fail:
    """Raise the error.

    :param note: what to note before: ``withdraw`` the intent (nothing was started), the claim ``foreign``, or ``nothing``
        (something may run: the claim stays ``sent``).
    """

    error: TimAVError
    note: Literal["withdraw", "foreign", "nothing"] = "nothing"


@dataclass(frozen=True, slots=True)
class Wait:
    """Try again later, as long as the host is waited for; after that, do ``then``.

    :param withdraw: whether to take the intent back meanwhile: nothing was started.
    """

    error: TimAVError
    withdraw: bool
    then: Done | Fail

    @property
    def given_up(self) -> Done | Fail:
        """What is left of it if it is not tried again, by a mover that has not taken its intent back meanwhile."""
        if isinstance(self.then, Fail) and self.then.note == "nothing" and self.withdraw:
            return Fail(self.then.error, "withdraw")
        return self.then


class StartProtocol:
    """One try of a start: from its first answer to one that runs, or to an error.

    :param earlier: what earlier tries left.
    :param policy: what to do about one that runs already.
    :param known: the result of one that runs and is ours, if its arguments tell all of it (a recording's); None if only the
        answer to a start does (a push's URLs), so that one whose answer was lost must be restarted.
    """

    def __init__(self, earlier: Earlier, policy: IfAlreadyRunning, known: Mapping[str, Any] | None = None) -> None:
        self._earlier = earlier
        self._policy = policy
        self._known = known
        self._restarts = 0
        self._lost = False
        self.may_be_running = False
        """Whether one that this mover has started may be running."""

    @property
    def in_doubt(self) -> bool:
        """Whether a start was sent, here or by an earlier try, of which nothing shows that it was not carried out."""
        return self.may_be_running or self._earlier.claim in ("sent", "ours")

    def answered(self, answer: Mapping[str, Any] | TimAVError, *, theirs: bool = False) -> Restart | Done | Wait | Fail:
        """Return how to go on after an answer to the start, or to the restart that was decided.

        :param answer: the result, or the error that the client raised.
        :param theirs: whether another broadcast holds the room by now. It has stopped what was ours; what runs is its own.
        """
        if isinstance(answer, Mapping):
            self.may_be_running, self._lost = True, False
            return Done({**answer, "outcome": "restarted"} if self._restarts else answer, "ours")
        if isinstance(answer, AlreadyRunning):
            return self._already_running(answer, theirs=theirs)
        if isinstance(answer, RoomNotReady) and answer.executed == "no" and not self._restarts:
            # The service has looked: nothing of this host runs, whatever became of a start before.
            self.may_be_running = self._lost = False
        self.may_be_running = self.may_be_running or answer.executed != "no"
        self._lost = self._lost or answer.executed != "no"
        if isinstance(answer, RoomNotReady):
            return Wait(answer, withdraw=not self.may_be_running, then=Fail(answer))
        return Fail(answer, "nothing" if self.may_be_running else "withdraw")

    def _already_running(self, answer: AlreadyRunning, *, theirs: bool) -> Restart | Done | Wait | Fail:
        if theirs:
            return self._foreign(answer)
        if answer.after_ambiguity or self._lost:
            return self._own(answer)
        if self._restarts:
            # Ours is stopped: this one was started by others in the moment between stop and start.
            return self._foreign(answer)
        if (result := self._earlier.own_result) is not None:
            self.may_be_running = True
            return Done({**result, "outcome": "recovered"}, "ours", recovered=True)
        if self._earlier.may_be_ours:
            return self._own(answer)
        if self._policy == "restart":
            return self._restart()
        return self._foreign(answer)

    def _own(self, answer: AlreadyRunning) -> Restart | Done | Fail:
        """Settle that one runs which is ours, and whose answer was lost."""
        self.may_be_running = True
        if self._known is not None:
            return Done({"outcome": "restarted" if self._restarts else "adopted", **self._known}, "sent")
        if self._restarts < MOST_RESTARTS:
            return self._restart()
        return Fail(AmbiguousOutcome(f"{answer}; each restart's own answer was lost, too", executed="maybe"))

    def _restart(self) -> Restart:
        self._restarts += 1
        return Restart()

    def _foreign(self, answer: AlreadyRunning) -> Done | Wait | Fail:
        """Leave one alone that others have started."""
        decision = Fail(answer, "foreign") if self._policy == "fail" else Done({"outcome": "adopted"}, "foreign")
        if answer.doubtful:
            # The code may also mean that the host is not there yet: as long as that is waited for, nothing is known.
            return Wait(answer, withdraw=True, then=decision)
        return decision


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing may be sent for a broadcast.

    :param taken: whether another broadcast holds the room, which may be over when this is tried again.
    """

    message: str
    taken: bool = False


def refusal(
    lease: Lease,
    held: Lease | None,
    *,
    on_air_is_over: bool,
    end: datetime,
    now: datetime,
    push: Claim | None = None,
) -> Refusal | None:
    """Return why a start of a broadcast may not be sent, or None.

    :param lease: the broadcast's.
    :param held: the lease that stands in the ledger.
    :param on_air_is_over: whether ``on_air`` has come to its end: the broadcast was stopped, and its stops may have run.
    :param end: the end in force. A worker may have been lost, or the task have waited, until then.
    :param push: before the start of a recording, the claim on the push. A person may have marked its task.
    """
    room_id = lease.key.room_id
    if held is None:
        # A notifier has ended the broadcast, or a person has deleted the lease: no reaper would find what is started.
        return Refusal(
            f"the lease of room {room_id} was released, the broadcast was ended: nothing was sent. Trigger a new run."
        )
    if held.generation != lease.generation:
        return Refusal(
            f"room {room_id} is held by {held.owner} by now: nothing was sent. Trigger a new run.", taken=True
        )
    if on_air_is_over:
        return Refusal("the broadcast was ended before this start: nothing was sent. Trigger a new run.")
    if push is not None and push.state in ("planned", "refused"):
        return Refusal("the broadcast's push was never started: no recording was started. Trigger a new run.")
    if end <= now:
        return Refusal(f"the broadcast's end has passed ({end.isoformat()}): nothing was sent. Trigger a new run.")
    return None


def ended_meanwhile(lease: Lease, held: Lease | None, *, on_air_is_over: bool) -> bool:
    """Tell whether a broadcast was ended while its start was under way: its stops may have come before the start.

    A lease of others counts, too: the end has passed meanwhile, and what was started would stay in their way.
    """
    return held is None or held.generation != lease.generation or on_air_is_over
