"""What is odd about a stream that browsers and players play: one kind for each seed of a script. Sources stand beside each."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from tests.acceptance.verdicts.cdn import Edge, Reply, Request, gzipped, listed, media, playlist, segment_at

__all__ = ["ODD", "Odd"]

Answer = Callable[[Request, Edge, int], Reply]


@dataclass(frozen=True)
class Odd:
    """One kind.

    :param first: the number of the encoder's first segment; None for any.
    :param endless: whether nothing is ever taken away from the list.
    """

    answer: Answer
    path: str = "/live.m3u8"
    first: int | None = None
    endless: bool = False


def _with(change: Callable[[Reply], Reply]) -> Answer:
    """Answer with the list, changed."""

    def answer(request: Request, edge: Edge, target: int) -> Reply:
        return segment_at(edge, request) or change(listed(edge, target, request))

    return answer


def _text(change: Callable[[str], str]) -> Answer:
    return _with(lambda reply: Reply(change(reply.body.decode()).encode()))


def _headers(*headers: tuple[str, str]) -> Answer:
    return _with(lambda reply: replace(reply, headers=headers))


def _unframed(reply: Reply) -> Reply:
    packing = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return Reply(packing.compress(reply.body) + packing.flush(), headers=(("Content-Encoding", "deflate"),))


def _length_twice(reply: Reply) -> Reply:
    return replace(reply, headers=(("Content-Length", str(len(reply.body))),))


def _crumbs(reply: Reply) -> Reply:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n" * 10
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in reply.body)
    return Reply(wire=hints + b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")


def _redirects(request: Request, edge: Edge, target: int) -> Reply:
    if request.path.endswith(".ts") or request.path == "/hop5.m3u8":
        return listed(edge, target, request)
    hop = int(request.path[4]) + 1 if request.path.startswith("/hop") else 1
    return Reply(status=302, headers=(("Location", f"/hop{hop}.m3u8"),))


def _no_ranges(request: Request, edge: Edge, target: int) -> Reply:
    if request.path.endswith(".ts") and "range" in request.headers:
        return Reply(status=416)
    return listed(edge, target, request)


def _defined(request: Request, edge: Edge, target: int) -> Reply:
    if (reply := segment_at(edge, request)) is not None:
        right = request.path.startswith("/cdn7/") and request.query == "auth=t0k3n"
        return reply if right else Reply(status=403)
    head = ('#EXT-X-DEFINE:NAME="where",VALUE="/cdn7/"', '#EXT-X-DEFINE:QUERYPARAM="token"')
    text = playlist(
        edge.listed(request.at), target, head=head, name=lambda one: f"{{$where}}s{one.number}.ts?auth={{$token}}"
    )
    return Reply(text.encode())


def _skipped(request: Request, edge: Edge, target: int) -> Reply:
    if (reply := segment_at(edge, request)) is not None:
        return reply
    shown = edge.listed(request.at)
    left_out = len(shown) // 2
    text = playlist(shown[left_out:], target, head=[f"#EXT-X-SKIP:SKIPPED-SEGMENTS={left_out}"])
    return Reply(text.replace(f"SEQUENCE:{shown[left_out].number}", f"SEQUENCE:{shown[0].number}").encode())


def _ranges(request: Request, edge: Edge, target: int) -> Reply:
    """Segments are ranges of one file, which holds the listed ranges and no byte more."""
    each = 2_000
    shown = edge.listed(request.at)
    if request.path.endswith(".ts"):
        return media(request, b"\x47" * (each * (shown[-1].number + 1)))
    head = '#EXT-X-MAP:URI="all.ts",BYTERANGE="376@0"'
    lines = playlist(shown, target, head=[head], name=lambda one: f"@{one.number}").split("\n")
    lines = [f"#EXT-X-BYTERANGE:{each}@{each * int(line[1:])}\nall.ts" if line[:1] == "@" else line for line in lines]
    return Reply("\n".join(lines).encode())


def _below(folder: str) -> Answer:
    """Answer below this folder only."""

    def answer(request: Request, edge: Edge, target: int) -> Reply:
        return listed(edge, target, request) if request.path.startswith(folder) else Reply(status=404)

    return answer


def _as_written(request: Request, edge: Edge, target: int) -> Reply:
    if (reply := segment_at(edge, request)) is not None:
        right = (
            request.path.startswith("/%E7%9B%B4%E6%92%AD/a%20b%28/") and request.query == "sign=a%2Bb%2Fc%20d+e%7E%3D"
        )
        return reply if right else Reply(status=403)
    text = playlist(
        edge.listed(request.at), target, name=lambda one: f"直播/a%20b%28/s{one.number}.ts?sign=a%2Bb%2Fc%20d+e%7E%3D"
    )
    return Reply(text.encode())


def _hasty(request: Request, edge: Edge, target: int) -> Reply:
    """Declare a third of the target duration."""
    declared = max(target // 3, 1)
    return segment_at(edge, request) or Reply(playlist(edge.listed(request.at), declared).encode())


def _first_duration(duration: str) -> Answer:
    def change(text: str) -> str:
        head, _, rest = text.partition("#EXTINF:")
        return f"{head}#EXTINF:{duration},{rest.partition(',')[2]}"

    return _text(change)


ODD: Final[dict[str, Odd]] = {
    # RFC 9110, 15.3: every 2xx is a success; Fetch calls 200 to 299 "ok"
    "status 203": Odd(_with(lambda reply: replace(reply, status=203))),
    "status 206 that nobody asked for": Odd(_with(lambda reply: replace(reply, status=206))),
    # RFC 9110, 12.5.3 and 8.4.1.2: what browsers decode whatever they asked for, with and without zlib's frame
    "gzip": Odd(_with(lambda reply: gzipped(reply.body.decode()))),
    "deflate without its frame": Odd(_with(_unframed)),
    # Chromium passes a coding that it does not know through; object stores answer with that of the upload
    "Content-Encoding: aws-chunked": Odd(_headers(("Content-Encoding", "aws-chunked"))),
    # browsers take 256 KB of headers, and follow twenty redirects (Fetch, 4.4)
    "a header of 9 KB, and 150 others": Odd(
        _headers(
            ("Content-Security-Policy", "img-src " + "https://a.example " * 500),
            *((f"X-Trace-{place}", "v" * 50) for place in range(150)),
        )
    ),
    "five redirects": Odd(_redirects),
    # RFC 9110, 8.6: identical values may be taken as one
    "Content-Length twice": Odd(_with(_length_twice)),
    # RFC 9110, 15.2 and RFC 9112, 7.1
    "ten interim answers, chunks of one byte": Odd(_with(_crumbs)),
    # RFC 9110, 14.2: a server may refuse Range; players ask for whole segments without it
    "Range refused": Odd(_no_ranges),
    # draft-pantos-hls-rfc8216bis, 4.3, 4.4.2.3 and 4.4.5.2
    "EXT-X-DEFINE": Odd(_defined, path="/live.m3u8?token=t0k3n"),
    "EXT-X-SKIP": Odd(_skipped),
    # RFC 8216, 4.3.2.2
    "byte ranges of one file": Odd(_ranges, first=0),
    # RFC 3986, 5.2: empty segments of a path stay, and an address within a path is a part of it
    "an empty segment in the path": Odd(_below("/live//room/"), path="/live//room/x.m3u8"),
    "an address in the path": Odd(_below("/by/https://origin.example/"), path="/by/https://origin.example/x.m3u8"),
    "Chinese names, signed escapes": Odd(_as_written),
    # RFC 8216, 6.3.1: what a client does not understand, it must not fail on; players guess one bad duration
    "one duration that is none": Odd(_first_duration(";x")),
    "segments longer than the target duration": Odd(_hasty),
    "a media sequence without number": Odd(
        _text(lambda text: text.replace("SEQUENCE:0", "SEQUENCE:")), first=0, endless=True
    ),
    # RFC 8216, 4.2: decimal integers up to 2^64-1
    "numbers of 64 bits": Odd(_text(lambda text: text), first=2**63 + 5),
}
