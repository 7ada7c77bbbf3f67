"""Keep the notes of a start task, for the process may die at any time.

A start whose answer was lost must not be lost: before the call the intent is written, after it the result. XComs cannot carry
that, because a retry wipes them; ``task_state_store`` keeps it over retries and clears, for this task alone. Two XComs stand
beside it, for the stop task to read: ``claim``, which is ``sent`` (the outcome is not known yet), ``ours``, ``foreign`` or
``refused``; and ``start_id``, which tells the stream of this start from one that the same task started before it was cleared.
In a broadcast the claim stands in the ledger as well (``leases``), where no retry wipes it and trigger and reaper find it.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_timav.leases.start_protocol import Done, Earlier, Fail, Wait
from airflow_provider_timav.reading import Unreadable
from airflow_provider_timav.runs import TaskKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_timav.leases import Claim, Kind, Lease, State

__all__ = ["Intent"]

log = logging.getLogger(__name__)


class Intent:
    """The notes of one start task.

    :param store: the task's ``task_state_store``, if Airflow has one.
    :param kind: ``push`` or ``record``: the store's key is ``timav:push`` or ``timav:record``.
    :param lease: the broadcast's, if the start belongs to one.
    """

    def __init__(self, ti: Any, store: Any, kind: Kind, lease: Lease | None = None) -> None:
        self._kind: Kind = kind
        self._lease = lease
        self._ti = ti
        self._store = store
        self._earlier = Earlier()
        self._key = f"timav:{kind}"
        self._start_id = uuid.uuid4().hex
        if self._store is None:
            log.warning(
                "There is no task_state_store: if the answer to this start is lost, a retry takes it for foreign."
            )

    def begin(self) -> Earlier:
        """Note that a start is about to be sent; return what earlier tries left."""
        earlier = self._by_store() or self._by_ledger()
        if earlier.claim in ("ours", "sent") and self._is_off_air():
            # It has been stopped since, as before a clear: one that runs now was started by others.
            log.info("An earlier try's %s has been off air since.", self._kind)
            earlier = Earlier()
        self._earlier = earlier
        # An earlier result is dropped from the store on purpose: if this start is carried out and its answer lost, the old URLs
        # lead elsewhere.
        self._write({"phase": "intent", "claim": "foreign" if earlier.claim == "foreign" else "sent"})
        try:
            self._claim("sent")
        except Exception:  # whatever Airflow raises: nothing is sent on the strength of it
            with contextlib.suppress(Exception):
                self._withdraw()
            raise
        self._ti.xcom_push(key="start_id", value=self._start_id)
        return earlier

    def recalled(self, noted: Earlier) -> Earlier:
        """Return what earlier tries left, for a trigger that is to send this start.

        :param noted: what the notes say that a trigger finds, too. The store knows more of the same start.
        """
        stored = self._by_store()
        if stored is None or (noted.start_id is not None and noted.start_id != stored.start_id):
            return noted
        if stored.claim in ("ours", "sent") and self._is_off_air():
            # What the trigger starts is noted elsewhere: this would be taken for it.
            self._store.delete(self._key)
            return Earlier()
        return stored

    def planned(self, attempt: str, begins: datetime, earlier: Earlier) -> None:
        """Note for further tries that a trigger sends the start from then on. In a broadcast the ledger keeps that."""
        if self._lease is None and earlier.claim is None:
            self._write({"phase": "planned", "claim": "sent", "start_id": attempt, "at": begins.isoformat()})

    def taken_over(self, claim: Claim, result: Mapping[str, Any]) -> None:
        """Note for further tries what a trigger has noted of this start, and for the run's other tasks."""
        self._start_id = claim.start_id or self._start_id
        self._write({"phase": "done", "claim": claim.state, "result": dict(result), "at": claim.at.isoformat()})
        self._ti.xcom_push(key="start_id", value=self._start_id)
        self._ti.xcom_push(key="claim", value=claim.state)

    def failed(self, *, in_doubt: bool) -> None:
        """Note for further tries that a trigger's start has failed.

        :param in_doubt: whether something may have been started all the same.
        """
        if in_doubt:
            self._write({"phase": "intent", "claim": "sent"})
        elif self._store is not None and (noted := self._store.get(self._key)) and noted.get("phase") == "planned":
            self._store.delete(self._key)

    def _by_store(self) -> Earlier | None:
        """Return the notes of earlier tries in the task's own store, where people with rights on the DAG can write, too."""
        noted = self._store.get(self._key) if self._store is not None else None
        if noted is None:
            return None
        try:
            earlier = Earlier.from_json(noted)
            planned = noted.get("phase") == "planned" and earlier.at is not None
            # Before its time a trigger has sent nothing.
            return None if planned and datetime.fromisoformat(str(earlier.at)) > datetime.now(UTC) else earlier
        except Unreadable as wrong:
            log.warning("The notes of an earlier try cannot be read (%s): passing them over.", wrong)
            return None

    def _by_ledger(self) -> Earlier:
        """Return what the broadcast's notes hold of earlier tries: a trigger's, or one's whose store was cleared."""
        from airflow_provider_timav.leases.start_notes import StartNotes

        return Earlier() if self._lease is None else StartNotes(TaskKey.of(self._ti), self._lease).earlier(self._kind)

    def _is_off_air(self) -> bool:
        """Tell whether the ledger holds no claim on a stream any more: each start writes one, and stops give it up."""
        if self._lease is None:
            return False
        claim = self._told()
        return claim is None or claim.state in ("planned", "refused", "stopped")

    def _told(self) -> Claim | None:
        """Return what the broadcast's ledger claims."""
        if self._lease is None:
            return None
        from airflow_provider_timav.leases import Ledger

        return Ledger(self._lease.key.variable).claim(self._kind, self._lease.generation)

    def settle(self, decision: Done | Wait | Fail) -> None:
        """Note a decision of the start protocol, before anything else can happen."""
        match decision:
            case Done(result, claim, recovered):
                if recovered:
                    self._start_id = self._earlier.start_id or self._start_id
                    self._ti.xcom_push(key="start_id", value=self._start_id)
                at = (self._earlier.at if recovered else None) or datetime.now(UTC).isoformat()
                self._write({"phase": "done", "claim": claim, "result": dict(result), "at": at})
                self._claim(claim, at=at, result=result)
            case Fail(note="foreign"):
                self._write({"phase": "done", "claim": "foreign"})
                self._claim("foreign")
            case Fail(note="withdraw") | Wait(withdraw=True):
                self._withdraw()

    def _withdraw(self) -> None:
        """Take the intent back: the service has said that nothing was started.

        That holds for this start alone: the notes of an earlier try, an unknown outcome too, are written again.
        """
        earlier = self._earlier
        self._start_id = earlier.start_id or self._start_id
        if self._store is not None:
            if earlier.result is not None and earlier.claim is not None:
                self._write({"phase": "done", "claim": earlier.claim, "result": dict(earlier.result), "at": earlier.at})
            elif earlier.may_be_ours:
                self._write({"phase": "intent", "claim": "sent"})
            else:
                self._store.delete(self._key)
        # One that runs here from now on was started by others: a stop of this run must not touch it.
        self._claim("refused" if earlier.claim is None else earlier.claim, at=earlier.at)

    def _write(self, note: dict[str, Any]) -> None:
        if self._store is not None:
            self._store.set(self._key, {"start_id": self._start_id, **note})

    def _claim(self, claim: State, *, at: str | None = None, result: Mapping[str, Any] | None = None) -> None:
        self._ti.xcom_push(key="claim", value=claim)
        if self._lease is None:
            return
        from airflow_provider_timav.leases import Claim, Ledger
        from airflow_provider_timav.leases.confirmation import note_start
        from airflow_provider_timav.notes import note_plays

        if claim != "ours":  # which says no more than that something was sent
            note_start(self._kind, self._lease, claim)
        since = datetime.now(UTC) if at is None else datetime.fromisoformat(at)
        told = Claim(self._lease.generation, claim, self._start_id, since)
        Ledger(self._lease.key.variable).write_claim(self._kind, told)
        if self._kind == "push" and result is not None:
            note_plays(self._lease.owner.task("start_push"), result)
