"""Servers with one scripted answer, and probes of them over real sockets."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trustme

from airflow_provider_timav.stream import http_client
from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.reader import shared_reader, wall_clock
from airflow_provider_timav.stream.state import StreamState
from harness.streams.site import Site, Visit

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(coroutine, 20))


def probe(url: str, state: StreamState | None = None) -> Probe:
    async def once() -> Probe:
        async with shared_reader() as reader:
            return await reader.probe(url, state or StreamState(), wall_clock())

    return run(once())


def expecting(tail: int) -> StreamState:
    return StreamState().after(Probe(at=time.time(), tail=tail, segments=3, target_duration=5), grace=60)


def over_tls(site: Site, monkeypatch: pytest.MonkeyPatch, folder: Path) -> str:
    """Have a site speak TLS with a certificate that is trusted here, and return its address."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    site.server.socket = context.wrap_socket(site.server.socket, server_side=True)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    http_client.trust.cache_clear()
    return site.url.replace("http:", "https:")


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def for_ever() -> None:
    await asyncio.Event().wait()


def after(*said: bytes, then: Callable[[], Awaitable[None]] | None = None) -> Serve:
    """Return a server that sends one text after each request, and then hangs up, unless ``then`` goes on."""

    async def serve(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        for one in said:
            await incoming.readuntil(b"\r\n\r\n")
            outgoing.write(one)
            await outgoing.drain()
        if then is not None:
            await then()

    return serve


@asynccontextmanager
async def at(serve: Serve) -> AsyncIterator[str]:
    async def once(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        try:
            await serve(incoming, outgoing)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            outgoing.close()

    async with await asyncio.start_server(once, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def served(serve: Serve) -> Probe:
    """Probe a server."""

    async def once() -> Probe:
        async with at(serve) as url, shared_reader() as reader:
            return await reader.probe(url + "/live.m3u8", StreamState(), wall_clock())

    return run(once())


def through_proxy(url: str, serve: Serve) -> Probe:
    """Probe through a proxy."""

    async def once() -> Probe:
        async with at(serve) as proxy, shared_reader(proxy) as reader:
            return await reader.probe(url, StreamState(), wall_clock())

    return run(once())


def silent(visit: Visit) -> None:
    visit.closing.wait(20)
