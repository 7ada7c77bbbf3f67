"""Requests over real sockets: credentials, cookies, proxies, certificates, statuses."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import aiohttp
import pytest

from airflow_provider_timav.stream import http_client
from airflow_provider_timav.stream import reader as reader_module
from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.reader import shared_reader, wall_clock
from airflow_provider_timav.stream.reasons import is_unseen
from airflow_provider_timav.stream.session import Session
from airflow_provider_timav.stream.state import StreamState
from harness.connect_proxy import ConnectProxy
from harness.streams.site import Site, Visit, media, running
from tests.unit.stream.peers import after, expecting, for_ever, over_tls, probe, run, served


def test_a_probe_sends_no_credential_and_nothing_of_the_environment_and_a_cookie_only_where_it_was_set(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with running() as other:
        other.text("/b.m3u8", media(7, 3), Set_Cookie="other=2; Path=/")
        other_url = other.url.replace("127.0.0.1", "localhost")
        site.pages["/a.m3u8"] = lambda visit: visit.answer(
            "", 302, Location=f"{other_url}/b.m3u8", Set_Cookie="id=1; Path=/"
        )
        assert probe(site.url + "/a.m3u8", expecting(9)).playable is True
        probe(site.url + "/a.m3u8")
        visits = [*site.visits, *other.visits]
    assert len(visits) == 5
    for visit in visits:
        assert set(visit.headers) <= {"Host", "Accept", "Accept-Encoding", "User-Agent", "Range", "Cookie"}
    sent = [(visit.path, visit.headers.get("Cookie")) for visit in visits if "Cookie" in visit.headers]
    assert sent == [("/segment.ts?n=9", "other=2")], "each session begins without one"


def test_cookie_that_the_master_playlist_sets_lets_a_viewer_in(site: Site) -> None:
    site.text("/live.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n", Set_Cookie="s=a+b/c==; HttpOnly")

    def variant(visit: Visit) -> None:
        let_in = visit.headers.get("Cookie") == "s=a+b/c=="
        visit.answer(media(7, 3) if let_in else "", 200 if let_in else 401)

    site.pages["/v.m3u8"] = variant
    assert probe(site.url + "/live.m3u8").tail == 10


def test_cookies_of_a_session_are_bounded(site: Site) -> None:
    session = Session()

    async def several() -> None:
        async with shared_reader() as reader:
            for number in range(6):
                page = media(7, 3)
                url = site.text("/live.m3u8", page, Set_Cookie=f"c{number}={'a' * 3000}; Path=/")
                await reader.probe(url, StreamState(), wall_clock(), session)

    run(several())
    assert max(len(visit.headers.get("Cookie", "")) for visit in site.visits) < 9000


def test_a_signed_query_arrives_as_it_was_written(site: Site) -> None:
    site.text("/live.m3u8", media(7, 3))
    query = "?txSecret=a%2Bb%7Ec%2fd+e&t='(x)'~;,%E4%BD%A0"
    probe(f"{site.url}/live.m3u8{query}")
    probe(f"{site.url}/live.m3u8?name=\u4f60")
    assert site.paths() == [f"/live.m3u8{query}", "/live.m3u8?name=%E4%BD%A0"]


def test_a_proxy_is_used_and_one_that_is_away_is_told_apart(site: Site) -> None:
    async def through(proxy: str) -> Probe:
        async with shared_reader(proxy) as reader:
            return await reader.probe("http://cdn.example/live.m3u8", StreamState(), wall_clock())

    site.pages["http://cdn.example/live.m3u8"] = lambda visit: visit.answer(media(7, 3))
    assert run(through(site.url)).tail == 10
    assert run(through("http://127.0.0.1:9")).absence == "the proxy does not answer"


class TestProxyWithAPassword:
    """Only the proxy gets it: no server, and no address that a library is given."""

    @pytest.fixture(params=["user:p%40ss%3F密", "t0ken-of-a-user"], ids=["user and password", "token"])
    def credentials(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def expected(self, credentials: str) -> str:
        user, _, password = unquote(credentials).partition(":")
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    @pytest.fixture
    def told(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
        """The library's objects of each request, as a monitor of the process shows them."""
        shown: list[str] = []
        connect = aiohttp.TCPConnector.connect

        async def watched(connector: Any, request: Any, *args: Any, **facts: Any) -> Any:
            shown.append(repr((request.url, request.proxy, request.proxy_auth, request.proxy_headers, request.headers)))
            return await connect(connector, request, *args, **facts)

        monkeypatch.setattr(aiohttp.TCPConnector, "connect", watched)
        yield shown
        assert shown
        for text in shown:
            assert not re.search("p%40ss|p@ss|t0ken|Basic", text)

    async def probe_twice(self, url: str, proxy: str) -> list[int | None]:
        """The second time over a connection that is open already."""
        async with shared_reader(proxy) as reader:
            return [(await reader.probe(url, StreamState(), wall_clock())).tail for _ in range(2)]

    def test_it_goes_with_each_request_without_tls(
        self, site: Site, credentials: str, expected: str, told: list[str]
    ) -> None:
        site.pages["http://cdn.example/live.m3u8"] = lambda visit: visit.answer(media(7, 3))
        proxy = site.url.replace("//", f"//{credentials}@")
        assert run(self.probe_twice("http://cdn.example/live.m3u8", proxy)) == [10, 10]
        assert [visit.headers.get("Proxy-Authorization") for visit in site.visits] == [expected] * 2
        assert site.all_connections == 1
        assert len(told) == 2

    @pytest.mark.usefixtures("fresh_trust", "told")
    def test_it_goes_with_the_request_for_a_tunnel_and_not_through_it(
        self, site: Site, credentials: str, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        url = over_tls(site, monkeypatch, tmp_path) + "/live.m3u8"
        site.text("/live.m3u8", media(7, 3))
        proxy = ConnectProxy(200)
        thread = threading.Thread(target=proxy.serve)
        thread.start()
        try:
            place = proxy.url.rpartition("@")[2]
            assert run(self.probe_twice(url, f"http://{credentials}@{place}")) == [10, 10]
        finally:
            proxy.close()
            thread.join()
        (head,) = proxy.heads
        assert f"\r\nProxy-Authorization: {expected}\r\n".encode() in head
        assert len(site.visits) == 2
        assert all("Proxy-Authorization" not in visit.headers for visit in site.visits)


def test_the_servers_certificate_is_checked_against_what_the_system_trusts(
    site: Site, fresh_trust: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as trusting:
        url = over_tls(site, trusting, tmp_path) + "/live.m3u8"
        site.text("/live.m3u8", media(7, 3))
        assert probe(url).tail == 10
    http_client.trust.cache_clear()
    assert probe(url).absence.startswith("no TLS connection")


class TestStatus:
    """A status is not lost with a body that is not needed."""

    @pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
    @pytest.mark.parametrize("then", [for_ever, None], ids=["held-open", "closed"])
    @pytest.mark.parametrize("framing", [b"Content-Length: 500", b"Transfer-Encoding: chunked", b"X: y"])
    def test_refusal_with_half_a_body_is_that_refusal(
        self, status: int, then: Callable[[], Awaitable[None]] | None, framing: bytes
    ) -> None:
        half = b"HTTP/1.1 %d No\r\n%s\r\n\r\n1f4\r\nno" % (status, framing)
        absence = served(after(half, then=then)).absence
        assert absence == f"HTTP status {status}"
        assert is_unseen(absence) is (status in (401, 403, 429))

    @pytest.mark.parametrize("then", [for_ever, None], ids=["held-open", "closed"])
    def test_redirect_with_half_a_body_is_followed(
        self, site: Site, then: Callable[[], Awaitable[None]] | None
    ) -> None:
        where = site.text("/live.m3u8", media(7, 3)).encode()
        half = b"HTTP/1.1 302 There\r\nLocation: %s\r\nContent-Length: 500\r\n\r\nno" % where
        assert served(after(half, then=then)).tail == 10

    def test_its_body_takes_no_more_than_half_of_the_time_that_is_left(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reader_module, "PROBE_SECONDS", 1.0)
        monkeypatch.setattr(http_client, "REFUSAL_SECONDS", 60.0)
        where = site.text("/live.m3u8", media(7, 3)).encode()
        half = b"HTTP/1.1 302 There\r\nLocation: %s\r\nContent-Length: 500\r\n\r\nno" % where
        assert served(after(half, then=for_ever)).tail == 10

    def test_half_a_list_is_none(self) -> None:
        half = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + media(7, 3).encode()
        assert served(after(half)).absence == "a body that was cut off"

    def test_connection_is_used_again_after_a_refusal_with_a_body(self, site: Site) -> None:
        site.text("/live.m3u8", "n" * 30_000, 404)

        async def twice() -> None:
            async with shared_reader() as reader:
                for _ in range(2):
                    await reader.probe(site.url + "/live.m3u8", StreamState(), wall_clock())

        run(twice())
        assert (len(site.visits), site.all_connections) == (2, 1)
