"""The proof in the packets of an RTMP stream that arrive during one probe. It does no input or output itself.

A server may hand out packets that it has kept: the first seconds that a player gets are a burst, and of a publisher that hangs
they are all there is. So a connection that is open proves nothing, nor does a packet, nor timestamps that advance at once. The
source still sends if packets keep arriving, with timestamps that advance no faster than time does.

Timestamps are 32 bits of milliseconds, which begin again at 0 after 49.7 days, and are compared as serial numbers (Adobe's RTMP
specification 1.0, 4). FFmpeg writes 31 bits of them, which begin again after half that time. So all are taken
modulo 2**31, by which both go on, and two that are less than 12.4 days apart are in order.
"""

from __future__ import annotations

from typing import Final

from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.state import StreamState

__all__ = ["Arrivals"]

PACE_SECONDS: Final = 1.5
"""For how long packets have to arrive at the pace at which they play."""

SLACK_SECONDS: Final = 0.5
"""How far they may run ahead of that pace: encoders and networks deliver unevenly."""

FLOW_SECONDS: Final = 3.0
"""For how long packets have to arrive that come faster than they play: a file that is pushed as fast as it can be read."""

MOST_BYTES: Final = 1 << 25
"""Bytes of packets; a probe then ends with those it has. Three seconds at 80 Mbit/s."""

WRAPS_AT: Final = 1 << 31

_BACK: Final = 1000
"""Milliseconds. Packets of one kind are in order, so that one that is older than the last by more begins anew."""

_FROM_ZERO: Final = 1000
"""Milliseconds. A connection that begins sooner has a timeline of its own: servers such as SRS count from 0 for each player."""

_JUMP: Final = 60_000
"""Milliseconds that a timeline may be ahead of the time that has passed: a burst at first, or a source that hurries."""


class Arrivals:
    """The packets of one connection.

    The tail of an RTMP stream is the newest timestamp, in milliseconds, on the timeline of the state: it goes on when the
    timestamps begin again at 0, and moves only in a probe which proves that the source still sends.

    :param state: the state before this probe.
    """

    def __init__(self, state: StreamState) -> None:
        self._mark = state.tail
        self._probed_at = state.at
        self._first: int | None = None
        self._newest: int | None = None
        self._newest_by_kind: dict[str, int] = {}
        self._began_at = self._newest_at = 0.0
        self._anchor: tuple[int, float] = (0, 0.0)
        self._bytes = 0
        self._paced = False
        self._restarted = False

    def add(self, kind: str, timestamp: int, *, at: float, size: int) -> None:
        """Take in one packet.

        :param kind: ``audio`` or ``video``; their packets are in order, each among its own.
        :param timestamp: milliseconds; those that differ by a multiple of 2**31 are the same.
        :param at: when it arrived, in seconds since the epoch.
        :param size: bytes.
        """
        timestamp %= WRAPS_AT
        self._bytes += size
        before = self._newest_by_kind.get(kind)
        if self._newest is None or self._first is None:
            self._first = timestamp
            self._begin(kind, timestamp, at)
        elif before is not None and _step(before, timestamp) < -_BACK:
            # The first packets may be kept from any time; only later on it is the source that begins again.
            self._restarted = self._restarted or at - self._began_at > SLACK_SECONDS
            self._begin(kind, timestamp, at)
        else:
            if before is None or _step(before, timestamp) > 0:
                self._newest_by_kind[kind] = timestamp
            if _step(self._newest, timestamp) > 0:
                self._newest, self._newest_at = timestamp, at
                self._keep_pace()

    def _begin(self, kind: str, timestamp: int, at: float) -> None:
        self._newest, self._newest_by_kind = timestamp, {kind: timestamp}
        self._began_at = self._newest_at = at
        self._anchor = timestamp, at
        self._paced = False

    def _keep_pace(self) -> None:
        """Measure from the last packet that was no part of a burst."""
        assert self._newest is not None  # noqa: S101 - a packet has arrived
        anchor, anchored_at = self._anchor
        lasted, played = self._newest_at - anchored_at, _step(anchor, self._newest) / 1000
        if played > lasted + SLACK_SECONDS:
            self._anchor = self._newest, self._newest_at
        elif lasted >= PACE_SECONDS:
            self._paced = True

    @property
    def enough(self) -> bool:
        """Whether more packets would change nothing, or are more than a probe may take."""
        return self._proven or self._bytes >= MOST_BYTES

    @property
    def _proven(self) -> bool:
        """Whether the source sends during the probe."""
        return self._paced or (
            self._newest is not None
            and self._mark is not None
            and self._newest_at - self._began_at >= FLOW_SECONDS
            and _step(self._mark, self._newest) > 0
        )

    def probe(self, at: float, *, absence: str | None, public: bool = False) -> Probe:
        """Return the probe's record.

        :param at: when it ended, in seconds since the epoch.
        :param absence: why there is no stream, in a few words; None if the server has let us in, and sent nothing else.
        :param public: whether the server is on a public address.
        """
        mark = self._mark
        if self._newest is None:
            if absence is not None or mark is None:
                return Probe(at=at, absence=absence or "connected, and nothing arrives", public=public)
            return Probe(at=at, tail=mark, segments=1, playable=False, public=public)
        if self._restarted or (self._proven and self._began_since_the_probe_before):
            # Lower than the mark, as a playlist whose encoder began anew.
            return Probe(at=self._newest_at, tail=self._newest, segments=1, playable=True, public=public)
        if not self._proven:
            return Probe(at=at, tail=self._newest if mark is None else mark, segments=1, playable=False, public=public)
        return Probe(at=self._newest_at, tail=self._moved(mark), segments=1, playable=True, public=public)

    def _moved(self, mark: int | None) -> int:
        assert self._newest is not None  # noqa: S101 - a packet has arrived
        if mark is None:
            return self._newest
        # Another timeline, of a server that counts for each player or of another server: its advance is added to ours.
        step = _step(mark, self._newest)
        return mark + (step if step > 0 else _step(self._anchor[0], self._newest))

    @property
    def _began_since_the_probe_before(self) -> bool:
        """Whether the encoder has started again: its timestamps began at 0 after the last probe."""
        if self._mark is None or self._newest is None or self._first is None:
            return False
        passed = (self._newest_at - self._probed_at) * 1000
        goes_on = 0 < _step(self._mark, self._newest) <= 2 * passed + _JUMP
        from_zero = _step(0, self._first) < _FROM_ZERO
        return not goes_on and not from_zero and self._newest_at - self._newest / 1000 > self._probed_at


def _step(before: int, after: int) -> int:
    """Return how many milliseconds ``after`` is ahead of ``before``, negative if it is behind."""
    return (after - before + WRAPS_AT // 2) % WRAPS_AT - WRAPS_AT // 2
