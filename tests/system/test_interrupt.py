"""Ctrl-C in `airflow dags test`, a developer's Airflow without scheduler, triggerer or reaper, leaves nothing on air."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_timav.emulator import Emulator
from tests.system.site import SETTINGS, inherited, migrated_sqlite

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOM = 10014
SOURCE = f"""
from airflow.sdk import DAG
from airflow_provider_timav.broadcast import Broadcast

with DAG("interrupted", schedule=None):
    Broadcast(room_id={ROOM}, user_id="host", duration="PT5M", wait_for_user="PT2M")
"""


@pytest.mark.parametrize("moment", ["on air", "in the start"])
def test_nothing_stays_on_air(moment: str, tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "interrupted.py").write_text(SOURCE)
    shutil.copy(migrated_sqlite(), tmp_path / "airflow.db")
    (tmp_path / "airflow.cfg").touch()
    with Emulator(rooms={ROOM: ["host"]}) as emulator:
        env = {
            **inherited(),
            **SETTINGS,
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path / 'airflow.db'}",
            "AIRFLOW_CONN_TIMAV_DEFAULT": emulator.connection_json(),
        }
        if moment == "in the start":
            emulator.fail_next(operation="start_record", delay_answer=30.0)
        console = tmp_path / "console.log"
        with console.open("w") as out:
            test = subprocess.Popen(
                [sys.executable, "-m", "airflow", "dags", "test", "interrupted"],
                env=env,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                _until(lambda: bool(emulator.recordings), test)
                if moment == "on air":
                    _until(lambda: "is LIVE" in console.read_text(), test)
                os.killpg(test.pid, signal.SIGINT)
                test.wait(60)
            finally:
                if test.poll() is None:
                    os.killpg(test.pid, signal.SIGKILL)
                    test.wait()
        assert (emulator.pushes, emulator.recordings) == ((), ()), console.read_text()[-3000:]


def _until(holds: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert process.poll() is None, "it has ended by itself"
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.2)
