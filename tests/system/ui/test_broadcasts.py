"""The page "Broadcasts" as people use it: a real Airflow, a real browser, the emulator's streams."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Response, expect

from airflow_provider_timav.plugins.timav import TimAVPlugin
from harness.processes import until
from harness.rest import Run
from harness.streams.site import running as serve
from harness.ui.stage import PASSWORD, PROTECTED, STATIC, Stage, chromium_is_there, clock, tile_of

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not chromium_is_there(), reason="chromium is not installed (Debian: apt-get install chromium)"),
]


@pytest.fixture
def page(stage: Stage, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page, for a user, or for the one that the test names."""
    page = stage.visit(getattr(request, "param", "user"))
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    yield page
    page.close()
    assert broken == []


def wait(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    return until(condition, timeout=seconds, failure=lambda: what, check=lambda: None)


def on_air(stage: Stage, room: int, host: str, **params: Any) -> Run:
    """A broadcast that its trigger watches over."""
    run = stage.show(room, host, **params)
    stage.site.wait_for_task(run, "broadcast.on_air", "deferred")
    return run


def test_host_who_does_not_come_is_no_longer_waited_for(stage: Stage, page: Page) -> None:
    run = stage.show(199, "nobody", title="Empty room")
    tile = tile_of(page, "Empty room")
    expect(tile).to_have_attribute("data-phase", "waiting", timeout=30_000)
    stage.site.wait_for_task(run, "broadcast.start_push", "up_for_reschedule")
    tile.get_by_role("button", name="Stop now").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("It does not go on air, and its run fails.")
    dialog.get_by_role("button", name="Stop now").click()
    assert run.wait() == "failed"
    assert stage.emulator.on_air(199) == []
    expect(tile).to_have_count(0)


PATCH = """
async ([url, body, mode]) => {
  try {
    const answer = await fetch(url, {
      method: "PATCH", mode, credentials: "include",
      headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    return answer.status;
  } catch (failed) {
    return failed.name;
  }
}
"""


def changes(run: Run) -> list[tuple[str, dict[str, Any]]]:
    """The requests behind Stop now and Extend."""
    task = f"{run.client.url}/api/v2/{run.path}/taskInstances/broadcast.on_air"
    return [
        (task, {"new_state": "success"}),
        (f"{task}/xcomEntries/control", {"value": {"stop": True}, "map_index": -1}),
    ]


@pytest.mark.parametrize("page", ["viewer"], indirect=True)
def test_viewer_watches_and_can_change_nothing(stage: Stage, page: Page) -> None:
    """No buttons, and the server refuses what is made by hand."""
    run = on_air(stage, 102, "ben", title="For viewers")
    control = run.xcom("broadcast.on_air", "control")
    tile = tile_of(page, "For viewers")
    wait(lambda: clock(page, "For viewers") > 1, 30, "the video does not play")
    expect(tile.get_by_role("button")).to_have_count(0)
    for url, body in changes(run):
        assert page.evaluate(PATCH, [url, body, "cors"]) == 403
    assert run.task("broadcast.on_air").state == "deferred"
    assert run.xcom("broadcast.on_air", "control") == control
    assert stage.emulator.on_air(102)
    stage.site.mark(run, "broadcast.on_air", "success")
    run.wait()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"], ids=["another port", "another host"])
def test_request_of_another_site_changes_nothing_and_reads_nothing(stage: Stage, host: str) -> None:
    """Another port is another origin, though browsers send the login's cookie along."""
    room = 103 if host == "127.0.0.1" else 104
    run = on_air(stage, room, "cleo", title=f"Attacked from {host}")
    control = run.xcom("broadcast.on_air", "control")
    with serve() as site:
        site.pages["/trap"] = lambda visit: visit.answer("<html><body>harmless</body></html>", Content_Type="text/html")
        context = stage.login("admin")
        trap = context.new_page()
        trap.goto(f"{site.url.replace('127.0.0.1', host)}/trap")
        for url, body in changes(run):
            assert trap.evaluate(PATCH, [url, body, "cors"]) == "TypeError"
            assert trap.evaluate(PATCH, [url, body, "no-cors"]) == "TypeError"
            # What needs no leave of the other site: a form, which can post a text that reads as JSON.
            trap.evaluate(
                """async ([url, body]) => fetch(url, {
                    method: "POST", mode: "no-cors", credentials: "include", body: JSON.stringify(body),
                })""",
                [url, body],
            )
        lists = f"{stage.site.url}/timav/on-air"
        for mode in ("cors", "no-cors"):
            read = trap.evaluate(
                """async ([url, mode]) => {
                    try { return await (await fetch(url, { mode, credentials: "include" })).text(); }
                    catch (failed) { return failed.name; }
                }""",
                [lists, mode],
            )
            # Nothing, or a refusal without the cookie, of which a script sees nothing either.
            assert read in ("TypeError", "")
        context.close()
    assert run.task("broadcast.on_air").state == "deferred"
    assert run.xcom("broadcast.on_air", "control") == control
    assert stage.emulator.on_air(room)
    stage.site.mark(run, "broadcast.on_air", "success")
    run.wait()


def test_without_a_login_every_route_answers_401(stage: Stage) -> None:
    """On the running Airflow: the files as well as the lists."""
    assert TimAVPlugin().react_apps
    for path in ("on-air", "recordings", *(file.name for file in STATIC.iterdir())):
        answer = stage.site.request("GET", f"timav/{path}", user=None)
        assert (path, answer.status_code) == (path, 401)
        assert stage.site.request("GET", f"timav/{path}", user="viewer").status_code == 200


def test_without_a_login_the_page_is_the_login(stage: Stage) -> None:
    context = stage.browser.new_context()
    page = context.new_page()
    page.goto(f"{stage.site.url}/plugin/timav-broadcasts")
    expect(page).to_have_url(re.compile("/login"))
    context.close()


def test_no_secret_is_in_anything_that_the_page_gets(stage: Stage) -> None:
    """The connection's credentials and the viewers' password: issue D, line 4."""
    page = stage.visit("admin")
    bodies: list[str] = []

    def keep(answer: Response) -> None:
        if answer.url.startswith(stage.site.url) and "/static/" not in answer.url and not answer.url.endswith(".mjs"):
            bodies.append(answer.text())

    page.on("response", keep)
    run = on_air(stage, 105, "dora", title="With a password", dag_id=PROTECTED)
    tile = tile_of(page, "With a password")
    expect(tile).to_contain_text("A player password is set", timeout=30_000)
    expect(tile.locator("video")).to_have_count(0)
    shown = [
        page.content(),
        *bodies,
        *(stage.site.request("GET", f"timav/{name}").text for name in ("on-air", "recordings")),
    ]
    extra = stage.emulator.connection()["extra"]
    for secret in (PASSWORD, stage.emulator.usersig, extra["private_key"].splitlines()[1]):
        assert not [text for text in shown if secret in text]
    assert any("With a password" in text for text in bodies)
    page.close()
    stage.site.mark(run, "broadcast.on_air", "success")
    run.wait()
