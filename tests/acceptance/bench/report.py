"""What a measurement came to: rows, the table of them, and the exit status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HEADINGS = ("goal", "what", "measured", "at most", "met")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table.

    ``goal_id`` is the goal's name, ``exact`` says whether chance has no part in it, ``met`` is None where there is no goal: a
    figure beside the goal's own.
    """

    goal_id: str
    what: str
    measured: str
    goal: str
    met: bool | None
    exact: bool = False

    def cells(self) -> tuple[str, ...]:
        """Return the cells, under ``HEADINGS``."""
        return (self.goal_id, self.what, self.measured, self.goal, _MET[self.met])


_MET = {True: "yes", False: "NO", None: "-"}


def at_most(goal_id: str, what: str, measured: float, goal: float | None, *, unit: str, detail: str) -> Row:
    """Return the row of a timing: the figure, and in brackets what it was made of. ``goal`` None: there is none."""
    return Row(
        goal_id=goal_id,
        what=what,
        measured=f"{measured:.3g}{unit} ({detail})",
        goal="-" if goal is None else f"{goal:g}{unit}",
        met=None if goal is None else measured <= goal,
    )


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text, in columns."""
    lines = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def exit_status(rows: Sequence[Row], *, strict: bool) -> int:
    """Return 1 where an exact goal is missed, or with ``strict`` any goal; else 0."""
    return int(any(row.met is False and (row.exact or strict) for row in rows))
