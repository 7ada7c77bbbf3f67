"""UserSigs: the vendor's published algorithm, version 2, from the verifier's side.

A UserSig is a JSON object with the claims and an HMAC-SHA256 over them, compressed and base64-encoded with `*`, `-` and
`_` in place of `+`, `/` and `=`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import zlib
from typing import TYPE_CHECKING, Final, TypedDict, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["VALIDITY_SECONDS", "UserSigRefused", "sign", "sign_with_star", "verify"]

VALIDITY_SECONDS: Final = 180 * 86400  # the vendor's default
_MAX_JSON_BYTES: Final = 4096  # a UserSig's claims take about 200; more is not inflated
_TO_URL = str.maketrans("+/=", "*-_")
_FROM_URL = str.maketrans("*-_", "+/=")


# The names have dots, so the class form cannot write them.
_Claims = TypedDict(
    "_Claims",
    {"TLS.identifier": str, "TLS.sdkappid": int, "TLS.time": int, "TLS.expire": int, "TLS.sig": str},
)
_KINDS: Final = {"TLS.identifier": str, "TLS.sdkappid": int, "TLS.time": int, "TLS.expire": int, "TLS.sig": str}


class UserSigRefused(Exception):
    """The UserSig does not prove the identity that it is sent for; `code` is the gateway's."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def sign(
    *, sdkappid: int, identifier: str, secret_key: str, issued_at: float, validity_seconds: int = VALIDITY_SECONDS
) -> str:
    """Return a UserSig for `identifier`, valid for `validity_seconds` from `issued_at` (Unix time)."""
    claims: dict[str, object] = {
        "TLS.ver": "2.0",
        "TLS.identifier": identifier,
        "TLS.sdkappid": sdkappid,
        "TLS.expire": validity_seconds,
        "TLS.time": int(issued_at),
    }
    claims["TLS.sig"] = _signature(claims, secret_key)
    return base64.b64encode(zlib.compress(json.dumps(claims).encode())).decode().translate(_TO_URL)


def sign_with_star(*, sdkappid: int, identifier: str, secret_key: str, issued_at: float) -> str:
    """Return a UserSig that contains a `*`, as nearly all do: the character that HTTP libraries encode differently."""
    for earlier in range(1000):
        usersig = sign(
            sdkappid=sdkappid, identifier=identifier, secret_key=secret_key, issued_at=int(issued_at) - earlier
        )
        if "*" in usersig:
            return usersig
    raise AssertionError("92 of 100 UserSigs contain a star; a thousand without one do not happen")


def verify(usersig: str, *, sdkappid: int, identifier: str, secret_key: str, now: float) -> None:
    """Check that `usersig` is `identifier`'s for the application `sdkappid`, signed with its key and not expired.

    :raises UserSigRefused: with the gateway's code: 70002 empty, 70003 unreadable, 70014 another application's, 70013
    another identifier's, 70009 signed with another key, 70001 expired.
    """
    if not usersig:
        raise UserSigRefused(70002, "usersig is empty")
    claims = _claims(usersig)
    if claims["TLS.sdkappid"] != sdkappid:
        raise UserSigRefused(70014, "sdkappid is not the usersig's")
    if claims["TLS.identifier"] != identifier:
        raise UserSigRefused(70013, "identifier is not the usersig's")
    if not hmac.compare_digest(claims["TLS.sig"].encode(), _signature(claims, secret_key).encode()):
        raise UserSigRefused(70009, "usersig check failed: signed with another key")
    if now >= claims["TLS.time"] + claims["TLS.expire"]:
        raise UserSigRefused(70001, "usersig expired")


def _claims(usersig: str) -> _Claims:
    try:
        packed = base64.b64decode(usersig.translate(_FROM_URL), validate=True)
        claims = json.loads(zlib.decompressobj().decompress(packed, _MAX_JSON_BYTES))
    except (binascii.Error, zlib.error, ValueError):
        raise UserSigRefused(70003, "usersig cannot be parsed") from None
    if not isinstance(claims, dict) or any(type(claims.get(name)) is not kind for name, kind in _KINDS.items()):
        raise UserSigRefused(70003, "usersig cannot be parsed")
    return cast("_Claims", claims)


def _signature(claims: Mapping[str, object], secret_key: str) -> str:
    signed = "".join(
        f"{name}:{claims[name]}\n" for name in ("TLS.identifier", "TLS.sdkappid", "TLS.time", "TLS.expire")
    )
    if "TLS.userbuf" in claims:
        signed += f"TLS.userbuf:{claims['TLS.userbuf']}\n"
    return base64.b64encode(hmac.new(secret_key.encode(), signed.encode(), hashlib.sha256).digest()).decode()
