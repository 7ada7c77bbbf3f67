"""A whole broadcast as one task group that cannot be wired wrongly: nothing stays on air, whatever happens in between."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import AssetAlias, TaskGroup

from airflow_provider_timav.assets import series_of
from airflow_provider_timav.operators.broadcast import (
    BroadcastResultOperator,
    OnAirOperator,
    ReserveBroadcastOperator,
)
from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator, StopRecordOperator
from airflow_provider_timav.operators.reservation import PUSH_OPTIONS, RECORD_OPTIONS, check_times, options
from airflow_provider_timav.videorelay.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from airflow.sdk import Context, XComArg

__all__ = ["Broadcast"]


class Broadcast(TaskGroup):
    """Pushes a host's picture, and records it, from when the host is there until the end.

    The tasks: ``reserve`` (checks everything, takes the room, fixes the end) → ``start_push`` → ``start_record`` → ``on_air``
    (waits in the triggerer) → ``stop_record`` and ``stop_push`` (teardowns of ``reserve``: they run whatever happened) →
    ``result``, through which a failed broadcast is a failed run. Every option is templated; it is checked by ``reserve`` before
    anything is sent, and what can be seen when the DAG is parsed is checked then.

    ``group >> task`` and ``group.file_ids`` wait for the result; ``group.live_urls`` are there once the push has started.

    :param group_id: the group's id, and the prefix of its tasks'.
    :param room_id: the room (``uint32_auth_key``), 0 to 2^32 - 1.
    :param user_id: the host whose picture is sent.
    :param duration: how long the show lasts, counted from when ``reserve`` has the room: a timedelta, seconds, or ISO 8601
        (``PT45M``). Exactly one of ``duration`` and ``ends_at`` is given.
    :param ends_at: when it ends: a datetime with a zone, or ISO 8601 with one.
    :param max_duration: what caps both, so that a typing error does not send for a week. A later extension is not capped.
    :param live_code: ``hls``, ``rtmp`` or ``hls+rtmp``. With RTMP alone nobody can see here whether it plays.
    :param rate_types: one or more of ``original``, ``sd``, ``hd``; each gives addresses of its own.
    :param sdk_type: ``normal`` or ``iot_camera``.
    :param push_data_type: ``camera`` or ``screen``; the recording's kind, too.
    :param channel_name: the title, as viewers see it.
    :param player_password: see `StartPushOperator`.
    :param push_options: ``channel_describe``, ``watermark_flag``, ``watermark_id``.
    :param record: whether to record it.
    :param file_name: the recording's name; left out, one that is the same over retries and clears.
    :param record_options: ``tags``, ``class_id``, ``transcode``, ``screenshot``, ``watermark``.
    :param require_file_ids: fail where the recording's file ids cannot be had.
    :param wait_for_user: how long to wait for the room to be free, and then for the host to be in it.
    :param if_already_running: ``recover``, ``restart`` or ``fail``, see `StartPushOperator`.
    :param until: ``deadline``; or ``stream_ended``: over early once the playlist says so, or the stream has been gone for
        longer than ``grace``.
    :param grace: how long a host who drops may take to return before the stream has ended, and a stream to appear.
    :param on_stall: ``ignore``, ``notify`` or ``fail``, see `OnAirOperator`.
    :param on_stall_callback: what ``notify`` calls, on a worker, with the context: a function, or one of Airflow's notifiers.
    :param skip_if_late: a run that begins later than this after its ``run_after`` is skipped; None never is.
    :param timav_conn_id: the connection.
    :raises ConfigurationError: when the DAG is parsed, naming an option whose value breaks a rule whatever it renders to.
    """

    def __init__(
        self,
        group_id: str = "broadcast",
        *,
        room_id: int | str,
        user_id: str,
        duration: timedelta | float | str | None = None,
        ends_at: datetime | str | None = None,
        max_duration: timedelta | float | str = timedelta(hours=6),
        live_code: str | int = "hls",
        rate_types: Sequence[str | int] | str | None = None,
        sdk_type: str | int = "normal",
        push_data_type: str | int = "camera",
        channel_name: str | None = None,
        player_password: str | None = None,
        push_options: dict[str, Any] | None = None,
        record: bool | str = True,
        file_name: str | None = None,
        record_options: dict[str, Any] | None = None,
        require_file_ids: bool | str = False,
        wait_for_user: timedelta | float | str = timedelta(minutes=5),
        if_already_running: str = "recover",
        until: Literal["deadline", "stream_ended"] | str = "deadline",
        grace: timedelta | float | str = timedelta(seconds=60),
        on_stall: Literal["ignore", "notify", "fail"] | str = "ignore",
        on_stall_callback: Callable[[Context], Any] | None = None,
        skip_if_late: timedelta | float | str | None = timedelta(minutes=10),
        timav_conn_id: str = "timav_default",
    ) -> None:
        check_times(duration, ends_at)
        push = options(push_options, "push_options", PUSH_OPTIONS)
        recording = options(record_options, "record_options", RECORD_OPTIONS)
        if until == "stream_ended" and live_code in ("rtmp", 5, "5"):
            raise ConfigurationError(
                "until: the end of a stream can be seen in HLS only, and live_code is rtmp", field="until"
            )
        if on_stall == "notify" and on_stall_callback is None:
            raise ConfigurationError("on_stall_callback is missing: on_stall is notify", field="on_stall_callback")
        super().__init__(group_id=group_id)
        self.recordings = AssetAlias(series_of(self.dag.dag_id, str(self.group_id)))
        """The series of its recordings: a DAG that has it, or an alias of its name, as its schedule runs for each of them."""
        with self:
            reserve = ReserveBroadcastOperator(
                task_id="reserve",
                room_id=room_id,
                user_id=user_id,
                duration=duration,
                ends_at=ends_at,
                max_duration=max_duration,
                live_code=live_code,
                rate_types=rate_types,
                sdk_type=sdk_type,
                push_data_type=push_data_type,
                channel_name=channel_name,
                player_password=player_password,
                push_options=push,
                record=record,
                file_name=file_name,
                record_options=recording,
                require_file_ids=require_file_ids,
                wait_for_user=wait_for_user,
                if_already_running=if_already_running,
                until=until,
                grace=grace,
                on_stall=on_stall,
                skip_if_late=skip_if_late,
                timav_conn_id=timav_conn_id,
            )
            fixed: Any = reserve.output
            # Where the show is, is what was reserved: a template may render to something else at another time.
            names = ("lease", "room_id", "user_id", "sdk_type", "timav_conn_id")
            place: dict[str, Any] = {name: fixed[name] for name in names}
            waiting: dict[str, Any] = {"wait_for_user": wait_for_user, "if_already_running": if_already_running}
            start_push = StartPushOperator(
                task_id="start_push",
                **place,
                **waiting,
                **push,
                push_data_type=fixed["push_data_type"],
                live_code=live_code,
                rate_types=rate_types,
                channel_name=channel_name,
                player_password=player_password,
            )
            start_record = StartRecordOperator(
                task_id="start_record",
                **place,
                **waiting,
                **recording,
                record_data_type=fixed["push_data_type"],
                requested=fixed["record"],
                file_name=fixed["file_name"],
            )
            on_air = OnAirOperator(
                task_id="on_air",
                lease=fixed["lease"],
                until=until,
                grace=grace,
                on_stall=on_stall,
                on_stall_callback=on_stall_callback,
                timav_conn_id=fixed["timav_conn_id"],
            )
            stop_record = StopRecordOperator(
                task_id="stop_record",
                **place,
                record_data_type=fixed["push_data_type"],
                require_file_ids=require_file_ids,
                start_task_id=start_record.task_id,
            )
            stop_push = StopPushOperator(
                task_id="stop_push",
                **place,
                push_data_type=fixed["push_data_type"],
                start_task_id=start_push.task_id,
            )
            result = BroadcastResultOperator(
                task_id="result", lease=fixed["lease"], recordings=None if record is False else self.recordings
            )
            reserve.as_setup()  # type: ignore[no-untyped-call]  # Airflow's
            for stop in (stop_record, stop_push):
                stop.as_teardown(setups=reserve)
            reserve >> start_push >> start_record >> on_air >> [stop_record, stop_push, result]
            [stop_record, stop_push] >> result

    def _output(self, task: str, key: str) -> XComArg:
        found: XComArg = self[task].output[key]  # type: ignore[attr-defined]  # each child is an operator
        return found

    @property
    def live_urls(self) -> XComArg:
        """The addresses of the stream: a list of ``{type, rate, url}``."""
        return self._output("start_push", "live_urls")

    @property
    def hls_url(self) -> XComArg:
        """The HLS address of the original rate."""
        return self._output("start_push", "hls_url")

    @property
    def rtmp_url(self) -> XComArg:
        """The RTMP address of the original rate."""
        return self._output("start_push", "rtmp_url")

    @property
    def channel_id(self) -> XComArg:
        """The channel's id, as text."""
        return self._output("start_push", "channel_id")

    @property
    def file_ids(self) -> XComArg:
        """The recording's file ids, once the broadcast is over: a list of texts."""
        return self._output("result", "file_ids")

    @property
    def outcome(self) -> XComArg:
        """How it ended: ``deadline``, ``stopped`` by a person, or ``stream_ended``."""
        return self._output("result", "outcome")
