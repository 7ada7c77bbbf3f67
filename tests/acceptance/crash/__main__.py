"""The command: every operation killed at every point on a real Airflow, one table, an exit status that says whether it held."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence

from harness.processes import SiteError
from tests.acceptance.crash.matrix import SETTINGS, Observed, crash_site, differences, play
from tests.acceptance.crash.points import ALL, POINTS, SHORT, Case, Expected

COLUMNS = ("operation", "killed", "point", "tries", "posts", "start!", "stop!", "start", "stop", "handed on", "")
CASE_SECONDS = 240.0
LOG_LINES = 25


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.acceptance.crash",
        description="Kills the process of a task with SIGKILL, in another round its supervisor first, at every point of every "
        "operation, on a real scheduler and LocalExecutor workers, and lets Airflow try again.",
    )
    parser.add_argument("--short", action="store_true", help="the eight cases that are among the tests")
    parser.add_argument("--only", nargs="+", default=[], metavar="TEXT", help="cases whose name holds one of these")
    options = parser.parse_args(arguments)
    cases = [case for case in (SHORT if options.short else ALL) if _wanted(case, options.only)]
    began = time.monotonic()
    for name, value in SETTINGS.items():
        print(f"{name.removeprefix('AIRFLOW__').replace('__', '.').lower()} = {value}")
    print(f"{len(cases)} cases", flush=True)
    seen: dict[Case, Observed] = {}
    with crash_site() as site:
        try:
            for case, observed in play(site, cases, timeout=CASE_SECONDS):
                seen[case] = observed
                held = "as expected" if not differences(case, observed) else "NOT AS EXPECTED"
                print(f"{time.monotonic() - began:4.0f} s  {len(seen)}/{len(cases)}  {case}: {held}", flush=True)
        except SiteError as stuck:
            print(f"\nThese have not come to an end: {stuck}")
    wrong = {case: found for case, observed in seen.items() if (found := differences(case, observed))}
    print(f"\n{table((case, seen[case]) for case in cases if case in seen)}\n")
    print('Posts are those of the whole run, "!" marks what the service carried out. The points:')
    for point, (meaning, _) in POINTS.items():
        print(f"  {point:<21} {meaning}")
    for case, found in wrong.items():
        print(f"\n{case}:", *found, "the last try's log:", *seen[case].log.splitlines()[-LOG_LINES:], sep="\n  ")
    print(f"\n{counts([observed.summary() for observed in seen.values()])}")
    print(f"{len(seen) - len(wrong)} of {len(cases)} cases as expected, in {time.monotonic() - began:.0f} s")
    return 1 if wrong or len(seen) < len(cases) else 0


def _wanted(case: Case, texts: Sequence[str]) -> bool:
    return not texts or any(text in str(case) for text in texts)


def counts(results: Sequence[Expected]) -> str:
    """What the services' journals hold in all."""
    posts = sum(len(result.posts.split()) for result in results)
    starts, stops = sum(result.starts for result in results), sum(result.stops for result in results)
    return f"{posts} posts in {sum(result.tries for result in results)} tries: {starts} starts and {stops} stops carried out"


def table(rows: Iterable[tuple[Case, Observed]]) -> str:
    """One line per case: what came of it, and whether that is what must."""
    lines: list[Sequence[str]] = [COLUMNS]
    for case, observed in rows:
        got = observed.summary()
        lines.append(
            (
                case.operation,
                "+ supervisor" if case.supervisor else "task",
                case.point,
                str(got.tries),
                got.posts,
                str(got.starts),
                str(got.stops),
                got.start or "failed",
                got.stop or "failed",
                got.handed_on,
                "WRONG" if differences(case, observed) else "ok",
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


if __name__ == "__main__":
    sys.exit(main())
