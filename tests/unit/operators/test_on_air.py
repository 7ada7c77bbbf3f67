"""`on_air`: defers to its trigger, resumes from it, and ends the broadcast itself if no trigger has."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason
from airflow.sdk.exceptions import AirflowFailException, TaskDeferralError, TaskDeferred

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.leases import Claim, Watch
from airflow_provider_timav.operators.broadcast import OnAirOperator
from airflow_provider_timav.videorelay.errors import ConfigurationError
from harness.streams.pyav import install, uninstall
from harness.supervisor import Run, Supervisor, sent, triggered
from harness.task import Task

pytestmark = pytest.mark.usefixtures("no_pauses")


class TestOnAir:
    def test_it_defers_at_once_with_what_the_trigger_needs(self, show: Callable[..., Run]) -> None:
        run = show(until="stream_ended", grace="PT30S", on_stall="fail")
        run.start()
        trigger = run.on_air()
        assert trigger.lease == run.lease.to_json()
        assert datetime.fromisoformat(trigger.end) == run.lease.end
        assert trigger.stops == ["push", "record"]
        assert trigger.task_key == {
            "dag_id": "show",
            "run_id": "manual__1",
            "task_id": "broadcast.on_air",
            "map_index": -1,
        }
        assert trigger.hls_url == run["start_push"].xcoms["hls_url"]
        assert (trigger.until, trigger.grace, trigger.on_stall, trigger.told) == ("stream_ended", 30.0, "fail", False)

    def test_task_resumes_if_no_trigger_has_ended_the_broadcast(self, show: Callable[..., Run]) -> None:
        run = show()
        run.start()
        with pytest.raises(TaskDeferred) as deferred:
            run.execute("on_air")
        waits = deferred.value.timeout
        assert isinstance(waits, timedelta)
        late = datetime.now(UTC) + waits - run.lease.end
        assert timedelta(seconds=14) < late < timedelta(seconds=16)

    def test_people_find_the_end_to_move(self, show: Callable[..., Run]) -> None:
        run = show()
        run.start()
        run.on_air()
        assert run["on_air"].xcoms["control"] == {"end": run.lease.end.isoformat()}
        assert run["on_air"].xcoms["started_at"] == run.claim("push").at.isoformat()  # type: ignore[union-attr]

    def test_clear_attaches_again_with_the_end_that_was_moved(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        run = show()
        run.start()
        run.on_air()
        later = run.lease.end + timedelta(hours=1)
        run.ledger.observe(Watch(run.lease.generation, later))
        timav_emulator.clear_journal()
        run.clear("reserve", "on_air")
        run.execute("reserve")
        trigger = run.on_air()
        assert datetime.fromisoformat(trigger.end) == later
        assert run["on_air"].xcoms["control"] == {"end": later.isoformat()}
        assert sent(timav_emulator) == []

    def test_only_what_is_ours_is_the_triggers_to_stop(self, show: Callable[..., Run]) -> None:
        run = show(record=False)
        run.start()
        assert run.on_air().stops == ["push"]

    def test_without_a_ledger_the_xcoms_of_the_starts_decide(
        self, show: Callable[..., Run], supervisor: Supervisor
    ) -> None:
        run = show(record=False)
        run.start()
        supervisor.variables.clear()
        assert run.on_air().stops == ["push"]

    def test_rtmp_alone_is_watched(
        self, show: Callable[..., Run], timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        install(monkeypatch)
        run = show(live_code="rtmp")
        run.start()
        trigger = run.on_air()
        assert (trigger.hls_url, trigger.rtmp_url) == (None, timav_emulator.pushes[0].urls[0])
        assert "hls_url" not in run["on_air"].xcoms, "there is nothing that a browser could open"

    def test_rtmp_alone_without_the_extra_keeps_time_only(
        self, show: Callable[..., Run], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        uninstall(monkeypatch)
        run = show(live_code="rtmp")
        run.start()
        trigger = run.on_air()
        assert (trigger.hls_url, trigger.rtmp_url) == (None, None)
        said = capsys.readouterr().out
        assert "no HLS URL to watch, and RTMP is read with PyAV" in said
        assert "airflow-provider-timav[rtmp]" in said
        assert "time and control only" in said

    def test_of_both_hls_is_watched(self, show: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
        install(monkeypatch)
        run = show(live_code="hls+rtmp")
        run.start()
        trigger = run.on_air()
        assert str(trigger.hls_url).startswith("http")
        assert trigger.rtmp_url is None

    @pytest.mark.parametrize(
        ("arguments", "retries"), [({}, 1), ({"retries": 0}, 1), ({"retries": 3}, 3)], ids=["none", "0", "3"]
    )
    def test_there_is_a_second_try(self, arguments: dict[str, Any], retries: int) -> None:
        """The scheduler can take a task that comes back from its trigger for a lost one."""
        operator = OnAirOperator(task_id="on_air", lease=None, **arguments)
        assert operator.retries == retries

    def test_second_try_comes_soon(self) -> None:
        from airflow.sdk import DAG

        assert OnAirOperator(task_id="on_air", lease=None).retry_delay == timedelta(seconds=15)
        with DAG("show", default_args={"retry_delay": timedelta(minutes=2)}):
            assert OnAirOperator(task_id="on_air", lease=None).retry_delay == timedelta(minutes=2)

    def test_raised_retries_are_logged(self, show: Callable[..., Run], capsys: pytest.CaptureFixture[str]) -> None:
        run = show()
        run.start()
        run.on_air()
        assert "retries=0 is raised to 1" in capsys.readouterr().out

    @pytest.mark.parametrize("status", ["deadline", "stopped", "stream_ended"])
    def test_event_of_the_end_is_the_result(self, status: str, show: Callable[..., Run]) -> None:
        run = show()
        run.start()
        run.on_air()
        event = {"status": status, "ended_at": "2026-11-24T21:00:00+00:00", "verdict": "LIVE", "since": None}
        assert run["on_air"].resume(event) == {
            "outcome": status,
            "ended_at": "2026-11-24T21:00:00+00:00",
            "verdict": "LIVE",
        }
        assert run["on_air"].xcoms["control"]

    def test_stall_that_is_to_fail_fails_without_another_try(self, show: Callable[..., Run]) -> None:
        run = show(on_stall="fail")
        run.start()
        with pytest.raises(AirflowFailException, match="has been STALLED since 21:00"):
            run["on_air"].resume({"status": "failed", "verdict": "STALLED", "since": "21:00", "ended_at": "21:01"})

    @pytest.mark.parametrize("event", [None, "deadline", {}, {"status": "success"}])
    def test_event_of_another_trigger_is_an_error(self, event: Any, show: Callable[..., Run]) -> None:
        run = show()
        run.start()
        with pytest.raises(RuntimeError, match="unknown status"):
            run["on_air"].resume(event)

    @pytest.mark.parametrize("lease", [None, "None", {"room_id": 1}])
    def test_without_a_lease_it_is_no_broadcast(self, lease: Any) -> None:
        with pytest.raises(ConfigurationError, match="lease"):
            Task(OnAirOperator(task_id="on_air", lease=lease)).execute()


class TestStall:
    EVENT = {"status": "stalled", "verdict": "STALLED", "since": "2026-11-24T20:30:00+00:00", "ended_at": "x"}  # noqa: RUF012

    def stalled(self, run: Run) -> TaskDeferred:
        run.start()
        run.on_air()
        with pytest.raises(TaskDeferred) as deferred:
            run["on_air"].resume(self.EVENT)
        return deferred.value

    def test_callback_is_called_and_the_broadcast_goes_on_to_the_same_end(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        told: list[Any] = []
        run = show(on_stall="notify", on_stall_callback=told.append)
        trigger = triggered(self.stalled(run))
        (context,) = told
        assert context["stall"] == {"verdict": "STALLED", "since": "2026-11-24T20:30:00+00:00"}
        assert context["ti"] is run["on_air"]
        assert (trigger.told, datetime.fromisoformat(trigger.end)) == (True, run.lease.end)
        assert sent(timav_emulator) == ["start_push", "start_record"]

    def test_control_that_people_have_written_meanwhile_is_kept(self, show: Callable[..., Run]) -> None:
        run = show(on_stall="notify", on_stall_callback=lambda context: None)
        run.start()
        run.on_air()
        run["on_air"].xcoms["control"] = {"stop": True}
        with pytest.raises(TaskDeferred):
            run["on_air"].resume(self.EVENT)
        assert run["on_air"].xcoms["control"] == {"stop": True}

    def test_callback_that_fails_does_not_end_the_broadcast(
        self, show: Callable[..., Run], capsys: pytest.CaptureFixture[str]
    ) -> None:
        def broken(context: Any) -> None:
            raise KeyError("a bug of the author's")

        self.stalled(show(on_stall="notify", on_stall_callback=broken))
        assert "on_stall_callback failed" in capsys.readouterr().out

    def test_notify_from_a_template_needs_no_callback(self, show: Callable[..., Run]) -> None:
        self.stalled(show(on_stall="ignore"))


LATE = {"error": TriggerFailureReason.TRIGGER_TIMEOUT}


def past(run: Run, seconds: float = 15) -> None:
    end = datetime.now(UTC) - timedelta(seconds=seconds)
    run.end_at(end)
    run["on_air"].xcoms["control"] = {"end": end.isoformat()}


def time_out(run: Run, next_kwargs: Any = LATE) -> Any:
    """Resume as Airflow does once the deferral has timed out."""
    task = run["on_air"]
    operator: Any = task._rendered()
    return task._returned(operator.resume_execution(TRIGGER_FAIL_REPR, next_kwargs, task._context()))


class TestTimedOut:
    """Airflow resumes the task without an event: no triggerer had capacity for its trigger, or served its queue."""

    @pytest.fixture
    def run(self, supervisor: Supervisor, timav_emulator: Emulator) -> Run:
        """On air, and past its end by fifteen seconds."""
        run = Run(supervisor)
        run.start()
        run.on_air()
        past(run)
        return run

    def test_broadcast_is_ended_from_the_worker(self, run: Run, timav_emulator: Emulator) -> None:
        result = time_out(run)
        assert result["outcome"] == "deadline"
        assert (timav_emulator.pushes, timav_emulator.recordings) == ((), ())

    def test_broadcast_that_a_person_has_told_to_stop_is_stopped(self, run: Run, timav_emulator: Emulator) -> None:
        run["on_air"].xcoms["control"] = {"stop": True}
        assert time_out(run)["outcome"] == "stopped"
        assert (timav_emulator.pushes, timav_emulator.recordings) == ((), ())

    def test_control_that_cannot_be_read_changes_nothing(self, run: Run, timav_emulator: Emulator) -> None:
        run["on_air"].xcoms["control"] = {"stop": "at once"}
        assert time_out(run)["outcome"] == "deadline"
        assert timav_emulator.pushes == ()

    def test_file_ids_reach_the_result(self, run: Run, timav_emulator: Emulator) -> None:
        time_out(run)
        ids = timav_emulator.file_ids(run["start_record"].xcoms["file_name"])
        assert run["on_air"].xcoms["stopped"]["file_ids"] == ids
        assert run.execute("stop_record")["file_ids"] == ids
        assert run.execute("stop_push")["outcome"] == "already_stopped"
        result = run.execute("result")
        assert (result["file_ids"], result["file_ids_status"], result["outcome"]) == (ids, "recovered", "deadline")

    def test_file_ids_that_a_trigger_noted_before_it_died_are_kept(self, run: Run, timav_emulator: Emulator) -> None:
        with TimAVHook() as hook:
            ids = list(hook.stop_record(room_id=10086, user_id="host_1").file_ids)
        run["on_air"].xcoms["stopped"] = {"file_ids": ids}
        time_out(run)
        assert run.execute("stop_record")["file_ids"] == ids

    @pytest.mark.parametrize("how", ["control", "ledger"])
    def test_moved_end_defers_to_a_trigger_again(self, how: str, run: Run, timav_emulator: Emulator) -> None:
        later = datetime.now(UTC) + timedelta(minutes=5)
        if how == "control":
            run["on_air"].xcoms["control"] = {"end": later.isoformat()}
        else:
            run["on_air"].xcoms.pop("control")
            run.ledger.observe(Watch(run.lease.generation, later))
        with pytest.raises(TaskDeferred) as deferred:
            time_out(run)
        assert datetime.fromisoformat(triggered(deferred.value).end) == later
        assert isinstance(deferred.value.timeout, timedelta)
        assert timedelta(minutes=5) < deferred.value.timeout < timedelta(minutes=6)
        assert len(timav_emulator.pushes) == 1

    @pytest.mark.parametrize(("verdict", "told"), [("LIVE", False), ("STALLED", True), ("ENDED", True)])
    def test_callback_is_called_once_for_a_stall_over_a_moved_end(self, verdict: str, told: bool, run: Run) -> None:
        later = datetime.now(UTC) + timedelta(minutes=5)
        run["on_air"].xcoms["control"] = {"end": later.isoformat()}
        run.ledger.observe(Watch(run.lease.generation, later, {"verdict": verdict}))
        with pytest.raises(TaskDeferred) as deferred:
            time_out(run)
        assert triggered(deferred.value).told is told

    def test_broadcast_that_its_trigger_has_ended_is_not_stopped_twice(
        self, run: Run, timav_emulator: Emulator
    ) -> None:
        for kind in ("push", "record"):
            run.ledger.write_claim(kind, Claim(run.lease.generation, "stopped"))
        run.ledger.release(run.lease.generation)
        timav_emulator.clear_journal()
        assert time_out(run)["outcome"] == "deadline"
        assert timav_emulator.journal == ()

    def test_next_broadcast_in_the_room_is_left_alone(
        self, run: Run, supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        past(run, seconds=60)
        second = Run(supervisor, run_id="second")
        second.start()
        time_out(run)
        assert len(timav_emulator.pushes) == 1

    def test_stop_that_fails_is_left_to_the_stops(self, run: Run, timav_emulator: Emulator) -> None:
        with timav_emulator.unreachable():
            assert time_out(run)["outcome"] == "deadline"
        assert run.execute("stop_push")["outcome"] == "stopped"
        assert run.execute("stop_record")["file_ids_status"] == "complete"

    def test_trigger_that_has_failed_is_a_failure(self, run: Run) -> None:
        """A retry makes another one."""
        with pytest.raises(TaskDeferralError):
            time_out(run, {"error": TriggerFailureReason.TRIGGER_FAILURE})

    def test_event_of_the_trigger_is_the_result(self, run: Run) -> None:
        event = {"status": "deadline", "ended_at": datetime.now(UTC).isoformat(), "verdict": "LIVE"}
        task = run["on_air"]
        operator: Any = task._rendered()
        result = operator.resume_execution("execute_complete", {"event": event}, task._context())
        assert (result["outcome"], result["verdict"]) == ("deadline", "LIVE")

    def test_verdict_is_the_last_that_was_noted(self, run: Run) -> None:
        run.ledger.observe(Watch(run.lease.generation, stream={"verdict": "STALLED"}))
        assert time_out(run)["verdict"] == "STALLED"
