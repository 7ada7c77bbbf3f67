"""The values in an answer: spellings that are read, and values that are left out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_timav.videorelay import calls
from airflow_provider_timav.videorelay.reply import Reply
from tests.unit.videorelay.reading import COOKIE, HEAD, SEQ, answer, read


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("16093425727655551234", "16093425727655551234", id="as text, kept exactly"),
        pytest.param(2**64 - 1, "18446744073709551615", id="the largest"),
        pytest.param(1.6093425727655551e19, None, id="a float has lost digits"),
        pytest.param(2**64, None, id="past 64 bits"),
        pytest.param(True, None, id="a boolean"),
        pytest.param("", None, id="empty"),
    ],
)
def test_channel_id_is_exact_or_absent(value: Any, expected: str | None) -> None:
    assert read(answer(uint64_channel_id=value)).channel_id == expected


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="null"),
        pytest.param("", id="empty text"),
        pytest.param([], id="empty list"),
        pytest.param("[", id="broken JSON in a string"),
        pytest.param([7, None, "x"], id="members that are no objects"),
        pytest.param([{"uint32_type": 1}], id="a member without an address"),
        pytest.param([{"string_play_url": "javascript:alert(1)"}], id="an address that is no stream"),
        pytest.param([{"string_play_url": "http://[::bad/x", "uint32_type": 1}], id="an address that is none"),
        pytest.param([{"string_play_url": "http://a/x", "uint32_type": True}], id="a boolean as type"),
        *(
            pytest.param([{"string_play_url": f"http://a/x{odd}y"}], id=f"an address with {odd!a}")
            for odd in ("\n", "\x1b[2J", "\0", "\x7f", "\x85", "\u2028", "\u202e", "\ud83d")
        ),
    ],
)
def test_unusable_urls_are_left_out(value: Any) -> None:
    result = read(answer(msg_live_url=value))
    assert (result.live_urls, result.hls_url, result.rtmp_url) == ((), None, None)


def test_urls_as_json_in_a_string_are_read() -> None:
    result = read(answer(msg_live_url=json.dumps([{"uint32_type": 1, "string_play_url": "http://a.example/x.m3u8"}])))
    assert result.hls_url == "http://a.example/x.m3u8"


@pytest.mark.parametrize(
    ("fields", "kind", "rate"),
    [
        ({"RateType": None, "uint32_type": None}, "hls", "original"),
        ({"RateType": "", "uint32_type": ""}, "hls", "original"),
        ({"RateType ": None}, "hls", "original"),
        ({"RateType": None, "RateType ": 10}, "hls", "sd"),
        ({"RateType": 20, "uint32_type": 1}, "hls", "hd"),
    ],
)
def test_type_and_rate_that_hold_nothing_count_as_absent(fields: dict[str, Any], kind: str, rate: str) -> None:
    (url,) = read(answer(msg_live_url=[{"string_play_url": "http://a.example/x.m3u8", **fields}])).live_urls
    assert (url.type, url.rate) == (kind, rate)


def test_bad_member_does_not_hide_the_good_one() -> None:
    urls = [{"uint32_type": 5, "string_play_url": "rtmp://a.example/x"}, {"bad": 1}]
    assert read(answer(msg_live_url=urls)).rtmp_url == "rtmp://a.example/x"


ODD_IDS = ["a\nERROR forged", "a\x1b[2Jb", "a\0b", "a\ud83d", "a\u202eb", True, 1.5, {}]


@pytest.mark.parametrize("odd", ODD_IDS, ids=ascii)
@pytest.mark.parametrize(("others", "kept"), [([], ()), (["8602268", 42], ("8602268", "42"))], ids=["alone", "beside"])
def test_file_id_that_nothing_can_keep_is_lost(odd: Any, others: list[Any], kept: tuple[str, ...], caplog: Any) -> None:
    """The stop itself is a success, and says that it has not all of them."""
    call = calls.stop_record(room_id=10086, user_id="host_1")
    head = {**HEAD, "uint32_sub_cmd": 5}
    body = json.dumps({"reqhead": head, "rspbody": {"rsp_0x5": {"str_fileID": [odd, *others]}}}).encode()
    result = call.read(Reply(200, body), seq=SEQ, cookie=COOKIE)
    assert (result.outcome, result.file_ids, result.file_ids_status) == ("stopped", kept, "lost")
    assert "left out" in caplog.text
    assert "forged" not in caplog.text


def test_writing_of_every_kind_is_kept() -> None:
    url = "http://a.example/直播/%0A?x=é\u00a0😀"
    assert read(answer(msg_live_url=[{"string_play_url": url}])).hls_url == url
