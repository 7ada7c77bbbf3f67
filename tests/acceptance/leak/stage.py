"""One play of a case: its runs, its service and its rooms, and what can be waited for and done."""

from __future__ import annotations

import functools
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from unittest import mock

from airflow_provider_timav.emulator import JournalEntry, Switches
from airflow_provider_timav.hooks.timav import TimAVHook
from harness.processes import SiteError
from harness.rest import RestError, Run
from harness.service import Witness, connect
from harness.site import AirflowSite
from tests.acceptance.leak.cases import Case

Wiring = Literal["leak", "naive"]

HOST: Final = "host"
LEASE: Final = re.compile(r"timav_lease_[0-9a-f]{32}")  # not what stops note beside it for others to pick up
LOOK_SECONDS: Final = 0.25
SETTLE_SECONDS: Final = 3.0  # what a late `on_kill` or a second stop gets to show itself
TAKEN_UP_SECONDS: Final = 4.0
PATIENCE_SECONDS: Final = 130.0  # after the end: more than the reaper may take


@dataclass(frozen=True)
class Task:
    """A task instance as the database has it; its name is without the groups around it."""

    state: str | None
    tries: int


class Watch:
    """Reads the states of all runs of the matrix at once, however many stages ask: asking the API would cost a hundredfold."""

    def __init__(self, site: AirflowSite) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._read_at = 0.0
        self._runs: dict[tuple[str, str], str] = {}
        self._tasks: dict[tuple[str, str], dict[tuple[str, int], Task]] = {}

    def run_state(self, run: Run) -> str | None:
        """`queued`, `running`, `success` or `failed`; None for one that does not exist."""
        with self._lock:
            self._refresh()
            return self._runs.get((run.dag_id, run.run_id))

    def tasks(self, run: Run) -> dict[tuple[str, int], Task]:
        """Its task instances by short name and map index."""
        with self._lock:
            self._refresh()
            return dict(self._tasks.get((run.dag_id, run.run_id), {}))

    def _refresh(self) -> None:
        if time.monotonic() - self._read_at < LOOK_SECONDS:
            return
        where = "dag_id like 'leak%' or dag_id like 'naive%'"
        runs = self._site.query(f"select dag_id, run_id, state from dag_run where {where}")  # noqa: S608 - constants
        tasks = self._site.query(
            f"select dag_id, run_id, task_id, map_index, state, try_number from task_instance where {where}"  # noqa: S608
        )
        self._runs = {(row["dag_id"], row["run_id"]): str(row["state"]) for row in runs}
        self._tasks = {}
        for row in tasks:
            found = self._tasks.setdefault((row["dag_id"], row["run_id"]), {})
            found[row["task_id"].rpartition(".")[2], row["map_index"]] = Task(row["state"], row["try_number"])
        self._read_at = time.monotonic()


@functools.cache
def _first_service() -> Witness:
    """The one that lends all others its credentials; it never runs."""
    return Witness(rooms={})


@dataclass
class Stage:
    """A case under way in its `number`th round, at a service and in rooms of its own."""

    case: Case
    number: int
    wiring: Wiring
    site: AirflowSite
    watch: Watch
    first_room: int
    abandoned: threading.Event
    """Set when nobody is interested any more."""
    service: Witness = field(init=False)
    ends_at: float = 0.0
    """The end in force."""
    acted_at: float | None = None
    """When what happens in this case was done."""
    runs: list[Run] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.service = Witness(
            rooms={room: [HOST] for room in self.rooms},
            # Without the audience's side of it: the CPU belongs to the Airflow under test.
            switches=Switches(files_per_recording=2),
            # Airflow masks every secret that it has seen, and each new one costs the more, the more there are.
            credentials_of=_first_service(),
        )
        for fault in self.case.faults:
            self.service.fail_next(**fault)

    def __str__(self) -> str:
        return f"{self.wiring}-{self.case.name}-{self.number}"

    @property
    def rooms(self) -> range:
        """The rooms of its broadcasts."""
        return range(self.first_room, self.first_room + self.case.rooms)

    @property
    def run(self) -> Run:
        """The first of its runs."""
        return self.runs[0]

    @property
    def dag_id(self) -> str:
        """The DAG that it is played with."""
        return f"{self.wiring}_{self.case.dag}" + (f"_{self.number}" if self.case.own_dag else "")

    # -- what is done --------------------------------------------------------------------------------------------------

    def start(self, ends_at: float | None = None) -> None:
        """Start the service and the run. The broadcast ends `case.seconds` from now, or at a given time."""
        self.service.start()
        connect(self.site, str(self), self.service.connection())
        self.ends_at = time.time() + self.case.seconds if ends_at is None else ends_at
        self.trigger()

    def trigger(self) -> None:
        """Start another run for the same rooms."""
        rooms = list(self.rooms)
        conf = {
            "room_id": rooms[0],
            "rooms": rooms,
            "conn_id": str(self),
            "ends_at": iso(self.ends_at),
            **self.case.conf,
        }
        run_id = str(self) + (f"-{len(self.runs) + 1}" if self.runs else "")
        run = self.site.trigger(self.dag_id, conf, run_id)
        # from here on, a run that is not there is one that is gone
        self.until(lambda: self.watch.run_state(run) is not None, "triggered", timeout=LOOK_SECONDS * 40)
        self.runs.append(run)

    def acts(self) -> None:
        """Note that now is done what happens in this case."""
        self.acted_at = time.time()

    def end_later(self, seconds: float) -> None:
        """Extend the broadcast through the REST API."""
        self.ends_at += seconds
        self.control({"end": iso(self.ends_at)})

    def control(self, value: Mapping[str, Any]) -> None:
        """Set the XCom `control` of the task on air, as the UI page does."""
        path = f"{self.run.path}/taskInstances/{self.task_id('on_air')}/xcomEntries/control"
        self.site.rest("PATCH", path, {"value": dict(value), "map_index": -1})

    def elsewhere(self, operation: Literal["start_push", "stop_push"]) -> None:
        """Have somebody who is no broadcast of ours start or stop the push."""
        here = {f"AIRFLOW_CONN_{str(self).upper()}": self.service.connection_json()}
        with mock.patch.dict(os.environ, here), TimAVHook(str(self)) as hook:
            getattr(hook, operation)(room_id=self.first_room, user_id=HOST)

    def leases(self) -> list[str]:
        """The names of the leases of its connection."""
        rows = self.site.pages("variables", "variables")
        # by the name of its connection, in quotes: no other stage's name holds it
        return [row["key"] for row in rows if LEASE.fullmatch(row["key"]) and f'"{self}"' in str(row["value"])]

    def task_id(self, name: str) -> str:
        """The full id of a task, in a DAG that is not mapped."""
        return f"broadcast.{name}" if self.wiring == "leak" else name

    # -- what is waited for --------------------------------------------------------------------------------------------

    def until(self, condition: Callable[[], bool], what: str, *, timeout: float) -> None:
        """Return when `condition` holds; after `timeout` s: `SiteError` with what was waited for, and how things stand."""
        deadline = time.monotonic() + timeout
        while not condition():
            self.site.check()
            if time.monotonic() > deadline:
                raise SiteError(f"{self}: after {timeout:.0f} s not {what}; {self.picture()}")
            if self.abandoned.wait(LOOK_SECONDS):
                raise SiteError(f"{self}: abandoned")

    def until_on_air(self) -> None:
        """Return when every broadcast of this case that can is on air, and its task waits for the end."""

        def on_air() -> bool:
            tasks = self.watch.tasks(self.run)
            waiting = [task.state for (name, _), task in tasks.items() if name == "on_air"]
            return "deferred" in waiting and None not in waiting and bool(self.on_air())

        self.until(on_air, "on air", timeout=self.ends_at - time.time())
        # Until the triggerer has taken the trigger up, in its next loop, there is nobody whom a deleted run could tell.
        self.abandoned.wait(TAKEN_UP_SECONDS)

    def until_done(self, operation: str, times: int = 1) -> None:
        """Return when the service has carried out an operation so many times."""

        def done() -> bool:
            return len([one for one in self.service.journal if one.operation == operation and one.executed]) >= times

        self.until(done, f"{operation} carried out", timeout=max(0, self.ends_at - time.time()) + PATIENCE_SECONDS)

    def until_over(self) -> None:
        """Return when every run has ended, and everything is off air or has stayed on for too long."""
        patience = max(0, self.ends_at - time.time()) + PATIENCE_SECONDS
        try:
            self.until(lambda: self.ended() and not self.on_air(), "over", timeout=patience)
        except SiteError:
            self.site.check()
        time.sleep(SETTLE_SECONDS)

    # -- what is seen --------------------------------------------------------------------------------------------------

    def ended(self) -> bool:
        """Whether all runs have ended, or are gone."""
        return all(self.watch.run_state(run) in (None, "success", "failed") for run in self.runs)

    def on_air(self) -> list[str]:
        """What the service has on air now."""
        return [one for room in self.rooms for one in self.service.on_air(room)]

    def picture(self) -> str:
        """How things stand, for a person who has to find out why."""
        lines = []
        for run in self.runs:
            tasks = ", ".join(
                f"{name}{'' if index < 0 else [index]} {task.state}"
                for (name, index), task in self.watch.tasks(run).items()
            )
            lines.append(f"{run.run_id} {self.watch.run_state(run)}: {tasks}")
        return "; ".join([*lines, f"on air: {', '.join(self.on_air()) or 'nothing'}"])

    def logs(self, lines: int = 12) -> dict[str, str]:
        """The end of what those tasks said in their last try that did not succeed, and of the one on air."""
        found = {}
        for run in self.runs:
            with suppress(RestError):
                for task in run.tasks():
                    if task.try_number and (task.state != "success" or task.task_id.endswith("on_air")):
                        text = run.log(task.task_id, task.try_number, task.map_index)
                        found[f"{task.task_id}[{task.map_index}]"] = "\n".join(text.splitlines()[-lines:])
        return found

    def journal(self, room: int) -> list[JournalEntry]:
        """What the service was asked for in a room, oldest first."""
        return [entry for entry in self.service.journal if entry.room_id == room]


def iso(moment: float) -> str:
    """A point in time as the REST API takes it."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=moment)).isoformat(timespec="milliseconds")
