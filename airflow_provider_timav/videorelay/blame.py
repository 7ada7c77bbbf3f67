"""Blame a fault of the transport on one party: one judgement and one wording for both clients.

An alert of TLS says that the other side does not go on, and mostly not because of what: ``handshake_failure`` in answer to the
greeting is about the ciphers that this machine offers, later on about the client certificate (RFC 8446, 6.2; RFC 5246, 7.2.2).
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import zlib
from collections.abc import Iterator
from typing import Any, Final, TypeGuard

from airflow_provider_timav.videorelay.errors import CertificateError, ProtocolError, TimAVError, TransportError
from airflow_provider_timav.videorelay.exchange import ANSWER_BYTES
from airflow_provider_timav.videorelay.http1 import BrokenAnswerError, TooLargeError
from airflow_provider_timav.videorelay.transport import Flight

__all__ = ["error_of"]


def error_of(trouble: BaseException, flight: Flight, *, proxied: bool) -> TimAVError:
    """Return the error that a fault of the transport means; its text holds kinds and system messages, no address.

    :param trouble: the exception of a library; its own text is not used, because it may hold the address.
    :param proxied: whether a proxy is on the way.
    """
    chain = list(_chain(trouble, flight.refusal))
    for link in chain:
        if _is_of_tls(link) and (error := _tls_error(link, flight)) is not None:
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
    if by_proxy and (status := next(filter(None, map(_status_of_proxy, chain)), None)) is not None:
        return _refused_by_proxy(status)
    if by_proxy and flight.connected:
        return TransportError(
            f"the proxy gives no usable answer, nothing was executed ({kind}). Check proxy of the connection.",
            field="proxy",
            layer="transport",
            outcome_class="retry",
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
    if (broken := next((link for link in chain if isinstance(link, BrokenAnswerError)), None)) is not None:
        return str(broken)
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


# The text of http.client about a proxy's answer. A number alone stands in many texts: in ports, addresses, random numbers.
_TUNNEL_REFUSED: Final = re.compile(r"Tunnel connection failed: (\d{3})\b")


def _status_of_proxy(link: BaseException) -> int | None:
    """Return the status by which a proxy refuses a tunnel: http.client has it in an OSError's text, aiohttp as a status."""
    if type(link).__name__ == "ClientHttpProxyError":
        return int(getattr(link, "status", 0)) or None
    refused = _TUNNEL_REFUSED.match(str(link)) if type(link) is OSError else None
    return int(refused[1]) if refused else None


# Statuses that pass: the proxy asks to wait, or does not reach the host now. A 501, 505 or 511 (log in first) does not.
_PASSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


def _refused_by_proxy(status: int) -> TimAVError:
    facts: dict[str, Any] = {"field": "proxy", "layer": "transport", "code": status}
    if status == 407:
        message = "the proxy wants other credentials (407): check proxy of the connection"
        return ProtocolError(message, outcome_class="fail", **facts)
    if status in _PASSES:
        message = (
            f"the proxy cannot connect ({status}), nothing was executed. Check host, port and proxy of the connection."
        )
        return TransportError(message, outcome_class="retry", **facts)
    message = f"the proxy refuses to connect ({status}). Check proxy, and whether it lets requests to this host and port pass."
    return ProtocolError(message, outcome_class="fail", **facts)


# Faults of the server's own certificate, found by OpenSSL: not made for servers, another name or address, too weak a key.
# The expired certificate may be the CA's as well.
_OF_THE_SERVER: Final = frozenset({26, 62, 64, 66})
# How OpenSSL names the alerts that it receives (RFC 8446, 6; RFC 5246, 7.2).
_ALERT: Final = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?(\w+)")
# Those by which a server refuses the client's certificate, if it has asked for one. They reach us before anything was executed,
# even though with TLS 1.3 they come after the request was written.
_CLIENT_REFUSED: Final = frozenset(
    {
        "ACCESS_DENIED",
        "BAD_CERTIFICATE",
        "BAD_CERTIFICATE_HASH_VALUE",
        "CERTIFICATE_EXPIRED",
        "CERTIFICATE_REQUIRED",
        "CERTIFICATE_REVOKED",
        "CERTIFICATE_UNKNOWN",
        "CERTIFICATE_UNOBTAINABLE",
        "DECRYPT_ERROR",
        "HANDSHAKE_FAILURE",
        "NO_CERTIFICATE",
        "UNKNOWN_CA",
        "UNSUPPORTED_CERTIFICATE",
    }
)
# A server's trouble of the moment, or bytes that were damaged on the way: as a broken connection.
_TRANSIENT: Final = frozenset(
    {
        "BAD_RECORD_MAC",
        "CLOSE_NOTIFY",
        "DECRYPTION_FAILED_OR_BAD_RECORD_MAC",
        "INTERNAL_ERROR",
        "UNEXPECTED_EOF_WHILE_READING",
        "USER_CANCELLED",
    }
)
_BROKEN: Final = (
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
    ssl.SSLSyscallError,
    ssl.SSLWantReadError,
    ssl.SSLWantWriteError,
)
# Faults that this side finds as it signs with its own key.
_OWN_KEY: Final = re.compile(r"NO_SUITABLE_(SIGNATURE|DIGEST)_ALGORITHM|DIGEST_TOO_BIG_FOR_RSA_KEY")
# The peer speaks an older TLS, or none at all.
_OTHER_VERSION: Final = re.compile(
    r"(UNSUPPORTED|UNKNOWN)_PROTOCOL|VERSION|NO_PROTOCOLS|HTTPS?(_PROXY)?_REQUEST|PACKET_LENGTH_TOO_LONG"
)


def _tls_error(error: ssl.SSLError, flight: Flight) -> TimAVError | None:
    """Return the error that a fault of TLS means, or None if it is a broken connection like any other."""
    facts: dict[str, Any] = {"layer": "transport", "outcome_class": "fail"}
    if isinstance(error, ssl.SSLCertVerificationError):
        said = error.verify_message or "not trusted"
        message = f"the server's certificate is refused: {said}. Check host and ca_cert of the connection."
        return CertificateError(message, field="host" if error.verify_code in _OF_THE_SERVER else "ca_cert", **facts)
    reason = error.reason or "NO_REASON_GIVEN"  # this OpenSSL has no name for it
    alert = _ALERT.fullmatch(reason)
    what = alert[1] if alert else reason
    if alert and what in _CLIENT_REFUSED and (flight.greeted or flight.sent):
        message = f"the server refused the client certificate ({reason}). Check client_cert and private_key."
        return CertificateError(message, field="client_cert", **facts)
    if flight.sent or what in _TRANSIENT or isinstance(error, _BROKEN):
        return None
    if _OWN_KEY.search(reason):
        message = (
            f"the server takes no signature that private_key can make ({reason}). Check client_cert and private_key."
        )
        return CertificateError(message, field="client_cert", **facts)
    if _OTHER_VERSION.search(reason):
        message = f"the server does not speak TLS 1.2 or newer on this port ({reason}). Check host and port."
    elif what == "UNRECOGNIZED_NAME":
        message = f"the server does not answer for this name ({reason}). Check host of the connection."
    else:
        who = "the server refuses what this machine" if alert else "this machine refuses what the server"
        message = f"{who} offers for TLS ({reason}), nothing was sent. Check host and port."
    return ProtocolError(message, field="host", **facts)
