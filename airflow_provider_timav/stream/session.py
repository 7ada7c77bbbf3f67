"""Facts that a player keeps from one load of a stream to the next.

They are stored nowhere, since they may let viewers in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_provider_timav.stream.address import host
from airflow_provider_timav.stream.segments import Part

__all__ = ["Session", "Source", "chosen"]

MOST_VARIANTS: Final = 8
"""Variants of a master playlist that are tried until one answers: a probe must not become a crawl."""

_MOST_OPENED: Final = 8


@dataclass(frozen=True, slots=True)
class Source:
    """The address of a list, and the facts that are needed to read it.

    :param url: its address.
    :param public_only: whether it was led to by a public server, and so leads to public addresses only.
    :param what: its name in a text.
    :param variables: those of the master playlist, by name.
    """

    url: str
    public_only: bool = False
    what: str = "a playlist"
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Session:
    """A viewer, as the servers see one.

    A master playlist, or an address that redirects, may begin a session of its own with each load (ad insertion, access logs
    by viewer): players load it once, and then the media playlist that it led to (RFC 8216, 6.3.4).

    :param variants: the media playlists that may be tried, by their place in the master playlist, in the order of trying.
    :param lists: the present source of each media playlist that was read; of a stream without a master playlist under None.
    :param loaded_at: when the address that viewers are given was loaded last.
    :param public: whether a server on a public address answered for it.
    :param plain: whether its servers refuse requests for a part of a segment.
    :param opened: initialization sections and keys that have answered.
    :param slow: whether the list that was requested last takes longer than a share of a probe, or may.
    :param hurried: whether, since a list was read last, one may have failed only for want of time.
    :param turn: how many variants were given all the time of a probe.
    :param gzip: whether its playlists are so long that compression is requested.
    :param answered: whether anything answered at the last probe; None before the first.
    :param cookies: the HTTP client's jar; None while there is none.
    :param address: the HTTP client's form of ``address_of``, the playlist's address that was requested last.
    """

    variants: dict[int, Source] = field(default_factory=dict)
    lists: dict[int | None, Source] = field(default_factory=dict)
    loaded_at: float | None = None
    public: bool = False
    plain: bool = False
    opened: list[Part] = field(default_factory=list)
    slow: bool = False
    hurried: bool = False
    turn: int = 0
    gzip: bool = False
    answered: bool | None = None
    cookies: Any = None
    address_of: str = ""
    address: Any = None

    def forget_lists(self) -> None:
        """Begin anew at the address that viewers are given."""
        self.variants, self.lists = {}, {}

    def open(self, part: Part) -> None:
        """Note that a part has answered."""
        self.opened = [*self.opened, part][-_MOST_OPENED:]

    def order(self, first: int | None) -> list[int]:
        """Return the places of the variants in the order of trying.

        :param first: the place to begin with, if there is such a variant.
        """
        return sorted(self.variants, key=lambda place: place != first)


def chosen(variants: Iterable[tuple[int, str]]) -> dict[int, str]:
    """Return the few variants that may be tried, in this order: one of each host first, then one of each folder.

    Redundant variants (a primary and a backup) stand side by side in a list of many renditions. No more than these are kept.

    :param variants: place in the master playlist and address of each.
    """
    seen: set[str] = set()
    ranked: tuple[list[tuple[int, str]], ...] = ([], [], [])
    for place, url in variants:
        name, folder = host(url), url.partition("?")[0].rpartition("/")[0]
        rank = ranked[0 if name not in seen else 1 if folder not in seen else 2]
        if len(rank) < MOST_VARIANTS:
            rank.append((place, url))
            seen |= {name, folder}
    return dict([one for rank in ranked for one in rank][:MOST_VARIANTS])
