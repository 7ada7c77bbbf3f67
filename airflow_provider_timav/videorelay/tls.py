"""Client certificate, private key and trusted CAs → one SSLContext, checked before anything is sent.

The service asks for mutual TLS (specification, 双向认证). OpenSSL says no more than "PEM lib" to most bad input, so certificate
and key are read with ``cryptography`` first, and each error names the field of the connection. No key file is left behind:
OpenSSL loads the key from anonymous memory. There is no switch that turns verification off.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import os
import re
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from airflow_provider_timav.videorelay.errors import CertificateError, ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate

__all__ = ["Identity", "forget_contexts", "trusted"]

log = logging.getLogger(__name__)

WARN_BEFORE: Final = timedelta(days=30)
ALARM_BEFORE: Final = timedelta(days=7)
_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
# Headers of a traditional encrypted key; they must stay lines of their own. The length of the IV tells where base64 begins.
_HEADERS: Final = re.compile(
    r"\s*Proc-Type:\s*(?P<proc>4,ENCRYPTED)\s*DEK-Info:\s*"
    r"(?P<dek>AES-\d+-CBC,[0-9A-Fa-f]{32}|[A-Z0-9-]+,[0-9A-Fa-f]{16})(?P<rest>.*)",
    re.DOTALL,
)


def _text(value: str, field_name: str) -> str:
    """Return what a field holds that is PEM text or the path of a PEM file."""
    return value if "-----BEGIN" in value else _read(value, field_name)


def _repaired(text: str, field_name: str) -> str:
    """Return PEM text with its line breaks, which a password control, a JSON escape or the environment may have taken."""
    blocks = _BLOCK.findall(text.replace("\\r", "").replace("\\n", "\n").removeprefix("\ufeff"))
    if not blocks:
        raise CertificateError(
            f"{field_name} holds no PEM: no -----BEGIN …----- with its -----END …-----", field=field_name
        )
    return "".join(f"-----BEGIN {label}-----\n{_rewrapped(inner)}-----END {label}-----\n" for label, inner in blocks)


def _read(value: str, field_name: str) -> str:
    path = value.strip()
    # Whatever is no short single line is damaged PEM rather than a path, and must not be shown.
    looks_like_path = 0 < len(path) < 1024 and "\n" not in path and "\x00" not in path
    try:
        if looks_like_path and (file := Path(path)).is_file():
            return file.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as unreadable:
        reason = unreadable.strerror or type(unreadable).__name__
        raise CertificateError(f"{field_name}: the file cannot be read: {reason}", field=field_name) from None
    raise CertificateError(
        f"{field_name} is neither PEM text (-----BEGIN …) nor the path of a file on this machine", field=field_name
    )


def _rewrapped(inner: str) -> str:
    headers = ""
    if match := _HEADERS.match(inner):
        headers = f"Proc-Type: {match['proc']}\nDEK-Info: {match['dek']}\n\n"
        inner = match["rest"]
    base64_text = re.sub(r"\s+", "", inner)
    return headers + "".join(f"{base64_text[start : start + 64]}\n" for start in range(0, len(base64_text), 64))


@dataclass(frozen=True)
class Identity:
    """A client certificate (chain) with its private key, checked against each other.

    ``not_after`` is when the certificate expires; ``validity`` has the bounds of each certificate of the chain. ``repr`` shows
    no key.
    """

    chain_pem: str = field(repr=False)
    key_pem: bytes = field(repr=False)
    subject: str
    validity: tuple[tuple[datetime, datetime], ...] = field(repr=False)

    @classmethod
    def load(
        cls, *, client_cert: str, private_key: str, passphrase: str | None = None, now: datetime | None = None
    ) -> Identity:
        """Read certificate and key, each PEM text or a path, and check them.

        :param passphrase: of the key, where it is encrypted; nothing ever asks for one on a terminal.
        :param now: the time to check the validity against (default: now).
        :raises CertificateError: naming ``client_cert``, ``private_key`` or ``private_key_passphrase``: not readable, expired
            or not yet valid, not made for clients, a chain out of order, or a key that is another certificate's.
        """
        now = now or datetime.now(UTC)
        identity = _checked(_text(client_cert, "client_cert"), _text(private_key, "private_key"), passphrase)
        identity.check_validity(now)
        identity.warn_before_expiry(now)
        return identity

    @property
    def not_after(self) -> datetime:
        """When the certificate itself expires."""
        return self.validity[0][1]

    def check_validity(self, now: datetime) -> None:
        """Check that each certificate of the chain is valid now.

        :raises CertificateError: naming ``client_cert``.
        """
        for place, (not_before, not_after) in enumerate(self.validity):
            name = "it" if place == 0 else f"certificate {place + 1} of its chain"
            if now > not_after:
                raise CertificateError(f"client_cert: {name} expired on {not_after.isoformat()}", field="client_cert")
            if now < not_before:
                rule = f"client_cert: {name} is not valid before {not_before.isoformat()}"
                raise CertificateError(rule, field="client_cert")

    def days_left(self, now: datetime | None = None) -> int:
        """Return the whole days until the certificate expires."""
        return (self.not_after - (now or datetime.now(UTC))).days

    def warn_before_expiry(self, now: datetime) -> None:
        """Log a warning with less than 30 days to go, an error with less than 7."""
        left = self.not_after - now
        if left < WARN_BEFORE:
            level = logging.ERROR if left < ALARM_BEFORE else logging.WARNING
            until = self.not_after.isoformat()
            log.log(level, "The client certificate expires in %d days (%s): replace client_cert.", left.days, until)

    def context(self, ca_pem: str | None) -> ssl.SSLContext:
        """Return the context that presents this identity and trusts exactly ``ca_pem``, or the system's CAs without one.

        The environment (``SSL_CERT_FILE``, ``REQUESTS_CA_BUNDLE`` …) has no say in it.

        :raises CertificateError: naming ``ca_cert`` or ``client_cert`` where OpenSSL refuses them.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        _trust(context, ca_pem)
        with _unnamed_file(self.chain_pem.encode()) as chain, _unnamed_file(self.key_pem) as key:
            try:
                context.load_cert_chain(chain, key, password=b"")
            except ssl.SSLError as refused:
                reason = refused.reason or "refused"
                raise CertificateError(
                    f"client_cert and private_key: OpenSSL says {reason}", field="client_cert"
                ) from None
        return context

    def shared_context(self, ca_pem: str | None) -> ssl.SSLContext:
        """Return ``context`` as this process has made it before from the same certificate, key and CAs; do not change it.

        A context of a small CA takes a millisecond, one of the system's CAs 20 ms and a megabyte. It is found by contents:
        a file that was replaced counts from the next call on, the system's store included.

        :raises CertificateError: see ``context``.
        """
        return _kept_context(self, ca_pem, _state_of_store() if ca_pem is None else ())


def trusted(ca_cert: str | None) -> str | None:
    """Return the PEM of the CAs to trust, or None for the system's.

    OpenSSL reads them, which is to trust them: it takes what real bundles hold, such as a serial number of 0, of which
    ``cryptography`` warns that it will refuse it.

    :raises CertificateError: if ``ca_cert`` holds no certificate that can be read; it names the field.
    """
    return None if ca_cert is None else _readable(_text(ca_cert, "ca_cert"))


@functools.lru_cache(maxsize=8)
def _readable(text: str) -> str:
    ca_pem = _repaired(text, "ca_cert")
    _certificate_blocks(ca_pem, "ca_cert")
    _trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca_pem)
    return ca_pem


def _certificate_blocks(text: str, field_name: str) -> list[str]:
    found = [block[0] for block in _BLOCK.finditer(text) if block[1] in ("CERTIFICATE", "X509 CERTIFICATE")]
    if not found:
        raise CertificateError(f"{field_name} holds no certificate (-----BEGIN CERTIFICATE-----)", field=field_name)
    return found


def _certificates(text: str, field_name: str) -> list[Certificate]:
    from cryptography import x509

    found = _certificate_blocks(text, field_name)
    try:
        return [x509.load_pem_x509_certificate(block.encode()) for block in found]
    except ValueError:
        raise CertificateError(f"{field_name}: a certificate in it is damaged", field=field_name) from None


def _key(text: str, passphrase: str | None) -> PrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    found = next((block for block in _BLOCK.finditer(text) if block[1].endswith("PRIVATE KEY")), None)
    if found is None:
        raise CertificateError("private_key holds no private key (-----BEGIN … PRIVATE KEY-----)", field="private_key")
    encrypted = "ENCRYPTED" in found[0]
    if encrypted and not passphrase:
        raise CertificateError(
            "private_key is encrypted: put its passphrase into private_key_passphrase", field="private_key_passphrase"
        )
    try:
        # A passphrase beside a key that is not encrypted is no harm; cryptography would refuse it.
        return load_pem_private_key(found[0].encode(), passphrase.encode() if encrypted and passphrase else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if encrypted:
            raise CertificateError(
                "private_key does not open: private_key_passphrase is wrong, or the key is damaged",
                field="private_key_passphrase",
            ) from None
        raise CertificateError(
            "private_key is damaged, or of a kind that is not supported", field="private_key"
        ) from None


def _check_chain(chain: Sequence[Certificate]) -> None:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    def wrong(rule: str) -> CertificateError:
        return CertificateError(f"client_cert: {rule}", field="client_cert")

    for place, (child, parent) in enumerate(itertools.pairwise(chain), start=1):
        if child.issuer != parent.subject:
            raise wrong(f"its chain is out of order: certificate {place + 1} did not issue certificate {place}")
    try:
        usage = chain[0].extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    except ValueError:
        raise wrong("its extensions cannot be read") from None
    if not {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usage):
        raise wrong("it was not issued for clients (extended key usage lacks clientAuth)")


def _check_match(chain: Sequence[Certificate], key: PrivateKeyTypes) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    def public(of: PrivateKeyTypes | Certificate) -> bytes:
        return of.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    if public(chain[0]) == public(key):
        return
    if any(public(other) == public(key) for other in chain[1:]):
        raise CertificateError(
            "client_cert: private_key's certificate must be the first of its chain", field="client_cert"
        )
    raise CertificateError("private_key is not the key of client_cert", field="private_key")


def _dump_chain(chain: Sequence[Certificate]) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in chain)


def _dump_key(key: PrivateKeyTypes) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _trust(context: ssl.SSLContext, ca_pem: str | None) -> None:
    if ca_pem is not None:
        try:
            context.load_verify_locations(cadata=ca_pem)
        except (ssl.SSLError, ValueError):
            raise CertificateError("ca_cert: OpenSSL cannot read a certificate in it", field="ca_cert") from None
        return
    if os.name == "nt":
        context.load_default_certs()  # Windows' own store, where the environment has no say either
        return
    # load_default_certs() would follow SSL_CERT_FILE and SSL_CERT_DIR; the compiled-in places are the system's.
    places = ssl.get_default_verify_paths()
    cafile = places.openssl_cafile if os.path.isfile(places.openssl_cafile) else None
    capath = places.openssl_capath if os.path.isdir(places.openssl_capath) else None
    if cafile is None and capath is None:
        raise ConfigurationError("this system has no store of CAs: name the one to trust in ca_cert", field="ca_cert")
    context.load_verify_locations(cafile=cafile, capath=capath)


# The hooks of one process, and its triggers, mostly have the same connection: what is made of the same contents is made once.
@functools.lru_cache(maxsize=8)
def _checked(client_cert: str, private_key: str, passphrase: str | None) -> Identity:
    chain = _certificates(_repaired(client_cert, "client_cert"), "client_cert")
    key = _key(_repaired(private_key, "private_key"), passphrase)
    _check_match(chain, key)
    _check_chain(chain)
    validity = tuple((each.not_valid_before_utc, each.not_valid_after_utc) for each in chain)
    return Identity(_dump_chain(chain), _dump_key(key), chain[0].subject.rfc4514_string(), validity)


@functools.lru_cache(maxsize=8)
def _kept_context(identity: Identity, ca_pem: str | None, store: tuple[object, ...]) -> ssl.SSLContext:
    return identity.context(ca_pem)


def forget_contexts() -> None:
    """Let go of what hooks share, and of the keys in it."""
    _checked.cache_clear()
    _kept_context.cache_clear()


def _state_of_store() -> tuple[object, ...]:
    """Return what changes when the system's CAs do."""
    places = ssl.get_default_verify_paths()
    state: list[object] = []
    for place in (places.openssl_cafile, places.openssl_capath):
        with contextlib.suppress(OSError):
            found = os.stat(place)
            state += [place, found.st_ino, found.st_mtime_ns, found.st_size]
    return tuple(state)


@contextlib.contextmanager
def _unnamed_file(content: bytes) -> Iterator[str]:
    """Give a path from which OpenSSL can load ``content`` and under which nothing is left, whatever happens.

    On Linux that is anonymous memory, gone with the descriptor even after a SIGKILL; elsewhere a private temporary file.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("timav", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.TemporaryDirectory(prefix="timav-") as folder:  # made with mode 0700
            path = Path(folder) / "pem"
            path.write_bytes(content)
            yield str(path)
