"""What the tests of the clients share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_timav.emulator import Emulator
from harness.clients import KINDS, ClientOf, maker
from harness.connect_proxy import ConnectProxy


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture(params=[False, True], ids=KINDS)
def client_of(request: pytest.FixtureRequest) -> ClientOf:
    return maker(asynchronous=request.param)


@pytest.fixture
def async_client_of() -> ClientOf:
    return maker(asynchronous=True)


@pytest.fixture
def sync_client_of() -> ClientOf:
    return maker(asynchronous=False)


@pytest.fixture
def connect_proxy() -> type[ConnectProxy]:
    return ConnectProxy
