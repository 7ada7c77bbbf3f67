"""Tells addresses on the public internet from those of a network of one's own.

Answers of a public server must not lead a worker or the triggerer into the network in which it stands: to a cloud's metadata
service, a database's port, Airflow itself. The lists are those of IANA's registries of special-purpose addresses (RFC 6890 and
its successors); ``ipaddress.is_global`` follows them too, but differently in each version of Python.
"""

from __future__ import annotations

import socket
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network

__all__ = ["is_public", "may_be_public"]

_NOT_PUBLIC_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host: connecting to 0.0.0.0 reaches loopback
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared between a provider and its customers; clouds have metadata services there
        "127.0.0.0/8",
        "168.63.129.16/32",  # looks public, and is a virtual machine's own host at Azure
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)

_PUBLIC_6 = IPv6Network("2000::/3")
"""All unicast that is assigned: not loopback, unspecified, mapped, compatible, link-local, unique local, multicast."""

_NOT_PUBLIC_6 = tuple(IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "3fff::/20"))

_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_TEREDO = IPv6Network("2001::/32")
_6TO4 = IPv6Network("2002::/16")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)


def is_public(address: str) -> bool:
    """Return whether a numeric address, in any spelling that the system takes, is on the public internet.

    An IPv6 address that carries an IPv4 address is public if both are: a translator or a tunnel may lead to either.
    """
    bare = address.partition("%")[0]
    try:
        six = IPv6Address(bare)
    except AddressValueError:
        try:
            # Not `IPv4Address`: the system also takes 127.1, 0x7f.1 and 2130706433.
            return _is_public_4(IPv4Address(socket.inet_aton(bare)))
        except (OSError, UnicodeError):
            return False
    carried = _carried(six)
    if not all(_is_public_4(four) for four in carried):
        return False
    if six in _MAPPED or six in _NAT64 or six in _TEREDO:
        return True
    return six in _PUBLIC_6 and not any(six in network for network in _NOT_PUBLIC_6)


def may_be_public(host: str) -> bool:
    """Return whether a host that a proxy will look up may be public: not one that is known without a look-up."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost") or "%" in name:
        return False
    if ":" in name:
        return is_public(name)
    try:
        socket.inet_aton(name)
    except (OSError, UnicodeError):
        return True
    return is_public(name)


def _is_public_4(address: IPv4Address) -> bool:
    return not any(address in network for network in _NOT_PUBLIC_4)


def _carried(address: IPv6Address) -> list[IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address carries, by the rules of mapping, NAT64, 6to4, Teredo and ISATAP."""
    number = int(address)
    last = IPv4Address(number & 0xFFFF_FFFF)
    if address in _MAPPED or address in _NAT64:
        return [last]
    if address in _6TO4:
        return [IPv4Address(number >> 80 & 0xFFFF_FFFF)]
    if address in _TEREDO:
        return [IPv4Address(number >> 64 & 0xFFFF_FFFF), IPv4Address(~number & 0xFFFF_FFFF)]
    if number >> 32 & 0xFFFF_FFFF in _ISATAP:
        return [last]
    return []
