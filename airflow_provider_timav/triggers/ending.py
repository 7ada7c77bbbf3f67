"""Ends a show from the triggerer: push and recording side by side, each on its own, and only then any note of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.leases import Claim, Kind, Lease, Ledger
from airflow_provider_timav.runs import TaskKey
from airflow_provider_timav.triggers.asking import ask
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

AGAIN_SECONDS: Final = 2.0
"""After which a stop that failed is tried once more, before the tasks and the reaper have their turn."""


@dataclass
class Ended:
    """What came of it.

    :param outcomes: by kind, of the stops that arrived.
    :param file_ids: what the stop of the recording was given.
    :param at: when the last stop was answered.
    """

    outcomes: dict[Kind, str] = field(default_factory=dict)
    file_ids: tuple[str, ...] = ()
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


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

    :param settings: the connection's, where they are known already.
    :param look_up: asks for them anew: where they are not known, and where they were refused (they may have been rotated).
    :param seconds: for each try of a stop; there are two.
    :returns: what came of it. A stop that failed is logged; its claim stays, so that others try.
    """
    ended = Ended()
    settings = settings or await look_up()
    for attempt in (1, 2):
        errors = await _send(lease, stops, settings, ended, seconds)
        stops = list(errors)
        if not stops:
            break
        for kind, error in errors.items():
            why = error.with_advice if isinstance(error, TimAVError) else error
            log.error("The %s of %s in room %s is not stopped: %s", kind, lease.key.user_id, lease.key.room_id, why)
        if attempt == 1:
            refused = any(isinstance(error, CertificateError | CredentialError) for error in errors.values())
            await asyncio.sleep(0 if refused else AGAIN_SECONDS)
            settings = await look_up()
    said = ", ".join(f"{kind} {outcome}" for kind, outcome in sorted(ended.outcomes.items())) or "nothing to stop"
    ids = f" File ids: {', '.join(ended.file_ids)}." if ended.file_ids else ""
    log.info("Room %s, %s: %s.%s", lease.key.room_id, lease.key.user_id, said, ids)
    await _note_for_tasks(ended, task_key, log)
    await _note_in_ledger(lease, ledger, ended, log)
    return ended


async def _send(
    lease: Lease, stops: Sequence[Kind], settings: Settings | None, ended: Ended, seconds: float
) -> dict[Kind, Exception]:
    """Send these stops side by side; fill in what came of them, and return the errors by kind."""
    if not stops:
        return {}
    if settings is None:
        return dict.fromkeys(stops, TimAVError(f"the connection {lease.key.timav_conn_id} could not be looked up"))
    try:
        # Certificates are read and checked: milliseconds that the loop does not have.
        client: AsyncClient = await asyncio.to_thread(TimAVHook(lease.key.timav_conn_id).async_client, settings)
    except Exception as error:  # noqa: BLE001 - a connection that somebody has broken must not end the trigger
        return dict.fromkeys(stops, error)
    async with client:
        answers = await asyncio.gather(
            *(_stop(client, lease, kind, ended, seconds) for kind in stops), return_exceptions=True
        )
    errors: dict[Kind, Exception] = {}
    for kind, answer in zip(stops, answers, strict=True):
        if isinstance(answer, Exception):
            errors[kind] = answer
        elif isinstance(answer, BaseException):
            raise answer
    return errors


async def _stop(client: AsyncClient, lease: Lease, kind: Kind, ended: Ended, seconds: float) -> None:
    arguments = lease.key.stop_arguments(kind)
    if kind == "push":
        ended.outcomes[kind] = (await client.call(calls.stop_push(**arguments), seconds=seconds)).outcome
    else:
        stopped = await client.call(calls.stop_record(**arguments), seconds=seconds)
        ended.outcomes[kind], ended.file_ids = stopped.outcome, stopped.file_ids
    ended.at = datetime.now(UTC)


async def _note_for_tasks(ended: Ended, task_key: dict[str, Any], log: Any) -> None:
    note = {"outcomes": ended.outcomes, "file_ids": list(ended.file_ids), "ended_at": ended.at.isoformat()}
    try:
        await ask(lambda: TaskKey(**task_key).set_xcom("stopped", note))
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
        await ask(note)
    except Exception:
        log.warning("What was stopped could not be noted in the ledger.", exc_info=True)
