"""The test card as an endless stream."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_timav.emulator import card
from airflow_provider_timav.emulator.card import Card, shipped_card

PACKET = 188


def packets(segment: bytes) -> list[bytes]:
    assert len(segment) % PACKET == 0
    return [segment[start : start + PACKET] for start in range(0, len(segment), PACKET)]


def test_continuity_counters_run_through_any_number_of_rounds() -> None:
    """Each stream's packets with payload count 0 to 15 without a gap, also where the loop begins again."""
    expected: dict[int, int] = {}
    for index in range(28, 70):
        for packet in packets(shipped_card().segment(index)):
            assert packet[0] == 0x47
            pid = (packet[1] & 0x1F) << 8 | packet[2]
            if packet[3] & 0x10:
                assert packet[3] & 0x0F == expected.get(pid, packet[3] & 0x0F)
                expected[pid] = (packet[3] + 1) & 0x0F


def test_time_stamps_wrap_as_the_standard_says() -> None:
    """33 bits last 26.5 hours; the segment that crosses is as long as any other."""
    crossing = 2**33 // (2 * 90_000)
    lengths = {len(shipped_card().segment(index)) for index in range(crossing - 1, crossing + 2)}
    assert min(lengths) > 1000


def test_the_card_is_small() -> None:
    media = Path(card.__file__).parent / "media"
    assert sum(path.stat().st_size for path in media.glob("*.ts")) < 500_000
    assert len(list(media.glob("*.ts"))) == 32


def test_packets_without_payload_repeat_the_counter() -> None:
    """A packet of adaptation alone, as other encoders make them."""
    payload = bytes([0x47, 0x41, 0x00, 0x10]) + b"\x00\x00\x01\xe0\x00\x00\x80\x80\x05\x21\x00\x01\x00\x01"
    filler = bytes([0x47, 0x01, 0x00, 0x20, 183, 0x00])
    plain = bytes([0x47, 0x01, 0x00, 0x10])
    segment = b"".join(part.ljust(PACKET, b"\xff") for part in (payload, filler, plain))
    counters = [packet[3] & 0x0F for index in (0, 1) for packet in packets(Card([segment]).segment(index))]
    assert counters == [0, 0, 1, 2, 2, 3]
