"""The test card as an endless stream: 32 shipped MPEG-TS segments whose time stamps are moved on each round.

A loop of files alone would jump back in time every 64 s. Here every segment gets the presentation times, the clock
reference and the continuity counters of its place in an endless stream, so that a player sees one encoder that never
stops, without a discontinuity (ISO/IEC 13818-1, 2.4.3).
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Final

__all__ = ["SEGMENT_SECONDS", "Card", "shipped_card"]

SEGMENT_SECONDS: Final = 2
_PACKET: Final = 188
_CLOCK: Final = 90_000  # ticks per second of time stamps
_WRAP: Final = 1 << 33
_LEAD: Final = _CLOCK  # the stream's first frame is presented at 1 s: a time stamp must not fall below 0


class Card:
    """The shipped segments; `segment(index)` is the one at any place of the endless stream."""

    def __init__(self, segments: list[bytes]) -> None:
        self._segments = segments
        self._round_ticks = len(segments) * SEGMENT_SECONDS * _CLOCK
        # Payload packets of each stream before each segment: the value of its continuity counter there.
        self._counts_before: list[dict[int, int]] = []
        counts: dict[int, int] = {}
        for segment in segments:
            self._counts_before.append(dict(counts))
            for start in range(0, len(segment), _PACKET):
                packet = segment[start : start + _PACKET]
                if packet[3] & 0x10:
                    counts[_pid(packet)] = counts.get(_pid(packet), 0) + 1
        self._counts_of_round = counts
        self._first_ticks = next(
            ticks
            for start in range(0, len(segments[0]), _PACKET)
            if (ticks := _presentation_time(segments[0][start : start + _PACKET])) is not None
        )

    def segment(self, index: int) -> bytes:
        """Return the segment at `index` (0 is the stream's first), about 13 KB of MPEG-TS, 2 s long."""
        rounds, place = divmod(index, len(self._segments))
        shift = rounds * self._round_ticks + _LEAD - self._first_ticks
        counts = {
            pid: self._counts_before[place].get(pid, 0) + rounds * of_round
            for pid, of_round in self._counts_of_round.items()
        }
        moved = bytearray(self._segments[place])
        for start in range(0, len(moved), _PACKET):
            packet = memoryview(moved)[start : start + _PACKET]
            pid = _pid(packet)
            count = counts.get(pid, 0)
            if packet[3] & 0x10:
                counts[pid] = count + 1
            else:
                count -= 1  # a packet without payload repeats the counter
            packet[3] = packet[3] & 0xF0 | count & 0x0F
            _shift_clock_reference(packet, shift)
            _shift_time_stamps(packet, shift)
        return bytes(moved)


@lru_cache(maxsize=1)
def shipped_card() -> Card:
    """Return the card that is shipped with the package, read once."""
    folder = files("airflow_provider_timav.emulator") / "media"
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".ts"))
    return Card([(folder / name).read_bytes() for name in names])


def _pid(packet: bytes | memoryview) -> int:
    return (packet[1] & 0x1F) << 8 | packet[2]


def _shift_clock_reference(packet: memoryview, shift: int) -> None:
    has_adaptation = packet[3] & 0x20
    if not has_adaptation or packet[4] < 7 or not packet[5] & 0x10:
        return
    field = int.from_bytes(packet[6:12], "big")  # 33 bits base, 6 reserved, 9 extension
    base = ((field >> 15) + shift) % _WRAP
    packet[6:12] = (base << 15 | field & 0x7FFF).to_bytes(6, "big")


def _elementary_header(packet: bytes | memoryview) -> int | None:
    """Return the offset of the packet's PES header, or None when it has none with time stamps."""
    starts_unit, has_payload = packet[1] & 0x40, packet[3] & 0x10
    if not starts_unit or not has_payload:
        return None
    start = 5 + packet[4] if packet[3] & 0x20 else 4
    is_media = bytes(packet[start : start + 3]) == b"\x00\x00\x01" and 0xC0 <= packet[start + 3] <= 0xEF
    return start if is_media else None


def _presentation_time(packet: bytes | memoryview) -> int | None:
    start = _elementary_header(packet)
    return None if start is None or not packet[start + 7] & 0x80 else _read_ticks(packet[start + 9 : start + 14])


def _shift_time_stamps(packet: memoryview, shift: int) -> None:
    start = _elementary_header(packet)
    if start is None:
        return
    flags = packet[start + 7]
    for flag, place in ((0x80, start + 9), (0x40, start + 14)):  # presentation, decoding
        if flags & flag:
            _write_ticks(packet[place : place + 5], (_read_ticks(packet[place : place + 5]) + shift) % _WRAP)


def _read_ticks(field: bytes | memoryview) -> int:
    return (field[0] & 0x0E) << 29 | field[1] << 22 | (field[2] & 0xFE) << 14 | field[3] << 7 | field[4] >> 1


def _write_ticks(field: memoryview, ticks: int) -> None:
    field[0] = field[0] & 0xF1 | ticks >> 29 & 0x0E
    field[1] = ticks >> 22 & 0xFF
    field[2] = ticks >> 14 & 0xFE | 1
    field[3] = ticks >> 7 & 0xFF
    field[4] = ticks << 1 & 0xFE | 1
