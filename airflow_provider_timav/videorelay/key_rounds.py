"""How much work an encrypted key asks for before it opens: a number in it that its sender chooses.

A passphrase is stretched by as many rounds as the key says, up to two thousand million, and no other thread of the process
runs meanwhile: a key that is tested on the API server would stop it for a quarter of an hour.
"""

from __future__ import annotations

import base64
import contextlib
import math
from collections.abc import Iterator
from typing import Final

__all__ = ["MOST_ROUNDS", "rounds"]

MOST_ROUNDS: Final = 2_000_000
"""About a second. OpenSSL's own default is 2048, recommendations are at 600,000."""
_SCRYPT: Final = bytes.fromhex("2b06010401da47040b")
_INTEGER: Final = 0x02
_OID: Final = 0x06
_CONSTRUCTED: Final = 0x20
_DEEPEST: Final = 8


def rounds(base64_text: str) -> int:
    """Return the rounds that a PKCS #8 key asks for (RFC 5958: `EncryptedPrivateKeyInfo`); 0 for what is no such key.

    That is the largest number in it; with scrypt (RFC 7914) the product of its three costs, if that is larger.
    """
    with contextlib.suppress(ValueError, IndexError, StopIteration):
        whole = next(_values(base64.b64decode(base64_text)))[1]
        _, algorithm = next(_values(whole))
        found = list(_primitives(algorithm, 0))
        # Whoever made the key chose each number: a zero among them must not hide the others.
        numbers = [max(int.from_bytes(value, "big"), 1) for tag, value in found if tag == _INTEGER]
        most = max(numbers, default=0)
        return max(most, math.prod(numbers[:3])) if (_OID, _SCRYPT) in found else most
    return 0


def _primitives(der: bytes, depth: int) -> Iterator[tuple[int, bytes]]:
    """Yield tag and contents of each value that holds no others."""
    for tag, value in _values(der):
        if not tag & _CONSTRUCTED:
            yield tag, value
        elif depth < _DEEPEST:
            yield from _primitives(value, depth + 1)


def _values(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and contents of each value (X.690, definite lengths)."""
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
