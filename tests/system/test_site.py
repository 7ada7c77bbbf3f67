"""The harness itself: a real Airflow does what DAGs ask, says what is wrong, and leaves nothing behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import psutil  # type: ignore[import-untyped]  # as in processes.py
import pytest
import sqlalchemy.exc

from tests.system.processes import SiteError, until
from tests.system.rest import RestError
from tests.system.site import AirflowSite

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

DAGS = '''
"""One DAG per behaviour."""

import time

from airflow.sdk import dag, get_current_context, task


@dag(schedule=None)
def site_value():
    @task
    def value():
        conf = get_current_context()["dag_run"].conf
        print("a line of print")
        return {"above_2_53": 2**53 + 1, "largest": 2**63 - 1, "conf": conf}

    value()


@dag(schedule=None)
def site_hangs():
    @task
    def hangs():
        time.sleep(600)

    hangs()


@dag(schedule=None)
def site_detaches():
    @task
    def detaches():
        import subprocess

        subprocess.run(["sleep", "600"], start_new_session=True)

    detaches()


site_value()
site_hangs()
site_detaches()
'''


@pytest.fixture(scope="module")
def site(airflow_site: AirflowSite) -> AirflowSite:
    airflow_site.write_dag("behaviours", DAGS)
    return airflow_site


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


class TestOneSite:
    def test_a_value_arrives_with_every_digit(self, site: AirflowSite) -> None:
        """Integers above 2**53, which JSON readers of browsers round, come back exact."""
        run = site.run("site_value", {"room": "r1"})
        assert run.state == "success"
        assert run.xcom("value") == {"above_2_53": 2**53 + 1, "largest": 2**63 - 1, "conf": {"room": "r1"}}
        assert "a line of print" in run.log("value")

    def test_a_viewer_may_look_but_not_trigger(self, site: AirflowSite) -> None:
        assert site.rest("GET", "dags", user="viewer")["total_entries"] >= 6
        with pytest.raises(RestError) as caught:
            site.trigger("site_value", user="viewer")
        assert caught.value.status == 403
        assert site.request("GET", "api/v2/dags", user=None).status_code == 401

    def test_a_broken_file_is_named_by_who_waits_for_its_dag(self, site: AirflowSite) -> None:
        file = site.write_dag("broken", "import airflow, no_such_module  # a DAG")
        try:
            until(
                lambda: any("broken" in name for name in site.import_errors()),
                timeout=30,
                failure=lambda: "the file was not parsed",
                check=site.check,
            )
            with pytest.raises(SiteError, match=r"there is no DAG 'broken'[\s\S]*no_such_module"):
                site.wait_for_dag("broken", timeout=0)
        finally:
            file.unlink()

    def test_queries_cannot_write(self, site: AirflowSite) -> None:
        assert site.query("select dag_id from dag where dag_id = :dag", dag="site_value") == [{"dag_id": "site_value"}]
        with pytest.raises(sqlalchemy.exc.OperationalError, match="readonly"):
            site.query("delete from dag")


class TestWholeSites:
    def test_nothing_is_left_behind(self) -> None:
        """Neither parts, nor running tasks, nor what a task started in a session of its own."""
        with AirflowSite(parts=("api-server", "scheduler", "dag-processor")) as site:
            site.write_dag("behaviours", DAGS)
            runs = [site.trigger("site_detaches"), site.trigger("site_hangs")]
            site.wait_for_task(runs[0], "detaches", "running")
            site.wait_for_task(runs[1], "hangs", "running")

            def sleeper() -> int | None:
                return next((pid for pid in site.processes() if "sleep" in psutil.Process(pid).cmdline()), None)

            left = until(sleeper, timeout=15, failure=lambda: "the task started no command", check=site.check)
            site.kill_task(runs[0], "detaches")  # now nothing but the mark leads to the command that it started
            assert left in site.processes()
            processes = site.processes()
            assert len(processes) > 6
        assert [pid for pid in processes if alive(pid)] == []
        assert not site.home.exists()
        with socket.create_server(("127.0.0.1", site.port)):
            pass

    def test_nothing_outlives_an_owner_that_is_killed(self, tmp_path: Path) -> None:
        program = """
            import sys, time
            from pathlib import Path
            from tests.system.site import AirflowSite

            with AirflowSite(Path(sys.argv[1]), parts=("dag-processor", "triggerer")) as site:
                print(*site.processes(), flush=True)
                time.sleep(600)
        """
        command = [sys.executable, "-c", dedent(program), str(tmp_path / "home")]
        env = {**os.environ, "TMPDIR": str(tmp_path)}  # who is killed leaves its temporary files
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as owner:
            assert owner.stdout
            processes = [int(pid) for pid in owner.stdout.readline().split()]
            assert len(processes) >= 2
            owner.kill()
        until(
            lambda: not any(alive(pid) for pid in processes),
            timeout=15,
            failure=lambda: f"alive: {[pid for pid in processes if alive(pid)]}",
            check=lambda: None,
        )

    def test_a_part_that_dies_at_the_start_shows_its_last_words(self) -> None:
        env = {"AIRFLOW__CORE__EXECUTOR": "no.such.Executor"}
        with (
            pytest.raises(SiteError, match=r"scheduler ended with status 1[\s\S]*no\.such"),
            AirflowSite(parts=("scheduler",), env=env),
        ):
            pass

    def test_a_part_that_dies_later_ends_every_wait(self) -> None:
        with AirflowSite(parts=("dag-processor",)) as site:
            psutil.Process(site.parts["dag-processor"].pid).kill()
            with pytest.raises(SiteError, match="dag-processor ended with status -9"):
                until(lambda: None, timeout=30, failure=lambda: "", check=site.check)

    def test_an_unknown_part_is_refused(self) -> None:
        with (
            pytest.raises(SiteError, match="'webserver' is none of api-server, scheduler"),
            AirflowSite(parts=("webserver",)),
        ):
            pass
