"""The emulator as a fixture."""

from __future__ import annotations

import json
import os

import pytest

from airflow_provider_timav.emulator import Emulator
from harness.caller import START_PUSH, Caller

pytest_plugins = ["pytester"]


def test_the_fixture_is_a_running_emulator(timav_emulator: Emulator) -> None:
    assert json.loads(os.environ["AIRFLOW_CONN_TIMAV_DEFAULT"]) == timav_emulator.connection()
    assert timav_emulator.members(timav_emulator.room_id) == {timav_emulator.user_id}
    with Caller(timav_emulator) as caller:
        assert caller.code(6, START_PUSH) == 0


def test_the_fixture_works_in_a_users_own_tests(pytester: pytest.Pytester) -> None:
    """With warnings as errors, and a new emulator for each test."""
    pytester.makeconftest('pytest_plugins = ["airflow_provider_timav.emulator.pytest_plugin"]')
    pytester.makepyfile(
        """
        import os

        def test_one(timav_emulator):
            timav_emulator.close_room(timav_emulator.room_id)

        def test_two(timav_emulator):
            assert timav_emulator.rooms
            assert "AIRFLOW_CONN_TIMAV_DEFAULT" in os.environ

        def test_three():
            assert "AIRFLOW_CONN_TIMAV_DEFAULT" not in os.environ
        """
    )
    result = pytester.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=3)
