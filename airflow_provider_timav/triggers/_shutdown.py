"""Stop a broadcast from the triggerer: push and recording side by side, each on its own, and only then any note of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.leases.shutdown import ShutdownReport, stop_call
from airflow_provider_timav.runs import TaskKey
from airflow_provider_timav.triggers._sdk_calls import call_sdk, call_sdk_or_none
from airflow_provider_timav.videorelay.errors import CertificateError, CredentialError, TimAVError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from airflow_provider_timav.hooks.timav import Settings
    from airflow_provider_timav.leases import Kind, Lease, Ledger

__all__ = ["HURRIED_SECONDS", "stop_broadcast"]

OPERATION_SECONDS: Final = 40.0
"""For one stop, its repeats included."""

HURRIED_SECONDS: Final = 11.0
"""The same when the trigger is taken away: Airflow then gives it 30 s for all of its work."""

TOGETHER_SECONDS: Final = 0.5
"""How long the note of one stop waits for the other's: mostly they are answered together, and one note is cheaper."""

RETRY_SECONDS: Final = 2.0
"""The pause before a stop that failed is sent once more, before the tasks and the reaper have their turn."""

LEASE_STATE_SECONDS: Final = 2.0
"""How long that retry waits for Airflow to say whose the room is."""


async def stop_broadcast(
    lease: Lease,
    ledger: Ledger,
    stops: Sequence[Kind],
    *,
    settings: Settings | None,
    look_up: Callable[[], Awaitable[Settings | None]],
    on_air: TaskKey,
    log: Any,
    seconds: float = OPERATION_SECONDS,
) -> ShutdownReport:
    """Stop what is ours, at once; then note the outcome in the task's XCom ``stopped`` and in the ledger.

    Push and recording do not wait for each other, and each outcome is noted while the other stop still takes: file ids come
    only once, and a triggerer that dies takes along what is not noted. The notes of an earlier trigger are kept.

    :param settings: the connection's, if they are known already.
    :param look_up: reads them anew: if they are not known, or were refused (they may have been rotated).
    :param on_air: the task of the trigger.
    :param seconds: for each of the two tries of a stop.
    :returns: the report. A stop that failed is logged; its claim stays, so that others try.
    """
    report = ShutdownReport()
    settings = settings or await look_up()

    async def stop(kind: Kind) -> None:
        known = settings
        for attempt in (1, 2):
            error = await _send(lease, kind, known, report, seconds)
            if error is None:
                return
            report.errors[kind] = error
            log.error(
                "The %s of %s in room %s is not stopped: %s",
                *(kind, lease.key.user_id, lease.key.room_id, report.reason(kind)),
            )
            if attempt == 1:
                await asyncio.sleep(0 if isinstance(error, CertificateError | CredentialError) else RETRY_SECONDS)
                known = await look_up()
                if await _is_theirs(lease, ledger, log):
                    log.warning("Another broadcast holds room %s by now: sending nothing more.", lease.key.room_id)
                    return

    under_way = {asyncio.create_task(stop(kind)) for kind in stops}
    try:
        while True:
            if under_way:
                _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            if under_way:
                _, under_way = await asyncio.wait(under_way, timeout=TOGETHER_SECONDS)
            log.info("Room %s, %s: %s", lease.key.room_id, lease.key.user_id, report)
            await _note(report, lease, ledger, on_air, log)
            if not under_way:
                return report
    finally:
        for task in under_way:
            task.cancel()


async def _is_theirs(lease: Lease, ledger: Ledger, log: Any) -> bool:
    """Tell whether another broadcast has taken the room, as it may 30 s after the end: a try can take longer than that."""
    standing = await call_sdk_or_none(
        log, "The lease could not be read", lambda: ledger.lease_state(lease), at_most=LEASE_STATE_SECONDS
    )
    return standing == "theirs"


async def _send(
    lease: Lease, kind: Kind, settings: Settings | None, report: ShutdownReport, seconds: float
) -> Exception | None:
    """Send one stop and enter its answer; return the error that kept it from arriving."""
    if settings is None:
        return TimAVError(f"the connection {lease.key.timav_conn_id} could not be looked up")
    try:
        # Certificates are read and checked: milliseconds that the loop does not have.
        client = await asyncio.to_thread(TimAVHook(lease.key.timav_conn_id).async_client, settings)
        async with client:
            report.answered(kind, await client.call(stop_call(lease, kind), seconds=seconds))
    except Exception as error:  # noqa: BLE001 - also a connection that a person has broken must not end the trigger
        return error
    return None


async def _note(report: ShutdownReport, lease: Lease, ledger: Ledger, on_air: TaskKey, log: Any) -> None:
    """Take the notes; one that fails keeps no other one from being taken, and no stop from being sent."""
    earlier = "The file ids of an earlier stop could not be read"
    await call_sdk_or_none(log, earlier, lambda: report.recall_file_ids(lease, ledger, on_air))
    try:
        await call_sdk(lambda: report.note_with_run(on_air))
    except Exception:  # the task may be gone
        log.warning("The stops could not be noted for the tasks.", exc_info=True)
    try:
        await call_sdk(lambda: report.note_in_ledger(lease, ledger))
    except Exception:
        log.warning("The stops could not be noted in the ledger.", exc_info=True)
