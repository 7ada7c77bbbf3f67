"""Redirects, statuses and public addresses: which requests follow an answer. No byte is moved here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_timav.stream.fetch import Answer, NoAnswer
from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.reasons import is_unseen
from airflow_provider_timav.stream.state import StreamState
from harness.streams.site import media
from tests.unit.stream.web import MASTER, SEGMENT, URL, Web, absence, expecting, moved, ok, probe


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_and_what_is_relative_is_relative_to_its_target(status: int) -> None:
    web: Web = {URL: moved("/other/", status), "https://cdn.example/other/": ok(media(7, 3, segment="s.ts"))}
    _, gets = probe(web, expecting(9))
    assert [get.url for get in gets][1:] == ["https://cdn.example/other/", "https://cdn.example/other/s.ts?n=9"]


def test_twenty_redirects_are_followed_as_browsers_do_and_no_more() -> None:
    web: Web = {URL: moved("/1"), **{f"https://cdn.example/{hop}": moved(f"/{hop + 1}") for hop in range(1, 40)}}
    assert probe({**web, "https://cdn.example/20": ok(media(7, 3))})[0].tail == 10
    found, gets = probe(web)
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
    found, _ = probe({URL: ok(media(7, 3)), SEGMENT + "9": moved(location)}, expecting(9))
    assert found.refused == f"a segment: {why}"
    assert is_unseen(found.refused)


def test_a_redirect_to_https_is_followed() -> None:
    plain = "http://cdn.example/live.m3u8"
    assert probe({plain: moved(URL), URL: ok(media(7, 3))}, url=plain)[0].tail == 10


def test_what_a_public_server_says_is_asked_for_at_public_addresses_only() -> None:
    """Each document is judged by the servers that it came from, and a state by whether its playlist's host once was public."""
    variant, segment = "https://cdn.example/live/low/list.m3u8", "https://cdn.example/segment.ts?n=9"
    web: Web = {URL: ok(MASTER), variant: ok(media(7, 3), public=True), segment: ok(b"G")}
    state = StreamState().after(Probe(at=999.0, tail=9, segments=3, target_duration=1, variant=0), grace=60)
    found, gets = probe(web, state)
    assert [get.public_only for get in gets] == [False, False, True]
    assert not found.public
    found, gets = probe({**web, URL: ok(MASTER, public=True)}, state)
    assert [get.public_only for get in gets] == [False, True, True]
    assert found.public
    _, gets = probe(web, replace(state, public=True))
    assert [get.public_only for get in gets] == [True, True, True]


def test_playlists_host_counts_as_public_though_it_does_not_answer() -> None:
    found, _ = probe({URL: NoAnswer("no connection", public=True)})
    assert (found.absence, found.public) == ("no connection", True)
    assert probe({URL: moved("/gone")}, StreamState())[0].public is False


@pytest.mark.parametrize("status", [302, 304, 400, 403, 404, 500, 503])
def test_another_status_than_a_success_is_absent(status: int) -> None:
    assert absence({URL: Answer(status, media(7, 3).encode())}) == f"HTTP status {status}"


@pytest.mark.parametrize("status", [200, 203, 206])
def test_any_success_is_one(status: int) -> None:
    """A transforming proxy answers 203 (RFC 9110, 15.3.4); players take whatever begins with 2."""
    assert probe({URL: Answer(status, media(7, 3).encode())})[0].tail == 10


def test_no_answer_is_absent_with_its_reason() -> None:
    assert absence({URL: NoAnswer("the host name is not known")}) == "the host name is not known"
