"""Broadcasts that begin at the same second, in one triggerer: how late their starts are, beside tasks that do nothing.

    make starts                                            1, 12 and 50 at once, about 8 minutes
    python -m tests.acceptance.load.starts --shows 200 --lead 420

The triggerer, scheduler, workers, API server and PostgreSQL are real, all on this machine together with the emulator. How late:
the time at which the emulator executed the start, less the second for which it was planned; for a task that does nothing, when
its process began, less the second at which its run was due. The exit status is 1 where a start is missing, or p99 above the
goal.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from harness.postgres import PostgresServer
from harness.processes import until
from harness.service import Witness, connect
from harness.site import AirflowSite
from tests.acceptance.load.figures import late_figures, percentile
from tests.acceptance.load.on_air import SETTINGS

DAGS: Final = Path(__file__).parent / "dags"
FIRST_ROOM: Final = 30001
GOAL_SECONDS: Final = 0.5
STARTED_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Late:
    """Seconds from the planned second to each start that was executed, and to the beginning of each task that does nothing."""

    push: Sequence[float]
    record: Sequence[float]
    task: Sequence[float]


def play(site: AirflowSite, service: Witness, rooms: Sequence[int], lead: float) -> Late:
    """Plan a broadcast in each room for the same second, and a run of tasks that do nothing."""
    seen = len(service.journal)
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=lead)
    end = at + timedelta(seconds=600)
    conf = {"rooms": list(rooms), "at": at.isoformat(), "end": end.isoformat()}
    run = site.trigger("load_starts", conf)

    def deferred() -> bool:
        states = [task.state for task in site.task_instances(run) if task.task_id.endswith(".start_push")]
        return len(states) == len(rooms) and set(states) == {"deferred"}

    left = (at - datetime.now(UTC)).total_seconds()
    until(
        deferred,
        timeout=left,
        failure=lambda: "not all starts were planned in time: begin earlier, with --lead",
        check=site.check,
    )
    time.sleep(max((at - datetime.now(UTC)).total_seconds(), 0))
    noop = site.trigger("load_noop", {"rooms": list(rooms)})
    deadline = time.monotonic() + STARTED_SECONDS
    while time.monotonic() < deadline and sum(len(service.on_air(room)) for room in rooms) < 2 * len(rooms):
        time.sleep(0.1)
    found: dict[str, list[float]] = {"start_push": [], "start_record": []}
    for entry in service.journal[seen:]:
        if entry.executed and entry.operation in found:
            found[str(entry.operation)].append((entry.at - at).total_seconds())
    site.wait(noop, 600)
    begun = site.query(
        "select start_date from task_instance where dag_id = 'load_noop' and run_id = :run", run=noop.run_id
    )
    tasks = [(_utc(row["start_date"]) - at).total_seconds() for row in begun if row["start_date"] is not None]
    site.mark_run(run, "failed")
    return Late(found["start_push"], found["start_record"], tasks)


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.acceptance.load.starts", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--shows", type=int, nargs="+", default=[1, 12, 50])
    parser.add_argument("--lead", type=float, default=150.0, help="seconds from the run's beginning to the start")
    options = parser.parse_args(arguments)
    met = True
    for shows in options.shows:
        rooms = range(FIRST_ROOM, FIRST_ROOM + shows)
        with (
            Witness(rooms={room: ["host"] for room in rooms}) as service,
            PostgresServer() as server,
            AirflowSite(dag_folders=[DAGS], env=SETTINGS, database_url=server.url) as site,
        ):
            connect(site, "timav_load", service.connection())
            for dag_id in ("load_starts", "load_noop"):
                site.wait_for_dag(dag_id)
            late = play(site, service, rooms, options.lead)
        print(f"{shows} at one second:")
        for name, values in (("push", late.push), ("recording", late.record), ("no-op task", late.task)):
            print(f"  {name:<11} {len(values)} started, {late_figures(values)}", flush=True)
        met &= len(late.push) == len(late.record) == shows and percentile(late.push, 99) <= GOAL_SECONDS
    print(f"goal: every push within {GOAL_SECONDS:g} s of its second at p99: {'met' if met else 'NOT MET'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
