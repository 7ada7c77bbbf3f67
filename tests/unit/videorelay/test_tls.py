"""Certificate and key: what is repaired, what is refused under which field, and that nothing is left behind."""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import certifi
import pytest
import trustme
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from airflow_provider_timav.videorelay.der import values
from airflow_provider_timav.videorelay.errors import CertificateError, ConfigurationError
from airflow_provider_timav.videorelay.key_rounds import rounds
from airflow_provider_timav.videorelay.tls import Identity, forget_contexts, trusted
from harness.authorities import changed, der_of, pem_of, sealed

CA = trustme.CA()
PASSPHRASE = "correct horse"


def issue(**facts: Any) -> tuple[str, str]:
    leaf = CA.issue_cert("client@example.org", **facts)
    return "".join(blob.bytes().decode() for blob in leaf.cert_chain_pems), leaf.private_key_pem.bytes().decode()


CERT, KEY = issue()
OTHER_CERT, OTHER_KEY = issue()
CA_PEM = CA.cert_pem.bytes().decode()


def encrypted(form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    key = load_pem_private_key(KEY.encode(), None)
    return key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(PASSPHRASE.encode())).decode()


def block(label: str) -> str:
    return f"-----BEGIN {label}-----\nAAAA\n-----END {label}-----"


def flattened(text: str) -> str:
    return text.strip().replace("\n", " ")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda text: text, id="as it is"),
        pytest.param(lambda text: text.strip(), id="stripped"),
        pytest.param(lambda text: text.replace("\n", "\r\n"), id="CRLF"),
        pytest.param(lambda text: "\ufeff" + text, id="byte order mark"),
        pytest.param(lambda text: text.replace("\n", "\\n"), id="literal \\n"),
        pytest.param(lambda text: text.replace("\n", "\\r\\n"), id="literal \\r\\n"),
        pytest.param(flattened, id="one line with blanks"),
        pytest.param(lambda text: text.replace("\n", ""), id="one line"),
        pytest.param(lambda text: "# my key\n" + text, id="a comment before it"),
    ],
)
@pytest.mark.parametrize(
    "key", [KEY, encrypted(), encrypted(PrivateFormat.TraditionalOpenSSL)], ids=["plain", "PKCS8", "old"]
)
def test_pem_that_lost_its_form_is_repaired(damage: Any, key: str) -> None:
    identity = Identity.load(client_cert=damage(CERT), private_key=damage(key), passphrase=PASSPHRASE)
    assert identity.context(trusted(damage(CA_PEM))).verify_mode is ssl.CERT_REQUIRED


def test_path_is_as_good_as_text(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text(CERT)
    (tmp_path / "key.pem").write_text(KEY)
    (tmp_path / "ca.pem").write_text(CA_PEM)
    identity = Identity.load(client_cert=str(tmp_path / "cert.pem"), private_key=f" {tmp_path / 'key.pem'}\n")
    assert len(identity.context(trusted(str(tmp_path / "ca.pem"))).get_ca_certs()) == 1


NOW = datetime.now(UTC)
PAST = {"not_before": NOW - timedelta(days=9), "not_after": NOW - timedelta(days=1)}
FUTURE = {"not_before": NOW + timedelta(days=1), "not_after": NOW + timedelta(days=9)}
EXPIRED_CERT, EXPIRED_KEY = issue(**PAST)
EARLY_CERT, EARLY_KEY = issue(**FUTURE)

REFUSED: dict[str, tuple[dict[str, str], str, str]] = {
    "T4 expired": ({"client_cert": EXPIRED_CERT, "private_key": EXPIRED_KEY}, "client_cert", "expired on"),
    "T5 not yet valid": ({"client_cert": EARLY_CERT, "private_key": EARLY_KEY}, "client_cert", "not valid before"),
    "T6 key of another certificate": ({"private_key": OTHER_KEY}, "private_key", "not the key of client_cert"),
    "T7 no passphrase": ({"private_key": encrypted()}, "private_key_passphrase", "is encrypted"),
    "T7 wrong passphrase": (
        {"private_key": encrypted(), "passphrase": "wrong"},
        "private_key_passphrase",
        "passphrase is wrong",
    ),
    "old key, wrong passphrase": (
        {"private_key": encrypted(PrivateFormat.TraditionalOpenSSL), "passphrase": "wrong"},
        "private_key_passphrase",
        "passphrase is wrong",
    ),
    "garbage as certificate": (
        {"client_cert": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"},
        "client_cert",
        "damaged",
    ),
    "garbage as key": (
        {"private_key": block("PRIVATE KEY")},
        "private_key",
        "damaged",
    ),
    "a key as certificate": ({"client_cert": KEY}, "client_cert", "no certificate"),
    "a certificate as key": ({"private_key": CERT}, "private_key", "no private key"),
    "no PEM": ({"client_cert": "hello"}, "client_cert", "neither PEM text"),
    "a file that is not there": ({"private_key": "/nowhere/key.pem"}, "private_key", "neither PEM text"),
    "cut off": ({"client_cert": CERT.partition("-----END")[0]}, "client_cert", "no PEM"),
    "chain out of order": ({"client_cert": OTHER_CERT + CERT}, "client_cert", "did not issue|must be the first"),
}


def load(given: dict[str, str]) -> Identity:
    return Identity.load(
        client_cert=given.get("client_cert", CERT),
        private_key=given.get("private_key", KEY),
        passphrase=given.get("passphrase"),
    )


@pytest.mark.parametrize(("given", "field", "rule"), REFUSED.values(), ids=REFUSED.keys())
def test_unusable_key_material_names_its_field(given: dict[str, str], field: str, rule: str) -> None:
    with pytest.raises(CertificateError, match=rule) as refused:
        load(given)
    assert refused.value.field == field
    assert not refused.value.retryable
    for secret in (KEY, OTHER_KEY, encrypted()):
        assert secret[60:80] not in str(refused.value)


def der(tag: int, *contents: bytes | int) -> bytes:
    """One value of ASN.1 in DER, whose contents are others, or numbers."""
    content = b"".join(
        each if isinstance(each, bytes) else der(2, each.to_bytes(each.bit_length() // 8 + 1, "big"))
        for each in contents
    )
    size = len(content).to_bytes(2, "big").lstrip(b"\0")
    return bytes([tag]) + (size if len(content) < 128 else bytes([0x80 + len(size)]) + size) + content


def stretched(oid: str, *numbers: int, salt: bytes = b"s" * 16) -> str:
    """The base64 of an encrypted key whose passphrase is stretched as these numbers say (RFC 8018, RFC 7914)."""
    kdf = der(0x30, der(6, bytes.fromhex(oid)), der(0x30, der(4, salt), *numbers))
    cipher = der(0x30, der(6, bytes.fromhex("60864801650304012a")), der(4, b"i" * 16))
    algorithm = der(0x30, der(6, bytes.fromhex("2a864886f70d01050d")), der(0x30, kdf, cipher))
    return base64.b64encode(der(0x30, algorithm, der(4, b"k" * 128))).decode()


PBKDF2, SCRYPT = "2a864886f70d01050c", "2b06010401da47040b"


@pytest.mark.parametrize(
    ("oid", "numbers", "count"),
    [
        (PBKDF2, (2048,), 2048),
        (PBKDF2, (600_000, 32), 600_000),
        (PBKDF2, (2**31 - 1,), 2**31 - 1),
        (SCRYPT, (16384, 8, 1), 131_072),
        (SCRYPT, (16384, 8, 16), 2_097_152),
    ],
)
def test_rounds_of_a_key_are_counted_before_it_is_opened(oid: str, numbers: tuple[int, ...], count: int) -> None:
    assert rounds(stretched(oid, *numbers)) == count
    text = f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{stretched(oid, *numbers)}\n-----END ENCRYPTED PRIVATE KEY-----"
    with pytest.raises(CertificateError, match="more than 2000000 rounds" if count > 2_000_000 else "does not open"):
        load({"private_key": text, "passphrase": PASSPHRASE})


@pytest.mark.parametrize(
    ("oid", "numbers", "salt"),
    [
        pytest.param(PBKDF2, (6_000_000, 0), b"\x06\x09" + bytes.fromhex(SCRYPT), id="a salt that reads as scrypt"),
        pytest.param(PBKDF2, (6_000_000, 0), bytes.fromhex(SCRYPT), id="a salt with scrypt's number"),
        pytest.param(PBKDF2, (6_000_000, 0), b"s" * 16, id="a key of no length"),
        pytest.param(SCRYPT, (16384, 0, 6_000_000), b"s" * 16, id="a factor of zero"),
        pytest.param(SCRYPT, (16384, 8, 1, 6_000_000), b"s" * 16, id="a number beside the factors"),
    ],
)
def test_no_number_takes_the_rounds_of_another_away(oid: str, numbers: tuple[int, ...], salt: bytes) -> None:
    body = stretched(oid, *numbers, salt=salt)
    assert rounds(body) >= 6_000_000
    with pytest.raises(CertificateError, match="more than 2000000 rounds"):
        load(
            {
                "private_key": f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{body}\n-----END ENCRYPTED PRIVATE KEY-----",
                "passphrase": PASSPHRASE,
            }
        )


def test_rounds_that_are_not_written_in_der_are_not_tried() -> None:
    """OpenSSL reads a length that is left open, too (X.690, 8.1.3.6), and would begin with all that it is asked for."""
    whole = base64.b64decode(stretched(PBKDF2, 2**31 - 1))
    ((_, content),) = values(whole)
    ((_, algorithm), *rest) = values(content)
    open_ended = [
        b"\x30\x80" + content + b"\0\0",
        der(0x30, b"\x30\x80" + algorithm + b"\0\0", *(der(tag, inner) for tag, inner in rest)),
    ]
    for odd in open_ended:
        text = f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{base64.b64encode(odd).decode()}\n-----END ENCRYPTED PRIVATE KEY-----\n"
        with pytest.raises(CertificateError, match="is damaged, or of a kind") as refused:
            load({"private_key": text, "passphrase": PASSPHRASE})
        assert refused.value.field == "private_key"
    ((_, oid), (_, parameters)) = values(algorithm)
    inner = b"\x30\x80" + parameters + b"\0\0"
    odd = der(0x30, der(0x30, der(6, oid), inner), *(der(tag, value) for tag, value in rest))
    assert rounds(base64.b64encode(odd).decode()) == 2**31 - 1


def test_salt_that_reads_as_scrypt_makes_no_product() -> None:
    assert rounds(stretched(PBKDF2, 600_000, 32, salt=bytes.fromhex(SCRYPT))) == 600_000


NULL = b"\x05\x00"


def encrypted_with(cipher: str, *, kdf: str = PBKDF2, prf: str = "2a864886f70d0209") -> str:
    """The PEM of a key that is encrypted with some cipher (RFC 8018); nothing opens it."""
    stretching = der(0x30, der(4, b"s" * 16), 2048, der(0x30, der(6, bytes.fromhex(prf)), NULL))
    kind = der(0x30, der(6, bytes.fromhex(kdf)), stretching)
    with_cipher = der(0x30, der(6, bytes.fromhex(cipher)), der(4, b"i" * 16))
    algorithm = der(0x30, der(6, bytes.fromhex("2a864886f70d01050d")), der(0x30, kind, with_cipher))
    body = base64.b64encode(der(0x30, algorithm, der(4, b"k" * 128))).decode()
    return f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{body}\n-----END ENCRYPTED PRIVATE KEY-----\n"


def old(cipher: str, iv: str) -> str:
    return encrypted(PrivateFormat.TraditionalOpenSSL).replace("AES-256-CBC,", f"{cipher},{iv}")


@pytest.mark.parametrize(
    "key",
    [
        encrypted_with("2a83088c9a4b3d01010104"),
        encrypted_with("2a831a8c9a6e01010c"),
        encrypted_with("60864801650304012b"),
        encrypted_with("60864801650304012a", prf="2a864886f70d0206"),
        old("CAMELLIA-256-CBC", ""),
        old("AES-192-CBC", ""),
    ],
    ids=["Camellia", "ARIA", "AES in OFB mode", "stretched with MD5", "old, Camellia", "old, AES-192"],
)
def test_cipher_that_is_not_supported_is_no_wrong_passphrase(key: str) -> None:
    with pytest.raises(
        CertificateError, match="encrypted in a way that is not supported: encrypt it with AES"
    ) as refused:
        load({"private_key": key, "passphrase": PASSPHRASE})
    assert refused.value.field == "private_key"


@pytest.mark.parametrize(
    "cipher", ["608648016503040102", "608648016503040116", "60864801650304012a", "2a864886f70d0307"]
)
def test_usual_cipher_that_does_not_open_is_a_wrong_passphrase(cipher: str) -> None:
    with pytest.raises(CertificateError, match="private_key_passphrase is wrong, or the key is damaged") as refused:
        load({"private_key": encrypted_with(cipher), "passphrase": PASSPHRASE})
    assert refused.value.field == "private_key_passphrase"


def test_scrypt_beyond_what_openssl_takes_is_an_unusual_way() -> None:
    text = stretched(SCRYPT, 65536, 8, 1)
    key = f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{text}\n-----END ENCRYPTED PRIVATE KEY-----"
    with pytest.raises(CertificateError, match="encrypted in a way that is not supported"):
        load({"private_key": key, "passphrase": PASSPHRASE})


def test_rounds_of_a_key_that_was_encrypted_here_are_few() -> None:
    assert 0 < rounds("".join(encrypted().splitlines()[1:-1])) < 2_000_000


RSA = rsa.generate_private_key(65537, 2048)
NUMBERS = RSA.private_numbers()


def rsa_key(**changes: int) -> str:
    """The PEM of an RSA key with some numbers that are not its own (RFC 8017, A.1.2)."""
    public = NUMBERS.public_numbers
    own = {name: getattr(NUMBERS, name) for name in ("d", "p", "q", "dmp1", "dmq1", "iqmp")}
    made = {"version": 0, "n": public.n, "e": public.e, **own} | changes
    body = base64.b64encode(der(0x30, *made.values())).decode()
    return f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n"


def rsa_certificate() -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
    builder = x509.CertificateBuilder(
        name, name, RSA.public_key(), 1, NOW - timedelta(days=1), NOW + timedelta(days=90)
    )
    return builder.sign(RSA, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def test_rsa_key_whose_numbers_belong_together_is_taken() -> None:
    assert load({"client_cert": rsa_certificate(), "private_key": rsa_key()}).days_left() == 89


@pytest.mark.parametrize(
    "changes",
    [
        {"d": NUMBERS.d + 2},
        {"p": NUMBERS.p + 2},
        {"p": NUMBERS.q},
        {"p": NUMBERS.public_numbers.n, "q": 1},
        {"q": 0},
        {"dmp1": NUMBERS.dmp1 + 2},
        {"dmq1": 1},
        {"iqmp": NUMBERS.iqmp + 1},
        {"e": 65536},
        {"e": 1},
        {"n": NUMBERS.public_numbers.n + 2},
        {"n": NUMBERS.p * (2**9000 + 1), "q": 2**9000 + 1},
    ],
    ids=", ".join,
)
def test_rsa_key_whose_numbers_do_not_is_damaged(changes: dict[str, int]) -> None:
    with pytest.raises(CertificateError) as refused:
        load({"client_cert": rsa_certificate(), "private_key": rsa_key(**changes)})
    assert refused.value.field == "private_key"


def of_diffie_hellman(prime: int) -> bytes:
    """A key of Diffie-Hellman (PKCS #3), in PKCS #8."""
    kind = der(0x30, der(6, bytes.fromhex("2a864886f70d010301")), der(0x30, prime, 3))
    return der(0x30, 0, kind, der(4, der(2, b"\x03")))


@pytest.mark.parametrize("bits", [2048, 20_000])
def test_key_of_another_kind_is_refused_also_where_openssl_gives_up(bits: int) -> None:
    body = base64.b64encode(of_diffie_hellman(2**bits - 1)).decode()
    with pytest.raises(CertificateError) as refused:
        load(
            {
                "client_cert": rsa_certificate(),
                "private_key": f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n",
            }
        )
    assert refused.value.field == "private_key"


KEY_DER = load_pem_private_key(KEY.encode(), None).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def pkcs8(key: str) -> bytes:
    return load_pem_private_key(key.encode(), None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_key_that_openssl_opens_and_the_library_does_not_is_encrypted_in_an_unusual_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which ways these are depends on the library's version."""
    key = sealed(KEY_DER, PASSPHRASE)
    assert load({"private_key": key, "passphrase": PASSPHRASE}).key_pem == pkcs8(KEY)
    forget_contexts()

    def unknown(*args: object, **facts: object) -> None:
        raise UnsupportedAlgorithm("a cipher")

    monkeypatch.setattr(serialization, "load_pem_private_key", unknown)
    with pytest.raises(CertificateError, match="encrypted in a way that is not supported") as refused:
        load({"private_key": key, "passphrase": PASSPHRASE})
    assert refused.value.field == "private_key"
    with pytest.raises(CertificateError, match="passphrase is wrong") as refused:
        load({"private_key": key, "passphrase": "wrong"})
    assert refused.value.field == "private_key_passphrase"


@pytest.mark.parametrize("encrypt", [False, True], ids=["plain", "encrypted"])
def test_key_of_another_kind_is_not_read_for_its_primes(encrypt: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library looks for half a minute where a prime of Diffie-Hellman has 8192 bits, and no other thread runs."""

    def reads(*args: object, **facts: object) -> None:
        raise AssertionError

    monkeypatch.setattr(serialization, "load_pem_private_key", reads)
    content = of_diffie_hellman(2**2048 - 1942289)
    plain = f"-----BEGIN PRIVATE KEY-----\n{base64.b64encode(content).decode()}\n-----END PRIVATE KEY-----\n"
    with pytest.raises(CertificateError, match="of a kind that is not supported") as refused:
        load({"private_key": sealed(content, PASSPHRASE) if encrypt else plain, "passphrase": PASSPHRASE})
    assert refused.value.field == "private_key"


DSA_KIND = der(0x30, der(6, bytes.fromhex("2a8648ce380401")), der(0x30, 2**1024 - 1, 2**160 - 1, 3))


def test_key_of_dsa_is_refused_before_it_is_read() -> None:
    """A large one takes OpenSSL and the library seconds each."""
    content = der(0x30, 0, DSA_KIND, der(4, der(2, b"\x03")))
    as_pkcs8 = f"-----BEGIN PRIVATE KEY-----\n{base64.b64encode(content).decode()}\n-----END PRIVATE KEY-----\n"
    for key in (as_pkcs8, as_pkcs8.replace("PRIVATE", "DSA PRIVATE")):
        with pytest.raises(CertificateError, match=r"^private_key: it is of DSA"):
            load({"private_key": key})

    def change(fields: list[bytes]) -> None:
        fields[6] = der(0x30, DSA_KIND, der(3, b"\0" + der(2, b"\x08")))

    certificate = pem_of(changed(der_of(CERT), change))
    with pytest.raises(CertificateError, match=r"^client_cert: it is of DSA"):
        load({"client_cert": certificate})


def test_key_of_another_kind_than_its_certificate_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def reads(*args: object, **facts: object) -> None:
        raise AssertionError

    monkeypatch.setattr(serialization, "load_pem_private_key", reads)
    dsa = sealed(der(0x30, 0, DSA_KIND, der(4, der(2, b"\x03"))), PASSPHRASE)
    for key in (rsa_key(), dsa):
        with pytest.raises(CertificateError, match="not the key of client_cert"):
            load({"private_key": key, "passphrase": PASSPHRASE})


def test_passphrase_that_openssl_does_not_take_is_refused_by_its_length() -> None:
    with pytest.raises(CertificateError, match="takes none of 1024 bytes or more") as refused:
        load({"private_key": encrypted(), "passphrase": "x" * 1024})
    assert refused.value.field == "private_key_passphrase"


@pytest.mark.parametrize("damaged", ["", "AAAA", "MIIB", "MP////8=", "no base64 at all", "MIAAAA=="])
def test_what_is_no_key_has_no_rounds(damaged: str) -> None:
    assert rounds(damaged) == 0


@pytest.mark.filterwarnings("error")
def test_ca_of_real_bundles_is_taken() -> None:
    bundle = Path(certifi.where()).read_text(encoding="utf-8")  # it holds a serial number of 0
    assert trusted(bundle) is not None


def test_certificate_in_a_bundle_that_cannot_be_read_is_counted() -> None:
    with pytest.raises(CertificateError, match=r"^ca_cert: OpenSSL cannot read certificate 2 in it$") as refused:
        trusted(CA_PEM + block("CERTIFICATE") + CA_PEM)
    assert refused.value.field == "ca_cert"


def test_unusable_ca_names_its_field() -> None:
    with pytest.raises(CertificateError) as refused:
        trusted(block("CERTIFICATE"))
    assert refused.value.field == "ca_cert"


def test_server_certificate_is_no_client_certificate() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, NOW - timedelta(days=1), NOW + timedelta(days=90))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pems = {
        "client_cert": certificate.public_bytes(Encoding.PEM).decode(),
        "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    }
    with pytest.raises(CertificateError, match="clientAuth") as refused:
        load(pems)
    assert refused.value.field == "client_cert"


@pytest.mark.parametrize(("days", "level"), [(365, None), (31, None), (29, "WARNING"), (6, "ERROR")], ids=str)
def test_expiry_is_announced(days: int, level: str | None, caplog: pytest.LogCaptureFixture) -> None:
    """Less than 30 days are a warning, less than 7 an error."""
    cert, key = issue(not_after=NOW + timedelta(days=days, hours=1))
    assert Identity.load(client_cert=cert, private_key=key).days_left() == days
    assert [record.levelname for record in caplog.records] == ([level] if level else [])


def test_context_trusts_exactly_the_named_ca() -> None:
    identity = Identity.load(client_cert=CERT, private_key=KEY)
    context = identity.context(CA_PEM)
    assert len(context.get_ca_certs()) == 1
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_shared_context_is_the_same_for_the_same_contents_only() -> None:
    identity = Identity.load(client_cert=CERT, private_key=KEY)
    shared = identity.shared_context(CA_PEM)
    assert Identity.load(client_cert=CERT, private_key=KEY).shared_context(CA_PEM) is shared
    assert identity.shared_context(CA_PEM * 2) is not shared
    assert identity.shared_context(None) is not shared
    certificate, key = issue()
    replaced = Identity.load(client_cert=certificate, private_key=key)
    assert replaced.shared_context(CA_PEM) is not shared


def test_shared_context_follows_the_systems_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = tmp_path / "ca.pem"
    store.write_text(CA_PEM)
    places = ssl.DefaultVerifyPaths("", "", "SSL_CERT_FILE", str(store), "SSL_CERT_DIR", "/nowhere")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: places)
    identity = Identity.load(client_cert=CERT, private_key=KEY)
    shared = identity.shared_context(None)
    assert identity.shared_context(None) is shared
    store.write_text(trustme.CA().cert_pem.bytes().decode() + CA_PEM)
    assert len(identity.shared_context(None).get_ca_certs()) == 2


def test_systems_store_is_used_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(CA_PEM)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    identity = Identity.load(client_cert=CERT, private_key=KEY)
    names = {str(ca["subject"]) for ca in identity.context(None).get_ca_certs()}
    assert not any("trustme" in name for name in names)


def test_system_without_a_store_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    places = ssl.DefaultVerifyPaths("", "", "SSL_CERT_FILE", "/nowhere", "SSL_CERT_DIR", "/nowhere")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: places)
    with pytest.raises(ConfigurationError) as refused:
        Identity.load(client_cert=CERT, private_key=KEY).context(None)
    assert refused.value.field == "ca_cert"


def test_no_key_file_is_left_and_no_descriptor_leaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    identity = Identity.load(client_cert=CERT, private_key=KEY)
    identity.context(CA_PEM)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(200):
        identity.context(CA_PEM)
    assert len(os.listdir("/proc/self/fd")) == before
    assert os.listdir(tmp_path) == []


def test_no_key_file_is_left_without_anonymous_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    Identity.load(client_cert=CERT, private_key=KEY).context(CA_PEM)
    assert os.listdir(tmp_path) == []


def test_encrypted_key_never_prompts() -> None:
    """OpenSSL would ask on the terminal, and hang a worker that has one."""
    program = (
        "import sys; from airflow_provider_timav.videorelay.tls import Identity\n"
        "cert, key = sys.stdin.read().split('=====')\n"
        "try: Identity.load(client_cert=cert, private_key=key)\n"
        "except Exception as error: print(type(error).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=f"{CERT}====={encrypted()}",
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert done.stdout.strip() == "CertificateError"
    assert "pass phrase" not in done.stderr


def test_identity_shows_no_key() -> None:
    identity = Identity.load(client_cert=CERT, private_key=KEY)
    assert "PRIVATE" not in repr(identity)


def test_pem_of_two_certificates_keeps_both() -> None:
    assert str(trusted(CERT + CA_PEM)).count("BEGIN CERTIFICATE") == 2


STORES: dict[str, Callable[[Path], int]] = {
    "empty": lambda store: store.write_text(""),
    "comments only": lambda store: store.write_text("# none"),
    "broken": lambda store: store.write_text(CA_PEM.replace("M", "*", 9)),
}


@pytest.mark.parametrize("kind", STORES)
def test_systems_store_that_cannot_be_used_is_told(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    STORES[kind](tmp_path / "cert.pem")
    places = ssl.DefaultVerifyPaths("", "", "SSL_CERT_FILE", str(tmp_path / "cert.pem"), "SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: places)
    with pytest.raises(ConfigurationError, match="store of CAs cannot be read") as refused:
        Identity.load(client_cert=CERT, private_key=KEY).context(None)
    assert (refused.value.field, refused.value.retryable) == ("ca_cert", False)
    assert refused.value.__context__ is None
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize(("number", "passes"), [(13, False), (24, True), (5, False)])
def test_systems_store_that_cannot_be_opened_is_told(
    number: int, passes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **facts: object) -> None:
        raise OSError(number, os.strerror(number), "/etc/secret")

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", refuse)
    with pytest.raises(ConfigurationError, match=os.strerror(number)) as refused:
        Identity.load(client_cert=CERT, private_key=KEY).context(None)
    assert (refused.value.field, refused.value.retryable) == ("ca_cert", passes)


def test_machine_without_a_descriptor_left_is_no_fault_of_a_field(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **facts: object) -> int:
        raise OSError(24, "Too many open files")

    identity = Identity.load(client_cert=CERT, private_key=KEY)
    monkeypatch.setattr(os, "memfd_create", refuse)
    for make in (
        lambda: identity.context(CA_PEM),
        lambda: Identity.load(client_cert=OTHER_CERT, private_key=OTHER_KEY),
    ):
        forget_contexts()
        with pytest.raises(ConfigurationError, match="cannot prepare TLS") as refused:
            make()
        assert (refused.value.field, refused.value.retryable, refused.value.__context__) == (None, True, None)


@pytest.mark.parametrize("encrypt", [False, True], ids=["plain", "encrypted"])
@pytest.mark.parametrize("before", [1, 3, 4, 9])
def test_key_of_a_certificate_that_is_not_the_first_is_told(before: int, encrypt: bool) -> None:
    """However many stand before it, as in a bundle that begins with the root."""
    key, passphrase = (encrypted(), PASSPHRASE) if encrypt else (KEY, None)
    others = "".join(trustme.CA().cert_pem.bytes().decode() for _ in range(before))
    with pytest.raises(CertificateError, match="must be the first of its chain") as refused:
        Identity.load(client_cert=others + CERT, private_key=key, passphrase=passphrase)
    assert refused.value.field == "client_cert"
