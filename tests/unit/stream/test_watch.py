"""The verdicts about series of looks; time is a number here."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_timav.stream.watch import UNSEEN_SECONDS, Look, Track, Verdict, Watch, next_pause

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


LIVE = (seen(0, 10), seen(1, 11), seen(2, 12))


def test_nothing_is_known_before_the_first_look() -> None:
    assert Watch().summary() == {"verdict": "UNKNOWN", "since": None, "tail": None, "target_duration": None}


def test_one_look_is_never_live() -> None:
    assert verdicts(seen(0, 10)) == [Verdict.STARTING]


def test_a_mark_that_moved_twice_and_has_bytes_is_live() -> None:
    """One move could be two caches of a broadcast that is over, the older of which came first."""
    assert verdicts(*LIVE) == [Verdict.STARTING, Verdict.STARTING, Verdict.LIVE]


@pytest.mark.parametrize("playable", [False, None], ids=["segment-missing", "segment-not-asked"])
def test_a_moved_tail_alone_is_not_live(playable: bool | None) -> None:
    looks = (seen(0, 10), seen(2, 11, playable=playable), seen(4, 12, playable=playable))
    assert verdicts(*looks)[-1] is Verdict.STARTING


def test_a_segment_that_answers_at_a_later_look_makes_the_stream_live() -> None:
    looks = (seen(0, 10), seen(1, 11), seen(2, 12, playable=False), seen(3, 12, playable=True))
    assert verdicts(*looks)[-1] is Verdict.LIVE


def test_the_cached_list_of_the_last_show_is_starting_and_then_stalled_and_never_live() -> None:
    found = verdicts(*(seen(second, 10) for second in range(20)))
    assert found == [Verdict.STARTING] * 7 + [Verdict.STALLED] * 13


def test_a_live_stream_is_live_for_three_target_durations_after_its_last_move_and_then_stalled() -> None:
    found = verdicts(*LIVE, seen(5, 12), seen(8, 12), seen(8.1, 12), seen(10, 13), seen(12, 14))
    assert found[3:] == [Verdict.LIVE, Verdict.LIVE, Verdict.STALLED, Verdict.STARTING, Verdict.LIVE]


def test_segments_that_never_answer_make_a_stream_stalled_however_its_tail_moves() -> None:
    """Viewers sit three target durations behind: so long they have something to see."""
    found = verdicts(*LIVE, *(seen(2 + second, 12 + second, playable=False) for second in range(1, 9)))
    assert found[3:] == [Verdict.LIVE] * 6 + [Verdict.STALLED] * 2


def test_a_tail_that_went_back_is_a_reset_and_then_starting_and_then_live() -> None:
    found = verdicts(*LIVE, seen(4, 3), seen(5, 3), seen(6, 4), seen(8, 5))
    assert found[3:] == [Verdict.RESET, Verdict.STARTING, Verdict.STARTING, Verdict.LIVE]


def test_a_move_between_reads_that_are_far_apart_proves_nothing() -> None:
    """The stream may have stopped right after the first of them."""
    assert verdicts(*LIVE, seen(8.1, 20), seen(10, 21))[3:] == [Verdict.STARTING, Verdict.LIVE]


def test_an_endlist_is_the_end_at_once() -> None:
    assert verdicts(seen(0, 10, endlist=True)) == [Verdict.ENDED]


def test_an_empty_playlist_is_empty_and_its_number_proves_nothing() -> None:
    assert verdicts(empty(0), seen(1, 3)) == [Verdict.EMPTY, Verdict.STARTING]


@pytest.mark.parametrize(
    "gone",
    [
        absent,
        empty,
        lambda at: seen(at, 12),
    ],
    ids=["absent", "empty", "stalled"],
)
def test_a_stream_that_was_live_has_ended_when_it_is_gone_for_longer_than_the_grace_period(gone: Any) -> None:
    known = watch(*LIVE, *(gone(second) for second in (10, 10.5, 11, 68)))
    assert known.verdict in (Verdict.ABSENT, Verdict.EMPTY, Verdict.STALLED)
    assert watch(gone(70.5), begin=known).verdict is Verdict.ENDED


def test_a_stream_that_never_was_live_does_not_end_by_being_gone() -> None:
    assert verdicts(absent(0), absent(1000), seen(1001, 3), absent(5000))[-1] is Verdict.ABSENT


def test_a_short_absence_does_not_end_a_stream() -> None:
    assert verdicts(*LIVE, absent(4), absent(6), seen(7, 14))[3:] == [Verdict.ABSENT, Verdict.ABSENT, Verdict.LIVE]


def test_the_grace_period_begins_anew_when_the_stream_comes_back() -> None:
    known = watch(*LIVE, absent(4), absent(60), seen(61, 40), seen(63, 41), absent(65))
    assert known.verdict is Verdict.ABSENT
    assert known.gone_since == NOON + 65


def test_being_stalled_and_then_absent_counts_together() -> None:
    """The mark stood still since 12:00:02, so the stream is gone since 12:00:08."""
    known = watch(*LIVE, *(seen(second, 12) for second in range(5, 21, 5)))
    assert watch(absent(68), begin=known).verdict is Verdict.ABSENT
    assert watch(absent(69), begin=known).verdict is Verdict.ENDED


@pytest.mark.parametrize(
    "after",
    [absent(10), empty(10), seen(10, 12), seen(10, 11), seen(10, 14, endlist=True)],
    ids=["absent", "empty", "same-list", "older-copy", "last-segments"],
)
def test_what_has_ended_stays_so_while_nothing_new_appears(after: Look) -> None:
    assert verdicts(*LIVE, seen(3, 12, endlist=True), after)[-1] is Verdict.ENDED


@pytest.mark.parametrize(("tail", "verdict"), [(13, Verdict.LIVE), (2, Verdict.RESET)], ids=["goes-on", "anew"])
def test_a_stream_that_comes_back_after_its_end_is_judged_anew(tail: int, verdict: Verdict) -> None:
    assert verdicts(*LIVE, seen(3, 12, endlist=True), seen(5, tail))[-1] is verdict


def test_the_tails_of_two_variants_are_not_compared() -> None:
    found = verdicts(seen(0, 10, variant=0), seen(1, 900, variant=1), seen(2, 11, variant=0), seen(3, 12, variant=0))
    assert found == [Verdict.STARTING] * 3 + [Verdict.LIVE]


def test_since_is_when_the_verdict_was_reached_and_not_the_last_look() -> None:
    assert watch(*LIVE, seen(4, 13), seen(6, 14)).summary() == {
        "verdict": "LIVE",
        "since": "2026-11-23T12:00:02+00:00",
        "tail": 14,
        "target_duration": 2,
    }


def test_a_segment_is_asked_for_only_when_it_decides_and_among_those_added_since_the_last_proof() -> None:
    def unasked(at: float, tail: int, **facts: Any) -> Look:
        return seen(at, tail, playable=None, **facts)

    first = watch(unasked(0, 10))
    assert Watch().unproved(unasked(0, 10)) is None
    assert first.unproved(unasked(1, 10)) is None
    assert first.unproved(unasked(1, 12)) == 10
    assert first.unproved(unasked(1, 11, endlist=True)) is None
    assert first.unproved(empty(1)) is None
    assert watch(seen(1, 12), begin=first).unproved(unasked(2, 12)) is None
    assert watch(seen(1, 12, playable=False), begin=first).unproved(unasked(2, 12)) == 10
    assert watch(seen(1, 12, proved=10), begin=first).unproved(unasked(2, 12)) == 11


def test_a_clock_that_goes_back_changes_no_verdict() -> None:
    known = watch(*LIVE, absent(4), begin=Watch())
    assert watch(absent(-3600), absent(-3545), begin=known).verdict is Verdict.ABSENT
    assert watch(absent(-3600), absent(-3539), begin=known).verdict is Verdict.ENDED


def test_was_live_outlives_the_process() -> None:
    memory = json.loads(json.dumps(watch(*LIVE).to_json()))
    assert watch(absent(1000), absent(1001), absent(1061), begin=Watch.from_json(memory)).verdict is Verdict.ENDED


def test_a_memory_of_another_version_is_read_as_far_as_it_goes() -> None:
    memory = {
        "verdict": "LIVE",
        "since": NOON,
        "at": NOON,
        "tail": 10,
        "read_at": NOON,
        "moved_at": NOON,
        "proven": True,
    }
    known = Watch.from_json({**memory, "progress_at": NOON, "was_live": True, "variant": 1})
    assert (known.verdict, known.was_live, known.tail) == (Verdict.LIVE, True, None)
    assert watch(seen(5, 11, variant=1), begin=known).verdict is Verdict.STARTING


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
        {"tail": 10, "progress_at": 5.0, "tracks": [7, None, {"tail": 1}, {"tail": "1", "first": 0, "read_at": 1}]},
        {"tail": 10, "tracks": [{"variant": None, "tail": 10, "first": 7, "read_at": 1.0}]},
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
        (watch(*LIVE, seen(3, 12)), 1),
        (watch(seen(0, 10)), 2 / 3),
        (watch(Look(at=0, tail=5, segments=1, target_duration=6)), 2),
        (watch(absent(0)), 3),
        (watch(Look(at=0, tail=5, segments=1, target_duration=0.5)), 0.5),
        (watch(empty(0, 5), Look(at=NOON + 1, tail=5, target_duration=0.2)), 1),
        (watch(Look(at=0, tail=5, segments=1, target_duration=3600)), 10),
    ],
    ids=["moving", "unchanged", "short-start", "start", "nothing-known", "floor-at-the-start", "floor", "ceiling"],
)
def test_the_next_look_is_after_a_target_duration_or_half_of_it(known: Watch, seconds: float) -> None:
    assert next_pause(known, 0.5) == pytest.approx(seconds)
    assert next_pause(known, 0) == pytest.approx(seconds * 0.9)
    assert next_pause(known, 1) == pytest.approx(seconds * 1.1)


def test_look_is_made_at_the_moment_at_which_a_stream_would_be_stalled() -> None:
    known = watch(*LIVE, seen(5, 12), seen(7.4, 12))
    assert known.verdict is Verdict.LIVE
    assert next_pause(known, 0.5) == pytest.approx(0.61)
    assert watch(seen(8.01, 12), begin=known).verdict is Verdict.STALLED


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
def test_whatever_was_seen_live_rests_on_three_marks_and_segments(history: list[Look]) -> None:
    answered = 0
    marks: set[int] = set()
    for before, look, after in steps(history):
        answered += look.playable is True
        if look.tail is not None and look.segments:
            marks.add(look.tail)
        if after.verdict is not Verdict.LIVE:
            continue
        assert look.segments, "LIVE without segments"
        assert not look.endlist
        assert after.played_at is not None
        assert after.at - after.played_at <= 3 * (after.target_duration or 6)
        assert answered
        if before.verdict is Verdict.LIVE:
            continue
        assert len(marks) >= 3, "LIVE on less than three marks"


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


class TestOlderCopies:
    """Caches hand out older lists: what overlaps what is known says nothing, and only a mark that moves is a move."""

    def test_edges_that_lag_behind_change_nothing(self) -> None:
        found = verdicts(*(seen(second, 100 + second // 2 - 2 * (second % 2)) for second in range(60)))
        assert set(found[6:]) == {Verdict.LIVE}

    @pytest.mark.parametrize("order", [(100, 99), (99, 100)], ids=["newer-first", "older-first"])
    def test_two_caches_of_a_broadcast_that_is_over_never_make_it_live(self, order: tuple[int, int]) -> None:
        found = verdicts(*(seen(second, order[second % 2]) for second in range(300)))
        assert Verdict.LIVE not in found
        assert found[8:] == [Verdict.STALLED] * 292

    def test_two_caches_keep_no_broadcast_alive(self) -> None:
        found = verdicts(*LIVE, *(seen(3 + second, 12 - second % 2) for second in range(70)))
        assert found[3:8] == [Verdict.LIVE] * 5
        assert found[10:66] == [Verdict.STALLED] * 56
        assert found[-1] is Verdict.ENDED

    def test_caches_without_overlap_are_one_reset_and_no_sign_of_life_after_it(self) -> None:
        found = verdicts(*LIVE, *(seen(3 + second, (3, 60, 12)[second % 3]) for second in range(90)))
        assert found.count(Verdict.RESET) <= 2
        assert Verdict.LIVE not in found[25:]
        assert found[-1] is Verdict.ENDED

    def test_encoder_that_began_anew_beside_a_cache_of_what_was_before(self) -> None:
        looks = [seen(3 + second, 200 if second % 2 else 3 + second // 2) for second in range(20)]
        found = verdicts(seen(0, 198), seen(1, 199), seen(2, 200), *looks)
        assert found[3] is Verdict.RESET
        assert found.index(Verdict.LIVE, 4) <= 8
        assert set(found[9::2]) == {Verdict.LIVE}

    @pytest.mark.parametrize(
        ("names", "dated", "verdict"),
        [
            ((1, 2, 3), "", Verdict.LIVE),
            ((7, 8, 9), "", Verdict.RESET),
            ((7, 8, 9), "2026-11-23T11:59:58Z", Verdict.LIVE),
            ((1, 2, 3), "2026-11-23T12:01:00Z", Verdict.RESET),
            ((), "yesterday", Verdict.LIVE),
        ],
        ids=["same-names", "other-names", "earlier-date", "later-date", "unknown"],
    )
    def test_lower_tail_that_overlaps_is_told_apart_by_names_and_dates(
        self, names: tuple[int, ...], dated: str, verdict: Verdict
    ) -> None:
        """Early in a broadcast an encoder that begins anew lists numbers that were there before."""
        before = [seen(n, 3 + n, names=(n + 1, n + 2, n + 3), dated=f"2026-11-23T12:00:0{n}Z") for n in range(3)]
        assert verdicts(*before, seen(3, 3, names=names, dated=dated))[-1] is verdict

    def test_encoder_that_began_anew_under_the_same_numbers_and_names_is_live_again(self) -> None:
        """What it lists looks like an older copy, but moves on by itself."""
        before = [Look(at=NOON + n, tail=n + 1, segments=n + 1, target_duration=2, playable=True) for n in range(5)]
        after = [replace(look, at=look.at + 40) for look in before]
        found = verdicts(*before, *(seen(second, 5) for second in (8, 12, 20)), *after, seen(45, 6), seen(46, 7))
        assert found[7] is Verdict.STALLED
        assert found[-2:] == [Verdict.STARTING, Verdict.LIVE], "above what was there before"

    def test_encoder_that_began_anew_so_is_live_before_that_when_nothing_else_was_handed_out_for_long(self) -> None:
        long = [Look(at=NOON + n, tail=11 + n, segments=11, target_duration=2, playable=True) for n in range(30)]
        known = watch(*long, *(replace(long[-1], at=NOON + second) for second in range(30, 60)))
        assert known.verdict is Verdict.STALLED
        found = []
        for second in range(27):
            known = watch(
                Look(at=NOON + 60 + second, tail=30 + second // 3, segments=11, target_duration=2, playable=True),
                begin=known,
            )
            found.append(known.verdict)
        assert Verdict.LIVE not in found[:20]
        assert found[22:] == [Verdict.LIVE] * 5
        assert known.tail == 38

    @pytest.mark.parametrize("variants", [1, 2, 3, 5])
    @pytest.mark.parametrize("caches", [2, 3, 4, 5])
    @pytest.mark.parametrize("segments", [2, 6], ids=["without-overlap", "overlap"])
    @pytest.mark.parametrize("seed", range(3))
    def test_caches_of_a_broadcast_that_is_over_do_not_make_it_live_again(
        self, variants: int, caches: int, segments: int, seed: int
    ) -> None:
        """Each look gets the list of any of them. They may climb once, as a live stream does, and never again."""
        dice = Random(f"{variants} {caches} {seed}")  # noqa: S311 - dice

        def copy(second: int, variant: int) -> Look:
            return replace(seen(second, 100 - dice.randrange(caches), variant=variant), segments=segments)

        known, found = Watch(), []
        for second in range(400):
            looks = [copy(second, variant) for variant in range(min(variants, 4) if second > 3 else 1)]
            known = watch(replace(looks[-1], others=tuple(looks[:-1])), begin=known)
            found.append(known.verdict)
        assert Verdict.LIVE not in (found if caches == 2 else found[60:])
        assert set(found[120:]) <= {Verdict.STALLED, Verdict.ENDED}

    def test_edge_that_catches_up_beside_another_revives_nothing(self) -> None:
        before = [seen(float(n), 10 + n) for n in range(3)]
        after = [seen(10.0 + n, 12 if n % 2 else min(9 + n // 4, 11)) for n in range(40)]
        found = verdicts(*(replace(look, segments=6) for look in (*before, *after)))
        assert Verdict.LIVE not in found[4:]

    def test_list_that_keeps_all_segments_and_begins_anew_is_a_reset(self) -> None:
        def kept(at: float, tail: int) -> Look:
            return Look(at=NOON + at, tail=tail, segments=tail, target_duration=2, playable=True)

        found = verdicts(kept(0, 500), kept(2, 501), kept(4, 502), kept(6, 1), kept(8, 2), kept(10, 3))
        assert found[2:] == [Verdict.LIVE, Verdict.RESET, Verdict.STARTING, Verdict.LIVE]

    def test_list_of_long_ago_is_nothing_to_compare_with(self) -> None:
        """Each poke of the sensor is a session with numbers of its own; one of them begins with those of an earlier one."""
        known, at = Watch(), 0.0
        for _ in range(9):
            for number, first in ((0, 4), (2, 5), (4, 6), (6, 7)):
                known = watch(seen(at + number, first), begin=known)
            assert known.verdict is Verdict.LIVE
            at += 60

    def test_lower_tail_long_after_is_no_copy(self) -> None:
        """A poke of the sensor every minute; a server that begins a session, and its numbers, with each."""
        known = watch(*(seen(second, 4 + second // 2, names=(1, 2, 3)) for second in range(10)))
        assert watch(seen(80, 6, names=(1, 2, 3)), begin=known).verdict is Verdict.RESET


class TestProof:
    def test_newest_segment_that_is_late_at_the_edge_is_no_stall(self) -> None:
        """Each second look finds it missing; that before was asked for already."""
        looks = [seen(2.0 * n, 10 + n, playable=n % 2 == 0, proved=9 + n) for n in range(40)]
        assert set(verdicts(*looks)[4:]) == {Verdict.LIVE}

    def test_stream_that_moves_without_a_segment_that_answers_has_no_sign_of_life(self) -> None:
        found = verdicts(*(seen(second, 10 + second, playable=False) for second in range(20)))
        assert Verdict.LIVE not in found
        assert found[-1] is Verdict.STALLED


class TestVariants:
    def test_one_that_stands_still_does_not_stall_a_stream_whose_other_plays(self) -> None:
        looks = [seen(second, 10 + second // 2, variant=0) for second in range(5)]
        for second in range(5, 30):
            other = seen(second, 900 + second // 2, variant=1)
            looks.append(
                replace(other, others=(seen(second, 12, variant=0),)) if second > 6 else seen(second, 12, variant=0)
            )
        assert set(verdicts(*looks)[4:]) == {Verdict.LIVE}

    def test_what_one_has_shown_does_not_count_for_another(self) -> None:
        looks = (seen(0, 10, variant=0), seen(1, 11, variant=0, playable=False), seen(1, 70, variant=1))
        assert verdicts(*looks, seen(2, 71, variant=1))[-1] is Verdict.STARTING
        assert verdicts(*looks, seen(2, 71, variant=1), seen(3, 72, variant=1))[-1] is Verdict.LIVE

    @pytest.mark.parametrize(
        ("tail", "facts", "counts"),
        [
            (13, {"names": (11, 12, 13)}, True),
            (12, {"names": (10, 11, 12)}, False),
            (13, {"names": (51, 52, 53)}, False),
            (13, {}, False),
            (70, {"dated": "2026-11-23T12:00:04Z"}, True),
            (70, {"dated": "2026-11-23T12:00:02.500Z"}, False),
        ],
        ids=["beyond", "as-far", "other-names", "unknown", "later-date", "nearly-the-same-date"],
    )
    def test_unless_the_other_goes_on_beyond_it(self, tail: int, facts: dict[str, Any], counts: bool) -> None:
        """A rendition stands still, and another goes on."""
        looks = [
            seen(
                n,
                10 + n,
                variant=0,
                names=(n + 8, n + 9, n + 10),
                dated=f"2026-11-23T12:00:0{n}Z" if "dated" in facts else "",
            )
            for n in range(3)
        ]
        looks.append(replace(seen(7, 12, variant=0), others=(seen(7, tail, playable=None, variant=1, **facts),)))
        found = verdicts(*looks, seen(8.5, tail + 1, variant=1))
        assert found[-1] is (Verdict.LIVE if counts else Verdict.STARTING)

    def test_marks_of_others_are_kept_however_rarely_they_are_read(self) -> None:
        """Else each of them would begin at an older copy again and again, and move."""
        known, found = Watch(), set()
        for poke in range(20):
            for second in range(4):
                others = tuple(seen(60 * poke + second, 99 + (poke + second) % 2, variant=one) for one in (1, 2))
                known = watch(replace(seen(60 * poke + second, 100, variant=0), others=others), begin=known)
                found |= {known.verdict} if poke > 2 else set()
        assert found == {Verdict.STALLED}

    def test_another_that_begins_anew_unseen_takes_no_proof_away(self) -> None:
        known = watch(seen(0, 500, variant=1), *(seen(second, second, variant=0) for second in range(60, 70)))
        known = watch(replace(seen(70, 70, variant=0), others=(seen(70, 3, variant=1),)), begin=known)
        assert known.verdict is Verdict.LIVE

    def test_others_are_read_when_there_is_no_sign_of_life(self) -> None:
        known = watch(*LIVE)
        assert not known.doubted(NOON + 5)
        assert known.doubted(NOON + 5.1)
        assert not Watch().doubted(NOON)


NOT_SEEN = [
    "HTTP status 401",
    "HTTP status 403",
    "HTTP status 407",
    "HTTP status 429",
    "the host name is not known",
    "the proxy does not answer",
    "the proxy refuses",
    "our own network has no way there",
    "a body of more than 16 MiB",
    "no variant of the master playlist answers: HTTP status 403",
]


class TestNotSeen:
    """That we do not see it says nothing of the stream."""

    @pytest.mark.parametrize("reason", NOT_SEEN)
    def test_it_is_said_and_ends_nothing_by_grace(self, reason: str) -> None:
        known = watch(*LIVE)
        for second in range(4, 3600, 60):
            known = watch(Look(at=NOON + second, absence=reason), begin=known)
        assert (known.verdict, known.reason) == (Verdict.ABSENT, f"not seen, {reason}")
        assert not known.seen_stalled(NOON, grace=GRACE)
        late = Look(at=NOON + 5 + UNSEEN_SECONDS, absence=reason)
        assert watch(late, begin=known).verdict is Verdict.ENDED

    @pytest.mark.parametrize("reason", ["HTTP status 404", "HTTP status 500", "no connection", "an empty body"])
    def test_what_is_seen_to_be_gone_ends(self, reason: str) -> None:
        known = watch(*LIVE, *(Look(at=NOON + second, absence=reason) for second in range(4, 66)))
        assert (known.verdict, known.reason) == (Verdict.ENDED, reason)

    def test_time_in_which_it_was_not_seen_is_no_time_in_which_it_was_gone(self) -> None:
        blind = [Look(at=NOON + second, absence=NOT_SEEN[1]) for second in range(10, 100)]
        known = watch(*LIVE, absent(5), *blind, absent(101))
        assert known.verdict is Verdict.ABSENT
        assert watch(absent(160), begin=known).verdict is Verdict.ABSENT
        assert watch(absent(162), begin=known).verdict is Verdict.ENDED

    def test_segments_that_are_refused_to_us_end_nothing_by_grace(self) -> None:
        refused: dict[str, Any] = {"playable": False, "refused": "a segment: HTTP status 403"}
        known = watch(*LIVE, *(seen(2 + second, 12 + second, **refused) for second in range(1, 200)))
        assert known.verdict is Verdict.STALLED
        assert not known.seen_stalled(NOON, grace=GRACE)

    def test_it_is_news(self) -> None:
        gone = watch(*LIVE, absent(4))
        unseen = watch(Look(at=NOON + 5, absence=NOT_SEEN[0]), begin=gone)
        assert gone.verdict is unseen.verdict is Verdict.ABSENT
        assert unseen.is_news(gone)
        assert not watch(absent(6), begin=unseen).is_news(unseen)
        assert not watch(absent(5), begin=gone).is_news(gone)
        assert gone.is_news(watch(*LIVE))

    def test_longer_grace_holds_for_it_too(self) -> None:
        known = watch(*LIVE)
        for at in (4, 4 + UNSEEN_SECONDS + 1):
            known = known.after(Look(at=NOON + at, absence=NOT_SEEN[0]), grace=UNSEEN_SECONDS * 2)
        assert known.verdict is Verdict.ABSENT


class TestPausesInLooking:
    """A sensor that is not deferrable looks for a short while, and again a minute or more later."""

    @pytest.mark.parametrize("gone", [absent, empty, lambda at: seen(at, 12), lambda at: seen(at, 11)])
    def test_one_answer_after_a_pause_ends_and_stalls_nothing(self, gone: Any) -> None:
        known = watch(*LIVE, gone(300))
        assert known.verdict not in (Verdict.ENDED, Verdict.STALLED)
        assert known.unsettled, "another look may tell otherwise"
        assert not known.seen_stalled(NOON, grace=GRACE)
        assert watch(seen(301, 160), seen(302, 161), begin=known).verdict is Verdict.LIVE

    @pytest.mark.parametrize("gone", [absent, empty, lambda at: seen(at, 12)], ids=["absent", "empty", "same-list"])
    def test_time_without_a_look_is_no_time_in_which_it_was_gone(self, gone: Any) -> None:
        known = watch(*LIVE, *(gone(second) for second in range(300, 320)))
        assert known.verdict in (Verdict.ABSENT, Verdict.EMPTY, Verdict.STALLED)
        assert not known.unsettled
        assert known.gone_since == NOON + 300
        assert watch(gone(361), begin=Watch.from_json(known.to_json())).verdict is Verdict.ENDED

    def test_one_absence_in_each_of_two_pokes_is_not_yet_the_end(self) -> None:
        known = watch(*LIVE, absent(300), absent(420))
        assert (known.verdict, known.unsettled) == (Verdict.ABSENT, True)
        assert watch(absent(421), begin=known).verdict is Verdict.ENDED

    def test_what_never_was_live_is_told_by_one_look(self) -> None:
        assert not watch(absent(0)).unsettled
        assert not watch(empty(0)).unsettled

    def test_nothing_is_hurried_when_the_stall_is_past(self) -> None:
        known = watch(*LIVE, seen(300, 12))
        assert known.verdict is Verdict.STARTING
        assert next_pause(known, 0.5) == pytest.approx(2 / 3)


class TestLastBroadcastsList:
    """What was there before we came is no answer to what we wait for."""

    def test_its_end_is_not_the_end_of_what_we_wait_for(self) -> None:
        known = watch(seen(0, 10, endlist=True), seen(60, 10, endlist=True))
        assert known.verdict is Verdict.ENDED
        assert not known.is_over
        assert not Watch.from_json(known.to_json()).is_over
        assert not watch(seen(0, 10), seen(1, 10, endlist=True)).is_over

    def test_stream_that_comes_after_it_is_live_and_its_end_is_the_end(self) -> None:
        known = watch(seen(0, 10, endlist=True), seen(2, 11), seen(4, 12))
        assert known.verdict is Verdict.LIVE
        assert watch(seen(5, 12, endlist=True), begin=known).is_over

    @pytest.mark.parametrize("left", [{"endlist": True}, {}], ids=["ended", "standing-still"])
    def test_it_is_a_stall_only_after_grace(self, left: dict[str, Any]) -> None:
        looks = [seen(second, 10, **left) for second in range(0, 120, 2)]
        known = watch(*looks[:29])
        assert not known.seen_stalled(NOON, grace=GRACE)
        assert watch(*looks[29:], begin=known).seen_stalled(NOON, grace=GRACE)


class TestSlowAnswers:
    """What passes while we wait for answers is not time without looking."""

    def test_they_prove_as_much_as_quick_ones(self) -> None:
        known, at = Watch(), 0.0
        for number in range(4):
            look = Look(
                at=NOON + at + 8,
                tail=10 + 8 * number,
                segments=6,
                target_duration=1,
                playable=True,
                asked=NOON + at,
                done=NOON + at + 9.5,
            )
            known = known.after(look, grace=GRACE)
            at += 10.5
        assert known.verdict is Verdict.LIVE

    def test_slow_look_at_a_list_that_stands_still_stalls_it_all_the_same(self) -> None:
        known, at = watch(*LIVE), 3.0
        for _ in range(3):
            look = Look(at=NOON + at + 3, tail=12, segments=3, target_duration=2, asked=NOON + at, done=NOON + at + 3)
            known = known.after(look, grace=GRACE)
            at += 4
        assert known.verdict is Verdict.STALLED


def test_memory_is_small() -> None:
    known = Watch()
    for variant in range(9):
        for look in LIVE:
            known = watch(
                replace(look, variant=variant, names=(2**32 - 1,) * 3, dated="2026-11-23T12:00:00.123+00:00"),
                begin=known,
            )
    assert len(known.tracks) == 4
    assert all(isinstance(track, Track) for track in known.tracks)
    assert len(json.dumps(known.to_json())) < 2048
