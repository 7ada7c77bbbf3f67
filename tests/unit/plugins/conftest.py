"""A database for each test."""

from __future__ import annotations

from collections.abc import Iterator

import airflow.models
import pytest
from airflow.models.base import Base
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from harness.database import Database


@pytest.fixture
def database() -> Iterator[Database]:
    """Airflow's tables, all empty."""
    airflow.models.import_all_models()  # type: ignore[no-untyped-call]  # Airflow's
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    Base.metadata.create_all(engine)
    yield Database(engine)
    engine.dispose()
