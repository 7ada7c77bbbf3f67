"""What the ledger keeps: keys, and what people write into control."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_timav.leases import (
    PREFIX,
    Control,
    Lease,
    LeaseKey,
    Ledger,
    Owner,
)
from airflow_provider_timav.videorelay.errors import ConfigurationError
from harness.supervisor import Supervisor

KEY = LeaseKey("timav_default", 10086, "host_1", "camera")
OWNER = Owner("show", "manual__1", "broadcast")
NOW = datetime(2026, 11, 24, 20, 15, tzinfo=UTC)
LEASE = Lease(KEY, OWNER, "a1", NOW, "Evening news", record=False)
NEXT = Lease(KEY, Owner("show", "manual__2", "broadcast", 3), "b2", NOW + timedelta(hours=1))


@pytest.fixture
def ledger(supervisor: Supervisor) -> Ledger:
    return Ledger(KEY.variable)


class TestKeys:
    @given(st.text(), st.text())
    def test_two_users_never_share_a_lease(self, one: str, other: str) -> None:
        keys = {LeaseKey("timav_default", 1, user_id, "camera").variable for user_id in (one, other)}
        assert len(keys) == len({one, other})

    @pytest.mark.parametrize("mark", ["?", "#", "/", " ", "\u00a0", "\u00e4", "\u4e3b", "\u0000", ".", ":", "%2F", ""])
    def test_what_tells_two_users_apart_tells_their_leases_apart(self, mark: str) -> None:
        users = {f"host{mark}1", f"host1{mark}", "host", "host1", "host?1", "host\u00e51", "hosta\u03081"}
        names = {LeaseKey("timav_default", 1, user_id, "camera").variable for user_id in users}
        assert len(names) == len(users)

    def test_every_part_counts(self) -> None:
        keys = [
            KEY,
            LeaseKey("timav_test", 10086, "host_1", "camera"),
            LeaseKey("timav_default", 10087, "host_1", "camera"),
            LeaseKey("timav_default", 10086, "host_2", "camera"),
            LeaseKey("timav_default", 10086, "host_1", "screen"),
        ]
        assert len({key.variable for key in keys}) == len(keys)

    def test_sdk_type_is_no_part_of_the_identity(self) -> None:
        assert LeaseKey("timav_default", 10086, "host_1", "camera", "iot_camera").variable == KEY.variable

    @given(st.text(), st.text())
    def test_name_of_a_variable_needs_no_quoting(self, conn_id: str, user_id: str) -> None:
        name = LeaseKey(conn_id, 1, user_id, "camera").variable.removeprefix(PREFIX)
        assert len(name) == 32
        assert set(name) <= set("0123456789abcdef")


MALFORMED = [
    "",
    "{",
    "null",
    "7",
    "[]",
    "{}",
    '"text"',
    '{"generation": "a1"}',
    '{"generation": "a1", "state": "gone"}',
]


class TestControl:
    @pytest.mark.parametrize("value", [None, {"end": "2026-11-24T21:00:00+00:00"}, '{"end": "2026-11-24T22:00+01:00"}'])
    def test_end(self, value: Any) -> None:
        expected = None if value is None else datetime(2026, 11, 24, 21, tzinfo=UTC)
        assert Control.read(value, now=NOW) == Control(end=expected)

    @pytest.mark.parametrize("value", [{"stop": True}, {"stop": True, "end": "garbage"}, '{"stop": true}'])
    def test_stop(self, value: Any) -> None:
        assert Control.read(value, now=NOW) == Control(stop=True)

    @pytest.mark.parametrize(
        "value",
        [
            "stop",
            7,
            True,
            [],
            {},
            {"stop": "true"},
            {"stop": 1},
            {"end": None},
            {"end": "tomorrow"},
            {"end": 1764018900},
            {"end": "2026-11-24T21:00:00"},
            {"end": "2026-11-24T20:15:00+00:00"},
            {"end": "2020-01-01T00:00:00Z"},
            "{" * 500,
        ],
        ids=repr,
    )
    def test_what_makes_no_sense_is_refused(self, value: Any) -> None:
        with pytest.raises(ConfigurationError, match="control"):
            Control.read(value, now=NOW)
