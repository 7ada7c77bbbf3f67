"""Time that only a test moves."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Clock"]


@dataclass
class Clock:
    """A clock for code that takes one: a call returns ``now``."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        """Return the seconds that the test has set."""
        return self.now
