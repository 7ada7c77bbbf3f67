"""The Airflow and the browser that the tests of the web interface share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.site import ALL_PARTS
from tests.ui.stage import ROOMS, Stage


@pytest.fixture(scope="module")
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """One for all tests of a module, with the parts of Airflow that it names as ``PARTS``; each test has a room of its own.

    Not for a whole session: Playwright can be started only once at a time.
    """
    with Stage(ROOMS, parts=getattr(request.module, "PARTS", ALL_PARTS)) as one:
        yield one


@pytest.fixture
def ledger(stage: Stage) -> Iterator[Stage]:
    """The stage, with a ledger that tests write by hand: empty before, and after."""
    stage.forget()
    yield stage
    stage.forget()
