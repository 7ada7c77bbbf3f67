"""The command: measure, print the table, say by the exit status whether the goals are met."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence

from tests.acceptance.bench.goals import GROUPS, measure
from tests.acceptance.bench.report import exit_status, table

GOAL_IDS = sorted(goal_id for goal_ids in GROUPS.values() for goal_id in goal_ids)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.acceptance.bench",
        description="Measures the goals for speed, each beside its floor or its peer in the same run, and prints one "
        "table. Ratios are medians over rounds in which the sides take turns. The server runs in a process of its own.",
        epilog="The exit status is 1 where an exact goal is missed: counts of P2, trust of P4, modules of P5. Timings "
        "depend on the machine and on what else it does: a miss is printed, and counts with --strict only.",
    )
    parser.add_argument("--quick", action="store_true", help="the short form: everything runs, timings say little")
    parser.add_argument("--strict", action="store_true", help="exit with 1 for any goal that is missed, timings too")
    parser.add_argument(
        "--only", nargs="+", choices=GOAL_IDS, default=GOAL_IDS, metavar="GOAL", help=f"of {', '.join(GOAL_IDS)}"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and return the exit status."""
    options = _parser().parse_args(arguments)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="timav-bench-") as home:
        # A person's own Airflow, its secrets backends and its log levels have no part in this.
        for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
            del os.environ[name]
        os.environ["AIRFLOW_HOME"] = home
        rows = sorted(measure(frozenset(options.only), quick=options.quick), key=lambda row: int(row.goal_id[1:]))
    print(table(rows))
    goals = [row for row in rows if row.met is not None]
    met = sum(row.met is True for row in goals)
    form = " (quick: its timings say little)" if options.quick else ""
    print(f"\n{met} of {len(goals)} met, in {time.monotonic() - began:.0f} s{form}")
    return exit_status(rows, strict=options.strict)


if __name__ == "__main__":
    sys.exit(main())
