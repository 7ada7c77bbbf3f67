"""Airflow with teams: a broadcast of a team's DAG is refused, those of bundles without a team go on beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from airflow_provider_timav.leases import LeaseKey
from harness.postgres import PostgresServer, postgres_is_there
from harness.rest import Run
from harness.service import Witness
from harness.site import AirflowSite, free_port

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not postgres_is_there(), reason="PostgreSQL is not installed (Debian: apt-get install postgresql)"
    ),
]

ROOM: Final = 601
WRITTEN: Final = 602
BUNDLE: Final = "airflow.dag_processing.bundles.local.LocalDagBundle"
SOURCE: Final = """
from airflow.sdk import DAG, Variable, task
from airflow_provider_timav.broadcast import Broadcast
from airflow_provider_timav.operators.broadcast import ReapBroadcastsOperator

with DAG("{team}_show", schedule=None):
    Broadcast(room_id={room}, user_id="host", duration=25)
with DAG("{team}_reap", schedule=None):
    ReapBroadcastsOperator(task_id="reap")
with DAG("{team}_writes", schedule=None):

    @task
    def write(name: str) -> None:
        Variable.set(name, "{{}}")

    write("{{{{ dag_run.conf.name }}}}")
"""


@dataclass(frozen=True)
class Played:
    site: AirflowSite
    service: Witness
    runs: dict[str, Run]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    home = tmp_path_factory.mktemp("teams")
    bundles: list[dict[str, Any]] = []
    for team in ("red", "none"):
        folder = home / team
        folder.mkdir()
        (folder / "dags.py").write_text(SOURCE.format(team=team, room=ROOM))
        of_team = {"team_name": team} if team != "none" else {}
        bundles.append({"name": team, "classpath": BUNDLE, "kwargs": {"path": str(folder)}, **of_team})
    port = free_port()
    with Witness(rooms={ROOM: ["host"], WRITTEN: ["host"]}) as service, PostgresServer() as server:
        env = {
            "AIRFLOW__CORE__MULTI_TEAM": "True",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor;red=LocalExecutor",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
            "AIRFLOW__RED___CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "AIRFLOW__RED___API__BASE_URL": f"http://127.0.0.1:{port}/",
            "AIRFLOW__RED___CORE__PARALLELISM": "2",
            "AIRFLOW_CONN_TIMAV_DEFAULT": service.connection_json(),
        }
        parts = ("api-server",)
        with AirflowSite(home / "airflow", env=env, parts=parts, port=port, database_url=server.url) as site:
            created = site.airflow("teams", "create", "red")
            assert created.status == 0, created.output
            site.start("scheduler", "dag-processor", "triggerer")
            for team in ("red", "none"):
                site.wait_for_dag(f"{team}_show", 90)
            name = LeaseKey("timav_default", WRITTEN, "host", "camera").variable
            runs = {"red_writes": site.run("red_writes", {"name": name})}
            for dag in ("red_show", "none_show"):
                runs[dag] = site.trigger(dag)
            for dag in ("red_show", "none_show"):
                runs[dag].wait(150)
            runs["none_reap"] = site.run("none_reap")
            yield Played(site, service, runs)


def test_broadcast_of_a_team_is_refused_with_a_clear_message(played: Played) -> None:
    run = played.runs["red_show"]
    assert run.state == "failed"
    assert "this DAG belongs to the team 'red'" in run.log("broadcast.reserve")


def test_broadcast_of_no_team_goes_on_beside_it(played: Played) -> None:
    """Nobody else has sent anything in its room."""
    run = played.runs["none_show"]
    assert run.state == "success"
    executed = sorted(entry.operation or "" for entry in played.service.journal if entry.executed)
    assert executed == ["start_push", "start_record", "stop_push", "stop_record"]
    assert run.xcom("broadcast.result")["outcome"] == "deadline"


def test_reaper_passes_over_what_a_team_has_written(played: Played) -> None:
    assert played.runs["red_writes"].state == "success"
    run = played.runs["none_reap"]
    assert (run.state, run.xcom("reap")) == ("success", [])
    assert "is another team's" in run.log("reap")


def test_page_shows_nothing_on_a_teams_word(played: Played) -> None:
    answer = played.site.request("GET", "timav/on-air")
    assert (answer.status_code, answer.json()["broadcasts"]) == (200, [])
