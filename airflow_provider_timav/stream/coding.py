"""Undoes content codings of a playlist's body."""

from __future__ import annotations

import zlib

from airflow_provider_timav.stream.lines import LARGEST_PLAYLIST, NotAPlaylist, TooLong
from airflow_provider_timav.stream.reasons import CUT_OFF, UNREADABLE_CODING

__all__ = ["decoded"]


def decoded(body: bytes, encoding: str) -> bytes:
    """Undo the content encoding, at most one byte beyond the largest playlist: a bomb is never unpacked.

    A coding that is not registered (object stores answer ``aws-chunked``) is passed over, as browsers do.

    :param encoding: the value of ``Content-Encoding``.
    :raises NotAPlaylist: if it cannot be undone.
    """
    codings = [one.strip() for one in encoding.split(",")] if encoding else []
    for coding in reversed(codings[-2:]):
        if coding in ("br", "zstd"):
            raise NotAPlaylist(UNREADABLE_CODING)
        if coding in ("gzip", "x-gzip", "deflate"):
            body = _unpacked(body, raw_first=coding == "deflate")
    return body


def _unpacked(body: bytes, *, raw_first: bool) -> bytes:
    """Unpack gzip, of one member or several (RFC 1952, 2.2), or zlib; ``deflate`` is also sent without zlib's head."""
    if len(body) > LARGEST_PLAYLIST:
        raise TooLong
    found = bytearray()
    rest = body
    while rest and len(found) <= LARGEST_PLAYLIST:
        unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        try:
            found += unpacking.decompress(rest, LARGEST_PLAYLIST + 1 - len(found))
        except zlib.error:
            if found:
                break  # padding after the last member
            if not raw_first:
                raise NotAPlaylist("a body that cannot be decompressed") from None
            unpacking = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
            try:
                found += unpacking.decompress(rest, LARGEST_PLAYLIST + 1)
            except zlib.error:
                raise NotAPlaylist("a body that cannot be decompressed") from None
        if not unpacking.eof and len(found) <= LARGEST_PLAYLIST:
            # Half a playlist would look like one whose tail went back.
            raise NotAPlaylist(CUT_OFF)
        rest = unpacking.unused_data
    return bytes(found)
