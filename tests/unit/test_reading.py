"""What people can write is read strictly: it has the form that was written, or it is not there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_timav.leases import Claim, Lease, LeaseKey, Owner, Watch
from airflow_provider_timav.leases.start_protocol import Earlier
from airflow_provider_timav.reading import DEEPEST, LARGEST_ENTRY, Fields, Unreadable, bounded, parsed, said
from harness.poison import ANYTHING, TEXTS, members, shapes, values, with_member

NOW = datetime(2026, 11, 24, 20, 15, tzinfo=UTC)
LEASE = Lease(LeaseKey("timav_default", 10086, "host_1", "camera"), Owner("show", "r", "broadcast"), "a1", NOW, "News")
CLAIM = Claim("a1", "stopped", "s1", NOW, ("5285890803757278097",))
WATCH = Watch("a1", NOW, {"verdict": "LIVE"}, "none")

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


class TestText:
    @given(JSON)
    def test_what_json_carries_comes_back(self, value: Any) -> None:
        assert parsed(json.dumps(value)) == value

    @pytest.mark.parametrize(
        "name", [name for name in TEXTS if name.startswith(("lists", "objects", "half a c", "inf"))]
    )
    def test_what_would_break_a_reader_is_refused(self, name: str) -> None:
        with pytest.raises(Unreadable):
            parsed(TEXTS[name])

    @pytest.mark.parametrize("value", [None, 7, b"{}", {}], ids=repr)
    def test_what_is_no_text_is_refused(self, value: Any) -> None:
        with pytest.raises(Unreadable, match="no text"):
            parsed(value)

    def test_size_counts_in_bytes(self) -> None:
        fits = json.dumps("x" * (LARGEST_ENTRY - 2))
        assert parsed(fits) == "x" * (LARGEST_ENTRY - 2)
        for larger in (json.dumps("x" * LARGEST_ENTRY), json.dumps("主" * (LARGEST_ENTRY // 2), ensure_ascii=False)):
            with pytest.raises(Unreadable, match="larger than"):
                parsed(larger)

    def test_depth_has_a_bound(self) -> None:
        assert parsed("[" * DEEPEST + "]" * DEEPEST)
        with pytest.raises(Unreadable, match="deeper than"):
            parsed("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1))

    def test_message_quotes_nothing(self) -> None:
        with pytest.raises(Unreadable) as refused:
            parsed('{"secret": "canary')
        assert "canary" not in str(refused.value)
        assert refused.value.__cause__ is None


class TestValueThatWasParsedElsewhere:
    @pytest.mark.parametrize("name", ["infinity", "no number", "a large number", "half a character", "a deep list"])
    def test_what_no_store_carries_is_refused(self, name: str) -> None:
        for value in (ANYTHING[name], [ANYTHING[name]], {"a": {"b": ANYTHING[name]}}):
            with pytest.raises(Unreadable):
                bounded(value)

    @pytest.mark.parametrize(
        "value", [object(), {1, 2}, datetime.now(UTC), b"x", (1,)], ids=lambda value: type(value).__name__
    )
    def test_what_json_does_not_know_is_refused(self, value: Any) -> None:
        with pytest.raises(Unreadable):
            bounded({"a": value})

    def test_value_within_the_bounds_is_returned_as_it_is(self) -> None:
        value = {"a": [1, 2.5, None, True, "主"]}
        assert bounded(value) is value


class TestFields:
    FIELDS = Fields(
        {
            "text": "x",
            "whole": 7,
            "flag": True,
            "moment": "2026-11-24T21:15:00+01:00",
            "texts": ["a"],
            "inner": {"a": "b"},
        }
    )

    def test_each_is_read_by_its_name(self) -> None:
        fields = self.FIELDS
        assert (fields.text("text"), fields.whole("whole", 0, 9), fields.flag("flag", default=False)) == ("x", 7, True)
        assert (fields.moment("moment"), fields.texts("texts", most=1, longest=1)) == (NOW, ("a",))
        assert fields.within("inner").text("a") == "b"
        assert fields.choice("text", ("w", "x")) == "x"

    def test_what_is_not_there_has_a_default_where_one_is_given(self) -> None:
        fields = self.FIELDS
        assert fields.text_or_none("n") is None
        assert fields.moment_or_none("n") is None
        assert fields.texts("n", most=1, longest=1) == ()
        assert (fields.whole("n", -1, 9, default=-1), fields.flag("n", default=True)) == (-1, True)

    @pytest.mark.parametrize(
        "read",
        [
            lambda fields: fields.text("whole"),
            lambda fields: fields.text("n"),
            lambda fields: fields.text("moment", most=3),
            lambda fields: fields.text("moment", pattern="[a-z]+"),
            lambda fields: fields.whole("flag", 0, 9),
            lambda fields: fields.whole("whole", 0, 6),
            lambda fields: fields.whole("text", 0, 6),
            lambda fields: fields.flag("whole", default=True),
            lambda fields: fields.choice("text", ("y",)),
            lambda fields: fields.choice("inner", ("y",)),
            lambda fields: fields.moment("text"),
            lambda fields: fields.moment("whole"),
            lambda fields: fields.texts("text", most=1, longest=1),
            lambda fields: fields.texts("texts", most=0, longest=1),
            lambda fields: fields.texts("texts", most=1, longest=0),
            lambda fields: fields.within("text"),
        ],
    )
    def test_anything_else_is_refused(self, read: Any) -> None:
        with pytest.raises(Unreadable):
            read(self.FIELDS)

    @pytest.mark.parametrize(
        "text",
        ["2026-11-24T20:15:00", "0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59-12:00", "2026-13-01", "x" * 90],
    )
    def test_moment_has_a_zone_and_a_sane_year(self, text: str) -> None:
        with pytest.raises(Unreadable):
            Fields({"at": text}).moment("at")

    @pytest.mark.parametrize("value", [None, [], "text", 7, {"a": float("inf")}, {"\ud800": 1}], ids=repr)
    def test_only_a_sane_object_has_fields(self, value: Any) -> None:
        with pytest.raises(Unreadable):
            Fields(value)


@pytest.mark.parametrize("entry", [LEASE, CLAIM, WATCH], ids=lambda entry: type(entry).__name__)
def test_every_entry_is_read_or_refused_whatever_stands_in_place_of_it(entry: Any) -> None:
    """Nothing but `Unreadable` leaves a reader, and what is read can be written again and sent to a browser."""
    read = 0
    for what, text in shapes(entry.to_json()).items():
        try:
            found = type(entry).from_json(parsed(text))
        except Unreadable:
            continue
        read += 1
        assert json.dumps(found.to_json(), allow_nan=False, ensure_ascii=False).encode(), what
        assert type(entry).from_json(found.to_json()) == found, what
    assert read  # a missing title is none


def test_intent_is_read_or_refused_whatever_stands_in_place_of_it() -> None:
    url = {"type": "hls", "rate": "original", "url": "https://play/1"}
    result = {"outcome": "started", "hls_url": "https://play/1", "live_urls": [url], "channel_id": "1"}
    noted = {"start_id": "s", "claim": "ours", "result": result, "at": NOW.isoformat()}
    assert Earlier.from_json(noted).own_result == result
    for what, value in values(noted).items():
        try:
            found = Earlier.from_json(value)
        except Unreadable:
            continue
        assert json.dumps([found.start_id, found.result, found.at], allow_nan=False, ensure_ascii=False).encode(), what


@pytest.mark.parametrize("room_id", [float("inf"), -1, 2**32, 1.0, "10086", True, None])
def test_room_is_a_number_of_32_bits(room_id: Any) -> None:
    with pytest.raises(Unreadable):
        Lease.from_json({**LEASE.to_json(), "room_id": room_id})


def test_members_are_named_by_their_path() -> None:
    assert {"owner", "owner.dag_id"} <= set(members(LEASE.to_json()))
    assert with_member(LEASE.to_json(), "owner.dag_id", 7)["owner"]["dag_id"] == 7


@pytest.mark.parametrize("text", ["x" * 9000, "\ud800", "主" * 600, ValueError("\udfff")])
def test_what_is_said_to_people_can_be_carried_everywhere(text: Any) -> None:
    plain = said(text)
    assert len(plain) <= 500
    assert plain.encode()
