"""The short form of the crash matrix: eight points, each once, side by side. `make crash` plays all of them."""

from __future__ import annotations

import pytest

from harness.site import AirflowSite
from tests.acceptance.crash.matrix import DAGS, Observed, differences, play
from tests.acceptance.crash.points import SHORT, Case

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def played(airflow_site: AirflowSite) -> dict[Case, Observed]:
    """All cases, played to their end. Workers die here: nobody else's tasks run meanwhile, and no other tests follow."""
    airflow_site.write_dag("crash", (DAGS / "crash.py").read_text())
    return dict(play(airflow_site, SHORT, timeout=150))


@pytest.mark.parametrize("case", SHORT, ids=str)
def test_one_stream_is_live_and_none_is_left(played: dict[Case, Observed], case: Case) -> None:
    """Whoever is killed: outcome, URLs and file ids say what the service knows, and its journal holds what must be there."""
    assert differences(case, played[case]) == [], played[case].log
