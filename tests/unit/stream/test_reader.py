"""Looks over real sockets."""

from __future__ import annotations

import asyncio
import base64
import gzip
import re
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import aiohttp
import pytest
import trustme

from airflow_provider_timav.stream import reader as reader_module
from airflow_provider_timav.stream.looking import Answer, Get, NoAnswer
from airflow_provider_timav.stream.reader import Reader, follow, glance, shared_reader, wall_clock
from airflow_provider_timav.stream.reasons import is_unseen
from airflow_provider_timav.stream.session import Session
from airflow_provider_timav.stream.watch import Look, Verdict, Watch
from harness.connect_proxy import ConnectProxy
from harness.look_ups import looked_up
from harness.streams.site import Site, Visit, media, running

T = TypeVar("T")


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as site:
        yield site


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "next_pause", lambda watch, chance: 0.1)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(coroutine, 20))


def look(url: str, watch: Watch | None = None) -> Look:
    async def once() -> Look:
        async with shared_reader() as reader:
            return await reader.look(url, watch or Watch(), wall_clock())

    return run(once())


def expecting(tail: int) -> Watch:
    return Watch().after(Look(at=time.time(), tail=tail, segments=3, target_duration=5), grace=60)


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


def silent(visit: Visit) -> None:
    visit.closing.wait(20)


def test_a_playlist_is_read_whatever_its_type_is_called(site: Site) -> None:
    url = site.text("/live.m3u8", media(7, 3), content_type="text/html")
    assert look(url).tail == 10


def test_a_look_sends_no_credential_and_nothing_of_the_environment_and_a_cookie_only_where_it_was_set(
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
        assert look(site.url + "/a.m3u8", expecting(9)).playable is True
        look(site.url + "/a.m3u8")
        visits = [*site.visits, *other.visits]
    assert len(visits) == 5
    for visit in visits:
        assert set(visit.headers) <= {"Host", "Accept", "Accept-Encoding", "User-Agent", "Range", "Cookie"}
    sent = [(visit.path, visit.headers.get("Cookie")) for visit in visits if "Cookie" in visit.headers]
    assert sent == [("/segment.ts?n=9", "other=2")], "each watch begins without one"


def test_cookie_that_the_master_playlist_sets_lets_a_viewer_in(site: Site) -> None:
    site.text("/live.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n", Set_Cookie="s=a+b/c==; HttpOnly")

    def variant(visit: Visit) -> None:
        let_in = visit.headers.get("Cookie") == "s=a+b/c=="
        visit.answer(media(7, 3) if let_in else "", 200 if let_in else 401)

    site.pages["/v.m3u8"] = variant
    assert look(site.url + "/live.m3u8").tail == 10


def test_cookies_of_a_watch_are_bounded(site: Site) -> None:
    session = Session()

    async def several() -> None:
        async with shared_reader() as reader:
            for number in range(6):
                page = media(7, 3)
                url = site.text("/live.m3u8", page, Set_Cookie=f"c{number}={'a' * 3000}; Path=/")
                await reader.look(url, Watch(), wall_clock(), session)

    run(several())
    assert max(len(visit.headers.get("Cookie", "")) for visit in site.visits) < 9000


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
    assert look(site.text("/live.m3u8", media(7, 3)), expecting(9)).playable is True
    assert time.monotonic() - begun < 2
    assert sum(written) < 1 << 25


def test_a_signed_query_arrives_as_it_was_written(site: Site) -> None:
    site.text("/live.m3u8", media(7, 3))
    query = "?txSecret=a%2Bb%7Ec%2fd+e&t='(x)'~;,%E4%BD%A0"
    look(f"{site.url}/live.m3u8{query}")
    look(f"{site.url}/live.m3u8?name=\u4f60")
    assert site.paths() == [f"/live.m3u8{query}", "/live.m3u8?name=%E4%BD%A0"]


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
    found = look(site.url + "/page?auth=secret")
    assert found.tail is None
    assert why in found.absence
    assert "secret" not in found.absence


@pytest.mark.parametrize("page", [drip, silent], ids=["drip", "silence"])
def test_a_look_is_over_in_time_however_slow_the_server_is(
    site: Site, page: Callable[[Visit], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "LOOK_SECONDS", 0.25)
    site.pages["/live.m3u8"] = page
    begun = time.monotonic()
    assert look(site.url + "/live.m3u8").absence == "no answer within 0.25 s"
    assert time.monotonic() - begun < 1.5


def test_a_segment_that_keeps_us_waiting_is_not_playable_and_the_playlist_counts_all_the_same(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "LOOK_SECONDS", 0.25)
    site.pages["/segment.ts"] = silent
    found = look(site.text("/live.m3u8", media(7, 3)), expecting(9))
    assert (found.tail, found.playable) == (10, False)


def test_nobody_at_home_is_absent() -> None:
    with running() as gone:
        url = gone.url
    assert look(url + "/live.m3u8?auth=secret").absence == "no connection"
    assert look("http://timav.invalid/live.m3u8").absence == "the host name is not known"


def test_a_proxy_is_used_and_one_that_is_away_is_told_apart(site: Site) -> None:
    async def through(proxy: str) -> Look:
        async with shared_reader(proxy) as reader:
            return await reader.look("http://cdn.example/live.m3u8", Watch(), wall_clock())

    site.pages["http://cdn.example/live.m3u8"] = lambda visit: visit.answer(media(7, 3))
    assert run(through(site.url)).tail == 10
    assert run(through("http://127.0.0.1:9")).absence == "the proxy does not answer"


def over_tls(site: Site, monkeypatch: pytest.MonkeyPatch, folder: Path) -> str:
    """Have a site speak TLS with a certificate that is trusted here, and return its address."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    site.server.socket = context.wrap_socket(site.server.socket, server_side=True)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    reader_module._trust.cache_clear()
    return site.url.replace("http:", "https:")


class TestProxyWithAPassword:
    """The proxy gets it, and nobody else: no server, and no address that a library is given."""

    @pytest.fixture(params=["user:p%40ss%3F密", "t0ken-of-a-user"], ids=["user and password", "token"])
    def credentials(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def expected(self, credentials: str) -> str:
        user, _, password = unquote(credentials).partition(":")
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    @pytest.fixture
    def told(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
        """What the library knows of each request, as a watcher of the process shows it."""
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

    async def look_twice(self, url: str, proxy: str) -> list[int | None]:
        """The second time over a connection that is open already."""
        async with shared_reader(proxy) as reader:
            return [(await reader.look(url, Watch(), wall_clock())).tail for _ in range(2)]

    def test_it_goes_with_each_request_without_tls(
        self, site: Site, credentials: str, expected: str, told: list[str]
    ) -> None:
        site.pages["http://cdn.example/live.m3u8"] = lambda visit: visit.answer(media(7, 3))
        proxy = site.url.replace("//", f"//{credentials}@")
        assert run(self.look_twice("http://cdn.example/live.m3u8", proxy)) == [10, 10]
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
            assert run(self.look_twice(url, f"http://{credentials}@{place}")) == [10, 10]
        finally:
            proxy.close()
            thread.join()
        (head,) = proxy.heads
        assert f"\r\nProxy-Authorization: {expected}\r\n".encode() in head
        assert len(site.visits) == 2
        assert all("Proxy-Authorization" not in visit.headers for visit in site.visits)


@pytest.fixture
def fresh_trust() -> Iterator[None]:
    reader_module._trust.cache_clear()
    yield
    reader_module._trust.cache_clear()


def test_the_servers_certificate_is_checked_against_what_the_system_trusts(
    site: Site, fresh_trust: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as trusting:
        url = over_tls(site, trusting, tmp_path) + "/live.m3u8"
        site.text("/live.m3u8", media(7, 3))
        assert look(url).tail == 10
    reader_module._trust.cache_clear()
    assert look(url).absence.startswith("no TLS connection")


def test_many_watches_share_one_client_and_at_most_twenty_sockets_and_the_last_one_closes_it(site: Site) -> None:
    site.pages["/live.m3u8"] = lambda visit: (time.sleep(0.01), visit.answer(media(7, 3)))[1]  # type: ignore[func-returns-value]

    async def many() -> set[int]:
        async def one() -> int:
            async with shared_reader() as reader:
                for _ in range(3):
                    assert (await reader.look(site.url + "/live.m3u8", Watch(), wall_clock())).tail == 10
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
    """Streams that do not answer keep all sockets for a while; the others look later, and see what there is."""
    monkeypatch.setattr(reader_module, "LOOK_SECONDS", 0.25)
    site.pages["/silent.m3u8"] = silent
    good = site.text("/live.m3u8", media(7, 3))

    async def crowd() -> Look:
        async with shared_reader() as reader:
            silents = [
                asyncio.create_task(reader.look(site.url + "/silent.m3u8", Watch(), wall_clock())) for _ in range(40)
            ]
            await asyncio.sleep(0.05)
            found = await reader.look(good, Watch(), wall_clock())
            await asyncio.gather(*silents)
            return found

    assert run(crowd()).tail == 10


def test_a_long_playlist_does_not_keep_the_loop_away_from_the_others(site: Site) -> None:
    url = site.text("/live.m3u8", media(0, 25_000))
    busiest = 0.0

    async def watched() -> Look:
        nonlocal busiest

        async def pulse() -> None:
            nonlocal busiest
            while True:
                before = time.thread_time()
                await asyncio.sleep(0.005)
                busiest = max(busiest, time.thread_time() - before)

        async with shared_reader() as reader:
            heart = asyncio.create_task(pulse())
            found = await reader.look(url, Watch(), wall_clock())
            heart.cancel()
            return found

    assert run(watched()).tail == 25_000
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

        async def enough(watch: Watch) -> bool:
            verdicts.append(watch.verdict)
            return watch.verdict is Verdict.ENDED

        async def no_pause(_: float) -> None:
            return

        async with shared_reader() as reader:
            await follow(reader, url, Watch(), grace=60, enough=enough, sleep=no_pause)
        return verdicts

    assert run(told()) == ["ABSENT", "EMPTY", "STARTING", "STARTING", "LIVE", "RESET", "ENDED"]


@pytest.mark.usefixtures("short_pauses")
def test_a_glance_reads_until_it_sees_the_tail_move(site: Site) -> None:
    found = glance(site.live(every=0.3), Watch(), grace=60, seconds=5)
    assert found.verdict is Verdict.LIVE
    assert len([path for path in site.paths() if path.startswith("/live")]) >= 2


def test_a_glance_at_the_cached_list_of_the_last_show_is_bounded_and_not_live(site: Site) -> None:
    url = site.text("/live.m3u8", media(7, 3))
    begun = time.monotonic()
    assert glance(url, Watch(), grace=60, seconds=0.4).verdict is Verdict.STARTING
    assert 0.4 <= time.monotonic() - begun < 2.5
    assert len(site.visits) >= 2


def test_a_glance_where_nothing_is_takes_one_read(site: Site) -> None:
    assert glance(site.url + "/live.m3u8", Watch(), grace=60, seconds=5).verdict is Verdict.ABSENT
    assert len(site.visits) == 1


def test_a_glance_also_works_where_a_loop_runs_already(site: Site) -> None:
    async def notebook() -> Watch:
        return glance(site.text("/live.m3u8", media(7, 3, endlist=True)), Watch(), grace=60, seconds=1)

    assert run(notebook()).verdict is Verdict.ENDED


def test_a_glance_comes_back_though_no_name_server_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-up hangs on; nobody waits for its thread, neither the look nor the end of the loop."""
    monkeypatch.setattr(reader_module, "LOOK_SECONDS", 0.25)
    released, found = threading.Event(), threading.Event()
    seen: list[Watch] = []

    def hang(*_: Any, **__: Any) -> list[Any]:
        released.wait(60)
        return []

    def glancing() -> None:
        seen.append(glance("http://stuck.invalid/live.m3u8", Watch(), grace=60, seconds=0))
        found.set()

    with looked_up("stuck.invalid", hang):
        thread = threading.Thread(target=glancing, daemon=True)
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


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _for_ever() -> None:
    await asyncio.Event().wait()


def _after(*said: bytes, then: Callable[[], Awaitable[None]] | None = None) -> Serve:
    """Return a server that says one thing after each request, and then hangs up, if it does nothing else."""

    async def serve(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        for one in said:
            await incoming.readuntil(b"\r\n\r\n")
            outgoing.write(one)
            await outgoing.drain()
        if then is not None:
            await then()

    return serve


@asynccontextmanager
async def _at(serve: Serve) -> AsyncIterator[str]:
    async def once(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        try:
            await serve(incoming, outgoing)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            outgoing.close()

    async with await asyncio.start_server(once, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def _served(serve: Serve) -> Look:
    """Look at what a server says of itself."""

    async def once() -> Look:
        async with _at(serve) as url, shared_reader() as reader:
            return await reader.look(url + "/live.m3u8", Watch(), wall_clock())

    return run(once())


def _through(url: str, serve: Serve) -> Look:
    """Look through a proxy."""

    async def once() -> Look:
        async with _at(serve) as proxy, shared_reader(proxy) as reader:
            return await reader.look(url, Watch(), wall_clock())

    return run(once())


@pytest.fixture(params=[(0.4, 60.0), (60.0, 0.4)], ids=["look", "connection"])
def little_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """Little time for a look, or for a name and a connection: which of them ends first changes nothing."""
    whole, connection = request.param
    monkeypatch.setattr(reader_module, "LOOK_SECONDS", whole)
    monkeypatch.setattr(reader_module, "CONNECT_SECONDS", connection)
    return float(whole)


class TestOurOwnNetwork:
    """Its trouble that hangs is no more the stream's than its trouble that says so (K9)."""

    @pytest.mark.usefixtures("little_time")
    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_name_that_nobody_looks_up_is_not_known_in_time(self, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
        released = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [released.wait(20)][1:])
        try:
            absence = look(f"{scheme}://cdn.example/live.m3u8").absence
        finally:
            released.set()
        assert absence == "the host name is not known in time"
        assert is_unseen(absence)

    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize(
        ("serve", "in_time"), [(_after(then=_for_ever), " in time"), (_after(b""), "")], ids=["silent", "hangs-up"]
    )
    def test_proxy_that_takes_the_connection_and_does_not_answer_is_away(
        self, scheme: str, serve: Serve, in_time: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reader_module, "LOOK_SECONDS", 0.4)
        absence = _through(f"{scheme}://cdn.example/live.m3u8", serve).absence
        assert absence == f"the proxy does not answer{in_time}"
        assert is_unseen(absence)

    @pytest.mark.usefixtures("little_time")
    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_proxy_that_takes_no_connection_is_away(self, scheme: str) -> None:
        async def once(proxy: str) -> Look:
            async with shared_reader(proxy) as reader:
                return await reader.look(f"{scheme}://cdn.example/live.m3u8", Watch(), wall_clock())

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
        async def once() -> Look:
            async with shared_reader("http://proxy.example:3128") as reader:
                return await reader.look("https://cdn.example/live.m3u8", Watch(), wall_clock())

        released = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [released.wait(20)][1:])
        try:
            assert run(once()).absence == "the proxy does not answer in time"
        finally:
            released.set()

    def test_proxy_that_answers_nonsense_to_a_tunnel_is_away(self) -> None:
        absence = _through("https://cdn.example/live.m3u8", _after(b"SSH-2.0\r\n\r\n")).absence
        assert absence == "the proxy does not answer"

    @pytest.mark.usefixtures("little_time")
    @pytest.mark.parametrize("then", [_for_ever, None], ids=["silent", "hangs-up"])
    def test_server_behind_a_tunnel_is_none_of_the_proxys_doing(
        self, then: Callable[[], Awaitable[None]] | None
    ) -> None:
        tunnel = _after(b"HTTP/1.1 200 OK\r\n\r\n", then=then)
        absence = _through("https://cdn.example/live.m3u8", tunnel).absence
        assert "proxy" not in absence
        assert "not known" not in absence

    def test_answer_that_a_proxy_has_passed_on_in_part_is_the_servers(self) -> None:
        found = _through("http://cdn.example/live.m3u8", _after(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n#"))
        assert found.absence == "a body that was cut off"

    def test_seconds_that_are_told_are_those_that_were_given(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reader_module, "LOOK_SECONDS", 0.6)

        def slow(visit: Visit) -> None:
            visit.closing.wait(0.3)
            visit.answer("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nsilent.m3u8\n")

        site.pages |= {"/live.m3u8": slow, "/silent.m3u8": silent}
        absence = look(site.url + "/live.m3u8").absence
        told = re.fullmatch(r"no variant of the master playlist answers: no answer within ([0-9.]+) s", absence)
        assert told is not None, absence
        assert float(told[1]) <= 0.3


class TestStatus:
    """What a status says is not lost with a body that nobody needs."""

    @pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
    @pytest.mark.parametrize("then", [_for_ever, None], ids=["held-open", "closed"])
    @pytest.mark.parametrize("framing", [b"Content-Length: 500", b"Transfer-Encoding: chunked", b"X: y"])
    def test_refusal_with_half_a_body_is_that_refusal(
        self, status: int, then: Callable[[], Awaitable[None]] | None, framing: bytes
    ) -> None:
        half = b"HTTP/1.1 %d No\r\n%s\r\n\r\n1f4\r\nno" % (status, framing)
        absence = _served(_after(half, then=then)).absence
        assert absence == f"HTTP status {status}"
        assert is_unseen(absence) is (status in (401, 403, 429))

    @pytest.mark.parametrize("then", [_for_ever, None], ids=["held-open", "closed"])
    def test_redirect_with_half_a_body_is_followed(
        self, site: Site, then: Callable[[], Awaitable[None]] | None
    ) -> None:
        where = site.text("/live.m3u8", media(7, 3)).encode()
        half = b"HTTP/1.1 302 There\r\nLocation: %s\r\nContent-Length: 500\r\n\r\nno" % where
        assert _served(_after(half, then=then)).tail == 10

    def test_its_body_takes_no_more_than_half_of_the_time_that_is_left(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reader_module, "LOOK_SECONDS", 1.0)
        monkeypatch.setattr(reader_module, "REFUSAL_SECONDS", 60.0)
        where = site.text("/live.m3u8", media(7, 3)).encode()
        half = b"HTTP/1.1 302 There\r\nLocation: %s\r\nContent-Length: 500\r\n\r\nno" % where
        assert _served(_after(half, then=_for_ever)).tail == 10

    def test_half_a_list_is_none(self) -> None:
        half = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + media(7, 3).encode()
        assert _served(_after(half)).absence == "a body that was cut off"

    def test_connection_is_used_again_after_a_refusal_with_a_body(self, site: Site) -> None:
        site.text("/live.m3u8", "n" * 30_000, 404)

        async def twice() -> None:
            async with shared_reader() as reader:
                for _ in range(2):
                    await reader.look(site.url + "/live.m3u8", Watch(), wall_clock())

        run(twice())
        assert (len(site.visits), site.all_connections) == (2, 1)


class TestMemory:
    @pytest.mark.parametrize("encoding", ["gzip", ""])
    def test_bodies_that_are_long_when_they_are_unpacked_are_read_a_few_at_a_time(
        self, encoding: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lock, enough = threading.Lock(), threading.Event()
        at_work, most = 0, 0

        def advance(conversation: Any, answer: Answer) -> Look:
            nonlocal at_work, most
            with lock:
                at_work += 1
                most = max(most, at_work)
            enough.wait(0.02)
            with lock:
                at_work -= 1
            return Look(at=0)

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
        def conversation() -> Generator[Get, Answer | NoAnswer, Look]:
            yield Get("http://cdn.example/live.m3u8", 1)
            yield Get("http://cdn.example/segment.ts", 1)
            return Look(at=0)

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
                    await reader.look(site.url + "/half.m3u8", Watch(), wall_clock())
                    found.append((await reader.look(site.url + "/live.m3u8", Watch(), wall_clock())).tail)
                return found

        assert set(run(several())) == {10}
