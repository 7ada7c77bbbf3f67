"""A throw-away PostgreSQL server on loopback, for an Airflow under test that is to behave as one in production does.

with PostgresServer() as server, AirflowSite(database_url=server.url) as site: ...
"""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from harness.processes import GONE_SECONDS, Family, Part, SiteError, until
from harness.site import free_port

PACKAGES: Final = Path("/usr/lib/postgresql")  # where Debian puts the programs that it keeps out of PATH
SYSTEM_USER: Final = "postgres"
DATABASE: Final = "airflow"
PROGRAM_SECONDS: Final = 60

# Nothing here outlives the test, so nothing has to survive a loss of power.
SETTINGS: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
}


class PostgresServer:
    """One server with one empty database at `url` (for psycopg2), which only its own password opens.

    Data and log are in a temporary folder. Leaving ends every process and removes the folder; the processes are gone, too,
    when the one that made the server is killed. PostgreSQL refuses to run as root: there it runs as the user `postgres`, whom
    Debian's package brings. Making one raises `SiteError` where its programs are missing.
    """

    def __init__(self) -> None:
        self._programs = programs()
        self._as_user = None if os.geteuid() else _account()
        self._password = secrets.token_hex(16)
        self._family = Family()
        self._home = Path(tempfile.mkdtemp(prefix="timav-postgres-"))
        self._server: Part | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        """The database, as SQLAlchemy takes it."""
        return f"postgresql+psycopg2://{SYSTEM_USER}:{self._password}@127.0.0.1:{self.port}/{DATABASE}"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._server and self._server.running:
                # At once, clients or not; a SIGKILL would leave its segment of shared memory in the system.
                os.kill(self._server.pid, signal.SIGQUIT)
                self._server.wait(PROGRAM_SECONDS)
        finally:
            self._family.close()
            if self._server:
                self._server.wait(GONE_SECONDS)  # collects its exit status
            shutil.rmtree(self._home, ignore_errors=True)

    def _start(self) -> None:
        if self._as_user:
            os.chown(self._home, self._as_user.pw_uid, self._as_user.pw_gid)
        data, secret = self._home / "data", self._home / "password"
        secret.touch(mode=0o600)
        secret.write_text(self._password)
        if self._as_user:
            os.chown(secret, self._as_user.pw_uid, self._as_user.pw_gid)
        self._run(
            *("initdb", "--pgdata", str(data), "--username", SYSTEM_USER, "--pwfile", str(secret)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-sync"),
        )
        secret.unlink()
        settings = SETTINGS | {"port": str(self.port)}
        # Not by pg_ctl, which would detach it: the family is to know, and to end, its processes.
        command = [str(self._programs / "postgres"), "-D", str(data)]
        command += [f"--{name}={value}" for name, value in settings.items()]
        if self._as_user:
            name = self._as_user.pw_name
            command = ["setpriv", "--reuid", name, "--regid", str(self._as_user.pw_gid), "--clear-groups", *command]
        server = self._server = Part(
            "postgres", command, family=self._family, env=self._env, console=self._home / "server.log"
        )
        until(
            lambda: self._call("pg_isready", *self._address).returncode == 0,
            timeout=PROGRAM_SECONDS,
            failure=lambda: f"PostgreSQL does not answer; it said last:\n{server.tail()}",
            check=server.check,
        )
        self._run("createdb", *self._address, "--username", SYSTEM_USER, DATABASE)

    @property
    def _env(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "PGPASSWORD": self._password}

    @property
    def _address(self) -> tuple[str, ...]:
        return "--host", "127.0.0.1", "--port", str(self.port)

    def _run(self, program: str, *arguments: str) -> None:
        done = self._call(program, *arguments)
        if done.returncode:
            raise SiteError(f"{program} ended with {done.returncode}:\n{done.stdout[-2000:]}")

    def _call(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        account = self._as_user
        return subprocess.run(
            [str(self._programs / program), *arguments],
            cwd=self._home,
            env=self._env,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PROGRAM_SECONDS,
            text=True,
            check=False,
        )


def postgres_is_there() -> bool:
    """Whether a server can be made here."""
    try:
        return bool(programs()) and bool(os.geteuid() or _account())
    except SiteError:
        return False


def programs() -> Path:
    """The folder of the newest PostgreSQL's programs: Debian's, else that of PATH; `SiteError` where there is none."""
    found = {folder: [int(part) for part in re.findall(r"\d+", folder.name)] for folder in PACKAGES.glob("*")}
    for folder in sorted(found, key=lambda folder: found[folder], reverse=True):
        if (folder / "bin" / "initdb").exists():
            return folder / "bin"
    if initdb := shutil.which("initdb"):
        return Path(initdb).resolve().parent
    raise SiteError("there is no PostgreSQL server on this machine: apt-get install postgresql")


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        raise SiteError(f"PostgreSQL refuses to run as root, and there is no user {SYSTEM_USER}") from None
