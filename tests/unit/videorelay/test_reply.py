"""What an HTTP status other than 200 comes to."""

from __future__ import annotations

import pytest

from airflow_provider_timav.videorelay.errors import (
    CertificateError,
    ProtocolError,
    RateLimited,
    ServiceError,
    TimAVError,
)
from tests.unit.videorelay.reading import answer, read

STATUSES: dict[str, tuple[int, str, type[TimAVError], str]] = {
    "100": (103, "", ServiceError, "ambiguous"),
    "204": (204, "", ServiceError, "ambiguous"),
    "H1 301": (301, "", ProtocolError, "fail"),
    "H1 308": (308, "", ProtocolError, "fail"),
    "H2 400": (400, "<html>Bad Request</html>", ProtocolError, "fail"),
    "T2 nginx, no certificate": (400, "<h1>400</h1>No required SSL certificate was sent", CertificateError, "fail"),
    "T3 nginx, foreign certificate": (400, "The SSL certificate error", CertificateError, "fail"),
    "495": (495, "", CertificateError, "fail"),
    "496": (496, "", CertificateError, "fail"),
    "497": (497, "", ProtocolError, "fail"),
    "407 behind the tunnel": (407, "", ProtocolError, "fail"),
    "421": (421, "", ProtocolError, "fail"),
    "511": (511, "", ProtocolError, "fail"),
    "H3 401": (401, "", ProtocolError, "fail"),
    "H3 403": (403, "", ProtocolError, "fail"),
    "H4 404": (404, "", ProtocolError, "fail"),
    "408": (408, "", RateLimited, "rate_limited"),
    "H5 413": (413, "", ProtocolError, "fail"),
    "429": (429, "", RateLimited, "rate_limited"),
    "H7 500": (500, "", ServiceError, "ambiguous"),
    "H8 502": (502, "<html>", ServiceError, "ambiguous"),
    "H9 503": (503, "", ServiceError, "ambiguous"),
    "H10 504": (504, "", ServiceError, "ambiguous"),
}


@pytest.mark.parametrize(("status", "body", "kind", "outcome_class"), STATUSES.values(), ids=STATUSES.keys())
def test_http_status_has_its_class(status: int, body: str, kind: type[TimAVError], outcome_class: str) -> None:
    with pytest.raises(kind) as failed:
        read(body, status)
    assert type(failed.value) is kind
    assert (failed.value.layer, failed.value.code, failed.value.outcome_class) == ("http", status, outcome_class)


@pytest.mark.parametrize(
    ("status", "body", "field", "words"),
    [
        pytest.param(
            400, "<h1>No required SSL certificate was sent", "client_cert", "no client certificate", id="nginx"
        ),
        pytest.param(400, "<h1>The SSL certificate error", "client_cert", "was refused", id="nginx, foreign"),
        pytest.param(
            403, "403.7 - SSL client certificate is required.", "client_cert", "no client certificate", id="IIS"
        ),
        pytest.param(403, "403.16 - Client certificate is untrusted", "client_cert", "was refused", id="IIS, foreign"),
        pytest.param(
            403,
            "Reason: Cannot perform Post-Handshake Authentication.",
            "client_cert",
            "no client certificate",
            id="Apache",
        ),
        pytest.param(495, "", "client_cert", "was refused", id="495"),
        pytest.param(496, "", "client_cert", "no client certificate", id="496"),
        pytest.param(497, "", "host", "HTTP 497", id="plain HTTP on a port of TLS"),
        pytest.param(302, "", "host", "redirects", id="a redirect"),
        pytest.param(404, "", "host", "HTTP 404", id="no such resource"),
        pytest.param(421, "", "host", "HTTP 421", id="not responsible"),
        pytest.param(407, "", "proxy", "wants credentials", id="a proxy behind the tunnel"),
        pytest.param(511, "", "proxy", "login", id="a network that wants a login"),
        pytest.param(403, "", None, "HTTP 403", id="a refusal without a reason"),
        pytest.param(413, "", None, "HTTP 413", id="too large"),
    ],
)
def test_status_names_the_field_that_it_is_about(status: int, body: str, field: str | None, words: str) -> None:
    with pytest.raises(TimAVError, match=words) as failed:
        read(body, status)
    assert (failed.value.field, failed.value.executed, failed.value.retryable) == (field, "no", False)


def test_business_result_counts_only_with_status_200() -> None:
    with pytest.raises(ServiceError):
        read(answer(), 500)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("3600", 30.0),
        ("soon", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("9" * 12, None),
        ("²", None),
        ("٣", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_and_capped(header: str | None, seconds: float | None) -> None:
    with pytest.raises(RateLimited) as limited:
        read("", 429, retry_after=header)
    assert limited.value.retry_after == seconds


def test_503_from_a_proxy_was_not_executed() -> None:
    with pytest.raises(ServiceError) as failed:
        read("<html>", 503, content_type="text/html")
    assert (failed.value.outcome_class, failed.value.executed) == ("retry", "no")
