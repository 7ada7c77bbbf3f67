"""Read values strictly that people can write: the one reader for Variables, XComs and state stores that come back.

People with rights on Variables, XComs or task state can put anything there. A value of another form than the written one counts
as not there, and must not affect other broadcasts: so depth, size, ranges and texts are bounded before a value is used. The
messages of `Unreadable` name the field and the rule, and quote nothing of the value.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, TypeVar

__all__ = ["DEEPEST", "LARGEST_ENTRY", "LONGEST_TEXT", "Fields", "Unreadable", "bounded", "parsed", "said", "stored"]

LARGEST_ENTRY: Final = 64 * 1024
"""Bytes of an entry as JSON in UTF-8."""

DEEPEST: Final = 16
"""Levels of nesting; our own values have four."""

LONGEST_TEXT: Final = 4096
"""Characters of a single text, unless its field says otherwise."""

MOST_FILE_IDS: Final = 1000
LONGEST_FILE_ID: Final = 256
"""The most file ids of a recording, and the characters of each, in every note of them."""

LARGEST_NUMBER: Final = 2**63 - 1

T = TypeVar("T")


class Unreadable(ValueError):
    """A value does not have the form that the provider writes."""


def parsed(text: Any) -> Any:
    """Return the value of a JSON text, within the bounds of an entry.

    :raises Unreadable: if it is no text, no JSON, too large, too deep, or holds a number or text that a store cannot carry.
    """
    if not isinstance(text, str):
        raise Unreadable("it is no text")
    if len(text) > LARGEST_ENTRY:
        raise Unreadable(f"it is larger than {LARGEST_ENTRY} bytes")
    try:
        value = json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise Unreadable(f"it is nested deeper than {DEEPEST} levels") from None
    except ValueError as wrong:
        raise wrong if isinstance(wrong, Unreadable) else Unreadable("it is no JSON") from None
    return bounded(value)


def stored(value: Any) -> Any:
    """Return the value of an XCom in Airflow's database, for which the REST API stores JSON as a text that holds JSON.

    :raises Unreadable: see `parsed`.
    """
    return parsed(value) if isinstance(value, str) else bounded(value)


def bounded(value: Any) -> Any:
    """Return a value that was parsed elsewhere, such as an XCom, if it is within the bounds of an entry.

    :raises Unreadable: see `parsed`.
    """
    size, level = 0, [value]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for item in level:
            size += _size(item)
            if size > LARGEST_ENTRY:
                raise Unreadable(f"it is larger than {LARGEST_ENTRY} bytes")
            if isinstance(item, dict):
                below.extend(item.keys())
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return value
        level = below
    raise Unreadable(f"it is nested deeper than {DEEPEST} levels")


def _size(item: Any) -> int:
    """Return about how many bytes one value takes as JSON, without nested values."""
    if isinstance(item, str):
        return _encoded(item, "a text") + 2
    if isinstance(item, bool) or item is None:
        return 5
    if isinstance(item, int):
        if abs(item) > LARGEST_NUMBER:
            raise Unreadable("a number in it does not fit into 64 bits")
        return 8
    if isinstance(item, float):
        if not math.isfinite(item):
            raise Unreadable("a number in it is not finite")
        return 8
    if isinstance(item, dict | list):
        return 2 + len(item)
    raise Unreadable("it holds what JSON does not know")


def _no_number(_: str) -> NoReturn:
    raise Unreadable("a number in it is not finite")


def _encoded(text: str, what: str) -> int:
    """Return the bytes of a text in UTF-8."""
    if len(text) > LARGEST_ENTRY:
        raise Unreadable(f"it is larger than {LARGEST_ENTRY} bytes")
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise Unreadable(f"{what} in it cannot be encoded in UTF-8") from None


class Fields:
    """Read the members of one JSON object by name, each checked; other members are ignored.

    :raises Unreadable: if the value is no object, or beyond the bounds of an entry.
    """

    def __init__(self, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise Unreadable("it is no JSON object")
        self._members: Mapping[str, Any] = bounded(dict(value))

    def text(self, name: str, *, most: int = LONGEST_TEXT, pattern: str | None = None) -> str:
        """Return a text of at most ``most`` characters that matches ``pattern`` as a whole.

        :raises Unreadable: if it is anything else.
        """
        value = self._members.get(name)
        if not isinstance(value, str):
            raise Unreadable(f"{name} is no text")
        if len(value) > most:
            raise Unreadable(f"{name} is longer than {most} characters")
        if pattern is not None and not re.fullmatch(pattern, value):
            raise Unreadable(f"{name} has characters that it never has")
        return value

    def text_or_none(self, name: str, *, most: int = LONGEST_TEXT) -> str | None:
        """Return a text, or None if there is none.

        :raises Unreadable: if it is anything else.
        """
        return None if self._members.get(name) is None else self.text(name, most=most)

    def texts(self, name: str, *, most: int, longest: int) -> tuple[str, ...]:
        """Return a list of at most ``most`` texts of at most ``longest`` characters each; an empty one if there is none.

        :raises Unreadable: if it is anything else.
        """
        value = self._members.get(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) and len(item) <= longest for item in value):
            raise Unreadable(f"{name} is no list of texts of at most {longest} characters")
        if len(value) > most:
            raise Unreadable(f"{name} has more than {most} texts")
        return tuple(value)

    def whole(self, name: str, least: int, most: int, *, default: int | None = None) -> int:
        """Return a whole number from ``least`` to ``most``; ``default`` if it is missing and there is a default.

        :raises Unreadable: if it is anything else, a boolean or a float included.
        """
        value = self._members.get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise Unreadable(f"{name} is no whole number from {least} to {most}")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Return true or false.

        :raises Unreadable: if it is anything else.
        """
        value = self._members.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise Unreadable(f"{name} is neither true nor false")
        return value

    def choice(self, name: str, choices: Collection[T]) -> T:
        """Return one of a closed set of texts.

        :raises Unreadable: if it is none of them.
        """
        value = self._members.get(name)
        for choice in choices:
            if isinstance(value, str) and value == choice:
                return choice
        raise Unreadable(f"{name} is none of {', '.join(str(choice) for choice in choices)}")

    def moment(self, name: str) -> datetime:
        """Return a point in time, ISO 8601 with a zone, within the years 1970 to 2999, in UTC.

        :raises Unreadable: if it is anything else.
        """
        text = self.text(name, most=64)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise Unreadable(f"{name} is no point in time") from None
        if moment.utcoffset() is None:
            raise Unreadable(f"{name} has no time zone")
        if not 1970 <= moment.year < 3000:  # no conversion must reach the ends of the calendar
            raise Unreadable(f"{name} is not within the years 1970 to 2999")
        return moment.astimezone(UTC)

    def moment_or_none(self, name: str) -> datetime | None:
        """Return a point in time, or None if there is none.

        :raises Unreadable: if it is anything else.
        """
        return None if self._members.get(name) is None else self.moment(name)

    def within(self, name: str) -> Fields:
        """Return the object under this name.

        :raises Unreadable: if there is none.
        """
        return Fields(self._members.get(name))

    def get(self, name: str) -> Any:
        """Return the value under this name as it is, within the bounds of an entry, or None."""
        return self._members.get(name)


def said(text: object, *, most: int = 500) -> str:
    """Return a text for people in a form that every log and store accepts: encodable, and cut to ``most`` characters."""
    plain = str(text).encode("utf-8", "backslashreplace").decode()
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"
