"""Many at once on a real Airflow: the reaper among 140 leases, and the short form of the soak. `make soak` has the long one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_timav.leases import KINDS, Kind
from harness.postgres import PostgresServer, postgres_is_there
from harness.service import Witness
from harness.site import AirflowSite
from tests.acceptance.load import reaping
from tests.acceptance.load.soak import CONN_ID, ROOMS, SHORT, Soak, soak_site
from tests.acceptance.load.stock import Show

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not postgres_is_there(), reason="PostgreSQL is not installed (Debian: apt-get install postgresql)"
    ),
]


@pytest.fixture(scope="module")
def service() -> Iterator[Witness]:
    with Witness(rooms={room: ["host"] for room in ROOMS}) as witness:
        yield witness


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, service: Witness) -> Iterator[AirflowSite]:
    # SQLite has one writer: on a busy machine a request waits for it until it fails.
    with (
        PostgresServer() as server,
        soak_site(service, tmp_path_factory.mktemp("load"), database_url=server.url) as site,
    ):
        yield site


def rooms(shows: list[Show], kind: Kind) -> list[int]:
    """Those in which a push or a recording may be a broadcast's own."""
    return sorted(show.room_id for show in shows if show.claims.get(kind) in ("ours", "sent"))


def test_the_reaper_stops_exactly_what_is_over(site: AirflowSite, service: Witness) -> None:
    """Of 140 leases 70 are over: by their reserved end, or by one that a person has moved; and some recordings are not ours."""
    over, wanted = reaping.begin(site, service, CONN_ID)
    assert (len(over), len(wanted)) == (70, 70)

    reaped = reaping.reap(site, service, CONN_ID)

    assert reaped.state == "success", reaped.run.log("reap")
    assert reaped.refused == 0
    for kind in KINDS:
        assert sorted(room for what, room in reaped.executed if what == f"stop_{kind}") == rooms(over, kind)
    assert {what for what, _ in reaped.executed} == {"stop_push", "stop_record"}
    assert sorted(row["room_id"] for row in reaped.report) == sorted(show.room_id for show in over)
    for row in reaped.report:
        assert row["push"] == "stopped"
        assert row.get("file_ids", []) == (service.file_ids(f"show_{row['room_id']}") if "record" in row else [])
    assert reaped.held == sorted(show.room_id for show in wanted)
    assert sorted(push.room_id for push in service.pushes) == reaped.held

    again = reaping.reap(site, service, CONN_ID)
    assert (again.state, again.executed, again.refused, again.report) == ("success", [], 0, [])
    assert again.held == reaped.held


def test_the_reaper_leaves_what_is_wanted(site: AirflowSite, service: Witness) -> None:
    """Broadcasts come and go while it runs each minute: each is on air to its own end, also where a person has moved that."""
    soaked = Soak(site, service, SHORT, seed=1).run()
    assert soaked.wrong() == []
    assert len(soaked.aired) >= SHORT.at_once
    assert soaked.most_at_once >= 3
    assert len(soaked.reaped) >= 2
