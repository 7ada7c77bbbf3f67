"""A hundred broadcasts on air in one triggerer, all of which end at the same moment: what that costs, and how late they end.

    make onair                                  three rounds, about 11 minutes
    python -m tests.acceptance.load.on_air --rounds 1      about 4 minutes

The triggerer, its supervisor, scheduler, workers, API server and PostgreSQL are real, all on this machine together with the
emulator. How late: the time at which the emulator executed the stop, less the end. The exit status is 1 where a stop is
missing, or p99 above the goal.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]  # ships no types

from harness.postgres import PostgresServer
from harness.processes import until
from harness.rest import Run
from harness.service import Witness, connect
from harness.site import AirflowSite
from tests.acceptance.load.figures import late_figures, percentile

DAGS: Final = Path(__file__).parent / "dags"
FIRST_ROOM: Final = 20001
GOAL_SECONDS: Final = 5.0
PARTS: Final = ("runner", "supervisor")
MIB: Final = 1024 * 1024

SETTINGS: Final = {
    "AIRFLOW__CORE__PARALLELISM": "8",
    # Airflow's own, where the tests' site has shorter ones: heartbeats cost what is measured here.
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "5",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "30",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "30",
}

SETTLED_SECONDS: Final = 10.0
"""After the last broadcast has begun: by then each stream has been seen to be live."""

BUSY_SECONDS: Final = 35.0
"""Before the end: the triggers then look up the connection, and what people want for the last time."""

OFF_AIR_SECONDS: Final = 120.0
RESUMED_SECONDS: Final = 300.0

NOTES: Final = {
    "load_shows": "Each broadcast is begun by one task that does what reserve, start_push and start_record of a Broadcast do, "
    "and comes back to nothing but its own end; leases, claims, trigger, stops and notes are the provider's.",
    "load_broadcasts": "Each broadcast is a Broadcast, all of its seven tasks included.",
}


@dataclass(frozen=True)
class Usage:
    """What a process used: percent of one core, and megabytes of memory of its own (shared pages by halves), and in all."""

    cpu: float
    pss: float
    rss: float

    def __str__(self) -> str:
        return f"{self.cpu:5.1f} % of a core, PSS {self.pss:4.0f} MB, RSS {self.rss:4.0f} MB"


@dataclass(frozen=True)
class Round:
    """What was measured: for so many seconds while all were on air; and how late each stop was, by what it stopped.

    `machine`: percent of the whole machine in use meanwhile, by whomever. `missing`: what was not stopped. The tasks of `run`
    come back from the trigger only now.
    """

    usage: Mapping[str, Usage]
    seconds: float
    machine: float
    late: Mapping[str, Sequence[float]]
    missing: Sequence[str]
    run: Run
    end: datetime


class Meter:
    """The processes of a site's triggerer: the one that runs triggers, and the one above it that speaks to Airflow for them."""

    def __init__(self, site: AirflowSite) -> None:
        supervisor = psutil.Process(site.parts["triggerer"].pid)
        # whoever has used most: there may be others, such as a server of logs
        runner = max(supervisor.children(), key=_cpu_seconds)
        self._processes = dict(zip(PARTS, (runner, supervisor), strict=True))
        self.start()

    def start(self) -> None:
        """Measure from now on."""
        self._began = time.monotonic()
        self._used = {name: _cpu_seconds(process) for name, process in self._processes.items()}

    def usage(self) -> dict[str, Usage]:
        """What each has used since."""
        seconds = time.monotonic() - self._began
        found = {}
        for name, process in self._processes.items():
            memory = process.memory_full_info()
            cpu = (_cpu_seconds(process) - self._used[name]) / seconds * 100
            found[name] = Usage(cpu, memory.pss / MIB, memory.rss / MIB)
        return found


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


class Load:
    """Rounds of broadcasts on one site."""

    def __init__(self, site: AirflowSite, service: Witness, dag_id: str, rooms: Sequence[int], lead: float) -> None:
        self._site, self._service = site, service
        self._dag_id, self._rooms, self._lead = dag_id, rooms, lead

    def play(self) -> Round:
        """Begin all, measure while they are on air, let them end at once."""
        seen = len(self._service.journal)
        end = datetime.now(UTC) + timedelta(seconds=self._lead)
        run = self._site.trigger(self._dag_id, {"rooms": list(self._rooms), "end": end.isoformat()})
        self._all_taken(end)
        meter = Meter(self._site)
        _sleep_until(min(datetime.now(UTC) + timedelta(seconds=SETTLED_SECONDS), end))
        meter.start()
        _machine_percent()
        began = time.monotonic()
        _sleep_until(end - timedelta(seconds=BUSY_SECONDS))
        usage, machine, seconds = meter.usage(), _machine_percent(), time.monotonic() - began
        _sleep_until(end)
        until_clear = time.monotonic() + OFF_AIR_SECONDS
        while self._left() and time.monotonic() < until_clear:
            time.sleep(0.5)
        missing = self._left()
        return Round(usage, seconds, machine, self._late(seen, end), missing, run, end)

    def _all_taken(self, end: datetime) -> None:
        """Return once the triggerer has every trigger, early enough to measure something."""
        left = (end - datetime.now(UTC)).total_seconds() - SETTLED_SECONDS - BUSY_SECONDS
        until(
            lambda: self._taken() >= len(self._rooms),
            timeout=left,
            failure=lambda: f"{self._taken()} of {len(self._rooms)} shows are on air: begin earlier, with --lead",
            check=self._site.check,
        )

    def _taken(self) -> int:
        rows = self._site.query("select count(*) as taken from trigger where triggerer_id is not null")
        return int(rows[0]["taken"])

    def _left(self) -> list[str]:
        return [one for room in self._rooms for one in self._service.on_air(room)]

    def _late(self, seen: int, end: datetime) -> dict[str, list[float]]:
        """Seconds from the end to each stop that was executed, by operation."""
        late: dict[str, list[float]] = {}
        for entry in self._service.journal[seen:]:
            if entry.executed and str(entry.operation).startswith("stop_"):
                late.setdefault(str(entry.operation), []).append((entry.at - end).total_seconds())
        return late


def _machine_percent() -> float:
    """How busy all cores were since the last call, in percent."""
    return float(psutil.cpu_percent())


def _sleep_until(moment: datetime) -> None:
    time.sleep(max((moment - datetime.now(UTC)).total_seconds(), 0))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.acceptance.load.on_air", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shows", type=int, default=100)
    parser.add_argument("--lead", type=float, default=150.0, help="seconds from the first task to the end of the shows")
    parser.add_argument(
        "--broadcasts", action="store_true", help="with all seven tasks of a Broadcast; needs more --lead"
    )
    options = parser.parse_args(arguments)
    dag_id = "load_broadcasts" if options.broadcasts else "load_shows"
    rooms = range(FIRST_ROOM, FIRST_ROOM + options.shows)
    print(
        f"{options.shows} shows in one triggerer, {options.rounds} rounds; PostgreSQL and emulator on the same machine."
    )
    print(NOTES[dag_id])
    for name, value in SETTINGS.items():
        print(f"{name.removeprefix('AIRFLOW__').replace('__', '.').lower()} = {value}")
    rounds: list[Round] = []
    with (
        Witness(rooms={room: ["host"] for room in rooms}) as service,
        PostgresServer() as server,
        AirflowSite(dag_folders=[DAGS], env=SETTINGS, database_url=server.url) as site,
    ):
        connect(site, "timav_load", service.connection())
        site.wait_for_dag(dag_id)
        idle = Meter(site)
        time.sleep(5)
        _print_usage("no trigger", idle.usage(), 5)
        load = Load(site, service, dag_id, rooms, options.lead)
        for number in range(1, options.rounds + 1):
            one = load.play()
            rounds.append(one)
            print(f"round {number}: not stopped: {', '.join(one.missing) or 'nothing'}")
            _print_usage(f"{options.shows} on air", one.usage, one.seconds)
            print(f"  the whole machine was busy to {one.machine:.0f} %")
            _print_late(one.late)
            state = one.run.wait(RESUMED_SECONDS)
            over_after = (datetime.now(UTC) - one.end).total_seconds()
            print(f"  all tasks were over {over_after:.0f} s after the end; the run is {state}", flush=True)
    print("all rounds:")
    together = {
        name: [seconds for one in rounds for seconds in one.late.get(name, ())] for name in ("stop_push", "stop_record")
    }
    _print_late(together)
    met = all(
        len(late) == options.shows * options.rounds and percentile(late, 99) <= GOAL_SECONDS
        for late in together.values()
    )
    print(
        f"goal: every broadcast stopped once, late by at most {GOAL_SECONDS:g} s at p99: {'met' if met else 'NOT MET'}"
    )
    return 0 if met else 1


def _print_usage(when: str, usage: Mapping[str, Usage], seconds: float) -> None:
    for name, used in usage.items():
        print(f"  {when}, {seconds:.0f} s, {name:<10} {used}", flush=True)


def _print_late(late: Mapping[str, Sequence[float]]) -> None:
    for name, values in sorted(late.items()):
        print(f"  {name:<11} {len(values)} executed, {late_figures(values)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
