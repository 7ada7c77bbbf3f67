"""What the tests of the provider share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from cryptography.fernet import Fernet

if TYPE_CHECKING:
    from harness.supervisor import Supervisor

# Airflow reads both as it is imported: the tests see the same settings on each machine and in each of pytest's workers,
# which would otherwise write one file in the home folder, all at once.
os.environ["AIRFLOW_CONFIG"] = os.devnull
os.environ["AIRFLOW__CORE__FERNET_KEY"] = Fernet.generate_key().decode()


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
    from harness.supervisor import supervised

    with supervised(monkeypatch) as supervisor:
        yield supervisor
