"""What the body of an HLS playlist says (RFC 8216 and draft-pantos-hls-rfc8216bis), as far as a watcher needs it.

A dozen tags are read, and what players skip is skipped: a number that is none spoils its own line and not the list. A general
parser (m3u8, against which the tests hold this one) takes 80 us for ten segments where this takes 5: with a thousand watches
in one loop that was more than all the rest of a look. It also raises for malformed dates and keys that no watcher needs,
and counts a segment that is still being written.

Of a long list (a broadcast that keeps all its segments grows for hours) the middle is only counted: what is asked for stands at
the end. What is left is read a piece at a time, so that reading it takes little memory beside the body, whatever stands in it;
and all of it takes time in proportion to its length.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl, urlsplit

__all__ = [
    "LARGEST_NUMBER",
    "LARGEST_PLAYLIST",
    "MasterPlaylist",
    "MediaPlaylist",
    "NotAPlaylist",
    "Part",
    "Segment",
    "TooLong",
    "moment",
    "parse",
]

LARGEST_PLAYLIST: Final = 16 << 20
"""Bytes, decompressed. A day of two-second segments with signed addresses is about as long."""

LONG_LIST: Final = 1 << 18
"""Bytes from which on the middle of a list is only counted."""

_KEPT: Final = 1 << 16
"""Bytes at either end of a long list that are read line by line, and of one of its lines: no longer address is asked."""

_MOST_VARIANTS: Final = 256
"""Variants that are kept of a master playlist, which a watch holds for as long as it lasts."""

_MOST_VARIABLES: Final = 1000

_MOST_KEYS: Final = 20
"""Keys at one place that are kept; each is for another system."""

LARGEST_NUMBER: Final = 2**63 - 1
"""RFC 8216 has decimal integers up to 2^64-1 (4.2), Airflow's stores up to 2^63-1: the highest bit of a media sequence is
left away, which changes no difference between two of them."""

LONGEST_TARGET_DURATION: Final = 120.0
"""Seconds. Encoders whose clock has jumped write thousands (the largest segment's), and the watch over their stream would wait
three times as long for the next one."""

_EXAGGERATED: Final = 10
"""Times the median segment from which on a declared target duration counts as a mistake."""

_LONGEST_SEGMENT: Final = 86_400
"""Seconds; what is longer (or no number at all) is a mistake, and says nothing of the pace."""

_NAMES: Final = 3
"""Segments by whose names two copies of a list are told from two lists."""

_FIRST_LINE = re.compile(rb"(?:\xef\xbb\xbf)?#EXTM3U(?=\s|$)")
# A name begins where none stands before it: tried at each of its characters, a long one without a value would take the square
# of its length.
_ATTRIBUTE = re.compile(r'(?<![A-Z0-9-])([A-Z0-9-]+)=(?:"([^"]*)"|([^",]*))')
_VARIABLE = re.compile(r"\{\$([A-Za-z0-9_-]+)\}")
_BYTES = re.compile(r"(\d{1,18})(?:@(\d{1,18}))?")


class NotAPlaylist(Exception):  # it is no error of the program: it is what was found
    """The body is no playlist that could be read; the message says why in a few words and quotes none of it."""


class TooLong(NotAPlaylist):
    """The body, or what its variables make of it, is longer than any playlist that is read here; players may read it."""

    def __init__(self) -> None:
        super().__init__(f"a body of more than {LARGEST_PLAYLIST >> 20} MiB")


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
    """A segment and what a player needs to play it.

    :param number: its media sequence number.
    :param media: where its bytes are (``EXT-X-BYTERANGE``).
    :param init: its initialization section (``EXT-X-MAP``), or None.
    :param key: the address of the key that it is encrypted with, where that is a plain resource (``EXT-X-KEY`` with the method
        AES-128 and the key format ``identity``), or None. Keys of DRM systems are the player's business.
    """

    number: int
    media: Part
    init: Part | None = None
    key: str | None = None


@dataclass(slots=True)
class _Marks:
    """What tags say of the segments that follow them, by the place of the segment among ``addresses``."""

    gaps: set[int] = field(default_factory=set)
    ranges: dict[int, str] = field(default_factory=dict)
    inits: list[tuple[int, str]] = field(default_factory=list)
    keys: list[tuple[int, str]] = field(default_factory=list)
    dated: str = ""


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    """A list of segments.

    :param tail: media sequence + number of segments, the number of the next segment.
    :param segments: how many there are, skipped ones (``EXT-X-SKIP``) included.
    :param target_duration: seconds, at most `LONGEST_TARGET_DURATION`; None if the playlist does not tell. Where the median
        segment contradicts what is declared, it is the median's.
    :param endlist: whether nothing will be added.
    :param addresses: of the segments as written; of a long list those of the last ones.
    """

    tail: int
    segments: int
    target_duration: float | None
    endlist: bool
    addresses: list[str]
    marks: _Marks = field(default_factory=_Marks, compare=False, repr=False)

    @property
    def newest(self) -> str | None:
        """The address of the last segment, as written; None if there are none."""
        return self.addresses[-1] if self.addresses else None

    @property
    def names(self) -> tuple[int, ...]:
        """Digests of the names of the last segments, oldest first: what a file is called, without its folder and its query.

        Signatures and sessions, which differ from load to load, stand there.
        """
        files = (one.partition("?")[0].rpartition("/")[2] for one in self.addresses[-_NAMES:])
        return tuple([zlib.crc32(name.encode()) for name in files])

    @property
    def dated(self) -> str:
        """The last ``EXT-X-PROGRAM-DATE-TIME``, as written; empty where there is none. See `moment`."""
        return self.marks.dated[:40]

    def added(self, since: int) -> list[Segment]:
        """Return which segments show best that what was added plays: the newest, and the oldest that was added.

        Players begin three target durations before the end (RFC 8216, 6.3.3), so the newest may be late where they are. A
        segment that is a gap (``EXT-X-GAP``) is never loaded, and proves nothing.

        :param since: the number of the first segment that counts as added.
        """
        base = self.tail - len(self.addresses)
        gaps = self.marks.gaps
        places = [place for place in range(max(since - base, 0), len(self.addresses)) if place not in gaps]
        chosen = [places[-1], places[0]] if len(places) > 1 else places
        return [self._segment(base, place) for place in chosen]

    def _segment(self, base: int, place: int) -> Segment:
        marks = self.marks
        media = Part(self.addresses[place])
        if place in marks.ranges:
            media = Part(self.addresses[place], *self._bytes(place))
        init = next((value for begin, value in reversed(marks.inits) if begin <= place), None)
        return Segment(base + place, media, None if init is None else _init(init), _key(marks.keys, place))

    def _bytes(self, place: int) -> tuple[int | None, int | None]:
        """Return offset and length; without an offset a range begins where that of the segment before ends (4.3.2.2)."""
        lengths: list[int] = []
        for at in range(place, -1, -1):
            found = _BYTES.match(self.marks.ranges.get(at, "").strip())
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
    :param variables: what ``EXT-X-DEFINE`` gives them to import, by name.
    """

    variants: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


def parse(body: bytes, *, url: str = "", variables: Mapping[str, str] | None = None) -> MediaPlaylist | MasterPlaylist:
    """Read a playlist.

    :param url: where it came from, for variables that stand in its query.
    :param variables: those of the master playlist.
    :raises TooLong: if it is longer than 16 MiB, or would be with its variables filled in.
    :raises NotAPlaylist: if it does not begin with ``#EXTM3U``, or uses a variable that it does not define.
    """
    if len(body) > LARGEST_PLAYLIST:
        raise TooLong
    passed, ended = 0, False
    pieces = [body]
    if len(body) > LONG_LIST:
        pieces, passed, ended = _without_middle(body)
    if not _FIRST_LINE.match(body):
        raise NotAPlaylist("a body that does not begin with #EXTM3U" if body else "an empty body")
    defined: Mapping[str, str] = {}
    filling: _Filling | None = None
    if b"#EXT-X-DEFINE" in pieces[0]:
        defined = _variables(pieces[0], url, variables or {})
        filling = _Filling(defined, len(body))

    sequence, declared, before = 0, None, 0
    written, seconds = "", 0.0
    endlist, master, announced = ended, False, ""
    addresses: list[str] = []
    durations: list[float] = []
    variants: list[str] = []
    marks = _Marks()
    for place, piece in enumerate(pieces):
        if place == 1:  # the end of a long list: what came before it counts, and is not asked for
            before, addresses, marks = before + len(addresses) + passed, [], _Marks()
        for raw in _lines(piece):
            line = raw.strip()
            if not line:
                continue
            if filling is not None and not (line := filling.filled_in(line).strip()):
                continue
            if line[0] != "#":
                if announced == "#EXTINF":
                    addresses.append(line)
                elif announced == "#EXT-X-STREAM-INF" and len(variants) < _MOST_VARIANTS:
                    variants.append(line)
                announced = ""
                continue
            tag, _, value = line.partition(":")
            if tag == "#EXTINF":
                if value != written:  # most segments last as long as the one before
                    written, seconds = value, _seconds(value)
                durations.append(seconds)
                announced = tag
            elif tag == "#EXT-X-STREAM-INF":
                master = True
                announced = tag
            elif tag == "#EXT-X-BYTERANGE":
                marks.ranges[len(addresses)] = value
            elif tag == "#EXT-X-PROGRAM-DATE-TIME":
                marks.dated = value
            elif tag == "#EXT-X-GAP":
                marks.gaps.add(len(addresses))
            elif tag == "#EXT-X-MAP":
                if marks.inits and marks.inits[-1][0] == len(addresses):
                    marks.inits.pop()  # the last one counts
                marks.inits.append((len(addresses), value))
            elif tag == "#EXT-X-KEY":
                if len(marks.keys) < _MOST_KEYS or marks.keys[-_MOST_KEYS][0] != len(addresses):
                    marks.keys.append((len(addresses), value))
            elif tag == "#EXT-X-MEDIA-SEQUENCE":
                sequence = _sequence(value)
            elif tag == "#EXT-X-TARGETDURATION":
                declared = _declared(value)
            elif tag == "#EXT-X-SKIP":
                before += _skipped(value)
            elif tag == "#EXT-X-ENDLIST":
                endlist = True

    if master:
        return MasterPlaylist(tuple(variants), defined)
    segments = before + len(addresses)
    tail = sequence + segments & LARGEST_NUMBER
    return MediaPlaylist(tail, segments, _target_duration(declared, durations), endlist, addresses, marks)


def moment(dated: str) -> float | None:
    """Return an ``EXT-X-PROGRAM-DATE-TIME`` in seconds since the epoch; None if it cannot be read."""
    try:
        return datetime.fromisoformat(dated.strip()).timestamp()
    except (ValueError, OverflowError):
        return None


def _lines(piece: bytes) -> Iterable[str]:
    """Return the lines of a playlist, or of a part of one.

    All lines of a long one at once would take up to twenty times as much memory as it does.
    """
    if len(piece) <= LONG_LIST:
        return piece.decode(errors="replace").split("\n")
    return _lines_of_slabs(piece)


def _lines_of_slabs(piece: bytes) -> Iterator[str]:
    begin = 0
    while begin < len(piece):
        end = piece.rfind(b"\n", begin, begin + _KEPT)
        if end < 0:  # one line, of which the beginning has to do
            end = piece.find(b"\n", begin)
        end = len(piece) if end < 0 else end
        yield from piece[begin : min(end, begin + _KEPT)].decode(errors="replace").split("\n")
        begin = end + 1


def _without_middle(body: bytes) -> tuple[list[bytes], int, bool]:
    """Return what is to be read of a long list, how many segments lie between, and whether an end is told of there.

    To be read are its beginning, then what holds for the end, and the end; of a list without segments all of it.
    """
    mark = b"\n#EXTINF"
    begin = body.rfind(mark, 0, _KEPT)
    if begin < 0 and (begin := body.find(mark)) < 0:
        return [body], 0, False
    # Whatever follows the last segment, those before it are asked for.
    end = body.find(mark, max(begin, body.rfind(mark) - _KEPT))
    kept: list[bytes] = []
    for tag in (b"\n#EXT-X-MAP:", b"\n#EXT-X-KEY:"):  # they hold for what follows
        last = body.rfind(tag, 0, end)
        for _ in range(_MOST_KEYS if last >= 0 else 0):
            line_end = body.find(b"\n", last + 1)
            kept.insert(0, body[last + 1 : min(line_end, last + 1 + 8192)])
            last = body.rfind(b"\n", 0, last)
            if last < 0 or not body.startswith(tag, last):
                break
    pieces = [body[:begin], b"\n".join(kept), body[end + 1 :]]
    return pieces, body.count(mark, begin, end), body.find(b"\n#EXT-X-ENDLIST", begin, end) >= 0


def _variables(head: bytes, url: str, imported: Mapping[str, str]) -> dict[str, str]:
    """Return what ``EXT-X-DEFINE`` defines (rfc8216bis, 4.4.2.3): by value, from the master playlist, or from the query.

    :raises NotAPlaylist: if a variable is to come from where it is not.
    """
    query: dict[str, str] | None = None
    found: dict[str, str] = {}
    for line in _lines(head):
        if not line.startswith("#EXT-X-DEFINE:"):
            continue
        attributes = _attributes(line.partition(":")[2])
        if (name := attributes.get("NAME")) is not None:
            found[name] = attributes.get("VALUE", "")
        elif (name := attributes.get("IMPORT")) is not None and name in imported:
            found[name] = imported[name]
        elif (name := attributes.get("QUERYPARAM")) is not None:
            if query is None:
                query = dict(parse_qsl(urlsplit(url).query))
            if name not in query:
                raise NotAPlaylist("a playlist with a variable that its address does not have")
            found[name] = query[name]
        elif "IMPORT" in attributes:
            raise NotAPlaylist("a playlist with a variable that its master playlist does not define")
        if len(found) > _MOST_VARIABLES:
            raise NotAPlaylist(f"a body of more than {_MOST_VARIABLES} variables")
    return found


class _Filling:
    """Fills variables in, until a playlist is longer with them than any that is read: a few bytes can mean gigabytes.

    :param length: of the playlist as it came.
    """

    def __init__(self, variables: Mapping[str, str], length: int) -> None:
        self._variables = variables
        self._sizes = {name: len(value.encode(errors="replace")) for name, value in variables.items()}
        self._length = length

    def filled_in(self, line: str) -> str:
        """Return a line with the values of its variables.

        :raises TooLong: if all lines up to this one are too long together; nothing has been put together by then.
        :raises NotAPlaylist: if it uses a variable that is not defined.
        """
        return _VARIABLE.sub(self._value, line) if "{$" in line else line

    def _value(self, found: re.Match[str]) -> str:
        if found[1] not in self._variables:
            raise NotAPlaylist("a playlist with a variable that it does not define")
        self._length += self._sizes[found[1]] - len(found[0])
        if self._length > LARGEST_PLAYLIST:
            raise TooLong
        return self._variables[found[1]]


def _attributes(text: str) -> dict[str, str]:
    return {found[1]: found[2] if found[3] is None else found[3].strip() for found in _ATTRIBUTE.finditer(text)}


def _init(value: str) -> Part | None:
    attributes = _attributes(value)
    if not attributes.get("URI"):
        return None
    found = _BYTES.match(attributes.get("BYTERANGE", ""))
    if found is None:
        return Part(attributes["URI"])
    return Part(attributes["URI"], int(found[2] or 0), int(found[1]))


def _key(keys: list[tuple[int, str]], place: int) -> str | None:
    """Return the key's address. Of several tags at one place each is for another system."""
    begin = next((begin for begin, _ in reversed(keys) if begin <= place), None)
    for at, value in keys:
        attributes = _attributes(value) if at == begin else {}
        if attributes.get("METHOD") == "AES-128" and attributes.get("KEYFORMAT", "identity") == "identity":
            return attributes.get("URI")
    return None


def _sequence(value: str) -> int:
    """Return the number; 0, as if the tag were not there, for one that is none: so do players."""
    number = value.strip()
    return int(number) & LARGEST_NUMBER if number.isascii() and number.isdigit() and len(number) <= 20 else 0


def _skipped(value: str) -> int:
    count = _attributes(value).get("SKIPPED-SEGMENTS", "")
    return int(count) if count.isascii() and count.isdigit() and len(count) < 8 else 0


def _seconds(duration: str) -> float:
    """Return a segment's duration; 0 for one that is none, by which it says nothing of the target duration."""
    try:
        seconds = float(duration.partition(",")[0])
    except ValueError:
        return 0.0
    return seconds if 0 < seconds <= _LONGEST_SEGMENT else 0.0


def _declared(value: str) -> int | None:
    """Return the declared target duration, or None if it is no whole number of seconds that anybody could mean."""
    number = value.strip()
    if not (number.isascii() and number.isdigit() and len(number) < 6):
        return None
    return int(number) if 0 < int(number) <= _LONGEST_SEGMENT else None


def _target_duration(declared: float | None, durations: list[float]) -> float | None:
    """Return what is declared, unless the median segment contradicts it.

    A segment may exceed the target duration by rounding (RFC 8216, 4.3.3.1). An encoder most of whose segments exceed it by
    more, or which does not tell it, would seem to stall all the time; one whose clock has jumped declares hours.
    """
    told = sorted([one for one in durations if one])
    if told:
        median = told[len(told) // 2]
        if declared is None or median >= declared + 0.5 or declared > _EXAGGERATED * math.ceil(median):
            declared = math.ceil(median)
    return None if declared is None else min(declared, LONGEST_TARGET_DURATION)
