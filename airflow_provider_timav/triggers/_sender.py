"""Send the starts of one trigger: over the client that all triggers share, with the connection as it is now."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_timav.hooks.timav import Settings, TimAVHook
from airflow_provider_timav.interrupted import is_all_in_one
from airflow_provider_timav.triggers._clients import SharedClient, shared_client
from airflow_provider_timav.triggers._sdk_calls import call_sdk
from airflow_provider_timav.triggers._tasks import uncancelled
from airflow_provider_timav.videorelay import calls
from airflow_provider_timav.videorelay.errors import CertificateError, CredentialError, TimAVError, TransportError

if TYPE_CHECKING:
    from airflow_provider_timav.leases import Kind
    from airflow_provider_timav.videorelay.calls import Call

__all__ = ["Sender", "was_posted"]

POST_SECONDS: Final = 20.0
"""For one post of a start. It is sent once: a lost answer is settled by the next poll."""

STOP_SECONDS: Final = 11.0
"""For a stop, its repeats included."""

MOMENT_SECONDS: Final = 1.0
"""The service needs a moment between the end of a stream and the next start of the same one."""

SETTINGS_SECONDS: Final = 60.0
"""How often the connection is looked up anew while the host is polled for: credentials may be rotated."""

REFUSED_SECONDS: Final = 10.0
"""The same after certificate or credential were refused."""

LOOK_UP_SECONDS: Final = 10.0
"""Longest wait for a look-up of the connection."""

Answer = Mapping[str, Any] | TimAVError

_POSTED: Final[set[tuple[Any, ...]]] = set()
"""The starts that were posted in a process that is task and trigger in one."""


def was_posted(timav_conn_id: str, kind: Kind, arguments: Mapping[str, Any]) -> bool:
    """Tell whether a trigger in this process has posted a start, if task and trigger share it (``airflow dags test``)."""
    return _mark(timav_conn_id, kind, arguments) in _POSTED


def _mark(timav_conn_id: str, kind: Kind, arguments: Mapping[str, Any]) -> tuple[Any, ...]:
    return timav_conn_id, kind, *(arguments.get(name) for name in ("room_id", "user_id", f"{kind}_data_type"))


class Sender:
    """Sends starts, restarts and stops. Close it after use.

    :param arguments: those of each start, by kind; see ``calls``.
    :param log: of the trigger.
    """

    def __init__(self, timav_conn_id: str, arguments: Mapping[Kind, Mapping[str, Any]], log: Any) -> None:
        self.settings: Settings | None = None
        """The connection's, once it was looked up."""
        self._sent: dict[Kind, asyncio.Task[Mapping[str, Any]]] = {}
        self._timav_conn_id = timav_conn_id
        self._arguments = arguments
        self._log = log
        self._looked_up = -math.inf
        self._lent: tuple[Settings, SharedClient, contextlib.AsyncExitStack] | None = None

    async def prepare(self) -> None:
        """Look the connection up, and load its key. What fails here, fails again with the post, which reports it."""
        with contextlib.suppress(Exception):
            await (await self._client()).open()

    async def start(self, kind: Kind) -> Answer:
        """Send a start; return its result as plain data without None, or the error that it came to."""
        return await self._answer(kind, self._start(kind))

    async def restart(self, kind: Kind) -> Answer:
        """Send the stop, give the service a moment, and send the start; return its answer, or the stop's error."""

        async def both() -> Mapping[str, Any]:
            await self._stop(kind)
            await asyncio.sleep(MOMENT_SECONDS)
            return await self._start(kind)

        return await self._answer(kind, both())

    async def last_answer(self, kind: Kind) -> Answer | None:
        """Return the answer to what was sent last, also if the trigger was cancelled meanwhile; None if none is known."""
        if kind not in self._sent:
            return None
        try:
            return await asyncio.shield(self._sent[kind])
        except TimAVError as error:
            return error
        except Exception:  # noqa: BLE001 - what it was is in the log of the trigger; nothing is known of the start
            return None

    async def stop(self, kind: Kind) -> None:
        """Send the stop of what was started; log what keeps it from arriving."""
        try:
            await self._stop(kind)
        except Exception as error:  # noqa: BLE001 - also a connection that a person has broken
            why = error.with_advice if isinstance(error, TimAVError) else type(error).__name__
            self._log.error("The %s may still be on air: %s", kind, why)

    async def look_up_anew(self) -> Settings | None:
        """Look the connection up; return what is known of it."""
        self._looked_up = -math.inf
        with contextlib.suppress(Exception):
            return await self._look_up()
        return self.settings

    async def close(self) -> None:
        """Give the shared client back."""
        lent, self._lent = self._lent, None
        if lent is not None:
            await lent[2].aclose()

    async def _answer(self, kind: Kind, send: Coroutine[Any, Any, Mapping[str, Any]]) -> Answer:
        # A start must not be left half-way if the trigger is cancelled: what it has started would be known to nothing.
        sending = self._sent[kind] = uncancelled(send)
        answer: Answer
        try:
            answer = await asyncio.shield(sending)
        except TimAVError as error:
            answer = error
        if isinstance(answer, CertificateError | CredentialError):
            # They may have been rotated; looked up by every trigger at every poll, they would block the others' calls.
            self._looked_up = min(self._looked_up, time.monotonic() - SETTINGS_SECONDS + REFUSED_SECONDS)
            if self._lent is not None:
                self._lent[1].retire()
        return answer

    async def _start(self, kind: Kind) -> Mapping[str, Any]:
        make = calls.start_push if kind == "push" else calls.start_record
        if is_all_in_one():
            _POSTED.add(_mark(self._timav_conn_id, kind, self._arguments[kind]))
        result = await (await self._client()).call(make(**self._arguments[kind]), max_posts=1, seconds=POST_SECONDS)
        found: dict[str, Any] = result.model_dump(mode="json", exclude_none=True)
        return found

    async def _stop(self, kind: Kind) -> None:
        make: Any = calls.stop_push if kind == "push" else calls.stop_record
        identity = ("room_id", "user_id", "sdk_type", f"{kind}_data_type")
        given = self._arguments[kind]
        call: Call[Any] = make(**{name: given[name] for name in identity if name in given})
        # A client of its own: it must not wait behind those who poll.
        hook = TimAVHook(self._timav_conn_id)
        async with await asyncio.to_thread(hook.async_client, await self._look_up()) as client:
            stopped = await client.call(call, seconds=STOP_SECONDS)
        if file_ids := getattr(stopped, "file_ids", ()):
            self._log.warning("The recording that ran before ended with the file ids %s.", ", ".join(file_ids))

    async def _client(self) -> SharedClient:
        settings = await self._look_up()
        if self._lent is None or self._lent[0] != settings or self._lent[1].is_old:
            await self.close()
            stack = contextlib.AsyncExitStack()
            shared = await stack.enter_async_context(shared_client(self._timav_conn_id, settings))
            self._lent = settings, shared, stack
        return self._lent[1]

    async def _look_up(self) -> Settings:
        """Return the connection's settings, looked up anew now and then.

        :raises TimAVError: if they are wrong, or cannot be looked up.
        """
        if self.settings is None or time.monotonic() - self._looked_up >= SETTINGS_SECONDS:
            try:
                self.settings = await call_sdk(TimAVHook(self._timav_conn_id).settings, LOOK_UP_SECONDS)
            except TimAVError:
                raise
            except Exception as trouble:  # noqa: BLE001 - whatever Airflow or a secrets backend raises
                if self.settings is None:
                    why = f"the connection {self._timav_conn_id} could not be looked up ({type(trouble).__name__})"
                    raise TransportError(why) from None
                self._log.warning("The connection could not be looked up anew.", exc_info=True)
            self._looked_up = time.monotonic()
        return self.settings
