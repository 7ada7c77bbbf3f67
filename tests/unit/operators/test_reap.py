"""The reaper: ends what is on air past its end, and leaves everything else alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.leases import KINDS, Claim, Lease, LeaseKey, Ledger, Owner, Watch
from airflow_provider_timav.operators.broadcast import ReapBroadcastsOperator
from airflow_provider_timav.videorelay.errors import (
    ConfigurationError,
    TimAVError,
)
from harness.supervisor import Run, Supervisor, minutes_ago, sent
from harness.task import Task

pytestmark = pytest.mark.usefixtures("no_pauses")


class TestReaper:
    def over(self, run: Run, minutes: float = 5) -> Run:
        run.start()
        run.end_at(minutes_ago(minutes))
        return run

    def test_what_is_over_is_stopped_and_reported(
        self, show: Callable[..., Run], reaper: Task, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run = self.over(show())
        (report,) = reaper.execute()
        assert report == {
            "room_id": 10086,
            "user_id": "host_1",
            "push_data_type": "camera",
            "owner": "broadcast of run manual__1 of DAG show",
            "end": run.lease.end.isoformat(),
            "push": "stopped",
            "record": "stopped",
            "file_ids": timav_emulator.file_ids(run["start_record"].xcoms["file_name"]),
        }
        assert not timav_emulator.pushes
        assert supervisor.entries() == {"push", "record"}
        assert reaper.execute() == []

    def test_ids_are_still_there_for_the_runs_own_tasks(
        self, show: Callable[..., Run], reaper: Task, timav_emulator: Emulator
    ) -> None:
        run = self.over(show())
        reaper.execute()
        result = run.execute("stop_record")
        assert result["file_ids"] == timav_emulator.file_ids(run["start_record"].xcoms["file_name"])

    def test_warns_of_a_connection_that_does_not_exist(
        self, show: Callable[..., Run], timav_emulator: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.over(show())
        ids = ["studioo", "timav_default"]
        (report,) = Task(ReapBroadcastsOperator(task_id="reap", timav_conn_ids=ids)).execute()
        assert (report["push"], timav_emulator.pushes) == ("stopped", ())
        told = [record.getMessage() for record in caplog.records if "there is no connection" in record.getMessage()]
        assert told == ["timav_conn_ids: there is no connection 'studioo'; its broadcasts are not looked after."]

    @pytest.mark.parametrize("ids", ["studio", 5, [7]])
    def test_a_wrong_constant_is_refused_when_the_dag_is_parsed(self, ids: Any) -> None:
        with pytest.raises(ConfigurationError, match="timav_conn_ids must be a list of strings, or a JSON list"):
            ReapBroadcastsOperator(task_id="reap", timav_conn_ids=ids)

    def test_what_is_wanted_is_left_alone(
        self, show: Callable[..., Run], reaper: Task, timav_emulator: Emulator
    ) -> None:
        show().start()
        assert reaper.execute() == []
        assert len(timav_emulator.pushes) == 1

    def test_its_own_tasks_have_a_moment(self, show: Callable[..., Run], reaper: Task) -> None:
        self.over(show(), minutes=0.4)
        assert reaper.execute() == []

    @pytest.mark.parametrize("how", ["ledger", "control"])
    def test_extension_is_honoured(self, how: str, show: Callable[..., Run], reaper: Task) -> None:
        run = self.over(show())
        later = datetime.now(UTC) + timedelta(minutes=5)
        if how == "ledger":
            run.ledger.observe(Watch(run.lease.generation, later))
        else:
            run["on_air"].xcoms["control"] = {"end": later.isoformat()}
        assert reaper.execute() == []

    def test_broadcast_that_was_told_to_stop_and_went_on_is_over_at_its_end(
        self, show: Callable[..., Run], reaper: Task
    ) -> None:
        self.over(show())["on_air"].xcoms["control"] = {"stop": True}
        assert len(reaper.execute()) == 1

    @pytest.mark.parametrize("state", ["success", "failed", "skipped", "upstream_failed"])
    def test_left_on_air_by_its_run_it_is_stopped_before_its_end(
        self, state: str, show: Callable[..., Run], reaper: Task, timav_emulator: Emulator
    ) -> None:
        """The service was down when a person stopped the broadcast: its stops have failed, and its end is hours ahead."""
        run = show()
        run.start()
        for name in ("on_air", "stop_push", "stop_record"):
            assert reaper.execute() == []
            run[name].state = state
        (report,) = reaper.execute()
        assert (report["push"], report["record"]) == ("stopped", "stopped")
        assert not timav_emulator.pushes
        assert run.ledger.lease() is None

    def test_left_on_air_for_a_moment_it_is_left_to_its_trigger(
        self, show: Callable[..., Run], reaper: Task, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Marking a run failed ends all of its tasks at once; its trigger stops the broadcast a moment later."""
        run = show()
        run.start()
        for name in ("on_air", "stop_push", "stop_record"):
            run[name].state = "failed"

        def trigger_stops(seconds: float) -> None:
            for kind in KINDS:
                run.ledger.write_claim(kind, Claim(run.lease.generation, "stopped"))
            run.ledger.release(run.lease.generation)

        monkeypatch.setattr("time.sleep", trigger_stops)
        assert reaper.execute() == []
        assert "stop_push" not in sent(timav_emulator)

    def test_what_is_foreign_is_left_alone(self, show: Callable[..., Run], reaper: Task, foreign: Emulator) -> None:
        self.over(show())
        (report,) = reaper.execute()
        assert not {"push", "record"} & set(report)
        assert (len(foreign.pushes), len(foreign.recordings)) == (1, 1)

    def test_stop_that_fails_does_not_keep_the_others_and_is_tried_again(
        self, show: Callable[..., Run], reaper: Task, timav_emulator: Emulator
    ) -> None:
        timav_emulator.enter(10087, "host_1")
        first, second = self.over(show("first")), self.over(show("second", room_id=10087))
        timav_emulator.fail_next(1, "stop_push", code=20004)
        with pytest.raises(TimAVError):
            reaper.execute()
        assert len(timav_emulator.pushes) == 1
        assert not timav_emulator.recordings
        assert {first.ledger.lease(), second.ledger.lease()} != {None}
        assert len(reaper.execute()) == 1
        assert not timav_emulator.pushes

    def test_broken_connection_does_not_keep_the_others(
        self, show: Callable[..., Run], reaper: Task, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_OTHER", timav_emulator.connection_json())
        self.over(show("first", timav_conn_id="other", push_data_type="screen"))
        self.over(show("second"))
        monkeypatch.setenv("AIRFLOW_CONN_OTHER", "{}")
        with pytest.raises(Exception, match=r".+"):
            reaper.execute()
        assert [push.kind for push in timav_emulator.pushes] == ["screen"]

    def test_entry_that_cannot_be_read_does_not_keep_the_others(
        self, show: Callable[..., Run], reaper: Task, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        timav_emulator.enter(10087, "host_1")
        first, _ = self.over(show("first")), self.over(show("second", room_id=10087))

        def fail(message: Any) -> None:
            broken = type(message).__name__ == "GetVariable" and message.key == first.ledger.variable
            supervisor.failing = {"GetVariable"} if broken else set()

        supervisor.on_message = fail
        with pytest.raises(LookupError):
            reaper.execute()
        assert [push.room_id for push in timav_emulator.pushes] == [10086]

    def test_garbage_does_not_keep_the_others(
        self, show: Callable[..., Run], reaper: Task, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        self.over(show())
        supervisor.variables |= {
            "timav_lease_": "x",
            "timav_lease_0": "{",
            f"timav_lease_{'0' * 32}": "{",
            f"timav_lease_{'0' * 32}-push": "",
            f"timav_lease_{'0' * 32}-push/../victim": "",
            "timav_lease_?": "",
        }
        assert len(reaper.execute()) == 1
        assert not timav_emulator.pushes

    def test_note_that_fails_does_not_keep_a_stop(
        self, show: Callable[..., Run], reaper: Task, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        self.over(show())
        supervisor.failing = {"PutVariable"}
        with pytest.raises(Exception, match="API_SERVER_ERROR"):
            reaper.execute()
        assert (timav_emulator.pushes, timav_emulator.recordings) == ((), ())

    def test_seventy_of_a_hundred_and_forty(
        self, reaper: Task, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        """Exactly those that are over."""
        with TimAVHook() as hook:
            for number in range(140):
                timav_emulator.enter(number, "host_1")
                hook.start_push(room_id=number, user_id="host_1")
                end = datetime.now(UTC) + timedelta(minutes=5 if number % 2 else -5)
                run = Run(supervisor, {"room_id": number}, run_id=f"run_{number}")
                key = LeaseKey("timav_default", number, "host_1", "camera")
                lease = Lease(key, Owner("show", run.run_id, "broadcast"), f"g{number}", end)
                run["reserve"].xcoms["reservation"] = lease.reservation()
                Ledger(key.variable).write_lease(lease)
                Ledger(key.variable).write_claim("push", Claim(f"g{number}", "ours"))
        assert len(reaper.execute()) == 70
        assert [push.room_id for push in timav_emulator.pushes] == list(range(1, 140, 2))
