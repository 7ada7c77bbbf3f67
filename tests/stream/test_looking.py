"""How a look goes: the addresses that are asked for, and what the answers make of it. No byte is moved here."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_timav.stream.address import fault, place
from airflow_provider_timav.stream.looking import Answer, Get, NoAnswer, looking
from airflow_provider_timav.stream.watch import Look, Watch
from tests.stream.site import media

URL = "https://cdn.example/live/42.m3u8?auth=secret"
MASTER = (
    "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow/list.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\n//other.example/high.m3u8\n"
)

Web = dict[str, Answer | NoAnswer]


def ok(text: str | bytes, **facts: Any) -> Answer:
    return Answer(200, text if isinstance(text, bytes) else text.encode(), **facts)


def moved(location: str, status: int = 302) -> Answer:
    return Answer(status, location=location)


def look(web: Web, watch: Watch | None = None, url: str = URL) -> tuple[Look, list[Get]]:
    """Make a look in a web that is a dict; what is not in it answers 404."""
    conversation = looking(url, watch or Watch(), lambda: 1000.0)
    gets: list[Get] = []
    try:
        get = next(conversation)
        while True:
            gets.append(get)
            get = conversation.send(web.get(get.url, Answer(404)))
    except StopIteration as end:
        found: Look = end.value
    return found, gets


def absence(web: Web, url: str = URL) -> str:
    found, _ = look(web, url=url)
    assert found.tail is None
    return found.absence


def expecting(tail: int) -> Watch:
    return Watch().after(Look(at=999.0, tail=tail, segments=3, target_duration=1), grace=60)


def test_the_first_look_fetches_the_playlist_and_nothing_else() -> None:
    found, gets = look({URL: ok(media(7, 3))})
    assert found == Look(at=1000.0, tail=10, segments=3, target_duration=1)
    assert gets == [Get(URL, 1 << 20)]


def test_a_tail_that_moved_has_a_sample_of_its_newest_segment_fetched() -> None:
    segment = "https://cdn.example/segment.ts?n=9"
    found, gets = look({URL: ok(media(7, 3)), segment: Answer(206, b"G")}, expecting(9))
    assert found.playable is True
    assert gets[1:] == [Get(segment, 1024, sample=True)]


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
    found, gets = look({URL: ok(MASTER), "https://cdn.example/live/low/list.m3u8": ok(media(7, 3))})
    assert (found.tail, found.variant) == (10, 0)
    assert [get.url for get in gets] == [URL, "https://cdn.example/live/low/list.m3u8"]


def test_a_variant_that_does_not_answer_is_passed_over() -> None:
    found, _ = look({URL: ok(MASTER), "https://other.example/high.m3u8": ok(media(7, 3))})
    assert (found.tail, found.variant) == (10, 1)


def test_a_master_playlist_is_followed_one_hop_and_to_four_variants() -> None:
    variants = "".join(f"#EXT-X-STREAM-INF:BANDWIDTH=1\n{number}.m3u8\n" for number in range(9))
    web: Web = {f"https://cdn.example/live/{number}.m3u8": ok(MASTER) for number in range(9)}
    found, gets = look({URL: ok("#EXTM3U\n" + variants), **web})
    assert found.absence == "a master playlist that leads to a master playlist"
    assert len(gets) == 5


def test_a_master_playlist_none_of_whose_variants_answers_is_absent_and_says_why() -> None:
    assert absence({URL: ok(MASTER)}) == "no variant of the master playlist answers: HTTP status 404"
    assert absence({URL: ok("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n")}) == "a master playlist without variants"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_and_what_is_relative_is_relative_to_its_target(status: int) -> None:
    web: Web = {URL: moved("/other/", status), "https://cdn.example/other/": ok(media(7, 3, segment="s.ts"))}
    _, gets = look(web, expecting(9))
    assert [get.url for get in gets][1:] == ["https://cdn.example/other/", "https://cdn.example/other/s.ts?n=9"]


def test_three_redirects_are_followed_and_no_fourth() -> None:
    web: Web = {URL: moved("/1"), **{f"https://cdn.example/{hop}": moved(f"/{hop + 1}") for hop in range(1, 9)}}
    assert look({**web, "https://cdn.example/3": ok(media(7, 3))})[0].tail == 10
    found, gets = look(web)
    assert found.absence == "more than 3 redirects"
    assert len(gets) == 4


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
    assert absence({URL: moved(location)}) == why


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


@pytest.mark.parametrize("status", [302, 204, 206, 400, 403, 404, 500, 503])
def test_another_status_than_200_is_absent(status: int) -> None:
    assert absence({URL: Answer(status, media(7, 3).encode())}) == f"HTTP status {status}"


def test_no_answer_is_absent_with_its_reason() -> None:
    assert absence({URL: NoAnswer("the host name is not known")}) == "the host name is not known"


@pytest.mark.parametrize(("pack", "encoding"), [(gzip.compress, "gzip"), (zlib.compress, "deflate")])
def test_a_compressed_playlist_is_read(pack: object, encoding: str) -> None:
    body = pack(media(7, 3).encode())  # type: ignore[operator]
    assert look({URL: ok(body, encoding=encoding)})[0].tail == 10


@pytest.mark.parametrize(
    ("body", "encoding", "why"),
    [
        (gzip.compress(b"#EXTM3U\n" + b"#" * (200 << 20), 1), "gzip", "a body of more than 1 MiB"),
        (gzip.compress(media(7, 300).encode())[:200], "gzip", "a body that was cut off"),
        (b"#EXTM3U", "gzip", "a body that cannot be decompressed"),
        (b"#EXTM3U", "br", "a body in a content encoding that nobody asked for"),
    ],
    ids=["bomb", "cut-off", "not-gzip", "brotli"],
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
