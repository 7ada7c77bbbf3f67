"""Each example DAG does what its text promises, on a real Airflow, against the emulator; nothing stays on air."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.processes import until
from harness.project import EXAMPLES
from harness.rest import RestError, Run
from harness.service import Witness, connect
from harness.site import AirflowSite, inherited

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

FORM, SCHEDULED, RECORD, KICK, SEVERAL, MISSED = 20085, 20086, 20087, 20088, (20091, 20092), 20093
CHOICES, TOLD, NOBODY = 20094, 20095, 20096
FILES = sorted(file for file in EXAMPLES.glob("*.py") if file.stem != "__init__")


@dataclass
class Played:
    """One finished run of each DAG, and more of some."""

    site: AirflowSite
    service: Witness
    runs: dict[str, Run]
    picked_up: Run
    late: Run
    chosen: Run
    failed: Run
    told: list[str]


@pytest.fixture(scope="module")
def service() -> Iterator[Witness]:
    rooms = {
        FORM: ["host_1"],
        CHOICES: ["host of choice"],
        TOLD: ["host_1"],
        SCHEDULED: ["host_1"],
        MISSED: ["host_1"],
        RECORD: ["host_1"],
        KICK: ["host_1", "troll_1", "troll_2"],
        **{room: [f"host_{room}"] for room in SEVERAL},
    }
    with Witness(rooms=rooms) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def channel() -> Iterator[Channel]:
    with Channel() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def played(service: Witness, channel: Channel, scheduling_site: AirflowSite) -> Played:
    """All DAGs are triggered at once, as a person does, with a shorter time on air; one run comes from an asset's event."""
    return play(scheduling_site, service, channel)


class Channel:
    """Where notifiers post to, on loopback: keeps the texts."""

    def __init__(self) -> None:
        told = self.told = list[str]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                told.append(f"{self.path} {json.loads(body)['text']}")
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]

    def __enter__(self) -> Channel:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def play(site: AirflowSite, service: Witness, channel: Channel) -> Played:
    """Everything there is, to its end. The DAG that also has a time of its own is never without a run of ours."""
    connect(site, "timav_default", service.connection())
    host = {"conn_type": "http", "host": "127.0.0.1", "port": channel.port, "extra": {}}
    connect(site, "timav_channel", host)
    conf: dict[str, dict[str, Any]] = {
        "timav_scheduled_broadcast": {"room_id": SCHEDULED, "seconds_on_air": 90},
        "timav_broadcast_form": {
            "room_id": FORM,
            "title": "Typed into the form",
            "outputs": "hls+rtmp",
            "minutes": 2,
        },
        "timav_record": {"room_id": RECORD, "seconds": 80},
        "timav_notify_on_air": {"room_id": TOLD, "seconds_on_air": 100, "grace": 5},
        "timav_several_rooms": {
            "rooms": [{"room_id": room, "user_id": f"host_{room}"} for room in SEVERAL],
            "seconds_on_air": 80,  # all of these begin at once: the last one reserved is on air long after the first
        },
        "timav_reap_broadcasts": {},
        "timav_remove_members": {"room_id": KICK, "user_ids": ["troll_1", "troll_2"]},
    }
    with site.held(*conf, "timav_pick_up_recording"):
        runs = {dag_id: site.trigger(dag_id, given) for dag_id, given in conf.items()}
        late = missed(site, "timav_scheduled_broadcast", {"room_id": MISSED})
        chosen = site.trigger("timav_broadcast_form", EVERYTHING_ELSE)
        failed = site.trigger("timav_notify_on_air", {"room_id": NOBODY, "user_id": " "})
    until(
        lambda: any("on air at" in text for text in channel.told),
        timeout=120,
        failure=lambda: f"the channel was told {channel.told}",
        check=site.check,
    )
    service.freeze(TOLD, "host_1")
    for run in (*runs.values(), late, chosen, failed):
        run.wait(timeout=300)
    until(
        # What follows a run's failure is called by the DAG processor, which comes round to it.
        lambda: any("has failed" in text for text in channel.told),
        timeout=60,
        failure=lambda: f"the channel was told {channel.told}",
        check=site.check,
    )
    picked_up = site.wait_for_run("timav_pick_up_recording", timeout=180)  # nobody triggers it but the asset's event
    picked_up.wait()
    return Played(site, service, runs, picked_up, late, chosen, failed, channel.told)


EVERYTHING_ELSE = {
    "room_id": CHOICES,
    "user_id": "host of choice",
    "title": "'Quoted', {{ braces }} & 2026",
    "minutes": 1,
    "record": False,
    "picture": "screen",
    "outputs": "rtmp",
    "quality": ["sd", "hd"],
    "wait_minutes": 0,
}
"""The form with each of its choices made in another way than it was made for the first run."""


def missed(site: AirflowSite, dag_id: str, conf: dict[str, Any]) -> Run:
    """A run whose time was an hour ago, as a scheduler makes it that was down for so long."""
    body = {"conf": conf, "logical_date": None, "run_after": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}
    return Run(dag_id, str(site.rest("POST", f"dags/{dag_id}/dagRuns", body)["dag_run_id"]), site)


def reserved_at(run: Run) -> datetime:
    """When the room was reserved by a broadcast of two minutes, as far as its end tells."""
    return datetime.fromisoformat(run.xcom("broadcast.result", "ended_at")) - timedelta(minutes=2)


class TestForm:
    """What the browser builds the trigger form of."""

    @pytest.fixture
    def params(self, played: Played) -> dict[str, Any]:
        found: dict[str, Any] = played.site.rest("GET", "dags/timav_broadcast_form/details")["params"]
        return found

    def test_what_everybody_fills_in_comes_first_the_rest_in_sections(self, params: dict[str, Any]) -> None:
        sections: dict[str | None, list[str]] = {}
        for name, param in params.items():
            sections.setdefault(param["schema"].get("section"), []).append(name)
        assert sections == {
            None: ["room_id", "user_id", "title", "minutes", "record"],
            "What is sent": ["picture", "outputs", "quality"],
            "If the host is late": ["wait_minutes"],
        }

    def test_each_field_explains_itself(self, params: dict[str, Any]) -> None:
        assert all(param["schema"]["title"] for param in params.values())
        assert {name for name, param in params.items() if not param["description"]} == {"picture"}
        for name in ("picture", "outputs", "quality"):
            choices = params[name]["schema"].get("enum") or params[name]["schema"]["examples"]
            assert set(params[name]["schema"]["values_display"]) == set(choices)

    def test_the_browser_can_enforce_the_limits(self, params: dict[str, Any]) -> None:
        """Numbers have bounds, choices a list, nothing may be left empty; rules that only the server knows are not used."""
        for name, param in params.items():
            schema = param["schema"]
            assert isinstance(schema["type"], str), name  # "null" among the types would let it be empty
            if schema["type"] == "integer":
                assert {"minimum", "maximum"} <= schema.keys(), name
            assert not {"pattern", "format"} & schema.keys(), name
        assert params["title"]["schema"]["maxLength"] == 60

    def test_it_asks_for_no_secret(self, params: dict[str, Any]) -> None:
        assert not [name for name in params if re.search("password|secret|token|key|sig", name)]

    @pytest.mark.parametrize(
        "conf",
        [{"minutes": 0}, {"minutes": 361}, {"outputs": "flv"}, {"quality": []}, {"title": "x" * 61}, {"user_id": ""}],
    )
    def test_the_server_refuses_what_the_form_would_not_let_through(self, played: Played, conf: dict[str, Any]) -> None:
        with pytest.raises(RestError, match="400"):
            played.site.trigger("timav_broadcast_form", conf)


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
        run, push = played.runs["timav_broadcast_form"], played.service.push(FORM, "host_1")
        assert push.channel_name == "Typed into the form"
        assert {(url.type, url.rate) for url in push.live_urls} == {(1, 0), (5, 0)}
        assert run.xcom("broadcast.result", "outcome") == "deadline"
        assert run.xcom("broadcast.result", "file_ids_status") == "recovered"
        began, ended = (
            datetime.fromisoformat(run.task("broadcast.reserve").details[f"{at}_date"]) for at in ("start", "end")
        )
        assert began <= reserved_at(run) <= ended + timedelta(seconds=5)

    def test_each_of_its_choices_counts(self, played: Played) -> None:
        run, push = played.chosen, played.service.push(CHOICES, "host of choice", "screen")
        assert run.state == "success"
        assert push.channel_name == EVERYTHING_ELSE["title"]
        assert {(url.type, url.rate) for url in push.live_urls} == {(5, 10), (5, 20)}
        assert run.xcom("broadcast.start_record") == {"outcome": "not_requested"}
        assert run.xcom("broadcast.result", "file_ids_status") == "none"
        rendered = run.task("broadcast.reserve").details["rendered_fields"]
        assert (rendered["duration"], rendered["wait_for_user"]) == ("60", "0")

    def test_the_recording_reaches_the_second_dag_through_the_asset(self, played: Played) -> None:
        run = played.runs["timav_record"]
        file_name = run.xcom("broadcast.start_record", "file_name")
        (event,) = played.picked_up.xcom("pick_up")
        assert (event["file_ids"], event["file_name"]) == (played.service.file_ids(file_name), file_name)
        assert len(event["file_ids"]) == 1
        assert (event["room_id"], event["user_id"]) == (RECORD, "host_1")

    def test_the_channel_is_told_what_viewers_see(self, played: Played) -> None:
        hls_url = played.runs["timav_notify_on_air"].xcom("broadcast.start_push", "hls_url")
        told = [re.sub(r"since \S+", "since TIME", text) for text in played.told if str(TOLD) in text]
        assert told == [
            f"/notify Room {TOLD}: on air at {hls_url}",
            f"/notify Room {TOLD}: the stream has been STALLED since TIME",
            f"/notify Room {TOLD}: off air (deadline)",
        ]

    def test_and_that_a_show_did_not_work_out(self, played: Played) -> None:
        assert played.failed.state == "failed"
        run_id = played.failed.run_id
        assert f"/notify Room {NOBODY}: the broadcast has failed ({run_id})" in played.told
        assert played.service.operations(NOBODY) == []

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


# Says of each file which DAGs are in it, or what parsing it touches first outside of the process. Each is parsed as a DAG
# processor does it: by a process of its own, forked from one that has imported Airflow.
PARSE = """
import json, os, runpy, sys, traceback

def look(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.sendto", "sqlite3.connect", "subprocess.Popen"}:
        raise RuntimeError(f"{event} {arguments!r}")

sys.addaudithook(look)
from airflow.sdk import DAG
for file in sys.argv[1:]:
    if os.fork() == 0:
        error, found = "", []
        try:
            found = [value.dag_id for value in runpy.run_path(file).values() if isinstance(value, DAG)]
        except BaseException:
            error = traceback.format_exc()
        print(json.dumps({"file": file, "dag_ids": found, "error": error}), flush=True)
        os._exit(0)
    os.wait()
"""
CURIOUS = "import socket\nsocket.getaddrinfo('localhost', 80)\n"


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What comes of parsing each file, by its name; of one more, too, that looks a name up."""
    home = tmp_path_factory.mktemp("parsing")
    curious = home / "curious.py"
    curious.write_text(CURIOUS)
    env = inherited() | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////nowhere/airflow.db",
    }
    command = [sys.executable, "-c", PARSE, *map(str, FILES), str(curious)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return {Path(row["file"]).stem: row for row in map(json.loads, done.stdout.splitlines())}


class TestParsing:
    @pytest.mark.parametrize("name", [file.stem for file in FILES])
    def test_it_needs_neither_network_nor_database(self, name: str, parsed: dict[str, dict[str, Any]]) -> None:
        assert parsed[name]["error"] == ""
        assert any(dag_id.startswith("timav_") for dag_id in parsed[name]["dag_ids"])

    def test_a_file_that_needs_something_would_be_seen(self, parsed: dict[str, dict[str, Any]]) -> None:
        assert "RuntimeError: socket.getaddrinfo" in parsed["curious"]["error"]
