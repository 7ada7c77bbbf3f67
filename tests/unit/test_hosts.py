"""Hosts as people write them, and the one form in which libraries get them."""

from __future__ import annotations

import contextlib
import socket

import idna
import pytest
import urllib3.util
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from airflow_provider_timav.hosts import canonical, part


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("OpenAPI.tim.qq.com", "openapi.tim.qq.com"),
        ("openapi.tim.qq.com.", "openapi.tim.qq.com"),
        ("my_proxy", "my_proxy"),
        ("r3---sn-4g5e6n7k.example", "r3---sn-4g5e6n7k.example"),
        ("1e100.net", "1e100.net"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[2001:DB8:0:0:0:0:0:1]", "[2001:db8::1]"),
        ("[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
        ("Bücher.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("直播.example", "xn--z6ut02b.example"),
        ("xn--z6ut02b.example", "xn--z6ut02b.example"),
    ],
    ids=ascii,
)
def test_host_has_one_form(written: str, host: str) -> None:
    assert canonical(written) == host
    assert canonical(host) == host


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("", id="nothing"),
        pytest.param(".", id="a full stop"),
        pytest.param("a..b", id="two full stops in a row"),
        pytest.param(".a", id="a full stop ahead"),
        pytest.param("a b", id="a blank"),
        pytest.param("a\u3002b", id="an ideographic full stop"),
        pytest.param("\u200blocalhost", id="a zero-width space"),
        pytest.param("local\u00adhost", id="a soft hyphen"),
        pytest.param("\uff4cocalhost", id="a letter of full width"),
        pytest.param("\u212aube.example", id="the sign of kelvin for a K"),
        pytest.param("'localhost'", id="quotes"),
        pytest.param("*.example", id="a wildcard"),
        pytest.param("a%20", id="a percent sign"),
        pytest.param("a,b", id="a list"),
        pytest.param("a/b", id="a path"),
        pytest.param("a\\b", id="a backslash"),
        pytest.param("a\0", id="a control character"),
        pytest.param("127.1", id="an address in two numbers"),
        pytest.param("127.0.0.01", id="an address with a leading zero"),
        pytest.param("0x7f000001", id="an address in hexadecimal"),
        pytest.param("2130706433", id="an address as one number"),
        pytest.param("256.0.0.1", id="an address out of range"),
        pytest.param("::1", id="IPv6 without brackets"),
        pytest.param("[::1", id="half of the brackets"),
        pytest.param("[fe80::1%25eth0]", id="a zone"),
        pytest.param("[127.0.0.1]", id="IPv4 in brackets"),
        pytest.param("x" * 64, id="a label too long"),
        pytest.param(".".join(["x" * 49] * 6), id="a name too long"),
        pytest.param("\ud800.example", id="half of a surrogate pair"),
    ],
)
def test_what_no_host_has_is_refused_and_not_quoted(written: str) -> None:
    with pytest.raises(ValueError) as refused:
        canonical(written)
    assert str(refused.value).isascii()
    assert len(written) < 3 or written not in str(refused.value)
    assert refused.value.__context__ is None


@pytest.mark.parametrize(
    ("written", "host", "port"),
    [
        ("a.example", "a.example", None),
        ("a.example:", "a.example", None),
        ("a.example:8443", "a.example", 8443),
        ("[::1]:08443", "[::1]", 8443),
    ],
)
def test_port_is_parted_from_its_host(written: str, host: str, port: int | None) -> None:
    assert part(written) == (host, port)


@pytest.mark.parametrize(
    "written", ["a:0", "a:65536", "a:x", "a:-1", "a: 1", "a:1:2", "a:\u0661", "a:123456", "a:00", "[::1]1"]
)
def test_what_is_no_port_is_refused(written: str) -> None:
    with pytest.raises(ValueError):
        part(written)


@given(st.text(st.one_of(st.sampled_from("aZ09-_.:[]%\\@ \u3002\u200b\u00df\u00fc"), st.characters()), max_size=40))
@settings(max_examples=500, deadline=None)
def test_every_library_reads_what_is_taken_alike(written: str) -> None:
    """Those of both clients, the system's look-up, and TLS: none of them makes another host of it, or refuses it."""
    with contextlib.suppress(ValueError):
        host = canonical(written)
        assert host.isascii()
        bare = host.strip("[]")
        address = f"https://{host}:8443/"
        assert urllib3.util.parse_url(address).host == host
        url = URL(address, encoded=True)
        assert url.raw_host == bare
        bare.encode("idna")  # what ssl and socket do with it
        with contextlib.suppress(OSError):
            socket.getaddrinfo(bare, 443, flags=socket.AI_NUMERICHOST)


def test_names_beyond_ascii_are_those_of_idna() -> None:
    assert canonical("straße.example") == idna.encode("straße.example").decode()
