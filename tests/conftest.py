"""What the tests of the provider share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.supervisor import Supervisor


LONGEST_FIRST = (
    *("test_leak_matrix", "test_example_dags", "test_load", "test_late_runs", "test_recordings"),
    *("test_airflow_commands", "test_connection_form", "test_task_runs"),
    *("test_whole_show", "test_broadcasts", "test_readme", "test_catalogue", "test_page", "test_site", "test_demo"),
)
"""The files that take a minute and more; the others come after them, so that no worker is left alone with a long one."""

TOGETHER = dict.fromkeys(("test_airflow_commands", "test_connection_form", "test_task_runs"), "airflow_site")
"""The files that one worker runs, because they share a fixture that is dear; any other file is a group of its own."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Name the group of tests that one worker runs."""
    file = item.path.relative_to(item.config.rootpath)
    item.add_marker(pytest.mark.xdist_group(TOGETHER.get(file.stem, str(file))))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by file, for the workers among which files are spread."""
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(autouse=True)
def fresh_masks() -> Iterator[None]:
    """Forget the secrets of earlier tests: Airflow's masker searches every text for every secret it was ever told."""
    yield
    if (masking := sys.modules.get("airflow.sdk._shared.secrets_masker")) is not None:
        masking._secrets_masker().reset_masker()
    if (hooks := sys.modules.get("airflow_provider_timav.hooks.timav")) is not None:
        hooks.mask.cache_clear()


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """Airflow's Variables, XComs and states, as the SDK finds them."""
    from tests.supervisor import supervised

    with supervised(monkeypatch) as supervisor:
        yield supervisor
