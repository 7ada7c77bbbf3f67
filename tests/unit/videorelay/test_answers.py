"""What the parser tolerates, what it refuses, and that nothing but the project's own errors leaves it."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_timav.videorelay import calls
from airflow_provider_timav.videorelay.errors import (
    CertificateError,
    ProtocolError,
    RateLimited,
    ServiceError,
    TimAVError,
)
from airflow_provider_timav.videorelay.models import StartPushResult
from airflow_provider_timav.videorelay.reply import Reply

SEQ, COOKIE = 41, "c0ffee"
HEAD = {
    "uint32_sub_cmd": 6,
    "uint32_seq": SEQ,
    "uint32_auth_key": 10086,
    "uint32_sdk_appid": 1,
    "bytes_cookie_buff": COOKIE,
    "uint32_result": 0,
}
CALL = calls.start_push(room_id=10086, user_id="host_1")


def read(body: bytes | str | dict[str, Any], status: int = 200, **fields: Any) -> StartPushResult:
    raw = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
    return CALL.read(Reply(status, raw, **fields), seq=SEQ, cookie=COOKIE)


def answer(**rsp: Any) -> dict[str, Any]:
    return {"reqhead": HEAD, "rspbody": {"rsp_0x6": {"uint32_result": 0, **rsp}}}


UNREADABLE = {
    "J1 truncated": json.dumps(answer())[:-9],
    "J2 NaN": '{"reqhead": NaN}',
    "J2 Infinity": '{"reqhead": -Infinity}',
    "J3 a float out of range": '{"x": 1e400}',
    "J4 an integer without end": '{"x": ' + "9" * 5000 + "}",
    "J4 a result past 32 bits": json.dumps(answer(uint32_result=2**40)),
    "J6 a result that is a boolean": json.dumps(answer(uint32_result=False)),
    "a result that is null": json.dumps(answer(uint32_result=None)),
    "a result that is text": json.dumps(answer(uint32_result="zero")),
    "a result that is a list": json.dumps(answer(uint32_result=[0])),
    "a result that is a float": json.dumps(answer(uint32_result=0.0)),
    "two results": '{"reqhead": {"uint32_result": 0, "uint32_result": 1}}',
    "J13 a list": "[]",
    "J13 null": "null",
    "J13 a number": "7",
    "J14 something behind it": json.dumps(answer()) + "x",
    "J16 no rspbody": json.dumps({"reqhead": HEAD}),
    "an empty rspbody": json.dumps({"reqhead": HEAD, "rspbody": {}}),
    "an rspbody that is a list": json.dumps({"reqhead": HEAD, "rspbody": [1]}),
    "no reqhead": json.dumps({"rspbody": {"rsp_0x6": {"uint32_result": 0}}}),
    "J19 another room": json.dumps({**answer(), "reqhead": {**HEAD, "uint32_auth_key": 10087}}),
    "J19 another cookie": json.dumps({**answer(), "reqhead": {**HEAD, "bytes_cookie_buff": "cafe"}}),
    "J19 another sub-command": json.dumps({**answer(), "reqhead": {**HEAD, "uint32_sub_cmd": 5}}),
    "J19 no sequence number": json.dumps(
        {**answer(), "reqhead": {name: value for name, value in HEAD.items() if name != "uint32_seq"}}
    ),
    "nested without end": '{"x": ' + "[" * 200_000 + "]" * 200_000 + "}",
    "nested too deep": '{"x": ' + "[" * 40 + "]" * 40 + "}",
    "an ErrorCode that is a boolean": '{"ErrorCode": true}',
    "H16 nothing": "",
    "H17 a captive portal": "<html><body>Log in</body></html>",
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_unreadable_answer_is_ambiguous(body: str) -> None:
    """The request was sent: an answer that cannot be used says nothing about whether it was carried out."""
    with pytest.raises(ProtocolError) as refused:
        read(body)
    assert (refused.value.outcome_class, refused.value.executed) == ("ambiguous", "maybe")


def test_byte_order_mark_is_no_harm() -> None:
    assert read("\ufeff".encode() + json.dumps(answer()).encode()).outcome == "started"


def test_code_counts_though_the_text_beside_it_is_gbk() -> None:
    body = '{"ActionStatus":"FAIL","ErrorCode":70001,"ErrorInfo":"签名过期"}'.encode("gbk")
    with pytest.raises(TimAVError) as failed:
        read(body)
    assert (failed.value.layer, failed.value.code) == ("gateway", 70001)


@pytest.mark.parametrize(
    ("said", "quoted"),
    [
        pytest.param("签名过期".encode("gbk"), "签名过期", id="GBK"),
        pytest.param("乗".encode("gbk"), "乗", id="GBK with a backslash as its last byte"),
        pytest.param(b"no \xff", "no \ufffd", id="neither UTF-8 nor GBK"),
    ],
)
def test_refusal_is_read_whatever_its_text_is_encoded_in(said: bytes, quoted: str) -> None:
    with pytest.raises(TimAVError) as failed:
        read(b'{"ActionStatus":"FAIL","ErrorInfo":"' + said + b'","ErrorCode":70003}')
    assert (failed.value.code, failed.value.executed) == (70003, "no")
    assert f'"{quoted}"' in str(failed.value)


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


STATUSES: dict[str, tuple[int, str, type[TimAVError], str]] = {
    "100": (103, "", ServiceError, "ambiguous"),
    "204": (204, "", ServiceError, "ambiguous"),
    "H1 301": (301, "", ProtocolError, "fail"),
    "H1 308": (308, "", ProtocolError, "fail"),
    "H2 400": (400, "<html>Bad Request</html>", ProtocolError, "fail"),
    "T2 nginx, no certificate": (400, "<h1>400</h1>No required SSL certificate was sent", CertificateError, "fail"),
    "T3 nginx, foreign certificate": (400, "The SSL certificate error", CertificateError, "fail"),
    "495": (495, "", CertificateError, "fail"),
    "496": (496, "", CertificateError, "fail"),
    "497": (497, "", ProtocolError, "fail"),
    "407 behind the tunnel": (407, "", ProtocolError, "fail"),
    "421": (421, "", ProtocolError, "fail"),
    "511": (511, "", ProtocolError, "fail"),
    "H3 401": (401, "", ProtocolError, "fail"),
    "H3 403": (403, "", ProtocolError, "fail"),
    "H4 404": (404, "", ProtocolError, "fail"),
    "408": (408, "", RateLimited, "rate_limited"),
    "H5 413": (413, "", ProtocolError, "fail"),
    "429": (429, "", RateLimited, "rate_limited"),
    "H7 500": (500, "", ServiceError, "ambiguous"),
    "H8 502": (502, "<html>", ServiceError, "ambiguous"),
    "H9 503": (503, "", ServiceError, "ambiguous"),
    "H10 504": (504, "", ServiceError, "ambiguous"),
}


@pytest.mark.parametrize(("status", "body", "kind", "outcome_class"), STATUSES.values(), ids=STATUSES.keys())
def test_http_status_has_its_class(status: int, body: str, kind: type[TimAVError], outcome_class: str) -> None:
    with pytest.raises(kind) as failed:
        read(body, status)
    assert type(failed.value) is kind
    assert (failed.value.layer, failed.value.code, failed.value.outcome_class) == ("http", status, outcome_class)


@pytest.mark.parametrize(
    ("status", "body", "field", "words"),
    [
        pytest.param(
            400, "<h1>No required SSL certificate was sent", "client_cert", "no client certificate", id="nginx"
        ),
        pytest.param(400, "<h1>The SSL certificate error", "client_cert", "was refused", id="nginx, foreign"),
        pytest.param(
            403, "403.7 - SSL client certificate is required.", "client_cert", "no client certificate", id="IIS"
        ),
        pytest.param(403, "403.16 - Client certificate is untrusted", "client_cert", "was refused", id="IIS, foreign"),
        pytest.param(
            403,
            "Reason: Cannot perform Post-Handshake Authentication.",
            "client_cert",
            "no client certificate",
            id="Apache",
        ),
        pytest.param(495, "", "client_cert", "was refused", id="495"),
        pytest.param(496, "", "client_cert", "no client certificate", id="496"),
        pytest.param(497, "", "host", "HTTP 497", id="plain HTTP on a port of TLS"),
        pytest.param(302, "", "host", "redirects", id="a redirect"),
        pytest.param(404, "", "host", "HTTP 404", id="no such resource"),
        pytest.param(421, "", "host", "HTTP 421", id="not responsible"),
        pytest.param(407, "", "proxy", "wants credentials", id="a proxy behind the tunnel"),
        pytest.param(511, "", "proxy", "login", id="a network that wants a login"),
        pytest.param(403, "", None, "HTTP 403", id="a refusal without a reason"),
        pytest.param(413, "", None, "HTTP 413", id="too large"),
    ],
)
def test_status_names_the_field_that_it_is_about(status: int, body: str, field: str | None, words: str) -> None:
    with pytest.raises(TimAVError, match=words) as failed:
        read(body, status)
    assert (failed.value.field, failed.value.executed, failed.value.retryable) == (field, "no", False)


def test_business_result_counts_only_with_status_200() -> None:
    with pytest.raises(ServiceError):
        read(answer(), 500)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("3600", 30.0),
        ("soon", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("9" * 12, None),
        ("²", None),
        ("٣", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_and_capped(header: str | None, seconds: float | None) -> None:
    with pytest.raises(RateLimited) as limited:
        read("", 429, retry_after=header)
    assert limited.value.retry_after == seconds


def test_503_from_a_proxy_was_not_executed() -> None:
    with pytest.raises(ServiceError) as failed:
        read("<html>", 503, content_type="text/html")
    assert (failed.value.outcome_class, failed.value.executed) == ("retry", "no")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KNOWN = st.sampled_from(
    ["uint32_result", "str_errorinfo", "msg_live_url", "uint64_channel_id", "str_fileID", "uint32_tape_task_id"]
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "reqhead": st.just(HEAD) | JSON,
        "rspbody": st.dictionaries(KNOWN, JSON)
        | st.fixed_dictionaries({"rsp_0x6": st.dictionaries(KNOWN, JSON)})
        | JSON,
        "ErrorCode": JSON,
        "ActionStatus": JSON,
    },
)


@given(body=BODIES.map(lambda body: json.dumps(body).encode()) | st.binary(max_size=200))
@settings(max_examples=400, deadline=None)
def test_whatever_comes_only_own_errors_leave_the_parser(body: bytes) -> None:
    for call in (
        CALL,
        calls.stop_record(room_id=10086, user_id="a"),
        calls.kick_members(room_id=10086, user_ids=["a"]),
    ):
        with contextlib.suppress(TimAVError):
            call.read(Reply(200, body), seq=SEQ, cookie=COOKIE)


@pytest.mark.parametrize("result", [-1, -2, -3, -4, -5])
@pytest.mark.parametrize("written", [str, int], ids=["as text", "as a number"])
def test_heads_result_may_come_without_its_sign(result: int, written: Any) -> None:
    """The vendor's own protocol has it in an unsigned field of 32 bits."""

    def refused(number: int) -> TimAVError:
        with pytest.raises(TimAVError) as failed:
            read({"reqhead": {**HEAD, "uint32_result": written(number)}})
        return failed.value

    signed, unsigned = refused(result), refused(result + 2**32)
    assert vars(signed) == vars(unsigned)
    assert signed.code == result


def test_bodys_result_has_no_sign() -> None:
    """The specification has the business body's as unsigned: what a head calls -1 is no code of a body."""
    with pytest.raises(ServiceError, match="4294967295, which the table of result codes lacks"):
        read(answer(uint32_result=2**32 - 1))


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
