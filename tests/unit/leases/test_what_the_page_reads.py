"""What the ledger holds for the page "Broadcasts": where a push plays, a password or not, what went wrong last."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_timav.leases import Claim, Lease, LeaseKey, Ledger, Owner, Watch
from airflow_provider_timav.operators._plan import Plan
from airflow_provider_timav.options import BroadcastOptions
from airflow_provider_timav.triggers import _shutdown
from airflow_provider_timav.triggers.on_air import OnAirTrigger
from harness.ledger import Sheet

KEY = LeaseKey("timav_default", 10086, "host_1", "camera")
OWNER = Owner("morning", "run_1", "broadcast")
LEASE = Lease(KEY, OWNER, "g1", datetime.now(UTC) + timedelta(hours=1), "Morning", protected=True)
URLS = {"hls_url": "https://play.example.com/1.m3u8", "rtmp_url": "rtmp://play.example.com/1"}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Sheet:
    store = Sheet()
    monkeypatch.setattr(Ledger, "store", store)
    return store


def test_lease_says_that_there_is_a_password_and_not_which() -> None:
    options = BroadcastOptions(room_id=1, user_id="host", duration=60, player_password="canary7")
    plan = Plan.of(options)
    assert plan.protected
    assert "canary7" not in repr(plan)
    assert not Plan.of(replace(options, player_password=None)).protected


def test_what_people_are_shown_survives_the_store_and_older_entries_lack_it() -> None:
    assert Lease.from_json(json.loads(json.dumps(LEASE.to_json()))) == LEASE
    older = {name: value for name, value in LEASE.to_json().items() if name != "protected"}
    assert not Lease.from_json(older).protected


def test_stop_that_fails_is_told_where_people_look(store: Sheet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The claim stays, for others to try; its lease, and so the tile, stays with it."""
    monkeypatch.setattr(_shutdown, "RETRY_SECONDS", 0)
    ledger = Ledger(KEY.variable)
    ledger.write_lease(LEASE)
    ledger.write_claim("push", Claim("g1", "ours", "s"))

    class Blind(OnAirTrigger):
        async def _look_up(self, lease: Lease, at_most: float = 0) -> None:
            return None

    trigger = Blind(LEASE.to_json(), LEASE.end.isoformat(), OWNER.task("on_air").to_json(), ["push"])
    asyncio.run(trigger._stop(LEASE, ledger, "stopped"))
    watch = ledger.watch("g1")
    assert watch == Watch("g1", error="The push is not stopped: the connection timav_default could not be looked up.")
    assert ledger.lease() == LEASE
