"""An Airflow whose scheduler also starts runs by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.project import EXAMPLES
from harness.site import AirflowSite


@pytest.fixture(scope="package")
def scheduling_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowSite]:
    """With the example DAGs; runs are also started by time, and for events of assets.

    DAGs are paused until their runs are to begin, or a time might come before all is in place.
    """
    paused = {"AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True"}
    home = tmp_path_factory.mktemp("scheduling")
    with AirflowSite(home, dag_folders=[EXAMPLES], schedules=True, env=paused) as site:
        yield site
