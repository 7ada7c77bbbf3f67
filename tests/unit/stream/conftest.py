"""A site, and little time or trust, for probes over real sockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_timav.stream import http_client
from airflow_provider_timav.stream import reader as reader_module
from harness.streams.site import Site, running


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as site:
        yield site


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "next_pause", lambda state, chance: 0.1)


@pytest.fixture
def fresh_trust() -> Iterator[None]:
    http_client.trust.cache_clear()
    yield
    http_client.trust.cache_clear()


@pytest.fixture(params=[(0.4, 60.0), (60.0, 0.4)], ids=["probe", "connection"])
def little_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """Little time for a probe, or for a name and a connection: which of them ends first changes nothing."""
    whole, connection = request.param
    monkeypatch.setattr(reader_module, "PROBE_SECONDS", whole)
    monkeypatch.setattr(http_client, "CONNECT_SECONDS", connection)
    return float(whole)
