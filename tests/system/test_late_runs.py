"""Runs that come late, on a real Airflow: whatever makes them late, they start nothing; one that comes in time ends in time.

The server stands in Asia/Shanghai, the DAGs in Europe/Berlin and America/New_York.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from harness.postgres import PostgresServer, postgres_is_there
from harness.processes import until
from harness.rest import FINISHED, Run
from harness.service import Witness, connect
from harness.site import AirflowSite

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not postgres_is_there(), reason="PostgreSQL is not installed (Debian: apt-get install postgresql)"
    ),
]

BERLIN = ZoneInfo("Europe/Berlin")
SKIP_SECONDS = 30
ROOMS = {"late_caught_up": 51, "late_backfilled": 52, "late_backfilled_end": 53, "late_scheduler": 54, "late_asset": 55}
FIRST_TIMELY = 100
"""The room of the timely show of minute 0; each minute has one of its own."""

TASKS = ("reserve", "start_push", "start_record", "on_air", "stop_record", "stop_push", "result")

DAGS = '''
"""A broadcast each, at times that have passed, and one each minute."""

import pendulum
from airflow.sdk import DAG, Asset

from airflow_provider_timav.broadcast import Broadcast

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def first(zone, hours):
    return pendulum.parse("{started}").in_timezone(zone).subtract(hours=hours)


with DAG("late_caught_up", schedule="{passed} * * * *", start_date=first(BERLIN, 5), catchup=True):
    Broadcast(room_id=51, user_id="host", duration=60, timav_conn_id="timav_late")

with DAG("late_backfilled", schedule="30 2 * * *", start_date=first(BERLIN, 24 * 400), catchup=False):
    Broadcast(room_id=52, user_id="host", duration=60, skip_if_late={skip}, timav_conn_id="timav_late")

with DAG("late_backfilled_end", schedule="30 2 * * *", start_date=first(BERLIN, 24 * 400), catchup=False):
    Broadcast(
        room_id=53,
        user_id="host",
        ends_at="{{{{ (dag_run.run_after + macros.timedelta(seconds=1)).astimezone(dag.timezone).isoformat() }}}}",
        skip_if_late=None,
        timav_conn_id="timav_late",
    )

with DAG("late_scheduler", schedule="{due} * * * *", start_date=first(NEW_YORK, 1), catchup=False):
    Broadcast(room_id=54, user_id="host", duration=60, skip_if_late={skip}, timav_conn_id="timav_late")

with DAG("late_asset", schedule=[Asset(name="late", uri="x-test://late")], start_date=first(NEW_YORK, 1)):
    Broadcast(room_id=55, user_id="host", duration=60, skip_if_late={skip}, timav_conn_id="timav_late")

with DAG("timely", schedule="* * * * *", start_date=first(NEW_YORK, 1), catchup=False, max_active_runs=1):
    Broadcast(
        room_id="{{{{ 100 + dag_run.run_after.minute }}}}",
        user_id="host",
        ends_at="{{{{ data_interval_end.in_timezone('America/New_York').add(seconds=50).isoformat() }}}}",
        skip_if_late={skip},
        timav_conn_id="timav_late",
    )
'''


@pytest.fixture(scope="module")
def service() -> Iterator[Witness]:
    rooms = [*ROOMS.values(), *range(FIRST_TIMELY, FIRST_TIMELY + 60)]
    with Witness(rooms={room: ["host"] for room in rooms}) as witness:
        yield witness


class Late:
    """An Airflow whose scheduler was down when a broadcast was due, with runs of each kind that have come too late."""

    def __init__(self, site: AirflowSite) -> None:
        self.site = site
        now = datetime.now(UTC)
        # Late enough that everything is brought in before; the scheduler is started when it has passed.
        self.due = (now + timedelta(seconds=100)).replace(second=0, microsecond=0)
        passed = now - timedelta(minutes=20)
        self.passed = [passed.replace(second=0, microsecond=0) - timedelta(hours=hours) for hours in range(5)]
        site.write_dag(
            "late",
            DAGS.format(started=now.isoformat(), passed=passed.minute, due=self.due.minute, skip=SKIP_SECONDS),
        )
        self.change = _end_of_summer_time(now)

    def backfill(self, dag_id: str) -> None:
        """Have it run for the three days around the end of summer time."""
        self.site.wait_for_dag(dag_id)
        body = {
            "dag_id": dag_id,
            "from_date": (self.change - timedelta(days=1)).isoformat(),
            "to_date": (self.change + timedelta(days=1, hours=23)).isoformat(),
        }
        self.site.rest("POST", "backfills", body)

    def update_asset(self) -> None:
        """Have something happen to the asset that a DAG waits for."""
        self.site.wait_for_dag("late_asset")
        (asset,) = (row for row in self.site.pages("assets", "assets") if row["name"] == "late")
        self.site.rest("POST", "assets/events", {"asset_id": asset["id"]})

    def runs(self, dag_id: str) -> dict[datetime, Run]:
        """The runs that there are, by the time at which they were due."""
        rows = self.site.pages(f"dags/{dag_id}/dagRuns", "dag_runs")
        return {datetime.fromisoformat(row["run_after"]): Run(dag_id, row["dag_run_id"], self.site) for row in rows}

    def finished(self, dag_id: str, *due: datetime) -> list[Run]:
        """All runs, once those that were due then are there, and all are finished."""

        def done() -> list[Run] | None:
            runs = self.runs(dag_id)
            ended = all(run.state in FINISHED for run in runs.values())
            return list(runs.values()) if ended and runs.keys() >= set(due) and runs else None

        return until(done, timeout=120, failure=lambda: f"{dag_id} has {self.runs(dag_id)}", check=self.site.check)


def _end_of_summer_time(now: datetime) -> datetime:
    """Midnight UTC of the last day before `now` on which Berlin's clocks were put back."""
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    while _offset(day) - _offset(day + timedelta(days=1)) != timedelta(hours=1):
        day -= timedelta(days=1)
    return day


def _offset(moment: datetime) -> timedelta:
    offset = moment.astimezone(BERLIN).utcoffset()
    assert offset is not None
    return offset


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory, service: Witness) -> Iterator[Late]:
    parts = ("api-server", "dag-processor", "triggerer")
    home = tmp_path_factory.mktemp("late")
    env = {"TZ": "Asia/Shanghai"}
    with (
        PostgresServer() as server,  # on SQLite, Airflow refuses a backfill whenever another part is writing
        AirflowSite(home, parts=parts, schedules=True, env=env, database_url=server.url) as site,
    ):
        connect(site, "timav_late", service.connection())
        late = Late(site)
        late.backfill("late_backfilled")
        late.backfill("late_backfilled_end")
        late.update_asset()
        for dag_id in ("late_caught_up", "late_scheduler", "timely"):
            site.wait_for_dag(dag_id)
        back = late.due + timedelta(seconds=SKIP_SECONDS + 2)
        time.sleep(max((back - datetime.now(UTC)).total_seconds(), 0))
        site.start("scheduler")
        yield late


def assert_nothing_was_started(run: Run, service: Witness, room_id: int, because: str) -> None:
    """It is a success, all of its tasks are skipped, its log says why, and the service was not asked for anything."""
    assert run.state == "success"
    assert {task.task_id: task.state for task in run.tasks()} == {f"broadcast.{name}": "skipped" for name in TASKS}
    # A task's end is known before all that it said: its supervisor writes that down in between.
    until(
        lambda: because in run.log("broadcast.reserve"),
        timeout=30,
        failure=lambda: f"{because!r} is not in {run.log('broadcast.reserve')!r}",
        check=lambda: None,
    )
    assert service.operations(room_id) == []


def test_runs_that_are_caught_up_with_start_nothing(late: Late, service: Witness) -> None:
    """An hourly DAG with catchup, unpaused five hours after its first date."""
    runs = late.finished("late_caught_up", *late.passed)
    assert len(runs) == 5
    for due, run in late.runs("late_caught_up").items():
        because = f"the broadcast was due at {due.isoformat()}"
        assert_nothing_was_started(run, service, ROOMS["late_caught_up"], because)


def test_runs_that_are_backfilled_start_nothing(late: Late, service: Witness) -> None:
    """Over the end of summer time. Airflow's `run_after` of such a run is when it was due, not when it was asked for."""
    late.finished("late_backfilled")
    runs = late.runs("late_backfilled")
    backfilled = {due: run for due, run in runs.items() if run.run_id.startswith("backfill__")}
    assert len(backfilled) >= 3
    assert all(abs(due - late.change) < timedelta(days=3) for due in backfilled)
    for due, run in runs.items():
        assert_nothing_was_started(
            run, service, ROOMS["late_backfilled"], f"the broadcast was due at {due.isoformat()}"
        )


def test_an_end_that_has_passed_starts_nothing_however_late_a_run_may_be(late: Late, service: Witness) -> None:
    """With `skip_if_late=None`, and the end given in the DAG's zone."""
    late.finished("late_backfilled_end")
    runs = late.runs("late_backfilled_end")
    backfilled = {due: run for due, run in runs.items() if run.run_id.startswith("backfill__")}
    assert len(backfilled) >= 3
    for due, run in backfilled.items():
        end = (due + timedelta(seconds=1)).astimezone(BERLIN)
        because = f"the broadcast's end has passed ({end.isoformat()})"
        assert_nothing_was_started(run, service, ROOMS["late_backfilled_end"], because)


def test_a_run_that_was_due_while_the_scheduler_was_down_starts_nothing(late: Late, service: Witness) -> None:
    late.finished("late_scheduler", late.due)
    for due, run in late.runs("late_scheduler").items():
        because = f"the broadcast was due at {due.isoformat()}"
        assert_nothing_was_started(run, service, ROOMS["late_scheduler"], because)


def test_a_run_for_an_asset_that_was_updated_while_the_scheduler_was_down_starts_nothing(
    late: Late, service: Witness
) -> None:
    """Airflow's `run_after` of such a run is when the asset was updated."""
    (run,) = late.finished("late_asset")
    (due,) = late.runs("late_asset")
    assert due < late.due
    assert_nothing_was_started(run, service, ROOMS["late_asset"], f"the broadcast was due at {due.isoformat()}")


def test_a_run_in_time_is_on_air_until_the_end_that_its_template_says(late: Late, service: Witness) -> None:
    """`data_interval_end`, in a zone that is neither the server's nor UTC."""

    def started() -> tuple[datetime, Run] | None:
        for due, run in late.runs("timely").items():
            if service.operations(FIRST_TIMELY + due.minute):
                return due, run
        return None

    due, run = until(started, timeout=150, failure=late.site.consoles, check=late.site.check)
    assert run.wait(180) == "success"
    end = due + timedelta(seconds=50)
    assert datetime.fromisoformat(run.xcom("broadcast.reserve", "end")) == end
    room = FIRST_TIMELY + due.minute
    executed: dict[str, Any] = {
        str(entry.operation): entry.at for entry in service.journal if entry.room_id == room and entry.executed
    }
    assert executed.keys() == {"start_push", "start_record", "stop_push", "stop_record"}
    for stop in ("stop_push", "stop_record"):
        assert end <= executed[stop] <= end + timedelta(seconds=60)
    assert run.xcom("broadcast.result")["outcome"] == "deadline"
