"""What a player keeps from one load of a stream to the next, for one watch.

It is stored nowhere, since it may hold what lets viewers in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_provider_timav.stream.address import host
from airflow_provider_timav.stream.playlist import Part

__all__ = ["Session", "Source", "chosen"]

MOST_VARIANTS: Final = 8
"""Variants of a master playlist that are tried until one answers: a look must not become a crawl."""

_MOST_OPENED: Final = 8


@dataclass(frozen=True, slots=True)
class Source:
    """Where a list is, and what is to be known to read it.

    :param url: its address.
    :param public_only: whether it was led to by a public server, and so leads to public addresses only.
    :param what: what it is, for a text.
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
    :param lists: where each media playlist that was read is by now; of a stream without a master playlist under None.
    :param loaded_at: when the address that viewers are given was loaded last.
    :param public: whether a server on a public address answered for it.
    :param plain: whether its servers refuse requests for a part of a segment.
    :param opened: initialization sections and keys that have answered.
    :param slow: whether the list that was asked for last takes longer than a share of a look, or may.
    :param hurried: whether, since a list was read last, one may have failed only because it had no more than a share.
    :param turn: how many variants were given all the time of a look.
    :param gzip: whether its playlists are so long that compression is asked for.
    :param answered: whether anything answered at the last look; None before the first.
    :param cookies: the mover's jar; None while there is none.
    :param address: the mover's form of the address that was asked last for a playlist, which is ``address_of``.
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
