"""What the tests of the provider share."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def fresh_masks() -> Iterator[None]:
    """Forget the secrets of earlier tests: Airflow's masker searches every text for every secret it was ever told."""
    yield
    if (masking := sys.modules.get("airflow.sdk._shared.secrets_masker")) is not None:
        masking._secrets_masker().reset_masker()
    if (hooks := sys.modules.get("airflow_provider_timav.hooks.timav")) is not None:
        hooks.mask.cache_clear()
