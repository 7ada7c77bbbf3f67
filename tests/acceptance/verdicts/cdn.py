"""Answers of a CDN: lists of segments, segments, and the resources that are needed to play them."""

from __future__ import annotations

import gzip
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.acceptance.verdicts.segments import Holds, Segment

__all__ = ["Edge", "Reply", "Request", "gzipped", "listed", "media", "playlist", "segment_at"]

_NUMBER: Final = re.compile(r"s(\d+)\.ts$")

_PACKETS: Final = (b"\x47\x1f\xff\x10" + b"\xff" * 184) * 22


@dataclass(frozen=True, slots=True)
class Request:
    """A request of the watcher."""

    at: float
    path: str
    query: str = ""
    host: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. ``wire`` are the bytes to send instead, if it is no ordinary answer."""

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    wire: bytes | None = None

    def sent(self) -> bytes:
        """Return the bytes of the answer."""
        if self.wire is not None:
            return self.wire
        lines = [f"HTTP/1.1 {self.status} As Scripted", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


class Edge:
    """A cache at the edge: the list that it serves at a moment, of the encoder that began last.

    :param runs: what each encoder made, one after another; none of them empty.
    :param window: how many segments are listed; None for all.
    :param lag: seconds by which this cache is late.
    :param frozen: when it stopped getting lists.
    """

    def __init__(
        self, *runs: Sequence[Segment], window: int | None, lag: float = 0.0, frozen: float = float("inf")
    ) -> None:
        self._runs = runs
        self._window = window
        self._lag = lag
        self._frozen = frozen
        self._listed = [[one.listed for one in run] for run in runs]

    def current(self, at: float) -> int:
        """Return which encoder's list is served."""
        seen = min(at, self._frozen) - self._lag
        begun = [place for place, listed in enumerate(self._listed) if listed[0] <= seen]
        return begun[-1] if begun else 0

    def listed(self, at: float) -> Sequence[Segment]:
        """Return the segments that are listed."""
        place = self.current(at)
        count = bisect_right(self._listed[place], min(at, self._frozen) - self._lag)
        return self._runs[place][0 if self._window is None else max(count - self._window, 0) : count]

    def segment(self, number: int, at: float) -> Segment | None:
        """Return the segment that stands under this number: the newest that was ever listed."""
        for place in range(self.current(at), -1, -1):
            run = self._runs[place]
            if 0 <= (index := number - run[0].number) < len(run) and run[index].listed <= at:
                return run[index]
        return None


def playlist(
    segments: Sequence[Segment],
    target: int,
    *,
    over: bool = False,
    head: Sequence[str] = (),
    name: Callable[[Segment], str] = lambda one: f"s{one.number}.ts",
) -> str:
    """Return a list of these segments."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:6", f"#EXT-X-TARGETDURATION:{target}"]
    lines.append(f"#EXT-X-MEDIA-SEQUENCE:{segments[0].number if segments else 0}")
    lines += head
    for one in segments:
        lines += ["#EXT-X-GAP"] if one.holds is Holds.GAP else []
        lines += [f"#EXTINF:{one.seconds:.3f},", name(one)]
    lines += ["#EXT-X-ENDLIST"] if over else []
    return "\n".join([*lines, ""])


def media(request: Request, content: bytes = _PACKETS) -> Reply:
    """Answer with a segment, or with the part of it that was requested."""
    kind = (("Content-Type", "video/mp2t"),)
    first, _, last = request.headers.get("range", "").removeprefix("bytes=").partition("-")
    if not first.isdigit():
        return Reply(content, headers=kind)
    if int(first) >= len(content):
        return Reply(b"", 416)
    part = content[int(first) : int(last) + 1 if last else len(content)]
    place = f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"
    return Reply(part, 206, (*kind, ("Content-Range", place)))


def segment_at(edge: Edge, request: Request) -> Reply | None:
    """Answer for a segment's address; None if the request is for something else."""
    if (found := _NUMBER.search(request.path)) is None:
        return None
    one = edge.segment(int(found[1]), request.at)
    if one is None or one.there > request.at or one.holds is Holds.NOTHING:
        return Reply(b"not here", 404)
    if one.holds is Holds.PAGE:
        return Reply(b"<!DOCTYPE html><html><body>Not found</body></html>", headers=(("Content-Type", "text/html"),))
    if one.holds is Holds.NO_BYTES:
        return Reply()
    return media(request)


def listed(edge: Edge, target: int, request: Request, *, over: bool = False) -> Reply:
    """Answer with a segment, or with the list as it is."""
    reply = segment_at(edge, request)
    return reply or Reply(playlist(edge.listed(request.at), target, over=over).encode())


def gzipped(text: str) -> Reply:
    """Answer in gzip, whatever was requested."""
    return Reply(gzip.compress(text.encode(), 1), headers=(("Content-Encoding", "gzip"),))
