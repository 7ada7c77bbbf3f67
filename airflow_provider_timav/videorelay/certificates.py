"""The parts of an X.509 certificate that matter to the client that shows it (RFC 5280), and how a chain of them is sent.

Libraries read a certificate wholly, or not at all: an address or a notice in it that they do not like makes them refuse what
OpenSSL, and with it every server, works with. So only validity, names, public key and extended key usage are read here, and
whether a certificate is damaged is for OpenSSL to say.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from airflow_provider_timav.videorelay.der import OID, SEQUENCE, values

__all__ = ["DSA", "Certificate", "in_line", "is_of"]

_EXTENDED_KEY_USAGE: Final = bytes.fromhex("551d25")
_CLIENT: Final = bytes.fromhex("2b06010505070302")
_ANY_USAGE: Final = bytes.fromhex("551d2500")
_RSA_PSS: Final = bytes.fromhex("2a864886f70d01010a")
DSA: Final = bytes.fromhex("2a8648ce380401")
"""The object identifier of keys of DSA."""
_UTC_TIME: Final = 0x17
_VERSION: Final = 0xA0
_EXTENSIONS: Final = 0xA3
# X.690 has more forms of a time than RFC 5280 allows in a certificate; OpenSSL reads them, too.
_TIME: Final = re.compile(
    r"(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})?(?:\.\d+)?(?:Z|([+-])(\d{2})(\d{2}))?", re.ASCII
)


@dataclass(frozen=True)
class Certificate:
    """A certificate, as far as it matters here. A part that cannot be read is None, or empty.

    :param der: the certificate itself.
    :param algorithm: of its public key, with its parameters: the contents of an ``AlgorithmIdentifier`` in DER.
    :param usages: the object identifiers of its extended key usage; None if it has none, or none that can be read.
    """

    der: bytes = field(repr=False)
    subject: bytes = b""
    issuer: bytes = b""
    not_before: datetime | None = None
    not_after: datetime | None = None
    algorithm: bytes = b""
    usages: frozenset[bytes] | None = None

    @classmethod
    def of(cls, der: bytes) -> Certificate:
        """Read a certificate, whatever the bytes are."""
        with contextlib.suppress(ValueError, IndexError, StopIteration):
            whole = next(values(der))[1]
            fields = [each for each in values(next(values(whole))[1]) if each[0] != _VERSION]
            (_, _, (_, issuer), (_, validity), (_, subject), (_, key), *further) = fields
            not_before, not_after = (_moment(*each) for each in list(values(validity))[:2])
            _, algorithm = next(values(key))
            return cls(
                der,
                subject=_folded(subject),
                issuer=_folded(issuer),
                not_before=not_before,
                not_after=not_after,
                algorithm=algorithm,
                usages=next((_usages(content) for tag, content in further if tag == _EXTENSIONS), None),
            )
        return cls(der)

    @property
    def is_for_clients(self) -> bool:
        """Whether its extended key usage lets it be a client's (RFC 5280, 4.2.1.12)."""
        return self.usages is None or not self.usages.isdisjoint((_CLIENT, _ANY_USAGE))

    @property
    def is_of_rsa_pss(self) -> bool:
        """Whether its key may be used for RSASSA-PSS only (RFC 4055, 1.2)."""
        return is_of(self.algorithm, _RSA_PSS)

    @property
    def is_of_dsa(self) -> bool:
        """Whether its key is one of DSA (RFC 3279, 2.3.2)."""
        return is_of(self.algorithm, DSA)


def is_of(algorithm: bytes, kind: bytes) -> bool:
    """Return whether the contents of an ``AlgorithmIdentifier`` begin with this object identifier."""
    with contextlib.suppress(StopIteration, IndexError):
        return next(values(algorithm)) == (OID, kind)
    return False


def in_line(chain: Sequence[Certificate]) -> tuple[list[Certificate], list[Certificate]]:
    """Return a chain as each version of TLS takes it: the first certificate with its issuers in line, and the others apart.

    TLS 1.2 wants that line (RFC 5246, 7.4.2). TLS 1.3 leaves the order open behind the first, and allows more certificates than
    are needed (RFC 8446, 4.4.2): the others are sent behind the line. Each certificate comes once.
    """
    leaf, *others = dict.fromkeys(chain)
    line = [leaf]
    while issuer := next((each for each in others if each.subject == line[-1].issuer), None):
        others.remove(issuer)
        line.append(issuer)
    return line, others


def _moment(tag: int, content: bytes) -> datetime | None:
    found = _TIME.fullmatch(content.decode("ascii", "replace"))
    if found is None or (len(found[1]) == 2) != (tag == _UTC_TIME):
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.group(1, 2, 3, 4, 5, 6))
    if tag == _UTC_TIME:
        year += 1900 if year >= 50 else 2000
    east = timedelta(hours=int(found[8] or 0), minutes=int(found[9] or 0)) * (-1 if found[7] == "-" else 1)
    with contextlib.suppress(ValueError, OverflowError):
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC) - east
    return None


def _folded(name: bytes) -> bytes:
    """Return a name in a form for comparing: letters, blanks and kinds of text make no difference (RFC 5280, 7.1)."""
    parts = (
        content for _, relative in values(name) for _, attribute in values(relative) for _, content in values(attribute)
    )
    return b"\0".join(b" ".join(part.lower().split()) for part in parts)


def _usages(extensions: bytes) -> frozenset[bytes] | None:
    for _, extension in (each for _, whole in values(extensions) for each in values(whole)):
        with contextlib.suppress(ValueError, IndexError):  # another one may be as odd as it likes
            (tag, kind), *_, (_, content) = values(extension)
            if (tag, kind) == (OID, _EXTENDED_KEY_USAGE):
                ((outer, purposes),) = values(content)
                return frozenset(each for _, each in values(purposes)) if outer == SEQUENCE else None
    return None
