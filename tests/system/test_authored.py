"""Broadcasts as authors write them, on a real Airflow: in which order they run, who is on air, and with what."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_timav.emulator import Switches
from harness.project import PROJECT
from harness.rest import Run
from harness.service import Witness, connect
from harness.site import AirflowSite

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

SOURCE = Path(__file__).parent / "dags" / "authored.py"
DOCS = (PROJECT / "docs" / "broadcast.md").read_text(encoding="utf-8")
(MAPPED,) = re.findall(r"^```python\n(@task\ndef file_ids_of.*?)^```$", DOCS, re.DOTALL | re.MULTILINE)

AROUND, FAILING, OPTIONS, STUDIOS, NATIVE, DEFAULTS, BARE, FAST = 801, 802, 810, (803, 804), 805, (806, 807), 808, 809

BARE_DAG = """
from airflow.sdk import DAG, task

from airflow_provider_timav.broadcast import Broadcast

with DAG("早间节目", schedule=None):
    show = Broadcast(
        room_id=808, user_id="host", duration=75, timav_conn_id="authored", prefix_group_id=False, tooltip="The morning show"
    )
"""


@dataclass
class Played:
    """All shows are over."""

    service: Witness
    runs: dict[str, Run]

    def sent(self, room_id: int, operation: str) -> dict[str, Any]:
        """What an operation was asked for in a room."""
        (entry,) = (one for one in self.service.journal if (one.room_id, one.operation) == (room_id, operation))
        return dict(entry.fields)

    def times(self, name: str) -> dict[str, tuple[str, str]]:
        """When each task of a run began and ended."""
        return {
            task.task_id.removeprefix("broadcast."): (task.details["start_date"], task.details["end_date"])
            for task in self.runs[name].tasks()
        }


@pytest.fixture(scope="module")
def played(airflow_site: AirflowSite) -> Iterator[Played]:
    rooms = {room: ["host", "007"] for room in (AROUND, FAILING, OPTIONS, *STUDIOS, NATIVE, *DEFAULTS, BARE, FAST)}
    with Witness(rooms=rooms, switches=Switches(files_per_recording=2)) as service, Witness(rooms=rooms) as failing:
        for name in ("authored", "authored_around"):
            connect(airflow_site, name, service.connection())
        connect(airflow_site, "authored_failing", failing.connection())
        failing.fail_next(1, "start_record", code=40000208, layer="body")
        failing.fail_next(1, "stop_push", delay_answer=8.0)
        airflow_site.write_dag("authored", SOURCE.read_text(encoding="utf-8"))
        airflow_site.write_dag("authored_bare", BARE_DAG + textwrap.indent(MAPPED, "    "))
        site = airflow_site
        runs: dict[str, Run] = {}
        # In two parts: all at once they would take longer to begin than the shows last.
        parts: tuple[dict[str, tuple[str, dict[str, Any]]], ...] = (
            {
                "around": ("authored_around", {"room": AROUND}),
                "failing": ("authored_failing", {"room": FAILING}),
                "options": ("authored_options", {"room": OPTIONS}),
            },
            {
                "native": ("authored_native", {"room": NATIVE, "user": "007"}),
                "fail_fast": ("authored_fail_fast", {"room": FAST, "seconds": 3600}),
                "bare": ("早间节目", {}),
                "first": ("authored_defaults", {"room": DEFAULTS[0]}),
                "second": ("authored_defaults", {"room": DEFAULTS[1]}),
            },
        )
        for part in parts:
            begun = {name: site.trigger(dag_id, conf) for name, (dag_id, conf) in part.items()}
            states = {name: run.wait(timeout=300) for name, run in begun.items()}
            expected = {name: "failed" if name.startswith("fail") else "success" for name in begun}
            assert states == expected, site.consoles()
            runs |= begun
        assert (service.pushes, failing.pushes) == ((), ())
        yield Played(service, runs)


@pytest.mark.parametrize("run", ["around", "failing"])
def test_a_setup_comes_before_all_of_it_and_its_teardown_after(run: str, played: Played) -> None:
    """Also where the broadcast fails, and a stop takes longer than all that Airflow has given up."""
    times = played.times(run)
    assert times["create"][1] <= times["reserve"][0]
    over = [times[name][1] for name in ("stop_push", "stop_record", "result") if times[name][1] is not None]
    assert max(over) <= times["delete"][0]
    states = {task.task_id: task.state for task in played.runs[run].tasks()}
    assert (states["create"], states["delete"], states["broadcast.stop_push"]) == ("success",) * 3


def test_options_come_from_a_parameter_a_task_and_a_mapped_group(played: Played) -> None:
    assert played.sent(OPTIONS, "start_push")["str_channel_describe"] == "of a parameter"
    recorded = played.sent(OPTIONS, "start_record")
    assert (recorded["string_tags"], recorded["uint32_classid"]) == (["of a task"], 7)
    assert played.sent(STUDIOS[0], "start_push")["str_channel_describe"] == "mapped"
    assert "str_channel_describe" not in played.sent(STUDIOS[1], "start_push")


def test_with_native_objects_the_user_who_was_written_is_on_air(played: Played) -> None:
    push = played.service.push(NATIVE, "007")
    assert push.user_id == "007"
    assert played.sent(NATIVE, "start_push")["str_channel_name"] == "1_000"


def test_two_runs_are_on_air_at_once_whatever_default_args_say(played: Played) -> None:
    """A deferred task counts for its DAG's limits: the broadcast of one run would keep the other's from being watched."""
    on_air = {
        name: {one.task_id: one.details for one in played.runs[name].tasks()}["broadcast.on_air"]
        for name in ("first", "second")
    }
    assert on_air["first"]["start_date"] < on_air["second"]["end_date"]
    assert on_air["second"]["start_date"] < on_air["first"]["end_date"]


def test_with_fail_fast_a_failure_beside_it_ends_it(played: Played) -> None:
    states = {task.task_id: task.state for task in played.runs["fail_fast"].tasks()}
    assert states["broadcast.result"] != "success"
    assert {states["broadcast.stop_push"], states["broadcast.stop_record"]} == {"success"}
    assert played.service.on_air(FAST) == []


def test_an_outlet_of_default_args_has_one_event_for_each_broadcast(played: Played, airflow_site: AirflowSite) -> None:
    events = airflow_site.rest("GET", "assets/events", params={"limit": 100})["asset_events"]
    runs = {played.runs[name].run_id for name in ("first", "second")}
    found = [(one["source_run_id"], one["source_task_id"]) for one in events if one["source_run_id"] in runs]
    assert sorted(found) == sorted((run, "broadcast.result") for run in runs)


def test_without_a_prefix_and_in_any_script_its_recording_is_handed_on(played: Played) -> None:
    run = played.runs["bare"]
    file_ids = run.xcom("result", "file_ids")
    assert len(file_ids) == 2
    assert run.xcom("file_ids_of") == file_ids
    assert [task.state for task in run.tasks() if task.task_id == "publish"] == ["success"] * 2
