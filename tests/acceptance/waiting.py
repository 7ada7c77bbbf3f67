"""What it costs to wait for hosts: the CPU time of one question whether the host is there, on a real Airflow.

    python -m tests.acceptance.waiting     about two minutes

Each question is a leg of a rescheduled task: the scheduler picks it up, a worker forks a process for it, that one loads the
DAG, asks the service and reports back. What an Airflow uses that has nothing to do is measured first, and taken off. CPU time
is what is counted, so neighbours on the machine matter little. The exit status is 1 where the figure exceeds its bound.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Final

from airflow_provider_timav.emulator import Emulator
from harness.processes import until
from harness.service import connect
from harness.site import ALL_PARTS, AirflowSite

ROOMS: Final = tuple(range(7001, 7009))
IDLE_SECONDS: Final = 30.0
WAITING_SECONDS: Final = 70.0  # about four questions for each room
BOUND_SECONDS: Final = 1.0
SECONDS_BETWEEN: Final = 17.5

DAG_FILE: Final = f"""
from airflow.sdk import DAG

from airflow_provider_timav.operators.push import StartPushOperator

with DAG("waiting", schedule=None):
    StartPushOperator.partial(task_id="start_push", user_id="host", wait_for_user="PT1H").expand(room_id={list(ROOMS)})
"""


@dataclass(frozen=True)
class Spent:
    """CPU seconds by part of Airflow, over so many seconds and questions."""

    seconds: float
    questions: int
    by_part: dict[str, float]


def spent(site: AirflowSite, emulator: Emulator, seconds: float) -> Spent:
    """Look on for so long."""
    before, asked, began = {name: site.cpu_seconds(name) for name in ALL_PARTS}, len(emulator.journal), time.monotonic()
    time.sleep(seconds)
    by_part = {name: site.cpu_seconds(name) - before[name] for name in ALL_PARTS}
    return Spent(time.monotonic() - began, len(emulator.journal) - asked, by_part)


def measure() -> tuple[Spent, Spent]:
    """Return what an Airflow spends that does nothing, and one in which tasks wait for their hosts."""
    with Emulator(rooms=dict.fromkeys(ROOMS, ())) as emulator, AirflowSite() as site:
        connect(site, "timav_default", emulator.connection())
        site.write_dag("waiting", DAG_FILE)
        site.wait_for_dag("waiting")
        idle = spent(site, emulator, IDLE_SECONDS)
        run = site.trigger("waiting")
        until(
            lambda: {entry.room_id for entry in emulator.journal} == set(ROOMS),
            timeout=60,
            failure=lambda: "not every task has asked",
            check=site.check,
        )
        waiting = spent(site, emulator, WAITING_SECONDS)
        site.mark_run(run, "failed")
        return idle, waiting


def main() -> int:
    """Measure, print, and return the exit status."""
    idle, waiting = measure()
    rows = [("part of Airflow", "idle", f"{len(ROOMS)} tasks wait", "per question")]
    total = 0.0
    for name in ALL_PARTS:
        at_rest, at_work = idle.by_part[name] / idle.seconds, waiting.by_part[name] / waiting.seconds
        each = (at_work - at_rest) * waiting.seconds / waiting.questions
        total += each
        label = "scheduler and its tasks" if name == "scheduler" else name
        rows.append((label, f"{at_rest:.3f} cores", f"{at_work:.3f} cores", f"{each:.2f} s"))
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, (24, 12, 14, 12), strict=True)).rstrip())
    met = total <= BOUND_SECONDS
    print(
        f"\nOne question costs {total:.2f} s of CPU (bound: {BOUND_SECONDS:g} s), over {waiting.questions} questions in "
        f"{waiting.seconds:.0f} s.\nA task that asks every {SECONDS_BETWEEN:g} s keeps {total / SECONDS_BETWEEN:.2f} of a core "
        f"busy: {'met' if met else 'NOT met'}"
    )
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
