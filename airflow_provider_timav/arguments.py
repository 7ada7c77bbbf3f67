"""Parse operator arguments as Jinja and trigger forms hand them over: rendered text in place of a number or a list.

Templates render to text, an empty form field to ``""``, and a missing XCom to ``"None"``. ``videorelay.rules`` has the rules of
the API's arguments, `options` those of a broadcast's. A constant is checked when the DAG is parsed, everything else after
rendering, with the same message.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any, Final

from airflow_provider_timav.videorelay.errors import ConfigurationError

__all__ = [
    "apply_rule",
    "is_constant",
    "none_if_blank",
    "own_arguments",
    "parse_bool",
    "parse_choice",
    "parse_datetime",
    "parse_duration",
    "parse_name",
    "parse_strings",
    "short_repr",
    "template_marks",
]

LONGEST: Final = timedelta(days=3653)
"""The longest duration that is accepted: a longer one was meant to be something else, such as milliseconds."""

_SECONDS: Final = r"[0-9]+(\.[0-9]+)?"

_NOT_GIVEN: Final = (None, "", "None")


def none_if_blank(value: Any) -> Any:
    """Return the value of an optional argument, or None if it was not given: None, ``""`` or ``"None"``."""
    return None if isinstance(value, str | None) and value in _NOT_GIVEN else value


def parse_bool(value: Any, field: str) -> bool:
    """Return a boolean given as bool, 0 or 1, or as true, false, 1 or 0 in a string, in any case.

    :raises ConfigurationError: for anything else; it names ``field``.
    """
    from airflow_provider_timav.videorelay import rules

    return bool(apply_rule(rules.flag, value, field))


def parse_name(value: Any, field: str) -> str:
    """Return a name that is more than blanks.

    :raises ConfigurationError: for anything else; it names ``field``.
    """
    from airflow_provider_timav.videorelay import rules

    return str(apply_rule(rules.name, value, field))


def parse_choice(words: tuple[str, ...], value: Any, field: str) -> str:
    """Return the value, which must be one of these words.

    :raises ConfigurationError: for anything else; it names ``field``.
    """
    if not isinstance(value, str) or value not in words:
        allowed = f"{', '.join(words[:-1])} or {words[-1]}"
        raise ConfigurationError(f"{field} must be {allowed}, not {short_repr(value)}", field=field)
    return value


def short_repr(value: Any) -> str:
    """Return the ``repr`` of a wrong value for a message, shortened."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - an author's object, or a number of more digits than Python writes
        return f"this {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def apply_rule(rule: Callable[[Any], Any], value: Any, field: str, *, within: str | None = None) -> Any:
    """Return what a rule of ``videorelay.rules`` makes of a value.

    :param within: the dict that the argument is an entry of, such as ``push_options``.
    :raises ConfigurationError: if the value breaks it; it names ``field`` and quotes the value, unless that is a password.
    """
    from airflow_provider_timav.videorelay.rules import Broken

    try:
        return rule(value)
    except Broken as broken:
        where = field if within is None else f"{within}: {field}"
        seen = "" if "password" in field else f"; it is {short_repr(value)}"
        message = f"{where}{broken.place} {broken.rule}{seen}"
    raise ConfigurationError(message, field=field)


def template_marks(dag: Any) -> tuple[str, ...]:
    """Return the delimiters that make a string of this DAG a template: Jinja's, or those that the DAG has set instead."""
    changed = getattr(dag, "jinja_environment_kwargs", None) or {}
    return tuple(mark for name, usual in _MARKS.items() if (mark := changed.get(name, usual)))


_MARKS: Final = {
    "variable_start_string": "{{",
    "block_start_string": "{%",
    "comment_start_string": "{#",
    "line_statement_prefix": None,
    "line_comment_prefix": None,
}


def is_constant(value: Any, marks: tuple[str, ...]) -> bool:
    """Return whether rendering leaves a value unchanged; any other value is known only when the task runs."""
    if isinstance(value, str):
        return not any(mark in value for mark in marks)
    if isinstance(value, list | tuple | set | frozenset):
        return all(is_constant(one, marks) for one in value)
    if isinstance(value, dict):
        return all(is_constant(one, marks) for one in value.values())
    return value is None or isinstance(value, bool | int | float | bytes | timedelta | date)


def parse_strings(value: Any, field: str) -> list[str]:
    """Return a list of strings, given as one or as a JSON list in one string.

    :raises ConfigurationError: for anything else; it names ``field``.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ConfigurationError(f"{field} must be a list of strings, or a JSON list in one string", field=field)
    return list(value)


def parse_duration(value: Any, field: str) -> timedelta:
    """Return a duration given as timedelta, as seconds, or in ISO 8601 (``PT45M``).

    Seconds in a string are decimal digits, with or without a fraction; Python's other notations are refused.

    :raises ConfigurationError: if it is none of these, negative, or longer than ten years; it names ``field``.
    """
    rule = f"{field} must be a timedelta, a number of seconds or an ISO 8601 duration such as PT45M"
    span: timedelta
    if isinstance(value, timedelta):
        span = value
    elif isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ConfigurationError(f"{rule}, not {short_repr(value)}", field=field)
    else:
        if isinstance(value, str) and not re.fullmatch(_SECONDS, value.strip()):
            span = _iso_span(value, field, rule)
        else:
            try:
                span = timedelta(seconds=float(value))
            except (OverflowError, ValueError):
                raise ConfigurationError(f"{rule}, not {short_repr(value)}", field=field) from None
    if span < timedelta(0):
        raise ConfigurationError(f"{field} must not be negative, it is {short_repr(value)}", field=field)
    if span > LONGEST:
        raise ConfigurationError(f"{field} must be at most {LONGEST.days} days, it is {short_repr(value)}", field=field)
    return span


def _iso_span(text: str, field: str, rule: str) -> timedelta:
    # pydantic reads ISO 8601 durations; Airflow's SDK has imported it by now.
    from pydantic import TypeAdapter, ValidationError

    duration = text.strip().upper()
    if not duration.startswith("P"):  # pydantic would also read 1:30 and the like
        raise ConfigurationError(f"{rule}, not {short_repr(text)}", field=field)
    try:
        return TypeAdapter(timedelta).validate_python(duration)
    except ValidationError:
        raise ConfigurationError(f"{rule}, not {short_repr(text)}", field=field) from None


def parse_datetime(value: Any, field: str) -> datetime:
    """Return a point in time given as an aware datetime, or in ISO 8601 with a time zone.

    :raises ConfigurationError: if it cannot be read, has no time zone, or is outside 1970 to 2999; it names ``field``.
    """
    rule = f"{field} must be a point in time with a time zone, such as 2026-11-23T20:15:00+01:00"
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ConfigurationError(f"{rule}, not {short_repr(value)}", field=field) from None
    if not isinstance(value, datetime):
        raise ConfigurationError(f"{rule}, not {short_repr(value)}", field=field)
    if value.tzinfo is None or value.utcoffset() is None:
        raise ConfigurationError(f"{rule}; {value.isoformat()} has none", field=field)
    if not 1970 <= value.year < 3000:  # near the ends of the calendar a datetime overflows 30 s later
        raise ConfigurationError(
            f"{field} must be within the years 1970 to 2999, it is {value.isoformat()}", field=field
        )
    return value


def own_arguments(init: Callable[..., Any]) -> tuple[str, ...]:
    """Return the keyword-only arguments that an ``__init__`` names itself, in their order.

    :param init: as the class body has it, before Airflow wraps it.
    """
    parameters = inspect.signature(init).parameters.values()
    return tuple(each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY)
