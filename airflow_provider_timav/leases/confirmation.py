"""Confirm a lease by its run's own XComs: only a lease that its run confirms lets others stop or show something.

Many people can write Variables; only those with rights on the DAG can write the XComs of its runs. But Airflow deletes a task's
XComs each time that it begins anew. So two tasks keep each note, and one of them still has it while the other begins anew:
``reserve``, which takes it up again (`renew`), and the start that it is about.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from airflow_provider_timav.leases.entries import GENERATION, KINDS, RESERVATION, Kind, Lease
from airflow_provider_timav.reading import Fields, Unreadable, stored
from airflow_provider_timav.runs import TaskKey

__all__ = ["WITNESSES", "confirms", "give", "note_start", "note_stopped", "renew", "start_of"]

WITNESSES: Final = ("reserve", "start_push")
"""The tasks that keep the reservation."""


def confirms(lease: Lease) -> bool:
    """Tell whether the run that a lease names has noted the same reservation; a run that is gone has not."""
    return any(_reservation(lease.owner.task(name)) == lease.reservation() for name in WITNESSES)


def give(lease: Lease) -> None:
    """Note the reservation with ``reserve``."""
    lease.owner.task("reserve").set_raw_xcom(RESERVATION, lease.reservation())


def renew(lease: Lease) -> None:
    """Note with ``reserve``, which has begun anew, the marks that the starts keep of an earlier try or from before a clear."""
    give(lease)
    for kind in KINDS:
        if (state := _state(lease.owner.task(f"start_{kind}"), kind, lease)) is not None:
            lease.owner.task("reserve").set_raw_xcom(_mark(kind), _start(lease, state))


def note_start(kind: Kind, lease: Lease, state: str) -> None:
    """Mark how far a start has got: ``sent`` before it is sent."""
    if kind == "push":
        lease.owner.task("start_push").set_raw_xcom(RESERVATION, lease.reservation())
    for task in _keepers(kind, lease):
        task.set_raw_xcom(_mark(kind), _start(lease, state))


def note_stopped(kind: Kind, lease: Lease) -> None:
    """Mark a start as stopped: what runs there from now on was started by others."""
    for task in _keepers(kind, lease):
        if _state(task, kind, lease) is not None:
            task.set_raw_xcom(_mark(kind), _start(lease, "stopped"))


def start_of(kind: Kind, lease: Lease) -> Literal["sent", "stopped"] | None:
    """Return ``sent`` if a start of the run was sent and may be on air though the ledger holds no claim; None if none was.

    ``stopped``: it was sent, and is off air for certain.
    """
    states = [_state(task, kind, lease) for task in _keepers(kind, lease)]
    return "sent" if "sent" in states else "stopped" if "stopped" in states else None


def _mark(kind: Kind) -> str:
    return f"{kind}_claim"


def _start(lease: Lease, state: str) -> dict[str, Any]:
    return {"state": state, "generation": lease.generation}


def _keepers(kind: Kind, lease: Lease) -> tuple[TaskKey, ...]:
    return lease.owner.task("reserve"), lease.owner.task(f"start_{kind}")


def _reservation(task: TaskKey) -> dict[str, Any] | None:
    try:
        noted = Fields(stored(task.raw_xcom(RESERVATION)))
        return {name: noted.get(name) for name in ("lease", "generation")}
    except Unreadable:
        return None


def _state(task: TaskKey, kind: Kind, lease: Lease) -> str | None:
    """Return the mark that a task keeps of this broadcast's start; None if it has none, or another generation's."""
    try:
        noted = Fields(stored(task.raw_xcom(_mark(kind))))
        state = noted.choice("state", ("sent", "refused", "foreign", "stopped"))
        return state if noted.text("generation", pattern=GENERATION) == lease.generation else None
    except Unreadable:
        return None
