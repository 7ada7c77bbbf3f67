"""What the page does with whatever the ledger holds: many, none, hostile texts, streams that no browser plays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from harness.site import free_port
from harness.streams.site import media
from harness.streams.site import running as serve
from harness.ui.stage import Stage, chromium_is_there, entries, tile_of

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not chromium_is_there(), reason="chromium is not installed (Debian: apt-get install chromium)"),
]

EVIL = "<img src=x onerror='window.hacked = true'>\"><script>window.hacked = true</script>{{ 7 * 7 }}"


def test_empty_page_says_so(ledger: Stage) -> None:
    page = ledger.visit()
    expect(page.get_by_text("Nothing is on air.")).to_be_visible()
    expect(page.get_by_text("No broadcast has been recorded yet.")).to_be_visible()
    page.close()


def test_a_hundred_broadcasts_are_a_hundred_tiles(ledger: Stage) -> None:
    ledger.pretend(*(entries(room, f"host_{room}", title=f"Show {room}") for room in range(1, 101)))
    page = ledger.visit()
    expect(page.get_by_role("article")).to_have_count(100)
    expect(page.get_by_text("100 on air")).to_be_visible()
    page.close()


def test_texts_of_people_stay_texts(ledger: Stage) -> None:
    # Of a run's id Airflow lets nothing worse through, and a broadcast is shown on the word of its run alone.
    run_id = "a+b:c~d"
    ledger.pretend(entries(1, EVIL, title=EVIL, run_id=run_id, error=EVIL, hls_url="javascript:window.hacked=true"))
    page = ledger.visit()
    tile = page.get_by_role("article")
    expect(tile.get_by_role("heading")).to_have_text(EVIL)
    expect(tile).to_contain_text(f"Room 1 · {EVIL}")
    assert tile.locator("img, script, a[href^=javascript]").count() == 0
    assert page.evaluate("window.hacked") is None
    assert page.get_by_role("link", name="Run of live_show").get_attribute("href") == (
        "/dags/live_show/runs/" + page.evaluate("encodeURIComponent", run_id)
    )
    page.close()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param({"rtmp_url": "rtmp://play.example.com/1"}, "RTMP only", id="rtmp"),
        pytest.param(
            {"hls_url": "https://x.example/1.m3u8", "protected": True}, "A player password is set", id="password"
        ),
        pytest.param({"state": "foreign"}, "started elsewhere", id="foreign"),
        pytest.param({}, "Its address is unknown", id="no address"),
        pytest.param({"state": "sent"}, "Starting", id="starting"),
    ],
)
def test_page_says_why_a_stream_cannot_be_played(ledger: Stage, given: dict[str, Any], said: str) -> None:
    ledger.pretend(entries(1, "host", **given))
    page = ledger.visit()
    expect(page.get_by_role("article")).to_contain_text(said)
    expect(page.locator("video")).to_have_count(0)
    page.close()


def test_stream_without_cors_and_server_that_is_down_are_told_apart(ledger: Stage) -> None:
    with serve() as site:
        site.pages["/1.m3u8"] = lambda visit: visit.answer(media(0, 3))
        down = f"http://127.0.0.1:{free_port()}/1.m3u8"
        ledger.pretend(
            entries(1, "host", title="Forbidden", hls_url=f"{site.url}/1.m3u8"),
            entries(2, "host", title="Down", hls_url=down),
        )
        page = ledger.visit()
        forbidden = tile_of(page, "Forbidden")
        expect(forbidden).to_contain_text("no CORS header")
        expect(forbidden.get_by_role("link", name="Open the stream by itself")).to_have_attribute(
            "href", f"{site.url}/1.m3u8"
        )
        expect(tile_of(page, "Down")).to_contain_text("cannot be reached from this browser")
        page.close()


def test_mixed_content_is_told_before_it_is_tried(ledger: Stage) -> None:
    page = ledger.visit()
    page.get_by_text("Nothing is on air.").wait_for()
    ask = """async ([url, protocol]) => {
        const { obstacle } = await import(new URL("timav/player.js", document.baseURI));
        return obstacle({ phase: "on_air", hls_url: url }, protocol);
    }"""
    mixed = page.evaluate(ask, ["http://play.example.com/1.m3u8", "https:"])
    assert "mixed content" in mixed["text"]
    assert mixed["open"] == "http://play.example.com/1.m3u8"
    assert page.evaluate(ask, ["https://play.example.com/1.m3u8", "https:"]) is None
    assert page.evaluate(ask, ["http://play.example.com/1.m3u8", "http:"]) is None
    page.close()


def test_picture_that_is_not_there_is_asked_for_again(ledger: Stage) -> None:
    with serve() as site:
        url = site.text("/later.m3u8", "not yet", 404, Access_Control_Allow_Origin="*")
        ledger.pretend(entries(1, "host", title="Later", hls_url=url, verdict="ABSENT"))
        page = ledger.visit()
        expect(tile_of(page, "Later")).to_contain_text("No picture at the moment")
        asked = len(site.visits)
        page.wait_for_timeout(6000)
        assert len(site.visits) > asked
        page.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_page_fits_its_window(ledger: Stage, width: int, dark: bool) -> None:
    long = "A title that goes on and on " * 5
    ledger.pretend(*(entries(room, "host_with_a_long_name" * 4, title=long, error="e" * 300) for room in range(1, 4)))
    page = ledger.visit(dark=dark, width=width)
    expect(page.get_by_role("article")).to_have_count(3)
    wide = page.locator(".timav-page").evaluate("page => page.scrollWidth - page.clientWidth")
    assert wide <= 0
    sides = page.get_by_role("article").evaluate_all(
        "tiles => tiles.map((tile) => [tile.getBoundingClientRect().left, tile.getBoundingClientRect().right])"
    )
    assert all(0 <= left < right <= width for left, right in sides)
    page.close()


def test_lists_that_fail_leave_what_was_shown_and_say_so(ledger: Stage) -> None:
    ledger.pretend(entries(1, "host", title="Still there"))
    page = ledger.visit()
    tile_of(page, "Still there").wait_for()
    page.route("**/timav/on-air", lambda route: route.fulfill(status=500, json={"detail": "broken"}))
    expect(page.get_by_role("alert")).to_contain_text("Airflow answered 500: broken This list may be out of date.")
    expect(tile_of(page, "Still there")).to_be_visible()
    page.unroute("**/timav/on-air")
    page.route("**/timav/on-air", lambda route: route.fulfill(status=401, json={"detail": "Not authenticated"}))
    expect(page.get_by_role("alert")).to_contain_text("Your session has expired.")
    page.close()


def accept(route: Route, sent: list[Any]) -> None:
    """Keep a change that the page asks for, and say that it was made."""
    sent.append((route.request.url, route.request.post_data_json))
    route.fulfill(json={})


def button(page: Page, name: str) -> Any:
    return page.get_by_role("article").get_by_role("button", name=name)


def test_everything_can_be_done_with_the_keyboard(ledger: Stage) -> None:
    """The answer to what the page asks is made up here, so that there is something to stop."""
    ledger.pretend(entries(1, "host", title="By keyboard", left=timedelta(minutes=10)))
    page = ledger.visit()
    rows = ledger.site.request("GET", "timav/on-air", user="user").json()
    rows["broadcasts"][0] |= {
        "phase": "on_air",
        "stop": {"task_id": "broadcast.on_air", "new_state": "success"},
        "extend": True,
    }
    page.route("**/timav/on-air", lambda route: route.fulfill(json=rows))
    sent: list[Any] = []
    page.route("**/taskInstances/**", lambda route: accept(route, sent))
    expect(button(page, "Stop now")).to_be_visible(timeout=10_000)
    button(page, "Extend").focus()
    page.keyboard.press("Tab")
    expect(button(page, "Stop now")).to_be_focused()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()  # what cannot be undone is not a slip away
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(button(page, "Stop now")).to_be_focused()
    assert sent == []
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    ((url, body),) = sent
    assert url.endswith("/api/v2/dags/live_show/dagRuns/manual__1/taskInstances/broadcast.on_air")
    assert body["new_state"] == "success"
    for _ in range(10):  # however fast somebody types: no key falls between a dialog that closes and its button
        page.keyboard.press("Enter")
        expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
        page.keyboard.press("Escape")
    page.close()


def test_what_has_ended_meanwhile_is_not_marked(ledger: Stage) -> None:
    """Stop and Extend look once more before they act."""
    page = ledger.visit()
    page.get_by_text("Nothing is on air.").wait_for()
    said = page.evaluate(
        """async () => {
            const { fresh } = await import(new URL("timav/airflow.js", document.baseURI));
            return fresh("one that is over").catch((refused) => refused.message);
        }"""
    )
    assert said == "It has ended already."
    page.close()


def test_mapped_broadcast_is_addressed_by_its_map_index(ledger: Stage) -> None:
    page = ledger.visit()
    page.get_by_text("Nothing is on air.").wait_for()
    sent: list[Any] = []
    page.route("**/taskInstances/**", lambda route: accept(route, sent))
    page.evaluate(
        """async () => {
            const { stop, extend } = await import(new URL("timav/airflow.js", document.baseURI));
            const row = {
                dag_id: "rooms", run_id: "run 1/2", task_id: "room.broadcast.on_air", map_index: 3,
                stop: { task_id: "room.broadcast.on_air", new_state: "success" },
            };
            await stop(row);
            await extend(row, new Date(0));
        }"""
    )
    task = f"{ledger.site.url}/api/v2/dags/rooms/dagRuns/run%201%2F2/taskInstances/room.broadcast.on_air"
    (stopped, extended) = sent
    assert stopped[0] == f"{task}/3"
    assert extended == (f"{task}/xcomEntries/control", {"value": {"end": "1970-01-01T00:00:00.000Z"}, "map_index": 3})
    page.close()
