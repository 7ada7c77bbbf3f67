"""Debian's nginx as a program of its own, run with a configuration of the test's."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from harness.processes import until

NGINX: Final = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")

HEAD: Final = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
"""
"""What every configuration begins with, after the modules that it loads."""


@contextmanager
def nginx_running(folder: Path, configuration: str, port: int) -> Iterator[None]:
    """Run nginx in a folder while the block runs, from the moment it listens on its port."""
    (folder / "nginx.conf").write_text(configuration)
    command = [str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with (folder / "console.log").open("w") as console, subprocess.Popen(command, stderr=console) as process:
        try:
            until(
                lambda: listens(port),
                timeout=15,
                failure=lambda: "nginx does not listen:\n" + (folder / "console.log").read_text(),
                check=lambda: None,
            )
            yield
        finally:
            process.terminate()


def listens(port: int) -> bool:
    """Return whether a program listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
