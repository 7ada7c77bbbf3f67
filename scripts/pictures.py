"""``make pictures``: takes the pictures of the documentation anew, from a real Airflow with the emulator's streams.

    python -m scripts.pictures     about two minutes

What is on them is what the page shows; only the titles are chosen.
"""

from __future__ import annotations

import sys
from typing import Final

from playwright.sync_api import Page, expect

from scripts.local_airflow import PROJECT
from tests.system.rest import Run
from tests.ui.stage import Stage, entries, tile_of

FOLDER: Final = PROJECT / "docs" / "pictures"
SHOWS: Final = {
    201: ("anna", "Morning show", {}),
    202: ("ben", "Town hall, Berlin", {}),
    203: ("cleo", "Warehouse camera 3", {"live_code": "rtmp"}),
}
WAITING: Final = (204, "dora", "Evening news")


def take(page: Page, name: str, height: int) -> None:
    """Write one picture, of the page's upper part."""
    width = page.viewport_size["width"] if page.viewport_size else 0
    page.mouse.move(width - 1, height - 1)  # off the videos: their controls would show
    page.wait_for_timeout(3500)  # and fade
    file = FOLDER / f"{name}.png"
    page.screenshot(path=file, clip={"x": 0, "y": 0, "width": width, "height": height})
    print(f"{file.relative_to(PROJECT)}: {file.stat().st_size // 1024} kB", flush=True)


def start(stage: Stage) -> list[Run]:
    """Bring the shows on air, and one that waits for its host."""
    with stage.site.held("live_show"):
        runs = [stage.show(room, host, title=title, **more) for room, (host, title, more) in SHOWS.items()]
        room, host, title = WAITING
        stage.show(room, host, title=title)
    for run in runs:
        stage.site.wait_for_task(run, "broadcast.on_air", "deferred")
    return runs


def main() -> int:
    """Take all pictures; return the exit status."""
    FOLDER.mkdir(exist_ok=True)
    rooms = {room: [host] for room, (host, _, _) in SHOWS.items()}
    with Stage(rooms) as stage:
        # The recordings' list is not to be empty: one show that is over already.
        over = stage.show(201, "anna", title="Rehearsal")
        stage.site.wait_for_task(over, "broadcast.on_air", "deferred")
        stage.site.mark(over, "broadcast.on_air", "success")
        over.wait()
        runs = start(stage)
        # One as a broadcast is whose viewers need a password, and whose run somebody has deleted.
        stage.pretend(
            entries(205, "emil", title="Board meeting", protected=True, hls_url="https://play.example.com/1.m3u8")
        )
        for scheme in ("light", "dark"):
            page = stage.visit("user", dark=scheme == "dark")
            expect(tile_of(page, "Morning show")).to_contain_text("Live since", timeout=60_000)
            take(page, f"broadcasts-{scheme}", 800)
            if scheme == "dark":
                tile_of(page, "Morning show").get_by_role("button", name="Extend").click()
                take(page, "broadcasts-extend", 800)
            page.close()
        page = stage.visit("viewer", width=390, height=1100)
        expect(tile_of(page, "Morning show")).to_contain_text("Live since")
        take(page, "broadcasts-narrow", 1100)
        for run in runs:
            stage.site.mark(run, "broadcast.on_air", "success")
    return 0


if __name__ == "__main__":
    sys.exit(main())
