"""Processes that are surely gone afterwards: each in a session of its own, its console in a file.

Airflow gives every task a process group of its own, so that a signal to a part's group does not reach the tasks below
it; and a task may start its commands in yet another session. What all of them keep is the session of the part or the
mark that the part's environment carries. By these two, and by nothing else, processes are found and ended: by their
owner, or, when that one is killed itself, by a guardian that runs this file as a program.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import psutil  # type: ignore[import-untyped]  # ships no types; types-psutil would be a dependency for six calls

MARK = "TIMAV_TEST_SITE"
POLL_SECONDS = 0.2
SELDOM_SECONDS = 1.0
GONE_SECONDS = 10  # a process that was killed is a zombie at once, but can be waited for when its last thread is gone

T = TypeVar("T")


class SiteError(Exception):
    """The Airflow under test, or a wait for it, failed; the message carries what its processes said last."""


def until(
    condition: Callable[[], T | None], *, timeout: float, failure: Callable[[], str], check: Callable[[], None]
) -> T:
    """The first value of `condition` that is true.

    `check` is called at every step and raises when waiting has become senseless. After `timeout` seconds: `SiteError`
    with the text of `failure`.
    """
    began = time.monotonic()
    while True:
        if value := condition():
            return value
        check()
        waited = time.monotonic() - began
        if waited > timeout:
            raise SiteError(f"after {timeout:.0f} s: {failure()}")
        # What takes long is looked at less often: most looks are requests, which take CPU from what is waited for.
        time.sleep(max(POLL_SECONDS, min(waited / 10, SELDOM_SECONDS)))


class Family:
    """Every process that was started here, and all that those started, however they detached themselves."""

    def __init__(self, mark: str | None = None, born: float | None = None) -> None:
        self.mark = mark or secrets.token_hex(8)
        self.sessions: set[int] = set()
        self._born = born or time.time() - 1  # a process's time of creation is known to the clock tick only
        self._guardian: subprocess.Popen[bytes] | None = None

    def spawn(self, command: Sequence[str], *, env: Mapping[str, str], console: Path) -> subprocess.Popen[bytes]:
        """`command` as the leader of a new session; what it prints is appended to `console`."""
        guardian = self._guardian = self._guardian or subprocess.Popen(
            [sys.executable, "-P", __file__, self.mark, str(self._born)],
            stdin=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C in the terminal is for its owner
        )
        with console.open("ab") as output:
            process = subprocess.Popen(
                command,
                env={**env, MARK: self.mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.sessions.add(process.pid)
        assert guardian.stdin
        guardian.stdin.write(b"%d\n" % process.pid)
        guardian.stdin.flush()
        return process

    def members(self, session: int | None = None) -> list[psutil.Process]:
        """Those alive; with `session` only that one's, and what its processes started."""
        found = {process.pid: process for process in self._scan(session)}
        for process in tuple(found.values()):
            with contextlib.suppress(psutil.Error):
                found.update((child.pid, child) for child in process.children(recursive=True))
        return [process for process in found.values() if _alive(process)]

    def _scan(self, session: int | None) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
                if process.create_time() < self._born:
                    continue
                own = os.getsid(process.pid)
                if own == session or (session is None and (own in self.sessions or self._marked(process))):
                    yield process

    def _marked(self, process: psutil.Process) -> bool:
        # unreadable for a supervisor of tasks, which forbids it, and gone where a process rewrote its title: both of
        # these are still in their session
        with contextlib.suppress(psutil.Error):
            return bool(process.environ().get(MARK) == self.mark)
        return False

    def kill(self, session: int | None = None, *, timeout: float = 10) -> None:
        """SIGKILL to all members until none is left: one that forks meanwhile is met in the next round."""
        deadline = time.monotonic() + timeout
        while members := self.members(session):
            for process in members:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            if time.monotonic() > deadline:
                raise SiteError(f"these survive SIGKILL: {', '.join(str(process) for process in members)}")
            psutil.wait_procs(members, timeout=POLL_SECONDS)

    def close(self) -> None:
        """Kill all members, then send the guardian home."""
        try:
            self.kill()
        finally:
            if self._guardian:
                self._guardian.communicate()
                self._guardian = None


def _alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


class Part:
    """One of Airflow's long-running commands."""

    def __init__(
        self, name: str, command: Sequence[str], *, family: Family, env: Mapping[str, str], console: Path
    ) -> None:
        self.name = name
        self.console = console
        self._family = family
        self._offset = console.stat().st_size if console.exists() else 0
        self._process = family.spawn(command, env=env, console=console)

    @property
    def pid(self) -> int:
        """The id of its first process, which is the id of its session, too."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its first process is alive."""
        return self._process.poll() is None

    def check(self) -> None:
        """`SiteError` with the end of its console when it has ended by itself."""
        if not self.running:
            raise SiteError(f"{self.name} ended with status {self._process.returncode}; it said last:\n{self.tail()}")

    def output(self) -> str:
        """What it printed since this start."""
        with self.console.open("rb") as console:
            console.seek(self._offset)
            return console.read().decode(errors="replace")

    def tail(self, lines: int = 30) -> str:
        """The last lines of that."""
        return "\n".join(self.output().splitlines()[-lines:])

    def terminate(self) -> None:
        """Ask it to end, as an orderly shutdown does."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout: float) -> int | None:
        """The exit status of its first process, negative for a signal; None if it has not ended within `timeout` s."""
        try:
            return self._process.wait(max(0, timeout))
        except subprocess.TimeoutExpired:
            return None

    def kill(self, *, tree: bool = True) -> None:
        """SIGKILL, to its first process or to all below it at once, as when its machine is lost."""
        self._process.kill()
        if tree:
            self._family.kill(self.pid)
        self._process.wait()


def guard(mark: str, born: float) -> None:
    """Read ids of sessions until the owner closes standard input, by will or by its death; then kill what is left."""
    family = Family(mark, born)
    family.sessions.update(int(line) for line in sys.stdin)
    family.kill()


if __name__ == "__main__":
    guard(sys.argv[1], float(sys.argv[2]))
