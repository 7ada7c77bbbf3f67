"""Plays in a file: a matrix that takes an hour can be played in slices, or go on where it was interrupted."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from tests.acceptance.leak.cases import CASES
from tests.acceptance.leak.judge import Observed
from tests.acceptance.leak.matrix import Play


def save(file: Path, plays: Iterable[Play]) -> None:
    """Write them down, without what their tasks said."""
    rows = [
        {
            "case": play.case.name,
            "wiring": play.wiring,
            "number": play.number,
            "seen": [asdict(one) for one in play.seen],
            "seconds": play.seconds,
            "stuck": play.stuck,
        }
        for play in plays
    ]
    unfinished = file.with_suffix(".part")  # who is killed here has not lost the earlier ones
    unfinished.write_text(json.dumps(rows, indent=1))
    unfinished.replace(file)


def load(file: Path) -> list[Play]:
    """Read what `save` wrote, judged anew; of a file that is not there, nothing. A case that is no more is left out."""
    if not file.exists():
        return []
    cases = {case.name: case for case in CASES}
    return [
        Play(
            cases[row["case"]],
            row["wiring"],
            row["number"],
            [Observed(**one) for one in row["seen"]],
            row["seconds"],
            row["stuck"],
        )
        for row in json.loads(file.read_text())
        if row["case"] in cases
    ]
