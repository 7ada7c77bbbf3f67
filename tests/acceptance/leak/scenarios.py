"""What is done in each case: a function of its name, called once its run is triggered; and in each phase, once for all."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import psutil  # type: ignore[import-untyped]  # ships no types

from harness.processes import SiteError
from harness.rest import RestError
from tests.acceptance.leak.cases import TIMEOUT_SECONDS, Phase
from tests.acceptance.leak.stage import HOST, Stage

EXTENSION_SECONDS: Final = 30.0
AHEAD_SECONDS: Final = 5.0  # before the first dagrun_timeout
DOWN_SECONDS: Final = 3.0
HELD_SECONDS: Final = 8.0  # how long the service lets the trigger wait for the answer to its stop
LATE_SECONDS: Final = 15.0


def nothing(stage: Stage) -> None:
    """Let it go its way: what happens is in the conf, or among the faults."""


def killed_accepted(stage: Stage, *, supervisor: bool = False) -> None:
    stage.until_done("start_push")
    stage.acts()
    stage.site.kill_task(stage.run, stage.task_id("start_push"), supervisor=supervisor)


def killed_with_supervisor(stage: Stage) -> None:
    killed_accepted(stage, supervisor=True)


def start_fails(stage: Stage) -> None:
    stage.until_done("start_push")
    stage.acts()


def mapped(stage: Stage) -> None:
    stage.until_on_air()
    stage.acts()
    stage.site.mark(stage.run, f"shows.{stage.task_id('on_air')}", "failed", map_index=0)


def stops_fail_first(stage: Stage) -> None:
    def again() -> bool:
        tasks = stage.watch.tasks(stage.run)
        stops = [tasks.get((name, -1)) for name in ("stop_push", "stop_record")]
        return all(task is not None and task.state == "up_for_retry" for task in stops)

    stage.until(again, "trying its stops again", timeout=stage.case.seconds + LATE_SECONDS * 8)
    stage.service.clear_faults()


def stops_fail(stage: Stage) -> None:
    stage.until(stage.ended, "failed", timeout=stage.case.seconds + LATE_SECONDS * 16)
    stage.acts()
    stage.service.clear_faults()


def marked_failed(stage: Stage, state: str = "failed") -> None:
    stage.until_on_air()
    stage.acts()
    stage.site.mark(stage.run, stage.task_id("on_air"), state)


def stop_now(stage: Stage) -> None:
    marked_failed(stage, "success")


def stop_by_control(stage: Stage) -> None:
    stage.until_on_air()
    stage.acts()
    stage.control({"stop": True})


def extended(stage: Stage) -> None:
    stage.until_on_air()
    stage.acts()
    stage.end_later(EXTENSION_SECONDS)


def run_marked_failed(stage: Stage) -> None:
    stage.until_on_air()
    stage.acts()
    stage.site.mark_run(stage.run, "failed")


def on_air_cleared(stage: Stage) -> None:
    stage.until_on_air()
    stage.acts()
    stage.site.clear(stage.run, stage.task_id("on_air"))


def run_cleared(stage: Stage) -> None:
    stage.until_on_air()
    stage.acts()
    stage.site.clear(stage.run)


def timeout(stage: Stage) -> None:
    stage.until_on_air()
    stage.until(stage.ended, "timed out", timeout=TIMEOUT_SECONDS + LATE_SECONDS)
    stage.acts()


def paused(stage: Stage) -> None:
    stage.until_on_air()
    stage.acts()
    stage.site.pause(stage.dag_id)
    _unpaused_when_clear(stage)


def paused_start(stage: Stage) -> None:
    stage.until_done("start_push")
    stage.acts()
    stage.site.pause(stage.dag_id)
    _unpaused_when_clear(stage)


def _unpaused_when_clear(stage: Stage) -> None:
    patience = stage.ends_at - time.time() + 120 + LATE_SECONDS
    with suppress(SiteError):  # the judge says so: here it must only be unpaused
        stage.until(lambda: not stage.on_air(), "off air while paused", timeout=patience)
    stage.site.unpause(stage.dag_id)


def stopped_while_waiting(stage: Stage) -> None:
    """The foreign push must be on air when the run has ended; then the one who started it takes it off."""
    room = stage.first_room
    stage.service.leave(room, HOST)
    stage.until(lambda: _state(stage, "start_push") == "up_for_reschedule", "waiting for its host", timeout=150)
    stage.service.enter(room, HOST)
    stage.elsewhere("start_push")
    stage.acts()
    stage.site.mark(stage.run, stage.task_id("start_push"), "failed")
    stage.until(stage.ended, "ended", timeout=60)
    if not stage.on_air():
        raise SiteError(f"{stage}: the push that somebody else has started was stopped")
    stage.elsewhere("stop_push")


def timeout_while_waiting(stage: Stage) -> None:
    stage.service.leave(stage.first_room, HOST)
    stage.until(stage.ended, "timed out", timeout=TIMEOUT_SECONDS + LATE_SECONDS * 4)
    stage.acts()
    stage.until(lambda: not stage.leases(), "given up", timeout=130)


def variables_swept(stage: Stage) -> None:
    stage.until_on_air()
    stage.acts()
    for lease in stage.leases():
        for entry in ("", "-push", "-record", "-watch"):
            stage.site.request("DELETE", f"api/v2/variables/{lease}{entry}")


def _state(stage: Stage, name: str) -> str | None:
    task = stage.watch.tasks(stage.run).get((name, -1))
    return None if task is None else task.state


def dag_deleted(stage: Stage) -> None:
    stage.until_on_air()
    stage.acts()
    stage.site.rest("DELETE", f"dags/{stage.dag_id}")


def two_runs(stage: Stage) -> None:
    stage.until_on_air()
    stage.acts()
    stage.trigger()


extended_triggerer_killed = extended

SCENARIOS: Final[dict[str, Callable[[Stage], None]]] = {
    act.__name__: act
    for act in (
        *(killed_accepted, killed_with_supervisor, start_fails, mapped, stops_fail_first, stops_fail),
        *(marked_failed, stop_now, stop_by_control, extended, run_marked_failed, on_air_cleared, run_cleared),
        *(timeout, paused, paused_start, dag_deleted, two_runs),
        *(stopped_while_waiting, timeout_while_waiting, variables_swept),
    )
}


# -- phases: all stages are on air; done once, to a part that they share ---------------------------------------------------


def scheduler(stages: Sequence[Stage]) -> None:
    _noted(stages)
    stages[0].site.kill("scheduler")
    time.sleep(DOWN_SECONDS)
    stages[0].site.start("scheduler")


def triggerer(stages: Sequence[Stage]) -> None:
    for stage in stages:
        if stage.case.name == "extended_triggerer_killed":
            extended(stage)
    _noted(stages)
    _kill_triggerer(stages)


def event(stages: Sequence[Stage]) -> None:
    """All end at the same moment; the answer to the stop of each push is held until the triggerer is dead."""
    for stage in stages:
        stage.service.fail_next(operation="stop_push", delay_answer=HELD_SECONDS)
    for stage in stages:
        stage.until_done("stop_push")
        stage.until_done("stop_record")
    for stage in stages:
        # The file ids have been written down as soon as there were any; a trigger that waits with it has lost them.
        with suppress(SiteError):
            stage.until(lambda stage=stage: _has_ids(stage), "the ids in an XCom", timeout=HELD_SECONDS / 4)  # type: ignore[misc]
    _noted(stages)
    _kill_triggerer(stages)


def timeout_triggerer_killed(stages: Sequence[Stage]) -> None:
    """The triggerer comes back when every run has timed out: who dies just before cannot see any of them."""
    site = stages[0].site
    rows = site.query("select run_id, start_date from dag_run")
    began = [row["start_date"].timestamp() for row in rows if row["run_id"] in {stage.run.run_id for stage in stages}]
    time.sleep(max(0, min(began) + TIMEOUT_SECONDS - AHEAD_SECONDS - time.time()))
    _noted(stages)
    site.kill("triggerer")
    for stage in stages:
        stage.until(stage.ended, "timed out", timeout=TIMEOUT_SECONDS + LATE_SECONDS)
    site.start("triggerer")


def redistribution(stages: Sequence[Stage]) -> None:
    """What a machine that is suspended, or cut off, for longer than its heartbeat may be away, looks like to the others."""
    site = stages[0].site
    site.start("triggerer-2")
    members = psutil.Process(site.parts["triggerer"].pid)
    suspended = [members, *members.children(recursive=True)]
    _noted(stages)
    for process in suspended:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        second = site.job_id("triggerer-2")
        stages[0].until(lambda: _holders(stages) == {second}, "with the other triggerer", timeout=60)
    finally:
        for process in suspended:
            os.kill(process.pid, signal.SIGCONT)


def _holders(stages: Sequence[Stage]) -> set[int | None]:
    rows = stages[0].site.query(
        "select run_id, triggerer_id from task_instance join trigger on trigger.id = task_instance.trigger_id"
    )
    ours = {run.run_id for stage in stages for run in stage.runs}
    return {row["triggerer_id"] for row in rows if row["run_id"] in ours}


def _has_ids(stage: Stage) -> bool:
    try:
        stage.run.xcom(stage.task_id("on_air"), "stopped")
    except RestError:
        return False
    return True


def _noted(stages: Sequence[Stage]) -> None:
    for stage in stages:
        stage.acts()


def _kill_triggerer(stages: Sequence[Stage]) -> None:
    site = stages[0].site
    site.kill("triggerer")
    time.sleep(DOWN_SECONDS)
    site.start("triggerer")


def gone(stages: Sequence[Stage]) -> None:
    """No trigger runs any more; what Airflow does with a triggerer that has no capacity looks the same to a task."""
    site = stages[0].site
    _noted(stages)
    site.kill("triggerer")
    try:
        for stage in stages:
            stage.until(stage.ended, "ended", timeout=stage.ends_at - time.time() + LATE_SECONDS * 8)
    finally:
        site.start("triggerer")


PHASE_ACTS: Final[dict[Phase, Callable[[Sequence[Stage]], None]]] = {
    "scheduler": scheduler,
    "triggerer": triggerer,
    "event": event,
    "timeout": timeout_triggerer_killed,
    "redistribution": redistribution,
    "gone": gone,
}
