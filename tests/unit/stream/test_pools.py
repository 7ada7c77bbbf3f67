"""Answers of public servers lead to public addresses only, over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_timav import names as names_module
from airflow_provider_timav.names import RememberedNames
from airflow_provider_timav.stream import reader as reader_module
from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.reader import follow, shared_reader, wall_clock
from airflow_provider_timav.stream.state import StreamState
from airflow_provider_timav.stream.verdict import Verdict
from harness.streams.internet import OTHER_PUBLIC, PUBLIC, PUBLIC_6, Internet
from harness.streams.site import Site, media, running

LIVE = "http://cdn.example/live.m3u8?auth=secret"

INSIDE = {
    "private": "10.0.0.1",
    "metadata": "169.254.169.254",
    "shared": "100.100.100.200",
    "loopback": "127.0.0.1",
    "unspecified": "0.0.0.0",  # noqa: S104  # nothing is bound to it
    "multicast": "239.255.255.250",
    "reserved": "240.0.0.1",
    "loopback-6": "::1",
    "unique-local": "fd00:ec2::254",
    "link-local": "fe80::1",
    "mapped": "::ffff:127.0.0.1",
    "compatible": "::7f00:1",
    "nat64": "64:ff9b::a00:1",
    "6to4": "2002:a00:1::1",
    "teredo": "2001:0:808:808::f5ff:fffe",
}


@pytest.fixture
def cdn() -> Iterator[Site]:
    with running() as site:
        yield site


@pytest.fixture
def inside() -> Iterator[Site]:
    """A server of one's own network, to which nothing on the internet may lead a request."""
    with running() as site:
        site.text("/live.m3u8", media(7, 3))
        yield site


@pytest.fixture
def internet(cdn: Site) -> Internet:
    return Internet({PUBLIC: cdn, OTHER_PUBLIC: cdn, PUBLIC_6: cdn}, {"cdn.example": [PUBLIC]})


def probe(internet: Internet, url: str = LIVE, state: StreamState | None = None, *, proxy: str | None = None) -> Probe:
    async def once() -> Probe:
        async with shared_reader(proxy) as reader:
            return await reader.probe(url, state or StreamState(), wall_clock())

    return internet.run(once())


def expecting(tail: int, variant: int | None = None) -> StreamState:
    return StreamState().after(
        Probe(at=time.time(), tail=tail, segments=3, target_duration=5, variant=variant), grace=60
    )


Lead = Callable[[Site, str], str]
"""Has a site lead to a server, given as ``host:port``; returns the resource that is then refused."""


def by_segment(cdn: Site, target: str) -> str:
    cdn.text("/live.m3u8", media(7, 3, segment=f"http://{target}/segment.ts"))
    return "a segment on a private address"


def by_redirect(cdn: Site, target: str) -> str:
    cdn.text("/live.m3u8", "", 302, Location=f"http://{target}/live.m3u8")
    return "a redirect to a server on a private address"


def by_redirect_of_a_segment(cdn: Site, target: str) -> str:
    cdn.text("/live.m3u8", media(7, 3))
    cdn.text("/segment.ts", "", 307, Location=f"http://{target}/segment.ts")
    return "a redirect to a server on a private address"


def by_variant(cdn: Site, target: str) -> str:
    cdn.text("/live.m3u8", f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://{target}/live.m3u8\n")
    return "a variant on a private address"


def by_redirect_of_a_variant(cdn: Site, target: str) -> str:
    cdn.text("/live.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n")
    cdn.text("/low.m3u8", "", 301, Location=f"//{target}/live.m3u8")
    return "a redirect to a server on a private address"


def by_segment_of_a_variant(cdn: Site, target: str) -> str:
    cdn.text("/live.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://other.example/low.m3u8\n")
    cdn.text("/low.m3u8", media(7, 3, segment=f"http://{target}/segment.ts"))
    return "a segment on a private address"


def by_the_third_redirect(cdn: Site, target: str) -> str:
    cdn.text("/live.m3u8", "", 302, Location="/2.m3u8")
    cdn.text("/2.m3u8", "", 302, Location="http://other.example/3.m3u8")
    cdn.text("/3.m3u8", "", 302, Location=f"http://{target}/live.m3u8")
    return "a redirect to a server on a private address"


LEADS = [
    by_segment,
    by_redirect,
    by_redirect_of_a_segment,
    by_variant,
    by_redirect_of_a_variant,
    by_segment_of_a_variant,
    by_the_third_redirect,
]


@pytest.mark.parametrize("address", INSIDE.values(), ids=INSIDE)
@pytest.mark.parametrize("written", ["name", "literal"])
@pytest.mark.parametrize("lead", LEADS)
def test_public_playlist_leads_to_no_private_address(
    cdn: Site, inside: Site, internet: Internet, lead: Lead, written: str, address: str
) -> None:
    port = inside.server.server_address[1]
    internet.names |= {"inside.example": [address], "other.example": [OTHER_PUBLIC]}
    literal = f"[{address}]" if ":" in address else address
    refused = lead(cdn, f"{'inside.example' if written == 'name' else literal}:{port}")
    found = probe(internet, state=expecting(9, variant=0 if "variant" in lead.__name__ else None))
    assert set(internet.dialled) <= {PUBLIC, OTHER_PUBLIC}
    assert inside.all_connections == 0
    why = found.absence or found.refused
    assert why.endswith(refused)
    assert found.playable is not True
    assert address not in why
    assert "secret" not in why


@pytest.mark.parametrize(
    "host", ["localhost", "127.1", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "127.0.0.1.", "①②⑦.0.0.1", "0"]
)
@pytest.mark.parametrize("lead", LEADS)
def test_no_spelling_of_a_private_address_gets_through(
    cdn: Site, inside: Site, internet: Internet, lead: Lead, host: str
) -> None:
    """The result of the system's own look-up counts; aiohttp refuses some of them before."""
    internet.names["other.example"] = [OTHER_PUBLIC]
    lead(cdn, f"{host}:{inside.server.server_address[1]}")
    found = probe(internet, state=expecting(9, variant=0 if "variant" in lead.__name__ else None))
    assert set(internet.dialled) <= {PUBLIC, OTHER_PUBLIC}
    assert inside.all_connections == 0
    assert found.playable is not True


def test_public_playlist_leads_to_other_public_servers(cdn: Site, internet: Internet) -> None:
    internet.names["other.example"] = [OTHER_PUBLIC]
    cdn.text("/live.m3u8", "", 302, Location="http://other.example/moved.m3u8")
    cdn.text("/moved.m3u8", media(7, 3, segment=f"http://[{PUBLIC_6}]/segment.ts"))
    found = probe(internet, state=expecting(9))
    assert (found.tail, found.playable, found.public) == (10, True, True)
    assert internet.dialled == [PUBLIC, OTHER_PUBLIC, PUBLIC_6]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "studio.example"])
def test_playlist_in_ones_own_network_leads_anywhere(cdn: Site, inside: Site, internet: Internet, host: str) -> None:
    """A studio's own server is as much trusted as the DAG that names it."""
    internet.names["studio.example"] = ["127.0.0.1"]
    port = inside.server.server_address[1]
    inside.text("/live.m3u8", "", 302, Location=f"http://localhost:{port}/moved.m3u8")
    inside.text("/moved.m3u8", media(7, 3))
    found = probe(internet, f"http://{host}:{port}/live.m3u8", expecting(9))
    assert (found.tail, found.playable, found.public) == (10, True, False)
    inside.text("/moved.m3u8", media(7, 3, segment="http://cdn.example/segment.ts"))
    assert probe(internet, f"http://{host}:{port}/live.m3u8", expecting(9)).playable is True
    assert internet.dialled[-1] == PUBLIC


def test_public_server_that_a_private_playlist_leads_to_does_not_lead_back(
    cdn: Site, inside: Site, internet: Internet
) -> None:
    """It is the public server's word then, and not that of one's own network."""
    cdn.text("/live.m3u8", media(7, 3, segment=f"{inside.url}/segment.ts"))
    inside.text("/live.m3u8", "", 302, Location="http://cdn.example/live.m3u8")
    found = probe(internet, inside.url + "/live.m3u8", expecting(9))
    assert found.refused == "a segment on a private address"
    assert inside.paths() == ["/live.m3u8"]


def test_further_variant_of_a_private_master_playlist_may_be_private_after_a_public_one(
    cdn: Site, inside: Site, internet: Internet
) -> None:
    variants = ("http://cdn.example/gone.m3u8", "/low.m3u8")
    inside.text("/live.m3u8", "#EXTM3U\n" + "".join(f"#EXT-X-STREAM-INF:BANDWIDTH=1\n{one}\n" for one in variants))
    inside.text("/low.m3u8", media(7, 3))
    assert probe(internet, inside.url + "/live.m3u8").tail == 10


@pytest.mark.parametrize("order", [1, -1], ids=["public-first", "private-first"])
def test_of_a_name_with_addresses_of_both_kinds_only_the_public_ones_are_used(
    cdn: Site, inside: Site, internet: Internet, order: int
) -> None:
    internet.names["cdn.example"] = ["10.0.0.1", "::1", PUBLIC][::order]
    cdn.text("/live.m3u8", media(7, 3, segment=f"{inside.url}/segment.ts"))
    found = probe(internet, state=expecting(9))
    assert (found.tail, found.public, found.refused) == (10, True, "a segment on a private address")
    assert internet.dialled == [PUBLIC]


def test_private_addresses_of_a_name_are_not_tried_where_its_public_ones_do_not_answer(internet: Internet) -> None:
    with running() as gone:
        internet.sites = {PUBLIC: gone}
    internet.names["cdn.example"] = ["127.0.0.1", PUBLIC]
    assert probe(internet).absence == "no connection"
    assert set(internet.dialled) == {PUBLIC}


def flipping(internet: Internet, *answers: list[str]) -> None:
    """Have the name of the playlist's host change at each look-up; the last answer stays."""
    left = list(answers)
    internet.names["cdn.example"] = lambda: left.pop(0) if len(left) > 1 else left[0]


@pytest.mark.parametrize("restarted", [False, True], ids=["same-process", "after-a-restart"])
def test_playlists_host_that_was_public_is_not_followed_to_a_private_address(
    cdn: Site, internet: Internet, restarted: bool
) -> None:
    flipping(internet, [PUBLIC], ["127.0.0.1"])
    cdn.text("/live.m3u8", media(7, 3), Connection="close")
    first = StreamState().after(probe(internet), grace=60)
    assert first.public
    if restarted:
        first = StreamState.from_json(json.loads(json.dumps(first.to_json())))
    url = f"http://cdn.example:{cdn.server.server_address[1]}/live.m3u8"
    found = probe(internet, url, first)
    assert found.absence == "a playlist whose host was on a public address and now is on a private address"
    assert internet.dialled == [PUBLIC]
    second = first.after(found, grace=60)
    assert second.verdict is Verdict.ABSENT
    assert second.public, "what is private now must not make the host a trusted one"


def test_host_that_changes_between_playlist_and_segment_is_held_to_the_rule(
    cdn: Site, inside: Site, internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look-up for the check and another for the connection could differ; there is only one."""
    monkeypatch.setattr(names_module, "REMEMBERED_SECONDS", 0.1)
    flipping(internet, [PUBLIC], ["127.0.0.1"])
    playlist = media(7, 3, segment=f"http://cdn.example:{inside.server.server_address[1]}/segment.ts")
    cdn.pages["/live.m3u8"] = lambda visit: visit.answer(playlist) if visit.closing.wait(0.3) is False else None
    found = probe(internet, state=expecting(9))
    assert found.refused == "a segment on a private address"
    assert inside.all_connections == 0


def test_connection_that_a_watch_of_a_private_host_has_open_serves_no_public_playlist(
    cdn: Site, inside: Site, internet: Internet
) -> None:
    target = f"{inside.url}/segment.ts"
    cdn.text("/live.m3u8", media(7, 3, segment=target))

    async def both() -> Probe:
        async with shared_reader() as reader:
            private = await reader.probe(inside.url + "/live.m3u8", expecting(9), wall_clock())
            assert private.playable is True
            return await reader.probe(LIVE, expecting(9), wall_clock())

    found = internet.run(both())
    assert found.refused == "a segment on a private address"
    assert inside.paths() == ["/live.m3u8", "/segment.ts?n=9"]


def test_name_that_is_remembered_is_held_to_the_rule(cdn: Site, inside: Site, internet: Internet) -> None:
    internet.names["studio.example"] = ["127.0.0.1"]
    studio = f"http://studio.example:{inside.server.server_address[1]}"
    cdn.text("/live.m3u8", media(7, 3, segment=f"{studio}/segment.ts"))

    async def both() -> Probe:
        async with shared_reader() as reader:
            assert (await reader.probe(f"{studio}/live.m3u8", StreamState(), wall_clock())).tail == 10
            return await reader.probe(LIVE, expecting(9), wall_clock())

    assert internet.run(both()).refused == "a segment on a private address"
    assert internet.asked == ["studio.example", "cdn.example"]


def test_probe_needs_one_look_up_of_a_host_however_it_is_reached(cdn: Site, inside: Site, internet: Internet) -> None:
    """Also the first probe of a public host, which is tried as one of one's own network first."""
    internet.names["studio.example"] = ["127.0.0.1"]
    cdn.text("/live.m3u8", media(7, 3))
    studio = f"http://studio.example:{inside.server.server_address[1]}/live.m3u8"

    async def probed() -> None:
        async with shared_reader() as reader:
            for _ in range(3):
                assert (await reader.probe(LIVE, expecting(9), wall_clock())).playable is True
                assert (await reader.probe(studio, expecting(9), wall_clock())).playable is True

    internet.run(probed())
    assert sorted(internet.asked) == ["cdn.example", "studio.example"]


def test_refused_segment_is_told_as_the_reason_of_the_verdict(cdn: Site, internet: Internet) -> None:
    numbers = iter(range(7, 100))
    cdn.pages["/live.m3u8"] = lambda visit: visit.answer(media(next(numbers), 3, segment="http://10.0.0.1/a.ts"))
    seen: list[tuple[str, str]] = []

    async def probed() -> None:
        async def enough(state: StreamState) -> bool:
            seen.append((state.verdict.value, state.reason))
            return len(seen) == 3

        async def no_pause(_: float) -> None:
            return

        async with shared_reader() as reader:
            await follow(reader, LIVE, StreamState(), grace=60, enough=enough, sleep=no_pause)

    internet.run(probed())
    why = "a segment on a private address"
    assert seen == [("STARTING", ""), *[("STARTING", f"not seen, {why}")] * 2]


class TestThroughAProxy:
    def test_addresses_that_are_written_out_are_held_to_the_rule(self, cdn: Site, internet: Internet) -> None:
        hosts = ["10.0.0.1", "[::1]", "localhost", "127.1", "2130706433", "0x7f.1", "[::ffff:10.0.0.1]"]
        for number, host in enumerate(hosts):
            # Through a proxy a path is a whole address; the proxy is on loopback, as proxies may be.
            playlist = media(7, 3, segment=f"http://{host}/a.ts")
            cdn.text(f"http://cdn.example/{number}.m3u8", playlist)
            found = probe(internet, f"http://cdn.example/{number}.m3u8", expecting(9), proxy=cdn.url)
            assert (found.tail, found.refused) == (10, "a segment on a private address"), host
        assert len(cdn.visits) == len(hosts)

    def test_names_are_the_proxys(self, cdn: Site, internet: Internet) -> None:
        internet.names = {}
        cdn.pages["http://cdn.example/live.m3u8"] = lambda visit: visit.answer(
            media(7, 3, segment="http://other.example/a.ts")
        )
        cdn.pages["http://other.example/a.ts"] = lambda visit: visit.answer(b"\x47")
        assert probe(internet, "http://cdn.example/live.m3u8", expecting(9), proxy=cdn.url).playable is True
        assert internet.asked == []

    def test_private_playlist_leads_anywhere(self, cdn: Site, internet: Internet) -> None:
        cdn.pages["http://10.0.0.1/live.m3u8"] = lambda visit: visit.answer(media(7, 3, segment="http://10.0.0.2/a.ts"))
        cdn.pages["http://10.0.0.2/a.ts"] = lambda visit: visit.answer(b"\x47")
        assert probe(internet, "http://10.0.0.1/live.m3u8", expecting(9), proxy=cdn.url).playable is True


class TestRememberedNames:
    def ask(self, internet: Internet, times: int, name: str = "cdn.example") -> list[Any]:
        async def asking() -> list[Any]:
            names = RememberedNames()
            return await asyncio.gather(*(names.resolve(name, 80 + n) for n in range(times)), return_exceptions=True)

        return internet.run(asking())

    def test_many_who_ask_at_once_share_a_look_up(self, internet: Internet) -> None:
        found = self.ask(internet, 50)
        assert internet.asked == ["cdn.example"]
        assert [one[0]["port"] for one in found] == list(range(80, 130))
        assert {one[0]["host"] for one in found} == {PUBLIC}

    def test_failure_is_told_to_all_who_wait_and_not_remembered(self, internet: Internet) -> None:
        answers: list[list[str]] = [[], [PUBLIC]]
        internet.names["cdn.example"] = lambda: answers.pop(0)

        async def asking() -> list[Any]:
            names = RememberedNames()
            failed = await asyncio.gather(*(names.resolve("cdn.example") for _ in range(3)), return_exceptions=True)
            assert {type(one) for one in failed} == {socket.gaierror}
            return await names.resolve("cdn.example")

        assert internet.run(asking())[0]["host"] == PUBLIC

    def test_one_who_goes_takes_nothing_from_the_others(self, internet: Internet) -> None:
        released = threading.Event()
        internet.names["cdn.example"] = lambda: [PUBLIC] if released.wait(10) else []

        async def asking() -> list[Any]:
            names = RememberedNames()
            impatient = asyncio.create_task(names.resolve("cdn.example"))
            patient = asyncio.create_task(names.resolve("cdn.example"))
            await asyncio.sleep(0.05)
            impatient.cancel()
            released.set()
            return await patient

        assert internet.run(asking())[0]["host"] == PUBLIC
        assert internet.asked == ["cdn.example"]

    def test_memory_is_bounded(self, internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(names_module, "MOST_NAMES", 3)

        async def asking() -> int:
            names = RememberedNames()
            for number in range(10):
                await names.resolve(f"127.0.0.{number}")
            return len(names._known)

        assert internet.run(asking()) == 3


def test_probe_that_runs_out_of_time_leaves_no_look_up_behind_that_others_wait_for_in_vain(
    cdn: Site, internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "PROBE_SECONDS", 0.25)
    released = threading.Event()
    internet.names["cdn.example"] = lambda: [PUBLIC] if released.wait(10) else []
    cdn.text("/live.m3u8", media(7, 3))

    async def probed() -> tuple[Probe, Probe]:
        async with shared_reader() as reader:
            first = await reader.probe(LIVE, StreamState(), wall_clock())
            released.set()
            return first, await reader.probe(LIVE, StreamState(), wall_clock())

    first, second = internet.run(probed())
    assert first.absence == "the host name is not known in time"
    assert second.tail == 10
