"""What tests do with the service that DAGs talk to: an emulator that keeps what it saw, and connections that lead to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow_provider_timav.emulator import Emulator, JournalEntry, Push
from harness.rest import AirflowClient, RestError


class Witness(Emulator):
    """An emulator that keeps every push it ever started: a push that has ended is gone from the service's state."""

    def __init__(self, **options: Any) -> None:
        self.started: dict[tuple[int, str, str], Push] = {}
        super().__init__(on_request=self._look, **options)

    def _look(self, entry: JournalEntry) -> None:
        for push in self.pushes:
            self.started[push.room_id, push.user_id, push.kind] = push

    def push(self, room_id: int, user_id: str, kind: str = "camera") -> Push:
        """The newest push of this room, user and kind, whether it still runs or not."""
        return self.started[room_id, user_id, kind]

    def operations(self, room_id: int) -> list[tuple[str | None, bool]]:
        """What was asked for in a room, oldest first, and whether it was executed."""
        return [(entry.operation, entry.executed) for entry in self.journal if entry.room_id == room_id]

    def on_air(self, room_id: int) -> list[str]:
        """What runs in a room now."""
        pushes = [f"push of {push.user_id}" for push in self.pushes if push.room_id == room_id]
        return pushes + [f"recording of {one.user_id}" for one in self.recordings if one.room_id == room_id]


def connect(site: AirflowClient, conn_id: str, connection: Mapping[str, Any]) -> dict[str, Any]:
    """Save a connection, as the form does, in place of the one with this id; what the API answers."""
    try:
        site.rest("DELETE", f"connections/{conn_id}")
    except RestError as refused:
        if refused.status != 404:
            raise
    body = {"connection_id": conn_id, **connection, "extra": json.dumps(connection["extra"])}
    answer: dict[str, Any] = site.rest("POST", "connections", body)
    return answer
