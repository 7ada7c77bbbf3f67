"""Plays cases on a real Airflow, all side by side, each in a room and at a service of its own; and judges what came of them."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped]  # ships no types

from airflow_provider_timav.emulator import Switches
from harness.processes import until
from harness.rest import RestError, Run
from harness.service import Witness, connect
from harness.site import AirflowSite
from tests.acceptance.crash.points import Case, Expected

DAGS: Final = Path(__file__).parent / "dags"
FIRST_ROOM: Final = 7001
EXECUTED_LATE_SECONDS: Final = 2.0  # below the retry_delay in the DAG file
UNANSWERED_SECONDS: Final = 20.0
QUOTA_EXCEEDED: Final = 60020  # not carried out, and another try may pass

# When a dead worker is missed, and how many runs share the machine. All of it is printed by `make crash`.
HEARTBEATS: Final = {
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
}
SETTINGS: Final = {**HEARTBEATS, "AIRFLOW__CORE__PARALLELISM": "12"}


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What came of a case: from Airflow, from the service, and from the notes that the dying left."""

    states: Mapping[str, str | None]
    tries: int
    posts: str
    live: Mapping[str, list[Any]]
    left: list[str]
    start: Mapping[str, Any] | None
    stop: Mapping[str, Any] | None
    claim: str | None
    astray: list[str]
    """XComs that differ from the member of the task's result that they stand for."""
    true_urls: list[dict[str, str]]
    true_channel_id: str | None
    true_file_ids: list[str]
    deaths: Mapping[int, str]
    surviving_workers: list[int]
    """Those above the task at its deaths that still live. One whose task died alone may have died with another task since."""
    heartbeats_missed: int
    executed_after_death: bool | None
    lost_said: bool
    """Whether the log of the stop says that the file ids are lost, and under which name to look for them."""
    log: str = field(default="", repr=False, compare=False)
    """What the last try of the task that died said."""

    @property
    def handed_on(self) -> str:
        """In the words of `Expected`, or what is wrong about it."""
        if not self.live["pushes"] and not self.live["recordings"]:
            return "nothing was live"
        if self.live["pushes"]:
            return self._urls()
        return self._file_ids()

    def _urls(self) -> str:
        if self.start is None:
            return "nothing"
        if self.start.get("live_urls") != self.true_urls or self.start.get("channel_id") != self.true_channel_id:
            return f"other URLs: {self.start.get('live_urls')}, not {self.true_urls}"
        on_air = sorted(url["url"] for url in self.true_urls)
        return "URLs" if [sorted(urls) for urls in self.live["pushes"]] == [on_air] else "URLs of what was not live"

    def _file_ids(self) -> str:
        if self.start is not None and [self.start.get("file_name")] != self.live["recordings"]:
            return f"another file name: {self.start.get('file_name')}, not {self.live['recordings']}"
        if self.stop is None:
            return "nothing"
        status, file_ids = str(self.stop.get("file_ids_status")), self.stop.get("file_ids")
        if status == "lost":
            return "lost" if file_ids == [] and self.lost_said else f"lost, but ids {file_ids}, said: {self.lost_said}"
        return status if file_ids == self.true_file_ids else f"{status}, but {file_ids}, not {self.true_file_ids}"

    def summary(self) -> Expected:
        """What came of it, as far as it has to do with what is expected."""
        start = None if self.start is None else str(self.start.get("outcome"))
        stop = None if self.stop is None else str(self.stop.get("outcome"))
        return Expected(self.posts, start, stop, self.handed_on, self.tries)  # type: ignore[arg-type]  # or what is wrong


def differences(case: Case, seen: Observed) -> list[str]:
    """What is not as it must be, in words; nothing where all is well."""
    found = []

    def must(what: str, actual: object, expected: object) -> None:
        if actual != expected:
            found.append(f"{what}: {actual}, not {expected}")

    wanted, got = case.expected, seen.summary()
    for name in ("tries", "posts", "starts", "stops", "start", "stop", "handed_on"):
        must(name, getattr(got, name), getattr(wanted, name))
    must("active at live", len(seen.live["pushes"]) + len(seen.live["recordings"]), 1)
    must("active after the stop", seen.left, [])
    must("starts less stops", got.starts - got.stops, 0)
    states = {"start": "success" if wanted.start else "failed", "live": "success"}
    must("states", dict(seen.states), states | {"stop": "success" if wanted.stop else "failed"})
    claims = {None: None, "adopted": "sent"}
    must("claim", seen.claim, claims.get(wanted.start, "ours"))
    must("XComs that differ from the result", seen.astray, [])
    must("deaths", dict(seen.deaths), case.kills)
    if case.supervisor:
        must("workers that outlived their task", seen.surviving_workers, [])
    must("missed heartbeats", seen.heartbeats_missed, len(case.kills) if case.supervisor else 0)
    must(
        "carried out after the death", seen.executed_after_death, {"sent": True, "accepted": False}.get(case.deaths[1])
    )
    return found


@contextmanager
def crash_site(home: Path | None = None) -> Iterator[AirflowSite]:
    """An Airflow with the DAGs of the matrix, soon to notice who is dead. None of their tasks defers: it has no triggerer."""
    with AirflowSite(
        home, dag_folders=[DAGS], env=SETTINGS, parts=("api-server", "scheduler", "dag-processor")
    ) as site:
        yield site


@dataclass(frozen=True)
class _Play:
    """A case on its way."""

    case: Case
    service: Witness
    room_id: int
    notes: Path

    @property
    def conf(self) -> dict[str, Any]:
        """What the DAG file is told."""
        return {
            "task": self.case.task_id,
            "operation": self.case.operation,
            "deaths": {str(number): where for number, where in self.case.deaths.items()},
            "supervisor": self.case.supervisor,
            "notes": str(self.notes),
            "control": self.service.media_url,
            "room_id": self.room_id,
            "conn_id": str(self.case),
        }

    def run(self, site: AirflowSite) -> Run:
        """The handle on its run, which is named after the case."""
        return Run(self.case.dag_id, str(self.case), site)


def play(site: AirflowSite, cases: Sequence[Case], *, timeout: float) -> Iterator[tuple[Case, Observed]]:
    """Run all cases; give each with what came of it as soon as it is finished. `timeout` is for the time between two."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="timav-crash-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        under_way = {}
        with site.held(*sorted({case.dag_id for case in cases})):
            for room_id, case in enumerate(cases, FIRST_ROOM):
                play = _Play(case, _service(stack, case, room_id), room_id, folder / str(case))
                play.notes.mkdir()
                connect(site, str(case), play.service.connection())
                site.trigger(case.dag_id, play.conf, str(case))
                under_way[str(case)] = play
        while under_way:
            for run_id in _finished(site, under_way, timeout):
                done = under_way.pop(run_id)
                yield done.case, _observe(site, done)


@functools.cache
def _first_service() -> Witness:
    """The one that lends all others its credentials: each new secret costs Airflow's masks the more, the more there are."""
    return Witness(rooms={})


def _service(stack: ExitStack, case: Case, room_id: int) -> Witness:
    service = stack.enter_context(
        Witness(rooms={room_id: ["host"]}, switches=Switches(files_per_recording=2), credentials_of=_first_service())
    )
    if case.deaths[1] == "sent":
        service.fail_next(operation=case.operation, delay=EXECUTED_LATE_SECONDS)
    if case.deaths[1] == "accepted":
        service.fail_next(operation=case.operation, delay_answer=UNANSWERED_SECONDS)
    if case.point == "accepted_then_refused":
        service.fail_next(operation=case.operation, code=QUOTA_EXCEEDED, layer="gateway")
    return service


def _finished(site: AirflowSite, plays: Mapping[str, _Play], timeout: float) -> list[str]:
    def ended() -> list[str]:
        rows = site.query("select run_id from dag_run where state in ('success', 'failed')")
        return [row["run_id"] for row in rows if row["run_id"] in plays]

    def failure() -> str:
        return "\n".join(f"{run_id}: {_picture(play.run(site))}" for run_id, play in plays.items())

    return until(lambda: ended() or None, timeout=timeout, failure=failure, check=site.check)


def _picture(run: Run) -> str:
    return ", ".join(f"{task.task_id} {task.state} in try {task.try_number}" for task in run.tasks())


def _observe(site: AirflowSite, done: _Play) -> Observed:
    case, run, service = done.case, done.run(site), done.service
    tasks = {task.task_id: task for task in run.tasks()}
    results = {name: _xcom(run, name) for name in ("start", "live", "stop")}
    live = results["live"] or {"pushes": [], "recordings": []}
    urls, channel_id = _truth(service, done.room_id) if case.kind == "push" else ([], None)
    notes = {int(file.stem): json.loads(file.read_text()) for file in sorted(done.notes.iterdir())}
    return Observed(
        states={name: task.state for name, task in tasks.items()},
        tries=tasks[case.task_id].try_number,
        posts=" ".join(
            f"{str(operation).partition('_')[0]}{'!' if executed else ''}"
            for operation, executed in service.operations(done.room_id)
        ),
        live=live,
        left=service.on_air(done.room_id),
        start=results["start"],
        stop=results["stop"],
        claim=_xcom(run, "start", "claim"),
        astray=[
            f"{name}: {key}"
            for name in ("start", "stop")
            for key, value in (results[name] or {}).items()
            if _xcom(run, name, key, raw=isinstance(value, str)) != value
        ],
        true_urls=urls,
        true_channel_id=channel_id,
        true_file_ids=[file_id for name in live["recordings"] for file_id in service.file_ids(name)],
        deaths={number: note["point"] for number, note in notes.items()},
        surviving_workers=[note["parent"] for note in notes.values() if psutil.pid_exists(note["parent"])],
        heartbeats_missed=_heartbeats_missed(site, run),
        executed_after_death=_executed_after(service, case, notes),
        lost_said=any(
            f"Look for the file name {name}" in run.log("stop", tasks["stop"].try_number) for name in live["recordings"]
        ),
        log=run.log(case.task_id, tasks[case.task_id].try_number),
    )


def _truth(service: Witness, room_id: int) -> tuple[list[dict[str, str]], str]:
    """URLs and channel of the newest push, in the words of the operators' results."""
    types, rates = {1: "hls", 5: "rtmp"}, {0: "original", 10: "sd"}
    push = service.push(room_id, "host")
    urls = [{"type": types[url.type], "rate": rates[url.rate], "url": url.url} for url in push.live_urls]
    return urls, str(push.channel_id)


def _xcom(run: Run, task_id: str, key: str = "return_value", *, raw: bool = False) -> Any:
    """An XCom, None where there is none. A text is asked for `raw`: otherwise the API makes a number of its digits."""
    with suppress(RestError):
        if not raw:
            return run.xcom(task_id, key)
        path = f"{run.path}/taskInstances/{task_id}/xcomEntries/{key}"
        return run.client.rest("GET", path, params={"deserialize": False})["value"]
    return None


def _heartbeats_missed(site: AirflowSite, run: Run) -> int:
    rows = site.query(
        "select count(*) as times from log where event = 'heartbeat timeout' and run_id = :run_id", run_id=run.run_id
    )
    return int(rows[0]["times"])


def _executed_after(service: Witness, case: Case, notes: Mapping[int, Mapping[str, Any]]) -> bool | None:
    """Whether the operation was first carried out after its sender's death; None where the point is no matter of time."""
    if case.deaths[1] not in ("sent", "accepted") or 1 not in notes:
        return None
    first = next(entry for entry in service.journal if entry.operation == case.operation)
    return first.executed and first.at.timestamp() > notes[1]["at"]
