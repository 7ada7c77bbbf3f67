"""Probes of HLS streams: which addresses are requested, and what the answers prove. No byte is moved here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_timav.stream.fetch import Answer, Get, NoAnswer
from airflow_provider_timav.stream.hls import probe_hls
from airflow_provider_timav.stream.lines import LARGEST_PLAYLIST
from airflow_provider_timav.stream.polling import next_pause
from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.reasons import is_unseen
from airflow_provider_timav.stream.session import Session
from airflow_provider_timav.stream.state import StreamState
from airflow_provider_timav.stream.verdict import Verdict
from harness.streams.site import media
from tests.unit.stream.web import MASTER, SEGMENT, URL, Web, absence, expecting, follow, master, moved, ok, probe


def test_the_first_probe_fetches_the_playlist_and_nothing_else() -> None:
    found, gets = probe({URL: ok(media(7, 3))})
    assert (found.at, found.tail, found.segments, found.target_duration) == (1000.0, 10, 3, 1)
    assert (found.playable, found.others) == (None, ())
    assert gets == [Get(URL, LARGEST_PLAYLIST)]


def test_a_tail_that_moved_has_a_sample_of_its_newest_segment_fetched() -> None:
    segment = "https://cdn.example/segment.ts?n=9"
    found, gets = probe({URL: ok(media(7, 3)), segment: Answer(206, b"G")}, expecting(9))
    assert found.playable is True
    assert found.proved == 9
    assert gets[1:] == [Get(segment, 1024, sample=True, offset=0)]


@pytest.mark.parametrize(
    "answer",
    [Answer(404, b"no"), Answer(200, b""), NoAnswer("no connection"), Answer(416, b"x"), moved("ftp://cdn.example/a")],
    ids=["404", "no-bytes", "no-answer", "416", "redirect-to-ftp"],
)
def test_a_newest_segment_without_bytes_is_not_playable(answer: Answer | NoAnswer) -> None:
    found, _ = probe({URL: ok(media(7, 3)), "https://cdn.example/segment.ts?n=9": answer}, expecting(9))
    assert (found.tail, found.playable) == (10, False)


@pytest.mark.parametrize("segment", ["ftp://cdn.example/a.ts", "file:///etc/passwd", "http://[bad/a.ts"])
def test_a_segment_somewhere_else_than_on_the_web_is_not_fetched(segment: str) -> None:
    found, gets = probe({URL: ok(media(7, 3, segment=segment))}, expecting(9))
    assert found.playable is False
    assert len(gets) == 1


def test_a_blank_in_a_segments_name_is_encoded() -> None:
    _, gets = probe({URL: ok(media(7, 3, segment="the show.ts"))}, expecting(9))
    assert gets[1].url == "https://cdn.example/live/the%20show.ts?n=9"


def test_a_master_playlist_is_followed_to_its_first_variant() -> None:
    web: Web = {URL: ok(MASTER), "https://cdn.example/live/low/list.m3u8": ok(media(7, 3)), SEGMENT + "9": ok(b"G")}
    found, gets = probe(web)
    assert (found.tail, found.variant) == (10, 0)
    assert [get.url for get in gets] == [URL, "https://cdn.example/live/low/list.m3u8", SEGMENT + "9"]


def test_first_probe_finds_out_which_variant_plays() -> None:
    """Moves of one count for no other, so the one that plays has to be read first from then on."""
    web: Web = {
        URL: ok(MASTER),
        "https://cdn.example/live/low/list.m3u8": ok(media(7, 3, segment="/gone.ts")),
        "https://other.example/high.m3u8": ok(media(700, 3)),
        "https://other.example/segment.ts?n=702": ok(b"G"),
    }
    found, _ = probe(web)
    assert (found.tail, found.variant, found.playable) == (703, 1, True)
    assert StreamState().after(found, grace=60).verdict is Verdict.STARTING
    _, gets = probe({URL: ok(master("/a.m3u8")), "https://cdn.example/a.m3u8": ok(media(7, 3))})
    assert len(gets) == 2, "there is no other to read"


def test_a_variant_that_does_not_answer_is_passed_over() -> None:
    found, _ = probe({URL: ok(MASTER), "https://other.example/high.m3u8": ok(media(7, 3))})
    assert (found.tail, found.variant) == (10, 1)


def test_a_master_playlist_is_followed_one_hop_and_to_eight_variants() -> None:
    web: Web = {f"https://cdn.example/live/{number}.m3u8": ok(MASTER) for number in range(20)}
    found, gets = probe({URL: ok(master(*(f"{number}.m3u8" for number in range(20)))), **web})
    assert found.absence.endswith("a master playlist that leads to a master playlist")
    assert len(gets) == 9


def test_of_ever_so_many_variants_the_few_are_kept_that_may_be_tried() -> None:
    names = [
        f"https://host{place % 3}.example/{'x' * (9000 if place == 1 else 5)}/{place}.m3u8" for place in range(20_000)
    ]
    session = Session()
    _, gets = probe({URL: ok(master(*names))}, session=session)
    assert list(session.variants) == [0, 2, 4, 3, 5, 6, 7, 8]
    assert len(gets) == 9
    assert absence({URL: ok(master("x" * 9000))}) == "an address of more than 8192 characters"


def test_a_master_playlist_none_of_whose_variants_answers_is_absent_and_says_why() -> None:
    assert absence({URL: ok(MASTER)}) == "no variant of the master playlist answers: HTTP status 404"
    assert absence({URL: ok("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n")}) == "a master playlist without variants"


class TestProof:
    def test_newest_segment_that_is_not_there_yet_is_no_stall_if_another_of_the_added_answers(self) -> None:
        found, gets = probe({URL: ok(media(7, 5)), SEGMENT + "9": Answer(206, b"G")}, expecting(9))
        assert (found.playable, found.proved) == (True, 9)
        assert [get.url for get in gets[1:]] == [SEGMENT + "11", SEGMENT + "9"]

    def test_the_range_of_a_segment_is_what_is_asked_for(self) -> None:
        playlist = media(9, 1).replace("#EXTINF", "#EXT-X-BYTERANGE:300@5000\n#EXTINF")
        found, gets = probe({URL: ok(playlist), SEGMENT + "9": Answer(206, b"G")}, expecting(9))
        assert found.playable is True
        assert gets[1] == Get(SEGMENT + "9", 300, sample=True, offset=5000)

    @pytest.mark.parametrize(
        "answer", [Answer(416), Answer(200, b"G", length=5000)], ids=["not-written-yet", "whole-and-too-short"]
    )
    def test_range_that_is_not_there_does_not_play_whatever_the_rest_is(self, answer: Answer) -> None:
        playlist = media(9, 1).replace("#EXTINF", "#EXT-X-BYTERANGE:300@5000\n#EXTINF")
        found, gets = probe({URL: ok(playlist), SEGMENT + "9": answer}, expecting(9))
        assert found.playable is False
        assert len(gets) == 2

    @pytest.mark.parametrize("status", [400, 403, 405, 416, 500, 501])
    def test_server_that_refuses_ranges_is_asked_without_and_never_with_one_again(self, status: int) -> None:
        def segment(get: Get) -> Answer:
            return Answer(status) if get.offset is not None else Answer(200, b"G")

        session = Session()
        web: Web = {URL: ok(media(7, 3)), SEGMENT + "9": segment}
        assert probe(web, expecting(9), session=session)[0].playable is True
        found, gets = probe(web, expecting(9), session=session)
        assert (found.playable, [get.offset for get in gets]) == (True, [None, None])

    @pytest.mark.parametrize("status", [401, 404, 410, 429])
    def test_what_is_not_there_is_not_asked_for_twice(self, status: int) -> None:
        found, gets = probe({URL: ok(media(7, 3)), SEGMENT + "9": Answer(status)}, expecting(9))
        assert found.refused == f"a segment: HTTP status {status}"
        assert len(gets) == 2

    def test_gap_is_never_asked_for(self) -> None:
        playlist = media(7, 3).replace("#EXTINF", "#EXT-X-GAP\n#EXTINF")
        found, gets = probe({URL: ok(playlist), SEGMENT + "9": Answer(200, b"G")}, expecting(9))
        assert (found.playable, found.refused) == (False, "a gap is all that was added")
        assert len(gets) == 1

    @pytest.mark.parametrize(
        ("body", "plays"), [(b"<!DOCTYPE html><html>", False), (b"not found", False), (b"G\x40\x11", True)]
    )
    def test_page_that_says_not_found_with_200_is_no_segment(self, body: bytes, plays: bool) -> None:
        assert probe({URL: ok(media(7, 3)), SEGMENT + "9": ok(body)}, expecting(9))[0].playable is plays

    def test_what_is_encrypted_may_begin_with_anything(self) -> None:
        playlist = media(7, 3).replace("#EXTINF", '#EXT-X-KEY:METHOD=AES-128,URI="/key"\n#EXTINF', 1)
        web: Web = {URL: ok(playlist), SEGMENT + "9": ok(b"<a"), "https://cdn.example/key": ok(b"0" * 16)}
        assert probe(web, expecting(9))[0].playable is True

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
        found, gets = probe({URL: ok(playlist), SEGMENT + "9": ok(b"\x93")}, expecting(9))
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
        found, gets = probe(web, expecting(9), session=session)
        # Keys are for those who have logged in.
        assert found.playable is ("KEY" in what if plays is None else plays)
        assert [get.url for get in gets].count(needed) == 1 + (status == 403 and "MAP" in what)
        _, again = probe(web, expecting(9), session=session)
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
        state, gets = follow(web, 20, step=step)
        assert state.verdict is Verdict.LIVE
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
        state = StreamState().after(probe(web, session=session)[0], grace=60)
        web = {
            URL: moved("/u2/v.m3u8") if redirected else ok(master("/u2/v.m3u8")),
            "https://cdn.example/u2/v.m3u8": ok(media(70, 3)),
        }
        assert probe(web, state, session=session)[0].tail == 73

    def test_address_that_is_itself_the_media_playlist_is_asked_for_once_a_probe(self) -> None:
        _, gets = follow({URL: ok(media(7, 3))}, 40)
        assert len(gets) == 1
        session = Session()
        state = StreamState().after(probe({URL: ok(media(7, 3))}, session=session)[0], grace=60)
        found, gets = probe({}, state, session=session)
        assert (found.absence, len(gets)) == ("HTTP status 404", 1)

    def test_long_list_is_asked_for_compressed_and_a_short_one_is_not(self) -> None:
        session = Session()
        probe({URL: ok(media(7, 3000))}, session=session)
        _, gets = probe({URL: ok(media(7, 3))}, session=session)
        assert gets[0].gzip
        _, gets = probe({URL: ok(media(7, 3))}, session=session)
        assert not gets[0].gzip


class TestVariants:
    @staticmethod
    def web(playlist: str, **lists: Any) -> Web:
        found: Web = {URL: ok(playlist), **{SEGMENT + str(n): ok(b"G") for n in range(999)}}
        return found | {f"https://cdn.example/{name}/v.m3u8": page for name, page in lists.items()}

    def test_one_of_each_host_is_tried_first_and_then_one_of_each_folder(self) -> None:
        names = ["/a/1", "/a/2", "/b/1", "https://backup.example/a/1", "https://backup.example/a/2"]
        _, gets = probe({URL: ok(master(*names))})
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

        state, gets = follow(web, 6, step=step)
        assert (state.verdict, state.marks.variant) == (Verdict.LIVE, 5)
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
        state, session = StreamState(), Session()
        for now in range(30):
            state = state.after(probe(web, state, session=session, at=1000.0 + now)[0], grace=60)
            verdicts.append(state.verdict)
        assert set(verdicts[4:]) == {Verdict.LIVE}

    def test_refusal_of_one_says_more_than_that_another_is_not_there(self) -> None:
        web = self.web(master("/a/v.m3u8", "/b/v.m3u8"), a=Answer(403))
        assert absence(web) == "no variant of the master playlist answers: HTTP status 403"


class Time:
    """Probes on a clock that servers move: each answer takes seconds, and those that keep silent take all that they get."""

    def __init__(self, serve: Callable[[str, int], tuple[Answer | None, float]]) -> None:
        self.serve = serve
        self.now = 1000.0
        self.state = StreamState()
        self.session = Session()
        self.verdicts: list[Verdict] = []

    def run(self, seconds: float) -> Time:
        until = self.now + seconds
        while self.now < until:
            self.state = self.state.after(self.probe(), grace=60)
            self.verdicts.append(self.state.verdict)
            self.now += next_pause(self.state, 0.5)
        return self

    def probe(self) -> Probe:
        conversation = probe_hls("https://cdn.example/top", self.state, lambda: self.now, self.session)
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
            found: Probe = stop.value
            return found


class TestSlowAndSilentServers:
    """Answers of up to ten seconds prove as much as quick ones, and silent servers do not keep us from the rest."""

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

        assert Time(serve).run(300).state.verdict is Verdict.LIVE

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
        assert time.state.verdict is Verdict.LIVE
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
        assert time.state.verdict is Verdict.LIVE
