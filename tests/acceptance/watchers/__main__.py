"""The command: run both sides at once for some rounds, print the table, show by the exit status whether the goals are met."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from harness.project import PROJECT
from tests.acceptance.bench.report import Row, at_most, exit_status, table

HERE: Final = Path(__file__).parent
SETTLED_SECONDS: Final = 20.0
"""Until each stream has been seen to be live, and the start is over."""

ROUND_SECONDS: Final = 10.0

MOST_KILOBYTES: Final = 20.0
MOST_OF_OTHER: Final = 1.05
"""No more than the other: two runs of the same package differ by up to a twentieth."""

Told = Mapping[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.acceptance.watchers",
        description="Lets a thousand watchers follow as many streams in one loop, and beside them, at the same time and in a "
        "process of their own, those of another checkout or bare pollers; in half of the rounds the other side began first. "
        "Ratios are medians over the rounds.",
        epilog="Timings depend on the machine and on what else it does: a miss is printed, and counts with --strict only.",
    )
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="another checkout of the project")
    parser.add_argument("--watchers", type=int, default=1000, help="how many on each side (1000)")
    parser.add_argument("--rounds", type=int, default=6, help="how many rounds, of 10 s each (6)")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a goal is missed")
    options = parser.parse_args(arguments)
    other = "bare pollers" if options.against is None else str(options.against)
    print(f"{options.watchers} watchers beside {other}, {options.rounds} rounds of 10 s", flush=True)
    here: list[Told] = []
    there: list[Told] = []
    for other_first in (False, True):
        one, two = measured(options.watchers, max(options.rounds // 2, 1), options.against, other_first=other_first)
        here += one
        there += two
    found = rows(here, there, many=options.watchers, bare=options.against is None)
    print(table(found))
    return exit_status(found, strict=options.strict)


def measured(
    many: int,
    rounds: int,
    against: Path | None,
    *,
    settled: float = SETTLED_SECONDS,
    seconds: float = ROUND_SECONDS,
    other_first: bool = False,
) -> tuple[list[Told], list[Told]]:
    """Return the counts of this side and of the other in each round.

    Both run at once, so that the machine's other work falls on both alike.
    """
    with _process([sys.executable, str(HERE / "server.py")], PROJECT) as server:
        base = f"http://127.0.0.1:{_line(server)}"
        with contextlib.ExitStack() as sides:
            packages = (against, PROJECT) if other_first else (PROJECT, against)
            began = [sides.enter_context(_side(base, many, package)) for package in packages]
            one, two = reversed(began) if other_first else began
            time.sleep(settled)
            _tell(one, two)  # the time until now is no round
            found = []
            for _ in range(rounds):
                time.sleep(seconds)
                found.append(_tell(one, two))
    return [one for one, _ in found], [two for _, two in found]


def rows(here: Sequence[Told], there: Sequence[Told], *, many: int, bare: bool) -> list[Row]:
    """Return the table's rows."""
    mine, others = ([told["cpu"] / max(told["probes"], 1) * 1000 for told in side] for side in (here, there))
    ratio = median(one / two for one, two in zip(mine, others, strict=True))
    what = "a bare poll" if bare else "a probe of the other"
    late, others_late = (max(told["late_p99"] for told in side) * 1000 for side in (here, there))
    live, others_live = (min(told["live"] / max(told["probes"], 1) for told in side) for side in (here, there))
    kilobytes, others_kilobytes = ((side[-1]["resident"] - side[-1]["alone"]) / 1024 / many for side in (here, there))
    return [
        at_most(
            "P9",
            f"CPU of a probe over {what}",
            ratio,
            None if bare else MOST_OF_OTHER,
            unit="x",
            detail=f"{median(mine):.3f} / {median(others):.3f} ms",
        ),
        at_most(
            "P8", "memory of each", kilobytes, MOST_KILOBYTES, unit=" KB", detail=f"the other {others_kilobytes:.1f}"
        ),
        at_most(
            "P8",
            "probes later than they should be, p99, the worst round",
            late,
            100.0,
            unit=" ms",
            detail=f"the other {others_late:.1f}",
        ),
        Row(
            goal_id="P8",
            what="probes that say LIVE, the worst round",
            measured=f"{live:.1%} (the other {others_live:.1%})",
            goal="99%",
            met=live >= 0.99,
        ),
    ]


@contextlib.contextmanager
def _process(command: Sequence[str], package: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a program that ends with its standard input, with a package before all others."""
    env = {**os.environ, "PYTHONPATH": str(package)}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    try:
        yield process
    finally:
        process.communicate()


def _side(base: str, many: int, package: Path | None) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    which = ["--bare"] if package is None else ["--package", str(package)]
    return _process([sys.executable, str(HERE / "side.py"), base, str(many), *which], package or PROJECT)


def _tell(*sides: subprocess.Popen[str]) -> list[Told]:
    """Get the counts of all sides at once."""
    for side in sides:
        if side.stdin is None:
            raise RuntimeError("a pipe was asked for")
        side.stdin.write("\n")
        side.stdin.flush()
    return [json.loads(_line(side)) for side in sides]


def _line(process: subprocess.Popen[str]) -> str:
    line = "" if process.stdout is None else process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args!r} has ended")
    return line.strip()


if __name__ == "__main__":
    sys.exit(main())
