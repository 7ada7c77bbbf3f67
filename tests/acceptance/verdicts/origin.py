"""Plays a scripted stream to the product's own watcher: real HTTP on loopback, on a clock that only the play moves.

The clock moves by the pauses of the watcher and by the seconds that the script says a request takes, so that minutes of a
stream take milliseconds. Every address leads to the one server here, and there is no other network and no name server.
"""

from __future__ import annotations

import asyncio
import functools
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from unittest import mock

from airflow_provider_timav import names
from airflow_provider_timav.stream import reader as reader_module
from airflow_provider_timav.stream.state import StreamState
from airflow_provider_timav.stream.verdict import Verdict
from tests.acceptance.verdicts.cdn import Request
from tests.acceptance.verdicts.scripts import Script
from tests.acceptance.verdicts.stream import Shown, Stream

__all__ = ["Play", "Probe", "play", "watched"]

EPOCH: Final = 1_795_435_200.0
"""What the clock shows at the first probe, in seconds since 1970."""

MOST_SECONDS: Final = 60.0
"""Real ones, for one play: a longer one hangs."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe of the watcher, and the truth at that moment.

    :param began: when it began, and ``at`` when its verdict was there, in seconds since the first probe.
    :param verdict: the watcher's.
    :param reason: the watcher's reason.
    :param shown: the kind of list that the address showed.
    :param status: the answer of the playlist's address to a check of the status; None for no answer.
    """

    began: float
    at: float
    verdict: Verdict
    reason: str
    shown: Shown
    status: int | None


@dataclass(frozen=True)
class Play:
    """The probes of a script with a seed."""

    script: Script
    seed: int
    stream: Stream
    probes: list[Probe]

    def __str__(self) -> str:
        return f"{self.script} {self.seed}" + (f" ({self.stream.note})" if self.stream.note else "")


def play(script: Script, seed: int) -> Play:
    """Have the watcher follow the script's stream to its end."""
    stream = script.stream(seed)
    return Play(script, seed, stream, watched(stream, seed))


def watched(stream: Stream, seed: int = 0) -> list[Probe]:
    """Return the probes of a watcher that follows this stream."""
    stage = _Stage(stream)
    state = random.getstate()
    random.seed(seed)  # the watcher spreads its pauses by chance
    try:
        with _instead(stage), asyncio.Runner(loop_factory=functools.partial(_Loop, stage)) as runner:
            return runner.run(asyncio.wait_for(stage.follow(), MOST_SECONDS))
    finally:
        random.setstate(state)


class _Stage:
    """The clock, the server, and the watcher between them."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.now = 0.0
        self.port = 0
        self._listed_at: float | None = None
        """When a list was last requested during this probe."""
        self._probes: list[Probe] = []

    async def follow(self) -> list[Probe]:
        """Follow the stream to its end."""
        server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        began = 0.0

        async def enough(state: StreamState) -> bool:
            self._probes.append(self._probe(began, state))
            return self.now >= self.stream.seconds

        async def sleep(pause: float) -> None:
            nonlocal began
            self.now += pause
            began = self.now
            self._listed_at = None

        try:
            async with reader_module.shared_reader() as reader:
                url = f"http://{self.stream.host}{self.stream.path}"
                await reader_module.follow(
                    reader, url, StreamState(), grace=self.stream.grace, enough=enough, sleep=sleep
                )
        finally:
            server.close()
        return self._probes

    def _probe(self, began: float, state: StreamState) -> Probe:
        at = began if self._listed_at is None else self._listed_at
        return Probe(began, self.now, state.verdict, state.reason, self.stream.shows(at), self._status(at))

    def _status(self, at: float) -> int | None:
        if self.stream.fails(at, self.stream.host) is not None:
            return None
        path, _, query = self.stream.path.partition("?")
        reply = self.stream.answer(Request(at, path, query, self.stream.host))
        for _ in range(10):
            if reply is None or not 300 <= reply.status < 400:
                break
            reply = self.stream.answer(Request(at, dict(reply.headers)["Location"], "", self.stream.host))
        return None if reply is None else reply.status

    def answer(self, path: str, query: str, headers: dict[str, str]) -> bytes | None:
        """Return the answer to a request; it takes the script's time."""
        host = headers.get("host", "").partition(":")[0]
        if self.stream.fails(self.now, host) is not None:
            return None
        latency = self.stream.latency(path)
        self.now += latency / 2
        if ".m3u8" in path:
            self._listed_at = self.now
        reply = self.stream.answer(Request(self.now, path, query, host, headers))
        self.now += latency / 2
        return None if reply is None else reply.sent()


class _Connection(asyncio.Protocol):
    """One connection to the server."""

    def __init__(self, stage: _Stage) -> None:
        self._stage = stage
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        self._transport: asyncio.Transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            path, _, query = first.split(" ")[1].partition("?")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            answer = self._stage.answer(path, query, headers)
            if answer is None:
                self._transport.abort()
                return
            self._transport.write(answer)


class _Loop(asyncio.SelectorEventLoop):
    """A loop whose every connection leads to the one server, or fails by the script."""

    def __init__(self, stage: _Stage) -> None:
        super().__init__()
        self._stage = stage

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect."""
        if (error := self._stage.stream.fails(self._stage.now, address[0])) is not None:
            raise error
        await super().sock_connect(sock, ("127.0.0.1", self._stage.port))


@contextmanager
def _instead(stage: _Stage) -> Iterator[None]:
    """Put the stage's clock and names in the place of the machine's."""
    look_up: Any = socket.getaddrinfo

    def found(host: Any, port: Any, *args: Any, **facts: Any) -> Any:
        if host != stage.stream.host:
            return look_up(host, port, *args, **facts)
        if isinstance(error := stage.stream.fails(stage.now, host), socket.gaierror):
            raise error
        return look_up("127.0.0.1", port, *args, **facts)

    def clock() -> float:
        return EPOCH + stage.now

    with (
        mock.patch.object(reader_module, "wall_clock", return_value=clock),
        mock.patch.object(socket, "getaddrinfo", found),
        # Names are remembered for seconds of the machine's clock, which stands still beside the stage's.
        mock.patch.object(names, "REMEMBERED_SECONDS", 0.0),
    ):
        yield
