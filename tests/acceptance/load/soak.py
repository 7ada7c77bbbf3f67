"""Broadcasts that come and go while the reaper runs each minute: none that is wanted is stopped, each ends at its end.

    make soak                            20 minutes, 10 broadcasts at a time, of 1 to 5 minutes each
    python -m tests.acceptance.load.soak --short    what is among the tests: three minutes

Every third broadcast is extended by a person, past the time at which a reaper that did not know would stop it. Beside the
broadcasts there are shows that nobody wants any more, one for each run of the reaper: these it must stop. At the beginning the
reaper finds 140 leases at once. The exit status is 1 where anything is not as it must be.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from airflow_provider_timav.leases import RELEASE_GRACE
from harness.postgres import PostgresServer
from harness.processes import until
from harness.project import EXAMPLES
from harness.rest import FINISHED, RestError, Run
from harness.service import Witness, connect
from harness.site import AirflowSite
from tests.acceptance.load import reaping
from tests.acceptance.load.figures import late_figures
from tests.acceptance.load.stock import Show, leases, put_on_air

DAGS: Final = Path(__file__).parent / "dags"
CONN_ID: Final = "timav_soak"
FIRST_ROOM: Final = 40001
FIRST_UNWANTED: Final = 41001
ROOMS: Final = (*range(FIRST_ROOM, FIRST_ROOM + 20), *range(FIRST_UNWANTED, FIRST_UNWANTED + 60), *reaping.ROOMS)

LATE_SECONDS: Final = 60.0
"""What is promised of the trigger."""

REAPED_SECONDS: Final = 120.0
"""What is promised of the reaper."""

BUSY_SECONDS: Final = 60.0
"""How much later it may be among other tests, which keep the machine busy."""

REAPER: Final = "timav_reap_broadcasts"
"""The one that people are told to switch on."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """How long, how many at a time, how many seconds each, by how many every third is extended; until when all is reaped."""

    seconds: float
    at_once: int
    lengths: tuple[int, int]
    extension: int
    unwanted_each: float = 60.0
    reaped_within: float = REAPED_SECONDS


FULL: Final = Form(seconds=1200, at_once=10, lengths=(60, 300), extension=75)
SHORT: Final = Form(
    seconds=105,
    at_once=3,
    lengths=(75, 90),
    extension=45,
    unwanted_each=30,
    reaped_within=REAPED_SECONDS + BUSY_SECONDS,
)


@dataclass
class Aired:
    """One broadcast: when it was to end, and what came of it; `file_ids` are those that the service gave."""

    room_id: int
    seconds: int
    run: Run
    first_post: int
    extension: int = 0
    end: datetime | None = None
    state: str = ""
    posts: list[tuple[str, datetime, bool]] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    file_ids: list[str] = field(default_factory=list)

    @property
    def late(self) -> list[float]:
        """Seconds from its end to each stop that was executed."""
        stops = [at for what, at, executed in self.posts if executed and what.startswith("stop_")]
        return [] if self.end is None else [(at - self.end).total_seconds() for at in stops]

    def wrong(self) -> list[str]:
        """What is not as it must be."""
        executed = sorted(what for what, _, executed in self.posts if executed)
        must = {
            "the run": (self.state, "success"),
            "executed": (executed, ["start_push", "start_record", "stop_push", "stop_record"]),
            "outcome": (self.result.get("outcome"), "deadline"),
            "file ids": (self.result.get("file_ids"), self.file_ids),
        }
        found = [f"{what}: {is_} and not {should}" for what, (is_, should) in must.items() if is_ != should]
        if self.late and min(self.late) < 0:
            found.append(f"stopped {-min(self.late):.1f} s before its end")
        if self.late and max(self.late) > LATE_SECONDS:
            found.append(f"stopped {max(self.late):.1f} s after its end")
        return found


@dataclass
class Soaked:
    """What came of all: the broadcasts, the reaper's runs with what each says it ended, the shows that nobody wanted."""

    aired: list[Aired] = field(default_factory=list)
    most_at_once: int = 0
    reaper_states: list[str] = field(default_factory=list)
    reaped: list[int] = field(default_factory=list)
    unwanted: dict[int, datetime] = field(default_factory=dict)
    unwanted_gone: dict[int, datetime] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    reaped_within: float = REAPED_SECONDS

    def wrong(self) -> list[str]:
        """What is not as it must be."""
        found = [f"room {one.room_id}, {one.run.run_id}: {what}" for one in self.aired for what in one.wrong()]
        if sorted(self.reaped) != sorted(self.unwanted):
            found.append(f"the reaper has ended {sorted(self.reaped)}, and not {sorted(self.unwanted)}")
        for room, since in self.unwanted.items():
            gone = self.unwanted_gone.get(room)
            if gone is None or (gone - since).total_seconds() > self.reaped_within:
                found.append(f"room {room}, which nobody wanted since {since}, was off air at {gone}")
        if set(self.reaper_states) != {"success"}:
            found.append(f"the reaper's runs: {self.reaper_states}")
        found += [f"left on air: {one}" for one in self.left]
        found += [f"still held: room {room}" for room in self.held]
        return found


@contextmanager
def soak_site(service: Witness, home: Path | None = None, database_url: str | None = None) -> Iterator[AirflowSite]:
    """An Airflow that schedules by itself, with the soak's DAGs and a connection to the service."""
    with AirflowSite(home, dag_folders=[DAGS], schedules=True, database_url=database_url) as site:
        connect(site, CONN_ID, service.connection())
        yield site


class Soak:
    """Airs broadcasts on a site, while its reaper runs."""

    def __init__(self, site: AirflowSite, service: Witness, form: Form, seed: int) -> None:
        self._site, self._service, self._form = site, service, form
        self._random = random.Random(seed)  # noqa: S311 - so that a run can be had again
        self._began = time.monotonic()
        self._on: dict[int, Aired] = {}
        self._next_unwanted = 0.0
        self._soaked = Soaked(reaped_within=form.reaped_within)

    def run(self) -> Soaked:
        """Air until the time is over and all have ended."""
        self._site.write_dag("reap_broadcasts", (EXAMPLES / "reap_broadcasts.py").read_text())
        for dag_id in ("soak", REAPER):
            self._site.wait_for_dag(dag_id)
        while self._left() > 0 or self._on:
            self._put_unwanted()
            for room in range(FIRST_ROOM, FIRST_ROOM + self._form.at_once):
                self._go_on(room)
            on = sum(push.room_id in self._on for push in self._service.pushes)
            self._soaked.most_at_once = max(self._soaked.most_at_once, on)
            time.sleep(1)
            self._site.check()
        self._finish()
        return self._soaked

    def _left(self) -> float:
        return self._form.seconds - (time.monotonic() - self._began)

    def _go_on(self, room: int) -> None:
        """Look after one room: extend what is on air, take down what has ended, begin the next."""
        one = self._on.get(room)
        if one is not None:
            if one.extension and one.end is None:
                self._extend(one)
            if one.run.state not in FINISHED:
                return
            self._judge(self._on.pop(room))
        seconds = min(self._random.randint(*self._form.lengths), int(self._left()))
        if seconds < self._form.lengths[0]:
            return
        first_post = len(self._service.journal)
        run = self._site.trigger("soak", {"room_id": room, "seconds": seconds, "conn_id": CONN_ID})
        one = self._on[room] = Aired(room, seconds, run, first_post)
        if (len(self._soaked.aired) + len(self._on)) % 3 == 0:
            one.extension = self._form.extension

    def _extend(self, one: Aired) -> None:
        """Move the end as a person does, once there is one to move."""
        control = self._xcom(one, "broadcast.on_air", "control")
        if control is None:
            return
        path = f"{one.run.path}/taskInstances/broadcast.on_air/xcomEntries/control"
        end = datetime.fromisoformat(control["end"]) + timedelta(seconds=one.extension)
        self._site.rest("PATCH", path, {"value": {"end": end.isoformat()}, "map_index": -1}, user="user")
        one.end = end

    def _xcom(self, one: Aired, task_id: str, key: str) -> Any:
        """What a task has left, None where it has left nothing."""
        try:
            return one.run.xcom(task_id, key)
        except RestError as missing:
            if missing.status != 404:
                raise
            return None

    def _put_unwanted(self) -> None:
        """Have something for the reaper to do, as long as it will come by before the end."""
        now = time.monotonic() - self._began
        if now < self._next_unwanted or self._left() <= 0:
            return
        self._next_unwanted = now + self._form.unwanted_each
        room = FIRST_UNWANTED + len(self._soaked.unwanted)
        put_on_air(self._site, self._service, CONN_ID, [Show(room, datetime.now(UTC) - RELEASE_GRACE)])
        self._soaked.unwanted[room] = datetime.now(UTC)

    def _judge(self, one: Aired) -> None:
        """Note what came of a broadcast whose run has ended."""
        one.state = one.run.state
        if one.end is None and (end := self._xcom(one, "broadcast.reserve", "end")) is not None:
            one.end = datetime.fromisoformat(end)
        one.posts = [
            (str(entry.operation), entry.at, entry.executed)
            for entry in self._service.journal[one.first_post :]
            if entry.room_id == one.room_id
        ]
        if one.state == "success":
            one.result = one.run.xcom("broadcast.result")
            one.file_ids = self._service.file_ids(one.result["file_name"])
        self._soaked.aired.append(one)

    def _finish(self) -> None:
        """Let the reaper come by once more, and note what is left."""
        last = max(self._soaked.unwanted)
        until(
            lambda: not self._service.on_air(last),
            timeout=self._form.reaped_within,
            failure=lambda: f"the reaper has left room {last} on air",
            check=self._site.check,
        )
        self._site.pause(REAPER)
        runs = [
            Run(REAPER, row["dag_run_id"], self._site) for row in self._site.pages(f"dags/{REAPER}/dagRuns", "dag_runs")
        ]
        soaked = self._soaked
        # A paused DAG begins nothing; what its scheduler has handed on goes on, and says what it has ended when it is over.
        until(
            lambda: not any(run.task("reap").state in ("queued", "running") for run in runs),
            timeout=REAPED_SECONDS,
            failure=lambda: "the reaper does not come to its end",
            check=self._site.check,
        )
        done = [run for run in runs if run.task("reap").state in FINISHED]
        soaked.reaper_states = [str(run.task("reap").state) for run in done]
        for run in done:
            if run.task("reap").state == "success":
                soaked.reaped += [row["room_id"] for row in run.xcom("reap")]
        soaked.unwanted_gone = {
            int(entry.room_id or 0): entry.at
            for entry in self._service.journal
            if entry.executed and entry.operation == "stop_push" and entry.room_id in soaked.unwanted
        }
        rooms = {*range(FIRST_ROOM, FIRST_UNWANTED + 1000)}
        soaked.left = [one for room in sorted(rooms) for one in self._service.on_air(room)]
        soaked.held = sorted(lease.key.room_id for lease in leases(self._site, CONN_ID) if lease.key.room_id in rooms)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.acceptance.load.soak", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--short", action="store_true", help="what is among the tests")
    parser.add_argument("--seconds", type=float, help="how long, where not as long as that")
    parser.add_argument("--seed", type=int, default=1, help="chooses the lengths")
    options = parser.parse_args(arguments)
    form = SHORT if options.short else FULL
    if options.seconds is not None:
        form = replace(form, seconds=options.seconds)
    print(f"{form}, seed {options.seed}", flush=True)
    with (
        Witness(rooms={room: ["host"] for room in ROOMS}) as service,
        PostgresServer() as server,
        soak_site(service, database_url=server.url) as site,
    ):
        over, wanted = reaping.begin(site, service, CONN_ID)
        reaped = reaping.reap(site, service, CONN_ID)
        stopped = {room for what, room in reaped.executed if what == "stop_push"}
        exactly = stopped == {show.room_id for show in over} and reaped.held == sorted(show.room_id for show in wanted)
        print(
            f"reaper, {len(over) + len(wanted)} leases of which {len(over)} are over: {len(stopped)} stopped,", end=" "
        )
        print(f"{'exactly those' if exactly else 'NOT THOSE'}, {reaped.seconds:.1f} s", flush=True)
        soaked = Soak(site, service, form, options.seed).run()
    late = [seconds for one in soaked.aired for seconds in one.late]
    extended = sum(one.extension > 0 for one in soaked.aired)
    print(f"{len(soaked.aired)} broadcasts, {extended} of them extended, up to {soaked.most_at_once} on air at once")
    print(f"stops executed: {len(late)}, {late_figures(late)}")
    print(
        f"{len(soaked.reaper_states)} runs of the reaper, which ended {len(soaked.reaped)} of {len(soaked.unwanted)} unwanted"
    )
    wrong = soaked.wrong() + ([] if exactly else ["the reaper among 140 leases"])
    print(*wrong, sep="\n")
    print("nothing wrong" if not wrong else f"{len(wrong)} WRONG")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
