"""``make pictures``: takes the pictures of the documentation anew, from a real Airflow with the emulator's streams.

    python -m scripts.pictures     about two minutes

What is on them is what Airflow shows; only the titles are chosen.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Final

from playwright.sync_api import Page, expect

from harness.rest import Run
from harness.service import connect
from harness.ui.forms import edit_connection, field, open_section, open_trigger, press_test
from harness.ui.stage import DAG_ID, FORM_DAG, PROTECTED, Stage, tile_of
from scripts.local_airflow import PROJECT

FOLDER: Final = PROJECT / "docs" / "pictures"
SHOWS: Final = {
    201: ("anna", "Morning show", {}),
    202: ("ben", "Town hall, Berlin", {}),
    203: ("cleo", "Warehouse camera 3", {"live_code": "rtmp"}),
    204: ("dora", "Board meeting", {"dag_id": PROTECTED}),
}
WAITING: Final = (205, "emil", "Evening news")
HEIGHT: Final = 1180  # two rows of tiles, and the recordings
DIALOG: Final = 1040  # Airflow's dialogs from end to end


def take(page: Page, name: str, *, settle: int = 4000) -> None:
    """Write one picture of what is in the window, `settle` milliseconds after the mouse has left it."""
    page.mouse.move(2, 2)  # off the videos: their controls would show
    page.wait_for_timeout(settle)  # and fade
    file = FOLDER / f"{name}.png"
    page.screenshot(path=file)
    print(f"{file.relative_to(PROJECT)}: {file.stat().st_size // 1024} kB", flush=True)


def start(stage: Stage) -> list[Run]:
    """Bring the shows on air, and one that waits for its host."""
    with stage.site.held(DAG_ID, PROTECTED):
        runs = [stage.show(room, host, title=title, **more) for room, (host, title, more) in SHOWS.items()]
        room, host, title = WAITING
        stage.show(room, host, title=title)
    for run in runs:
        stage.site.wait_for_task(run, "broadcast.on_air", "deferred")
    return runs


def forms(stage: Stage) -> None:
    """The connection's form as it is opened again, what its Test button says, and the form behind Trigger."""
    lasting = stage.emulator.certificates.issue_client(not_after=datetime.now(UTC) + timedelta(days=825))
    connection = stage.emulator.connection(client_cert=lasting[0], private_key=lasting[1])
    connect(stage.site, "timav_default", connection)
    page = stage.login("admin").new_page()
    page.set_viewport_size({"width": 1180, "height": DIALOG})
    page.goto(f"{stage.site.url}/connections")
    open_section(edit_connection(page, "timav_default"), "2. Mutual TLS")
    take(page, "connection-form")
    page.reload()
    page.set_viewport_size({"width": 1180, "height": 420})
    press_test(page, "timav_default")
    page.wait_for_timeout(1000)
    take(page, "connection-tested", settle=0)
    stage.site.wait_for_dag(FORM_DAG)
    page.set_viewport_size({"width": 1180, "height": DIALOG})
    page.goto(f"{stage.site.url}/dags/{FORM_DAG}")
    dialog = open_trigger(page)
    field(dialog, "title").fill("Morning show")
    take(page, "trigger-form")
    page.close()


def main() -> int:
    """Take all pictures; return the exit status."""
    FOLDER.mkdir(exist_ok=True)
    rooms = {room: [host] for room, (host, _, _) in SHOWS.items()}
    with Stage(rooms) as stage:
        forms(stage)
        # The recordings' list is not to be empty: one broadcast that is over already.
        over = stage.show(201, "anna", title="Rehearsal")
        stage.site.wait_for_task(over, "broadcast.on_air", "deferred")
        stage.site.mark(over, "broadcast.on_air", "success")
        over.wait()
        runs = start(stage)
        page = stage.visit("user", height=HEIGHT)
        expect(tile_of(page, "Morning show")).to_contain_text("Live since")
        take(page, "broadcasts-light")
        page.close()
        page = stage.visit("user", dark=True)
        tile_of(page, "Morning show").get_by_role("button", name="Extend").click()
        take(page, "broadcasts-extend")
        page.close()
        page = stage.visit("viewer", width=390)
        expect(tile_of(page, "Morning show")).to_contain_text("Live since")
        take(page, "broadcasts-narrow")
        for run in runs:
            stage.site.mark(run, "broadcast.on_air", "success")
    return 0


if __name__ == "__main__":
    sys.exit(main())
