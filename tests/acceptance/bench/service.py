"""The emulator in a process of its own: its work does not share the interpreter's lock with the client that is timed."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from types import TracebackType
from typing import Any, Self


class ServiceProcess:
    """The emulator for the time of a ``with`` block; it ends with its owner, however that ends."""

    def __enter__(self) -> Self:
        # Without a line per request on a console: all that it does is in the times of every side.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance.bench.service"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if not said:
            raise RuntimeError(f"the emulator did not start, its status is {self._process.wait()}")
        greeting = json.loads(said)
        self.connection: dict[str, Any] = greeting["connection"]
        self._control: str = greeting["control"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()  # closes its standard input, on which it waits

    @property
    def extra(self) -> dict[str, Any]:
        """The connection's extra: SDKAppID, certificates, key."""
        extra: dict[str, Any] = self.connection["extra"]
        return extra

    def handshakes(self) -> int:
        """Return how many TLS handshakes the server has completed at its API so far."""
        with urllib.request.urlopen(f"{self._control}/control/state") as answer:  # noqa: S310 - http on loopback
            return int(json.load(answer)["handshakes"])


def main() -> None:
    """Serve until standard input ends."""
    from airflow_provider_timav.emulator import Emulator

    with Emulator() as emulator:
        # Airflow prints a warning about a value as short as "test"; the host is given, so that it says nothing.
        connection = emulator.connection(environment=None)
        print(json.dumps({"connection": connection, "control": emulator.media_url}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
