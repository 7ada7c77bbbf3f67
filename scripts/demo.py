"""``make demo``: a whole broadcast as a DAG on a real Airflow, against the emulator, shown as it happens.

Airflow runs the scheduled example (``airflow dags test``: its own task runner, database and XComs, without a scheduler; the
trigger that watches over the broadcast runs in the same process). The exit status is 0 where the run succeeded, the stream was
seen to play, the file ids are the service's, and nothing is left on air.
"""

from __future__ import annotations

import json
import logging
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_provider_timav.emulator import Emulator
from scripts.local_airflow import PROJECT, environment, fresh_home

DAG_ID = "timav_scheduled_broadcast"
ROOM, HOST = 10086, "host_1"
SECONDS_ON_AIR = 45

_STARTING = re.compile(r"\[DAG TEST\] starting task_id=(\S+)")
_OURS = re.compile(r"\[\w+ *\] (.*?) +\[(?:airflow\.task\.operators\.)?airflow_provider_timav\.(operators|triggers)\.")
_BEGAN = time.monotonic()


def say(who: str, what: str) -> None:
    """Print one line: when, who, what."""
    minutes, seconds = divmod(int(time.monotonic() - _BEGAN), 60)
    print(f"{minutes:2}:{seconds:02}  {who:<13} {what}", flush=True)


def happenings(lines: Iterator[str], emulator: Emulator) -> Iterator[tuple[str, str]]:
    """Give what Airflow's log says that a person would want to see: the task, and what it did.

    The host comes when the first start has found the room empty.
    """
    task, folded = "", False
    for line in lines:
        if starting := _STARTING.search(line):
            task = starting[1].rpartition(".")[2]
        elif ours := _OURS.search(line):
            # What Airflow's interface folds away is left out here, too.
            if ours[1].startswith(("::group::", "::endgroup::")):
                folded = ours[1].startswith("::group::")
                continue
            if folded:
                continue
            yield "(trigger)" if ours[2] == "triggers" else task, ours[1]
            if task == "start_push" and HOST not in emulator.members(ROOM):
                yield "host", f"{HOST} enters room {ROOM}"
                emulator.enter(ROOM, HOST)


def xcoms(home: Path) -> dict[tuple[str, str], Any]:
    """Return the XComs of the one run in the database, by task and key."""
    with sqlite3.connect(home / "airflow.db") as database:
        rows = database.execute("select task_id, key, value from xcom where dag_id = ?", (DAG_ID,)).fetchall()
    # SQLite hands a number that was stored as JSON back as a number.
    return {(task, key): json.loads(value) if isinstance(value, str) else value for task, key, value in rows}


def main() -> int:
    """Run the demo; return its exit status."""
    logging.getLogger("airflow_provider_timav.emulator").setLevel(logging.WARNING)
    home = fresh_home(".demo")
    log = home / "airflow.log"
    with Emulator(rooms={ROOM: []}) as emulator, log.open("w+") as written:
        env = environment(home, emulator.connection_json())
        say("airflow", "sets up an embedded database")
        subprocess.run(["airflow", "db", "migrate"], env=env, stdout=written, stderr=subprocess.STDOUT, check=True)
        say("service", f"an emulator stands in for Tencent's at {emulator.api_url} (mutual TLS); room {ROOM} is empty")
        say("airflow", f"runs the DAG {DAG_ID}")
        conf = json.dumps({"room_id": ROOM, "user_id": HOST, "seconds_on_air": SECONDS_ON_AIR})
        run = subprocess.Popen(
            ["airflow", "dags", "test", DAG_ID, "-c", conf],
            cwd=PROJECT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert run.stdout is not None  # noqa: S101 - asked for in the line above

        def lines() -> Iterator[str]:
            assert run.stdout is not None  # noqa: S101
            for line in run.stdout:
                written.write(line)
                yield line

        for who, what in happenings(lines(), emulator):
            say(who, what)
        status = run.wait()
        if status != 0:
            print(f"\nThe run failed. The end of {log.relative_to(PROJECT)}:\n")
            written.seek(0)
            print("".join(written.readlines()[-40:]))
            return status
        return show_result(xcoms(home), emulator)


def show_result(found: dict[tuple[str, str], Any], emulator: Emulator) -> int:
    """Print what the run handed on, as its XComs have it, and say whether it is what the service knows."""
    live_urls = found["broadcast.start_push", "live_urls"]
    verdict = found["broadcast.on_air", "return_value"]["verdict"]
    file_ids = found["broadcast.result", "file_ids"]
    print("\nHanded on, read back from XCom:")
    for url in live_urls:
        print(f"  live URL        {url['url']} ({url['type']}, {url['rate']})")
    print(f"  stream verdict  {verdict}")
    print(f"  file ids        {', '.join(file_ids)}")
    active = len(emulator.pushes) + len(emulator.recordings)
    print(f"\nOn the service: {active} pushes and recordings active.")
    truth = emulator.file_ids(found["broadcast.start_record", "file_name"])
    return 0 if live_urls and verdict == "LIVE" and file_ids == truth and active == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
