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

from airflow_provider_timav.leases.start_protocol import Earlier
from airflow_provider_timav.reading import Unreadable
from airflow_provider_timav.runs import TaskKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from airflow_provider_timav.leases import Claim, Kind, Lease, State

__all__ = ["Intent"]

log = logging.getLogger(__name__)


class Intent:
    """The notes of one start task.

    :param kind: ``push`` or ``record``: the store's key is ``timav:push`` or ``timav:record``.
    :param lease: the broadcast's, if the start belongs to one.
    """

    def __init__(self, context: Context, kind: Kind, lease: Lease | None = None) -> None:
        self._kind: Kind = kind
        self._lease = lease
        self._ti = context["ti"]
        self._store: Any = context.get("task_state_store")
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
        # An earlier result is dropped from the store on purpose: if this start is carried out and its answer lost, the old URLs
        # lead elsewhere.
        self._write({"phase": "intent", "claim": "foreign" if earlier.claim == "foreign" else "sent"})
        try:
            self._claim("sent")
        except Exception:  # whatever Airflow raises: nothing is sent on the strength of it
            with contextlib.suppress(Exception):
                self.withdraw(earlier)
            raise
        self._ti.xcom_push(key="start_id", value=self._start_id)
        return earlier

    def _by_store(self) -> Earlier | None:
        """Return the notes of earlier tries in the task's own store, where people with rights on the DAG can write, too."""
        noted = self._store.get(self._key) if self._store is not None else None
        if noted is None:
            return None
        try:
            return Earlier.from_json(noted)
        except Unreadable as wrong:
            log.warning("The notes of an earlier try cannot be read (%s): passing them over.", wrong)
            return None

    def _by_ledger(self) -> Earlier:
        """Return what the broadcast's ledger holds of earlier tries: Airflow may be configured to clear the store.

        The ledger lacks the result of a push, so the outcome of that start counts as not known.
        """
        claim = self._told()
        if claim is None or claim.state not in ("sent", "ours", "foreign"):
            return Earlier()
        return Earlier(claim.start_id, "foreign" if claim.state == "foreign" else "sent", at=claim.at.isoformat())

    def _is_off_air(self) -> bool:
        """Tell whether the broadcast's ledger holds no claim any more: each intent writes one, and stops give it up."""
        if self._lease is None:
            return False
        claim = self._told()
        return claim is None or claim.state == "stopped"

    def _told(self) -> Claim | None:
        """Return what the broadcast's ledger claims."""
        if self._lease is None:
            return None
        from airflow_provider_timav.leases import Ledger

        return Ledger(self._lease.key.variable).claim(self._kind, self._lease.generation)

    def done(self, result: Mapping[str, Any], claim: State, *, at: str | None = None) -> None:
        """Note the result and the claim, before anything else can happen.

        :param at: since when it runs, if not since now.
        """
        at = at or datetime.now(UTC).isoformat()
        self._write({"phase": "done", "claim": claim, "result": dict(result), "at": at})
        self._claim(claim, at=at, result=result)

    def recovered(self, earlier: Earlier, result: Mapping[str, Any]) -> None:
        """Note that the stream of an earlier try goes on, under that try's ``start_id``."""
        if earlier.start_id is not None:
            self._start_id = earlier.start_id
            self._ti.xcom_push(key="start_id", value=self._start_id)
        self.done(result, "ours", at=earlier.at)

    def foreign(self) -> None:
        """Note that the one that runs is not ours: no stop of this run may touch it."""
        self._write({"phase": "done", "claim": "foreign"})
        self._claim("foreign")

    def withdraw(self, earlier: Earlier) -> None:
        """Take the intent back: the service has said that nothing was started.

        That holds for this start alone: the notes of an earlier try, an unknown outcome too, are written again.
        """
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
            self._store.set(self._key, {**note, "start_id": self._start_id})

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
            note_plays(TaskKey.of(self._ti), result)
