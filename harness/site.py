"""A whole Airflow of one's own on loopback, for tests and tools: made, used, broken at will, and gone without a trace.

with AirflowSite(env={"AIRFLOW_CONN_TIMAV_DEFAULT": ...}) as site:
    site.write_dag("hello", SOURCE)
    run = site.run("hello")
    assert run.state == "success", site.consoles()
"""

from __future__ import annotations

import atexit
import base64
import fcntl
import functools
import json
import os
import random
import re
import secrets
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from types import TracebackType
from typing import Any, Self

import psutil  # type: ignore[import-untyped]  # as in processes.py
import requests

from harness.processes import GONE_SECONDS, Family, Part, SiteError, until
from harness.rest import AirflowClient, Run

ALL_PARTS = ("api-server", "scheduler", "dag-processor", "triggerer")
USERS = {"admin": "ADMIN", "op": "OP", "user": "USER", "viewer": "VIEWER"}  # name and password are the same
TEMPLATES = "TIMAV_TESTS_TEMPLATES"  # the variable that names a folder for what is made once and copied
START_SECONDS = 120
PORTS = (20000, 30000)  # below those that Linux gives away by itself
GRACE_SECONDS = 5  # what the parts get to end by themselves: more would wait for tasks that nobody needs any more

# The log servers listen on every interface, whatever is configured; here all logs are files on this machine.
COMMANDS = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
JOBS = {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}

SETTINGS = {
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
    "AIRFLOW__CORE__PARALLELISM": "4",  # each idle worker of the LocalExecutor is a process of 8 MB
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    "AIRFLOW__API__WORKERS": "1",
    "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS": "False",
    # New and changed DAG files count at once; unchanged ones are not parsed again, which takes a third of a second each.
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "1",
    "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
    # Waits that decide when something happens, not what. [workers] min_heartbeat_interval (5 s) stays: how soon a
    # supervisor sees its task's end decides which races can happen.
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "1",
    # A scheduler that is late on a busy machine takes itself for dead, and all of its tasks for orphans.
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "120",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",  # how long after its death another one takes over
}


@dataclass(frozen=True)
class Ended:
    """A command that has ended: its exit status, and what it printed on both channels."""

    status: int
    output: str


class AirflowSite(AirflowClient):
    """One throw-away Airflow; entering migrates its database and starts `parts`, leaving ends every process it made.

    `home` (default: a temporary folder, removed at the end) becomes AIRFLOW_HOME, with SQLite in it unless
    `database_url` names another, empty database. DAG files are read from `home`/dags and from `dag_folders`.
    Configuration is by environment alone: of the caller's environment nothing that starts with AIRFLOW is passed on,
    `env` is added last and overrides anything. `parts` are names out of `ALL_PARTS`; a number makes another one
    ("triggerer-2"). With `schedules=False` the scheduler starts no run by itself, neither by time nor
    by asset. Users: see `USERS`.
    """

    def __init__(
        self,
        home: Path | None = None,
        *,
        dag_folders: Sequence[Path] = (),
        parts: Sequence[str] = ALL_PARTS,
        env: Mapping[str, str] | None = None,
        schedules: bool = False,
        database_url: str | None = None,
        port: int | None = None,
    ) -> None:
        self.port = port or free_port()
        super().__init__(f"http://127.0.0.1:{self.port}", {user: user for user in USERS})
        self._temporary = home is None
        self.home = (home or Path(tempfile.mkdtemp(prefix="airflow-site-"))).resolve()
        self.dags = self.home / "dags"
        # The default of 5 s is what SQLite waits for another writer before it raises "database is locked".
        self.database_url = database_url or f"sqlite:///{self.home / 'airflow.db'}?timeout=60"
        self.parts: dict[str, Part] = {}
        self._wanted = tuple(parts)
        self._dag_folders = (self.dags, *(folder.resolve() for folder in dag_folders))
        self._family = Family()
        self.home.mkdir(parents=True, exist_ok=True)
        self.env = _environment(self, schedules=schedules) | dict(env or {})

    # -- life ----------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self._prepare()
            self.start(*self._wanted)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for part in self.parts.values():
                part.terminate()
            deadline = time.monotonic() + GRACE_SECONDS
            for part in self.parts.values():
                part.wait(deadline - time.monotonic())
        finally:
            self._family.close()
            for part in self.parts.values():
                part.wait(GONE_SECONDS)  # collects its exit status
            self.parts.clear()
            self.close()
            if self._temporary:
                shutil.rmtree(self.home, ignore_errors=True)

    def _prepare(self) -> None:
        self.dags.mkdir(exist_ok=True)
        (self.home / "consoles").mkdir(exist_ok=True)
        # Its presence keeps every part from writing one with keys of its own at the same moment.
        (self.home / "airflow.cfg").touch()
        (self.home / "passwords.json").write_text(json.dumps({user: user for user in USERS}))
        file = sqlite_file(self.database_url)
        if file is None:
            migrate(self.env)
        else:
            with closing(sqlite3.connect(migrated_sqlite())) as template, closing(sqlite3.connect(file)) as database:
                template.backup(database)

    # -- parts ---------------------------------------------------------------------------------------------------------

    def start(self, *names: str, timeout: float = START_SECONDS) -> None:
        """Start these parts, at once, and return when each is at work."""
        for name in names:
            if name in self.parts:
                raise SiteError(f"{name} has been started already")
        seen = {name: self.job_id(name) for name in names}
        for name in names:
            self.parts[name] = Part(
                name,
                (sys.executable, "-m", "airflow", *self._command(name)),
                family=self._family,
                # Airflow notes the user's name for each of its jobs: by it the job of a part is told from the others.
                env={**self.env, **self._of_part(name), "LOGNAME": name},
                console=self.home / "consoles" / f"{name}.log",
            )
        for name in names:

            def ready(name: str = name) -> bool:
                if kind(name) == "api-server":
                    return self._answers()
                return self.job_id(name, beating=True) not in {None, seen[name]}

            def failure(name: str = name) -> str:
                return f"{name} is not at work; it said last:\n{self.parts[name].tail()}"

            until(ready, timeout=timeout, failure=failure, check=self.check)

    def _of_part(self, name: str) -> dict[str, str]:
        # An API server can wait for itself (`held`): it gives up sooner than its clients do, who then ask again.
        impatient = self.database_url.replace("?timeout=60", "?timeout=10")
        return {_DATABASE: impatient} if kind(name) == "api-server" else {}

    def _command(self, name: str) -> Sequence[str]:
        command = COMMANDS[kind(name)]
        return (*command, "--host", "127.0.0.1", "--port", str(self.port)) if kind(name) == "api-server" else command

    def _answers(self) -> bool:
        with suppress(requests.ConnectionError):
            return self.request("GET", "api/v2/monitor/health", user=None).ok
        return False

    def job_id(self, name: str, *, beating: bool = False) -> int | None:
        """The newest job of this part in the database, to which such as `trigger.triggerer_id` refer.

        With `beating` only one that has reached its loop: a triggerer that gets its SIGTERM earlier hangs for ever.
        """
        if kind(name) == "api-server":
            return None
        rows = self.query(
            "select max(id) as id from job where job_type = :type and unixname = :name"
            " and (latest_heartbeat > start_date or not :beating)",
            type=JOBS[kind(name)],
            name=name,
            beating=beating,
        )
        found: int | None = rows[0]["id"]
        return found

    def check(self) -> None:
        """`SiteError` with the end of its console if a part has ended that nobody stopped."""
        for part in self.parts.values():
            part.check()

    def stop(self, name: str, timeout: float = 60) -> None:
        """End a part in order, as a deployment does.

        Not for a scheduler: it waits for its tasks, and its LocalExecutor was seen to wait on when none was left.
        """
        part = self.parts[name]
        part.terminate()
        if part.wait(timeout) is None:
            raise SiteError(f"{name} has not ended {timeout:.0f} s after SIGTERM; it said last:\n{part.tail()}")
        self._family.kill(part.pid)
        del self.parts[name]

    def kill(self, name: str, *, tree: bool = True) -> None:
        """SIGKILL to a part and (`tree`) all below it, a scheduler's tasks included, as when its machine is lost."""
        self.parts.pop(name).kill(tree=tree)

    def kill_task(self, run: Run, task_id: str, map_index: int = -1, *, supervisor: bool = False) -> None:
        """SIGKILL to the process of a running task; with `supervisor` first to the one above it, which reports its end."""
        pid = self.task_instance(run, task_id, map_index).pid
        members = {process.pid: process for process in self._family.members()}
        if pid not in members:
            raise SiteError(f"{task_id}[{map_index}] has no process here; its last one was {pid}")
        victims = [members[pid].parent(), members[pid]] if supervisor else [members[pid]]
        for process in victims:
            process.kill()

    def processes(self) -> list[int]:
        """The ids of all processes alive that this site has made, directly or not."""
        return sorted(process.pid for process in self._family.members())

    def cpu_seconds(self, name: str) -> float:
        """The CPU time that a part and all processes below it have used so far, those that have ended included."""
        while True:
            members = self._family.members(self.parts[name].pid)
            try:
                # of those that ended their parent has taken the time over
                total = float(sum(sum(process.cpu_times()[:4]) for process in members))
            except psutil.NoSuchProcess:
                continue
            if self._family.members(self.parts[name].pid) == members:
                return total

    # -- content -------------------------------------------------------------------------------------------------------

    def write_dag(self, name: str, source: str) -> Path:
        """Put a DAG file into the site's own folder."""
        file = self.dags / f"{name}.py"
        unfinished = file.with_suffix(".part")  # the processor must not meet half a file
        unfinished.write_text(dedent(source))
        return unfinished.replace(file)

    def query(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Rows of the metadata database, for what the API does not show; nothing can be written."""
        import sqlalchemy

        url = self.database_url
        if file := sqlite_file(url):
            url = f"sqlite:///file:{file}?mode=ro&uri=true&timeout=60"
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
        options = {"postgresql_readonly": True} if engine.dialect.name == "postgresql" else {}
        with engine.connect().execution_options(**options) as connection:
            rows = connection.execute(sqlalchemy.text(sql), parameters).mappings()
            return [dict(row) for row in rows]

    def consoles(self) -> str:
        """What all parts have printed since the site was made."""
        files = sorted((self.home / "consoles").glob("*.log"))
        return "\n".join(f"=== {file.stem}\n{file.read_text(errors='replace')}" for file in files)

    def airflow(self, *arguments: str, timeout: float = 120) -> Ended:
        """Any `airflow` command on this site."""
        console = self.home / "consoles" / f"command-{secrets.token_hex(4)}.log"
        command = Part(
            "airflow " + " ".join(arguments),
            (sys.executable, "-m", "airflow", *arguments),
            family=self._family,
            env=self.env,
            console=console,
        )
        try:
            status = command.wait(timeout)
            if status is None:
                raise SiteError(f"{command.name} has not ended after {timeout:.0f} s; it said last:\n{command.tail()}")
        finally:
            command.kill()
        return Ended(status, command.output())


def kind(name: str) -> str:
    """Which of `ALL_PARTS` a part's name means: that of "triggerer-2" is "triggerer"."""
    found = re.sub(r"-\d+$", "", name)
    if found not in COMMANDS:
        raise SiteError(f"{name!r} is none of {', '.join(ALL_PARTS)}")
    return found


def free_port() -> int:
    """A port of 127.0.0.1 that is free now, and that the system gives to no one who asks for any.

    An API server takes half a minute until it binds its port; meanwhile the tests beside it open hundreds of others.
    """
    while True:
        with suppress(OSError), socket.create_server(("127.0.0.1", random.randrange(*PORTS))) as server:  # noqa: S311
            return int(server.getsockname()[1])


def sqlite_file(database_url: str) -> Path | None:
    """The file of an SQLite URL, None for any other."""
    found = re.fullmatch(r"sqlite:///(/[^?]+)(\?.*)?", database_url)
    return Path(found[1]) if found else None


@functools.cache
def migrated_sqlite() -> Path:
    """An SQLite file with Airflow's tables, made once: further sites copy it instead of waiting seconds.

    Once for all processes that find the same folder in `TEMPLATES`, else once for this one.
    """
    if TEMPLATES in os.environ:
        home = Path(os.environ[TEMPLATES])
        home.mkdir(exist_ok=True)
    else:
        home = Path(tempfile.mkdtemp(prefix="airflow-template-"))
        atexit.register(shutil.rmtree, home, ignore_errors=True)
    file = home / "airflow.db"
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            (home / "airflow.cfg").touch()
            unfinished = file.with_suffix(".part")
            migrate(inherited() | SETTINGS | {"AIRFLOW_HOME": str(home), _DATABASE: f"sqlite:///{unfinished}"})
            unfinished.replace(file)
    return file


def migrate(env: Mapping[str, str]) -> None:
    """`airflow db migrate`."""
    command = (sys.executable, "-m", "airflow", "db", "migrate")
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=START_SECONDS, check=False)
    if done.returncode:
        raise SiteError(
            f"airflow db migrate ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        )


_DATABASE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"


def inherited() -> dict[str, str]:
    """The caller's environment without its Airflow, for any Airflow of our own."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "NO_COLOR": "1",
        # tasks reach the API on loopback with a client that obeys a proxy of the environment
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def _keys() -> dict[str, str]:
    return {
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(64),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
    }


def _environment(site: AirflowSite, *, schedules: bool) -> dict[str, str]:
    bundles = [
        {
            "name": f"{folder.name}-{number}" if number else "dags",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(folder)},
        }
        for number, folder in enumerate(site._dag_folders)
    ]
    return (
        inherited()
        | SETTINGS
        | _keys()
        | {
            "AIRFLOW_HOME": str(site.home),
            _DATABASE: site.database_url,
            "AIRFLOW__API__BASE_URL": f"{site.url}/",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(site.port),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{site.url}/execution/",
            "AIRFLOW__CORE__DAGS_FOLDER": str(site.dags),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{role}" for user, role in USERS.items()),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(site.home / "passwords.json"),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(site.home / "logs"),
            "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(site.home / "logs" / "dag_processor"),
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": str(schedules),
        }
    )
