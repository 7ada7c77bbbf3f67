"""Ends a broadcast from the triggerer: push and recording side by side, each on its own, and only then any note of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.leases import Claim, Kind, Lease, Ledger, Stopped
from airflow_provider_timav.runs import TaskKey
from airflow_provider_timav.triggers._sdk_calls import call_sdk, call_sdk_or_none
from airflow_provider_timav.videorelay import calls
from airflow_provider_timav.videorelay.errors import CertificateError, CredentialError, TimAVError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from airflow_provider_timav.hooks.timav import Settings
    from airflow_provider_timav.videorelay.aclient import AsyncClient

__all__ = ["Ended", "end"]

OPERATION_SECONDS: Final = 40.0
"""For one stop, its repeats included."""

HURRIED_SECONDS: Final = 11.0
"""The same where the trigger is taken away: Airflow then gives it 30 s for all it has to do."""

TOGETHER_SECONDS: Final = 0.5
"""How long the note of one stop waits for the other's: mostly they are answered together, and one note is cheaper."""

AGAIN_SECONDS: Final = 2.0
"""After which a stop that failed is tried once more, before the tasks and the reaper have their turn."""


STANDING_SECONDS: Final = 2.0
"""How long that try waits for Airflow to say whose the room is."""


@dataclass
class Ended:
    """What came of it.

    :param outcomes: by kind, of the stops that arrived.
    :param file_ids: what the stop of the recording was given.
    :param at: when the last stop was answered.
    :param errors: by kind, of the stops that did not arrive, for people.
    """

    outcomes: dict[Kind, str] = field(default_factory=dict)
    file_ids: tuple[str, ...] = ()
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    errors: dict[Kind, str] = field(default_factory=dict)


async def end(
    lease: Lease,
    ledger: Ledger,
    stops: Sequence[Kind],
    *,
    settings: Settings | None,
    look_up: Callable[[], Awaitable[Settings | None]],
    task_key: dict[str, Any],
    log: Any,
    seconds: float = OPERATION_SECONDS,
) -> Ended:
    """Stop what is ours, at once; then note the file ids in the task's XCom ``stopped`` and in the ledger.

    Push and recording do not wait for each other, and what came of the one is noted while the other still takes: the ids come
    only once, and a triggerer that dies takes along what is not noted. What an earlier trigger of this broadcast noted is kept.

    :param settings: the connection's, where they are known already.
    :param look_up: asks for them anew: where they are not known, and where they were refused (they may have been rotated).
    :param seconds: for each try of a stop; there are two.
    :returns: what came of it. A stop that failed is logged; its claim stays, so that others try.
    """
    ended = Ended()
    settings = settings or await look_up()

    async def stop(kind: Kind) -> None:
        known = settings
        for attempt in (1, 2):
            error = await _send(lease, kind, known, ended, seconds)
            if error is None:
                ended.errors.pop(kind, None)
                return
            # What is not our own error may say more than it should.
            ended.errors[kind] = str(error) if isinstance(error, TimAVError) else type(error).__name__
            why = error.with_advice if isinstance(error, TimAVError) else ended.errors[kind]
            log.error("The %s of %s in room %s is not stopped: %s", kind, lease.key.user_id, lease.key.room_id, why)
            if attempt == 1:
                await asyncio.sleep(0 if isinstance(error, CertificateError | CredentialError) else AGAIN_SECONDS)
                known = await look_up()
                if await _is_somebody_elses(lease, ledger, log):
                    log.warning("Room %s is held by another broadcast by now: nothing more is sent.", lease.key.room_id)
                    return

    under_way = {asyncio.create_task(stop(kind)) for kind in stops}
    try:
        while True:
            if under_way:
                _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            if under_way:
                _, under_way = await asyncio.wait(under_way, timeout=TOGETHER_SECONDS)
            said = (
                ", ".join(f"{kind} {outcome}" for kind, outcome in sorted(ended.outcomes.items()))
                or "nothing is stopped"
            )
            ids = f" File ids: {', '.join(ended.file_ids)}." if ended.file_ids else ""
            log.info("Room %s, %s: %s.%s", lease.key.room_id, lease.key.user_id, said, ids)
            if "record" in ended.outcomes and not ended.file_ids:
                ended.file_ids = await _noted_before(lease, ledger, task_key, log)
            await _note_for_tasks(ended, task_key, log)
            await _note_in_ledger(lease, ledger, ended, log)
            if not under_way:
                return ended
    finally:
        for task in under_way:
            task.cancel()


async def _is_somebody_elses(lease: Lease, ledger: Ledger, log: Any) -> bool:
    """Tell whether another broadcast has taken the room over, which it may 30 s after the end, and a try can take longer."""
    standing = await call_sdk_or_none(
        log, "The lease could not be read", lambda: ledger.standing(lease), at_most=STANDING_SECONDS
    )
    return standing == "theirs"


async def _send(lease: Lease, kind: Kind, settings: Settings | None, ended: Ended, seconds: float) -> Exception | None:
    """Send one stop and fill in what came of it; return what kept it from arriving."""
    if settings is None:
        return TimAVError(f"the connection {lease.key.timav_conn_id} could not be looked up")
    arguments = lease.key.stop_arguments(kind)
    try:
        # Certificates are read and checked: milliseconds that the loop does not have.
        client: AsyncClient = await asyncio.to_thread(TimAVHook(lease.key.timav_conn_id).async_client, settings)
        async with client:
            if kind == "push":
                ended.outcomes[kind] = (await client.call(calls.stop_push(**arguments), seconds=seconds)).outcome
            else:
                stopped = await client.call(calls.stop_record(**arguments), seconds=seconds)
                ended.outcomes[kind], ended.file_ids = stopped.outcome, stopped.file_ids
    except Exception as error:  # noqa: BLE001 - also a connection that somebody has broken must not end the trigger
        return error
    ended.at = datetime.now(UTC)
    return None


async def _noted_before(lease: Lease, ledger: Ledger, task_key: dict[str, Any], log: Any) -> tuple[str, ...]:
    """Return the file ids that a trigger before this one was given: a second stop answers with none."""

    def look() -> tuple[str, ...]:
        claim = ledger.claim("record", lease.generation)
        if claim is not None and claim.file_ids:
            return claim.file_ids
        return Stopped.noted_by(TaskKey(**task_key)).file_ids

    return await call_sdk_or_none(log, "What an earlier stop has noted could not be read", look) or ()


async def _note_for_tasks(ended: Ended, task_key: dict[str, Any], log: Any) -> None:
    note = Stopped({str(kind): outcome for kind, outcome in ended.outcomes.items()}, ended.file_ids, ended.at)
    try:
        await call_sdk(lambda: note.note(TaskKey(**task_key)))
    except Exception:  # the task may be gone
        log.warning("What was stopped could not be noted for the tasks.", exc_info=True)


async def _note_in_ledger(lease: Lease, ledger: Ledger, ended: Ended, log: Any) -> None:
    def note() -> None:
        for kind in ended.outcomes:
            claim = ledger.claim(kind, lease.generation)
            ids = ended.file_ids if kind == "record" else ()
            ledger.tell(
                kind, Claim(lease.generation, "stopped", None if claim is None else claim.start_id, file_ids=ids)
            )
        ledger.close(lease.generation)

    try:
        await call_sdk(note)
    except Exception:
        log.warning("What was stopped could not be noted in the ledger.", exc_info=True)
