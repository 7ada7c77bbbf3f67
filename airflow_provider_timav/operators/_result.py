"""The last task of a `Broadcast`: hands its result on to the tasks and DAGs that follow."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import AssetAlias, BaseOperator

from airflow_provider_timav.arguments import none_if_blank
from airflow_provider_timav.assets import create_asset
from airflow_provider_timav.links import RecordingConsoleLink, RecordingLink, show_links
from airflow_provider_timav.templates import TextStaysText
from airflow_provider_timav.videorelay.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.sdk import Context
    from airflow.sdk.definitions.edges import EdgeModifier

    from airflow_provider_timav.leases import Lease, Stopped

__all__ = ["BroadcastResultOperator"]


class BroadcastResultOperator(TextStaysText, BaseOperator):
    """Returns the result of a broadcast. The leaf of the group: it runs only if the broadcast and both stops have succeeded.

    XComs, each also under its own key: ``file_ids``, ``file_ids_status``, ``file_name``, ``outcome`` (``deadline``, ``stopped``
    by a person, ``stream_ended``), ``started_at``, ``ended_at`` (ISO 8601), ``room_id``, ``user_id``, ``title``. Unknown values
    are left out.

    The recording becomes one event of the asset ``timav://<connection>/<room>/<user>/<camera or screen>``, once, over retries
    and clears. Its ``extra`` holds ``file_ids`` (strings), ``file_name``, ``room_id``, ``user_id``, ``push_data_type``,
    ``started_at``, ``ended_at``.

    :param lease: the XCom ``lease`` of ``reserve`` (templated).
    :param recordings: the alias, or its name, through which the event is emitted; without it there is no event.
    """

    template_fields: Sequence[str] = ("lease",)
    operator_extra_links = (RecordingLink(), RecordingConsoleLink())
    ui_color = "#d9f0ec"

    def __init__(
        self,
        *,
        lease: Any,
        recordings: AssetAlias | str | None = None,
        multiple_outputs: bool = True,
        outlets: Any = None,
        **kwargs: Any,
    ) -> None:
        series = AssetAlias(recordings) if isinstance(recordings, str) else recordings
        super().__init__(multiple_outputs=multiple_outputs, outlets=outlets, **kwargs)
        if series is not None:
            self.outlets = [*self.outlets, series]  # the author may have given one outlet, or several
        self.recordings = series
        self.lease = lease

    def update_relative(self, other: Any, upstream: bool = True, edge_modifier: EdgeModifier | None = None) -> None:
        """Take part in an edge that another task sets."""
        super().update_relative(other, upstream, edge_modifier)
        if not upstream:
            self.keep_after_the_stops([other])

    def set_downstream(self, task_or_task_list: Any, edge_modifier: EdgeModifier | None = None) -> None:
        """Set tasks below this one."""
        super().set_downstream(task_or_task_list, edge_modifier)
        self.keep_after_the_stops(task_or_task_list if isinstance(task_or_task_list, Sequence) else [task_or_task_list])

    def keep_after_the_stops(self, below: Iterable[Any]) -> None:
        """Make teardowns below this task depend on the stops directly: if the broadcast fails, this task is done before them.

        A task of ``@teardown`` has the trigger rule of a teardown before ``is_teardown`` says so.
        """
        stops = [task for task in self.upstream_list if task.is_teardown]
        for task in (root for one in below for root in one.roots):
            if stops and (task.is_teardown or task.trigger_rule == "all_done_setup_success"):
                task.set_upstream(stops)

    def pre_execute(self, context: Context) -> None:
        """Show the buttons that can be shown while the task runs."""
        show_links(self, context["ti"])

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the result."""
        from airflow_provider_timav.leases import Stopped, given_lease
        from airflow_provider_timav.notes import note_recording
        from airflow_provider_timav.runs import TaskKey

        lease = given_lease(self.lease)
        if lease is None:
            raise ConfigurationError("lease is missing: this task must be inside a Broadcast", field="lease")
        owner, ti = lease.owner, context["ti"]

        def of(name: str, key: str = "return_value") -> Any:
            return ti.xcom_pull(task_ids=owner.task(name).task_id, key=key, map_indexes=owner.map_index)

        # If a person has marked on_air successful, it has returned nothing, but its trigger has noted the stop.
        stopped = Stopped.noted_by(owner.task("on_air"))
        ended = of("on_air") or {"outcome": "stopped", "ended_at": stopped.ended_at and stopped.ended_at.isoformat()}
        # If a person has marked the stop successful, it has returned nothing, but the trigger may have noted the file ids.
        recording = of("stop_record") or _recording(of("start_record", "claim"), stopped)
        result = {
            "file_ids": recording["file_ids"],
            "file_ids_status": recording["file_ids_status"],
            "file_name": of("start_record", "file_name"),
            "outcome": ended["outcome"],
            "started_at": of("on_air", "started_at"),
            "ended_at": ended.get("ended_at") or datetime.now(UTC).isoformat(),
            "room_id": lease.key.room_id,
            "user_id": lease.key.user_id,
            "title": lease.title,
        }
        self.log.info(
            "Broadcast of %s in room %s: %s. File ids (%s): %s.",
            lease.key.user_id,
            lease.key.room_id,
            result["outcome"],
            result["file_ids_status"],
            ", ".join(result["file_ids"]) or "none",
        )
        result = {name: value for name, value in result.items() if none_if_blank(value) is not None}
        note_recording(TaskKey.of(ti), result)
        if self.recordings is not None and result["file_ids"]:
            self._emit(self.recordings, lease, result, context)
        return result

    def _emit(self, series: AssetAlias, lease: Lease, result: dict[str, Any], context: Context) -> None:
        from airflow_provider_timav.operators._recording_events import emit_recording

        key = lease.key
        where: dict[str, Any] = {"room_id": key.room_id, "user_id": key.user_id, "push_data_type": key.push_data_type}
        what = {name: result[name] for name in ("file_name", "started_at", "ended_at") if name in result}
        asset = create_asset(timav_conn_id=key.timav_conn_id, **where)
        if fresh := emit_recording(result["file_ids"], asset, series, where | what, context):
            self.log.info("Emitted as an event of %s: %s.", asset.uri, ", ".join(fresh))
        else:
            self.log.info("An earlier try has emitted the recording as an event of %s.", asset.uri)


def _recording(claim: Any, stopped: Stopped) -> dict[str, Any]:
    """Return what is known of a recording whose stop task has returned nothing."""
    file_ids = list(stopped.file_ids)
    if claim in ("sent", "ours"):
        return {"file_ids": file_ids, "file_ids_status": "recovered" if file_ids else "lost"}
    return {"file_ids": [], "file_ids_status": "none"}
