"""How whole programs are spread over pytest's workers: a plugin, loaded with ``-p harness.spread``."""

from __future__ import annotations

import os
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

from harness.site import TEMPLATES

LONGEST_FIRST = (
    *("test_page", "test_broadcasts", "test_whole_show", "test_addresses", "test_rows"),
    *("test_recordings", "test_example_dags"),
    "test_authored",
    "test_starts",
    *("test_load", "test_late_runs"),
    "test_rtmp",
    *("test_other_peoples_sites", "test_interrupt", "test_teams"),
    "test_leak_matrix",
    *(
        "test_airflow_commands",
        "test_connection_form",
        "test_readme",
        "test_task_runs",
        "test_site",
        "test_crash_points",
    ),
    *("test_catalogue", "test_demo", "test_whole_sites", "test_wheel"),
    *("test_playlist", "test_limits", "test_bench"),
)
"""The files that take long; the others come after them, so that no worker is left alone with a long one.

What computes most begins beside what mostly waits. A file of two tests, such as test_load, is handed out with the next one:
a worker does not begin its last test before it knows what comes then.
"""

TOGETHER = {
    "airflow_site": (
        "tests/system/test_airflow_commands.py",
        "tests/system/test_connection_form.py",
        "tests/system/test_readme.py",
        "tests/system/test_task_runs.py",
        "tests/system/test_site.py",
        "tests/system/test_crash_points.py",
    ),
    "scheduling_site": ("tests/system/scheduling/test_recordings.py", "tests/system/scheduling/test_example_dags.py"),
    "stage": (
        "tests/system/ui/test_page.py",
        "tests/system/ui/test_broadcasts.py",
        "tests/system/ui/test_whole_show.py",
        "tests/system/ui/test_addresses.py",
        "tests/system/ui/test_rows.py",
    ),
}
"""The files that share a fixture, an Airflow: one worker runs them all, so that there is one of it."""


class ByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives each worker whole files, as ``--dist loadfile`` does, and those that share something dear to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return next((fixture for fixture, files in TOGETHER.items() if file in files), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile | None:
    """Spread by file, where that is asked for."""
    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session", autouse=True)
def templates(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is dear to make, all workers make once: a folder for it that they share."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    os.environ[TEMPLATES] = str(shared / "templates")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by file, for the workers among which files are spread."""
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))
