"""How a look goes: the addresses that are asked for, and what the answers make of it. No byte is moved here."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_timav.stream.address import fault, join, place, written
from airflow_provider_timav.stream.looking import Answer, Get, NoAnswer, looking
from airflow_provider_timav.stream.playlist import LARGEST_PLAYLIST
from airflow_provider_timav.stream.reasons import is_unseen
from airflow_provider_timav.stream.session import Session
from airflow_provider_timav.stream.watch import Look, Verdict, Watch, next_pause
from harness.streams.site import media

URL = "https://cdn.example/live/42.m3u8?auth=secret"
MASTER = (
    "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow/list.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\n//other.example/high.m3u8\n"
)


def master(*variants: str) -> str:
    return "#EXTM3U\n" + "".join(f"#EXT-X-STREAM-INF:BANDWIDTH=1\n{one}\n" for one in variants)


Web = dict[str, Any]
"""Answers by address; a function is called with the request."""


def ok(text: str | bytes, **facts: Any) -> Answer:
    return Answer(200, text if isinstance(text, bytes) else text.encode(), **facts)


def moved(location: str, status: int = 302) -> Answer:
    return Answer(status, location=location)


def look(
    web: Web, watch: Watch | None = None, url: str = URL, *, session: Session | None = None, at: float = 1000.0
) -> tuple[Look, list[Get]]:
    """Make a look in a web that is a dict; what is not in it answers 404."""
    conversation = looking(url, watch or Watch(), lambda: at, session)
    gets: list[Get] = []
    try:
        get = next(conversation)
        while True:
            gets.append(get)
            answer = web.get(get.url, Answer(404))
            get = conversation.send(answer(get) if callable(answer) else answer)
    except StopIteration as end:
        found: Look = end.value
    return found, gets


def follow(
    web: Web, looks: int, *, every: float = 1.0, step: Callable[[int], None] | None = None
) -> tuple[Watch, list[Get]]:
    """Look again and again, as one viewer; return what is known then, and the requests of the last look."""
    watch, session = Watch(), Session()
    gets: list[Get] = []
    for number in range(looks):
        if step is not None:
            step(number)
        found, gets = look(web, watch, session=session, at=1000.0 + number * every)
        watch = watch.after(found, grace=60)
    return watch, gets


def absence(web: Web, url: str = URL) -> str:
    found, _ = look(web, url=url)
    assert found.tail is None
    return found.absence


def expecting(tail: int) -> Watch:
    return Watch().after(Look(at=999.0, tail=tail, segments=3, target_duration=1), grace=60)


def test_the_first_look_fetches_the_playlist_and_nothing_else() -> None:
    found, gets = look({URL: ok(media(7, 3))})
    assert (found.at, found.tail, found.segments, found.target_duration) == (1000.0, 10, 3, 1)
    assert (found.playable, found.others) == (None, ())
    assert gets == [Get(URL, LARGEST_PLAYLIST)]


def test_a_tail_that_moved_has_a_sample_of_its_newest_segment_fetched() -> None:
    segment = "https://cdn.example/segment.ts?n=9"
    found, gets = look({URL: ok(media(7, 3)), segment: Answer(206, b"G")}, expecting(9))
    assert found.playable is True
    assert found.proved == 9
    assert gets[1:] == [Get(segment, 1024, sample=True, offset=0)]


@pytest.mark.parametrize(
    "answer",
    [Answer(404, b"no"), Answer(200, b""), NoAnswer("no connection"), Answer(416, b"x"), moved("ftp://cdn.example/a")],
    ids=["404", "no-bytes", "no-answer", "416", "redirect-to-ftp"],
)
def test_a_newest_segment_without_bytes_is_not_playable(answer: Answer | NoAnswer) -> None:
    found, _ = look({URL: ok(media(7, 3)), "https://cdn.example/segment.ts?n=9": answer}, expecting(9))
    assert (found.tail, found.playable) == (10, False)


@pytest.mark.parametrize("segment", ["ftp://cdn.example/a.ts", "file:///etc/passwd", "http://[bad/a.ts"])
def test_a_segment_somewhere_else_than_on_the_web_is_not_fetched(segment: str) -> None:
    found, gets = look({URL: ok(media(7, 3, segment=segment))}, expecting(9))
    assert found.playable is False
    assert len(gets) == 1


def test_a_blank_in_a_segments_name_is_encoded() -> None:
    _, gets = look({URL: ok(media(7, 3, segment="the show.ts"))}, expecting(9))
    assert gets[1].url == "https://cdn.example/live/the%20show.ts?n=9"


def test_a_master_playlist_is_followed_to_its_first_variant() -> None:
    web: Web = {URL: ok(MASTER), "https://cdn.example/live/low/list.m3u8": ok(media(7, 3)), SEGMENT + "9": ok(b"G")}
    found, gets = look(web)
    assert (found.tail, found.variant) == (10, 0)
    assert [get.url for get in gets] == [URL, "https://cdn.example/live/low/list.m3u8", SEGMENT + "9"]


def test_first_look_finds_out_which_variant_plays() -> None:
    """What one has shown counts for no other, so the one that plays has to be the first that is watched."""
    web: Web = {
        URL: ok(MASTER),
        "https://cdn.example/live/low/list.m3u8": ok(media(7, 3, segment="/gone.ts")),
        "https://other.example/high.m3u8": ok(media(700, 3)),
        "https://other.example/segment.ts?n=702": ok(b"G"),
    }
    found, _ = look(web)
    assert (found.tail, found.variant, found.playable) == (703, 1, True)
    assert Watch().after(found, grace=60).verdict is Verdict.STARTING
    _, gets = look({URL: ok(master("/a.m3u8")), "https://cdn.example/a.m3u8": ok(media(7, 3))})
    assert len(gets) == 2, "there is no other to be watched"


def test_a_variant_that_does_not_answer_is_passed_over() -> None:
    found, _ = look({URL: ok(MASTER), "https://other.example/high.m3u8": ok(media(7, 3))})
    assert (found.tail, found.variant) == (10, 1)


def test_a_master_playlist_is_followed_one_hop_and_to_eight_variants() -> None:
    web: Web = {f"https://cdn.example/live/{number}.m3u8": ok(MASTER) for number in range(20)}
    found, gets = look({URL: ok(master(*(f"{number}.m3u8" for number in range(20)))), **web})
    assert found.absence.endswith("a master playlist that leads to a master playlist")
    assert len(gets) == 9


def test_of_ever_so_many_variants_the_few_are_kept_that_may_be_tried() -> None:
    names = [
        f"https://host{place % 3}.example/{'x' * (9000 if place == 1 else 5)}/{place}.m3u8" for place in range(20_000)
    ]
    session = Session()
    _, gets = look({URL: ok(master(*names))}, session=session)
    assert list(session.variants) == [0, 2, 4, 3, 5, 6, 7, 8]
    assert len(gets) == 9
    assert absence({URL: ok(master("x" * 9000))}) == "an address of more than 8192 characters"


def test_a_master_playlist_none_of_whose_variants_answers_is_absent_and_says_why() -> None:
    assert absence({URL: ok(MASTER)}) == "no variant of the master playlist answers: HTTP status 404"
    assert absence({URL: ok("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n")}) == "a master playlist without variants"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_and_what_is_relative_is_relative_to_its_target(status: int) -> None:
    web: Web = {URL: moved("/other/", status), "https://cdn.example/other/": ok(media(7, 3, segment="s.ts"))}
    _, gets = look(web, expecting(9))
    assert [get.url for get in gets][1:] == ["https://cdn.example/other/", "https://cdn.example/other/s.ts?n=9"]


def test_twenty_redirects_are_followed_as_browsers_do_and_no_more() -> None:
    web: Web = {URL: moved("/1"), **{f"https://cdn.example/{hop}": moved(f"/{hop + 1}") for hop in range(1, 40)}}
    assert look({**web, "https://cdn.example/20": ok(media(7, 3))})[0].tail == 10
    found, gets = look(web)
    assert found.absence == "more than 20 redirects"
    assert is_unseen(found.absence)
    assert len(gets) == 21


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://cdn.example/live.m3u8", "a redirect from https to http"),
        ("file:///etc/passwd", "an address that is not http or https but file"),
        ("rtmp://cdn.example/live", "an address that is not http or https but rtmp"),
        ("https://someone:secret@cdn.example/", "an address with a user name or a password in it"),
        ("https://:80/live.m3u8", "an address without a host"),
        ("HTTP://cdn.example/live.m3u8", "a redirect from https to http"),
        ("https://cdn.example:port/", "an address that cannot be read"),
        ("https://[cdn.example/", "an address that cannot be read"),
        ("/a\x00b", "an address with a blank or a control character in it"),
        ("/" + "a" * 9000, "an address of more than 8192 characters"),
    ],
)
def test_a_redirect_to_where_nobody_should_go_is_not_followed(location: str, why: str) -> None:
    """Players may follow it: it is not seen."""
    assert absence({URL: moved(location)}) == why
    assert is_unseen(why)
    found, _ = look({URL: ok(media(7, 3)), SEGMENT + "9": moved(location)}, expecting(9))
    assert found.refused == f"a segment: {why}"
    assert is_unseen(found.refused)


def test_a_redirect_to_https_is_followed() -> None:
    plain = "http://cdn.example/live.m3u8"
    assert look({plain: moved(URL), URL: ok(media(7, 3))}, url=plain)[0].tail == 10


def test_what_a_public_server_says_is_asked_for_at_public_addresses_only() -> None:
    """Each document is judged by the servers that it came from, and a watch by what its playlist's host once was."""
    variant, segment = "https://cdn.example/live/low/list.m3u8", "https://cdn.example/segment.ts?n=9"
    web: Web = {URL: ok(MASTER), variant: ok(media(7, 3), public=True), segment: ok(b"G")}
    watch = Watch().after(Look(at=999.0, tail=9, segments=3, target_duration=1, variant=0), grace=60)
    found, gets = look(web, watch)
    assert [get.public_only for get in gets] == [False, False, True]
    assert not found.public
    found, gets = look({**web, URL: ok(MASTER, public=True)}, watch)
    assert [get.public_only for get in gets] == [False, True, True]
    assert found.public
    _, gets = look(web, replace(watch, public=True))
    assert [get.public_only for get in gets] == [True, True, True]


def test_playlists_host_counts_as_public_though_it_does_not_answer() -> None:
    found, _ = look({URL: NoAnswer("no connection", public=True)})
    assert (found.absence, found.public) == ("no connection", True)
    assert look({URL: moved("/gone")}, Watch())[0].public is False


@pytest.mark.parametrize("status", [302, 304, 400, 403, 404, 500, 503])
def test_another_status_than_a_success_is_absent(status: int) -> None:
    assert absence({URL: Answer(status, media(7, 3).encode())}) == f"HTTP status {status}"


@pytest.mark.parametrize("status", [200, 203, 206])
def test_any_success_is_one(status: int) -> None:
    """A transforming proxy answers 203 (RFC 9110, 15.3.4); players take whatever begins with 2."""
    assert look({URL: Answer(status, media(7, 3).encode())})[0].tail == 10


def test_no_answer_is_absent_with_its_reason() -> None:
    assert absence({URL: NoAnswer("the host name is not known")}) == "the host name is not known"


def raw_deflate(body: bytes) -> bytes:
    packing = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packing.compress(body) + packing.flush()


def in_members(body: bytes) -> bytes:
    """Pack in gzip as servers do that compress old and new segments apart (RFC 1952, 2.2)."""
    return gzip.compress(body[:40]) + gzip.compress(body[40:]) + b"\0" * 8


@pytest.mark.parametrize(
    ("pack", "encoding"),
    [
        (gzip.compress, "gzip"),
        (gzip.compress, "x-gzip"),
        (in_members, "gzip"),
        (zlib.compress, "deflate"),
        (raw_deflate, "deflate"),
        (lambda body: gzip.compress(gzip.compress(body)), "gzip, gzip"),
        (gzip.compress, "identity, gzip"),
        (bytes, "aws-chunked"),
        (bytes, "utf-8"),
    ],
    ids=["gzip", "x-gzip", "members", "zlib", "deflate", "twice", "list", "aws-chunked", "unknown"],
)
def test_a_compressed_playlist_is_read(pack: object, encoding: str) -> None:
    body = pack(media(7, 3).encode())  # type: ignore[operator]
    assert look({URL: ok(body, encoding=encoding)})[0].tail == 10


@pytest.mark.parametrize(
    ("body", "encoding", "why"),
    [
        (gzip.compress(b"#EXTM3U\n" + b"#" * (200 << 20), 1), "gzip", "a body of more than 16 MiB"),
        (gzip.compress(media(7, 300).encode())[:200], "gzip", "a body that was cut off"),
        (b"#EXTM3U", "gzip", "a body that cannot be decompressed"),
        (b"#EXTM3U", "deflate", "a body that cannot be decompressed"),
        (b"#EXTM3U", "br", "a body in a content coding that was not asked for and is not read here"),
    ],
    ids=["bomb", "cut-off", "not-gzip", "not-deflate", "brotli"],
)
def test_a_body_that_cannot_be_unpacked_is_absent(body: bytes, encoding: str, why: str) -> None:
    assert absence({URL: ok(body, encoding=encoding)}) == why


@pytest.mark.parametrize("url", ["https://cdn.example/a\nb", "https://cdn.example/a b", "https://cdn.example/\x7f"])
def test_an_address_with_a_blank_or_a_control_character_is_refused(url: str) -> None:
    assert fault(url) == "an address with a blank or a control character in it"


def test_an_address_is_named_without_query_and_credentials() -> None:
    assert (
        place("https://me:secret@cdn.example:8443/live/42.m3u8?auth=secret#x")
        == "https://cdn.example:8443/live/42.m3u8"
    )
    assert place("https://[bad") == "(an address that cannot be read)"
    assert place("https://[2001:db8::1]:8443/live/42.m3u8?x=1") == "https://[2001:db8::1]:8443/live/42.m3u8"


JOINED = {
    "g:h": "g:h",
    "g": "http://a/b/c/g",
    "./g": "http://a/b/c/g",
    "g/": "http://a/b/c/g/",
    "/g": "http://a/g",
    "//g": "http://g",
    "?y": "http://a/b/c/d;p?y",
    "g?y": "http://a/b/c/g?y",
    "#s": "http://a/b/c/d;p?q",
    "g#s": "http://a/b/c/g",
    ";x": "http://a/b/c/;x",
    "": "http://a/b/c/d;p?q",
    ".": "http://a/b/c/",
    "./": "http://a/b/c/",
    "..": "http://a/b/",
    "../g": "http://a/b/g",
    "../..": "http://a/",
    "../../../g": "http://a/g",
    "/./g": "http://a/g",
    "/../g": "http://a/g",
    "g.": "http://a/b/c/g.",
    "..g": "http://a/b/c/..g",
    "./g/.": "http://a/b/c/g/",
    "g/../h": "http://a/b/c/h",
    "g;x=1/../y": "http://a/b/c/y",
    "g?y/../x": "http://a/b/c/g?y/../x",
    "//g//h/./i": "http://g//h/i",
    "e//f": "http://a/b/c/e//f",
    "the show.ts": "http://a/b/c/the%20show.ts",
}


@pytest.mark.parametrize("reference", JOINED)
def test_references_join_as_in_rfc_3986(reference: str) -> None:
    """Its examples (5.4), without fragments, and empty segments."""
    assert join("http://a/b/c/d;p?q", reference) == JOINED[reference]


def test_empty_segments_of_a_folder_stay() -> None:
    assert join("https://h/live//room/x.m3u8", "s.ts") == "https://h/live//room/s.ts"
    assert join("https://h/proxy/https://o.example/x.m3u8?a=//b", "s.ts") == "https://h/proxy/https://o.example/s.ts"
    assert join("https://h", "s.ts") == "https://h/s.ts"


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("http://h/a%2Fb%20c?s=a%2Bb%7ec+d=='(x)'~;,|^", "http://h/a%2Fb%20c?s=a%2Bb%7ec+d=='(x)'~;,|^"),
        ("http://h/直播/a%20b?n=直", "http://h/%E7%9B%B4%E6%92%AD/a%20b?n=%E7%9B%B4"),
        ('http://h/a"<b>`{c}', "http://h/a%22%3Cb%3E%60%7Bc%7D"),
        ("http://bücher.example:8080", "http://xn--bcher-kva.example:8080/"),
        ("http://h/a#b", "http://h/a"),
        ("http://h/\udce9", "http://h/%E9"),
    ],
)
def test_escapes_go_over_the_wire_as_they_were_written(url: str, sent: str) -> None:
    assert written(url) == sent


SEGMENT = "https://cdn.example/segment.ts?n="


class TestProof:
    def test_newest_segment_that_is_not_there_yet_is_no_stall_if_another_of_the_added_answers(self) -> None:
        found, gets = look({URL: ok(media(7, 5)), SEGMENT + "9": Answer(206, b"G")}, expecting(9))
        assert (found.playable, found.proved) == (True, 9)
        assert [get.url for get in gets[1:]] == [SEGMENT + "11", SEGMENT + "9"]

    def test_the_range_of_a_segment_is_what_is_asked_for(self) -> None:
        playlist = media(9, 1).replace("#EXTINF", "#EXT-X-BYTERANGE:300@5000\n#EXTINF")
        found, gets = look({URL: ok(playlist), SEGMENT + "9": Answer(206, b"G")}, expecting(9))
        assert found.playable is True
        assert gets[1] == Get(SEGMENT + "9", 300, sample=True, offset=5000)

    @pytest.mark.parametrize(
        "answer", [Answer(416), Answer(200, b"G", length=5000)], ids=["not-written-yet", "whole-and-too-short"]
    )
    def test_range_that_is_not_there_does_not_play_whatever_the_rest_is(self, answer: Answer) -> None:
        playlist = media(9, 1).replace("#EXTINF", "#EXT-X-BYTERANGE:300@5000\n#EXTINF")
        found, gets = look({URL: ok(playlist), SEGMENT + "9": answer}, expecting(9))
        assert found.playable is False
        assert len(gets) == 2

    @pytest.mark.parametrize("status", [400, 403, 405, 416, 500, 501])
    def test_server_that_refuses_ranges_is_asked_without_and_never_with_one_again(self, status: int) -> None:
        def segment(get: Get) -> Answer:
            return Answer(status) if get.offset is not None else Answer(200, b"G")

        session = Session()
        web: Web = {URL: ok(media(7, 3)), SEGMENT + "9": segment}
        assert look(web, expecting(9), session=session)[0].playable is True
        found, gets = look(web, expecting(9), session=session)
        assert (found.playable, [get.offset for get in gets]) == (True, [None, None])

    @pytest.mark.parametrize("status", [401, 404, 410, 429])
    def test_what_is_not_there_is_not_asked_for_twice(self, status: int) -> None:
        found, gets = look({URL: ok(media(7, 3)), SEGMENT + "9": Answer(status)}, expecting(9))
        assert found.refused == f"a segment: HTTP status {status}"
        assert len(gets) == 2

    def test_gap_is_never_asked_for(self) -> None:
        playlist = media(7, 3).replace("#EXTINF", "#EXT-X-GAP\n#EXTINF")
        found, gets = look({URL: ok(playlist), SEGMENT + "9": Answer(200, b"G")}, expecting(9))
        assert (found.playable, found.refused) == (False, "a gap is all that was added")
        assert len(gets) == 1

    @pytest.mark.parametrize(
        ("body", "plays"),
        [
            (b"<!DOCTYPE html><html>", False),
            (b"\xef\xbb\xbf\n<?xml version='1.0'?><Error/>", False),
            (b'{"error": "not found"}', False),
            (b"not found", False),
            (b"#EXTM3U\n", False),
            (b"G" * 600, True),
            (b"G\x40\x11\x10\0", True),
            (b"\0\0\0\x18styp", True),
            (b"ID3\x04\0", True),
            (b"\xff\xf1P\x80", True),
            (b"WEBVTT\n", True),
            (b"\xef\xbb\xbfWEBVTT\r\n", True),
            (b"Gone", False),
            (b"Gateway Timeout\r\n", False),
            ("\u6587\u4ef6\u4e0d\u5b58\u5728".encode(), False),
            ("\u6587\u4ef6\u4e0d\u5b58\u5728".encode("gbk"), False),
            ("G\u6587\u4ef6 ".encode("gbk") * 200, False),
            ("Datei nicht gefunden \u2013 gel\u00f6scht".encode() * 40, False),
            ("\u6587\u4ef6\u4e0d\u5b58\u5728".encode()[:-1], False),
            ("\u6587\u4ef6\u4e0d\u5b58\u5728".encode("gbk")[:-1], False),
            (("G" + "a" * 187).encode() * 5, False),
            ((b"G\x40\x00\x10\x00\x00" + b"\xff" * 182) * 5, True),
            (b"G\x1f\xff\x10" + b"\xff" * 60, True),
            (b"\0\0\0\x1cftypiso5", True),
            (b"\0\0\2\x00moof", True),
            (b"\xff\xf9\x4c\x80" + b"\x21\x10\x04\x60\x8c\x1c" * 10, True),
            (b"\xff\xfb\x90\x64" + b"U" * 60, True),
            (b"\x0bw\xab\xcd" + b"P" * 60, True),
            (bytes(range(128, 256)), True),
        ],
    )
    def test_page_that_says_not_found_with_200_is_no_segment(self, body: bytes, plays: bool) -> None:
        assert look({URL: ok(media(7, 3)), SEGMENT + "9": ok(body)}, expecting(9))[0].playable is plays

    def test_what_is_encrypted_may_begin_with_anything(self) -> None:
        playlist = media(7, 3).replace("#EXTINF", '#EXT-X-KEY:METHOD=AES-128,URI="/key"\n#EXTINF', 1)
        web: Web = {URL: ok(playlist), SEGMENT + "9": ok(b"<a"), "https://cdn.example/key": ok(b"0" * 16)}
        assert look(web, expecting(9))[0].playable is True

    @pytest.mark.parametrize(
        ("address", "plays"),
        [
            ("data:text/plain;base64,AAAAAAAAAAAAAAAAAAAAAA==", True),
            ("DATA:;base64,AAAAAAAAAAAAAAAAAAAAAA%3D%3D", True),
            ("data:,0123456789abcde%ff", True),
            ("data:;base64,AAAA", False),
            ("data:;base64,A", False),
            ("data:", False),
        ],
    )
    def test_key_that_the_list_holds_itself_is_not_asked_for(self, address: str, plays: bool) -> None:
        playlist = media(7, 3).replace("#EXTINF", f'#EXT-X-KEY:METHOD=AES-128,URI="{address}"\n#EXTINF', 1)
        found, gets = look({URL: ok(playlist), SEGMENT + "9": ok(b"\x93")}, expecting(9))
        assert (found.playable, found.refused) == (plays, "" if plays else "a key: data that are no key")
        assert not is_unseen(found.refused)
        assert {get.url for get in gets} == {URL, SEGMENT + "9"}

    @pytest.mark.parametrize("what", ["EXT-X-MAP:", "EXT-X-KEY:METHOD=AES-128,"])
    @pytest.mark.parametrize(("status", "plays"), [(200, True), (404, False), (403, None)])
    def test_initialization_section_and_key_are_needed_and_asked_for_once(
        self, what: str, status: int, plays: bool | None
    ) -> None:
        playlist = media(7, 3).replace("#EXTINF", f'#{what}URI="/needed"\n#EXTINF', 1)
        needed = "https://cdn.example/needed"
        web: Web = {URL: ok(playlist), SEGMENT + "9": ok(b"\0"), needed: Answer(status, b"1")}
        session = Session()
        found, gets = look(web, expecting(9), session=session)
        # Keys are for those who have logged in.
        assert found.playable is ("KEY" in what if plays is None else plays)
        assert [get.url for get in gets].count(needed) == 1 + (status == 403 and "MAP" in what)
        _, again = look(web, expecting(9), session=session)
        assert (needed in [get.url for get in again]) is (not found.playable)


class TestOneViewer:
    """The address that viewers are given is loaded once, as players do (RFC 8216, 6.3.4)."""

    @pytest.mark.parametrize("redirected", [False, True], ids=["master", "redirect"])
    def test_server_that_begins_a_session_with_each_load_is_loaded_once(self, redirected: bool) -> None:
        loads: list[int] = []
        now = 0

        def top(get: Get) -> Answer:
            loads.append(now)
            place = f"/u{len(loads)}/v.m3u8"
            web["https://cdn.example" + place] = lambda _, began=now: ok(media(now - began, 4))
            return moved(place) if redirected else ok(master(place))

        def step(number: int) -> None:
            nonlocal now
            now = number

        web: Web = {URL: top, **{SEGMENT + str(n): ok(b"G") for n in range(99)}}
        watch, gets = follow(web, 20, step=step)
        assert watch.verdict is Verdict.LIVE
        assert loads == [0]
        assert gets[0].url == "https://cdn.example/u1/v.m3u8"

    @pytest.mark.parametrize("redirected", [False, True], ids=["master", "redirect"])
    def test_it_is_loaded_again_when_its_media_playlist_fails(self, redirected: bool) -> None:
        place = "/u1/v.m3u8"
        web: Web = {
            URL: moved(place) if redirected else ok(master(place)),
            "https://cdn.example" + place: ok(media(7, 3)),
        }
        session = Session()
        watch = Watch().after(look(web, session=session)[0], grace=60)
        web = {
            URL: moved("/u2/v.m3u8") if redirected else ok(master("/u2/v.m3u8")),
            "https://cdn.example/u2/v.m3u8": ok(media(70, 3)),
        }
        assert look(web, watch, session=session)[0].tail == 73

    def test_address_that_is_itself_the_media_playlist_is_asked_for_once_a_look(self) -> None:
        _, gets = follow({URL: ok(media(7, 3))}, 40)
        assert len(gets) == 1
        session = Session()
        watch = Watch().after(look({URL: ok(media(7, 3))}, session=session)[0], grace=60)
        found, gets = look({}, watch, session=session)
        assert (found.absence, len(gets)) == ("HTTP status 404", 1)

    def test_long_list_is_asked_for_compressed_and_a_short_one_is_not(self) -> None:
        session = Session()
        look({URL: ok(media(7, 3000))}, session=session)
        _, gets = look({URL: ok(media(7, 3))}, session=session)
        assert gets[0].gzip
        _, gets = look({URL: ok(media(7, 3))}, session=session)
        assert not gets[0].gzip


class TestVariants:
    @staticmethod
    def web(playlist: str, **lists: Any) -> Web:
        found: Web = {URL: ok(playlist), **{SEGMENT + str(n): ok(b"G") for n in range(999)}}
        return found | {f"https://cdn.example/{name}/v.m3u8": page for name, page in lists.items()}

    def test_one_of_each_host_is_tried_first_and_then_one_of_each_folder(self) -> None:
        names = ["/a/1", "/a/2", "/b/1", "https://backup.example/a/1", "https://backup.example/a/2"]
        _, gets = look({URL: ok(master(*names))})
        assert [get.url.removeprefix("https://") for get in gets[1:]] == [
            "cdn.example/a/1",
            "backup.example/a/1",
            "cdn.example/b/1",
            "cdn.example/a/2",
            "backup.example/a/2",
        ]
        assert [get.share for get in gets[1:]] == [0.5] * 4 + [1.0]

    def test_backup_plays_where_no_rendition_of_the_primary_does(self) -> None:
        names = [*(f"/a/{n}.m3u8" for n in range(5)), "/b/v.m3u8"]
        now = 0
        web = self.web(master(*names), b=lambda get: ok(media(now, 4)))

        def step(number: int) -> None:
            nonlocal now
            now = number

        watch, gets = follow(web, 6, step=step)
        assert (watch.verdict, watch.variant) == (Verdict.LIVE, 5)
        assert len(gets) == 2, "the variant that plays is known by now"

    @pytest.mark.parametrize("segments", [True, False], ids=["stands-still", "without-segments"])
    def test_stream_is_live_in_the_variant_that_plays(self, segments: bool) -> None:
        now = 0
        web = self.web(
            master("/a/v.m3u8", "/b/v.m3u8"),
            a=lambda get: ok(
                media(min(now, 8) if segments else now, 4, segment="/segment.ts" if segments else "/none.ts")
            ),
            b=lambda get: ok(media(500 + now, 4)),
        )
        verdicts: list[Verdict] = []
        watch, session = Watch(), Session()
        for now in range(30):
            watch = watch.after(look(web, watch, session=session, at=1000.0 + now)[0], grace=60)
            verdicts.append(watch.verdict)
        assert set(verdicts[4:]) == {Verdict.LIVE}

    def test_refusal_of_one_says_more_than_that_another_is_not_there(self) -> None:
        web = self.web(master("/a/v.m3u8", "/b/v.m3u8"), a=Answer(403))
        assert absence(web) == "no variant of the master playlist answers: HTTP status 403"


class Time:
    """Looks on a clock that servers move: each answer takes seconds, and those that keep silent take all that they get."""

    def __init__(self, serve: Callable[[str, int], tuple[Answer | None, float]]) -> None:
        self.serve = serve
        self.now = 1000.0
        self.watch = Watch()
        self.session = Session()
        self.verdicts: list[Verdict] = []

    def run(self, seconds: float) -> Time:
        until = self.now + seconds
        while self.now < until:
            self.watch = self.watch.after(self.look(), grace=60)
            self.verdicts.append(self.watch.verdict)
            self.now += next_pause(self.watch, 0.5)
        return self

    def look(self) -> Look:
        conversation = looking("https://cdn.example/top", self.watch, lambda: self.now, self.session)
        end = self.now + 10
        try:
            get = next(conversation)
            while True:
                limit = (end - self.now) * get.share
                answer, seconds = self.serve(get.url, int(self.now - 1000) // 6)
                in_time = answer is not None and seconds < limit
                self.now += seconds if in_time else limit
                get = conversation.send(answer if answer and in_time else NoAnswer("no answer within 10 s"))
        except StopIteration as stop:
            found: Look = stop.value
            return found


class TestSlowAndSilentServers:
    """Answers of up to ten seconds prove as much as quick ones, and what keeps silent does not keep us from the rest."""

    @staticmethod
    def tree(variants: int, host: str = "a") -> str:
        return master(*(f"https://{host}{place}.example/v.m3u8" for place in range(variants)))

    @pytest.mark.parametrize("seconds", [4, 6, 8, 9])
    @pytest.mark.parametrize("variants", [1, 3, 8])
    def test_slow_answers_behind_a_master_playlist_are_seen(self, seconds: float, variants: int) -> None:
        def serve(url: str, number: int) -> tuple[Answer | None, float]:
            if url.endswith("top"):
                return ok(self.tree(variants)), 0.1
            return (ok(media(number, 4, target=6)), seconds) if url.endswith("v.m3u8") else (ok(b"G"), 0.1)

        time = Time(serve).run(200)
        assert Verdict.LIVE in time.verdicts[:5]
        assert Verdict.ABSENT not in time.verdicts[1:]
        assert set(time.verdicts[5:]) == {Verdict.LIVE}

    def test_so_are_they_where_the_master_playlist_takes_as_long(self) -> None:
        def serve(url: str, number: int) -> tuple[Answer | None, float]:
            if url.endswith("top"):
                return ok(self.tree(3)), 6
            return (ok(media(number, 4, target=6)), 6) if url.endswith("v.m3u8") else (ok(b"G"), 0.1)

        assert set(Time(serve).run(200).verdicts[6:]) == {Verdict.LIVE}

    def test_one_slow_variant_among_silent_ones_is_found(self) -> None:
        def serve(url: str, number: int) -> tuple[Answer | None, float]:
            if url.endswith("top"):
                return ok(self.tree(4)), 0.1
            if url.endswith("v.m3u8"):
                return (ok(media(number, 4, target=6)), 7) if "a2" in url else (None, 0)
            return ok(b"G"), 0.1

        assert Time(serve).run(300).watch.verdict is Verdict.LIVE

    @pytest.mark.parametrize("variants", [1, 2, 4, 8])
    def test_master_playlist_is_loaded_again_when_its_hosts_fall_silent(self, variants: int) -> None:
        def serve(url: str, number: int) -> tuple[Answer | None, float]:
            if url.endswith("top"):
                return ok(self.tree(variants, "a" if number < 10 else "b")), 0.1
            if "//a" in url and number >= 10:
                return None, 0
            return (ok(media(number, 4, target=6)) if url.endswith("v.m3u8") else ok(b"G")), 0.1

        time = Time(serve).run(200)
        assert set(time.verdicts[6:]) == {Verdict.LIVE}

    def test_backup_is_found_when_host_and_master_playlist_fall_silent(self) -> None:
        def serve(url: str, number: int) -> tuple[Answer | None, float]:
            if number >= 10 and (url.endswith("top") or "//a0" in url):
                return None, 0
            if url.endswith("top"):
                return ok(self.tree(2)), 0.1
            return (ok(media(number, 4, target=6)) if url.endswith("v.m3u8") else ok(b"G")), 0.1

        time = Time(serve).run(200)
        assert time.watch.verdict is Verdict.LIVE
        assert Verdict.ENDED not in time.verdicts

    @pytest.mark.parametrize("first", ["media", "master"])
    def test_address_may_change_from_a_media_playlist_to_a_master_playlist_and_back(self, first: str) -> None:
        def serve(url: str, number: int) -> tuple[Answer | None, float]:
            if url.endswith("top"):
                is_media = (number < 10) is (first == "media")
                return ok(media(number, 4, target=6) if is_media else master("/v.m3u8")), 0.1
            if url.endswith("v.m3u8"):
                return (ok(media(number, 4, target=6)) if (number < 10) is (first == "master") else Answer(404)), 0.1
            return ok(b"G"), 0.1

        time = Time(serve).run(150)
        assert set(time.verdicts) == {Verdict.STARTING, Verdict.LIVE}
        assert time.watch.verdict is Verdict.LIVE
