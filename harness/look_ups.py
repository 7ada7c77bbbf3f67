"""Look-ups of host names that come out otherwise."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest


@contextlib.contextmanager
def looked_up(name: str, answer: Callable[..., list[Any]]) -> Iterator[None]:
    """Have one name looked up otherwise; ``answer`` is given the true look-up, and loopback for the name."""
    look_up: Any = socket.getaddrinfo

    def changed(host: Any, *args: Any, **facts: Any) -> list[Any]:
        if host == name and not facts.get("flags", 0) & socket.AI_NUMERICHOST:
            return answer(look_up, "127.0.0.1", *args, **facts)
        return list(look_up(host, *args, **facts))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", changed)
        yield
