"""The table of operations, and what a call carries."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.videorelay import bodies, calls
from airflow_provider_timav.videorelay.errors import ConfigurationError
from airflow_provider_timav.videorelay.outcomes import Action
from tests.data import vectors

HOST: dict[str, Any] = {"room_id": 1, "user_id": "a"}


def test_every_request_has_its_operation() -> None:
    assert [operation.request for operation in calls.OPERATIONS.values()] == list(bodies.REQUESTS)
    assert {operation.action for operation in calls.OPERATIONS.values()} == set(get_args(Action))


@pytest.mark.parametrize("name", calls.OPERATIONS)
def test_every_operation_has_its_function_its_method_and_its_vectors(name: str) -> None:
    assert callable(getattr(calls, name))
    assert callable(getattr(TimAVHook, name))
    for file in ("requests", "responses"):
        assert name in {case["call"] for case in vectors(file)["cases"]}


def test_body_is_named_after_its_sub_command() -> None:
    sent = json.loads(calls.stop_record(**HOST).body(seq=7, cookie="c0ffee", sdkappid=3))
    assert sent["reqhead"]["uint32_sub_cmd"] == 5
    assert sent["reqbody"] == {"req_0x5": {"uint32_oper": 2, "uint32_sdk_type": 1, "uint32_record_data_type": 0}}


def test_refusal_names_operation_and_field_and_quotes_nothing() -> None:
    with pytest.raises(ConfigurationError, match=r"^start_push: player_password must not be empty$") as refused:
        calls.start_push(**HOST, player_password="   ")
    assert (refused.value.field, refused.value.outcome_class) == ("player_password", "fail")
    assert refused.value.__context__ is None
