"""The tables of the verdict matrix: for a terminal, and as the page of the docs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

from harness.tables import markdown_table, text_table
from tests.acceptance.verdicts.judge import Marks
from tests.acceptance.verdicts.odd import ODD
from tests.acceptance.verdicts.origin import Play
from tests.acceptance.verdicts.scripts import SCRIPTS, Script

__all__ = ["markdown", "story", "table"]

COLUMNS = (
    "script",
    "plays",
    "probes",
    "false LIVE",
    "false ENDED",
    "false STALLED",
    "false RESET",
    "LIVE in",
    "STALLED in",
    "ENDED in",
    "wrong probes",
    "status 200: false live",
    "status 200: wrong probes",
    "",
)

_PAGE = """# The verdict matrix

Written by `make verdicts`, which has the provider's own watcher follow {scripts} scripted streams, {seeds} seeds each, over
HTTP on loopback and on a clock that only its pauses and the servers' answers move: {probes} probes. A seed decides the target
duration (1 to 10 s), how many segments are listed, where their numbers begin, how late each is, how long servers take, when an
outage begins and how long it lasts, at which moment the first probe falls, and `grace` (20 to 60 s).
**{good} of {plays} plays came out as they must.**

The script knows when viewers got something new. Players begin three target durations before the end of a list (RFC 8216,
6.3.3), so viewers see a picture for so long after the last of it. A poll is the longest pause between two probes (1.1 target
durations, of 1 to 10 s) and the longest probe of the play. For every seed must hold:

- false LIVE: none. LIVE is false when nothing new has come for more than three target durations and a poll.
- false ENDED: none. ENDED is right after `#EXT-X-ENDLIST`, and when a live stream has been gone for longer than `grace`. A
  stream that only we cannot see is not gone.
- false STALLED: none. STALLED is false when something new has come, to all viewers, in the last three target durations.
- false RESET: none. RESET is right when an encoder has begun anew, and not for an older copy of the list.
- LIVE within two target durations and a poll: from the first probe of a list that is live, and whenever LIVE was lost while it
  went on.
- STALLED within three target durations and a poll: from the last new media for viewers, or from the first probe.
- ENDED within a poll of `#EXT-X-ENDLIST`; otherwise within three target durations, `grace` and two polls.

Times are the longest of all plays, in per cent of what is allowed. A probe is wrong if its verdict is LIVE and the stream has
not been live for longer than three target durations and a poll, or if it is not LIVE while viewers have something new to play,
as for the first probes of any stream. "Status 200" is a check that takes status 200 of the playlist's address for live, at the
same moments.

## The scripts

{what}

Oddities, by seed: {odd}.

## Results

{came}
"""


def table(marked: Sequence[tuple[Play, Marks]]) -> str:
    """Return the table, for a terminal."""
    return text_table(COLUMNS, _rows(marked))


def markdown(marked: Sequence[tuple[Play, Marks]], *, seeds: int) -> str:
    """Return the page of the docs."""
    return _PAGE.format(
        scripts=len({play.script for play, _ in marked}),
        seeds=seeds,
        probes=f"{sum(marks.probes for _, marks in marked):,}",
        good=sum(not marks.wrong for _, marks in marked),
        plays=len(marked),
        what="\n".join(f"- `{script.name}`: {script.what}" for script in SCRIPTS),
        odd="; ".join(ODD),
        came=markdown_table(COLUMNS, _rows(marked)),
    )


def story(play: Play) -> str:
    """Return the verdicts of a play, each with its first moment."""
    changes = (
        next(probes) for _, probes in itertools.groupby(play.probes, lambda probe: (probe.verdict, probe.reason))
    )
    told = [f"{probe.at:7.1f} s  {probe.verdict}{f' ({probe.reason})' if probe.reason else ''}" for probe in changes]
    return "\n".join(told if len(told) <= 12 else [*told[:8], f"... {len(told) - 12} more ...", *told[-4:]])


def _rows(marked: Sequence[tuple[Play, Marks]]) -> list[tuple[str, ...]]:
    rows = []
    for script in SCRIPTS:
        found = [marks for play, marks in marked if play.script is script]
        rows += [_row(script, found)] if found else []
    return [*rows, _row("all", [marks for _, marks in marked])]


def _row(script: Script | str, found: Sequence[Marks]) -> tuple[str, ...]:
    every = sum(found, Marks())
    wrong = sum(bool(marks.wrong) for marks in found)
    return (
        str(script),
        str(len(found)),
        str(every.probes),
        str(every.false_live),
        str(every.false_ended),
        str(every.false_stalled),
        str(every.false_reset),
        _longest(every.live_after),
        _longest(every.stalled_after),
        _longest(every.ended_after),
        _share(every.mistaken, every.probes),
        str(every.status_false_live),
        _share(every.status_mistaken, every.probes),
        f"WRONG {wrong}/{len(found)}" if wrong else f"ok {len(found)}/{len(found)}",
    )


def _longest(fractions: Iterable[float]) -> str:
    longest = max(fractions, default=None)
    if longest is None:
        return "-"
    return f"{longest:.0%}".replace("%", " %") if math.isfinite(longest) else "never"


def _share(some: int, every: int) -> str:
    return f"{some / every:.1%}".replace("%", " %") if every else "-"
