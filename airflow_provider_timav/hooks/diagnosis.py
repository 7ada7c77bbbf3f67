"""The sentence of the Test button: which of host, certificate and credential is wrong, and which of them work."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_timav.hooks.connection import Settings
    from airflow_provider_timav.videorelay.errors import TimAVError
    from airflow_provider_timav.videorelay.tls import Identity

__all__ = ["of_failure", "of_success"]


def of_success(settings: Settings, identity: Identity | None) -> str:
    """Return the sentence for a certificate and a credential that are accepted."""
    return f"{_so_far(settings, identity)} Credential ({_credential(settings)}): accepted."


def of_failure(error: TimAVError, settings: Settings | None, identity: Identity | None) -> str:
    """Return the sentence for a failure, with the advice.

    :param settings: the connection's fields, None if they could not be read.
    :param identity: the certificate, None if it could not be used.
    """
    return f"{_what_is_wrong(error, settings, identity)}: {error.with_advice}"


def _what_is_wrong(error: TimAVError, settings: Settings | None, identity: Identity | None) -> str:
    host = "" if settings is None else f" {settings.endpoint}"
    if error.field == "proxy" and error.layer is not None:
        return "Proxy"  # the message quotes its answer
    match type(error).__name__:
        case "Unsaved":
            return "Connection: not tested"
        case "ConfigurationError" if error.field is None:
            return "Connection: not tested"  # the message says what this machine lacks
        case "ConfigurationError":
            return "Connection: incomplete or wrong"
        case "CertificateError" if error.layer is None:
            return "Certificate: not usable"
        case "CertificateError" if error.field == "client_cert":
            return f"Host{host}: reached. Certificate: refused"
        case "CertificateError":
            return f"Host{host}: not trusted"
        case "CredentialError":
            return f"{_so_far(settings, identity)} Credential ({_credential(settings)}): refused"
        case "TransportError":
            return f"Host{host}"  # the message says that it was not reached
        case "AmbiguousOutcome" | "ProtocolError":
            return f"Host{host}: gives no usable answer"
        case "RequestRejected":
            return f"{_so_far(settings, identity)} Request: refused"
        case _:
            return f"Host{host}: asks to wait, or fails"


def _so_far(settings: Settings | None, identity: Identity | None) -> str:
    """Return the parts that are known to work once a result code of the service has come back."""
    host = "" if settings is None else f" {settings.endpoint}"
    days = "" if identity is None else f", {identity.days_left()} days left"
    return f"Host{host}: reached. Certificate: accepted{days}."


def _credential(settings: Settings | None) -> str:
    return "secret key" if settings is not None and settings.secret_key else "UserSig"
