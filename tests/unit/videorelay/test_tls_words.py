"""The words in which certificates and keys are refused: those of docs/certificates.md, each under its field."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from airflow_provider_timav.videorelay.der import sequence
from airflow_provider_timav.videorelay.errors import CertificateError
from airflow_provider_timav.videorelay.tls import Identity, trusted
from harness.authorities import Party, sealed
from harness.project import PROJECT

DOCS = (PROJECT / "docs" / "certificates.md").read_text(encoding="utf-8")
TABLE = DOCS.partition("| words | field |")[2]
ROWS = dict(re.findall(r"^\| `([^`]+)` \| (?:any|`(\w+)`) \|", TABLE, re.MULTILINE))

ISSUER, CLIENT, OTHER = Party("Issuing CA"), Party("client"), Party("other")
LEAF, CA = CLIENT.certificate(ISSUER), ISSUER.certificate(ca=True)
PASSPHRASE = "correct horse"
KEY = load_pem_private_key(CLIENT.key_pem.encode(), None)
CONTENT = KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
OPENSSH = str(KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), "ascii")
OLD = KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(PASSPHRASE.encode()))
CAMELLIA = str(OLD, "ascii").replace("AES-256-CBC", "CAMELLIA-256-CBC")
SHORT = Party("short", rsa.generate_private_key(65537, 1024))  # noqa: S505 - this is the point
SERVER_AUTH = sequence(bytes.fromhex("06082b06010505070301"))


def block(label: str, content: str = "AAAA") -> str:
    return f"-----BEGIN {label}-----\n{content}\n-----END {label}-----\n"


def identity(**given: Any) -> Callable[[], object]:
    fields = {"client_cert": LEAF, "private_key": CLIENT.key_pem, **given}
    return lambda: Identity.load(**fields)


def encrypted(**facts: Any) -> dict[str, str]:
    return {"private_key": sealed(CONTENT, PASSPHRASE, **facts), "passphrase": PASSPHRASE}


CASES: dict[str, Callable[[], object]] = {
    "is neither PEM text (-----BEGIN …) nor the path of a file": identity(private_key="/nowhere.pem"),
    "is base64 without its lines -----BEGIN …": identity(client_cert="".join(LEAF.splitlines()[1:-1])),
    "holds no PEM: no -----BEGIN …": identity(client_cert=LEAF[:200]),
    "a character stands in it that no PEM has": lambda: trusted(CA.replace("\nM", "\nM\u200b", 1)),
    "is longer than": identity(client_cert=LEAF.ljust(70_000)),
    "but a private key: perhaps client_cert and private_key are swapped": identity(client_cert=CLIENT.key_pem),
    "but a certificate: perhaps client_cert and private_key are swapped": identity(private_key=LEAF),
    "but a certificate request (CSR)": identity(client_cert=block("CERTIFICATE REQUEST")),
    "but a public key": lambda: trusted(block("PUBLIC KEY")),
    "it is damaged": identity(client_cert=block("CERTIFICATE")),
    "a certificate of its chain is damaged": identity(client_cert=LEAF + block("CERTIFICATE")),
    "OpenSSL refuses it": identity(client_cert=SHORT.certificate(), private_key=SHORT.key_pem),
    "it expired on": identity(client_cert=CLIENT.certificate(days=(-9, -1))),
    "it is not valid before": identity(client_cert=CLIENT.certificate(days=(1, 9))),
    "extended key usage lacks clientAuth": identity(
        client_cert=CLIENT.certificate(extensions={"2.5.29.37": SERVER_AUTH})
    ),
    "private_key's certificate must be the first of its chain": identity(client_cert=CA + LEAF),
    "private_key is not the key of client_cert": identity(private_key=OTHER.key_pem),
    "it is of DSA": identity(private_key=block("DSA PRIVATE KEY")),
    "it is a key of OpenSSH": identity(private_key=OPENSSH),
    "is damaged, or of a kind that is not supported": identity(private_key=block("PRIVATE KEY")),
    "it is encrypted in a way that is not supported": identity(private_key=CAMELLIA, passphrase=PASSPHRASE),
    "its passphrase is stretched by more than": identity(**encrypted(rounds=2_000_001)),
    "a private key of more than 128 lines": identity(private_key=block("PRIVATE KEY", "A" * 64 * 129)),
    "private_key is encrypted: put its passphrase into": identity(private_key=encrypted()["private_key"]),
    "private_key_passphrase is wrong, or the key is damaged": identity(**encrypted() | {"passphrase": "wrong"}),
    "OpenSSL takes none of 1024 bytes or more": identity(**encrypted() | {"passphrase": "x" * 1024}),
    "OpenSSL cannot read certificate": lambda: trusted(CA + block("CERTIFICATE")),
}


def test_table_and_cases_are_the_same() -> None:
    assert ROWS.keys() == CASES.keys()


@pytest.mark.parametrize("words", CASES)
def test_refusal_has_the_words_and_the_field_of_the_table(words: str) -> None:
    with pytest.raises(CertificateError) as refused:
        CASES[words]()
    assert words in refused.value.message
    field = ROWS[words] or str(refused.value.field)
    assert refused.value.field == field
    assert field in refused.value.message
    for secret in (*CLIENT.key_pem.splitlines()[1:-1], *OTHER.key_pem.splitlines()[1:-1], PASSPHRASE):
        assert secret[:12] not in refused.value.message
