"""What arguments may hold: the same by the rules themselves and by the requests that they make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_timav.videorelay import calls, rules
from airflow_provider_timav.videorelay.errors import ConfigurationError

PLACE: dict[str, Any] = {"room_id": 1, "user_id": "a"}


@pytest.mark.parametrize("given", [7, "7", "007", " 7 ", "7\n"])
def test_a_room_is_decimal_digits(given: Any) -> None:
    assert rules.uint(given) == 7
    assert calls.stop_push(room_id=given, user_id="a").room_id == 7


@pytest.mark.parametrize(
    "given",
    [
        "7_0",
        "1_000",
        "+5",
        "-5",
        "- 5",
        "5.0",
        "1e3",
        "0x10",
        "0b1",
        "٣",
        "９",
        "²",
        "",
        " ",
        "7 0",
        "7\0",
        "1" * 41,
        7.0,
        True,
        None,
        b"7",
        [7],
    ],
)
def test_anything_else_is_none(given: Any) -> None:
    with pytest.raises(rules.Broken, match="must be"):
        rules.uint(given)
    with pytest.raises(ConfigurationError) as refused:
        calls.stop_push(room_id=given, user_id="a")
    assert refused.value.field == "room_id"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a\ud800", "UTF-8"),
        ("\udfff", "UTF-8"),
        ("a\0b", "NUL"),
        ("x" * 1025, "at most 1024 characters"),
        (10**5000, "at most 1024 characters"),
        (1.5, "a string"),
        (True, "a string"),
        (["a"], "a string"),
        (b"a", "a string"),
    ],
    ids=["high", "low", "NUL", "long", "many digits", "float", "bool", "list", "bytes"],
)
@pytest.mark.parametrize(
    "field", ["user_id", "channel_name", "channel_describe", "player_password", "file_name", "tags", "user_ids"]
)
def test_a_text_that_not_every_store_can_carry_is_refused_by_its_name(field: str, text: Any, rule: str) -> None:
    listed = field in ("tags", "user_ids")
    if listed and isinstance(text, list):
        rule = "a string"
    given: dict[str, Any] = {**PLACE, field: [text] if listed else text}
    operation: dict[str, Callable[..., calls.Call[Any]]] = {
        "file_name": calls.start_record,
        "tags": calls.start_record,
        "user_ids": calls.kick_members,
    }
    if field == "tags":
        given["file_name"] = "a"
    if field == "user_ids":
        del given["user_id"]
    with pytest.raises(ConfigurationError, match=rule) as refused:
        operation.get(field, calls.start_push)(**given)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("user", "rule"),
    [
        ("host_2\n", "no control character and no line break"),
        ("host\x1b[2J", "no control character"),
        ("host\r\n2", "no control character and no line break"),
        ("host\u20282", "no control character"),
    ],
)
def test_a_user_whose_id_is_no_single_line_is_refused(user: str, rule: str) -> None:
    with pytest.raises(ConfigurationError, match=rule) as refused:
        calls.stop_push(room_id=1, user_id=user)
    assert refused.value.field == "user_id"
    with pytest.raises(ConfigurationError, match=rule) as refused:
        calls.kick_members(room_id=1, user_ids=["host_1", user])
    assert refused.value.field == "user_ids"


@pytest.mark.parametrize("user", ["host 2", " 7 ", "主播", "+8613800000000", "👩\u200d💻", "a@b.example"])
def test_any_other_id_of_a_user_is_taken(user: str) -> None:
    assert calls.stop_push(room_id=1, user_id=user).user_ids == (user,)


@pytest.mark.parametrize("text", ["早间节目", "👩‍💻", "a" * 1024, "節" * 1024, "\u202e", "\x07", "﷽"])
def test_any_other_text_is_taken(text: str) -> None:
    call = calls.start_push(**PLACE, channel_name=text)
    assert call.body(seq=1, cookie="a", sdkappid=1).decode()
    assert rules.text(text) == text
