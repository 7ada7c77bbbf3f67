"""Operator arguments as Jinja and trigger forms hand them over: rendered text where a number or a list was meant.

What an argument of the API may hold stands in ``videorelay.bodies``; here stands what is Airflow's: templates render to text,
an empty form field to ``""``, and a missing XCom to ``"None"``. `check` holds one argument to its rule: a constant when the DAG
is parsed, everything else after rendering, with the same words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

from airflow_provider_timav.videorelay.errors import ConfigurationError

__all__ = [
    "DEFAULTS",
    "check",
    "flag",
    "given",
    "is_constant",
    "one_of",
    "optional",
    "point_in_time",
    "shown",
    "template_marks",
    "texts",
    "time_span",
]

LONGEST: Final = timedelta(days=3653)
"""The longest span of time that is taken for one: what is longer was meant to be something else, such as milliseconds."""

_SECONDS: Final = r"[0-9]+(\.[0-9]+)?"

_NOT_GIVEN = (None, "", "None")

DEFAULTS: Final = {
    "max_duration": timedelta(hours=6),
    "wait_for_user": timedelta(minutes=5),
    "if_already_running": "recover",
    "until": "deadline",
    "grace": timedelta(seconds=60),
    "on_stall": "ignore",
    "skip_if_late": timedelta(minutes=10),
}
"""What counts for an option that is never without a value where it renders to nothing: the same as in the signatures."""

CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "if_already_running": ("recover", "restart", "fail"),
    "until": ("deadline", "stream_ended"),
    "on_stall": ("ignore", "notify", "fail"),
}
"""The words that an option may be."""


def optional(value: Any) -> Any:
    """Return the value of an optional argument, or None where it was not given: None, ``""`` or ``"None"``."""
    return None if isinstance(value, str | None) and value in _NOT_GIVEN else value


def given(value: Any, name: str) -> Any:
    """Return the value of an option of ``DEFAULTS``, or its default where a form field was left empty."""
    return DEFAULTS[name] if optional(value) is None else value


def flag(value: Any, field: str) -> bool:
    """Return a switch given as bool, 0 or 1, or as one of the words true, false, 1, 0 in any case.

    :raises ConfigurationError: for anything else; it names ``field``.
    """
    from airflow_provider_timav.videorelay import rules

    return bool(_held(rules.flag, value, field))


def one_of(words: tuple[str, ...], value: Any, field: str) -> str:
    """Return a value that is one of these words.

    :raises ConfigurationError: for anything else; it names ``field``.
    """
    if not isinstance(value, str) or value not in words:
        allowed = f"{', '.join(words[:-1])} or {words[-1]}"
        raise ConfigurationError(f"{field} must be {allowed}, not {shown(value)}", field=field)
    return value


def shown(value: Any) -> str:
    """Return how a wrong value is shown in a message: shortened."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - an author's object, or a number of more digits than Python writes
        return f"this {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def check(field: str, value: Any, *, within: str | None = None) -> None:
    """Hold one argument to its rule. An optional one that is not given has none, and neither has one that is no argument.

    :param within: the dict that it is an entry of, such as ``push_options``.
    :raises ConfigurationError: naming the argument, the rule and the value, which is left out where it is a password.
    """
    from airflow_provider_timav.videorelay import bodies, rules

    if field not in rules.REQUIRED and field != "timav_conn_id" and optional(value) is None:
        return
    if field in CHOICES:
        one_of(CHOICES[field], value, field)
    elif field in _AIRFLOWS:
        _AIRFLOWS[field](value, field)
    elif field in bodies.ARGUMENTS:
        _held(bodies.ARGUMENTS[field], value, field, within=within)


def _held(rule: Callable[[Any], Any], value: Any, field: str, *, within: str | None = None) -> Any:
    from airflow_provider_timav.videorelay.rules import Broken

    try:
        return rule(value)
    except Broken as broken:
        where = field if within is None else f"{within}: {field}"
        seen = "" if "password" in field else f"; it is {shown(value)}"
        message = f"{where}{broken.place} {broken.rule}{seen}"
    raise ConfigurationError(message, field=field)


def template_marks(dag: Any) -> tuple[str, ...]:
    """Return the marks of which a template of this DAG has one: Jinja's, or those that the DAG has put in their place."""
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
    """Tell whether rendering leaves a value as it is: what else it may be is known only when the task runs."""
    if isinstance(value, str):
        return not any(mark in value for mark in marks)
    if isinstance(value, list | tuple | set | frozenset):
        return all(is_constant(one, marks) for one in value)
    if isinstance(value, dict):
        return all(is_constant(one, marks) for one in value.values())
    return value is None or isinstance(value, bool | int | float | bytes | timedelta | date)


def texts(value: Any, field: str) -> list[str]:
    """Return a list of texts, given as one or as a JSON list in one string.

    :raises ConfigurationError: for anything else; it names ``field``.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ConfigurationError(f"{field} must be a list of texts, or a JSON list in one string", field=field)
    return list(value)


def time_span(value: Any, field: str) -> timedelta:
    """Return a span of time given as timedelta, as seconds, or as ISO 8601 text (``PT45M``).

    Seconds may be decimal digits, with a fraction or without; Python's other ways to write a number are not taken.

    :raises ConfigurationError: if it is none of these, negative, or longer than ten years; it names ``field``.
    """
    rule = f"{field} must be a timedelta, a number of seconds or an ISO 8601 duration such as PT45M"
    span: timedelta
    if isinstance(value, timedelta):
        span = value
    elif isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ConfigurationError(f"{rule}, not {shown(value)}", field=field)
    else:
        if isinstance(value, str) and not re.fullmatch(_SECONDS, value.strip()):
            span = _iso_span(value, field, rule)
        else:
            try:
                span = timedelta(seconds=float(value))
            except (OverflowError, ValueError):
                raise ConfigurationError(f"{rule}, not {shown(value)}", field=field) from None
    if span < timedelta(0):
        raise ConfigurationError(f"{field} must not be negative, it is {shown(value)}", field=field)
    if span > LONGEST:
        raise ConfigurationError(f"{field} must be at most {LONGEST.days} days, it is {shown(value)}", field=field)
    return span


def _iso_span(text: str, field: str, rule: str) -> timedelta:
    # pydantic reads ISO 8601 durations, and whoever gets here has imported it already: Airflow's SDK does.
    from pydantic import TypeAdapter, ValidationError

    duration = text.strip().upper()
    if not duration.startswith("P"):  # pydantic would also read 1:30 and the like
        raise ConfigurationError(f"{rule}, not {shown(text)}", field=field)
    try:
        return TypeAdapter(timedelta).validate_python(duration)
    except ValidationError:
        raise ConfigurationError(f"{rule}, not {shown(text)}", field=field) from None


def point_in_time(value: Any, field: str) -> datetime:
    """Return a point in time given as an aware datetime or as ISO 8601 text with a zone.

    :raises ConfigurationError: if it cannot be read, has no zone, or is not within the years 1970 to 2999; it names ``field``.
    """
    rule = f"{field} must be a point in time with a time zone, such as 2026-11-23T20:15:00+01:00"
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ConfigurationError(f"{rule}, not {shown(value)}", field=field) from None
    if not isinstance(value, datetime):
        raise ConfigurationError(f"{rule}, not {shown(value)}", field=field)
    if value.tzinfo is None or value.utcoffset() is None:
        raise ConfigurationError(f"{rule}; {value.isoformat()} has none", field=field)
    if not 1970 <= value.year < 3000:  # nobody can count on from the ends of the calendar
        raise ConfigurationError(
            f"{field} must be within the years 1970 to 2999, it is {value.isoformat()}", field=field
        )
    return value


def _identifier(value: Any, field: str) -> None:
    from airflow_provider_timav.videorelay import rules

    _held(rules.name, value, field)


_AIRFLOWS: Final[Mapping[str, Callable[[Any, str], Any]]] = {
    "timav_conn_id": _identifier,
    "start_task_id": _identifier,
    "duration": time_span,
    "max_duration": time_span,
    "wait_for_user": time_span,
    "grace": time_span,
    "skip_if_late": time_span,
    "ends_at": point_in_time,
    "record": flag,
    "requested": flag,
    "require_file_ids": flag,
}
"""The rules of the arguments that are Airflow's, or a broadcast's."""
