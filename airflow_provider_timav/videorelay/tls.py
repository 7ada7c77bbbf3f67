"""Client certificate, private key and trusted CAs → one SSLContext, checked before anything is sent.

The service asks for mutual TLS (specification, 双向认证). OpenSSL says no more than "PEM lib" to most bad input, so certificate
and key are read with ``cryptography`` first, and each error names the field of the connection. No key file is left behind:
OpenSSL loads the key from anonymous memory. There is no switch that turns verification off.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from airflow_provider_timav.videorelay.errors import CertificateError, ConfigurationError, TimAVError
from airflow_provider_timav.videorelay.kept import Kept
from airflow_provider_timav.videorelay.key_rounds import MOST_ROUNDS, rounds
from airflow_provider_timav.videorelay.pem import ANYWHERE, BUNDLE_BYTES, Files, blocks, certificate_text, key_text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateNumbers
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate

__all__ = ["Identity", "forget_contexts", "trusted"]

log = logging.getLogger(__name__)

WARN_BEFORE: Final = timedelta(days=30)
ALARM_BEFORE: Final = timedelta(days=7)
MOST_RSA_BITS: Final = 10240


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
        cls,
        *,
        client_cert: str,
        private_key: str,
        passphrase: str | None = None,
        now: datetime | None = None,
        files: Files = ANYWHERE,
    ) -> Identity:
        """Read certificate and key, each PEM text or a path, and check them.

        :param passphrase: of the key, where it is encrypted; nothing ever asks for one on a terminal.
        :param files: which files a path may lead to.
        :param now: the time to check the validity against (default: now).
        :raises CertificateError: naming ``client_cert``, ``private_key`` or ``private_key_passphrase``: not readable, expired
            or not yet valid, not made for clients, a chain out of order, or a key that is another certificate's.
        """
        now = now or datetime.now(UTC)
        chain, key = certificate_text(client_cert, "client_cert", files), key_text(private_key, "private_key", files)
        identity = _checked.get((chain, key, passphrase), lambda: _check(chain, key, passphrase))
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
        parts = (self.chain_pem, self.key_pem, ca_pem, _state_of_store() if ca_pem is None else ())
        return _contexts.get(parts, lambda: self.context(ca_pem))


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
    _certificate_blocks(ca_pem, "ca_cert")
    _trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca_pem)
    return ca_pem


def _certificate_blocks(text: str, field_name: str) -> list[str]:
    found = [block for block in blocks(text) if block[0] in ("CERTIFICATE", "X509 CERTIFICATE")]
    if not found:
        raise CertificateError(f"{field_name} holds no certificate (-----BEGIN CERTIFICATE-----)", field=field_name)
    return [_armoured(block) for block in found]


def _armoured(block: tuple[str, str]) -> str:
    label, inner = block
    return f"-----BEGIN {label}-----{inner}-----END {label}-----\n"


def _certificates(text: str, field_name: str) -> list[Certificate]:
    from cryptography import x509

    found = _certificate_blocks(text, field_name)
    try:
        return [x509.load_pem_x509_certificate(block.encode()) for block in found]
    except ValueError:
        raise CertificateError(f"{field_name}: a certificate in it is damaged", field=field_name) from None


def _key(text: str, passphrase: str | None) -> PrivateKeyTypes:
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    block = next((block for block in blocks(text) if block[0].endswith("PRIVATE KEY")), None)
    if block is None:
        raise CertificateError("private_key holds no private key (-----BEGIN … PRIVATE KEY-----)", field="private_key")
    found = _armoured(block)
    encrypted = "ENCRYPTED" in found
    if encrypted and not passphrase:
        raise CertificateError(
            "private_key is encrypted: put its passphrase into private_key_passphrase", field="private_key_passphrase"
        )
    if encrypted and rounds(block[1]) > MOST_ROUNDS:
        raise CertificateError(
            f"private_key: its passphrase is stretched by more than {MOST_ROUNDS} rounds, which would hold everything else up",
            field="private_key",
        )
    key = None
    with contextlib.suppress(ValueError, TypeError, UnsupportedAlgorithm, InternalError):
        # A passphrase beside a key that is not encrypted is no harm; cryptography would refuse it. Its own check of an RSA key
        # looks for primes, which takes seconds with 8192 bits, and no other thread of the process runs meanwhile.
        key = load_pem_private_key(
            found.encode(),
            passphrase.encode() if encrypted and passphrase else None,
            unsafe_skip_rsa_key_validation=True,
        )
    if key is None and encrypted:
        raise CertificateError(
            "private_key does not open: private_key_passphrase is wrong, or the key is damaged",
            field="private_key_passphrase",
        )
    if key is None or (isinstance(key, RSAPrivateKey) and not _fits_together(key.private_numbers())):
        raise CertificateError("private_key is damaged, or of a kind that is not supported", field="private_key")
    return key


def _fits_together(numbers: RSAPrivateNumbers) -> bool:
    """Return whether the numbers of an RSA key belong together, so that OpenSSL can be trusted with them (RFC 8017, 3.2)."""
    p, q, d = numbers.p, numbers.q, numbers.d
    e, n = numbers.public_numbers.e, numbers.public_numbers.n
    return (
        p * q == n
        and p != q
        and max(p, q).bit_length() <= MOST_RSA_BITS // 2  # beyond that, the last of these checks would take seconds
        and e % 2 == 1
        and 1 < e < n
        and 0 < d < n
        and all(
            factor % 2 == 1
            and d * e % (factor - 1) == 1
            and part == d % (factor - 1)
            and pow(2, factor - 1, factor) == 1
            for factor, part in ((p, numbers.dmp1), (q, numbers.dmq1))
        )
        and numbers.iqmp * q % p == 1
    )


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
        except (ssl.SSLError, ValueError, TypeError):
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
_checked: Final[Kept[Identity]] = Kept()
_contexts: Final[Kept[ssl.SSLContext]] = Kept()
_readable: Final[Kept[str]] = Kept()


def _check(chain_pem: str, key_pem: str, passphrase: str | None) -> Identity:
    odd = ""
    try:
        chain = _certificates(chain_pem, "client_cert")
        key = _key(key_pem, passphrase)
        _check_match(chain, key)
        _check_chain(chain)
        validity = tuple((each.not_valid_before_utc, each.not_valid_after_utc) for each in chain)
        return Identity(_dump_chain(chain), _dump_key(key), chain[0].subject.rfc4514_string(), validity)
    except TimAVError:
        raise
    except Exception as unexpected:  # noqa: BLE001  # parts of a certificate are read late, and fail in as many ways as there are
        odd = type(unexpected).__name__
    # Not where the library's error would be its context: it may quote what it read.
    raise CertificateError(f"client_cert: it, or its key, cannot be read ({odd})", field="client_cert")


def forget_contexts() -> None:
    """Let go of what hooks share, and of the keys in it."""
    _checked.clear()
    _contexts.clear()
    _readable.clear()


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
