"""What is on air: read from the ledger and from what the trigger saw, never from the colours of tasks.

However many broadcasts there are, an update of the page costs four queries: the ledger, what people want (``control``), which
tasks can still be marked, and the DAGs' teams.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow.models.taskinstance import TaskInstance
from airflow.models.variable import Variable
from airflow.models.xcom import XComModel
from sqlalchemy import select

from airflow_provider_timav.leases import CONTROL, GRACE, PREFIX, Control, Ledger, Variables
from airflow_provider_timav.runs import FINAL_STATES, TaskKey
from airflow_provider_timav.stream.watch import Verdict
from airflow_provider_timav.stream.watch import Watch as Seen
from airflow_provider_timav.videorelay.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from airflow_provider_timav.leases import Claim, Lease
    from airflow_provider_timav.plugins.rights import Rights

__all__ = ["broadcasts"]

_WEB: Final = ("http://", "https://")
_RTMP: Final = ("rtmp://", "rtmps://")

_BETWEEN_QUESTIONS: Final = ("up_for_reschedule", "scheduled", "queued", None)
"""States of a start whose claim stands, because it has asked for the host, and that will ask again."""

_RECORDING: Final = {"ours": "on", "sent": "starting", "foreign": "foreign", "refused": "due", "stopped": "stopped"}


class Snapshot(Variables):
    """All of the ledger's Variables, read at once."""

    def __init__(self, session: Session) -> None:
        found = session.scalars(select(Variable).where(Variable.key.startswith(PREFIX, autoescape=True)))
        self._texts: dict[str, str | None] = {variable.key: variable.val for variable in found}

    def get(self, name: str) -> str | None:
        """Return the value, or None."""
        return self._texts.get(name)

    def names(self) -> Iterable[str]:
        """Give the names."""
        return list(self._texts)


@dataclass(frozen=True)
class Known:
    """What Airflow's tables say of the runs that broadcasts belong to.

    :param controls: by ``on_air`` task: what people want; no entry where the task has not begun.
    :param states: by task: its state; no entry where there is no such task any more.
    """

    controls: Mapping[TaskKey, Any]
    states: Mapping[TaskKey, str | None]

    @classmethod
    def of(cls, session: Session, leases: Collection[Lease]) -> Known:
        """Look up the runs of these leases, in two queries."""
        on_air = [lease.owner.task("on_air") for lease in leases]
        tasks = {*on_air, *(lease.owner.task("start_push") for lease in leases)}
        xcom, ti = XComModel, TaskInstance
        controls = session.execute(
            select(xcom.dag_id, xcom.run_id, xcom.task_id, xcom.map_index, xcom.value)
            .where(xcom.key == CONTROL)
            .where(*_among(xcom, on_air))
        )
        states = session.execute(
            select(ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.state).where(*_among(ti, tasks))
        )
        return cls(
            {_key(row): XComModel.deserialize_value(row) for row in controls}, {_key(row): row.state for row in states}
        )

    def ended(self, task: TaskKey) -> bool:
        """Tell whether the task does nothing any more; one that is gone has not ended what it was to end."""
        return self.states.get(task) in FINAL_STATES

    def can_be_marked(self, task: TaskKey) -> bool:
        """Tell whether marking the task would change anything."""
        return task in self.states and not self.ended(task)


def _among(table: Any, tasks: Iterable[TaskKey]) -> list[Any]:
    """Return conditions that hold for these tasks and some more, and that every database has an index for."""
    return [
        getattr(table, name).in_({getattr(task, name) for task in tasks}) for name in ("dag_id", "task_id", "run_id")
    ]


def _key(row: Any) -> TaskKey:
    return TaskKey(row.dag_id, row.run_id, row.task_id, row.map_index)


def broadcasts(session: Session, rights: Rights, *, now: datetime) -> list[dict[str, Any]]:
    """Return the broadcasts of the DAGs that the user may look into, oldest first, as dicts of JSON primitives.

    ===================================  ==================================================================================
    ``id``                               of the broadcast; no other ever has it
    ``title``, ``room_id``, ``user_id``  as reserved; the title may be None
    ``dag_id``, ``run_id``, ``task_id``  the ``on_air`` task, with ``map_index``
    ``phase``                            ``waiting`` (for the host), ``starting``, ``on_air``, ``ending``
    ``foreign``                          whether it is somebody else's push, which no stop of this run touches
    ``since``, ``until``                 ISO 8601; since is None while nothing is on air
    ``overdue``                          whether it is still on air though its end has passed
    ``orphan``                           whether its run is gone
    ``recording``                        ``on``, ``starting``, ``stopped``, ``foreign``, ``due``, ``off``
    ``verdict``, ``verdict_since``       what the trigger saw last, ``UNKNOWN`` where nobody looks
    ``error``                            what went wrong last, or None
    ``hls_url``, ``rtmp_url``            where it plays, or None
    ``protected``                        whether viewers need a password
    ``stop``                             how this user can stop it: ``{"task_id", "new_state"}``, or None
    ``extend``                           whether this user can move its end
    ===================================  ==================================================================================
    """
    store = Snapshot(session)
    ledgers = []
    for name in sorted({name.partition(".")[0] for name in store.names()}):
        ledger = Ledger(name)
        ledger.store = store
        ledger.complaint = logging.DEBUG  # each open page asks every few seconds; the reaper complains once a minute
        if (lease := ledger.lease()) is not None:
            ledgers.append((ledger, lease))
    rights.learn(lease.owner.dag_id for _, lease in ledgers)
    seen = [(ledger, lease) for ledger, lease in ledgers if rights.may_look(lease.owner.dag_id)]
    known = Known.of(session, [lease for _, lease in seen])
    rows = [_row(ledger, lease, known, rights, now=now) for ledger, lease in seen]
    return sorted(rows, key=lambda row: (row["since"] is None, row["since"] or row["until"], row["id"]))


def _row(ledger: Ledger, lease: Lease, known: Known, rights: Rights, *, now: datetime) -> dict[str, Any]:
    owner, generation = lease.owner, lease.generation
    task = owner.task("on_air")
    push, record, watch = ledger.claim("push", generation), ledger.claim("record", generation), ledger.watch(generation)
    control = _control(known.controls.get(task), now)
    until = now if control.stop else control.end or ledger.end(lease)
    phase = "ending" if control.stop else _phase(push, known, lease)
    held = any(claim is not None and claim.on_air for claim in (push, record))
    stop = _stop(known, lease) if rights.may_stop(owner.dag_id) else None
    stream = Seen.from_json(None if watch is None else watch.stream)
    summary = stream.summary()
    absence = stream.reason if stream.verdict is Verdict.ABSENT else ""
    return {
        "id": generation,
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
        "overdue": held and until + GRACE < now,
        "orphan": task not in known.states,
        "recording": ("due" if lease.record else "off") if record is None else _RECORDING[record.state],
        "verdict": summary["verdict"],
        "verdict_since": summary["since"],
        "error": (watch and watch.error) or absence or None,
        "hls_url": _address(push and push.hls_url, _WEB),
        "rtmp_url": _address(push and push.rtmp_url, _RTMP),
        "protected": lease.protected,
        "stop": None if control.stop else stop,
        "extend": not control.stop
        and task in known.controls
        and known.can_be_marked(task)
        and rights.may_extend(owner.dag_id),
    }


def _control(value: Any, now: datetime) -> Control:
    try:
        return Control.read(value, now=now)
    except ConfigurationError:  # the trigger says so where people look
        return Control()


def _phase(push: Claim | None, known: Known, lease: Lease) -> str:
    if known.ended(lease.owner.task("on_air")):
        return "ending"
    start = lease.owner.task("start_push")
    if push is None or push.state == "refused":
        return "ending" if known.ended(start) else "waiting"
    if push.state == "sent" and known.states.get(start, "running") in _BETWEEN_QUESTIONS:
        return "waiting"
    return {"sent": "starting", "ours": "on_air", "foreign": "on_air", "stopped": "ending"}[push.state]


def _stop(known: Known, lease: Lease) -> dict[str, str] | None:
    """Return which task is to be marked as what, so that the broadcast ends and its run goes on to its end.

    Before the push has started that is the start: it fails, and the stops see to what it may have sent.
    """
    start, on_air = lease.owner.task("start_push"), lease.owner.task("on_air")
    if known.can_be_marked(start):
        return {"task_id": start.task_id, "new_state": "failed"}
    if known.can_be_marked(on_air):
        return {"task_id": on_air.task_id, "new_state": "success"}
    return None


def _address(url: Any, schemes: tuple[str, ...]) -> str | None:
    """Return an address of one of these schemes, None for all else: people can write Variables, and this becomes a link."""
    return url if isinstance(url, str) and url.lower().startswith(schemes) else None
