"""The reply that came back over the wire, and the error that an HTTP status other than 200 means."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_provider_timav.videorelay.errors import (
    CertificateError,
    ProtocolError,
    RateLimited,
    ServiceError,
    TimAVError,
)

__all__ = ["Reply", "http_failure"]

RETRY_AFTER_MAX: Final = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply that came back over the wire: the HTTP status, the header fields that matter, the body (size already capped).

    ``repr`` shows no body: it may quote what was sent.
    """

    status: int
    body: bytes = field(repr=False)
    retry_after: str | None = None
    content_type: str = ""


def http_failure(reply: Reply) -> TimAVError | None:
    """Return the error that an HTTP status means, or None for 200, whose body decides.

    The gateway answers 200 even for failures; another status comes from something before it: a proxy, a balancer, nginx.
    """
    status = reply.status
    if status == 200:
        return None
    at_http: dict[str, Any] = {"layer": "http", "code": status}
    if (said := _of_client_certificate(reply)) is not None:
        return CertificateError(
            f"{said} (HTTP {status}). Check client_cert and private_key of the connection.",
            field="client_cert",
            outcome_class="fail",
            **at_http,
        )
    if status == 407:
        return ProtocolError(
            "a proxy behind the tunnel wants credentials (HTTP 407). Check proxy of the connection.",
            field="proxy",
            outcome_class="fail",
            **at_http,
        )
    if status == 511:
        # Of a network that wants a login first, never of the service itself (RFC 6585, 6).
        return ProtocolError(
            "the network lets nothing pass before a login (HTTP 511). Check proxy of the connection, and the network.",
            field="proxy",
            outcome_class="fail",
            **at_http,
        )
    if status in (408, 425, 429):
        return RateLimited(
            f"the service asks to wait (HTTP {status})",
            outcome_class="rate_limited",
            retry_after=_seconds(reply.retry_after),
            **at_http,
        )
    if status == 503 and (reply.retry_after is not None or "html" in reply.content_type.lower()):
        # With a Retry-After, or from a proxy's own page, nothing behind it was reached.
        return ServiceError(
            "the service is not available (HTTP 503)",
            outcome_class="rate_limited" if reply.retry_after is not None else "retry",
            retryable=True,
            retry_after=_seconds(reply.retry_after),
            **at_http,
        )
    if status >= 500 or status < 300:
        # 502 and 504 come with and without the upstream having been reached; it cannot be told apart.
        return ServiceError(
            f"no usable answer (HTTP {status})",
            outcome_class="ambiguous",
            retryable=True,
            executed="maybe",
            **at_http,
        )
    if status < 400:
        return ProtocolError(
            f"the host redirects (HTTP {status}); redirects are not followed, because the address holds the UserSig. "
            "Check host and port of the connection.",
            field="host",
            outcome_class="fail",
            **at_http,
        )
    return ProtocolError(
        f"the host does not take the request (HTTP {status}). Check host, port and proxy of the connection.",
        field="host" if status in _ANOTHER_HOST else None,
        outcome_class="fail",
        **at_http,
    )


# By these, what answers says that it is another host, or another port, than was meant: no such resource or method, not
# responsible (RFC 9110, 15.5.20), and nginx's 497 for plain HTTP on a port of TLS.
_ANOTHER_HOST: Final = frozenset({404, 405, 421, 497})
# The words of servers that end TLS, on a page of 400, 401 or 403 instead of an alert: nginx with ssl_verify_client, IIS
# (403.7 and 403.16), Apache with SSLVerifyClient, which asks for the certificate late.
_CERTIFICATE_PAGE: Final = re.compile(
    rb"SSL certificate|client certificate|post-handshake authentication", re.IGNORECASE
)
_NONE_ARRIVED: Final = re.compile(
    rb"No required SSL certificate|client certificate (is )?required|post-handshake authentication", re.IGNORECASE
)


def _of_client_certificate(reply: Reply) -> str | None:
    """Return the judgement of a server that ends TLS on the client certificate, or None if its answer has none."""
    # 495 and 496 are nginx's own; its relatives and balancers built on it send them as they are.
    is_page = reply.status in (400, 401, 403) and _CERTIFICATE_PAGE.search(reply.body) is not None
    if reply.status == 496 or (is_page and _NONE_ARRIVED.search(reply.body)):
        return "no client certificate arrived"
    if reply.status == 495 or is_page:
        return "the client certificate was refused (foreign, or expired)"
    return None


def _seconds(retry_after: str | None) -> float | None:
    """Return the seconds of a Retry-After, capped; its date form counts as not given (clocks differ)."""
    # isdigit alone is also true of a superscript, which is no number to float().
    if retry_after is None or not (retry_after.isascii() and retry_after.strip().isdigit()) or len(retry_after) > 9:
        return None
    return min(float(retry_after), RETRY_AFTER_MAX)
