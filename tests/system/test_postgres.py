"""The throw-away PostgreSQL: it serves, and leaves nothing behind, whoever is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # ships no types
import pytest
import sqlalchemy

from harness import postgres
from harness.postgres import PostgresServer
from harness.processes import SiteError, until

pytestmark = pytest.mark.system
needed = pytest.mark.skipif(
    not postgres.postgres_is_there(), reason="PostgreSQL is not installed (Debian: apt-get install postgresql)"
)


@needed
def test_it_serves_an_empty_database_and_is_gone_afterwards() -> None:
    with PostgresServer() as server:
        engine = sqlalchemy.create_engine(server.url, poolclass=sqlalchemy.NullPool)
        with engine.connect() as connection:
            assert connection.execute(sqlalchemy.text("select count(*) from pg_stat_user_tables")).scalar() == 0
            folder = Path(str(connection.execute(sqlalchemy.text("show data_directory")).scalar()))
        processes = _serving(folder)
        assert processes
    assert not folder.parent.exists()
    assert not [process for process in processes if process.is_running()]


@needed
def test_it_is_gone_when_its_owner_is_killed() -> None:
    program = (
        "import sys\nfrom harness.postgres import PostgresServer\n"
        "with PostgresServer() as server:\n    print(server._home / 'data', flush=True)\n    sys.stdin.read()"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdout
    assert owner.stdin
    with owner.stdin, owner.stdout:
        folder = Path(owner.stdout.readline().strip())
        assert _serving(folder)
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
    until(
        lambda: not _serving(folder),
        timeout=20,
        failure=lambda: f"these live: {_serving(folder)}",
        check=lambda: None,
    )
    shutil.rmtree(folder.parent)  # which nobody is left to do


def test_where_there_is_none_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(postgres, "PACKAGES", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SiteError, match="apt-get install postgresql"):
        PostgresServer()


def _serving(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if str(folder) in (process.info["cmdline"] or []):
            found += [process, *process.children(recursive=True)]
    return found
