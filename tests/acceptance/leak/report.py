"""The tables of the leak matrix: for a terminal, and as the page of the docs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from harness.tables import markdown_table, text_table
from tests.acceptance.leak.cases import Case, Expected
from tests.acceptance.leak.judge import Observed
from tests.acceptance.leak.matrix import Play
from tests.acceptance.leak.stage import Wiring

COLUMNS = ("case", "run", "tasks not in success", "outcome", "push", "recording", "file ids", "off air after", "")

_PAGE = """# The leak matrix

Written by `make leak`, which makes every case happen to a real Airflow (API server, scheduler, DAG processor,
triggerer, LocalExecutor, PostgreSQL) with the reaper running each minute. {rounds} rounds of {cases} cases:
**{good} of {played} came out as was written down before the run.** Settings that decide when a death is noticed:

{settings}

A request with "!" changed something; the others were answered "runs already" or "stopped already". "+" stands for
one or more of it, "*" for none as well. Off air is measured from the end in force, or from what was done to end it.
A negative figure: the act was that of another room (`mapped`), or came a moment after its effect was seen (`timeout`).

## What happens

{what}

## What must come of it

{expected}

## What came of it

{seen}
"""
_BY_HAND = """
## The same, wired by hand

start_push >> start_record >> wait >> the stops as teardowns of their starts: the same operators, the same Airflow,
without `Broadcast`. Each case that this wiring has, once; what is on air two minutes after the end is left. It has
nothing to meet: it shows what comes of it.

{seen}
"""


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
        shortened(seen.push) or "-",
        shortened(seen.record) or "-",
        seen.ids,
    )


def shortened(posts: str) -> str:
    """Posts with three or more of a kind in a row as one with "+": how many repeats an outage takes differs between rounds."""
    return re.sub(r"\b(\S+)(?: \1(?=\s|$)){2,}", r"\1+", posts)


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
    return text_table(COLUMNS, rows)


def expectations(cases: Iterable[Case]) -> list[tuple[str, ...]]:
    """One line per broadcast of a case: what was written down before it was played."""
    rows: list[tuple[str, ...]] = []
    for case in cases:
        for index, wanted in enumerate(case.expected, 1):
            name = f"{case.name} [{index}]" if len(case.expected) > 1 else case.name
            off = f"at most {wanted.off.within:.0f} s after the {wanted.off.after}" if wanted.off else "-"
            facts = (wanted.outcome or "-", wanted.push or "-", wanted.record or "-", " or ".join(wanted.ids), off)
            rows.append((name, wanted.run, by_state(wanted.others), *facts, ""))
    return rows


def markdown(plays: Sequence[Play], cases: Sequence[Case], *, settings: Mapping[str, str], rounds: int) -> str:
    """The page of the docs: what was played, with which settings, what must come of it, and what came of it."""
    played = [play for play in plays if play.wiring == "leak"]
    page = _PAGE.format(
        rounds=rounds,
        cases=len(cases),
        good=sum(not play.wrong for play in played),
        played=len(played),
        settings="\n".join(f"- `{name}` = {value}" for name, value in settings.items()),
        what="\n".join(f"- `{case.name}`: {case.what}" for case in cases),
        expected=markdown_table(COLUMNS, expectations(cases)),
        seen=markdown_table(COLUMNS, lines(plays, cases, "leak")),
    )
    if any(play.wiring == "naive" for play in plays):
        page += _BY_HAND.format(seen=markdown_table(COLUMNS, lines(plays, cases, "naive")))
    return page
