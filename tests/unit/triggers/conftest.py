"""What the tests of the triggers share."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture
def small_heap() -> Iterator[None]:
    """Keep the collector from what earlier tests have left: searching all of that holds the loop, too."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
