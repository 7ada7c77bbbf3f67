"""How an encrypted key is encrypted: the work that it asks for, a number that its sender chooses, and the cipher.

A passphrase is stretched by as many rounds as the key says, up to two thousand million, and no other thread of the process
runs meanwhile: a key that is tested on the API server would stop it for a quarter of an hour.
"""

from __future__ import annotations

import base64
import contextlib
import math
from collections.abc import Iterator
from typing import Final

from airflow_provider_timav.videorelay.der import CONSTRUCTED, INTEGER, OID, values

__all__ = ["MOST_ROUNDS", "is_usual", "rounds"]

MOST_ROUNDS: Final = 2_000_000
"""About a second. OpenSSL's own default is 2048, recommendations are at 600,000."""
_SCRYPT: Final = bytes.fromhex("2b06010401da47040b")
_DEEPEST: Final = 8
# Ciphers that OpenSSL and cryptography both open: AES in CBC mode, triple DES (RFC 8018, B.2), PKCS #12's scheme with it.
_USUAL: Final = frozenset(
    bytes.fromhex(oid)
    for oid in (
        "608648016503040102",  # AES-128-CBC
        "608648016503040116",  # AES-192-CBC
        "60864801650304012a",  # AES-256-CBC
        "2a864886f70d0307",  # DES-EDE3-CBC
        "2a864886f70d010c0103",  # pbeWithSHAAnd3-KeyTripleDES-CBC
    )
)
_USUAL_NAMES: Final = ("AES-128-CBC", "AES-256-CBC", "DES-EDE3-CBC")  # of traditional keys it opens fewer
_STRETCHED_WITH_MD5: Final = bytes.fromhex("2a864886f70d0206")
_SCRYPT_BYTES: Final = 32 * 1024 * 1024
"""The memory that OpenSSL lets scrypt take."""


def rounds(base64_text: str) -> int:
    """Return the rounds that a PKCS #8 key asks for (RFC 5958: `EncryptedPrivateKeyInfo`); 0 if it is no such key in DER.

    That is the largest number in it; with scrypt (RFC 7914) the product of its three costs, if that is larger.
    """
    found = _algorithm(base64_text)
    # The maker of the key chose each number: a zero among them must not hide the others.
    numbers = [max(int.from_bytes(value, "big"), 1) for tag, value in found if tag == INTEGER]
    most = max(numbers, default=0)
    return max(most, math.prod(numbers[:3])) if (OID, _SCRYPT) in found else most


def is_usual(inner: str) -> bool:
    """Return whether a key that does not open is encrypted in a way that is supported here, as far as can be seen.

    :param inner: what stands between the marks of the key: base64, or the headers of a traditional key (RFC 1421) before it.
    """
    if "DEK-Info:" in inner:
        return any(f"DEK-Info: {name}," in inner for name in _USUAL_NAMES)
    found = _algorithm(inner)
    kinds = {value for tag, value in found if tag == OID}
    if not kinds:
        return True
    if _SCRYPT in kinds:
        cost, block, *_ = (*(int.from_bytes(value, "big") for tag, value in found if tag == INTEGER), 0, 0)
        if 128 * block * (cost + 3) > _SCRYPT_BYTES:
            return False
    return not kinds.isdisjoint(_USUAL) and _STRETCHED_WITH_MD5 not in kinds


def _algorithm(base64_text: str) -> list[tuple[int, bytes]]:
    """Return tag and contents of each value in the description of a key's encryption; none if it is no such key."""
    with contextlib.suppress(ValueError, IndexError, StopIteration):
        whole = next(values(base64.b64decode("".join(base64_text.split()), validate=True)))[1]
        _, algorithm = next(values(whole))
        return list(_primitives(algorithm, 0))
    return []


def _primitives(der: bytes, depth: int) -> Iterator[tuple[int, bytes]]:
    """Yield tag and contents of each value that holds no others."""
    for tag, value in values(der):
        if not tag & CONSTRUCTED:
            yield tag, value
        elif depth < _DEEPEST:
            yield from _primitives(value, depth + 1)
