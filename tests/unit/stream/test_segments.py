"""The segments that decide whether a stream plays: ranges, gaps, keys, names and dates."""

from __future__ import annotations

from typing import Any

import m3u8
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_timav.stream.segments import Part, Segment, moment
from harness.streams.site import media
from tests.unit.stream.lists import read

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
