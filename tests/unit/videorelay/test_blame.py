"""Whom a fault of TLS, or of a proxy, is blamed on."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any

import pytest

from airflow_provider_timav.videorelay.blame import error_of
from airflow_provider_timav.videorelay.errors import CertificateError, ProtocolError, TimAVError, TransportError
from airflow_provider_timav.videorelay.line import RequestLine, Secret
from airflow_provider_timav.videorelay.transport import Flight, PatientSocket


def flight(**facts: Any) -> Flight:
    return Flight(0.0, RequestLine(Secret(b"")), **facts)


def of_tls(reason: str | None, kind: type[ssl.SSLError] = ssl.SSLError) -> ssl.SSLError:
    error = kind(1, "said by OpenSSL")
    error.reason = reason  # type: ignore[assignment]
    return error


GREETED = {"connected": True, "reached": True, "greeted": True}
REFUSALS = [
    "SSLV3_ALERT_HANDSHAKE_FAILURE",
    "SSLV3_ALERT_BAD_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    "SSLV3_ALERT_CERTIFICATE_REVOKED",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    "TLSV1_ALERT_ACCESS_DENIED",
    "TLSV1_ALERT_DECRYPT_ERROR",
    "TLSV1_ALERT_UNKNOWN_CA",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED",
]


@pytest.mark.parametrize("reason", REFUSALS)
class TestAlertOfARefusal:
    def test_once_the_server_can_have_asked_it_is_about_the_certificate(self, reason: str) -> None:
        for facts in (GREETED, {**GREETED, "sent": True}):
            error = error_of(of_tls(reason), flight(**facts), proxied=False)
            assert (type(error), error.field, error.executed) == (CertificateError, "client_cert", "no")

    def test_in_answer_to_the_greeting_it_is_about_what_this_machine_offers(self, reason: str) -> None:
        error = error_of(of_tls(reason), flight(connected=True, reached=True), proxied=False)
        assert (type(error), error.field, error.retryable) == (ProtocolError, "host", False)


PERMANENT = [
    "TLSV1_ALERT_INSUFFICIENT_SECURITY",
    "TLSV1_ALERT_PROTOCOL_VERSION",
    "TLSV1_UNRECOGNIZED_NAME",
    "TLSV1_UNSUPPORTED_EXTENSION",
    "SSLV3_ALERT_ILLEGAL_PARAMETER",
    "UNSAFE_LEGACY_RENEGOTIATION_DISABLED",
    "DH_KEY_TOO_SMALL",
    "WRONG_VERSION_NUMBER",
    "UNSUPPORTED_PROTOCOL",
    None,
]


@pytest.mark.parametrize("reason", PERMANENT)
def test_fault_that_stays_is_no_reason_to_try_again(reason: str | None) -> None:
    for facts in ({"reached": True}, GREETED):
        error = error_of(of_tls(reason), flight(**facts), proxied=False)
        assert (type(error), error.field, error.outcome_class) == (ProtocolError, "host", "fail")


@pytest.mark.parametrize("reason", [*PERMANENT, "TLSV1_ALERT_INTERNAL_ERROR"])
def test_what_came_after_the_request_leaves_it_open(reason: str | None) -> None:
    """Only a refused certificate proves that nothing was executed."""
    error = error_of(of_tls(reason), flight(**GREETED, sent=True), proxied=False)
    assert (error.outcome_class, error.executed) == ("ambiguous", "maybe")


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(of_tls("TLSV1_ALERT_INTERNAL_ERROR"), id="the server's trouble"),
        pytest.param(of_tls("TLSV1_ALERT_USER_CANCELLED"), id="cancelled"),
        pytest.param(of_tls("SSLV3_ALERT_BAD_RECORD_MAC"), id="damaged on the way there"),
        pytest.param(of_tls("DECRYPTION_FAILED_OR_BAD_RECORD_MAC"), id="damaged on the way back"),
        pytest.param(of_tls("UNEXPECTED_EOF_WHILE_READING", ssl.SSLEOFError), id="closed"),
        pytest.param(ConnectionResetError(104, "reset"), id="reset"),
        pytest.param(TimeoutError(), id="too late"),
    ],
)
def test_fault_that_passes_is_tried_again(trouble: BaseException) -> None:
    error = error_of(trouble, flight(connected=True, reached=True), proxied=False)
    assert (type(error), error.outcome_class, error.executed) == (TransportError, "retry", "no")


@pytest.mark.parametrize(
    ("code", "field"),
    [*((code, "ca_cert") for code in (10, 18, 19, 20, 68)), *((code, "host") for code in (26, 62, 64, 66))],
)
def test_certificate_of_the_server_is_its_own_or_its_authoritys_fault(code: int, field: str) -> None:
    trouble = ssl.SSLCertVerificationError(1, "said by OpenSSL")
    trouble.reason, trouble.verify_code, trouble.verify_message = "CERTIFICATE_VERIFY_FAILED", code, "not to be trusted"
    error = error_of(trouble, flight(reached=True), proxied=False)
    assert (type(error), error.field, error.executed) == (CertificateError, field, "no")


def test_key_that_this_side_cannot_sign_with_is_the_connections() -> None:
    error = error_of(of_tls("NO_SUITABLE_SIGNATURE_ALGORITHM"), flight(**GREETED), proxied=False)
    assert (type(error), error.field) == (CertificateError, "client_cert")


class TestProxy:
    @staticmethod
    def refused(status: int, **facts: Any) -> TimAVError:
        trouble = OSError(f"Tunnel connection failed: {status} Tunnel connection failed: 407")
        return error_of(trouble, flight(connected=True, **facts), proxied=True)

    @pytest.mark.parametrize("status", [302, 400, 403, 404, 501, 511])
    def test_refusal_that_stays(self, status: int) -> None:
        error = self.refused(status)
        assert (type(error), error.field, error.code) == (ProtocolError, "proxy", status)
        assert not error.retryable
        assert f"({status})" in error.message

    @pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
    def test_refusal_that_passes(self, status: int) -> None:
        error = self.refused(status)
        assert (type(error), error.field, error.code) == (TransportError, "proxy", status)
        assert (error.retryable, error.executed) == (True, "no")

    def test_what_comes_after_the_tunnel_is_none_of_its_business(self) -> None:
        assert self.refused(403, reached=True).field is None

    def test_without_one_nothing_is_blamed_on_it(self) -> None:
        error = error_of(OSError("Tunnel connection failed: 403"), flight(), proxied=False)
        assert error.field is None

    def test_one_that_is_not_there(self) -> None:
        error = error_of(ConnectionRefusedError(111, "refused"), flight(), proxied=True)
        assert (type(error), error.field) == (TransportError, None)
        assert "the proxy was not reached" in error.message


def test_what_the_peer_said_before_it_closed_is_read_though_nothing_can_be_written() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, PatientSocket() as ours:
        ours.connect(listener.getsockname())
        theirs, _ = listener.accept()
        ours.sendall(b"unread")
        theirs.sendall(b"said")
        theirs.recv(1, socket.MSG_PEEK)
        theirs.close()  # on what was not read: the system resets
        ours.settimeout(20)
        for _ in range(50):
            ours.sendall(b"more")
            assert ours.send(b"more") == 4
            assert ours.sendmsg([b"mo", b"re"]) == 4
        assert ours.recv(100) == b"said"
        with contextlib.suppress(ConnectionError):
            assert ours.recv(100) == b""
