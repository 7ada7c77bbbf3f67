"""Whatever a row says of itself, the page and the other rows go on: rows made up here, on the page of a real Airflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from harness.ui.stage import Stage, chromium_is_there, tile_of

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not chromium_is_there(), reason="chromium is not installed (Debian: apt-get install chromium)"),
]

NOW = "2026-11-27T12:00:00+00:00"
BROADCAST: dict[str, Any] = {
    "id": "0" * 32,
    "title": "Good",
    "room_id": 1,
    "user_id": "host",
    "kind": "camera",
    "dag_id": "live_show",
    "run_id": "manual__1",
    "task_id": "broadcast.on_air",
    "map_index": -1,
    "phase": "on_air",
    "foreign": False,
    "since": "2026-11-27T11:48:00+00:00",
    "until": "2026-11-27T12:48:00+00:00",
    "overdue": False,
    "orphan": False,
    "recording": "on",
    "verdict": "LIVE",
    "verdict_since": "2026-11-27T11:48:06+00:00",
    "error": None,
    "hls_url": None,
    "rtmp_url": None,
    "protected": False,
    "stop": {"task_id": "broadcast.on_air", "new_state": "success"},
    "extend": True,
}
RECORDING: dict[str, Any] = {
    "dag_id": "live_show",
    "run_id": "manual__1",
    "title": "Good",
    "room_id": 1,
    "user_id": "host",
    "file_name": "1_0123456789ab",
    "file_ids": ["387702300000000001"],
    "file_ids_status": "complete",
    "outcome": "deadline",
    "started_at": "2026-11-27T11:00:00+00:00",
    "ended_at": "2026-11-27T11:30:00+00:00",
}
HUGE = "a number that no JavaScript has"
EVIL = '<img src=x onerror="window.hacked=true">'
ODD: list[Any] = [
    *(None, True, False, 0, -1, 1e308, 2**80, HUGE, "", " ", []),
    *("__proto__", "constructor", "toString", "hasOwnProperty", "valueOf"),
    *([None], [[]], [{}], ["a", 1, None, {}], {}, {"toString": 1}, {"__proto__": {"a": 1}}, {"length": 3}),
    *(
        {"$$typeof": "Symbol(react.element)", "type": "script", "props": {}},
        {"task_id": {}},
        {"dangerouslySetInnerHTML": {}},
    ),
    *("x" * 70_000, "\ud800", "\u202eabc", "\0", EVIL, "..", ".", "/", "javascript:window.hacked=true"),
    *("http://", "http://[", "https://a:b@x.example/", "data:text/html,x", "file:///etc/passwd", "//x.example/a"),
    *("0000-00-00", "+275761-01-01T00:00:00Z", "-000000-01-01T00:00:00Z", "noon", "99999999999999999999"),
]
NO_ROWS: list[Any] = [None, True, 0, 1.5, "row", [], [[]], {}, {"__proto__": {}}, {"toString": 1}]
NEVER_SHOWN = ("NaN", "Invalid Date", "[object", "undefined", "native code", "Infinity min")


def odd(row: dict[str, Any]) -> list[Any]:
    """A good row, rows of which one thing each is odd or missing, things that are no rows, and a good row again."""
    changed = [{**row, "title": "Odd", name: value} for name in row for value in ODD]
    missing = [
        {name: value for name, value in row.items() if name != left_out} for left_out in row if left_out != "title"
    ]
    return [
        {**row, "title": "First"},
        *changed,
        *({**one, "title": "Odd"} for one in missing),
        *NO_ROWS,
        {**row, "title": "Last"},
    ]


def serve(page: Page, name: str, answer: Any) -> None:
    """Answer one of the page's lists from here, and have the page ask for it now."""
    body = answer if isinstance(answer, str) else json.dumps(answer).replace(json.dumps(HUGE), "1e400")
    page.unroute(f"**/timav/{name}")
    page.route(f"**/timav/{name}", lambda route: route.fulfill(body=body, content_type="application/json"))
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


@pytest.fixture
def page(ledger: Stage) -> Iterator[Page]:
    """The page, on which nothing may break on the way."""
    page = ledger.visit()
    page.get_by_text("Nothing is on air.").wait_for()
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    yield page
    page.close()
    assert broken == []


def assert_harmless(page: Page, rows: str) -> None:
    """Nothing odd is drawn, runs, is a link to elsewhere or covers the page."""
    assert page.evaluate("window.hacked") is None
    text = page.locator(".timav-page").inner_text()
    assert [word for word in NEVER_SHOWN if word in text] == []
    links = page.locator(".timav-page a").evaluate_all("links => [...new Set(links.map((link) => link.href))]")
    assert [link for link in links if not link.startswith(page.evaluate("location.origin") + "/dags/")] == []
    assert page.locator(".timav-page").locator("img, script, iframe").count() == 0
    wide = page.locator(".timav-page").evaluate("page => page.scrollWidth - page.clientWidth")
    assert wide <= 0
    heights = page.locator(rows).evaluate_all("rows => rows.map((row) => row.getBoundingClientRect().height)")
    assert max(heights) < 1200


def test_odd_broadcast_takes_its_own_tile_at_most(page: Page) -> None:
    rows = odd(BROADCAST)
    serve(page, "on-air", {"now": NOW, "broadcasts": rows})
    expect(page.get_by_role("article")).to_have_count(len(rows), timeout=60_000)
    for title in ("First", "Last"):
        tile = tile_of(page, title)
        expect(tile).to_contain_text("Room 1 · host")
        expect(tile.get_by_role("button", name="Stop now")).to_have_count(1)
    expect(page.get_by_text("This broadcast cannot be shown")).not_to_have_count(0)
    assert_harmless(page, ".timav-tile")


def test_odd_recording_takes_its_own_row_at_most(page: Page) -> None:
    rows = odd(RECORDING)
    serve(page, "recordings", {"recordings": rows})
    expect(page.locator(".timav-table tbody tr")).to_have_count(len(rows), timeout=60_000)
    for title, place in (("First", 0), ("Last", -1)):
        row = page.locator(".timav-table tbody tr").nth(place)
        expect(row).to_contain_text(title)
        expect(row).to_contain_text("at its end")
        expect(row).to_contain_text("387702300000000001")
    expect(page.get_by_text("This recording cannot be shown")).not_to_have_count(0)
    expect(page.get_by_text("Nothing is on air.")).to_be_visible()
    assert_harmless(page, ".timav-table tbody tr")


def test_tile_comes_back_when_its_row_can_be_read_again(page: Page) -> None:
    serve(page, "on-air", {"now": NOW, "broadcasts": [{**BROADCAST, "run_id": ".."}]})
    expect(page.get_by_role("article")).to_contain_text("cannot be shown")
    serve(page, "on-air", {"now": NOW, "broadcasts": [BROADCAST]})
    expect(tile_of(page, "Good")).to_contain_text("Room 1 · host")


def test_answer_that_is_no_list_is_told_and_leaves_what_was_shown(page: Page) -> None:
    answers = [
        "null",
        "[]",
        "{}",
        '"text"',
        "<html>log in</html>",
        "",
        '{"broadcasts": {"length": 3}}',
        '{"broadcasts": "a"}',
    ]
    for answer in answers:
        serve(page, "on-air", {"now": NOW, "broadcasts": [BROADCAST]})
        expect(page.get_by_role("alert")).to_have_count(0)
        serve(page, "on-air", answer)
        expect(page.get_by_role("alert")).to_contain_text(
            "Airflow's response cannot be read. This list may be out of date."
        )
        expect(tile_of(page, "Good")).to_be_visible()


def test_odd_time_of_the_server_leaves_the_page(page: Page) -> None:
    times: list[Any] = [None, "noon", 0, HUGE, {}, "__proto__"]
    for number, now in enumerate(times):
        serve(page, "on-air", {"now": now, "broadcasts": [{**BROADCAST, "title": f"Good {number}"}]})
        expect(tile_of(page, f"Good {number}")).to_contain_text("Room 1 · host")
        assert_harmless(page, ".timav-tile")


def test_two_rows_that_say_the_same_of_themselves_are_two(page: Page) -> None:
    serve(page, "on-air", {"now": NOW, "broadcasts": [BROADCAST, {**BROADCAST, "title": "Twin"}]})
    tile_of(page, "Twin").wait_for()
    serve(page, "on-air", {"now": NOW, "broadcasts": [BROADCAST]})
    expect(page.get_by_role("article")).to_have_count(1)


@pytest.mark.parametrize("name", ["dag_id", "run_id"])
def test_run_whose_name_is_a_step_within_a_path_is_not_addressed(page: Page, name: str) -> None:
    """Browsers walk `..`, however it is written: a button would act on something else than it says."""
    said = page.evaluate(
        """async ([row]) => {
            const { stop, extend } = await import(new URL("timav/airflow.js", document.baseURI));
            const tell = (act) => Promise.resolve().then(act).catch((refused) => refused.message);
            return [await tell(() => stop(row)), await tell(() => extend(row, new Date(0)))];
        }""",
        [{**BROADCAST, name: ".."}],
    )
    assert said == ["This run cannot be addressed by its name."] * 2
