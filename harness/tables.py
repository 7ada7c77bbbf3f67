"""Tables of figures, for a terminal and for the docs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["markdown_table", "text_table"]


def text_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return the rows in columns, for a terminal."""
    everything = [headings, *rows]
    widths = [max(len(line[column]) for line in everything) for column in range(len(headings))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in everything
    )


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return the rows as Markdown."""
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '/') for cell in line)} |"
        for line in (headings, ["---"] * len(headings), *rows)
    )
