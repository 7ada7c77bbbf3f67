"""The results of the videorelay API, as the hook returns them: frozen, with the closed sets of outcomes that are promised."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = [
    "FileIdsStatus",
    "KickMembersResult",
    "LiveUrl",
    "StartPushResult",
    "StartRecordResult",
    "StopPushResult",
    "StopRecordResult",
]

StartOutcome = Literal["started", "recovered", "adopted", "restarted", "not_requested"]
StopOutcome = Literal["stopped", "already_stopped", "gone", "never_started", "not_ours"]
FileIdsStatus = Literal["complete", "recovered", "none", "lost"]


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class LiveUrl(_Result):
    """One address of a stream: ``type`` is ``hls`` or ``rtmp``, ``rate`` is ``original``, ``sd`` (550K) or ``hd`` (900K)."""

    type: Literal["hls", "rtmp"]
    rate: str
    url: str


class StartPushResult(_Result):
    """The URLs and ids of a started push. ``channel_id`` is text: it exceeds what JavaScript, and so the UI, can count.

    ``hls_url`` and ``rtmp_url`` are those of the original rate if there is one. ``tape_task_id`` is there only with
    ``tape_flag``; no file id of such a recording ever comes through this API.
    """

    outcome: StartOutcome = "started"
    live_urls: tuple[LiveUrl, ...] = ()
    hls_url: str | None = None
    rtmp_url: str | None = None
    channel_id: str | None = None
    tape_task_id: str | None = None


class StopPushResult(_Result):
    """How a push ended: ``outcome``."""

    outcome: StopOutcome = "stopped"


class StartRecordResult(_Result):
    """The name under which a started recording is found in the vendor's console."""

    outcome: StartOutcome = "started"
    file_name: str


class StopRecordResult(_Result):
    """The recording's file ids, as text, and whether they are all there is (``file_ids_status``)."""

    outcome: StopOutcome = "stopped"
    file_ids: tuple[str, ...] = ()
    file_ids_status: FileIdsStatus = "complete"


class KickMembersResult(_Result):
    """The members whose removal was requested; the service does not confirm that they are gone."""

    outcome: Literal["requested"] = "requested"
    user_ids: tuple[str, ...]
