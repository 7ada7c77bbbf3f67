"""The Airflow and the browser that the tests of the web interface share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.ui.stage import ROOMS, Stage


@pytest.fixture(scope="package")
def stage() -> Iterator[Stage]:
    """One for all tests of this folder; each has a room of its own. Those that want an empty page come first."""
    with Stage(ROOMS) as one:
        yield one


@pytest.fixture
def ledger(stage: Stage) -> Iterator[Stage]:
    """The stage, with a ledger that tests write by hand: empty before, and after."""
    stage.forget()
    yield stage
    stage.forget()
