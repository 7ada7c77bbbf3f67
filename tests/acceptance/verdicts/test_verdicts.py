"""The short form of the verdict matrix: some seeds of each script. `make verdicts` plays all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from airflow_provider_timav.stream.verdict import Verdict
from tests.acceptance.verdicts.judge import judged
from tests.acceptance.verdicts.odd import ODD
from tests.acceptance.verdicts.origin import play, watched
from tests.acceptance.verdicts.report import story
from tests.acceptance.verdicts.scripts import SCRIPTS, Dice, Script, stale_caches

SEEDS: Final = {"odd": len(ODD), "variants": 7, "hollow": 7, "hidden": 5}
"""As many as there are kinds of failure; of the other scripts three."""


def _plays() -> Iterator[object]:
    for script in SCRIPTS:
        for seed in range(SEEDS.get(script.name, 3)):
            yield pytest.param(script, seed, id=f"{script}-{seed}")


@pytest.mark.parametrize(("script", "seed"), list(_plays()))
def test_a_watcher_says_what_viewers_see(script: Script, seed: int) -> None:
    """No verdict of LIVE, ENDED or STALLED is false, and none is late."""
    played = play(script, seed)
    assert judged(played.stream, played.probes).wrong == [], f"{played}\n{story(played)}"


@pytest.mark.parametrize(("variants", "caches"), [(1, 3), (1, 4), (1, 6), (2, 2), (3, 2), (5, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_caches_that_take_turns_after_the_end_show_nothing_live(variants: int, caches: int, seed: int) -> None:
    """However many of them there are, and of however many variants."""
    stream = stale_caches(Dice(f"stale caches {variants} {caches}", seed), variants=variants, caches=caches)
    probes = watched(stream, seed)
    marks = judged(stream, probes)
    assert (marks.false_live, marks.false_ended) == (0, 0), marks.wrong
    assert probes[-1].verdict is Verdict.ENDED
