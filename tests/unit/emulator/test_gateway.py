"""The gateway in front: URL, UserSig, JSON."""

from __future__ import annotations

import base64
import json
import time
import zlib
from typing import Any

import pytest
from TLSSigAPIv2 import TLSSigAPIv2

from airflow_provider_timav.emulator import Emulator
from harness.caller import PATH, START_PUSH, Caller, request

BODY = json.dumps(request(6, START_PUSH)).encode()


def _refusal(caller: Caller, body: bytes = BODY, **changes: Any) -> int:
    """Sends a request that the gateway refuses; returns its code."""
    status, text = caller.send(body, **changes)
    answer = json.loads(text)
    assert status == 200
    assert set(answer) == {"ActionStatus", "ErrorCode", "ErrorInfo"}
    assert answer["ActionStatus"] == "FAIL"
    assert caller.emulator.pushes == ()
    entry = caller.emulator.journal[-1]
    assert (entry.layer, entry.code, entry.executed) == ("gateway", answer["ErrorCode"], False)
    return int(answer["ErrorCode"])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"path": "/v3/openim/videorelays"}, 60009),
        ({"method": "GET"}, 60002),
        ({"sdkappid": None}, 60012),
        ({"sdkappid": 7}, 60006),
        ({"identifier": None}, 60004),
        ({"identifier": "other"}, 70013),
        ({"usersig": None}, 70002),
        ({"usersig": ""}, 70002),
        ({"usersig": "garbage"}, 70003),
        ({"usersig": "eJw*"}, 70003),
        ({"random": None}, 60002),
        ({"random": 2**32}, 60002),
        ({"random": "x"}, 60002),
        ({"apn": 5}, 60002),
        ({"contenttype": "xml"}, 60002),
        ({"sdkAppid": 7}, 60002),
    ],
    ids=str,
)
def test_a_wrong_url_is_refused(caller: Caller, changes: dict[str, Any], code: int) -> None:
    assert _refusal(caller, **changes) == code


@pytest.mark.parametrize("query", ["?sdkappid=1400000001&sdkappid=1400000001", "?sdkappid", "?sdkappid=%ff"])
def test_parameters_that_cannot_be_read_are_refused(caller: Caller, query: str) -> None:
    caller.connection.request("POST", PATH + query, BODY)
    assert json.loads(caller.connection.getresponse().read())["ErrorCode"] == 60002


def _usersig(claims: object) -> str:
    return base64.b64encode(zlib.compress(json.dumps(claims).encode())).decode().translate(str.maketrans("+/=", "*-_"))


@pytest.mark.parametrize(
    "claims",
    [
        [],
        {"TLS.identifier": "administrator"},
        {"TLS.identifier": 7, "TLS.sdkappid": 7, "TLS.time": 1, "TLS.expire": 1, "TLS.sig": "x"},
        "x" * 100_000,
    ],
    ids=["a list", "one claim", "a number as identifier", "far too long"],
)
def test_a_usersig_with_other_claims_is_refused(caller: Caller, claims: object) -> None:
    assert _refusal(caller, usersig=_usersig(claims)) == 70003


def test_a_trailing_slash_of_the_path_is_taken(caller: Caller) -> None:
    """The specification writes the URL both ways."""
    assert caller.send(BODY, path=PATH + "/")[0] == 200
    assert caller.emulator.journal[-1].executed


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"\xff", b"[" * 100_000],
    ids=["empty", "truncated", "NaN", "a key twice", "not UTF-8", "deep"],
)
def test_what_is_no_json_is_refused(caller: Caller, body: bytes) -> None:
    assert _refusal(caller, body) == 60003


def test_an_account_that_is_no_string_is_refused(caller: Caller) -> None:
    document: dict[str, Any] = request(6, START_PUSH)
    document["reqhead"]["rpt_to_Account"] = [7]
    assert _refusal(caller, json.dumps(document).encode()) == 60015


def test_the_invented_usersig_contains_a_star(emulator: Emulator) -> None:
    """The character that HTTP libraries encode each in their own way."""
    assert "*" in emulator.usersig


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"secret_key": "another"}, 70009),
        ({"sdkappid": 7}, 70014),
        ({"identifier": "other"}, 70013),
        ({"issued_at": time.time() - 100, "validity_seconds": 60}, 70001),
    ],
    ids=["key", "application", "identifier", "expired"],
)
def test_a_usersig_of_another_is_refused(caller: Caller, changes: dict[str, Any], code: int) -> None:
    assert _refusal(caller, usersig=caller.emulator.sign(**changes)) == code


def test_who_is_no_administrator_is_refused(caller: Caller) -> None:
    usersig = caller.emulator.sign(identifier="viewer")
    assert _refusal(caller, usersig=usersig, identifier="viewer") == 60010


@pytest.mark.parametrize("userbuf", [None, b"abc"])
def test_usersigs_of_the_vendors_package_are_taken(caller: Caller, userbuf: bytes | None) -> None:
    """The emulator verifies the published algorithm by itself; the vendor's own package is the other side."""
    api = TLSSigAPIv2(caller.emulator.sdkappid, caller.emulator.secret_key)
    usersig = api.gen_sig("administrator")
    if userbuf is not None:
        usersig = api.gen_sig_with_userbuf("administrator", 86400, userbuf)
    assert caller.post(request(6, START_PUSH), usersig=usersig)["reqhead"]["uint32_result"] == 0


def test_the_journal_holds_no_credential(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    caller.call(6, {**START_PUSH, "str_player_pwd": "pa55word", "str_channel_name": "news"})
    (entry,) = caller.emulator.journal
    assert entry.fields["str_channel_name"] == "news"
    for text in (repr(entry), entry.line(), caplog.text):
        assert caller.emulator.usersig not in text
        assert "pa55word" not in text
    assert caller.emulator.secret_key not in repr(vars(caller.emulator)["_world"])


def test_the_journal_says_what_happened(caller: Caller) -> None:
    caller.call(6, START_PUSH)
    (entry,) = caller.emulator.journal
    assert (entry.operation, entry.room_id, entry.user_id, entry.kind) == ("start_push", 10086, "host_1", "camera")
    assert (entry.seq, entry.cookie, entry.random, entry.client) == (41, "c0ffee", 305419896, "timav client")
    assert (entry.method, entry.path, entry.status) == ("POST", PATH, 200)
    assert entry.line() == "start_push   room 10086 user host_1 camera seq 41 -> ok (executed)"
    caller.emulator.clear_journal()
    assert caller.emulator.journal == ()


def test_a_user_id_cannot_forge_a_line(caller: Caller) -> None:
    caller.call(6, START_PUSH, users=("host\nforged",))
    assert "\n" not in caller.emulator.journal[0].line()
