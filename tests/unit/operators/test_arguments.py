"""The arguments of the operators, read from their signatures."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from airflow_provider_timav.arguments import own_arguments
from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator, StopRecordOperator
from airflow_provider_timav.operators.room import KickMembersOperator
from airflow_provider_timav.videorelay import bodies


def test_own_arguments_are_the_named_ones_in_their_order() -> None:
    def init(self: object, *, second: int, first: int = 1, **kwargs: object) -> None: ...

    assert own_arguments(init) == ("second", "first")


OPERATORS = [
    (StartPushOperator, bodies.StartPush, {"push_options"}),
    (StopPushOperator, bodies.StopPush, set()),
    (StartRecordOperator, bodies.StartRecord, {"record_options", "requested"}),
    (StopRecordOperator, bodies.StopRecord, {"require_file_ids"}),
    (KickMembersOperator, bodies.RemoveMembers, set()),
]


@pytest.mark.parametrize(("operator", "request_type", "more"), OPERATORS)
def test_operator_takes_and_renders_each_argument_of_its_request(
    operator: type, request_type: type[bodies.Request], more: set[str]
) -> None:
    named = {field.name for field in dataclasses.fields(request_type)} | more
    assert set(operator._own_arguments) == named  # type: ignore[attr-defined]
    assert named <= set(operator.template_fields)  # type: ignore[attr-defined]


@pytest.mark.parametrize("operator", [each[0] for each in OPERATORS])
def test_operator_explains_and_keeps_each_argument(operator: Any) -> None:
    required = {"room_id": 1, "user_ids": ["a"]} if operator is KickMembersOperator else {"room_id": 1, "user_id": "a"}
    task = operator(task_id="task", **required)
    for name in operator._own_arguments:
        assert f":param {name}: " in operator.__doc__
        assert getattr(task, name, ...) is not ...
