"""The demo as a process of its own, in a copy of the project and with an empty home folder."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.processes import Family, Part
from harness.project import PROJECT
from harness.site import Ended, inherited

PARTS = ("airflow_provider_timav", "example_dags", "scripts")
SECONDS = 200


class Demo:
    """What `make demo` starts once its environment is there; entering starts it, leaving ends it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.project = folder / "project"
        self._console = folder / "console.log"
        self._family = Family()

    def __enter__(self) -> Self:
        self.home.mkdir()
        for part in PARTS:
            shutil.copytree(PROJECT / part, self.project / part, ignore=shutil.ignore_patterns("__pycache__"))
        env = inherited() | {"HOME": str(self.home), "PYTHONPATH": str(self.project)}
        command = (sys.executable, "-P", "-m", "scripts.demo")  # -P: not from the folder that the tests run in
        self._part = Part("demo", command, family=self._family, env=env, console=self._console)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._family.close()
        self._part.wait(0)

    def wait(self) -> Ended:
        """Its exit status and all that it printed, once it is done."""
        status = self._part.wait(SECONDS)
        assert status is not None, f"the demo has not ended after {SECONDS} s:\n{self._part.output()}"
        return Ended(status, self._part.output())
