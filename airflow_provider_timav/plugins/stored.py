"""What the page reads of Airflow's tables: rows that people can write, each by itself, and never more than a fixed amount.

Everything is read as text and parsed here (`reading`): of what an XCom names no class is made, and a value that the database's
driver or the reader cannot take costs its own row, not the others'.
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
"""Characters of a lease: of one whose texts are all empty `Lease.to_json` makes more, and encryption makes it longer."""

LARGEST_STORED: Final = 2 * LARGEST_ENTRY
"""Bytes of an entry as it is stored: encryption makes it longer by a third."""

MOST_LEASES: Final = 10_000
MOST_BYTES: Final = 16 * 1024 * 1024
"""Of all entries together. The smallest ones are read first, for ours are small: a few that are large keep nobody out."""

_LEASE: Final = PREFIX.replace("_", "/_") + "_" * 32
"""The names of leases, and of nothing that is longer or shorter, as a pattern of SQL's."""


class Snapshot(Variables):
    """All leases among the ledger's Variables, with what is claimed and seen under each, read at once.

    Only what can be a lease counts towards the bounds, and what goes with it: nothing else keeps a broadcast from the page.
    ``teams`` holds the team of each, None where it has none.
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
        """Return the value, or None. One that cannot be decrypted is not there."""
        if (variable := self._rows.get(name)) is None:
            return None
        try:
            text: str | None = variable.val
        except Exception as broken:  # noqa: BLE001 - whatever the encryption raises: it is this row's alone
            log.debug("The Variable %s cannot be read: %s", name, type(broken).__name__)
            return None
        return text

    def names(self) -> Iterable[str]:
        """Give the names."""
        return list(self._rows)


def _sizes() -> Any:
    """Return a query for the names and sizes of leases and of what goes with them, the smallest ones first."""
    key, size = Variable.key, func.length(Variable._val)
    leases = (
        select(key)
        .where(key.like(_LEASE, escape="/"), size.between(SMALLEST_LEASE, LARGEST_STORED))
        .order_by(size, key)
        .limit(MOST_LEASES)
        .subquery()
    )
    # By the beginning of its name each entry has one lease at most: databases join that without comparing each with each.
    return (
        select(key, size)
        .join(leases, leases.c.key == func.substr(key, 1, len(PREFIX) + 32))
        .where(or_(*(key.like(_LEASE + entry, escape="/") for entry in ("", "-push", "-record", "-watch"))))
        .where(size <= LARGEST_STORED)
        .order_by(size, key)
    )


_PORTION: Final = 500
"""Names in one query: databases have a bound for them."""


def _portions(names: list[str]) -> Iterable[list[str]]:
    return (names[start : start + _PORTION] for start in range(0, len(names), _PORTION))


def as_text(xcom: Any) -> Any:
    """Return the column of an XCom's value, as text; of one that is larger than an entry may be, so much that it shows."""
    text = cast(xcom.value, Text)
    return func.substr(text, 1, LARGEST_ENTRY + 1)


def value_of(text: Any) -> Any:
    """Return the value of an XCom that was read as text; None for what cannot be read."""
    try:
        return stored(parsed(text))
    except Unreadable:
        return None


def xcoms(session: Session, keys: Collection[str], tasks: Collection[TaskKey]) -> Mapping[tuple[TaskKey, str], Any]:
    """Return the XComs of these tasks under these keys, by task and key, in one query; None for what cannot be read."""
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
    """Return conditions that hold for these tasks and some more, and that every database has an index for."""
    listed = list(tasks)
    return [
        getattr(table, name).in_({getattr(task, name) for task in listed}) for name in ("dag_id", "task_id", "run_id")
    ]


def key_of(row: Any) -> TaskKey:
    """Return the task that a row is of."""
    return TaskKey(row.dag_id, row.run_id, row.task_id, row.map_index)
