"""The golden vectors, from the service's side."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_timav.emulator import Emulator, Switches
from harness.caller import START_PUSH, Caller, request
from tests.data import FOLDER

VECTORS = FOLDER / "vectors"
CHANNEL = 16093425727655551234


def _cases(name: str) -> list[Any]:
    cases = json.loads((VECTORS / name).read_text())["cases"]
    return [pytest.param(case, id=case["name"]) for case in cases]


def _prepare(emulator: Emulator, body: Any) -> None:
    """Brings about the state in which the operation is possible."""
    head = body["reqhead"]
    emulator.open_room(head["uint32_auth_key"], *head["rpt_to_Account"])
    sub_cmd = head["uint32_sub_cmd"]
    fields = body["reqbody"][f"req_0x{sub_cmd}"]
    if fields.get("uint32_oper") != 2:
        return
    start = {**fields, "uint32_oper": 1}
    start |= {"uint32_live_code": 1, "uint32_tape_flag": 0} if sub_cmd == 6 else {"string_file_name": "f"}
    with Caller(emulator) as caller:
        assert int(caller.code(sub_cmd, start)) == 0


@pytest.mark.parametrize("case", _cases("requests.json"))
def test_every_request_is_accepted_and_executed(emulator: Emulator, caller: Caller, case: dict[str, Any]) -> None:
    """Every golden request succeeds in a state that allows it, and the journal names its operation."""
    _prepare(emulator, case["body"])
    answer = caller.post(case["body"])
    head = case["body"]["reqhead"]
    assert answer["reqhead"] == {**head, "uint32_result": 0, "str_error_msg": ""}
    for wrapped in answer.get("rspbody", {}).values():
        assert wrapped["uint32_result"] == 0
    entry = emulator.journal[-1]
    assert (entry.operation, entry.executed, entry.code) == (case["call"], True, 0)
    assert "pa55word" not in repr(emulator.journal)


URL = {"uint32_type": 1, "string_play_url": "http://2157.liveplay.example.org/live/2157_10086.m3u8"}
STARTED = {"uint64_channel_id": CHANNEL, "msg_live_url": [URL]}


def _shape(value: Any) -> Any:
    """Reduces an answer to its fields and their types: ids and URLs are the emulator's own."""
    if isinstance(value, dict):
        return {key: _shape(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_shape(member) for member in value]
    return type(value).__name__


SWITCHES = {
    "start_push, one url, wrapped body": Switches(),
    "start_push, unwrapped body": Switches(wrap_body=False),
    "start_push, gateway says OK beside the body": Switches(action_status=True),
    "stop_push": Switches(),
    "start_record": Switches(),
    "stop_record, two files": Switches(files_per_recording=2),
    "kick_members, head only": Switches(),
    "kick_members, with a body": Switches(kick_body=True),
}
REQUESTS: dict[str, dict[str, Any]] = {
    case["call"]: case["body"] for case in reversed(json.loads((VECTORS / "requests.json").read_text())["cases"])
}
"""The first golden request of each operation."""


@pytest.mark.parametrize("case", _cases("responses.json"))
def test_every_response_can_be_had(case: dict[str, Any]) -> None:
    """The emulator gives the plain answers itself, field for field; the odd ones by the fault `answer`."""
    own = SWITCHES.get(case["name"])
    with Emulator(switches=own) as emulator:
        body = REQUESTS[case["call"]]
        _prepare(emulator, body)
        if own is None:
            emulator.fail_next(answer=case["body"], execute=True)
        with Caller(emulator) as caller:
            answer = caller.post(body)
        assert emulator.journal[-1].executed
    if own is None:
        assert answer == case["body"]
    else:
        assert _shape(answer) == _shape(case["body"])
        assert answer["reqhead"] == case["body"]["reqhead"]


def test_odd_spellings_are_switches() -> None:
    """Numbers come as strings and the rate key with its trailing blank, where the switches say so."""
    switches = Switches(numbers_as_strings=True, rate_key="RateType ")
    with Emulator(switches=switches) as emulator, Caller(emulator) as caller:
        answer = caller.call(6, {**START_PUSH, "uint32_tape_flag": 1, "rpt_rate_type": [10]})
    body = answer["rspbody"]["rsp_0x6"]
    assert answer["reqhead"]["uint32_seq"] == "41"
    assert body["uint32_result"] == "0"
    assert body["uint32_tape_task_id"].isdigit()
    assert int(body["uint64_channel_id"]) > 2**53
    assert body["msg_live_url"][0]["RateType "] == "10"


PATCHES: dict[str, dict[str, Any]] = {
    "another request's answer": {"reqhead": {"uint32_seq": 42}},
    "another sub-command's answer": {"rspbody": {"rsp_0x6": None, "rsp_0x5": {"uint32_result": 0}}},
    "no rspbody at all": {"rspbody": None},
    "result is a boolean": {"rspbody": {"rsp_0x6": {"uint32_result": True}}},
}


@pytest.mark.parametrize("case", _cases("failures.json"))
def test_every_failure_can_be_had(case: dict[str, Any]) -> None:
    """Failures with a code come by code and layer, field for field; garbled answers by a patch of the true one."""
    failure, expected = case["failure"], case["body"]
    as_strings = '"uint32_result": "' in json.dumps(expected)
    with Emulator(switches=Switches(numbers_as_strings=as_strings)) as emulator:
        body = REQUESTS[case["call"]]
        _prepare(emulator, body)
        if failure["layer"] == "protocol":
            emulator.fail_next(patch=PATCHES[case["name"]])
        else:
            part = expected.get("rspbody", {}).get("rsp_0x6", {})
            reason = expected.get(
                "ErrorInfo", part.get("str_errorinfo", expected.get("reqhead", {}).get("str_error_msg"))
            )
            emulator.fail_next(layer=failure["layer"], code=failure["code"], reason=reason)
        with Caller(emulator) as caller:
            answer = caller.post(body)
        assert emulator.journal[-1].executed == (failure["layer"] == "protocol")
    if failure["layer"] == "protocol":
        reached = PATCHES[case["name"]]
        assert _merged_holds(answer, reached)
    elif as_strings:
        # The vectors mix strings and numbers; the emulator makes all of them strings.
        assert json.dumps(failure["code"]) in json.dumps(answer)
    else:
        assert answer == expected


def _merged_holds(answer: Any, patch: Any) -> bool:
    if not isinstance(patch, dict):
        return type(answer) is type(patch) and bool(answer == patch)
    return all(
        name not in answer if wanted is None else _merged_holds(answer[name], wanted) for name, wanted in patch.items()
    )


def test_urls_of_the_vectors_are_those_the_gateway_takes(emulator: Emulator, caller: Caller) -> None:
    """The parameters of the golden URLs, with the emulator's own credentials, pass the gateway."""
    for case in json.loads((VECTORS / "urls.json").read_text()):
        own = {"usersig": emulator.usersig, "identifier": emulator.identifier, "sdkappid": emulator.sdkappid}
        assert case["url"].endswith("/v3/openim/videorelay")
        answer = caller.post(request(1, {}), **{**case["query"], **own})
        assert answer["reqhead"]["uint32_result"] == 0
