"""What the tests of the provider share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.supervisor import Supervisor


@pytest.fixture(autouse=True)
def fresh_masks() -> Iterator[None]:
    """Forget the secrets of earlier tests: Airflow's masker searches every text for every secret it was ever told."""
    yield
    if (masking := sys.modules.get("airflow.sdk._shared.secrets_masker")) is not None:
        masking._secrets_masker().reset_masker()
    if (hooks := sys.modules.get("airflow_provider_timav.hooks.timav")) is not None:
        hooks.mask.cache_clear()


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """Airflow's Variables, XComs and states, as the SDK finds them."""
    from tests.supervisor import supervised

    with supervised(monkeypatch) as supervisor:
        yield supervisor
