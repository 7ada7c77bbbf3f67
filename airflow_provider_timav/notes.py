"""Write and read the notes that tasks leave for the page Broadcasts: addresses of a stream, and its recording.

The page runs in the API server. It creates no class that an XCom names, so it reads XComs as they are stored; and if a
deployment keeps XComs elsewhere, the stored value is an address that the page cannot follow. So these notes are written as
Airflow writes the addresses of its buttons, into its own database, beside the XComs of the same tasks.

They are under the rights of their DAG, and people with those can write them: a note of another form counts as not there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from airflow_provider_timav.reading import LONGEST_FILE_ID, LONGEST_TEXT, MOST_FILE_IDS, Fields, Unreadable
from airflow_provider_timav.runs import TaskKey

__all__ = ["PLAYS", "RECORDING", "note_plays", "note_recording", "plays", "recording"]

log = logging.getLogger(__name__)

PLAYS: Final = "plays"
"""The key of the XCom of ``start_push``: ``{"hls_url", "rtmp_url"}``."""

RECORDING: Final = "recording"
"""The key of the XCom of ``result``: the recording, see `recording`."""

LONGEST_ADDRESS: Final = 8192

STATUSES: Final = ("complete", "recovered", "none", "lost")
OUTCOMES: Final = ("deadline", "stopped", "stream_ended")


def note_plays(start_push: TaskKey, result: Mapping[str, Any]) -> None:
    """Note the addresses of a broadcast's push. A failure is logged only: the note is for the page alone."""
    _note(start_push, PLAYS, {name: result[name] for name in ("hls_url", "rtmp_url") if name in result})


def note_recording(result_task: TaskKey, result: Mapping[str, Any]) -> None:
    """Note the result of a broadcast. A failure is logged only: the note is for the page alone."""
    _note(result_task, RECORDING, dict(result))


def _note(task: TaskKey, key: str, value: dict[str, Any]) -> None:
    try:
        task.set_raw_xcom(key, value)
    except Exception:  # whatever Airflow raises
        log.warning("The page Broadcasts could not be told of %s.", key, exc_info=True)


def plays(value: Any) -> tuple[str | None, str | None]:
    """Return the HLS and the RTMP address of a note; None for one that is missing or has another scheme."""
    try:
        fields = Fields(value)
        hls, rtmp = (fields.text_or_none(name, most=LONGEST_ADDRESS) for name in ("hls_url", "rtmp_url"))
    except Unreadable:
        return None, None
    return _address(hls, ("http://", "https://")), _address(rtmp, ("rtmp://", "rtmps://"))


def _address(url: str | None, schemes: tuple[str, ...]) -> str | None:
    return url if url is not None and url.lower().startswith(schemes) else None


def recording(value: Any) -> dict[str, Any] | None:
    """Return the recording of a note as JSON primitives; None if nothing was recorded, or the note cannot be read.

    ``file_ids``, ``file_ids_status`` and ``outcome`` are always there; ``title``, ``room_id``, ``user_id``, ``file_name``,
    ``started_at`` and ``ended_at`` (ISO 8601 in UTC) if they are known.
    """
    try:
        fields = Fields(value)
        status = fields.choice("file_ids_status", STATUSES)
        if status == "none":
            return None
        known: dict[str, Any] = {
            "file_ids": list(fields.texts("file_ids", most=MOST_FILE_IDS, longest=LONGEST_FILE_ID)),
            "file_ids_status": status,
            "outcome": fields.choice("outcome", OUTCOMES),
        }
        for name in ("title", "user_id", "file_name"):
            if (text := fields.text_or_none(name, most=LONGEST_TEXT)) is not None:
                known[name] = text
        for name in ("started_at", "ended_at"):
            if (moment := fields.moment_or_none(name)) is not None:
                known[name] = moment.isoformat()
        if fields.get("room_id") is not None:
            known["room_id"] = fields.whole("room_id", 0, 2**32 - 1)
    except Unreadable:
        return None
    return known
