"""What a run notes of its broadcast among its XComs is there while tasks begin anew, and tells when all is stopped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import comms

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.leases import Claim, Lease, LeaseKey, Ledger, Owner
from airflow_provider_timav.leases import reaper as reaping
from airflow_provider_timav.notifications.broadcast import EndBroadcastNotifier
from airflow_provider_timav.reading import Unreadable
from airflow_provider_timav.videorelay.errors import TimAVError
from harness.supervisor import Run, Supervisor
from harness.task import Task

AFTER_RESERVE = ("start_push", "start_record", "on_air", "stop_record", "stop_push", "result")


pytestmark = pytest.mark.usefixtures("no_waiting")


def begins_anew(run: Run, *names: str) -> None:
    """Tasks were cleared and have begun: that removes their XComs, and those of no other."""
    run.clear(*names)


class TestReservation:
    """A broadcast on air is found to be its run's, whatever becomes of a `reserve` that begins anew."""

    def cleared_and_failed(self, run: Run) -> None:
        run["reserve"].state = "failed"
        for name in AFTER_RESERVE:
            run[name].state = "upstream_failed"

    def test_reaper_ends_what_a_cleared_run_has_on_air_whose_reserve_fails(
        self, show: Callable[..., Run], reaper: Task, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = show()
        run.start()
        run.on_air()
        begins_anew(run, "reserve")
        with monkeypatch.context() as broken:
            broken.setenv("AIRFLOW_CONN_TIMAV_DEFAULT", json.dumps({"conn_type": "timav", "login": "nobody"}))
            with pytest.raises(TimAVError):
                run.execute("reserve")
        self.cleared_and_failed(run)
        assert len(reaper.execute()) == 1
        assert (timav_emulator.pushes, timav_emulator.recordings) == ((), ())

    def test_reaper_ends_what_a_cleared_run_has_on_air_whose_options_no_longer_render(
        self, show: Callable[..., Run], reaper: Task, timav_emulator: Emulator
    ) -> None:
        run = show()
        run.start()
        run.on_air()
        begins_anew(run, "reserve")  # and fails before it executes anything
        self.cleared_and_failed(run)
        assert len(reaper.execute()) == 1
        assert (timav_emulator.pushes, timav_emulator.recordings) == ((), ())

    def test_reaper_ends_what_a_run_could_not_stop_that_was_cleared_after_its_end(
        self, show: Callable[..., Run], reaper: Task, timav_emulator: Emulator
    ) -> None:
        run = show()
        run.start()
        run.on_air()
        run.end_at(datetime.now(UTC) - timedelta(minutes=2))
        begins_anew(run, "reserve")
        with timav_emulator.unreachable(), pytest.raises(TimAVError):
            run.execute("reserve")
        self.cleared_and_failed(run)
        assert len(reaper.execute()) == 1
        assert (timav_emulator.pushes, timav_emulator.recordings) == ((), ())

    def test_notifier_ends_it_too(self, show: Callable[..., Run], timav_emulator: Emulator) -> None:
        run = show()
        run.start()
        begins_anew(run, "reserve")
        self.cleared_and_failed(run)
        EndBroadcastNotifier().notify({"dag_run": {"dag_id": "show", "run_id": run.run_id}})  # type: ignore[typeddict-item]
        assert timav_emulator.pushes == ()

    def test_next_show_ends_it_and_starts_its_own(self, show: Callable[..., Run], timav_emulator: Emulator) -> None:
        run = show()
        run.start()
        begins_anew(run, "reserve")
        self.cleared_and_failed(run)
        second = show("manual__2")
        second.execute("reserve")
        assert timav_emulator.pushes == ()
        assert second.execute("start_push")["outcome"] == "started"


class TestStarts:
    """A stop is sent where a start was, and only there."""

    def test_start_of_before_a_clear_is_remembered_without_variables(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run = show()
        run.start()
        run.on_air()
        begins_anew(run, "reserve", "on_air")
        run.execute("reserve")
        run.on_air()
        supervisor.variables.clear()
        assert run.execute("stop_record")["outcome"] == "stopped"
        assert run.execute("stop_push")["outcome"] == "stopped"
        assert (timav_emulator.pushes, timav_emulator.recordings) == ((), ())

    def test_it_is_remembered_while_the_start_begins_anew(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run = show(record=False)
        run.start()
        begins_anew(run, "start_push")
        supervisor.variables.clear()
        assert run.execute("stop_push")["outcome"] == "stopped"
        assert timav_emulator.pushes == ()

    def test_it_is_remembered_where_both_begin_anew_one_after_the_other(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run = show(record=False)
        run.start()
        begins_anew(run, "reserve")
        run.execute("reserve")
        begins_anew(run, "start_push")
        supervisor.variables.clear()
        assert run.execute("stop_push")["outcome"] == "stopped"
        assert timav_emulator.pushes == ()

    @pytest.mark.parametrize("again", ["alone", "after reserve"])
    def test_stop_that_is_repeated_leaves_a_foreign_push_alone(
        self, again: str, show: Callable[..., Run], timav_emulator: Emulator, foreign_push: Callable[..., None]
    ) -> None:
        run = show()
        run.start()
        run.execute("stop_record", "stop_push")
        foreign_push()
        if again == "after reserve":
            begins_anew(run, "reserve")
            run.execute("reserve")
            run["start_push"].state = "failed"
        assert run.execute("stop_push") == {"outcome": "already_stopped"}
        assert len(timav_emulator.pushes) == 1

    def test_start_after_a_stop_is_a_start(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        """A run that was over early, and is cleared before its end."""
        run = show(record=False)
        run.start()
        run.execute("stop_push")
        begins_anew(run)
        run.start()
        supervisor.variables.clear()
        assert run.execute("stop_push")["outcome"] == "stopped"
        assert timav_emulator.pushes == ()

    @pytest.mark.parametrize("then", ["stop_push", "start_push"])
    @pytest.mark.parametrize("fault", ["refused", "shadowed"])
    def test_start_whose_claim_could_not_be_written_was_never_sent(
        self,
        fault: str,
        then: str,
        show: Callable[..., Run],
        supervisor: Supervisor,
        timav_emulator: Emulator,
        foreign_push: Callable[..., None],
    ) -> None:
        """Neither the stop nor another try takes what runs there for its own."""
        run = show()
        run.execute("reserve")
        foreign_push()
        name = f"{run.ledger.variable}-push"

        def fail(message: Any) -> None:
            if fault == "refused" and type(message).__name__ == "PutVariable" and message.key == name:
                detail = {"status_code": 500}
                raise AirflowRuntimeError(comms.ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))
            if fault == "shadowed" and type(message).__name__ == "GetVariable" and name in supervisor.variables:
                supervisor.variables[name] = "{}"

        supervisor.on_message = fail
        with pytest.raises((AirflowRuntimeError, LookupError)):
            run.execute("start_push")
        supervisor.on_message = lambda message: None
        run["start_push"].xcoms.clear()
        assert run.execute(then)["outcome"] == {"stop_push": "never_started", "start_push": "adopted"}[then]
        assert len(timav_emulator.pushes) == 1

    @pytest.mark.parametrize("mark", [None, 7, "sent", [], {"state": "sent"}, {"state": "sent", "generation": "other"}])
    def test_what_is_no_mark_of_this_broadcast_is_none(
        self, mark: Any, show: Callable[..., Run], timav_emulator: Emulator, foreign_push: Callable[..., None]
    ) -> None:
        run = show()
        run.execute("reserve")
        run["reserve"].xcoms["push_claim"] = run["start_push"].xcoms["push_claim"] = mark
        foreign_push()
        assert run.execute("stop_push")["outcome"] == "never_started"
        assert len(timav_emulator.pushes) == 1


class TestRoomOfADeletedRun:
    def test_its_trigger_has_its_time_to_stop_the_show(
        self,
        show: Callable[..., Run],
        supervisor: Supervisor,
        timav_emulator: Emulator,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        run = show()
        run.start()
        trigger = run.on_air()
        for key in [key for key in supervisor.tasks if key[1] == run.run_id]:
            del supervisor.tasks[key]
        waited: list[float] = []

        def wait(seconds: float) -> None:
            waited.append(seconds)
            asyncio.run(trigger.on_kill())

        monkeypatch.setattr(reaping, "LOOK_AGAIN_SECONDS", 10)
        monkeypatch.setattr("time.sleep", wait)
        second = show("manual__2")
        second.execute("reserve")
        assert waited == [10]
        assert (timav_emulator.pushes, timav_emulator.recordings) == ((), ())
        assert second.execute("start_push")["outcome"] == "started"


class TestIds:
    """Ids of a lease lead to no other address of Airflow's API."""

    LEASE = Lease(
        LeaseKey("timav_default", 10086, "host_1", "camera"),
        Owner("show", "manual__1", "broadcast"),
        "a1",
        datetime(2026, 1, 1, tzinfo=UTC),
    )

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            *[
                (name, text)
                for name in ("dag_id", "run_id", "group_id")
                for text in (
                    "../variables/x",
                    "..",
                    ".",
                    "a/b",
                    "a?b",
                    "a#b",
                    "a%2fb",
                    "a\nb",
                    "a\0b",
                    "../..",
                    "a\\..\\b",
                )
            ],
            *[("timav_conn_id", text) for text in ("../variables/x", "..", "a/../b", "a/..", "a?b", "a%2e", "a\nb")],
        ],
    )
    def test_text_that_leads_elsewhere_is_none(self, name: str, text: str) -> None:
        noted = self.LEASE.to_json()
        (noted["owner"] if name in noted["owner"] else noted)[name] = text
        with pytest.raises(Unreadable, match=name):
            Lease.from_json(noted)

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("dag_id", "早间.节目-1"),
            ("group_id", "room.Übertragung_2"),
            ("group_id", ""),
            ("dag_id", "a..b"),
            ("run_id", "scheduled__2026-11-24T08:00:00+00:00"),
            ("run_id", "by hand, for Ünal ~ 1"),
            ("timav_conn_id", "team/studio:1(old)#2"),
        ],
    )
    def test_ids_that_airflow_takes_are_taken(self, name: str, text: str) -> None:
        noted = self.LEASE.to_json()
        (noted["owner"] if name in noted["owner"] else noted)[name] = text
        assert Lease.from_json(noted).to_json() == noted

    def test_run_that_a_variable_pretends_to_be_confirms_nothing(
        self,
        show: Callable[..., Run],
        reaper: Task,
        timav_emulator: Emulator,
        supervisor: Supervisor,
        foreign_push: Callable[..., None],
    ) -> None:
        """Airflow's client asks ``/variables/word/…`` for the XCom of a run of such a DAG."""
        foreign_push()
        noted = self.LEASE.to_json()
        noted["owner"]["dag_id"] = "../variables/word"
        asked: list[str] = []
        supervisor.on_message = lambda message: asked.append(str(getattr(message, "dag_id", "")))
        ledger = Ledger(self.LEASE.key.variable)
        supervisor.variables[ledger.variable] = json.dumps(noted)
        ledger.write_claim("push", Claim("a1", "ours"))
        assert reaper.execute() == []
        assert len(timav_emulator.pushes) == 1
        assert not any(".." in dag_id for dag_id in asked)
        second = show("manual__2")
        second.execute("reserve")
        assert second.ledger.lease() == second.lease
