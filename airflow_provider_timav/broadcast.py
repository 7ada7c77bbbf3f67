"""A whole broadcast as one task group that cannot be wired wrongly: nothing stays on air, whatever happens in between."""

from __future__ import annotations

import functools
import inspect
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from airflow.sdk import AssetAlias, BaseOperator, TaskGroup

from airflow_provider_timav.assets import series_of
from airflow_provider_timav.operators.broadcast import (
    BroadcastResultOperator,
    OnAirOperator,
    ReserveBroadcastOperator,
)
from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator, StopRecordOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from airflow.sdk import Context, XComArg
    from airflow.sdk.definitions.edges import EdgeModifier

__all__ = ["Broadcast"]

InitT = TypeVar("InitT", bound="Callable[..., None]")
OperatorT = TypeVar("OperatorT", bound=BaseOperator)

_OF_GROUPS: Final = frozenset(inspect.signature(TaskGroup).parameters) - {"group_id"}
"""The keywords of Airflow's own task groups."""


def _as_airflow_has_them(*names: str) -> dict[str, Any]:
    parameters = inspect.signature(BaseOperator.__init__).parameters
    return {name: parameters[name].default for name in names}


_WHOLE: Final[dict[str, Any]] = {"do_xcom_push": True, "multiple_outputs": True, "task_display_name": None}
"""Arguments of Airflow's that every task of a broadcast has, whatever ``default_args`` say: the others read its XComs."""

_AT_THE_BEGINNING: Final = _as_airflow_has_them(
    "trigger_rule",
    "depends_on_past",
    "ignore_first_depends_on_past",
    "wait_for_past_depends_before_skipping",
    "wait_for_downstream",
    "start_date",
    "end_date",
    "max_active_tis_per_dag",
    "max_active_tis_per_dagrun",
    "pre_execute",
    "post_execute",
    "inlets",
)
"""What decides whether and when a task runs, as an inactive asset among its inlets does: ``default_args`` may keep a broadcast
from beginning, by ``reserve``, and from there on none of its tasks from running."""

_AT_THE_END: Final = _as_airflow_has_them("outlets")
"""What a task tells Airflow when it is done: of ``default_args``, a broadcast does so once, by ``result``."""


def _takes_default_args(init: InitT) -> InitT:
    """Have a group take what it is not given from ``default_args``: its own, those of the groups around it, and the DAG's.

    That is what Airflow's operators do for their arguments. Airflow's own keywords of a group are handed on.
    """
    parameters = inspect.signature(init).parameters.values()
    options = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}

    @functools.wraps(init)
    def filled(self: Broadcast, group_id: str = "broadcast", **given: Any) -> None:
        if unknown := given.keys() - options - _OF_GROUPS:
            raise TypeError(f"Broadcast got an unexpected keyword argument {min(unknown)!r}")
        of_group = {name: given.pop(name) for name in _OF_GROUPS & given.keys()}
        TaskGroup.__init__(self, group_id=group_id, **of_group)
        defaults = {**(self.dag.default_args or {}), **(self.default_args or {})}
        init(self, group_id, **{name: defaults[name] for name in options & defaults.keys()} | given)

    return filled  # type: ignore[return-value]  # the same signature


@functools.cache
def _own_defaults(operator: type[BaseOperator]) -> dict[str, Any]:
    """Return the defaults of the arguments that an operator has beside Airflow's: ``default_args`` do not replace them."""
    airflows = inspect.signature(BaseOperator.__init__).parameters
    found: dict[str, Any] = {}
    for kind in reversed(operator.__mro__[: operator.__mro__.index(BaseOperator)]):
        if "__init__" in vars(kind):
            parameters = inspect.signature(vars(kind)["__init__"]).parameters.values()
            found |= {one.name: one.default for one in parameters if one.default is not one.empty}
    return {name: default for name, default in found.items() if name not in airflows}


class Broadcast(TaskGroup):
    """Pushes a host's picture, and records it, from when the host is there until the end.

    The tasks: ``reserve`` (checks everything, takes the room, fixes the end) → ``start_push`` → ``start_record`` → ``on_air``
    (waits in the triggerer) → ``stop_record`` and ``stop_push`` (teardowns of ``reserve``: they run whatever happened) →
    ``result``, through which a failed broadcast is a failed run. Every option is templated; it is checked by ``reserve`` before
    anything is sent, and what can be seen when the DAG is parsed is checked then.

    An option that is not given is taken from ``default_args``, as operators take theirs, and so are Airflow's own arguments of
    the tasks, but for those on which the wiring rests (docs/broadcast.md has the table). Airflow's keywords of a task group
    (``tooltip``, ``prefix_group_id``, ``default_args`` …) are taken as well.

    ``group >> task`` and ``group.file_ids`` wait for the result; ``group.live_urls`` are there once the push has started.

    :param group_id: the group's id, and the prefix of its tasks'.
    :param room_id: the room (``uint32_auth_key``), 0 to 2^32 - 1.
    :param user_id: the host whose picture is sent.
    :param duration: how long the broadcast lasts, counted from when ``reserve`` has the room: a timedelta, seconds, or ISO 8601
        (``PT45M``). Exactly one of ``duration`` and ``ends_at`` is given.
    :param ends_at: when it ends: a datetime with a zone, or ISO 8601 with one.
    :param max_duration: what caps both, so that a typing error does not send for a week. A later extension is not capped.
    :param live_code: ``hls``, ``rtmp`` or ``hls+rtmp``. RTMP alone is watched if the extra ``rtmp`` is installed.
    :param rate_types: one or more of ``original``, ``sd``, ``hd``; each gives addresses of its own.
    :param sdk_type: ``normal`` or ``iot_camera``.
    :param push_data_type: ``camera`` or ``screen``; the recording's kind, too.
    :param channel_name: the title, as viewers see it.
    :param player_password: see `StartPushOperator`.
    :param push_options: further arguments of the push in a dict, or in a JSON object in one string; see `StartPushOperator`.
    :param record: whether to record it.
    :param file_name: the recording's name; left out, one that is the same over retries and clears.
    :param record_options: further arguments of the recording, in the same way; see `StartRecordOperator`.
    :param require_file_ids: fail where the recording's file ids cannot be had.
    :param wait_for_user: how long to wait for the room to be free, and then for the host to be in it.
    :param if_already_running: ``recover``, ``restart`` or ``fail``, see `StartPushOperator`.
    :param until: ``deadline``; or ``stream_ended``: over early once the playlist says so, or the stream has been gone for
        longer than ``grace``.
    :param grace: how long a host who drops may take to return before the stream has ended, and a stream to appear.
    :param on_stall: ``ignore``, ``notify`` or ``fail``, see `OnAirOperator`.
    :param on_stall_callback: what ``notify`` calls, on a worker, with the context: one function, or one of Airflow's notifiers.
    :param skip_if_late: a run that begins later than this after its ``run_after`` is skipped; None never is.
    :param timav_conn_id: the connection.
    :raises ConfigurationError: when the DAG is parsed, naming an option whose value breaks a rule whatever it renders to.
    """

    @_takes_default_args
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
        push_options: dict[str, Any] | str | None = None,
        record: bool | str = True,
        file_name: str | None = None,
        record_options: dict[str, Any] | str | None = None,
        require_file_ids: bool | str = False,
        wait_for_user: timedelta | float | str = timedelta(minutes=5),
        if_already_running: str = "recover",
        until: Literal["deadline", "stream_ended"] | str = "deadline",
        grace: timedelta | float | str = timedelta(seconds=60),
        on_stall: Literal["ignore", "notify", "fail"] | str = "ignore",
        on_stall_callback: Callable[[Context], Any] | None = None,
        skip_if_late: timedelta | float | str | None = timedelta(minutes=10),
        timav_conn_id: str = "timav_default",
        **task_group: Any,
    ) -> None:
        self.recordings = AssetAlias(series_of(self.dag.dag_id, str(self.group_id)))
        """The series of its recordings: a DAG that has it, or an alias of its name, as its schedule runs for each of them."""
        inside: dict[str, Any] = {**_WHOLE, **_AT_THE_BEGINNING, **_AT_THE_END}
        reserve = self._task(
            ReserveBroadcastOperator,
            "reserve",
            **{**_WHOLE, **_AT_THE_END, **self._around()},
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
            push_options=push_options,
            record=record,
            file_name=file_name,
            record_options=record_options,
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
        # Where the broadcast is, is what was reserved: a template may render to something else at another time.
        names = ("lease", "room_id", "user_id", "sdk_type", "timav_conn_id")
        place: dict[str, Any] = {name: fixed[name] for name in names}
        waiting: dict[str, Any] = {"wait_for_user": wait_for_user, "if_already_running": if_already_running}
        start_push = self._task(
            StartPushOperator,
            "start_push",
            **inside,
            **place,
            **waiting,
            push_data_type=fixed["push_data_type"],
            live_code=live_code,
            rate_types=rate_types,
            channel_name=channel_name,
            player_password=player_password,
            push_options=push_options,
        )
        start_record = self._task(
            StartRecordOperator,
            "start_record",
            **inside,
            **place,
            **waiting,
            record_data_type=fixed["push_data_type"],
            requested=fixed["record"],
            file_name=fixed["file_name"],
            record_options=record_options,
        )
        on_air = self._task(
            OnAirOperator,
            "on_air",
            **inside,
            execution_timeout=None,  # the broadcast's end is its own
            lease=fixed["lease"],
            until=until,
            grace=grace,
            on_stall=on_stall,
            on_stall_callback=on_stall_callback,
            timav_conn_id=fixed["timav_conn_id"],
        )
        stop_record = self._task(
            StopRecordOperator,
            "stop_record",
            **inside,
            **place,
            record_data_type=fixed["push_data_type"],
            require_file_ids=require_file_ids,
            start_task_id=start_record.task_id,
        )
        stop_push = self._task(
            StopPushOperator,
            "stop_push",
            **inside,
            **place,
            push_data_type=fixed["push_data_type"],
            start_task_id=start_push.task_id,
        )
        result = self._task(
            BroadcastResultOperator,
            "result",
            **_WHOLE,
            **_AT_THE_BEGINNING,
            lease=fixed["lease"],
            recordings=None if record is False else self.recordings,
        )
        reserve.as_setup()  # type: ignore[no-untyped-call]  # Airflow's
        for stop in (stop_record, stop_push):
            stop.as_teardown(setups=reserve)
        reserve >> start_push >> start_record >> on_air >> [stop_record, stop_push, result]
        [stop_record, stop_push] >> result
        self._wait_for_what_is_around(reserve, [stop_record, stop_push])

    def _task(self, operator: type[OperatorT], task_id: str, **arguments: Any) -> OperatorT:
        """Return a task of this group; of ``default_args`` it takes what is Airflow's and not fixed by ``arguments``."""
        return operator(task_id=task_id, dag=self.dag, task_group=self, **{**_own_defaults(operator), **arguments})

    @staticmethod
    def _around() -> dict[str, Any]:
        """Return what is fixed of the first task where the group stands within ``with setup_task >> teardown_task``."""
        # Airflow refuses any other rule below a setup.
        return {"trigger_rule": "all_success"} if _setups_around()[0] else {}

    @staticmethod
    def _wait_for_what_is_around(reserve: BaseOperator, stops: list[BaseOperator]) -> None:
        """Begin after the setups around the group, and end before their teardowns.

        Airflow wires the ordinary tasks that stand within them. This group begins with a setup and ends with teardowns, which
        it passes over; and its last ordinary task, ``result``, is done before the stops where the broadcast has failed.
        """
        setups, teardowns = _setups_around()
        for setup in setups:
            reserve.set_upstream(setup)
        for teardown in teardowns:
            teardown.set_upstream(stops)

    def update_relative(self, other: Any, upstream: bool = True, edge_modifier: EdgeModifier | None = None) -> None:
        """Take part in an edge; a teardown below the group waits for its stops as well."""
        super().update_relative(other, upstream, edge_modifier)
        if not upstream:
            self["result"].keep_after_the_stops([other])  # type: ignore[attr-defined]  # each child is an operator

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


def _setups_around() -> tuple[list[Any], list[Any]]:
    """Return the setups and the teardowns whose ``with`` block is open."""
    from airflow.sdk.definitions._internal.setup_teardown import SetupTeardownContext as Around

    if not Around.active:
        return [], []

    def listed(*found: Any) -> list[Any]:
        return [task for one in found for task in (one if isinstance(one, list | tuple) else [one])]

    return (
        listed(Around._context_managed_setup_task, Around._setup_upstream_of_teardown),
        listed(Around._context_managed_teardown_task, Around._teardown_downstream_of_setup),
    )
