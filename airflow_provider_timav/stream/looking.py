"""How one look at a stream goes: what to fetch next, and what the answers mean. It does no input or output itself.

`looking` is a conversation with whoever can move bytes (`reader`): it asks for one address at a time and is told the
answer or why there is none. Redirects are followed in here and not by the HTTP client, because the rules are ours.

One of them: what a public server says leads to public addresses only, whether it is a redirect, a variant or a segment. Who
can say something about a stream on the internet cannot have the network in which we stand asked for anything.
"""

from __future__ import annotations

import base64
import codecs
import math
import re
import zlib
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote_to_bytes

from airflow_provider_timav.stream.address import LONGEST_ADDRESS, fault, join
from airflow_provider_timav.stream.playlist import (
    LARGEST_PLAYLIST,
    MasterPlaylist,
    MediaPlaylist,
    NotAPlaylist,
    Part,
    Segment,
    TooLong,
    parse,
)
from airflow_provider_timav.stream.reasons import CUT_OFF, UNREADABLE_CODING, is_unseen, of_status
from airflow_provider_timav.stream.session import Session, Source, chosen
from airflow_provider_timav.stream.watch import Look, Watch

__all__ = ["Answer", "Get", "NoAnswer", "looking"]

MOST_REDIRECTS: Final = 20
"""As many as browsers follow (Fetch, 4.4)."""

SLOW_SECONDS: Final = 2.5
"""What takes longer is given all the time of a look, if need be, and not a share of it."""

MOST_OTHERS: Final = 3
"""Variants that are read beside one that does not move, or does not play."""

SEGMENT_SAMPLE: Final = 1024
"""Bytes of a segment that are asked for; a few are enough."""

KEY_BYTES: Final = 16
"""Of a key for AES-128."""

LARGE_PLAYLIST: Final = 1 << 16
"""Bytes from which on compression is asked for: below that it costs more than it saves."""

_REDIRECTS = (301, 302, 303, 307, 308)

_TELLING: Final = (401, 404, 410, 429)
"""Answers to a request for a part of a segment that would be the same for the whole of it."""

_NONE_ANSWERS: Final = "no variant of the master playlist answers: "

_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<[A-Za-z!?]|[{\[]\s*[\"{\[\]}]|#EXTM3U)")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]")
"""Bytes that stand in no text, and among the first of all media: not even the head of a packet of MPEG-TS is without."""


@dataclass(frozen=True, slots=True)
class Get:
    """A request: GET this address and return at most this many bytes of the body, as they come over the wire.

    ``sample`` means that the first bytes are enough, of what begins at ``offset`` (``Range``), or, where that is None, of the
    whole; otherwise one byte more than ``limit`` must be read, so that a longer body shows. ``public_only`` means that no
    server on another address than a public one may be asked. ``share`` is what part of the time that is left for the look
    this request may take; ``gzip`` whether compression is welcome.
    """

    url: str
    limit: int
    sample: bool = False
    public_only: bool = False
    offset: int | None = None
    share: float = 1.0
    gzip: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, and whether it is on a public address.

    ``body`` is still in the content encoding that ``encoding`` names. ``length`` is that of the whole body, where it was
    told and something was asked for that does not begin at its first byte.
    """

    status: int
    body: bytes = b""
    encoding: str = ""
    location: str | None = None
    public: bool = False
    length: int | None = None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No server answered; ``reason`` says why in a few words without any address.

    ``public`` tells whether it was one on a public address that did not, and ``refused`` whether it was not asked, because
    only public ones may be and it is none.
    """

    reason: str
    public: bool = False
    refused: bool = False


Conversation = Generator[Get, Answer | NoAnswer, Look]


class _Absent(Exception):  # it is what was found
    """There is no playlist, or no segment; the message says why."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


def looking(url: str, watch: Watch, clock: Callable[[], float], session: Session | None = None) -> Conversation:
    """Make one look at a stream.

    :param url: the playlist that the viewers are given.
    :param watch: what is known so far. It decides whether a segment is asked for (only when the mark has moved), and whether
        other variants are read, too (only when there is no sign of life).
    :param clock: returns the seconds since the epoch.
    :param session: what is known from earlier looks of this watch; it is changed.
    :returns: the look, when the generator ends. Nothing that a server does makes it raise.
    """
    return _Viewer(url, watch, clock, Session() if session is None else session).look()


class _Viewer:
    """One look, with what it needs at every step."""

    def __init__(self, url: str, watch: Watch, clock: Callable[[], float], session: Session) -> None:
        self.url = url
        self.watch = watch
        self.clock = clock
        self.session = session
        self.found: list[Look] = []
        self.reason = ""
        self.began = 0.0
        self.loaded = False
        self.tried: set[str] = set()

    def look(self) -> Conversation:
        """Read where it was read last; if nothing is there, or nothing moves, what else there is."""
        session, variant = self.session, self.watch.variant
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
        except (_Absent, NotAPlaylist) as found:
            self.reason = str(found)
            if not (self.found or self.loaded) and session.variants:
                yield from self._others(variant)
        return self._result()

    def _result(self) -> Look:
        if not self.found:
            return Look(at=self.clock(), absence=self.reason, public=self.session.public, asked=self.began)
        self.session.hurried = False
        if len(self.found) == 1:
            return self.found[0]
        best = max(reversed(self.found), key=_rank)
        best.others = tuple(look for look in self.found if look is not best)
        return best

    def _patiently(self, first: int | None) -> Generator[Get, Answer | NoAnswer, None]:
        """Read one variant, another each time, with all the time there is."""
        session = self.session
        places = session.order(first)
        place = places[session.turn % len(places)]
        session.turn += 1
        yield from self._read(place, session.variants[place], share=1.0)
        self.reason = _NONE_ANSWERS + self.reason

    def _in_doubt(self) -> bool:
        """Tell whether what was read so far leaves open if the stream plays."""
        best = max(self.found, key=_rank)
        if best.playable is not None or best.endlist:
            return best.playable is False
        return self.watch.doubted(best.at) and self.watch.after(best, grace=math.inf).doubted(best.at)

    def _is_worn_out(self) -> bool:
        """Tell whether the address that viewers are given is to be loaded anew: for long nothing has moved where it led to."""
        loaded_at, now = self.session.loaded_at, self.clock()
        return loaded_at is None or (self.watch.doubted(now) and now - loaded_at > self.watch.tolerance)

    def _from_the_top(self, variant: int | None) -> Generator[Get, Answer | NoAnswer, None]:
        """Load the address that viewers are given, and what it leads to."""
        session = self.session
        hosts: list[bool] = []
        what = "a playlist whose host was on a public address and now is" if self.watch.public else "a playlist"
        asked = self.clock()
        # Where it keeps silent, what it led to before may still be there.
        share = 0.5 if session.variants else 1.0
        try:
            base, answer, public = yield from self._fetch(
                Get(self.url, LARGEST_PLAYLIST, public_only=self.watch.public, gzip=session.gzip, share=share),
                what,
                hosts,
            )
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
            raise _Absent(f"an address of more than {LONGEST_ADDRESS} characters")
        session.variants = {place: Source(url, public, "a variant", playlist.variables) for place, url in urls.items()}
        yield from self._others(None, first=variant)
        if not self.found:
            raise _Absent(self.reason)

    def _others(self, known: int | None, first: int | None = None) -> Generator[Get, Answer | NoAnswer, None]:
        """Read further variants until one shows a sign of life, or enough of them have shown none.

        :param known: the variant that was tried already.
        :param first: the one to begin with, unless what is there has just not answered.
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
            # That one of them does not let us in says more than that another is not there.
            told = next((reason for reason in reasons if is_unseen(reason)), reasons[-1])
            self.reason = _NONE_ANSWERS + told

    def _read(self, variant: int | None, source: Source, *, share: float) -> Generator[Get, Answer | NoAnswer, bool]:
        """Read one media playlist, and whether what was added plays; return whether it is there."""
        session = self.session
        asked = self.clock()
        get = Get(source.url, LARGEST_PLAYLIST, public_only=source.public_only, share=share, gzip=session.gzip)
        try:
            base, answer, public = yield from self._fetch(get, source.what)
            if (base, public) != (source.url, source.public_only):
                source = replace(source, url=base, public_only=public)
            playlist = self._parsed(answer, source)
        except (_Absent, NotAPlaylist) as found:
            self.reason = str(found)
            self.tried.add(get.url)
            if isinstance(found, _Absent) and found.status is None:
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
        body = _decoded(answer)
        self.session.gzip = len(body) > LARGE_PLAYLIST
        return parse(body, url=source.url, variables=source.variables)

    def _take(
        self, variant: int | None, source: Source, playlist: MediaPlaylist, asked: float
    ) -> Generator[Get, Answer | NoAnswer, None]:
        """Note what a media playlist says, and whether what was added plays."""
        look = Look(
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
        since = self.watch.unproved(look)
        if since is None and not self.watch.tracks and len(self.session.variants) > 1 and not playlist.endlist:
            # Which variant is to be watched shows by whether one plays: what one has shown does not count for another.
            since = 0
        if since is not None and playlist.segments:
            yield from self._prove(look, source, playlist.added(since))
        self.found.append(look)

    def _prove(self, look: Look, source: Source, added: list[Segment]) -> Generator[Get, Answer | NoAnswer, None]:
        """Ask for what was added until one of it answers, and note whether one does."""
        refused = "" if added else "a gap is all that was added"
        for segment in added:
            try:
                yield from self._play(source, segment, share=1.0 if segment is added[-1] else 0.7)
            except _Absent as found:
                refused = refused if is_unseen(refused) else str(found)
            else:
                look.playable, look.proved, look.done = True, segment.number, self.clock()
                return
        look.playable, look.refused, look.done = False, refused, self.clock()

    def _play(self, source: Source, segment: Segment, *, share: float) -> Generator[Get, Answer | NoAnswer, None]:
        """Get the first bytes of a segment, and of what else is needed to play it, once.

        :raises _Absent: if it does not play.
        """
        body = yield from self._sample(source, segment.media, "a segment", share=share)
        if segment.key is None and not _may_be_media(body):
            raise _Absent("a segment: a page or another text, and no media")
        needed = [(segment.init, "an initialization section")]
        needed += [(Part(segment.key), "a key")] if segment.key else []
        for part, what in needed:
            if part is None:
                continue
            if (inline := _inline(part.address)) is not None:
                if len(inline) != KEY_BYTES and part is not segment.init:
                    raise _Absent("a key: data that are no key")
                continue
            known = replace(part, address=join(source.url, part.address))
            if known in self.session.opened:
                continue
            try:
                yield from self._sample(source, part, what, share=share)
            except _Absent as found:
                # Keys are for viewers who have logged in: that we are not let in says nothing.
                if part is segment.init or not is_unseen(str(found)):
                    raise
            self.session.open(known)

    def _sample(
        self, source: Source, part: Part, what: str, *, share: float
    ) -> Generator[Get, Answer | NoAnswer, bytes]:
        """Get the first bytes of a part, without ``Range`` where a server refuses that for the whole of a resource.

        :raises _Absent: if it has none.
        """
        url = join(source.url, part.address)
        limit = min(part.length or SEGMENT_SAMPLE, SEGMENT_SAMPLE)
        whole = part.offset is None
        offset = None if whole and (self.session.plain or what == "a key") else part.offset or 0
        get = Get(url, limit, sample=True, public_only=source.public_only, offset=offset, share=share)
        try:
            _, answer, _ = yield from self._fetch(get, what)
        except _Absent as found:
            if offset is None or not whole or found.status is None or found.status in _TELLING:
                raise _Absent(str(found) if " on a private address" in str(found) else f"{what}: {found}") from None
            try:
                _, answer, _ = yield from self._fetch(replace(get, offset=None), what)
            except _Absent as again:
                raise _Absent(f"{what}: {again}") from None
            self.session.plain = True
        missing = answer.status != 206 and answer.length is not None and answer.length <= (part.offset or 0)
        if not answer.body or missing:
            raise _Absent(f"{what} without bytes")
        return answer.body

    def _fetch(
        self, get: Get, what: str, hosts: list[bool] | None = None
    ) -> Generator[Get, Answer | NoAnswer, tuple[str, Answer, bool]]:
        """Get one address and follow redirects.

        :param what: what it is, for a text.
        :param hosts: gets whether each server is public.
        :returns: the final address, its answer, which is a success, and whether that leads to public addresses only: a public
            server has answered on the way.
        """
        for _ in range(MOST_REDIRECTS + 1):
            if (wrong := fault(get.url)) is not None:
                raise _Absent(wrong)
            answer = yield get
            if hosts is not None:
                hosts.append(answer.public)
            if isinstance(answer, NoAnswer):
                raise _Absent(f"{what} on a private address" if answer.refused else answer.reason)
            if answer.status not in _REDIRECTS or answer.location is None:
                if 200 <= answer.status < 300:
                    return get.url, answer, get.public_only or answer.public
                raise _Absent(of_status(answer.status), answer.status)
            target = join(get.url, answer.location)
            if get.url.lower().startswith("https:") and target.lower().startswith("http:"):
                raise _Absent("a redirect from https to http")
            get, what = replace(get, url=target, public_only=get.public_only or answer.public), "a redirect to a server"
        raise _Absent(f"more than {MOST_REDIRECTS} redirects")


def _rank(look: Look) -> tuple[bool, bool, bool]:
    """Return how much a look shows: that the stream plays, that it goes on, that there is something."""
    return look.playable is True, bool(look.segments) and not look.endlist, bool(look.segments)


def _may_be_media(body: bytes) -> bool:
    """Tell whether bytes that are not encrypted can begin a segment: MPEG-TS, MP4, packed audio or WebVTT (RFC 8216, 3).

    Servers answer 200 with a page that says "not found", or with an error in XML or JSON, or in a few words of any language
    (``Gone`` begins as a packet of MPEG-TS does).
    """
    if _MARKUP.match(body):
        return False
    if body.removeprefix(codecs.BOM_UTF8).startswith(b"WEBVTT"):
        return True
    # Nothing but the byte that packets begin with is no word.
    return not body.strip(b"G") or not (_is_text(body, "utf-8") or _is_text(body, "gbk"))


def _is_text(body: bytes, coding: str) -> bool:
    """Tell whether bytes are the beginning of a text; the last character may be cut off."""
    if _CONTROL.search(body):
        return False
    try:
        codecs.getincrementaldecoder(coding)().decode(body)
    except UnicodeDecodeError:
        return False
    return True


def _inline(address: str) -> bytes | None:
    """Return the data that an address holds itself (RFC 2397); None if it is another kind of address."""
    if address[:5].lower() != "data:":
        return None
    head, _, data = address[5:].partition(",")
    body = unquote_to_bytes(data)
    if not head.lower().endswith(";base64"):
        return body
    try:
        return base64.b64decode(body)
    except ValueError:
        return b""


def _decoded(answer: Answer) -> bytes:
    """Undo the content encoding, at most one byte beyond what a playlist may have: a bomb is never unpacked.

    A coding that nobody knows (object stores answer ``aws-chunked``) is passed over, as browsers do.

    :raises NotAPlaylist: if it cannot be undone.
    """
    codings = [one.strip() for one in answer.encoding.split(",")]
    body = answer.body
    for coding in reversed(codings[-2:]):
        if coding in ("br", "zstd"):
            raise NotAPlaylist(UNREADABLE_CODING)
        if coding in ("gzip", "x-gzip", "deflate"):
            body = _unpacked(body, raw_first=coding == "deflate")
    return body


def _unpacked(body: bytes, *, raw_first: bool) -> bytes:
    """Unpack gzip, of one member or several (RFC 1952, 2.2), or zlib; ``deflate`` is also sent without zlib's head."""
    if len(body) > LARGEST_PLAYLIST:
        raise TooLong
    found = bytearray()
    rest = body
    while rest and len(found) <= LARGEST_PLAYLIST:
        unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        try:
            found += unpacking.decompress(rest, LARGEST_PLAYLIST + 1 - len(found))
        except zlib.error:
            if found:
                break  # padding after the last member
            if not raw_first:
                raise NotAPlaylist("a body that cannot be decompressed") from None
            unpacking = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
            try:
                found += unpacking.decompress(rest, LARGEST_PLAYLIST + 1)
            except zlib.error:
                raise NotAPlaylist("a body that cannot be decompressed") from None
        if not unpacking.eof and len(found) <= LARGEST_PLAYLIST:
            # Half a playlist would look like one whose tail went back.
            raise NotAPlaylist(CUT_OFF)
        rest = unpacking.unused_data
    return bytes(found)
