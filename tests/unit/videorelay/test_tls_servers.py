"""What servers of real TLS take of an identity, and what its context takes of them."""

from __future__ import annotations

import contextlib
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.videorelay import calls
from airflow_provider_timav.videorelay.aclient import AsyncClient
from airflow_provider_timav.videorelay.client import Client
from airflow_provider_timav.videorelay.der import sequence, values
from airflow_provider_timav.videorelay.errors import CertificateError
from airflow_provider_timav.videorelay.exchange import RetryBudget, Service
from airflow_provider_timav.videorelay.tls import Identity, trusted
from airflow_provider_timav.videorelay.usersig import StaticUserSig
from harness.authorities import PSS_OID, Party, der_of, key_pem, pem_of, pss_certificate, sealed
from harness.clients import KINDS, AnyClient, Blocking, without_pauses
from harness.peer import Peer, Wire

ROOT, ISSUER, OTHER, CLIENT, SERVER = (Party(name) for name in ("Root", "Issuing CA", "Other Root", "client", "server"))
ROOT_PEM, ISSUER_PEM = ROOT.certificate(ca=True), ISSUER.certificate(ROOT, ca=True)
LEAF = CLIENT.certificate(ISSUER)
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def server_context(
    chain: str, *, of: Party = SERVER, trusts: str = ROOT_PEM, version: ssl.TLSVersion | None = None
) -> ssl.SSLContext:
    """A server's side, which asks for a certificate of an authority that it trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=trusts)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "server.pem"
        file.write_text(chain + of.key_pem)
        context.load_cert_chain(file)
    return context


SERVER_CHAIN = SERVER.certificate(ROOT, address="127.0.0.1")


@contextlib.contextmanager
def greeting(context: ssl.SSLContext) -> Iterator[tuple[int, list[Any]]]:
    """A server that greets each client that it accepts; gives its port, and the subjects of those clients."""
    listener = socket.create_server(("127.0.0.1", 0))
    accepted: list[Any] = []

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as tls:
                tls.sendall(b"hello")
                accepted.append(tls.getpeercert())
            plain.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], accepted
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def greeted(port: int, context: ssl.SSLContext) -> bytes:
    """What a client with this context hears."""
    with socket.create_connection(("127.0.0.1", port)) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as tls:
            return tls.recv(5)


CHAINS = {
    "itself": LEAF,
    "with its issuer": LEAF + ISSUER_PEM,
    "with its root": LEAF + ISSUER_PEM + ROOT_PEM,
    "the root before the issuer": LEAF + ROOT_PEM + ISSUER_PEM,
    "itself twice": LEAF * 2 + ISSUER_PEM,
    "the issuer twice": LEAF + ISSUER_PEM * 2,
    "the issuer signed across": LEAF + ISSUER_PEM + ISSUER.certificate(OTHER, ca=True),
    "the root signed across, and expired": LEAF + ISSUER_PEM + ROOT.certificate(OTHER, ca=True, days=(-900, -9)),
    "another root": LEAF + ISSUER_PEM + OTHER.certificate(ca=True),
    "another root before the issuer": LEAF + OTHER.certificate(ca=True) + ISSUER_PEM,
    "another client": LEAF + ISSUER_PEM + Party("another").certificate(),
    "the issuer named in other letters": CLIENT.certificate(ISSUER, issuers_name="ISSUING  ca") + ISSUER_PEM,
}


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())
def test_chain_that_a_server_takes_is_sent(chain: str, version: ssl.TLSVersion) -> None:
    context = Identity.load(client_cert=chain, private_key=CLIENT.key_pem).context(ROOT_PEM)
    # A server that knows the issuing CA needs no more than the certificate itself.
    trusts = ROOT_PEM + (ISSUER_PEM if chain == LEAF else "")
    with greeting(server_context(SERVER_CHAIN, trusts=trusts, version=version)) as (port, accepted):
        assert greeted(port, context) == b"hello"
    assert [dict(part[0] for part in each["subject"]) for each in accepted] == [{"commonName": "client"}]


def test_issuers_are_sent_in_the_order_of_tls_1_2() -> None:
    identity = Identity.load(client_cert=CHAINS["the root before the issuer"], private_key=CLIENT.key_pem)
    assert identity.chain_pem == CHAINS["with its root"]


def test_issuer_that_has_expired_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    chain = LEAF + ISSUER.certificate(ROOT, ca=True, days=(-900, -9))
    Identity.load(client_cert=chain, private_key=CLIENT.key_pem)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Certificate 2 of client_cert, an issuer's, expired on" in caplog.text


@pytest.mark.parametrize("place", [1, 2])
def test_certificate_after_the_first_that_is_damaged_is_named(place: int) -> None:
    chain = [LEAF, ISSUER_PEM, ROOT_PEM]
    chain[place] = pem_of(b"\x30\x03\x02\x01\x00")
    with pytest.raises(CertificateError, match="a certificate of its chain is damaged") as refused:
        Identity.load(client_cert="".join(chain), private_key=CLIENT.key_pem)
    assert refused.value.field == "client_cert"


KEY = rsa.generate_private_key(65537, 2048)
SHA_256 = sequence(sequence(bytes.fromhex("608648016503040201"), tag=6), bytes.fromhex("0500"))
MGF_1 = sequence(sequence(bytes.fromhex("2a864886f70d010108"), tag=6), SHA_256)
WITH_SHA_256 = sequence(
    sequence(SHA_256, tag=0xA0), sequence(MGF_1, tag=0xA1), sequence(bytes.fromhex("020120"), tag=0xA2)
)


def pss_der(parameters: bytes = b"") -> bytes:
    ((_, whole),) = values(KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    _, _, (tag, content) = values(whole)
    return sequence(bytes.fromhex("020100"), sequence(PSS_OID, parameters), sequence(content, tag=tag))


def pss_key(parameters: bytes = b"") -> str:
    return pem_of(pss_der(parameters), "PRIVATE KEY")


PASSPHRASE = "correct horse"
PSS_PAIRS = {
    "both": (pss_certificate(KEY, ROOT), pss_key()),
    "with parameters": (pss_certificate(KEY, ROOT, WITH_SHA_256), pss_key(WITH_SHA_256)),
    "the key without parameters": (pss_certificate(KEY, ROOT, WITH_SHA_256), pss_key()),
    "an encrypted key": (pss_certificate(KEY, ROOT), sealed(pss_der(), PASSPHRASE)),
    "an encrypted key with parameters": (
        pss_certificate(KEY, ROOT, WITH_SHA_256),
        sealed(pss_der(WITH_SHA_256), PASSPHRASE),
    ),
}


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize(("certificate", "key"), PSS_PAIRS.values(), ids=PSS_PAIRS.keys())
def test_pair_of_rsassa_pss_shakes_hands(certificate: str, key: str, version: ssl.TLSVersion) -> None:
    identity = Identity.load(client_cert=certificate, private_key=key, passphrase=PASSPHRASE)
    with greeting(server_context(SERVER_CHAIN, version=version)) as (port, accepted):
        assert greeted(port, identity.context(ROOT_PEM)) == b"hello"
    assert len(accepted) == 1


def test_key_of_another_certificate_of_rsassa_pss_is_named() -> None:
    """Nor is a plain key of RSA the key of one, or the other way round: OpenSSL takes neither."""
    other = key_pem(rsa.generate_private_key(65537, 2048))
    bound, plain = pss_certificate(KEY, ROOT), Party("pss", KEY).certificate(ROOT)
    for certificate, key in ((bound, other), (bound, CLIENT.key_pem), (bound, key_pem(KEY)), (plain, pss_key())):
        with pytest.raises(CertificateError, match="not the key of client_cert") as refused:
            Identity.load(client_cert=certificate, private_key=key)
        assert refused.value.field == "private_key"


class TestTrust:
    """``ca_cert`` as curl has it: what is named is trusted, be it a root or not."""

    CHAIN = SERVER.certificate(ISSUER, address="127.0.0.1")
    AT_THE_SERVER = CHAIN + ISSUER_PEM

    @pytest.mark.parametrize(
        "ca",
        [ISSUER_PEM, ROOT_PEM, ISSUER_PEM + ROOT_PEM, ISSUER_PEM * 2, CHAIN],
        ids=["issuing CA", "root", "both", "twice", "the server's own certificate"],
    )
    def test_any_certificate_of_the_servers_chain_may_be_named(self, ca: str) -> None:
        context = Identity.load(client_cert=LEAF + ISSUER_PEM, private_key=CLIENT.key_pem).context(trusted(ca))
        with greeting(server_context(self.AT_THE_SERVER)) as (port, _):
            assert greeted(port, context) == b"hello"

    @pytest.mark.parametrize("ca", [OTHER.certificate(ca=True), LEAF], ids=["another root", "another certificate"])
    def test_no_other_is_trusted(self, ca: str) -> None:
        context = Identity.load(client_cert=LEAF + ISSUER_PEM, private_key=CLIENT.key_pem).context(trusted(ca))
        with greeting(server_context(self.AT_THE_SERVER)) as (port, _):
            with pytest.raises(ssl.SSLCertVerificationError):
                greeted(port, context)

    def test_key_beside_it_is_left_out(self) -> None:
        assert trusted(ROOT.key_pem + ROOT_PEM) == ROOT_PEM


def test_context_is_the_same_with_each_python() -> None:
    """Python 3.13 has other defaults than 3.11 for contexts that it makes whole."""
    context = Identity.load(client_cert=LEAF, private_key=CLIENT.key_pem).context(ROOT_PEM)
    flags = ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN
    assert (context.verify_flags, context.post_handshake_auth) == (flags, True)


def test_certificate_that_openssl_finds_too_weak_is_refused_by_its_word() -> None:
    short = Party("short", rsa.generate_private_key(65537, 1024))  # noqa: S505 - this is the point
    with pytest.raises(CertificateError, match="OpenSSL refuses it") as refused:
        Identity.load(client_cert=short.certificate(), private_key=short.key_pem)
    assert (refused.value.field, refused.value.__cause__) == ("client_cert", None)


ODD_EXTENSIONS = {
    "an authority that says that it is none": {"2.5.29.19": "3003010100"},
    "an address with a mask": {"2.5.29.17": "300a87087f000001ffffff00"},
    "a name of X.400": {"2.5.29.17": "3004a3023000"},
    "a notice in Latin-1": {"2.5.29.32": "301b301906032a03043012301006082b0601050507020230041a0272ed"},
    "nonsense under an unknown name": {"1.2.3.4": "ff"},
}


@pytest.mark.parametrize("extensions", ODD_EXTENSIONS.values(), ids=ODD_EXTENSIONS.keys())
def test_extension_that_a_strict_parser_refuses_is_no_harm(extensions: dict[str, str]) -> None:
    odd = CLIENT.certificate(ISSUER, extensions={oid: bytes.fromhex(content) for oid, content in extensions.items()})
    context = Identity.load(client_cert=odd + ISSUER_PEM, private_key=CLIENT.key_pem).context(ROOT_PEM)
    with greeting(server_context(SERVER_CHAIN)) as (port, _):
        assert greeted(port, context) == b"hello"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture(params=[False, True], ids=KINDS)
def is_asynchronous(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def client_of(emulator: Emulator, port: int, certificate: str, key: str, *, asynchronous: bool) -> AnyClient:
    identity = Identity.load(client_cert=certificate, private_key=key)
    service = Service(
        f"https://127.0.0.1:{port}", emulator.sdkappid, emulator.identifier, StaticUserSig(emulator.usersig)
    )

    def context() -> ssl.SSLContext:
        return identity.context(emulator.certificates.ca_pem)

    if asynchronous:
        return without_pauses(Blocking(AsyncClient(service, context)))
    return without_pauses(Client(service, context))


def asks_late(wire: Wire) -> None:
    """Ask for the certificate once the request has been read, as Apache does for one location (RFC 8446, 4.6.2)."""
    tls = wire.connection
    assert isinstance(tls, ssl.SSLSocket)
    tls.verify_client_post_handshake()
    tls.do_handshake()
    tls.settimeout(0.05)
    while not tls.getpeercert():
        with contextlib.suppress(TimeoutError):
            tls.recv(1)
    wire.answer(wire.execute())


def late_context(emulator: Emulator, trusts: str) -> ssl.SSLContext:
    context = emulator.certificates.server_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=trusts)
    context.post_handshake_auth = True
    return context


class TestPostHandshakeAuthentication:
    def test_certificate_is_shown_when_it_is_asked_for_late(self, emulator: Emulator, is_asynchronous: bool) -> None:
        own = emulator.certificates
        context = late_context(emulator, own.ca_pem)
        with Peer(emulator, context=context, fault=asks_late, faults_left=1) as peer:
            client = client_of(
                emulator, peer.port, own.client_cert_pem, own.client_key_pem, asynchronous=is_asynchronous
            )
            with client:
                done = client.call(calls.stop_push(room_id=1, user_id="a"), budget=RetryBudget())
        assert (done.outcome, peer.posts) == ("gone", 1)

    def test_pair_of_rsassa_pss_is_shown_late_too(self, emulator: Emulator, is_asynchronous: bool) -> None:
        certificate, key = PSS_PAIRS["both"]
        context = late_context(emulator, ROOT_PEM)
        with Peer(emulator, context=context, fault=asks_late, faults_left=1) as peer:
            with client_of(emulator, peer.port, certificate, key, asynchronous=is_asynchronous) as client:
                done = client.call(calls.stop_push(room_id=1, user_id="a"), budget=RetryBudget())
        assert (done.outcome, peer.posts) == ("gone", 1)


def test_certificate_of_which_the_fields_are_read_is_the_one_that_is_sent() -> None:
    identity = Identity.load(client_cert=LEAF + ISSUER_PEM, private_key=CLIENT.key_pem)
    assert der_of(identity.chain_pem.partition("-----END CERTIFICATE-----\n")[0] + "-----END CERTIFICATE-----\n") == (
        der_of(LEAF)
    )
