"""Faults on demand, for the next requests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, Literal

from airflow_provider_timav.emulator.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_timav.emulator.journal import Layer

__all__ = ["NO_FAULT", "Fault", "Faults", "fault_from", "merge_patch"]

_UNSET: Final[Any] = object()
_WAYS: Final = ("refuse", "stall", "drop", "reset", "status", "code", "answer", "raw", "patch")
_INSTEAD: Final = ("status", "code", "answer", "raw")


def _given(value: object) -> bool:
    return value is not None and value is not False


def _require(holds: bool, name: str, rule: str) -> None:
    if not holds:
        raise ValueError(f"{name} is {rule}")


def _is_int(value: object, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_header_map(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(text, str) and text.isprintable() for pair in value.items() for text in pair
    )


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong, in at most one of the following ways.

    - `refuse=True`: the connection ends before the TLS handshake; nothing was sent. `stall=True`: it is accepted, and
      the handshake never answered. Both concern connections, not requests: they take no `operation`, and connections
      that are kept alive are closed first, so that the next request needs a new one.
    - `drop="before"` / `"after"`: the connection is closed without an answer, before or after executing.
      `reset="before"` / `"after"`: the same with a TCP reset.
    - `status=503`, with `body` (str) and `headers`: an HTTP answer that is not the service's.
    - `code=40000208`, with `layer="body"` (default), `"head"` or `"gateway"` and `reason`: the service's own failure.
    - `answer=...`: any JSON value as the answer. `raw=b"..."`: these bytes on the connection, which then closes.
    - `patch={...}`: the true answer, changed by a JSON merge patch (RFC 7396; None removes a key).

    With any way, or alone: `delay` (seconds before executing), `delay_answer` (seconds between executing and answering),
    `drip` (seconds between single bytes of the answer), `truncate` (close after that many bytes of the answer's body,
    whose length says more). `execute` says whether the request is executed all the same; by default it is, except with
    `status`, `code`, `answer`, `raw`, and `drop` and `reset` say it themselves. ValueError names a wrong field.
    """

    refuse: bool = False
    stall: bool = False
    drop: Literal["before", "after"] | None = None
    reset: Literal["before", "after"] | None = None
    status: int | None = None
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    code: int | None = None
    layer: Layer = "body"
    reason: str = "fault of the emulator"
    answer: Any = _UNSET
    raw: bytes | str | None = None
    patch: Mapping[str, Any] | None = None
    delay: float = 0.0
    delay_answer: float = 0.0
    drip: float = 0.0
    truncate: int | None = None
    execute: bool | None = None

    def __post_init__(self) -> None:
        ways = self.ways
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)} exclude each other")
        for name in ("refuse", "stall"):
            _require(isinstance(getattr(self, name), bool), name, "True or False")
        for name in ("drop", "reset"):
            _require(getattr(self, name) in (None, "before", "after"), name, '"before" or "after"')
        for name in ("delay", "delay_answer", "drip"):
            _require(_is_number(getattr(self, name)) and 0 <= getattr(self, name) < 86400, name, "seconds, 0 or more")
        _require(self.status is None or _is_int(self.status, 100, 999), "status", "100 to 999")
        _require(self.code is None or _is_int(self.code, -(2**63), 2**63), "code", "an integer")
        _require(self.truncate is None or _is_int(self.truncate, 0, 2**31), "truncate", "a number of bytes")
        _require(self.layer in ("gateway", "head", "body"), "layer", '"gateway", "head" or "body"')
        _require(self.raw is None or isinstance(self.raw, bytes | str), "raw", "bytes or str")
        _require(isinstance(self.body, str), "body", "a string")
        _require(self.patch is None or isinstance(self.patch, dict), "patch", "an object")
        _require(_is_header_map(self.headers), "headers", "an object of strings without line breaks")
        _require(self.execute in (None, True, False), "execute", "True or False")
        if self.execute is not None and (self.drop or self.reset or self.of_connection):
            raise ValueError("execute does not go with drop, reset (they say it themselves), refuse or stall")
        if self.has_answer:
            try:
                json.dumps(self.answer)
            except (TypeError, ValueError):
                raise ValueError("answer is a JSON value") from None

    @property
    def ways(self) -> list[str]:
        """The names of the ways in which it goes wrong, delays and drips aside."""
        return [name for name in _WAYS if (self.has_answer if name == "answer" else _given(getattr(self, name)))]

    @property
    def has_answer(self) -> bool:
        """Whether an answer is given; None is one, JSON's null."""
        return self.answer is not _UNSET

    @property
    def of_connection(self) -> bool:
        """Whether it concerns a connection, before there is a request."""
        return self.refuse or self.stall

    @property
    def executes(self) -> bool:
        """Whether the request is executed all the same."""
        if self.drop or self.reset:
            return "after" in (self.drop, self.reset)
        if self.execute is not None:
            return self.execute
        return not any(name in _INSTEAD for name in self.ways)

    def __str__(self) -> str:
        words = []
        for name in (*self.ways, "delay", "delay_answer", "drip", "truncate"):
            value = getattr(self, name)
            if name in ("answer", "raw", "patch") or value is True:
                words.append(name)
            elif name == "code":
                words.append(f"{self.layer} code {value}")
            elif value:
                words.append(f"{name} {value}")
        return ", ".join(words)


NO_FAULT: Final = Fault()


class Faults:
    """The queue of faults: each is for the next n requests, of one operation or of any."""

    def __init__(self) -> None:
        self._queue: list[_Queued] = []

    def add(self, fault: Fault, n: int = 1, operation: str | None = None) -> None:
        """Queue a fault.

        :raises ValueError: naming the field that is wrong.
        """
        _require(_is_int(n, 1, 2**31), "n", "1 or more")
        if operation is not None and operation not in OPERATIONS:
            raise ValueError(f"operation is one of {', '.join(OPERATIONS)}, not {operation!r}")
        if fault == NO_FAULT:
            raise ValueError(f"a fault names one of {', '.join(_WAYS)}, delay, delay_answer, drip, truncate")
        if operation is not None and fault.of_connection:
            raise ValueError("operation: a connection that is refused or stalled has none yet")
        self._queue.append(_Queued(fault, n, operation))

    def take(self, operation: str | None) -> Fault | None:
        """Take the first fault that is meant for a request of this operation (None: of no readable one)."""
        return self._take(lambda queued: not queued.fault.of_connection and queued.operation in (None, operation))

    def take_for_connection(self) -> Fault | None:
        """Take the first fault that is meant for a connection."""
        return self._take(lambda queued: queued.fault.of_connection)

    def _take(self, matches: Callable[[_Queued], bool]) -> Fault | None:
        for queued in self._queue:
            if matches(queued):
                queued.left -= 1
                if queued.left == 0:
                    self._queue.remove(queued)
                return queued.fault
        return None

    def clear(self) -> None:
        """Forget all faults that have not happened."""
        self._queue.clear()

    def pending(self) -> list[dict[str, object]]:
        """Return the queued faults: how many times, for which operation, which fault."""
        return [{"n": item.left, "operation": item.operation, "fault": str(item.fault)} for item in self._queue]


@dataclass
class _Queued:
    fault: Fault
    left: int
    operation: str | None


def fault_from(arguments: Mapping[str, Any]) -> Fault:
    """Return the fault that keyword arguments make.

    :raises ValueError: for an argument that no fault has.
    """
    known = {item.name for item in fields(Fault)}
    for name in arguments:
        if name not in known:
            raise ValueError(f"{name} is no fault; these are: {', '.join(sorted(known))}")
    return Fault(**arguments)


def merge_patch(target: object, patch: object) -> object:
    """Return the result of a JSON merge patch (RFC 7396); change nothing in place."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged
