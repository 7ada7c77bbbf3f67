"""Start and stop a recording, and hand its file ids on."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from airflow_provider_timav.arguments import none_if_blank, own_arguments, parse_bool
from airflow_provider_timav.links import RecordingConsoleLink, RecordingLink
from airflow_provider_timav.operators._argument_checks import given_entries
from airflow_provider_timav.operators._base import log_failure
from airflow_provider_timav.operators._start import StartOperator
from airflow_provider_timav.operators._stop import StopOperator
from airflow_provider_timav.videorelay.errors import RecordingLost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_provider_timav.hooks.timav import TimAVHook
    from airflow_provider_timav.operators._checked_start import CheckedStart

__all__ = ["StartRecordOperator", "StopRecordOperator"]

_IDENTITY = ("room_id", "user_id", "sdk_type", "record_data_type")
_STORE_KEY = "timav:file_ids"


class StartRecordOperator(StartOperator):
    """Starts a recording (specification, 0x5 with operation 1).

    XComs, each also under its own key: ``file_name`` (what to look for in the vendor's console should the file ids get lost)
    and ``outcome``: ``started``, ``recovered``, ``restarted``, ``adopted`` (one runs already) or ``not_requested``.

    Every argument is templated and checked after rendering.

    :param room_id: the room (``uint32_auth_key``), 0 to 2^32 - 1.
    :param user_id: the user to record.
    :param file_name: the recording's name; left out, one that is the same over retries and unique for this recording.
    :param sdk_type: ``normal`` or ``iot_camera`` (or 1, 2).
    :param record_data_type: ``camera`` or ``screen`` (or 0, 1).
    :param requested: whether to record at all; if not, the task succeeds as ``not_requested``. For graphs whose shape must
        not depend on a value that is known only at run time.
    :param record_options: the arguments below as one dict, or as a JSON object in one string, for a task or a form that gives
        them so; an argument that is given by itself counts first.
    :param tags: tags of the video.
    :param class_id: the video's class.
    :param transcode: transcode it.
    :param screenshot: take screenshots of it.
    :param watermark: put a watermark on it.
    :raises TimAVError: see ``videorelay.errors``; a wrong argument is a ``ConfigurationError`` before anything is sent.
    """

    kind = "record"
    operator_extra_links = (RecordingLink(), RecordingConsoleLink())

    def __init__(
        self,
        *,
        room_id: int | str,
        user_id: str,
        sdk_type: str | int = "normal",
        record_data_type: str | int = "camera",
        file_name: str | None = None,
        tags: Sequence[str] | str | None = None,
        class_id: int | str | None = None,
        transcode: bool | str | None = None,
        screenshot: bool | str | None = None,
        watermark: bool | str | None = None,
        requested: bool | str = True,
        record_options: dict[str, Any] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.requested = requested
        self.room_id = room_id
        self.user_id = user_id
        self.sdk_type = sdk_type
        self.record_data_type = record_data_type
        self.file_name = file_name
        self.tags = tags
        self.class_id = class_id
        self.transcode = transcode
        self.screenshot = screenshot
        self.watermark = watermark
        self.record_options = record_options
        self.check_constants(StartRecordOperator.template_fields)

    _own_arguments = own_arguments(__init__)
    template_fields: Sequence[str] = (*StartOperator.template_fields, *_own_arguments)

    @log_failure
    def execute(self, context: Context) -> dict[str, Any]:
        """Start the recording; return its result."""
        if none_if_blank(self.requested) is not None and not parse_bool(self.requested, "requested"):
            self.log.info("No recording of %s in room %s was requested.", self.user_id, self.room_id)
            return {"outcome": "not_requested"}
        return self.hand_on(context, self.start(context, self.checked_start(context)))

    def hand_on(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        """Log the file name, and return the result."""
        self.log.info(
            "Recording of %s in room %s: %s. File name: %s.",
            self.user_id,
            self.room_id,
            result["outcome"],
            result.get("file_name", "unknown"),
        )
        return result

    def checked_start(self, context: Context) -> CheckedStart:
        """Return the calls that start and stop this recording, which has a file name in any case."""
        from airflow_provider_timav.operators._checked_start import CheckedStart
        from airflow_provider_timav.videorelay import calls

        own = self.arguments(*(name for name in self._own_arguments if name != "requested"))
        arguments = given_entries(own.pop("record_options", None), "record_options") | own
        if "file_name" not in arguments:
            arguments["file_name"] = default_file_name(self.room_id, context["ti"])
        identity = {name: arguments[name] for name in _IDENTITY if name in arguments}
        start, stop = calls.start_record(**arguments), calls.stop_record(**identity)
        return CheckedStart(arguments, start, stop, known={"file_name": arguments["file_name"]})

    def send_stop(self, hook: TimAVHook, checked: CheckedStart, **limits: Any) -> Any:
        """Send 0x5 with operation 2; its file ids are of a recording that is not wanted any more, and are logged."""
        stopped = super().send_stop(hook, checked, **limits)
        if stopped.file_ids:
            self.log.warning("The recording that ran before ended with the file ids %s.", ", ".join(stopped.file_ids))
        return stopped


def _own_file_ids(noted: Any, start_id: Any) -> Sequence[str]:
    """Return the file ids that an earlier try has noted of the recording of this start; none if the note cannot be read."""
    from airflow_provider_timav.reading import LONGEST_FILE_ID, MOST_FILE_IDS, Fields, Unreadable

    try:
        fields = Fields({} if noted is None else noted)
        if fields.get("start_id") != start_id:
            return ()
        return fields.texts("file_ids", most=MOST_FILE_IDS, longest=LONGEST_FILE_ID)
    except Unreadable:
        return ()


def default_file_name(room_id: Any, ti: Any) -> str:
    """Return ``{room}_{12 hex digits}``: the same over retries, another one for each run, task and map index."""
    identity = json.dumps([ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index])
    return f"{room_id}_{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


class StopRecordOperator(StopOperator):
    """Stops a recording (0x5 with operation 2) and hands its file ids on. They come only once.

    XComs, each also under its own key: ``file_ids`` (list of texts), ``file_ids_status``, ``outcome`` (``stopped``,
    ``already_stopped``, ``gone``, ``never_started``, ``not_ours``). The status is ``complete`` (this stop's answer has them),
    ``recovered`` (an earlier stop of this run was given them), ``none`` (this run started no recording) or ``lost``.

    :param room_id: the room, as at the start.
    :param user_id: the user, as at the start.
    :param sdk_type: as at the start.
    :param record_data_type: ``camera`` or ``screen``, as at the start.
    :param require_file_ids: fail with ``RecordingLost`` if the ids can no longer be retrieved (templated). Its rendered value
        is checked once the stop has been sent.
    """

    kind = "record"
    operator_extra_links = (RecordingLink(), RecordingConsoleLink())

    def __init__(
        self,
        *,
        room_id: int | str,
        user_id: str,
        sdk_type: str | int = "normal",
        record_data_type: str | int = "camera",
        require_file_ids: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.room_id = room_id
        self.user_id = user_id
        self.sdk_type = sdk_type
        self.record_data_type = record_data_type
        self.require_file_ids = require_file_ids
        self.check_constants(StopRecordOperator.template_fields)

    _own_arguments = own_arguments(__init__)
    template_fields: Sequence[str] = (*StopOperator.template_fields, *_own_arguments)

    @log_failure
    def execute(self, context: Context) -> dict[str, Any]:
        """Stop the recording; return its file ids."""
        from airflow_provider_timav.videorelay import calls

        arguments = self.arguments(*_IDENTITY)
        call = calls.stop_record(**arguments)
        self.log_request(arguments)
        if (reason := self.no_need(context)) in ("never_started", "not_ours"):
            result: dict[str, Any] = {"outcome": reason, "file_ids": [], "file_ids_status": "none"}
        else:
            result = {"outcome": reason, "file_ids": [], "file_ids_status": "lost"}
            if reason is None:
                with self.make_hook() as hook:
                    result = self.send(hook, call).model_dump(mode="json", exclude_none=True)
            result = self._with_file_ids(result, context)
        self.note_off_air(arguments)
        self.release_claim()
        self.log.info(
            "Recording of %s in room %s: %s. File ids (%s): %s.",
            self.user_id,
            self.room_id,
            result["outcome"],
            result["file_ids_status"],
            ", ".join(result["file_ids"]) or "none",
        )
        # Only now: what no stop needs to know must not keep one from being sent.
        required = none_if_blank(self.require_file_ids) is not None and parse_bool(
            self.require_file_ids, "require_file_ids"
        )
        if result["file_ids_status"] == "lost":
            self._lost(self.of_start(context, "file_name"), required)
        return result

    def _with_file_ids(self, result: dict[str, Any], context: Context) -> dict[str, Any]:
        """Note the ids before anything else can happen, or fill in those that an earlier stop of this run was given.

        A note counts for the recording of the same start only: after a clear of the whole run it is another one's.
        """
        store: Any = context.get("task_state_store")
        start_id = self.of_start(context, "start_id")
        if result["file_ids"]:
            # They come only once: whatever the store does, they are in the log, and in what this task returns.
            self.log.info("The file ids are %s.", ", ".join(result["file_ids"]))
        else:
            own = None if store is None else _own_file_ids(store.get(_STORE_KEY), start_id)
            if not (found := own or self.noted_by_others(context)):
                return result
            result = result | {"file_ids": list(found), "file_ids_status": "recovered"}
        if store is not None:
            try:
                store.set(_STORE_KEY, {"start_id": start_id, "file_ids": result["file_ids"]})
            except Exception:  # whatever Airflow raises
                self.log.warning("The file ids could not be noted for another try of this task.", exc_info=True)
        return result

    def _lost(self, file_name: Any, required: bool) -> None:
        name = f"Look for the file name {file_name}" if file_name else "Look for it"
        message = (
            f"the file ids of the recording of {self.user_id} in room {self.room_id} can no longer be retrieved through "
            f"this API. {name} in the vendor's console."
        )
        if required:
            raise RecordingLost(message)
        self.log.warning("Lost: %s", message)
