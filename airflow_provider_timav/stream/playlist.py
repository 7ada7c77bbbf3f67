"""Reads the body of an HLS playlist (RFC 8216 and draft-pantos-hls-rfc8216bis), as far as a probe needs it.

A dozen tags are read, and lines that players skip are skipped: a number that is none spoils its own line and not the list. A
general parser (m3u8, against which the tests hold this one) takes 80 us for ten segments and this one 5: with a thousand
streams in one loop that was more than all the rest of a probe. It also raises for malformed dates and keys that no probe
needs, and counts a segment that is still being written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

from airflow_provider_timav.reading import LARGEST_NUMBER
from airflow_provider_timav.stream.lines import (
    LARGEST_PLAYLIST,
    Filling,
    NotAPlaylist,
    TooLong,
    attributes,
    defined_variables,
    lines,
    without_middle,
)
from airflow_provider_timav.stream.segments import MasterPlaylist, MediaPlaylist, Tags

__all__ = ["parse"]

_MOST_VARIANTS: Final = 256
"""Variants that are kept of a master playlist: a session holds them for as long as it lasts."""

LONGEST_TARGET_DURATION: Final = 120.0
"""Seconds. Encoders whose clock has jumped write thousands (the largest segment's), and a stall of their stream would show
only after three times as long."""

_EXAGGERATED: Final = 10
"""Times the median segment from which on a declared target duration counts as a mistake."""

_LONGEST_SEGMENT: Final = 86_400
"""Seconds; a longer duration (or no number at all) is a mistake, and does not show the pace."""

_FIRST_LINE = re.compile(rb"(?:\xef\xbb\xbf)?#EXTM3U(?=\s|$)")


def parse(body: bytes, *, url: str = "", variables: Mapping[str, str] | None = None) -> MediaPlaylist | MasterPlaylist:
    """Read a playlist.

    :param url: its address, for variables that stand in its query.
    :param variables: those of the master playlist.
    :raises TooLong: if it is longer than 16 MiB, or would be with its variables filled in.
    :raises NotAPlaylist: if it does not begin with ``#EXTM3U``, or uses a variable that it does not define.
    """
    if len(body) > LARGEST_PLAYLIST:
        raise TooLong
    pieces, passed, ended = without_middle(body)
    if not _FIRST_LINE.match(body):
        raise NotAPlaylist("a body that does not begin with #EXTM3U" if body else "an empty body")
    defined: Mapping[str, str] = {}
    filling: Filling | None = None
    if b"#EXT-X-DEFINE" in pieces[0]:
        defined = defined_variables(pieces[0], url, variables or {})
        filling = Filling(defined, len(body))

    sequence, declared, before = 0, None, 0
    written, seconds = "", 0.0
    endlist, master, announced = ended, False, ""
    addresses: list[str] = []
    durations: list[float] = []
    variants: list[str] = []
    tags = Tags()
    for place, piece in enumerate(pieces):
        if place == 1:  # the end of a long list: segments before it count, and are not requested
            before, addresses, tags = before + len(addresses) + passed, [], Tags()
        for raw in lines(piece):
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
                tags.ranges[len(addresses)] = value
            elif tag == "#EXT-X-PROGRAM-DATE-TIME":
                tags.dated = value
            elif tag == "#EXT-X-GAP":
                tags.gaps.add(len(addresses))
            elif tag == "#EXT-X-MAP":
                tags.add_init(len(addresses), value)
            elif tag == "#EXT-X-KEY":
                tags.add_key(len(addresses), value)
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
    # RFC 8216 has decimal integers up to 2^64-1 (4.2), Airflow's stores up to 2^63-1: the highest bit is left away, which
    # changes no difference between two numbers.
    tail = sequence + segments & LARGEST_NUMBER
    return MediaPlaylist(tail, segments, _target_duration(declared, durations), endlist, addresses, tags)


def _sequence(value: str) -> int:
    """Return the number; 0, as if the tag were not there, if it is invalid: so do players."""
    number = value.strip()
    return int(number) & LARGEST_NUMBER if number.isascii() and number.isdigit() and len(number) <= 20 else 0


def _skipped(value: str) -> int:
    count = attributes(value).get("SKIPPED-SEGMENTS", "")
    return int(count) if count.isascii() and count.isdigit() and len(count) < 8 else 0


def _seconds(duration: str) -> float:
    """Return a segment's duration; 0, which does not count for the target duration, if it is invalid."""
    try:
        seconds = float(duration.partition(",")[0])
    except ValueError:
        return 0.0
    return seconds if 0 < seconds <= _LONGEST_SEGMENT else 0.0


def _declared(value: str) -> int | None:
    """Return the declared target duration, or None if it is no plausible whole number of seconds."""
    number = value.strip()
    if not (number.isascii() and number.isdigit() and len(number) < 6):
        return None
    return int(number) if 0 < int(number) <= _LONGEST_SEGMENT else None


def _target_duration(declared: float | None, durations: list[float]) -> float | None:
    """Return the declared target duration, unless the median segment contradicts it.

    A segment may exceed the target duration by rounding (RFC 8216, 4.3.3.1). An encoder most of whose segments exceed it by
    more, or which does not declare it, would seem to stall all the time; one whose clock has jumped declares hours.
    """
    known = sorted([one for one in durations if one])
    if known:
        median = known[len(known) // 2]
        if declared is None or median >= declared + 0.5 or declared > _EXAGGERATED * math.ceil(median):
            declared = math.ceil(median)
    return None if declared is None else min(declared, LONGEST_TARGET_DURATION)
