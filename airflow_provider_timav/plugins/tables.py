"""Read Variables and XComs from Airflow's tables for the page: people can write them, so each row by itself, and within bounds.

Everything is read as text and parsed here (`reading`): no class that an XCom names is instantiated, and a value that the
database's driver or the reader cannot process costs only its own row.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from airflow.models.variable import Variable
from airflow.models.xcom import XComModel
from sqlalchemy import Text, cast, func, or_, select

from airflow_provider_timav.leases import PREFIX, Variables, is_entry
from airflow_provider_timav.reading import LARGEST_ENTRY, Unreadable, parsed, stored
from airflow_provider_timav.runs import TaskKey

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["Snapshot", "among", "as_text", "key_of", "value_of", "xcoms"]

log = logging.getLogger(__name__)

SMALLEST_LEASE: Final = 256
"""Characters. Even a lease with empty texts is longer than this as `Lease.to_json`, and encryption makes it longer."""

LARGEST_STORED: Final = 2 * LARGEST_ENTRY
"""Bytes of a stored entry: encryption makes it longer by a third."""

MOST_LEASES: Final = 10_000
MOST_BYTES: Final = 16 * 1024 * 1024
"""Of all entries together. The smallest are read first, because ours are small: a few large ones displace none of them."""

_LEASE: Final = PREFIX.replace("_", "/_") + "_" * 32
"""A pattern of SQL for the names of leases, of exactly their length."""


class Snapshot(Variables):
    """All leases among the ledger's Variables, with the other entries of each, read at once.

    Only Variables that can be a lease, and their other entries, count towards the bounds: no other Variable keeps a broadcast
    from the page. ``teams`` holds the team of each, None if it has none.
    """

    def __init__(self, session: Session) -> None:
        self.teams: dict[str, str | None] = {}
        self._rows: dict[str, Variable] = {}
        names, total = [], 0
        for name, length in session.execute(_sizes()):
            total += length
            if total > MOST_BYTES:
                break
            if is_entry(name):
                names.append(name)
        for some in _portions(names):
            for variable in session.scalars(select(Variable).where(Variable.key.in_(some))):
                self.teams[variable.key] = variable.team_name
                self._rows[variable.key] = variable

    def get(self, name: str) -> str | None:
        """Return the value; None if there is none, or if it cannot be decrypted."""
        if (variable := self._rows.get(name)) is None:
            return None
        try:
            text: str | None = variable.val
        except Exception as broken:  # noqa: BLE001 - any error of the encryption: it concerns this row alone
            log.debug("The Variable %s cannot be read: %s", name, type(broken).__name__)
            return None
        return text

    def names(self) -> Iterable[str]:
        """Return the names."""
        return list(self._rows)


def _sizes() -> Any:
    """Return a query for the names and sizes of leases and of their other entries, the smallest first."""
    key, size = Variable.key, func.length(Variable._val)
    leases = (
        select(key)
        .where(key.like(_LEASE, escape="/"), size.between(SMALLEST_LEASE, LARGEST_STORED))
        .order_by(size, key)
        .limit(MOST_LEASES)
        .subquery()
    )
    # The beginning of an entry's name is that of its lease: databases join by it without comparing every pair.
    return (
        select(key, size)
        .join(leases, leases.c.key == func.substr(key, 1, len(PREFIX) + 32))
        .where(or_(*(key.like(_LEASE + entry, escape="/") for entry in ("", "-push", "-record", "-watch"))))
        .where(size <= LARGEST_STORED)
        .order_by(size, key)
    )


_PORTION: Final = 500
"""Names in one query: databases limit them."""


def _portions(names: list[str]) -> Iterable[list[str]]:
    return (names[start : start + _PORTION] for start in range(0, len(names), _PORTION))


def as_text(xcom: Any) -> Any:
    """Return the column of an XCom's value, as text, cut just beyond what an entry may have."""
    text = cast(xcom.value, Text)
    return func.substr(text, 1, LARGEST_ENTRY + 1)


def value_of(text: Any) -> Any:
    """Return the value of an XCom that was read as text; None if it cannot be read."""
    try:
        return stored(parsed(text))
    except Unreadable:
        return None


def xcoms(session: Session, keys: Collection[str], tasks: Collection[TaskKey]) -> Mapping[tuple[TaskKey, str], Any]:
    """Return the XComs of these tasks under these keys, by task and key, in one query; None if it cannot be read."""
    if not tasks:
        return {}
    xcom = XComModel
    rows = session.execute(
        select(xcom.dag_id, xcom.run_id, xcom.task_id, xcom.map_index, xcom.key, as_text(xcom).label("text"))
        .where(xcom.key.in_(keys))
        .where(*among(xcom, tasks))
    )
    wanted = set(tasks)
    return {(task, row.key): value_of(row.text) for row in rows if (task := key_of(row)) in wanted}


def among(table: Any, tasks: Iterable[TaskKey]) -> list[Any]:
    """Return conditions that include these tasks, and possibly others, and for which every database has an index."""
    listed = list(tasks)
    return [
        getattr(table, name).in_({getattr(task, name) for task in listed}) for name in ("dag_id", "task_id", "run_id")
    ]


def key_of(row: Any) -> TaskKey:
    """Return the task of a row."""
    return TaskKey(row.dag_id, row.run_id, row.task_id, row.map_index)
