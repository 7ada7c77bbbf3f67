"""The judge of the verdict matrix finds wrong verdicts, and nothing else; and the scripts are as described."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_timav.stream.verdict import Verdict
from tests.acceptance.verdicts.__main__ import main
from tests.acceptance.verdicts.cdn import Edge, Reply, Request, listed, media, playlist
from tests.acceptance.verdicts.judge import Marks, judged
from tests.acceptance.verdicts.origin import Play, Probe
from tests.acceptance.verdicts.report import markdown, story, table
from tests.acceptance.verdicts.scripts import SCRIPTS, Dice
from tests.acceptance.verdicts.segments import Segment
from tests.acceptance.verdicts.stream import Fresh, Shown, Stream

TARGET = 2
GRACE = 30.0
POLL = 1.1 * TARGET + 0.1
"""The longest pause, and the probes here take a tenth of a second."""


def stream(*arrivals: Fresh, **facts: Any) -> Stream:
    plain = Stream(
        target=TARGET,
        grace=GRACE,
        seconds=100,
        answer=lambda request: Reply(),
        fresh=arrivals,
        shows=lambda at: Shown.LISTED,
        latency=lambda path: 0.1,
    )
    return replace(plain, **facts)


def arrivals(begin: float, end: float, lag: float = 0.0) -> list[Fresh]:
    """Something new each target duration."""
    times = itertools.takewhile(lambda at: at <= end, itertools.count(begin, TARGET))
    return [Fresh(at, at + lag) for at in times]


def probes(
    *told: tuple[float, str], end: float, shown: Callable[[float], Shown] = lambda at: Shown.LISTED
) -> list[Probe]:
    """A probe each second; a verdict holds from its moment on."""
    found = []
    for second in range(int(end) + 1):
        verdict = next(verdict for since, verdict in reversed(told) if since <= second)
        state = shown(second)
        status = 200 if state in (Shown.LISTED, Shown.OVER) else 404
        found.append(Probe(second - 0.1, float(second), Verdict(verdict), "", state, status))
    return found


LIVE_FOR_EVER = stream(*arrivals(-10, 60))
DIES = stream(*arrivals(-10, 20))
DIED_BEFORE = stream(*arrivals(-90, -60))

WELL_SEEN = ((0, "STARTING"), (2, "LIVE"))
AND_DIED = (*WELL_SEEN, (27, "STALLED"), (57, "ENDED"))


def over_after(at: float) -> Callable[[float], Shown]:
    return lambda second: Shown.LISTED if second < at else Shown.OVER


def away(begin: float, end: float, what: Shown) -> Callable[[float], Shown]:
    return lambda second: what if begin <= second < end else Shown.LISTED


RIGHT: dict[str, tuple[Stream, Sequence[Probe]]] = {
    "live": (LIVE_FOR_EVER, probes(*WELL_SEEN, end=60)),
    "live just in time": (LIVE_FOR_EVER, probes((0, "STARTING"), (6, "LIVE"), end=60)),
    "lost for a moment": (LIVE_FOR_EVER, probes(*WELL_SEEN, (30, "STARTING"), (33, "LIVE"), end=60)),
    "stalled and ended": (DIES, probes(*AND_DIED, end=80)),
    "stalled just in time": (DIES, probes(*WELL_SEEN, (28, "STALLED"), (58, "ENDED"), end=80)),
    "yesterday's list": (DIED_BEFORE, probes((0, "STARTING"), (7, "STALLED"), end=80)),
    "a list that says so": (DIES, probes(*WELL_SEEN, (22, "ENDED"), end=40, shown=over_after(22))),
    "an end before the beginning": (
        stream(*arrivals(20, 60)),
        probes(
            (0, "ENDED"), (21, "RESET"), (23, "LIVE"), end=60, shown=lambda at: Shown.OVER if at < 20 else Shown.LISTED
        ),
    ),
    "hidden": (
        LIVE_FOR_EVER,
        probes(*WELL_SEEN, (10, "ABSENT"), (50, "LIVE"), end=60, shown=away(10, 49, Shown.HIDDEN)),
    ),
    "ended and back": (
        stream(*arrivals(-10, 10), *arrivals(60, 90), begins=[60]),
        probes(
            *WELL_SEEN,
            (11, "ABSENT"),
            (42, "ENDED"),
            (60, "RESET"),
            (62, "LIVE"),
            end=90,
            shown=away(11, 60, Shown.NOTHING),
        ),
    ),
    "a cache that lags": (
        stream(*arrivals(-10, 20, lag=5)),
        probes(*WELL_SEEN, (32, "STALLED"), (62, "ENDED"), end=80),
    ),
}
RIGHT["an end before the beginning"] = (
    replace(RIGHT["an end before the beginning"][0], begins=[20]),
    RIGHT["an end before the beginning"][1],
)

WRONG: dict[str, tuple[Stream, Sequence[Probe], str]] = {
    "live too long": (DIES, probes(*WELL_SEEN, (30, "STALLED"), (57, "ENDED"), end=80), "false_live"),
    "live after the end": (DIED_BEFORE, probes((0, "STARTING"), (2, "LIVE"), (3, "STALLED"), end=40), "false_live"),
    "ended by mistake": (LIVE_FOR_EVER, probes(*WELL_SEEN, (40, "ENDED"), (41, "LIVE"), end=60), "false_ended"),
    "ended before grace is over": (DIES, probes(*WELL_SEEN, (27, "STALLED"), (49, "ENDED"), end=80), "false_ended"),
    "ended and never live": (
        DIED_BEFORE,
        probes((0, "STARTING"), (7, "STALLED"), (50, "ENDED"), end=80),
        "false_ended",
    ),
    "ended because we see nothing": (
        LIVE_FOR_EVER,
        probes(*WELL_SEEN, (10, "ABSENT"), (41, "ENDED"), (50, "LIVE"), end=60, shown=away(10, 49, Shown.HIDDEN)),
        "false_ended",
    ),
    "ended after it has begun": (
        stream(*arrivals(20, 60)),
        probes((0, "ENDED"), (24, "LIVE"), end=60, shown=lambda at: Shown.OVER if at < 20 else Shown.LISTED),
        "false_ended",
    ),
    "stalled by mistake": (LIVE_FOR_EVER, probes(*WELL_SEEN, (40, "STALLED"), (41, "LIVE"), end=60), "false_stalled"),
    "reset by mistake": (LIVE_FOR_EVER, probes(*WELL_SEEN, (40, "RESET"), (41, "LIVE"), end=60), "false_reset"),
    "never live": (LIVE_FOR_EVER, probes((0, "STARTING"), end=60), "live_after"),
    "live too late": (LIVE_FOR_EVER, probes((0, "STARTING"), (7, "LIVE"), end=60), "live_after"),
    "lost for too long": (LIVE_FOR_EVER, probes(*WELL_SEEN, (30, "STARTING"), (37, "LIVE"), end=60), "live_after"),
    "absent though it is there": (LIVE_FOR_EVER, probes(*WELL_SEEN, (30, "ABSENT"), end=60), "live_after"),
    "live too late after a restart": (
        replace(LIVE_FOR_EVER, begins=[30]),
        probes(*WELL_SEEN, (30, "RESET"), (31, "STARTING"), (37, "LIVE"), end=60),
        "live_after",
    ),
    "stalled too late": (
        DIES,
        probes(*WELL_SEEN, (26, "STARTING"), (29, "STALLED"), (58, "ENDED"), end=80),
        "stalled_after",
    ),
    "never stalled": (DIED_BEFORE, probes((0, "STARTING"), end=80), "stalled_after"),
    "never ended": (DIES, probes(*WELL_SEEN, (27, "STALLED"), end=80), "ended_after"),
    "a list that says so in vain": (
        DIES,
        probes(*WELL_SEEN, (26, "STALLED"), (57, "ENDED"), end=80, shown=over_after(22)),
        "ended_after",
    ),
}


@pytest.mark.parametrize(("seen", "told"), RIGHT.values(), ids=RIGHT)
def test_what_is_right_is_not_found_wrong(seen: Stream, told: Sequence[Probe]) -> None:
    marks = judged(seen, told)
    assert marks.wrong == []
    assert all(fraction <= 1 for fraction in [*marks.live_after, *marks.stalled_after, *marks.ended_after])


@pytest.mark.parametrize(("seen", "told", "mark"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_found(seen: Stream, told: Sequence[Probe], mark: str) -> None:
    marks = judged(seen, told)
    found = getattr(marks, mark)
    assert found > 0 if isinstance(found, int) else max(found) > 1
    assert marks.wrong


def test_the_measured_times_are_those_of_the_probes() -> None:
    marks = judged(DIES, probes(*AND_DIED, end=80))
    assert marks.live_after == [pytest.approx(2 / (2 * TARGET + POLL))]
    assert marks.stalled_after == [pytest.approx(7 / (3 * TARGET + POLL))]
    assert marks.ended_after == [pytest.approx(37 / (3 * TARGET + GRACE + 2 * POLL))]


def test_status_200_is_scored_by_the_same_truth() -> None:
    dead = judged(DIED_BEFORE, probes((0, "STARTING"), (7, "STALLED"), end=80))
    assert (dead.status_false_live, dead.status_mistaken, dead.mistaken) == (81, 81, 0)
    hidden = judged(
        LIVE_FOR_EVER, probes(*WELL_SEEN, (10, "ABSENT"), (50, "LIVE"), end=60, shown=away(10, 49, Shown.HIDDEN))
    )
    assert (hidden.status_false_live, hidden.status_mistaken, hidden.mistaken) == (0, 39, 42)


def test_marks_add_up() -> None:
    one = Marks(probes=2, false_live=1, live_after=[0.5], wrong=["this"])
    assert one + Marks(probes=3, live_after=[0.7]) == Marks(
        probes=5, false_live=1, live_after=[0.5, 0.7], wrong=["this"]
    )


def test_there_are_sixteen_scripts_and_each_tells_what_happens() -> None:
    assert len({script.name for script in SCRIPTS}) == 16
    assert all(script.what.endswith(".") for script in SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_a_script_with_the_same_seed_is_the_same_stream_and_with_another_one_another(script: Any) -> None:
    one, again, other = script.stream(3), script.stream(3), script.stream(4)
    assert (one.target, one.grace, one.seconds, one.fresh) == (again.target, again.grace, again.seconds, again.fresh)
    assert (one.grace, one.seconds, one.fresh) != (other.grace, other.seconds, other.fresh)


def test_every_seed_decides_what_is_fresh_in_order() -> None:
    for script in SCRIPTS:
        for seed in range(20):
            moments = [one.first for one in script.stream(seed).fresh]
            assert moments == sorted(moments)


def test_the_encoder_lists_a_segment_for_each_target_duration_and_none_after_its_end() -> None:
    dice = Dice("steady", 1)
    made = dice.encoder(end=100)
    assert [one.number for one in made] == list(range(made[0].number, made[0].number + len(made)))
    assert all(one.listed <= 100 for one in made)
    assert all(0 <= one.listed - dice.begin - place * dice.target < dice.target for place, one in enumerate(made))


SEGMENTS = [Segment(number, 2.0, float(number), number + 0.5) for number in range(10)]


def test_an_edge_lists_the_newest_segments_of_the_encoder_that_began_last() -> None:
    restarted = [Segment(number, 2.0, 20.0 + number, 20.0 + number) for number in range(3)]
    edge = Edge(SEGMENTS, restarted, window=3)
    assert [one.number for one in edge.listed(5)] == [3, 4, 5]
    assert [one.number for one in edge.listed(19)] == [7, 8, 9]
    assert [one.listed for one in edge.listed(21)] == [20, 21]
    assert [one.number for one in Edge(SEGMENTS, window=3, lag=2).listed(5)] == [1, 2, 3]
    assert [one.number for one in Edge(SEGMENTS, window=3, frozen=4).listed(9)] == [2, 3, 4]
    assert len(Edge(SEGMENTS, window=None).listed(9)) == 10


def test_a_segment_answers_from_when_on_it_is_there() -> None:
    edge = Edge(SEGMENTS, window=3)
    assert listed(edge, 2, Request(5.4, "/s5.ts")).status == 404
    assert listed(edge, 2, Request(5.5, "/s5.ts")).status == 200
    assert listed(edge, 2, Request(5.5, "/s6.ts")).status == 404
    assert "s5.ts" in listed(edge, 2, Request(5.5, "/live.m3u8")).body.decode()


def test_a_part_of_a_segment_is_what_was_asked_for() -> None:
    part = media(Request(0, "/s1.ts", headers={"range": "bytes=2-4"}), b"0123456789")
    assert (part.status, part.body, dict(part.headers)["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert media(Request(0, "/s1.ts", headers={"range": "bytes=10-"}), b"0123456789").status == 416
    assert media(Request(0, "/s1.ts"), b"0123456789").status == 200


def test_a_playlist_is_what_the_product_reads() -> None:
    text = playlist(SEGMENTS[:2], 2, over=True)
    assert text.splitlines()[-3:] == ["#EXTINF:2.000,", "s1.ts", "#EXT-X-ENDLIST"]


def test_the_tables_tell_what_is_wrong() -> None:
    script = SCRIPTS[0]
    good = Play(script, 0, LIVE_FOR_EVER, probes(*WELL_SEEN, end=60))
    bad = Play(script, 1, DIES, probes(*WELL_SEEN, end=80))
    marked = [(play, judged(play.stream, play.probes)) for play in (good, bad)]
    assert "WRONG 1/2" in table(marked)
    assert "never" in table(marked)
    assert "**1 of 2 plays" in markdown(marked, seeds=2)
    assert story(bad).splitlines() == ["    0.0 s  STARTING", "    2.0 s  LIVE"]


def test_the_command_says_by_its_status_whether_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "yesterday", "--seeds", "1"]) == 0
    assert "1 of 1 plays as they must be" in capsys.readouterr().out
