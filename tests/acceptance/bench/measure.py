"""Timings of several sides in one run, such that the machine's other work falls on all of them alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Effort:
    """How much is measured: the rounds of which the median is taken, and how often each side has its turn in one."""

    rounds: int
    turns: int


@dataclass(frozen=True)
class Timings:
    """Seconds of one call by side and round: what passed, and what this process computed."""

    wall: Mapping[str, list[float]]
    cpu: Mapping[str, list[float]]

    def ratio(self, side: str, other: str) -> float:
        """Return the median over the rounds of ``side`` / ``other``."""
        return _ratio(self.wall[side], self.wall[other])

    def detail(self, side: str, other: str) -> str:
        """Return the two times, and the ratio of this process's own work: the server's part is in the times of both."""
        mine, others = (median(self.wall[name]) * 1000 for name in (side, other))
        return f"{mine:.2f} / {others:.2f} ms, CPU {_ratio(self.cpu[side], self.cpu[other]):.2f}x"


def _ratio(mine: list[float], others: list[float]) -> float:
    return median(one / two for one, two in zip(mine, others, strict=True))


def interleave(sides: Mapping[str, Callable[[], object]], effort: Effort, *, calls: int, warm_up: int = 3) -> Timings:
    """Time one turn of each side after the other, again and again; a round's figure is the median of its turns.

    ``calls`` is how many calls a turn makes; the figures are those of one.

    Turn by turn rather than block by block: a disturbance of a tenth of a second is then in both sides of a ratio. Which
    side begins changes with every turn, so that none always runs in the wake of the same other.
    """
    for _ in range(warm_up):
        for act in sides.values():
            act()
    timings = Timings({name: [] for name in sides}, {name: [] for name in sides})
    order = list(sides)
    for _ in range(effort.rounds):
        gc.collect()  # the garbage of a round is not collected at the expense of whoever comes next
        wall: dict[str, list[float]] = {name: [] for name in sides}
        cpu: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(effort.turns):
            for name in order:
                began, worked = time.perf_counter(), time.thread_time()
                sides[name]()
                cpu[name].append(time.thread_time() - worked)
                wall[name].append(time.perf_counter() - began)
            order.append(order.pop(0))
        for name in sides:
            timings.wall[name].append(median(wall[name]) / calls)
            timings.cpu[name].append(median(cpu[name]) / calls)
    return timings
