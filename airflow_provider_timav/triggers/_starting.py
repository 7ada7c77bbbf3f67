"""Decide what the trigger of a start does next, and when: from the time, the claims, and the service's answers. No I/O.

`Starting.steps` is a generator, as those of the on-air clock are: it yields one step after the other, and is sent its result.
The trigger takes the steps; tests take them without Airflow, network or waiting.

Airflow may run a trigger twice at the same time: it moves a trigger whose triggerer seems dead, and a process that was only
suspended goes on. So each instance has a name, which stands in the claim before anything is sent. An instance that was away
looks for its name first, and one whose name has been replaced does nothing more.
"""

from __future__ import annotations

import math
import random
import time
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_timav.leases.start_protocol import Done, Earlier, Fail, Refusal, Restart, StartProtocol, Wait
from airflow_provider_timav.triggers._start_steps import (
    CheckBroadcast,
    Checked,
    Fenced,
    Left,
    NoteDecision,
    NotStarted,
    Outcome,
    Planned,
    PostRestart,
    PostStart,
    Prepare,
    ReadLease,
    ReadLeft,
    Refused,
    Sleep,
    Started,
    Step,
    WriteClaims,
)
from airflow_provider_timav.videorelay.errors import AlreadyRunning, AmbiguousOutcome, RoomNotReady, TimAVError

if TYPE_CHECKING:
    from airflow_provider_timav.leases import Kind, State
    from airflow_provider_timav.leases.start_protocol import IfAlreadyRunning

__all__ = ["Starting"]

ARM_SECONDS: Final = (5.0, 40.0)
"""How long before the start the claims are written and the connection is looked up: spread, for each call to Airflow takes its
time, and then only the post is left."""

CHECK_SECONDS: Final = 60.0
"""How often the broadcast is checked while its start or its host is waited for."""

POLL_SECONDS: Final = (2.0, 10.0)
"""The time between two polls for the host: at first, and after a long wait."""

SLOWER: Final = 1 / 60
"""Seconds by which the time between two polls grows with each second of waiting."""

REFRESH_SECONDS: Final = 45.0
"""How often an instance writes its name anew while it polls, so that others see that it is there."""

STALE_SECONDS: Final = 90.0
"""How old a claim must be before another instance takes it over: until then the holder may post, and get an answer to it."""

LOOK_SECONDS: Final = 5.0
"""How often notes are read anew: for the result of another instance, or because Airflow did not answer. All triggers of a
triggerer share one channel to Airflow."""

POST_SECONDS: Final = 22.0
"""No post takes as long as this."""

AWAY_SECONDS: Final = 4.0
"""An instance that slept so much longer than it wanted was suspended: another one may have its name."""

FAULT_SECONDS: Final = 60.0
"""How long a fault of the service, or on the way to it, is tried again at least, whether or not the host is waited for."""

RECORD_SECONDS: Final = 10.0
"""How long the trigger polls for the second of two starts. Its own task goes on with it, and the first one's is held up no
longer."""


_ENDED: Final = "the broadcast was ended before this start. Trigger a new run."
_NO_NOTES: Final = "Airflow could not say whether another trigger sends this start"


class _Replaced(Exception):
    """Another instance's name stands in the claim."""


class _Over(Exception):
    """The broadcast was ended before its start."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Starting:
    """One instance's way from the claims to streams that run.

    :param starts: in the order in which they are sent.
    :param policy: what to do about one that runs already.
    :param at: when to send the first; None sends it at once.
    :param until: until when the host is waited for; None polls once.
    :param end: of the broadcast: nothing is sent from then on.
    :param name: of this instance.
    :param attempt: of this deferral: what its task has planned bears it.
    :param now: tells the time.
    :param monotonic: seconds that never go back; they go on while this process is suspended.
    :param spread: a random number between two others.
    """

    def __init__(
        self,
        starts: Sequence[Planned],
        policy: IfAlreadyRunning,
        *,
        at: datetime | None,
        until: datetime | None,
        end: datetime | None = None,
        name: str,
        attempt: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        spread: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.name = name
        self.attempt = attempt
        self.start_ids: dict[Kind, str] = {start.kind: uuid.uuid4().hex for start in starts}
        """The id of each start; that of an earlier one if this is found to go on."""
        self._starts = {start.kind: start for start in starts}
        self._policy = policy
        self._at = at
        self._until = until
        self._end = end
        self._now = now
        self._monotonic = monotonic
        self._spread = spread
        self._protocols: dict[Kind, StartProtocol] = {}
        self._earlier: dict[Kind, Earlier] = {}
        self._done: dict[Kind, Done] = {}
        self._unanswered: set[Kind] = set()
        self._was_away = False
        self._refreshed = self._checked = monotonic()

    @property
    def kinds(self) -> list[Kind]:
        """The kinds of the starts, in the order in which they are sent."""
        return [*self._starts]

    @property
    def may_be_on_air(self) -> list[Kind]:
        """The kinds of which this task may have something on air, as far as this instance knows."""
        return [
            kind
            for kind in self._starts
            if (self._done[kind].claim != "foreign" if kind in self._done else self._is_in_doubt(kind))
        ]

    @property
    def unsent(self) -> list[Kind]:
        """The kinds that were claimed, and of which nothing shows that a start was carried out."""
        return [kind for kind in self._protocols if kind not in self._done and not self._is_in_doubt(kind)]

    def earlier(self, kind: Kind) -> Earlier:
        """Return what stood of a start before this instance claimed it."""
        return self._earlier.get(kind, Earlier())

    @property
    def unanswered(self) -> list[Kind]:
        """The kinds of which a post is under way, or its answer not judged yet."""
        return [*self._unanswered]

    def settle(self, kind: Kind) -> None:
        """Note that the post under way was refused: nothing was started by it."""
        self._unanswered.discard(kind)

    def _is_in_doubt(self, kind: Kind) -> bool:
        """Tell whether a start may have been carried out, also one whose answer nothing has judged yet."""
        return kind in self._unanswered or (kind in self._protocols and self._protocols[kind].in_doubt)

    def steps(self) -> Generator[Step, Any, Outcome]:
        """Yield the steps, up to what has come of the starts."""
        try:
            yield from self._until_armed()
            failed = yield from self._arm()
            if failed is not None:
                return failed
            yield from self._sleep(self._left_until(self._at))
            return (yield from self._send_all())
        except _Replaced:
            return Fenced()
        except _Over as over:
            refusal = over.refusal
        yield from self._withdraw(RoomNotReady(refusal.message))
        return Refused(refusal)

    def _until_armed(self) -> Generator[Step, Any, None]:
        """Wait until shortly before the start; what ends the broadcast before it ends the wait."""
        early = self._spread(*ARM_SECONDS)
        while (left := self._left_until(self._at) - early) > 0:
            yield Sleep(min(left, CHECK_SECONDS))
            if left > CHECK_SECONDS:
                yield from self._check()

    def _arm(self) -> Generator[Step, Any, NotStarted | None]:
        """Find out what others have left, and claim what is to be sent; if Airflow does not answer, try again."""
        _, patient_until = self._limits()
        while not (yield from self._armed()):
            if self._now() >= patient_until:
                return NotStarted(AmbiguousOutcome(_NO_NOTES, executed="no"), in_doubt=False)
            yield from self._sleep(LOOK_SECONDS)
        yield Prepare()
        return None

    def _armed(self) -> Generator[Step, Any, bool]:
        for start in self._starts.values():
            left = yield from self._settled(start.kind)
            if left is None:
                return False
            claim = left.claim
            if claim is not None and claim.state == "stopped":
                raise _Over(Refusal(_ENDED))
            if claim is not None and claim.state == "planned" and claim.start_id != self.attempt:
                raise _Replaced  # the task was cleared, and has deferred anew
            is_of_attempt = claim is not None and (claim.by or "").startswith(self.attempt)
            if claim is not None and is_of_attempt and left.result is not None and claim.state in ("ours", "foreign"):
                # An instance before this one has come this far.
                self._done[start.kind] = Done(left.result, claim.state, recovered=True)
                self.start_ids[start.kind] = claim.start_id or self.start_ids[start.kind]
                continue
            earlier = start.earlier
            if claim is not None and claim.on_air and claim.start_id != earlier.start_id:
                state: State = "ours" if claim.state == "ours" and left.result is not None else "sent"
                earlier = Earlier(claim.start_id, state, left.result, claim.at.isoformat())
            if earlier.own_result is not None and earlier.start_id is not None:
                # The claim keeps the id until another stream is started, so that the next instance finds the result, too.
                self.start_ids[start.kind] = earlier.start_id
            self._earlier[start.kind] = earlier
            self._protocols[start.kind] = StartProtocol(earlier, self._policy, start.known)
        yield from self._check()
        if not self._protocols:
            return True
        self._refreshed = self._monotonic()
        return bool((yield WriteClaims(tuple(self._protocols))))

    def _limits(self) -> tuple[datetime, datetime]:
        """Return until when the host is waited for, and until when faults are tried again."""
        begun = self._now() if self._at is None else max(self._at, self._now())
        until = self._until or begun
        patient_until = max(until, begun + timedelta(seconds=FAULT_SECONDS))
        return until, patient_until if self._end is None else max(min(patient_until, self._end), until)

    def _check(self) -> Generator[Step, Any, bool]:
        """Check the broadcast; return False if nothing can be told of it.

        :raises _Over: if nothing may be sent for it any more.
        """
        self._checked = self._monotonic()
        checked: Checked | None = yield CheckBroadcast()
        if checked is not None and checked.refusal is not None:
            raise _Over(checked.refusal)
        return checked is not None

    def _settled(self, kind: Kind) -> Generator[Step, Any, Left | None]:
        """Return what is noted of a start, once no other instance can be about to note more."""
        left: Left | None = yield ReadLeft(kind)
        while (
            left is not None
            and (claim := left.claim) is not None
            and claim.state == "sent"
            and claim.by not in (None, self.name)
            and self._now() < claim.at + timedelta(seconds=STALE_SECONDS)
        ):
            yield Sleep(LOOK_SECONDS)
            left = yield ReadLeft(kind)
        return left

    def _send_all(self) -> Generator[Step, Any, Outcome]:
        until, patient_until = self._limits()
        for place, kind in enumerate(self._starts):
            if kind in self._done:
                continue
            if place:
                patient_until = until = min(until, self._now() + timedelta(seconds=RECORD_SECONDS))
            decision = yield from self._send(kind, until, patient_until)
            if isinstance(decision, Done) and not decision.recovered and self._earlier[kind].start_id is not None:
                self.start_ids[kind] = uuid.uuid4().hex  # another stream than the one whose id the claim had
            yield NoteDecision(kind, decision)
            if isinstance(decision, Done):
                self._done[kind] = decision
            elif not place:
                yield from self._withdraw(decision.error, but=kind)
                return NotStarted(decision.error, in_doubt=decision.note == "nothing")
        return Started(self._done)

    def _withdraw(self, error: TimAVError, but: Kind | None = None) -> Generator[Step, Any, None]:
        """Take back the claims on starts of which none was sent."""
        for kind in self._protocols:
            if kind != but and kind not in self._done and not self._is_in_doubt(kind):
                yield NoteDecision(kind, Fail(error, "withdraw"))

    def _send(self, kind: Kind, until: datetime, patient_until: datetime) -> Generator[Step, Any, Done | Fail]:
        """Send one start until there is a decision.

        :param until: as long as the host is waited for.
        :param patient_until: as long as faults are tried again.
        """
        protocol, begun = self._protocols[kind], self._now()
        step: PostStart | PostRestart = PostStart(kind)
        while True:
            # A restart could end another instance's stream, or that of another broadcast.
            restarts = isinstance(step, PostRestart)
            if (restarts or self._is_due()) and not (yield from self._hold(kind, certain=restarts or self._was_away)):
                if self._now() >= patient_until:
                    return self._unheld(protocol)
                yield from self._sleep(LOOK_SECONDS)
                continue
            answer = yield from self._posted(step)
            while self._was_away and not (yield from self._hold(kind, certain=False)):
                yield from self._sleep(LOOK_SECONDS)
            theirs = isinstance(answer, AlreadyRunning) and (yield ReadLease(math.inf)) == "theirs"
            decision = protocol.answered(answer, theirs=theirs)
            self._unanswered.discard(kind)
            if isinstance(decision, Restart):
                step = PostRestart(kind)
                continue
            if isinstance(decision, Done):
                return decision
            now, limit = self._now(), until if isinstance(decision, Wait) else patient_until
            if now >= limit or not (isinstance(decision, Wait) or decision.error.retryable):
                return decision.given_up if isinstance(decision, Wait) else decision
            pause = self._pause((now - begun).total_seconds(), decision.error)
            yield from self._sleep(min(pause, (limit - now).total_seconds()))
            if self._monotonic() - self._checked >= CHECK_SECONDS:
                yield from self._check()
            step = PostStart(kind)

    @staticmethod
    def _unheld(protocol: StartProtocol) -> Fail:
        executed: Any = "maybe" if protocol.in_doubt else "no"
        error = AmbiguousOutcome(_NO_NOTES, executed=executed)
        return Fail(error, "nothing" if protocol.in_doubt else "withdraw")

    def _posted(self, step: PostStart | PostRestart) -> Generator[Step, Any, Mapping[str, Any] | TimAVError]:
        begun = self._monotonic()
        # From here on, until its answer is judged, nothing shows that it is not carried out.
        self._unanswered.add(step.kind)
        answer: Mapping[str, Any] | TimAVError = yield step
        posts = 2 if isinstance(step, PostRestart) else 1
        self._was_away |= self._monotonic() - begun > POST_SECONDS * posts + AWAY_SECONDS
        return answer

    def _is_due(self) -> bool:
        return self._was_away or self._monotonic() - self._refreshed >= REFRESH_SECONDS

    def _hold(self, kind: Kind, *, certain: bool) -> Generator[Step, Any, bool]:
        """Read the claims, and write them anew; return whether this instance holds them.

        :param certain: whether to check the broadcast as well.
        :raises _Replaced: if another instance does.
        :raises _Over: if nothing may be sent for the broadcast any more.
        """
        left: Left | None = yield ReadLeft(kind)
        if left is None:
            return False
        if left.claim is not None and left.claim.state == "stopped":
            raise _Over(Refusal(_ENDED))
        if left.claim is not None and left.claim.by != self.name:
            raise _Replaced
        # A claim that is not there names no other instance. A person has deleted it, or the broadcast was stopped.
        if (certain or left.claim is None) and not (yield from self._check()):
            return False
        refreshed = self._monotonic()
        if not (yield WriteClaims(tuple(kind for kind in self._protocols if kind not in self._done))):
            return False
        self._refreshed, self._was_away = refreshed, False
        return True

    def _pause(self, waited: float, error: TimAVError) -> float:
        shortest, longest = POLL_SECONDS
        pause = min(max(shortest, waited * SLOWER), longest) * self._spread(0.8, 1.0)
        return max(pause, error.retry_after or 0.0)

    def _sleep(self, seconds: float) -> Generator[Step, Any, None]:
        begun = self._monotonic()
        yield Sleep(seconds)
        self._was_away |= self._monotonic() - begun > seconds + AWAY_SECONDS

    def _left_until(self, at: datetime | None) -> float:
        return 0.0 if at is None else max((at - self._now()).total_seconds(), 0.0)
