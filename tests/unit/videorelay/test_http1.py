"""The reader of answers: what it makes of them does not depend on how they come, and it holds no more than its caps."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import io
import zlib
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_timav.videorelay.exchange import ANSWER_BYTES
from airflow_provider_timav.videorelay.http1 import (
    FIELD_BYTES,
    HEAD_BYTES,
    MOST_CHUNKS,
    MOST_INTERIM,
    MOST_MEMBERS,
    AnswerReader,
    BrokenAnswerError,
    TooLargeError,
)
from airflow_provider_timav.videorelay.reply import Reply

BODY = b'{"reqhead": {}}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n" % len(BODY) + BODY


def read(raw: bytes, *, method: Any = "POST", size: int = 1 << 20, ended: bool = True) -> bytes:
    """Feed an answer in pieces; return its plainest form."""
    reader = AnswerReader(method)
    for place in range(0, len(raw), size):
        if plain := reader.feed(raw[place : place + size]):
            return plain
    return reader.feed(b"") if ended else b""


def parsed(plain: bytes) -> tuple[int, bytes, dict[str, str]]:
    """Read the plainest form as ``http.client`` does."""

    class Socket:
        def makefile(self, mode: str) -> io.BytesIO:
            return io.BytesIO(plain)

    socket: Any = Socket()
    response = http.client.HTTPResponse(socket, method="POST")
    response.begin()
    return response.status, response.read(), {name.lower(): value for name, value in response.getheaders()}


def test_answer_keeps_status_body_and_what_is_read_of_its_head() -> None:
    raw = b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Type: text/html\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nno"
    status, body, fields = parsed(read(raw))
    assert (status, body) == (429, b"no")
    assert fields == {"retry-after": "7", "content-type": "text/html", "content-length": "2"}


@given(st.integers(1, 70), st.sampled_from(["plain", "chunked", "gzip", "closed"]))
def test_pieces_make_no_difference(size: int, form: str) -> None:
    raw = {
        "plain": ANSWER,
        "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
        "gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n" + gzip.compress(BODY),
        "closed": b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
    }[form]
    assert read(raw, size=size) == read(raw)
    assert parsed(read(raw, size=size))[:2] == (200, BODY)


@given(st.binary(max_size=300), st.integers(1, 40))
def test_whatever_comes_is_an_answer_or_is_refused(raw: bytes, size: int) -> None:
    for start in (b"", b"HTTP/1.1 200 OK\r\n", ANSWER[:-1]):
        with contextlib.suppress(BrokenAnswerError, zlib.error):
            parsed(read(start + raw, size=size))


class TestKept:
    """Whether a connection may be used for another post is said to the library."""

    @pytest.mark.parametrize(
        "raw",
        [
            pytest.param(ANSWER + b"x", id="bytes behind it"),
            pytest.param(ANSWER + b"x" * 100_000, id="many bytes behind it"),
            pytest.param(ANSWER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), id="close"),
            pytest.param(ANSWER.replace(b"1.1", b"1.0"), id="HTTP/1.0"),
        ],
    )
    def test_it_is_closed(self, raw: bytes) -> None:
        assert parsed(read(raw))[2]["connection"] == "close"

    def test_it_is_kept(self) -> None:
        assert "connection" not in parsed(read(ANSWER))[2]


class TestCaps:
    @pytest.mark.parametrize("pack", [bytes, gzip.compress, zlib.compress], ids=["plain", "gzip", "deflate"])
    @pytest.mark.parametrize("over", [0, 1])
    def test_body(self, pack: Callable[[bytes], bytes], over: int) -> None:
        packed = pack(b" " * (ANSWER_BYTES + over))
        coding = {bytes: b"identity", gzip.compress: b"gzip", zlib.compress: b"deflate"}[pack]
        raw = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (coding, len(packed)) + packed
        if over:
            with pytest.raises(TooLargeError):
                read(raw)
        else:
            assert len(parsed(read(raw))[1]) == ANSWER_BYTES

    def test_members_of_gzip_count_together(self) -> None:
        packed = gzip.compress(b" " * (ANSWER_BYTES // 2 + 1)) * 2
        with pytest.raises(TooLargeError):
            read(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + packed)

    @pytest.mark.parametrize("size", [1 << 20, 1000])
    def test_head(self, size: int) -> None:
        """However much of it comes at once."""

        def head(bytes_of_it: int) -> bytes:
            return ANSWER.replace(b"\r\n\r\n", b"\r\nX: " + b"x" * bytes_of_it + b"\r\n\r\n")

        assert parsed(read(head(HEAD_BYTES - 8192), size=size))[0] == 200
        with pytest.raises(BrokenAnswerError):
            read(head(HEAD_BYTES + 8192), size=size)

    def test_informational_answers(self) -> None:
        early = b"HTTP/1.1 103 Early Hints\r\n\r\n"
        assert parsed(read(early * MOST_INTERIM + ANSWER))[1] == BODY
        with pytest.raises(BrokenAnswerError, match="without end"):
            read(early * (MOST_INTERIM + 1) + ANSWER)


class TestEnd:
    @pytest.mark.parametrize("length", [0, 5, 20, len(ANSWER) - 1])
    def test_too_early(self, length: int) -> None:
        with pytest.raises(BrokenAnswerError, match="closed before the answer was whole"):
            read(ANSWER[:length])

    @pytest.mark.parametrize("body", [b"<ht", b"", gzip.compress(b"<html>")[:-3]], ids=["some", "none", "packed"])
    @pytest.mark.parametrize("status", [302, 403, 495, 502])
    def test_of_what_is_no_200_is_the_pages_and_not_the_answers(self, status: int, body: bytes) -> None:
        raw = b"HTTP/1.1 %d No\r\nContent-Length: 99\r\n\r\n" % status + body
        found, _, fields = parsed(read(raw))
        assert (found, fields["connection"]) == (status, "close")
        reader = AnswerReader()
        reader.feed(raw)
        assert parsed(reader.cut_off())[0] == status

    def test_of_a_200_is_no_answer(self) -> None:
        reader = AnswerReader()
        assert reader.feed(ANSWER[:-1]) == reader.cut_off() == b""

    def test_what_is_quoted_of_it_is_nothing(self) -> None:
        with pytest.raises(BrokenAnswerError) as broken:
            read(b"usersig=eJw HTTP\r\n\r\n")
        assert str(broken.value) == "no HTTP that can be read"
        assert (broken.value.__cause__, broken.value.__context__) == (None, None)


class TestConsent:
    """To a request for a tunnel: the head decides, and nothing behind it is waited for."""

    @pytest.mark.parametrize("status", [200, 204, 299])
    def test_any_2xx_is_one(self, status: int) -> None:
        raw = b"HTTP/1.1 %d Established\r\nContent-Length: 99\r\n\r\n" % status
        assert read(raw, method="CONNECT", ended=False) == b"HTTP/1.1 200 -\r\n\r\n"

    def test_refusal_keeps_its_status(self) -> None:
        raw = b"HTTP/1.1 403 No\r\nContent-Length: 99\r\n\r\n"
        assert read(raw, method="CONNECT", ended=False).startswith(b"HTTP/1.1 403 -\r\n")


class TestWork:
    """What an answer may cost the loop that reads it."""

    @staticmethod
    def chunked(body: bytes) -> bytes:
        pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"

    def test_chunks_are_counted(self) -> None:
        assert len(parsed(read(self.chunked(b" " * MOST_CHUNKS)))[1]) == MOST_CHUNKS
        with pytest.raises(BrokenAnswerError, match="without end"):
            read(self.chunked(b" " * (MOST_CHUNKS + 100)))

    def test_what_stands_between_chunks_is_counted(self) -> None:
        reader = AnswerReader()
        reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"1;a=" + b"x" * 60_000 + b"\r\na\r\n"
        with pytest.raises(TooLargeError):
            deque(map(reader.feed, [chunk] * MOST_CHUNKS), maxlen=0)

    def test_members_of_gzip_are_counted(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
        empty = gzip.compress(b"")
        assert parsed(read(head + empty * (MOST_MEMBERS - 1) + gzip.compress(BODY)))[1] == BODY
        with pytest.raises(zlib.error):
            read(head + empty * 20_000 + gzip.compress(BODY))


class TestFields:
    """Of what is handed on, each field stands once, short and in ASCII: the libraries differ in the rest."""

    @pytest.mark.parametrize(
        ("fields", "handed_on"),
        [
            pytest.param(b"Retry-After: 1\r\nRetry-After: 2", {"retry-after": "1"}, id="twice"),
            pytest.param(b"Retry-After:", {"retry-after": ""}, id="empty"),
            pytest.param(b"Content-Type: " + b"x" * 9000, {"content-type": "x" * FIELD_BYTES}, id="long"),
            pytest.param(b"Content-Type: \xfc\x01\x85b", {"content-type": "???b"}, id="no writing"),
        ],
    )
    def test_it_is_plain(self, fields: bytes, handed_on: dict[str, str]) -> None:
        raw = ANSWER.replace(b"Content-Type: application/json", fields)
        found = parsed(read(raw))[2]
        assert found == {**handed_on, "content-length": str(len(BODY))}


class TestMore:
    def test_connection_that_holds_more_is_not_used_again(self) -> None:
        reader = AnswerReader()
        reader.holds_more = True
        assert parsed(reader.feed(ANSWER))[2]["connection"] == "close"

    def test_it_counts_only_when_the_answer_is_whole(self) -> None:
        reader = AnswerReader()
        reader.holds_more = True
        reader.feed(ANSWER[:-1])
        reader.holds_more = False
        assert "connection" not in parsed(reader.feed(ANSWER[-1:]))[2]


class TestDecided:
    """A status other than 200 says all that there is to know, also where time runs out in the middle of its page."""

    def test_by_its_status(self) -> None:
        def receive(buffer: memoryview) -> int:
            if not pieces:
                raise TimeoutError
            buffer[: len(pieces[0])] = pieces[0]
            return len(pieces.pop(0))

        buffer = bytearray(1000)
        pieces = [b"HTTP/1.1 403 No\r\nContent-Length: 99\r\n\r\n", b"<html>"]
        count = AnswerReader().give(buffer, receive)
        status, body, fields = parsed(bytes(buffer[:count]))
        assert (status, body, fields["connection"]) == (403, b"<html>", "close")
        pieces = [b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", b"<html>"]
        with pytest.raises(TimeoutError):
            AnswerReader().give(buffer, receive)

    def test_reply_is_that_of_the_whole_answer(self) -> None:
        reader = AnswerReader()
        assert reader.decided() is None
        reader.feed(b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Type: a/b\r\nContent-Length: 9\r\n\r\nno")
        assert reader.decided() == Reply(429, b"no", "7", "a/b")

    def test_a_200_decides_nothing(self) -> None:
        reader = AnswerReader()
        reader.feed(ANSWER[:-1])
        assert reader.decided() is None
