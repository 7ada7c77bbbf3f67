"""Which addresses are public."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_timav.stream.network import is_public, may_be_public

PUBLIC = [
    "8.8.8.8",
    "93.184.216.34",
    "223.255.255.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "1.1.1.1",
]
PUBLIC_6 = ["2606:2800:220:1::1", "2001:4860:4860::8888", "2a00:1450::1", "240e::1"]

NOT_PUBLIC = {
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.1.1", "fd00:ec2::254", "fc00::1"],
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "link-local": ["169.254.169.254", "169.254.0.23", "fe80::1", "fe80::1%1", "fe80::1%eth0", "febf::1"],
    "multicast": ["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"],
    "unspecified": ["0.0.0.0", "0.1.2.3", "::"],  # noqa: S104  # nothing is bound to it
    "shared": ["100.64.0.1", "100.100.100.200", "100.127.255.255"],
    "reserved": [
        "240.0.0.1",
        "255.255.255.255",
        "192.0.0.192",
        "198.18.0.1",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
    ],
    "reserved-6": ["2001:db8::1", "3fff::1", "100::1", "4000::1", "5f00::1", "2001:2::1", "2001:10::1", "fec0::1"],
    "a-clouds-host": ["168.63.129.16"],
    "mapped": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "0:0:0:0:0:ffff:7f00:1"],
    "translated": ["::ffff:0:7f00:1"],
    "compatible": ["::127.0.0.1", "::10.0.0.1", "::8.8.8.8"],
    "nat64": ["64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1"],
    "6to4": ["2002:7f00:1::1", "2002:a00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:101::1"],
    "teredo": ["2001:0:a00:1::f7f7:f7f7", "2001:0:808:808:0:0:f5ff:fffe", "2001::1"],
    "isatap": ["2606:2800:220:1:0:5efe:10.0.0.1", "2606:2800:220:1:200:5efe:127.0.0.1"],
    "odd-spelling": ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "0x7f000001", "10.1", "0"],
    "nothing": ["", "name", "1.2.3.4.5", "::g", "[::1]", "999.1.1.1"],
}


@pytest.mark.parametrize("address", [*PUBLIC, *PUBLIC_6, "134744072"])
def test_address_on_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address", [pytest.param(one, id=f"{kind}-{one}") for kind, some in NOT_PUBLIC.items() for one in some]
)
def test_any_other_address_is_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "2001:0:808:808::f7f7:f7f7", "2606::5efe:8.8.8.8"],
)
def test_address_that_carries_a_public_one_is_public(address: str) -> None:
    """A network without IPv4 of its own reaches servers on IPv4 by such addresses (NAT64)."""
    assert is_public(address)


@given(st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(0, 2**128 - 1).map(IPv6Address))
@example(ip_address("192.31.196.1"))
def test_what_python_knows_as_not_global_is_not_public(address: IPv4Address | IPv6Address) -> None:
    carrying = isinstance(address, IPv6Address) and (address.ipv4_mapped or address.teredo or address.sixtofour)
    if not address.is_global and not carrying:
        assert not is_public(str(address))


@pytest.mark.parametrize(
    "host", ["cdn.example", "8.8.8.8", "2606:2800:220:1::1", "10.example.com", "localhost.example", "0x.example"]
)
def test_host_that_a_proxy_looks_up_may_be_public(host: str) -> None:
    assert may_be_public(host)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost.",
        "a.localhost",
        "127.0.0.1",
        "127.0.0.1.",
        "2130706433",
        "0x7f.1",
        "::1",
        "::ffff:10.0.0.1",
        "%6cocalhost",
    ],
)
def test_host_that_is_known_not_to_be_public_is_not_left_to_a_proxy(host: str) -> None:
    assert not may_be_public(host)
