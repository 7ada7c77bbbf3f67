"""The control interface: the methods of `Emulator`, as JSON over HTTP under `/control` of the media port.

For programs that cannot call the methods, such as a demo in another process. It is for this machine only: the port is
on loopback, and a browser's page from elsewhere is kept out by asking for JSON and for a loopback host name.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import unquote

from airflow_provider_timav.emulator.http import Response, json_response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_timav.emulator.http import Request
    from airflow_provider_timav.emulator.journal import JournalEntry
    from airflow_provider_timav.emulator.playlist import Change
    from airflow_provider_timav.emulator.world import Push, Recording

__all__ = ["ROUTES", "Control", "Directed"]

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


# ruff: noqa: D102 - the methods are explained at `Emulator`
class Directed(Protocol):
    """The part of `Emulator` that control requests call, without an import of it."""

    @property
    def rooms(self) -> Mapping[int, frozenset[str]]: ...
    @property
    def pushes(self) -> tuple[Push, ...]: ...
    @property
    def recordings(self) -> tuple[Recording, ...]: ...
    @property
    def journal(self) -> tuple[JournalEntry, ...]: ...
    @property
    def pending_faults(self) -> list[dict[str, object]]: ...
    @property
    def connections(self) -> int: ...
    @property
    def handshakes(self) -> int: ...
    @property
    def handshake_failures(self) -> tuple[str, ...]: ...

    def open_room(self, room_id: int, *user_ids: str) -> None: ...
    def close_room(self, room_id: int) -> bool: ...
    def enter(self, room_id: int, user_id: str, after: float = 0.0) -> None: ...
    def leave(self, room_id: int, user_id: str) -> bool: ...
    def file_ids(self, file_name: str) -> list[str]: ...
    def clear_journal(self) -> None: ...
    def fail_next(self, n: int = 1, operation: str | None = None, **fault: Any) -> None: ...
    def clear_faults(self) -> None: ...
    def change_stream(self, change: Change, room_id: int | None = None, user_id: str | None = None) -> None: ...


class Control:
    """Answers control requests by calling the emulator."""

    def __init__(self, emulator: Directed) -> None:
        self._emulator = emulator

    def answer(self, request: Request) -> Response:
        """Return the answer to one request: 200 with JSON; 400 naming the field, 403, 404 or 415 with `{"error": text}`."""
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
