"""``make ui``: Airflow's web interface with emulator, connection and example DAGs in place. Ends with Ctrl-C.

No account is needed, and no network: the emulator stands in for Tencent's service, and everyone who can reach this machine's
loopback is an administrator. Not for anything but looking around.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

from airflow_provider_timav.emulator import Emulator
from scripts.local_airflow import PROJECT, environment, fresh_home

PORT = 8080
ROOMS = {10086: ["host_1"], 10087: ["host_2"]}
START_SECONDS = 120.0


def free_port(wanted: int) -> int:
    """Return ``wanted`` where nobody listens on it, else a port that the system chooses."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise AssertionError("the system always has a free port")


def main() -> int:
    """Run the interface until Ctrl-C; return its exit status."""
    logging.getLogger("airflow_provider_timav.emulator").setLevel(logging.WARNING)
    home = fresh_home(".ui")
    port = free_port(PORT)
    with Emulator(rooms=ROOMS) as emulator, (home / "airflow.log").open("w") as log:
        env = environment(home, emulator.connection_json()) | {
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",  # a DAG of one's own, put beside the others, is there soon
        }
        # The connection stands in the database, so that the interface shows its form and its Test button.
        connection = env.pop("AIRFLOW_CONN_TIMAV_DEFAULT")
        quiet: dict[str, Any] = {"stdout": log, "stderr": subprocess.STDOUT, "cwd": PROJECT, "env": env}
        print("Setting up Airflow (about half a minute) ...", flush=True)
        subprocess.run(["airflow", "db", "migrate"], check=True, **quiet)
        subprocess.run(
            ["airflow", "connections", "add", "timav_default", "--conn-json", connection], check=True, **quiet
        )
        airflow: subprocess.Popen[bytes] = subprocess.Popen(["airflow", "standalone"], start_new_session=True, **quiet)
        try:
            if not answers(f"http://127.0.0.1:{port}/api/v2/monitor/health", airflow):
                print(f"Airflow did not start; see {(home / 'airflow.log').relative_to(PROJECT)}")
                return 1
            print(
                f"Airflow:   http://127.0.0.1:{port}  (no password)\n"
                f"Trigger:   http://127.0.0.1:{port}/dags/timav_broadcast_form\n"
                f"On air:    http://127.0.0.1:{port}/plugin/timav-broadcasts\n"
                f"Emulator:  {emulator.media_url}/control/state  (rooms, pushes, recordings)\n"
                f"           rooms {', '.join(f'{room} with {users[0]}' for room, users in ROOMS.items())} are open\n"
                f"DAGs:      {env['AIRFLOW__CORE__DAGS_FOLDER']}  (put yours there)\n"
                f"Commands:  export AIRFLOW_HOME={home} AIRFLOW__CORE__DAGS_FOLDER={env['AIRFLOW__CORE__DAGS_FOLDER']}\n"
                "Ctrl-C ends it.",
                flush=True,
            )
            return airflow.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            os.killpg(airflow.pid, signal.SIGTERM)
            airflow.wait()


def answers(url: str, airflow: subprocess.Popen[bytes]) -> bool:
    """Wait until Airflow answers; return False where it ended or took too long."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and airflow.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - loopback
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    return False


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.exit(main())
