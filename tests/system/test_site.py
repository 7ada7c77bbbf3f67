"""The harness itself: a real Airflow does what DAGs ask, survives what is broken in it, and leaves nothing behind."""

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

import os
import time
from datetime import timedelta

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import BaseOperator, dag, get_current_context, task


class Later(BaseOperator):
    """Waits in the triggerer, longer than the ten seconds within which a resumption may be lost."""

    def execute(self, context):
        print("before")
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=12)), method_name="resume")

    def resume(self, context, event=None):
        print("after")
        return "resumed"


@dag(schedule=None)
def site_value():
    @task
    def value():
        conf = get_current_context()["dag_run"].conf
        print("a line of print")
        return {"above_2_53": 2**53 + 1, "largest": 2**63 - 1, "conf": conf}

    value()


@dag(schedule=None)
def site_later():
    Later(task_id="later", retries=1, retry_delay=timedelta(seconds=1))


@dag(schedule=None)
def site_hangs():
    @task(retries=1, retry_delay=timedelta(seconds=1))
    def hangs():
        if get_current_context()["ti"].try_number == 1:
            time.sleep(600)
        return "second try"

    hangs()


@dag(schedule=None)
def site_detaches():
    @task
    def detaches():
        import subprocess

        subprocess.run(["sleep", "600"], start_new_session=True)

    detaches()


site_value()
site_later()
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


def holder(site: AirflowSite) -> str:
    """The triggerer that has taken the one trigger there is."""
    jobs = {site.job_id(name): name for name in site.parts}

    def taken() -> str | None:
        rows = site.query("select triggerer_id from trigger where triggerer_id is not null")
        return jobs[rows[0]["triggerer_id"]] if rows else None

    return until(taken, timeout=15, failure=lambda: "no triggerer took the trigger", check=site.check)


class TestRuns:
    def test_a_value_arrives_with_every_digit(self, site: AirflowSite) -> None:
        """Integers above 2**53, which JSON readers of browsers round, come back exact."""
        run = site.run("site_value", {"room": "r1"})
        assert run.state == "success"
        assert run.xcom("value") == {"above_2_53": 2**53 + 1, "largest": 2**63 - 1, "conf": {"room": "r1"}}
        assert "a line of print" in run.log("value")


class TestPeople:
    def test_a_run_can_be_marked_and_cleared(self, site: AirflowSite) -> None:
        run = site.trigger("site_hangs")
        site.wait_for_task(run, "hangs", "running")
        site.mark(run, "hangs", "failed", user="user")
        assert run.wait() == "failed"
        assert [task.task_id for task in site.clear(run, "hangs")] == ["hangs"]
        assert run.wait() == "success"
        assert run.xcom("hangs") == "second try"

    def test_a_paused_dag_starts_nothing(self, site: AirflowSite) -> None:
        site.pause("site_value")
        run = site.trigger("site_value")
        with pytest.raises(SiteError, match=r"site_value .* is queued"):
            run.wait(timeout=3)
        site.unpause("site_value")
        assert run.wait() == "success"

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


class TestBreakages:
    def test_a_second_triggerer_takes_over(self, site: AirflowSite) -> None:
        site.start("triggerer-2")
        run = site.trigger("site_later")
        site.wait_for_task(run, "later", "deferred")
        victim = holder(site)
        site.kill(victim)
        assert run.wait() == "success"
        site.start(victim)
        site.stop("triggerer-2")

    def test_a_scheduler_lost_with_its_tasks_is_replaced(self, site: AirflowSite) -> None:
        run = site.trigger("site_hangs")
        pid = site.wait_for_task(run, "hangs", "running").pid
        assert pid
        site.kill("scheduler")
        assert not alive(pid)
        site.start("scheduler")
        assert run.wait() == "success"

    def test_a_task_outlives_the_loss_of_the_api_server(self, site: AirflowSite) -> None:
        run = site.trigger("site_hangs")
        site.wait_for_task(run, "hangs", "running")
        site.kill("api-server")
        site.start("api-server")
        assert run.task("hangs").state == "running"
        site.mark_run(run, "failed")
        assert run.wait() == "failed"


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
