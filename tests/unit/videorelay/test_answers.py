"""The layers of an answer: what the parser tolerates and refuses; only the project's own errors leave it."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_timav.videorelay import calls
from airflow_provider_timav.videorelay.errors import ProtocolError, ServiceError, TimAVError
from airflow_provider_timav.videorelay.reply import Reply
from tests.unit.videorelay.reading import CALL, COOKIE, HEAD, SEQ, answer, read

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
