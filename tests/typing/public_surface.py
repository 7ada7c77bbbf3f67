"""What an author's editor and type checker see of the public surface. Nothing here runs: `make types` reads it.

Each line with `type: ignore` is a mistake that the checker must find: strict mypy reports an ignore that is not needed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal, assert_type

from airflow.sdk import DAG, RetryDecision, XComArg

from airflow_provider_timav.broadcast import Broadcast
from airflow_provider_timav.emulator import Emulator, JournalEntry
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.notifications.broadcast import EndBroadcastNotifier
from airflow_provider_timav.operators.push import StartPushOperator
from airflow_provider_timav.operators.record import StopRecordOperator
from airflow_provider_timav.operators.room import KickMembersOperator
from airflow_provider_timav.retry import TimAVRetryPolicy
from airflow_provider_timav.sensors.live_stream import LiveStreamSensor
from airflow_provider_timav.videorelay.errors import TimAVError
from airflow_provider_timav.videorelay.models import LiveUrl, StartPushResult, StopRecordResult


def hook_returns_results() -> None:
    with TimAVHook("timav_default") as hook:
        assert_type(hook, TimAVHook)
        started = hook.start_push(room_id=10086, user_id="host_1", rate_types=["original", "hd"])
        assert_type(started, StartPushResult)
        assert_type(started.live_urls, tuple[LiveUrl, ...])
        assert_type(started.hls_url, str | None)
        stopped = hook.stop_record(room_id="10086", user_id="host_1")
        assert_type(stopped, StopRecordResult)
        assert_type(stopped.file_ids, tuple[str, ...])
        hook.start_push(room_id=10086)  # type: ignore[call-arg]
        hook.start_push(room_id=10086, user_id="host_1", rate="hd")  # type: ignore[call-arg]
        hook.kick_members(room_id=10086, user_ids=5)  # type: ignore[arg-type]


def tasks_take_what_templates_take() -> None:
    with DAG("typed", schedule=None):
        start = StartPushOperator(task_id="start_push", room_id="{{ params.room }}", user_id="host_1")
        assert_type(start, StartPushOperator)
        StopRecordOperator(task_id="stop_record", room_id=1, user_id="host_1", require_file_ids="{{ params.strict }}")
        LiveStreamSensor(task_id="live", url="https://play.example/a.m3u8", grace=timedelta(minutes=2))
        StartPushOperator(task_id="no_user", room_id=1)  # type: ignore[call-arg]
        KickMembersOperator(task_id="no_list", room_id=1, user_ids=7)  # type: ignore[arg-type]
        LiveStreamSensor(task_id="no_url")  # type: ignore[call-arg]


def broadcast_hands_its_results_on() -> None:
    with DAG("typed_broadcast", schedule=None):
        show = Broadcast(room_id=1, user_id="host_1", duration=3600, on_stall="notify", until="stream_ended")
        Broadcast("second", room_id=2, user_id="host_1", ends_at=datetime(2027, 1, 1, tzinfo=UTC), record=False)
        assert_type(show.file_ids, XComArg)
        assert_type(show.live_urls, XComArg)
        Broadcast("third", room_id=3, duration=60)  # type: ignore[call-arg]


def an_error_tells_whether_it_was_executed(error: TimAVError) -> None:
    assert_type(error.executed, Literal["no", "maybe", "yes"])
    assert_type(error.retry_after, float | None)


def emulator_is_typed_as_well(emulator: Emulator) -> None:
    assert_type(emulator.journal, tuple[JournalEntry, ...])


def the_rest() -> None:
    assert_type(TimAVRetryPolicy().evaluate(ValueError(), 1, 3), RetryDecision)
    EndBroadcastNotifier(timav_conn_id="timav_default", group_id="broadcast")
