"""The rules of arguments: plain checks, for which the standard library is enough.

``bodies`` says which argument has which rule. Requests are held to them when they are made, and an author's constants when the
DAG is parsed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = [
    "DATA_TYPES",
    "LIVE_CODES",
    "RATE_TYPES",
    "SDK_TYPES",
    "UINT32_MAX",
    "Broken",
    "counted",
    "flag",
    "listed",
    "name",
    "one_of",
    "text",
    "uint",
    "user",
]

UINT32_MAX: Final = 2**32 - 1

LIVE_CODES: Final = {"hls": 1, "rtmp": 5, "hls+rtmp": 6}
SDK_TYPES: Final = {"normal": 1, "iot_camera": 2}
DATA_TYPES: Final = {"camera": 0, "screen": 1}
RATE_TYPES: Final = {"original": 0, "sd": 10, "hd": 20}

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

LONGEST_TEXT: Final = 1024
"""Characters. The specification gives no limit; a ledger that people read has one."""


class Broken(ValueError):
    """A value breaks a rule.

    :param rule: the rule, to be read after the argument's name; it does not quote the value.
    :param place: which entry of a list breaks it, such as ``[2]``.
    """

    def __init__(self, rule: str, place: str = "") -> None:
        super().__init__(rule)
        self.rule = rule
        self.place = place


def uint(value: Any, *, most: int = UINT32_MAX) -> int:
    """Return an unsigned integer that was given as int or as decimal digits; blanks around them do not count.

    :raises Broken: for anything else, booleans, floats and Python's ``1_000`` included, and past ``most``.
    """
    if isinstance(value, str) and len(value) <= 40:
        digits = value.strip()
        if digits.isascii() and digits.isdigit():
            value = int(digits)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Broken(f"must be a whole number from 0 to {most}")
    if not 0 <= value <= most:
        raise Broken(f"must be from 0 to {most}")
    return value


def flag(value: Any) -> bool:
    """Return a switch that was given as bool, as 0 or 1, or as true, false, 1 or 0 in any case.

    :raises Broken: for anything else.
    """
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    if word in ("true", "1"):
        return True
    if word in ("false", "0"):
        return False
    raise Broken("must be true or false (1 or 0)")


def one_of(words: Mapping[str, int]) -> Callable[[Any], int]:
    """Return a check that takes the words of a set, or the specification's numbers for them, and returns the number."""
    allowed = " or ".join((", ".join(repr(word) for word in words), ", ".join(str(code) for code in words.values())))

    def check(value: Any) -> int:
        if isinstance(value, str) and value in words:
            return words[value]
        try:
            code = uint(value)
        except Broken:
            raise Broken(f"must be one of {allowed}") from None
        if code not in words.values():
            raise Broken(f"must be one of {allowed}")
        return code

    return check


def text(value: Any) -> str:
    """Return a text that UTF-8 and every database can carry; a whole number becomes its digits.

    :raises Broken: for anything else, and for a text of more than ``LONGEST_TEXT`` characters.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            value = str(value)  # an id that a form or a native template made a number
        except ValueError:  # of thousands of digits
            raise Broken(f"must have at most {LONGEST_TEXT} characters") from None
    if not isinstance(value, str):
        raise Broken("must be a string")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise Broken("must be text that UTF-8 can carry") from None
    if "\0" in value:
        raise Broken("must be text without NUL, which databases cannot carry")
    if len(value) > LONGEST_TEXT:
        raise Broken(f"must have at most {LONGEST_TEXT} characters, it has {len(value)}")
    return value


def name(value: Any) -> str:
    """Return a text that is more than blanks.

    :raises Broken: for anything else.
    """
    found = text(value)
    if not found.strip():
        raise Broken("must not be empty")
    return found


def user(value: Any) -> str:
    """Return the id of a user: a name on one line.

    :raises Broken: if it is no name, or holds a control character or a line break.
    """
    found = name(value)
    if _CONTROL.search(found):
        raise Broken("must hold no control character and no line break")
    return found


def listed(value: Any) -> list[Any]:
    """Return a list that was given as one, or as a JSON list in one string.

    :raises Broken: for anything else.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise Broken("must be a list, or a JSON list in one string") from None
    if not isinstance(value, list | tuple):
        raise Broken("must be a list, or a JSON list in one string")
    return list(value)


def counted(least: int, most: int) -> Callable[[list[Any]], list[Any]]:
    """Return a check of how many entries a list has, and that none comes twice."""

    def check(values: list[Any]) -> list[Any]:
        if not least <= len(values) <= most:
            raise Broken(f"must have {least} to {most} entries, it has {len(values)}")
        if len(set(values)) != len(values):
            raise Broken("must name each entry once")
        return values

    return check


def list_of(
    entry: Callable[[Any], Any], count: Callable[[list[Any]], list[Any]] | None = None
) -> Callable[[Any], list[Any]]:
    """Return a check that takes a list whose entries each hold to a rule.

    :param count: a check of the list as a whole.
    """

    def check(value: Any) -> list[Any]:
        found = []
        for position, one in enumerate(listed(value)):
            try:
                found.append(entry(one))
            except Broken as broken:
                raise Broken(broken.rule, f"[{position}]") from None
        return found if count is None else count(found)

    return check


live_code, sdk_type, data_type = (one_of(words) for words in (LIVE_CODES, SDK_TYPES, DATA_TYPES))
rate_types = list_of(one_of(RATE_TYPES), counted(1, len(RATE_TYPES)))
tags = list_of(name)
user_ids = list_of(user, counted(1, 10))

REQUIRED: Final = frozenset({"room_id", "user_id", "user_ids"})
"""The arguments that no operation which has them goes without."""

WATERMARK_ID_ALONE: Final = "has no effect without watermark_flag=True"
