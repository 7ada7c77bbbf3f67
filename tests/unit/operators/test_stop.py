"""Stops: safe to repeat, sure of whose stream it is, and honest about file ids."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator, StopRecordOperator
from airflow_provider_timav.operators.room import KickMembersOperator
from airflow_provider_timav.videorelay.errors import ConfigurationError, RecordingLost, RoomNotReady
from harness.task import Store, Task

HOST: dict[str, Any] = {"room_id": 10086, "user_id": "host_1"}


def recorded(start: bool = True, **arguments: Any) -> tuple[Task, Task]:
    """A start of a recording and its stop; the start has run."""
    starting = Task(StartRecordOperator(task_id="start_record", **HOST))
    if start:
        starting.execute()
        starting.state = "success"
    stop = StopRecordOperator(task_id="stop_record", **HOST, start_task_id="start_record", **arguments)
    return starting, Task(stop, peers={"start_record": starting})


def test_push_is_stopped_and_stays_so(timav_emulator: Emulator) -> None:
    Task(StartPushOperator(task_id="start_push", **HOST)).execute()
    stop = Task(StopPushOperator(task_id="stop_push", **HOST))
    assert stop.execute() == {"outcome": "stopped"}
    assert stop.execute() == {"outcome": "already_stopped"}
    assert not timav_emulator.pushes


def test_push_of_somebody_else_survives_the_stop_after_a_start_that_was_refused(timav_emulator: Emulator) -> None:
    """The host was not there; then somebody else has started a push: the stop of the run that failed must not end it."""
    timav_emulator.leave(10086, "host_1")
    start = Task(StartPushOperator(task_id="start_push", **HOST, wait_for_user=0))
    with pytest.raises(RoomNotReady):
        start.execute()
    start.state = "failed"
    timav_emulator.enter(10086, "host_1")
    with TimAVHook() as hook:
        hook.start_push(**HOST)
    stop = Task(StopPushOperator(task_id="stop_push", **HOST, start_task_id="start_push"), peers={"start_push": start})
    assert stop.execute() == {"outcome": "never_started"}
    assert len(timav_emulator.pushes) == 1


def test_push_in_a_room_that_is_gone(timav_emulator: Emulator) -> None:
    timav_emulator.close_room(10086)
    assert Task(StopPushOperator(task_id="stop_push", **HOST)).execute() == {"outcome": "gone"}


def test_other_kind_of_data_goes_on(timav_emulator: Emulator) -> None:
    for kind in ("camera", "screen"):
        Task(StartPushOperator(task_id="start", **HOST, push_data_type=kind)).execute()
    Task(StopPushOperator(task_id="stop", **HOST, push_data_type="screen")).execute()
    assert [push.kind for push in timav_emulator.pushes] == ["camera"]


def test_file_ids_are_handed_on(timav_emulator: Emulator) -> None:
    start, stop = recorded()
    result = stop.execute()
    truth = timav_emulator.file_ids(start.xcoms["file_name"])
    assert result == {"outcome": "stopped", "file_ids": truth, "file_ids_status": "complete"}


def test_second_try_has_the_ids_of_the_first(timav_emulator: Emulator) -> None:
    """They come only once; the first try noted them before it could die."""
    start, stop = recorded()
    stop.execute()
    truth = timav_emulator.file_ids(start.xcoms["file_name"])
    assert stop.execute() == {"outcome": "already_stopped", "file_ids": truth, "file_ids_status": "recovered"}


def test_ids_of_the_recording_before_a_clear_are_not_those_of_the_next(timav_emulator: Emulator) -> None:
    start, stop = recorded()
    stop.execute()
    start.execute()
    with TimAVHook() as hook:
        hook.stop_record(**HOST)
    assert stop.execute() == {"outcome": "already_stopped", "file_ids": [], "file_ids_status": "lost"}


def test_retried_start_leaves_the_stops_ids_valid(timav_emulator: Emulator) -> None:
    """The start is tried again while its recording runs: it is the same recording."""
    start, stop = recorded()
    truth = start.xcoms["file_name"]
    assert start.execute()["outcome"] == "recovered"
    stop.execute()
    assert stop.execute()["file_ids"] == timav_emulator.file_ids(truth)


def test_ids_that_somebody_else_was_given_are_lost(
    timav_emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    start, stop = recorded()
    with TimAVHook() as hook:
        hook.stop_record(**HOST)
    result = stop.execute()
    assert result == {"outcome": "already_stopped", "file_ids": [], "file_ids_status": "lost"}
    assert start.xcoms["file_name"] in capsys.readouterr().out


def test_answer_without_ids_is_no_success(timav_emulator: Emulator) -> None:
    start, stop = recorded(require_file_ids="true")
    timav_emulator.fail_next(1, "stop_record", patch={"rspbody": {"rsp_0x5": {"str_fileID": [""]}}})
    with pytest.raises(RecordingLost, match=start.xcoms["file_name"]) as lost:
        stop.execute()
    assert not lost.value.retryable


@pytest.mark.parametrize("state", [None, "upstream_failed", "skipped", "removed"])
def test_recording_that_never_started_is_not_stopped(state: str | None, timav_emulator: Emulator) -> None:
    start, stop = recorded(start=False, require_file_ids=True)
    start.state = state
    assert stop.execute() == {"outcome": "never_started", "file_ids": [], "file_ids_status": "none"}
    assert timav_emulator.journal == ()


@pytest.mark.parametrize("state", ["failed", "running", "up_for_retry"])
def test_when_it_cannot_be_told_the_stop_is_sent(state: str, timav_emulator: Emulator) -> None:
    start, stop = recorded(start=False)
    start.state = state
    assert stop.execute()["outcome"] == "already_stopped"
    assert [entry.operation for entry in timav_emulator.journal] == ["stop_record"]


def test_start_task_that_the_run_does_not_have_keeps_no_stop_from_being_sent(
    timav_emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """The author has left out the prefix of the TaskGroup: nobody else would ever stop what the other task started."""
    start = Task(StartRecordOperator(task_id="studio.start_record", **HOST))
    start.execute()
    start.state = "success"
    operator = StopRecordOperator(task_id="stop_record", **HOST, start_task_id="start_record")
    result = Task(operator, peers={"studio.start_record": start}).execute()
    assert (result["outcome"], result["file_ids_status"]) == ("stopped", "complete")
    assert not timav_emulator.recordings
    assert "no task start_record" in capsys.readouterr().out


def test_ids_are_handed_on_where_they_cannot_be_noted(
    timav_emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """They come only once: the next try would be told that it is stopped already."""

    class Failing(Store):
        def set(self, key: str, value: Any, *, retention: Any = None) -> None:
            raise ConnectionError("the API server does not answer")

    start, stop = recorded()
    stop.store = Failing()
    result = stop.execute()
    truth = timav_emulator.file_ids(start.xcoms["file_name"])
    assert (result["file_ids"], result["file_ids_status"]) == (truth, "complete")
    assert truth[0] in capsys.readouterr().out


@pytest.mark.parametrize("value", ["perhaps", 7])
def test_what_is_wrong_about_the_ids_keeps_no_recording_from_its_stop(value: Any, timav_emulator: Emulator) -> None:
    """The error comes after the stop, and the file ids are noted for the try that is cleared once the template is mended."""
    start, stop = recorded()
    operator: Any = stop.operator
    operator.require_file_ids = value  # as a template renders it
    with pytest.raises(ConfigurationError, match="require_file_ids"):
        stop.execute()
    assert not timav_emulator.recordings
    operator.require_file_ids = "true"
    result = stop.execute()
    assert (result["file_ids"], result["file_ids_status"]) == (
        timav_emulator.file_ids(start.xcoms["file_name"]),
        "recovered",
    )


def test_wrong_argument_is_refused_before_anything_is_sent(timav_emulator: Emulator) -> None:
    _, stop = recorded()
    operator: Any = stop.operator
    operator.sdk_type = "web"  # as a template renders it
    timav_emulator.clear_journal()
    with pytest.raises(ConfigurationError, match="sdk_type"):
        stop.execute()
    assert timav_emulator.journal == ()


class TestKick:
    def test_members_are_removed(self, timav_emulator: Emulator) -> None:
        timav_emulator.enter(10086, "troll")
        task = Task(KickMembersOperator(task_id="kick", room_id="10086", user_ids='["troll"]'))
        assert task.execute() == {"outcome": "requested", "user_ids": ["troll"]}
        assert timav_emulator.members(10086) == {"host_1"}

    @pytest.mark.parametrize("user_ids", [[], ["a"] * 2, [str(n) for n in range(11)], "a", ""])
    def test_wrong_members_are_refused(self, user_ids: Any, timav_emulator: Emulator) -> None:
        with pytest.raises(ConfigurationError, match="user_ids"):
            Task(KickMembersOperator(task_id="kick", room_id=1, user_ids=user_ids)).execute()
        assert timav_emulator.journal == ()
