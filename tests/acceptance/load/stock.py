"""Shows on air without a run that would end them: pushes and recordings that run, and a ledger that says whose they are.

What a killed Airflow leaves behind, put there directly: the entries are written by the provider's own `Ledger`, and saved by
Airflow's REST API.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from unittest import mock

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.leases import (
    RESERVATION,
    Claim,
    Kind,
    Lease,
    LeaseKey,
    Ledger,
    Owner,
    State,
    Watch,
    is_entry,
    lease_of,
)
from harness.ledger import Sheet
from harness.rest import AirflowClient, Run

USER = "host"


@dataclass(frozen=True)
class Show:
    """One that is on air, as its ledger will have it.

    `end` is what was reserved, `moved_to` where a person has moved it since, `claims` what is said of push and recording.
    """

    room_id: int
    end: datetime
    moved_to: datetime | None = None
    claims: Mapping[Kind, State] = field(default_factory=lambda: {"push": "ours", "record": "ours"})

    def write(self, sheet: Sheet, conn_id: str, owner: Owner) -> Lease:
        """Write its entries; return the lease."""
        key = LeaseKey(conn_id, self.room_id, USER, "camera")
        lease = Lease(key, owner, uuid.uuid4().hex, self.end)
        ledger = Ledger(key.variable)
        ledger.store = sheet
        ledger.write_lease(lease)
        for kind, state in self.claims.items():
            ledger.write_claim(kind, Claim(lease.generation, state))
        if self.moved_to is not None:
            ledger.observe(Watch(lease.generation, self.moved_to))
        return lease


def put_on_air(site: AirflowClient, service: Emulator, conn_id: str, shows: Sequence[Show]) -> None:
    """Start push and recording of each, and save its entries, on the word of the run that has reserved it."""
    sheet = Sheet()
    run, first = _run(site)
    here = {f"AIRFLOW_CONN_{conn_id.upper()}": service.connection_json()}
    with mock.patch.dict(os.environ, here), TimAVHook(conn_id) as hook:
        for number, show in enumerate(shows, start=first):
            hook.start_push(room_id=show.room_id, user_id=USER)
            hook.start_record(room_id=show.room_id, user_id=USER, file_name=f"show_{show.room_id}")
            lease = show.write(sheet, conn_id, Owner(run.dag_id, run.run_id, f"show_{number}"))
            path = f"{run.path}/taskInstances/show_{number}.reserve/xcomEntries"
            site.rest("POST", path, {"key": RESERVATION, "value": lease.reservation(), "map_index": -1})
    entities = [{"key": name, "value": text} for name, text in sheet.texts.items()]
    answer = site.rest("PATCH", "variables", {"actions": [{"action": "create", "entities": entities}]})
    assert len(answer["create"]["success"]) == len(entities), answer


def _run(site: AirflowClient) -> tuple[Run, int]:
    """The run of the DAG `stock` on this site, and the number of the first of its shows that has reserved nothing yet."""
    site.wait_for_dag("stock")
    runs = site.pages("dags/stock/dagRuns", "dag_runs")
    run = Run("stock", runs[0]["dag_run_id"], site) if runs else site.trigger("stock")
    return run, len(site.pages(f"{run.path}/taskInstances/~/xcomEntries", "xcom_entries"))


def leases(site: AirflowClient, conn_id: str) -> list[Lease]:
    """Those that somebody holds on this connection."""
    rows = site.pages("variables", "variables")
    texts = [row["value"] for row in rows if is_entry(row["key"]) and lease_of(row["key"]) == row["key"]]
    return [lease for text in texts if (lease := Lease.from_json(json.loads(text))).key.timav_conn_id == conn_id]
