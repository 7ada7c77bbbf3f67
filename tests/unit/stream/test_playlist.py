"""The meaning of playlists' bodies."""

from __future__ import annotations

import statistics

import m3u8
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_timav.stream.lines import LARGEST_PLAYLIST, NotAPlaylist
from airflow_provider_timav.stream.playlist import parse
from airflow_provider_timav.stream.segments import MasterPlaylist, MediaPlaylist
from harness.streams.site import media
from tests.unit.stream.lists import read

MASTER = """#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="b",URI="audio.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=1280000,RESOLUTION=640x360
low.m3u8?token=1
#EXT-X-STREAM-INF:BANDWIDTH=2560000
high.m3u8
"""


def test_the_tail_is_the_number_of_the_next_segment() -> None:
    addresses = [f"/segment.ts?n={number}" for number in (7, 8, 9)]
    assert parse(media(7, 3).encode()) == MediaPlaylist(
        tail=10, segments=3, target_duration=1, endlist=False, addresses=addresses
    )
    assert read(media(7, 3)).newest == addresses[-1]


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
def test_a_target_duration_that_is_missing_or_broken_is_the_median_segments(
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
    empty = parse(b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:5\n")
    assert empty == MediaPlaylist(5, 0, None, False, [])
    assert isinstance(empty, MediaPlaylist)
    assert (empty.newest, empty.names, empty.dated, empty.added(0)) == (None, (), "", [])


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
        (b"#EXTM3U\n" + b"#" * LARGEST_PLAYLIST, "more than 16 MiB"),
        (b'#EXTM3U\n#EXT-X-DEFINE:NAME="a",VALUE="1"\n#EXTINF:1,\n{$b}.ts\n', "does not define"),
        (b'#EXTM3U\n#EXT-X-DEFINE:IMPORT="a"\n', "master playlist does not define"),
        (b'#EXTM3U\n#EXT-X-DEFINE:QUERYPARAM="a"\n', "its address does not have"),
    ],
    ids=[
        "empty",
        "html",
        "no-first-line",
        "late-first-line",
        "other-first-line",
        "utf-16",
        "too-long",
        "undefined-variable",
        "unknown-import",
        "unknown-query",
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
    st.integers(1, 10),
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
        target_duration=theirs.target_duration,
        endlist=theirs.is_endlist,
        addresses=[segment.uri for segment in theirs.segments],
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


class TestLiberality:
    """One number that is none spoils its own line, as in players."""

    @pytest.mark.parametrize("duration", ["", ";x,", "long,", "nan,", "-23334.4,", "1e999,"])
    def test_segment_of_an_impossible_duration_counts(self, duration: str) -> None:
        playlist = read(media(7, 3).replace("#EXTINF:1.000,", f"#EXTINF:{duration}", 1))
        assert (playlist.tail, playlist.target_duration) == (10, 1)

    @pytest.mark.parametrize("sequence", ["", " ", "ten", "-9", "1.5", "9" * 5000])
    def test_media_sequence_that_is_none_is_zero(self, sequence: str) -> None:
        assert read(media(7, 3).replace("SEQUENCE:7", f"SEQUENCE:{sequence}")).tail == 3

    @pytest.mark.parametrize("sequence", [2**62, 2**63 - 1, 2**63, 2**64 - 9])
    def test_media_sequence_of_64_bits_is_read_and_fits_into_stores(self, sequence: int) -> None:
        one, two = read(media(sequence, 3)), read(media(sequence + 1, 3))
        assert 0 <= one.tail < 2**63
        assert (two.tail - one.tail) % 2**63 == 1


class TestPace:
    """The target duration that counts is that for which a player waits: not that of one segment."""

    def test_one_absurd_segment_changes_nothing(self) -> None:
        text = media(7, 4, target=3).replace("1.000", "3.000").replace("3.000", "3012.48", 1)
        assert read(text).target_duration == 3

    def test_absurd_declaration_counts_as_the_median(self) -> None:
        text = media(7, 4, target=3013).replace("1.000", "3.000").replace("3.000", "3012.48", 1)
        assert read(text).target_duration == 3

    def test_encoder_all_of_whose_segments_are_absurd_is_waited_for_for_minutes(self) -> None:
        assert read(media(7, 4, target=3013).replace("1.000", "3012.48")).target_duration == 120

    @pytest.mark.parametrize("target", [6, 10])
    def test_segments_that_are_shorter_than_declared_are_no_contradiction(self, target: int) -> None:
        assert read(media(7, 4, target=target)).target_duration == target

    def test_median_is_that_of_statistics(self) -> None:
        durations = [0.8, 7.2, 9.9, 2.0, 8.0]
        text = "#EXTM3U\n" + "".join(f"#EXTINF:{one},\na.ts\n" for one in durations)
        assert read(text).target_duration == -(-statistics.median(durations) // 1)


class TestDeltaUpdates:
    """Of draft-pantos-hls-rfc8216bis."""

    def test_skipped_segments_count(self) -> None:
        text = media(7, 3).replace(
            "#EXTINF", '#EXT-X-SKIP:SKIPPED-SEGMENTS=20,RECENTLY-REMOVED-DATERANGES="a"\n#EXTINF', 1
        )
        playlist = read(text)
        assert (playlist.tail, playlist.segments) == (30, 23)
        assert [segment.number for segment in playlist.added(0)] == [29, 27]
