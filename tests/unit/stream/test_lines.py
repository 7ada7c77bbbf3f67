"""The text of playlists: variables, long lists, and the cost of both."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_timav.stream import lines as lines_module
from airflow_provider_timav.stream.lines import NotAPlaylist, TooLong
from airflow_provider_timav.stream.playlist import parse
from airflow_provider_timav.stream.segments import MasterPlaylist, Part, Segment
from harness.streams.site import media
from tests.unit.stream.lists import read


class TestVariables:
    """Of draft-pantos-hls-rfc8216bis."""

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
            patch.setattr(lines_module, "LONG_LIST", 1 << 30)
            whole = read(text)
        assert len(text) > lines_module.LONG_LIST or shortened == whole
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
