"""Which leases are over, or left by their runs, and what is done about them: what the reaper does each minute."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_timav.operators._shutdown import reap

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_provider_timav.leases import Lease, Ledger

__all__ = ["Reaping", "reap_all"]

log = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS: Final = 10.0
KEEP_NOTES: Final = timedelta(days=1)
"""How long the reaper keeps what a stop has noted of a broadcast whose own tasks have not picked it up."""


@dataclass
class Reaping:
    """What came of it.

    :param reports: a dict for each lease that was ended.
    :param errors: what kept a lease from being looked at, or ended.
    """

    reports: list[dict[str, Any]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)


def reap_all(connections: Collection[str] | None) -> Reaping:
    """Look at every lease there is; end what is over or left, and raise nothing: one lease must not keep the others waiting.

    :param connections: the ids of the connections whose leases are looked at; None for all.
    """
    from airflow_provider_timav.leases import GRACE, ledgers

    _warn_of_unknown(connections or ())
    reaping = Reaping()
    over: list[tuple[Ledger, Lease, datetime]] = []
    left: list[tuple[Ledger, Lease]] = []
    for ledger in ledgers():
        try:
            lease, now = ledger.lease(), datetime.now(UTC)
            if lease is not None and connections is not None and lease.key.timav_conn_id not in connections:
                continue
            ledger.clean(before=now - KEEP_NOTES, now=now)
            if lease is None:
                continue
            # The second question costs more, and few need it.
            end = ledger.end(lease)
            if end + GRACE <= now and (end := ledger.wanted_until(lease, now=now)) + GRACE <= now:
                over.append((ledger, lease, end))
            elif ledger.is_left(lease):
                left.append((ledger, lease))
        except Exception as error:  # noqa: BLE001 - whatever Airflow raises: there are others to end
            _tell(ledger, error, reaping)
    with ThreadPoolExecutor(max_workers=8) as threads:
        endings = list(threads.map(lambda one: _reap(*one), over))
        if left:
            # Where a run was marked a moment ago, its trigger is about to stop the broadcast.
            time.sleep(LOOK_AGAIN_SECONDS)
            endings += list(threads.map(lambda one: _reap_left(*one), left))
    for ledger, report, failure in endings:
        if report is not None:
            reaping.reports.append(report)
        if failure is not None and report is None:
            _tell(ledger, failure, reaping)
        elif failure is not None:
            reaping.errors.append(failure)
    log.info("%s leases were over.", len(reaping.reports))
    return reaping


def _warn_of_unknown(connections: Collection[str]) -> None:
    """Log which connections there are not: a reaper for a misspelt one would end nothing, and be green."""
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    for conn_id in connections:
        try:
            BaseHook.get_connection(conn_id)
        except AirflowNotFoundException:
            log.warning("timav_conn_ids: there is no connection %r, and so no broadcast of it is looked at.", conn_id)
        except Exception:  # noqa: BLE001 - a secrets backend that is away for now: the leases do not hang on it
            log.info("Whether there is a connection %r could not be read.", conn_id)


Reaped = tuple["Ledger", "dict[str, Any] | None", "Exception | None"]


def _reap_left(ledger: Ledger, lease: Lease) -> Reaped:
    """End what a run has left, where it still does: a person may have cleared the run meanwhile, or the room be another's."""
    try:
        held = ledger.lease()
        if held is None or held.generation != lease.generation or not ledger.is_left(lease):
            return ledger, None, None
    except Exception as error:  # noqa: BLE001 - whatever Airflow raises: the next run looks again
        return ledger, None, error
    return _reap(ledger, lease, datetime.now(UTC))


def _reap(ledger: Ledger, lease: Lease, ended: datetime) -> Reaped:
    """End a broadcast on the word of its run; where that is gone, only give its lease up."""
    from airflow_provider_timav.leases.word import confirms

    try:
        if confirms(lease):
            report, error = reap(ledger, lease, ended)
            return ledger, report, error
        if ledger.is_there(lease):
            return ledger, None, None  # its `reserve` is at work: the next run of the reaper looks again
        log.warning(
            "The run that the lease of room %s names (%s) is gone, or never had it: it is given up, and no stop is sent.",
            lease.key.room_id,
            lease.owner,
        )
        ledger.drop(lease)
    except Exception as error:  # noqa: BLE001 - as above
        return ledger, None, error
    return ledger, None, None


def _tell(ledger: Ledger, error: Exception, reaping: Reaping) -> None:
    """Log what kept a lease from being looked at. In a deployment with teams that is what another team keeps."""
    from airflow.sdk import conf

    if isinstance(error, LookupError) and conf.getboolean("core", "multi_team", fallback=False):
        log.info("The lease %s is another team's, or cannot be read: it is passed over.", ledger.variable)
        return
    log.error("The lease %s could not be looked at.", ledger.variable, exc_info=error)
    reaping.errors.append(error)
