"""Parse hosts as people write them into the one form that every library gets.

The libraries of the two clients read a host in three ways: one maps look-alikes of a letter or a full stop to it, the other
refuses them as late as it connects, and the system's look-up reads ``127.1`` as an address. So a host is parsed here, once,
before anything is sent: the result is ASCII, and all of them read it alike. This module does no I/O.

Sources: RFC 1123, 2.1 (names), RFC 5891 (names that are not ASCII), RFC 3986, 3.2.2 (addresses), RFC 4291 (IPv6).
"""

from __future__ import annotations

import contextlib
import re
import unicodedata
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

__all__ = ["canonical", "part"]

LONGEST_NAME: Final = 253
# RFC 1123 allows no underscores in hosts; names of containers and of services have them all the same.
_LABEL: Final = re.compile(r"[a-z0-9_-]{1,63}")
_NUMBER: Final = re.compile(r"\d+|0x[0-9a-f]*")
_PLACE: Final = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::(.*))?", re.DOTALL)
_PORT: Final = re.compile(r"0*[0-9]{1,5}")


def part(place: str) -> tuple[str, int | None]:
    """Split ``host[:port]`` into the host in its one form and the port, None if there is none.

    :raises ValueError: naming the rule that is broken, and quoting nothing.
    """
    found = _PLACE.fullmatch(place)
    if found is None:
        raise ValueError("it must be a host name, or an address, of IPv6 in brackets")
    host, port = canonical(found[1]), found[2]
    if not port:
        return host, None
    if not _PORT.fullmatch(port) or not 0 < int(port) < 65536:
        raise ValueError("its port must be a number from 1 to 65535")
    return host, int(port)


def canonical(host: str) -> str:
    """Return a host in its one form: a name in lower case and ASCII, an address of IPv4 in four numbers, of IPv6 in brackets.

    A full stop at the end of a name is left out, as TLS leaves it out (RFC 6066, 3).

    :raises ValueError: naming the rule that is broken, and quoting nothing but the number of a character that is not ASCII.
    """
    if host.startswith("["):
        return _address_6(host)
    labels = [label.lower() if label.isascii() else _in_ascii(label) for label in host.removesuffix(".").split(".")]
    if not all(labels):
        raise ValueError("a part of the name is empty")
    name = ".".join(labels)
    if len(name) > LONGEST_NAME or any(len(label) > 63 for label in labels):
        raise ValueError("a name has 63 characters at most between two full stops, and 253 in all")
    if not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("a character stands in it that no host name has")
    if _NUMBER.fullmatch(labels[-1]):
        # The system's look-up reads these as an address, in forms that only some libraries know.
        return _address_4(name)
    return name


def _address_4(text: str) -> str:
    with contextlib.suppress(AddressValueError):
        return str(IPv4Address(text))
    raise ValueError("an address must be four numbers from 0 to 255 without leading zeros")


def _address_6(text: str) -> str:
    with contextlib.suppress(AddressValueError):
        if text.endswith("]") and "%" not in text:  # a zone is local to this machine; no certificate names one
            return f"[{IPv6Address(text[1:-1]).compressed}]"
    raise ValueError("what stands in brackets must be an address of IPv6, without a zone")


def _in_ascii(label: str) -> str:
    """Return a label as look-ups and TLS use it (``xn--…``), without mapping one character to another."""
    import idna

    # As people type it, capitals and accents included (RFC 5891, 5.2). If that makes it ASCII, it was only a look-alike.
    typed = unicodedata.normalize("NFC", label.lower())
    if not typed.isascii():
        with contextlib.suppress(idna.IDNAError, UnicodeError):
            return idna.alabel(typed).decode("ascii")
    odd = [char for char in label if not char.isascii()]
    shown = next((char for char in odd if not char.isalnum()), odd[0])
    raise ValueError(f"a character stands in it that no host name has (U+{ord(shown):04X})")
