"""The high-water marks: older copies, variants, proof."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from airflow_provider_timav.stream.marks import Marks
from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.state import StreamState
from airflow_provider_timav.stream.verdict import Verdict
from tests.unit.stream.series import LIVE, NOON, empty, seen, state, verdicts


def test_the_tails_of_two_variants_are_not_compared() -> None:
    found = verdicts(seen(0, 10, variant=0), seen(1, 900, variant=1), seen(2, 11, variant=0), seen(3, 12, variant=0))
    assert found == [Verdict.STARTING] * 3 + [Verdict.LIVE]


def test_a_segment_is_asked_for_only_when_it_decides_and_among_those_added_since_the_last_proof() -> None:
    def unasked(at: float, tail: int, **facts: Any) -> Probe:
        return seen(at, tail, playable=None, **facts)

    first = state(unasked(0, 10))
    assert Marks().unproved(unasked(0, 10)) is None
    assert first.marks.unproved(unasked(1, 10)) is None
    assert first.marks.unproved(unasked(1, 12)) == 10
    assert first.marks.unproved(unasked(1, 11, endlist=True)) is None
    assert first.marks.unproved(empty(1)) is None
    assert state(seen(1, 12), begin=first).marks.unproved(unasked(2, 12)) is None
    assert state(seen(1, 12, playable=False), begin=first).marks.unproved(unasked(2, 12)) == 10
    assert state(seen(1, 12, proved=10), begin=first).marks.unproved(unasked(2, 12)) == 11


class TestOlderCopies:
    """Caches hand out older lists: an overlap with known lists proves nothing, and only a mark that moves is a move."""

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
        probes = [seen(3 + second, 200 if second % 2 else 3 + second // 2) for second in range(20)]
        found = verdicts(seen(0, 198), seen(1, 199), seen(2, 200), *probes)
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
        """Its list looks like an older copy, but moves on by itself."""
        before = [Probe(at=NOON + n, tail=n + 1, segments=n + 1, target_duration=2, playable=True) for n in range(5)]
        after = [replace(probe, at=probe.at + 40) for probe in before]
        found = verdicts(*before, *(seen(second, 5) for second in (8, 12, 20)), *after, seen(45, 6), seen(46, 7))
        assert found[7] is Verdict.STALLED
        assert found[-2:] == [Verdict.STARTING, Verdict.LIVE], "above what was there before"

    def test_encoder_that_began_anew_so_is_live_before_that_when_nothing_else_was_handed_out_for_long(self) -> None:
        long = [Probe(at=NOON + n, tail=11 + n, segments=11, target_duration=2, playable=True) for n in range(30)]
        known = state(*long, *(replace(long[-1], at=NOON + second) for second in range(30, 60)))
        assert known.verdict is Verdict.STALLED
        found = []
        for second in range(27):
            known = state(
                Probe(at=NOON + 60 + second, tail=30 + second // 3, segments=11, target_duration=2, playable=True),
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
        """Each probe gets the list of any of them. They may climb once, as a live stream does, and never again."""
        dice = Random(f"{variants} {caches} {seed}")  # noqa: S311 - dice

        def copy(second: int, variant: int) -> Probe:
            return replace(seen(second, 100 - dice.randrange(caches), variant=variant), segments=segments)

        known, found = StreamState(), []
        for second in range(400):
            probes = [copy(second, variant) for variant in range(min(variants, 4) if second > 3 else 1)]
            known = state(replace(probes[-1], others=tuple(probes[:-1])), begin=known)
            found.append(known.verdict)
        assert Verdict.LIVE not in (found if caches == 2 else found[60:])
        assert set(found[120:]) <= {Verdict.STALLED, Verdict.ENDED}

    def test_edge_that_catches_up_beside_another_revives_nothing(self) -> None:
        before = [seen(float(n), 10 + n) for n in range(3)]
        after = [seen(10.0 + n, 12 if n % 2 else min(9 + n // 4, 11)) for n in range(40)]
        found = verdicts(*(replace(probe, segments=6) for probe in (*before, *after)))
        assert Verdict.LIVE not in found[4:]

    def test_list_that_keeps_all_segments_and_begins_anew_is_a_reset(self) -> None:
        def kept(at: float, tail: int) -> Probe:
            return Probe(at=NOON + at, tail=tail, segments=tail, target_duration=2, playable=True)

        found = verdicts(kept(0, 500), kept(2, 501), kept(4, 502), kept(6, 1), kept(8, 2), kept(10, 3))
        assert found[2:] == [Verdict.LIVE, Verdict.RESET, Verdict.STARTING, Verdict.LIVE]

    def test_list_of_long_ago_is_nothing_to_compare_with(self) -> None:
        """Each poke of the sensor is a session with numbers of its own; one of them begins with those of an earlier one."""
        known, at = StreamState(), 0.0
        for _ in range(9):
            for number, first in ((0, 4), (2, 5), (4, 6), (6, 7)):
                known = state(seen(at + number, first), begin=known)
            assert known.verdict is Verdict.LIVE
            at += 60

    def test_lower_tail_long_after_is_no_copy(self) -> None:
        """A poke of the sensor every minute; a server that begins a session, and its numbers, with each."""
        known = state(*(seen(second, 4 + second // 2, names=(1, 2, 3)) for second in range(10)))
        assert state(seen(80, 6, names=(1, 2, 3)), begin=known).verdict is Verdict.RESET


class TestProof:
    def test_newest_segment_that_is_late_at_the_edge_is_no_stall(self) -> None:
        """Each second probe finds it missing; the one before was requested already."""
        probes = [seen(2.0 * n, 10 + n, playable=n % 2 == 0, proved=9 + n) for n in range(40)]
        assert set(verdicts(*probes)[4:]) == {Verdict.LIVE}

    def test_stream_that_moves_without_a_segment_that_answers_has_no_sign_of_life(self) -> None:
        found = verdicts(*(seen(second, 10 + second, playable=False) for second in range(20)))
        assert Verdict.LIVE not in found
        assert found[-1] is Verdict.STALLED


class TestVariants:
    def test_one_that_stands_still_does_not_stall_a_stream_whose_other_plays(self) -> None:
        probes = [seen(second, 10 + second // 2, variant=0) for second in range(5)]
        for second in range(5, 30):
            other = seen(second, 900 + second // 2, variant=1)
            probes.append(
                replace(other, others=(seen(second, 12, variant=0),)) if second > 6 else seen(second, 12, variant=0)
            )
        assert set(verdicts(*probes)[4:]) == {Verdict.LIVE}

    def test_what_one_has_shown_does_not_count_for_another(self) -> None:
        probes = (seen(0, 10, variant=0), seen(1, 11, variant=0, playable=False), seen(1, 70, variant=1))
        assert verdicts(*probes, seen(2, 71, variant=1))[-1] is Verdict.STARTING
        assert verdicts(*probes, seen(2, 71, variant=1), seen(3, 72, variant=1))[-1] is Verdict.LIVE

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
        probes = [
            seen(
                n,
                10 + n,
                variant=0,
                names=(n + 8, n + 9, n + 10),
                dated=f"2026-11-23T12:00:0{n}Z" if "dated" in facts else "",
            )
            for n in range(3)
        ]
        probes.append(replace(seen(7, 12, variant=0), others=(seen(7, tail, playable=None, variant=1, **facts),)))
        found = verdicts(*probes, seen(8.5, tail + 1, variant=1))
        assert found[-1] is (Verdict.LIVE if counts else Verdict.STARTING)

    def test_marks_of_others_are_kept_however_rarely_they_are_read(self) -> None:
        """Else each of them would begin at an older copy again and again, and move."""
        known, found = StreamState(), set()
        for poke in range(20):
            for second in range(4):
                others = tuple(seen(60 * poke + second, 99 + (poke + second) % 2, variant=one) for one in (1, 2))
                known = state(replace(seen(60 * poke + second, 100, variant=0), others=others), begin=known)
                found |= {known.verdict} if poke > 2 else set()
        assert found == {Verdict.STALLED}

    def test_another_that_begins_anew_unseen_takes_no_proof_away(self) -> None:
        known = state(seen(0, 500, variant=1), *(seen(second, second, variant=0) for second in range(60, 70)))
        known = state(replace(seen(70, 70, variant=0), others=(seen(70, 3, variant=1),)), begin=known)
        assert known.verdict is Verdict.LIVE

    def test_others_are_read_when_there_is_no_sign_of_life(self) -> None:
        known = state(*LIVE)
        assert not known.marks.doubted(NOON + 5)
        assert known.marks.doubted(NOON + 5.1)
        assert not Marks().doubted(NOON)
