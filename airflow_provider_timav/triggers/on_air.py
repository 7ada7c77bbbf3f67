"""Watch a broadcast that is on air, and end it: at its end, when a person stops it, or when its task is taken away."""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import random
import time
from collections.abc import AsyncIterator, Generator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_timav.triggers._sdk_calls import call_sdk_or_none, call_sdk_with_retries
from airflow_provider_timav.triggers._tasks import finished, load, uncancelled
from airflow_provider_timav.triggers.live_stream import MIN_AGE, START_SPREAD

if TYPE_CHECKING:
    from airflow_provider_timav.hooks.timav import Settings
    from airflow_provider_timav.leases import Kind, Lease, Ledger
    from airflow_provider_timav.leases.shutdown import ShutdownReport
    from airflow_provider_timav.stream.state import StreamState
    from airflow_provider_timav.triggers._clock import OnAirClock, Step

__all__ = ["OnAirTrigger"]

T = TypeVar("T")

_MODULES: Final = (
    "leases",
    "hooks.timav",
    "stream.reader",
    "triggers._clock",
    "triggers._shutdown",
    "videorelay.aclient",
)

LAST_WATCHES_SECONDS: Final = 1.0
"""How long the watches over a broadcast get to end, once it is over."""


class OnAirTrigger(BaseTrigger):
    """Ends the broadcast at its end, and fires one event.

    The end is absolute, so that a restart does not move it. The end in force is the one in the task's XCom ``control``, else
    the ledger's, else ``end``. The state of the stream, and an end that was moved, stand in the ledger (``…-watch``).

    The trigger stops the broadcast, not a later task: triggers run while a DAG is paused. Right after the stop it notes the
    file ids, in the task's XCom ``stopped`` and in the ledger, before the event: a triggerer that dies may take the event with
    it. No note is taken before a stop or keeps it from being sent.

    ``on_kill`` is called when the task is marked, cleared or timed out, when its DAG is deleted, and when the trigger moves to
    another triggerer. It stops the broadcast only if the task is in a final state or gone, and lease and generation are still
    its own. ``cleanup``, which also runs when a triggerer restarts, stops nothing.

    The event is ``{"status", "ended_at", "verdict", "since"}``: the status is ``deadline``, ``stopped`` (by a person),
    ``stream_ended``, ``stalled`` (with ``on_stall="notify"``: the broadcast goes on) or ``failed`` (with ``on_stall="fail"``).

    :param lease: `leases.Lease` as JSON.
    :param end: when the broadcast ends, ISO 8601 with a zone.
    :param task_key: `runs.TaskKey` of the task, as JSON.
    :param stops: which of ``push`` and ``record`` are ours to stop.
    :param hls_url: the stream to watch. Its query appears in no log and in no ``repr``.
    :param rtmp_url: the stream to watch if there is no HLS address, likewise. Without either, the trigger keeps only the time.
    :param until: ``deadline`` or ``stream_ended``.
    :param grace: seconds that a stream which was live may be gone before it has ended.
    :param on_stall: ``ignore``, ``notify`` or ``fail``.
    :param told: whether the current stall was reported already.

    Arguments of other versions are ignored.
    """

    def __init__(
        self,
        lease: dict[str, Any],
        end: str,
        task_key: dict[str, Any],
        stops: list[Kind],
        hls_url: str | None = None,
        until: str = "deadline",
        grace: float = 60.0,
        on_stall: str = "ignore",
        told: bool = False,
        rtmp_url: str | None = None,
        **_of_other_versions: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.lease = lease
        self.end = end
        self.task_key = task_key
        self.stops = stops
        self.hls_url = hls_url
        self.until = until
        self.grace = grace
        self.on_stall = on_stall
        self.told = told
        self.rtmp_url = rtmp_url
        self._watch: StreamState | None = None
        self._settings: Settings | None = None
        self._stopping: asyncio.Task[ShutdownReport] | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, which are JSON primitives."""
        names = ("lease", "end", "task_key", "stops", "hls_url", "rtmp_url", "until", "grace", "on_stall", "told")
        return "airflow_provider_timav.triggers.on_air.OnAirTrigger", {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        from airflow_provider_timav.stream.address import place

        classpath, arguments = self.serialize()
        for name in ("hls_url", "rtmp_url"):
            arguments[name] = place(arguments[name]) if arguments[name] else None
        shown: str = self.repr(classpath, arguments)
        return shown

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch, end the broadcast, and fire one event."""
        earliest = time.monotonic() + MIN_AGE
        await load(*_MODULES)
        lease, ledger = self._held()
        status = await self._until_over(lease, ledger)
        event: dict[str, Any] = {"status": status, "ended_at": datetime.now(UTC).isoformat()}
        if status != "stalled":
            event["ended_at"] = (await self._stop(lease, ledger, status)).at.isoformat()
        event |= {"verdict": "UNKNOWN", "since": None}
        if self._watch is not None:
            summary = self._watch.summary()
            event |= {"verdict": summary["verdict"], "since": summary["since"]}
        await asyncio.sleep(max(earliest - time.monotonic(), 0))
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]  # Airflow's

    async def on_kill(self) -> None:
        """Stop the broadcast if its task is over or gone, and the broadcast is still ours.

        Airflow promises 30 s for this. In fact it cancels the trigger again with each turn of its loop, about once a second,
        until it is done: so a task of its own does the work, which is not cancelled.
        """
        await finished(self._end_where_over())

    async def _end_where_over(self) -> None:
        await load(*_MODULES)
        from airflow_provider_timav.runs import FINAL_STATES, TaskKey

        # The end may have come before: another stop would be told "already stopped", and get no file ids.
        if self._stopping is not None and not (await self._stopping).errors:
            return
        lease, ledger = self._held()
        # Side by side, for there are 30 s for all of this.
        state, standing = await asyncio.gather(
            call_sdk_with_retries(TaskKey(**self.task_key).state),
            call_sdk_with_retries(lambda: ledger.lease_state(lease)),
        )
        if state is not None and state not in FINAL_STATES:
            self.log.info("The task is %s: the broadcast goes on, another trigger watches it.", state)
            return
        if standing != "ours":
            self.log.info(
                "The broadcast in room %s is over already, or another one holds the room by now.", lease.key.room_id
            )
            return
        self.log.warning("The task is %s: ending the broadcast in room %s.", state or "gone", lease.key.room_id)
        from airflow_provider_timav.triggers._shutdown import HURRIED_SECONDS

        await self._send_stops(lease, ledger, seconds=HURRIED_SECONDS)

    def _held(self) -> tuple[Lease, Ledger]:
        from airflow_provider_timav.leases import Lease, Ledger

        lease = Lease.from_json(self.lease)
        return lease, Ledger(lease.key.variable)

    # -- while it is on ------------------------------------------------------------------------------------------------

    @functools.cached_property
    def _clock(self) -> OnAirClock:
        from airflow_provider_timav.triggers._clock import OnAirClock

        return OnAirClock(datetime.fromisoformat(self.end), self.lease.get("room_id"))

    async def _until_over(self, lease: Lease, ledger: Ledger) -> str:
        """Return why the broadcast is to end, once it is."""
        known = await call_sdk_or_none(
            self.log, "The noted state of the stream could not be read", lambda: ledger.watch(lease.generation)
        )
        if known is not None:
            self._clock.moved_end = known.end
        looked_up = asyncio.create_task(self._look_up(lease))
        clock: asyncio.Task[str | None] = asyncio.create_task(self._until_end(lease, ledger))
        waits: set[asyncio.Task[str | None]] = {clock}
        if self._url:
            stream = self._until_stream_says(lease, ledger, known and known.stream, looked_up)
            waits.add(asyncio.create_task(stream))
        try:
            while True:
                done, waits = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for wait in done:
                    if (error := wait.exception()) is not None:
                        # Time and control must not go down with a probe of the stream, nor the end with either.
                        self.log.error("A watch over the broadcast has failed; the others go on.", exc_info=error)
                    elif (status := wait.result()) is not None:
                        return status
                if clock in done:
                    clock = asyncio.create_task(self._until_bare_end())
                    waits.add(clock)
        finally:
            rest: list[asyncio.Task[Any]] = [*waits, looked_up]
            for task in rest:
                task.cancel()
            # No longer than this: the stops come next, and a watch that does not end must not keep them waiting.
            ended, _ = await asyncio.wait(rest, timeout=LAST_WATCHES_SECONDS)
            for task in ended:
                if not task.cancelled():
                    task.exception()  # retrieve it, or asyncio logs "never retrieved"

    async def _until_end(self, lease: Lease, ledger: Ledger) -> str | None:
        """Return ``deadline`` at the end in force, or ``stopped`` when a person says so, or others have ended it."""
        over = await self._take(self._clock.steps(START_SPREAD), lease, ledger)
        if over.why:
            self.log.info("%s", over.why)
        return over.status

    async def _take(self, steps: Generator[Step, Any, T], lease: Lease, ledger: Ledger) -> T:
        """Take the steps of the clock, and return its decision."""
        answer: Any = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as decision:
                decided: T = decision.value
                return decided
            answer = await self._take_step(step, lease, ledger)

    async def _take_step(self, step: Step, lease: Lease, ledger: Ledger) -> Any:
        from airflow_provider_timav.leases import CONTROL
        from airflow_provider_timav.runs import TaskKey
        from airflow_provider_timav.triggers import _clock

        match step:
            case _clock.Sleep(seconds):
                await asyncio.sleep(seconds)
            case _clock.ReadControl(at_most):
                control = functools.partial(TaskKey(**self.task_key).raw_xcom, CONTROL)
                return await call_sdk_or_none(self.log, "The XCom control could not be read", control, at_most)
            case _clock.ReadLease(at_most):
                standing = functools.partial(ledger.lease_state, lease)
                return await call_sdk_or_none(self.log, "The lease could not be read", standing, at_most)
            case _clock.LookUpConnection(at_most):
                await self._look_up(lease, at_most)
            case _clock.Note(message, warning, at_most):
                self.log.log(logging.WARNING if warning else logging.INFO, "%s", message)
                await self._observe(lease, ledger, at_most)
        return None

    async def _until_bare_end(self) -> str | None:
        """Return ``deadline`` at the end that is known, even if all else has failed."""
        await asyncio.sleep(self._clock.left())
        return "deadline"

    @property
    def _url(self) -> str:
        """The address of the stream to watch; empty without one."""
        return self.hls_url or self.rtmp_url or ""

    async def _until_stream_says(
        self, lease: Lease, ledger: Ledger, memory: Any, looked_up: asyncio.Task[Settings | None]
    ) -> str | None:
        """Return ``stream_ended``, ``stalled`` or ``failed`` once the stream is in such a state, and the options say so."""
        from airflow_provider_timav.stream.reader import follow, shared_reader
        from airflow_provider_timav.stream.state import StreamState
        from airflow_provider_timav.stream.verdict import Verdict

        self._watch = StreamState.from_json(memory)
        if self._watch.verdict is Verdict.LIVE:
            self.told = False  # since that report, the stream has played again
        began, status = time.time(), ""

        async def enough(watch: StreamState) -> bool:
            nonlocal status
            before, self._watch = self._watch, watch
            if before is None or watch.is_news(before):
                why = f" ({watch.reason})" if watch.reason else ""
                self.log.info("The stream of room %s is %s%s", lease.key.room_id, watch.verdict.value, why)
                await self._observe(lease, ledger)
            if watch.verdict is Verdict.LIVE:
                self.told = False
            if self.until == "stream_ended" and watch.is_over:
                status = "stream_ended"
            elif self.on_stall != "ignore" and not self.told and watch.seen_stalled(began, grace=self.grace):
                status = "stalled" if self.on_stall == "notify" else "failed"
            return bool(status)

        settings = await asyncio.shield(looked_up)
        async with shared_reader(None if settings is None else settings.proxy) as reader:
            await asyncio.sleep(random.uniform(0, START_SPREAD))  # noqa: S311 - it keeps no secret
            await follow(reader, self._url, self._watch, grace=self.grace, enough=enough)
        return status

    async def _observe(self, lease: Lease, ledger: Ledger, at_most: float = math.inf) -> None:
        """Note the state of the stream in the ledger, which outlives a triggerer, and where the page reads it."""
        from airflow_provider_timav.leases import Watch

        stream = None if self._watch is None else self._watch.to_json()
        watch = Watch(lease.generation, self._clock.moved_end, stream, self._clock.error)
        trouble = "The state of the stream could not be stored"
        await call_sdk_or_none(self.log, trouble, lambda: ledger.observe(watch), at_most=at_most)

    # -- the end -------------------------------------------------------------------------------------------------------

    async def _look_up(self, lease: Lease, at_most: float = math.inf) -> Settings | None:
        from airflow_provider_timav.hooks.timav import TimAVHook

        access = TimAVHook(lease.key.timav_conn_id).settings
        found = await call_sdk_or_none(self.log, "The connection could not be looked up", access, at_most=at_most)
        if found is not None:
            self._settings = found
        return self._settings

    async def _stop(self, lease: Lease, ledger: Ledger, status: str) -> ShutdownReport:
        """Stop what is ours, and note it."""
        from airflow_provider_timav.leases.shutdown import ShutdownReport

        if not await self._take(self._clock.last_check(status), lease, ledger):
            self.log.warning(
                "The broadcast in room %s was ended already (its lease: %s): sending nothing.",
                *(lease.key.room_id, self._clock.lease_state),
            )
            return ShutdownReport()
        return await self._send_stops(lease, ledger)

    async def _send_stops(self, lease: Lease, ledger: Ledger, **limits: float) -> ShutdownReport:
        from airflow_provider_timav.runs import TaskKey
        from airflow_provider_timav.triggers._shutdown import stop_broadcast

        # File ids come only once: a cancellation of the trigger between a stop and its note would lose them.
        self._stopping = uncancelled(
            stop_broadcast(
                lease,
                ledger,
                self.stops,
                settings=self._settings,
                look_up=lambda: self._look_up(lease),
                on_air=TaskKey(**self.task_key),
                log=self.log,
                **limits,
            )
        )
        report = await asyncio.shield(self._stopping)
        if report.errors:
            faults = (f"The {kind} is not stopped: {report.reason(kind)}" for kind in report.errors)
            self._clock.error = "; ".join(faults)
            await self._observe(lease, ledger)
        return report
