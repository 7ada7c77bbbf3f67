"""When a broadcast ends: by its options, over changes of the clock, wherever the server stands."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
import pytest

from airflow_provider_timav.operators._plan import Plan
from airflow_provider_timav.options import BroadcastOptions
from airflow_provider_timav.videorelay.errors import ConfigurationError

BERLIN, NEW_YORK, LORD_HOWE = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")


@pytest.fixture(params=["UTC", "Asia/Shanghai", "America/New_York"], autouse=True)
def server_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Let the server stand in another zone than the broadcast; in one of them, also in the same."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


def planned(**options: Any) -> Plan:
    return Plan.of(BroadcastOptions(room_id=7, user_id="host", **options))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def end(now: datetime, **options: Any) -> datetime:
    """When a broadcast ends that is reserved at this time, in UTC."""
    return planned(**options).end(now).astimezone(UTC)


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        # Summer time ends in Berlin on 25 October 2026 at 3:00, and the hour before comes twice.
        pytest.param(
            datetime(2026, 10, 25, 1, 59, tzinfo=BERLIN), "2026-10-24T23:59", id="before the hour that is twice"
        ),
        pytest.param(datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN), "2026-10-25T00:30", id="the first of two"),
        pytest.param(datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1), "2026-10-25T01:30", id="the second of two"),
        pytest.param(
            datetime(2026, 10, 25, 3, 0, tzinfo=BERLIN), "2026-10-25T02:00", id="after the hour that is twice"
        ),
        # In New York on 1 November at 2:00, an hour on from one.
        pytest.param(datetime(2026, 11, 1, 1, 30, tzinfo=NEW_YORK), "2026-11-01T05:30", id="New York, the first"),
        pytest.param(
            datetime(2026, 11, 1, 1, 30, tzinfo=NEW_YORK, fold=1), "2026-11-01T06:30", id="New York, the second"
        ),
        # It begins in Berlin on 28 March 2027 at 2:00, and there is no 2:30: a clock not put forward shows it at 3:30.
        pytest.param(datetime(2027, 3, 28, 1, 59, tzinfo=BERLIN), "2027-03-28T00:59", id="before the hour that is not"),
        pytest.param(datetime(2027, 3, 28, 2, 30, tzinfo=BERLIN), "2027-03-28T01:30", id="in the hour that is not"),
        pytest.param(datetime(2027, 3, 28, 3, 30, tzinfo=BERLIN), "2027-03-28T01:30", id="the same in summer time"),
        pytest.param(datetime(2027, 3, 14, 2, 30, tzinfo=NEW_YORK), "2027-03-14T07:30", id="New York, not there"),
        # Half an hour only, and in the other half of the world.
        pytest.param(datetime(2026, 10, 4, 2, 15, tzinfo=LORD_HOWE), "2026-10-03T15:45", id="half an hour that is not"),
        pytest.param(
            datetime(2026, 4, 5, 1, 45, tzinfo=LORD_HOWE, fold=1), "2026-04-04T15:15", id="half an hour twice"
        ),
    ],
)
def test_a_local_time_is_the_moment_that_its_zone_says(local: datetime, expected: str) -> None:
    """However it is written: as the object, or as the text that a template renders it to."""
    now = utc(expected) - timedelta(hours=2)
    assert end(now, ends_at=local) == utc(expected)
    assert end(now, ends_at=local.isoformat()) == utc(expected)
    assert end(now, ends_at=str(local)) == utc(expected)


@pytest.mark.parametrize(
    ("due", "expected"),
    [
        ("2026-10-24T18:00", "2026-10-24T20:00"),
        ("2026-10-24T23:30", "2026-10-25T01:30"),  # in Berlin from 1:30 to 2:30, for the second time
        ("2027-03-28T00:30", "2027-03-28T02:30"),  # in Berlin from 1:30 to 4:30
    ],
)
def test_a_span_after_the_due_time_is_as_long_on_any_day(due: str, expected: str) -> None:
    """``data_interval_end`` and ``run_after`` are pendulum's: hours that are added to them have sixty minutes."""
    template = pendulum.instance(utc(due)) + timedelta(hours=2)
    assert end(utc(due), ends_at=str(template)) == utc(expected)
    assert end(utc(due), ends_at=template.in_timezone("Europe/Berlin").isoformat()) == utc(expected)
    assert end(utc(due), ends_at=template) == utc(expected)


@pytest.mark.parametrize(
    ("day", "expected"),
    [("2026-10-24", "20:00"), ("2026-10-25", "21:00"), ("2027-03-27", "21:00"), ("2027-03-28", "20:00")],
)
def test_a_time_of_day_in_the_broadcasts_zone_follows_its_clock(day: str, expected: str) -> None:
    """A broadcast that ends at ten in the evening in Berlin ends there at ten, on whichever side of a change."""
    due = pendulum.instance(utc(f"{day}T18:00"))
    ends_at = due.in_timezone("Europe/Berlin").replace(hour=22, minute=0)
    assert end(due, ends_at=ends_at.isoformat()) == utc(f"{day}T{expected}")


def test_a_duration_is_as_long_over_a_change() -> None:
    before = datetime(2026, 10, 25, 1, 30, tzinfo=BERLIN)
    assert end(before.astimezone(UTC), duration="PT2H") == utc("2026-10-25T01:30")  # 2:30, for the second time
    before = datetime(2027, 3, 28, 1, 30, tzinfo=BERLIN)
    assert end(before.astimezone(UTC), duration="PT2H") == utc("2027-03-28T02:30")  # 4:30


def test_the_longest_duration_is_counted_in_time_that_passes() -> None:
    """Between 23:00 and 6:00 of the night in which clocks are put back lie eight hours, and not seven."""
    began = datetime(2026, 10, 24, 23, 0, tzinfo=BERLIN)
    ends_at = datetime(2026, 10, 25, 6, 0, tzinfo=BERLIN)
    assert end(began.astimezone(UTC), ends_at=ends_at, max_duration="PT8H") == ends_at.astimezone(UTC)
    assert end(began.astimezone(UTC), ends_at=ends_at, max_duration="PT7H") == utc("2026-10-25T04:00")


def test_a_duration_counts_from_the_start_over_a_change() -> None:
    """From 1:30 on, half an hour before the clocks are put forward, to 4:30, two hours later."""
    start = datetime(2027, 3, 28, 1, 30, tzinfo=BERLIN)
    assert end(utc("2027-03-27T12:00"), starts_at=start, duration="PT2H") == utc("2027-03-28T02:30")
    plan = planned(starts_at=start, duration="PT2H", preroll="PT3H")
    assert plan.ready_at == utc("2027-03-27T21:30")


def test_the_longest_duration_counts_from_the_start() -> None:
    start = utc("2026-10-25T20:00")
    times = {"starts_at": start, "ends_at": utc("2026-10-26T20:00")}
    assert end(utc("2026-10-25T08:00"), **times) == utc("2026-10-26T02:00")
    assert planned(**times).cut_by(utc("2026-10-25T08:00")) == timedelta(hours=18)


def test_an_end_of_the_hour_that_comes_twice_is_over_only_after_its_own() -> None:
    """Python compares times of one zone by what the clock shows: in the second 2:10, the first 2:30 would seem ahead."""
    first, second = (datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=fold) for fold in (0, 1))
    now = datetime(2026, 10, 25, 2, 10, tzinfo=BERLIN, fold=1)
    assert planned(ends_at=first).end(now.astimezone(UTC)) <= now.astimezone(UTC)
    assert planned(ends_at=second).end(now.astimezone(UTC)) > now.astimezone(UTC)


@pytest.mark.parametrize(
    "ends_at",
    [
        datetime(2026, 10, 25, 2, 30),  # noqa: DTZ001 - this is what is refused
        "2026-10-25T02:30:00",
        "2026-10-25 02:30",
        "2026-10-25T02:30:00[Europe/Berlin]",
        "2026-10-25T02:30:00 Europe/Berlin",
        "02:30",
        pendulum.naive(2026, 10, 25, 2, 30),
    ],
)
def test_a_time_without_a_zone_is_refused(ends_at: Any) -> None:
    """No broadcast is in the server's zone."""
    with pytest.raises(ConfigurationError, match="ends_at must be a point in time with a time zone") as refused:
        planned(ends_at=ends_at)
    assert refused.value.field == "ends_at"


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("push_options", '{"watermark_flag": "true", "watermark_id": 3}'),
        ("push_options", {"watermark_flag": True, "watermark_id": ""}),
        ("push_options", ""),
        ("push_options", "None"),
        ("record_options", '{"tags": ["a"], "class_id": null}'),
        ("record_options", {"tags": '["a"]'}),
    ],
)
def test_options_in_one_are_taken_in_every_form(option: str, given: Any) -> None:
    planned(duration=60, **{option: given})
