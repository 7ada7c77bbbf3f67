"""An Airflow as others run it: secrets in a strict backend, XComs elsewhere, a triggerer that has no capacity, a full pool.

And with what others write among the Variables. All runs are started at once and played to their end before a test looks.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from unittest import mock

import pytest

from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.leases import is_entry
from harness.poison import TEXTS
from harness.postgres import PostgresServer, postgres_is_there
from harness.project import PROJECT
from harness.rest import FINISHED, Run
from harness.service import Witness, connect
from harness.site import AirflowSite
from tests.system.strict_secrets import ASKED

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not postgres_is_there(), reason="PostgreSQL is not installed (Debian: apt-get install postgresql)"
    ),
]

SHOW, CROWDED, WRITTEN = 501, 502, 503
LATE: Final = timedelta(seconds=60)

SOURCE: Final = """
from datetime import timedelta

from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import DAG
from airflow_provider_timav.broadcast import Broadcast
from airflow_provider_timav.operators.broadcast import ReapBroadcastsOperator

HERE = {"user_id": "host", "timav_conn_id": "other_site"}

with DAG("takes_all", schedule=None):
    DateTimeSensorAsync(task_id="wait", target_time="2099-01-01T00:00:00+00:00")
with DAG("show", schedule=None):
    Broadcast(room_id=501, duration=30, **HERE)
with DAG("crowded", schedule=None, default_args={"pool": "tiny"}):
    Broadcast(room_id=502, duration=240, **HERE)
with DAG("poison", schedule=None):
    Broadcast(room_id=503, duration=30, **HERE)
with DAG("reap_poison", schedule=None):
    ReapBroadcastsOperator(task_id="reap")
"""


@dataclass(frozen=True)
class Played:
    """What came of it all; `pages` are the answers of the page's two lists while the Variables were poisoned."""

    site: AirflowSite
    service: Witness
    runs: dict[str, Run]
    statuses: list[int]
    shown: list[set[int]]
    foreign: bool
    recordings: list[dict[str, Any]]
    asked: list[str]

    def room(self, name: str) -> int:
        return {"show": SHOW, "crowded": CROWDED, "poison": WRITTEN}[name]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    home = tmp_path_factory.mktemp("other")
    backend = {"BACKEND": "tests.system.strict_secrets.StrictBackend"}
    env = {
        **{f"AIRFLOW__SECRETS__{name}": value for name, value in backend.items()},
        **{f"AIRFLOW__WORKERS__SECRETS_{name}": value for name, value in backend.items()},
        "AIRFLOW__CORE__XCOM_BACKEND": "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend",
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": f"file://{home / 'xcoms'}",
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "0",
        "AIRFLOW__TRIGGERER__CAPACITY": "1",
        ASKED: str(home / "asked.txt"),
        "PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")]),
    }
    rooms = {room: ["host"] for room in (SHOW, CROWDED, WRITTEN)}
    with (
        Witness(rooms=rooms) as service,
        PostgresServer() as server,
        AirflowSite(home / "airflow", env=env, database_url=server.url) as site,
    ):
        site.write_dag("others", SOURCE)
        connect(site, "other_site", service.connection())
        site.rest("POST", "pools", {"name": "tiny", "slots": 1, "include_deferred": False})
        for name in ("takes_all", "show", "crowded", "poison", "reap_poison"):
            site.wait_for_dag(name)
        blocker = site.trigger("takes_all")
        site.wait_for_task(blocker, "wait", "deferred")
        runs = {name: site.trigger(name) for name in ("crowded", "show")}
        foreign = _stopped_while_it_waits(site, service, runs["crowded"])
        runs["poison"] = site.trigger("poison")
        site.wait_for_task(runs["poison"], "broadcast.on_air", "deferred", timeout=120)
        statuses, shown = _poisoned(site)
        runs["reap_poison"] = site.trigger("reap_poison")
        for run in runs.values():
            _ended(run)
        statuses.append(site.request("GET", "timav/recordings").status_code)
        recordings = site.request("GET", "timav/recordings").json()["recordings"]
        asked = (home / "asked.txt").read_text().splitlines()
        yield Played(site, service, runs, statuses, shown, foreign, recordings, asked)


def _ended(run: Run) -> None:
    deadline = time.monotonic() + 240
    while run.state not in FINISHED and time.monotonic() < deadline:
        time.sleep(1)


def _stopped_while_it_waits(site: AirflowSite, service: Witness, run: Run) -> bool:
    """Stop now, as the page does it, while `start_push` waits for a slot and somebody else pushes; whether that goes on."""

    def slots(number: int) -> None:
        site.rest("PATCH", "pools/tiny", {"pool": "tiny", "slots": number, "include_deferred": False})

    site.wait_for_task(run, "broadcast.reserve", "running", "success")
    slots(0)
    site.wait_for_task(run, "broadcast.reserve", "success")
    here = {"AIRFLOW_CONN_OTHER_SITE": service.connection_json()}
    with mock.patch.dict(os.environ, here), TimAVHook("other_site") as hook:
        hook.start_push(room_id=CROWDED, user_id="host")
    rows = site.request("GET", "timav/on-air").json()["broadcasts"]
    (stop,) = [row["stop"] for row in rows if row["room_id"] == CROWDED]
    site.mark(run, stop["task_id"], stop["new_state"])
    slots(4)
    _ended(run)
    return bool(service.on_air(CROWDED))


def _poisoned(site: AirflowSite) -> tuple[list[int], list[set[int]]]:
    """Write what others may write into names that the ledger could have; what the page answers while it is there."""
    texts = [text for text in TEXTS.values() if text and "\x00" not in text]
    names = [f"timav_lease_{number:032x}" for number in range(len(texts))]
    entries = dict(zip(names, texts, strict=True)) | {"timav_lease_x/../victim": "{", "victim": "kept"}
    entities = [{"key": name, "value": text} for name, text in entries.items()]
    answer = site.rest("PATCH", "variables", {"actions": [{"action": "create", "entities": entities}]})
    assert len(answer["create"]["success"]) == len(entities), answer
    answers = [site.request("GET", f"timav/{name}") for name in ("on-air", "recordings")]
    return [one.status_code for one in answers], [{row["room_id"] for row in answers[0].json()["broadcasts"]}]


def test_show_without_capacity_for_its_trigger_is_off_air_within_a_minute_of_its_end(played: Played) -> None:
    """Without a reaper: `on_air` comes back by itself."""
    for name in ("show", "poison"):
        end = datetime.fromisoformat(played.runs[name].xcom("broadcast.on_air", "control")["end"])
        stops = [
            entry.at
            for entry in played.service.journal
            if entry.room_id == played.room(name) and entry.executed and str(entry.operation).startswith("stop")
        ]
        assert len(stops) == 2
        assert all(end - timedelta(seconds=1) <= at <= end + LATE for at in stops), (end, stops)
        assert played.runs[name].state == "success"


def test_recording_is_in_the_list_though_xcoms_are_kept_elsewhere(played: Played) -> None:
    shown = {row["room_id"]: row for row in played.recordings}
    for room in (SHOW, WRITTEN):
        name = shown[room]["file_name"]
        assert shown[room]["file_ids"] == played.service.file_ids(name)


def test_show_logs_no_error_beside_a_strict_secrets_backend(played: Played) -> None:
    for name in ("show", "poison"):
        run = played.runs[name]
        for task in run.tasks():
            lines = run.log(task.task_id, 1).splitlines()
            assert [line for line in lines if " error " in line or "Traceback" in line] == [], task.task_id


def test_workers_do_not_ask_a_secrets_backend_for_the_ledger(played: Played) -> None:
    """The API server does: its own reading of a Variable begins with the backends that it has. It gets proper names."""
    asked = {line.partition(" ")[2] for line in played.asked if line.startswith("variable timav_lease_")}
    assert {name for name in asked if not is_entry(name)} <= {"timav_lease_x/../victim"}  # which the test has written
    assert any(is_entry(name) for name in asked)


def test_run_that_has_sent_no_start_leaves_a_foreign_push_alone(played: Played) -> None:
    assert played.foreign
    run = played.runs["crowded"]
    assert run.state == "failed"
    assert [entry.operation for entry in played.service.journal if entry.room_id == CROWDED] == ["start_push"]


def test_page_shows_all_others_whatever_is_among_the_variables(played: Played) -> None:
    assert set(played.statuses) == {200}
    assert WRITTEN in played.shown[0]


def test_reaper_does_its_work_whatever_is_among_the_variables(played: Played) -> None:
    run = played.runs["reap_poison"]
    assert run.state == "success"
    assert "Ended 0 expired leases" in run.log("reap")
    # Airflow's own list of Variables does not survive some of these.
    kept = {row["key"] for row in played.site.query("select key from variable")}
    assert {"victim", "timav_lease_x/../victim"} <= kept


def test_what_was_read_of_the_reapers_log_names_what_cannot_be_read(played: Played) -> None:
    log = played.runs["reap_poison"].log("reap")
    assert "cannot be read" in log
    assert "Traceback" not in log


def test_nothing_is_left_on_air_but_what_is_foreign(played: Played) -> None:
    assert played.service.on_air(SHOW) == played.service.on_air(WRITTEN) == []
    assert json.dumps(played.service.on_air(CROWDED)) == '["push of host"]'
