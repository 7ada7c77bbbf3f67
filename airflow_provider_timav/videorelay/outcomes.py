"""Every result code of the three layers: its meaning, the advice, and its treatment.

The table is data (``outcomes.csv``, read at first use). Its rows follow the specification's annex (body), the table of the
common head (head) and the vendor's common REST codes (gateway). Codes that it lacks fall to the row of their hundred
(``700xx``, by which the vendor's account system refuses), otherwise to the row ``*`` of their layer, so that an unknown code is
never a success. The words of the classes:

=================== ==========================================================================================
success             done
success_incomplete  done, but the live URLs or file ids are not in the answer
gone                stop of something that is not there
retry               safe to send again inside the call
rate_limited        send again inside the call, after a longer wait
credential          send once more with a new UserSig if one can be signed, otherwise fail
ambiguous           the outcome is unknown: send the same operation again, its "already" code is the answer
task_retry          no retry inside the call, but the task may be tried again
wait_for_user       the room or the user is not there yet
already_or_wait     30000415, to which the specification gives two meanings
fail                no retry
fail_unknown        no retry, but the service may have acted: a stop must still run
=================== ==========================================================================================
"""

from __future__ import annotations

import csv
import functools
import importlib.resources
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal, get_args

from airflow_provider_timav.videorelay import errors

__all__ = ["Action", "Layer", "Outcome", "OutcomeClass", "classify", "table"]

Layer = Literal["gateway", "head", "body"]
Action = Literal["start", "stop", "remove"]


class OutcomeClass(StrEnum):
    """How a result is treated; the words are explained at the top of this module."""

    SUCCESS = "success"
    SUCCESS_INCOMPLETE = "success_incomplete"
    GONE = "gone"
    RETRY = "retry"
    RATE_LIMITED = "rate_limited"
    CREDENTIAL = "credential"
    AMBIGUOUS = "ambiguous"
    TASK_RETRY = "task_retry"
    WAIT_FOR_USER = "wait_for_user"
    ALREADY_OR_WAIT = "already_or_wait"
    FAIL = "fail"
    FAIL_UNKNOWN = "fail_unknown"


_ERRORS: Final[dict[OutcomeClass, type[errors.TimAVError]]] = {
    OutcomeClass.SUCCESS_INCOMPLETE: errors.AlreadyRunning,
    OutcomeClass.ALREADY_OR_WAIT: errors.AlreadyRunning,
    OutcomeClass.RETRY: errors.ServiceError,
    OutcomeClass.RATE_LIMITED: errors.RateLimited,
    OutcomeClass.CREDENTIAL: errors.CredentialError,
    OutcomeClass.AMBIGUOUS: errors.AmbiguousOutcome,
    OutcomeClass.TASK_RETRY: errors.ServiceError,
    OutcomeClass.WAIT_FOR_USER: errors.RoomNotReady,
    OutcomeClass.FAIL: errors.RequestRejected,
    OutcomeClass.FAIL_UNKNOWN: errors.ServiceError,
}
# Classes after which the same operation may succeed later with the same request. A credential may be replaced
# in the connection between two tries of a task, so it is worth them.
_RETRYABLE: Final = frozenset(
    {
        OutcomeClass.RETRY,
        OutcomeClass.RATE_LIMITED,
        OutcomeClass.CREDENTIAL,
        OutcomeClass.AMBIGUOUS,
        OutcomeClass.TASK_RETRY,
        OutcomeClass.WAIT_FOR_USER,
        OutcomeClass.ALREADY_OR_WAIT,
    }
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. ``code`` ``"700xx"`` is the fallback of a hundred, None that of its family and layer."""

    family: str
    layer: str
    code: int | str | None
    meaning: str
    advice: str
    executed: errors.Executed
    classes: dict[str, OutcomeClass]
    error: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """One result code as it counts for one action: its row of the table, the class, and the service's own words."""

    layer: Layer
    code: int
    outcome_class: OutcomeClass
    row: Row
    said: str = ""

    def error(self) -> errors.TimAVError:
        """Return the exception for this outcome.

        :raises KeyError: for a success, which is no error.
        """
        kind = getattr(errors, self.row.error) if self.row.error else _ERRORS[self.outcome_class]
        known = "" if isinstance(self.row.code, int) else ", which the table of result codes lacks"
        # A text that says no more than the table does is not quoted.
        said = f': "{self.said}"' if self.said and self.said.casefold() != self.row.meaning.casefold() else ""
        message = f"{self.row.meaning} ({self.layer} code {self.code}{known}{said}). {self.row.advice}"
        facts: dict[str, Any] = {}
        if kind is errors.AlreadyRunning:
            facts["doubtful"] = self.outcome_class is OutcomeClass.ALREADY_OR_WAIT
        error: errors.TimAVError = kind(
            message,
            layer=self.layer,
            code=self.code,
            outcome_class=str(self.outcome_class),
            retryable=self.outcome_class in _RETRYABLE,
            executed=self.row.executed,
            **facts,
        )
        return error


@functools.cache
def table() -> dict[tuple[str, str, int | str | None], Row]:
    """Return the table by family (``push``, ``record``, ``room`` or ``any``), layer and code (see ``Row``)."""
    text = importlib.resources.files(__package__).joinpath("outcomes.csv").read_text(encoding="utf-8")
    rows = {}
    for line in csv.DictReader(text.splitlines()):
        written = line["code"]
        code = None if written == "*" else written if written.endswith("xx") else int(written)
        classes = {action: OutcomeClass(line[f"on_{action}"]) for action in get_args(Action) if line[f"on_{action}"]}
        executed: Any = line["executed"]
        rows[line["family"], line["layer"], code] = Row(
            line["family"], line["layer"], code, line["meaning"], line["advice"], executed, classes, line["error"]
        )
    return rows


# 70017 is a check by a third party that failed, or that took too long (field notes): only its text tells which.
_MAY_HAVE_TIMED_OUT: Final = 70017
_SERVER_TIMED_OUT: Final = 70169
_TIMED_OUT: Final = re.compile(r"time[ds]?[ -]?out|超时", re.IGNORECASE)


def classify(*, family: str, layer: Layer, code: int, action: Action, said: str = "") -> Outcome:
    """Return the meaning of a non-zero result code for an action; codes that the table lacks get a fallback.

    :param family: the operation's (``calls.OPERATIONS``); one that the table does not name has no codes of its own.
    :param code: the result; 0 counts only for a gateway that says FAIL all the same.
    :param said: the service's own words, fit to be quoted.
    """
    rows = table()
    looked_for = _SERVER_TIMED_OUT if code == _MAY_HAVE_TIMED_OUT and _TIMED_OUT.search(said) else code
    for owner, each in ((family, looked_for), ("any", looked_for), ("any", f"{code // 100}xx"), ("any", None)):
        row = rows.get((owner, layer, each))
        if row is not None and action in row.classes:
            break
    else:  # each layer has a fallback for each action
        raise KeyError(layer)
    return Outcome(layer, code, row.classes[action], row, said)
