"""The short form of the leak matrix: eight of its cases, each once, side by side. `make leak` plays all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.postgres import postgres_is_there
from tests.acceptance.leak.cases import SHORT, Case
from tests.acceptance.leak.matrix import BUSY, Matrix, Play, leak_site

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not postgres_is_there(), reason="PostgreSQL is not installed (Debian: apt-get install postgresql)"
    ),
]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Case, Play]]:
    """All cases, played to their end on an Airflow of their own: workers die here."""
    with leak_site(tmp_path_factory.mktemp("leak"), settings=BUSY) as site, Matrix(site) as matrix:
        yield {play.case: play for play in matrix.play(SHORT, rounds=1)}


@pytest.mark.parametrize("case", SHORT, ids=str)
def test_the_air_is_clear_and_everything_as_promised(played: dict[Case, Play], case: Case) -> None:
    """Whatever happens: off air in time, file ids and states as they must be, and the service's journal holds nothing else."""
    assert list(played[case].wrong) == [], played[case].seen
