"""The pytest fixture `timav_emulator`, for tests of DAGs that broadcast.

Name this module in your root `conftest.py`: `pytest_plugins = ["airflow_provider_timav.emulator.pytest_plugin"]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_timav.emulator import Emulator

__all__ = ["timav_emulator"]


@pytest.fixture
def timav_emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """A running `Emulator` with room 10086 open and `host_1` in it; the connection `timav_default` leads to it."""
    from airflow_provider_timav.emulator import Emulator

    with Emulator() as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_TIMAV_DEFAULT", emulator.connection_json())
        yield emulator
