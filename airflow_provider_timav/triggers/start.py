"""Send starts from the triggerer: at the second, or as soon as the host is there, without a worker."""

from __future__ import annotations

import asyncio
import functools
import time
import uuid
from collections.abc import AsyncIterator, Collection, Generator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_timav.triggers._tasks import finished, load, uncancelled
from airflow_provider_timav.triggers.live_stream import MIN_AGE

if TYPE_CHECKING:
    from airflow_provider_timav.leases import Kind, Lease
    from airflow_provider_timav.triggers._bookkeeping import Bookkeeping
    from airflow_provider_timav.triggers._sender import Sender
    from airflow_provider_timav.triggers._start_steps import Outcome, Step
    from airflow_provider_timav.triggers._starting import Starting

__all__ = ["StartTrigger"]

_MODULES: Final = (
    "hooks.timav",
    "triggers._bookkeeping",
    "triggers._sender",
    "triggers._shutdown",
    "triggers._starting",
    "videorelay.aclient",
)

IN_AIR_SECONDS: Final = 12.0
"""How long ``on_kill`` waits for the answer to a start: Airflow gives it 30 s for all of its work."""


class StartTrigger(BaseTrigger):
    """Sends a push, a recording, or a push and then its recording, and fires one event.

    It waits until ``at``, then for the host: it polls, by sending the start, every 2 s at first, and every 10 s after ten
    minutes. All triggers of one loop share a client for each connection. Claims and results are noted where the task's stops
    and other instances of the trigger find them (`leases.start_notes`), the claim before the first post. Airflow may run two
    instances at the same time; `triggers._starting` says how they keep out of each other's way.

    ``on_kill`` is called when the task is marked, cleared or timed out, when its DAG is deleted, and when the trigger moves to
    another triggerer. It stops what may be on air only if the task is in a final state or gone. ``cleanup``, which also runs
    when a triggerer restarts, stops nothing.

    The event is ``{"status", "error"}``: the status is ``started``; ``failed``, with the error's class, message and facts, and
    ``in_doubt`` if something may have been started; or ``refused`` (the broadcast was ended, or another one holds the room). It
    holds no address, since Airflow logs events.

    :param timav_conn_id: the id of the connection.
    :param starts: ``{"kind", "arguments", "earlier"}`` of each start, in their order: those of ``hook.start_push`` or
        ``hook.start_record``, and what earlier tries left (`Earlier`). A viewers' password may be among the arguments: Airflow
        encrypts them, and no log and no ``repr`` shows them.
    :param task_key: `runs.TaskKey` of the task, as JSON.
    :param attempt: tells this deferral of the task from others.
    :param policy: what to do about one that runs already.
    :param until: until when the host is waited for, ISO 8601 with a zone; None polls once.
    :param at: when to start, ISO 8601 with a zone; None starts at once.
    :param lease: `leases.Lease` as JSON, if the starts belong to a broadcast.

    Arguments of other versions are ignored.
    """

    def __init__(
        self,
        timav_conn_id: str,
        starts: list[dict[str, Any]],
        task_key: dict[str, Any],
        attempt: str,
        policy: str = "recover",
        until: str | None = None,
        at: str | None = None,
        lease: dict[str, Any] | None = None,
        **_of_other_versions: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.timav_conn_id = timav_conn_id
        self.starts = starts
        self.task_key = task_key
        self.attempt = attempt
        self.policy = policy
        self.until = until
        self.at = at
        self.lease = lease
        self._name = f"{attempt}-{uuid.uuid4().hex[:8]}"
        self._stepping_back: asyncio.Task[None] | None = None
        self._answered: set[Kind] = set()
        self._is_over = False
        self._starting: Starting | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, which are JSON primitives."""
        names = ("timav_conn_id", "starts", "task_key", "attempt", "policy", "until", "at", "lease")
        return "airflow_provider_timav.triggers.start.StartTrigger", {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        classpath, arguments = self.serialize()
        arguments["starts"] = [start["kind"] for start in self.starts]
        shown: str = self.repr(classpath, arguments)
        return shown

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Send the starts, and fire one event."""
        earliest = time.monotonic() + MIN_AGE
        await load(*_MODULES)
        from airflow_provider_timav.triggers._start_steps import Fenced, event_of

        try:
            outcome = await self._take(self._begin().steps())
            outcome = await self._settled(outcome)
            await self._sender.close()
        except BaseException:
            self._stepping_back = uncancelled(self._step_back())
            raise
        if isinstance(outcome, Fenced):
            self.log.info("Another instance of this trigger sends the start; this one does nothing more.")
            await asyncio.Event().wait()
            return
        await asyncio.sleep(max(earliest - time.monotonic(), 0))
        yield TriggerEvent(event_of(outcome))  # type: ignore[no-untyped-call]  # Airflow's

    async def on_kill(self) -> None:
        """Stop what may be on air if the task is over or gone; else leave it to the next instance."""
        await finished(self._end_where_over())

    def _begin(self) -> Starting:
        from airflow_provider_timav.leases.start_protocol import Earlier, parse_policy
        from airflow_provider_timav.reading import Unreadable
        from airflow_provider_timav.triggers._start_steps import Planned
        from airflow_provider_timav.triggers._starting import Starting

        planned: list[Planned] = []
        for start in self.starts:
            try:
                earlier = Earlier.from_json(start["earlier"]) if start.get("earlier") else Earlier()
            except Unreadable:
                earlier = Earlier(claim="sent")
            known = {"file_name": start["arguments"]["file_name"]} if start["kind"] == "record" else None
            planned.append(Planned(start["kind"], earlier, known))
        self._starting = Starting(
            planned,
            parse_policy(self.policy),
            at=None if self.at is None else datetime.fromisoformat(self.at),
            until=None if self.until is None else datetime.fromisoformat(self.until),
            end=None if self._held is None else self._held.end,
            name=self._name,
            attempt=self.attempt,
        )
        return self._starting

    @functools.cached_property
    def _sender(self) -> Sender:
        from airflow_provider_timav.triggers._sender import Sender

        return Sender(self.timav_conn_id, {start["kind"]: start["arguments"] for start in self.starts}, self.log)

    @functools.cached_property
    def _held(self) -> Lease | None:
        from airflow_provider_timav.leases import Lease

        return None if self.lease is None else Lease.from_json(self.lease)

    @functools.cached_property
    def _books(self) -> Bookkeeping:
        from airflow_provider_timav.runs import TaskKey
        from airflow_provider_timav.triggers._bookkeeping import Bookkeeping

        assert self._starting is not None  # noqa: S101 - nothing is read or written before
        return Bookkeeping(TaskKey(**self.task_key), self._held, self._starting, self.log)

    # -- the steps -----------------------------------------------------------------------------------------------------

    async def _take(self, steps: Generator[Step, Any, Outcome]) -> Outcome:
        answer: Any = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome
            answer = await self._take_step(step)

    async def _take_step(self, step: Step) -> Any:
        from airflow_provider_timav.triggers import _start_steps as steps

        match step:
            case steps.Sleep(seconds):
                await asyncio.sleep(seconds)
            case steps.PostStart(kind):
                return await self._sender.start(kind)
            case steps.PostRestart(kind):
                return await self._sender.restart(kind)
            case steps.NoteDecision(kind, decision):
                self._books.begin_note(kind, decision)
            case steps.ReadLeft(kind):
                return await self._books.read(kind)
            case steps.WriteClaims(kinds):
                return await self._books.write_claims(kinds)
            case steps.CheckBroadcast():
                return await self._books.check()
            case steps.ReadLease(at_most):
                return await self._books.lease_state(at_most)
            case steps.Prepare():
                await self._sender.prepare()
        return None

    async def _settled(self, outcome: Outcome) -> Outcome:
        """Return what the outcome comes to once it is noted: another instance, or the end of the broadcast, may precede it."""
        from airflow_provider_timav.triggers._start_steps import Fenced, Refused, Started

        noted = await self._books.all_noted()
        if isinstance(outcome, Refused):
            # A stop may have come before a start that was under way.
            await self._stop(self._kinds_on_air())
        if not isinstance(outcome, Started) or self.lease is None:
            return outcome if noted else Fenced()
        if (refusal := (await self._books.check_for_certain()).refusal) is not None:
            await self._stop(self._kinds_on_air())
            return Refused(refusal)
        return outcome if noted else Fenced()

    # -- taken away ----------------------------------------------------------------------------------------------------

    async def _step_back(self) -> None:
        """Leave the start to the next instance: note what was answered meanwhile, or that nothing was sent.

        Airflow has cancelled this one: its triggerer is restarted, the trigger is moved, or the task was taken away.
        """
        from airflow_provider_timav.leases.start_protocol import Done
        from airflow_provider_timav.videorelay.errors import TimAVError

        if (starting := self._starting) is None:
            return
        for kind in starting.unanswered:
            answer = await self._sender.last_answer(kind)
            if isinstance(answer, TimAVError):
                if answer.executed == "no":
                    starting.settle(kind)
            elif answer is not None:
                self._answered.add(kind)
                if self._is_over:
                    await self._stop([kind])
                else:
                    await self._books.note(kind, Done(answer, "ours"))
        await self._books.all_noted()
        await self._sender.close()
        await self._books.return_claims()

    def _kinds_on_air(self) -> list[Kind]:
        return [] if self._starting is None else [*{*self._starting.may_be_on_air, *self._answered}]

    async def _end_where_over(self) -> None:
        await load(*_MODULES)
        from airflow_provider_timav.runs import FINAL_STATES

        if self._starting is None:
            self._begin()  # an instance before this one may have come further
        state = await self._books.task_state()
        if state is not None and state not in FINAL_STATES:
            self.log.info("The task is %s: another instance of the trigger goes on.", state)
            return
        self._is_over = True
        if self._stepping_back is not None:
            # A stop that overtakes a start would leave that on air: what is answered later is stopped then.
            await asyncio.wait([self._stepping_back], timeout=IN_AIR_SECONDS)
        others = await self._books.claimed_by_others(is_success=state == "success")
        if kinds := {*self._kinds_on_air(), *others}:
            self.log.warning("The task is %s: stopping what it may have on air.", state or "gone")
            await self._stop(kinds, others)

    async def _stop(self, kinds: Collection[Kind], others: Collection[Kind] = ()) -> None:
        """Stop these kinds, but for those that another instance has taken over.

        :param others: the kinds of dead instances, which are stopped as well.
        """
        kinds = [kind for kind in kinds if kind in others or not await self._books.is_replaced(kind)]
        if not kinds:
            return
        lease = self._held
        if lease is None:
            for kind in kinds:
                await self._sender.stop(kind)
            return
        from airflow_provider_timav.leases import Ledger
        from airflow_provider_timav.triggers._shutdown import HURRIED_SECONDS, stop_broadcast

        ledger = Ledger(lease.key.variable)
        if await self._books.lease_state() == "theirs":
            self.log.info("Another broadcast holds room %s by now.", lease.key.room_id)
            return
        await stop_broadcast(
            lease,
            ledger,
            kinds,
            settings=self._sender.settings,
            look_up=self._sender.look_up_anew,
            on_air=lease.owner.task("on_air"),
            log=self.log,
            seconds=HURRIED_SECONDS,
        )
