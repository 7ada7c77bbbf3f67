"""The tables of the leak matrix: for a terminal, and as the page of the docs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from tests.leak.cases import Case, Expected
from tests.leak.judge import Observed
from tests.leak.matrix import Play
from tests.leak.stage import Wiring

COLUMNS = ("case", "run", "tasks not in success", "outcome", "push", "recording", "file ids", "off air after", "")


def lines(plays: Sequence[Play], cases: Sequence[Case], wiring: Wiring) -> list[tuple[str, ...]]:
    """One line per broadcast of a case and per different result: equal rounds are one line that says how many they are."""
    rows: list[tuple[str, ...]] = []
    for case in cases:
        rounds = [play for play in plays if play.case == case and play.wiring == wiring]
        several = len(case.expected) > 1
        for index in range(len(case.expected)):
            name = f"{case.name} [{index + 1}]" if several else case.name
            seen = [(play.seen[index], bool(play.wrong)) for play in rounds if len(play.seen) > index]
            seen.sort(key=lambda one: (one[1], _facts(one[0])))
            for (facts, wrong), group in groupby(seen, key=lambda one: (_facts(one[0]), one[1])):
                same = [observed for observed, _ in group]
                held = "" if wiring == "naive" else f"{'WRONG' if wrong else 'ok'} {len(same)}/{len(rounds)}"
                rows.append((name, *facts, off_air(case.expected[index], same), held))
        rows += [(case.name, *[""] * 7, "STUCK") for play in rounds if not play.seen]
    return rows


def _facts(seen: Observed) -> tuple[str, ...]:
    return (
        seen.run,
        by_state(seen.others),
        seen.outcome or "-",
        seen.push or "-",
        seen.record or "-",
        seen.ids,
    )


def by_state(others: Mapping[str, str]) -> str:
    """Task names by their state."""
    states: dict[str, list[str]] = {}
    for name, state in others.items():
        states.setdefault(state, []).append(name)
    return "; ".join(f"{state}: {', '.join(sorted(names))}" for state, names in sorted(states.items())) or "-"


def off_air(wanted: Expected, seen: Sequence[Observed]) -> str:
    """When the last stream went off air, over equal rounds, in the terms of the promise."""
    if any(one.left for one in seen):
        return "LEFT ON AIR: " + ", ".join(sorted({what.partition(" of ")[0] for one in seen for what in one.left}))
    after = wanted.off.after if wanted.off else "end"
    found = sorted(
        value for one in seen if (value := one.off_after_act if after == "act" else one.off_after_end) is not None
    )
    if not found:
        return "-"
    span = f"{found[0]:+.1f}" if len(found) == 1 else f"{found[0]:+.1f} to {found[-1]:+.1f}"
    return f"{span} s after the {after}"


def table(rows: Iterable[Sequence[str]]) -> str:
    """Columns, for a terminal."""
    everything = [COLUMNS, *rows]
    widths = [max(len(line[column]) for line in everything) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in everything
    )


def markdown_table(rows: Iterable[Sequence[str]]) -> str:
    """The same as Markdown."""
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '/') for cell in line)} |"
        for line in (COLUMNS, ["---"] * len(COLUMNS), *rows)
    )


def markdown(plays: Sequence[Play], cases: Sequence[Case], *, settings: Mapping[str, str], rounds: int) -> str:
    """The page of the docs: what was played, with which settings, and both tables."""
    wrong = sum(bool(play.wrong) for play in plays)
    played = [play for play in plays if play.wiring == "leak"]
    parts = [
        "# The leak matrix",
        "",
        "Made by `make leak`: every case on a real Airflow (API server, scheduler, DAG processor, triggerer, LocalExecutor,",
        f"PostgreSQL) with the reaper running each minute; {len(played)} broadcasts' cases played, {rounds} rounds each,",
        f"{len(played) - wrong} as was expected before the run. Settings that decide when a death is noticed:",
        "",
        *(f"- `{name}` = {value}" for name, value in settings.items()),
        "",
        '"!" marks requests that changed something; the others were answered with "runs already" or "stopped already".',
        "Off air is measured from the end in force, or, where somebody ends the broadcast, from what was done.",
        "",
        "## With `Broadcast`",
        "",
        markdown_table(lines(plays, cases, "leak")),
        "",
        "## Wired by hand: start >> start >> wait, each stop the teardown of its start",
        "",
        "The same operators, without `Broadcast`. Two minutes after the end is looked whether something is on air still.",
        "",
        markdown_table(lines(plays, cases, "naive")),
        "",
        "## What was done",
        "",
        *(f"- `{case.name}`: {case.what}" for case in cases),
        "",
    ]
    return "\n".join(parts)
