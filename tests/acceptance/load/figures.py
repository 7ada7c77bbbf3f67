"""Figures of many measurements."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["late_figures", "percentile"]


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that this percentage of all does not exceed (nearest rank)."""
    return sorted(values)[max(math.ceil(len(values) * percent / 100) - 1, 0)]


def late_figures(late: Sequence[float]) -> str:
    """How late things were, in words."""
    if not late:
        return "nothing to measure"
    figures = {"least": min(late), "p50": percentile(late, 50), "p99": percentile(late, 99), "most": max(late)}
    return "late by " + ", ".join(f"{name} {seconds:.2f}" for name, seconds in figures.items()) + " s"
