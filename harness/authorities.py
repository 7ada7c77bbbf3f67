"""Certificates of any make: with odd extensions, names, times and keys, as other people's authorities issue them."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import ipaddress
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from airflow_provider_timav.videorelay.der import INTEGER, OID, SEQUENCE, sequence, values

__all__ = ["NOW", "Party", "changed", "der_of", "key_pem", "pem_of", "pss_certificate", "reissued", "sealed"]

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
OCTETS = 0x04
PSS_OID = bytes.fromhex("06092a864886f70d01010a")


def key_pem(key: Any) -> str:
    """The PEM of a private key, PKCS #8 and not encrypted."""
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "ascii")


class Party:
    """Someone with a name and a key: an authority, a client or a server."""

    def __init__(self, name: str, key: Any = None) -> None:
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.key = key or ec.generate_private_key(ec.SECP256R1())

    @property
    def key_pem(self) -> str:
        """Its private key."""
        return key_pem(self.key)

    def certificate(
        self,
        issuer: Party | None = None,
        *,
        ca: bool = False,
        days: tuple[int, int] = (-2, 90),
        address: str | None = None,
        issuers_name: str | None = None,
        extensions: dict[str, bytes] | None = None,
    ) -> str:
        """A certificate of this party, signed by itself or by another one, as PEM."""
        by = issuer or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(Party(issuers_name, by.key).name if issuers_name else by.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + dt.timedelta(days=days[0]))
            .not_valid_after(NOW + dt.timedelta(days=days[1]))
        )
        if ca:
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        if address:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
            builder = builder.add_extension(names, critical=False)
        for oid, content in (extensions or {}).items():
            odd = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), content)
            builder = builder.add_extension(odd, critical=False)
        algorithm = None if isinstance(by.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        return builder.sign(by.key, algorithm).public_bytes(Encoding.PEM).decode()


def der_of(pem: str) -> bytes:
    """The one certificate in a PEM text."""
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)


def pem_of(der: bytes, label: str = "CERTIFICATE") -> str:
    """Bytes as PEM."""
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n"


def changed(der: bytes, change: Callable[[list[bytes]], None]) -> bytes:
    """A certificate whose fields were changed; its signature then is wrong. Fields: version, serial number, algorithm, issuer,
    validity, subject, key, extensions."""
    (_, content), *signature = _taken_apart(der)
    fields = [sequence(inner, tag=tag) for tag, inner in values(content)]
    change(fields)
    return sequence(sequence(*fields), *(sequence(inner, tag=tag) for tag, inner in signature))


def _taken_apart(der: bytes) -> list[tuple[int, bytes]]:
    ((_, whole),) = values(der)
    return list(values(whole))


def reissued(der: bytes, change: Callable[[list[bytes]], None], sign: Callable[[bytes], bytes]) -> bytes:
    """A certificate whose fields were changed, signed anew."""
    (_, content), (_, algorithm), _ = _taken_apart(changed(der, change))
    signature = b"\0" + sign(sequence(content))
    return sequence(sequence(content), sequence(algorithm), sequence(signature, tag=0x03))


def sealed(content: bytes, passphrase: str, *, rounds: int = 9) -> str:
    """Any content as an encrypted key (RFC 8018): AES-256-CBC, the passphrase stretched by PBKDF2, in few rounds."""
    salt, initial, padding = b"s" * 16, b"i" * 16, 16 - len(content) % 16
    cipher = Cipher(
        algorithms.AES(hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, rounds, 32)), modes.CBC(initial)
    )
    body = cipher.encryptor().update(content + bytes([padding]) * padding)

    def described(oid: str, *parameters: bytes) -> bytes:
        return sequence(sequence(bytes.fromhex(oid), tag=OID), *parameters)

    count = sequence(rounds.to_bytes(rounds.bit_length() // 8 + 1, "big"), tag=INTEGER)
    stretching = sequence(sequence(salt, tag=OCTETS), count, described("2a864886f70d0209", b"\x05\x00"))
    kind = described("2a864886f70d01050c", stretching)
    aes = described("60864801650304012a", sequence(initial, tag=OCTETS))
    algorithm = described("2a864886f70d01050d", sequence(kind, aes))
    return pem_of(sequence(algorithm, sequence(body, tag=OCTETS)), "ENCRYPTED PRIVATE KEY")


def pss_certificate(key: rsa.RSAPrivateKey, issuer: Party, parameters: bytes = b"") -> str:
    """A certificate whose key is of RSASSA-PSS (RFC 4055), with these parameters or any."""
    found = der_of(Party("pss", key).certificate(issuer))
    bits = next(content for tag, content in values(next(values(_key_info(found)))[1]) if tag == 0x03)

    def change(fields: list[bytes]) -> None:
        fields[6] = sequence(sequence(PSS_OID, parameters, tag=SEQUENCE), sequence(bits, tag=0x03))

    return pem_of(reissued(found, change, lambda whole: issuer.key.sign(whole, ec.ECDSA(hashes.SHA256()))))


def _key_info(der: bytes) -> bytes:
    fields: list[bytes] = []
    changed(der, fields.extend)
    return fields[6]
