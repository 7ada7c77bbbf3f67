"""The reaper among 140 leases of which 70 are over: what it stops, and how long its task takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from airflow_provider_timav.leases import RELEASE_GRACE
from harness.rest import Run
from harness.service import Witness
from harness.site import AirflowSite
from tests.acceptance.load.stock import Show, leases, put_on_air

FIRST_ROOM: Final = 30001
OVER: Final = 70
WANTED: Final = 70
ROOMS: Final = range(FIRST_ROOM, FIRST_ROOM + OVER + WANTED)


def stock(now: datetime) -> tuple[list[Show], list[Show]]:
    """Shows that are over, and as many that are wanted, of each kind that there is; their rooms take turns."""
    past, long_past, ahead = now - RELEASE_GRACE, now - timedelta(days=3), now + timedelta(minutes=30)
    over: list[dict[str, Any]] = [
        {"end": past},
        {"end": long_past},
        {"end": past, "claims": {"push": "sent", "record": "sent"}},  # a start of which nobody knows what came of it
        {"end": past, "claims": {"push": "ours"}},  # somebody else's recording, of which nothing is said
        {"end": past, "claims": {"push": "ours", "record": "foreign"}},
        {"end": ahead, "moved_to": past},
        {"end": long_past, "moved_to": past},
    ]
    wanted: list[dict[str, Any]] = [
        {"end": ahead},
        {"end": past, "moved_to": ahead},
        {"end": ahead, "claims": {"push": "sent"}},
    ]
    return (
        [Show(room, **over[number % len(over)]) for number, room in enumerate(ROOMS[0::2])],
        [Show(room, **wanted[number % len(wanted)]) for number, room in enumerate(ROOMS[1::2])],
    )


@dataclass(frozen=True)
class Reaped:
    """What a run of the reaper came to: what the service executed, by operation and room; what is still held."""

    run: Run
    state: str
    executed: Sequence[tuple[str, int]]
    refused: int
    report: Sequence[dict[str, Any]]
    held: Sequence[int]

    @property
    def seconds(self) -> float:
        """How long its task ran."""
        task = self.run.task("reap").details
        return float(task["duration"])


def reap(site: AirflowSite, service: Witness, conn_id: str) -> Reaped:
    """Run the reaper once."""
    seen = len(service.journal)
    run = site.run("reap", timeout=240)
    entries = service.journal[seen:]
    return Reaped(
        run=run,
        state=run.state,
        executed=[(str(entry.operation), int(entry.room_id or 0)) for entry in entries if entry.executed],
        refused=sum(not entry.executed for entry in entries),
        report=run.xcom("reap") if run.state == "success" else [],
        held=sorted(lease.key.room_id for lease in leases(site, conn_id)),
    )


def begin(site: AirflowSite, service: Witness, conn_id: str) -> tuple[list[Show], list[Show]]:
    """Put all on air; return those that are over and those that are wanted."""
    over, wanted = stock(datetime.now(UTC))
    put_on_air(site, service, conn_id, [*over, *wanted])
    return over, wanted
