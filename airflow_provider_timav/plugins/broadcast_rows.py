"""The page's list of broadcasts, read from the ledger and the trigger's verdicts, never from the states of start tasks.

However many broadcasts there are, an update costs five queries (one more for each 500 entries of the ledger): the names of the
entries, the ledger, the XComs of their runs, which tasks can still be marked, and the DAGs' teams.

People can write Variables, so an entry is shown only if its run confirms it: a run of an existing DAG, of the Variable's own
team, with the same reservation among its XComs.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow.models.taskinstance import TaskInstance
from sqlalchemy import select

from airflow_provider_timav.leases import CONTROL, RELEASE_GRACE, RESERVATION, Control, Ledger, lease_of
from airflow_provider_timav.leases.confirmation import WITNESSES
from airflow_provider_timav.notes import PLAYS, plays
from airflow_provider_timav.plugins.tables import Snapshot, among, key_of, xcoms
from airflow_provider_timav.runs import FINAL_STATES, TaskKey
from airflow_provider_timav.stream.state import StreamState
from airflow_provider_timav.stream.verdict import Verdict
from airflow_provider_timav.videorelay.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from airflow_provider_timav.leases import Claim, Lease
    from airflow_provider_timav.plugins.rights import Rights

__all__ = ["broadcasts"]

log = logging.getLogger(__name__)

_BETWEEN_POLLS: Final = ("deferred", "up_for_reschedule", "scheduled", "queued", None)
"""States of a start that waits for the host: its claim stays, because it will poll again."""

_RECORDING: Final = {
    "planned": "due",
    "refused": "due",
    "sent": "starting",
    "ours": "on",
    "foreign": "foreign",
    "stopped": "stopped",
}


@dataclass(frozen=True)
class RunFacts:
    """XComs and task states of the runs that broadcasts belong to.

    :param noted: XComs, by task and key; no entry if there is none.
    :param states: task states, by task; no entry if the task no longer exists.
    """

    noted: Mapping[tuple[TaskKey, str], Any]
    states: Mapping[TaskKey, str | None]

    @classmethod
    def of(cls, session: Session, leases: Collection[Lease]) -> RunFacts:
        """Read those of these leases' runs, in two queries."""
        tasks = {lease.owner.task(name) for lease in leases for name in ("reserve", "start_push", "on_air")}
        ti = TaskInstance
        states = session.execute(
            select(ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.state).where(*among(ti, tasks))
        )
        return cls(xcoms(session, (RESERVATION, CONTROL, PLAYS), tasks), {key_of(row): row.state for row in states})

    def confirms(self, lease: Lease) -> bool:
        """Return whether the run that a lease names has reserved it."""
        return any(self.noted.get((lease.owner.task(name), RESERVATION)) == lease.reservation() for name in WITNESSES)

    def ended(self, task: TaskKey) -> bool:
        """Return whether the task has finished; False for one that no longer exists, which may have left a broadcast on air."""
        return self.states.get(task) in FINAL_STATES

    def can_be_marked(self, task: TaskKey) -> bool:
        """Return whether marking the task would change anything."""
        return task in self.states and not self.ended(task)


def broadcasts(session: Session, rights: Rights, *, now: datetime) -> list[dict[str, Any]]:
    """Return the broadcasts of the DAGs that the user may read, oldest first, as dicts of JSON primitives.

    ===================================  ==================================================================================
    ``id``                               a digest of the lease and its owner, unique for each broadcast
    ``title``, ``room_id``, ``user_id``  as reserved; the title may be None
    ``dag_id``, ``run_id``, ``task_id``  the ``on_air`` task, with ``map_index``
    ``phase``                            ``waiting`` (for the host), ``starting``, ``on_air``, ``ending``
    ``foreign``                          whether the push was started elsewhere: no stop of this run ends it
    ``since``, ``until``                 ISO 8601; ``since`` is None while nothing is on air
    ``overdue``                          whether it is still on air though its end has passed
    ``orphan``                           whether its run no longer has its ``on_air``, as after a change of the DAG
    ``recording``                        ``on``, ``starting``, ``stopped``, ``foreign``, ``due``, ``off``
    ``verdict``, ``verdict_since``       the trigger's last verdict, ``UNKNOWN`` if it cannot watch the stream
    ``error``                            the last error, or None
    ``hls_url``, ``rtmp_url``            the URLs that play it, or None
    ``protected``                        whether viewers need a password
    ``stop``                             how this user can stop it: ``{"task_id", "new_state"}``, or None
    ``extend``                           whether this user can move its end
    ===================================  ==================================================================================
    """
    store = Snapshot(session)
    ledgers = []
    for name in sorted({lease_of(name) for name in store.names()}):
        ledger = Ledger(name)
        ledger.store = store
        ledger.complaint = logging.DEBUG  # each open page polls every few seconds; the reaper warns of it
        if (lease := ledger.lease()) is not None:
            ledgers.append((ledger, lease))
    rights.learn(lease.owner.dag_id for _, lease in ledgers)
    seen = [
        (ledger, lease)
        for ledger, lease in ledgers
        if rights.is_of_team(lease.owner.dag_id, store.teams.get(ledger.variable))
        and rights.may_read_xcoms(lease.owner.dag_id)
    ]
    facts = RunFacts.of(session, [lease for _, lease in seen])
    rows = [
        row
        for ledger, lease in seen
        if facts.confirms(lease) and (row := _row_by_itself(ledger, lease, facts, rights, now=now)) is not None
    ]
    return sorted(rows, key=lambda row: (row["since"] is None, row["since"] or row["until"], row["id"]))


def _row_by_itself(
    ledger: Ledger, lease: Lease, facts: RunFacts, rights: Rights, *, now: datetime
) -> dict[str, Any] | None:
    """Return a row that can be sent; None, and a line in the log, if something stored of it breaks our reader."""
    try:
        row = _row(ledger, lease, facts, rights, now=now)
        json.dumps(row, allow_nan=False, ensure_ascii=False).encode()
    except Exception:  # any error: it must not keep the other rows from the page
        log.exception("The broadcast of the lease %s cannot be shown.", ledger.variable)
        return None
    return row


def _row(ledger: Ledger, lease: Lease, facts: RunFacts, rights: Rights, *, now: datetime) -> dict[str, Any]:
    owner, generation = lease.owner, lease.generation
    task = owner.task("on_air")
    push, record, watch = ledger.claim("push", generation), ledger.claim("record", generation), ledger.watch(generation)
    control = _control(facts.noted.get((task, CONTROL)), now)
    until = now if control.stop else control.end or ledger.end_in_force(lease)
    phase = "ending" if control.stop else _phase(push, facts, lease)
    held = any(claim is not None and claim.on_air for claim in (push, record))
    stop = _stop(facts, lease) if rights.may_stop(owner.dag_id) else None
    stream = StreamState.from_json(None if watch is None else watch.stream)
    summary = stream.summary()
    ours = push is not None and push.state == "ours"
    hls_url, rtmp_url = plays(facts.noted.get((owner.task("start_push"), PLAYS))) if ours else (None, None)
    absence = "" if stream.verdict in (Verdict.LIVE, Verdict.ENDED) else stream.reason
    return {
        "id": _id(lease),
        "title": lease.title,
        "room_id": lease.key.room_id,
        "user_id": lease.key.user_id,
        "kind": lease.key.push_data_type,
        "dag_id": owner.dag_id,
        "run_id": owner.run_id,
        "task_id": task.task_id,
        "map_index": task.map_index,
        "phase": phase,
        "foreign": push is not None and push.state == "foreign",
        "since": push.at.isoformat() if push is not None and push.state == "ours" else None,
        "until": until.isoformat(),
        "overdue": held and until + RELEASE_GRACE < now,
        "orphan": task not in facts.states,
        "recording": ("due" if lease.record else "off") if record is None else _RECORDING[record.state],
        "verdict": summary["verdict"],
        "verdict_since": summary["since"],
        "error": (watch and watch.error) or absence or None,
        "hls_url": hls_url,
        "rtmp_url": rtmp_url,
        "protected": lease.protected,
        "stop": None if control.stop else stop,
        "extend": not control.stop
        and (task, CONTROL) in facts.noted
        and facts.can_be_marked(task)
        and rights.may_extend(owner.dag_id),
    }


def _id(lease: Lease) -> str:
    """Return a unique id: a generation alone is no secret, and another DAG's lease may have the same."""
    held = [lease.key.variable, lease.generation, *lease.owner.task("on_air").to_json().values()]
    return hashlib.sha256(json.dumps(held).encode()).hexdigest()[:32]


def _control(value: Any, now: datetime) -> Control:
    try:
        return Control.read(value, now=now)
    except ConfigurationError:  # the trigger reports it in the ledger
        return Control()


def _phase(push: Claim | None, facts: RunFacts, lease: Lease) -> str:
    if facts.ended(lease.owner.task("on_air")):
        return "ending"
    start = lease.owner.task("start_push")
    if push is None or push.state in ("planned", "refused"):
        return "ending" if facts.ended(start) else "waiting"
    if push.state == "sent" and facts.states.get(start, "running") in _BETWEEN_POLLS:
        return "waiting"
    return {"sent": "starting", "ours": "on_air", "foreign": "on_air", "stopped": "ending"}[push.state]


def _stop(facts: RunFacts, lease: Lease) -> dict[str, str] | None:
    """Return which task to mark with which state, so that the broadcast ends and its run goes on.

    Before the push has started that is the start: it fails, and the stops end what it may have started.
    """
    start, on_air = lease.owner.task("start_push"), lease.owner.task("on_air")
    if facts.can_be_marked(start):
        return {"task_id": start.task_id, "new_state": "failed"}
    if facts.can_be_marked(on_air):
        return {"task_id": on_air.task_id, "new_state": "success"}
    return None
