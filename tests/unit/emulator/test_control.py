"""The control interface: the emulator's methods, from another process."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.emulator.control import ROUTES
from harness.caller import START_PUSH, START_RECORD, STOP_RECORD, Caller

JSON = {"Content-Type": "application/json"}


def control(
    emulator: Emulator, method: str, path: str, document: object = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(emulator.media_url).netloc, timeout=5)
    try:
        body = None if document is None else json.dumps(document)
        connection.request(method, path, body, JSON if headers is None else headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_it_lists_its_routes(emulator: Emulator) -> None:
    assert control(emulator, "GET", "/control") == (200, ROUTES)
    assert control(emulator, "GET", "/control/") == (200, ROUTES)


def test_rooms_are_opened_and_closed(emulator: Emulator) -> None:
    status, state = control(emulator, "POST", "/control/rooms", {"room_id": 7, "user_ids": ["a"]})
    assert (status, state["rooms"]) == (200, {"10086": ["host_1"], "7": ["a"]})
    control(emulator, "POST", "/control/rooms/7/members", {"user_id": "b/c"})
    assert emulator.members(7) == {"a", "b/c"}
    control(emulator, "POST", "/control/rooms/7/members", {"user_id": "late", "after": 3600})
    assert emulator.members(7) == {"a", "b/c"}
    control(emulator, "DELETE", "/control/rooms/7/members/b%2Fc")
    assert emulator.members(7) == {"a"}
    _, state = control(emulator, "DELETE", "/control/rooms/7")
    assert state["rooms"] == {"10086": ["host_1"]}


def test_it_tells_what_runs_and_what_happened(emulator: Emulator, caller: Caller) -> None:
    caller.call(6, START_PUSH)
    caller.call(5, START_RECORD)
    caller.call(5, STOP_RECORD)
    caller.call(5, START_RECORD)
    _, state = control(emulator, "GET", "/control/state")
    assert [push["kind"] for push in state["pushes"]] == ["camera"]
    assert [recording["file_name"] for recording in state["recordings"]] == ["10086_news"]
    assert (state["handshakes"], state["requests"]) == (1, 4)
    _, journal = control(emulator, "GET", "/control/journal")
    assert [entry["operation"] for entry in journal] == ["start_push", "start_record", "stop_record", "start_record"]
    assert control(emulator, "GET", "/control/files/10086_news") == (200, emulator.file_ids("10086_news"))
    control(emulator, "DELETE", "/control/journal")
    assert emulator.journal == ()


def test_faults_are_queued_and_forgotten(emulator: Emulator, caller: Caller) -> None:
    fault = {"n": 2, "operation": "start_push", "code": 40000208, "execute": True}
    _, state = control(emulator, "POST", "/control/faults", fault)
    assert state["faults"] == [{"n": 2, "operation": "start_push", "fault": "body code 40000208"}]
    assert caller.code(6, START_PUSH) == 40000208
    assert len(emulator.pushes) == 1
    _, state = control(emulator, "DELETE", "/control/faults")
    assert state["faults"] == []


def test_connections_are_refused(emulator: Emulator, caller: Caller) -> None:
    """The call comes from the server's own thread, which must not wait for itself."""
    caller.call(6, START_PUSH)
    assert control(emulator, "POST", "/control/faults", {"refuse": True})[0] == 200
    with Caller(emulator) as other, pytest.raises(OSError, match=r"reset|EOF"):
        other.call(6, START_PUSH)


def test_streams_are_changed(emulator: Emulator, caller: Caller) -> None:
    caller.call(6, START_PUSH)
    change = {"change": "end", "room_id": 10086, "user_id": "host_1", "kind": "camera"}
    assert control(emulator, "POST", "/control/streams", change)[0] == 200
    connection = http.client.HTTPConnection(urlsplit(emulator.media_url).netloc, timeout=5)
    connection.request("GET", urlsplit(emulator.pushes[0].urls[0]).path)
    assert b"#EXT-X-ENDLIST" in connection.getresponse().read()
    connection.close()


@pytest.mark.parametrize(
    ("method", "path", "document", "named"),
    [
        ("POST", "/control/rooms", {"room_id": -1}, "room_id"),
        ("POST", "/control/rooms", {}, "room_id"),
        ("POST", "/control/rooms", {"room_id": 1, "user_ids": "ab"}, "user_ids"),
        ("POST", "/control/rooms", {"room_id": 1, "users": []}, "users"),
        ("POST", "/control/rooms", [], "object"),
        ("POST", "/control/rooms/x/members", {"user_id": "a"}, "room_id"),
        ("POST", "/control/rooms/1/members", {"user_id": "a", "after": -1}, "after"),
        ("POST", "/control/faults", {"explode": True}, "explode"),
        ("POST", "/control/streams", {"change": "freeze"}, "no HLS stream"),
        ("DELETE", "/control/rooms/99999999999", None, "room_id"),
    ],
)
def test_what_is_wrong_is_named(emulator: Emulator, method: str, path: str, document: object, named: str) -> None:
    status, answer = control(emulator, method, path, document)
    assert status == 400
    assert named in answer["error"]


def test_what_does_not_exist_lists_what_does(emulator: Emulator) -> None:
    status, answer = control(emulator, "GET", "/control/nothing")
    assert status == 404
    assert "POST /control/faults" in answer["error"]


def test_foreign_pages_are_kept_out(emulator: Emulator) -> None:
    """A form cannot send JSON unasked, and a name that leads to loopback is not loopback's."""
    plain = {"Content-Type": "text/plain"}
    assert control(emulator, "POST", "/control/rooms", {"room_id": 1}, plain)[0] == 415
    assert control(emulator, "GET", "/control/state", headers={"Host": "evil.example"})[0] == 403
    assert emulator.rooms == {10086: frozenset({"host_1"})}


def test_a_body_that_is_no_json_is_named(emulator: Emulator) -> None:
    connection = http.client.HTTPConnection(urlsplit(emulator.media_url).netloc, timeout=5)
    connection.request("POST", "/control/rooms", "{", JSON)
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())) == (400, {"error": "the body is not JSON"})
    connection.close()
