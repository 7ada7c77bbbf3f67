"""Client certificate, private key and trusted CAs → one SSLContext, checked before anything is sent.

The service asks for mutual TLS (specification, 双向认证). Certificate and key are taken if OpenSSL takes them (``pairs``). Each
error names the field of the connection.

A context is that of plain clients of OpenSSL, such as curl: it answers a server that asks for the certificate later on, as
Apache does for one location (RFC 8446, 4.2.6), and an issuing CA alone may be the one to trust. There is no switch that turns
verification off. All of it is set here, so that it is the same whatever Python's own defaults are (3.13 has others).
"""

from __future__ import annotations

import base64
import contextlib
import errno
import logging
import os
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from airflow_provider_timav.videorelay.certificates import Certificate, in_line
from airflow_provider_timav.videorelay.errors import CertificateError, ConfigurationError, TimAVError
from airflow_provider_timav.videorelay.kept import Kept
from airflow_provider_timav.videorelay.pairs import paired, present, unfit, unreadable
from airflow_provider_timav.videorelay.pem import (
    ANYWHERE,
    BUNDLE_BYTES,
    Files,
    blocks,
    certificate_text,
    key_text,
)

__all__ = ["Identity", "forget_contexts", "trusted", "unmade"]

log = logging.getLogger(__name__)

WARN_BEFORE: Final = timedelta(days=30)
ALARM_BEFORE: Final = timedelta(days=7)


@dataclass(frozen=True)
class Identity:
    """A client certificate (chain) with its private key, checked against each other.

    ``not_before`` and ``not_after`` bound when the certificate is valid; ``issuers_not_after`` says until when those are that
    come behind it. ``repr`` shows no key.
    """

    chain_pem: str = field(repr=False)
    key_pem: bytes = field(repr=False)
    not_before: datetime
    not_after: datetime
    issuers_not_after: tuple[datetime, ...] = field(repr=False)

    @classmethod
    def load(
        cls,
        *,
        client_cert: str,
        private_key: str,
        passphrase: str | None = None,
        now: datetime | None = None,
        files: Files = ANYWHERE,
    ) -> Identity:
        """Read certificate and key, each PEM text or a path, and check them.

        :param passphrase: of the key, if it is encrypted; no terminal is ever prompted for one.
        :param files: which files a path may lead to.
        :param now: the time to check the validity against (default: now).
        :raises CertificateError: naming ``client_cert``, ``private_key`` or ``private_key_passphrase``: not readable, expired
            or not yet valid, not made for clients, refused by OpenSSL, or a key that is another certificate's.
        """
        now = now or datetime.now(UTC)
        chain, key = certificate_text(client_cert, "client_cert", files), key_text(private_key, "private_key", files)
        identity = _checked.get((chain, key, passphrase), lambda: _check(chain, key, passphrase))
        identity.check_validity(now)
        identity.warn_before_expiry(now)
        return identity

    def check_validity(self, now: datetime) -> None:
        """Check that the certificate itself is valid now. Others of its chain a server may have in another version.

        :raises CertificateError: naming ``client_cert``.
        """
        if now > self.not_after:
            raise unfit(f"it expired on {self.not_after.isoformat()}")
        if now < self.not_before:
            raise unfit(f"it is not valid before {self.not_before.isoformat()}")

    def days_left(self, now: datetime | None = None) -> int:
        """Return the whole days until the certificate expires."""
        return (self.not_after - (now or datetime.now(UTC))).days

    def warn_before_expiry(self, now: datetime) -> None:
        """Log a warning with less than 30 days to go, an error with less than 7; a warning if an issuer's has expired."""
        left = self.not_after - now
        if left < WARN_BEFORE:
            level = logging.ERROR if left < ALARM_BEFORE else logging.WARNING
            log.log(
                level,
                "The client certificate expires in %d days (%s): replace client_cert.",
                left.days,
                self.not_after.isoformat(),
            )
        for place, until in enumerate(self.issuers_not_after, start=2):
            if now > until:
                log.warning(
                    "Certificate %d of client_cert, an issuer's, expired on %s: a server that has no newer one refuses it.",
                    place,
                    until.isoformat(),
                )

    def context(self, ca_pem: str | None) -> ssl.SSLContext:
        """Return the context that presents this identity and trusts exactly ``ca_pem``, or the system's CAs without one.

        The environment (``SSL_CERT_FILE``, ``REQUESTS_CA_BUNDLE`` …) has no say in it.

        :raises CertificateError: naming ``ca_cert`` or ``client_cert`` if OpenSSL refuses them.
        :raises ConfigurationError: naming ``ca_cert`` if it is empty and the system's CAs cannot be used; naming none if
            this machine cannot make a context, because it has no descriptor left, for instance.
        """
        try:
            return self._context(ca_pem)
        except TimAVError:
            raise
        except Exception as unexpected:  # noqa: BLE001 - a system has many ways to say no, and none of them is the network's
            odd = unmade(unexpected)
        # Outside of the except clause: the new error has no context.
        raise odd

    def _context(self, ca_pem: str | None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.post_handshake_auth = True
        # The named CA is trusted, be it a root or not; and a server's CA may pass over rules of RFC 5280, as private ones do.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        _trust(context, ca_pem)
        present(context, self.chain_pem, self.key_pem)
        return context

    def shared_context(self, ca_pem: str | None) -> ssl.SSLContext:
        """Return ``context`` as this process has made it before from the same certificate, key and CAs; do not change it.

        A context of a small CA takes a millisecond, one of the system's CAs 20 ms and a megabyte. It is found by contents:
        a file that was replaced counts from the next call on, the system's store included.

        :raises CertificateError: see ``context``.
        :raises ConfigurationError: see ``context``.
        """
        parts = (self.chain_pem, self.key_pem, ca_pem, _state_of_store() if ca_pem is None else ())
        return _contexts.get(parts, lambda: self.context(ca_pem))


def unmade(trouble: Exception) -> ConfigurationError:
    """Return the error for a context that cannot be made, for whatever reason but the contents of a field."""
    return ConfigurationError(
        f"this machine cannot prepare TLS ({_words(trouble)}), nothing was sent. No field of the connection is wrong.",
        retryable=_passes(trouble),
    )


def _words(trouble: Exception) -> str:
    """Return in a few words what went wrong, without a path and without anything that was read."""
    if isinstance(trouble, ssl.SSLError):
        return (trouble.reason or type(trouble).__name__).replace("_", " ").lower()
    if isinstance(trouble, OSError) and trouble.errno:
        return os.strerror(trouble.errno)
    return type(trouble).__name__


def _passes(trouble: Exception) -> bool:
    """Return whether a machine had too little of something, which another try may find."""
    return isinstance(trouble, OSError) and trouble.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR)


def trusted(ca_cert: str | None, files: Files = ANYWHERE) -> str | None:
    """Return the PEM of the CAs to trust, or None for the system's.

    OpenSSL reads them, which is to trust them: it takes what real bundles hold, such as a serial number of 0, of which
    ``cryptography`` warns that it will refuse it.

    :param files: which files a path may lead to; one of CAs may be a whole bundle.
    :raises CertificateError: if ``ca_cert`` holds no certificate that can be read; it names the field.
    """
    if ca_cert is None:
        return None
    text = certificate_text(ca_cert, "ca_cert", files, most_of_a_file=BUNDLE_BYTES)
    return _readable.get((text,), lambda: _read(text))


def _read(ca_pem: str) -> str:
    _trust_named(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca_pem)
    return ca_pem


def _ders(pem: str) -> list[bytes]:
    """Return the certificates of a PEM text; nothing for one that is no base64."""
    found = []
    for _, inner in blocks(pem):
        try:
            found.append(base64.b64decode("".join(inner.split()), validate=True))
        except ValueError:
            found.append(b"")
    return found


def _trust_named(context: ssl.SSLContext, ca_pem: str) -> None:
    try:
        context.load_verify_locations(cadata=ca_pem)
    except (ssl.SSLError, ValueError):
        place = (unreadable(_ders(ca_pem)) or 0) + 1
        raise CertificateError(f"ca_cert: OpenSSL cannot read certificate {place} in it", field="ca_cert") from None


def _trust(context: ssl.SSLContext, ca_pem: str | None) -> None:
    if ca_pem is not None:
        _trust_named(context, ca_pem)
        return
    why: OSError | ValueError | None = None
    try:
        _trust_system(context)
    except (OSError, ValueError) as unusable:
        why = unusable
    if why is not None:
        raise ConfigurationError(
            f"ca_cert is empty, and this system's store of CAs cannot be read ({_words(why)}): "
            "name the one to trust in ca_cert",
            field="ca_cert",
            retryable=_passes(why),
        )


def _trust_system(context: ssl.SSLContext) -> None:
    if os.name == "nt":
        context.load_default_certs()  # Windows' own store, on which the environment has no say either
        return
    # load_default_certs() would follow SSL_CERT_FILE and SSL_CERT_DIR; the compiled-in places are the system's.
    places = ssl.get_default_verify_paths()
    cafile = places.openssl_cafile if os.path.isfile(places.openssl_cafile) else None
    capath = places.openssl_capath if os.path.isdir(places.openssl_capath) else None
    if cafile is None and capath is None:
        raise ConfigurationError("this system has no store of CAs: name the one to trust in ca_cert", field="ca_cert")
    context.load_verify_locations(cafile=cafile, capath=capath)


# The hooks of one process, and its triggers, mostly have the same connection: equal contents are made into a context once.
_checked: Final[Kept[Identity]] = Kept()
_contexts: Final[Kept[ssl.SSLContext]] = Kept()
_readable: Final[Kept[str]] = Kept()


def _check(chain_pem: str, key_pem: str, passphrase: str | None) -> Identity:
    odd, lacking = "", None
    try:
        return _checked_identity(chain_pem, key_pem, passphrase)
    except TimAVError:
        raise
    except OSError as unexpected:
        lacking = unmade(unexpected) if not isinstance(unexpected, ssl.SSLError) else None
        odd = type(unexpected).__name__
    except Exception as unexpected:  # noqa: BLE001  # a library that reads keys fails in as many ways as there are keys
        odd = type(unexpected).__name__
    # Outside of the except clause, so that the new error has no context: the library's may quote the text that it read.
    if lacking is not None:
        raise lacking
    raise CertificateError(f"private_key, or client_cert, cannot be read ({odd})", field="private_key")


def _checked_identity(chain_pem: str, key_pem: str, passphrase: str | None) -> Identity:
    line, others = in_line([Certificate.of(der) for der in _ders(chain_pem)])
    presented = paired([*line, *others], key_pem, passphrase)
    leaf, *issuers = line
    if not leaf.is_for_clients:
        raise unfit("it was not issued for clients (extended key usage lacks clientAuth)")
    if leaf.not_before is None or leaf.not_after is None:
        raise unfit("until when it is valid cannot be read")
    ends = tuple(issuer.not_after for issuer in issuers if issuer.not_after)
    return Identity(*presented, leaf.not_before, leaf.not_after, ends)


def forget_contexts() -> None:
    """Let go of what hooks share, and of the keys in it."""
    _checked.clear()
    _contexts.clear()
    _readable.clear()


def _state_of_store() -> tuple[object, ...]:
    """Return values that change when the system's CAs do."""
    places = ssl.get_default_verify_paths()
    state: list[object] = []
    for place in (places.openssl_cafile, places.openssl_capath):
        with contextlib.suppress(OSError):
            found = os.stat(place)
            state += [place, found.st_ino, found.st_mtime_ns, found.st_size]
    return tuple(state)
