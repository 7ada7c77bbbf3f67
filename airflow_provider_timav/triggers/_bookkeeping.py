"""What one instance of the trigger of a start reads and writes in Airflow: claims, results, and how the broadcast stands."""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_timav.leases import Ledger
from airflow_provider_timav.leases.start_notes import StartNotes
from airflow_provider_timav.leases.start_protocol import Done, Fail, Refusal, refusal
from airflow_provider_timav.notes import note_plays
from airflow_provider_timav.runs import FINAL_STATES, states_of
from airflow_provider_timav.triggers._sdk_calls import call_sdk, call_sdk_or_none, call_sdk_with_retries
from airflow_provider_timav.triggers._start_steps import Checked, Left
from airflow_provider_timav.triggers._tasks import uncancelled

if TYPE_CHECKING:
    from airflow_provider_timav.leases import Kind, Lease
    from airflow_provider_timav.runs import TaskKey
    from airflow_provider_timav.triggers._starting import Starting

__all__ = ["Bookkeeping"]

NOTE_TRIES: Final = 20
NOTE_SECONDS: Final = 15.0
NOTE_PAUSE_SECONDS: Final = 5.0
"""How often a note is tried, how long each time, and the pause after one that failed."""


class Bookkeeping:
    """The notes of one instance. What it cannot read is None, with a warning: the decisions know how to go on.

    :param task: the task that has deferred.
    :param lease: the broadcast's, if the starts belong to one.
    :param starting: the instance's decisions: its name, and the ids of its starts.
    :param log: of the trigger.
    """

    def __init__(self, task: TaskKey, lease: Lease | None, starting: Starting, log: Any) -> None:
        self._task = task
        self._lease = lease
        self._starting = starting
        self._log = log
        self._notes = StartNotes(task, lease)
        self._begun: list[asyncio.Task[bool]] = []

    async def task_state(self) -> str | None:
        """Return the state of the task; None if it is gone.

        :raises Exception: whatever Airflow raises, after some tries.
        """
        return await call_sdk_with_retries(self._task.state)

    async def read(self, kind: Kind) -> Left | None:
        """Return what stands of a start."""
        return await call_sdk_or_none(self._log, "The claim on the start could not be read", lambda: self._left(kind))

    def _left(self, kind: Kind) -> Left:
        claim = self._notes.claim(kind)
        if claim is None or claim.state not in ("ours", "foreign"):
            return Left(claim)
        return Left(claim, self._notes.result(kind, claim))

    async def write_claims(self, kinds: Sequence[Kind]) -> bool | None:
        """Claim that these starts are about to be sent by this instance."""

        def write() -> bool:
            for kind in kinds:
                self._notes.sent(kind, self._starting.start_ids[kind], self._starting.name)
            return True

        return await call_sdk_or_none(self._log, "The claim on the start could not be written", write)

    async def lease_state(self, at_most: float = math.inf) -> str | None:
        """Return how the broadcast stands with its lease; ``ours`` outside of one."""
        return await call_sdk_or_none(self._log, "The lease could not be read", self._lease_state, at_most)

    def _lease_state(self) -> str:
        return "ours" if self._lease is None else Ledger(self._lease.key.variable).lease_state(self._lease)

    async def check(self) -> Checked | None:
        """Return whether something may be sent."""
        return await call_sdk_or_none(self._log, "The broadcast could not be checked", self._check)

    async def check_for_certain(self) -> Checked:
        """Return whether something may be sent, as soon as Airflow says it."""
        while True:
            if (checked := await self.check()) is not None:
                return checked
            await asyncio.sleep(NOTE_PAUSE_SECONDS)

    def _check(self) -> Checked:
        lease = self._lease
        tasks = [self._task] if lease is None else [self._task, lease.owner.task("on_air")]
        state, *others = states_of(tasks)
        if state is None or state in FINAL_STATES:
            return Checked(Refusal(f"the task is {state or 'gone'}: nothing was sent. Clear it, or trigger a new run."))
        if lease is None:
            return Checked(None)
        # The end as reserved: a person can move it once `on_air` has deferred.
        held, over = Ledger(lease.key.variable).lease(), others[0] in FINAL_STATES
        return Checked(refusal(lease, held, on_air_is_over=over, end=lease.end, now=datetime.now(UTC)))

    def begin_note(self, kind: Kind, decision: Done | Fail) -> None:
        """Begin to note a decision: what decides about stops and restarts, even if the trigger is taken away now."""
        self._begun.append(uncancelled(self.note(kind, decision)))

    async def all_noted(self) -> bool:
        """Wait for the notes that were begun, which no cancellation ends; return whether each counts."""
        if self._begun:
            await asyncio.wait(self._begun)
        return all(note.result() for note in self._begun)

    async def note(self, kind: Kind, decision: Done | Fail) -> bool:
        """Note a decision; return False if another instance or a task has taken over: then it is theirs to note.

        Try for some minutes: a start that is not noted is restarted by its task.
        """
        for _ in range(NOTE_TRIES):
            try:
                noted = await call_sdk(functools.partial(self._note, kind, decision), NOTE_SECONDS)
                break
            except Exception:  # noqa: BLE001 - whatever Airflow raises; the task may be gone
                self._log.warning("The start of the %s could not be noted.", kind, exc_info=True)
                await asyncio.sleep(NOTE_PAUSE_SECONDS)
        else:
            return True
        if noted and isinstance(decision, Done) and kind == "push" and self._lease is not None:
            plays = functools.partial(note_plays, self._task, decision.result)
            await call_sdk_or_none(self._log, "The page could not be told of the addresses", plays)
        return noted

    def _note(self, kind: Kind, decision: Done | Fail) -> bool:
        name, start_id = self._starting.name, self._starting.start_ids[kind]
        claim = self._notes.claim(kind)
        if claim is not None and claim.state == "planned" and claim.start_id == self._starting.attempt:
            return True  # this instance has claimed nothing
        if claim is not None and claim.by != name and claim.state != "stopped":
            return False
        if self._lease_state() != "ours" if claim is None else claim.state == "stopped":
            return True  # the broadcast was ended: what this says is of no use to it
        if isinstance(decision, Done):
            at = self._starting.earlier(kind).at if decision.recovered else None
            self._notes.done(kind, decision, start_id, name, at)
        elif decision.note == "foreign":
            self._notes.foreign(kind, start_id, name)
        elif decision.note == "withdraw":
            self._notes.withdraw(kind, self._starting.earlier(kind), start_id, name)
        else:
            self._notes.doubtful(kind, start_id, name)
        return True

    async def return_claims(self) -> None:
        """Claim ``planned`` what this instance has claimed and not sent, so that the next one goes on at once."""
        trouble = "The claims on the starts could not be returned; the next instance waits until they are stale"
        await call_sdk_or_none(self._log, trouble, self._return_claims)

    def _return_claims(self) -> None:
        for kind in self._starting.unsent:
            claim = self._notes.claim(kind)
            if claim is not None and claim.state == "sent" and claim.by == self._starting.name:
                self._notes.returned(kind, self._starting.attempt)

    async def claimed_by_others(self, *, is_success: bool) -> list[Kind]:
        """Return the kinds that other instances of this attempt may have on air, once their task is over.

        They are dead, or will find that they are replaced.

        :param is_success: whether the task has succeeded: then what is noted as ours goes on.
        :raises Exception: whatever Airflow raises, after some tries.
        """
        kinds: list[Kind] = []
        for kind in self._starting.kinds:
            claim = await call_sdk_with_retries(functools.partial(self._notes.claim, kind))
            if claim is None or claim.by in (None, self._starting.name) or not claim.on_air:
                continue
            if claim.by.startswith(self._starting.attempt) and not (is_success and claim.state == "ours"):
                kinds.append(kind)
        return kinds

    async def is_replaced(self, kind: Kind) -> bool:
        """Tell whether another instance, or a task, claims this kind by now: what runs is theirs to stop."""

        def replaced() -> bool:
            claim = self._notes.claim(kind)
            return claim is not None and claim.by != self._starting.name and claim.state != "stopped"

        return bool(await call_sdk_or_none(self._log, "The claim on the start could not be read", replaced))
