"""The Airflow that system tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.project import EXAMPLES
from harness.site import AirflowSite
from tests.system.demo import Demo


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """``make demo``, running."""
    with Demo(tmp_path) as demo:
        yield demo


@pytest.fixture(scope="package")
def airflow_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowSite]:
    """A running Airflow with the example DAGs; connections are made by REST, DAGs added by `write_dag`.

    It ends with the tests of this folder: one that idles takes CPU from those that follow. Who breaks a part starts it again.
    """
    with AirflowSite(tmp_path_factory.mktemp("airflow"), dag_folders=[EXAMPLES]) as site:
        yield site
