"""Content codings of a playlist."""

from __future__ import annotations

import gzip
import zlib

import pytest

from harness.streams.site import media
from tests.unit.stream.web import URL, absence, ok, probe


def raw_deflate(body: bytes) -> bytes:
    packing = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packing.compress(body) + packing.flush()


def in_members(body: bytes) -> bytes:
    """Pack in gzip as servers do that compress old and new segments apart (RFC 1952, 2.2)."""
    return gzip.compress(body[:40]) + gzip.compress(body[40:]) + b"\0" * 8


@pytest.mark.parametrize(
    ("pack", "encoding"),
    [
        (gzip.compress, "gzip"),
        (gzip.compress, "x-gzip"),
        (in_members, "gzip"),
        (zlib.compress, "deflate"),
        (raw_deflate, "deflate"),
        (lambda body: gzip.compress(gzip.compress(body)), "gzip, gzip"),
        (gzip.compress, "identity, gzip"),
        (bytes, "aws-chunked"),
        (bytes, "utf-8"),
    ],
    ids=["gzip", "x-gzip", "members", "zlib", "deflate", "twice", "list", "aws-chunked", "unknown"],
)
def test_a_compressed_playlist_is_read(pack: object, encoding: str) -> None:
    body = pack(media(7, 3).encode())  # type: ignore[operator]
    assert probe({URL: ok(body, encoding=encoding)})[0].tail == 10


@pytest.mark.parametrize(
    ("body", "encoding", "why"),
    [
        (gzip.compress(b"#EXTM3U\n" + b"#" * (200 << 20), 1), "gzip", "a body of more than 16 MiB"),
        (gzip.compress(media(7, 300).encode())[:200], "gzip", "a body that was cut off"),
        (b"#EXTM3U", "gzip", "a body that cannot be decompressed"),
        (b"#EXTM3U", "deflate", "a body that cannot be decompressed"),
        (b"#EXTM3U", "br", "a body in a content coding that was not asked for and is not read here"),
    ],
    ids=["bomb", "cut-off", "not-gzip", "not-deflate", "brotli"],
)
def test_a_body_that_cannot_be_unpacked_is_absent(body: bytes, encoding: str, why: str) -> None:
    assert absence({URL: ok(body, encoding=encoding)}) == why
