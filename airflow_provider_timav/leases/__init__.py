"""Keep the ledger: which run has what on air, until when, and which tasks and triggers may stop it.

The service has no status query, and a process may die at any time; everything that must outlive it is stored in Airflow
Variables (`variables`). They have no compare-and-set, so each has one writer at a time, and no writer overwrites another's:

==============================  =======================================================================================
``timav_lease_<key>``           ``reserve``: which run holds the room, and until when (`Lease`)
``…-push``                      the start task, the stop task, or the trigger at the end: the push (`Claim`)
``…-record``                    the same of the recording
``…-record-<generation>``       the writer that replaces ``…-record``: file ids of an earlier broadcast, not yet picked up
``…-watch``                     the trigger: its verdict on the stream, and an end that a person has moved (`Watch`)
``…-unread``                    the reaper: since when the lease cannot be read
==============================  =======================================================================================

The key is a digest: rooms and users may contain any characters, names of Variables must not, and some secrets backends, which
are all queried for them, accept only letters, digits, hyphens and underscores.

People can write Variables. So an entry is read strictly (`reading`), counts only under the name that its own key gives, and
gives the right to stop, extend or show something only if its run has noted the same reservation among its own XComs
(`confirmation`), which are under the DAG's rights.
"""

from airflow_provider_timav.leases.entries import (
    CONTROL,
    KINDS,
    RESERVATION,
    Claim,
    Control,
    Kind,
    Lease,
    LeaseKey,
    Owner,
    State,
    Stopped,
    Watch,
    given_lease,
)
from airflow_provider_timav.leases.ledger import RELEASE_GRACE, LeaseState, Ledger, ledgers
from airflow_provider_timav.leases.variables import PREFIX, Variables, is_entry, lease_of

__all__ = [
    "CONTROL",
    "KINDS",
    "PREFIX",
    "RELEASE_GRACE",
    "RESERVATION",
    "Claim",
    "Control",
    "Kind",
    "Lease",
    "LeaseKey",
    "LeaseState",
    "Ledger",
    "Owner",
    "State",
    "Stopped",
    "Variables",
    "Watch",
    "given_lease",
    "is_entry",
    "lease_of",
    "ledgers",
]
