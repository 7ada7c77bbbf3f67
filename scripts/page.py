"""How long the page "Broadcasts" takes for a hundred of them, and what an update of it costs Airflow.

    python -m scripts.page     about half a minute

A real Airflow's API server, a hundred broadcasts in its ledger, and Debian's Chromium with the page open. Measured is, in the
browser, from the request for the list to the last tile in the document: a first time on a page that was just opened, with the
times of what it needs before, then updates of a page that is open. The exit status is 1 where the median exceeds its bound.
"""

from __future__ import annotations

import sys
from statistics import median
from typing import Final

from playwright.sync_api import Page

from harness.ui.stage import Stage, entries

BROADCASTS: Final = 100
BOUND_MS: Final = 1000.0
ROUNDS: Final = 7

# Runs before the page's own scripts: notes when the list is asked for and when the last tile is there.
WATCH: Final = f"""
    window.timavMarks = {{}};
    const ask = window.fetch;
    window.fetch = (...given) => {{
        if (String(given[0]).includes("/timav/on-air")) window.timavMarks.asked ??= performance.now();
        return ask(...given);
    }};
    new MutationObserver(() => {{
        if (document.querySelectorAll("[data-broadcast]").length === {BROADCASTS}) {{
            window.timavMarks.last ??= performance.now();
        }}
    }}).observe(document, {{ childList: true, subtree: true }});
"""


def first_time(stage: Stage) -> float:
    """Return the milliseconds from the request for the list to the last tile, on a page that was just opened."""
    context = stage.login("user")
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(f"{stage.site.url}/plugin/timav-broadcasts")
    page.wait_for_function("window.timavMarks.last !== undefined")
    took: float = page.evaluate("window.timavMarks.last - window.timavMarks.asked")
    context.close()
    return took


def answer(page: Page) -> float:
    """Return the milliseconds that the list alone takes: Airflow's part."""
    took: float = page.evaluate(
        """async () => {
            const began = performance.now();
            await (await fetch(new URL("timav/on-air", document.baseURI))).json();
            return performance.now() - began;
        }"""
    )
    return took


def main() -> int:
    """Measure and print; return the exit status."""
    with Stage({}, parts=("api-server",)) as stage:
        stage.pretend(*(entries(room, f"host_{room}", title=f"Show {room}") for room in range(1, BROADCASTS + 1)))
        first_time(stage)  # the server's own first time is no part of this
        times = [first_time(stage) for _ in range(ROUNDS)]
        page = stage.visit("user")
        page.get_by_role("article").nth(BROADCASTS - 1).wait_for()
        answers = [answer(page) for _ in range(ROUNDS)]
    took = median(times)
    print(f"{BROADCASTS} broadcasts, request to last tile: median {took:.0f} ms of {ROUNDS}, most {max(times):.0f} ms")
    print(f"of which Airflow's answer: median {median(answers):.0f} ms")
    print(f"bound: {BOUND_MS:.0f} ms: {'met' if took <= BOUND_MS else 'MISSED'}")
    return int(took > BOUND_MS)


if __name__ == "__main__":
    sys.exit(main())
