"""The request line: what libraries write, and what leaves."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import functools
import html
import http.client
import json
import re
import socket
import ssl
import time
import traceback
import urllib.parse
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
import trustme

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.proxies import secrets
from airflow_provider_timav.videorelay import calls
from airflow_provider_timav.videorelay.errors import ConfigurationError, ProtocolError, TransportError
from airflow_provider_timav.videorelay.exchange import RetryBudget
from airflow_provider_timav.videorelay.line import PLACEHOLDER, Proxy, RequestLine, Secret, forms, introduced
from airflow_provider_timav.videorelay.transport import Flight, TlsObject, in_flight
from harness.canary import Canaries, everything_logged
from harness.clients import Blocking, ClientOf, start
from harness.peer import Peer, Wire
from tests.unit.videorelay.peers import REFUSED

USERSIG = "eJw*tzcz2+Value/of-a_UserSig="
QUOTED = b"eJw%2Atzcz2%2BValue%2Fof-a_UserSig%3D"
REST = b"identifier=%2A%2A%2A&sdkappid=1&random=2 HTTP/1.1\r\nX: usersig=***&\r\n\r\n" + b'{"user":"usersig=***&"}'
WRITTEN = b"POST /v3/openim/videorelay?usersig=***&" + REST
LEAVES = b"POST /v3/openim/videorelay?usersig=" + QUOTED + b"&" + REST


class Leaving:
    """Takes what leaves, at most so many bytes at a time; before each time it may want to be asked again."""

    def __init__(self, most: int = 1 << 20, *, reluctant: bool = False) -> None:
        self.bytes = b""
        self._most = most
        self._reluctant = reluctant
        self._refused = False

    def __call__(self, data: memoryview) -> int:
        if self._reluctant and not self._refused:
            self._refused = True
            raise ssl.SSLWantReadError
        self._refused = False
        piece = bytes(data[: self._most])
        self.bytes += piece
        return len(piece)


def line() -> RequestLine:
    return RequestLine(Secret.quoted(USERSIG))


def write_all(line: RequestLine, data: Any, leave: Leaving) -> None:
    """Write as libraries do: what was not taken again, and all of it again where TLS wants that."""
    view = memoryview(data)
    while view:
        if line.filled:
            view = view[leave(view) :]
            continue
        try:
            view = view[line.write(view, leave) :]
        except ssl.SSLWantReadError:
            continue


class TestRequestLine:
    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview], ids=lambda kind: kind.__name__)
    def test_usersig_takes_the_place_of_its_placeholder_and_of_no_other(self, kind: Callable[[bytes], Any]) -> None:
        """An identifier, a header or a body may hold what looks like it."""
        leave = Leaving()
        write_all(line(), kind(WRITTEN), leave)
        assert leave.bytes == LEAVES

    @pytest.mark.parametrize("size", [1, 2, 7, 34, 35, 36, 38, 39, 40, 100])
    def test_library_may_write_in_pieces(self, size: int) -> None:
        leave, one = Leaving(), line()
        for place in range(0, len(WRITTEN), size):
            write_all(one, WRITTEN[place : place + size], leave)
        assert leave.bytes == LEAVES

    @pytest.mark.parametrize("reluctant", [False, True], ids=["at once", "asked again before each"])
    @pytest.mark.parametrize("most", [1, 3, 40, 1000])
    def test_tls_may_take_it_in_pieces(self, most: int, reluctant: bool) -> None:
        leave = Leaving(most, reluctant=reluctant)
        one = line()
        written = memoryview(WRITTEN)
        while written:
            try:
                written = written[(leave(written) if one.filled else one.write(written, leave)) :]
            except ssl.SSLWantReadError:
                assert leave.bytes == LEAVES[: len(leave.bytes)]
        assert leave.bytes == LEAVES

    def test_it_is_filled_once(self) -> None:
        leave, one = Leaving(), line()
        assert not one.filled
        assert one.write(WRITTEN, leave) == len(WRITTEN)
        assert one.filled

    @pytest.mark.parametrize(
        "written",
        [
            pytest.param(b"CONNECT 127.0.0.1:443 HTTP/1.1\r\n\r\n", id="a request for a tunnel"),
            pytest.param(b"GET" + WRITTEN[4:], id="another method"),
            pytest.param(b"POST /elsewhere?usersig=***&", id="another path"),
            pytest.param(WRITTEN.replace(b"***", b"**x", 1), id="another text in its place"),
            pytest.param(b"x" + WRITTEN, id="something before it"),
        ],
    )
    def test_what_begins_otherwise_does_not_leave(self, written: bytes) -> None:
        leave, one = Leaving(), line()
        with pytest.raises(OSError, match="begins otherwise") as refused:
            one.write(written, leave)
        assert leave.bytes == b""
        assert "usersig" not in str(refused.value)

    def test_usersig_of_any_text_is_quoted(self) -> None:
        """One that no address can hold is the service's to refuse: no error of ours would have its text at hand."""
        for text, quoted in (
            ("é", b"%C3%A9"),
            ("a b&c", b"a%20b%26c"),
            ("\ud800", b"%ED%A0%80"),
            (PLACEHOLDER, b"%2A%2A%2A"),
        ):
            assert bytes(Secret.quoted(text).view) == quoted

    def test_it_shows_nothing(self) -> None:
        one = line()
        with pytest.raises(ssl.SSLWantReadError):
            one.write(WRITTEN, Leaving(reluctant=True))
        flight = Flight(0.0, one, Proxy.of("http://user:pr0xypass@proxy:1").introduction)
        for shown in (one, Secret.quoted(USERSIG), Secret.quoted(USERSIG).view, flight, vars(flight)):
            assert not re.search("eJw|tzcz2|UserSig|dXNlcj", repr(shown))


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The client's and the server's."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    client.sslobject_class = TlsObject
    return client, server


class Talk:
    """TLS in memory between a client's object and a server's."""

    def __init__(self, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
        self._there, self._back = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = contexts[0].wrap_bio(self._back, self._there, server_hostname="localhost")
        self._server = contexts[1].wrap_bio(self._there, self._back, server_side=True)

    def shake_hands(self, *, of: Any) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            of.do_handshake()

    def finish(self) -> None:
        for _ in range(3):
            self.shake_hands(of=self._server)
            self.shake_hands(of=self.client)

    def received(self) -> bytes:
        found = b""
        with contextlib.suppress(ssl.SSLWantReadError):
            while piece := self._server.read(1 << 16):
                found += piece
        return found


def shown(error: BaseException) -> str:
    """What a watcher of the process shows of an exception: the variables of each frame."""
    frames = list(traceback.walk_tb(error.__traceback__))
    assert any(frame.f_code.co_filename == ssl.__file__ for frame, _ in frames)
    own = [frame for frame, _ in frames if frame.f_code.co_filename != __file__]
    return repr([{name: repr(value) for name, value in frame.f_locals.items()} for frame in own])


class TestTlsObject:
    def test_write_that_waits_for_the_other_side_is_gone_on_with(self, contexts: Any) -> None:
        """As in a renegotiation: TLS wants to read first, and asyncio writes the same bytes again."""
        flight = Flight(0.0, line())
        talk = Talk(contexts)
        with in_flight(flight):
            talk.shake_hands(of=talk.client)
            for _ in range(2):
                with pytest.raises(ssl.SSLWantReadError):
                    talk.client.write(WRITTEN)
            talk.finish()
            assert talk.client.write(WRITTEN) == len(WRITTEN)
            assert talk.client.write(WRITTEN) == len(WRITTEN)
        assert talk.received() == LEAVES + WRITTEN

    def test_long_one_leaves_whole(self, contexts: Any) -> None:
        """TLS takes at most 16 KiB at a time."""
        flight = Flight(0.0, RequestLine(Secret.quoted("x" * 50_000)))
        talk = Talk(contexts)
        with in_flight(flight):
            talk.shake_hands(of=talk.client)
            talk.finish()
            assert talk.client.write(WRITTEN) == len(WRITTEN)
        assert talk.received() == LEAVES.replace(QUOTED, b"x" * 50_000)

    def test_write_that_fails_shows_no_usersig(self, contexts: Any) -> None:
        flight = Flight(0.0, line())
        talk = Talk(contexts)
        with in_flight(flight):
            talk.shake_hands(of=talk.client)
            talk.finish()
            with pytest.raises(ssl.SSLWantReadError):
                talk.client.unwrap()
            with pytest.raises(ssl.SSLError) as failed:
                talk.client.write(WRITTEN)
        assert flight.sent
        assert not re.search("eJw|tzcz2|UserSig", shown(failed.value))


class TestProxy:
    @pytest.mark.parametrize(
        ("url", "address", "pair"),
        [
            ("http://proxy:3128", "http://proxy:3128", None),
            ("http://user:pass@proxy:3128", "http://proxy:3128", b"user:pass"),
            ("http://user@proxy:3128", "http://proxy:3128", b"user:"),
            ("http://user:p%40ss%3A%25@proxy:3128/", "http://proxy:3128", b"user:p@ss:%"),
            ("http://user:12%3Fs%23s%2F@proxy:3128", "http://proxy:3128", b"user:12?s#s/"),
            ("http://user:p@ss:word@proxy:3128", "http://proxy:3128", b"user:p@ss:word"),
            ("http://CORP\\joe:pw@[::1]:3128", "http://[::1]:3128", b"CORP\\joe:pw"),
            ("http://joe:密码@proxy:3128", "http://proxy:3128", "joe:密码".encode()),
            ("http://joe:%E9@proxy:3128", "http://proxy:3128", b"joe:\xe9"),
            ("http://joe:\ud800@proxy", "http://proxy", b"joe:\xed\xa0\x80"),
            ("HTTP://joe:pw@PROXY.example.:03128", "http://proxy.example:3128", b"joe:pw"),
            ("http://joe:p[w@proxy:3128", "http://proxy:3128", b"joe:p[w"),
            ("http://joe:p%5Bw@[2001:DB8::0:1]:3128", "http://[2001:db8::1]:3128", b"joe:p[w"),
            ("http://bücher.example:3128", "http://xn--bcher-kva.example:3128", None),
            ("http://proxy:", "http://proxy", None),
            ("http://:pw@proxy", "http://proxy", b":pw"),
        ],
        ids=lambda value: ascii(value) if isinstance(value, str) else None,
    )
    def test_address_and_credentials_part(self, url: str, address: str, pair: bytes | None) -> None:
        proxy = Proxy.of(url)
        assert proxy.address == address
        expected = None if pair is None else b"Proxy-Authorization: Basic " + base64.b64encode(pair) + b"\r\n"
        assert (proxy.introduction and bytes(proxy.introduction.view)) == expected

    @pytest.mark.parametrize(
        "url",
        [
            "proxy:3128",
            "https://u:pr0xypass@proxy",
            "http://",
            "http://u:pr0xypass@[::1",
            "http://u:pr0xypass@℀",
            "http://u:pr0xypass@proxy:x",
            "http://u:12?pr0xypass@proxy:3128",
            "http://u:#pr0xypass@proxy:3128",
            "http://u:12/pr0xypass@proxy:3128",
            "http://u:pr0xypass@proxy:3128/#",
            "http://u:pr0xypass@pro xy:3128",
            "http://u:pr0xypass@pro\u3002xy:3128",
            "http://u:pr0xypass@pro%78y:3128",
            "http://u:pr0xypass@proxy:0",
            "http://u:pr0xypass@[fe80::1%25eth0]:3128",
            "http://u:pr0xypass@",
            "http://u:pr0xypass@proxy,other:3128",
        ],
    )
    def test_what_is_no_proxy_is_refused_without_its_text(self, url: str) -> None:
        with pytest.raises(ConfigurationError) as refused:
            Proxy.of(url)
        assert refused.value.field == "proxy"
        assert refused.value.message.startswith("proxy must be http://host:port or http://user:password@host:port")
        assert "percent-encode / as %2F, ? as %3F, # as %23" in refused.value.message
        assert "pr0xypass" not in str(refused.value)
        assert (refused.value.__cause__, refused.value.__context__) == (None, None)

    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("127.0.0.1:9", "it has no http:// in front"),
            ("proxy.corp:3128", "it has no http:// in front"),
            ("https://proxy:3128", "it has another scheme than http"),
            ("http://user:secret@", "it has no host"),
            ("http://proxy:3128/path", "something stands behind its port"),
        ],
    )
    def test_what_is_wrong_with_it_is_said(self, url: str, why: str) -> None:
        with pytest.raises(ConfigurationError, match=re.escape(f"({why})")) as refused:
            Proxy.of(url)
        assert "[" not in str(refused.value), "a console takes square brackets for markup"

    def test_user_with_a_colon_is_refused(self) -> None:
        """RFC 7617, 2: the proxy would take what follows it for the password."""
        with pytest.raises(ConfigurationError, match="must hold no colon") as refused:
            Proxy.of("http://CORP%3Ajoe:pr0xypass@proxy:3128")
        assert refused.value.field == "proxy"
        assert "pr0xypass" not in str(refused.value)

    @pytest.mark.parametrize(
        ("url", "found"),
        [
            ("http://joe:p%40ss@proxy:3128", ["p%40ss", "p@ss"]),
            ("http://token@proxy", ["token", "token"]),
            ("http://joe:p[ss@proxy", ["p[ss", "p[ss"]),
            ("http://joe:p@ss@[::1", ["p@ss", "p@ss"]),
            ("http://joe:p/ss@proxy", ["p/ss", "p/ss"]),
            ("joe:pw@proxy", []),
            ("http://proxy", []),
            ("", []),
        ],
    )
    def test_secrets_are_found_in_whatever_is_given(self, url: str, found: list[str]) -> None:
        """They are masked before the address is known to be a proxy's."""
        assert secrets(url) == found

    def test_introduction_follows_the_request_for_a_tunnel(self) -> None:
        introduction = Secret(b"Proxy-Authorization: Basic eA==\r\n")
        asked = introduced(b"CONNECT [::1]:443 HTTP/1.1\r\nHost: x\r\n\r\n", introduction)
        assert bytes(asked) == (b"CONNECT [::1]:443 HTTP/1.1\r\nProxy-Authorization: Basic eA==\r\nHost: x\r\n\r\n")

    @pytest.mark.parametrize("written", [WRITTEN, b"CONNECT x", b""], ids=["a request", "half a line", "nothing"])
    def test_nothing_else_gets_an_introduction(self, written: bytes) -> None:
        with pytest.raises(OSError, match="tunnel"):
            introduced(written, Secret(b"x"))


class TestForms:
    """A secret is hidden in whatever form others write it."""

    @pytest.mark.parametrize(
        "secret", ['a"b\\c', "pässwörd/1", "<p&w>", "tab\there", "a b+c/d", "emoji😀pw", "half\ud83dpair"]
    )
    @pytest.mark.parametrize(
        "written",
        [
            pytest.param(str, id="as it is"),
            pytest.param(json.dumps, id="JSON"),
            pytest.param(functools.partial(json.dumps, ensure_ascii=False), id="JSON beyond ASCII"),
            pytest.param(lambda text: json.dumps(text).replace("/", "\\/"), id="JSON of PHP"),
            pytest.param(lambda text: json.dumps(json.dumps({"pw": text})), id="JSON in JSON"),
            pytest.param(repr, id="Python"),
            pytest.param(html.escape, id="HTML"),
            pytest.param(functools.partial(urllib.parse.quote, errors="surrogatepass"), id="address"),
            pytest.param(functools.partial(urllib.parse.quote_plus, errors="surrogatepass"), id="form"),
            pytest.param(
                lambda text: re.sub(
                    "%..", lambda escape: escape[0].lower(), urllib.parse.quote(text, safe="", errors="surrogatepass")
                ),
                id="address in small letters",
            ),
        ],
    )
    def test_it_is_hidden(self, secret: str, written: Callable[[str], str]) -> None:
        text = f"bad body: {written(secret)}!"
        hidden = Secret.quoted(secret).hide_in(text)
        assert hidden == f"bad body: {written('@').replace(urllib.parse.quote('@'), '@').replace('@', PLACEHOLDER)}!"

    def test_nothing_hides_nothing(self) -> None:
        assert forms("") == set()
        assert Secret.quoted("").hide_in("text") == "text"


class TestCall:
    """The UserSig is in the request that arrives, and in nothing that a library was given."""

    LOOKALIKE = "usersig=***&"

    def test_what_looks_like_the_placeholder_arrives_as_it_is(self, emulator: Emulator, client_of: ClientOf) -> None:
        arrived: list[Wire] = []

        def fault(wire: Wire) -> None:
            arrived.append(wire)
            wire.answer(b"", status="403 No")

        with Peer(emulator, fault=fault, faults_left=2) as peer:
            endpoint = f"https://127.0.0.1:{peer.port}"
            for usersig, identifier in (("***", self.LOOKALIKE), (self.LOOKALIKE, "***")):
                with client_of(emulator, endpoint=endpoint, usersig=usersig, identifier=identifier) as client:
                    with pytest.raises(ProtocolError):
                        client.call(calls.stop_push(room_id=1, user_id=self.LOOKALIKE))
        for wire, (usersig, identifier) in zip(
            arrived, (("***", self.LOOKALIKE), (self.LOOKALIKE, "***")), strict=True
        ):
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(wire.target).query, strict_parsing=True)
            assert (query["usersig"], query["identifier"]) == ([usersig], [identifier])
            assert "***" not in wire.target
            assert json.loads(wire.body)["reqhead"]["rpt_to_Account"] == [self.LOOKALIKE]

    def test_long_one_arrives_whole(self, emulator: Emulator, client_of: ClientOf) -> None:
        """Longer than what TLS sends in one piece."""
        arrived: list[str] = []

        def fault(wire: Wire) -> None:
            arrived.append(wire.target)
            wire.answer(b"", status="403 No")

        with Peer(emulator, fault=fault, faults_left=1) as peer:
            with client_of(emulator, endpoint=f"https://127.0.0.1:{peer.port}", usersig="x" * 50_000) as client:
                with pytest.raises(ProtocolError):
                    client.call(calls.stop_push(room_id=1, user_id="a"))
        assert f"?usersig={'x' * 50_000}&identifier=" in arrived[0]

    def test_each_post_has_its_own(self, emulator: Emulator, client_of: ClientOf) -> None:
        """Over a connection that is kept, and where a refused one was signed anew."""
        arrived: list[str] = []

        def fault(wire: Wire) -> None:
            arrived.append(urllib.parse.unquote(wire.target.partition("usersig=")[2].partition("&")[0]))
            wire.answer(wire.execute() if len(arrived) != 2 else REFUSED)

        given: list[str] = []

        class Signer:
            renewable = True

            def usersig(self) -> str:
                given.append(emulator.sign(issued_at=time.time() - 100 + len(given)))
                return given[-1]

        with Peer(emulator, fault=fault, faults_left=9) as peer:
            with client_of(emulator, endpoint=f"https://127.0.0.1:{peer.port}") as client:
                bare = client.client if isinstance(client, Blocking) else client
                bare._service = dataclasses.replace(bare._service, credential=Signer())
                for _ in range(3):
                    client.call(calls.stop_push(room_id=1, user_id="a"), budget=RetryBudget())
        assert len(set(given)) == 4
        assert arrived == given

    def test_who_watches_the_libraries_sees_a_placeholder(
        self,
        emulator: Emulator,
        client_of: ClientOf,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """What http.client prints, what urllib3 and asyncio log, and what aiohttp traces."""
        seen: list[str] = []
        trace = aiohttp.TraceConfig()

        async def note(session: Any, context: Any, params: Any) -> None:
            seen.append(repr(params))

        for name in dir(trace):
            if name.startswith("on_"):
                getattr(trace, name).append(note)
        made: Any = aiohttp.ClientSession.__init__
        traced = functools.partialmethod(made, trace_configs=[trace])
        monkeypatch.setattr(aiohttp.ClientSession, "__init__", traced)
        monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
        with everything_logged() as lines, client_of(emulator) as client:
            start(client, emulator)
        printed = capfd.readouterr()
        told = "\n".join([*seen, *lines, printed.out, printed.err])
        assert "usersig=***&identifier" in told
        canaries = Canaries()
        canaries.add("UserSig", emulator.usersig)
        assert canaries.hits(told) == set()


class TestCallThroughAProxy:
    """C12: through a proxy, the same certificate and the same trust."""

    def test_call_goes_through(
        self, emulator: Emulator, connect_proxy: Callable[..., Any], client_of: ClientOf
    ) -> None:
        contexts: list[ssl.SSLContext] = []
        with connect_proxy() as proxy, client_of(emulator, proxy=proxy.url, contexts=contexts) as client:
            assert start(client, emulator).outcome == "started"
            assert proxy.tunnels == 1
            assert len(contexts[0].get_ca_certs()) == 1

    @pytest.mark.parametrize(
        ("given", "sent"),
        [
            ("user:pr0xypass", b"user:pr0xypass"),
            ("user", b"user:"),
            ("CORP\\joe:p%40ss", b"CORP\\joe:p@ss"),
            ("joe:密码", "joe:密码".encode()),
            (None, None),
        ],
        ids=["user and password", "user", "encoded", "no ASCII", "none"],
    )
    def test_proxy_gets_its_own_credentials_and_no_others(
        self,
        given: str | None,
        sent: bytes | None,
        emulator: Emulator,
        connect_proxy: Callable[..., Any],
        client_of: ClientOf,
    ) -> None:
        """The same with both clients, with the request for a tunnel, once for each tunnel."""
        with connect_proxy() as proxy:
            place = proxy.url.rpartition("@")[2]
            url = f"http://{place}" if given is None else f"http://{given}@{place}"
            with client_of(emulator, proxy=url) as client:
                for _ in range(2):
                    client.call(calls.stop_push(room_id=1, user_id="a"))
            assert len(proxy.heads) == proxy.tunnels == (2 if isinstance(client, Blocking) else 1)
            for head in proxy.heads:
                port = urllib.parse.urlsplit(emulator.api_url).port
                assert head.startswith(f"CONNECT 127.0.0.1:{port} HTTP/1.".encode())
                lines = [
                    line.partition(b": ")[2] for line in head.splitlines() if b"roxy-authorization" in line.lower()
                ]
                assert lines == ([] if sent is None else [b"Basic " + base64.b64encode(sent)])
                assert b"usersig" not in head

    @pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
    def test_proxy_may_be_an_address_of_ipv6(
        self, emulator: Emulator, connect_proxy: Callable[..., Any], client_of: ClientOf
    ) -> None:
        with connect_proxy(host="::1") as proxy, client_of(emulator, proxy=proxy.url) as client:
            assert start(client, emulator).outcome == "started"
            assert proxy.tunnels == 1

    def test_proxy_wants_other_credentials(
        self, emulator: Emulator, connect_proxy: Callable[..., Any], client_of: ClientOf
    ) -> None:
        with connect_proxy(status=407) as proxy, client_of(emulator, proxy=proxy.url) as client:
            with pytest.raises(ProtocolError, match="407") as failed:
                start(client, emulator)
        assert failed.value.field == "proxy"
        assert "pr0xypass" not in str(failed.value)

    def test_nothing_listens(self, emulator: Emulator, client_of: ClientOf) -> None:
        with client_of(emulator, proxy="http://user:pr0xypass@127.0.0.1:1") as client:
            with pytest.raises(TransportError, match="the proxy was not reached") as failed:
                start(client, emulator)
        assert "pr0xypass" not in str(failed.value)

    def test_proxy_that_never_answers(
        self, emulator: Emulator, connect_proxy: Callable[..., Any], client_of: ClientOf
    ) -> None:
        with connect_proxy(status=None) as proxy, client_of(emulator, proxy=proxy.url) as client:
            began = time.monotonic()
            with pytest.raises(TransportError):
                start(client, emulator, max_posts=1, seconds=1.0)
            assert time.monotonic() - began < 5.0
