"""Sites come and go: nothing of them is left behind, whatever becomes of their parts and of their owner."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import psutil  # type: ignore[import-untyped]  # as in processes.py
import pytest

from harness.processes import SiteError, until
from harness.site import AirflowSite

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

DAGS = '''
"""Tasks that do not end by themselves."""

import time

from airflow.sdk import dag, task


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


site_hangs()
site_detaches()
'''


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_nothing_is_left_behind() -> None:
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


def test_nothing_outlives_an_owner_that_is_killed(tmp_path: Path) -> None:
    program = """
        import sys, time
        from pathlib import Path
        from harness.site import AirflowSite

        with AirflowSite(Path(sys.argv[1]), parts=("triggerer",)) as site:
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


def test_a_part_that_dies_at_the_start_shows_its_last_words() -> None:
    env = {"AIRFLOW__CORE__EXECUTOR": "no.such.Executor"}
    with (
        pytest.raises(SiteError, match=r"scheduler ended with status 1[\s\S]*no\.such"),
        AirflowSite(parts=("scheduler",), env=env),
    ):
        pass


def test_a_part_that_dies_later_ends_every_wait() -> None:
    with AirflowSite(parts=("dag-processor",)) as site:
        psutil.Process(site.parts["dag-processor"].pid).kill()
        with pytest.raises(SiteError, match="dag-processor ended with status -9"):
            until(lambda: None, timeout=30, failure=lambda: "", check=site.check)


def test_an_unknown_part_is_refused() -> None:
    with (
        pytest.raises(SiteError, match="'webserver' is none of api-server, scheduler"),
        AirflowSite(parts=("webserver",)),
    ):
        pass
