"""The Airflow that system tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.demo import Demo
from tests.system.site import AirflowSite

EXAMPLES = Path(__file__).parents[2] / "example_dags"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what looks at the demo to the end: it runs beside the other tests, and mostly waits."""
    items.sort(key=lambda item: "demo" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session", autouse=True)
def demo_beside(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo | None]:
    """Start the demo with the first test of this folder, if one will look at it."""
    if not any("demo" in getattr(item, "fixturenames", ()) for item in request.session.items):
        yield None
        return
    with Demo(tmp_path_factory.mktemp("demo")) as demo:
        yield demo


@pytest.fixture
def demo(demo_beside: Demo | None) -> Demo:
    """``make demo``, running or done."""
    assert demo_beside
    return demo_beside


@pytest.fixture(scope="session")
def airflow_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowSite]:
    """A running Airflow with the example DAGs; connections are made by REST, DAGs added by `write_dag`.

    A test that breaks a part starts it again.
    """
    with AirflowSite(tmp_path_factory.mktemp("airflow"), dag_folders=[EXAMPLES]) as site:
        yield site
