"""The journal: one entry per request that reached the API, with the truth of what was executed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["JournalEntry", "Layer"]

Layer = Literal["gateway", "head", "body"]


@dataclass(frozen=True, kw_only=True)
class JournalEntry:
    """One request. It holds no credential: no query, no UserSig, no player password.

    `operation`, `room_id`, `user_ids`, `kind`, `seq` and `cookie` are None, or empty, if the request did not have them
    readably. `fields` are the body's fields under the specification's names. `executed` is the truth: whether the
    request changed the state. `layer` and `code` say what the answer says, or would have said had a fault not lost it;
    both are None when a fault answered in its place with something else than a code. `status` is the HTTP status that
    was sent, None when no answer was sent.
    """

    at: datetime
    connection: int
    client: str
    method: str
    path: str
    operation: str | None = None
    room_id: int | None = None
    user_ids: tuple[str, ...] = ()
    kind: str | None = None
    seq: int | None = None
    cookie: str | None = None
    random: int | None = None
    fields: Mapping[str, object] = field(default_factory=dict)
    fault: str | None = None
    executed: bool = False
    layer: Layer | None = None
    code: int | None = None
    reason: str = ""
    status: int | None = None

    @property
    def user_id(self) -> str | None:
        """The one user of a push or recording; None when there is none or there are several."""
        return self.user_ids[0] if len(self.user_ids) == 1 else None

    def line(self) -> str:
        """Return the entry as one readable line, without its time."""
        parts = [f"{self.operation or self.method + ' ' + self.path:<12}"]
        if self.room_id is not None:
            parts.append(f"room {self.room_id}")
        if self.user_ids:
            parts.append("user " + ", ".join(self.user_ids))
        if self.kind:
            parts.append(self.kind)
        if self.seq is not None:
            parts.append(f"seq {self.seq}")
        parts.append("->")
        if self.fault:
            parts.append(f"[{self.fault}]")
        if self.code is None:
            parts.append(f"HTTP {self.status}" if self.status else "no HTTP answer")
        elif self.code == 0:
            parts.append("ok")
        else:
            parts.append(f"{self.layer} {self.code} {self.reason}".rstrip())
        parts.append("(executed)" if self.executed else "(changed nothing)")
        # One line whatever a request carried: a line break in a user id must not forge a second entry.
        return "".join(char if char.isprintable() else "?" for char in " ".join(parts))
