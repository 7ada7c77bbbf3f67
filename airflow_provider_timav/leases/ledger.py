"""Read and write the entries of one lease, under the rules that keep one writer from overwriting another's."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeVar

from airflow_provider_timav.leases.confirmation import confirms
from airflow_provider_timav.leases.entries import (
    CONTROL,
    KINDS,
    Claim,
    Control,
    Kind,
    Lease,
    Watch,
)
from airflow_provider_timav.leases.variables import Variables, lease_of
from airflow_provider_timav.reading import Fields, Unreadable, parsed, said
from airflow_provider_timav.runs import FINAL_STATES, states_of
from airflow_provider_timav.videorelay.errors import ConfigurationError

__all__ = ["RELEASE_GRACE", "LeaseState", "Ledger", "ledgers"]

log = logging.getLogger(__name__)

RELEASE_GRACE: Final = timedelta(seconds=30)
"""How long after its end a lease stays with its holder, whose stops are on their way."""

LeaseState = Literal["ours", "theirs", "over", "unknown"]

TASKS: Final = ("reserve", "start_push", "start_record", "on_air", "stop_record", "stop_push")
"""The tasks of a broadcast that take, use or release its lease."""

T = TypeVar("T")


class Ledger:
    """The entries of one lease. An entry that cannot be read counts as missing, with one warning: people can write Variables.

    :param variable: the name of the lease's Variable (`LeaseKey.variable`).
    :param listed: the names of the entries that exist, if they are known.
    """

    store: Variables = Variables()
    complaint = logging.WARNING
    """The level of the warning about an entry that cannot be read."""

    def __init__(self, variable: str, listed: Collection[str] | None = None) -> None:
        self.variable = variable
        self._listed = listed

    def lease(self) -> Lease | None:
        """Return the lease that holds the room, or None. An entry whose own key gives another name counts as missing."""
        lease: Lease | None = self._read(self.variable, Lease.from_json)
        if lease is not None and lease.key.variable != self.variable:
            self._complain(self.variable, "it is the lease of another place")
            return None
        return lease

    def write_lease(self, lease: Lease) -> None:
        """Write the lease that holds the room from now on, over any other.

        :raises LookupError: if it cannot be read back: then nothing may be started under it.
        """
        self.store.set(self.variable, json.dumps(lease.to_json()), read_back=True)

    def is_there(self, lease: Lease) -> bool:
        """Tell whether the run that a lease names exists: it confirms the lease, or its ``reserve`` is running."""
        if confirms(lease):
            return True
        state = lease.owner.task("reserve").state()
        return state is not None and state not in FINAL_STATES

    def is_left(self, lease: Lease) -> bool:
        """Tell whether the run that a lease names has finished with it, or is gone: only the reaper can end it then."""
        states = states_of([lease.owner.task(name) for name in TASKS])
        return all(state is None or state in FINAL_STATES for state in states)

    def claim(self, kind: Kind, generation: str) -> Claim | None:
        """Return this generation's claim on its push or recording, or None."""
        for name in self._claims(kind, generation):
            claim: Claim | None = self._read(name, Claim.from_json)
            if claim is not None and claim.generation == generation:
                return claim
        return None

    def write_claim(self, kind: Kind, claim: Claim) -> None:
        """Write the claim on the push or the recording.

        Only a start overwrites another broadcast's claim, and none overwrites the claim of the lease's holder: a late writer
        knows nothing of what runs now. File ids in the claim that gives way are kept in an entry of their own.

        :raises LookupError: if the claim ``planned`` or ``sent`` cannot be read back: then nothing may be sent.
        """
        name = f"{self.variable}-{kind}"
        before: Claim | None = self._read(name, Claim.from_json)
        same = before is not None and (before.generation, before.start_id) == (claim.generation, claim.start_id)
        if before is not None and same and claim.state == "stopped":
            # Of two stops of one recording at the same time, one gets the file ids; the other one may be written later.
            claim = replace(claim, file_ids=claim.file_ids or before.file_ids)
        if before is not None and before.generation != claim.generation:
            held = self.lease()
            # The start before a stop has overwritten every earlier claim.
            late = claim.state == "stopped" or (held is not None and held.generation == before.generation)
            giving_way = claim if late else before
            if giving_way.file_ids:
                # The broadcast's own tasks may not have picked them up yet, and they come only once.
                for kept in self._claims(kind, giving_way.generation)[1:]:
                    self.store.set(kept, json.dumps(giving_way.to_json()))
            if late:
                return
        # A trigger claims what its task has planned under the same name, and read back.
        read_back = claim.state == "planned" or (claim.state == "sent" and claim.by is None)
        self.store.set(name, json.dumps(claim.to_json()), read_back=read_back)

    def renew_claim(self, kind: Kind, claim: Claim) -> None:
        """Write anew a claim that was read a moment ago as its writer's own: one SDK call, not the two of `write_claim`."""
        self.store.set(f"{self.variable}-{kind}", json.dumps(claim.to_json()))

    def _claims(self, kind: Kind, generation: str) -> list[str]:
        """Return the names under which a claim of this generation may stand."""
        name = f"{self.variable}-{kind}"
        return [name, f"{name}-{generation}"] if kind == "record" else [name]

    def watch(self, generation: str) -> Watch | None:
        """Return the notes of this generation's trigger, or None."""
        watch = self._read(f"{self.variable}-watch", Watch.from_json)
        return watch if watch is not None and watch.generation == generation else None

    def observe(self, watch: Watch) -> None:
        """Write the notes of the trigger."""
        self.store.set(f"{self.variable}-watch", json.dumps(watch.to_json()))

    def end_in_force(self, lease: Lease) -> datetime:
        """Return the end in force by the ledger: the one that a person has moved it to, else the one reserved."""
        watch = self.watch(lease.generation)
        return lease.end if watch is None or watch.end is None else watch.end

    def wanted_until(self, lease: Lease, *, now: datetime) -> datetime:
        """Return the end in force, read from ``on_air``'s own ``control`` first: its trigger may be dead.

        If a person has stopped the broadcast, that is ``now``, or the end if it has passed.
        """
        try:
            control = Control.read(lease.owner.task("on_air").raw_xcom(CONTROL), now=now)
        except Exception as unreadable:  # noqa: BLE001 - whatever Airflow raises, the run may be gone: the ledger decides
            if not isinstance(unreadable, ConfigurationError):
                log.warning("Cannot read the XCom control of %s: %s", lease.owner, said(unreadable))
            control = Control()
        if control.stop:
            return min(now, self.end_in_force(lease))
        return control.end or self.end_in_force(lease)

    def lease_state(self, lease: Lease) -> LeaseState:
        """Return whether a broadcast holds its room.

        ``ours``: it holds the lease, or, if a person has deleted that, claims to have something on air; ``theirs``: another
        broadcast holds the lease; ``over``: none does, and its claims say stopped; ``unknown``: there is neither.
        """
        held = self.lease()
        if held is not None:
            return "ours" if held.generation == lease.generation else "theirs"
        claims = [claim for kind in KINDS if (claim := self.claim(kind, lease.generation)) is not None]
        if any(claim.on_air for claim in claims):
            return "ours"
        return "over" if any(claim.state == "stopped" for claim in claims) else "unknown"

    def delete_claim(self, kind: Kind, generation: str) -> None:
        """Delete this generation's claim, if there is one."""
        for name in self._claims(kind, generation):
            claim = self._read(name, Claim.from_json)
            if claim is not None and claim.generation == generation:
                self.store.delete(name)

    def release(self, generation: str) -> bool:
        """Release this generation's lease unless it has something on air; return whether it has nothing on air."""
        claims = [self.claim(kind, generation) for kind in KINDS]
        if any(claim is not None and claim.on_air for claim in claims):
            return False
        lease = self.lease()
        if lease is not None and lease.generation == generation:
            if self.watch(generation) is not None:
                self.store.delete(f"{self.variable}-watch")
            self.store.delete(self.variable)
        return True

    def discard(self, lease: Lease) -> None:
        """Delete a lease whose run is gone, and the claims under it, which no run confirms any more."""
        for kind in KINDS:
            claim = self.claim(kind, lease.generation)
            if claim is not None and claim.on_air:
                self.store.delete(f"{self.variable}-{kind}")
        self.release(lease.generation)

    def purge(self, *, before: datetime, now: datetime) -> None:
        """Delete old entries of no use: kept file ids, and claims and watches without a lease.

        A lease that could not be read since ``before`` is deleted, too; until then any broadcast may take its place.
        """
        for name in self._kept():
            claim = self._read(name, Claim.from_json)
            if claim is None or claim.at < before:
                self.store.delete(name)
        if self.lease() is not None or self._waits_for_reading(before=before, now=now):
            return
        left = False
        for kind in KINDS:
            claim = self._read(f"{self.variable}-{kind}", Claim.from_json)
            if claim is None or claim.at < before:
                self._delete(f"{self.variable}-{kind}")
            else:
                left = True
        if not left:
            self._delete(f"{self.variable}-watch")

    def _waits_for_reading(self, *, before: datetime, now: datetime) -> bool:
        """Tell whether there is a lease that cannot be read, found so no earlier than ``before``; delete an older one."""
        unread = f"{self.variable}-unread"
        if self.store.get(self.variable) is None:
            self._delete(unread)
            return False
        since: datetime | None = self._read(unread, lambda noted: Fields(noted).moment("since"))
        if since is None:
            self.store.set(unread, json.dumps({"since": now.astimezone(UTC).isoformat()}))
            log.warning(
                "The lease %s cannot be read. Any broadcast may take its place; the reaper deletes it after a day.",
                self.variable,
            )
            return True
        if since >= before:
            return True
        log.warning("The lease %s could not be read since %s: deleting it.", self.variable, since.isoformat())
        self.store.delete(self.variable)
        self.store.delete(unread)
        return False

    def _kept(self) -> list[str]:
        """Return the names of the entries that keep file ids of earlier broadcasts, as far as they are known."""
        beginning = f"{self.variable}-record-"
        return [name for name in self._listed or () if name.startswith(beginning)]

    def _delete(self, name: str) -> None:
        if self._listed is None or name in self._listed:
            self.store.delete(name)

    def _read(self, name: str, read: Callable[[Any], T]) -> T | None:
        noted = self.store.get(name)
        if noted is None:
            return None
        try:
            return read(parsed(noted))
        except Unreadable as wrong:
            self._complain(name, str(wrong), noted)
            return None

    def _complain(self, name: str, why: str, noted: str = "") -> None:
        """Tell once in this process of an entry that cannot be read."""
        mark = (name, why, hash(noted))
        if mark in _TOLD:
            return
        _TOLD[mark] = None
        while len(_TOLD) > _MOST_TOLD:
            _TOLD.popitem(last=False)
        log.log(self.complaint, "The Variable %s holds nothing that can be read (%s): it is passed over.", name, why)


_TOLD: Final[OrderedDict[tuple[str, str, int], None]] = OrderedDict()
"""The unreadable entries that this process has warned about."""

_MOST_TOLD: Final = 1000


def ledgers() -> list[Ledger]:
    """Return all ledgers, also those of which only a claim is left."""
    found: dict[str, set[str]] = {}
    for name in Ledger.store.names():
        found.setdefault(lease_of(name), set()).add(name)
    return [Ledger(variable, names) for variable, names in sorted(found.items())]
