"""Keys of every kind and certificates of them, made from a seed: what generated connections are made of."""

from __future__ import annotations

import functools
import random
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric import dh, dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from airflow_provider_timav.videorelay.der import sequence, values
from harness.authorities import PSS_OID, Party, changed, der_of, pem_of, sealed

__all__ = ["Pair", "Pool", "Sealed"]

WINDOW = 24
"""Characters of a line of a key that are looked for."""
FEW_PRIMES = [
    number for number in range(3, 2000, 2) if all(number % divisor for divisor in range(3, 45, 2) if divisor < number)
]


@dataclass(frozen=True)
class Sealed:
    """A private key in one of its forms. ``canaries`` are pieces of it that nothing may show."""

    pem: str
    passphrase: str = ""

    @property
    def canaries(self) -> tuple[str, ...]:
        lines = [line for line in self.pem.splitlines() if "-----" not in line and ":" not in line]
        found = (line[:WINDOW] for line in lines if len(line) >= WINDOW)
        return (*found, *([self.passphrase] if self.passphrase else []))


@dataclass(frozen=True)
class Pair:
    """A certificate, in DER, and its key in several forms."""

    certificate: bytes
    keys: tuple[Sealed, ...]


@dataclass(frozen=True)
class Pool:
    """Pairs for clients, and certificates of authorities in DER."""

    pairs: tuple[Pair, ...]
    issuers: tuple[bytes, ...]

    @classmethod
    @functools.lru_cache(maxsize=2)
    def of(cls, seed: int) -> Self:
        """Make a pool, the same one for the same seed but for the signatures."""
        chance = random.Random(seed)  # noqa: S311 - to be repeatable
        root, issuing = (Party(name, _ed25519(chance)) for name in ("Root", "Issuing CA"))
        issuers = [
            der_of(each)
            for each in (
                root.certificate(ca=True),
                issuing.certificate(root, ca=True),
                issuing.certificate(ca=True),
                root.certificate(ca=True, days=(-900, -9)),
            )
        ]
        return cls(tuple(_pairs(chance, issuing)), tuple(issuers))


def _ed25519(chance: random.Random) -> Any:
    return ed25519.Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))


def _prime(chance: random.Random, bits: int) -> int:
    while True:
        candidate = chance.getrandbits(bits) | 3 << (bits - 2) | 1
        if all(candidate % prime for prime in FEW_PRIMES) and pow(2, candidate - 1, candidate) == 1:
            return candidate


def _rsa(chance: random.Random, bits: int) -> rsa.RSAPrivateKey:
    e = 65537
    p, q = (_prime(chance, bits // 2) for _ in range(2))
    d = pow(e, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(e, p * q)
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public
    )
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def _pairs(chance: random.Random, issuer: Party) -> Iterator[Pair]:
    curves = (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1(), ec.SECP256K1(), ec.BrainpoolP256R1())
    of_curves = [ec.derive_private_key(chance.getrandbits(200), curve) for curve in curves]
    of_rsa = [_rsa(chance, 2048), _rsa(chance, 1024)]
    others: list[Any] = [
        _ed25519(chance),
        ed448.Ed448PrivateKey.from_private_bytes(chance.randbytes(57)),
        x25519.X25519PrivateKey.from_private_bytes(chance.randbytes(32)),
        *_outdated(),
    ]
    # The usual kinds more often.
    for key in (*of_curves[:1] * 4, *of_rsa[:1], *of_curves, *of_rsa, *others):
        certificate = _certificate(issuer, key)
        keys = tuple(_forms(chance, key))
        yield Pair(certificate, keys)
        if key is of_rsa[0]:
            yield Pair(changed(certificate, _binds_to_pss), (*keys, Sealed(_bound_to_pss(key))))


def _outdated() -> Iterator[Any]:
    numbers = dsa.DSAParameterNumbers(2**1023 + 1155, 2**159 + 7, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield dh.DHPrivateNumbers(3, dh.DHPublicNumbers(8, dh.DHParameterNumbers(2**2048 - 1942289, 2))).private_key()
        yield dsa.DSAPrivateNumbers(3, dsa.DSAPublicNumbers(8, numbers)).private_key()


def _certificate(issuer: Party, key: Any) -> bytes:
    """A certificate of any key, those included that could not ask for one."""

    def change(fields: list[bytes]) -> None:
        fields[6] = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    return changed(der_of(Party("client", ec.derive_private_key(7, ec.SECP256R1())).certificate(issuer)), change)


def _forms(chance: random.Random, key: Any) -> Iterator[Sealed]:
    def written(form: PrivateFormat, encryption: Any = None) -> str:
        return str(key.private_bytes(Encoding.PEM, form, encryption or NoEncryption()), "ascii")

    passphrase = f"k4n4{chance.getrandbits(64):016x}"
    yield from (Sealed(written(PrivateFormat.PKCS8)) for _ in range(3))
    content = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    yield Sealed(sealed(content, passphrase), passphrase)
    if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | dsa.DSAPrivateKey):
        yield Sealed(written(PrivateFormat.TraditionalOpenSSL))
        old = written(PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(passphrase.encode()))
        yield Sealed(old, passphrase)
        yield Sealed(old.replace("AES-256-CBC", "CAMELLIA-256-CBC"), passphrase)
    if isinstance(key, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        yield Sealed(written(PrivateFormat.OpenSSH))


def _binds_to_pss(fields: list[bytes]) -> None:
    ((_, info),) = values(fields[6])
    (_, (tag, bits)) = values(info)
    fields[6] = sequence(sequence(PSS_OID), sequence(bits, tag=tag))


def _bound_to_pss(key: Any) -> str:
    ((_, whole),) = values(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    _, _, (tag, content) = values(whole)
    return pem_of(sequence(sequence(b"\0", tag=2), sequence(PSS_OID), sequence(content, tag=tag)), "PRIVATE KEY")
