"""HTTP as browsers take it, and its cost, over real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from airflow_provider_timav.stream import reader as reader_module
from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.protocol import tidied
from airflow_provider_timav.stream.reader import Reader, shared_reader, wall_clock
from airflow_provider_timav.stream.state import StreamState
from harness.streams.site import media

LIST = media(7, 3).encode()
Bytes = AsyncIterator[bytes]


@asynccontextmanager
async def serving(answer: Callable[[int], Bytes]) -> AsyncIterator[tuple[str, list[int]]]:
    """Serve the bytes that are made for each request; return the address, and the numbers of the requests' connections."""
    asked: list[int] = []
    connections = iter(range(1000))

    async def serve(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        mine = next(connections)
        try:
            while await incoming.readuntil(b"\r\n\r\n"):
                asked.append(mine)
                async for piece in answer(len(asked) - 1):
                    outgoing.write(piece)
                    await outgoing.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            outgoing.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/live.m3u8", asked


async def probe(reader: Reader, url: str) -> Probe:
    return await reader.probe(url, StreamState(), wall_clock())


def probed(answer: Callable[[int], Bytes], *, times: int = 1) -> tuple[list[Probe], list[int]]:
    async def several() -> tuple[list[Probe], list[int]]:
        async with serving(answer) as (url, asked), shared_reader() as reader:
            return [await probe(reader, url) for _ in range(times)], asked

    return asyncio.run(asyncio.wait_for(several(), 30))


def fixed(answer: bytes) -> Callable[[int], Bytes]:
    async def make(_: int) -> Bytes:
        yield answer

    return make


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[begin : begin + size] for begin in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])


LENGTH = b"Content-Length: %d\r\n" % len(LIST)
OK = b"HTTP/1.1 200 OK\r\n"

ODD = {
    "length-told-twice": OK + LENGTH + b"X: y\r\n" + LENGTH + b"\r\n" + LIST,
    "length-twice-in-one": OK + b"Content-Length: %d, %d\r\n\r\n" % (len(LIST), len(LIST)) + LIST,
    "length-and-chunks": OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(LIST, 30),
    "large-header": OK + b"Content-Security-Policy: " + b"a" * 100_000 + b"\r\n" + LENGTH + b"\r\n" + LIST,
    "many-headers": OK + b"".join(b"X-%d: y\r\n" % n for n in range(900)) + LENGTH + b"\r\n" + LIST,
    "interim-answers": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 9 + OK + LENGTH + b"\r\n" + LIST,
    "chunks-of-one-byte": OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(LIST, 1),
    "no-length": OK + b"Connection: close\r\n\r\n" + LIST,
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_answers_that_browsers_take_are_taken(answer: bytes) -> None:
    async def make(_: int) -> Bytes:
        yield answer
        if b"Connection: close" in answer:
            raise ConnectionResetError

    probes, _ = probed(make)
    assert probes[0].tail == 10


def test_answer_that_comes_byte_by_byte_is_read() -> None:
    async def make(_: int) -> Bytes:
        for byte in OK + LENGTH + b"\r\n" + LIST:
            yield bytes([byte])

    probes, _ = probed(make)
    assert probes[0].tail == 10


def test_connection_is_used_again_but_not_after_an_answer_of_two_lengths() -> None:
    _, asked = probed(fixed(ODD["interim-answers"]), times=3)
    assert asked == [0, 0, 0]
    _, asked = probed(fixed(ODD["length-and-chunks"]), times=3)
    assert asked == [0, 1, 2]


def test_lengths_that_differ_are_no_answer() -> None:
    """No client can find the end of its body (RFC 9112, 6.3)."""
    probes, _ = probed(fixed(OK + LENGTH + b"Content-Length: 3\r\n\r\n" + LIST))
    assert probes[0].tail is None


def test_what_is_no_http_is_refused_at_once() -> None:
    began = time.monotonic()
    probes, _ = probed(fixed(b"SSH-2.0-OpenSSH_9.9\r\n"))
    assert probes[0].absence.startswith("no answer")
    assert time.monotonic() - began < reader_module.PROBE_SECONDS / 2


def endlessly(piece: bytes, first: bytes = b"") -> Callable[[int], Bytes]:
    async def make(_: int) -> Bytes:
        yield first
        while True:
            yield piece

    return make


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

COSTLY = {
    "interim-answers": endlessly(b"HTTP/1.1 100 Continue\r\n\r\n" * 500),
    "headers": endlessly(b"a: b\r\n" * 5000, OK),
    "one-header": endlessly(b"v" * 65536, OK + b"X: "),
    "chunks-of-one-byte": endlessly(b"1\r\n#\r\n" * 5000, CHUNKED),
    "chunk-extension": endlessly(b"x" * 65536, CHUNKED + b"1;ext="),
    "trailers": endlessly(b"X-T: v\r\n" * 5000, CHUNKED + chunked(LIST, 50)[:-2]),
}


@pytest.mark.parametrize("answer", COSTLY.values(), ids=COSTLY)
def test_answer_without_end_is_given_up_before_it_costs_much(answer: Callable[[int], Bytes]) -> None:
    worked, began = time.process_time(), time.monotonic()
    probes, _ = probed(answer)
    assert probes[0].tail in (None, 10)
    assert time.monotonic() - began < reader_module.PROBE_SECONDS / 2, "it is given up, and not waited for"
    assert time.process_time() - worked < 2


def test_ordinary_head_is_left_as_it_is() -> None:
    head = OK + LENGTH + b"X-Content-Length: 5\r\n\r\n"
    assert tidied(head) == head
    lengths = OK + LENGTH + b"Content-Length: 3\r\n\r\n"
    assert tidied(lengths) == lengths


# As large as a head may be, which would take a minute if the time grew with its square.
MANY = 1 << 18

WIDE = {
    "within-a-length": b"Content-Length: 1" + b" " * MANY + b"2\r\n",
    "before-a-length": b"Content-Length:" + b" " * MANY + b"7\r\nContent-Length: 7\r\n",
    "after-a-length": b"Content-Length: 7" + b"\t" * MANY + b"\r\nContent-Length: 7\r\n",
    "before-the-colon": b"Content-Length" + b" " * MANY + b"7\r\n",
    "within-a-coding": b"Transfer-Encoding: a" + b" \t" * (MANY // 2) + b"b\r\n" + LENGTH,
    "many-lengths": b"Content-Length: 7 \r\n" * (MANY // 20),
    "many-in-one": b"Content-Length: 7" + b" , 7" * (MANY // 4) + b"\r\n",
    "empty-lines": b"\r" * MANY,
}


@pytest.mark.parametrize("headers", WIDE.values(), ids=WIDE)
def test_head_is_tidied_in_time_that_grows_with_its_length(headers: bytes) -> None:
    head = b"HTTP/1.1 404 x\r\n" + headers + b"\r\n"
    assert tidied(head).startswith(b"HTTP/1.1 404 x\r\n")


def test_length_that_is_told_twice_counts_without_the_blanks_around_it() -> None:
    head = OK + b"Content-Length: \t7 \r\nX: y\r\nCONTENT-LENGTH:7\r\n\r\n"
    assert tidied(head) == OK + b"Content-Length: 7\r\nConnection: close\r\nX: y\r\n\r\n"
    coded = OK + b"content-length:7\n" + b"Transfer-Encoding : chunked \r\n\r\n"
    assert tidied(coded) == OK + b"Connection: close\r\nTransfer-Encoding : chunked \r\n\r\n"
