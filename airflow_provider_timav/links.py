"""Buttons on a task instance's Details tab.

Airflow calls ``get_link`` on the worker once the task has ended or deferred, stores the address as an XCom, and drops addresses
that are neither http, https nor of its own origin: an RTMP address gets no button. To show a button while its task runs, its
XCom is pushed early: by `show_links` before the operation if the address is known by then, else by the start of the push.
"""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperatorLink, conf

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

    from airflow_provider_timav.runs import TaskKey

__all__ = ["PushConsoleLink", "RecordingConsoleLink", "RecordingLink", "WatchLiveLink", "live_page", "show_links"]


def live_page(hls_url: str, *, broadcast: bool) -> str:
    """Return the address at which a browser shows this stream.

    :param broadcast: whether it belongs to a `Broadcast`, which the page Broadcasts shows and plays; for any other stream the
        result is its own address.
    """
    return page("plugin/timav-broadcasts") if broadcast else hls_url


def page(path: str) -> str:
    """Return the address of a page of Airflow's interface, below the path at which Airflow is served."""
    return f"{urllib.parse.urlsplit(conf.get('api', 'base_url', fallback='') or '').path.rstrip('/')}/{path}"


def xcom_page(task: TaskKey) -> str:
    """Return Airflow's page of a task's XComs."""
    dag_id, run_id, task_id = (urllib.parse.quote(part, safe="") for part in (task.dag_id, task.run_id, task.task_id))
    mapped = f"/mapped/{task.map_index}" if task.map_index >= 0 else ""
    return page(f"dags/{dag_id}/runs/{run_id}/tasks/{task_id}{mapped}/xcom")


class _Link(BaseOperatorLink):
    """A button; ``early`` says whether its address is known before the operation."""

    early: ClassVar[bool] = True


class WatchLiveLink(_Link):
    """Lead to a page that plays the stream of the task's XCom ``hls_url``."""

    name = "Watch live"
    early = False

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the address, or "" while there is none."""
        from airflow.sdk.execution_time.xcom import XCom

        url = XCom.get_value(ti_key=ti_key, key="hls_url")
        broadcast = bool(getattr(operator, "lease", None))
        return live_page(url, broadcast=broadcast) if isinstance(url, str) else ""


class RecordingLink(_Link):
    """Lead to the run's recording: the XComs of the task that hands its file ids on.

    That is the broadcast's ``result``, and outside of a broadcast the task itself.
    """

    name = "Recording of this run"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the page."""
        from airflow_provider_timav.leases import given_lease
        from airflow_provider_timav.runs import TaskKey

        lease = given_lease(getattr(operator, "lease", None))
        return xcom_page(TaskKey.of(ti_key) if lease is None else lease.owner.task("result"))


class PushConsoleLink(_Link):
    """Lead to the vendor's list of the streams that are pushed now."""

    name = "Streams in Tencent's console"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the console's page of live streams."""
        return "https://console.cloud.tencent.com/live/streammanage"


class RecordingConsoleLink(_Link):
    """Lead to the vendor's list of recordings: search it for a file name whose ids were lost."""

    name = "Recordings in Tencent's console"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the console's page of recorded media."""
        return "https://console.cloud.tencent.com/vod/media"


def show_links(operator: BaseOperator, ti: Any) -> None:
    """Show the buttons whose address is known from now on: for ``pre_execute``.

    If a button cannot be shown, the operation is sent all the same.
    """
    for link in operator.operator_extra_links:
        if not getattr(link, "early", False):
            continue
        try:
            ti.xcom_push(key=link.xcom_key, value=link.get_link(operator, ti_key=ti))
        except Exception:  # whatever Airflow, or a lease that is none, raises
            operator.log.warning("The button %r is not there while the task runs.", link.name, exc_info=True)
