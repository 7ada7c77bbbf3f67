"""Probes of RTMP streams: with a stand-in for PyAV, on real sockets. `tests/system/test_rtmp` has the real ones."""

from __future__ import annotations

import asyncio
import errno
import io
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from airflow_provider_timav.stream import rtmp
from airflow_provider_timav.stream.address import fault, missing, stream_fault
from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.reader import shared_reader, wall_clock
from airflow_provider_timav.stream.rtmp import MOST_OTHERS, RtmpNotInstalled, RtmpReader
from airflow_provider_timav.stream.state import StreamState
from airflow_provider_timav.stream.verdict import Verdict
from harness.streams.internet import PUBLIC, Internet
from harness.streams.pyav import FakeAV, accepting, at_pace, install, packet, prove_quickly, uninstall
from harness.streams.site import Site, running

SECRET = "txSecret=a/b%2Fc&txTime=66"


@pytest.fixture
def av(monkeypatch: pytest.MonkeyPatch) -> FakeAV:
    return install(monkeypatch)


@pytest.fixture
def no_av(monkeypatch: pytest.MonkeyPatch) -> None:
    uninstall(monkeypatch)


@pytest.fixture
def server() -> Iterator[str]:
    with accepting() as url:
        yield url


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    prove_quickly(monkeypatch)


def probe(url: str, state: StreamState | None = None) -> Probe:
    async def once() -> Probe:
        async with shared_reader() as reader:
            return await reader.probe(url, state or StreamState(), wall_clock())

    return asyncio.run(asyncio.wait_for(once(), 20))


class TestAddress:
    @pytest.mark.parametrize(
        "url",
        [
            "rtmp://play.example.com/live/42",
            "RTMPS://play.example.com:443/live/42?txSecret=1",
            "rtmp://[2001:db8::1]/live/42",
        ],
    )
    def test_rtmp_can_be_probed(self, url: str, av: FakeAV) -> None:
        assert stream_fault(url) is None

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("rtmp:///live/42", "without a host"),
            ("rtmp://me:secret@play.example.com/live", "a user name or a password"),
            ("rtmp://play.example.com/live/4 2", "a blank"),
            ("rtmp://play.example.com:0/live", "without a host"),
        ],
    )
    def test_rules_are_those_of_hls(self, url: str, said: str, av: FakeAV) -> None:
        wrong = stream_fault(url)
        assert wrong is not None
        assert said in wrong
        assert "secret" not in wrong

    def test_without_pyav_it_says_what_to_install(self, no_av: None) -> None:
        assert "airflow-provider-timav[rtmp]" in (missing("rtmp://play.example.com/live/42") or "")
        assert missing("https://play.example.com/live/42.m3u8") is None

    def test_with_pyav_nothing_is_missing(self, av: FakeAV) -> None:
        assert missing("rtmps://play.example.com/live/42") is None

    def test_no_playlist_leads_to_rtmp(self, av: FakeAV) -> None:
        assert fault("rtmp://play.example.com/live/42") == "an address that is not http or https but rtmp"


def test_a_probe_without_pyav_is_a_mistake_of_ours_and_no_verdict(no_av: None, server: str) -> None:
    with pytest.raises(RtmpNotInstalled, match=r"pip install 'airflow-provider-timav\[rtmp\]'") as refused:
        probe(server + "?" + SECRET)
    assert "127.0.0.1" not in str(refused.value)


def test_packets_at_pace_are_live(av: FakeAV, server: str, quick: None) -> None:
    av.packets = at_pace
    state, probes = StreamState(), 0
    while state.verdict is not Verdict.LIVE:
        found = probe(server, state)
        assert found.playable
        state, probes = state.after(found, grace=60), probes + 1
    assert 2 <= probes <= 3


def test_only_audio_and_video_count(av: FakeAV, server: str) -> None:
    av.packets = lambda: iter([packet("data", 1), packet("subtitle", 2), packet("video", None)])
    assert probe(server).absence == "the server has ended the stream"


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ((ConnectionRefusedError,), "no connection"),
        ((PermissionError,), "the server has no such stream, or refuses it"),
        ((EOFError,), "the server hung up"),
        ((OSError,), "the server hung up"),
        ((ValueError,), "no answer (Failure)"),
    ],
    ids=["refused", "no-stream", "end", "input-and-output", "other"],
)
def test_what_fails_is_said_without_the_address(
    av: FakeAV, server: str, kinds: tuple[type[Exception], ...], said: str
) -> None:
    failure = type("Failure", (av.FFmpegError, *kinds), {})

    def fail() -> Iterator[Any]:
        raise failure(5, "Input/output error", server + "?" + SECRET)

    av.packets = fail
    assert probe(server + "?" + SECRET).absence == said


def test_whatever_pyav_raises_is_an_absence(av: FakeAV, server: str) -> None:
    """Not all of it comes from FFmpeg: metadata may be in another encoding than UTF-8."""

    def fail() -> Iterator[Any]:
        raise UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, "invalid start byte")

    av.packets = fail
    assert probe(server).absence == "no answer (UnicodeDecodeError)"


def test_pyav_replaces_what_is_no_utf_8_in_metadata() -> None:
    """The title that an encoder sends, in GBK; without that the stream could not be opened."""
    real = pytest.importorskip("av")
    title = b"\xd6\xb1\xb2\xa5"
    script = b"\x02\0\x0aonMetaData\x08\0\0\0\x01\0\x05title\x02" + len(title).to_bytes(2) + title + b"\0\0\x09"
    tag = b"\x12" + len(script).to_bytes(3) + bytes(7) + script
    audio = b"\x2f\xff" * 60
    tag += (len(tag)).to_bytes(4) + b"\x08" + len(audio).to_bytes(3) + bytes(7) + audio + (len(audio) + 11).to_bytes(4)
    flv = b"FLV\x01\x04\0\0\0\x09\0\0\0\0" + tag
    with pytest.raises(UnicodeDecodeError), real.open(io.BytesIO(flv), format="flv"):
        pass
    with real.open(io.BytesIO(flv), format="flv", metadata_errors="replace") as source:
        assert source.metadata["title"] == title.decode(errors="replace")


def test_a_fault_of_our_own_is_raised(av: FakeAV, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of PyAV's must not look like an answer of a server."""

    def fail(*args: Any, **facts: Any) -> None:
        raise LookupError("a bug")

    av.packets = at_pace
    monkeypatch.setattr("airflow_provider_timav.stream.arrivals.Arrivals.add", fail)
    with pytest.raises(LookupError, match="a bug"):
        probe(server)


class TestConnection:
    def test_nothing_listens(self, av: FakeAV, server: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            url = f"rtmp://127.0.0.1:{closed.getsockname()[1]}/live/42"
        assert probe(url).absence == "no connection"
        assert av.opened == []

    def test_an_unknown_name(self, av: FakeAV) -> None:
        internet = Internet({}, {"play.example": []})
        assert internet.run(RtmpReader().probe("rtmp://play.example/live/1", StreamState(), time.time)).absence == (
            "the host name is not known"
        )

    def test_a_host_that_does_not_answer_takes_no_thread(self, av: FakeAV, monkeypatch: pytest.MonkeyPatch) -> None:
        async def forever(number: str, *_: Any) -> str:
            await asyncio.sleep(60)
            return number

        monkeypatch.setattr(rtmp, "_answers", forever)
        monkeypatch.setattr(rtmp, "CONNECT_SECONDS", 0.1)
        assert probe("rtmp://127.0.0.1/live/42").absence == "no connection in time"
        assert av.threads == set()

    @pytest.mark.parametrize(
        ("faults", "said"),
        [
            ((errno.ENETUNREACH,), "our own network has no way there"),
            ((errno.EMFILE, errno.ENETUNREACH), "our own network has no way there"),
            ((errno.ENETUNREACH, errno.ECONNREFUSED), "no connection"),
        ],
        ids=["no-way", "no-socket", "one-of-two"],
    )
    def test_a_fault_of_our_own_network_is_said_to_be(
        self, av: FakeAV, monkeypatch: pytest.MonkeyPatch, faults: tuple[int, ...], said: str
    ) -> None:
        """That we do not see a stream does not mean that it is gone."""
        left = iter(faults)

        async def fail(*_: Any) -> str:
            raise OSError(next(left), "on purpose")

        monkeypatch.setattr(rtmp, "_answers", fail)
        internet = Internet({}, {"play.example": [f"127.0.0.{number + 1}" for number in range(len(faults))]})
        found = internet.run(RtmpReader().probe("rtmp://play.example/live/42", StreamState(), time.time))
        assert found.absence == said

    def test_one_address_that_answers_is_enough(self, av: FakeAV) -> None:
        with running() as site:
            port = site.server.server_address[1]
            internet = Internet({}, {"play.example": ["127.0.0.9", "127.0.0.1"]})
            found = internet.run(RtmpReader().probe(f"rtmp://play.example:{port}/live/42", StreamState(), time.time))
        assert found.absence == "the server has ended the stream"
        assert av.opened[0][0] == f"rtmp://127.0.0.1:{port}/live/42"

    def test_only_the_public_addresses_of_a_name_are_used(self, av: FakeAV) -> None:
        with running() as site:
            internet = Internet({PUBLIC: site}, {"play.example": ["127.0.0.1", PUBLIC]})
            found = internet.run(RtmpReader().probe("rtmp://play.example/live/42", StreamState(), time.time))
        assert found.public
        assert internet.dialled == [PUBLIC]
        assert av.opened[0][0] == f"rtmp://{PUBLIC}:1935/live/42"

    def test_a_name_that_was_public_is_not_followed_into_a_private_network(self, av: FakeAV) -> None:
        internet = Internet({}, {"play.example": ["127.0.0.1"]})
        state = replace(StreamState(), public=True)
        found = internet.run(RtmpReader().probe("rtmp://play.example/live/42", state, time.time))
        assert "now is on a private address" in found.absence
        assert internet.dialled == []


class TestWhatTheServerIsTold:
    def told(self, av: FakeAV, url: str, site: Site) -> tuple[str, dict[str, str]]:
        internet = Internet({PUBLIC: site}, {"play.example": [PUBLIC]})
        internet.run(RtmpReader().probe(url, StreamState(), time.time))
        return av.opened[0]

    def test_name_of_the_url_and_number_of_the_host(self, av: FakeAV) -> None:
        """Servers choose the stream by the name; the connection goes to the number that was checked."""
        with running() as site:
            address, options = self.told(av, "rtmp://play.example/live/42?txTime=66", site)
        assert address == f"rtmp://{PUBLIC}:1935/live/42?txTime=66"
        assert options["rtmp_tcurl"] == "rtmp://play.example:1935/live"
        assert options["rtmp_live"] == "live"
        assert options.keys().isdisjoint({"rtmp_app", "rtmp_playpath"}), "FFmpeg knows them from the address"

    def test_application_of_two_parts(self, av: FakeAV) -> None:
        with running() as site:
            _, options = self.told(av, "rtmp://play.example:1936/live/room/42", site)
        assert options["rtmp_tcurl"] == "rtmp://play.example:1936/live/room"

    def test_signature_with_a_slash_belongs_to_the_name(self, av: FakeAV) -> None:
        with running() as site:
            _, options = self.told(av, f"rtmp://play.example/live/42?{SECRET}", site)
        assert (options["rtmp_app"], options["rtmp_playpath"]) == ("live", f"42?{SECRET}")


class TestTls:
    """The certificate is checked by Python, which names the fault, and then by FFmpeg, which sends the address."""

    @pytest.fixture
    def authority(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[trustme.CA]:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        caches = (rtmp._trusted, rtmp._context)
        for cache in caches:
            cache.cache_clear()
        yield authority
        for cache in caches:
            cache.cache_clear()

    def test_ffmpeg_checks_it_against_the_name(self, av: FakeAV, authority: trustme.CA, tmp_path: Path) -> None:
        with accepting_tls(authority.issue_cert("localhost")) as port:
            assert probe(f"RTMPS://localhost:{port}/live/42").absence == "the server has ended the stream"
        address, options = av.opened[0]
        assert address == f"rtmps://localhost:{port}/live/42"
        assert options["tls_verify"] == "1"
        assert options["ca_file"] == str(tmp_path / "ca.pem")

    def test_one_that_is_not_trusted_is_said_to_be(self, av: FakeAV, authority: trustme.CA) -> None:
        for wrong in (trustme.CA().issue_cert("localhost"), authority.issue_cert("play.example")):
            with accepting_tls(wrong) as port:
                assert probe(f"rtmps://localhost:{port}/live/42").absence.startswith("no TLS connection: ")
        assert av.opened == []


@contextmanager
def accepting_tls(certificate: trustme.LeafCert) -> Iterator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    closing = False

    def serve() -> None:
        while not closing:
            with suppress(OSError):
                encrypted.accept()[0].close()

    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        context.wrap_socket(listening, server_side=True) as encrypted,
    ):
        port = int(encrypted.getsockname()[1])
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield port
        finally:
            closing = True
            encrypted.shutdown(socket.SHUT_RDWR)
            thread.join(5)


class Gate:
    """Packets that come only once the gate opens: probes that are silent until then."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.waiting = 0
        self.most = 0
        self.lock = threading.Lock()

    def __call__(self) -> Iterator[Any]:
        with self.lock:
            self.waiting += 1
            self.most = max(self.most, self.waiting)
        self.open.wait(30)
        with self.lock:
            self.waiting -= 1
        return iter(())


async def until(holds: Callable[[], bool]) -> None:
    """Wait for threads."""
    async with asyncio.timeout(15):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class TestManyStreams:
    def test_threads_are_limited_and_all_get_their_turn(self, av: FakeAV, server: str) -> None:
        gate = av.packets = Gate()

        async def scene() -> list[Probe]:
            reader = RtmpReader()
            probes = [
                asyncio.create_task(reader.probe(server, StreamState(), time.time)) for _ in range(3 * MOST_OTHERS)
            ]
            await until(lambda: gate.waiting == MOST_OTHERS)
            await asyncio.sleep(0.2)
            gate.open.set()
            return await asyncio.gather(*probes)

        found = asyncio.run(scene())
        assert {one.absence for one in found} == {"the server has ended the stream"}
        assert gate.most == MOST_OTHERS

    def test_a_stream_that_moves_does_not_wait_behind_silence(self, av: FakeAV, server: str) -> None:
        gate = av.packets = Gate()
        moving = StreamState()
        for tail in range(1, 5):
            moving = moving.after(Probe(at=time.time() - 5 + tail, tail=tail, segments=1, playable=True), grace=60)
        assert moving.moving

        async def scene() -> Probe:
            reader = RtmpReader()
            probes = [
                asyncio.create_task(reader.probe(server, StreamState(), time.time)) for _ in range(2 * MOST_OTHERS)
            ]
            await until(lambda: gate.waiting == MOST_OTHERS)
            av.packets = lambda: iter(())
            found = await asyncio.wait_for(reader.probe(server, moving, time.time), 5)
            gate.open.set()
            await asyncio.gather(*probes)
            return found

        assert asyncio.run(scene()).absence == "the server has ended the stream"

    def test_what_is_cancelled_keeps_its_turn_until_its_thread_has_ended(self, av: FakeAV, server: str) -> None:
        """So that cancelling and starting anew does not pile up threads; and there is no wait for them."""
        gate = av.packets = Gate()

        async def scene() -> None:
            reader = RtmpReader()
            for _ in range(3):
                probes = [
                    asyncio.create_task(reader.probe(server, StreamState(), time.time)) for _ in range(MOST_OTHERS)
                ]
                await until(lambda: gate.waiting == MOST_OTHERS)
                await asyncio.sleep(0.1)
                for one in probes:
                    one.cancel()
                await asyncio.wait(probes, timeout=1)
                assert all(one.cancelled() for one in probes)
            gate.open.set()
            await until(lambda: not any(thread.is_alive() for thread in av.threads))
            assert (await reader.probe(server, StreamState(), time.time)).absence == "the server has ended the stream"

        asyncio.run(scene())
        assert gate.most == MOST_OTHERS

    def test_a_thread_that_nobody_waits_for_stops_at_the_next_packet(self, av: FakeAV, server: str) -> None:
        began = threading.Event()

        def standing_still() -> Iterator[Any]:
            while True:
                began.set()
                time.sleep(0.01)
                yield packet("audio", 7)

        av.packets = standing_still

        async def scene() -> None:
            one = asyncio.create_task(RtmpReader().probe(server, StreamState(), time.time))
            await until(began.is_set)
            one.cancel()
            await asyncio.wait([one])
            await until(lambda: not any(thread.is_alive() for thread in av.threads))

        asyncio.run(scene())

    def test_a_loop_may_end_before_its_threads(self, av: FakeAV, server: str) -> None:
        gate = av.packets = Gate()

        async def scene() -> None:
            asyncio.create_task(RtmpReader().probe(server, StreamState(), time.time))  # noqa: RUF006 - it is to be left alone
            await until(lambda: gate.waiting == 1)

        asyncio.run(scene())
        gate.open.set()
        for thread in av.threads:
            thread.join(5)
            assert not thread.is_alive()

    def test_a_probe_is_over_in_time_whatever_its_thread_does(
        self, av: FakeAV, server: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate = Gate()

        def blocked(*args: Any, **facts: Any) -> Any:
            gate()
            raise av.FFmpegError

        monkeypatch.setattr(av, "open", blocked)
        monkeypatch.setattr(rtmp, "PROBE_SECONDS", -0.5)
        assert probe(server).absence == "connected, and nothing arrives"
        gate.open.set()
