"""End the broadcasts whose leases have expired, or were left by their runs: the reaper's work of each minute."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_timav.leases.confirmation import confirms
from airflow_provider_timav.leases.ledger import RELEASE_GRACE, ledgers
from airflow_provider_timav.leases.shutdown import stop_broadcast

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_provider_timav.leases.entries import Lease
    from airflow_provider_timav.leases.ledger import Ledger

__all__ = ["ReapReport", "reap_all"]

log = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS: Final = 10.0
"""How long a lease must have been left: if its run was marked a moment ago, its trigger is about to end the broadcast."""

KEEP_NOTES: Final = timedelta(days=1)
"""How long the reaper keeps the notes of a stop that the broadcast's own tasks have not picked up."""


@dataclass
class ReapReport:
    """What one run of the reaper came to.

    :param ended: a dict for each lease that was ended.
    :param errors: each a reason why a lease could not be read, or not be ended.
    """

    ended: list[dict[str, Any]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)


@dataclass(frozen=True)
class _Reaped:
    """What came of one lease: a dict if it was ended, an error if it was not, neither if it is not the reaper's to end."""

    ledger: Ledger
    report: dict[str, Any] | None = None
    error: Exception | None = None


def reap_all(connections: Collection[str] | None) -> ReapReport:
    """Read every lease, end those that have expired or were left, and raise nothing: one lease must not hold up the others.

    :param connections: the ids of the connections whose leases are read; None for all.
    """
    _warn_of_unknown(connections or ())
    reaped = ReapReport()
    expired: list[tuple[Ledger, Lease, datetime]] = []
    left: list[tuple[Ledger, Lease]] = []
    for ledger in ledgers():
        try:
            lease, now = ledger.lease(), datetime.now(UTC)
            if lease is not None and connections is not None and lease.key.timav_conn_id not in connections:
                continue
            ledger.purge(before=now - KEEP_NOTES, now=now)
            if lease is None:
                continue
            # Reading `control` costs more, and only a lease that seems to have expired needs it.
            end = ledger.end_in_force(lease)
            if end + RELEASE_GRACE <= now and (end := ledger.wanted_until(lease, now=now)) + RELEASE_GRACE <= now:
                expired.append((ledger, lease, end))
            elif ledger.is_left(lease):
                left.append((ledger, lease))
        except Exception as error:  # noqa: BLE001 - whatever Airflow raises: there are others to end
            _enter_error(ledger, error, reaped)
    with ThreadPoolExecutor(max_workers=8) as threads:
        results = list(threads.map(lambda one: _reap(*one), expired))
        if left:
            time.sleep(LOOK_AGAIN_SECONDS)
            results += list(threads.map(lambda one: _reap_left(*one), left))
    for result in results:
        if result.report is not None:
            reaped.ended.append(result.report)
        if result.error is not None and result.report is None:
            _enter_error(result.ledger, result.error, reaped)
        elif result.error is not None:
            reaped.errors.append(result.error)
    log.info("Ended %s expired leases.", len(reaped.ended))
    return reaped


def _warn_of_unknown(connections: Collection[str]) -> None:
    """Log the ids of connections that do not exist: a reaper for a misspelt one would end nothing, and be green."""
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    for conn_id in connections:
        try:
            BaseHook.get_connection(conn_id)
        except AirflowNotFoundException:
            log.warning("timav_conn_ids: there is no connection %r; its broadcasts are not looked after.", conn_id)
        except Exception:  # noqa: BLE001 - a secrets backend that is away for now: the leases do not depend on it
            log.info("Cannot tell whether there is a connection %r.", conn_id)


def _reap_left(ledger: Ledger, lease: Lease) -> _Reaped:
    """End a lease that its run has left, if it still does: a person may have cleared the run, or another run taken the room."""
    try:
        held = ledger.lease()
        if held is None or held.generation != lease.generation or not ledger.is_left(lease):
            return _Reaped(ledger)
    except Exception as error:  # noqa: BLE001 - whatever Airflow raises: the reaper's next run tries again
        return _Reaped(ledger, error=error)
    return _reap(ledger, lease, datetime.now(UTC))


def _reap(ledger: Ledger, lease: Lease, ended: datetime) -> _Reaped:
    """End a broadcast that its run confirms; if that run is gone, only release its lease."""
    try:
        if confirms(lease):
            return _end(ledger, lease, ended)
        if ledger.is_there(lease):
            return _Reaped(ledger)  # its `reserve` is at work: the reaper's next run tries again
        log.warning(
            "The run that the lease of room %s names (%s) is gone, or never had it: releasing the lease, sending no stop.",
            lease.key.room_id,
            lease.owner,
        )
        ledger.discard(lease)
    except Exception as error:  # noqa: BLE001 - as above
        return _Reaped(ledger, error=error)
    return _Reaped(ledger)


def _end(ledger: Ledger, lease: Lease, ended: datetime) -> _Reaped:
    """End a broadcast whose end in force was ``ended``."""
    from airflow_provider_timav.hooks.timav import TimAVHook

    key = lease.key
    report: dict[str, Any] = {
        "room_id": key.room_id,
        "user_id": key.user_id,
        "push_data_type": key.push_data_type,
        "owner": str(lease.owner),
        "end": ended.isoformat(),
    }
    broadcast = (
        f"The broadcast of {key.user_id} in room {key.room_id}, of {lease.owner}, whose end was {ended.isoformat()}"
    )
    try:
        with TimAVHook(key.timav_conn_id) as hook:
            stops = stop_broadcast(ledger, lease, hook)
    except Exception as error:  # whatever Airflow or a broken connection raises
        log.exception("%s: could not be ended.", broadcast)
        return _Reaped(ledger, report, error)
    log.info("%s: %s", broadcast, stops)
    for kind in stops.errors:
        log.error("%s: the %s is not stopped: %s", broadcast, kind, stops.reason(kind))
    return _Reaped(ledger, report | stops.to_json(), next(iter(stops.errors.values()), None))


def _enter_error(ledger: Ledger, error: Exception, reaped: ReapReport) -> None:
    """Log and enter why a lease could not be read. In a deployment with teams, another team's lease cannot: pass it over."""
    from airflow.sdk import conf

    if isinstance(error, LookupError) and conf.getboolean("core", "multi_team", fallback=False):
        log.info("The lease %s is another team's, or cannot be read: passing it over.", ledger.variable)
        return
    log.error("Could not read the lease %s.", ledger.variable, exc_info=error)
    reaped.errors.append(error)
