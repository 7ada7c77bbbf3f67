"""Operator arguments as Jinja and trigger forms hand them over: rendered text where a number or a list was meant.

What an argument of the API may hold is checked by its model (``videorelay.models``); here stands only what is Airflow's:
templates render to text, an empty form field to ``""``, and a missing XCom to ``"None"``.
"""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from typing import Any, Final

from airflow_provider_timav.videorelay.errors import ConfigurationError

__all__ = ["DEFAULTS", "flag", "given", "optional", "point_in_time", "texts", "time_span"]

LONGEST: Final = timedelta(days=3653)
"""The longest span of time that is taken for one: what is longer was meant to be something else, such as milliseconds."""

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
    from pydantic_core import PydanticCustomError

    from airflow_provider_timav.videorelay import models

    try:
        return models.flag(value)
    except PydanticCustomError as broken:
        rule = broken.message()
    raise ConfigurationError(f"{field} {rule}", field=field)


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

    :raises ConfigurationError: if it is none of these, negative, or longer than ten years; it names ``field``.
    """
    rule = f"{field} must be a timedelta, a number of seconds or an ISO 8601 duration such as PT45M"
    span: timedelta
    if isinstance(value, timedelta):
        span = value
    elif isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ConfigurationError(f"{rule}, not {value!r}", field=field)
    else:
        try:
            seconds = float(value)
        except ValueError:
            span = _iso_span(str(value), field, rule)
        else:
            if not math.isfinite(seconds) or abs(seconds) > timedelta.max.total_seconds():
                raise ConfigurationError(f"{rule}, not {value!r}", field=field)
            span = timedelta(seconds=seconds)
    if span < timedelta(0):
        raise ConfigurationError(f"{field} must not be negative, it is {value!r}", field=field)
    if span > LONGEST:
        raise ConfigurationError(f"{field} must be at most {LONGEST.days} days, it is {value!r}", field=field)
    return span


def _iso_span(text: str, field: str, rule: str) -> timedelta:
    # pydantic reads ISO 8601 durations, and whoever gets here has imported it already: Airflow's SDK does.
    from pydantic import TypeAdapter, ValidationError

    duration = text.strip().upper()
    if not duration.startswith("P"):  # pydantic would also read 1:30 and the like
        raise ConfigurationError(f"{rule}, not {text!r}", field=field)
    try:
        return TypeAdapter(timedelta).validate_python(duration)
    except ValidationError:
        raise ConfigurationError(f"{rule}, not {text!r}", field=field) from None


def point_in_time(value: Any, field: str) -> datetime:
    """Return a point in time given as an aware datetime or as ISO 8601 text with a zone.

    :raises ConfigurationError: if it cannot be read, has no zone, or is not within the years 1970 to 2999; it names ``field``.
    """
    rule = f"{field} must be a point in time with a time zone, such as 2026-11-23T20:15:00+01:00"
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ConfigurationError(f"{rule}, not {value!r}", field=field) from None
    if not isinstance(value, datetime):
        raise ConfigurationError(f"{rule}, not {value!r}", field=field)
    if value.tzinfo is None or value.utcoffset() is None:
        raise ConfigurationError(f"{rule}; {value.isoformat()} has none", field=field)
    if not 1970 <= value.year < 3000:  # nobody can count on from the ends of the calendar
        raise ConfigurationError(
            f"{field} must be within the years 1970 to 2999, it is {value.isoformat()}", field=field
        )
    return value
