"""What bodies mean."""

from __future__ import annotations

import m3u8
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_timav.stream.playlist import MasterPlaylist, MediaPlaylist, NotAPlaylist, parse
from tests.stream.site import media

MASTER = """#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="b",URI="audio.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=1280000,RESOLUTION=640x360
low.m3u8?token=1
#EXT-X-STREAM-INF:BANDWIDTH=2560000
high.m3u8
"""


def read(text: str) -> MediaPlaylist:
    playlist = parse(text.encode())
    assert isinstance(playlist, MediaPlaylist)
    return playlist


def test_the_tail_is_the_number_of_the_next_segment() -> None:
    assert parse(media(7, 3).encode()) == MediaPlaylist(
        tail=10, segments=3, newest="/segment.ts?n=9", target_duration=1, endlist=False
    )


def test_a_playlist_without_a_media_sequence_begins_at_zero() -> None:
    assert read("#EXTM3U\n#EXTINF:2,\na.ts\n").tail == 1


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + media(7, 3).encode(),
        media(7, 3).replace("\n", "\r\n").encode(),
        media(7, 3).rstrip().encode(),
        media(7, 3).replace("\n", "\n\n")[:-1].encode(),
        media(7, 3).replace("#EXTM3U", "#EXTM3U x-vendor=1").encode(),
    ],
    ids=["bom", "crlf", "no-last-line-break", "blank-lines", "attributes-of-the-first-line"],
)
def test_a_playlist_in_an_odd_dress_is_read_all_the_same(body: bytes) -> None:
    playlist = parse(body)
    assert isinstance(playlist, MediaPlaylist)
    assert (playlist.tail, playlist.newest) == (10, "/segment.ts?n=9")


@pytest.mark.parametrize(
    "line",
    [
        "#EXT-X-KEY:METHOD",
        "#EXT-X-PROGRAM-DATE-TIME:yesterday",
        "#EXT-X-DATERANGE:;;;",
        "#EXT-X-DISCONTINUITY-SEQUENCE:many",
        "#EXT-X-VERSION:new",
        "#EXT-X-TARGETDURATION:2.5",
        "#EXT-X-BYTERANGE:1",
        "# a comment",
        "#EXT-X-NOBODY-KNOWS",
    ],
)
def test_a_line_that_players_skip_makes_no_playlist_unreadable(line: str) -> None:
    assert read(media(7, 3) + line + "\n").tail == 10


def test_a_segment_that_is_still_being_written_does_not_count() -> None:
    """Low-latency HLS lists its parts."""
    assert read(media(7, 3) + '#EXT-X-PART:DURATION=0.3,URI="part.ts"\n').tail == 10


@pytest.mark.parametrize(
    ("target", "seconds"),
    [(1, 1), (2, 2), (None, 1), ("0", 1), ("1.5", 1), ("9" * 400, 1)],
    ids=["exact", "longer", "missing", "zero", "fraction", "absurd"],
)
def test_a_target_duration_that_is_missing_or_broken_is_the_longest_segments(
    target: int | str | None, seconds: int
) -> None:
    assert read(media(0, 2, target=target)).target_duration == seconds


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("4.4", 4), ("4.6", 5), ("12", 12), ("nan", 4), ("inf", 4), ("1e300", 4), ("-1", 4)],
)
def test_a_target_duration_that_the_segments_exceed_is_corrected(duration: str, seconds: int) -> None:
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:{duration},\na.ts\n"
    assert read(text).target_duration == seconds


def test_an_empty_playlist_has_no_newest_segment_and_tells_no_duration() -> None:
    assert parse(b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:5\n") == MediaPlaylist(5, 0, None, None, False)


def test_an_endlist_is_seen() -> None:
    assert read(media(7, 3, endlist=True)).endlist


def test_a_master_playlist_lists_its_variants_in_order() -> None:
    assert parse(MASTER.encode()) == MasterPlaylist(("low.m3u8?token=1", "high.m3u8"))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "an empty body"),
        (b"<html>log in to the hotel's network</html>", "does not begin with #EXTM3U"),
        (b"#EXTINF:2,\na.ts\n", "does not begin with #EXTM3U"),
        (b"\n#EXTM3U\n", "does not begin with #EXTM3U"),
        (b"#EXTM3U8\n", "does not begin with #EXTM3U"),
        (media(0, 3).encode("utf-16"), "does not begin with #EXTM3U"),
        (b"#EXTM3U\n" + b"#" * (1 << 20), "more than 1 MiB"),
        (b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:ten\n", "impossible media sequence"),
        (b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:" + b"9" * 5000, "impossible media sequence"),
        (b"#EXTM3U\n#EXTINF:long,\na.ts\n", "impossible segment"),
        (b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:-9\n", "impossible media sequence"),
        (b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:9223372036854775808\n", "impossible media sequence"),
    ],
    ids=[
        "empty",
        "html",
        "no-first-line",
        "late-first-line",
        "other-first-line",
        "utf-16",
        "too-long",
        "sequence-no-number",
        "sequence-of-5000-digits",
        "duration-no-number",
        "sequence-negative",
        "sequence-too-large",
    ],
)
def test_what_is_no_playlist_is_told_why(body: bytes, why: str) -> None:
    with pytest.raises(NotAPlaylist, match=why):
        parse(body)


_names = st.from_regex(r"[a-z][a-z0-9/_.-]{0,20}(\?[a-z0-9=&]{0,9})?", fullmatch=True)
_noise = st.sampled_from(
    ["", "# a comment", "#EXT-X-DISCONTINUITY", "#EXT-X-VERSION:3", '#EXT-X-KEY:METHOD=AES-128,URI="key"', "#EXT-X-X:1"]
)


@given(
    st.integers(0, 2**40),
    st.integers(1, 60),
    st.lists(st.tuples(_noise, st.floats(0.1, 1.4), _names), max_size=8),
    st.booleans(),
)
def test_a_media_playlist_means_what_m3u8_takes_it_for(
    sequence: int, target: int, segments: list[tuple[str, float, str]], endlist: bool
) -> None:
    listed = "".join(f"{noise}\n#EXTINF:{duration:.3f},title\n{name}\n" for noise, duration, name in segments)
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{sequence}\n{listed}"
    text += "#EXT-X-ENDLIST\n" if endlist else ""
    theirs = m3u8.loads(text)
    assert parse(text.encode()) == MediaPlaylist(
        tail=theirs.media_sequence + len(theirs.segments),
        segments=len(theirs.segments),
        newest=theirs.segments[-1].uri if theirs.segments else None,
        target_duration=theirs.target_duration,
        endlist=theirs.is_endlist,
    )


@given(st.lists(st.tuples(_noise, _names), min_size=1, max_size=8))
def test_a_master_playlist_means_what_m3u8_takes_it_for(variants: list[tuple[str, str]]) -> None:
    text = "#EXTM3U\n" + "".join(f"{noise}\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{name}\n" for noise, name in variants)
    theirs = m3u8.loads(text)
    assert theirs.is_variant
    assert parse(text.encode()) == MasterPlaylist(tuple(playlist.uri for playlist in theirs.playlists))


_lines = st.one_of(
    st.sampled_from(
        [
            *media(3, 2).splitlines(),
            *MASTER.splitlines(),
            "#EXT-X-ENDLIST",
            "#EXT-X-STREAM-INF",
            "#EXT-X-STREAM-INF:BANDWIDTH",
            '#EXT-X-STREAM-INF:BANDWIDTH=x,CODECS="',
            "#EXT-X-MEDIA-SEQUENCE:",
            "#EXTINF:",
            "#EXTINF:,,,",
            "#EXT-X-TARGETDURATION:-1",
            ":",
        ]
    ),
    st.text(max_size=30),
)


@given(st.lists(_lines, max_size=12))
def test_any_text_is_a_playlist_or_told_to_be_none(lines: list[str]) -> None:
    try:
        playlist = parse("\n".join(["#EXTM3U", *lines]).encode("utf-8", errors="replace"))
    except NotAPlaylist:
        return
    if isinstance(playlist, MediaPlaylist):
        assert playlist.tail >= playlist.segments >= 0
        assert playlist.target_duration is None or 0 < playlist.target_duration <= 86_400
        assert (playlist.newest is None) == (playlist.segments == 0)
