"""ASN.1 in DER (X.690), as far as certificates and keys need it: the values in some bytes, and a sequence made of values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

__all__ = ["CONSTRUCTED", "INTEGER", "OID", "SEQUENCE", "sequence", "values"]

INTEGER: Final = 0x02
OID: Final = 0x06
CONSTRUCTED: Final = 0x20
SEQUENCE: Final = 0x30


def values(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and contents of each value that stands in ``der``, one after the other (definite lengths only).

    Of a value that is cut off, what there is of it is yielded: whether it is damaged is for the library to say that uses it.

    :raises IndexError: if a value ends before its contents begin.
    """
    place = 0
    while place < len(der):
        tag, length = der[place], der[place + 1]
        place += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(der[place : place + size], "big")
            place += size
        yield tag, der[place : place + length]
        place += length


def sequence(*parts: bytes, tag: int = SEQUENCE) -> bytes:
    """Return the encoding of a sequence of values that are encoded themselves, or of contents under another tag."""
    contents = b"".join(parts)
    size = len(contents)
    if size < 0x80:
        return bytes([tag, size]) + contents
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + contents
