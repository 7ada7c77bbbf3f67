"""`reserve`: what it checks, whom it waits for, what it takes over, and what it keeps over retries and clears."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSkipException,
)

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.leases import Watch
from airflow_provider_timav.videorelay.errors import (
    AlreadyRunning,
    CertificateError,
    ConfigurationError,
    CredentialError,
    TimAVError,
)
from harness.streams.pyav import install, uninstall
from harness.supervisor import SHOW, Run, Supervisor, minutes_ago, sent

pytestmark = pytest.mark.usefixtures("no_pauses")


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
            "starts_at": "",
        }
        assert run.ledger.lease() == run.lease

    @pytest.mark.parametrize(
        ("arguments", "field"),
        [
            ({"room_id": ""}, "room_id"),
            ({"duration": "{{ x }}"}, "duration"),
            ({"duration": "1700000000000"}, "duration"),
            ({"duration": "None", "ends_at": "2099-01-01T00:00:00"}, "ends_at"),
            ({"push_options": {"watermark_id": 1}}, "watermark_id"),
            ({"until": "{{ x }}"}, "until"),
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
    def test_warns_of_what_max_duration_cuts_off(
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

    def test_player_password_is_passed_on_nowhere(
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

    def test_warns_of_a_store_that_forgets(
        self, show: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS", "True")
        show().execute("reserve")
        assert "clear_on_success" in capsys.readouterr().out

    def test_it_does_not_call_the_service(self, show: Callable[..., Run], timav_emulator: Emulator) -> None:
        """A service that is down costs it no retry."""
        with timav_emulator.unreachable():
            run = show()
            run.execute("reserve")
        assert json.loads(run.supervisor.variables[run.ledger.variable])["room_id"] == SHOW["room_id"]


HOUR = timedelta(hours=1)


class TestLate:
    """A run that comes too late is skipped before anything is written or sent."""

    @pytest.mark.parametrize(
        ("due", "options"),
        [
            pytest.param(timedelta(minutes=10, seconds=1), {}, id="more than the ten minutes of the default"),
            pytest.param(timedelta(days=400), {}, id="a backfill"),
            pytest.param(timedelta(seconds=31), {"skip_if_late": 30}, id="seconds"),
            pytest.param(2 * HOUR, {"skip_if_late": "PT1H"}, id="ISO 8601"),
        ],
    )
    def test_a_run_that_is_late_is_skipped(
        self,
        due: timedelta,
        options: dict[str, Any],
        show: Callable[..., Run],
        supervisor: Supervisor,
        timav_emulator: Emulator,
    ) -> None:
        run_after = datetime.now(UTC) - due
        run = show(run_after=run_after, **options)
        with pytest.raises(AirflowSkipException, match=f"was due at {run_after.isoformat()}".replace("+", r"\+")):
            run.execute("reserve")
        assert (supervisor.variables, notes(run), sent(timav_emulator)) == ({}, {"timav:arrived"}, [])

    @pytest.mark.parametrize(
        ("due", "options"),
        [
            pytest.param(timedelta(minutes=9), {}, id="less than the default"),
            pytest.param(2 * HOUR, {"skip_if_late": "PT3H"}, id="less than it says"),
            pytest.param(timedelta(days=400), {"skip_if_late": None}, id="never too late"),
            pytest.param(-timedelta(seconds=3), {"skip_if_late": 0}, id="a scheduler whose clock is ahead"),
        ],
    )
    def test_a_run_that_is_not_too_late_lasts_from_now_on(
        self, due: timedelta, options: dict[str, Any], show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        run = show(run_after=datetime.now(UTC) - due, duration=3600, **options)
        before = datetime.now(UTC)
        end = datetime.fromisoformat(run.execute("reserve")["end"])
        assert before + HOUR <= end <= datetime.now(UTC) + HOUR
        assert sent(timav_emulator) == []

    def test_an_end_that_has_passed_is_skipped_however_late_a_run_may_be(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        run = show(run_after=minutes_ago(60), duration=None, ends_at=minutes_ago(1 / 60), skip_if_late=None)
        with pytest.raises(AirflowSkipException, match="the broadcast's end has passed"):
            run.execute("reserve")
        assert (supervisor.variables, notes(run), sent(timav_emulator)) == ({}, {"timav:arrived"}, [])

    def test_work_that_precedes_the_broadcast_is_no_lateness(self, show: Callable[..., Run]) -> None:
        run = self.prepared(show(run_after=minutes_ago(60)), began=minutes_ago(59))
        assert run.execute("reserve")["room_id"] == 10086

    def test_a_run_that_began_late_is_late_whatever_it_does_first(self, show: Callable[..., Run]) -> None:
        run = self.prepared(show(run_after=minutes_ago(120)), began=minutes_ago(60))
        with pytest.raises(AirflowSkipException):
            run.execute("reserve")

    def test_wait_for_a_worker_is_lateness(self, show: Callable[..., Run]) -> None:
        run = show(run_after=minutes_ago(60))
        run["reserve"].began = minutes_ago(60)
        with pytest.raises(AirflowSkipException):
            run.execute("reserve")

    def prepared(self, run: Run, began: datetime) -> Run:
        """Have another task precede the broadcast."""
        run["reserve"].operator.upstream_task_ids.add("prepare_slides")
        run["reserve"].began = began
        return run


class TestStartsAt:
    """A broadcast that begins at a given time: its run begins earlier."""

    @staticmethod
    def at(seconds: float) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=seconds)

    def test_lease_and_result_have_the_start_and_the_end_counts_from_it(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        start = self.at(300)
        run = show(starts_at=start.astimezone(ZoneInfo("Asia/Shanghai")).isoformat(), duration="PT1H")
        result = run.execute("reserve")
        assert datetime.fromisoformat(result["starts_at"]) == run.lease.start == start
        assert datetime.fromisoformat(result["end"]) == start + HOUR
        assert sent(timav_emulator) == ["stop_push"]  # of the check: in room 0
        assert timav_emulator.journal[0].room_id == 0

    def test_room_is_taken_at_the_preroll(self, show: Callable[..., Run], supervisor: Supervisor) -> None:
        start = self.at(3600)
        run = show(starts_at=start.isoformat(), preroll="PT5M")
        with pytest.raises(AirflowRescheduleException) as waits:
            run.execute("reserve")
        assert waits.value.reschedule_date == start - timedelta(minutes=5)
        assert supervisor.variables == {}

    def test_room_that_is_held_until_the_start_is_waited_for(self, show: Callable[..., Run]) -> None:
        """Two broadcasts in a row in one room: the first ends when the second begins."""
        show("first", duration=500).execute("reserve")
        run = show("second", starts_at=self.at(500).isoformat(), wait_for_user=30)
        run["reserve"].first_reschedule = minutes_ago(5)
        with pytest.raises(AirflowRescheduleException):
            run.execute("reserve")

    def test_retry_keeps_start_and_end(self, show: Callable[..., Run]) -> None:
        run = show(starts_at=self.at(60).isoformat())
        first = run.execute("reserve")
        run.renders(starts_at=self.at(120).isoformat())
        assert run.execute("reserve") == first

    def test_run_is_late_only_after_the_start(self, show: Callable[..., Run]) -> None:
        run = show(run_after=minutes_ago(60), starts_at=self.at(1).isoformat())
        assert run.execute("reserve")["room_id"] == 10086

    def test_run_that_came_early_and_was_held_up_is_late(self, show: Callable[..., Run]) -> None:
        """It has waited for the time to take the room, and the scheduler was down when that came."""
        run = show(starts_at=minutes_ago(11).isoformat(), duration="PT1H")
        assert run["reserve"].store is not None
        run["reserve"].store.set("timav:arrived", {"at": minutes_ago(60).isoformat()})
        with pytest.raises(AirflowSkipException, match="was due at"):
            run.execute("reserve")

    def test_run_that_comes_too_long_after_the_start_is_skipped(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        run = show(starts_at=minutes_ago(11).isoformat(), duration="PT1H")
        with pytest.raises(AirflowSkipException, match="was due at"):
            run.execute("reserve")
        assert sent(timav_emulator) == []

    def test_run_that_is_a_little_late_ends_when_it_would_have(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        start = minutes_ago(5)
        run = show(starts_at=start.isoformat(), duration="PT1H")
        assert datetime.fromisoformat(run.execute("reserve")["end"]) == start + HOUR
        assert sent(timav_emulator) == []  # the start is about to say as much as a check

    def test_credential_that_is_refused_is_known_before_the_start(
        self, show: Callable[..., Run], supervisor: Supervisor, timav_emulator: Emulator
    ) -> None:
        timav_emulator.fail_next(2, layer="gateway", code=70003)
        with pytest.raises(CredentialError):
            show(starts_at=self.at(300).isoformat()).execute("reserve")
        assert supervisor.variables == {}

    def test_certificate_must_last_until_the_end(
        self, show: Callable[..., Run], timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cert, key = timav_emulator.certificates.issue_client(not_after=self.at(1800))
        connection = json.dumps(timav_emulator.connection(client_cert=cert, private_key=key))
        monkeypatch.setenv("AIRFLOW_CONN_TIMAV_DEFAULT", connection)
        with pytest.raises(CertificateError, match="before the broadcast's end") as refused:
            show(starts_at=self.at(300).isoformat(), duration="PT1H").execute("reserve")
        assert refused.value.field == "client_cert"
        assert sent(timav_emulator) == []

    def test_service_that_cannot_be_asked_before_is_no_reason_not_to_start(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        timav_emulator.fail_next(9, status=503)
        assert show(starts_at=self.at(300).isoformat()).execute("reserve")["room_id"] == 10086

    @pytest.mark.parametrize(("ahead", "told"), [(0.0, False), (10.0, True), (-10.0, True)])
    def test_clock_that_is_wrong_is_told(
        self,
        ahead: float,
        told: bool,
        show: Callable[..., Run],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        now = time.time
        monkeypatch.setattr("airflow_provider_timav.videorelay.client.time.time", lambda: now() + ahead)
        show(starts_at=self.at(300).isoformat()).execute("reserve")
        assert ("This machine's clock is" in capsys.readouterr().out) is told

    def test_end_before_the_start_is_refused_when_the_dag_is_parsed(self, show: Callable[..., Run]) -> None:
        with pytest.raises(ConfigurationError, match="ends_at must be after starts_at") as refused:
            show(starts_at=self.at(600), duration=None, ends_at=self.at(500))
        assert refused.value.field == "ends_at"

    @pytest.mark.parametrize("value", ["2099-01-01T00:00:00", "tomorrow", 7])
    def test_start_without_a_zone_is_refused_when_the_dag_is_parsed(self, value: Any, show: Callable[..., Run]) -> None:
        with pytest.raises(ConfigurationError) as refused:
            show(starts_at=value)
        assert refused.value.field == "starts_at"


class TestLatenessIsJudgedOnce:
    """A run that came in time, and then needed retries or another connection, is not late, and never skipped."""

    def failed(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """Run a first try, for which the connection is not there yet."""
        with monkeypatch.context() as patched:
            patched.delenv("AIRFLOW_CONN_TIMAV_DEFAULT")
            with pytest.raises(Exception, match="timav_default"):
                run.execute("reserve")

    def hour_passes(self, run: Run) -> None:
        reserve = run["reserve"]
        assert reserve.store is not None
        reserve.run_after -= HOUR
        arrived = datetime.fromisoformat(reserve.store.get("timav:arrived")["at"])
        reserve.store.set("timav:arrived", {"at": (arrived - HOUR).isoformat()})

    def test_a_retry_of_one_that_came_in_time_goes_on_air(
        self, show: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = show(run_after=minutes_ago(9))
        self.failed(run, monkeypatch)
        self.hour_passes(run)
        assert run.execute("reserve")["room_id"] == 10086

    def test_one_that_came_late_stays_late(self, show: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
        run = show(run_after=minutes_ago(11))
        self.failed(run, monkeypatch)
        with pytest.raises(AirflowSkipException):
            run.execute("reserve")

    def test_one_whose_end_has_passed_over_its_tries_fails(
        self, show: Callable[..., Run], timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its viewers have waited for it: a run that says success would hide that."""
        run = show(run_after=minutes_ago(31), duration=None, ends_at=minutes_ago(5), skip_if_late=None)
        self.failed(run, monkeypatch)
        store = run["reserve"].store
        assert store is not None
        store.set("timav:arrived", {"at": minutes_ago(30).isoformat()})
        with pytest.raises(AirflowFailException, match="did not go on air"):
            run.execute("reserve")
        assert sent(timav_emulator) == []

    @pytest.mark.parametrize("noted", ["", 7, [], {}, {"at": "noon"}, {"at": "2026-11-24T10:00:00"}], ids=str)
    def test_a_note_that_cannot_be_read_is_ignored(self, noted: Any, show: Callable[..., Run]) -> None:
        run = show(run_after=minutes_ago(9))
        assert run["reserve"].store is not None
        run["reserve"].store.set("timav:arrived", noted)
        assert run.execute("reserve")["room_id"] == 10086


def notes(run: Run) -> set[str]:
    """Return the keys of what `reserve` has noted for its next try."""
    store = run["reserve"].store
    assert store is not None
    return set(store.values)


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
        first["on_air"].xcoms["control"] = {"end": minutes_ago(-1).isoformat()}
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

    def test_run_that_waits_for_the_room_is_not_late(self, show: Callable[..., Run]) -> None:
        """It was there in time; it fails with the name of who holds the room, if at all."""
        show("first").execute("reserve")
        run = show("second", run_after=minutes_ago(20), wait_for_user="PT1H")
        run["reserve"].first_reschedule = minutes_ago(19)
        with pytest.raises(AirflowRescheduleException):
            run.execute("reserve")


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

    def test_lease_that_was_deleted_is_written_again(self, show: Callable[..., Run], supervisor: Supervisor) -> None:
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

    def test_clearing_up_leaves_the_next_broadcast_alone(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
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

    def test_one_whose_end_is_ahead_goes_on_however_late(
        self, show: Callable[..., Run], timav_emulator: Emulator
    ) -> None:
        run = show(run_after=minutes_ago(5))
        first = run.execute("reserve")
        run["reserve"].run_after -= timedelta(hours=1)
        assert run.execute("reserve") == first
        assert sent(timav_emulator) == []
