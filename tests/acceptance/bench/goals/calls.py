"""P1 and P3: what a call costs, by a hook that is kept and by a new one."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from tests.acceptance.bench.measure import Effort, Timings, interleave
from tests.acceptance.bench.probe import probe
from tests.acceptance.bench.report import Row, at_most
from tests.acceptance.bench.service import ServiceProcess
from tests.acceptance.bench.sides import CALLS, Sides, first_calls, opened


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure the two goals against one server."""
    with ServiceProcess() as service, opened(service) as sides:
        yield from _kept(sides, Effort(3, 10) if quick else Effort(25, 40))
        yield from _new(sides, Effort(3, 3) if quick else Effort(15, 15))
        yield _new_public(sides, Effort(2, 3) if quick else Effort(10, 8))
        yield _new_process(turns=2 if quick else 15)


def _kept(sides: Sides, effort: Effort) -> Iterator[Row]:
    compared = {"hook": sides.hook, "session": sides.session, "http": sides.http_hook}
    timings = interleave(compared, effort, calls=CALLS, warm_up=5)
    yield _row("P1", "call: kept hook / kept requests.Session", timings, "hook", "session", 1.10)
    yield _row("P1", "call: kept hook / HttpHook.run() of a kept one", timings, "hook", "http", 0.65)


def _new(sides: Sides, effort: Effort) -> Iterator[Row]:
    """Compare with credentials in files on both sides; beside it the figure of a connection that holds them as text.

    That one has no peer, for HttpHook takes paths alone: Airflow's look-up of a connection takes the longer the more is in it.
    """
    compared = {"files": sides.new_hook_of_files, "text": sides.new_hook, "http": sides.new_http_hook}
    timings = interleave(compared, effort, calls=CALLS)
    yield _row("P3", "first call: new hook / new HttpHook, both with PEM files", timings, "files", "http", 0.8)
    yield _row("P3", "no goal: new hook (PEM text) / new HttpHook (PEM files)", timings, "text", "http", None)


def _new_public(sides: Sides, effort: Effort) -> Row:
    """Compare with some 120 CAs, as the vendor's own host needs them: reading them costs several times the call."""
    compared = {"hook": sides.new_hook_of_public, "http": sides.new_http_hook_of_public}
    timings = interleave(compared, effort, calls=CALLS)
    return _row("P3", "the same with the CAs of the Internet on both sides", timings, "hook", "http", 0.8)


def _new_process(turns: int) -> Row:
    """Compare what a task pays, which is a process of its own. The first turn, which warms the disk, is left out."""
    runs = probe(first_calls(), turns=turns + 1).runs
    mine, others = ([run.seconds * 1000 for run in runs[side][1:]] for side in ("hook", "http"))
    ratio = median(one / two for one, two in zip(mine, others, strict=True))
    detail = f"{median(mine):.0f} / {median(others):.0f} ms"
    return at_most("P3", "first call in a task's process, imports and all", ratio, 0.8, unit="x", detail=detail)


def _row(goal_id: str, what: str, timings: Timings, side: str, peer: str, goal: float | None) -> Row:
    return at_most(goal_id, what, timings.ratio(side, peer), goal, unit="x", detail=timings.detail(side, peer))
