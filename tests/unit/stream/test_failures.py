"""Why a request got no answer: faults of our own network and of the proxy are no fault of the server."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Awaitable, Callable

import pytest

from airflow_provider_timav.stream import reader as reader_module
from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.reader import shared_reader, wall_clock
from airflow_provider_timav.stream.reasons import is_unseen
from airflow_provider_timav.stream.state import StreamState
from harness.streams.site import Site, Visit
from tests.unit.stream.peers import Serve, after, for_ever, probe, run, silent, through_proxy


class TestOurOwnNetwork:
    """A fault that shows as silence is no more the stream's than one that shows as an error (K9)."""

    @pytest.mark.usefixtures("little_time")
    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_name_that_nobody_looks_up_is_not_known_in_time(self, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
        released = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [released.wait(20)][1:])
        try:
            absence = probe(f"{scheme}://cdn.example/live.m3u8").absence
        finally:
            released.set()
        assert absence == "the host name is not known in time"
        assert is_unseen(absence)

    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize(
        ("serve", "in_time"), [(after(then=for_ever), " in time"), (after(b""), "")], ids=["silent", "hangs-up"]
    )
    def test_proxy_that_takes_the_connection_and_does_not_answer_is_away(
        self, scheme: str, serve: Serve, in_time: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reader_module, "PROBE_SECONDS", 0.4)
        absence = through_proxy(f"{scheme}://cdn.example/live.m3u8", serve).absence
        assert absence == f"the proxy does not answer{in_time}"
        assert is_unseen(absence)

    @pytest.mark.usefixtures("little_time")
    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_proxy_that_takes_no_connection_is_away(self, scheme: str) -> None:
        async def once(proxy: str) -> Probe:
            async with shared_reader(proxy) as reader:
                return await reader.probe(f"{scheme}://cdn.example/live.m3u8", StreamState(), wall_clock())

        waiting: list[socket.socket] = []
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
            try:
                for _ in range(4):  # no more connections than these are taken, and none is refused
                    waiting.append(socket.socket())
                    waiting[-1].setblocking(False)
                    waiting[-1].connect_ex(full.getsockname())
                absence = run(once(f"http://127.0.0.1:{full.getsockname()[1]}")).absence
            finally:
                for each in waiting:
                    each.close()
        assert absence == "the proxy does not answer in time"

    @pytest.mark.usefixtures("little_time")
    def test_name_of_a_proxy_that_nobody_looks_up_is_the_proxys(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def once() -> Probe:
            async with shared_reader("http://proxy.example:3128") as reader:
                return await reader.probe("https://cdn.example/live.m3u8", StreamState(), wall_clock())

        released = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [released.wait(20)][1:])
        try:
            assert run(once()).absence == "the proxy does not answer in time"
        finally:
            released.set()

    def test_proxy_that_answers_nonsense_to_a_tunnel_is_away(self) -> None:
        absence = through_proxy("https://cdn.example/live.m3u8", after(b"SSH-2.0\r\n\r\n")).absence
        assert absence == "the proxy does not answer"

    @pytest.mark.usefixtures("little_time")
    @pytest.mark.parametrize("then", [for_ever, None], ids=["silent", "hangs-up"])
    def test_server_behind_a_tunnel_is_none_of_the_proxys_doing(
        self, then: Callable[[], Awaitable[None]] | None
    ) -> None:
        tunnel = after(b"HTTP/1.1 200 OK\r\n\r\n", then=then)
        absence = through_proxy("https://cdn.example/live.m3u8", tunnel).absence
        assert "proxy" not in absence
        assert "not known" not in absence

    def test_answer_that_a_proxy_has_passed_on_in_part_is_the_servers(self) -> None:
        found = through_proxy("http://cdn.example/live.m3u8", after(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n#"))
        assert found.absence == "a body that was cut off"

    def test_seconds_that_are_told_are_those_that_were_given(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reader_module, "PROBE_SECONDS", 0.6)

        def slow(visit: Visit) -> None:
            visit.closing.wait(0.3)
            visit.answer("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nsilent.m3u8\n")

        site.pages |= {"/live.m3u8": slow, "/silent.m3u8": silent}
        absence = probe(site.url + "/live.m3u8").absence
        told = re.fullmatch(r"no variant of the master playlist answers: no answer within ([0-9.]+) s", absence)
        assert told is not None, absence
        assert float(told[1]) <= 0.3
