"""One segment of a scripted stream. All times are seconds since the first probe."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Holds", "Segment"]


class Holds(StrEnum):
    """What a segment's address answers once the segment is there."""

    MEDIA = "media"
    PAGE = "a page that says 'not found', with status 200"
    NOTHING = "status 404"
    NO_BYTES = "status 200 and no bytes"
    GAP = "EXT-X-GAP, and filler bytes"


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment: from when on it is listed, and from when on its address answers."""

    number: int
    seconds: float
    listed: float
    there: float
    holds: Holds = Holds.MEDIA
