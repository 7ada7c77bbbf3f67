"""Ctrl-C in `airflow dags test`, a developer's Airflow without scheduler, triggerer or reaper, leaves nothing on air."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_timav.emulator import Emulator
from harness.site import SETTINGS, inherited, migrated_sqlite

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOM = 10014
SOURCE = f"""
from airflow.sdk import DAG
from airflow_provider_timav.broadcast import Broadcast

with DAG("interrupted", schedule=None):
    Broadcast(room_id={ROOM}, user_id="host", duration="PT5M", wait_for_user="PT2M")
"""


ALONE = f"""
import time
from airflow.sdk import DAG, task
from airflow_provider_timav.operators.push import StartPushOperator

with DAG("interrupted", schedule=None):
    @task
    def work():
        print("at work", flush=True)
        time.sleep({{seconds}})

    StartPushOperator(task_id="start_push", room_id={ROOM}, user_id="host") >> work()
"""


@contextlib.contextmanager
def dag_test(source: str, emulator: Emulator, home: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`airflow dags test` of this DAG, as a person runs it, and where it writes."""
    dags = home / "dags"
    dags.mkdir()
    (dags / "interrupted.py").write_text(source)
    shutil.copy(migrated_sqlite(), home / "airflow.db")
    (home / "airflow.cfg").touch()
    env = {
        **inherited(),
        **SETTINGS,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW_CONN_TIMAV_DEFAULT": emulator.connection_json(),
    }
    console = home / "console.log"
    with console.open("w") as out:
        test = subprocess.Popen(
            [sys.executable, "-m", "airflow", "dags", "test", "interrupted"],
            env=env,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield test, console
        finally:
            if test.poll() is None:
                os.killpg(test.pid, signal.SIGKILL)
                test.wait()


BY_A_TRIGGER = SOURCE.replace(
    'user_id="host",',
    'user_id="host", starts_at="{{ (dag_run.run_after + macros.timedelta(seconds=1)).isoformat() }}",',
)


@pytest.mark.parametrize("moment", ["on air", "in the start", "started by a trigger"])
def test_nothing_stays_on_air(moment: str, tmp_path: Path) -> None:
    source = BY_A_TRIGGER if moment == "started by a trigger" else SOURCE
    with Emulator(rooms={ROOM: ["host"]}) as emulator:
        if moment == "in the start":
            emulator.fail_next(operation="start_record", delay_answer=30.0)
        with dag_test(source, emulator, tmp_path) as (test, console):
            _until(lambda: bool(emulator.recordings), test)
            if moment == "on air":
                _until(lambda: "is LIVE" in console.read_text(), test)
            os.killpg(test.pid, signal.SIGINT)
            test.wait(60)
        assert (emulator.pushes, emulator.recordings) == ((), ()), console.read_text()[-3000:]


def test_push_that_another_dag_stops_outlives_the_run(tmp_path: Path) -> None:
    with Emulator(rooms={ROOM: ["host"]}) as emulator:
        with dag_test(ALONE.format(seconds=0), emulator, tmp_path) as (test, console):
            assert test.wait(120) == 0, console.read_text()[-3000:]
        assert len(emulator.pushes) == 1
        assert "interrupted:" not in console.read_text()


def test_push_alone_is_stopped_where_a_later_task_was_interrupted(tmp_path: Path) -> None:
    """Airflow takes the exception for a failure of that task, and ends as if nothing else had happened."""
    with Emulator(rooms={ROOM: ["host"]}) as emulator:
        with dag_test(ALONE.format(seconds=60), emulator, tmp_path) as (test, console):
            _until(lambda: "at work" in console.read_text(), test)
            os.killpg(test.pid, signal.SIGINT)
            test.wait(60)
        assert emulator.pushes == (), console.read_text()[-3000:]
        assert "The run was interrupted: the push of host" in console.read_text()


def _until(holds: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert process.poll() is None, "it has ended by itself"
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.2)
