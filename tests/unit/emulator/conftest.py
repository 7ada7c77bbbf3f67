"""A running emulator and a caller of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_timav.emulator import Emulator
from harness.caller import Caller


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def caller(emulator: Emulator) -> Iterator[Caller]:
    with Caller(emulator) as caller:
        yield caller
