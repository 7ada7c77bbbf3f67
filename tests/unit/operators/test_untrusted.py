"""What people write into the stores of one broadcast touches nobody else: neither room, reaper nor another's stream."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.leases import Claim, Lease, LeaseKey, Ledger, Owner
from airflow_provider_timav.leases.ledger import _TOLD
from airflow_provider_timav.operators.broadcast import ReapBroadcastsOperator
from airflow_provider_timav.videorelay.errors import AlreadyRunning, ConfigurationError
from harness.poison import shapes, values
from harness.supervisor import Run, Supervisor
from harness.task import Task

OTHER = 10087


pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.fixture(autouse=True)
def _other_room(timav_emulator: Emulator) -> None:
    timav_emulator.enter(OTHER, "host_1")
    _TOLD.clear()


def ago(minutes: float) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


def forged(room_id: int = OTHER, **changes: Any) -> Lease:
    """A lease that somebody has written who may write Variables: of another's room, and long over."""
    lease = Lease(
        LeaseKey("timav_default", room_id, "host_1", "camera"), Owner("show", "manual__1", "broadcast"), "f1", ago(5)
    )
    return replace(lease, **changes)


def some(poison: dict[str, Any]) -> list[Any]:
    """A tenth of many values, for what takes its time; `tests.unit.test_reading` has the readers take all of them."""
    return [value for number, value in enumerate(poison.values()) if number % 10 == 0]


def write(lease: Lease, *, claims: bool = True) -> Ledger:
    ledger = Ledger(lease.key.variable)
    ledger.write_lease(lease)
    if claims:
        ledger.write_claim("push", Claim(lease.generation, "ours"))
        ledger.write_claim("record", Claim(lease.generation, "ours"))
    return ledger


ENTRY = forged().to_json()
SHAPES = shapes(ENTRY)


class TestVariables:
    """Each case tries every shape of `harness.poison`: there are hundreds, and none may be the one that breaks it."""

    def test_there_are_many(self) -> None:
        assert len(SHAPES) >= 40

    def test_lease_that_nobody_can_read_keeps_no_other_from_being_reaped(
        self, show: Callable[..., Run], reaper: Task, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        names = [f"timav_lease_{number:032x}" for number in range(len(SHAPES))]
        supervisor.variables |= dict(zip(names, SHAPES.values(), strict=True))
        for name, text in zip(names, SHAPES.values(), strict=True):
            supervisor.variables |= {f"{name}-push": text, f"{name}-watch": text, f"{name}-record-a1": text}
        run = show()
        run.start()
        run.end_at(ago(5))
        assert [report["room_id"] for report in reaper.execute()] == [10086]
        assert timav_emulator.pushes == ()

    def test_room_is_not_lost_for_good(self, show: Callable[..., Run], supervisor: Supervisor) -> None:
        for number, text in enumerate(SHAPES.values()):
            run = show(f"manual__{number}")
            supervisor.variables.clear()
            variable = LeaseKey("timav_default", 10086, "host_1", "camera").variable
            supervisor.variables |= {variable: text, f"{variable}-push": text, f"{variable}-watch": text}
            run.execute("reserve")
            assert run.ledger.lease() == run.lease

    def test_what_is_ours_is_stopped_whatever_stands_in_place_of_its_claim(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run = show()
        run.start()
        poison = shapes(Claim(run.lease.generation, "ours", "s").to_json())
        kept = dict(supervisor.variables)
        marks = {name: run[name].xcoms["push_claim"] for name in ("reserve", "start_push")}
        for text in poison.values():
            for name, mark in marks.items():  # as if this stop were the first one
                run[name].xcoms["push_claim"] = mark
            stops = sum(entry.operation == "stop_push" for entry in timav_emulator.journal)
            supervisor.variables = {**kept, f"{run.ledger.variable}-push": text}
            claim = run.claim("push")
            if claim is not None and claim.state != "ours":
                continue  # one that people may write: a claim in order
            assert run.execute("stop_push")["outcome"] in ("stopped", "already_stopped")
            assert sum(entry.operation == "stop_push" for entry in timav_emulator.journal) == stops + 1
        assert timav_emulator.pushes == ()

    def test_watch_that_nobody_can_read_moves_no_end(self, show: Callable[..., Run], supervisor: Supervisor) -> None:
        run = show()
        run.start()
        for text in shapes({"generation": run.lease.generation, "stream": {"verdict": "LIVE", "tail": 7}}).values():
            supervisor.variables[f"{run.ledger.variable}-watch"] = text
            assert run.ledger.end_in_force(run.lease) == run.lease.end
            assert run.on_air().end == run.lease.end.isoformat()

    def test_unreadable_lease_is_removed_after_a_day_with_a_warning(
        self, reaper: Task, supervisor: Supervisor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        caplog.set_level(logging.WARNING)
        name = f"timav_lease_{'0' * 32}"
        supervisor.variables[name] = "{"
        for _ in range(3):
            assert reaper.execute() == []
        assert set(supervisor.variables) == {name, f"{name}-unread"}
        assert caplog.text.count("the reaper deletes it after a day") == 1
        supervisor.variables[f"{name}-unread"] = json.dumps({"since": ago(60 * 24 + 1).isoformat()})
        reaper.execute()
        assert supervisor.variables == {}
        assert "could not be read since" in caplog.text

    def test_lease_that_can_be_read_again_is_not_removed(self, reaper: Task, supervisor: Supervisor) -> None:
        name = f"timav_lease_{'0' * 32}"
        supervisor.variables |= {name: "{", f"{name}-unread": json.dumps({"since": ago(60).isoformat()})}
        supervisor.variables.pop(name)
        reaper.execute()
        assert supervisor.variables == {}


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "timav:lease:x/../victim",
            "timav_lease_/../victim",
            f"timav_lease_{'0' * 32}/../victim",
            f"timav_lease_{'0' * 32}-push/../../victim",
            f"timav_lease_{'0' * 32}-record-../victim",
            f"timav_lease_{'0' * 32}-record-a b",
            f"timav_lease_{'0' * 32}-record-{'a' * 65}",
            f"timav_lease_{'0' * 32}?x",
            f"timav_lease_{'0' * 32}\n",
            f"timav_lease_{'A' * 32}",
            f"timav_lease_{'0' * 31}",
            "timav_lease_",
        ],
    )
    def test_only_names_of_the_ledgers_own_pattern_are_read_or_deleted(
        self, name: str, reaper: Task, supervisor: Supervisor
    ) -> None:
        supervisor.variables |= {name: "{", "victim": "kept"}
        assert reaper.execute() == []
        assert supervisor.variables == {name: "{", "victim": "kept"}
        assert not [asked for asked in supervisor.asked if asked[1] in (name, "victim")]
        for access in (Ledger.store.get, Ledger.store.delete, lambda name: Ledger.store.set(name, "x")):
            with pytest.raises(ValueError, match="no name of the ledger's"):
                access(name)

    def test_lease_counts_only_under_the_name_that_its_own_key_gives(
        self, show: Callable[..., Run], reaper: Task, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        """Copied to another name, a true lease would hold another room, or have its own ended twice."""
        run = show()
        run.start()
        elsewhere = LeaseKey("timav_default", OTHER, "host_1", "camera").variable
        supervisor.variables[elsewhere] = json.dumps({**run.lease.to_json(), "end": ago(5).isoformat()})
        assert Ledger(elsewhere).lease() is None
        assert reaper.execute() == []
        assert len(timav_emulator.pushes) == 1
        other = show("manual__2", room_id=OTHER)
        other.execute("reserve")
        assert other.ledger.lease() == other.lease


class TestForgedLeases:
    """The right to stop comes from the run's own XComs."""

    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({}, id="a run that has another room"),
            pytest.param({"owner": Owner("show", "gone", "broadcast")}, id="a run that is not there"),
            pytest.param({"owner": Owner("gone", "gone", "broadcast")}, id="a DAG that is not there"),
            pytest.param({"owner": Owner("show", "manual__1", "other")}, id="a group that is not there"),
            pytest.param({"owner": Owner("show", "manual__1", "broadcast", 7)}, id="a map index that is not there"),
        ],
    )
    def test_reaper_stops_nothing_on_their_word(
        self,
        changes: Any,
        show: Callable[..., Run],
        reaper: Task,
        timav_emulator: Emulator,
        supervisor: Supervisor,
        foreign_push: Callable[..., None],
    ) -> None:
        run = show()
        run.start()
        run["reserve"].state = "success"
        foreign_push(OTHER)
        write(forged(**{"generation": run.lease.generation, **changes}))
        assert reaper.execute() == []
        assert [push.room_id for push in timav_emulator.pushes] == [10086, OTHER]
        assert Ledger(forged().key.variable).lease() is None

    def test_next_show_in_the_room_takes_their_place_and_stops_nothing(
        self, show: Callable[..., Run], timav_emulator: Emulator, foreign_push: Callable[..., None]
    ) -> None:
        foreign_push()
        write(forged(10086, owner=Owner("show", "gone", "broadcast"), end=datetime.now(UTC) + timedelta(days=300)))
        run = show()
        run.execute("reserve")
        assert run.ledger.lease() == run.lease
        assert len(timav_emulator.pushes) == 1

    def test_lease_of_a_run_that_is_reserving_just_now_is_waited_for(self, show: Callable[..., Run]) -> None:
        """A retry of `reserve` has lost its XComs for a moment."""
        first = show("first")
        first.execute("reserve")
        first["reserve"].xcoms.clear()
        for state in ("running", "queued", "up_for_retry", "up_for_reschedule", None):
            first["reserve"].state = state
            with pytest.raises(AlreadyRunning):
                show("second").execute("reserve")

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_reservation_is_noted_before_the_lease_that_it_confirms(
        self, moment: str, show: Callable[..., Run], supervisor: Supervisor
    ) -> None:
        run = show()
        seen: list[bool] = []

        def look(message: Any) -> None:
            if type(message).__name__ == "PutVariable":
                seen.append("reservation" in run["reserve"].xcoms)

        supervisor.on_message = look
        run.execute("reserve")
        assert seen == [True]


class TestReaperOfSomeConnections:
    def test_leases_of_other_connections_are_left_alone(
        self, show: Callable[..., Run], timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_STUDIO", timav_emulator.connection_json())
        for run_id, options in (("first", {}), ("second", {"room_id": OTHER, "timav_conn_id": "studio"})):
            run = show(run_id, **options)
            run.start()
            run.end_at(ago(5))
        for ids in (["studio"], '["studio"]'):
            reports = Task(ReapBroadcastsOperator(task_id="reap", timav_conn_ids=ids)).execute()
            assert {report["room_id"] for report in reports} <= {OTHER}
        assert [push.room_id for push in timav_emulator.pushes] == [10086]

    @pytest.mark.parametrize("ids", ["studio", 7, {"studio": 1}, [1]])
    def test_what_is_no_list_of_connections_is_refused(self, ids: Any, supervisor: Supervisor) -> None:
        with pytest.raises(ConfigurationError, match="timav_conn_ids"):
            Task(ReapBroadcastsOperator(task_id="reap", timav_conn_ids=ids)).execute()


class TestStateStore:
    def test_reservation_that_nobody_can_read_is_made_anew(
        self, show: Callable[..., Run], supervisor: Supervisor
    ) -> None:
        first = show()
        first.execute("reserve")
        for number, value in enumerate(some(values(first.lease.to_json()))):
            supervisor.variables.clear()
            run = show(f"manual__{number}")
            store = run["reserve"].store
            assert store is not None
            if value is None:
                continue
            store.values["timav:reservation"] = json.dumps(value)
            run.execute("reserve")
            assert run.ledger.lease() == run.lease
            assert run.lease.owner.run_id == f"manual__{number}"

    def test_reservation_of_another_run_is_not_ones_own(self, show: Callable[..., Run]) -> None:
        first, second = show("first"), show("second", room_id=OTHER)
        first.execute("reserve")
        assert second["reserve"].store is not None
        second["reserve"].store.set("timav:reservation", first.lease.to_json())
        second.execute("reserve")
        assert second.lease.key.room_id == OTHER

    @pytest.mark.parametrize("kind", ["push", "record"])
    def test_intent_that_nobody_can_read_is_none(
        self, kind: str, show: Callable[..., Run], timav_emulator: Emulator, supervisor: Supervisor
    ) -> None:
        result = {
            "outcome": "started",
            "hls_url": "https://play/1",
            "live_urls": [{"type": "hls", "rate": "original", "url": "u"}],
        }
        noted = {"start_id": "s", "claim": "ours", "result": result, "at": ago(1).isoformat()}
        for number, value in enumerate(some(values(noted))):
            supervisor.variables.clear()
            run = show(f"manual__{number}")
            run.execute("reserve")
            task = run[f"start_{kind}"]
            if value is None:
                continue
            assert task.store is not None
            task.store.values[f"timav:{kind}"] = json.dumps(value)
            run.execute(f"start_{kind}")
            assert run.claim(kind).state in ("ours", "sent", "foreign")  # type: ignore[arg-type, union-attr]
            run.execute(f"stop_{kind}")

    def test_file_ids_that_nobody_can_read_are_not_handed_on(
        self, show: Callable[..., Run], supervisor: Supervisor
    ) -> None:
        run = show()
        run.start()
        with TimAVHook() as hook:
            hook.stop_record(room_id=10086, user_id="host_1")
        store, start_id = run["stop_record"].store, run["start_record"].xcoms["start_id"]
        assert store is not None
        for value in values({"start_id": start_id, "file_ids": ["7"]}).values():
            if value is not None:
                store.values["timav:file_ids"] = json.dumps(value)
            result = run.execute("stop_record")
            assert all(isinstance(file_id, str) for file_id in result["file_ids"])


class TestXComs:
    def test_control_that_nobody_can_read_moves_no_end(
        self, show: Callable[..., Run], reaper: Task, timav_emulator: Emulator
    ) -> None:
        run = show()
        run.start()
        for value in values({"end": ago(-600).isoformat()}).values():
            if (
                isinstance(value, dict)
                and set(value) == {"end"}
                and isinstance(value["end"], str)
                and len(value["end"]) == 32
            ):
                continue
            run["on_air"].xcoms["control"] = value
            assert run.ledger.wanted_until(run.lease, now=datetime.now(UTC)) >= run.lease.end
            assert reaper.execute() == []
        assert len(timav_emulator.pushes) == 1

    def test_note_of_the_trigger_that_nobody_can_read_has_no_file_ids(self, show: Callable[..., Run]) -> None:
        run = show()
        run.start()
        with TimAVHook() as hook:
            hook.stop_record(room_id=10086, user_id="host_1")
        for value in values({"file_ids": ["77"], "ended_at": ago(1).isoformat()}).values():
            run["on_air"].xcoms["stopped"] = value
            result = run.execute("stop_record")
            assert all(isinstance(file_id, str) for file_id in result["file_ids"])
            run["stop_record"].store.values.clear()  # type: ignore[union-attr]

    def test_address_that_is_none_is_not_looked_at(self, show: Callable[..., Run]) -> None:
        run = show()
        run.start()
        for value in (
            7,
            ["x"],
            {"a": 1},
            "file:///etc/passwd",
            "javascript:alert(1)",
            "http://user:pw@host/",
            "x" * 9000,
        ):
            run["start_push"].xcoms["hls_url"] = value
            assert run.on_air().hls_url is None


class TestNobodyStopsWhatTheyHaveNotStarted:
    """A run that has sent no start stops nobody's push."""

    def test_start_that_a_person_has_failed_before_it_ran(
        self, show: Callable[..., Run], timav_emulator: Emulator, foreign_push: Callable[..., None]
    ) -> None:
        """Stop now, while the start waits for a slot."""
        run = show()
        run.execute("reserve")
        foreign_push()
        run["start_push"].state = "failed"
        assert run.execute("stop_push") == {"outcome": "never_started"}
        assert run.execute("stop_record")["outcome"] == "never_started"
        assert len(timav_emulator.pushes) == 1

    def test_variables_that_were_swept_while_the_start_waited(
        self,
        show: Callable[..., Run],
        supervisor: Supervisor,
        timav_emulator: Emulator,
        foreign_push: Callable[..., None],
    ) -> None:
        timav_emulator.leave(10086, "host_1")
        run = show(wait_for_user=0)
        run.execute("reserve")
        with pytest.raises(Exception, match="40000411"):
            run.execute("start_push")
        supervisor.variables.clear()
        timav_emulator.enter(10086, "host_1")
        foreign_push()
        with pytest.raises(AirflowFailException, match="was released"):
            run.execute("start_push")
        assert run.execute("stop_push") == {"outcome": "never_started"}
        assert len(timav_emulator.pushes) == 1

    def test_variables_that_were_swept_on_air(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        """Here one was sent."""
        run = show()
        run.start()
        supervisor.variables.clear()
        assert run.execute("stop_push") == {"outcome": "stopped"}
        assert run.execute("stop_record")["outcome"] == "stopped"
        assert (timav_emulator.pushes, timav_emulator.recordings) == ((), ())

    def test_variables_that_were_swept_after_a_foreign_push_was_adopted(
        self,
        show: Callable[..., Run],
        supervisor: Supervisor,
        timav_emulator: Emulator,
        foreign_push: Callable[..., None],
    ) -> None:
        foreign_push()
        run = show(record=False)
        run.start()
        supervisor.variables.clear()
        assert run.execute("stop_push") == {"outcome": "never_started"}
        assert len(timav_emulator.pushes) == 1

    def test_mark_stands_before_the_start_is_sent(self, show: Callable[..., Run], supervisor: Supervisor) -> None:
        run = show()
        run.execute("reserve")
        supervisor.failing = {"SetXCom"}
        with pytest.raises(Exception, match="API_SERVER_ERROR"):
            run.execute("start_push")
        supervisor.failing = set()
        assert run.execute("stop_push") == {"outcome": "never_started"}

    def test_start_is_not_sent_where_its_claim_is_not_found_again(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        """Something of the same name in a secrets backend, or in another team, is read in its place."""
        run = show()
        run.execute("reserve")
        name = f"{run.ledger.variable}-push"

        def shadow(message: Any) -> None:
            if type(message).__name__ == "GetVariable" and message.key == name and name in supervisor.variables:
                supervisor.variables[name] = "{}"

        supervisor.on_message = shadow
        with pytest.raises(LookupError, match="reads as something else"):
            run.execute("start_push")
        assert timav_emulator.pushes == ()


class TestRunThatIsOver:
    """A dead run does not hold its room until the end that it had reserved."""

    OVER = ("start_push", "start_record", "on_air", "stop_record", "stop_push")

    def dead(self, run: Run, state: str) -> None:
        run["reserve"].state = "success"
        for name in self.OVER:
            run[name].state = state

    @pytest.mark.parametrize("state", ["skipped", "failed", "upstream_failed", "removed"])
    def test_reaper_frees_its_room(
        self,
        state: str,
        show: Callable[..., Run],
        reaper: Task,
        timav_emulator: Emulator,
        foreign_push: Callable[..., None],
    ) -> None:
        run = show()
        run.execute("reserve")
        assert reaper.execute() == []
        self.dead(run, state)
        foreign_push()
        (report,) = reaper.execute()
        assert not {"push", "record"} & set(report)
        assert run.ledger.lease() is None
        assert len(timav_emulator.pushes) == 1

    def test_next_show_takes_its_room_at_once(self, show: Callable[..., Run], timav_emulator: Emulator) -> None:
        first, second = show("first"), show("second")
        first.start()
        self.dead(first, "skipped")
        second.execute("reserve")
        assert second.ledger.lease() == second.lease
        assert timav_emulator.pushes == ()  # what it had left on air

    def test_next_show_takes_the_room_of_a_run_that_was_deleted(
        self, show: Callable[..., Run], supervisor: Supervisor
    ) -> None:
        first = show("first")
        first.execute("reserve")
        supervisor.tasks = {key: task for key, task in supervisor.tasks.items() if key[1] != "first"}
        second = show("second")
        second.execute("reserve")
        assert second.ledger.lease() == second.lease

    @pytest.mark.parametrize("name", OVER)
    @pytest.mark.parametrize(
        "state", [None, "scheduled", "queued", "running", "deferred", "up_for_retry", "up_for_reschedule"]
    )
    def test_room_of_a_run_with_something_to_do_is_its_own(
        self, name: str, state: str | None, show: Callable[..., Run], reaper: Task
    ) -> None:
        first, second = show("first"), show("second")
        first.execute("reserve")
        self.dead(first, "failed")
        first[name].state = state
        assert reaper.execute() == []
        with pytest.raises(AlreadyRunning):
            second.execute("reserve")


class TestTeams:
    def test_broadcast_of_a_teams_dag_is_refused(self, show: Callable[..., Run], supervisor: Supervisor) -> None:
        run = show()
        run["reserve"].team = "red"
        with pytest.raises(ConfigurationError, match="belongs to the team 'red'"):
            run.execute("reserve")
        assert supervisor.variables == {}

    def test_reaper_passes_over_what_a_team_keeps(
        self, show: Callable[..., Run], reaper: Task, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is listed to all, and can be read by the team alone."""
        monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
        run = show()
        run.start()
        run.end_at(ago(5))
        theirs = f"timav_lease_{'0' * 32}"
        supervisor.variables[theirs] = "{}"

        def unreadable(message: Any) -> None:
            broken = type(message).__name__ == "GetVariable" and message.key == theirs
            supervisor.failing = {"GetVariable"} if broken else set()

        supervisor.on_message = unreadable
        assert len(reaper.execute()) == 1
