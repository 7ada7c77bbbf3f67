"""Probes over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import re
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_provider_timav.stream import reader as reader_module
from airflow_provider_timav.stream.fetch import Answer, Get, NoAnswer
from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.reader import Reader, follow, poll_briefly, shared_reader, wall_clock
from airflow_provider_timav.stream.state import StreamState
from airflow_provider_timav.stream.verdict import Verdict
from harness.look_ups import looked_up
from harness.streams.site import Site, Visit, media, running
from tests.unit.stream.peers import expecting, probe, run, silent


def drip(visit: Visit) -> None:
    """Send a byte now and then, for ever."""
    visit.begin(200, {"Content-Length": "100000"})
    for letter in media(7, 30).encode():
        visit.write(bytes([letter]))
        if visit.closing.wait(0.05):
            return


def flood(visit: Visit) -> None:
    """Send a playlist that never ends."""
    visit.begin(200, {"Connection": "close"})
    visit.write(b"#EXTM3U\n")
    while True:
        visit.write(b"#EXTINF:1,\na.ts\n" * 4096)


def cut(visit: Visit) -> None:
    visit.begin(200, {"Content-Length": "100000"})
    visit.write(media(7, 3).encode())
    visit.handler.close_connection = True


def hang_up(visit: Visit) -> None:
    visit.handler.close_connection = True


def test_a_playlist_is_read_whatever_its_type_is_called(site: Site) -> None:
    url = site.text("/live.m3u8", media(7, 3), content_type="text/html")
    assert probe(url).tail == 10


def test_the_newest_segment_is_sampled_and_not_downloaded(site: Site) -> None:
    written = []

    def segment(visit: Visit) -> None:
        assert visit.headers["Range"] == "bytes=0-1023"
        visit.begin(200, {"Content-Length": str(1 << 30)})
        while True:
            visit.write(b"\x47" * 65536)
            written.append(65536)

    site.pages["/segment.ts"] = segment
    begun = time.monotonic()
    assert probe(site.text("/live.m3u8", media(7, 3)), expecting(9)).playable is True
    assert time.monotonic() - begun < 2
    assert sum(written) < 1 << 25


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (lambda visit: visit.answer("<html>log in</html>", content_type="text/html"), "does not begin with #EXTM3U"),
        (lambda visit: visit.answer("no", 404), "HTTP status 404"),
        (lambda visit: visit.answer("no", 503), "HTTP status 503"),
        (lambda visit: visit.answer(""), "an empty body"),
        (lambda visit: visit.answer("", 302, Location="file:///etc/passwd"), "not http or https but file"),
        (lambda visit: visit.answer("", 302, Location="/page"), "more than 20 redirects"),
        (
            lambda visit: visit.answer(gzip.compress(b"#EXTM3U\n" + b"#" * (50 << 20), 1), content_encoding="gzip"),
            "more than 16 MiB",
        ),
        (flood, "more than 16 MiB"),
        (cut, "a body that was cut off"),
        (hang_up, "the server hung up"),
        (lambda visit: visit.write(b"SSH-2.0\r\n"), "no answer"),
    ],
    ids=["html", "404", "503", "empty", "to-file", "in-circles", "bomb", "endless", "cut-off", "hangs-up", "not-http"],
)
def test_a_bad_stream_is_absent_and_says_why(site: Site, page: Callable[[Visit], None], why: str) -> None:
    site.pages["/page"] = page
    found = probe(site.url + "/page?auth=secret")
    assert found.tail is None
    assert why in found.absence
    assert "secret" not in found.absence


@pytest.mark.parametrize("page", [drip, silent], ids=["drip", "silence"])
def test_a_probe_is_over_in_time_however_slow_the_server_is(
    site: Site, page: Callable[[Visit], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "PROBE_SECONDS", 0.25)
    site.pages["/live.m3u8"] = page
    begun = time.monotonic()
    # The probe has begun by the time of the request: on a busy machine less is left for the answer.
    assert re.fullmatch(r"no answer within 0\.[12]\d* s", probe(site.url + "/live.m3u8").absence)
    assert time.monotonic() - begun < 1.5


def test_a_segment_that_keeps_us_waiting_is_not_playable_and_the_playlist_counts_all_the_same(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "PROBE_SECONDS", 0.25)
    site.pages["/segment.ts"] = silent
    found = probe(site.text("/live.m3u8", media(7, 3)), expecting(9))
    assert (found.tail, found.playable) == (10, False)


def test_nobody_at_home_is_absent() -> None:
    with running() as gone:
        url = gone.url
    assert probe(url + "/live.m3u8?auth=secret").absence == "no connection"
    assert probe("http://timav.invalid/live.m3u8").absence == "the host name is not known"


def test_many_streams_share_one_client_and_at_most_twenty_sockets_and_the_last_one_closes_it(site: Site) -> None:
    site.pages["/live.m3u8"] = lambda visit: (time.sleep(0.01), visit.answer(media(7, 3)))[1]  # type: ignore[func-returns-value]

    async def many() -> set[int]:
        async def one() -> int:
            async with shared_reader() as reader:
                for _ in range(3):
                    assert (await reader.probe(site.url + "/live.m3u8", StreamState(), wall_clock())).tail == 10
                return id(reader)

        return set(await asyncio.gather(*(one() for _ in range(100))))

    assert len(run(many())) == 1
    assert len(site.visits) == 300
    assert site.all_connections <= 20
    assert not reader_module._readers
    deadline = time.monotonic() + 2
    while site.open_connections and time.monotonic() < deadline:
        time.sleep(0.01)
    assert site.open_connections == 0


def test_waiting_for_a_turn_does_not_make_a_stream_absent(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams that do not answer keep all sockets for a while; the others probe later, and see their streams."""
    monkeypatch.setattr(reader_module, "PROBE_SECONDS", 0.25)
    site.pages["/silent.m3u8"] = silent
    good = site.text("/live.m3u8", media(7, 3))

    async def crowd() -> Probe:
        async with shared_reader() as reader:
            silents = [
                asyncio.create_task(reader.probe(site.url + "/silent.m3u8", StreamState(), wall_clock()))
                for _ in range(40)
            ]
            await asyncio.sleep(0.05)
            found = await reader.probe(good, StreamState(), wall_clock())
            await asyncio.gather(*silents)
            return found

    assert run(crowd()).tail == 10


def test_a_long_playlist_does_not_keep_the_loop_away_from_the_others(site: Site) -> None:
    url = site.text("/live.m3u8", media(0, 25_000))
    busiest = 0.0

    async def probed() -> Probe:
        nonlocal busiest

        async def pulse() -> None:
            nonlocal busiest
            while True:
                before = time.thread_time()
                await asyncio.sleep(0.005)
                busiest = max(busiest, time.thread_time() - before)

        async with shared_reader() as reader:
            heart = asyncio.create_task(pulse())
            found = await reader.probe(url, StreamState(), wall_clock())
            heart.cancel()
            return found

    assert run(probed()).tail == 25_000
    assert busiest < 0.02


def test_following_a_stream_tells_its_story(site: Site) -> None:
    url = site.url + "/live.m3u8"
    story: list[Callable[[Visit], None]] = [
        lambda visit: visit.answer("", 404),
        lambda visit: visit.answer("#EXTM3U\n"),
        lambda visit: visit.answer(media(0, 1)),
        lambda visit: visit.answer(media(0, 2)),
        lambda visit: visit.answer(media(1, 2)),
        lambda visit: visit.answer(media(0, 1, segment="/again.ts")),
        lambda visit: visit.answer(media(0, 2, segment="/again.ts", endlist=True)),
    ]

    def next_chapter(visit: Visit) -> None:
        story.pop(0)(visit)

    site.pages["/live.m3u8"] = next_chapter

    async def told() -> list[Verdict]:
        verdicts = []

        async def enough(state: StreamState) -> bool:
            verdicts.append(state.verdict)
            return state.verdict is Verdict.ENDED

        async def no_pause(_: float) -> None:
            return

        async with shared_reader() as reader:
            await follow(reader, url, StreamState(), grace=60, enough=enough, sleep=no_pause)
        return verdicts

    assert run(told()) == ["ABSENT", "EMPTY", "STARTING", "STARTING", "LIVE", "RESET", "ENDED"]


@pytest.mark.usefixtures("short_pauses")
def test_a_brief_poll_reads_until_it_sees_the_tail_move(site: Site) -> None:
    found = poll_briefly(site.live(every=0.3), StreamState(), grace=60, seconds=5)
    assert found.verdict is Verdict.LIVE
    assert len([path for path in site.paths() if path.startswith("/live")]) >= 2


def test_a_brief_poll_of_the_cached_list_of_the_last_show_is_bounded_and_not_live(site: Site) -> None:
    url = site.text("/live.m3u8", media(7, 3))
    begun = time.monotonic()
    assert poll_briefly(url, StreamState(), grace=60, seconds=0.4).verdict is Verdict.STARTING
    assert 0.4 <= time.monotonic() - begun < 2.5
    assert len(site.visits) >= 2


def test_a_brief_poll_of_nothing_takes_one_read(site: Site) -> None:
    assert poll_briefly(site.url + "/live.m3u8", StreamState(), grace=60, seconds=5).verdict is Verdict.ABSENT
    assert len(site.visits) == 1


def test_a_brief_poll_also_works_if_a_loop_runs_already(site: Site) -> None:
    async def notebook() -> StreamState:
        return poll_briefly(site.text("/live.m3u8", media(7, 3, endlist=True)), StreamState(), grace=60, seconds=1)

    assert run(notebook()).verdict is Verdict.ENDED


def test_a_brief_poll_comes_back_though_no_name_server_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-up hangs on; its thread is not waited for, neither by the probe nor by the end of the loop."""
    monkeypatch.setattr(reader_module, "PROBE_SECONDS", 0.25)
    released, found = threading.Event(), threading.Event()
    seen: list[StreamState] = []

    def hang(*_: Any, **__: Any) -> list[Any]:
        released.wait(60)
        return []

    def polling() -> None:
        seen.append(poll_briefly("http://stuck.invalid/live.m3u8", StreamState(), grace=60, seconds=0))
        found.set()

    with looked_up("stuck.invalid", hang):
        thread = threading.Thread(target=polling, daemon=True)
        thread.start()
        try:
            assert found.wait(20)
        finally:
            released.set()
            thread.join()
    assert seen[0].verdict is Verdict.ABSENT


def test_the_clock_is_the_systems_and_never_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = wall_clock()
    assert clock() == pytest.approx(time.time(), abs=1)
    before = clock()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert clock() >= before


class TestMemory:
    @pytest.mark.parametrize("encoding", ["gzip", ""])
    def test_bodies_that_are_long_when_they_are_unpacked_are_read_a_few_at_a_time(
        self, encoding: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lock, enough = threading.Lock(), threading.Event()
        at_work, most = 0, 0

        def advance(conversation: Any, answer: Answer) -> Probe:
            nonlocal at_work, most
            with lock:
                at_work += 1
                most = max(most, at_work)
            enough.wait(0.02)
            with lock:
                at_work -= 1
            return Probe(at=0)

        monkeypatch.setattr(reader_module, "_advance", advance)
        text = b"#EXTM3U\n" + b"\n" * (2 << 20)
        body = gzip.compress(text) if encoding else text

        async def crowd() -> None:
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(20))
            reader = Reader()
            none: Any = None
            await asyncio.gather(*(reader._next(none, Answer(200, body, encoding)) for _ in range(20)))

        run(crowd())
        assert 1 < most <= reader_module.MOST_LARGE_BODIES

    def test_body_is_not_kept_while_segments_are_asked_for(self) -> None:
        def conversation() -> Generator[Get, Answer | NoAnswer, Probe]:
            yield Get("http://cdn.example/live.m3u8", 1)
            yield Get("http://cdn.example/segment.ts", 1)
            return Probe(at=0)

        answer = Answer(200, media(0, 3000).encode())

        async def read() -> None:
            reader, talk = Reader(), conversation()
            await reader._next(talk, None)
            assert isinstance(await reader._next(talk, answer), Get)

        run(read())
        assert answer.body == b""

    def test_place_for_a_large_body_is_given_back_whatever_becomes_of_it(self, site: Site) -> None:
        large = "#EXTM3U\n" + f"#{'x' * 62}\n" * (2 << 14)
        site.text("/live.m3u8", large + media(7, 3).removeprefix("#EXTM3U\n"))

        def half(visit: Visit) -> None:
            visit.begin(200, {"Content-Length": str(len(large))})
            visit.write(large[: 3 << 19].encode())
            visit.handler.close_connection = True

        site.pages["/half.m3u8"] = half

        async def several() -> list[int | None]:
            async with shared_reader() as reader:
                found = []
                for _ in range(2 * reader_module.MOST_LARGE_BODIES):
                    await reader.probe(site.url + "/half.m3u8", StreamState(), wall_clock())
                    found.append((await reader.probe(site.url + "/live.m3u8", StreamState(), wall_clock())).tail)
                return found

        assert set(run(several())) == {10}
