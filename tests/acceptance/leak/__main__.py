"""The command: everything that can happen to a broadcast, on a real Airflow; tables, and an exit status that says so."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from harness.site import SETTINGS as SITE_SETTINGS
from tests.acceptance.leak.cases import CASES, SHORT, Case
from tests.acceptance.leak.kept import load, save
from tests.acceptance.leak.matrix import SETTINGS, Matrix, Play, leak_site
from tests.acceptance.leak.report import lines, markdown, table

SHOWN = ("HEARTBEAT", "HEALTH_CHECK", "ORPHANED", "PARALLELISM", "TIMEOUT")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.acceptance.leak",
        description="Plays everything that can happen to a broadcast on a real scheduler, triggerer and LocalExecutor workers, "
        "with PostgreSQL and the reaper running each minute; and compares what came of it with what was expected.",
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each case is played (5)")
    parser.add_argument("--short", action="store_true", help="the cases that are among the tests, once each")
    parser.add_argument("--only", nargs="+", default=[], metavar="TEXT", help="cases whose name holds one of these")
    parser.add_argument("--naive", action="store_true", help="also once each as it is wired by hand, for comparison")
    parser.add_argument(
        "--keep", type=Path, metavar="FILE", help="go on with the plays in there, and add those of this run"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write both tables there, too")
    options = parser.parse_args(arguments)
    rounds = 1 if options.short else options.rounds
    cases = [case for case in (SHORT if options.short else CASES) if _wanted(case, options.only)]
    settings = {_name(name): value for name, value in (SITE_SETTINGS | SETTINGS).items() if _shown(name)}
    for name, value in settings.items():
        print(f"{name} = {value}")
    print(f"{len(cases)} cases, {rounds} rounds", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what was made is to be cleared away, too
    began = time.monotonic()
    plays = load(options.keep) if options.keep else []
    done = {(play.case.name, play.wiring, play.number) for play in plays}
    with leak_site(rounds=rounds) as site, Matrix(site) as matrix:
        for play in matrix.play(cases, rounds=rounds, naive=options.naive, done=done):
            plays.append(play)
            print(f"{time.monotonic() - began:4.0f} s  {_line(play)}", flush=True)
            if options.keep:
                save(options.keep, plays)
        left = [one for one in matrix.left() if one.startswith("leak-")]
    cases = [case for case in CASES if any(play.case is case for play in plays)]
    wrong = [play for play in plays if play.wrong]
    print(f"\n{table(lines(plays, cases, 'leak'))}")
    if options.naive:
        print(f"\nWired by hand:\n\n{table(lines(plays, cases, 'naive'))}")
    for play in wrong:
        print(f"\n{play.case} round {play.number}:", *play.wrong, sep="\n  ")
        for task, log in play.logs.items():
            print(f"  -- {task}", *log.splitlines(), sep="\n     ")
    judged = sum(play.wiring == "leak" for play in plays)
    print(f"\nleft on air: {', '.join(left) or 'nothing'}")
    print(f"{judged - len(wrong)} of {judged} plays as expected, in {time.monotonic() - began:.0f} s")
    if options.markdown:
        options.markdown.write_text(markdown(plays, cases, settings=settings, rounds=rounds))
    return 1 if wrong or left or not judged else 0


def _line(play: Play) -> str:
    if play.wiring == "naive":
        return f"{play.case} (by hand): {'LEFT ON AIR' if any(one.left for one in play.seen) else 'clear'}"
    return (
        f"{play.case} {play.number}: {'as expected' if not play.wrong else 'NOT AS EXPECTED: ' + '; '.join(play.wrong)}"
    )


def _name(variable: str) -> str:
    return variable.removeprefix("AIRFLOW__").replace("__", ".").lower()


def _shown(variable: str) -> bool:
    return any(part in variable for part in SHOWN)


def _wanted(case: Case, texts: Sequence[str]) -> bool:
    return not texts or any(text in str(case) for text in texts)


if __name__ == "__main__":
    sys.exit(main())
