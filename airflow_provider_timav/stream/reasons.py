"""Why a probe found no stream, in words for people, and which of these reasons lie with the probe and not with the stream.

A server that does not let us in, a name server or a proxy that is away, or a list that is longer than we read concerns the
probe only: viewers, who have other addresses, networks and players, may watch on. Such a stream is *not seen*, which is not
*gone*.
"""

from __future__ import annotations

import errno
from typing import Final

__all__ = [
    "CUT_OFF",
    "HOST_UNKNOWN",
    "NO_CONNECTION",
    "NO_ROUTE",
    "NO_ROUTE_ERRNOS",
    "NO_TLS",
    "PROXY_AWAY",
    "PROXY_REFUSES",
    "UNREADABLE_CODING",
    "in_time",
    "is_unseen",
    "of_status",
]

HOST_UNKNOWN: Final = "the host name is not known"
NO_ROUTE: Final = "our own network has no way there"
NO_ROUTE_ERRNOS: Final = frozenset(
    (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE)
)
"""The system's errors if the fault is on this side: no way, no address, no socket."""
NO_CONNECTION: Final = "no connection"
NO_TLS: Final = "no TLS connection: the server's certificate is not trusted, or it speaks no TLS"
PROXY_AWAY: Final = "the proxy does not answer"
PROXY_REFUSES: Final = "the proxy refuses"
CUT_OFF: Final = "a body that was cut off"
UNREADABLE_CODING: Final = "a body in a content coding that was not asked for and is not read here"

_NOT_LET_IN: Final = (401, 403, 407, 429, 451, 511)
"""Statuses by which a server, or a network on the way, refuses *us*: login, permission, proxy, rate, law, captive portal."""

_UNSEEN: Final = (
    HOST_UNKNOWN,
    NO_ROUTE,
    NO_TLS.partition(":")[0],
    PROXY_AWAY,
    PROXY_REFUSES,
    UNREADABLE_CODING,
    "a body of more than",
    # Addresses that we do not follow: players may.
    "a redirect from https to http",
    "more than ",
    "an address ",
    *(f"HTTP status {status}" for status in _NOT_LET_IN),
)


def in_time(reason: str) -> str:
    """Return the reason if the time is over before anything is heard: ``the proxy does not answer in time``."""
    return f"{reason} in time"


def of_status(status: int) -> str:
    """Return the reason for an HTTP status."""
    return f"HTTP status {status}"


def is_unseen(reason: str) -> bool:
    """Return whether a reason means that we could not see the stream, and not that it is not there.

    :param reason: one of this package; a resource may stand before it (``a segment: HTTP status 403``).
    """
    return any(reason.startswith(one) or f": {one}" in reason for one in _UNSEEN) or reason.endswith(
        "on a private address"
    )
