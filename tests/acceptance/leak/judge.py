"""What came of each broadcast, from Airflow and from the service; and whether that is what must."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal

from airflow_provider_timav.emulator import JournalEntry
from harness.rest import RestError, Run
from tests.acceptance.leak.cases import Case, Expected
from tests.acceptance.leak.stage import Stage

EARLY_SECONDS: Final = 1.0  # by how much the last stream may be off air before its end: clocks and rounding
TASKS: Final = ("reserve", "start_push", "start_record", "on_air", "stop_record", "stop_push", "result", "after")


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What came of one broadcast of a case.

    `off_after_end` and `off_after_act` are when the last stream went off air, in seconds after the end in force and after what
    was done; None where there was none, or where `left` says that one is on air still. `handed_on` are the file ids that
    consumers got, `true_ids` those that the service made. `leases` are what is left in the ledger of this case's connection.
    """

    run: str
    tasks: Mapping[str, str]
    tries: Mapping[str, int]
    outcome: str | None
    push: str
    record: str
    ids: str
    handed_on: Sequence[str]
    true_ids: Sequence[str]
    off_after_end: float | None
    off_after_act: float | None
    left: Sequence[str]
    leases: Sequence[str]

    @property
    def others(self) -> dict[str, str]:
        """The tasks that did not end in success."""
        return {name: state for name, state in self.tasks.items() if state != "success"}


def differences(wanted: Expected, seen: Observed) -> list[str]:
    """What is not as it must be, in words; nothing where all is well."""
    found = []

    def must(what: str, holds: bool, actual: object, expected: object) -> None:
        if not holds:
            found.append(f"{what}: {actual}, not {expected}")

    must("run", seen.run == wanted.run, seen.run, wanted.run)
    tasks = {} if wanted.run == "gone" else dict.fromkeys(TASKS, "success") | dict(wanted.others)
    for name in TASKS:
        must(name, seen.tasks.get(name) == tasks.get(name), seen.tasks.get(name), tasks.get(name))
    # Airflow can take a task that comes back from its trigger for a lost one: then on_air has a second try, and goes on.
    tries = (dict(wanted.tries), {"on_air": 2} | dict(wanted.tries))
    must("tries", dict(seen.tries) in tries, dict(seen.tries), dict(wanted.tries))
    must("outcome", seen.outcome == wanted.outcome, seen.outcome, wanted.outcome)
    must("push", fits(seen.push, wanted.push), seen.push, wanted.push)
    must("record", fits(seen.record, wanted.record), seen.record, wanted.record)
    must("ids", seen.ids in wanted.ids, seen.ids, " or ".join(wanted.ids))
    complete = list(seen.true_ids) if seen.ids in ("complete", "recovered") else []
    must("ids handed on", list(seen.handed_on) == complete, list(seen.handed_on), complete)
    must("left on air", not seen.left, list(seen.left), [])
    must("leases left", not seen.leases, list(seen.leases), [])
    if wanted.off and not seen.left:
        off = seen.off_after_end if wanted.off.after == "end" else seen.off_after_act
        bound = f"at most {wanted.off.within:.0f} s after the {wanted.off.after}"
        must("off air", off is not None and off <= wanted.off.within, off, bound)
        if wanted.off.after == "end":
            must("off air", off is not None and off >= -EARLY_SECONDS, off, "before the end")
    return found


def fits(posts: str, pattern: str) -> bool:
    """Whether these are the posts of a pattern: one that carries "+" stands for one or more of it, "*" for none as well."""
    parts = []
    for word in pattern.split():
        name, many = re.fullmatch(r"(.*?)([+*]?)", word).groups()  # type: ignore[union-attr]  # matches anything
        parts.append(f"(?:{re.escape(name)} ){many}")
    return re.fullmatch("".join(parts), f"{posts} " if posts else "") is not None


def observe(stage: Stage, held: Sequence[str]) -> list[Observed]:
    """Each broadcast of a stage that is over: one per mapped room, or one per run. `held` are the leases that are left."""
    if stage.case.rooms > 1:
        return [_observe(stage, stage.run, room, index, held) for index, room in enumerate(stage.rooms)]
    # another run for a room where one is on air has no posts of its own: those of the room are the first run's
    rooms = [stage.first_room, *[None] * (len(stage.runs) - 1)]
    return [_observe(stage, run, room, -1, held) for run, room in zip(stage.runs, rooms, strict=True)]


def _observe(stage: Stage, run: Run, room: int | None, map_index: int, held: Sequence[str]) -> Observed:
    journal = [] if room is None else stage.journal(room)
    left = [] if room is None else stage.service.on_air(room)
    off = off_air_at(journal) if not left else None
    status, file_ids = _handed_on(stage, run, map_index)
    tasks = {
        name: task
        for (name, index), task in stage.watch.tasks(run).items()
        if name in TASKS and index in (-1, map_index)
    }
    return Observed(
        run=stage.watch.run_state(run) or "gone",
        tasks={name: str(task.state) for name, task in tasks.items()},
        tries={name: task.tries for name, task in tasks.items() if task.tries > 1},
        outcome=_outcome(stage, run, map_index),
        push=posts(journal, "push"),
        record=posts(journal, "record"),
        ids=status,
        handed_on=file_ids,
        true_ids=_true_ids(stage, journal),
        off_after_end=None if off is None else off - stage.ends_at,
        off_after_act=None if off is None or stage.acted_at is None else off - stage.acted_at,
        left=left,
        leases=held,
    )


def posts(journal: Iterable[JournalEntry], kind: Literal["push", "record"]) -> str:
    """The starts and stops of one kind, in the words of `Expected`."""
    words = []
    for entry in journal:
        verb, _, what = str(entry.operation).partition("_")
        if what == kind:
            words.append(f"{verb}{'!' if entry.executed else ''}")
    return " ".join(words)


def off_air_at(journal: Iterable[JournalEntry]) -> float | None:
    """When the last of push and recording ended; None where neither ever ran."""
    ends = [entry.at.timestamp() for entry in journal if entry.executed and str(entry.operation).startswith("stop")]
    return max(ends, default=None)


def _true_ids(stage: Stage, journal: Iterable[JournalEntry]) -> list[str]:
    names = [
        str(entry.fields["string_file_name"])
        for entry in journal
        if entry.operation == "start_record" and entry.executed
    ]
    return [file_id for name in dict.fromkeys(names) for file_id in stage.service.file_ids(name)]


def _handed_on(stage: Stage, run: Run, map_index: int) -> tuple[str, list[str]]:
    for name in ("result", "stop_record"):
        value = _xcom(stage, run, name, map_index)
        if isinstance(value, dict) and "file_ids_status" in value:
            return str(value["file_ids_status"]), [str(file_id) for file_id in value.get("file_ids", [])]
    return "-", []


def _outcome(stage: Stage, run: Run, map_index: int) -> str | None:
    value = _xcom(stage, run, "result", map_index)
    return str(value["outcome"]) if isinstance(value, dict) and "outcome" in value else None


def _xcom(stage: Stage, run: Run, name: str, map_index: int) -> Any:
    task_id = stage.task_id(name) if map_index < 0 else f"shows.{stage.task_id(name)}"
    with suppress(RestError):
        return run.xcom(task_id, map_index=map_index)
    return None


def verdicts(case: Case, seen: Sequence[Observed]) -> list[str]:
    """What is wrong with any broadcast of a play, each named where there are several."""
    found = [] if len(seen) == len(case.expected) else [f"{len(seen)} of {len(case.expected)} broadcasts were seen"]
    several = len(case.expected) > 1
    return found + [
        f"{f'broadcast {number}: ' if several else ''}{difference}"
        for number, (wanted, observed) in enumerate(zip(case.expected, seen, strict=False), 1)
        for difference in differences(wanted, observed)
    ]
