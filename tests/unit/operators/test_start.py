"""Starts: what they hand on, and how they come to one stream whatever happened before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRescheduleException

from airflow_provider_timav.emulator import Emulator, Switches
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.links import live_page
from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator, StopRecordOperator
from airflow_provider_timav.videorelay import exchange
from airflow_provider_timav.videorelay.errors import (
    AlreadyRunning,
    AmbiguousOutcome,
    ConfigurationError,
    QuotaExceeded,
    RoomNotReady,
    TimAVError,
)
from harness.task import Task

HOST: dict[str, Any] = {"room_id": 10086, "user_id": "host_1"}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls repeat at once, with a budget of their own."""
    monkeypatch.setattr(exchange.Exchange, "_pause", _at_once(exchange.Exchange._pause))
    monkeypatch.setattr(exchange.BUDGET, "_left", 10)
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def _at_once(pause: Callable[..., float | None]) -> Callable[..., float | None]:
    return lambda self, error: None if pause(self, error) is None else 0.0


def push(**arguments: Any) -> Task:
    return Task(StartPushOperator(task_id="start_push", **{**HOST, "wait_for_user": 0, **arguments}))


def record(**arguments: Any) -> Task:
    return Task(StartRecordOperator(task_id="start_record", **{**HOST, "wait_for_user": 0, **arguments}))


def effective(emulator: Emulator, operation: str) -> int:
    return sum(entry.executed for entry in emulator.journal if entry.operation == operation)


class TestPush:
    def test_urls_are_handed_on(self, timav_emulator: Emulator) -> None:
        task = push(live_code="hls+rtmp", rate_types='["original", "sd"]')
        result = task.execute()
        (running,) = timav_emulator.pushes
        assert result["outcome"] == "started"
        assert {url["url"] for url in result["live_urls"]} == set(running.urls)
        assert result["channel_id"] == str(running.channel_id)
        assert result["hls_url"].startswith("http://")
        assert result["rtmp_url"].startswith("rtmp://")
        assert (task.xcoms["claim"], task.xcoms["_link_WatchLiveLink"]) == (
            "ours",
            live_page(result["hls_url"], broadcast=False),
        )

    def test_nothing_that_is_none_is_handed_on(self, timav_emulator: Emulator) -> None:
        result = push().execute()
        assert "rtmp_url" not in result
        assert None not in result.values()

    @pytest.mark.parametrize("empty", ["", "None", None])
    def test_empty_optional_argument_was_not_given(self, empty: Any, timav_emulator: Emulator) -> None:
        names = ("live_code", "sdk_type", "push_data_type", "tape_flag", "channel_name", "channel_describe")
        more = ("player_password", "watermark_flag", "watermark_id", "rate_types")
        push(**dict.fromkeys(names + more, empty)).execute()
        (entry,) = timav_emulator.journal
        assert set(entry.fields) == {
            "uint32_oper",
            "uint32_live_code",
            "uint32_sdk_type",
            "uint32_push_data_type",
            "uint32_tape_flag",
        }

    @pytest.mark.parametrize(
        ("arguments", "field"),
        [
            ({"room_id": ""}, "room_id"),
            ({"room_id": "None"}, "room_id"),
            ({"user_id": ""}, "user_id"),
            ({"live_code": "dash"}, "live_code"),
            ({"rate_types": "sd"}, "rate_types"),
            ({"tape_flag": "maybe"}, "tape_flag"),
            ({"watermark_id": 1}, "watermark_id"),
            ({"wait_for_user": "soon"}, "wait_for_user"),
            ({"if_already_running": "retry"}, "if_already_running"),
        ],
    )
    def test_wrong_argument_is_refused_before_anything_is_sent(
        self, arguments: dict[str, Any], field: str, timav_emulator: Emulator
    ) -> None:
        task = push()
        for name, value in arguments.items():  # as a template renders it: a constant is refused before there is a task
            setattr(task.operator, name, value)
        with pytest.raises(ConfigurationError, match=field) as refused:
            task.execute()
        assert refused.value.field == field
        assert (timav_emulator.journal, task.xcoms, task.store) == ((), {}, task.store)
        assert task.store is not None
        assert not task.store.values

    @pytest.mark.parametrize(
        "given",
        [
            {"channel_describe": "News", "watermark_flag": "true", "watermark_id": ""},
            '{"channel_describe": "News", "watermark_flag": 1}',
        ],
        ids=["dict", "JSON"],
    )
    def test_options_in_one_are_sent(self, given: Any, timav_emulator: Emulator) -> None:
        push(push_options=given).execute()
        (entry,) = timav_emulator.journal
        assert {"uint32_watermark_flag", "str_channel_describe"} <= set(entry.fields)
        assert "uint32_watermark_id" not in entry.fields

    @pytest.mark.parametrize(
        "given",
        [
            {"watermark_flag": True, "push_options": {"watermark_id": 3}},
            {"watermark_id": 3, "push_options": {"watermark_flag": True}},
            {"watermark_id": 3, "push_options": '{"watermark_flag": true, "watermark_id": 4}'},
        ],
        ids=str,
    )
    def test_what_is_given_by_itself_goes_together_with_them(
        self, given: dict[str, Any], timav_emulator: Emulator
    ) -> None:
        push(**given).execute()
        (entry,) = timav_emulator.journal
        assert {"uint32_watermark_flag", "uint32_watermark_id"} <= set(entry.fields)

    @pytest.mark.parametrize(
        "given",
        [
            {"watermark_id": 3, "push_options": "{{ params.push }}"},
            {"watermark_flag": "{{ params.flag }}", "push_options": {"watermark_id": 3}},
            {"watermark_id": "{{ params.id }}", "push_options": {"watermark_flag": False}},
        ],
        ids=str,
    )
    def test_what_a_template_may_yet_bring_is_left_to_the_task(self, given: dict[str, Any]) -> None:
        push(**given)

    def test_what_is_given_by_itself_counts_before_them(self, timav_emulator: Emulator) -> None:
        task = push(channel_describe="", watermark_flag=False, push_options={"watermark_flag": True})
        operator: Any = task.operator
        assert operator.checked_start({"ti": task}).arguments["watermark_flag"] is False

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"channel_name": "x"}, "push_options"),
            ("{'watermark_flag': True}", "push_options"),
            ("[" * 100_000, "push_options"),
            ({"watermark_id": 1}, "watermark_id"),
            ({"channel_describe": "a\0"}, "channel_describe"),
        ],
        ids=["unknown", "no JSON", "deep", "without its flag", "NUL"],
    )
    def test_wrong_options_are_refused_before_anything_is_sent(
        self, given: Any, field: str, timav_emulator: Emulator
    ) -> None:
        task = push()
        task.operator.push_options = given  # as a template renders it
        with pytest.raises(ConfigurationError, match=r"^push_options") as refused:
            task.execute()
        assert (refused.value.field, timav_emulator.journal) == (field, ())

    def test_a_password_that_is_a_number_is_masked(
        self, timav_emulator: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """As an expression gives one where a DAG asks for native objects."""
        from airflow.sdk._shared.secrets_masker import redact

        push(player_password=77_001_122).execute()
        assert "77001122" not in str(redact("the password is 77001122"))
        assert "77001122" not in capsys.readouterr().out

    def test_bad_connection_leaves_no_intent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_TIMAV_DEFAULT", '{"conn_type": "timav"}')
        task = push()
        with pytest.raises(ConfigurationError):
            task.execute()
        assert task.store is not None
        assert (task.xcoms, task.store.values) == ({}, {})

    def test_player_password_is_in_no_text(self, timav_emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
        task = push(player_password="0pen*sesame")
        result = task.execute()
        assert task.store is not None
        shown = f"{result} {task.xcoms} {task.store.values} {capsys.readouterr()} {timav_emulator.journal}"
        assert "0pen*sesame" not in shown


class TestRecording:
    def test_file_name_is_the_same_over_retries_and_another_for_another_run(self, timav_emulator: Emulator) -> None:
        first = record().execute()["file_name"]
        (running,) = timav_emulator.recordings
        assert running.file_name == first
        assert first.startswith("10086_")
        again = record()
        again.run_id = "manual__2"
        mapped = record()
        mapped.map_index = 3
        names = {first}
        for task in (again, mapped):
            with TimAVHook() as hook:
                hook.stop_record(**HOST)
            names.add(task.execute()["file_name"])
        assert len(names) == 3

    def test_own_file_name_is_used(self, timav_emulator: Emulator) -> None:
        assert record(file_name="10086_news").execute() == {"outcome": "started", "file_name": "10086_news"}


class TestLostAnswer:
    """The run ends with one push, its URLs are handed on, and the outcome says how."""

    def test_answer_lost_within_the_call(self, timav_emulator: Emulator) -> None:
        timav_emulator.fail_next(1, "start_push", drop="after")
        task = push()
        result = task.execute()
        (running,) = timav_emulator.pushes
        assert result["outcome"] == "restarted"
        assert result["hls_url"] in running.urls
        assert task.xcoms["claim"] == "ours"

    def test_every_answer_lost_then_the_task_tried_again(self, timav_emulator: Emulator) -> None:
        timav_emulator.fail_next(3, "start_push", drop="after")
        task = push()
        with pytest.raises(AmbiguousOutcome):
            task.execute()
        assert task.xcoms["claim"] == "sent"
        assert task.execute()["outcome"] == "restarted"
        assert len(timav_emulator.pushes) == 1

    def test_killed_after_the_result_was_noted(self, timav_emulator: Emulator) -> None:
        """The XComs are gone with the try; the store is not."""
        task = push()
        before = task.execute()
        after = task.execute()
        assert after == {**before, "outcome": "recovered"}
        assert effective(timav_emulator, "start_push") == 1

    def test_killed_before_the_result_was_noted(
        self, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        task = push()
        with monkeypatch.context() as patch:
            patch.setattr("airflow_provider_timav.operators._intent.Intent.settle", _killed)
            with pytest.raises(KeyboardInterrupt):
                task.execute()
        assert task.execute()["outcome"] == "restarted"
        assert len(timav_emulator.pushes) == 1
        assert effective(timav_emulator, "stop_push") == 1

    def test_recording_is_left_running(self, timav_emulator: Emulator) -> None:
        """A recording has nothing in its answer that would be missing: stopping it would cut it in two."""
        timav_emulator.fail_next(1, "start_record", drop="after")
        task = record()
        result = task.execute()
        assert result["outcome"] == "adopted"
        assert result["file_name"] == timav_emulator.recordings[0].file_name
        assert effective(timav_emulator, "stop_record") == 0
        assert task.xcoms["claim"] == "sent"

    def test_refusal_takes_the_intent_back(self, timav_emulator: Emulator) -> None:
        """Nothing was started, so a stream that runs at the next try is not ours."""
        timav_emulator.leave(10086, "host_1")
        task = push()
        with pytest.raises(RoomNotReady):
            task.execute()
        timav_emulator.enter(10086, "host_1")
        with TimAVHook() as hook:
            hook.start_push(**HOST)
        assert task.execute()["outcome"] == "adopted"

    @pytest.mark.parametrize(("make", "outcome"), [(push, "restarted"), (record, "adopted")], ids=["push", "record"])
    def test_refusal_leaves_an_earlier_question_open(
        self, make: Callable[..., Task], outcome: str, timav_emulator: Emulator
    ) -> None:
        """What is refused is one try's start: what the try before it may have started runs on, and is not foreign."""
        task = make()
        timav_emulator.fail_next(3, drop="after")
        with pytest.raises(AmbiguousOutcome):
            task.execute()
        timav_emulator.fail_next(1, code=60020, layer="gateway")
        with pytest.raises(QuotaExceeded):
            task.execute()
        assert task.execute()["outcome"] == outcome
        assert task.xcoms["claim"] != "foreign"
        assert len(timav_emulator.pushes) + len(timav_emulator.recordings) == 1

    def test_recording_that_was_taken_over_stays_ours(self, timav_emulator: Emulator) -> None:
        """Also for a third try, or the stop would leave it running."""
        timav_emulator.fail_next(3, "start_record", drop="after")
        task = record()
        with pytest.raises(AmbiguousOutcome):
            task.execute()
        task.execute()
        assert task.execute()["outcome"] == "adopted"
        assert task.xcoms["claim"] == "sent"

    def test_store_that_is_missing_is_said(self, timav_emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
        task = push()
        task.store = None
        assert task.execute()["outcome"] == "started"
        assert "no task_state_store" in caplog.text


def _killed(*_: Any) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def foreign(timav_emulator: Emulator) -> Emulator:
    """A push and a recording that somebody else has started."""
    with TimAVHook() as hook:
        hook.start_push(**HOST)
        hook.start_record(**HOST, file_name="theirs")
    timav_emulator.clear_journal()
    return timav_emulator


class TestForeign:
    """What this run did not start is never stopped by accident."""

    @pytest.mark.parametrize("make", [push, record], ids=["push", "record"])
    def test_recover_leaves_it_alone(self, make: Callable[..., Task], foreign: Emulator) -> None:
        task = make(if_already_running="recover")
        assert task.execute() == {"outcome": "adopted"}
        assert task.xcoms["claim"] == "foreign"
        assert (len(foreign.pushes), len(foreign.recordings)) == (1, 1)

    @pytest.mark.parametrize("make", [push, record], ids=["push", "record"])
    def test_fail_fails_and_leaves_it_alone(self, make: Callable[..., Task], foreign: Emulator) -> None:
        task = make(if_already_running="fail")
        with pytest.raises(AlreadyRunning):
            task.execute()
        assert task.xcoms["claim"] == "foreign"
        assert (len(foreign.pushes), len(foreign.recordings)) == (1, 1)

    @pytest.mark.parametrize("policy", ["fail", "recover"])
    @pytest.mark.parametrize(
        ("make", "operator"), [(push, StopPushOperator), (record, StopRecordOperator)], ids=["push", "record"]
    )
    def test_stop_of_the_run_leaves_it_alone(
        self, make: Callable[..., Task], operator: Any, policy: str, foreign: Emulator
    ) -> None:
        """Whether the start failed at it or took it for what it wanted: nothing of it is this run's to stop."""
        start = make(if_already_running=policy)
        with contextlib.suppress(AlreadyRunning):
            start.execute()
        stop = Task(operator(task_id="stop", **HOST, start_task_id=start.task_id), peers={start.task_id: start})
        result = stop.execute()
        assert result["outcome"] == "not_ours"
        assert result.get("file_ids_status", "none") == "none"
        assert (len(foreign.pushes), len(foreign.recordings)) == (1, 1)
        assert not [entry for entry in foreign.journal if str(entry.operation).startswith("stop")]

    def test_it_stays_foreign_over_retries(self, foreign: Emulator) -> None:
        task = push(if_already_running="recover")
        assert [task.execute()["outcome"] for _ in range(3)] == ["adopted"] * 3
        assert effective(foreign, "stop_push") == 0

    def test_restart_takes_it_over(self, foreign: Emulator) -> None:
        task = push(if_already_running="restart")
        result = task.execute()
        assert (result["outcome"], task.xcoms["claim"]) == ("restarted", "ours")
        assert result["hls_url"]
        recording = record(if_already_running="restart")
        assert recording.execute()["outcome"] == "restarted"
        assert foreign.recordings[0].file_name != "theirs"


class TestWaiting:
    def test_slot_is_given_back_until_the_host_comes(self, timav_emulator: Emulator) -> None:
        timav_emulator.leave(10086, "host_1")
        task = push(wait_for_user="PT5M")
        before = datetime.now(UTC)
        with pytest.raises(AirflowRescheduleException) as again:
            task.execute()
        wait = (again.value.reschedule_date - before).total_seconds()
        assert 15 <= wait <= 21
        timav_emulator.enter(10086, "host_1")
        task.first_reschedule = before
        assert task.execute()["outcome"] == "started"

    def test_wait_ends_at_its_deadline(self, timav_emulator: Emulator) -> None:
        timav_emulator.leave(10086, "host_1")
        task = push(wait_for_user=timedelta(minutes=5))
        task.first_reschedule = datetime.now(UTC) - timedelta(minutes=5)
        with pytest.raises(RoomNotReady):
            task.execute()

    def test_short_wait_asks_once_more_at_its_end(self, timav_emulator: Emulator) -> None:
        timav_emulator.leave(10086, "host_1")
        task = push(wait_for_user=12)
        before = datetime.now(UTC)
        with pytest.raises(AirflowRescheduleException) as again:
            task.execute()
        assert 12 <= (again.value.reschedule_date - before).total_seconds() < 13
        task.first_reschedule = before - timedelta(seconds=12)
        with pytest.raises(RoomNotReady):
            task.execute()

    def test_recording_that_may_run_or_not_waits_for_its_user(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """30000415 also means that the user does not exist; without an intent of our own, the host may still come."""
        with Emulator(rooms={10086: []}, switches=Switches(absent_recorder=415)) as emulator:
            monkeypatch.setenv("AIRFLOW_CONN_TIMAV_DEFAULT", emulator.connection_json())
            task = record(wait_for_user=300)
            with pytest.raises(AirflowRescheduleException):
                task.execute()
            emulator.enter(10086, "host_1")
            assert task.execute()["outcome"] == "started"
            assert task.xcoms["claim"] == "ours"


@pytest.mark.parametrize("operator", [StartPushOperator, StartRecordOperator, StopPushOperator, StopRecordOperator])
def test_defaults_lose_to_the_author_and_to_default_args(operator: Any) -> None:
    from airflow.sdk import DAG

    stops = operator in (StopPushOperator, StopRecordOperator)
    with DAG("show", default_args={"retries": 2}):
        assert operator(task_id="a", **HOST).retries == 2
        assert operator(task_id="b", **HOST, retries=7).retries == 7
    with DAG("other"):
        assert operator(task_id="a", **HOST).retries == (5 if stops else 0)
        mapped = operator.partial(task_id="b", room_id=1).expand(user_id=["a", "b"])
        assert mapped.partial_kwargs["retries"] == (5 if stops else 0)
        assert type(mapped.partial_kwargs["retry_policy"]).__name__ == "TimAVRetryPolicy"


def test_errors_leave_the_operator_as_they_are(timav_emulator: Emulator) -> None:
    timav_emulator.fail_next(1, code=20101)
    with pytest.raises(TimAVError, match="Delete channels") as failed:
        push().execute()
    assert failed.value.code == 20101
