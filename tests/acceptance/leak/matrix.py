"""Plays the leak matrix on a real Airflow with PostgreSQL: side by side, and in phases what breaks a part that all share."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from harness.postgres import PostgresServer
from harness.processes import SiteError
from harness.site import AirflowSite
from tests.acceptance.leak.cases import PHASES, Case, Phase
from tests.acceptance.leak.judge import Observed, observe, verdicts
from tests.acceptance.leak.scenarios import PHASE_ACTS, SCENARIOS, nothing
from tests.acceptance.leak.stage import Stage, Watch, Wiring

DAGS: Final = Path(__file__).parent / "dags"
FIRST_ROOM: Final = 9001
NOTE_SECONDS: Final = 15.0

# When who is dead is noticed, and how many tasks run at once. All of it is printed by `make leak`.
SETTINGS: Final = {
    "AIRFLOW__CORE__PARALLELISM": "16",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
}

# Beside other tests, who is late must not be taken for dead: nothing in the short form dies but a task's process.
BUSY: Final = {
    **SETTINGS,
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "120",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "90",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "60",
}


@dataclass(frozen=True)
class Play:
    """What came of one round of a case; `stuck` says where it did not come so far."""

    case: Case
    wiring: Wiring
    number: int
    seen: Sequence[Observed]
    seconds: float
    stuck: str = ""
    logs: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the tasks said, where something is wrong."""
    wrong: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        found = [self.stuck] if self.stuck else []
        found += verdicts(self.case, self.seen)
        # the wiring by hand promises nothing: it is shown, not judged
        object.__setattr__(self, "wrong", found if self.wiring == "leak" else [])


@contextmanager
def leak_site(
    home: Path | None = None, *, rounds: int = 1, settings: Mapping[str, str] = SETTINGS
) -> Iterator[AirflowSite]:
    """An Airflow with the DAGs of the matrix, and the reaper running each minute."""
    env = {**settings, "TIMAV_LEAK_ROUNDS": str(rounds)}
    with PostgresServer() as server:
        with AirflowSite(home, dag_folders=[DAGS], env=env, schedules=True, database_url=server.url) as site:
            yield site


class Matrix:
    """All plays of a matrix on one site, each in rooms and at a service of its own.

    `gap`: seconds between two starts of what is played side by side, so that starts find a machine that can bear them;
    `at_once` how many of these are under way at most.
    """

    def __init__(self, site: AirflowSite, *, gap: float = 5.0, at_once: int = 20) -> None:
        self._site = site
        self._watch = Watch(site)
        self._gap = gap
        self._at_once = at_once
        self._next_room = FIRST_ROOM
        self._stages: list[Stage] = []
        self._abandoned = threading.Event()

    def __enter__(self) -> Matrix:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for stage in self._stages:
            stage.service.stop()

    def left(self) -> list[str]:
        """What is on air now, of all that was played."""
        return [f"{stage}: {one}" for stage in self._stages for one in stage.on_air()]

    def play(
        self, cases: Sequence[Case], *, rounds: int, naive: bool = False, done: Collection[tuple[str, Wiring, int]] = ()
    ) -> Iterator[Play]:
        """Play each case `rounds` times, with `naive` also once as it is wired by hand; give each play when it is over.

        Of `done` (name, wiring and round of a case) none is played again.
        """

        def plays(phase: Phase | None) -> list[tuple[Case, Wiring, int]]:
            here = [case for case in cases if case.phase == phase]
            found: list[tuple[Case, Wiring, int]] = [
                (case, "leak", number) for number in range(1, rounds + 1) for case in here
            ]
            found += [(case, "naive", 1) for case in here if naive and case.naive]
            return [one for one in found if (one[0].name, *one[1:]) not in done]

        yield from self._side_by_side(plays(None))
        for phase in PHASES:
            if stages := [self._stage(*one) for one in plays(phase)]:
                yield from self._phase(stages, PHASE_ACTS[phase])

    def _stage(self, case: Case, wiring: Wiring, number: int) -> Stage:
        stage = Stage(case, number, wiring, self._site, self._watch, self._next_room, self._abandoned)
        self._next_room += case.rooms
        self._stages.append(stage)
        return stage

    def _side_by_side(self, plays: Sequence[tuple[Case, Wiring, int]]) -> Iterator[Play]:
        if not plays:
            return
        over: queue.SimpleQueue[Play] = queue.SimpleQueue()
        with ThreadPoolExecutor(self._at_once + 1) as pool:

            def admit() -> None:
                for case, wiring, number in plays:
                    pool.submit(lambda stage: over.put(self._one(stage)), self._stage(case, wiring, number))
                    if self._abandoned.wait(self._gap):
                        return

            pool.submit(admit)
            try:
                for _ in plays:
                    yield over.get()
            except BaseException:
                self._abandoned.set()  # or leaving the pool waits for every end that nobody waits for any more
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _one(self, stage: Stage) -> Play:
        began = time.monotonic()
        stuck = ""
        try:
            stage.start()
            SCENARIOS.get(stage.case.name, nothing)(stage)
        except Exception as error:  # noqa: BLE001 - belongs into the table: the others go on
            stuck = f"{type(error).__name__}: {error}"
        return self._finish(stage, began, stuck)

    def _phase(self, stages: Sequence[Stage], act: Callable[[Sequence[Stage]], None]) -> Iterator[Play]:
        began = time.monotonic()
        stuck = ""
        try:
            ends_at = time.time() + max(stage.case.seconds for stage in stages)
            for stage in stages:
                stage.start(ends_at)
            for stage in stages:
                stage.until_on_air()
            act(stages)
        except Exception as error:  # noqa: BLE001 - belongs into the table
            stuck = f"{type(error).__name__}: {error}"
        for stage in stages:
            yield self._finish(stage, began, stuck)

    def _finish(self, stage: Stage, began: float, stuck: str) -> Play:
        seen: list[Observed] = []
        try:
            stage.until_over()
            seen = observe(stage, self._leases_of(stage))
        except Exception as error:  # noqa: BLE001 - belongs into the table
            stuck = f"{stuck} {type(error).__name__}: {error}".strip()
        play = Play(stage.case, stage.wiring, stage.number, seen, time.monotonic() - began, stuck)
        return replace(play, logs=stage.logs()) if play.wrong else play

    def _leases_of(self, stage: Stage) -> list[str]:
        """What rooms of this stage are held still, after the time that a busy triggerer may take for its last note."""
        deadline = time.monotonic() + NOTE_SECONDS
        while True:
            held = stage.leases()
            if not held or time.monotonic() > deadline:
                return held
            time.sleep(1)


__all__ = ["SETTINGS", "Matrix", "Play", "SiteError", "leak_site"]
