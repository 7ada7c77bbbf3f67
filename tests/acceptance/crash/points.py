"""Where a process dies, and what must come of it: the matrix as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, get_args

Operation = Literal["start_push", "start_record", "stop_push", "stop_record"]
Point = Literal[
    "before_intent",
    "after_intent",
    "sending",
    "sent",
    "accepted",
    "answered",
    "before_store",
    "before_xcom",
    "after_xcom",
    "accepted_then_killed",
    "accepted_then_failed",
    "accepted_then_refused",
    "accepted_then_stored",
]
OPERATIONS: Final[tuple[Operation, ...]] = get_args(Operation)

# For each point: what it means, and where each try ends (the DAG file has a function of this name). Any other try runs through.
POINTS: Final[dict[Point, tuple[str, dict[int, str]]]] = {
    "before_intent": ("before the intent (stops: before the look at the claim)", {1: "before_intent"}),
    "after_intent": ("after it, before anything is sent", {1: "after_intent"}),
    "sending": ("half of the request is on the wire", {1: "sending"}),
    "sent": ("the service has the request, and carries it out after the death", {1: "sent"}),
    "accepted": ("the service has carried it out and not answered", {1: "accepted"}),
    "answered": ("the answer has arrived and is not understood", {1: "answered"}),
    "before_store": ("the result is known and not stored", {1: "before_store"}),
    "before_xcom": ("it is stored, and not returned as an XCom", {1: "before_xcom"}),
    "after_xcom": ("it is returned, and the success not reported", {1: "after_xcom"}),
    "accepted_then_killed": (
        "as `accepted`; the next and last try is killed before its first write",
        {1: "accepted", 2: "before_intent"},
    ),
    "accepted_then_failed": (
        "as `accepted`; the next and last try fails before its first write",
        {1: "accepted", 2: "fails"},
    ),
    "accepted_then_refused": (
        "as `accepted`; the service refuses the next try, which another one follows",
        {1: "accepted"},
    ),
    "accepted_then_stored": (
        "as `accepted`; the next try is killed as in `before_xcom`, and another one follows",
        {1: "accepted", 2: "before_xcom"},
    ),
}


@dataclass(frozen=True)
class Expected:
    """What a case comes to.

    `posts` are all requests of the run in the service's journal, oldest first, those that changed something with "!".
    `start` and `stop` are the outcomes that these tasks hand on, None for a task that fails. `handed_on` is what consumers
    get: `URLs` of the push that was live, or the recording's file ids, all of them (`complete`, `recovered`) or `lost`, which
    says that there are none; `nothing` of a task that failed.
    """

    posts: str
    start: str | None
    stop: str | None
    handed_on: Literal["URLs", "complete", "recovered", "lost", "nothing"]
    tries: int = 2

    @property
    def starts(self) -> int:
        """How many starts the service carried out."""
        return self.posts.split().count("start!")

    @property
    def stops(self) -> int:
        """How many stops the service carried out."""
        return self.posts.split().count("stop!")


# A start that dies unheard of is sent again. Where it was carried out, the push is stopped and started for its URLs, unless
# these were stored; the recording, whose start has nothing to tell, is left running.
_PUSH = Expected("start! stop!", "started", "stopped", "URLs")
_PUSH_AGAIN = Expected("start! start stop! start! stop!", "restarted", "stopped", "URLs")
_PUSH_STORED = Expected("start! start stop!", "recovered", "stopped", "URLs")
_PUSH_REFUSED = Expected("start! start start stop! start! stop!", "restarted", "stopped", "URLs", tries=3)
_PUSH_TWICE = Expected("start! start stop! start! start stop!", "recovered", "stopped", "URLs", tries=3)
_PUSH_LOST = Expected("start! stop!", None, "stopped", "nothing")
_RECORD = Expected("start! stop!", "started", "stopped", "complete")
_RECORD_AGAIN = Expected("start! start stop!", "adopted", "stopped", "complete")
_RECORD_STORED = Expected("start! start stop!", "recovered", "stopped", "complete")
_RECORD_TWICE = Expected("start! start start stop!", "adopted", "stopped", "complete", tries=3)
_RECORD_LOST = Expected("start! stop!", None, "stopped", "complete")
# A stop is sent again in any case. The file ids come once: who dies between the answer and its note has lost them, and says so.
_OFF = Expected("start! stop!", "started", "stopped", "URLs")
_OFF_AGAIN = Expected("start! stop! stop", "started", "already_stopped", "URLs")
_OFF_TWICE = Expected("start! stop! stop stop", "started", "already_stopped", "URLs", tries=3)
_OFF_FAILED = Expected("start! stop!", "started", None, "URLs")
_IDS = Expected("start! stop!", "started", "stopped", "complete")
_IDS_LOST = Expected("start! stop! stop", "started", "already_stopped", "lost")
_IDS_TWICE = Expected("start! stop! stop stop", "started", "already_stopped", "lost", tries=3)
_IDS_STORED = Expected("start! stop! stop", "started", "already_stopped", "recovered")
_IDS_FAILED = Expected("start! stop!", "started", None, "nothing")

EXPECTED: Final[dict[Operation, dict[Point, Expected]]] = {
    "start_push": {
        "before_intent": _PUSH,
        "after_intent": _PUSH,
        "sending": _PUSH,
        "sent": _PUSH_AGAIN,
        "accepted": _PUSH_AGAIN,
        "answered": _PUSH_AGAIN,
        "before_store": _PUSH_AGAIN,
        "before_xcom": _PUSH_STORED,
        "after_xcom": _PUSH_STORED,
        "accepted_then_killed": _PUSH_LOST,
        "accepted_then_failed": _PUSH_LOST,
        "accepted_then_refused": _PUSH_REFUSED,
        "accepted_then_stored": _PUSH_TWICE,
    },
    "start_record": {
        "before_intent": _RECORD,
        "after_intent": _RECORD,
        "sending": _RECORD,
        "sent": _RECORD_AGAIN,
        "accepted": _RECORD_AGAIN,
        "answered": _RECORD_AGAIN,
        "before_store": _RECORD_AGAIN,
        "before_xcom": _RECORD_STORED,
        "after_xcom": _RECORD_STORED,
        "accepted_then_killed": _RECORD_LOST,
        "accepted_then_failed": _RECORD_LOST,
        "accepted_then_refused": _RECORD_TWICE,
        "accepted_then_stored": _RECORD_TWICE,
    },
    "stop_push": {
        "before_intent": _OFF,
        "after_intent": _OFF,
        "sending": _OFF,
        "sent": _OFF_AGAIN,
        "accepted": _OFF_AGAIN,
        "answered": _OFF_AGAIN,
        "before_store": _OFF_AGAIN,
        "before_xcom": _OFF_AGAIN,
        "after_xcom": _OFF_AGAIN,
        "accepted_then_killed": _OFF_FAILED,
        "accepted_then_failed": _OFF_FAILED,
        "accepted_then_refused": _OFF_TWICE,
        "accepted_then_stored": _OFF_TWICE,
    },
    "stop_record": {
        "before_intent": _IDS,
        "after_intent": _IDS,
        "sending": _IDS,
        "sent": _IDS_LOST,
        "accepted": _IDS_LOST,
        "answered": _IDS_LOST,
        "before_store": _IDS_LOST,
        "before_xcom": _IDS_STORED,
        "after_xcom": _IDS_STORED,
        "accepted_then_killed": _IDS_FAILED,
        "accepted_then_failed": _IDS_FAILED,
        "accepted_then_refused": _IDS_TWICE,
        "accepted_then_stored": _IDS_TWICE,
    },
}


@dataclass(frozen=True)
class Case:
    """One operation dies at one point: its task's process alone, or (`supervisor`) the worker above it, too."""

    operation: Operation
    point: Point
    supervisor: bool = False
    expected: Expected = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "expected", EXPECTED[self.operation][self.point])

    def __str__(self) -> str:
        return f"{self.operation}-{self.point}{'-supervisor' if self.supervisor else ''}"

    @property
    def kind(self) -> Literal["push", "record"]:
        """What is started and stopped."""
        return "push" if self.operation.endswith("push") else "record"

    @property
    def task_id(self) -> Literal["start", "stop"]:
        """The task that dies."""
        return "start" if self.operation.startswith("start") else "stop"

    @property
    def dag_id(self) -> str:
        """The DAG with as many retries as the case needs, and none to spare."""
        return f"crash_{self.kind}_{self.expected.tries - 1}"

    @property
    def deaths(self) -> dict[int, str]:
        """Where each try ends."""
        return POINTS[self.point][1]

    @property
    def kills(self) -> dict[int, str]:
        """Of these the tries that end by SIGKILL."""
        return {number: where for number, where in self.deaths.items() if where != "fails"}


# The whole matrix; those first that take longest.
ALL: Final = tuple(
    Case(operation, point, supervisor) for supervisor in (True, False) for operation in OPERATIONS for point in POINTS
)

# The short form: eight points, each once, over all four operations and both kinds of death.
SHORT: Final = (
    Case("start_push", "accepted", supervisor=True),
    Case("start_record", "before_intent"),
    Case("stop_push", "after_intent"),
    Case("start_push", "sending"),
    Case("stop_record", "before_store"),
    Case("stop_record", "before_xcom"),
    Case("start_push", "after_xcom"),
    Case("start_record", "accepted_then_failed"),
)
