"""Buttons on a task instance's Details tab.

Airflow calls ``get_link`` on the worker once the task has ended or deferred, stores the address as an XCom, and drops what is
neither http, https nor of its own origin: an RTMP address gets no button.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

__all__ = ["PushConsoleLink", "RecordingConsoleLink", "WatchLiveLink"]


class WatchLiveLink(BaseOperatorLink):
    """The stream's HLS address, as the task's XCom ``hls_url`` has it."""

    name = "Watch live"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the address, or "" while there is none."""
        from airflow.sdk.execution_time.xcom import XCom

        url = XCom.get_value(ti_key=ti_key, key="hls_url")
        return url if isinstance(url, str) else ""


class PushConsoleLink(BaseOperatorLink):
    """Where the vendor's console lists the streams that are pushed now."""

    name = "Streams in Tencent's console"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the console's page of live streams."""
        return "https://console.cloud.tencent.com/live/streammanage"


class RecordingConsoleLink(BaseOperatorLink):
    """Where the vendor's console lists recordings: the place to look for a file name whose ids were lost."""

    name = "Recordings in Tencent's console"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the console's page of recorded media."""
        return "https://console.cloud.tencent.com/vod/media"
