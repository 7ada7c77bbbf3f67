"""The command: every script with every seed; a table, and an exit status that shows whether all came out as they must."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.acceptance.verdicts.judge import judged
from tests.acceptance.verdicts.origin import play
from tests.acceptance.verdicts.report import markdown, story, table
from tests.acceptance.verdicts.scripts import SCRIPTS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.acceptance.verdicts",
        description="Has the product's own watcher follow scripted streams over HTTP, on a clock that only its pauses and the "
        "servers' answers move, and compares its verdicts with what viewers would have seen.",
    )
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds of each script (20)")
    parser.add_argument("--only", nargs="+", default=[], metavar="TEXT", help="scripts whose name holds one of these")
    parser.add_argument("--seed", type=int, metavar="N", help="this seed only, and its verdicts in full")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the page of the docs there")
    options = parser.parse_args(arguments)
    seeds = range(options.seeds) if options.seed is None else [options.seed]
    began = time.monotonic()
    marked = []
    for script in SCRIPTS:
        if options.only and not any(text in script.name for text in options.only):
            continue
        for seed in seeds:
            one = play(script, seed)
            marks = judged(one.stream, one.probes)
            marked.append((one, marks))
            if marks.wrong or options.seed is not None:
                print(
                    f"\n{one}: target duration {one.stream.target} s, grace {one.stream.grace:g} s",
                    story(one),
                    sep="\n",
                )
                print(*(f"  WRONG: {what}" for what in marks.wrong[:3]), sep="\n")
                print(f"  and {len(marks.wrong) - 3} more" if len(marks.wrong) > 3 else "", flush=True)
    if not marked:
        parser.error("no script has such a name")
    wrong = sum(bool(marks.wrong) for _, marks in marked)
    print(f"\n{table(marked)}")
    print(f"\n{len(marked) - wrong} of {len(marked)} plays as they must be, in {time.monotonic() - began:.0f} s")
    if options.markdown:
        options.markdown.write_text(markdown(marked, seeds=len(seeds)), encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
