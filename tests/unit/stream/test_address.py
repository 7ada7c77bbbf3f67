"""Addresses: which may be requested, how they join, and how they are named."""

from __future__ import annotations

import pytest

from airflow_provider_timav.stream.address import fault, join, place, written


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
