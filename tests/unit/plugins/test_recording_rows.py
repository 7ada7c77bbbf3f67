"""The newest recordings, from what the results of broadcasts handed on."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_timav.leases import Owner
from airflow_provider_timav.plugins import recording_rows as module
from airflow_provider_timav.plugins.recording_rows import PORTION, SHOWN, recordings
from harness.database import ByDag, Database
from tests.unit.plugins.test_broadcast_rows import lease

RESULT = {
    "file_ids": ["5285890803757278097"],
    "file_ids_status": "recovered",
    "file_name": "10086_f39741823dad",
    "outcome": "deadline",
    "started_at": "2026-11-24T11:00:00+00:00",
    "ended_at": "2026-11-24T11:30:00+00:00",
    "room_id": 10086,
    "user_id": "host_1",
    "title": "Morning show",
}


def ended(database: Database, run_id: str = "run_1", dag_id: str = "morning", **changes: Any) -> None:
    """A broadcast that is over."""
    result = {**RESULT, **changes}
    # Another task's XCom of this key is not the run's result.
    xcoms = {("result", "recording"): result, ("stop_record", "recording"): result}
    held = lease(owner=Owner(dag_id, run_id, "broadcast"))
    database.run(held, {"result": "success", "stop_record": "success"}, xcoms)


def found(database: Database, manager: Any = None) -> list[dict[str, Any]]:
    with database.session() as session:
        return recordings(session, database.rights(session, manager=manager))


def test_recording_is_shown_with_its_run_and_file_ids(database: Database) -> None:
    database.dag("morning")
    ended(database)
    assert found(database) == [{"dag_id": "morning", "run_id": "run_1", **RESULT}]


def test_broadcast_that_was_not_recorded_is_left_out(database: Database) -> None:
    database.dag("morning")
    ended(database, file_ids=[], file_ids_status="none")
    assert found(database) == []


def test_newest_is_first_and_the_list_is_short(database: Database) -> None:
    database.dag("morning")
    for number in range(SHOWN + 3):
        ended(database, run_id=f"run_{number}")
    shown = found(database)
    assert len(shown) == SHOWN
    assert shown[0]["run_id"] == f"run_{SHOWN + 2}"


@pytest.mark.parametrize("number", [1, 30])
def test_list_costs_three_queries(database: Database, number: int) -> None:
    for one in range(number):
        database.dag(f"dag_{one}")
        ended(database, dag_id=f"dag_{one}")
    found(database)
    assert len(database.statements) == 3


def none_of(database: Database, dag_id: str, number: int, **changes: Any) -> None:
    """A DAG whose broadcasts, all over, have notes that show no recording."""
    database.dag(dag_id)
    for one in range(number):
        ended(database, f"run_{one}", dag_id, **{"file_ids": [], "file_ids_status": "none", **changes})


@pytest.mark.parametrize("changes", [{"file_ids_status": "none"}, {"file_ids": 7}], ids=["none", "unreadable"])
def test_one_dag_without_recordings_keeps_those_of_no_other_from_the_list(database: Database, changes: Any) -> None:
    database.dag("morning")
    ended(database)
    none_of(database, "loud", PORTION + 10, **changes)
    assert [row["dag_id"] for row in found(database)] == ["morning"]
    assert len(database.statements) == 3


def test_list_goes_on_looking_where_many_dags_have_no_recordings(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PORTION", 4)
    database.dag("morning")
    ended(database)
    for number in range(5):
        none_of(database, f"loud_{number}", 2)
    assert [row["dag_id"] for row in found(database)] == ["morning"]
    assert len(database.statements) == 1 + 2 * 3


def test_list_looks_at_a_fixed_number_of_notes(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PORTION", 2)
    monkeypatch.setattr(module, "MOST_READ", 4)
    database.dag("morning")
    ended(database)
    for number in range(4):
        none_of(database, f"loud_{number}", 1)
    assert found(database) == []
    assert len(database.statements) == 1 + 2 * 2


def test_dag_that_the_user_may_not_read_shows_nothing(database: Database) -> None:
    for dag_id in ("mine", "secret"):
        database.dag(dag_id)
        ended(database, dag_id=dag_id)
    assert [row["dag_id"] for row in found(database, ByDag(read={"mine"}, edit=set()))] == ["mine"]


def test_group_without_a_prefix_has_its_recordings_shown(database: Database) -> None:
    database.dag("morning")
    held = lease(owner=Owner("morning", "run_1", ""))
    database.run(held, {"result": "success"}, {("result", "recording"): RESULT})
    assert [row["run_id"] for row in found(database)] == ["run_1"]


@pytest.mark.parametrize(
    "changes",
    [{"file_ids": 7}, {"file_name": {"a": 1}}, {"outcome": "<b>bold</b>"}, {"room_id": "10086"}, {"ended_at": "later"}],
    ids=str,
)
def test_recording_that_people_have_overwritten_takes_no_other_from_the_list(database: Database, changes: Any) -> None:
    database.dag("morning")
    ended(database, run_id="run_1")
    ended(database, run_id="run_2", **changes)
    assert [row["run_id"] for row in found(database)] == ["run_1"]
