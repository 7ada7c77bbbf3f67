"""The golden vectors, the table of result codes and the specification's text that tests are held against."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SPECIFICATION = (FOLDER / "videorelay.zh.md").read_text(encoding="utf-8")
FIELD_NOTES = (FOLDER / "field-notes.md").read_text(encoding="utf-8")


def vectors(name: str) -> Any:
    """Return the golden vectors of one file: urls, requests, refused, responses or failures."""
    return json.loads((FOLDER / "vectors" / f"{name}.json").read_text(encoding="utf-8"))


def least_arguments() -> dict[str, dict[str, Any]]:
    """Return, of each operation, the arguments of its first golden request: those that it does not go without."""
    found: dict[str, dict[str, Any]] = {}
    for case in vectors("requests")["cases"]:
        found.setdefault(case["call"], case["arguments"])
    return found


def outcomes() -> list[dict[str, str]]:
    """Return the table of result codes, a row each."""
    with (FOLDER / "outcomes.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
