"""The goals, one module per group. A module's ``rows(quick)`` measures its group.

To add one: write the module, name it here.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Final, Protocol, cast

from tests.acceptance.bench.report import Row

GROUPS: Final = {
    "calls": ("P1", "P3"),
    "connections": ("P2", "P4"),
    "imports": ("P5",),
}
"""Modules of this package, and the goals that each of them measures."""


class Group(Protocol):
    """What a module of this package offers."""

    def rows(self, *, quick: bool) -> Iterator[Row]:
        """Measure. ``quick``: just enough to see that everything runs; timings of it say little."""


def measure(chosen: frozenset[str], *, quick: bool) -> Iterator[Row]:
    """Give the rows of the chosen goals as they are measured."""
    for name, goal_ids in GROUPS.items():
        if chosen.intersection(goal_ids):
            # Imported here: they import Airflow, whose home must have been set before that.
            group = cast("Group", importlib.import_module(f"{__name__}.{name}"))
            yield from (row for row in group.rows(quick=quick) if row.goal_id in chosen)
