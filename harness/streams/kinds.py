"""Kinds of streams in the field, and the result that each must have: at the sensor, and on air."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from harness.streams.origin import SEGMENT, Clock, Reply, Request, Script, listed, master

INTERIM: Final = b"HTTP/1.1 100 Continue\r\n\r\n" * 500

SECONDS: Final = 280.0
"""For which each is watched."""

GRACE: Final = 60.0


@dataclass(frozen=True)
class Kind:
    """A stream.

    :param script: makes what its servers answer; it may move the clock.
    :param live: what a sensor that waits for live comes to: ``live``, ``fails`` or ``waits``.
    :param ended: what a sensor that waits for the end comes to: ``ended`` or ``waits``.
    :param over: whether a broadcast with ``until="stream_ended"`` ends.
    :param stall: whether ``on_stall`` has something to tell, or to fail.
    """

    script: Callable[[Clock], Script]
    live: str = "live"
    ended: str = "waits"
    over: bool = False
    stall: bool = False
    url: str = "/live.m3u8"


def number(at: float, first: int = 100) -> int:
    """Return the first number of a list that gets a segment every four seconds."""
    return first + int(at / 4)


def segment(request: Request) -> Reply | None:
    """Answer for a segment."""
    if not request.path.endswith((".ts", ".mp4")):
        return None
    return Reply(SEGMENT, 206 if "range" in request.headers else 200)


def playing(playlist: Callable[[Request], Reply | str]) -> Callable[[Clock], Script]:
    """Return a stream all of whose segments are there."""

    def answered(request: Request) -> Reply:
        if (found := segment(request)) is not None:
            return found
        reply = playlist(request)
        return Reply(reply) if isinstance(reply, str) else reply

    return lambda clock: answered


def until(end: float, then: Callable[[Request], Reply | str]) -> Callable[[Clock], Script]:
    """Return a stream that plays, and something else from ``end`` on."""
    return playing(lambda request: listed(number(request.at), 6) if request.at < end else then(request))


def sessions(*, redirect: bool) -> Callable[[Clock], Script]:
    """Return a stream that begins its numbers anew with each load of its address."""

    def make(clock: Clock) -> Script:
        began: list[float] = []

        def page(request: Request) -> Reply | str:
            if request.path == "/live.m3u8":
                began.append(request.at)
                place = f"/{len(began) - 1}/v.m3u8"
                return Reply(status=302, headers={"Location": place}) if redirect else master(place)
            return listed(number(request.at - began[int(request.path.split("/")[1])], 0), 4)

        return playing(page)(clock)

    return make


def cookie(request: Request) -> Reply | str:
    if request.path == "/live.m3u8":
        return Reply(master("v.m3u8"), headers={"Set-Cookie": "session=a; Path=/"})
    return listed(number(request.at), 4) if "session=a" in request.headers.get("cookie", "") else Reply(status=401)


def variants(page: Callable[[Request], Reply | str], *names: str) -> Callable[[Request], Reply | str]:
    return lambda request: master(*names) if request.path == "/live.m3u8" else page(request)


def newest_missing(clock: Clock) -> Script:
    def answered(request: Request) -> Reply:
        if request.path.endswith(".ts"):
            there = int(request.path[2:-3]) < number(request.at) + 5
            return Reply(SEGMENT) if there else Reply(status=404)
        return Reply(listed(number(request.at), 6))

    return answered


def no_range(clock: Clock) -> Script:
    def answered(request: Request) -> Reply:
        if request.path.endswith(".ts"):
            return Reply(status=416) if "range" in request.headers else Reply(SEGMENT)
        return Reply(listed(number(request.at), 6))

    return answered


def range_not_written(clock: Clock) -> Script:
    def answered(request: Request) -> Reply:
        if request.path.endswith(".mp4"):
            return Reply(status=416) if "range" in request.headers else Reply(SEGMENT)
        return Reply(listed(number(request.at), 6, name="all.mp4", tag="#EXT-X-BYTERANGE:500@1{:06d}"))

    return answered


def segments_refused(clock: Clock) -> Script:
    def answered(request: Request) -> Reply:
        if request.path.endswith(".ts"):
            return Reply(SEGMENT) if request.at < 60 else Reply(status=403)
        return Reply(listed(number(request.at), 6))

    return answered


def needed_missing(head: str) -> Callable[[Clock], Script]:
    def answered(request: Request) -> Reply:
        if request.path == "/needed":
            return Reply(status=404)
        return segment(request) or Reply(listed(number(request.at), 6, head=head))

    return lambda clock: answered


def under(folder: str, playlist: Callable[[Request], str]) -> Callable[[Clock], Script]:
    def answered(request: Request) -> Reply:
        if request.path.endswith(".ts"):
            return Reply(SEGMENT) if request.path.startswith(folder) else Reply(status=404)
        return Reply(playlist(request))

    return lambda clock: answered


def half_dead(request: Request) -> str:
    """One variant stands still after 60 s, the other goes on."""
    return listed(number(min(request.at, 60) if request.path.startswith("/a") else request.at), 6)


def without_segments(clock: Clock) -> Script:
    page = variants(lambda request: listed(number(request.at), 6), "/a/v.m3u8", "/b/v.m3u8")

    def answered(request: Request) -> Reply:
        if request.path.startswith("/a/s"):
            return Reply(status=404)
        return playing(page)(clock)(request)

    return answered


def slow(clock: Clock) -> Script:
    def answered(request: Request) -> Reply:
        clock.now += 3.0
        return segment(request) or Reply(listed(number(clock.passed), 6))

    return answered


def absurd(request: Request) -> str:
    text = listed(number(min(request.at, 60)), 6)
    return text.replace("4.000,", "3012.480,", 1) if request.at > 50 else text


def late_start(request: Request) -> str:
    return listed(0, 6, endlist=True) if request.at < 30 else listed(number(request.at - 30, 1), 6)


def long_list(request: Request) -> Reply:
    text = listed(0, 9000 + int(request.at / 4), name="s{}.ts?signature=" + "a" * 160)
    return Reply(gzip.compress(text.encode(), 1), headers={"Content-Encoding": "gzip"})


NEVER: Final[dict[str, Any]] = {"live": "waits", "stall": True}
GONE: Final[dict[str, Any]] = {"ended": "ended", "over": True, "stall": True}

KINDS: Final = {
    "plays": Kind(until(SECONDS * 2, lambda request: "")),
    "K1 edges lag behind each other": Kind(playing(lambda r: listed(number(r.at) - 2 * (r.number % 2), 6))),
    "K1 two caches after the broadcast": Kind(playing(lambda r: listed(100 - r.number % 2, 6)), **NEVER),
    "K1 two caches, the older first": Kind(playing(lambda r: listed(100 + r.number % 2, 6)), **NEVER),
    "K1 over, and two caches": Kind(until(60, lambda r: listed(number(60) - r.number % 2, 6)), **GONE),
    "K1 encoder begins anew": Kind(until(60, lambda r: listed(number(r.at - 60, 0), 6, name="again{}.ts"))),
    "K2 session with each load of the master": Kind(sessions(redirect=False)),
    "K2 session with each redirect": Kind(sessions(redirect=True)),
    "K2 cookie of the master": Kind(playing(cookie)),
    "K3 newest segment one late": Kind(newest_missing),
    "K3 no ranges": Kind(no_range),
    "K3 range not written": Kind(range_not_written, **NEVER),
    "K3 gaps": Kind(playing(lambda r: listed(number(r.at), 6, tag="#EXT-X-GAP")), **NEVER),
    "K3 no initialization section": Kind(needed_missing('#EXT-X-MAP:URI="/needed"'), **NEVER),
    "K3 no key": Kind(needed_missing('#EXT-X-KEY:METHOD=AES-128,URI="/needed"'), **NEVER),
    "K4 long list, compressed": Kind(playing(long_list)),
    "K5 dies after an absurd segment": Kind(playing(absurd), **GONE),
    "K6 empty segments of a path": Kind(
        under("/live//a/", lambda r: listed(number(r.at), 6)), url="/live//a/live.m3u8"
    ),
    "K6 variables": Kind(
        under(
            "/cdn7/",
            lambda r: listed(number(r.at), 6, head='#EXT-X-DEFINE:NAME="p",VALUE="/cdn7/"', name="{{$p}}s{}.ts"),
        )
    ),
    "K7 203, and a coding that nobody knows": Kind(
        playing(lambda r: Reply(listed(number(r.at), 6), 203, {"Content-Encoding": "aws-chunked", "X": "v" * 20_000}))
    ),
    "K8 one variant stands still": Kind(playing(variants(half_dead, "/a/v.m3u8", "/b/v.m3u8"))),
    "K8 one variant has no segments": Kind(without_segments),
    "K8 primary is down": Kind(
        playing(
            variants(
                lambda r: Reply(status=404) if r.path.startswith("/a") else listed(number(r.at), 6),
                *(f"/a/{n}.m3u8" for n in range(9)),
                "/b/1.m3u8",
            )
        )
    ),
    "K9 our link expires": Kind(until(60, lambda r: Reply(status=403))),
    "K9 we are never let in": Kind(playing(lambda r: Reply(status=403)), live="waits"),
    "K9 too many requests": Kind(until(60, lambda r: Reply(status=429))),
    "K9 segments are refused to us": Kind(segments_refused),
    "K9 gone": Kind(until(60, lambda r: Reply(status=404)), **GONE),
    "K10 numbers that are none": Kind(
        playing(lambda r: listed(0, 6 + int(r.at / 4)).replace("SEQUENCE:0", "SEQUENCE:").replace(":4.000,", ":;x,", 1))
    ),
    "K11 end of the last broadcast": Kind(playing(late_start), ended="ended"),
    "K11 end while it is watched": Kind(until(60, lambda r: listed(number(60), 6, endlist=True)), **GONE),
    "K12 slow answers": Kind(slow),
    "K13 interim answers for ever": Kind(lambda clock: lambda request: Reply(raw=INTERIM), **NEVER),
}
