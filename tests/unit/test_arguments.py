"""Rendered arguments: what a template or a form hands over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_timav.arguments import none_if_blank, parse_bool, parse_datetime, parse_duration, short_repr
from airflow_provider_timav.videorelay.errors import ConfigurationError


@pytest.mark.parametrize("value", [None, "", "None"])
def test_not_given(value: Any) -> None:
    assert none_if_blank(value) is None


@pytest.mark.parametrize("value", [0, False, "0", [], "none", 0.0])
def test_falsy_is_given(value: Any) -> None:
    assert none_if_blank(value) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        ("TRUE", True),
        ("1", True),
        (1, True),
        (False, False),
        (" false ", False),
        ("0", False),
        (0, False),
    ],
)
def test_switch(value: Any, expected: bool) -> None:
    assert parse_bool(value, "record") is expected


@pytest.mark.parametrize("value", ["yes", "", "None", 2, 1.0, None, []])
def test_wrong_switch_names_the_field(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^record must be true or false") as wrong:
        parse_bool(value, "record")
    assert wrong.value.field == "record"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (timedelta(minutes=5), 300),
        (300, 300),
        (0.5, 0.5),
        ("300", 300),
        (" 0300 ", 300),
        ("0.5", 0.5),
        ("60.0", 60),
        ("PT45M", 2700),
        (" pt1h30m ", 5400),
        ("P1DT1S", 86401),
        (0, 0),
    ],
)
def test_time_span(value: Any, seconds: float) -> None:
    assert parse_duration(value, "grace").total_seconds() == seconds


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "soon",
        "45M",
        "1_000",
        "+60",
        "-60",
        "1e3",
        ".5",
        "5.",
        "\u0666\u0660",
        "6\u0660",
        "PT\u0661H",
        "P1_0D",
        "0x10",
        "nan",
        "9" * 5000,
        True,
        -1,
        "-PT5M",
        timedelta(seconds=-1),
        float("nan"),
        float("inf"),
        1e300,
        [1],
        1_700_000_000_000,
    ],
)
def test_wrong_time_span_names_the_field(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^grace must") as wrong:
        parse_duration(value, "grace")
    assert wrong.value.field == "grace"


@pytest.mark.parametrize(
    "value",
    ["2026-11-23T20:15:00+01:00", "2026-11-23T19:15:00Z", datetime(2026, 11, 23, 19, 15, tzinfo=UTC)],
)
def test_point_in_time(value: Any) -> None:
    assert parse_datetime(value, "ends_at") == datetime(2026, 11, 23, 19, 15, tzinfo=UTC)


@pytest.mark.parametrize("value", [None, "", "tomorrow", "2026-11-23T20:15:00", datetime(2026, 11, 23), 7])  # noqa: DTZ001
def test_wrong_point_in_time_names_the_field(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^ends_at must be a point in time with a time zone") as wrong:
        parse_datetime(value, "ends_at")
    assert wrong.value.field == "ends_at"


@pytest.mark.parametrize("value", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "3000-01-01T00:00:00Z"])
def test_point_in_time_at_the_ends_of_the_calendar_is_none(value: str) -> None:
    """30 s after the last of them there is no date."""
    with pytest.raises(ConfigurationError, match=r"^ends_at must be within the years") as wrong:
        parse_datetime(value, "ends_at")
    assert wrong.value.field == "ends_at"


class Unshowable:
    """What has no text."""

    def __repr__(self) -> str:
        raise RuntimeError("on purpose")


def test_a_value_that_cannot_be_shown_is_named_by_its_type() -> None:
    assert short_repr(Unshowable()) == "this Unshowable"
    assert short_repr("x" * 1000) == "'" + "x" * 76 + "..."
