"""A program: import ``airflow.sdk``, then run each given piece of code in copies of that process; print what it took.

A copy (fork) of a process that has the SDK and nothing else is as good as a new one, and takes milliseconds where a new one
takes seconds; Airflow forks its tasks, too, and freezes what is there before, so that collections of garbage leave it alone.
It errs to the disadvantage of what is measured: memory that the code touches is copied first.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Run:
    """One run of a piece of code in a fresh copy: its seconds, and the names of the modules that it loaded."""

    seconds: float
    loaded: frozenset[str]


@dataclass(frozen=True)
class Probe:
    """What one process measured: the import of the SDK, and by name the runs of each piece."""

    sdk_seconds: float
    runs: Mapping[str, list[Run]]


def probe(pieces: Mapping[str, str], *, turns: int) -> Probe:
    """Run the program in a new process: each piece in its turn, ``turns`` times."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.acceptance.bench.probe"],
        env=environment,
        input=json.dumps({"pieces": dict(pieces), "turns": turns}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    said = json.loads(done.stdout.splitlines()[-1])
    runs = {
        name: [Run(run["seconds"], frozenset(run["loaded"])) for run in found] for name, found in said["runs"].items()
    }
    return Probe(said["sdk"], runs)


def main() -> None:
    """Read pieces and turns from standard input, print seconds and modules as JSON."""
    asked = json.load(sys.stdin)
    began = time.perf_counter()
    from airflow.sdk import DAG, BaseHook, BaseOperator, BaseSensorOperator  # noqa: F401 - what every DAG file has paid

    sdk = time.perf_counter() - began
    gc.collect()
    gc.freeze()  # as the LocalExecutor and the DAG processor do (_spawn_workers_with_gc_freeze, before_run)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in asked["pieces"]}
    for _ in range(asked["turns"]):
        for name, code in asked["pieces"].items():
            runs[name].append(_in_a_copy(name, code))
    print(json.dumps({"sdk": sdk, "runs": runs}))


def _in_a_copy(name: str, code: str) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with os.fdopen(writing, "w") as answer:
                json.dump(_measured(code), answer)
            status = 0
        finally:
            os._exit(status)  # the parent's exit handlers and open files are not the copy's
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    if os.waitpid(child, 0)[1] != 0:
        raise RuntimeError(f"{name} failed")
    measured: dict[str, Any] = json.loads(said)
    return measured


def _measured(code: str) -> dict[str, Any]:
    before = set(sys.modules)
    began = time.perf_counter()
    exec(code, {"__name__": "piece"})  # noqa: S102 - the pieces are the benchmark's own
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "loaded": sorted(set(sys.modules) - before)}


if __name__ == "__main__":
    main()
