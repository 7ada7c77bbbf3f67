"""Debian's nginx with its RTMP module, and an ffmpeg that pushes a test picture to it: what a viewer's PyAV sees of both.

Most of the times are shortened: two seconds are taken for a target duration, a probe lasts three seconds at most.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import trustme

from airflow_provider_timav.sensors.live_stream import LiveStreamSensor
from airflow_provider_timav.stream import marks, rtmp
from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.reader import shared_reader, wall_clock
from airflow_provider_timav.stream.state import StreamState
from airflow_provider_timav.stream.verdict import Verdict
from harness.nginx import HEAD, NGINX, nginx_running
from harness.processes import until
from harness.site import free_port

FFMPEG = shutil.which("ffmpeg")
MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        NGINX is None or not MODULE.exists(),
        reason="nginx with RTMP is not installed (Debian: apt-get install nginx-light libnginx-mod-rtmp)",
    ),
    pytest.mark.skipif(FFMPEG is None, reason="ffmpeg is not installed (Debian: apt-get install ffmpeg)"),
    pytest.mark.skipif(find_spec("av") is None, reason="PyAV is not installed (pip install '.[rtmp]')"),
]

GRACE = 4.0

LOADED = "load_module {module};"
CONFIG = """
rtmp {{
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        application live {{ live on; }}
        application strict {{ live on; idle_streams off; }}
        application whole {{ live on; wait_key on; wait_video on; }}
        application forbidden {{ live on; deny play all; }}
    }}
}}
"""

PICTURE = ("-f", "lavfi", "-i", "testsrc=size=160x90:rate=25")
SOUND = ("-f", "lavfi", "-i", "sine=frequency=440")
VIDEO = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "25")
AUDIO = ("-c:a", "aac")
BOTH = (*PICTURE, *SOUND, *VIDEO, *AUDIO)


class Nginx:
    """A running nginx, and the publishers that send to it."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self.folder = folder
        self.publishers: list[subprocess.Popen[bytes]] = []

    def url(self, path: str) -> str:
        return f"rtmp://127.0.0.1:{self.port}/{path}"

    def publish(self, path: str, *arguments: str, pace: tuple[str, ...] = ("-re",)) -> subprocess.Popen[bytes]:
        """Push a test picture; it ends by itself after a minute and a half."""
        inputs = [part for one in arguments or BOTH for part in ((*pace, one) if one == "-f" else (one,))]
        command = [str(FFMPEG), "-hide_banner", "-loglevel", "error", *inputs, "-t", "90", "-f", "flv", self.url(path)]
        with (self.folder / "ffmpeg.log").open("a") as console:
            publisher = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=console)
        self.publishers.append(publisher)
        return publisher

    def end(self, publisher: subprocess.Popen[bytes]) -> None:
        publisher.kill()
        publisher.wait()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder, port = tmp_path_factory.mktemp("rtmp"), free_port()
    with nginx_running(folder, (LOADED + HEAD + CONFIG).format(module=MODULE, folder=folder, port=port), port):
        yield Nginx(port, folder)


@pytest.fixture
def nginx(running: Nginx) -> Iterator[Nginx]:
    yield running
    for publisher in running.publishers:
        running.end(publisher)
    running.publishers.clear()


@pytest.fixture(autouse=True)
def _shortened(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "real_times" not in request.fixturenames:
        monkeypatch.setattr(marks, "UNTOLD_TARGET_DURATION", 2.0)
        monkeypatch.setattr(rtmp, "PROBE_SECONDS", 3.0)


@pytest.fixture
def real_times() -> None:
    """Nothing is shortened."""


class Viewer:
    """Probes one stream, as sensor and trigger do, and keeps its state."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.known = StreamState()
        self.seen: list[Verdict] = []
        self.clock = wall_clock()

    def probe(self) -> Verdict:
        async def once() -> Probe:
            async with shared_reader() as reader:
                return await reader.probe(self.url, self.known, self.clock)

        self.known = self.known.after(asyncio.run(once()), grace=GRACE)
        self.seen.append(self.known.verdict)
        return self.known.verdict

    def until(self, verdict: Verdict, *, seconds: float = 60) -> float:
        """Poll until that is the verdict; return how long it took."""
        began = time.monotonic()
        while self.probe() is not verdict:
            assert time.monotonic() - began < seconds, [str(one) for one in self.seen]
            time.sleep(0.5)
        return time.monotonic() - began

    def absence(self) -> tuple[Verdict, str]:
        return self.probe(), self.known.reason


SOURCES: dict[str, tuple[str, ...]] = {
    "both": BOTH,
    "video": (*PICTURE, *VIDEO),
    "audio": (*SOUND, *AUDIO),
    "one-frame-a-second": (*("-f", "lavfi", "-i", "testsrc=size=160x90:rate=1"), *VIDEO, *("-g", "1")),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_a_stream_that_is_sent_is_live_and_stays_so(nginx: Nginx, source: tuple[str, ...], real_times: None) -> None:
    nginx.publish("live/one", *source)
    viewer = Viewer(nginx.url("live/one"))
    viewer.until(Verdict.LIVE)
    assert viewer.probe() is Verdict.LIVE


def test_a_stream_that_begins_with_a_key_frame_only_is_live(nginx: Nginx) -> None:
    nginx.publish("whole/one", *PICTURE, *SOUND, *VIDEO[:-1], "50", *AUDIO)
    Viewer(nginx.url("whole/one")).until(Verdict.LIVE)


def test_a_file_that_is_pushed_as_fast_as_it_can_be_read_is_live(nginx: Nginx, real_times: None) -> None:
    nginx.publish("live/fast", pace=("-readrate", "3"))
    Viewer(nginx.url("live/fast")).until(Verdict.LIVE)


def test_what_was_never_there_is_absent(nginx: Nginx) -> None:
    assert Viewer(nginx.url("live/never")).absence() == (Verdict.ABSENT, "connected, and nothing arrives")
    assert Viewer(nginx.url("strict/never")).absence() == (
        Verdict.ABSENT,
        "the server has no such stream, or refuses it",
    )


def test_what_is_refused_is_absent(nginx: Nginx) -> None:
    nginx.publish("forbidden/one")
    time.sleep(2)
    verdict, why = Viewer(nginx.url("forbidden/one")).absence()
    assert verdict is Verdict.ABSENT
    assert why in ("the server hung up", "the server has no such stream, or refuses it")
    assert Viewer(nginx.url("nowhere/one")).absence() == (Verdict.ABSENT, "the server hung up")
    closed = f"rtmp://127.0.0.1:{free_port()}/live/one"
    assert Viewer(closed).absence() == (Verdict.ABSENT, "no connection")


def test_what_speaks_no_rtmp_is_absent() -> None:
    """It takes the connection, and says nothing or something else."""
    for answer in (b"", b"HTTP/1.1 400 Bad Request\r\n\r\n" * 200):
        with answering(answer) as port:
            assert Viewer(f"rtmp://127.0.0.1:{port}/live/one").probe() is Verdict.ABSENT


def test_a_publisher_that_hangs_is_stalled_and_live_again_when_it_goes_on(nginx: Nginx) -> None:
    """Its connection to the server stays open all the time, and so would a player's."""
    publisher = nginx.publish("live/hanging")
    viewer = Viewer(nginx.url("live/hanging"))
    viewer.until(Verdict.LIVE)
    publisher.send_signal(signal.SIGSTOP)
    try:
        viewer.until(Verdict.STALLED)
    finally:
        publisher.send_signal(signal.SIGCONT)
    viewer.until(Verdict.LIVE)
    assert Verdict.RESET not in viewer.seen


@pytest.mark.parametrize("application", ["live", "strict"])
def test_a_publisher_that_is_gone_ends_the_stream_after_grace(nginx: Nginx, application: str) -> None:
    publisher = nginx.publish(f"{application}/over")
    viewer = Viewer(nginx.url(f"{application}/over"))
    viewer.until(Verdict.LIVE)
    nginx.end(publisher)
    assert viewer.until(Verdict.ENDED) > GRACE
    assert viewer.probe() is Verdict.ENDED, "and nothing but a new stream changes that"
    assert viewer.seen[-3] is (Verdict.STALLED if application == "live" else Verdict.ABSENT)


def test_a_publisher_that_starts_again_is_a_reset_and_then_live(nginx: Nginx) -> None:
    url = nginx.url("live/again")
    publisher = nginx.publish("live/again", *BOTH, "-output_ts_offset", "1000")
    viewer = Viewer(url)
    viewer.until(Verdict.LIVE)
    assert 1_000_000 < (viewer.known.tail or 0) < 1_100_000
    nginx.end(publisher)
    nginx.publish("live/again")
    Viewer(url).until(Verdict.STARTING)  # a probe of a second and a half
    assert viewer.probe() is Verdict.RESET
    assert (viewer.known.tail or 0) < 100_000
    viewer.until(Verdict.LIVE)


def test_timestamps_that_begin_anew_after_31_bits_are_no_restart(nginx: Nginx, real_times: None) -> None:
    nginx.publish("live/old", *BOTH, "-output_ts_offset", str(2**31 / 1000 - 12))
    viewer = Viewer(nginx.url("live/old"))
    tails: list[int] = []
    while not tails or tails[-1] < 2**31 + 2000:
        viewer.probe()
        tails += [] if viewer.known.tail is None else [viewer.known.tail]
        assert len(tails) < 20
    assert tails[0] < 2**31
    assert tails == sorted(set(tails))
    assert (viewer.seen[-1], Verdict.RESET in viewer.seen) == (Verdict.LIVE, False)


def test_a_signed_address_is_understood(nginx: Nginx) -> None:
    """What is signed may have slashes in it, which FFmpeg alone takes for a part of the path."""
    nginx.publish("live/signed")
    Viewer(nginx.url("live/signed?txSecret=a/b/c==&txTime=66")).until(Verdict.LIVE)


def test_streams_that_are_live_do_not_wait_for_those_that_are_not(nginx: Nginx) -> None:
    nginx.publish("live/one")
    viewer = Viewer(nginx.url("live/one"))
    viewer.until(Verdict.LIVE)

    async def crowd() -> list[Probe]:
        async with shared_reader() as reader:

            def probe(path: str, known: StreamState) -> asyncio.Task[Probe]:
                return asyncio.create_task(reader.probe(nginx.url(path), known, viewer.clock))

            silent = [probe(f"live/silent_{number}", StreamState()) for number in range(40)]
            await asyncio.sleep(0.5)
            found = await asyncio.wait_for(
                asyncio.gather(*(probe("live/one", viewer.known) for _ in range(10))), timeout=10
            )
            await asyncio.gather(*silent)
            return found

    assert all(found.playable for found in asyncio.run(crowd()))
    until(
        lambda: not [thread for thread in threading.enumerate() if thread.name == "timav-rtmp"],
        timeout=15,
        failure=lambda: f"threads are left: {threading.enumerate()}",
        check=lambda: None,
    )


class TestTls:
    @pytest.fixture
    def authority(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[trustme.CA]:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        for cache in (rtmp._trusted, rtmp._context):
            cache.cache_clear()
        yield authority
        for cache in (rtmp._trusted, rtmp._context):
            cache.cache_clear()

    def test_a_trusted_server_is_watched(self, nginx: Nginx, authority: trustme.CA) -> None:
        nginx.publish("live/one")
        with tls_before(nginx.port, authority.issue_cert("localhost")) as port:
            Viewer(f"rtmps://localhost:{port}/live/one").until(Verdict.LIVE)

    @pytest.mark.parametrize("wrong", ["foreign", "of-another-name"])
    def test_another_server_is_told_nothing(self, nginx: Nginx, authority: trustme.CA, wrong: str) -> None:
        nginx.publish("live/one")
        certificate = (
            trustme.CA().issue_cert("localhost") if wrong == "foreign" else authority.issue_cert("play.example")
        )
        with tls_before(nginx.port, certificate) as port:
            verdict, why = Viewer(f"rtmps://localhost:{port}/live/one?txSecret=1").absence()
        assert verdict is Verdict.ABSENT
        assert "no TLS connection: the server's certificate is not trusted" in why


def test_the_sensor_waits_for_it(nginx: Nginx) -> None:
    nginx.publish("live/sensed")
    sensor = LiveStreamSensor(task_id="watch", url=nginx.url("live/sensed"), timeout=60)
    context: Any = {}
    done: Any = sensor.poke(context)
    assert done.is_done
    assert done.xcom_value["verdict"] == "LIVE"


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """Accept connections, say that, and wait."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(answer)
        while connection.recv(1 << 16):
            pass

    with serving(talk) as port:
        yield port


@contextmanager
def tls_before(port: int, certificate: trustme.LeafCert) -> Iterator[int]:
    """Take TLS connections, and hand on what comes through them to that port and back."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)

    def hand_on(connection: socket.socket) -> None:
        with (
            context.wrap_socket(connection, server_side=True) as inner,
            socket.create_connection(("127.0.0.1", port)) as outer,
        ):
            back = threading.Thread(target=copy, args=(outer, inner), daemon=True)
            back.start()
            copy(inner, outer)
            outer.shutdown(socket.SHUT_RDWR)
            back.join(5)

    with serving(hand_on) as listening:
        yield listening


def copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)


@contextmanager
def serving(talk: Callable[[socket.socket], Any]) -> Iterator[int]:
    """Hand each connection over, in a thread of its own."""

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            talk(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            server.shutdown(socket.SHUT_RDWR)
            accepting.join(5)
