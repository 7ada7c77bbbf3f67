"""What the page says is on air: the ledger's word, and what this user may do about it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.models.variable import Variable
from sqlalchemy import update

from airflow_provider_timav.leases import Claim, Lease, LeaseKey, Owner, Watch
from airflow_provider_timav.plugins import tables
from airflow_provider_timav.plugins.broadcast_rows import broadcasts
from harness.database import ByDag, Database
from harness.poison import shapes, values

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
END = NOW + timedelta(minutes=30)
BEGAN = NOW - timedelta(minutes=5)
URL = "https://play.example.com/live/1.m3u8"
OWNER = Owner("morning", "run_1", "broadcast")
ON_AIR: dict[str, str | None] = {"start_push": "success", "on_air": "deferred"}
PLAYS = {"hls_url": URL, "rtmp_url": "rtmp://play/1"}


def lease(room: int = 10086, **given: Any) -> Lease:
    fields = {"owner": OWNER, "generation": f"g{room}", "end": END, "title": "Morning", **given}
    return Lease(LeaseKey("timav_default", room, "host_1", "camera"), **fields)


def ledger(held: Lease, push: Claim | None = None, record: Claim | None = None, watch: Watch | None = None) -> Any:
    """The Variables of one broadcast."""
    name = held.key.variable
    entries = {name: held, f"{name}-push": push, f"{name}-record": record, f"{name}-watch": watch}
    return {key: entry.to_json() for key, entry in entries.items() if entry is not None}


def ours(held: Lease, **given: Any) -> Claim:
    return Claim(held.generation, "ours", "s", BEGAN, **given)


@pytest.fixture
def rows(database: Database) -> Callable[..., list[dict[str, Any]]]:
    """The page's list, for a user of this role."""

    def ask(role: str = "user", manager: Any = None) -> list[dict[str, Any]]:
        with database.session() as session:
            return broadcasts(session, database.rights(session, role, manager), now=NOW)

    return ask


Rows = Callable[..., list[dict[str, Any]]]


def test_empty_ledger_shows_nothing(rows: Rows) -> None:
    assert rows() == []


def test_broadcast_on_air_shows_all_that_is_known(database: Database, rows: Rows) -> None:
    held = lease()
    stream = {"verdict": "LIVE", "since": (NOW - timedelta(minutes=4)).timestamp(), "at": NOW.timestamp()}
    watch = Watch(held.generation, stream=stream)
    database.variables(ledger(held, ours(held), ours(held), watch))
    noted = {("on_air", "control"): {"end": END.isoformat()}, ("start_push", "plays"): PLAYS}
    database.run(held, ON_AIR, noted)
    (row,) = rows()
    assert re.fullmatch("[0-9a-f]{32}", row.pop("id"))
    assert [row] == [
        {
            "title": "Morning",
            "room_id": 10086,
            "user_id": "host_1",
            "kind": "camera",
            "dag_id": "morning",
            "run_id": "run_1",
            "task_id": "broadcast.on_air",
            "map_index": -1,
            "phase": "on_air",
            "foreign": False,
            "since": BEGAN.isoformat(),
            "until": END.isoformat(),
            "overdue": False,
            "orphan": False,
            "recording": "on",
            "verdict": "LIVE",
            "verdict_since": "2026-11-24T11:56:00+00:00",
            "error": None,
            "hls_url": URL,
            "rtmp_url": "rtmp://play/1",
            "protected": False,
            "stop": {"task_id": "broadcast.on_air", "new_state": "success"},
            "extend": True,
        }
    ]


@pytest.mark.parametrize(
    ("push", "states", "phase", "stop"),
    [
        pytest.param(
            None,
            {"start_push": "up_for_reschedule", "on_air": None},
            "waiting",
            {"task_id": "broadcast.start_push", "new_state": "failed"},
            id="waits for the host",
        ),
        pytest.param(
            "sent",
            {"start_push": "up_for_reschedule", "on_air": None},
            "waiting",
            {"task_id": "broadcast.start_push", "new_state": "failed"},
            id="has asked for the host",
        ),
        pytest.param(
            "refused",
            {"start_push": "up_for_reschedule", "on_air": None},
            "waiting",
            {"task_id": "broadcast.start_push", "new_state": "failed"},
            id="was told that the host is not there",
        ),
        pytest.param(
            "sent",
            {"start_push": "running", "on_air": None},
            "starting",
            {"task_id": "broadcast.start_push", "new_state": "failed"},
            id="start sent",
        ),
        pytest.param(
            "ours",
            {"start_push": "success", "on_air": None},
            "on_air",
            {"task_id": "broadcast.on_air", "new_state": "success"},
            id="on air before its watch",
        ),
        pytest.param(
            "ours",
            ON_AIR,
            "on_air",
            {"task_id": "broadcast.on_air", "new_state": "success"},
            id="on air",
        ),
        pytest.param("ours", {"start_push": "success", "on_air": "success"}, "ending", None, id="marked"),
        pytest.param(
            "stopped", ON_AIR, "ending", {"task_id": "broadcast.on_air", "new_state": "success"}, id="stopped"
        ),
        pytest.param(None, {"start_push": "failed", "on_air": "upstream_failed"}, "ending", None, id="never began"),
    ],
)
def test_phase_is_the_ledgers_and_stop_is_what_can_still_be_marked(
    database: Database, rows: Rows, push: Any, states: Any, phase: str, stop: Any
) -> None:
    held = lease()
    database.variables(ledger(held, push and Claim(held.generation, push, "s", BEGAN)))
    database.run(held, states)
    (row,) = rows()
    assert (row["phase"], row["stop"], row["extend"]) == (phase, stop, False)


def test_foreign_push_is_shown_as_one(database: Database, rows: Rows) -> None:
    held = lease()
    database.variables(ledger(held, Claim(held.generation, "foreign", "s", BEGAN)))
    database.run(held, ON_AIR)
    (row,) = rows()
    assert (row["foreign"], row["phase"], row["since"]) == (True, "on_air", None)


@pytest.mark.parametrize(
    ("state", "wanted", "shown"),
    [
        pytest.param("ours", True, "on", id="on"),
        pytest.param("sent", True, "starting", id="starting"),
        pytest.param("foreign", True, "foreign", id="foreign"),
        pytest.param("refused", True, "due", id="refused"),
        pytest.param("stopped", True, "stopped", id="stopped"),
        pytest.param(None, True, "due", id="due"),
        pytest.param(None, False, "off", id="off"),
    ],
)
def test_recording_or_not(database: Database, rows: Rows, state: Any, wanted: bool, shown: str) -> None:
    held = lease(record=wanted)
    database.variables(ledger(held, ours(held), state and Claim(held.generation, state, "r", BEGAN)))
    database.run(held, ON_AIR)
    assert rows()[0]["recording"] == shown


@pytest.mark.parametrize(
    ("control", "moved", "until"),
    [
        pytest.param(None, None, END, id="as reserved"),
        pytest.param(None, NOW + timedelta(hours=1), NOW + timedelta(hours=1), id="moved, as the trigger knows"),
        pytest.param({"end": "2026-11-24T14:00:00Z"}, None, NOW + timedelta(hours=2), id="moved a moment ago"),
        pytest.param(json.dumps({"end": "2026-11-24T14:00:00Z"}), None, NOW + timedelta(hours=2), id="as text"),
        pytest.param({"end": "2026-11-24T11:00:00Z"}, None, END, id="an end that has passed"),
        pytest.param({"end": "tomorrow"}, None, END, id="nonsense"),
        pytest.param(["?"], None, END, id="a list"),
    ],
)
def test_end_in_force_is_what_people_said_last(
    database: Database, rows: Rows, control: Any, moved: datetime | None, until: datetime
) -> None:
    held = lease()
    database.variables(ledger(held, ours(held), watch=Watch(held.generation, end=moved)))
    database.run(held, ON_AIR, {("on_air", "control"): control} if control is not None else {})
    assert rows()[0]["until"] == until.isoformat()


def test_broadcast_that_was_told_to_stop_is_ending_and_has_no_buttons(database: Database, rows: Rows) -> None:
    held = lease()
    database.variables(ledger(held, ours(held)))
    database.run(held, ON_AIR, {("on_air", "control"): {"stop": True}})
    (row,) = rows()
    assert (row["phase"], row["stop"], row["extend"]) == ("ending", None, False)


def test_broadcast_past_its_end_is_overdue_and_one_without_a_run_an_orphan(database: Database, rows: Rows) -> None:
    held = lease(end=NOW - timedelta(seconds=31))
    database.variables(ledger(held, ours(held)))
    database.run(held, {})
    (row,) = rows()
    assert (row["phase"], row["overdue"], row["orphan"], row["stop"]) == ("on_air", True, True, None)


@pytest.mark.parametrize(
    ("watch", "error"),
    [
        pytest.param(Watch("g10086", error="The push is not stopped"), "The push is not stopped", id="told"),
        pytest.param(
            Watch("g10086", stream={"verdict": "ABSENT", "reason": "answered 404"}), "answered 404", id="no playlist"
        ),
        pytest.param(Watch("g10086", stream={"verdict": "LIVE", "reason": "answered 404"}), None, id="long gone"),
        pytest.param(Watch("another", error="of yesterday"), None, id="of another broadcast"),
    ],
)
def test_last_error(database: Database, rows: Rows, watch: Watch, error: str | None) -> None:
    held = lease()
    database.variables(ledger(held, ours(held), watch=watch))
    database.run(held, ON_AIR)
    assert rows()[0]["error"] == error


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//evil.example", 7, "rtmp://play/1"], ids=str
)
def test_only_web_addresses_become_links(database: Database, rows: Rows, url: Any) -> None:
    held = lease()
    database.variables(ledger(held, ours(held)))
    database.run(held, ON_AIR, {("start_push", "plays"): {"hls_url": url, "rtmp_url": url}})
    (row,) = rows()
    assert row["hls_url"] is None
    assert row["rtmp_url"] == (url if url == "rtmp://play/1" else None)


def test_address_is_that_of_the_push_that_is_ours(database: Database, rows: Rows) -> None:
    held = lease()
    database.variables(ledger(held, Claim(held.generation, "foreign", "s", BEGAN)))
    database.run(held, ON_AIR, {("start_push", "plays"): PLAYS})
    assert rows()[0]["hls_url"] is None


def test_player_password_is_told_of_but_stands_nowhere(database: Database, rows: Rows) -> None:
    held = lease(protected=True)
    database.variables(ledger(held, ours(held)))
    database.run(held, ON_AIR)
    assert rows()[0]["protected"] is True


def test_viewer_sees_it_and_may_do_nothing(database: Database, rows: Rows) -> None:
    held = lease()
    database.variables(ledger(held, ours(held)))
    database.run(held, ON_AIR, {("on_air", "control"): {"end": END.isoformat()}})
    (row,) = rows("viewer")
    assert (row["stop"], row["extend"]) == (None, False)


def test_rights_are_those_of_the_dag(database: Database, rows: Rows) -> None:
    """Another DAG's broadcasts are not shown, those that may only be read have no buttons."""
    for room, dag_id in ((1, "mine"), (2, "readable"), (3, "secret")):
        held = lease(room, owner=replace(OWNER, dag_id=dag_id))
        database.variables(ledger(held, ours(held)))
        database.run(held, ON_AIR)
    manager = ByDag(read={"mine", "readable"}, edit={"mine"})
    assert {row["dag_id"]: row["stop"] is not None for row in rows(manager=manager)} == {
        "mine": True,
        "readable": False,
    }


def test_mapped_and_nested_groups_name_their_own_tasks(database: Database, rows: Rows) -> None:
    held = lease(owner=Owner("rooms", "run_1", "room.broadcast", 3))
    database.variables(ledger(held, ours(held)))
    database.run(held, ON_AIR)
    (row,) = rows()
    assert (row["task_id"], row["map_index"]) == ("room.broadcast.on_air", 3)
    assert row["stop"] == {"task_id": "room.broadcast.on_air", "new_state": "success"}


def test_what_cannot_be_read_is_passed_over(database: Database, rows: Rows, caplog: pytest.LogCaptureFixture) -> None:
    held = lease()
    database.variables(
        ledger(held, ours(held))
        | {
            f"timav_lease_{'0' * 32}": "{",
            f"timav_lease_{'1' * 32}": '"text"',
            "timav_leasehold": "x",
            "elsewhere": "y",
        }
    )
    database.run(held, ON_AIR)
    assert [row["room_id"] for row in rows()] == [10086]
    assert not [record for record in caplog.records if record.name.startswith("airflow_provider_timav.leases")]


def test_id_stays_while_the_broadcast_goes_on(database: Database, rows: Rows) -> None:
    held = lease()
    database.variables(ledger(held))
    database.run(held, ON_AIR)
    (waiting,) = rows()
    database.variables(ledger(replace(held, title="Evening", end=END + timedelta(hours=1)), ours(held)))
    (on_air,) = rows()
    assert on_air["id"] == waiting["id"]


def test_broadcasts_of_one_generation_have_ids_of_their_own(database: Database, rows: Rows) -> None:
    """The page finds by the id what **Stop now** acts on, and a generation is no secret: a DAG may take another's."""
    for room, dag_id in ((1, "morning"), (2, "evening")):
        held = lease(room, owner=replace(OWNER, dag_id=dag_id), generation="same")
        database.variables(ledger(held, ours(held)))
        database.run(held, ON_AIR)
    assert len({row["id"] for row in rows()}) == 2


@pytest.mark.parametrize(
    "other", [{"dag_id": "evening"}, {"run_id": "run_2"}, {"group_id": "late"}, {"map_index": 1}], ids=str
)
def test_lease_that_another_broadcast_has_taken_gives_another_id(database: Database, rows: Rows, other: Any) -> None:
    ids = set()
    for owner in (OWNER, replace(OWNER, **other)):
        held = lease(owner=owner)
        database.variables(ledger(held, ours(held)))
        database.run(held, ON_AIR)
        ids |= {row["id"] for row in rows()}
    assert len(ids) == 2


@pytest.mark.parametrize("number", [1, 100])
def test_update_costs_five_queries(database: Database, number: int) -> None:
    for room in range(number):
        held = lease(room, owner=Owner(f"dag_{room}", "run_1", "broadcast"))
        database.variables(ledger(held, ours(held), ours(held), Watch(held.generation)))
        database.run(held, ON_AIR, {("on_air", "control"): {"end": END.isoformat()}})
    with database.session() as session:
        assert len(broadcasts(session, database.rights(session), now=NOW)) == number
        assert len(database.statements) == 5


def test_oldest_is_first_and_what_waits_is_last(database: Database, rows: Rows) -> None:
    for room, since in ((1, None), (2, BEGAN), (3, BEGAN - timedelta(hours=1))):
        held = lease(room, owner=replace(OWNER, run_id=f"run_{room}"))
        database.variables(ledger(held, None if since is None else Claim(held.generation, "ours", "s", since)))
        database.run(held, ON_AIR)
    assert [row["room_id"] for row in rows()] == [3, 2, 1]


class TestWhatPeopleWrite:
    """Takes one tile at most."""

    def others(self, database: Database) -> None:
        held = lease(7, owner=replace(OWNER, run_id="other"))
        database.variables(ledger(held, ours(held)))
        database.run(held, ON_AIR)

    @pytest.mark.parametrize("entry", ["", "-push", "-record", "-watch"])
    def test_in_place_of_an_entry(self, entry: str, database: Database) -> None:
        self.others(database)
        held = lease()
        watch = Watch(held.generation, stream={"verdict": "LIVE", "since": 1.0, "tail": 7})
        entries = ledger(held, ours(held), ours(held), watch)
        database.run(held, ON_AIR, {("on_air", "control"): {"end": END.isoformat()}})
        name = held.key.variable + entry
        tried = 0
        for what, text in shapes(entries[name]).items():
            if "\x00" in text or not text:
                continue  # no database takes it
            database.variables({**entries, name: text})
            with database.session() as session:
                rows = broadcasts(session, database.rights(session), now=NOW)
            assert 7 in [row["room_id"] for row in rows], what
            assert json.dumps(rows, allow_nan=False, ensure_ascii=False).encode(), what
            tried += 1
        assert tried >= 40

    @pytest.mark.parametrize(
        ("task", "key", "good"),
        [
            ("on_air", "control", {"end": END.isoformat()}),
            ("start_push", "plays", PLAYS),
            ("reserve", "reservation", {"lease": "timav_lease_0", "generation": "g10086"}),
        ],
        ids=["control", "plays", "reservation"],
    )
    def test_in_place_of_an_xcom(self, task: str, key: str, good: Any, database: Database) -> None:
        self.others(database)
        tried = 0
        for number, (what, value) in enumerate(values(good).items()):
            if value is None or not storable(value):
                continue
            held = lease(100, owner=replace(OWNER, run_id=f"run_{number}"), generation=f"g{number}")
            database.variables(ledger(held, ours(held)))
            database.run(held, ON_AIR, {(task, key): value}, confirmed=key != "reservation")
            with database.session() as session:
                rows = broadcasts(session, database.rights(session), now=NOW)
            assert 7 in [row["room_id"] for row in rows], what
            assert json.dumps(rows, allow_nan=False, ensure_ascii=False).encode(), what
            tried += 1
        assert tried >= 40

    def test_class_that_an_xcom_names_is_not_made(self, database: Database, rows: Rows) -> None:
        """Of Airflow's own, any class may be named."""
        module = "airflow.example_dags.tutorial"
        held = lease()
        named = {"__classname__": f"{module}.DAG", "__version__": 1, "__data__": ["true"]}
        database.variables(ledger(held, ours(held)))
        database.run(held, ON_AIR, {("on_air", "control"): named, ("start_push", "plays"): json.dumps(named)})
        assert [row["until"] for row in rows()] == [END.isoformat()]
        assert module not in sys.modules

    def test_entry_that_cannot_be_decrypted(self, database: Database, rows: Rows) -> None:
        self.others(database)
        held = lease()
        database.variables(ledger(held, ours(held)))
        database.run(held, ON_AIR)
        with database.session() as session:
            session.execute(
                update(Variable.__table__)
                .where(Variable.__table__.c.key == held.key.variable)
                .values(val="\u4e3b no token", is_encrypted=True)
            )
            session.commit()
        assert [row["room_id"] for row in rows()] == [7]

    def test_flood_of_large_entries_keeps_no_broadcast_out(
        self, database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tables, "MOST_BYTES", 20_000)
        self.others(database)
        database.variables({f"timav_lease_{number:032x}": "x" * 9000 for number in range(20)})
        assert [(row["room_id"], row["phase"]) for row in rows()] == [(7, "on_air")]

    def test_page_reads_no_more_than_a_fixed_amount(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tables, "MOST_BYTES", 20_000)
        database.variables({f"timav_lease_{number:032x}": "x" * 3000 for number in range(20)})
        with database.session() as session:
            assert len(list(tables.Snapshot(session).names())) <= 6

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            pytest.param("timav_lease_{}", "x" * 300, id="names that are not the ledger's"),
            pytest.param("timav-lease-{:032x}", "x" * 300, id="names that begin otherwise"),
            pytest.param("timav_lease_{:032x}", "1", id="values too small for a lease"),
            pytest.param("timav_lease_{:032x}-push", "x" * 300, id="claims without a lease"),
            pytest.param("timav_lease_{:032x}-record-g", "x" * 300, id="kept file ids"),
        ],
    )
    def test_flood_of_what_is_no_lease_keeps_no_broadcast_out(
        self, name: str, value: str, database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tables, "MOST_LEASES", 2)
        self.others(database)
        database.variables({name.format(number): value for number in range(20)})
        assert [(row["room_id"], row["phase"]) for row in rows()] == [(7, "on_air")]

    def test_page_reads_what_belongs_to_the_leases_that_it_reads(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tables, "MOST_LEASES", 2)
        for number in range(5):
            held = lease(number, title="x" * 40 * number)  # Encrypted values grow in steps of 16 bytes.
            database.variables(ledger(held, ours(held), ours(held), Watch(held.generation)))
        with database.session() as session:
            names = set(tables.Snapshot(session).names())
        read = [lease(number).key.variable for number in (0, 1)]
        assert names == {name + entry for name in read for entry in ("", "-push", "-record", "-watch")}

    def test_no_lease_is_too_small_to_be_read(self) -> None:
        smallest = Lease(LeaseKey("", 0, "", "camera"), Owner("", "", ""), "0", NOW, record=True, protected=True)
        assert len(json.dumps(smallest.to_json())) >= tables.SMALLEST_LEASE

    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({"owner": replace(OWNER, run_id="gone")}, id="a run that is not there"),
            pytest.param({"owner": replace(OWNER, dag_id="gone")}, id="a DAG that is not there"),
            pytest.param({"generation": "other"}, id="a reservation of another time"),
            pytest.param({"key": LeaseKey("timav_default", 8, "host_1", "camera")}, id="another room"),
        ],
    )
    def test_lease_that_its_run_does_not_confirm_is_not_shown(
        self, changes: Any, database: Database, rows: Rows
    ) -> None:
        held = lease()
        database.run(held, ON_AIR)
        forged = replace(held, **changes)
        database.variables(ledger(forged, ours(forged)))
        assert rows() == []

    def test_lease_under_the_name_of_another_is_not_shown(self, database: Database, rows: Rows) -> None:
        held = lease()
        database.run(held, ON_AIR)
        database.variables({f"timav_lease_{'0' * 32}": held.to_json()})
        assert rows() == []

    def test_lease_of_another_team_than_its_dags_is_not_shown(self, database: Database, rows: Rows) -> None:
        held = lease()
        database.variables(ledger(held, ours(held)))
        database.run(held, ON_AIR)
        with database.session() as session:
            session.execute(update(Variable.__table__).values(team_name="red"))
            session.commit()
        assert rows() == []


def storable(value: Any) -> bool:
    """Whether a database's JSON column takes it."""
    try:
        return "\\u0000" not in json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return False
