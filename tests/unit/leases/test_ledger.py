"""The ledger: what it keeps comes back as it was, and what it cannot read does no harm."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_timav.leases import (
    KINDS,
    Claim,
    Kind,
    Lease,
    LeaseKey,
    Ledger,
    Owner,
    Watch,
    given_lease,
    ledgers,
)
from airflow_provider_timav.leases.ledger import _TOLD
from airflow_provider_timav.reading import Unreadable
from airflow_provider_timav.videorelay.errors import ConfigurationError
from harness.supervisor import Run, Supervisor

KEY = LeaseKey("timav_default", 10086, "host_1", "camera")
OWNER = Owner("show", "manual__1", "broadcast")
NOW = datetime(2026, 11, 24, 20, 15, tzinfo=UTC)
LEASE = Lease(KEY, OWNER, "a1", NOW, "Evening news", record=False)
NEXT = Lease(KEY, Owner("show", "manual__2", "broadcast", 3), "b2", NOW + timedelta(hours=1))


@pytest.fixture
def ledger(supervisor: Supervisor) -> Ledger:
    return Ledger(KEY.variable)


class TestRoundTrips:
    def test_lease(self, ledger: Ledger) -> None:
        for lease in (LEASE, NEXT):
            ledger.write_lease(lease)
            assert ledger.lease() == lease

    @given(user_id=st.text(), title=st.none() | st.text(), room_id=st.integers(0, 2**32 - 1))
    def test_lease_of_anybody(self, user_id: str, title: str | None, room_id: int) -> None:
        lease = Lease(LeaseKey("c", room_id, user_id, "screen"), OWNER, "a1", NOW, title)
        assert Lease.from_json(json.loads(json.dumps(lease.to_json()))) == lease

    @pytest.mark.parametrize(
        "claim",
        [
            Claim("a1", "sent", "s1", NOW),
            Claim("a1", "ours", None, NOW),
            Claim("a1", "foreign", "s1", NOW),
            Claim("a1", "stopped", "s1", NOW, file_ids=("5285890803757278097", "2")),
        ],
        ids=lambda claim: claim.state,
    )
    def test_claim(self, claim: Claim, ledger: Ledger) -> None:
        ledger.write_claim("record", claim)
        assert ledger.claim("record", "a1") == claim
        assert claim.on_air == (claim.state in ("sent", "ours"))

    def test_watch(self, ledger: Ledger) -> None:
        watch = Watch("a1", NOW, {"verdict": "LIVE"}, "none")
        ledger.observe(watch)
        assert ledger.watch("a1") == watch
        ledger.observe(Watch("a1"))
        assert ledger.watch("a1") == Watch("a1")

    def test_owner_names_itself(self) -> None:
        assert str(OWNER) == "broadcast of run manual__1 of DAG show"
        assert str(NEXT.owner) == "broadcast [3] of run manual__2 of DAG show"

    def test_what_a_later_version_has_added_is_passed_over(self) -> None:
        noted = LEASE.to_json() | {"invented": 1, "owner": LEASE.to_json()["owner"] | {"later": True}}
        assert Lease.from_json(noted) == LEASE

    def test_stop_is_addressed_by_the_key(self) -> None:
        where = {"room_id": 10086, "user_id": "host_1", "sdk_type": "normal"}
        assert KEY.stop_arguments("push") == {**where, "push_data_type": "camera"}
        assert KEY.stop_arguments("record") == {**where, "record_data_type": "camera"}


MALFORMED = [
    "",
    "{",
    "null",
    "7",
    "[]",
    "{}",
    '"text"',
    '{"generation": "a1"}',
    '{"generation": "a1", "state": "gone"}',
]


class TestWhatPeopleHaveWritten:
    @pytest.mark.parametrize("text", MALFORMED)
    def test_it_counts_as_not_there(self, text: str, ledger: Ledger, supervisor: Supervisor) -> None:
        for entry in ("", "-push", "-record"):
            supervisor.variables[KEY.variable + entry] = text
        assert ledger.lease() is None
        assert ledger.claim("push", "a1") is None
        assert ledger.claim("record", "a1") is None

    @pytest.mark.parametrize("text", ["{", '{"generation": "a1", "end": "soon"}', '{"end": null}'])
    def test_watch_that_makes_no_sense_moves_no_end(self, text: str, ledger: Ledger, supervisor: Supervisor) -> None:
        supervisor.variables[KEY.variable + "-watch"] = text
        assert ledger.end_in_force(LEASE) == LEASE.end

    @pytest.fixture(autouse=True)
    def _nothing_told_yet(self) -> None:
        _TOLD.clear()

    def test_it_is_said_once(self, ledger: Ledger, supervisor: Supervisor, caplog: pytest.LogCaptureFixture) -> None:
        supervisor.variables[KEY.variable] = "{"
        for _ in range(3):
            ledger.lease()
        assert caplog.text.count(KEY.variable) == 1

    @pytest.mark.parametrize("value", [{"x": 1}, ["x"], 7, True])
    def test_what_is_no_text_where_one_was_written_is_not_there(self, value: Any) -> None:
        """The page Broadcasts shows both as they are."""
        with pytest.raises(Unreadable, match="title"):
            Lease.from_json({**LEASE.to_json(), "title": value})
        with pytest.raises(Unreadable, match="error"):
            Watch.from_json({"generation": "a1", "error": value})

    @pytest.mark.parametrize("value", [7, "text", [], {"room_id": 1}, {**LEASE.to_json(), "owner": None}])
    def test_lease_that_a_task_is_given_must_be_one(self, value: Any) -> None:
        with pytest.raises(ConfigurationError, match="lease") as refused:
            given_lease(value)
        assert refused.value.field == "lease"

    @pytest.mark.parametrize("value", [None, "", "None"])
    def test_task_may_belong_to_no_broadcast(self, value: Any) -> None:
        assert given_lease(value) is None

    def test_task_reads_what_reserve_has_handed_on(self) -> None:
        assert given_lease(LEASE.to_json()) == LEASE


class TestReadingThatFails:
    """Airflow's SDK takes every failure to read a Variable for one that is not there."""

    def test_lease_that_cannot_be_read_is_not_taken_for_none(self, ledger: Ledger, supervisor: Supervisor) -> None:
        ledger.write_lease(LEASE)
        supervisor.failing = {"GetVariable"}
        with pytest.raises(LookupError, match=KEY.variable):
            ledger.lease()

    def test_airflow_that_answers_nothing_at_all(self, ledger: Ledger, supervisor: Supervisor) -> None:
        supervisor.failing = {"GetVariable", "GetVariableKeys"}
        with pytest.raises(Exception, match="API_SERVER_ERROR"):
            ledger.lease()

    def test_lease_that_is_not_there_is_none(self, ledger: Ledger) -> None:
        assert ledger.lease() is None

    def test_deleting_what_is_not_there_is_no_error(self, ledger: Ledger) -> None:
        ledger.store.delete(KEY.variable)

    def test_deleting_that_fails_is_one(self, ledger: Ledger, supervisor: Supervisor) -> None:
        ledger.write_lease(LEASE)
        supervisor.failing = {"DeleteVariable"}
        with pytest.raises(Exception, match="API_SERVER_ERROR"):
            ledger.store.delete(KEY.variable)


class TestEndInForce:
    """``control``, else the ledger, else what was reserved."""

    @pytest.fixture
    def run(self, supervisor: Supervisor, timav_emulator: Any) -> Run:
        run = Run(supervisor)
        run.execute("reserve")
        return run

    def test_without_anything_it_is_the_one_reserved(self, run: Run) -> None:
        assert run.ledger.end_in_force(run.lease) == run.lease.end
        assert run.ledger.wanted_until(run.lease, now=datetime.now(UTC)) == run.lease.end

    def test_moved_end_is_that_of_its_generation_only(self, run: Run) -> None:
        later = run.lease.end + timedelta(hours=1)
        run.ledger.observe(Watch("another", later))
        assert run.ledger.end_in_force(run.lease) == run.lease.end
        run.ledger.observe(Watch(run.lease.generation, later))
        assert run.ledger.end_in_force(run.lease) == later

    def test_control_beats_the_ledger(self, run: Run) -> None:
        later = run.lease.end + timedelta(hours=1)
        run["on_air"].xcoms["control"] = {"end": later.isoformat()}
        assert run.ledger.wanted_until(run.lease, now=datetime.now(UTC)) == later

    def test_control_that_makes_no_sense_changes_nothing(self, run: Run) -> None:
        run["on_air"].xcoms["control"] = {"end": "whenever"}
        assert run.ledger.wanted_until(run.lease, now=datetime.now(UTC)) == run.lease.end

    def test_run_that_cannot_be_asked_leaves_it_to_the_ledger(self, run: Run, supervisor: Supervisor) -> None:
        supervisor.failing = {"GetXCom"}
        assert run.ledger.wanted_until(run.lease, now=datetime.now(UTC)) == run.lease.end

    def test_stop_that_nobody_has_carried_out_does_not_want_it_for_ever(self, run: Run) -> None:
        """Or no reaper would ever take it for over."""
        run["on_air"].xcoms["control"] = {"stop": True}
        now = datetime.now(UTC)
        assert run.ledger.wanted_until(run.lease, now=now) == now
        late = run.lease.end + timedelta(hours=1)
        assert run.ledger.wanted_until(run.lease, now=late) == run.lease.end


class TestGivingUp:
    def test_lease_is_kept_while_something_is_on_air(self, ledger: Ledger) -> None:
        ledger.write_lease(LEASE)
        ledger.write_claim("push", Claim("a1", "ours"))
        assert not ledger.release("a1")
        assert ledger.lease() == LEASE

    @pytest.mark.parametrize("state", ["foreign", "stopped"])
    def test_what_is_not_ours_to_stop_keeps_no_lease(self, state: Any, ledger: Ledger, supervisor: Supervisor) -> None:
        ledger.write_lease(LEASE)
        ledger.observe(Watch("a1"))
        ledger.write_claim("push", Claim("a1", state))
        assert ledger.release("a1")
        assert supervisor.entries() == {"push"}

    def test_lease_of_another_is_never_given_up(self, ledger: Ledger, supervisor: Supervisor) -> None:
        ledger.write_lease(NEXT)
        ledger.observe(Watch("b2"))
        assert ledger.release("a1")
        assert supervisor.entries() == {"", "watch"}

    def test_claim_of_another_is_never_forgotten(self, ledger: Ledger) -> None:
        ledger.write_claim("push", Claim("b2", "ours"))
        ledger.delete_claim("push", "a1")
        assert ledger.claim("push", "b2") is not None
        ledger.delete_claim("push", "b2")
        assert ledger.claim("push", "b2") is None


class TestStanding:
    def test_who_holds_the_lease_decides(self, ledger: Ledger) -> None:
        ledger.write_lease(LEASE)
        ledger.write_claim("push", Claim("b2", "ours"))
        assert (ledger.lease_state(LEASE), ledger.lease_state(NEXT)) == ("ours", "theirs")

    def test_without_a_lease_the_claims_do(self, ledger: Ledger) -> None:
        assert ledger.lease_state(LEASE) == "unknown"
        ledger.write_claim("push", Claim("a1", "stopped"))
        assert ledger.lease_state(LEASE) == "over"
        ledger.write_claim("record", Claim("a1", "sent"))
        assert ledger.lease_state(LEASE) == "ours"
        assert ledger.lease_state(NEXT) == "unknown"


class TestWhoComesLate:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("state", ["sent", "ours", "foreign", "refused", "stopped"])
    def test_broadcast_whose_room_was_taken_over_claims_nothing(self, state: Any, kind: Kind, ledger: Ledger) -> None:
        """Its call took longer than its broadcast: the claim of whoever holds the room stays."""
        ledger.write_lease(NEXT)
        theirs = Claim("b2", "ours", "start", NOW)
        ledger.write_claim(kind, theirs)
        ledger.write_claim(kind, Claim("a1", state))
        assert ledger.claim(kind, "b2") == theirs
        assert ledger.claim(kind, "a1") is None

    @pytest.mark.parametrize("kind", KINDS)
    def test_who_holds_the_room_claims_it(self, kind: Kind, ledger: Ledger) -> None:
        ledger.write_claim(kind, Claim("a1", "ours"))
        ledger.write_lease(NEXT)
        ledger.write_claim(kind, Claim("b2", "sent"))
        claim = ledger.claim(kind, "b2")
        assert claim is not None
        assert claim.state == "sent"


class TestTwoStopsOfOneRecording:
    def test_ids_that_one_was_given_outlive_the_note_of_the_other(self, ledger: Ledger) -> None:
        ledger.write_claim("record", Claim("a1", "ours", "start"))
        for file_ids in (("77",), ()):
            ledger.write_claim("record", Claim("a1", "stopped", "start", file_ids=file_ids))
        claim = ledger.claim("record", "a1")
        assert claim is not None
        assert claim.file_ids == ("77",)

    def test_next_recording_has_none_of_the_last_ones(self, ledger: Ledger) -> None:
        ledger.write_claim("record", Claim("a1", "stopped", "start", file_ids=("77",)))
        ledger.write_claim("record", Claim("a1", "ours", "next start"))
        ledger.write_claim("record", Claim("a1", "stopped", "next start"))
        claim = ledger.claim("record", "a1")
        assert claim is not None
        assert claim.file_ids == ()


class TestFileIdsOfAnEarlierBroadcast:
    """The service gives them only once; the tasks that they belong to may not have picked them up yet."""

    @pytest.fixture(autouse=True)
    def _overwritten(self, ledger: Ledger) -> None:
        ledger.write_claim("record", Claim("a1", "stopped", file_ids=("77",), at=NOW))
        ledger.write_claim("record", Claim("b2", "ours"))

    def test_they_outlive_the_next_recording(self, ledger: Ledger) -> None:
        kept = ledger.claim("record", "a1")
        assert kept is not None
        assert kept.file_ids == ("77",)
        assert ledger.claim("record", "b2") == Claim("b2", "ours", at=ledger.claim("record", "b2").at)  # type: ignore[union-attr]

    def test_stop_that_comes_late_says_nothing_about_the_next_show(self, ledger: Ledger) -> None:
        for kind in KINDS:
            ledger.write_claim(kind, Claim("b2", "ours", "start", NOW))
            ledger.write_claim(kind, Claim("a1", "stopped", file_ids=("78",) if kind == "record" else (), at=NOW))
            assert ledger.claim(kind, "b2") == Claim("b2", "ours", "start", NOW)
        kept = ledger.claim("record", "a1")
        assert kept is not None
        assert kept.file_ids == ("78",)

    def test_they_are_forgotten_once_they_are_picked_up(self, ledger: Ledger, supervisor: Supervisor) -> None:
        ledger.delete_claim("record", "a1")
        assert supervisor.entries() == {"record"}

    def test_nobody_picks_them_up_for_ever(self, ledger: Ledger, supervisor: Supervisor) -> None:
        ledger.write_lease(NEXT)
        (found,) = ledgers()
        found.purge(before=NOW, now=NOW)
        assert supervisor.entries() == {"", "record", "record-a1"}
        found.purge(before=NOW + timedelta(seconds=1), now=NOW)
        assert supervisor.entries() == {"", "record"}

    def test_they_do_no_harm_where_people_have_written(self, ledger: Ledger, supervisor: Supervisor) -> None:
        supervisor.variables[KEY.variable + "-record"] = json.dumps(
            Claim("a/../b?", "stopped", file_ids=("1",)).to_json()
        )
        ledger.write_claim("record", Claim("b2", "ours"))
        assert supervisor.entries() == {"record", "record-a1"}


class TestCleaning:
    def test_held_lease_is_left_alone(self, ledger: Ledger, supervisor: Supervisor) -> None:
        ledger.write_lease(LEASE)
        ledger.write_claim("push", Claim("a1", "ours", at=NOW))
        ledger.purge(before=NOW + timedelta(days=9), now=NOW)
        assert supervisor.entries() == {"", "push"}

    def test_notes_that_nobody_has_picked_up_stay_for_a_while(self, ledger: Ledger, supervisor: Supervisor) -> None:
        ledger.write_claim("record", Claim("a1", "stopped", at=NOW, file_ids=("1",)))
        supervisor.variables[KEY.variable + "-push"] = "garbage"
        supervisor.variables[KEY.variable + "-watch"] = "{}"
        ledger.purge(before=NOW, now=NOW)
        assert supervisor.entries() == {"record", "watch"}
        ledger.purge(before=NOW + timedelta(seconds=1), now=NOW)
        assert supervisor.entries() == set()

    def test_every_ledger_is_found_by_whatever_is_left_of_it(self, ledger: Ledger, supervisor: Supervisor) -> None:
        ledger.write_lease(LEASE)
        other = LeaseKey("timav_default", 1, "host_1", "camera").variable
        supervisor.variables |= {f"{other}-push": "{}", "unrelated": "1"}
        assert {found.variable for found in ledgers()} == {KEY.variable, other}
