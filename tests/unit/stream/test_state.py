"""The verdicts about series of probes; time is a number here."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_timav.stream.polling import next_pause
from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.state import UNSEEN_SECONDS, StreamState
from airflow_provider_timav.stream.verdict import Verdict
from tests.unit.stream.series import GRACE, LIVE, NOON, absent, empty, seen, state, verdicts


def test_nothing_is_known_before_the_first_probe() -> None:
    assert StreamState().summary() == {"verdict": "UNKNOWN", "since": None, "tail": None, "target_duration": None}


def test_one_probe_is_never_live() -> None:
    assert verdicts(seen(0, 10)) == [Verdict.STARTING]


def test_a_mark_that_moved_twice_and_has_bytes_is_live() -> None:
    """One move could be two caches of a broadcast that is over, the older of which came first."""
    assert verdicts(*LIVE) == [Verdict.STARTING, Verdict.STARTING, Verdict.LIVE]


@pytest.mark.parametrize("playable", [False, None], ids=["segment-missing", "segment-not-asked"])
def test_a_moved_tail_alone_is_not_live(playable: bool | None) -> None:
    probes = (seen(0, 10), seen(2, 11, playable=playable), seen(4, 12, playable=playable))
    assert verdicts(*probes)[-1] is Verdict.STARTING


def test_a_segment_that_answers_at_a_later_probe_makes_the_stream_live() -> None:
    probes = (seen(0, 10), seen(1, 11), seen(2, 12, playable=False), seen(3, 12, playable=True))
    assert verdicts(*probes)[-1] is Verdict.LIVE


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
    known = state(*LIVE, *(gone(second) for second in (10, 10.5, 11, 68)))
    assert known.verdict in (Verdict.ABSENT, Verdict.EMPTY, Verdict.STALLED)
    assert state(gone(70.5), begin=known).verdict is Verdict.ENDED


def test_a_stream_that_never_was_live_does_not_end_by_being_gone() -> None:
    assert verdicts(absent(0), absent(1000), seen(1001, 3), absent(5000))[-1] is Verdict.ABSENT


def test_a_short_absence_does_not_end_a_stream() -> None:
    assert verdicts(*LIVE, absent(4), absent(6), seen(7, 14))[3:] == [Verdict.ABSENT, Verdict.ABSENT, Verdict.LIVE]


def test_the_grace_period_begins_anew_when_the_stream_comes_back() -> None:
    known = state(*LIVE, absent(4), absent(60), seen(61, 40), seen(63, 41), absent(65))
    assert known.verdict is Verdict.ABSENT
    assert known.gone_since == NOON + 65


def test_being_stalled_and_then_absent_counts_together() -> None:
    """The mark stood still since 12:00:02, so the stream is gone since 12:00:08."""
    known = state(*LIVE, *(seen(second, 12) for second in range(5, 21, 5)))
    assert state(absent(68), begin=known).verdict is Verdict.ABSENT
    assert state(absent(69), begin=known).verdict is Verdict.ENDED


@pytest.mark.parametrize(
    "after",
    [absent(10), empty(10), seen(10, 12), seen(10, 11), seen(10, 14, endlist=True)],
    ids=["absent", "empty", "same-list", "older-copy", "last-segments"],
)
def test_what_has_ended_stays_so_while_nothing_new_appears(after: Probe) -> None:
    assert verdicts(*LIVE, seen(3, 12, endlist=True), after)[-1] is Verdict.ENDED


@pytest.mark.parametrize(("tail", "verdict"), [(13, Verdict.LIVE), (2, Verdict.RESET)], ids=["goes-on", "anew"])
def test_a_stream_that_comes_back_after_its_end_is_judged_anew(tail: int, verdict: Verdict) -> None:
    assert verdicts(*LIVE, seen(3, 12, endlist=True), seen(5, tail))[-1] is verdict


def test_since_is_when_the_verdict_was_reached_and_not_the_last_probe() -> None:
    assert state(*LIVE, seen(4, 13), seen(6, 14)).summary() == {
        "verdict": "LIVE",
        "since": "2026-11-23T12:00:02+00:00",
        "tail": 14,
        "target_duration": 2,
    }


def test_a_clock_that_goes_back_changes_no_verdict() -> None:
    known = state(*LIVE, absent(4), begin=StreamState())
    assert state(absent(-3600), absent(-3545), begin=known).verdict is Verdict.ABSENT
    assert state(absent(-3600), absent(-3539), begin=known).verdict is Verdict.ENDED


probes = st.builds(
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
def histories(draw: st.DrawFn) -> list[Probe]:
    series = draw(st.lists(st.tuples(probes, gaps), min_size=1, max_size=25))
    times = itertools.accumulate((gap for _, gap in series), initial=NOON)
    return [Probe(at=at, **facts) for (facts, _), at in zip(series, times, strict=False)]


def steps(
    history: Iterable[Probe], begin: StreamState | None = None
) -> Iterable[tuple[StreamState, Probe, StreamState]]:
    known = begin or StreamState()
    for probe in history:
        after = known.after(probe, grace=GRACE)
        yield known, probe, after
        known = after


@given(histories())
def test_whatever_was_seen_live_rests_on_three_marks_and_segments(history: list[Probe]) -> None:
    answered = 0
    marks: set[int] = set()
    for before, probe, after in steps(history):
        answered += probe.playable is True
        if probe.tail is not None and probe.segments:
            marks.add(probe.tail)
        if after.verdict is not Verdict.LIVE:
            continue
        assert probe.segments, "LIVE without segments"
        assert not probe.endlist
        assert after.marks.played_at is not None
        assert after.at - after.marks.played_at <= 3 * (after.marks.pace)
        assert answered
        if before.verdict is Verdict.LIVE:
            continue
        assert len(marks) >= 3, "LIVE on less than three marks"


@given(histories())
def test_whatever_was_seen_an_endlist_is_the_end_and_no_playlist_is_absent_or_the_end(history: list[Probe]) -> None:
    for _, probe, after in steps(history):
        if probe.endlist:
            assert after.verdict is Verdict.ENDED
        if probe.tail is None:
            assert after.verdict in (Verdict.ABSENT, Verdict.ENDED)


@given(histories())
def test_whatever_was_seen_a_stream_ends_only_by_an_endlist_or_after_having_been_live(history: list[Probe]) -> None:
    told = live = False
    for _, probe, after in steps(history):
        told = told or probe.endlist
        live = live or after.verdict is Verdict.LIVE
        assert after.verdict is not Verdict.ENDED or told or live
        assert after.was_live is live


@given(histories(), st.integers(0, 24))
def test_whatever_was_seen_a_restart_changes_nothing(history: list[Probe], restart: int) -> None:
    unbroken = [after for _, _, after in steps(history)]
    begun = [after for _, _, after in steps(history[:restart])]
    memory = json.loads(json.dumps(begun[-1].to_json())) if begun else None
    resumed = [after for _, _, after in steps(history[restart:], begin=StreamState.from_json(memory))]
    assert begun + resumed == unbroken


@given(histories())
def test_whatever_was_seen_the_summary_is_plain_json_and_since_never_later_than_the_probe(history: list[Probe]) -> None:
    for _, probe, after in steps(history):
        assert json.loads(json.dumps(after.summary())) == after.summary()
        assert after.since is not None
        assert after.since <= probe.at


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
    """A stream that we do not see may well be there."""

    @pytest.mark.parametrize("reason", NOT_SEEN)
    def test_it_is_said_and_ends_nothing_by_grace(self, reason: str) -> None:
        known = state(*LIVE)
        for second in range(4, 3600, 60):
            known = state(Probe(at=NOON + second, absence=reason), begin=known)
        assert (known.verdict, known.reason) == (Verdict.ABSENT, f"not seen, {reason}")
        assert not known.seen_stalled(NOON, grace=GRACE)
        late = Probe(at=NOON + 5 + UNSEEN_SECONDS, absence=reason)
        assert state(late, begin=known).verdict is Verdict.ENDED

    @pytest.mark.parametrize("reason", ["HTTP status 404", "HTTP status 500", "no connection", "an empty body"])
    def test_what_is_seen_to_be_gone_ends(self, reason: str) -> None:
        known = state(*LIVE, *(Probe(at=NOON + second, absence=reason) for second in range(4, 66)))
        assert (known.verdict, known.reason) == (Verdict.ENDED, reason)

    def test_time_in_which_it_was_not_seen_is_no_time_in_which_it_was_gone(self) -> None:
        blind = [Probe(at=NOON + second, absence=NOT_SEEN[1]) for second in range(10, 100)]
        known = state(*LIVE, absent(5), *blind, absent(101))
        assert known.verdict is Verdict.ABSENT
        assert state(absent(160), begin=known).verdict is Verdict.ABSENT
        assert state(absent(162), begin=known).verdict is Verdict.ENDED

    def test_segments_that_are_refused_to_us_end_nothing_by_grace(self) -> None:
        refused: dict[str, Any] = {"playable": False, "refused": "a segment: HTTP status 403"}
        known = state(*LIVE, *(seen(2 + second, 12 + second, **refused) for second in range(1, 200)))
        assert known.verdict is Verdict.STALLED
        assert not known.seen_stalled(NOON, grace=GRACE)

    def test_it_is_news(self) -> None:
        gone = state(*LIVE, absent(4))
        unseen = state(Probe(at=NOON + 5, absence=NOT_SEEN[0]), begin=gone)
        assert gone.verdict is unseen.verdict is Verdict.ABSENT
        assert unseen.is_news(gone)
        assert not state(absent(6), begin=unseen).is_news(unseen)
        assert not state(absent(5), begin=gone).is_news(gone)
        assert gone.is_news(state(*LIVE))

    def test_longer_grace_holds_for_it_too(self) -> None:
        known = state(*LIVE)
        for at in (4, 4 + UNSEEN_SECONDS + 1):
            known = known.after(Probe(at=NOON + at, absence=NOT_SEEN[0]), grace=UNSEEN_SECONDS * 2)
        assert known.verdict is Verdict.ABSENT


class TestPausesInProbing:
    """A sensor that is not deferrable probes for a short while, and again a minute or more later."""

    @pytest.mark.parametrize("gone", [absent, empty, lambda at: seen(at, 12), lambda at: seen(at, 11)])
    def test_one_answer_after_a_pause_ends_and_stalls_nothing(self, gone: Any) -> None:
        known = state(*LIVE, gone(300))
        assert known.verdict not in (Verdict.ENDED, Verdict.STALLED)
        assert known.unsettled, "another probe may tell otherwise"
        assert not known.seen_stalled(NOON, grace=GRACE)
        assert state(seen(301, 160), seen(302, 161), begin=known).verdict is Verdict.LIVE

    @pytest.mark.parametrize("gone", [absent, empty, lambda at: seen(at, 12)], ids=["absent", "empty", "same-list"])
    def test_time_without_a_probe_is_no_time_in_which_it_was_gone(self, gone: Any) -> None:
        known = state(*LIVE, *(gone(second) for second in range(300, 320)))
        assert known.verdict in (Verdict.ABSENT, Verdict.EMPTY, Verdict.STALLED)
        assert not known.unsettled
        assert known.gone_since == NOON + 300
        assert state(gone(361), begin=StreamState.from_json(known.to_json())).verdict is Verdict.ENDED

    def test_one_absence_in_each_of_two_pokes_is_not_yet_the_end(self) -> None:
        known = state(*LIVE, absent(300), absent(420))
        assert (known.verdict, known.unsettled) == (Verdict.ABSENT, True)
        assert state(absent(421), begin=known).verdict is Verdict.ENDED

    def test_what_never_was_live_is_told_by_one_probe(self) -> None:
        assert not state(absent(0)).unsettled
        assert not state(empty(0)).unsettled

    def test_nothing_is_hurried_when_the_stall_is_past(self) -> None:
        known = state(*LIVE, seen(300, 12))
        assert known.verdict is Verdict.STARTING
        assert next_pause(known, 0.5) == pytest.approx(2 / 3)


class TestLastBroadcastsList:
    """An end that was there before the first probe is not the end of the stream that we wait for."""

    def test_its_end_is_not_the_end_of_what_we_wait_for(self) -> None:
        known = state(seen(0, 10, endlist=True), seen(60, 10, endlist=True))
        assert known.verdict is Verdict.ENDED
        assert not known.is_over
        assert not StreamState.from_json(known.to_json()).is_over
        assert not state(seen(0, 10), seen(1, 10, endlist=True)).is_over

    def test_stream_that_comes_after_it_is_live_and_its_end_is_the_end(self) -> None:
        known = state(seen(0, 10, endlist=True), seen(2, 11), seen(4, 12))
        assert known.verdict is Verdict.LIVE
        assert state(seen(5, 12, endlist=True), begin=known).is_over

    @pytest.mark.parametrize("left", [{"endlist": True}, {}], ids=["ended", "standing-still"])
    def test_it_is_a_stall_only_after_grace(self, left: dict[str, Any]) -> None:
        probes = [seen(second, 10, **left) for second in range(0, 120, 2)]
        known = state(*probes[:29])
        assert not known.seen_stalled(NOON, grace=GRACE)
        assert state(*probes[29:], begin=known).seen_stalled(NOON, grace=GRACE)


class TestSlowAnswers:
    """Time that passes while we wait for answers is not time without probing."""

    def test_they_prove_as_much_as_quick_ones(self) -> None:
        known, at = StreamState(), 0.0
        for number in range(4):
            probe = Probe(
                at=NOON + at + 8,
                tail=10 + 8 * number,
                segments=6,
                target_duration=1,
                playable=True,
                asked=NOON + at,
                done=NOON + at + 9.5,
            )
            known = known.after(probe, grace=GRACE)
            at += 10.5
        assert known.verdict is Verdict.LIVE

    def test_slow_probe_of_a_list_that_stands_still_stalls_it_all_the_same(self) -> None:
        known, at = state(*LIVE), 3.0
        for _ in range(3):
            probe = Probe(at=NOON + at + 3, tail=12, segments=3, target_duration=2, asked=NOON + at, done=NOON + at + 3)
            known = known.after(probe, grace=GRACE)
            at += 4
        assert known.verdict is Verdict.STALLED
