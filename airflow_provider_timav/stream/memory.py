"""Reads the state of a stream back from JSON.

The memory may come from another version of this package, or from a store that people can write to: a value that cannot be read
is left out, and nothing is raised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Final

from airflow_provider_timav.reading import LARGEST_NUMBER, said
from airflow_provider_timav.stream.marks import MOST_TRACKS
from airflow_provider_timav.stream.track import FARTHEST_BACK, Track
from airflow_provider_timav.stream.verdict import Verdict

__all__ = ["read_fields"]

_LATEST: Final = 253_402_300_799
"""Seconds since the epoch; the last that a datetime can hold."""

_LONGEST_REASON: Final = 200
"""Characters."""


def read_fields(kind: Any, memory: dict[Any, Any]) -> dict[str, Any]:
    """Return the fields of a dataclass that can be read."""
    known: dict[str, Any] = {}
    for one in fields(kind):
        value, read = memory.get(one.name), _READERS.get(str(one.type))
        if value is not None and read is not None and (found := read(value)) is not None:
            known[one.name] = found
    return known


def _tracks(value: Any) -> tuple[Track, ...] | None:
    found = []
    for memory in value[: 2 * MOST_TRACKS] if isinstance(value, list) else ():
        known = {"variant": None, **read_fields(Track, memory)} if isinstance(memory, dict) else {}
        if {"tail", "first", "read_at"} <= known.keys():
            found.append(Track(**known))
    return tuple(found)


def _number(value: Any) -> Any:
    sane = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LATEST
    return value if sane else None


def _whole(value: Any) -> Any:
    sane = isinstance(value, int) and not isinstance(value, bool) and -LARGEST_NUMBER <= value <= LARGEST_NUMBER
    return value if sane else None


def _wholes(value: Any) -> Any:
    sane = isinstance(value, list) and len(value) <= FARTHEST_BACK and all(_whole(one) is not None for one in value)
    return tuple(value) if sane else None


def _text(value: Any) -> Any:
    return said(value, most=_LONGEST_REASON) if isinstance(value, str) else None


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "Verdict": lambda value: Verdict(value) if value in list(Verdict) else None,
    "float": _number,
    "float | None": _number,
    "int": _whole,
    "int | None": _whole,
    "bool": lambda value: value if isinstance(value, bool) else None,
    "str": _text,
    "tuple[int, ...]": _wholes,
    "tuple[Track, ...]": _tracks,
}
"""By the type of a field, as it is written."""
