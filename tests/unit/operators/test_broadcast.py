"""The tasks of a broadcast: each sends what it must, and nothing that would touch somebody else's stream."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.leases import KINDS, Claim, Kind, Lease, LeaseKey, Ledger, Owner, Watch
from airflow_provider_timav.operators import _stop as stop_module
from airflow_provider_timav.operators.broadcast import BroadcastResultOperator, OnAirOperator, ReapBroadcastsOperator
from airflow_provider_timav.videorelay import exchange
from airflow_provider_timav.videorelay.errors import (
    AlreadyRunning,
    AmbiguousOutcome,
    ConfigurationError,
    RecordingLost,
    RoomNotReady,
    ServiceError,
    TimAVError,
    TransportError,
)
from harness.streams.pyav import install, uninstall
from harness.supervisor import SHOW, Run, Supervisor, triggered
from harness.task import Store, Task

HOST: dict[str, Any] = {"room_id": 10086, "user_id": "host_1"}
ZONE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls repeat at once, with a budget of their own."""
    monkeypatch.setattr(exchange.Exchange, "_pause", _at_once(exchange.Exchange._pause))
    monkeypatch.setattr(exchange.BUDGET, "_left", 10)
    monkeypatch.setattr(stop_module, "LOOK_AGAIN_SECONDS", (0.0, 0.0))
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def _at_once(pause: Callable[..., float | None]) -> Callable[..., float | None]:
    return lambda self, error: None if pause(self, error) is None else 0.0


def sent(emulator: Emulator) -> list[str | None]:
    return [entry.operation for entry in emulator.journal]


def minutes_ago(minutes: float) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


class TestReserve:
    def test_it_sends_nothing_and_hands_on_what_the_others_need(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        run = show(record="false", push_data_type="1", sdk_type=2, room_id="10086")
        before = datetime.now(UTC)
        result = run.execute("reserve")
        assert sent(timav_emulator) == []
        assert result.pop("lease") == run.lease.to_json()
        assert timedelta(minutes=10) <= datetime.fromisoformat(result.pop("end")) - before < timedelta(minutes=11)
        assert result.pop("file_name").startswith("10086_")
        assert result == {
            "timav_conn_id": "timav_default",
            "room_id": 10086,
            "user_id": "host_1",
            "sdk_type": "iot_camera",
            "push_data_type": "screen",
            "record": False,
        }
        assert run.ledger.lease() == run.lease

    @pytest.mark.parametrize(
        ("arguments", "field"),
        [
            ({"room_id": ""}, "room_id"),
            ({"room_id": 2**32}, "room_id"),
            ({"user_id": ""}, "user_id"),
            ({"duration": "{{ x }}"}, "duration"),
            ({"duration": "-1"}, "duration"),
            ({"duration": "1700000000000"}, "duration"),
            ({"duration": 0}, "duration"),
            ({"duration": ""}, "duration"),
            ({"ends_at": "2099-01-01T00:00:00Z"}, "duration"),
            ({"duration": "None", "ends_at": "2099-01-01T00:00:00"}, "ends_at"),
            ({"duration": "", "ends_at": "tomorrow"}, "ends_at"),
            ({"duration": "", "ends_at": "9999-12-31T23:59:59Z"}, "ends_at"),
            ({"max_duration": "PT0S"}, "max_duration"),
            ({"max_duration": "long"}, "max_duration"),
            ({"live_code": "dash"}, "live_code"),
            ({"rate_types": "sd"}, "rate_types"),
            ({"sdk_type": "browser"}, "sdk_type"),
            ({"push_data_type": "microphone"}, "push_data_type"),
            ({"push_options": {"watermark_flag": "maybe"}}, "watermark_flag"),
            ({"push_options": {"watermark_id": 1}}, "watermark_id"),
            ({"record": "perhaps"}, "record"),
            ({"record_options": {"transcode": "maybe"}}, "transcode"),
            ({"record_options": {"class_id": "seven"}}, "class_id"),
            ({"require_file_ids": "perhaps"}, "require_file_ids"),
            ({"wait_for_user": "soon"}, "wait_for_user"),
            ({"if_already_running": "retry"}, "if_already_running"),
            ({"until": "noon"}, "until"),
            ({"until": "{{ x }}"}, "until"),
            ({"grace": "-5"}, "grace"),
            ({"on_stall": "panic"}, "on_stall"),
            ({"skip_if_late": "never"}, "skip_if_late"),
        ],
    )
    def test_refusal_names_its_field_and_leaves_no_trace(
        self,
        arguments: dict[str, Any],
        field: str,
        show: Callable[..., Run],
        supervisor: Supervisor,
        timav_emulator: Emulator,
    ) -> None:
        run = show().renders(**arguments)
        with pytest.raises(ConfigurationError, match=field) as refused:
            run.execute("reserve")
        assert refused.value.field == field
        store = run["reserve"].store
        assert store is not None
        assert (supervisor.variables, set(store.values), sent(timav_emulator)) == ({}, {"timav:arrived"}, [])

    @pytest.mark.parametrize("live_code", ["rtmp", 5, "5"])
    def test_end_of_an_rtmp_stream_needs_the_extra(
        self, live_code: Any, show: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        uninstall(monkeypatch)
        run = show().renders(live_code=live_code, until="stream_ended")
        with pytest.raises(ConfigurationError, match=r"until: .* 'airflow-provider-timav\[rtmp\]'") as refused:
            run.execute("reserve")
        assert refused.value.field == "until"

    @pytest.mark.parametrize("live_code", ["rtmp", 5])
    def test_end_of_an_rtmp_stream_is_seen_with_it(
        self, live_code: Any, show: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        install(monkeypatch)
        run = show(live_code=live_code, until="stream_ended")
        run.start()
        assert run.on_air().until == "stream_ended"

    @pytest.mark.parametrize("blank", ["", "None"])
    def test_field_that_was_left_empty_has_its_default(self, blank: str, show: Callable[..., Run]) -> None:
        names = ("max_duration", "wait_for_user", "if_already_running", "until", "grace", "on_stall", "skip_if_late")
        more = ("live_code", "rate_types", "channel_name", "player_password", "sdk_type", "push_data_type", "ends_at")
        run = show().renders(**dict.fromkeys((*names, *more, "record", "file_name", "require_file_ids"), blank))
        run.start()
        trigger = run.on_air()
        assert (trigger.until, trigger.grace, trigger.on_stall) == ("deadline", 60.0, "ignore")
        assert run["start_record"].xcoms["outcome"] == "started"

    def test_bad_connection_is_refused_now_and_not_at_the_end(
        self, show: Callable[..., Run], supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_TIMAV_DEFAULT", '{"conn_type": "timav"}')
        with pytest.raises(ConfigurationError):
            show().execute("reserve")
        assert supervisor.variables == {}

    def test_max_duration_caps_both(self, show: Callable[..., Run]) -> None:
        forever: list[dict[str, Any]] = [{"duration": "P9D"}, {"duration": None, "ends_at": "2099-01-01T00:00:00Z"}]
        for number, times in enumerate(forever):
            run = show(f"run_{number}", **times, max_duration="PT1H", push_data_type=number)
            run.execute("reserve")
            assert timedelta(minutes=59) < run.lease.end - datetime.now(UTC) <= timedelta(hours=1)

    @pytest.mark.parametrize(("duration", "warned"), [("PT8H", True), ("PT6H", False)])
    def test_what_max_duration_cuts_off_is_told(
        self, duration: str, warned: bool, show: Callable[..., Run], capsys: pytest.CaptureFixture[str]
    ) -> None:
        show(duration=duration).execute("reserve")
        told = capsys.readouterr().out
        assert ("max_duration (6:00:00) ends the broadcast at" in told) is warned
        assert (", 2:00:00 sooner than wanted: raise max_duration" in told) is warned

    def test_end_is_a_point_in_time_whatever_the_zone(self, show: Callable[..., Run]) -> None:
        from zoneinfo import ZoneInfo

        ends_at = (datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0)
        run = show(duration=None, ends_at=ends_at.astimezone(ZoneInfo("Australia/Lord_Howe")).isoformat())
        run.execute("reserve")
        assert run.lease.end == ends_at

    def test_player_password_is_handed_to_nobody(
        self, show: Callable[..., Run], supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = show(player_password="0pen*sesame")
        run.start()
        trigger = run.on_air()
        run.execute("stop_record", "stop_push", "result")
        shown = [task.xcoms for task in run.tasks.values()], [task.store for task in run.tasks.values()]
        assert (
            "0pen*sesame"
            not in f"{shown} {supervisor.variables} {trigger!r} {trigger.serialize()} {capsys.readouterr()}"
        )

    def test_rendered_fields_hide_it(self, show: Callable[..., Run]) -> None:
        from airflow.sdk._shared.secrets_masker import redact

        operator = show(player_password="0pen*sesame", push_options={"channel_describe": "news"})["reserve"].operator
        fields = {name: redact(getattr(operator, name), name) for name in operator.template_fields}
        assert "0pen*sesame" not in str(fields)

    def test_forgetful_store_is_said(
        self, show: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS", "True")
        show().execute("reserve")
        assert "clear_on_success" in capsys.readouterr().out


class TestLate:
    def test_run_that_comes_too_late_starts_nothing(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        with pytest.raises(AirflowSkipException, match="due"):
            show(run_after=minutes_ago(11)).execute("reserve")
        assert (supervisor.variables, sent(timav_emulator)) == ({}, [])

    @pytest.mark.parametrize(("late", "minutes"), [(None, 9999), ("PT1H", 30), (660, 10.5)])
    def test_how_late_is_too_late_can_be_said(self, late: Any, minutes: float, show: Callable[..., Run]) -> None:
        run = show(run_after=minutes_ago(minutes), skip_if_late=late)
        assert run.execute("reserve")["room_id"] == 10086

    def test_end_that_has_passed_starts_nothing(self, show: Callable[..., Run], supervisor: Supervisor) -> None:
        with pytest.raises(AirflowSkipException, match="end has passed"):
            show(duration=None, ends_at=minutes_ago(1)).execute("reserve")
        assert supervisor.variables == {}

    def test_who_has_a_reservation_is_not_late(self, show: Callable[..., Run]) -> None:
        run = show(run_after=minutes_ago(0))
        run.execute("reserve")
        run["reserve"].run_after = minutes_ago(60)
        assert run.execute("reserve")["lease"] == run.lease.to_json()

    def test_who_waits_for_the_room_is_not_late(self, show: Callable[..., Run]) -> None:
        """It was there in time; it fails with the name of who holds the room, if at all."""
        show("first").execute("reserve")
        run = show("second", run_after=minutes_ago(20), wait_for_user="PT1H")
        run["reserve"].first_reschedule = minutes_ago(19)
        with pytest.raises(AirflowRescheduleException):
            run.execute("reserve")


class TestRoomOfAnother:
    def test_live_lease_is_waited_for(self, show: Callable[..., Run], timav_emulator: Emulator) -> None:
        first = show("first")
        first.start()
        before = sent(timav_emulator)
        second = show("second", wait_for_user=300)
        with pytest.raises(AirflowRescheduleException):
            second.execute("reserve")
        assert second.supervisor.variables
        assert first.ledger.lease() == first.lease
        assert sent(timav_emulator) == before

    def test_after_the_wait_it_fails_with_the_name_of_the_run(self, show: Callable[..., Run]) -> None:
        show("first").execute("reserve")
        second = show("second", wait_for_user=300)
        second["reserve"].first_reschedule = minutes_ago(5)
        with pytest.raises(AlreadyRunning, match=r"broadcast of run first of DAG show.*nothing was sent") as failed:
            second.execute("reserve")
        assert not failed.value.retryable

    def test_two_broadcasts_of_one_run_are_two(self, show: Callable[..., Run]) -> None:
        show(group_id="morning").execute("reserve")
        with pytest.raises(AlreadyRunning, match="morning of run"):
            show(group_id="evening").execute("reserve")

    def test_two_map_indexes_are_two(self, show: Callable[..., Run]) -> None:
        show(map_index=0).execute("reserve")
        with pytest.raises(AlreadyRunning, match=r"broadcast \[0\] of run"):
            show(map_index=1).execute("reserve")

    @pytest.mark.parametrize("other", [{"push_data_type": "screen"}, {"user_id": "host_2"}, {"room_id": 10087}])
    def test_other_places_are_free(self, other: dict[str, Any], show: Callable[..., Run]) -> None:
        show("first").execute("reserve")
        assert show("second", **other).execute("reserve")["lease"]

    def test_room_is_free_once_the_first_is_stopped(self, show: Callable[..., Run]) -> None:
        first = show("first")
        first.start()
        first.execute("stop_push", "stop_record")
        assert show("second").execute("reserve")["lease"]

    def test_extension_that_only_control_knows_of_is_honoured(self, show: Callable[..., Run]) -> None:
        first = show("first")
        first.execute("reserve")
        first.end_at(minutes_ago(5))
        first["on_air"].xcoms["control"] = {"end": (datetime.now(UTC) + ZONE).isoformat()}
        with pytest.raises(AlreadyRunning, match="run first"):
            show("second").execute("reserve")

    def test_lease_is_left_to_its_holder_for_a_moment_after_its_end(self, show: Callable[..., Run]) -> None:
        first = show("first")
        first.execute("reserve")
        first.end_at(minutes_ago(0.25))
        with pytest.raises(AlreadyRunning):
            show("second").execute("reserve")

    def test_lease_that_is_over_is_taken_after_its_stop(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        first = show("first")
        first.start()
        first.end_at(minutes_ago(5))
        second = show("second")
        second.execute("reserve")
        assert sent(timav_emulator)[2:] == ["stop_record", "stop_push"]
        assert second.ledger.lease() == second.lease
        assert not timav_emulator.pushes

    def test_file_ids_of_the_stop_reach_the_run_that_they_belong_to(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """Also when the next broadcast records already."""
        first = show("first")
        first.start()
        first.end_at(minutes_ago(5))
        second = show("second")
        second.start()
        result = first.execute("stop_record")
        assert result["file_ids"] == timav_emulator.file_ids(first["start_record"].xcoms["file_name"])
        assert (result["outcome"], result["file_ids_status"]) == ("already_stopped", "recovered")
        assert first.execute("stop_push") == {"outcome": "already_stopped"}
        assert (len(timav_emulator.pushes), len(timav_emulator.recordings)) == (1, 1)
        assert second.execute("stop_record")["file_ids_status"] == "complete"
        assert second.execute("stop_push") == {"outcome": "stopped"}
        assert second.supervisor.variables == {}

    def test_file_ids_of_the_stop_stand_with_the_run_whose_tasks_are_gone(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """As where a deployment renames the group: the ledger keeps them for a day, and the run for as long as Airflow does."""
        first = show("first")
        first.start()
        for task in first.tasks.values():
            task.state = "removed"
        show("first", group_id="renamed").execute("reserve")
        assert first["on_air"].xcoms["stopped"]["file_ids"] == timav_emulator.file_ids(
            first["start_record"].xcoms["file_name"]
        )

    def test_file_ids_of_the_stop_are_logged(
        self, show: Callable[..., Run], timav_emulator: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        first = show("first")
        first.start()
        first.end_at(minutes_ago(5))
        with caplog.at_level("INFO"):
            show("second").execute("reserve")
        (file_id,) = timav_emulator.file_ids(first["start_record"].xcoms["file_name"])
        assert file_id in caplog.text

    def test_nothing_is_taken_over_where_the_stop_fails(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        first = show("first")
        first.start()
        first.end_at(minutes_ago(5))
        timav_emulator.fail_next(9, "stop_push", status=503)
        with pytest.raises(TimAVError):
            show("second").execute("reserve")
        held = first.ledger.lease()
        assert held is not None
        assert held.owner.run_id == "first"
        assert first.claim("push") is not None
        assert not timav_emulator.recordings

    def test_lease_that_cannot_be_read_is_not_overwritten(
        self, show: Callable[..., Run], supervisor: Supervisor
    ) -> None:
        first = show("first")
        first.execute("reserve")
        supervisor.failing = {"GetVariable"}
        with pytest.raises(LookupError):
            show("second").execute("reserve")
        supervisor.failing = set()
        assert first.ledger.lease() == first.lease

    def test_lease_that_makes_no_sense_is_overwritten(self, show: Callable[..., Run], supervisor: Supervisor) -> None:
        first = show("first")
        first.execute("reserve")
        supervisor.variables[first.ledger.variable] = "garbage"
        second = show("second")
        second.execute("reserve")
        assert second.ledger.lease() == second.lease


class TestReservedOnce:
    def test_retry_keeps_end_and_generation(self, show: Callable[..., Run]) -> None:
        run = show()
        first = run.execute("reserve")
        assert run.execute("reserve") == first

    def test_clear_keeps_them_too(self, show: Callable[..., Run]) -> None:
        run = show()
        run.start()
        lease = run.lease
        run.clear()
        run.execute("reserve")
        assert run.lease == lease

    def test_ledger_remembers_where_the_store_forgets(self, show: Callable[..., Run]) -> None:
        run = show()
        run.start()
        lease, run["reserve"].store = run.lease, None
        run.clear()
        run.execute("reserve")
        assert run.lease == lease

    def test_lease_that_somebody_has_deleted_is_written_again(
        self, show: Callable[..., Run], supervisor: Supervisor
    ) -> None:
        run = show()
        run.execute("reserve")
        supervisor.variables.clear()
        run.execute("reserve")
        assert run.ledger.lease() == run.lease

    def test_moved_end_stays_moved(self, show: Callable[..., Run]) -> None:
        run = show()
        run.execute("reserve")
        later = run.lease.end + timedelta(hours=1)
        run.ledger.observe(Watch(run.lease.generation, later))
        assert run.execute("reserve")["end"] == later.isoformat()

    def test_what_was_reserved_counts_and_not_what_a_template_renders_to_now(self, show: Callable[..., Run]) -> None:
        run = show()
        run.execute("reserve")
        run.renders(room_id=7)
        assert run.execute("reserve")["room_id"] == 10086

    def test_end_that_has_passed_is_cleared_up_after(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run = show()
        run.start()
        run.end_at(minutes_ago(1))
        with pytest.raises(AirflowSkipException, match="a new run is a new broadcast"):
            run.execute("reserve")
        assert (timav_emulator.pushes, timav_emulator.recordings) == ((), ())
        assert supervisor.entries() == {"push", "record"}

    def test_clearing_up_that_fails_fails(self, show: Callable[..., Run], timav_emulator: Emulator) -> None:
        run = show()
        run.start()
        run.end_at(minutes_ago(1))
        timav_emulator.fail_next(9, "stop_push", code=20004)
        ledger, lease = run.ledger, run.lease
        with pytest.raises(TimAVError):
            run.execute("reserve")
        assert ledger.lease() == lease
        assert ledger.claim("push", lease.generation) is not None

    def test_clearing_up_leaves_the_next_show_alone(self, show: Callable[..., Run], timav_emulator: Emulator) -> None:
        first = show("first")
        first.start()
        first.end_at(minutes_ago(5))
        second = show("second")
        second.start()
        with pytest.raises(AirflowSkipException):
            first.execute("reserve")
        assert len(timav_emulator.pushes) == 1
        assert second.ledger.lease() == second.lease

    def test_room_that_was_lost_meanwhile_is_not_taken_back(self, show: Callable[..., Run]) -> None:
        first = show("first")
        first.execute("reserve")
        second = show("second")
        first.supervisor.variables.clear()
        second.execute("reserve")
        with pytest.raises(AlreadyRunning, match="run second"):
            first.execute("reserve")
        assert second.ledger.lease() == second.lease


class TestStarts:
    def test_claims_stand_in_the_ledger(self, show: Callable[..., Run]) -> None:
        run = show()
        run.start()
        claims = [run.claim(kind) for kind in KINDS]
        assert [claim.state for claim in claims if claim] == ["ours", "ours"]
        assert claims[0] is not None
        assert claims[0].start_id == run["start_push"].xcoms["start_id"]

    def test_recording_that_is_not_wanted_succeeds_without_sending(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        run = show(record=False)
        run.start()
        assert run["start_record"].xcoms["outcome"] == "not_requested"
        assert sent(timav_emulator) == ["start_push"]
        assert run.claim("record") is None

    def test_file_name_is_the_same_over_a_clear(self, show: Callable[..., Run]) -> None:
        run = show()
        run.start()
        name = run["start_record"].xcoms["file_name"]
        run.clear()
        run.start()
        assert run["start_record"].xcoms["file_name"] == name

    def test_options_reach_the_service(self, show: Callable[..., Run], timav_emulator: Emulator) -> None:
        run = show(
            push_options={"channel_describe": "All of it"},
            record_options={"tags": '["news"]', "class_id": "7"},
            channel_name="News",
            live_code="hls+rtmp",
            file_name="10086_news",
        )
        run.start()
        push, record = (entry.fields for entry in timav_emulator.journal)
        assert (push["str_channel_name"], push["str_channel_describe"], push["uint32_live_code"]) == (
            "News",
            "All of it",
            6,
        )
        assert record["string_file_name"] == "10086_news"

    @pytest.mark.parametrize("task", ["start_push", "start_record"])
    def test_nothing_is_started_after_the_end(
        self, task: str, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        run = show()
        run.execute("reserve")
        run.end_at(minutes_ago(1))
        with pytest.raises(AirflowFailException, match="end has passed"):
            run.execute(task)
        assert sent(timav_emulator) == []

    def test_nothing_is_started_in_a_room_that_is_somebody_elses_by_now(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        first = show("first")
        first.execute("reserve")
        first.supervisor.variables.clear()
        show("second").execute("reserve")
        with pytest.raises(AlreadyRunning, match="run second"):
            first.execute("start_push")
        assert sent(timav_emulator) == []

    def test_nothing_is_started_once_the_broadcast_was_ended(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """By a notifier, while the task waited for its host: no reaper would find what is started now."""
        run = show()
        run.execute("reserve")
        run.ledger.close(run.lease.generation)
        with pytest.raises(AirflowFailException, match="given up"):
            run.execute("start_push")
        assert sent(timav_emulator) == []

    @pytest.mark.parametrize("kind", KINDS)
    def test_start_that_is_under_way_while_the_broadcast_is_ended_does_not_stay(
        self, kind: Kind, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """The stop of a notifier comes first, the start is carried out after it."""
        run = show()
        run.execute("reserve")
        ledger, generation = run.ledger, run.lease.generation

        def end_it(entry: Any) -> None:
            ledger.tell(kind, Claim(generation, "stopped"))
            ledger.close(generation)

        timav_emulator._on_request = end_it
        with pytest.raises(AirflowFailException, match="ended while"):
            run.execute(f"start_{kind}")
        assert sent(timav_emulator) == [f"start_{kind}", f"stop_{kind}"]
        assert (timav_emulator.pushes, timav_emulator.recordings) == ((), ())

    @pytest.mark.parametrize("kind", KINDS)
    def test_start_that_is_under_way_while_another_broadcast_takes_the_room_over_does_not_stay(
        self, kind: Kind, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        run, other = show(), show("manual__2")
        run.execute("reserve")
        ledger, held = (
            run.ledger,
            replace(run.lease, generation="other", owner=replace(run.lease.owner, run_id=other.run_id)),
        )
        timav_emulator._on_request = lambda entry: ledger.hold(held)
        with pytest.raises(AirflowFailException, match="ended while"):
            run.execute(f"start_{kind}")
        assert sent(timav_emulator) == [f"start_{kind}", f"stop_{kind}"]
        assert ledger.lease() == held

    @pytest.mark.parametrize("kind", KINDS)
    def test_what_another_broadcast_has_on_air_by_now_is_not_taken_for_our_own(
        self, kind: Kind, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """Cleared near its end: whoever took the room over has stopped what was ours, and runs its own there."""
        run, other = show(), show("manual__2")
        run.execute("reserve", f"start_{kind}")
        ledger, held = (
            run.ledger,
            replace(run.lease, generation="other", owner=replace(run.lease.owner, run_id=other.run_id)),
        )
        theirs = Claim("other", "ours")

        def take_over(entry: Any) -> None:
            ledger.hold(held)
            ledger.tell(kind, theirs)

        timav_emulator._on_request = take_over
        if kind == "record":  # as after an answer that was lost
            run["start_record"].store = Store()
        before = sent(timav_emulator)
        assert run.execute(f"start_{kind}")["outcome"] == "adopted"
        assert run.execute(f"stop_{kind}")["outcome"] == "already_stopped"
        assert sent(timav_emulator) == [*before, f"start_{kind}"]
        assert ledger.claim(kind, "other") == theirs
        assert len(timav_emulator.pushes) + len(timav_emulator.recordings) == 1

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("answered", [True, False])
    def test_ledger_knows_whose_it_is_where_the_store_forgets(
        self, kind: Kind, answered: bool, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """Airflow may be told to clear the state of tasks that succeeded; then the run is cleared on air."""
        run = show()
        run.execute("reserve")
        if answered:
            run.execute(f"start_{kind}")
        else:
            timav_emulator.fail_next(3, f"start_{kind}", drop="after")
            with pytest.raises(TimAVError):
                run.execute(f"start_{kind}")
        run[f"start_{kind}"].store = Store()
        run.execute(f"start_{kind}")
        claim = run.claim(kind)
        assert claim is not None
        assert claim.on_air
        run.execute(f"stop_{kind}")
        assert (timav_emulator.pushes, timav_emulator.recordings) == ((), ())

    @pytest.mark.parametrize("kind", KINDS)
    def test_nothing_is_started_once_a_person_has_ended_the_show(
        self, kind: Kind, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """Whoever marks on_air successful while a start is still queued: the stops run, and nobody comes after them."""
        run = show()
        run.execute("reserve")
        run["on_air"].state = "success"
        with pytest.raises(AirflowFailException, match="ended before"):
            run.execute(f"start_{kind}")
        assert sent(timav_emulator) == []

    @pytest.mark.parametrize("kind", KINDS)
    def test_start_that_is_under_way_while_a_person_ends_the_show_does_not_stay(
        self, kind: Kind, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """The stop task may have been told "already stopped" before the start was carried out."""
        run = show()
        run.execute("reserve")
        timav_emulator._on_request = lambda entry: setattr(run["on_air"], "state", "success")
        with pytest.raises(AirflowFailException, match="ended while"):
            run.execute(f"start_{kind}")
        assert sent(timav_emulator) == [f"start_{kind}", f"stop_{kind}"]
        assert (timav_emulator.pushes, timav_emulator.recordings) == ((), ())
        claim = run.claim(kind)
        assert claim is not None
        assert claim.state == "stopped"
        if kind == "record":
            result = run.execute("stop_record")
            assert (result["file_ids_status"], result["file_ids"]) == ("recovered", list(claim.file_ids))
            assert result["file_ids"]

    def test_starts_and_stops_go_where_it_was_reserved(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """A template may render to another connection at another time, and the trigger and the reaper know the first one."""
        run = show()
        run.execute("reserve")
        run.renders(timav_conn_id="another_application")
        run.execute("reserve", "start_push", "start_record")
        assert run.on_air().lease["timav_conn_id"] == "timav_default"
        run.execute("stop_record", "stop_push")
        assert sent(timav_emulator) == ["start_push", "start_record", "stop_record", "stop_push"]
        assert run.supervisor.variables == {}

    def test_doubtful_answer_while_the_host_is_away_says_nothing_about_the_next_start(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """The code means "runs already" as well as "nobody is there". What is started later is ours, its answer lost or not."""
        run = show(wait_for_user="PT10M")
        run.execute("reserve")
        timav_emulator.fail_next(operation="start_record", code=30000415)
        with pytest.raises(AirflowRescheduleException):
            run.execute("start_record")
        assert run["start_record"].xcoms["claim"] == "refused"
        timav_emulator.fail_next(3, "start_record", drop="after")
        with pytest.raises(AmbiguousOutcome):
            run.execute("start_record")
        run.execute("start_record")
        result = run.execute("stop_record")
        assert (result["outcome"], result["file_ids_status"]) == ("stopped", "complete")
        assert timav_emulator.recordings == ()

    def test_start_stands_where_that_cannot_be_asked(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run = show()
        run.execute("reserve")

        def fail_from_now_on(message: Any) -> None:
            claimed = type(message).__name__ == "PutVariable" and '"ours"' in message.value
            supervisor.failing |= {"GetVariable"} if claimed else set()

        supervisor.on_message = fail_from_now_on
        assert run.execute("start_push")["outcome"] == "started"
        assert len(timav_emulator.pushes) == 1

    def test_nothing_is_started_where_the_claim_cannot_be_noted(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run = show()
        run.execute("reserve")
        supervisor.failing = {"PutVariable"}
        with pytest.raises(Exception, match="API_SERVER_ERROR"):
            run.execute("start_push")
        assert sent(timav_emulator) == []

    def test_wait_for_the_host_ends_with_the_show(self, show: Callable[..., Run], timav_emulator: Emulator) -> None:
        timav_emulator.leave(10086, "host_1")
        run = show(wait_for_user="PT1H")
        run.execute("reserve")
        with pytest.raises(AirflowRescheduleException):
            run.execute("start_push")
        run.end_at(datetime.now(UTC) + timedelta(seconds=5))
        with pytest.raises(RoomNotReady):
            run.execute("start_push")

    def test_lost_answer_is_claimed_and_stopped(self, show: Callable[..., Run], timav_emulator: Emulator) -> None:
        run = show()
        run.execute("reserve")
        timav_emulator.fail_next(3, "start_push", drop="after")
        with pytest.raises(AmbiguousOutcome):
            run.execute("start_push")
        run["start_push"].xcoms.clear()
        claim = run.claim("push")
        assert claim is not None
        assert (claim.state, claim.on_air) == ("sent", True)
        assert run.execute("stop_push") == {"outcome": "stopped"}

    def test_stream_of_an_earlier_try_began_when_that_did(self, show: Callable[..., Run]) -> None:
        run = show()
        run.execute("reserve", "start_push")
        began = run.claim("push")
        run.execute("start_push")
        assert run["start_push"].xcoms["outcome"] == "recovered"
        assert run.claim("push") == began


@pytest.fixture
def foreign(timav_emulator: Emulator) -> Emulator:
    """A push and a recording that somebody else has started."""
    with TimAVHook() as hook:
        hook.start_push(**HOST)
        hook.start_record(**HOST, file_name="theirs")
    timav_emulator.clear_journal()
    return timav_emulator


class TestForeign:
    def test_what_was_adopted_is_never_stopped(self, show: Callable[..., Run], foreign: Emulator) -> None:
        run = show()
        run.start()
        trigger = run.on_air()
        assert (trigger.stops, trigger.hls_url) == ([], None)
        run["on_air"].resume({"status": "deadline", "ended_at": "2026-11-24T21:00:00+00:00", "verdict": "UNKNOWN"})
        assert run.execute("stop_push") == {"outcome": "not_ours"}
        assert run.execute("stop_record") == {"outcome": "not_ours", "file_ids": [], "file_ids_status": "none"}
        result = run.execute("result")
        assert (result["outcome"], result["file_ids_status"]) == ("deadline", "none")
        assert (len(foreign.pushes), len(foreign.recordings)) == (1, 1)
        assert run.supervisor.variables == {}

    def test_not_even_after_a_clear(self, show: Callable[..., Run], foreign: Emulator) -> None:
        run = show()
        for _ in range(2):
            run.start()
            run.clear("start_push", "start_record")
        assert run.execute("stop_push", "stop_push") is not None
        assert len(foreign.recordings) == 1

    def test_not_where_ours_was_stopped_and_the_run_is_cleared(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """A result that is still noted is of a stream that is gone: what runs now was started by somebody else since."""
        run = show()
        run.start()
        run.execute("stop_push", "stop_record")
        with TimAVHook() as hook:
            hook.start_push(**HOST)
        run.clear()
        run.execute("reserve")
        assert run.execute("start_push") == {"outcome": "adopted"}
        assert run.execute("stop_push") == {"outcome": "not_ours"}
        assert len(timav_emulator.pushes) == 1

    def test_fail_fails_and_leaves_it_alone(self, show: Callable[..., Run], foreign: Emulator) -> None:
        run = show(if_already_running="fail")
        run.execute("reserve")
        with pytest.raises(AlreadyRunning):
            run.execute("start_push")
        assert run.execute("stop_push") == {"outcome": "not_ours"}
        assert len(foreign.pushes) == 1


class TestStops:
    def test_what_is_ours_is_stopped_and_the_lease_given_up(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run = show()
        run.start()
        name = run["start_record"].xcoms["file_name"]
        assert run.execute("stop_push") == {"outcome": "stopped"}
        assert supervisor.entries() == {"", "record"}
        result = run.execute("stop_record")
        assert result == {
            "outcome": "stopped",
            "file_ids": timav_emulator.file_ids(name),
            "file_ids_status": "complete",
        }
        assert supervisor.variables == {}

    @pytest.mark.parametrize("kind", KINDS)
    def test_start_that_goes_on_meanwhile_is_stopped_by_another_try(
        self, kind: Kind, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """Its request was slower than the stop's. The claim that it notes is not given up by a stop that came before it."""
        run = show()
        run.execute("reserve")
        ledger, generation = run.ledger, run.lease.generation
        ledger.tell(kind, Claim(generation, "sent", "start"))

        timav_emulator._on_request = lambda entry: ledger.tell(kind, Claim(generation, "ours", "start"))
        with pytest.raises(AmbiguousOutcome, match="another try stops it"):
            run.execute(f"stop_{kind}")
        timav_emulator._on_request = None
        with TimAVHook() as hook:
            hook.start_push(**HOST) if kind == "push" else hook.start_record(**HOST, file_name="slow")
        assert ledger.lease() is not None
        assert run.execute(f"stop_{kind}")["outcome"] == "stopped"
        assert (timav_emulator.pushes, timav_emulator.recordings) == ((), ())
        assert run.supervisor.variables == {}

    @pytest.mark.parametrize("state", [None, "upstream_failed", "skipped", "removed"])
    def test_what_never_started_is_not_stopped(
        self, state: str | None, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run = show()
        run.execute("reserve")
        run["start_push"].state = run["start_record"].state = state
        assert run.execute("stop_push") == {"outcome": "never_started"}
        assert run.execute("stop_record")["outcome"] == "never_started"
        assert (sent(timav_emulator), supervisor.variables) == ([], {})

    def test_claim_that_makes_no_sense_is_none(self, show: Callable[..., Run], supervisor: Supervisor) -> None:
        run = show()
        run.start()
        supervisor.variables[f"{run.ledger.variable}-push"] = "garbage"
        assert run.execute("stop_push") == {"outcome": "stopped"}

    def test_ledger_that_cannot_be_read_stops_nobody_elses(
        self, show: Callable[..., Run], supervisor: Supervisor, foreign: Emulator
    ) -> None:
        run = show()
        run.start()
        supervisor.failing = {"GetVariable"}
        with pytest.raises(LookupError):
            run.execute("stop_push")
        assert len(foreign.pushes) == 1

    def test_what_is_stopped_already_is_not_stopped_twice(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        """By now, the room may be somebody else's who holds no lease."""
        run = show()
        run.start()
        generation = run.lease.generation
        run.ledger.tell("push", Claim(generation, "stopped"))
        run.ledger.tell("record", Claim(generation, "stopped", file_ids=("77",)))
        timav_emulator.clear_journal()
        assert run.execute("stop_push") == {"outcome": "already_stopped"}
        result = run.execute("stop_record")
        assert result == {"outcome": "already_stopped", "file_ids": ["77"], "file_ids_status": "recovered"}
        assert sent(timav_emulator) == []

    def test_next_shows_stream_is_left_alone(self, show: Callable[..., Run], timav_emulator: Emulator) -> None:
        first = show("first")
        first.start()
        first.end_at(minutes_ago(5))
        show("second").start()
        timav_emulator.clear_journal()
        assert first.execute("stop_push") == {"outcome": "already_stopped"}
        assert sent(timav_emulator) == []

    def test_ids_that_the_trigger_has_noted_are_found(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run = show()
        run.start()
        with TimAVHook() as hook:
            hook.stop_record(**HOST)
        run["on_air"].xcoms["stopped"] = {"file_ids": ["77"]}
        result = run.execute("stop_record")
        assert result == {"outcome": "already_stopped", "file_ids": ["77"], "file_ids_status": "recovered"}
        assert run.execute("stop_record")["file_ids"] == ["77"]

    def test_ids_that_nobody_has_noted_are_lost(self, show: Callable[..., Run]) -> None:
        run = show(require_file_ids=True)
        run.start()
        with TimAVHook() as hook:
            hook.stop_record(**HOST)
        with pytest.raises(RecordingLost, match=run["start_record"].xcoms["file_name"]):
            run.execute("stop_record")

    def test_stop_that_fails_keeps_claim_and_lease_for_the_reaper(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run = show()
        run.start()
        timav_emulator.fail_next(9, "stop_push", status=503)
        with pytest.raises(TimAVError):
            run.execute("stop_push")
        run.execute("stop_record")
        assert supervisor.entries() == {"", "push"}

    def test_stop_is_done_where_its_note_fails(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run = show()
        run.start()
        supervisor.failing = {"DeleteVariable"}
        assert run.execute("stop_push") == {"outcome": "stopped"}
        assert not timav_emulator.pushes


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

    def test_task_comes_back_where_no_trigger_has_ended_the_show(self, show: Callable[..., Run]) -> None:
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

    def test_where_the_ledger_was_deleted_the_starts_are_believed(
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

    def test_second_try_comes_soon_for_nobody_watches_till_then(self) -> None:
        from airflow.sdk import DAG

        assert OnAirOperator(task_id="on_air", lease=None).retry_delay == timedelta(seconds=15)
        with DAG("show", default_args={"retry_delay": timedelta(minutes=2)}):
            assert OnAirOperator(task_id="on_air", lease=None).retry_delay == timedelta(minutes=2)

    def test_raised_retries_are_said(self, show: Callable[..., Run], capsys: pytest.CaptureFixture[str]) -> None:
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
    def test_event_of_somebody_elses_trigger_is_an_error(self, event: Any, show: Callable[..., Run]) -> None:
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

    def test_callback_is_told_and_the_show_goes_on_to_the_same_end(
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

    def test_what_people_have_written_meanwhile_is_left(self, show: Callable[..., Run]) -> None:
        run = show(on_stall="notify", on_stall_callback=lambda context: None)
        run.start()
        run.on_air()
        run["on_air"].xcoms["control"] = {"stop": True}
        with pytest.raises(TaskDeferred):
            run["on_air"].resume(self.EVENT)
        assert run["on_air"].xcoms["control"] == {"stop": True}

    def test_callback_that_fails_does_not_end_the_show(
        self, show: Callable[..., Run], capsys: pytest.CaptureFixture[str]
    ) -> None:
        def broken(context: Any) -> None:
            raise KeyError("a bug of the author's")

        self.stalled(show(on_stall="notify", on_stall_callback=broken))
        assert "on_stall_callback failed" in capsys.readouterr().out

    def test_notify_that_only_a_template_has_asked_for_needs_no_callback(self, show: Callable[..., Run]) -> None:
        self.stalled(show(on_stall="ignore"))


class TestResult:
    def ended(self, run: Run, outcome: str = "deadline") -> dict[str, Any]:
        run.start()
        run.on_air()
        run["on_air"].resume({"status": outcome, "ended_at": "2026-11-24T21:00:00+00:00", "verdict": "LIVE"})
        run.execute("stop_push", "stop_record")
        result: dict[str, Any] = run.execute("result")
        return result

    def test_everything_that_is_known(self, show: Callable[..., Run], timav_emulator: Emulator) -> None:
        run = show(channel_name="Evening show")
        result = self.ended(run)
        name = run["start_record"].xcoms["file_name"]
        assert result == {
            "file_ids": timav_emulator.file_ids(name),
            "file_ids_status": "complete",
            "file_name": name,
            "outcome": "deadline",
            "started_at": run["on_air"].xcoms["started_at"],
            "ended_at": "2026-11-24T21:00:00+00:00",
            "room_id": 10086,
            "user_id": "host_1",
            "title": "Evening show",
        }

    def test_without_a_recording_there_is_no_file_name(self, show: Callable[..., Run]) -> None:
        result = self.ended(show(record=False), "stream_ended")
        assert (result["file_ids"], result["file_ids_status"]) == ([], "none")
        assert "file_name" not in result
        assert result["outcome"] == "stream_ended"

    def test_task_that_a_person_has_marked_was_stopped_by_a_person(self, show: Callable[..., Run]) -> None:
        run = show()
        run.start()
        run.on_air()
        run["on_air"].xcoms["stopped"] = {"file_ids": [], "ended_at": "2026-11-24T20:59:00+00:00"}
        run.execute("stop_push", "stop_record")
        result = run.execute("result")
        assert (result["outcome"], result["ended_at"]) == ("stopped", "2026-11-24T20:59:00+00:00")

    def test_without_any_note_it_has_ended_by_now(self, show: Callable[..., Run]) -> None:
        run = show()
        run.start()
        run.on_air()
        before = datetime.now(UTC)
        run.execute("stop_push", "stop_record")
        assert datetime.fromisoformat(run.execute("result")["ended_at"]) >= before

    @pytest.mark.parametrize(("stopped", "status"), [({"file_ids": ["77"]}, "recovered"), ({}, "lost"), (None, "lost")])
    def test_stop_that_a_person_has_marked_says_nothing_and_others_may(
        self, stopped: Any, status: str, show: Callable[..., Run]
    ) -> None:
        run = show()
        run.start()
        run.on_air()
        run["on_air"].xcoms["stopped"] = stopped
        result = run.execute("result")
        assert (result["file_ids"], result["file_ids_status"]) == (["77"] if status == "recovered" else [], status)

    def test_mapped_broadcast_has_its_own(self, show: Callable[..., Run], timav_emulator: Emulator) -> None:
        runs = [show(map_index=index, push_data_type=kind) for index, kind in enumerate(("camera", "screen"))]
        results = [self.ended(run) for run in runs]
        assert [len(result["file_ids"]) for result in results] == [1, 1]
        assert results[0]["file_ids"] != results[1]["file_ids"]

    def test_without_a_lease_it_is_no_broadcast(self) -> None:
        with pytest.raises(ConfigurationError, match="lease"):
            Task(BroadcastResultOperator(task_id="result", lease="None")).execute()


class TestReaper:
    @pytest.fixture
    def reaper(self) -> Task:
        return Task(ReapBroadcastsOperator(task_id="reap"))

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

    def test_a_connection_that_is_not_there_is_told(
        self, show: Callable[..., Run], timav_emulator: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.over(show())
        ids = ["studioo", "timav_default"]
        (report,) = Task(ReapBroadcastsOperator(task_id="reap", timav_conn_ids=ids)).execute()
        assert (report["push"], timav_emulator.pushes) == ("stopped", ())
        told = [record.getMessage() for record in caplog.records if "there is no connection" in record.getMessage()]
        assert told == ["timav_conn_ids: there is no connection 'studioo', and so no broadcast of it is looked at."]

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

    def test_show_that_was_told_to_stop_and_went_on_is_over_at_its_end(
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
        """Whoever marks a run failed ends all of its tasks at once; its trigger stops the broadcast a moment later."""
        run = show()
        run.start()
        for name in ("on_air", "stop_push", "stop_record"):
            run[name].state = "failed"

        def trigger_stops(seconds: float) -> None:
            for kind in KINDS:
                run.ledger.tell(kind, Claim(run.lease.generation, "stopped"))
            run.ledger.close(run.lease.generation)

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
                Ledger(key.variable).hold(lease)
                Ledger(key.variable).tell("push", Claim(f"g{number}", "ours"))
        assert len(reaper.execute()) == 70
        assert [push.room_id for push in timav_emulator.pushes] == list(range(1, 140, 2))


def test_reserve_needs_no_retry_for_a_service_that_is_down(
    show: Callable[..., Run], timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not call it."""
    with timav_emulator.unreachable():
        run = show()
        run.execute("reserve")
        with pytest.raises((TransportError, ServiceError)):
            run.execute("start_push")
    assert json.loads(run.supervisor.variables[run.ledger.variable])["room_id"] == SHOW["room_id"]
