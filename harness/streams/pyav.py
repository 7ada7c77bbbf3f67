"""A stand-in for PyAV, which need not be installed, and a server that does no more than accept connections."""

from __future__ import annotations

import importlib.machinery
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from airflow_provider_timav.stream import rtmp


class FakeAV(ModuleType):
    """PyAV, as far as it is used: `open` calls a test's function, in the thread of the probe."""

    class FFmpegError(Exception):
        pass

    def __init__(self) -> None:
        super().__init__("av")
        self.__spec__ = importlib.machinery.ModuleSpec("av", None)
        self.opened: list[tuple[str, dict[str, str]]] = []
        self.threads: set[threading.Thread] = set()
        self.packets: Callable[[], Iterator[Any]] = lambda: iter(())

    @contextmanager
    def open(
        self,
        file: str,
        *,
        format: str,
        container_options: dict[str, str],
        metadata_errors: str,
        timeout: tuple[float, float],
    ) -> Iterator[Any]:
        assert format == "flv"
        b"\xd6\xb1".decode(errors=metadata_errors)
        assert max(timeout) <= rtmp.PROBE_SECONDS
        self.opened.append((file, container_options))
        self.threads.add(threading.current_thread())
        yield SimpleNamespace(demux=self.packets)


def packet(kind: str, timestamp: int | None) -> Any:
    return SimpleNamespace(stream=SimpleNamespace(type=kind), dts=timestamp, size=100)


def at_pace(start: int = 50_000) -> Iterator[Any]:
    began = time.monotonic()
    while True:
        time.sleep(0.02)
        yield packet("video", start + int((time.monotonic() - began) * 1000))


def standing_still() -> Iterator[Any]:
    while True:
        time.sleep(0.02)
        yield packet("video", 50_000)


def install(monkeypatch: pytest.MonkeyPatch) -> FakeAV:
    """Let PyAV be this one."""
    fake = FakeAV()
    monkeypatch.setitem(sys.modules, "av", fake)
    return fake


def uninstall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let PyAV not be installed."""
    monkeypatch.setattr("airflow_provider_timav.stream.address.find_spec", lambda name: None)


def prove_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let packets at pace prove in a tenth of a second that the source sends."""
    monkeypatch.setattr("airflow_provider_timav.stream.arrivals.PACE_SECONDS", 0.1)


@contextmanager
def accepting() -> Iterator[str]:
    """Accept connections; yield the address of a stream there."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        yield f"rtmp://127.0.0.1:{listening.getsockname()[1]}/live/42"
