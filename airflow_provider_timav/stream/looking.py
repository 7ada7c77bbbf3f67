"""How one look at a stream goes: what to fetch next, and what the answers mean. It does no input or output itself.

`looking` is a conversation with whoever can move bytes (`reader`): it asks for one address at a time and is told the
answer or why there is none. Redirects are followed in here and not by the HTTP client, because the rules are ours.

One of them: what a public server says leads to public addresses only, whether it is a redirect, a variant or a segment. Who
can say something about a show on the internet cannot have the network in which we stand asked for anything.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from urllib.parse import urljoin

from airflow_provider_timav.stream.address import fault
from airflow_provider_timav.stream.playlist import LARGEST_PLAYLIST, MediaPlaylist, NotAPlaylist, parse
from airflow_provider_timav.stream.watch import Look, Watch

__all__ = ["Answer", "Get", "NoAnswer", "looking"]

MOST_REDIRECTS = 3
MOST_VARIANTS = 4
"""Variants of a master playlist that are tried until one answers: a look must not become a crawl."""

SEGMENT_SAMPLE = 1024
"""Bytes of the newest segment that are asked for; one is enough."""

_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Get:
    """A request: GET this address and return at most this many bytes of the body, as they come over the wire.

    ``sample`` means that a part is wanted (``Range``); otherwise one byte more than ``limit`` must be read, so that a
    longer body shows. ``public_only`` means that no server on another address than a public one may be asked.
    """

    url: str
    limit: int
    sample: bool = False
    public_only: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, and whether it is on a public address.

    ``body`` is still in the content encoding that ``encoding`` names.
    """

    status: int
    body: bytes = b""
    encoding: str = ""
    location: str | None = None
    public: bool = False


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
    """There is no playlist; the message says why."""


class _Refused(_Absent):
    """A public server has led to an address that is not public."""


def looking(url: str, watch: Watch, clock: Callable[[], float]) -> Conversation:
    """Make one look at a stream.

    :param url: the playlist that the viewers are given.
    :param watch: what is known so far. It decides whether the newest segment is asked for: only when the tail has moved.
    :param clock: returns the seconds since the epoch.
    :returns: the look, when the generator ends. Nothing that a server does makes it raise.
    """
    hosts: list[bool] = []
    try:
        base, playlist, variant, public = yield from _media_playlist(url, watch, hosts)
    except (_Absent, NotAPlaylist) as found:
        return Look(at=clock(), absence=str(found), public=any(hosts[:1]))
    look = Look(
        at=clock(),
        tail=playlist.tail,
        segments=playlist.segments,
        target_duration=playlist.target_duration,
        endlist=playlist.endlist,
        variant=variant,
        public=hosts[0],
    )
    if playlist.newest is None or not watch.asks_for_segment(look):
        return look
    try:
        _, answer, _ = yield from _fetch(
            _join(base, playlist.newest), SEGMENT_SAMPLE, what="a segment", public_only=public, sample=True
        )
    except _Refused as found:
        return replace(look, playable=False, refused=str(found))
    except _Absent:
        return replace(look, playable=False)
    return replace(look, playable=bool(answer.body))


def _media_playlist(
    url: str, watch: Watch, hosts: list[bool]
) -> Generator[Get, Answer | NoAnswer, tuple[str, MediaPlaylist, int | None, bool]]:
    """Fetch the list of segments, over the master playlist if there is one.

    :param hosts: gets whether each server is public that is asked for ``url``; the first of them is that of ``url`` itself.
    :returns: its address, itself, its place in the master playlist, and whether what it says leads to public addresses only.
    """
    what = "a playlist whose host was on a public address and now is" if watch.public else "a playlist"
    base, answer, public = yield from _fetch(url, LARGEST_PLAYLIST, what=what, public_only=watch.public, hosts=hosts)
    playlist = parse(_decoded(answer))
    if isinstance(playlist, MediaPlaylist):
        return base, playlist, None, public
    reason = "a master playlist without variants"
    for place, variant in enumerate(playlist.variants[:MOST_VARIANTS]):
        try:
            variant_base, answer, variant_public = yield from _fetch(
                _join(base, variant), LARGEST_PLAYLIST, what="a variant", public_only=public
            )
            media = parse(_decoded(answer))
        except (_Absent, NotAPlaylist) as found:
            reason = f"no variant of the master playlist answers: {found}"
            continue
        if isinstance(media, MediaPlaylist):
            return variant_base, media, place, variant_public
        reason = "a master playlist that leads to a master playlist"
    raise _Absent(reason)


def _fetch(
    url: str,
    limit: int,
    *,
    what: str,
    public_only: bool,
    sample: bool = False,
    hosts: list[bool] | None = None,
) -> Generator[Get, Answer | NoAnswer, tuple[str, Answer, bool]]:
    """Get one address and follow redirects.

    :param what: what it is, for a text.
    :param hosts: gets whether each server is public.
    :returns: the final address, its answer, which is 200 (or 206), and whether that leads to public addresses only: a public
        server has answered on the way.
    """
    for _ in range(MOST_REDIRECTS + 1):
        if (wrong := fault(url)) is not None:
            raise _Absent(wrong)
        answer = yield Get(url, limit, sample, public_only)
        if hosts is not None:
            hosts.append(answer.public)
        if isinstance(answer, NoAnswer):
            raise _Refused(f"{what} on a private address") if answer.refused else _Absent(answer.reason)
        public_only = public_only or answer.public
        if answer.status not in _REDIRECTS or answer.location is None:
            if answer.status == 200 or (sample and answer.status == 206):
                return url, answer, public_only
            raise _Absent(f"HTTP status {answer.status}")
        target = _join(url, answer.location)
        if url.lower().startswith("https:") and target.lower().startswith("http:"):
            raise _Absent("a redirect from https to http")
        url, what = target, "a redirect to a server"
    raise _Absent(f"more than {MOST_REDIRECTS} redirects")


def _join(base: str, reference: str) -> str:
    try:
        return urljoin(base, reference.strip().replace(" ", "%20"))
    except ValueError:
        raise _Absent("an address that cannot be read") from None


def _decoded(answer: Answer) -> bytes:
    """Undo the content encoding, at most one byte beyond what a playlist may have: a bomb is never unpacked."""
    if answer.encoding in ("", "identity"):
        return answer.body
    if answer.encoding not in ("gzip", "x-gzip", "deflate"):
        raise NotAPlaylist("a body in a content encoding that nobody asked for")
    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        body = unpacking.decompress(answer.body, LARGEST_PLAYLIST + 1)
    except zlib.error:
        raise NotAPlaylist("a body that cannot be decompressed") from None
    if not unpacking.eof and len(body) <= LARGEST_PLAYLIST:
        # Half a playlist would look like one whose tail went back.
        raise NotAPlaylist("a body that was cut off")
    return body
