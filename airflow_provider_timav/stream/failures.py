"""Why a request got no answer, in the words of `reasons`.

The text of aiohttp's exceptions quotes addresses, with the query; none of it is used.

Importing this imports aiohttp.
"""

from __future__ import annotations

import socket

import aiohttp

from airflow_provider_timav.stream import reasons
from airflow_provider_timav.stream.pools import LateName, Way
from airflow_provider_timav.stream.protocol import Overloaded

__all__ = ["why_no_answer", "why_no_proxy"]

_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (Overloaded, "an answer with too much beside its body"),
    (aiohttp.ClientConnectorDNSError, reasons.HOST_UNKNOWN),
    (aiohttp.ClientSSLError, reasons.NO_TLS),
    (TimeoutError, "no connection in time"),
    (aiohttp.ClientConnectorError, reasons.NO_CONNECTION),
    (aiohttp.ClientPayloadError, reasons.CUT_OFF),
    (aiohttp.ServerDisconnectedError, "the server hung up"),
)


def why_no_answer(error: Exception) -> str:
    """Return why no server answered."""
    if _is_no_route(error):
        return reasons.NO_ROUTE
    if isinstance(getattr(error, "os_error", None), LateName):
        return reasons.in_time(reasons.HOST_UNKNOWN)
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), f"no answer ({type(error).__name__})")


def why_no_proxy(error: Exception, way: Way) -> str | None:
    """Return why a request failed before the proxy had done its part; None if that was none of the proxy's doing."""
    if _is_no_route(error):
        return reasons.NO_ROUTE
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return reasons.PROXY_REFUSES
    if isinstance(error, TimeoutError) or isinstance(getattr(error, "os_error", None), LateName):
        return reasons.in_time(reasons.PROXY_AWAY)
    # Without a tunnel an answer that cannot be read may be the server's, as the proxy has passed it on.
    by_proxy = (
        (aiohttp.ClientConnectionError, aiohttp.ClientResponseError) if way.tunnel else aiohttp.ClientConnectionError
    )
    return reasons.PROXY_AWAY if isinstance(error, by_proxy) else None


def _is_no_route(error: Exception) -> bool:
    system = getattr(error, "os_error", error)
    known = isinstance(system, OSError) and system.errno in reasons.NO_ROUTE_ERRNOS
    return known and not isinstance(system, socket.gaierror)
