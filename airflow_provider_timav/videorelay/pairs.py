"""A client certificate and its private key, as OpenSSL takes them: which of the two is wrong, and why.

OpenSSL decides first: servers take the pairs that it takes, and one that it refuses is read no further. That keeps out keys
that are slow to read: a library that reads any key looks for primes in one of Diffie-Hellman, for half a minute with 8192 bits,
and no other thread of the process runs meanwhile. For the same reason a key of DSA is not taken: a large one takes long, too,
and OpenSSL itself shakes hands with none by default. It says no more than "PEM lib" to most bad input, and trusts the numbers
of an RSA key; so a key that it takes is read with ``cryptography`` as well. No key file is left behind: OpenSSL loads the key
from anonymous memory.
"""

from __future__ import annotations

import base64
import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from airflow_provider_timav.videorelay.certificates import DSA, Certificate, is_of
from airflow_provider_timav.videorelay.der import sequence, values
from airflow_provider_timav.videorelay.errors import CertificateError
from airflow_provider_timav.videorelay.key_rounds import MOST_ROUNDS, is_usual, rounds
from airflow_provider_timav.videorelay.pem import blocks

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateNumbers
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

__all__ = ["paired", "present", "unfit", "unreadable"]

MOST_RSA_BITS: Final = 10240
FEW: Final = 3
"""Certificates behind the first, for which a key is tried that takes as many rounds to open as one may."""
PASSPHRASE_BYTES: Final = 1024
"""The most that OpenSSL takes (PEM_BUFSIZE)."""
# OpenSSL's reasons for a key that belongs to another certificate, of another kind or of the same one.
_OF_ANOTHER: Final = frozenset({"key values mismatch", "key type mismatch", "no certificate assigned"})
_OF_NO_KIND: Final = "unknown certificate type"  # of no kind that TLS has
_NOT_SUPPORTED: Final = "private_key is damaged, or of a kind that is not supported"
_OF_DSA: Final = "it is of DSA, with which TLS shakes no hands any more"
_UNUSUAL: Final = (
    "it is encrypted in a way that is not supported: encrypt it with AES (openssl pkcs8 -topk8 -v2 aes-256-cbc)."
)


def paired(chain: Sequence[Certificate], key_text: str, passphrase: str | None) -> tuple[str, bytes]:
    """Return a chain and the key of its first certificate as PEM, the key not encrypted.

    :param key_text: the PEM text of a private key (``pem.key_text``); of several, the first counts.
    :raises CertificateError: naming ``client_cert``, ``private_key`` or ``private_key_passphrase``, whichever is wrong.
    """
    chain_pem, (label, inner) = _pem(chain), blocks(key_text)[0]
    if label == "OPENSSH PRIVATE KEY":
        raise unfit("it is a key of OpenSSH: ssh-keygen -p -m PKCS8 -f FILE writes it as PEM.", "private_key")
    if chain[0].is_of_dsa or label == "DSA PRIVATE KEY" or _is_of_dsa(inner):
        raise unfit(
            "it is of DSA, with which TLS shakes no hands any more",
            "client_cert" if chain[0].is_of_dsa else "private_key",
        )
    own = f"-----BEGIN {label}-----{inner}-----END {label}-----\n".encode()
    encrypted = label.startswith("ENCRYPTED") or "Proc-Type:" in inner
    password = _password(label, inner, passphrase) if encrypted else b""
    refusal = _refusal(chain_pem, own, password)
    if refusal is None:
        return chain_pem, _written(_read(own, password), chain[0])
    if refusal not in _OF_ANOTHER:
        _check_chain(chain, chain_pem)
        raise _unusable(inner, refusal, encrypted=encrypted)
    # Each try opens an encrypted key anew, and all of them together are to take no longer than a few of the slowest.
    most = FEW * MOST_ROUNDS // max(rounds(inner), 1) if encrypted else len(chain)
    if any(_refusal(_pem([other]), own, password) is None for other in chain[1 : 1 + most]):
        raise unfit("private_key's certificate must be the first of its chain")
    raise CertificateError("private_key is not the key of client_cert", field="private_key")


def _pem(chain: Sequence[Certificate]) -> str:
    return "".join(ssl.DER_cert_to_PEM_cert(each.der) for each in chain)


def _is_of_dsa(inner: str) -> bool:
    """Return whether a key that is not encrypted is one of DSA (PKCS #8)."""
    with contextlib.suppress(ValueError, IndexError, StopIteration):
        der = base64.b64decode("".join(inner.split()), validate=True)
        return is_of(list(values(next(values(der))[1]))[1][1], DSA)
    return False


def present(context: ssl.SSLContext, chain_pem: str, key_pem: bytes, password: bytes = b"") -> None:
    """Have a context present a certificate. No terminal is prompted for a passphrase.

    :raises CertificateError: naming ``client_cert``, if OpenSSL refuses it or the key.
    """
    try:
        _load(context, chain_pem, key_pem, password)
    except ssl.SSLError as refused:
        raise unfit(f"OpenSSL refuses it ({_words(refused)})") from None


def unreadable(ders: Sequence[bytes]) -> int | None:
    """Return the place, from 0, of the first certificate that OpenSSL cannot read; None if it can read all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for place, der in enumerate(ders):
        try:
            context.load_verify_locations(cadata=der)
        except (ssl.SSLError, ValueError):
            return place
    return None


def unfit(rule: str, field_name: str = "client_cert") -> CertificateError:
    """Return the error for a field that breaks a rule."""
    return CertificateError(f"{field_name}: {rule}", field=field_name)


def _password(label: str, inner: str, passphrase: str | None) -> bytes:
    """Return the passphrase of an encrypted key, which must not take long to open."""
    password = (passphrase or "").encode()
    if not password:
        rule = "private_key is encrypted: put its passphrase into private_key_passphrase"
        raise CertificateError(rule, field="private_key_passphrase")
    if len(password) >= PASSPHRASE_BYTES:
        raise unfit(f"OpenSSL takes none of {PASSPHRASE_BYTES} bytes or more", "private_key_passphrase")
    asked = rounds(inner)
    if label.startswith("ENCRYPTED") and not asked:
        # OpenSSL reads more than DER: a key that names its rounds in another form (X.690, 8.1.3.6) must not come so far.
        raise CertificateError(_NOT_SUPPORTED, field="private_key")
    if asked > MOST_ROUNDS:
        rule = f"its passphrase is stretched by more than {MOST_ROUNDS} rounds, which would hold everything else up"
        raise unfit(rule, "private_key")
    return password


def _load(context: ssl.SSLContext, chain_pem: str, key_pem: bytes, password: bytes) -> None:
    with _unnamed_file(chain_pem.encode()) as chain, _unnamed_file(key_pem) as key:
        context.load_cert_chain(chain, key, password=password)


def _refusal(chain_pem: str, key_pem: bytes, password: bytes = b"") -> str | None:
    """Return OpenSSL's reason against a certificate and a key; None if it takes them, "" if it gives no reason."""
    try:
        _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), chain_pem, key_pem, password)
    except ssl.SSLError as refused:
        return _words(refused)
    return None


def _words(refused: ssl.SSLError) -> str:
    return (refused.reason or "").replace("_", " ").lower()


def _check_chain(chain: Sequence[Certificate], chain_pem: str) -> None:
    """Check that OpenSSL takes a chain, whatever the key is."""
    place = unreadable([each.der for each in chain])
    if place is not None:
        raise unfit("a certificate of its chain is damaged" if place else "it is damaged")
    # Without a key, the word that it finds is of the certificates; it finds none for a key that is not there.
    if refusal := _refusal(chain_pem, b""):
        raise unfit(f"OpenSSL refuses it ({refusal})")


def _unusable(inner: str, refusal: str, *, encrypted: bool) -> CertificateError:
    """Return the error for a key that OpenSSL does not take."""
    if not encrypted or refusal == _OF_NO_KIND:
        return CertificateError(_NOT_SUPPORTED, field="private_key")
    if not is_usual(inner):
        return unfit(_UNUSUAL, "private_key")
    return CertificateError(
        "private_key does not open: private_key_passphrase is wrong, or the key is damaged",
        field="private_key_passphrase",
    )


def _read(key_pem: bytes, password: bytes) -> PrivateKeyTypes:
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = None
    with contextlib.suppress(ValueError, TypeError, UnsupportedAlgorithm, InternalError):
        # A passphrase beside a key that is not encrypted is no harm; cryptography would refuse it. Its own check of an RSA key
        # looks for primes, which takes seconds with 8192 bits.
        key = load_pem_private_key(key_pem, password or None, unsafe_skip_rsa_key_validation=True)
    if key is None and password:  # OpenSSL has opened it
        raise unfit(_UNUSUAL, "private_key")
    if key is None or (isinstance(key, RSAPrivateKey) and not _fits_together(key.private_numbers())):
        raise CertificateError(_NOT_SUPPORTED, field="private_key")
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


def _written(key: PrivateKeyTypes, leaf: Certificate) -> bytes:
    """Return a key as PEM. One of RSA keeps what its certificate says, too: that it is bound to RSASSA-PSS (RFC 4055)."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    if not (leaf.is_of_rsa_pss and isinstance(key, RSAPrivateKey)):
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    (version, number), _, (held, content) = list(values(next(values(plain))[1]))[:3]
    whole = sequence(sequence(number, tag=version), sequence(leaf.algorithm), sequence(content, tag=held))
    return b"-----BEGIN PRIVATE KEY-----\n" + base64.encodebytes(whole) + b"-----END PRIVATE KEY-----\n"


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
