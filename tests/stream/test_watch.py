"""The verdicts about series of looks; time is a number here."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_timav.stream.watch import Look, Verdict, Watch, next_pause

GRACE = 60.0
NOON = 1_795_435_200.0


def seen(at: float, tail: int, *, playable: bool | None = True, **facts: Any) -> Look:
    return Look(at=NOON + at, tail=tail, segments=3, target_duration=2, playable=playable, **facts)


def absent(at: float) -> Look:
    return Look(at=NOON + at, absence="HTTP status 404")


def empty(at: float, tail: int = 0) -> Look:
    return Look(at=NOON + at, tail=tail, target_duration=2)


def watch(*looks: Look, begin: Watch | None = None) -> Watch:
    known = begin or Watch()
    for look in looks:
        known = known.after(look, grace=GRACE)
    return known


def verdicts(*looks: Look) -> list[Verdict]:
    known = Watch()
    return [(known := known.after(look, grace=GRACE)).verdict for look in looks]


LIVE = (seen(0, 10), seen(2, 11))


def test_nothing_is_known_before_the_first_look() -> None:
    assert Watch().summary() == {"verdict": "UNKNOWN", "since": None, "tail": None, "target_duration": None}


def test_one_look_is_never_live() -> None:
    assert verdicts(seen(0, 10)) == [Verdict.STARTING]


def test_a_moved_tail_whose_newest_segment_has_bytes_is_live() -> None:
    assert verdicts(*LIVE) == [Verdict.STARTING, Verdict.LIVE]


@pytest.mark.parametrize("playable", [False, None], ids=["segment-missing", "segment-not-asked"])
def test_a_moved_tail_alone_is_not_live(playable: bool | None) -> None:
    assert verdicts(seen(0, 10), seen(2, 11, playable=playable))[-1] is Verdict.STARTING


def test_a_segment_that_answers_at_a_later_look_makes_the_stream_live() -> None:
    looks = (seen(0, 10), seen(2, 11, playable=False), seen(3, 11, playable=True))
    assert verdicts(*looks)[-1] is Verdict.LIVE


def test_the_cached_list_of_the_last_show_is_starting_and_then_stalled_and_never_live() -> None:
    found = verdicts(*(seen(second, 10) for second in range(20)))
    assert found == [Verdict.STARTING] * 7 + [Verdict.STALLED] * 13


def test_a_live_stream_is_live_for_three_target_durations_after_its_last_move_and_then_stalled() -> None:
    found = verdicts(*LIVE, seen(8, 11), seen(8.1, 11), seen(10, 12))
    assert found[2:] == [Verdict.LIVE, Verdict.STALLED, Verdict.LIVE]


def test_segments_that_never_answer_make_a_stream_stalled_however_its_tail_moves() -> None:
    found = verdicts(*LIVE, *(seen(2 + second, 11 + second, playable=False) for second in range(1, 9)))
    assert found[2:] == [Verdict.STARTING] * 6 + [Verdict.STALLED] * 2


def test_a_tail_that_went_back_is_a_reset_and_then_starting_and_then_live() -> None:
    found = verdicts(*LIVE, seen(4, 3), seen(5, 3), seen(6, 4))
    assert found[2:] == [Verdict.RESET, Verdict.STARTING, Verdict.LIVE]


def test_a_move_between_reads_that_are_far_apart_proves_nothing() -> None:
    """The stream may have stopped right after the first of them."""
    assert verdicts(seen(0, 10), seen(6.1, 20), seen(8, 21)) == [Verdict.STARTING, Verdict.STARTING, Verdict.LIVE]


def test_an_endlist_is_the_end_at_once() -> None:
    assert verdicts(seen(0, 10, endlist=True)) == [Verdict.ENDED]


def test_an_empty_playlist_is_empty_and_its_number_proves_nothing() -> None:
    assert verdicts(empty(0), seen(1, 3)) == [Verdict.EMPTY, Verdict.STARTING]


@pytest.mark.parametrize(
    "gone",
    [
        absent,
        empty,
        lambda at: seen(at, 11),
    ],
    ids=["absent", "empty", "stalled"],
)
def test_a_stream_that_was_live_has_ended_when_it_is_gone_for_longer_than_the_grace_period(gone: Any) -> None:
    known = watch(*LIVE, gone(10), gone(68))
    assert known.verdict in (Verdict.ABSENT, Verdict.EMPTY, Verdict.STALLED)
    assert watch(gone(70.5), begin=known).verdict is Verdict.ENDED


def test_a_stream_that_never_was_live_does_not_end_by_being_gone() -> None:
    assert verdicts(absent(0), absent(1000), seen(1001, 3), absent(5000))[-1] is Verdict.ABSENT


def test_a_short_absence_does_not_end_a_stream() -> None:
    assert verdicts(*LIVE, absent(4), absent(6), seen(7, 14))[2:] == [Verdict.ABSENT, Verdict.ABSENT, Verdict.LIVE]


def test_the_grace_period_begins_anew_when_the_stream_comes_back() -> None:
    known = watch(*LIVE, absent(4), absent(60), seen(61, 40), seen(63, 41), absent(65))
    assert known.verdict is Verdict.ABSENT
    assert known.gone_since == NOON + 65


def test_being_stalled_and_then_absent_counts_together() -> None:
    """The tail stood still since 12:00:02, so the stream is gone since 12:00:08."""
    assert watch(*LIVE, seen(20, 11), absent(68)).verdict is Verdict.ABSENT
    assert watch(*LIVE, seen(20, 11), absent(69)).verdict is Verdict.ENDED


@pytest.mark.parametrize("after", [absent(10), empty(10), seen(10, 11)], ids=["absent", "empty", "same-list"])
def test_what_has_ended_stays_so_while_nothing_new_appears(after: Look) -> None:
    assert verdicts(*LIVE, seen(3, 11, endlist=True), after)[-1] is Verdict.ENDED


@pytest.mark.parametrize(("tail", "verdict"), [(12, Verdict.LIVE), (2, Verdict.RESET)], ids=["goes-on", "anew"])
def test_a_stream_that_comes_back_after_its_end_is_judged_anew(tail: int, verdict: Verdict) -> None:
    assert verdicts(*LIVE, seen(3, 11, endlist=True), seen(5, tail))[-1] is verdict


def test_the_tails_of_two_variants_are_not_compared() -> None:
    found = verdicts(seen(0, 10, variant=0), seen(1, 900, variant=1), seen(2, 11, variant=0), seen(3, 12, variant=0))
    assert found == [Verdict.STARTING] * 3 + [Verdict.LIVE]


def test_since_is_when_the_verdict_was_reached_and_not_the_last_look() -> None:
    assert watch(*LIVE, seen(4, 12), seen(6, 13)).summary() == {
        "verdict": "LIVE",
        "since": "2026-11-23T12:00:02+00:00",
        "tail": 13,
        "target_duration": 2,
    }


def test_the_newest_segment_is_asked_for_only_when_it_decides() -> None:
    def unasked(at: float, tail: int, **facts: Any) -> Look:
        return seen(at, tail, playable=None, **facts)

    first = watch(unasked(0, 10))
    assert not Watch().asks_for_segment(unasked(0, 10))
    assert not first.asks_for_segment(unasked(1, 10))
    assert first.asks_for_segment(unasked(1, 11))
    assert not first.asks_for_segment(unasked(1, 11, endlist=True))
    assert not first.asks_for_segment(empty(1))
    assert not watch(seen(1, 11), begin=first).asks_for_segment(unasked(2, 11))
    assert watch(seen(1, 11, playable=False), begin=first).asks_for_segment(unasked(2, 11))


def test_a_clock_that_goes_back_changes_no_verdict() -> None:
    known = watch(*LIVE, absent(4), begin=Watch())
    assert watch(absent(-3600), absent(-3545), begin=known).verdict is Verdict.ABSENT
    assert watch(absent(-3600), absent(-3539), begin=known).verdict is Verdict.ENDED


def test_was_live_outlives_the_process() -> None:
    memory = json.loads(json.dumps(watch(*LIVE).to_json()))
    assert watch(absent(1000), absent(1061), begin=Watch.from_json(memory)).verdict is Verdict.ENDED


def test_a_memory_of_yesterday_makes_nothing_live_at_the_first_look() -> None:
    memory = watch(*LIVE).to_json()
    assert watch(seen(86_400, 40_000), begin=Watch.from_json(memory)).verdict is Verdict.STARTING


@pytest.mark.parametrize(
    "memory",
    [
        None,
        "LIVE",
        [],
        {},
        {"verdict": "ON FIRE", "since": "noon", "tail": "10", "was_live": 1, "at": math.inf, "read_at": True},
        {"tail": 10, "moved_at": 5.0, "proven": True},
        {"since": 1e300, "target_duration": -4, "reason": 7, "colour": "red"},
    ],
)
def test_a_memory_that_cannot_be_read_is_no_memory(memory: Any) -> None:
    assert Watch.from_json(memory) == Watch()


def test_what_can_be_read_of_a_memory_is_kept() -> None:
    known = Watch.from_json({"verdict": "LIVE", "was_live": True, "added_in": "a later version"})
    assert known == Watch(verdict=Verdict.LIVE, was_live=True)


@pytest.mark.parametrize(
    ("known", "seconds"),
    [
        (watch(*LIVE), 2),
        (watch(*LIVE, seen(3, 11)), 1),
        (watch(absent(0)), 3),
        (watch(Look(at=0, tail=5, segments=1, target_duration=0.2)), 1),
        (watch(Look(at=0, tail=5, segments=1, target_duration=3600)), 10),
    ],
    ids=["moving", "unchanged", "nothing-known", "floor", "ceiling"],
)
def test_the_next_look_is_after_a_target_duration_or_half_of_it(known: Watch, seconds: float) -> None:
    assert next_pause(known, 0.5) == pytest.approx(seconds)
    assert next_pause(known, 0) == pytest.approx(seconds * 0.9)
    assert next_pause(known, 1) == pytest.approx(seconds * 1.1)


looks = st.builds(
    lambda shape, tail, playable, target, variant: {
        "absent": {"absence": "HTTP status 404"},
        "empty": {"tail": tail},
        "listed": {"tail": tail, "segments": 3, "target_duration": target, "playable": playable, "variant": variant},
        "ended": {"tail": tail, "segments": 3, "target_duration": target, "endlist": True},
    }[shape],
    st.sampled_from(["listed", "listed", "listed", "listed", "absent", "empty", "ended"]),
    st.integers(10, 16),
    st.sampled_from([True, True, False, None]),
    st.sampled_from([2, 2, 4, None]),
    st.sampled_from([None, None, None, 1]),
)
gaps = st.sampled_from([0.5, 1, 2, 2, 3, 7, 13, 70, -5])


@st.composite
def histories(draw: st.DrawFn) -> list[Look]:
    series = draw(st.lists(st.tuples(looks, gaps), min_size=1, max_size=25))
    times = itertools.accumulate((gap for _, gap in series), initial=NOON)
    return [Look(at=at, **facts) for (facts, _), at in zip(series, times, strict=False)]


def steps(history: Iterable[Look], begin: Watch | None = None) -> Iterable[tuple[Watch, Look, Watch]]:
    known = begin or Watch()
    for look in history:
        after = known.after(look, grace=GRACE)
        yield known, look, after
        known = after


@given(histories())
def test_whatever_was_seen_live_rests_on_two_close_reads_and_a_segment(history: list[Look]) -> None:
    for index, (before, look, after) in enumerate(steps(history)):
        if after.verdict is not Verdict.LIVE:
            continue
        assert look.segments, "LIVE without segments"
        assert index > 0, "LIVE on one look"
        assert not look.endlist
        assert after.moved_at is not None
        assert after.at - after.moved_at <= 3 * (after.target_duration or 6)
        if before.tail is not None and before.variant == look.variant:
            assert look.tail is not None
            assert look.tail >= before.tail, "LIVE although the tail went back"
            if look.tail > before.tail:
                assert look.playable
        earlier = [past for past in history[:index] if past.tail is not None and past.segments]
        assert any(one.tail < two.tail for one, two in itertools.pairwise([*earlier, look]))  # type: ignore[operator]


@given(histories())
def test_whatever_was_seen_an_endlist_is_the_end_and_no_playlist_is_absent_or_the_end(history: list[Look]) -> None:
    for _, look, after in steps(history):
        if look.endlist:
            assert after.verdict is Verdict.ENDED
        if look.tail is None:
            assert after.verdict in (Verdict.ABSENT, Verdict.ENDED)


@given(histories())
def test_whatever_was_seen_a_stream_ends_only_by_an_endlist_or_after_having_been_live(history: list[Look]) -> None:
    told = live = False
    for _, look, after in steps(history):
        told = told or look.endlist
        live = live or after.verdict is Verdict.LIVE
        assert after.verdict is not Verdict.ENDED or told or live
        assert after.was_live is live


@given(histories(), st.integers(0, 24))
def test_whatever_was_seen_a_restart_changes_nothing(history: list[Look], restart: int) -> None:
    unbroken = [after for _, _, after in steps(history)]
    begun = [after for _, _, after in steps(history[:restart])]
    memory = json.loads(json.dumps(begun[-1].to_json())) if begun else None
    resumed = [after for _, _, after in steps(history[restart:], begin=Watch.from_json(memory))]
    assert begun + resumed == unbroken


@given(histories())
def test_whatever_was_seen_the_summary_is_plain_json_and_since_never_later_than_the_look(history: list[Look]) -> None:
    for _, look, after in steps(history):
        assert json.loads(json.dumps(after.summary())) == after.summary()
        assert after.since is not None
        assert after.since <= look.at
