"""What a stream has the viewer's browser fetch: a stream that leads to Airflow, where the viewer has a login."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Request, expect

from harness.streams.site import Site, Visit, media
from harness.streams.site import running as serve
from harness.ui.stage import Stage, chromium_is_there, entries, tile_of

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not chromium_is_there(), reason="chromium is not installed (Debian: apt-get install chromium)"),
]

CANARY = "canary-of-a-stream"
REFUSED = "leads to Airflow itself, or to an address that is not http or https"

MAY_FETCH = """async ([urls, page]) => {
    const { mayFetch } = await import(new URL("timav/loader.js", document.baseURI));
    return urls.filter((url) => mayFetch(url, page));
}"""


@pytest.fixture
def cdn() -> Iterator[Site]:
    """A server of streams that lets any page read it. Its host is Airflow's, so that the browser has a cookie for it."""
    with serve() as site:
        yield site


def allow(site: Site, path: str, body: str, status: int = 200, **headers: str) -> None:
    site.text(path, body, status, Access_Control_Allow_Origin="*", **headers)


def watch(requests: list[Request]) -> Callable[[Request], None]:
    """Keep the requests that a stream has caused at Airflow."""

    def keep(request: Request) -> None:
        if CANARY in request.url and "/timav/" in request.url:
            requests.append(request)

    return keep


def segment(site: Site, target: str) -> None:
    allow(site, "/live.m3u8", media(7, 3, segment=target))


def variant(site: Site, target: str) -> None:
    allow(site, "/live.m3u8", f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{target}\n")


def key(site: Site, target: str) -> None:
    tag = f'#EXT-X-KEY:METHOD=AES-128,URI="{target}"\n#EXTINF'
    allow(site, "/live.m3u8", media(7, 3).replace("#EXTINF", tag, 1))


def init(site: Site, target: str) -> None:
    allow(site, "/live.m3u8", media(7, 3).replace("#EXTINF", f'#EXT-X-MAP:URI="{target}"\n#EXTINF', 1))


def steering(site: Site, target: str) -> None:
    """What a player asks which servers to prefer."""
    variants = '#EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID="a"\nlow.m3u8\n'
    allow(site, "/live.m3u8", f'#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI="{target}",PATHWAY-ID="a"\n{variants}')
    allow(site, "/low.m3u8", media(7, 3, segment=target))


LEADS = [segment, variant, key, init, steering]


def show(stage: Stage, url: str) -> tuple[Page, Any, list[Request]]:
    """The page with a broadcast that plays at an address, its tile, and the requests at Airflow that come of it."""
    page = stage.visit()
    requests: list[Request] = []
    page.on("request", watch(requests))
    stage.pretend(entries(1, "host", title="Hostile", hls_url=url))
    return page, tile_of(page, "Hostile"), requests


@pytest.mark.parametrize("lead", LEADS)
def test_stream_fetches_nothing_from_airflow(ledger: Stage, cdn: Site, lead: Callable[[Site, str], None]) -> None:
    lead(cdn, f"{ledger.site.url}/timav/on-air?{CANARY}")
    page, tile, requests = show(ledger, f"{cdn.url}/live.m3u8")
    expect(tile).to_contain_text(REFUSED, timeout=60_000)
    expect(tile.get_by_role("link", name="Open the stream by itself")).to_have_count(0)
    assert requests == []
    assert cdn.visits
    assert [visit.path for visit in cdn.visits if "Cookie" in visit.headers] == []
    page.close()


@pytest.mark.parametrize(
    "scheme", ["data:video/mp2t;base64,AAAA", "blob:URL/1", "file:///etc/passwd", "javascript:window.hacked=1"]
)
@pytest.mark.parametrize("lead", [segment, key])
def test_stream_leads_to_no_other_scheme(
    ledger: Stage, cdn: Site, lead: Callable[[Site, str], None], scheme: str
) -> None:
    target = scheme.replace("URL", ledger.site.url)
    lead(cdn, target)
    page, tile, _ = show(ledger, f"{cdn.url}/live.m3u8")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    expect(tile).to_contain_text(REFUSED, timeout=60_000)
    assert target not in asked
    assert page.evaluate("window.hacked") is None
    page.close()


def test_playlist_on_airflows_own_origin_is_not_fetched(ledger: Stage) -> None:
    page, tile, requests = show(ledger, f"{ledger.site.url}/timav/on-air?{CANARY}")
    expect(tile).to_contain_text(REFUSED)
    expect(tile.locator("video")).to_have_count(0)
    expect(tile.get_by_role("link", name="Open the stream by itself")).to_have_count(0)
    assert requests == []
    page.close()


@pytest.mark.parametrize("what", ["playlist", "segment"])
def test_redirect_back_to_airflow_brings_no_login_along(ledger: Stage, cdn: Site, what: str) -> None:
    """Browsers follow redirects by themselves; Airflow then sees a stranger, and its answer is not read."""

    def redirect(visit: Visit) -> None:
        location = f"{ledger.site.url}/timav/on-air?{CANARY}"
        visit.answer("", 302, Location=location, Access_Control_Allow_Origin="*")

    segment(cdn, "/moved.ts")
    cdn.pages["/live.m3u8" if what == "playlist" else "/moved.ts"] = redirect
    page, tile, requests = show(ledger, f"{cdn.url}/live.m3u8")
    expect(tile.get_by_role("paragraph").first).to_contain_text("does not let this page read it", timeout=60_000)
    assert [request for request in requests if "cookie" in request.all_headers()] == []
    answers = [request.response() for request in requests]
    assert {answer.status for answer in answers if answer is not None} <= {401}
    assert [visit.path for visit in cdn.visits if "Cookie" in visit.headers] == []
    page.close()


def test_answer_that_comes_from_airflow_in_the_end_is_thrown_away(ledger: Stage, cdn: Site) -> None:
    """An Airflow that lets every site read it (`[api] access_control_allow_origins`) is none that a stream may play."""
    page = ledger.visit()
    said = page.evaluate(
        """async (own) => {
            const { guarded, REFUSED } = await import(new URL("timav/loader.js", document.baseURI));
            const Loader = guarded(class {
                stats = {};
                response = { url: own };
                load(context, config, { onProgress, onSuccess }) { onProgress("part"); onSuccess("whole"); }
            });
            return new Promise((tell) => new Loader({}).load({ url: "https://cdn.example/a" }, {}, {
                onProgress: () => tell("read"), onSuccess: () => tell("read"), onError: (error) => tell(error.text === REFUSED),
            }));
        }""",
        ledger.site.url + "/timav/on-air",
    )
    assert said is True
    page.close()


def test_browser_without_media_source_gets_the_address_and_not_the_stream(ledger: Stage, cdn: Site) -> None:
    """What plays HLS by itself fetches whatever a playlist says, and cannot be held to anything."""
    segment(cdn, "/segment.ts")
    page, tile, _ = show(ledger, f"{cdn.url}/live.m3u8")
    page.add_init_script(
        "for (const name of ['MediaSource', 'ManagedMediaSource', 'WebKitMediaSource']) delete window[name];"
    )
    page.reload()
    expect(tile).to_contain_text("cannot play the stream within a page")
    expect(tile.get_by_role("link", name="Open the stream by itself")).to_have_attribute("href", f"{cdn.url}/live.m3u8")
    assert tile.locator("video").evaluate("video => video.currentSrc") == ""
    page.close()


HTTP = {"protocol": "http:", "origin": "http://airflow.example"}
HTTPS = {"protocol": "https:", "origin": "https://airflow.example"}
PORT = {"protocol": "http:", "origin": "http://airflow.example:8080"}
DOTTED = {"protocol": "http:", "origin": "http://airflow.example."}
DOTTED_PORT = {"protocol": "http:", "origin": "http://airflow.example.:8080"}


@pytest.mark.parametrize(
    ("at", "url"),
    [
        (HTTP, "http://airflow.example:8080/live.m3u8"),
        (PORT, "http://airflow.example/live.m3u8"),
        (HTTP, "https://airflow.example/live.m3u8"),
        (HTTP, "http://cdn.example/live.m3u8"),
        (HTTPS, "https://cdn.example/live.m3u8"),
        (HTTPS, "https://airflow.example:8443/live.m3u8"),
        (HTTP, "HTTP://CDN.EXAMPLE/live.m3u8"),
        (DOTTED, "http://airflow.example:8080/live.m3u8"),
        (DOTTED_PORT, "http://airflow.example./live.m3u8"),
    ],
)
def test_address_on_another_origin_may_be_fetched(ledger: Stage, at: dict[str, str], url: str) -> None:
    page = ledger.visit()
    assert page.evaluate(MAY_FETCH, [[url], at]) == [url]
    page.close()


def test_no_spelling_of_airflows_origin_may_be_fetched_and_nothing_that_is_not_of_the_web(ledger: Stage) -> None:
    page = ledger.visit()
    paths = ["", "/", "/live.m3u8", "/api/v2/dags", "/%2e%2e/x", "?a", "#a"]
    own = [
        f"http://{host}{path}"
        for host in ("airflow.example", "airflow.example:80", "AirFlow.Example", "airflow.example.")
        for path in paths
    ]
    own += [
        "http:airflow.example/a",
        "http:/\\airflow.example/a",
        "http://airflow%2eexample/a",
        " http://airflow.example/a",
        "http://ａirflow.example/a",
    ]
    assert page.evaluate(MAY_FETCH, [own, HTTP]) == []
    assert page.evaluate(MAY_FETCH, [own, DOTTED]) == []
    ported = [f"http://airflow.example{dot}:8080/live.m3u8" for dot in ("", ".")]
    assert page.evaluate(MAY_FETCH, [ported, PORT]) == page.evaluate(MAY_FETCH, [ported, DOTTED_PORT]) == []
    other = [
        f"{scheme}:x" for scheme in ("data", "blob", "file", "javascript", "about", "ftp", "ws", "chrome", "filesystem")
    ]
    other += [
        "",
        "/a",
        "a",
        "//cdn.example/a",
        "?a",
        "http://",
        "http://[",
        "http://me@cdn.example/",
        "http://me:pw@cdn.example/",
    ]
    other += [f"blob:http://cdn.example/{'0' * 8}", "data:application/vnd.apple.mpegurl,#EXTM3U"]
    assert page.evaluate(MAY_FETCH, [other, HTTP]) == []
    assert page.evaluate(MAY_FETCH, [[*own, "http://cdn.example/a", "https://airflow.example:443/a"], HTTPS]) == []
    assert page.evaluate(MAY_FETCH, [[None, 1, {}, [], ["http://cdn.example/a", 1]], HTTP]) == []
    page.close()
