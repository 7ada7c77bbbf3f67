"""Faults on demand: what the caller sees, and the truth of what was executed."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_timav.emulator import Emulator, Fault
from airflow_provider_timav.emulator.faults import merge_patch
from harness.caller import START_PUSH, STOP_PUSH, STOP_RECORD, Caller, request

BODY = json.dumps(request(6, START_PUSH)).encode()


@pytest.mark.parametrize(
    ("fault", "error", "executed"),
    [
        ({"drop": "before"}, http.client.RemoteDisconnected, False),
        ({"drop": "after"}, http.client.RemoteDisconnected, True),
        ({"reset": "before"}, ConnectionResetError, False),
        ({"reset": "after"}, ConnectionResetError, True),
        ({"raw": b"no http\r\n\r\n"}, http.client.BadStatusLine, False),
        ({"raw": "no http\r\n\r\n", "execute": True}, http.client.BadStatusLine, True),
        ({"truncate": 5}, http.client.IncompleteRead, True),
    ],
    ids=str,
)
def test_an_answer_is_lost(
    emulator: Emulator, caller: Caller, fault: dict[str, Any], error: type[Exception], executed: bool
) -> None:
    emulator.fail_next(**fault)
    with pytest.raises(error):
        caller.send(BODY)
    assert len(emulator.pushes) == int(executed)
    (entry,) = emulator.journal
    assert entry.executed is executed
    assert entry.fault
    assert caller.code(6, START_PUSH) == (40000415 if executed else 0)


def test_a_connection_is_refused_before_the_handshake(emulator: Emulator, caller: Caller) -> None:
    """A connection that is kept alive is closed first: the next request needs a new one."""
    caller.call(6, STOP_PUSH)
    emulator.fail_next(refuse=True, n=2)
    for _ in range(2):
        with Caller(emulator) as other, pytest.raises(OSError, match=r"reset|EOF"):
            other.call(6, STOP_PUSH)
    with pytest.raises((OSError, http.client.HTTPException)):
        caller.call(6, STOP_PUSH)
    assert caller.code(6, STOP_PUSH) == 40000412
    assert emulator.handshakes == 2
    assert len(emulator.journal) == 2


def test_a_handshake_is_left_unanswered(emulator: Emulator) -> None:
    emulator.fail_next(stall=True)
    with Caller(emulator, timeout=0.2) as caller, pytest.raises(TimeoutError):
        caller.call(6, STOP_PUSH)
    assert emulator.journal == ()


def test_the_port_is_closed_for_a_while(emulator: Emulator, caller: Caller) -> None:
    url = emulator.api_url
    caller.call(6, STOP_PUSH)
    with emulator.unreachable():
        with Caller(emulator) as other, pytest.raises(ConnectionRefusedError):
            other.call(6, STOP_PUSH)
        with pytest.raises((OSError, http.client.HTTPException)):
            caller.call(6, STOP_PUSH)
    assert emulator.api_url == url
    assert caller.code(6, STOP_PUSH) == 40000412


def test_an_http_status_stands_in_for_the_answer(emulator: Emulator, caller: Caller) -> None:
    emulator.fail_next(status=503, body="<html>busy</html>", headers={"Retry-After": "1", "Content-Type": "text/html"})
    status, body = caller.send(BODY)
    assert (status, body) == (503, b"<html>busy</html>")
    assert emulator.journal[0].status == 503
    assert list(emulator.pushes) == []
    emulator.fail_next(status=502, execute=True)
    assert caller.send(BODY)[0] == 502
    assert len(emulator.pushes) == 1
    assert emulator.handshakes == 1


def test_a_location_can_be_sent(emulator: Emulator, caller: Caller) -> None:
    emulator.fail_next(status=307, headers={"Location": "https://example.org/"})
    assert caller.send(BODY)[0] == 307


@pytest.mark.parametrize("execute", [None, True])
def test_a_code_comes_in_its_layer(emulator: Emulator, caller: Caller, execute: bool | None) -> None:
    emulator.fail_next(code=40000208, execute=execute)
    assert caller.code(6, START_PUSH) == 40000208
    assert len(emulator.pushes) == int(execute or False)
    emulator.fail_next(layer="head", code=-3)
    assert caller.call(6, START_PUSH)["reqhead"]["uint32_result"] == -3
    emulator.fail_next(layer="gateway", code=60018)
    assert caller.call(6, START_PUSH)["ErrorCode"] == 60018
    assert [(entry.layer, entry.code) for entry in emulator.journal] == [
        ("body", 40000208),
        ("head", -3),
        ("gateway", 60018),
    ]


def test_a_fault_waits_for_its_operation_and_happens_n_times(emulator: Emulator, caller: Caller) -> None:
    emulator.fail_next(2, "stop_record", code=30000208)
    emulator.fail_next(code=40000208)
    assert [item["n"] for item in emulator.pending_faults] == [2, 1]
    assert caller.code(6, START_PUSH) == 40000208
    assert caller.code(6, START_PUSH) == 0
    assert caller.code(5, STOP_RECORD) == 30000208
    assert caller.code(5, STOP_RECORD) == 30000208
    assert caller.code(5, STOP_RECORD) == 30000412
    emulator.fail_next(code=1001)
    emulator.clear_faults()
    assert emulator.pending_faults == []
    assert caller.code(6, STOP_PUSH) == 0


@pytest.mark.parametrize("name", ["delay", "delay_answer"])
def test_a_delay_stands_before_or_after_executing(emulator: Emulator, caller: Caller, name: str) -> None:
    """The journal's entry is written when the request is executed, before it is answered."""
    fault: dict[str, Any] = {name: 0.3}
    emulator.fail_next(**fault)
    times: list[float] = []
    started = time.perf_counter()

    def call() -> None:
        caller.call(6, START_PUSH)
        times.append(time.perf_counter())

    thread = threading.Thread(target=call)
    thread.start()
    while not emulator.journal:
        time.sleep(0.005)
    executed = time.perf_counter()
    assert len(emulator.pushes) == 1
    thread.join()
    if name == "delay":
        assert executed - started >= 0.3
    else:
        assert times[0] - executed >= 0.2


def test_an_answer_drips(emulator: Emulator, caller: Caller) -> None:
    """No single read takes long, the whole does."""
    emulator.fail_next(status=200, body="{}", drip=0.005)
    started = time.perf_counter()
    assert caller.send(BODY) == (200, b"{}")
    assert time.perf_counter() - started > 0.3


def test_a_delay_goes_with_another_fault(emulator: Emulator, caller: Caller) -> None:
    emulator.fail_next(delay=0.1, drop="after")
    started = time.perf_counter()
    with pytest.raises(http.client.RemoteDisconnected):
        caller.send(BODY)
    assert time.perf_counter() - started >= 0.1
    assert emulator.journal[0].fault == "drop after, delay 0.1"


def test_any_json_is_an_answer(emulator: Emulator, caller: Caller) -> None:
    answers: list[Any] = [None, [], "x", {"a": 1}]
    for answer in answers:
        emulator.fail_next(answer=answer)
        assert caller.post(request(6, START_PUSH)) == answer
    assert emulator.pushes == ()


def test_a_patch_changes_the_true_answer(emulator: Emulator, caller: Caller) -> None:
    emulator.fail_next(patch={"reqhead": {"uint32_seq": 42, "bytes_cookie_buff": None}})
    answer = caller.call(6, START_PUSH)
    assert answer["reqhead"]["uint32_seq"] == 42
    assert "bytes_cookie_buff" not in answer["reqhead"]
    assert answer["rspbody"]["rsp_0x6"]["msg_live_url"]
    assert len(emulator.pushes) == 1


def test_a_merge_patch_is_that_of_the_rfc() -> None:
    """Cases of RFC 7396, appendix A."""
    assert merge_patch({"a": "b"}, {"a": "c"}) == {"a": "c"}
    assert merge_patch({"a": "b", "b": "c"}, {"a": None}) == {"b": "c"}
    assert merge_patch({"a": [{"b": "c"}]}, {"a": [1]}) == {"a": [1]}
    assert merge_patch({"a": "foo"}, "bar") == "bar"
    assert merge_patch([1, 2], {"a": "b", "c": None}) == {"a": "b"}
    assert merge_patch({}, {"a": {"bb": {"ccc": None}}}) == {"a": {"bb": {}}}


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({}, "drop"),
        ({"explode": True}, "explode"),
        ({"drop": "later"}, "drop"),
        ({"reset": True}, "reset"),
        ({"refuse": 1}, "refuse"),
        ({"status": 99}, "status"),
        ({"status": 503, "headers": {"X": "a\r\nb"}}, "headers"),
        ({"status": 503, "body": b""}, "body"),
        ({"code": "40000208"}, "code"),
        ({"code": 1, "layer": "http"}, "layer"),
        ({"code": 1, "drop": "after"}, "exclude"),
        ({"answer": {1, 2}}, "answer"),
        ({"raw": 7}, "raw"),
        ({"patch": []}, "patch"),
        ({"delay": -1}, "delay"),
        ({"delay": True}, "delay"),
        ({"truncate": -1}, "truncate"),
        ({"drop": "after", "execute": False}, "execute"),
        ({"status": 500, "execute": "yes"}, "execute"),
        ({"drop": "after", "n": 0}, "n is"),
        ({"drop": "after", "operation": "start"}, "operation"),
        ({"refuse": True, "operation": "start_push"}, "operation"),
    ],
    ids=str,
)
def test_a_wrong_fault_names_its_field(emulator: Emulator, arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        emulator.fail_next(**arguments)
    assert emulator.pending_faults == []


def test_a_fault_reads_as_a_sentence() -> None:
    assert str(Fault(code=40000208, delay=2)) == "body code 40000208, delay 2"
    assert str(Fault(raw=b"x", drip=0.1)) == "raw, drip 0.1"


# --- HTTP itself ---------------------------------------------------------------------------------------------------


def _exchange(emulator: Emulator, sent: bytes) -> bytes:
    """Sends bytes to the media port and reads to the end."""
    url = urlsplit(emulator.media_url)
    with socket.create_connection((str(url.hostname), url.port or 0), 5) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(65536):
            received += part
        return received


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", 413),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
        (b"DELETE / HTTP/1.1\r\n\r\n", 405),
        (b"GET / HTTP/1.0\r\n\r\n", 404),
    ],
    ids=lambda value: value if isinstance(value, int) else value[:40].decode(),
)
def test_what_is_no_request_is_answered(emulator: Emulator, sent: bytes, status: int) -> None:
    assert _exchange(emulator, sent).startswith(f"HTTP/1.1 {status} ".encode())


def test_a_request_that_breaks_off_is_not_answered(emulator: Emulator) -> None:
    assert _exchange(emulator, b"GET / HTTP/1.1\r\n") == b""
    assert _exchange(emulator, b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab") == b""


def test_a_chunked_request_is_read(emulator: Emulator, caller: Caller) -> None:
    emulator.fail_next(delay=0.01)
    half = len(BODY) // 2
    caller.connection.connect()
    target = "/v3/openim/videorelay?" + "&".join(
        f"{name}={value}"
        for name, value in {
            "usersig": emulator.usersig,
            "identifier": "administrator",
            "sdkappid": "1400000001",
            "random": "1",
            "apn": "0",
            "contenttype": "json",
        }.items()
    )
    caller.connection.request("POST", target, iter([BODY[:half], BODY[half:]]), encode_chunked=True)
    assert json.loads(caller.connection.getresponse().read())["reqhead"]["uint32_result"] == 0


def test_a_caller_that_expects_100_is_told_to_go_on(emulator: Emulator) -> None:
    body = b'{"room_id": 5}'
    head = (
        b"POST /control/rooms HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    answer = _exchange(emulator, head + body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert 5 in emulator.rooms
