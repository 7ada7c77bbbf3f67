"""The proof in packets that arrive at an RTMP player; time is a number here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

import pytest

from airflow_provider_timav.stream.arrivals import MOST_BYTES, PACE_SECONDS, WRAPS_AT, Arrivals
from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.state import StreamState
from airflow_provider_timav.stream.verdict import Verdict

GRACE = 60.0
NOON = 1_795_435_200.0
PROBE_SECONDS = 10.0
PAUSE = 5.0


@dataclass(frozen=True)
class Packet:
    kind: str
    timestamp: int
    at: float
    size: int = 1000


Server = Callable[[float], Iterable[Packet]]
"""The packets for a player that comes at that time."""


@dataclass(frozen=True)
class Source:
    """An encoder that makes a packet of each kind now and then, and a server between it and the players.

    :param began: when the encoder began, with the timestamp ``base``.
    :param ended: when it sent its last packet.
    :param every: seconds between two packets of a kind.
    :param kept: seconds that the server keeps, and hands out at once to a player who comes.
    :param delivers: how many seconds of those it hands out in one second.
    :param from_zero: whether the server counts anew for each player.
    :param speed: how many seconds of the broadcast the encoder sends in one second.
    :param bits: of its timestamps.
    """

    began: float = NOON - 100
    ended: float = NOON + 1e9
    base: int = 0
    every: float = 0.04
    kinds: tuple[str, ...] = ("audio", "video")
    kept: float = 0
    delivers: float = 100
    from_zero: bool = False
    speed: float = 1.0
    bits: int = 32

    def __call__(self, now: float) -> Iterator[Packet]:
        last = min(now, self.ended)
        first_number = max(int((last - self.kept - self.began) / self.every), 0)
        zero: int | None = None
        number = first_number
        while (made_at := self.began + number * self.every) <= self.ended:
            timestamp = self.base + round(number * self.every * 1000 * self.speed)
            if made_at >= self.began:
                zero = timestamp if zero is None else zero
                played = (number - first_number) * self.every
                at = max(made_at, now + played / self.delivers)
                for kind in self.kinds:
                    yield Packet(kind, (timestamp - (zero if self.from_zero else 0)) % 2**self.bits, at)
            number += 1


def probe(server: Server, known: StreamState, now: float, *, absence: str | None = None) -> Probe:
    """Probe once, as `RtmpReader` does, a server that answers at that time."""
    arrivals = Arrivals(known)
    for packet in server(now):
        if packet.at >= now + PROBE_SECONDS:
            return arrivals.probe(now + PROBE_SECONDS, absence=absence)
        arrivals.add(packet.kind, packet.timestamp, at=packet.at, size=packet.size)
        if arrivals.enough:
            return arrivals.probe(packet.at, absence=absence)
    return arrivals.probe(now + PROBE_SECONDS, absence=absence)


def polled(server: Server, probes: int, *, begin: StreamState | None = None, now: float = NOON) -> list[StreamState]:
    """Probe so many times, with a pause between two probes; return the state after each."""
    known, after = begin or StreamState(), []
    for _ in range(probes):
        found = probe(server, known, now)
        known = known.after(found, grace=GRACE)
        after.append(known)
        now = max(found.at, now) + PAUSE
    return after


def verdicts(server: Server, probes: int, *, begin: StreamState | None = None, now: float = NOON) -> list[Verdict]:
    return [known.verdict for known in polled(server, probes, begin=begin, now=now)]


PROBES_TO_LIVE = 3
"""At the most. One is never enough."""


def live(server: Server) -> StreamState:
    known = polled(server, PROBES_TO_LIVE)[-1]
    assert known.verdict is Verdict.LIVE
    return known


def is_live_and_stays_so(server: Server, probes: int = 20) -> bool:
    seen = verdicts(server, probes)
    return (
        seen[0] is Verdict.STARTING and set(seen[PROBES_TO_LIVE - 1 :]) == {Verdict.LIVE} and Verdict.RESET not in seen
    )


def is_reset_and_live_again(server: Server, known: StreamState) -> bool:
    seen = verdicts(server, 1 + PROBES_TO_LIVE, begin=known, now=known.at + PAUSE)
    return (seen[0], seen[-1]) == (Verdict.RESET, Verdict.LIVE)


def silence(_: float) -> Iterable[Packet]:
    return ()


SOURCES = {
    "audio-and-video": Source(),
    "audio": Source(kinds=("audio",)),
    "video": Source(kinds=("video",)),
    "with-kept-seconds": Source(kept=4),
    "counted-for-each-player": Source(from_zero=True),
    "counted-for-each-player-with-kept-seconds": Source(from_zero=True, kept=4),
    "a-frame-every-four-seconds": Source(kinds=("video",), every=4),
    "in-lumps": Source(every=0.4),
    "a-file-as-fast-as-it-can-be-read": Source(speed=20),
    "just-begun": Source(began=NOON - 0.5),
    "below-zero": Source(base=-80, began=NOON - 0.5, from_zero=False),
    "counted-from-below-zero-for-each-player": Source(from_zero=True, base=-80),
    "timestamps-of-the-year-1970": Source(base=int(NOON * 1000)),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_a_source_that_sends_is_live(source: Source) -> None:
    assert is_live_and_stays_so(source)


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_the_tail_only_grows_while_it_is_live(source: Source) -> None:
    tails = [known.tail or 0 for known in polled(source, 20)]
    assert tails == sorted(set(tails))


def test_a_probe_of_a_live_stream_is_short() -> None:
    assert probe(Source(), StreamState(), NOON).at - NOON < PACE_SECONDS + 0.1
    assert probe(Source(kept=8), StreamState(), NOON).at - NOON < PACE_SECONDS + 0.7


STALE = {
    "kept": Source(ended=NOON - 1, kept=4),
    "kept-and-counted-for-each-player": Source(ended=NOON - 1, kept=4, from_zero=True),
    "kept-and-delivered-slowly": Source(ended=NOON - 1, kept=6, delivers=2),
    "kept-for-long": Source(ended=NOON - 1, kept=60, delivers=20, from_zero=True),
    "standing-still": lambda now: (Packet("video", 5000, now + i / 25) for i in range(1000)),
    "going-on-by-less-than-a-millisecond": lambda now: (Packet("audio", 5000, now + i / 25) for i in range(1000)),
    "other-packets-than-the-last-are-repeated": lambda now: (
        Packet("video", 5000 + 40 * (i % 3), now + i / 25) for i in range(1000)
    ),
}


@pytest.mark.parametrize("server", STALE.values(), ids=STALE.keys())
def test_packets_that_were_sent_before_are_never_live(server: Server) -> None:
    """A server hands the same seconds out to each player that comes: they advance, and prove nothing."""
    seen = verdicts(server, 12)
    assert Verdict.LIVE not in seen
    assert seen[-1] is Verdict.STALLED


@pytest.mark.parametrize("from_zero", [False, True], ids=["one-timeline", "a-timeline-for-each-player"])
@pytest.mark.parametrize("kept", [0, 4], ids=["nothing-kept", "seconds-kept"])
def test_a_source_that_hangs_is_stalled_and_then_over(kept: float, from_zero: bool) -> None:
    """Three times six seconds after its last packet, and one probe and pause; then after ``grace``."""
    source = Source(ended=NOON + 30, kept=kept, from_zero=from_zero)
    after = polled(source, 20)
    stalled = next(known for known in after if known.verdict is Verdict.STALLED)
    ended = next(known for known in after if known.verdict is Verdict.ENDED)
    assert 18 <= stalled.at - source.ended <= 18 + 2 * (PROBE_SECONDS + PAUSE)
    assert GRACE <= ended.at - source.ended - 18 <= GRACE + PROBE_SECONDS + PAUSE
    kinds = [known.verdict for known in after]
    assert kinds == sorted(kinds, key=["STARTING", "LIVE", "STALLED", "ENDED"].index)


def test_one_that_hung_and_sends_again_is_live_again() -> None:
    known = polled(Source(ended=NOON + 30), 8)[-1]
    assert known.verdict is Verdict.STALLED
    assert verdicts(Source(), PROBES_TO_LIVE, begin=known, now=known.at + PAUSE)[-1] is Verdict.LIVE


def test_silence_is_no_stream() -> None:
    known = polled(silence, 3)[-1]
    assert (known.verdict, known.reason) == (Verdict.ABSENT, "connected, and nothing arrives")
    assert known.tail is None


def test_a_server_that_refuses_is_absent_whatever_was_seen_before() -> None:
    known = live(Source())
    gone = known.after(probe(silence, known, NOON + 20, absence="the server hung up"), grace=GRACE)
    assert (gone.verdict, gone.reason) == (Verdict.ABSENT, "the server hung up")
    for at in range(30, 100, 10):
        gone = gone.after(probe(silence, gone, NOON + at, absence="no connection"), grace=GRACE)
    assert gone.verdict is Verdict.ENDED


def test_a_stream_that_was_never_live_does_not_end() -> None:
    assert set(verdicts(silence, 40)) == {Verdict.ABSENT}


def test_what_has_arrived_counts_where_the_server_then_hangs_up() -> None:
    known = live(Source())
    found = probe(Source(ended=NOON + 12), known, NOON + 11, absence="the server has ended the stream")
    assert (found.tail, found.absence) == (known.tail, "")


class TestTimestamps:
    """32 bits of milliseconds (RTMP 1.0, 4), or 31 of them, as FFmpeg writes them."""

    @pytest.mark.parametrize("bits", [31, 32])
    def test_wrap_between_two_probes(self, bits: int) -> None:
        source = Source(base=2**bits - 103_000, bits=bits)
        assert is_live_and_stays_so(source)
        tails = [known.tail or 0 for known in polled(source, 2)]
        assert tails[0] < WRAPS_AT < tails[1] or bits == 32
        assert 6_000 < tails[1] - tails[0] < 7_500

    @pytest.mark.parametrize("bits", [31, 32])
    def test_wrap_within_a_probe(self, bits: int) -> None:
        source = Source(base=2**bits - 100_500, bits=bits)
        assert is_live_and_stays_so(source)

    def test_tail_counts_on_beyond_any_number_of_wraps(self) -> None:
        tail = 5 * WRAPS_AT + 90_000
        begin = StreamState().after(Probe(at=NOON - 5, tail=tail, segments=1, playable=False), grace=GRACE)
        tails = [known.tail or 0 for known in polled(Source(), 3, begin=begin)]
        assert tail < tails[0] < tails[1] < tails[2] < tail + 30_000


class TestRestart:
    """An encoder that starts again begins at 0."""

    def test_between_two_probes(self) -> None:
        known = live(Source())
        assert is_reset_and_live_again(Source(began=known.at + 2), known)

    @pytest.mark.parametrize("days", [5, 12, 13, 20, 24, 30, 48, 60])
    def test_after_any_number_of_days(self, days: int) -> None:
        known = live(Source(began=NOON - days * 86_400))
        assert is_reset_and_live_again(Source(began=known.at + 2), known)

    def test_after_an_end(self) -> None:
        known = polled(Source(ended=NOON + 30), 20)[-1]
        assert known.verdict is Verdict.ENDED
        again = Source(began=known.at + 1)
        assert verdicts(again, 1 + PROBES_TO_LIVE, begin=known, now=known.at + PAUSE)[-1] is Verdict.LIVE

    def test_while_a_player_is_connected(self) -> None:
        """The server goes on with the new encoder's packets on the same connection."""

        def server(now: float) -> Iterable[Packet]:
            return chain(Source(ended=now + 0.8)(now), Source(began=now + 1)(now + 1))

        known = live(Source())
        found = probe(server, known, known.at + PAUSE)
        assert known.after(found, grace=GRACE).verdict is Verdict.RESET

    def test_the_first_probe_at_all_has_nothing_to_compare_with(self) -> None:
        def server(now: float) -> Iterable[Packet]:
            return chain(Source(ended=now + 0.8)(now), Source(began=now + 1)(now + 1))

        assert verdicts(server, 1) == [Verdict.STARTING]

    def test_an_odd_first_packet_is_none(self) -> None:
        """Some servers send a key frame first that they have kept, with whatever timestamp."""

        def server(now: float) -> Iterable[Packet]:
            return chain([Packet("video", 3_000_000_000, now)], Source()(now))

        assert is_live_and_stays_so(server, 6)

    def test_seconds_that_are_kept_of_another_time_are_none(self) -> None:
        """Two servers behind one name, of which one has kept an older stream: the tail neither moves nor goes back."""
        stale = Source(began=NOON - 50, ended=NOON - 1, kept=4)
        known = live(Source())
        found = probe(stale, known, known.at + PAUSE)
        assert (found.tail, found.playable) == (known.tail, False)


def test_servers_with_timelines_of_their_own_that_take_turns_are_live() -> None:
    """Two servers behind one name, each of which began to count when it began to fetch the stream."""
    older, newer = Source(began=NOON - 5000), Source(began=NOON - 20)
    turns: list[Source] = []

    def server(now: float) -> Iterable[Packet]:
        turns.append(newer if turns and turns[-1] is older else older)
        return turns[-1](now)

    assert is_live_and_stays_so(server, 10)


def test_stale_servers_that_take_turns_are_never_live() -> None:
    older, newer = Source(ended=NOON - 1, kept=4, began=NOON - 5000), Source(ended=NOON - 1, kept=4)
    turns: list[Source] = []

    def server(now: float) -> Iterable[Packet]:
        turns.append(newer if turns and turns[-1] is older else older)
        return turns[-1](now)

    assert Verdict.LIVE not in verdicts(server, 10)


def test_audio_that_goes_on_is_live_though_the_picture_stands_still() -> None:
    def server(now: float) -> Iterable[Packet]:
        for packet in Source()(now):
            yield packet if packet.kind == "audio" else replace(packet, timestamp=4000)

    assert is_live_and_stays_so(server, 5)


def test_a_probe_takes_no_more_than_so_many_bytes() -> None:
    arrivals = Arrivals(StreamState())
    sent = 0
    for packet in Source(kept=10_000, began=NOON - 20_000)(NOON):
        arrivals.add(packet.kind, packet.timestamp, at=packet.at, size=1 << 20)
        sent += 1 << 20
        if arrivals.enough:
            break
    assert sent == MOST_BYTES


def test_the_probe_says_whether_the_server_is_public() -> None:
    assert Arrivals(StreamState()).probe(NOON, absence="the server hung up", public=True).public
    assert Arrivals(live(Source())).probe(NOON, absence=None, public=True).public
