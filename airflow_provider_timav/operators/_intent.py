"""What a start task wrote down before its process may have died.

A start whose answer was lost must not be lost: before the call the intent is written, after it the result. XComs cannot carry
that, because a retry wipes them; ``task_state_store`` keeps it over retries and clears, for this task alone. Two XComs stand
beside it, for the stop task to read: ``claim``, which is ``sent`` (nobody knows yet), ``ours``, ``foreign`` or ``refused``; and
``start_id``, which tells the stream of this start from one that the same task started before it was cleared. In a broadcast
the claim stands in the ledger as well (``leases``), where no retry wipes it and the trigger and the reaper find it.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from airflow_provider_timav.reading import Fields, Unreadable
from airflow_provider_timav.runs import TaskKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from airflow_provider_timav import leases
    from airflow_provider_timav.leases import Lease

__all__ = ["Earlier", "Intent"]

log = logging.getLogger(__name__)

Claim = Literal["sent", "ours", "foreign", "refused"]

LONGEST_ADDRESS: Final = 8192
"""Characters of an address, and of any other text in a result."""


@dataclass(frozen=True)
class Earlier:
    """What earlier tries of this task left: the claim on what they may have started, and its result."""

    start_id: str | None = None
    claim: Claim | None = None
    result: Mapping[str, Any] | None = None
    at: str | None = None

    @classmethod
    def from_json(cls, noted: Any) -> Earlier:
        """Read what `Intent` wrote.

        :raises Unreadable: for anything else.
        """
        fields = Fields(noted)
        at, result = fields.moment_or_none("at"), fields.get("result")
        return cls(
            start_id=fields.text_or_none("start_id", most=64),
            claim=fields.choice("claim", get_args(Claim)),
            result=None if result is None else _result(fields.within("result")),
            at=None if at is None else at.isoformat(),
        )

    @property
    def own_result(self) -> Mapping[str, Any] | None:
        """The result of a start by an earlier try, whose stream still ran when this try began."""
        return self.result if self.claim == "ours" else None

    @property
    def may_be_ours(self) -> bool:
        """Whether what runs now may have been started by an earlier try: its answer was lost, or it took over one such."""
        return self.claim == "sent"


def _result(fields: Fields) -> dict[str, Any]:
    """Return the result of a start, as it was handed on: texts, and for each rate an address."""
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


class Intent:
    """The notes of one start task.

    :param kind: ``push`` or ``record``: the store's key is ``timav:push`` or ``timav:record``.
    :param lease: the broadcast's, where the start belongs to one.
    """

    def __init__(self, context: Context, kind: Literal["push", "record"], lease: Lease | None = None) -> None:
        self._kind: Literal["push", "record"] = kind
        self._lease = lease
        self._ti = context["ti"]
        self._store: Any = context.get("task_state_store")
        self._key = f"timav:{kind}"
        self._start_id = uuid.uuid4().hex
        if self._store is None:
            log.warning("There is no task_state_store: a start whose answer is lost cannot be told from a foreign one.")

    def begin(self) -> Earlier:
        """Note that a start is about to be sent; return what earlier tries left."""
        earlier = self._by_store() or self._by_ledger()
        if earlier.claim in ("ours", "sent") and self._is_off_air():
            # What an earlier try started has been stopped since, as before a clear: what runs now is somebody else's.
            log.info("What an earlier try of this task has started is off air.")
            earlier = Earlier()
        # An earlier result is dropped from the store on purpose: should this start be carried out and its answer be lost, the
        # old URLs would be somebody else's word.
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
        """Return what the task's own store tells of earlier tries; people with rights on the DAG can write there, too."""
        noted = self._store.get(self._key) if self._store is not None else None
        if noted is None:
            return None
        try:
            return Earlier.from_json(noted)
        except Unreadable as wrong:
            log.warning("What an earlier try has noted cannot be read (%s): it is passed over.", wrong)
            return None

    def _by_ledger(self) -> Earlier:
        """Return what the broadcast's ledger tells of earlier tries: the store forgets where Airflow is told to clear it.

        Of a push that is ours it lacks most of the result: what came of that start counts as not known.
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

    def _told(self) -> leases.Claim | None:
        """Return what the broadcast's ledger claims."""
        if self._lease is None:
            return None
        from airflow_provider_timav.leases import Ledger

        return Ledger(self._lease.key.variable).claim(self._kind, self._lease.generation)

    def done(self, result: Mapping[str, Any], claim: Claim, *, at: str | None = None) -> None:
        """Note the result and whose stream it is, before anything else can happen.

        :param at: since when it runs, if not since now.
        """
        at = at or datetime.now(UTC).isoformat()
        self._write({"phase": "done", "claim": claim, "result": dict(result), "at": at})
        self._claim(claim, at=at, result=result)

    def recovered(self, earlier: Earlier, result: Mapping[str, Any]) -> None:
        """Note that the stream of an earlier try goes on: it is that start's, not this one's."""
        if earlier.start_id is not None:
            self._start_id = earlier.start_id
            self._ti.xcom_push(key="start_id", value=self._start_id)
        self.done(result, "ours", at=earlier.at)

    def foreign(self) -> None:
        """Note that what runs is not ours: no stop of this run may touch it."""
        self._write({"phase": "done", "claim": "foreign"})
        self._claim("foreign")

    def withdraw(self, earlier: Earlier) -> None:
        """Take the intent back: the service said that nothing was started.

        That is said of this start alone: what an earlier try left, an open question too, is noted again.
        """
        self._start_id = earlier.start_id or self._start_id
        if self._store is not None:
            if earlier.result is not None and earlier.claim is not None:
                self._write({"phase": "done", "claim": earlier.claim, "result": dict(earlier.result), "at": earlier.at})
            elif earlier.may_be_ours:
                self._write({"phase": "intent", "claim": "sent"})
            else:
                self._store.delete(self._key)
        # What runs here from now on, somebody else has started: a stop of this run must not touch it.
        self._claim("refused" if earlier.claim is None else earlier.claim, at=earlier.at)

    def _write(self, note: dict[str, Any]) -> None:
        if self._store is not None:
            self._store.set(self._key, {**note, "start_id": self._start_id})

    def _claim(self, claim: Claim, *, at: str | None = None, result: Mapping[str, Any] | None = None) -> None:
        self._ti.xcom_push(key="claim", value=claim)
        if self._lease is None:
            return
        from airflow_provider_timav import leases
        from airflow_provider_timav.leases.confirmation import note_start
        from airflow_provider_timav.notes import note_plays

        if claim != "ours":  # which says no more than that something was sent
            note_start(self._kind, self._lease, claim)
        since = datetime.now(UTC) if at is None else datetime.fromisoformat(at)
        told = leases.Claim(self._lease.generation, claim, self._start_id, since)
        leases.Ledger(self._lease.key.variable).tell(self._kind, told)
        if self._kind == "push" and result is not None:
            note_plays(TaskKey.of(self._ti), result)
