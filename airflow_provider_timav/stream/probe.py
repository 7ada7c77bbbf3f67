"""The record of one probe of a stream."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_timav.stream.reasons import is_unseen

__all__ = ["Probe"]


@dataclass(slots=True)
class Probe:
    """The findings of one probe of a stream. It is filled in while the probe goes on: a copy at each step is slow.

    :param at: when the playlist was read, in seconds since the epoch.
    :param tail: media sequence + number of segments; None if there is no readable playlist, ``absence`` then says why.
    :param segments: how many segments the playlist lists.
    :param target_duration: seconds; None if the playlist does not declare it.
    :param endlist: whether the playlist says that nothing will follow.
    :param playable: whether a segment that was added answered with bytes; None if none was requested.
    :param variant: the place in the master playlist that this was read from; None without one. Numbers of different
        variants do not compare (RFC 8216, 6.2.4).
    :param absence: why there is no readable playlist, in a few words without any address (`reasons`).
    :param refused: why the segments that were added do not play, likewise.
    :param public: whether the playlist's host is on a public address; it then leads to public addresses only.
    :param proved: the number of the segment that answered; None for the newest.
    :param names: digests of the names of the newest segments, oldest first; empty if they are not known.
    :param dated: the newest ``EXT-X-PROGRAM-DATE-TIME``, as written.
    :param asked: when the playlist was requested; None for ``at``. A slow answer is not an old one.
    :param done: when the last answer of the probe was in; None for ``at``. Time that a probe takes is not time without one.
    :param others: the findings of the same probe for other variants.
    """

    at: float
    tail: int | None = None
    segments: int = 0
    target_duration: float | None = None
    endlist: bool = False
    playable: bool | None = None
    variant: int | None = None
    absence: str = ""
    refused: str = ""
    public: bool = False
    proved: int | None = None
    names: tuple[int, ...] = ()
    dated: str = ""
    asked: float | None = None
    done: float | None = None
    others: tuple[Probe, ...] = ()

    @property
    def asked_at(self) -> float:
        """When the playlist was requested."""
        return self.at if self.asked is None else self.asked

    @property
    def done_at(self) -> float:
        """When the last answer was in."""
        return self.at if self.done is None else self.done

    @property
    def evidence(self) -> tuple[bool, bool, bool]:
        """How much it shows: that the stream plays, that it goes on, that there are segments."""
        return self.playable is True, bool(self.segments) and not self.endlist, bool(self.segments)

    @property
    def unseen(self) -> bool:
        """Whether there may be a stream that this probe alone could not see."""
        return is_unseen(self.absence or self.refused)

    @property
    def reason(self) -> str:
        """Why there is nothing that plays, for people; empty if there is no reason to give."""
        reason = self.absence or self.refused
        return f"not seen, {reason}" if self.unseen else reason
