"""The model of an HLS playlist (RFC 8216 and draft-pantos-hls-rfc8216bis), as far as a probe needs it.

Segments that decide whether a stream plays are worked out on demand: most probes need none.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from airflow_provider_timav.stream.lines import attributes

__all__ = ["MasterPlaylist", "MediaPlaylist", "Part", "Segment", "Tags", "moment"]

MOST_KEYS: Final = 20
"""Keys at one place that are kept; each is for another system."""

_NAMES: Final = 3
"""Segments whose names distinguish two copies of a list from two lists."""

_BYTES = re.compile(r"(\d{1,18})(?:@(\d{1,18}))?")


@dataclass(frozen=True, slots=True)
class Part:
    """A resource, or some bytes of it.

    :param address: as written.
    :param offset: of the first byte, with ``length`` bytes; both None for the whole of it.
    """

    address: str
    offset: int | None = None
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment and everything that a player needs to play it.

    :param number: its media sequence number.
    :param media: the resource with its bytes (``EXT-X-BYTERANGE``).
    :param init: its initialization section (``EXT-X-MAP``), or None.
    :param key: the address of the key that it is encrypted with, if that is a plain resource (``EXT-X-KEY`` with the method
        AES-128 and the key format ``identity``), or None. Keys of DRM systems are the player's business.
    """

    number: int
    media: Part
    init: Part | None = None
    key: str | None = None


@dataclass(slots=True)
class Tags:
    """The tags that apply to segments, by the place of the segment among ``addresses`` that follows them."""

    gaps: set[int] = field(default_factory=set)
    ranges: dict[int, str] = field(default_factory=dict)
    inits: list[tuple[int, str]] = field(default_factory=list)
    keys: list[tuple[int, str]] = field(default_factory=list)
    dated: str = ""

    def add_init(self, place: int, value: str) -> None:
        """Note an ``EXT-X-MAP``; of several at one place the last one counts."""
        if self.inits and self.inits[-1][0] == place:
            self.inits.pop()
        self.inits.append((place, value))

    def add_key(self, place: int, value: str) -> None:
        """Note an ``EXT-X-KEY``."""
        if len(self.keys) < MOST_KEYS or self.keys[-MOST_KEYS][0] != place:
            self.keys.append((place, value))


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    """A list of segments.

    :param tail: media sequence + number of segments, the number of the next segment.
    :param segments: how many there are, skipped ones (``EXT-X-SKIP``) included.
    :param target_duration: seconds, at most `playlist.LONGEST_TARGET_DURATION`; None if the playlist does not declare it. It
        is the median segment's if that contradicts the declared one.
    :param endlist: whether nothing will be added.
    :param addresses: of the segments as written; of a long list those of the last ones.
    """

    tail: int
    segments: int
    target_duration: float | None
    endlist: bool
    addresses: list[str]
    tags: Tags = field(default_factory=Tags, compare=False, repr=False)

    @property
    def newest(self) -> str | None:
        """The address of the last segment, as written; None if there are none."""
        return self.addresses[-1] if self.addresses else None

    @property
    def names(self) -> tuple[int, ...]:
        """Digests of the names of the last segments, oldest first: the names of their files, without folder and query.

        Signatures and sessions, which differ from load to load, stand in those.
        """
        files = [one.partition("?")[0].rpartition("/")[2] for one in self.addresses[-_NAMES:]]
        return tuple([zlib.crc32(name.encode()) for name in files])

    @property
    def dated(self) -> str:
        """The last ``EXT-X-PROGRAM-DATE-TIME``, as written; empty if there is none. See `moment`."""
        return self.tags.dated[:40]

    def added(self, since: int) -> list[Segment]:
        """Return the segments that show best whether the added ones play: the newest, and the oldest that was added.

        Players begin three target durations before the end (RFC 8216, 6.3.3), so the newest may be late for them. A
        segment that is a gap (``EXT-X-GAP``) is never loaded, and proves nothing.

        :param since: the number of the first segment that counts as added.
        """
        base = self.tail - len(self.addresses)
        gaps = self.tags.gaps
        places = [place for place in range(max(since - base, 0), len(self.addresses)) if place not in gaps]
        chosen = [places[-1], places[0]] if len(places) > 1 else places
        return [self._segment(base, place) for place in chosen]

    def _segment(self, base: int, place: int) -> Segment:
        tags = self.tags
        media = Part(self.addresses[place])
        if place in tags.ranges:
            media = Part(self.addresses[place], *self._bytes(place))
        init = next((value for begin, value in reversed(tags.inits) if begin <= place), None)
        return Segment(base + place, media, None if init is None else _init(init), _key(tags.keys, place))

    def _bytes(self, place: int) -> tuple[int | None, int | None]:
        """Return offset and length; without an offset a range begins at the end of that of the segment before (4.3.2.2)."""
        lengths: list[int] = []
        for at in range(place, -1, -1):
            found = _BYTES.match(self.tags.ranges.get(at, "").strip())
            if found is None or self.addresses[at] != self.addresses[place]:
                break
            lengths.append(int(found[1]))
            if found[2] is not None:
                return int(found[2]) + sum(lengths[1:]), lengths[0]
        return None, None


@dataclass(frozen=True, slots=True)
class MasterPlaylist:
    """A list of playlists of the same broadcast.

    :param variants: their addresses as written, in the order of the list; of a long list the first 256.
    :param variables: the variables that ``EXT-X-DEFINE`` gives them to import, by name.
    """

    variants: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


def moment(dated: str) -> float | None:
    """Return an ``EXT-X-PROGRAM-DATE-TIME`` in seconds since the epoch; None if it cannot be read."""
    try:
        return datetime.fromisoformat(dated.strip()).timestamp()
    except (ValueError, OverflowError):
        return None


def _init(value: str) -> Part | None:
    found = attributes(value)
    if not found.get("URI"):
        return None
    span = _BYTES.match(found.get("BYTERANGE", ""))
    if span is None:
        return Part(found["URI"])
    return Part(found["URI"], int(span[2] or 0), int(span[1]))


def _key(keys: list[tuple[int, str]], place: int) -> str | None:
    """Return the key's address. Of several tags at one place each is for another system."""
    begin = next((begin for begin, _ in reversed(keys) if begin <= place), None)
    for at, value in keys:
        found = attributes(value) if at == begin else {}
        if found.get("METHOD") == "AES-128" and found.get("KEYFORMAT", "identity") == "identity":
            return found.get("URI")
    return None
