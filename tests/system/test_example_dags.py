"""Each example DAG does what its text promises, on a real Airflow, against the emulator; nothing stays on air."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import EXAMPLES
from tests.system.rest import Run
from tests.system.service import Witness, connect
from tests.system.site import AirflowSite, inherited

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

FORM, SCHEDULED, RECORD, KICK, SEVERAL, MISSED = 20085, 20086, 20087, 20088, (20091, 20092), 20093
PAUSED = {"AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True"}  # or a time might come before all is in place
FILES = sorted(file for file in EXAMPLES.glob("*.py") if file.stem != "__init__")


@dataclass
class Played:
    """One finished run of each DAG."""

    site: AirflowSite
    service: Witness
    runs: dict[str, Run]
    picked_up: Run
    late: Run


@pytest.fixture(scope="module")
def service() -> Iterator[Witness]:
    rooms = {
        FORM: ["host_1"],
        SCHEDULED: ["host_1"],
        MISSED: ["host_1"],
        RECORD: ["host_1"],
        KICK: ["host_1", "troll_1", "troll_2"],
        **{room: [f"host_{room}"] for room in SEVERAL},
    }
    with Witness(rooms=rooms) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def played(service: Witness, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """All DAGs are triggered at once, as a person does, with a shorter time on air.

    On a site of their own, because its scheduler also starts runs by itself: one of them comes from an asset's event.
    """
    home = tmp_path_factory.mktemp("examples")
    with AirflowSite(home, dag_folders=[EXAMPLES], schedules=True, env=PAUSED) as site:
        yield play(site, service)


def play(site: AirflowSite, service: Witness) -> Played:
    """Everything there is, to its end. The DAG that also has a time of its own is never without a run of ours."""
    connect(site, "timav_default", service.connection())
    conf: dict[str, dict[str, Any]] = {
        "timav_scheduled_broadcast": {"room_id": SCHEDULED, "seconds_on_air": 30},
        "timav_broadcast_form": {
            "room_id": FORM,
            "title": "Typed into the form",
            "outputs": "hls+rtmp",
            "seconds_on_air": 25,
        },
        "timav_record": {"room_id": RECORD, "seconds": 5},
        "timav_several_rooms": {
            "rooms": [{"room_id": room, "user_id": f"host_{room}"} for room in SEVERAL],
            "seconds_on_air": 20,
        },
        "timav_reap_broadcasts": {},
        "timav_remove_members": {"room_id": KICK, "user_ids": ["troll_1", "troll_2"]},
    }
    with site.held(*conf, "timav_pick_up_recording"):
        runs = {dag_id: site.trigger(dag_id, given) for dag_id, given in conf.items()}
        late = missed(site, "timav_scheduled_broadcast", {"room_id": MISSED})
    for run in (*runs.values(), late):
        run.wait(timeout=180)
    picked_up = site.wait_for_run("timav_pick_up_recording")  # nobody triggers it but the asset's event
    picked_up.wait()
    return Played(site, service, runs, picked_up, late)


def missed(site: AirflowSite, dag_id: str, conf: dict[str, Any]) -> Run:
    """A run whose time was an hour ago, as a scheduler makes it that was down for so long."""
    body = {"conf": conf, "logical_date": None, "run_after": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}
    return Run(dag_id, str(site.rest("POST", f"dags/{dag_id}/dagRuns", body)["dag_run_id"]), site)


class TestRuns:
    def test_every_example_succeeds(self, played: Played) -> None:
        states = {dag_id: run.state for dag_id, run in (played.runs | {"picked_up": played.picked_up}).items()}
        assert states == dict.fromkeys(states, "success")
        tasks = [
            (run.dag_id, task.task_id, task.map_index, task.state)
            for run in played.runs.values()
            for task in run.tasks()
        ]
        assert [task for task in tasks if task[3] != "success"] == []

    def test_none_of_them_is_missing_here(self, played: Played) -> None:
        shown = played.site.rest("GET", "dags", params={"limit": 100, "tags": "example"})["dags"]
        assert {dag["dag_id"] for dag in shown} == {*played.runs, played.picked_up.dag_id}
        assert not [name for name in played.site.import_errors() if Path(name).stem in {file.stem for file in FILES}]

    def test_nothing_stays_on_air(self, played: Played) -> None:
        assert (played.service.pushes, played.service.recordings) == ((), ())

    def test_the_scheduled_broadcast_hands_on_urls_and_file_ids(self, played: Played) -> None:
        run = played.runs["timav_scheduled_broadcast"]
        push = played.service.push(SCHEDULED, "host_1")
        assert run.xcom("announce") == f"on air at {push.live_urls[0].url}"
        file_ids = played.service.file_ids(run.xcom("broadcast.start_record", "file_name"))
        assert len(file_ids) == 1
        assert run.xcom("publish") == {"file_ids": file_ids, "outcome": "deadline"}
        assert run.xcom("broadcast.on_air")["verdict"] == "LIVE"

    def test_a_show_of_the_past_does_not_go_on_air(self, played: Played) -> None:
        assert played.late.task("broadcast.reserve").state == "skipped"
        assert played.service.operations(MISSED) == []

    def test_the_form_decides_what_is_broadcast(self, played: Played) -> None:
        push = played.service.push(FORM, "host_1")
        assert push.channel_name == "Typed into the form"
        assert {url.type for url in push.live_urls} == {1, 5}
        assert played.runs["timav_broadcast_form"].xcom("broadcast.result", "outcome") == "deadline"

    def test_the_recording_reaches_the_second_dag_through_the_asset(self, played: Played) -> None:
        file_ids = played.service.file_ids(played.runs["timav_record"].xcom("start_record", "file_name"))
        assert len(file_ids) == 1
        assert played.picked_up.xcom("pick_up") == file_ids

    def test_each_room_gets_a_stream_of_its_own(self, played: Played) -> None:
        run = played.runs["timav_several_rooms"]
        for index, room_id in enumerate(SEVERAL):
            push = played.service.push(room_id, f"host_{room_id}")
            assert run.xcom("room.broadcast.start_push", "hls_url", index) == push.live_urls[0].url
            name = run.xcom("room.broadcast.start_record", "file_name", index)
            assert run.xcom("room.publish", map_index=index) == played.service.file_ids(name)

    def test_the_reaper_finds_nothing_to_do(self, played: Played) -> None:
        assert played.runs["timav_reap_broadcasts"].xcom("reap") == []

    def test_members_are_removed(self, played: Played) -> None:
        assert played.service.members(KICK) == {"host_1"}


# Ends with the name of the first thing outside of the process that parsing touches.
PARSE = """
import runpy, sys

def look(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.sendto", "sqlite3.connect", "subprocess.Popen"}:
        raise RuntimeError(f"{event} {arguments!r}")

sys.addaudithook(look)
from airflow.sdk import DAG
found = [value.dag_id for value in runpy.run_path(sys.argv[1]).values() if isinstance(value, DAG)]
assert found, "no DAG in this file"
print(*sorted(set(found)))
"""


class TestParsing:
    @pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
    def test_it_needs_neither_network_nor_database(self, file: Path, tmp_path: Path) -> None:
        env = inherited() | {
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////nowhere/airflow.db",
        }
        done = subprocess.run(
            [sys.executable, "-c", PARSE, str(file)], env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "timav_" in done.stdout
