"""A whole broadcast as one task group that cannot be wired wrongly: nothing stays on air, whatever happens in between."""

from __future__ import annotations

import functools
import inspect
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from airflow.sdk import AssetAlias, BaseOperator, TaskGroup

from airflow_provider_timav.assets import series_of
from airflow_provider_timav.operators._on_air import OnAirOperator
from airflow_provider_timav.operators._reservation import ReserveBroadcastOperator
from airflow_provider_timav.operators._result import BroadcastResultOperator
from airflow_provider_timav.operators._start_broadcast import StartBroadcastPushOperator
from airflow_provider_timav.operators.push import StopPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator, StopRecordOperator
from airflow_provider_timav.options import OPTIONS, BroadcastOptions

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


_OF_TASKS: Final = inspect.signature(BaseOperator.__init__).parameters
"""Airflow's own arguments of a task."""


def _airflow_defaults(*names: str) -> dict[str, Any]:
    return {name: _OF_TASKS[name].default for name in names}


_EVERY_TASK: Final[dict[str, Any]] = {"do_xcom_push": True, "multiple_outputs": True, "task_display_name": None}
"""Arguments of Airflow's that each task of a broadcast has, whatever ``default_args`` say: the others read its XComs."""

_ONLY_RESERVE: Final = _airflow_defaults(
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
"""Arguments that decide whether and when a task runs (an inactive asset among its inlets does). ``default_args`` reach only
``reserve``: they may keep a broadcast from beginning, but none of its tasks from running once it has begun."""

_ONLY_RESULT: Final = _airflow_defaults("outlets")
"""What a task reports to Airflow on success. ``default_args`` reach only ``result``: one event for each broadcast."""


def _takes_default_args(init: InitT) -> InitT:
    """Fill options that were not given from ``default_args``: of the group itself, the groups around it, and the DAG.

    Airflow's operators do the same with their arguments. Airflow's own keywords of a group are passed on to `TaskGroup`.
    """

    @functools.wraps(init)
    def filled(self: Broadcast, group_id: str = "broadcast", **given: Any) -> None:
        if unknown := given.keys() - OPTIONS.keys() - _OF_GROUPS:
            raise TypeError(f"Broadcast got an unexpected keyword argument {min(unknown)!r}")
        of_group = {name: given.pop(name) for name in _OF_GROUPS & given.keys()}
        TaskGroup.__init__(self, group_id=group_id, **of_group)
        defaults = {**(self.dag.default_args or {}), **(self.default_args or {})}
        init(self, group_id, **{name: defaults[name] for name in OPTIONS.keys() & defaults.keys()} | given)

    return filled  # type: ignore[return-value]  # the same signature


@functools.cache
def _own_defaults(operator: type[BaseOperator]) -> dict[str, Any]:
    """Return the defaults of the arguments that an operator has besides Airflow's: ``default_args`` must not replace them."""
    found: dict[str, Any] = {}
    for kind in reversed(operator.__mro__[: operator.__mro__.index(BaseOperator)]):
        if "__init__" in vars(kind):
            parameters = inspect.signature(vars(kind)["__init__"]).parameters.values()
            found |= {one.name: one.default for one in parameters if one.default is not one.empty}
    return {name: default for name, default in found.items() if name not in _OF_TASKS}


class Broadcast(TaskGroup):
    """Puts a host on air, and records the host, from when the host is in the room until the end.

    The tasks: ``reserve`` (checks every option, takes the room, fixes the end) → ``start_push`` → ``start_record`` → ``on_air``
    (waits in the triggerer) → ``stop_record`` and ``stop_push`` (teardowns of ``reserve``: they run whatever happened) →
    ``result``, which makes the run fail if the broadcast failed. Each option is a template. A constant is checked when the DAG
    is parsed, everything else by ``reserve``, before anything is sent.

    Options that are not given are taken from ``default_args``, as operators take their arguments, and so are Airflow's own
    arguments of the tasks, except those on which the wiring depends (docs/broadcast.md has the table). Airflow's keywords of a
    task group (``tooltip``, ``prefix_group_id``, ``default_args`` …) are accepted as well.

    ``group >> task`` and ``group.file_ids`` wait for the result; ``group.live_urls`` is known once the push has started.

    :param group_id: the group's id, and the prefix of its tasks' ids.
    :param room_id: the room (``uint32_auth_key``), 0 to 2^32 - 1.
    :param user_id: the host.
    :param starts_at: when the broadcast begins, at the second: a datetime with a time zone, or ISO 8601 with one. The run
        begins earlier, checks everything, and a trigger sends the starts. Without it, the broadcast begins with its run.
    :param preroll: how long before ``starts_at`` the room is taken, and the connection checked; a run that begins earlier waits
        until then without holding a worker.
    :param duration: how long the broadcast lasts from ``starts_at``, or else from when ``reserve`` has taken the room: a
        timedelta, seconds, or ISO 8601 (``PT45M``). Give exactly one of ``duration`` and ``ends_at``.
    :param ends_at: when it ends: a datetime with a time zone, or ISO 8601 with one.
    :param max_duration: the longest that either may make it last, so that a typing error does not broadcast for a week. A
        later extension is not limited.
    :param live_code: ``hls``, ``rtmp`` or ``hls+rtmp``. RTMP alone is watched if the extra ``rtmp`` is installed.
    :param rate_types: one or more of ``original``, ``sd``, ``hd``; each has URLs of its own.
    :param sdk_type: ``normal`` or ``iot_camera``.
    :param push_data_type: ``camera`` or ``screen``, pushed and recorded.
    :param channel_name: the title that viewers see.
    :param player_password: see `StartPushOperator`.
    :param push_options: further arguments of the push in a dict, or in a JSON object in one string; see `StartPushOperator`.
    :param record: whether to record it.
    :param file_name: the recording's name; the default stays the same over retries and clears.
    :param record_options: further arguments of the recording, in the same way; see `StartRecordOperator`.
    :param require_file_ids: fail if the recording's file ids can no longer be retrieved.
    :param wait_for_user: how long to wait for the room to be free, and then for the host to enter it; both count from
        ``starts_at``, if there is one.
    :param if_already_running: ``recover``, ``restart`` or ``fail``, see `StartPushOperator`.
    :param until: ``deadline``; or ``stream_ended``, to end early once the playlist says so, or once the stream has been gone
        for longer than ``grace``.
    :param grace: how long the stream may take to appear, or be gone before it has ended: a host who drops may return.
    :param on_stall: ``ignore``, ``notify`` or ``fail``, see `OnAirOperator`.
    :param on_stall_callback: called by ``notify`` on a worker, with the context: a function, or one of Airflow's notifiers.
    :param skip_if_late: skip a run that begins later than this after ``starts_at``, or else after its ``run_after``; None never
        skips.
    :param timav_conn_id: the connection.
    :raises ConfigurationError: when the DAG is parsed, naming an option whose value breaks a rule however it is rendered.
    """

    @_takes_default_args
    def __init__(
        self,
        group_id: str = "broadcast",
        *,
        room_id: int | str,
        user_id: str,
        starts_at: datetime | str | None = None,
        preroll: timedelta | float | str = timedelta(minutes=10),
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
        # The parameters are the fields of BroadcastOptions; a test holds them to that.
        options = BroadcastOptions.of(locals())
        self.recordings = AssetAlias(series_of(self.dag.dag_id, str(self.group_id)))
        """The series of its recordings: a DAG scheduled on it, or on an alias of its name, runs for each of them."""
        reserve = self._task(
            ReserveBroadcastOperator,
            "reserve",
            options,
            **{**_EVERY_TASK, **_ONLY_RESULT, **self._around()},
            options=options,
        )
        reserved: Any = reserve.output
        inside: dict[str, Any] = {**_EVERY_TASK, **_ONLY_RESERVE, **_ONLY_RESULT}
        # Whether a trigger sends the starts depends on ``starts_at`` alone: the recording's is sent by that of the push.
        starts: dict[str, Any] = {"deferrable": False, "starts_at": None}
        # The tasks use what was reserved: a template may render differently by the time of a stop.
        host: dict[str, Any] = {
            name: reserved[name] for name in ("lease", "room_id", "user_id", "sdk_type", "timav_conn_id")
        }
        push: dict[str, Any] = {**inside, **host, "push_data_type": reserved["push_data_type"]}
        recording: dict[str, Any] = {**inside, **host, "record_data_type": reserved["push_data_type"]}
        start_push = self._task(
            StartBroadcastPushOperator,
            "start_push",
            options,
            **push,
            **{**starts, "starts_at": reserved["starts_at"]},
            recording={
                "requested": reserved["record"],
                "file_name": reserved["file_name"],
                "record_options": options.record_options,
            },
        )
        start_record = self._task(
            StartRecordOperator,
            "start_record",
            options,
            **recording,
            **starts,
            requested=reserved["record"],
            file_name=reserved["file_name"],
        )
        on_air = self._task(
            OnAirOperator,
            "on_air",
            options,
            **inside,
            execution_timeout=None,  # only the broadcast's end limits it
            lease=reserved["lease"],
            timav_conn_id=reserved["timav_conn_id"],
        )
        stop_record = self._task(
            StopRecordOperator, "stop_record", options, **recording, start_task_id=start_record.task_id
        )
        stop_push = self._task(StopPushOperator, "stop_push", options, **push, start_task_id=start_push.task_id)
        result = self._task(
            BroadcastResultOperator,
            "result",
            options,
            **_EVERY_TASK,
            **_ONLY_RESERVE,
            lease=reserved["lease"],
            recordings=None if options.record is False else self.recordings,
        )
        reserve.as_setup()  # type: ignore[no-untyped-call]  # Airflow's
        for stop in (stop_record, stop_push):
            stop.as_teardown(setups=reserve)
        reserve >> start_push >> start_record >> on_air >> [stop_record, stop_push, result]
        [stop_record, stop_push] >> result
        self._wire_setups_around(reserve, [stop_record, stop_push])

    def _task(self, operator: type[OperatorT], task_id: str, given: BroadcastOptions, **fixed: Any) -> OperatorT:
        """Return a task of this group, with the options that its operator has an argument for.

        Arguments that are neither options nor ``fixed`` have the operator's defaults; Airflow's own come from ``default_args``.
        """
        defaults = _own_defaults(operator)
        values = {name: value for name, value in given.as_dict().items() if name in defaults}
        return operator(task_id=task_id, dag=self.dag, task_group=self, **{**defaults, **values, **fixed})

    @staticmethod
    def _around() -> dict[str, Any]:
        """Return the trigger rule of ``reserve`` within ``with setup_task >> teardown_task``."""
        # Airflow refuses any other rule below a setup.
        return {"trigger_rule": "all_success"} if _setups_around()[0] else {}

    @staticmethod
    def _wire_setups_around(reserve: BaseOperator, stops: list[BaseOperator]) -> None:
        """Run the broadcast after the setups around it, and their teardowns after its stops.

        Airflow wires only ordinary tasks within such a block, and passes over the setup and teardowns of this group. Its last
        ordinary task, ``result``, is done before the stops if the broadcast fails.
        """
        setups, teardowns = _setups_around()
        for setup in setups:
            reserve.set_upstream(setup)
        for teardown in teardowns:
            teardown.set_upstream(stops)

    def update_relative(self, other: Any, upstream: bool = True, edge_modifier: EdgeModifier | None = None) -> None:
        """Set an edge of the group; a teardown below it waits for the stops as well."""
        super().update_relative(other, upstream, edge_modifier)
        if not upstream:
            self["result"].keep_after_the_stops([other])  # type: ignore[attr-defined]  # each child is an operator

    def _output(self, task: str, key: str) -> XComArg:
        found: XComArg = self[task].output[key]  # type: ignore[attr-defined]  # each child is an operator
        return found

    @property
    def live_urls(self) -> XComArg:
        """The URLs of the stream: a list of ``{type, rate, url}``."""
        return self._output("start_push", "live_urls")

    @property
    def hls_url(self) -> XComArg:
        """The HLS URL of the original rate."""
        return self._output("start_push", "hls_url")

    @property
    def rtmp_url(self) -> XComArg:
        """The RTMP URL of the original rate."""
        return self._output("start_push", "rtmp_url")

    @property
    def channel_id(self) -> XComArg:
        """The channel's id, as a string."""
        return self._output("start_push", "channel_id")

    @property
    def file_ids(self) -> XComArg:
        """The recording's file ids, once the broadcast has ended: a list of strings."""
        return self._output("result", "file_ids")

    @property
    def outcome(self) -> XComArg:
        """How it ended: ``deadline``, ``stopped`` by a person, or ``stream_ended``."""
        return self._output("result", "outcome")


def _setups_around() -> tuple[list[Any], list[Any]]:
    """Return the setups and teardowns whose ``with`` block is open."""
    from airflow.sdk.definitions._internal.setup_teardown import SetupTeardownContext as Around

    if not Around.active:
        return [], []

    def listed(*found: Any) -> list[Any]:
        return [task for one in found for task in (one if isinstance(one, list | tuple) else [one])]

    return (
        listed(Around._context_managed_setup_task, Around._setup_upstream_of_teardown),
        listed(Around._context_managed_teardown_task, Around._teardown_downstream_of_setup),
    )
