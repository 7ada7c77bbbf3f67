"""The task of a `Broadcast` that puts the host on air: if the trigger sends the start, it sends the recording's as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_timav.arguments import none_if_blank, parse_bool
from airflow_provider_timav.operators._argument_checks import given_entries
from airflow_provider_timav.operators.push import StartPushOperator

if TYPE_CHECKING:
    from airflow_provider_timav.leases import Kind
    from airflow_provider_timav.operators._checked_start import CheckedStart

__all__ = ["StartBroadcastPushOperator"]


class StartBroadcastPushOperator(StartPushOperator):
    """Starts the push of a broadcast. With ``starts_at`` its trigger starts the recording right after it.

    The task ``start_record`` then finds that recording running. If the trigger could not start it, that task does.

    :param recording: ``requested``, ``file_name`` and ``record_options`` of that task (templated).
    """

    custom_operator_name = "StartPushOperator"
    template_fields: Sequence[str] = (*StartPushOperator.template_fields, "recording")

    def __init__(self, *, recording: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.recording = recording

    def starts(self, checked: CheckedStart) -> Sequence[tuple[Kind, CheckedStart]]:
        """Return the push, and the recording if one is wanted."""
        from airflow_provider_timav.operators._checked_start import CheckedStart
        from airflow_provider_timav.videorelay import calls

        push: tuple[Kind, CheckedStart] = ("push", checked)
        requested, file_name = self.recording["requested"], self.recording["file_name"]
        if not parse_bool(requested, "requested"):
            return [push]
        identity = {name: checked.arguments[name] for name in ("room_id", "user_id", "sdk_type")}
        if none_if_blank(self.push_data_type) is not None:
            identity["record_data_type"] = self.push_data_type
        given = given_entries(self.recording.get("record_options"), "record_options")
        arguments = {**given, **identity, "file_name": file_name}
        start, stop = calls.start_record(**arguments), calls.stop_record(**identity)
        return [push, ("record", CheckedStart(arguments, start, stop, known={"file_name": file_name}))]
