"""Confirm a lease by its run's own XComs: only a lease that its run confirms lets others stop or show something.

Many people can write Variables; only those with rights on the DAG can write the XComs of its runs. But Airflow deletes a task's
XComs each time that it begins anew. So two tasks keep each note, and one of them still has it while the other begins anew:
``reserve``, which takes it up again (`renew`), and the start that it is about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from airflow_provider_timav.leases.entries import GENERATION, KINDS, RESERVATION, Kind, Lease
from airflow_provider_timav.leases.start_protocol import read_result
from airflow_provider_timav.reading import Fields, Unreadable, stored
from airflow_provider_timav.runs import TaskKey

__all__ = [
    "WITNESSES",
    "confirms",
    "give",
    "note_result",
    "note_start",
    "note_stopped",
    "renew",
    "result_of",
    "start_of",
]

WITNESSES: Final = ("reserve", "start_push")
"""The tasks that keep the reservation."""


def confirms(lease: Lease) -> bool:
    """Tell whether the run that a lease names has noted the same reservation; a run that is gone has not."""
    return any(_reservation(lease.owner.task(name)) == lease.reservation() for name in WITNESSES)


def give(lease: Lease) -> None:
    """Note the reservation with ``reserve``."""
    lease.owner.task("reserve").set_raw_xcom(RESERVATION, lease.reservation())


@dataclass(frozen=True, slots=True)
class _Mark:
    """How far a start has got, as a task of the run keeps it.

    :param state: ``sent`` from before it is sent, until it is ``stopped``.
    :param start_id: of the start that ``result`` is of.
    """

    state: str
    start_id: str | None = None
    result: Mapping[str, Any] | None = None

    def to_json(self, lease: Lease) -> dict[str, Any]:
        noted = {**asdict(self), "generation": lease.generation}
        return {name: value for name, value in noted.items() if value is not None}


def renew(lease: Lease) -> None:
    """Note with ``reserve``, which has begun anew, the marks that the starts keep of an earlier try or from before a clear."""
    give(lease)
    for kind in KINDS:
        if (mark := _mark(lease.owner.task(f"start_{kind}"), kind, lease)) is not None:
            lease.owner.task("reserve").set_raw_xcom(_key(kind), mark.to_json(lease))


def note_start(kind: Kind, lease: Lease, state: str) -> None:
    """Mark how far a start has got: ``sent`` before it is sent."""
    if kind == "push":
        lease.owner.task("start_push").set_raw_xcom(RESERVATION, lease.reservation())
    _keep(kind, lease, _Mark(state))


def note_result(kind: Kind, lease: Lease, state: str, start_id: str, result: Mapping[str, Any]) -> None:
    """Mark a start as done, with its result: whichever task begins anew, and whatever becomes of the trigger, it is kept."""
    _keep(kind, lease, _Mark(state, start_id, dict(result)))


def note_stopped(kind: Kind, lease: Lease) -> None:
    """Mark a start as stopped: what runs there from now on was started by others."""
    for task in _keepers(kind, lease):
        if _mark(task, kind, lease) is not None:
            task.set_raw_xcom(_key(kind), _Mark("stopped").to_json(lease))


def result_of(kind: Kind, lease: Lease, start_id: str | None) -> Mapping[str, Any] | None:
    """Return the result that was noted of a start; None if there is none."""
    for task in _keepers(kind, lease):
        mark = _mark(task, kind, lease)
        if mark is not None and mark.result is not None and mark.start_id == start_id:
            return mark.result
    return None


def start_of(kind: Kind, lease: Lease) -> Literal["sent", "stopped"] | None:
    """Return ``sent`` if a start of the run was sent and may be on air though the ledger holds no claim; None if none was.

    ``stopped``: it was sent, and is off air for certain.
    """
    states = [mark.state for task in _keepers(kind, lease) if (mark := _mark(task, kind, lease)) is not None]
    return "sent" if "sent" in states else "stopped" if "stopped" in states else None


def _key(kind: Kind) -> str:
    return f"{kind}_claim"


def _keep(kind: Kind, lease: Lease, mark: _Mark) -> None:
    for task in _keepers(kind, lease):
        task.set_raw_xcom(_key(kind), mark.to_json(lease))


def _keepers(kind: Kind, lease: Lease) -> tuple[TaskKey, ...]:
    return lease.owner.task("reserve"), lease.owner.task(f"start_{kind}")


def _reservation(task: TaskKey) -> dict[str, Any] | None:
    try:
        noted = Fields(stored(task.raw_xcom(RESERVATION)))
        return {name: noted.get(name) for name in ("lease", "generation")}
    except Unreadable:
        return None


def _mark(task: TaskKey, kind: Kind, lease: Lease) -> _Mark | None:
    """Return the mark that a task keeps of this broadcast's start; None if it has none, or another generation's."""
    try:
        noted = Fields(stored(task.raw_xcom(_key(kind))))
        if noted.text("generation", pattern=GENERATION) != lease.generation:
            return None
        result = noted.get("result")
        return _Mark(
            noted.choice("state", ("planned", "sent", "refused", "foreign", "stopped")),
            noted.text_or_none("start_id", most=64),
            None if result is None else read_result(noted.within("result")),
        )
    except Unreadable:
        return None
