"""A scripted origin: the answers of a stream's servers, as a function of a time that only the watcher's pauses move.

The sockets and the reader are real, the time is not: an hour of a broadcast takes a second, also on a busy machine.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from airflow_provider_timav.stream import polling as polling_module
from airflow_provider_timav.stream import reader as reader_module
from airflow_provider_timav.stream.state import StreamState
from harness.streams.site import Site, Visit, running

SEGMENT = b"\x47" + b"\0" * 187


class OutOfTime(Exception):
    """The time of the script is over, and the watcher had come to no end."""


class Clock:
    """Seconds since the epoch. It begins now, and goes on only by `advance`.

    :param seconds: after which it is over.
    """

    def __init__(self, seconds: float) -> None:
        self.began = self.now = time.time()
        self.end = self.began + seconds
        self.over = threading.Event()

    @property
    def passed(self) -> float:
        """Seconds since it began."""
        return self.now - self.began

    def advance(self, seconds: float) -> None:
        """Let so much time pass.

        :raises OutOfTime: if it is over.
        """
        self.now += seconds
        if self.now > self.end:
            self.over.set()
            raise OutOfTime

    def pause(self, state: StreamState, chance: float) -> float:
        """Stand in for `next_pause`: let the time pass, and do not wait."""
        self.advance(polling_module.next_pause(state, chance))
        return 0.0


@dataclass(frozen=True)
class Request:
    """A request.

    :param at: seconds since the script began.
    :param number: how often the path was requested before.
    """

    path: str
    query: str
    headers: dict[str, str]
    at: float
    number: int


@dataclass(frozen=True)
class Reply:
    """An answer; ``raw`` instead of all the rest: bytes that are written over and over until the client stops reading."""

    body: str | bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes = b""


Script = Callable[[Request], Reply]


@contextmanager
def scripted(script: Script, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Run an origin, and have the package's reader live in its time.

    :returns: the site; the stream is at its ``url`` and the path of the test's choice.
    """
    monkeypatch.setattr(reader_module, "wall_clock", lambda: lambda: clock.now)
    monkeypatch.setattr(reader_module, "next_pause", clock.pause)
    asked: Counter[str] = Counter()

    def page(visit: Visit) -> None:
        path, _, query = visit.path.partition("?")
        headers = {name.lower(): value for name, value in visit.headers.items()}
        reply = script(Request(path, query, headers, clock.passed, asked[path]))
        asked[path] += 1
        while reply.raw:
            visit.write(reply.raw)
        visit.answer(reply.body, reply.status, **{name.replace("-", "_"): text for name, text in reply.headers.items()})

    with running() as site:
        site.pages.clear()
        site.otherwise = page
        yield site


def listed(first: int, count: int, *, target: int = 4, duration: float | None = None, head: str = "", name: str = "s{}.ts",
           tag: str = "", endlist: bool = False) -> str:  # fmt: skip
    """Return a media playlist.

    :param first: the number of its first segment.
    :param name: of a segment, with its number.
    :param tag: lines before each segment, with its number.
    """
    lines = ["#EXTM3U", f"#EXT-X-TARGETDURATION:{target}", f"#EXT-X-MEDIA-SEQUENCE:{first}", *([head] if head else [])]
    for number in range(first, first + count):
        lines += [tag.format(number)] if tag else []
        lines += [f"#EXTINF:{target if duration is None else duration:.3f},", name.format(number)]
    return "\n".join([*lines, *(["#EXT-X-ENDLIST"] if endlist else [])]) + "\n"


def master(*variants: str) -> str:
    """Return a master playlist."""
    return "#EXTM3U\n" + "".join(f"#EXT-X-STREAM-INF:BANDWIDTH={900 - n}\n{one}\n" for n, one in enumerate(variants))
