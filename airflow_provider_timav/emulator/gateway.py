"""The gateway in front of the service: the URL's parameters and the UserSig, before the body is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from airflow_provider_timav.emulator import usersig
from airflow_provider_timav.emulator.operations import UINT32
from airflow_provider_timav.emulator.protocol import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PATH", "check", "random_number", "read_query"]

PATH: Final = "/v3/openim/videorelay"
_KNOWN: Final = frozenset({"usersig", "identifier", "sdkappid", "random", "apn", "contenttype"})


def read_query(query: str) -> dict[str, str]:
    """Return the parameters of a query, decoded strictly.

    :raises Failure: of the gateway (60002) if it cannot be decoded, or names a parameter twice.
    """
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict")
    except ValueError:
        raise Failure("gateway", 60002, "the URL's parameters cannot be parsed") from None
    if len(dict(pairs)) != len(pairs):
        raise Failure("gateway", 60002, "a parameter of the URL occurs twice")
    return dict(pairs)


def check(
    *, method: str, path: str, query: str, sdkappid: int, identifier: str, secret_key: str, now: float
) -> Mapping[str, str]:
    """Check all that stands before the body; return the parameters.

    :raises Failure: of the gateway.
    """
    if path.rstrip("/") != PATH:
        raise Failure("gateway", 60009, "no such resource")
    if method != "POST":
        raise Failure("gateway", 60002, "the method is POST")
    parameters = read_query(query)
    for name in parameters:
        if name not in _KNOWN:
            raise Failure("gateway", 60002, f"unknown parameter {name[:40]!r}")
    if not parameters.get("sdkappid"):
        raise Failure("gateway", 60012, "sdkappid is missing")
    if parameters["sdkappid"] != str(sdkappid):
        raise Failure("gateway", 60006, "sdkappid is not valid")
    if not parameters.get("identifier"):
        raise Failure("gateway", 60004, "identifier is missing")
    try:
        usersig.verify(
            parameters.get("usersig", ""),
            sdkappid=sdkappid,
            identifier=parameters["identifier"],
            secret_key=secret_key,
            now=now,
        )
    except usersig.UserSigRefused as refused:
        raise Failure("gateway", refused.code, refused.reason) from None
    if parameters["identifier"] != identifier:
        raise Failure("gateway", 60010, "needs an administrator account")
    if parameters.get("contenttype") != "json":
        raise Failure("gateway", 60002, "contenttype is json")
    if random_number(parameters) is None:
        raise Failure("gateway", 60002, "random is an unsigned 32-bit integer")
    if parameters.get("apn") not in ("0", "1", "2", "3", "4"):
        raise Failure("gateway", 60002, "apn is 0 to 4")
    return parameters


def random_number(parameters: Mapping[str, str]) -> int | None:
    """Return the parameter `random`, or None if it is no unsigned 32-bit integer."""
    text = parameters.get("random", "")
    is_number = text.isascii() and text.isdigit() and len(text) <= 10
    return int(text) if is_number and int(text) < UINT32 else None
