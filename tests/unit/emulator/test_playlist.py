"""What the audience gets: playlists that slide with time, segments that play, and what can go wrong."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from airflow_provider_timav.emulator import Emulator, Switches
from airflow_provider_timav.emulator.card import shipped_card
from harness.caller import START_PUSH, STOP_PUSH, Caller
from harness.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def live(clock: Clock) -> Iterator[Emulator]:
    """An emulator with the default room's camera on air, at a time that the test moves."""
    with Emulator(clock=clock) as emulator, Caller(emulator) as caller:
        caller.call(6, START_PUSH)
        yield emulator


def fetch(url: str, method: str = "GET") -> tuple[int, bytes]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, method=method), timeout=5) as response:  # noqa: S310 - loopback
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def playlist(emulator: Emulator) -> str:
    status, body = fetch(emulator.pushes[0].urls[0])
    assert status == 200
    return body.decode()


def sequence(text: str) -> int:
    found = re.search(r"#EXT-X-MEDIA-SEQUENCE:(\d+)\n", text)
    assert found
    return int(found[1])


def test_the_playlist_slides_with_time(live: Emulator, clock: Clock) -> None:
    """It grows to five segments of 2 s, then its first goes as the next comes."""
    seen = []
    for _ in range(8):
        text = playlist(live)
        seen.append((sequence(text), text.count("#EXTINF:2.000,")))
        clock.now += 2
    assert seen == [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (1, 5), (2, 5), (3, 5)]


def test_the_playlist_reads_as_the_rfc_says(live: Emulator, clock: Clock) -> None:
    clock.now += 9
    assert playlist(live) == (
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n"
        + "".join(f"#EXTINF:2.000,\noriginal/{number}.ts\n" for number in range(5))
    )


def test_segments_can_be_fetched_a_while_longer_than_they_are_listed(live: Emulator, clock: Clock) -> None:
    base = live.pushes[0].urls[0].removesuffix(".m3u8")
    clock.now += 200  # 101 segments: 96 to 100 are listed, ten more are kept
    for number, status in ((100, 200), (96, 200), (86, 200), (85, 404), (101, 404)):
        assert fetch(f"{base}/{number}.ts")[0] == status
    status, segment = fetch(f"{base}/100.ts")
    assert segment == shipped_card().segment(100)
    assert fetch(f"{base}/100.ts", "HEAD") == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/live/10086/host_1/camera",
        "/live/10086/host_1/screen/original.m3u8",
        "/live/10086/host_1/other/original.m3u8",
        "/live/1/host_1/camera/original.m3u8",
        "/live/x/host_1/camera/original.m3u8",
        "/dead/10086/host_1/camera/original.m3u8",
        "/live/10086/host_1/camera/sd.m3u8",
        "/live/10086/host_1/camera/original/x.ts",
        "/live/10086/host_1/camera/original/9999999999.ts",
        "/live/10086/host_1/camera/sd/0.ts",
    ],
)
def test_what_is_not_there_is_404(live: Emulator, path: str) -> None:
    assert fetch(live.media_url + path)[0] == 404


def test_several_rates_have_a_master_playlist(clock: Clock) -> None:
    with Emulator(clock=clock) as emulator, Caller(emulator) as caller:
        caller.call(6, {**START_PUSH, "rpt_rate_type": [0, 10, 20]})
        (push,) = emulator.pushes
        status, master = fetch(str(push.master_url))
        assert status == 200
        assert re.findall(r"BANDWIDTH=(\d+)", master.decode()) == ["1500000", "550000", "900000"]
        assert re.findall(r"^\w+\.m3u8$", master.decode(), re.M) == ["original.m3u8", "sd.m3u8", "hd.m3u8"]
        for url in push.urls:
            assert fetch(url)[0] == 200
        emulator.change_stream("absent")
        assert fetch(str(push.master_url))[0] == 404


def test_rtmp_alone_has_no_playlist(clock: Clock) -> None:
    """And takes away that of an earlier push of the same identity."""
    with Emulator(clock=clock) as emulator, Caller(emulator) as caller:
        caller.call(6, START_PUSH)
        url = emulator.pushes[0].urls[0]
        caller.call(6, STOP_PUSH)
        caller.call(6, {**START_PUSH, "uint32_live_code": 5})
        (push,) = emulator.pushes
        assert push.urls == ("rtmp://127.0.0.1/live/10086_host_1_camera_original",)
        assert push.master_url is None
        assert fetch(url)[0] == 404
        with pytest.raises(ValueError, match="no HLS stream"):
            emulator.freeze()


def test_a_user_id_of_any_letters_has_a_url(clock: Clock) -> None:
    with Emulator(rooms={7: ["主持人/#?"]}, clock=clock) as emulator, Caller(emulator) as caller:
        caller.call(6, START_PUSH, room_id=7, users=("主持人/#?",))
        assert emulator.pushes[0].urls[0].isascii()
        assert playlist(emulator).startswith("#EXTM3U\n")


@pytest.mark.parametrize(
    ("how", "ended"),
    [("endlist", (200, True)), ("stall", (200, False)), ("absent", (404, False))],
)
def test_what_a_stop_does_to_the_playlist_is_a_switch(clock: Clock, how: str, ended: tuple[int, bool]) -> None:
    switches = Switches(playlist_after_stop=how)  # type: ignore[arg-type]  # parametrised
    with Emulator(clock=clock, switches=switches) as emulator, Caller(emulator) as caller:
        caller.call(6, START_PUSH)
        url = emulator.pushes[0].urls[0]
        clock.now += 20
        caller.call(6, STOP_PUSH)
        before = fetch(url)
        clock.now += 20
        status, body = fetch(url)
        assert (status, b"#EXT-X-ENDLIST" in body) == ended
        assert (status, body) == before


def test_a_push_that_starts_again_starts_its_playlist_again(live: Emulator, clock: Clock) -> None:
    """At the same URL: what is there may be the last show's."""
    url = live.pushes[0].urls[0]
    clock.now += 100
    with Caller(live) as caller:
        caller.call(6, STOP_PUSH)
        caller.call(6, START_PUSH)
    assert live.pushes[0].urls[0] == url
    assert sequence(playlist(live)) == 0


def test_a_frozen_stream_goes_on_where_it_stood(live: Emulator, clock: Clock) -> None:
    clock.now += 20
    text = playlist(live)
    live.freeze()
    clock.now += 60
    live.freeze()
    assert playlist(live) == text
    live.resume()
    assert playlist(live) == text
    clock.now += 2
    assert sequence(playlist(live)) == sequence(text) + 1


def test_a_reset_goes_back(live: Emulator, clock: Clock) -> None:
    clock.now += 100
    assert sequence(playlist(live)) == 46
    live.reset_stream()
    assert sequence(playlist(live)) == 0


def test_an_ended_stream_says_so_while_the_push_runs_on(live: Emulator) -> None:
    live.end_stream()
    assert playlist(live).endswith("#EXT-X-ENDLIST\n")
    assert len(live.pushes) == 1
    live.resume()
    assert "ENDLIST" not in playlist(live)


def test_streams_fail_in_the_other_ways(live: Emulator, clock: Clock) -> None:
    url = live.pushes[0].urls[0]
    segment = url.removesuffix(".m3u8") + "/0.ts"
    live.change_stream("absent")
    assert (fetch(url)[0], fetch(segment)[0]) == (404, 404)
    live.change_stream("error")
    assert (fetch(url)[0], fetch(segment)[0]) == (500, 500)
    live.change_stream("empty")
    assert "#EXTINF" not in playlist(live)
    live.change_stream("hollow")
    assert "#EXTINF" in playlist(live)
    assert fetch(segment) == (200, b"")
    live.resume()
    assert len(fetch(segment)[1]) > 1000


@pytest.mark.parametrize(
    ("act", "field"),
    [
        (lambda emulator: emulator.change_stream("explode"), "change"),
        (lambda emulator: emulator.freeze(kind="sound"), "kind"),
        (lambda emulator: emulator.freeze(room_id=1), "room_id"),
    ],
)
def test_a_wrong_change_names_its_field(live: Emulator, act: Callable[[Emulator], None], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        act(live)


def test_the_first_segment_may_take_a_while_and_time_may_run_faster(clock: Clock) -> None:
    switches = Switches(first_segment_after=4.0, stream_speed=10.0)
    with Emulator(clock=clock, switches=switches) as emulator, Caller(emulator) as caller:
        caller.call(6, START_PUSH)
        url = emulator.pushes[0].urls[0]
        assert fetch(url)[0] == 404
        clock.now += 4.01
        assert sequence(playlist(emulator)) == 0
        clock.now += 2
        assert sequence(playlist(emulator)) == 6


@pytest.mark.system
@pytest.mark.skipif(not shutil.which("ffprobe"), reason="ffprobe is not installed (Debian: apt install ffmpeg)")
def test_ffprobe_decodes_30_seconds_of_a_live_stream() -> None:
    """Across the sliding window and the loop's seam, live: every frame, in order, without a word of complaint."""
    offset = 0.0
    with Emulator(clock=lambda: time.time() + offset) as emulator, Caller(emulator) as caller:
        caller.call(6, START_PUSH)
        offset = 50.0  # so that the 64 s of the loop end while it is watched
        command = ["ffprobe", "-v", "warning", "-read_intervals", "%+30", "-count_frames"]
        command += ["-show_entries", "stream=codec_name,nb_read_frames", "-of", "compact=p=0:nk=1"]
        started = time.monotonic()
        done = subprocess.run(
            [*command, emulator.pushes[0].urls[0]], check=True, capture_output=True, text=True, timeout=90
        )
        assert time.monotonic() - started > 15, "live means that it had to wait for segments"
    assert done.stderr == ""
    frames = dict(line.split("|")[:2] for line in done.stdout.splitlines() if "|" in line)
    assert int(frames["h264"]) >= 295
    assert int(frames["aac"]) >= 460
