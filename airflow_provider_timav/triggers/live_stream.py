"""Waits in the triggerer until a live stream is live, or has ended."""

from __future__ import annotations

import asyncio
import importlib
import random
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_timav.runs import TaskKey
from airflow_provider_timav.triggers._sdk_calls import call_sdk_or_none, call_sdk_with_retries

if TYPE_CHECKING:
    from airflow_provider_timav.stream.state import StreamState

__all__ = ["LiveStreamTrigger"]

MIN_AGE = 10.0
"""Seconds. The scheduler fails a task whose trigger fires while the deferral itself is still being stored; seen live with
triggers that fired at once."""

START_SPREAD = 2.0
"""Seconds over which first probes are spread: a triggerer starts hundreds of triggers in the same moment."""

MEMORY = "watch"
"""The key of the XCom that holds the state of the stream. A triggerer may be restarted at any time, and only this tells a
stream that has ended from one that has not begun."""


class LiveStreamTrigger(BaseTrigger):
    """Fires once a stream is ``until``, can no longer be, or the deadline is over.

    All triggers of one loop that go through the same proxy share one client. Nothing in here blocks the loop: slow work
    (imports, certificates, Airflow's own calls) runs in threads.

    The event is ``{"status", "verdict", "since", "tail", "target_duration"}``: the status is ``reached``, ``ended`` (the
    stream is over and ``until`` is ``live``) or ``timeout``; the rest is `StreamState.summary`. It holds no address, since
    Airflow logs events.

    :param url: the address of the HLS playlist, or of the RTMP stream. Its query appears in no log and in no ``repr``.
    :param until: ``live`` or ``ended``.
    :param grace: seconds that a stream which was live may be gone before it has ended.
    :param deadline: when to give up: ISO 8601 with a zone, or seconds since the epoch; None waits for ever.
    :param timav_conn_id: a connection of which only ``proxy`` is used.
    :param task_key: ``{"dag_id", "run_id", "task_id", "map_index"}`` of the task that waits. Its XCom ``watch`` keeps the
        state of the stream, with ``until="ended"``; to become live needs no memory.

    Arguments of other versions, which it does not know, are ignored.
    """

    def __init__(
        self,
        url: str,
        until: str = "live",
        grace: float = 60.0,
        deadline: str | float | None = None,
        timav_conn_id: str | None = None,
        task_key: dict[str, Any] | None = None,
        **_of_other_versions: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.url = url
        self.until = until
        self.grace = grace
        self.deadline = deadline
        self.timav_conn_id = timav_conn_id
        self.task_key = task_key

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, which are JSON primitives."""
        return (
            "airflow_provider_timav.triggers.live_stream.LiveStreamTrigger",
            {
                "url": self.url,
                "until": self.until,
                "grace": self.grace,
                "deadline": self.deadline,
                "timav_conn_id": self.timav_conn_id,
                "task_key": self.task_key,
            },
        )

    def __repr__(self) -> str:
        from airflow_provider_timav.stream.address import place

        classpath, arguments = self.serialize()
        shown: str = self.repr(classpath, {**arguments, "url": place(self.url)})
        return shown

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and fire one event.

        :raises ValueError: if an argument cannot be understood. Whatever the stream does raises nothing.
        :raises RtmpNotInstalled: if it is an RTMP stream, and the triggerer lacks the extra ``rtmp``.
        """
        earliest = time.monotonic() + MIN_AGE
        event = await self._wait()
        await asyncio.sleep(max(earliest - time.monotonic(), 0))
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]  # Airflow's

    async def _wait(self) -> dict[str, Any]:
        if self.until not in ("live", "ended"):
            raise ValueError(f"until must be live or ended, not {self.until!r}")
        await asyncio.to_thread(importlib.import_module, "airflow_provider_timav.stream.reader")
        from airflow_provider_timav.stream.reader import follow, shared_reader
        from airflow_provider_timav.stream.state import StreamState
        from airflow_provider_timav.stream.verdict import Verdict

        deadline = _epoch(self.deadline)
        remaining = None if deadline is None else deadline - time.time()
        goal = Verdict.LIVE if self.until == "live" else Verdict.ENDED
        known = StreamState()

        async def enough(state: StreamState) -> bool:
            nonlocal known
            before, known = known, state
            if state.is_news(before):
                await self._report(state)
            return state.verdict is goal or state.is_over

        try:
            async with asyncio.timeout(remaining) as limit:
                proxy = await call_sdk_with_retries(lambda: _proxy(self.timav_conn_id)) if self.timav_conn_id else None
                known = await self._recall()
                async with shared_reader(proxy) as reader:
                    await asyncio.sleep(random.uniform(0, START_SPREAD))  # noqa: S311  # it keeps no secret
                    await follow(reader, self.url, known, grace=self.grace, enough=enough)
        except TimeoutError:
            if not limit.expired():
                raise
        if known.verdict is goal:
            return {"status": "reached", **known.summary()}
        status = "ended" if known.is_over else "timeout"
        return {"status": status, **known.summary()}

    async def _report(self, state: StreamState) -> None:
        """Log a new verdict, and store the state."""
        from airflow_provider_timav.stream.address import place

        why = f" ({state.reason})" if state.reason else ""
        self.log.info("%s is %s%s", place(self.url), state.verdict.value, why)
        # The next probe of a stream that never was live finds as much as any memory holds.
        if not state.was_live or (key := self._key()) is None:
            return
        # If it fails the wait goes on, and only a restart would miss it.
        trouble = "The stream's state could not be stored"
        await call_sdk_or_none(self.log, trouble, lambda: key.set_raw_xcom(MEMORY, state.to_json()))

    def _key(self) -> TaskKey | None:
        """Return the task whose XCom holds the memory, or None if there is nothing to remember or no such task."""
        if self.until != "ended":
            return None
        if self.task_key is not None:
            return TaskKey(**self.task_key)
        if (ti := self.task_instance) is None:
            return None
        return TaskKey.of(ti)

    async def _recall(self) -> StreamState:
        from airflow_provider_timav.stream.state import StreamState

        if (key := self._key()) is None:
            return StreamState()
        trouble = "The stream's state could not be read; the wait begins anew"
        return StreamState.from_json(await call_sdk_or_none(self.log, trouble, lambda: key.raw_xcom(MEMORY)))


def _proxy(timav_conn_id: str | None) -> str | None:
    if timav_conn_id is None:
        return None
    from airflow_provider_timav.hooks.timav import TimAVHook

    return TimAVHook(timav_conn_id).proxy


def _epoch(deadline: str | float | None) -> float | None:
    if deadline is None or isinstance(deadline, int | float):
        return deadline
    moment = datetime.fromisoformat(deadline)
    if moment.tzinfo is None:
        raise ValueError(f"deadline must have a time zone: {deadline}")
    return moment.timestamp()
