"""What is read of a certificate, whatever else stands in it; and how a chain is put into line."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any, ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from airflow_provider_timav.videorelay.certificates import Certificate, in_line
from airflow_provider_timav.videorelay.der import sequence
from harness.authorities import NOW, Party, changed, der_of, pem_of

ROOT, ISSUER, LEAF = Party("Root"), Party("Issuing CA"), Party("client")
CLIENT_AUTH, SERVER_AUTH, ANY = (
    bytes.fromhex(oid) for oid in ("06082b06010505070302", "06082b06010505070301", "0604551d2500")
)
EXTENDED_KEY_USAGE = "2.5.29.37"


def read(pem: str) -> Certificate:
    return Certificate.of(der_of(pem))


def test_fields_are_those_of_the_library() -> None:
    pem = LEAF.certificate(ISSUER)
    found, known = read(pem), x509.load_pem_x509_certificate(pem.encode())
    assert (found.not_before, found.not_after) == (known.not_valid_before_utc, known.not_valid_after_utc)
    info = known.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert found.algorithm in info
    assert found.usages is None
    assert not found.is_of_rsa_pss


@pytest.mark.parametrize(
    ("purposes", "fit"),
    [
        ((CLIENT_AUTH,), True),
        ((SERVER_AUTH, CLIENT_AUTH), True),
        ((ANY,), True),
        ((SERVER_AUTH,), False),
        ((), False),
    ],
    ids=["client", "both", "any", "server", "nobody"],
)
def test_extended_key_usage_says_whether_it_is_for_clients(purposes: tuple[bytes, ...], fit: bool) -> None:
    assert read(LEAF.certificate(extensions={EXTENDED_KEY_USAGE: sequence(*purposes)})).is_for_clients is fit


@pytest.mark.parametrize("content", ["", "30", "0203010001", "3003020100ff", "ff"], ids=lambda text: text or "empty")
def test_extended_key_usage_that_cannot_be_read_is_left_to_openssl(content: str) -> None:
    found = read(LEAF.certificate(extensions={EXTENDED_KEY_USAGE: bytes.fromhex(content)}))
    assert found.is_for_clients
    assert found.not_after == NOW + timedelta(days=90)


def test_other_extensions_take_nothing_away() -> None:
    """None of them can be read by a strict parser."""
    odd = {
        "2.5.29.19": bytes.fromhex("3003010100"),
        "2.5.29.17": bytes.fromhex("3004a3023000"),
        "2.5.29.32": b"\xff" * 9,
        "2.5.29.99": b"",
    }
    found = read(LEAF.certificate(extensions={**odd, EXTENDED_KEY_USAGE: sequence(SERVER_AUTH)}))
    assert not found.is_for_clients


def with_validity(not_after: bytes, tag: int) -> Certificate:
    def change(fields: list[bytes]) -> None:
        fields[4] = sequence(sequence(b"700101000000Z", tag=0x17), sequence(not_after, tag=tag))

    return Certificate.of(changed(der_of(LEAF.certificate()), change))


UTC_TIME, GENERALIZED = 0x17, 0x18


@pytest.mark.parametrize(
    ("text", "tag", "moment"),
    [
        (b"491231235959Z", UTC_TIME, datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (b"500101000000Z", UTC_TIME, datetime(1950, 1, 1, tzinfo=UTC)),
        (b"300101000000+0530", UTC_TIME, datetime(2029, 12, 31, 18, 30, tzinfo=UTC)),
        (b"3001010000Z", UTC_TIME, datetime(2030, 1, 1, tzinfo=UTC)),
        (b"99991231235959Z", GENERALIZED, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (b"20300101000000.5Z", GENERALIZED, datetime(2030, 1, 1, tzinfo=UTC)),
        (b"20300101000000-0100", GENERALIZED, datetime(2030, 1, 1, 1, tzinfo=UTC)),
        (b"99991231235959-0100", GENERALIZED, None),
        (b"20301301000000Z", GENERALIZED, None),
        (b"20300101000000Z", UTC_TIME, None),
        (b"tomorrow", UTC_TIME, None),
        (b"\xff", GENERALIZED, None),
    ],
)
def test_times_are_read_in_every_form(text: bytes, tag: int, moment: datetime | None) -> None:
    found = with_validity(text, tag)
    assert (found.not_before, found.not_after) == (datetime(1970, 1, 1, tzinfo=UTC), moment)


def test_whatever_the_bytes_are_something_is_read() -> None:
    chance = random.Random(1)  # noqa: S311 - to be repeatable
    whole = der_of(LEAF.certificate(ISSUER, extensions={EXTENDED_KEY_USAGE: sequence(ANY)}))
    for _ in range(3000):
        damaged = bytearray(whole[: chance.randrange(len(whole) + 1)] if chance.random() < 0.3 else whole)
        for _ in range(chance.randint(0, 3)):
            if damaged:
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        found = Certificate.of(bytes(damaged))
        assert found.der == damaged
        assert isinstance(found.is_for_clients and found.is_of_rsa_pss, bool)


class TestLine:
    CHAIN: ClassVar = [
        read(LEAF.certificate(ISSUER)),
        read(ISSUER.certificate(ROOT, ca=True)),
        read(ROOT.certificate(ca=True)),
    ]

    @pytest.mark.parametrize("order", list(permutations((1, 2))), ids=str)
    def test_issuers_come_in_their_order(self, order: Any) -> None:
        assert in_line([self.CHAIN[0], *(self.CHAIN[place] for place in order)]) == (self.CHAIN, [])

    def test_each_comes_once(self) -> None:
        assert in_line([self.CHAIN[0], *self.CHAIN, *self.CHAIN]) == (self.CHAIN, [])

    def test_what_has_no_place_in_it_stands_apart(self) -> None:
        other = read(Party("Other").certificate(ca=True))
        again = read(ISSUER.certificate(Party("Other Root"), ca=True))
        leaf, issuer, root = self.CHAIN
        assert in_line([leaf, other, issuer, again, root]) == ([leaf, issuer, root], [other, again])

    def test_issuers_that_name_each_other_end(self) -> None:
        one, two = Party("One"), Party("Two")
        circle = [read(one.certificate(two)), read(two.certificate(one))]
        assert in_line(circle) == (circle, [])

    @pytest.mark.parametrize("name", ["ISSUING CA", "issuing  ca", " Issuing CA "])
    def test_names_are_compared_as_people_read_them(self, name: str) -> None:
        leaf = read(LEAF.certificate(ISSUER, issuers_name=name))
        assert in_line([leaf, self.CHAIN[1]]) == ([leaf, self.CHAIN[1]], [])

    def test_certificate_that_cannot_be_read_is_in_no_line(self) -> None:
        leaf, unreadable = self.CHAIN[0], Certificate.of(b"\x30\x03abc")
        assert in_line([leaf, unreadable]) == ([leaf], [unreadable])


def test_authorities_write_what_the_library_reads() -> None:
    """The makers of these tests' certificates are right themselves."""
    whole = der_of(LEAF.certificate(ISSUER))
    assert changed(whole, lambda fields: None) == whole
    assert der_of(pem_of(whole)) == whole
