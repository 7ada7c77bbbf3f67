"""Whether bytes can begin a segment, and data that an address holds itself."""

from __future__ import annotations

import base64
import codecs
import re
from urllib.parse import unquote_to_bytes

__all__ = ["inline", "may_be_media"]

_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<[A-Za-z!?]|[{\[]\s*[\"{\[\]}]|#EXTM3U)")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]")
"""Bytes that stand in no text, and among the first of all media: not even the head of a packet of MPEG-TS is without."""


def may_be_media(body: bytes) -> bool:
    """Return whether bytes that are not encrypted can begin a segment: MPEG-TS, MP4, packed audio or WebVTT (RFC 8216, 3).

    Servers answer 200 with a page that says "not found", or with an error in XML or JSON, or in a few words of any language
    (``Gone`` begins as a packet of MPEG-TS does).
    """
    if _MARKUP.match(body):
        return False
    if body.removeprefix(codecs.BOM_UTF8).startswith(b"WEBVTT"):
        return True
    # Nothing but the byte that packets begin with is no word.
    return not body.strip(b"G") or not (_is_text(body, "utf-8") or _is_text(body, "gbk"))


def inline(address: str) -> bytes | None:
    """Return the data that an address holds itself (RFC 2397); None if it is another kind of address."""
    if address[:5].lower() != "data:":
        return None
    head, _, data = address[5:].partition(",")
    body = unquote_to_bytes(data)
    if not head.lower().endswith(";base64"):
        return body
    try:
        return base64.b64decode(body)
    except ValueError:
        return b""


def _is_text(body: bytes, coding: str) -> bool:
    """Return whether bytes are the beginning of a text; the last character may be cut off."""
    if _CONTROL.search(body):
        return False
    try:
        codecs.getincrementaldecoder(coding)().decode(body)
    except UnicodeDecodeError:
        return False
    return True
