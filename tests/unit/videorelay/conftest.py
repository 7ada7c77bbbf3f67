"""What the tests of the clients share."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from harness.connect_proxy import ConnectProxy


@pytest.fixture
def connect_proxy() -> Callable[..., AbstractContextManager[ConnectProxy]]:
    @contextlib.contextmanager
    def running(status: int | None = 200, **facts: Any) -> Iterator[ConnectProxy]:
        proxy = ConnectProxy(status, **facts)
        thread = threading.Thread(target=proxy.serve, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.close()
            thread.join()

    return running
