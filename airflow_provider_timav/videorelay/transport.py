"""What both clients know of a post in the air, and what it means when it fails: one judgement, one wording.

Whether anything was sent is asked of TLS itself and not of a library: an exception that says "timeout" or "closed" comes
from either side of the first byte, and only before it can nothing have been executed.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import zlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, TypeGuard

from airflow_provider_timav.videorelay.errors import CertificateError, ProtocolError, TimAVError, TransportError
from airflow_provider_timav.videorelay.exchange import ANSWER_BYTES
from airflow_provider_timav.videorelay.line import RequestLine, Secret

__all__ = ["HEADERS", "Flight", "TooLargeError", "current_flight", "error_of", "in_flight"]

HEADERS: Final = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "airflow-provider-timav",
}


@dataclass
class Flight:
    """The post that this thread, or this task of a loop, has in the air, as its sockets know it. ``repr`` shows no credential.

    :param deadline: until when it may take, on the monotonic clock.
    :param line: writes the UserSig into the request line.
    :param introduction: what a proxy is told with the request for a tunnel.
    :param reached: whether TLS with the service has begun; until then a proxy, where there is one, has the word.
    :param sent: whether the first byte has left.
    :param refusal: what TLS said, where a library might lose it.
    :param socket: the one in use, for who wants to cut it (the synchronous client).
    """

    deadline: float
    line: RequestLine = field(repr=False)
    introduction: Secret | None = field(default=None, repr=False)
    reached: bool = False
    sent: bool = False
    refusal: ssl.SSLError | None = None
    socket: socket.socket | None = None


_FLIGHT: ContextVar[Flight | None] = ContextVar("timav_flight", default=None)


@contextlib.contextmanager
def in_flight(flight: Flight) -> Iterator[None]:
    """Have the sockets of this thread or task note what they do in this flight."""
    token = _FLIGHT.set(flight)
    try:
        yield
    finally:
        _FLIGHT.reset(token)


def current_flight() -> Flight | None:
    """Return the flight that this thread or task is in."""
    return _FLIGHT.get()


class TooLargeError(OSError):
    """The answer exceeds the cap."""


def error_of(trouble: BaseException, flight: Flight, *, proxied: bool) -> TimAVError:
    """Return the error that a fault of the transport means; its text holds kinds and system messages, no address.

    :param trouble: what a library raised; its own text is not used, for it may hold the address.
    :param proxied: whether a proxy is on the way.
    """
    chain = list(_chain(trouble, flight.refusal))
    for link in chain:
        if _is_of_tls(link) and (error := _tls_error(link, sent=flight.sent)) is not None:
            return error
    kind = _kind(chain)
    if flight.sent:
        return TransportError(
            f"the request was sent, but no whole answer came ({kind})",
            layer="transport",
            outcome_class="ambiguous",
            executed="maybe",
        )
    by_proxy = proxied and not flight.reached
    if by_proxy and any(_wants_credentials(link) for link in chain):
        return ProtocolError(
            "the proxy wants other credentials (407): check proxy of the connection",
            field="proxy",
            layer="transport",
            outcome_class="fail",
        )
    return TransportError(
        f"{'the proxy' if by_proxy else 'the service'} was not reached, nothing was executed ({kind}). "
        "Check host, port, proxy and the network.",
        layer="transport",
        outcome_class="retry",
    )


def _chain(*errors: BaseException | None) -> Iterator[BaseException]:
    """Give exceptions and those that they stand for: libraries wrap in ``args``, ``reason``, cause and context."""
    seen: set[int] = set()
    todo: list[Any] = [*errors]
    while todo:
        item = todo.pop(0)
        if isinstance(item, BaseException) and id(item) not in seen:
            seen.add(id(item))
            yield item
            todo += [*item.args, getattr(item, "reason", None), item.__cause__, item.__context__]


def _is_of_tls(link: BaseException) -> TypeGuard[ssl.SSLError]:
    """Whether OpenSSL said this; aiohttp has heirs of SSLError without what OpenSSL says."""
    return isinstance(link, ssl.SSLError) and type(link).__module__ == "ssl"


def _kind(chain: list[BaseException]) -> str:
    """Return in a few words what happened, from types and system messages only."""
    if any(isinstance(link, TooLargeError) for link in chain):
        return f"the answer exceeds {ANSWER_BYTES} bytes"
    if any(isinstance(link, zlib.error) for link in chain):
        return "the answer cannot be unpacked"
    if any(isinstance(link, socket.gaierror) for link in chain):
        return "the host name cannot be resolved"
    # The system's own word first: urllib3 counts a refused connection among its timeouts.
    for link in chain:
        if _is_of_tls(link) and link.reason:
            return re.sub(r"[^\w ]", "", link.reason.replace("_", " ").lower())
        # The libraries' own errors are OSErrors too, and repeat numbers of TLS as if they were the system's.
        if isinstance(link, OSError) and type(link).__module__ == "builtins" and link.errno:
            return os.strerror(link.errno)
    if any(isinstance(link, TimeoutError) or type(link).__name__.endswith("TimeoutError") for link in chain):
        return "no answer in time"
    return type(chain[-1]).__name__


# What http.client says of a proxy's answer. The number alone stands in many a text: in ports, in addresses, in random numbers.
_REFUSED_BY_PROXY: Final = re.compile(r"Tunnel connection failed: 407\b")


def _wants_credentials(link: BaseException) -> bool:
    """Whether this is a proxy's 407: http.client has it in an OSError's text, aiohttp as a status."""
    return getattr(link, "status", None) == 407 or (
        isinstance(link, OSError) and _REFUSED_BY_PROXY.search(str(link)) is not None
    )


# Alerts by which a server refuses the client's certificate; they reach us before anything was executed, even though with
# TLS 1.3 they come after the request was written.
_CLIENT_REFUSED: Final = re.compile(
    r"ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_(EXPIRED|REVOKED|UNKNOWN)|"
    r"UNSUPPORTED_CERTIFICATE|ACCESS_DENIED|HANDSHAKE_FAILURE|NO_CERTIFICATE|DECRYPT_ERROR)"
)


def _tls_error(error: ssl.SSLError, *, sent: bool) -> TimAVError | None:
    """Return the error that a fault of TLS means, or None where it is a broken connection like any other."""
    facts: dict[str, Any] = {"layer": "transport", "outcome_class": "fail"}
    if isinstance(error, ssl.SSLCertVerificationError):
        said = error.verify_message or "not trusted"
        message = f"the server's certificate is refused: {said}. Check host and ca_cert of the connection."
        return CertificateError(
            message, field="host" if "ostname" in said or "IP address" in said else "ca_cert", **facts
        )
    reason = error.reason or ""
    if _CLIENT_REFUSED.search(reason):
        message = f"the server refused the client certificate ({reason}). Check client_cert and private_key."
        return CertificateError(message, field="client_cert", **facts)
    if not sent and ("PROTOCOL" in reason or "VERSION" in reason or "WRONG_" in reason or "HTTP_REQUEST" in reason):
        message = f"the server does not speak TLS 1.2 or newer on this port ({reason}). Check host and port."
        return ProtocolError(message, field="host", **facts)
    return None
