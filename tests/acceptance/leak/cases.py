"""What can happen to a broadcast, and what must come of it: the leak matrix as data.

Every expectation was written down from `Broadcast`'s guarantees before its case was run for the first time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, get_args

Phase = Literal["scheduler", "triggerer", "event", "timeout", "redistribution", "gone"]

RETRIES: Final = 2
ON_AIR_SECONDS: Final = 80.0  # from the trigger of a run to the end of its broadcast; the starts take a third of it
TIMEOUT_SECONDS: Final = (
    120  # the dagrun_timeout of the DAGs that have one: the starts of ten side by side take a minute
)


@dataclass(frozen=True)
class Off:
    """Until when the last stream must be off air: `within` seconds after the end in force, or after what was done to it.

    One that is measured by its end must not be off before: the broadcast goes on.
    """

    within: float
    after: Literal["end", "act"] = "end"


BY_TRIGGER: Final = Off(60)
BY_REAPER: Final = Off(120)
AT_ONCE: Final = Off(15, after="act")


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What one broadcast comes to.

    `others` are the tasks that end in another state than success, `tries` those with more than one try. `outcome` is that of
    `result`, None where it did not run. `push` and `record` are all requests in the service's journal, oldest first, those
    that changed something with "!"; "+" behind one stands for any number of it, but one at least, and "*" for none, too.
    `ids` is what consumers, or else the stop of the recording, hand on: `complete` or `recovered` (all there are), `lost`,
    `none` (nothing was recorded), `-` (nobody said anything).
    """

    run: Literal["success", "failed", "gone"] = "success"
    others: Mapping[str, str] = field(default_factory=dict)
    tries: Mapping[str, int] = field(default_factory=dict)
    outcome: Literal["deadline", "stopped", "stream_ended"] | None = "deadline"
    push: str = "start! stop!"
    record: str = "start! stop!"
    ids: tuple[str, ...] = ("recovered",)
    off: Off | None = BY_TRIGGER


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One thing that happens to a broadcast, while it is started or on air.

    `scenarios` has a function of its name that does it. `dag` names the DAG; with `own_dag` each round has one of its own,
    because it is done to the whole DAG. `conf` is for the DAG file, `faults` go to the service before the start. `phase` is for
    those that break a part which all share. More than one `expected`: one for each broadcast of the case, all in one run
    (`rooms`) or in a run of their own.
    """

    name: str
    what: str
    expected: tuple[Expected, ...]
    dag: Literal["plain", "last_try", "timeout", "mapped", "paused", "paused_start", "deleted"] = "plain"
    seconds: float = ON_AIR_SECONDS
    conf: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Mapping[str, Any], ...] = ()
    rooms: int = 1
    phase: Phase | None = None
    naive: bool = True
    """Whether it can happen to a broadcast that is wired by hand, too."""

    def __str__(self) -> str:
        return self.name

    @property
    def own_dag(self) -> bool:
        """Whether each round has a DAG of its own."""
        return self.dag in ("paused", "paused_start", "deleted")


_HELD: Final = {"operation": "start_push", "delay_answer": 15.0}  # long enough for somebody to kill who waits for it
_AGAIN: Final = "start! start stop! start! stop!"  # the push whose answer is lost is stopped and started for its URLs
_BELOW_START: Final = dict.fromkeys(("start_record", "on_air", "result", "after"), "upstream_failed")
_FAILED_START: Final = Expected(
    run="failed",
    others={"start_push": "failed", **_BELOW_START},
    outcome=None,
    push="start! stop!",
    record="",
    ids=("none",),
    off=Off(30, after="act"),
)
_SKIPPED: Final = dict.fromkeys(("on_air", "stop_record", "stop_push", "result", "after"), "skipped")
# Trigger and stop tasks both stop what a person ends: whoever comes second changes nothing.
_EITHER: Final[Mapping[str, Any]] = {
    "push": "start! stop! stop*",
    "record": "start! stop! stop*",
    "ids": ("complete", "recovered"),
}
_MARKED_FAILED: Final = Expected(
    run="failed",
    others={"on_air": "failed", "result": "upstream_failed", "after": "upstream_failed"},
    outcome=None,
    **_EITHER,
    off=AT_ONCE,
)

CASES: Final[tuple[Case, ...]] = (
    Case(name="undisturbed", what="nothing", expected=(Expected(),)),
    Case(
        name="killed_before_call",
        what="the process of start_push is killed before the call",
        conf={"die": {"start_push": "before"}},
        expected=(Expected(tries={"start_push": 2}),),
    ),
    Case(
        name="killed_accepted",
        what="the process of start_push is killed after the service accepted the start",
        faults=(_HELD,),
        expected=(Expected(tries={"start_push": 2}, push=_AGAIN),),
    ),
    Case(
        name="killed_before_xcom",
        what="the process of start_push is killed before its XCom is pushed",
        conf={"die": {"start_push": "after"}},
        expected=(Expected(tries={"start_push": 2}, push="start! start stop!"),),
    ),
    Case(
        name="killed_with_supervisor",
        what="start_push and the worker above it are killed after the service accepted the start",
        seconds=140,
        faults=(_HELD,),
        expected=(Expected(tries={"start_push": 2}, push=_AGAIN),),
    ),
    Case(
        name="start_fails",
        what="start_push fails after the service accepted the start, with no retries left",
        dag="last_try",
        conf={"die": {"start_push": "raise"}},
        expected=(_FAILED_START,),
    ),
    Case(
        name="answer_dropped",
        what="the connection ends after the service carried out the start, without an answer",
        faults=({"operation": "start_push", "drop": "after"},),
        expected=(Expected(push=_AGAIN),),
    ),
    Case(
        name="start_5xx",
        what="502 on the first two starts of the push",
        faults=({"operation": "start_push", "n": 2, "status": 502},),
        expected=(Expected(push="start start start! stop!"),),
    ),
    Case(
        name="stops_fail_first",
        what="503 on every stop until the stop tasks try again",
        faults=tuple({"operation": operation, "n": 1000, "status": 503} for operation in ("stop_push", "stop_record")),
        expected=(
            Expected(
                tries={"stop_push": 2, "stop_record": 2},
                # On a busy machine the reaper, 30 s after the end, may come before the second try.
                push="start! stop+ stop! stop*",
                record="start! stop+ stop! stop*",
                ids=("complete", "recovered"),
            ),
        ),
    ),
    Case(
        name="stops_fail",
        what="503 on every stop until the run has failed, and then no more",
        faults=tuple({"operation": operation, "n": 1000, "status": 503} for operation in ("stop_push", "stop_record")),
        expected=(
            Expected(
                run="failed",
                others={"stop_push": "failed", "stop_record": "failed", "result": "upstream_failed"}
                | {"after": "upstream_failed"},
                tries={"stop_push": 1 + RETRIES, "stop_record": 1 + RETRIES},
                outcome=None,
                push="start! stop+ stop!",
                record="start! stop+ stop!",
                ids=("-",),
                off=Off(90, after="act"),
            ),
        ),
    ),
    Case(
        name="marked_failed",
        what="a person marks on_air failed",
        expected=(_MARKED_FAILED,),
    ),
    Case(
        name="stop_now",
        what="a person marks on_air successful (Stop now)",
        expected=(Expected(outcome="stopped", **_EITHER, off=AT_ONCE),),
    ),
    Case(
        name="stop_by_control",
        what='the XCom `control` is set to {"stop": true} through the REST API',
        naive=False,
        expected=(Expected(outcome="stopped", off=AT_ONCE),),
    ),
    Case(
        name="extended",
        what="the XCom `control` is set to another end, 30 s later, through the REST API",
        seconds=60,
        naive=False,
        expected=(Expected(),),
    ),
    Case(
        name="run_marked_failed",
        what="a person marks the run failed (which Airflow itself ends as a success: its leaves are skipped)",
        expected=(
            Expected(
                others={"on_air": "failed", "result": "skipped", "after": "skipped"},
                outcome=None,
                **_EITHER,
                off=AT_ONCE,
            ),
        ),
    ),
    Case(
        name="on_air_cleared",
        what="a person clears on_air",
        expected=(Expected(tries={"reserve": 2, "on_air": 2}),),
    ),
    Case(
        name="run_cleared",
        what="a person clears the whole run while it is on air",
        seconds=100,
        expected=(
            Expected(
                tries=dict.fromkeys(("reserve", "start_push", "start_record", "on_air"), 2),
                push="start! start stop!",
                record="start! start stop!",
            ),
        ),
    ),
    Case(
        name="timeout",
        what="dagrun_timeout on air",
        dag="timeout",
        seconds=180,
        expected=(
            Expected(
                run="failed",
                others=_SKIPPED,
                outcome=None,
                ids=("-",),
                off=AT_ONCE,
            ),
        ),
    ),
    Case(
        name="paused",
        what="a person pauses the DAG on air, and takes it back when the broadcast is over",
        dag="paused",
        expected=(Expected(),),
    ),
    Case(
        name="paused_start",
        what="a person pauses the DAG during start_push, and takes it back when the air is clear",
        dag="paused_start",
        seconds=50,
        faults=({"operation": "start_push", "delay_answer": 6.0},),
        expected=(
            Expected(
                run="failed",
                others={"start_record": "failed", "on_air": "upstream_failed"}
                | {"result": "upstream_failed", "after": "upstream_failed"},
                outcome=None,
                push="start! stop! stop*",
                # start_record has failed, because the end had passed: it has sent nothing, and so there is nothing to stop
                record="",
                ids=("none",),
                off=BY_REAPER,
            ),
        ),
    ),
    Case(
        name="stopped_while_waiting",
        what="the host comes while start_push waits, somebody else pushes, and a person marks start_push failed (Stop now)",
        conf={"wait": 200},
        naive=False,
        expected=(
            Expected(
                run="failed",
                others={"start_push": "failed", **_BELOW_START},
                outcome=None,
                push="start start* start! stop!",  # the last two are the other's
                record="",
                ids=("none",),
                off=None,
            ),
        ),
    ),
    Case(
        name="timeout_while_waiting",
        what="dagrun_timeout while start_push waits for the host: the room is free for others",
        dag="timeout",
        seconds=400,
        conf={"wait": 300},
        naive=False,
        expected=(
            Expected(
                run="failed",
                others={"start_push": "skipped", "start_record": "skipped", **_SKIPPED},
                outcome=None,
                push="start start*",
                record="",
                ids=("-",),
                off=None,
            ),
        ),
    ),
    Case(
        name="variables_swept",
        what="a deployment removes all Variables that are not its own while the broadcast is on air",
        naive=False,
        expected=(Expected(),),
    ),
    Case(
        name="dag_deleted",
        what="a person deletes the DAG, and with it the run, on air",
        dag="deleted",
        expected=(Expected(run="gone", outcome=None, ids=("-",), off=AT_ONCE),),
    ),
    Case(
        name="two_runs",
        what="another run is triggered for the room while the first is on air",
        seconds=110,  # the second one asks for the room a last time before the first is over
        expected=(
            Expected(),
            Expected(
                run="failed",
                others={"reserve": "failed", "start_push": "upstream_failed", **_BELOW_START}
                | {"stop_push": "upstream_failed", "stop_record": "upstream_failed"},
                outcome=None,
                push="",
                record="",
                ids=("-",),
                off=None,
            ),
        ),
    ),
    Case(
        name="mapped",
        what="four broadcasts in an expanded group: on_air of the first is marked failed, start_push of the second and "
        "stop_push of the third fail once they were carried out, with no retries left; nothing happens to the fourth",
        dag="mapped",
        seconds=110,
        rooms=4,
        conf={"die": {"start_push[1]": "raise", "stop_push[2]": "raise"}},
        expected=(
            _MARKED_FAILED,
            _FAILED_START,
            Expected(
                run="failed",
                others={"stop_push": "failed", "result": "upstream_failed", "after": "upstream_failed"},
                outcome=None,
            ),
            Expected(run="failed", others={"after": "upstream_failed"}),
        ),
    ),
    Case(
        name="scheduler_killed",
        what="the scheduler and all its workers are killed -9 on air, and started again",
        phase="scheduler",
        seconds=110,
        expected=(Expected(),),
    ),
    Case(
        name="triggerer_killed",
        what="the triggerer is killed -9 on air, and started again",
        phase="triggerer",
        seconds=110,
        expected=(Expected(),),
    ),
    Case(
        name="extended_triggerer_killed",
        what="an end that is 30 s later is set as `control`, then the triggerer is killed -9 and started again",
        phase="triggerer",
        seconds=100,
        naive=False,
        expected=(Expected(),),
    ),
    Case(
        name="triggerer_killed_before_event",
        what="the triggerer is killed -9 after its stops at the end, before its event, and started again",
        phase="event",
        seconds=110,
        naive=False,
        # Whether a stop is sent again depends on which notes the triggerer wrote before it was killed.
        expected=(Expected(push="start! stop! stop*", record="start! stop! stop*"),),
    ),
    Case(
        name="timeout_triggerer_killed",
        what="the triggerer is killed -9 just before dagrun_timeout, and started again after it",
        dag="timeout",
        phase="timeout",
        seconds=160,
        expected=(
            Expected(
                run="failed",
                others=_SKIPPED,
                outcome=None,
                ids=("-",),
                off=Off(120, after="act"),  # by the reaper, which does not wait for the end: the run has done with it
            ),
        ),
    ),
    Case(
        name="redistributed",
        what="the triggerer is suspended until another one has taken its triggers, then goes on beside it",
        phase="redistribution",
        seconds=120,
        expected=(Expected(),),
    ),
    Case(
        name="triggerer_gone",
        what="the triggerer is killed -9 on air, and stays away: on_air comes back by itself and ends the broadcast",
        phase="gone",
        seconds=90,
        naive=False,
        expected=(Expected(push="start! stop! stop*", record="start! stop! stop*", ids=("complete", "recovered")),),
    ),
)

PHASES: Final[tuple[Phase, ...]] = get_args(Phase)

BUSY_SECONDS: Final = 60.0


def on_a_busy_machine(case: Case) -> Case:
    """With so many seconds more for the starts, and at least as many until all is off air: other tests delay what is quick."""
    expected = tuple(
        replace(one, off=one.off and replace(one.off, within=max(one.off.within, BUSY_SECONDS)))
        for one in case.expected
    )
    return replace(case, seconds=case.seconds + BUSY_SECONDS, expected=expected)


# The short form: what one Airflow can bear side by side, each once; those first that take longest. Trigger and reaper are held
# to their promised seconds here, too; what is promised at once, `make leak` measures with the machine to itself.
SHORT: Final[tuple[Case, ...]] = tuple(
    on_a_busy_machine(case)
    for name in (
        *("timeout", "mapped", "two_runs", "killed_accepted"),
        *("on_air_cleared", "marked_failed", "stop_now", "dag_deleted"),
        *("timeout_while_waiting", "stopped_while_waiting"),
    )
    for case in CASES
    if case.name == name
)
