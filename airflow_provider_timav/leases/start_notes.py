"""Read and write what a trigger notes of the starts that it sends: claims and results, for tasks and other triggers.

In a broadcast, claims stand in the ledger, and results with the run (``confirmation``): addresses of a stream are under the
rights of its DAG. A start outside of a broadcast has the XComs of its own task for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from airflow_provider_timav.leases import confirmation
from airflow_provider_timav.leases.entries import Claim, Kind, Lease, State
from airflow_provider_timav.leases.ledger import Ledger
from airflow_provider_timav.leases.start_protocol import Done, Earlier, read_result
from airflow_provider_timav.reading import Fields, Unreadable, stored
from airflow_provider_timav.runs import TaskKey

__all__ = ["StartNotes"]

_ALONE: Final = "alone"
"""Stands for the generation of a start that belongs to no broadcast."""


class StartNotes:
    """The notes of the starts that one task has a trigger send.

    Synchronous, as all calls of Airflow's SDK here are; each method raises whatever Airflow raises.

    :param task: the task that has deferred.
    :param lease: the broadcast's, if the starts belong to one.
    """

    def __init__(self, task: TaskKey, lease: Lease | None) -> None:
        self._task = task
        self._lease = lease

    def claim(self, kind: Kind) -> Claim | None:
        """Return the claim on a start."""
        if self._lease is not None:
            return Ledger(self._lease.key.variable).claim(kind, self._lease.generation)
        try:
            return Claim.from_json(stored(self._task.raw_xcom(_key(kind))))
        except Unreadable:
            return None

    def result(self, kind: Kind, claim: Claim) -> Mapping[str, Any] | None:
        """Return the result that was noted beside a claim."""
        if self._lease is not None:
            return confirmation.result_of(kind, self._lease, claim.start_id)
        try:
            noted = Fields(stored(self._task.raw_xcom(_key(kind))))
            return None if noted.get("result") is None else read_result(noted.within("result"))
        except Unreadable:
            return None

    def planned(self, kind: Kind, attempt: str) -> None:
        """Claim that a trigger is to send a start.

        :param attempt: tells this deferral from others.
        :raises LookupError: if the claim cannot be read back: then nothing may be sent.
        """
        self._write(kind, "planned", attempt, None)

    def earlier(self, kind: Kind) -> Earlier:
        """Return what earlier tries left, as far as these notes tell: without the result, the outcome is not known."""
        claim = self.claim(kind)
        if claim is None or claim.state not in ("sent", "ours", "foreign"):
            return Earlier()
        result = self.result(kind, claim)
        state: State = "sent" if claim.state == "ours" and result is None else claim.state
        return Earlier(claim.start_id, state, result, claim.at.isoformat())

    def sent(self, kind: Kind, start_id: str, by: str) -> None:
        """Claim that a start is about to be sent, or may be any moment, by this instance of a trigger.

        To be called for a claim that was read a moment ago as planned, or as this instance's own.
        """
        if self._lease is None:
            self._write(kind, "sent", start_id, by)
        else:
            claim = Claim(self._lease.generation, "sent", start_id, by=by)
            Ledger(self._lease.key.variable).renew_claim(kind, claim)

    def done(self, kind: Kind, done: Done, start_id: str, by: str, at: str | None = None) -> None:
        """Note that one runs, and its result, which stands there before the claim says so.

        :param at: since when, if that was before.
        """
        since = None if at is None else datetime.fromisoformat(at)
        self._write(kind, done.claim, start_id, by, at=since, result=done.result)

    def doubtful(self, kind: Kind, start_id: str, by: str) -> None:
        """Note with the run that a start was sent of which nothing shows that it was not carried out."""
        if self._lease is not None:
            confirmation.note_start(kind, self._lease, "sent")
        self._write(kind, "sent", start_id, by)

    def foreign(self, kind: Kind, start_id: str, by: str) -> None:
        """Note that one runs which others have started."""
        self._write(kind, "foreign", start_id, by)

    def returned(self, kind: Kind, attempt: str) -> None:
        """Claim a start as planned again: this instance has not sent it, and another one is to go on."""
        self._write(kind, "planned", attempt, None)

    def withdraw(self, kind: Kind, earlier: Earlier, start_id: str, by: str) -> None:
        """Take the claim back: nothing was started. What an earlier try may have on air is claimed as before."""
        at = None if earlier.at is None else datetime.fromisoformat(earlier.at)
        self._write(kind, earlier.claim or "refused", earlier.start_id or start_id, by, at=at, result=earlier.result)

    def _write(
        self,
        kind: Kind,
        state: State,
        start_id: str,
        by: str | None,
        *,
        at: datetime | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> None:
        generation = _ALONE if self._lease is None else self._lease.generation
        claim = Claim(generation, state, start_id, at or datetime.now(UTC), by=by)
        if self._lease is None:
            noted = claim.to_json() | ({} if result is None else {"result": dict(result)})
            self._task.set_raw_xcom(_key(kind), noted)
            # What a stop reads that names this task (``start_task_id``).
            self._task.set_raw_xcom("start_id", start_id)
            self._task.set_raw_xcom("claim", state)
            return
        if result is not None:
            # ``sent`` says here that something was sent, ``ours`` and all.
            confirmation.note_result(kind, self._lease, "foreign" if state == "foreign" else "sent", start_id, result)
        elif state != "sent":
            confirmation.note_start(kind, self._lease, state)
        Ledger(self._lease.key.variable).write_claim(kind, claim)


def _key(kind: Kind) -> str:
    return f"{kind}_start"
