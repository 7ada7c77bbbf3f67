"""Whatever a client sends, it gets an answer, and the emulator lives on."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_timav.emulator import Emulator, protocol
from harness.caller import START_PUSH, Caller, request
from tests.data import vectors

LEAVES = st.none() | st.booleans() | st.integers(-5, 2**33) | st.floats(allow_nan=False) | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
REQUESTS = [case["body"] for case in vectors("requests")["cases"]]


def _places(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(value, dict):
        return [path]
    return [path, *(place for key, member in value.items() for place in _places(member, (*path, key)))]


@st.composite
def garbled(draw: st.DrawFn) -> Any:
    """A valid request with one or two of its parts replaced by anything, or taken away."""
    document: Any = copy.deepcopy(draw(st.sampled_from(REQUESTS)))
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.sampled_from(_places(document)))
        if not place:
            return draw(VALUES)
        parent = document
        for key in place[:-1]:
            parent = parent[key]
        if draw(st.booleans()):
            parent[place[-1]] = draw(VALUES)
        else:
            del parent[place[-1]]
    return document


@given(garbled())
@settings(max_examples=300, deadline=None)
def test_a_garbled_request_is_an_operation_or_a_failure(document: Any) -> None:
    """Nothing but the service's own failures leaves the reader, and a description can always be had."""
    protocol.describe(document)
    with suppress(protocol.Failure):
        command = protocol.read(document, sdkappid=1400000001)
        assert protocol.describe(document).operation == command.operation.name


@given(garbled())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_garbled_request_is_answered(emulator: Emulator, caller: Caller, document: Any) -> None:
    assert isinstance(caller.post(document), dict)
    assert emulator.handshakes == 1


def test_half_a_surrogate_pair_is_refused(emulator: Emulator, caller: Caller) -> None:
    """JSON can escape it, UTF-8 cannot carry it: no answer could echo it."""
    assert caller.post(request(6, START_PUSH, users=("\ud800",)))["ErrorCode"] == 60003
    with pytest.raises(ValueError, match="user_id"):
        emulator.enter(1, "\ud800")
