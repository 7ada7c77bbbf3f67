"""The control interface: what `Emulator`'s methods do, as JSON over HTTP under `/control` of the media port.

For programs that cannot call the methods, such as a demo in another process. It is for this machine only: the port is
on loopback, and a browser's page from elsewhere is kept out by asking for JSON and for a loopback host name.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from airflow_provider_timav.emulator.http import Response, json_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_timav.emulator.emulator import Emulator
    from airflow_provider_timav.emulator.http import Request

ROUTES: Final = {
    "GET /control": "this list",
    "GET /control/state": "rooms, pushes, recordings, pending faults, counters",
    "GET /control/journal": "every request that reached the API, oldest first",
    "DELETE /control/journal": "forget them",
    "GET /control/files/{file_name}": "the ids of the files made under a name",
    "POST /control/rooms": 'open a room: {"room_id": 10086, "user_ids": ["host_1"]}',
    "DELETE /control/rooms/{room_id}": "close a room",
    "POST /control/rooms/{room_id}/members": 'let a user enter: {"user_id": "host_1", "after": 0}',
    "DELETE /control/rooms/{room_id}/members/{user_id}": "let a user leave",
    "POST /control/faults": 'let requests fail: {"n": 1, "operation": "start_push", "drop": "after"}',
    "DELETE /control/faults": "forget the faults that have not happened",
    "POST /control/streams": 'change a stream: {"change": "freeze", "room_id": 10086, "user_id": "host_1"}',
}


class Control:
    """Answers control requests by calling the emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def answer(self, request: Request) -> Response:
        """Answers one request: 200 with JSON; 400 naming the field, 403, 404 or 415 with `{"error": text}`."""
        host = request.headers.get("host", "").rsplit(":", 1)[0]
        if host not in ("127.0.0.1", "localhost"):
            return _error(403, "the control interface is called by a loopback name")
        parts = [unquote(part) for part in request.path.strip("/").split("/")[1:]]
        action = self._action(request.method, parts)
        if action is None:
            return _error(404, f"no such control; there are: {', '.join(ROUTES)}")
        arguments: Any = {}
        if request.method == "POST":
            # A form of a foreign page cannot send this type without asking first.
            if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
                return _error(415, "Content-Type is application/json")
            try:
                arguments = json.loads(request.body)
            except ValueError:
                return _error(400, "the body is not JSON")
            if not isinstance(arguments, dict):
                return _error(400, "the body is a JSON object")
        try:
            return json_response(action(**arguments))
        except (ValueError, TypeError) as error:
            # TypeError: an argument that is missing or that the action does not have; its text names it.
            return _error(400, str(error))

    def _action(self, method: str, parts: list[str]) -> Callable[..., object] | None:
        match method, *parts:
            case ["GET"] | ["GET", ""]:
                return lambda: ROUTES
            case ["GET", "state"]:
                return self._state
            case ["GET", "journal"]:
                return lambda: [_plain(asdict(entry)) for entry in self._emulator.journal]
            case ["DELETE", "journal"]:
                return self._then_state(self._emulator.clear_journal)
            case ["GET", "files", file_name]:
                return lambda: self._emulator.file_ids(file_name)
            case ["POST", "rooms"]:
                return self._open_room
            case ["DELETE", "rooms", room]:
                return self._then_state(lambda: self._emulator.close_room(_room(room)))
            case ["POST", "rooms", room, "members"]:
                return self._then_state(lambda user_id, after=0.0: self._emulator.enter(_room(room), user_id, after))
            case ["DELETE", "rooms", room, "members", user]:
                return self._then_state(lambda: self._emulator.leave(_room(room), user))
            case ["POST", "faults"]:
                return self._then_state(self._emulator.fail_next)
            case ["DELETE", "faults"]:
                return self._then_state(self._emulator.clear_faults)
            case ["POST", "streams"]:
                return self._then_state(self._emulator.change_stream)
        return None

    def _then_state(self, method: Callable[..., object]) -> Callable[..., object]:
        def act(**arguments: Any) -> object:
            method(**arguments)
            return self._state()

        return act

    def _open_room(self, room_id: int, user_ids: list[str] | None = None) -> object:
        if isinstance(user_ids, str):  # would be taken for a list of its letters
            raise ValueError("user_ids is a list of strings")  # noqa: TRY004 - answered as 400, as all wrong values are
        self._emulator.open_room(room_id, *(user_ids or ()))
        return self._state()

    def _state(self) -> dict[str, Any]:
        emulator = self._emulator
        return {
            "rooms": {str(room_id): sorted(users) for room_id, users in emulator.rooms.items()},
            "pushes": [_plain(asdict(push)) for push in emulator.pushes],
            "recordings": [_plain(asdict(recording)) for recording in emulator.recordings],
            "faults": emulator.pending_faults,
            "connections": emulator.connections,
            "handshakes": emulator.handshakes,
            "handshake_failures": emulator.handshake_failures,
            "requests": len(emulator.journal),
        }


def _room(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 10):
        raise ValueError("room_id is an unsigned 32-bit integer")
    return int(text)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _error(status: int, text: str) -> Response:
    return json_response({"error": text}, status)
