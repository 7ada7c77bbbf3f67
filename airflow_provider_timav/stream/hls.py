"""Decides in one probe of an HLS stream which address to get next, and what the answers prove. It does no input or output.

`probe_hls` is a conversation (`fetch`) with the reader that moves the bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from airflow_provider_timav.stream.address import LONGEST_ADDRESS, join
from airflow_provider_timav.stream.coding import decoded
from airflow_provider_timav.stream.fetch import Absent, Answer, Conversation, Get, fetch
from airflow_provider_timav.stream.lines import LARGEST_PLAYLIST, NotAPlaylist
from airflow_provider_timav.stream.media import inline, may_be_media
from airflow_provider_timav.stream.playlist import parse
from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.reasons import is_unseen
from airflow_provider_timav.stream.segments import MasterPlaylist, MediaPlaylist, Part, Segment
from airflow_provider_timav.stream.session import Session, Source, chosen
from airflow_provider_timav.stream.state import StreamState

__all__ = ["probe_hls"]

SLOW_SECONDS: Final = 2.5
"""A server that takes longer is given all the time of a probe, if need be, and not a share of it."""

MOST_OTHERS: Final = 3
"""Variants that are read beside one that does not move, or does not play."""

SEGMENT_SAMPLE: Final = 1024
"""Bytes of a segment that are requested; a few are enough."""

KEY_BYTES: Final = 16
"""Of a key for AES-128."""

LARGE_PLAYLIST: Final = 1 << 16
"""Bytes from which on compression is requested: below that it costs more than it saves."""

_TELLING: Final = (401, 404, 410, 429)
"""Answers to a request for a part of a segment that would be the same for the whole of it."""

_NONE_ANSWERS: Final = "no variant of the master playlist answers: "


def probe_hls(
    url: str, state: StreamState, clock: Callable[[], float], session: Session | None = None
) -> Conversation[Probe]:
    """Probe a stream once.

    :param url: the playlist that the viewers are given.
    :param state: the state so far. It decides whether a segment is requested (only when the mark has moved), and whether
        other variants are read, too (only when there is no sign of life).
    :param clock: returns the seconds since the epoch.
    :param session: the findings of earlier probes of this stream; it is changed.
    :returns: the probe, when the generator ends. Nothing that a server does makes it raise.
    """
    return _HlsProbe(url, state, clock, Session() if session is None else session).run()


class _HlsProbe:
    """One probe, with the facts that every step needs."""

    def __init__(self, url: str, state: StreamState, clock: Callable[[], float], session: Session) -> None:
        self.url = url
        self.state = state
        self.marks = state.marks
        self.clock = clock
        self.session = session
        self.found: list[Probe] = []
        self.reason = ""
        self.began = 0.0
        self.loaded = False
        self.tried: set[str] = set()

    def run(self) -> Conversation[Probe]:
        """Read the list that was read last; if it is not there, or does not move, read the others."""
        session, variant = self.session, self.marks.variant
        self.began = self.clock()
        if session.hurried and not session.lists and session.variants:
            # Nothing answered in its share of the time: each in turn gets all of it, without the way there.
            session.hurried = False
            yield from self._patiently(variant)
            return self._result()
        source = session.lists.get(variant)
        if source is not None and source.url != self.url:
            there = yield from self._read(variant, source, share=1.0 if session.slow else 0.5)
            if there and not self._in_doubt():
                return self._result()
            if there and session.variants and not self._is_worn_out():
                yield from self._others(variant)
            if there and not self._is_worn_out():
                return self._result()
        try:
            yield from self._from_the_top(variant)
        except (Absent, NotAPlaylist) as found:
            self.reason = str(found)
            if not (self.found or self.loaded) and session.variants:
                yield from self._others(variant)
        return self._result()

    def _result(self) -> Probe:
        if not self.found:
            return Probe(at=self.clock(), absence=self.reason, public=self.session.public, asked=self.began)
        self.session.hurried = False
        if len(self.found) == 1:
            return self.found[0]
        best = self._best()
        best.others = tuple(probe for probe in self.found if probe is not best)
        return best

    def _best(self) -> Probe:
        """Return the probe of the variant that shows most; of equal ones the last."""
        return max(reversed(self.found), key=lambda probe: probe.evidence)

    def _patiently(self, first: int | None) -> Conversation[None]:
        """Read one variant, another each time, with all the time there is."""
        session = self.session
        places = session.order(first)
        place = places[session.turn % len(places)]
        session.turn += 1
        yield from self._read(place, session.variants[place], share=1.0)
        self.reason = _NONE_ANSWERS + self.reason

    def _in_doubt(self) -> bool:
        """Return whether the reads so far leave open if the stream plays."""
        best = max(self.found, key=lambda probe: probe.evidence)
        if best.playable is not None or best.endlist:
            return best.playable is False
        return self.marks.doubted(best.at) and self.state.after(best, grace=math.inf).marks.doubted(best.at)

    def _is_worn_out(self) -> bool:
        """Return whether the address that viewers are given is to be loaded anew: its lists have not moved for long."""
        loaded_at, now = self.session.loaded_at, self.clock()
        return loaded_at is None or (self.marks.doubted(now) and now - loaded_at > self.marks.tolerance)

    def _from_the_top(self, variant: int | None) -> Conversation[None]:
        """Load the address that viewers are given, and the lists that it leads to."""
        session = self.session
        hosts: list[bool] = []
        what = "a playlist whose host was on a public address and now is" if self.state.public else "a playlist"
        asked = self.clock()
        # If it keeps silent, the lists that it led to before may still be there.
        share = 0.5 if session.variants else 1.0
        get = Get(self.url, LARGEST_PLAYLIST, public_only=self.state.public, gzip=session.gzip, share=share)
        try:
            base, answer, public = yield from fetch(get, what, hosts)
        finally:
            session.public = session.public or any(hosts[:1])
        playlist = self._parsed(answer, Source(base))
        session.forget_lists()
        session.loaded_at, self.loaded = self.clock(), True
        if isinstance(playlist, MediaPlaylist):
            source = Source(
                base, public, "a playlist whose host was on a public address and now is" if public else what
            )
            session.lists[None] = source
            yield from self._take(None, source, playlist, asked)
            return
        if not playlist.variants:
            raise NotAPlaylist("a master playlist without variants")
        urls = chosen(
            (place, join(base, reference))
            for place, reference in enumerate(playlist.variants)
            if len(reference) <= LONGEST_ADDRESS
        )
        if not urls:
            raise Absent(f"an address of more than {LONGEST_ADDRESS} characters")
        session.variants = {place: Source(url, public, "a variant", playlist.variables) for place, url in urls.items()}
        yield from self._others(None, first=variant)
        if not self.found:
            raise Absent(self.reason)

    def _others(self, known: int | None, first: int | None = None) -> Conversation[None]:
        """Read further variants until one shows a sign of life, or enough of them have shown none.

        :param known: the variant that was tried already.
        :param first: the one to begin with, unless its list has just not answered.
        """
        session = self.session
        places = [place for place in session.order(first) if place != known]
        places.sort(key=lambda place: session.variants[place].url in self.tried)
        read = 0
        reasons: list[str] = []
        for place in places:
            if read >= MOST_OTHERS or (self.found and not self._in_doubt()):
                return
            source = session.lists.get(place, session.variants[place])
            if (yield from self._read(place, source, share=1.0 if place == places[-1] else 0.5)):
                read += 1
            else:
                session.lists.pop(place, None)
                reasons.append(self.reason)
        if reasons and not self.found:
            # If one of them refuses us, the stream is not seen, which is not gone.
            reason = next((reason for reason in reasons if is_unseen(reason)), reasons[-1])
            self.reason = _NONE_ANSWERS + reason

    def _read(self, variant: int | None, source: Source, *, share: float) -> Conversation[bool]:
        """Read one media playlist, and probe the segments that were added; return whether it is there."""
        session = self.session
        asked = self.clock()
        get = Get(source.url, LARGEST_PLAYLIST, public_only=source.public_only, share=share, gzip=session.gzip)
        try:
            base, answer, public = yield from fetch(get, source.what)
            if (base, public) != (source.url, source.public_only):
                source = replace(source, url=base, public_only=public)
            playlist = self._parsed(answer, source)
        except (Absent, NotAPlaylist) as found:
            self.reason = str(found)
            self.tried.add(get.url)
            if isinstance(found, Absent) and found.status is None:
                # Nothing answered. Next time it gets all the time, unless it had that now.
                session.slow = share < 1
                session.hurried = session.hurried or share < 1 or asked - self.began > SLOW_SECONDS
            return False
        session.slow = self.clock() - asked > SLOW_SECONDS
        if isinstance(playlist, MasterPlaylist):
            self.reason = "a master playlist that leads to a master playlist"
            return False
        session.lists[variant] = source
        yield from self._take(variant, source, playlist, asked)
        return True

    def _parsed(self, answer: Answer, source: Source) -> MediaPlaylist | MasterPlaylist:
        body = decoded(answer.body, answer.encoding)
        self.session.gzip = len(body) > LARGE_PLAYLIST
        return parse(body, url=source.url, variables=source.variables)

    def _take(self, variant: int | None, source: Source, playlist: MediaPlaylist, asked: float) -> Conversation[None]:
        """Note the facts of a media playlist, and whether the segments that were added play."""
        probe = Probe(
            at=self.clock(),
            tail=playlist.tail,
            segments=playlist.segments,
            target_duration=playlist.target_duration,
            endlist=playlist.endlist,
            variant=variant,
            public=self.session.public,
            names=playlist.names,
            dated=playlist.dated,
            asked=asked,
        )
        since = self.marks.unproved(probe)
        if since is None and not self.marks.tracks and len(self.session.variants) > 1 and not playlist.endlist:
            # The variant to follow is one that plays: the moves of one do not count for another.
            since = 0
        if since is not None and playlist.segments:
            yield from self._prove(probe, source, playlist.added(since))
        self.found.append(probe)

    def _prove(self, probe: Probe, source: Source, added: list[Segment]) -> Conversation[None]:
        """Request the segments that were added until one answers, and note whether one does."""
        refused = "" if added else "a gap is all that was added"
        for segment in added:
            try:
                yield from self._play(source, segment, share=1.0 if segment is added[-1] else 0.7)
            except Absent as found:
                refused = refused if is_unseen(refused) else str(found)
            else:
                probe.playable, probe.proved, probe.done = True, segment.number, self.clock()
                return
        probe.playable, probe.refused, probe.done = False, refused, self.clock()

    def _play(self, source: Source, segment: Segment, *, share: float) -> Conversation[None]:
        """Get the first bytes of a segment, and, once, of the other resources that are needed to play it.

        :raises Absent: if it does not play.
        """
        body = yield from self._sample(source, segment.media, "a segment", share=share)
        if segment.key is None and not may_be_media(body):
            raise Absent("a segment: a page or another text, and no media")
        needed = [(segment.init, "an initialization section")]
        needed += [(Part(segment.key), "a key")] if segment.key else []
        for part, what in needed:
            if part is None:
                continue
            if (data := inline(part.address)) is not None:
                if len(data) != KEY_BYTES and part is not segment.init:
                    raise Absent("a key: data that are no key")
                continue
            known = replace(part, address=join(source.url, part.address))
            if known in self.session.opened:
                continue
            try:
                yield from self._sample(source, part, what, share=share)
            except Absent as found:
                # Keys are for viewers who have logged in: a refusal to let us in proves nothing.
                if part is segment.init or not is_unseen(str(found)):
                    raise
            self.session.open(known)

    def _sample(self, source: Source, part: Part, what: str, *, share: float) -> Conversation[bytes]:
        """Get the first bytes of a part, without ``Range`` if a server refuses that for the whole of a resource.

        :raises Absent: if it has none.
        """
        url = join(source.url, part.address)
        limit = min(part.length or SEGMENT_SAMPLE, SEGMENT_SAMPLE)
        whole = part.offset is None
        offset = None if whole and (self.session.plain or what == "a key") else part.offset or 0
        get = Get(url, limit, sample=True, public_only=source.public_only, offset=offset, share=share)
        try:
            _, answer, _ = yield from fetch(get, what)
        except Absent as found:
            if offset is None or not whole or found.status is None or found.status in _TELLING:
                raise Absent(str(found) if " on a private address" in str(found) else f"{what}: {found}") from None
            try:
                _, answer, _ = yield from fetch(replace(get, offset=None), what)
            except Absent as again:
                raise Absent(f"{what}: {again}") from None
            self.session.plain = True
        missing = answer.status != 206 and answer.length is not None and answer.length <= (part.offset or 0)
        if not answer.body or missing:
            raise Absent(f"{what} without bytes")
        return answer.body
