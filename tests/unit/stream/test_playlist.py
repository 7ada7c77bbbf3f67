"""What bodies mean."""

from __future__ import annotations

import statistics
import tracemalloc
from typing import Any

import m3u8
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_timav.stream import playlist as playlist_module
from airflow_provider_timav.stream.playlist import (
    LARGEST_PLAYLIST,
    MasterPlaylist,
    MediaPlaylist,
    NotAPlaylist,
    Part,
    Segment,
    TooLong,
    moment,
    parse,
)
from harness.streams.site import media

MASTER = """#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="b",URI="audio.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=1280000,RESOLUTION=640x360
low.m3u8?token=1
#EXT-X-STREAM-INF:BANDWIDTH=2560000
high.m3u8
"""


def read(text: str, **facts: Any) -> MediaPlaylist:
    playlist = parse(text.encode(), **facts)
    assert isinstance(playlist, MediaPlaylist)
    return playlist


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


_ranges = st.one_of(st.none(), st.tuples(st.integers(1, 10**9), st.one_of(st.none(), st.integers(0, 10**12))))


@given(st.lists(st.tuples(st.booleans(), _ranges, st.sampled_from(["all.mp4", "a.mp4"])), min_size=1, max_size=8))
def test_ranges_and_gaps_mean_what_m3u8_takes_them_for(segments: list[tuple[bool, Any, str]]) -> None:
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2"]
    for gap, span, name in segments:
        lines += ["#EXT-X-GAP"] if gap else []
        lines += [f"#EXT-X-BYTERANGE:{span[0]}" + ("" if span[1] is None else f"@{span[1]}")] if span else []
        lines += ["#EXTINF:2,", name]
    theirs = m3u8.loads("\n".join(lines)).segments
    playlist = read("\n".join(lines))
    for number, segment in enumerate(theirs):
        found = [one for one in playlist.added(number) if one.number == number]
        if segment.gap_tag:
            assert not found
            continue
        assert found, "the oldest that was added is among those that are asked for"
        told = segment.byterange and "@" in segment.byterange
        if told:
            length, offset = map(int, segment.byterange.split("@"))
            assert found[0].media == Part(segment.uri, offset, length)
        elif not segment.byterange:
            assert found[0].media == Part(segment.uri)


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
    """The target duration that counts is what a player waits for: not what one segment claims."""

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


class TestSegments:
    def test_those_that_were_added_are_the_newest_and_the_oldest(self) -> None:
        playlist = read(media(7, 6))
        assert [segment.number for segment in playlist.added(9)] == [12, 9]
        assert [segment.number for segment in playlist.added(12)] == [12]
        assert [segment.number for segment in playlist.added(0)] == [12, 7]
        assert playlist.added(13) == []

    def test_gap_is_never_among_them(self) -> None:
        text = media(7, 4).replace("#EXTINF:1.000,\n/segment.ts?n=10", "#EXTINF:1.000,\n#EXT-X-GAP\n/segment.ts?n=10")
        assert [segment.number for segment in read(text).added(8)] == [9, 8]

    def test_initialization_section_and_key_are_those_in_force(self) -> None:
        text = (
            '#EXTM3U\n#EXT-X-MAP:URI="a.mp4"\n#EXT-X-KEY:METHOD=AES-128,URI="k1"\n#EXTINF:1,\n1.m4s\n'
            '#EXT-X-MAP:BYTERANGE="100@50",URI="b.mp4"\n'
            '#EXT-X-KEY:METHOD=SAMPLE-AES,KEYFORMAT="com.apple.streamingkeydelivery",URI="skd://x"\n'
            '#EXT-X-KEY:METHOD=AES-128,KEYFORMAT="identity",URI="k2"\n#EXTINF:1,\n2.m4s\n'
            "#EXT-X-KEY:METHOD=NONE\n#EXTINF:1,\n3.m4s\n"
        )
        playlist = read(text)
        assert playlist.added(0) == [
            Segment(2, Part("3.m4s"), Part("b.mp4", 50, 100)),
            Segment(0, Part("1.m4s"), Part("a.mp4"), "k1"),
        ]
        assert playlist.added(1)[1] == Segment(1, Part("2.m4s"), Part("b.mp4", 50, 100), "k2")

    def test_range_without_offset_follows_the_one_before(self) -> None:
        lines = ["#EXT-X-BYTERANGE:100@1000", "#EXT-X-BYTERANGE:30", "#EXT-X-BYTERANGE:7"]
        text = "#EXTM3U\n" + "".join(f"{line}\n#EXTINF:1,\nall.ts\n" for line in lines)
        assert read(text).added(2)[0].media == Part("all.ts", 1130, 7)

    def test_names_are_what_differs_from_no_load_to_the_next(self) -> None:
        one = read(media(7, 3, segment="/session1/a.ts"))
        other = read(media(7, 3, segment="https://cdn.example/session2/a.ts"))
        assert one.names == other.names
        assert len(one.names) == 3

    def test_last_date_is_kept(self) -> None:
        date = "#EXT-X-PROGRAM-DATE-TIME:2026-11-23T12:00:0"
        text = media(7, 1).replace("#EXTINF", f"{date}1Z\n#EXTINF") + f"{date}2.5+00:00\n#EXTINF:1,\nb.ts\n"
        assert moment(read(text).dated) == 1_795_435_202.5
        assert moment("yesterday") is None


class TestDeltaAndVariables:
    """Of draft-pantos-hls-rfc8216bis."""

    def test_skipped_segments_count(self) -> None:
        text = media(7, 3).replace(
            "#EXTINF", '#EXT-X-SKIP:SKIPPED-SEGMENTS=20,RECENTLY-REMOVED-DATERANGES="a"\n#EXTINF', 1
        )
        playlist = read(text)
        assert (playlist.tail, playlist.segments) == (30, 23)
        assert [segment.number for segment in playlist.added(0)] == [29, 27]

    def test_variables_come_by_value_from_the_query_and_from_the_master_playlist(self) -> None:
        text = (
            '#EXTM3U\n#EXT-X-DEFINE:NAME="path",VALUE="/cdn7"\n#EXT-X-DEFINE:QUERYPARAM="token"\n'
            '#EXT-X-DEFINE:IMPORT="show"\n#EXT-X-MAP:URI="{$path}/init.mp4"\n#EXTINF:1,\n{$path}/{$show}.ts?t={$token}\n'
        )
        playlist = read(text, url="https://cdn.example/a.m3u8?token=a%2Bb", variables={"show": "42"})
        assert playlist.added(0) == [Segment(0, Part("/cdn7/42.ts?t=a+b"), Part("/cdn7/init.mp4"))]

    def test_master_playlist_hands_its_variables_on(self) -> None:
        master = parse(b'#EXTM3U\n#EXT-X-DEFINE:NAME="a",VALUE="1"\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{$a}.m3u8\n')
        assert master == MasterPlaylist(("1.m3u8",), {"a": "1"})

    def test_braces_without_definitions_are_just_text(self) -> None:
        assert read(media(7, 3, segment="{$a}.ts")).newest == "{$a}.ts?n=9"


class TestLongList:
    """Of a long list the middle is only counted."""

    @staticmethod
    def long(count: int, *, sequence: int = 5, extra: str = "", endlist: bool = False) -> str:
        lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", f"#EXT-X-MEDIA-SEQUENCE:{sequence}"]
        for number in range(count):
            lines += [extra] if extra and number == count // 2 else []
            lines += ["#EXTINF:2.0,", f"segment-{number}.ts?signature={'a' * 40}"]
        return "\n".join([*lines, *(["#EXT-X-ENDLIST"] if endlist else [])]) + "\n"

    @settings(deadline=None)
    @given(st.integers(3000, 9000), st.booleans())
    def test_it_means_the_same_as_if_it_were_read_line_by_line(self, count: int, endlist: bool) -> None:
        text = self.long(count, endlist=endlist)
        shortened = read(text)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(playlist_module, "LONG_LIST", 1 << 30)
            whole = read(text)
        assert len(text) > playlist_module.LONG_LIST or shortened == whole
        assert (shortened.tail, shortened.segments, shortened.endlist) == (whole.tail, whole.segments, endlist)
        assert (shortened.names, shortened.target_duration) == (whole.names, 2)
        assert shortened.added(whole.tail - 9) == whole.added(whole.tail - 9)

    def test_what_holds_for_all_that_follows_is_kept(self) -> None:
        text = self.long(6000, extra='#EXT-X-MAP:URI="init.mp4"\n#EXT-X-KEY:METHOD=AES-128,URI="key"')
        segment = read(text).added(6004)[0]
        assert (segment.init, segment.key) == (Part("init.mp4"), "key")

    def test_end_may_stand_anywhere(self) -> None:
        assert read(self.long(6000, extra="#EXT-X-ENDLIST")).endlist

    def test_long_text_without_segments_is_read_as_it_is(self) -> None:
        assert read("#EXTM3U\n" + "#EXT-X-COMMENT\n" * 30_000).segments == 0

    def test_what_holds_from_the_beginning_on_is_kept(self) -> None:
        keys = '#EXT-X-KEY:METHOD=AES-128,URI="key"\n#EXT-X-KEY:METHOD=SAMPLE-AES,KEYFORMAT="x",URI="skd"\n'
        text = self.long(6000).replace("#EXTINF", f'#EXT-X-MAP:URI="init.mp4"\n{keys}#EXTINF', 1)
        segment = read(text).added(6004)[0]
        assert (segment.init, segment.key) == (Part("init.mp4"), "key")

    @pytest.mark.parametrize("where", ["before", "after"])
    def test_whatever_else_stands_at_its_ends_its_last_segments_are_found(self, where: str) -> None:
        other = "#EXT-X-DATERANGE:ID=x\n" * 10_000
        text = self.long(3000)
        text = text.replace("#EXT-X-TARGET", other + "#EXT-X-TARGET") if where == "before" else text + other
        playlist = read(text)
        assert (playlist.tail, playlist.segments, playlist.target_duration) == (3005, 3000, 2)
        assert [segment.number for segment in playlist.added(2990)] == [3004, 2990]


# Too much for a machine that reads it in time that grows with its square.
MANY = 200_000


class TestCost:
    """Reading takes time and memory in proportion to the body, whatever stands in it."""

    LONG = (
        "A" * MANY,
        "A-" * MANY,
        'A="' * MANY,
        'A=",' * MANY,
        "A=," * MANY,
        "=" * MANY,
        " " * MANY,
        "A=1" + " " * MANY + "B=2",
        "{$" * MANY,
        "{$" + "a" * MANY,
        "1" * MANY,
        "1." + "0" * MANY + "1",
        "1" + " " * MANY + "@",
    )

    @pytest.mark.parametrize("value", LONG, ids=[one[:4] for one in LONG])
    @pytest.mark.parametrize("tag", ["SKIP", "DEFINE", "MAP", "KEY", "BYTERANGE", "PROGRAM-DATE-TIME"])
    def test_long_line_is_read_in_time_that_grows_with_its_length(self, tag: str, value: str) -> None:
        playlist = read(media(7, 3).replace("#EXTINF", f"#EXT-X-{tag}:{value}\n#EXTINF", 1))
        assert playlist.segments == 3
        assert [segment.number for segment in playlist.added(0)] == [9, 7]

    @pytest.mark.parametrize("tag", ["#EXTINF:", "#EXT-X-MEDIA-SEQUENCE:", "#EXT-X-TARGETDURATION:", "#EXTM3U "])
    @pytest.mark.parametrize("value", ["1" * MANY, "1." + "0" * MANY + "1", " " * MANY + "x"])
    def test_long_number_is_read_in_time_that_grows_with_its_length(self, tag: str, value: str) -> None:
        read(f"#EXTM3U\n{tag}{value}\n")

    def test_attributes_are_read_as_liberally_as_by_players(self) -> None:
        for text in (
            'URI="a,b=c",BYTERANGE="5@7"',
            ' URI="a,b=c" , BYTERANGE=5@7 ',
            'x;URI="a,b=c"BYTERANGE="5@7"',
            'METHOD,URI="a,b=c",,BYTERANGE=5@7,X="',
        ):
            segment = read(media(7, 1).replace("#EXTINF", f"#EXT-X-MAP:{text}\n#EXTINF")).added(0)[0]
            assert segment.init == Part("a,b=c", 7, 5), text

    @pytest.mark.parametrize(
        "lines",
        [
            # 4 KB, 64 KB and 256 KB, of which 1 MB, 1 GB and 16 GB would be made.
            (f'#EXT-X-DEFINE:NAME="a",VALUE="{"v" * 32_000}"', "#EXTINF:1,", "{$a}" * 32_000),
            (f'#EXT-X-DEFINE:NAME="a",VALUE="{"v" * 125_000}"', "#EXTINF:1,", *["{$a}"] * 32_000),
            (f'#EXT-X-DEFINE:NAME="a",VALUE="{"v" * 30_000}"', *["#EXT-X-KEY:{$a}{$a}"] * 30_000),
            (f'#EXT-X-DEFINE:NAME="a",VALUE="{chr(0x4F60) * 30_000}"', "#EXT-X-STREAM-INF:", *["{$a}"] * 300),
        ],
        ids=["one-line", "many-lines", "tags", "not-ascii"],
    )
    def test_variables_that_make_a_list_longer_than_what_is_read_are_not_filled_in(
        self, lines: tuple[str, ...]
    ) -> None:
        with pytest.raises(TooLong):
            parse("\n".join(["#EXTM3U", *lines]).encode())

    def test_variables_of_the_master_playlist_are_counted_too(self) -> None:
        text = media(7, 1, segment="{$a}" * 500).replace("#EXTINF", '#EXT-X-DEFINE:IMPORT="a"\n#EXTINF')
        with pytest.raises(TooLong):
            read(text, variables={"a": "v" * 40_000})
        assert len(read(text, variables={"a": "v" * 10}).newest or "") == 5004

    def test_variables_are_many_at_most(self) -> None:
        names = [f'#EXT-X-DEFINE:NAME="n{number}",VALUE=""' for number in range(2000)]
        with pytest.raises(NotAPlaylist, match="more than 1000 variables"):
            read("\n".join(["#EXTM3U", *names]))

    def test_value_that_is_empty_or_has_lines_of_its_own_makes_no_line(self) -> None:
        text = '#EXTM3U\n#EXT-X-DEFINE:QUERYPARAM="q"\n#EXT-X-DEFINE:NAME="e",VALUE=""\n{$e}\n#EXTINF:1,\n{$e}\na{$q}\n'
        playlist = read(text, url="https://cdn.example/a.m3u8?q=b%0A%23EXT-X-ENDLIST")
        assert (playlist.endlist, playlist.addresses) == (False, ["ab\n#EXT-X-ENDLIST"])

    LARGE = (
        "\n",
        "ab\n",
        "#EXT-X-KEY:A=B\n",
        "#EXT-X-MAP:A=B\n",
        "#EXT-X-GAP\n",
        "#EXT-X-PROGRAM-DATE-TIME:1\n",
        "#EXT-X-BYTERANGE:1\n",
        "#EXT-X-STREAM-INF:\nab\n",
        '#EXT-X-DEFINE:NAME="a",VALUE="b"\n{$a}\n',
        "#EXTINF:1,\nab\n",
        "x",
        "\N{GRINNING FACE}\n",
    )

    @pytest.mark.parametrize("line", LARGE, ids=[one[:18].strip() or "blank" for one in LARGE])
    @pytest.mark.parametrize("end", ["", "#EXTINF:1,\nab\n"], ids=["alone", "with-a-segment"])
    def test_large_body_takes_little_memory_beside_itself(self, line: str, end: str) -> None:
        comments = "#\n" * 40_000
        size = 3 << 20
        body = f"#EXTM3U\n{comments}{end}{line * (size // len(line.encode()))}{end}{comments}".encode()
        tracemalloc.start()
        try:
            parse(body)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 1.5 * len(body)

    def test_variants_that_are_kept_are_few(self) -> None:
        master = parse(("#EXTM3U\n" + "#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n" * 9000).encode())
        assert isinstance(master, MasterPlaylist)
        assert len(master.variants) == 256
