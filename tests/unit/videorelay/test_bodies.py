"""The requests: every argument has one rule, one name on the wire, and a type that hook and calls have it with."""

from __future__ import annotations

import dataclasses
from typing import Any, Required, get_origin, get_type_hints

import pytest

from airflow_provider_timav.videorelay import bodies, calls, rules
from airflow_provider_timav.videorelay.bodies import BrokenArgument, Request, StartPush, StopPush
from tests.data import vectors

HOST: dict[str, Any] = {"room_id": 1, "user_id": "a"}


def names(request: type[Request]) -> set[str]:
    return {field.name for field in dataclasses.fields(request)}


@pytest.mark.parametrize("request_type", bodies.REQUESTS)
def test_every_argument_is_typed(request_type: type[Request]) -> None:
    typed: Any = getattr(bodies, f"{request_type.__name__}Arguments")
    hints = get_type_hints(typed, include_extras=True)
    assert hints.keys() == names(request_type)
    required = {field.name for field in dataclasses.fields(request_type) if field.default is dataclasses.MISSING}
    assert {name for name, hint in hints.items() if typed.__total__ or get_origin(hint) is Required} == required


def test_every_argument_has_one_rule() -> None:
    """Or a constant could break it unseen until the task runs."""
    assert set(bodies.ARGUMENTS) == set.union(*(names(request) for request in bodies.REQUESTS))
    for request in bodies.REQUESTS:
        for field in dataclasses.fields(request):
            assert field.metadata["rule"] is bodies.ARGUMENTS[field.name]


@pytest.mark.parametrize("operation", [each for each in calls.OPERATIONS.values() if each.action != "stop"])
def test_golden_requests_have_every_field(operation: calls.Operation[Any, Any]) -> None:
    """So that each name of the wire is checked against the specification's, and against the emulator's. A stop has no more."""
    given = [set(case["arguments"]) for case in vectors("requests")["cases"] if case["call"] == operation.name]
    assert set.union(*given) == names(operation.request)


def test_options_are_those_that_a_broadcast_has_no_argument_for() -> None:
    assert bodies.OPTIONS == {
        "push_options": ("channel_describe", "watermark_flag", "watermark_id"),
        "record_options": ("tags", "class_id", "transcode", "screenshot", "watermark"),
    }


def test_request_refuses_the_first_argument_that_is_wrong() -> None:
    for given, field in (
        ({**HOST, "sdk_type": "web", "more": 1}, "sdk_type"),
        ({**HOST, "more": 1}, "more"),
        ({"room_id": 1}, "user_id"),
        ({**HOST, "watermark_id": 3}, "watermark_id"),
    ):
        with pytest.raises(BrokenArgument) as refused:
            StartPush.of(given)
        assert refused.value.field == field
    assert str(refused.value) == f"watermark_id {rules.WATERMARK_ID_ALONE}"


def test_none_is_not_given() -> None:
    assert StopPush.of({**HOST, "sdk_type": None, "more": None}) == StopPush.of(HOST)


def test_wire_has_numbers_for_switches_and_lacks_what_was_not_given() -> None:
    request = StartPush.of({**HOST, "tape_flag": True, "rate_types": "[0, 10]"})
    assert request.wire() == {
        "uint32_sdk_type": 1,
        "uint32_push_data_type": 0,
        "uint32_live_code": 1,
        "uint32_tape_flag": 1,
        "rpt_rate_type": [0, 10],
    }


def test_password_shows_in_no_repr() -> None:
    request = StartPush.of({**HOST, "player_password": "0pen*sesame"})
    assert request.secrets == ("0pen*sesame",)
    assert "sesame" not in repr(request)
