"""The service's state: rooms and who is in them, pushes, recordings. No HTTP, no JSON, no clock of its own.

A push, and likewise a recording, is one room, one user and one kind of data: camera and screen run side by side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, NamedTuple
from urllib.parse import quote

from airflow_provider_timav.emulator.playlist import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_timav.emulator.switches import Switches

__all__ = ["KINDS", "LIVE_CODES", "Identity", "Kind", "LiveUrl", "Push", "Recording", "Refused", "World"]

Kind = Literal["camera", "screen"]
KINDS: Final[tuple[Kind, ...]] = ("camera", "screen")
LIVE_CODES: Final = {1: ("hls",), 5: ("rtmp",), 6: ("hls", "rtmp")}
TYPE_OF: Final = {"hls": 1, "rtmp": 5}
_RATE_CODES: Final = {"original": 0, "sd": 10, "hd": 20}
# Both above 2^53, from which on JavaScript, and so Airflow's UI, rounds: a reader that handles them as numbers is found out.
_FIRST_CHANNEL: Final = 16_093_425_727_655_551_234
_FIRST_FILE: Final = 5_285_890_803_757_278_095
_FIRST_TAPE_TASK: Final = 880


class Identity(NamedTuple):
    """The identity of a push or a recording."""

    room_id: int
    user_id: str
    kind: Kind

    def __str__(self) -> str:
        return f"room {self.room_id}, user {self.user_id}, {self.kind}"


@dataclass(frozen=True, kw_only=True)
class LiveUrl:
    """One play URL: `type` is 1 (hls) or 5 (rtmp, announced but not served), `rate` 0, 10 or 20."""

    type: int
    rate: int
    url: str


@dataclass(frozen=True, kw_only=True)
class Push:
    """A push that runs, or ran. `master_url` stands for all rates of an HLS push that has several, else None."""

    room_id: int
    user_id: str
    kind: Kind
    started_at: datetime
    urls: tuple[str, ...]
    live_urls: tuple[LiveUrl, ...]
    master_url: str | None
    channel_id: int
    tape_task_id: int | None
    channel_name: str | None


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A recording that runs, or ran. `file_ids` is empty while it runs."""

    room_id: int
    user_id: str
    kind: Kind
    started_at: datetime
    file_name: str
    file_ids: tuple[str, ...] = ()


class Refused(Exception):
    """The service refuses the operation; `code` is the specification's without its family (410, 411, 412 …)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class World:
    """All state and its rules. Not thread-safe: the emulator holds one lock around it."""

    def __init__(self, *, clock: Callable[[], float], switches: Switches, media_url: Callable[[], str]) -> None:
        self._clock = clock
        self._switches = switches
        self._media_url = media_url
        self._rooms: dict[int, set[str]] = {}
        self._arrivals: list[tuple[float, int, str]] = []
        self._pushes: dict[Identity, Push] = {}
        self._recordings: dict[Identity, Recording] = {}
        self._ended_recordings: list[Recording] = []
        self._streams: dict[Identity, Stream] = {}
        self._numbers = 0

    # --- rooms ---------------------------------------------------------------------------------------------------

    @property
    def rooms(self) -> dict[int, frozenset[str]]:
        """The open rooms and the users in each."""
        self._let_arrive()
        return {room: frozenset(users) for room, users in self._rooms.items()}

    def open_room(self, room_id: int, user_ids: Iterable[str] = ()) -> None:
        """Open a room, or add users to one that is open."""
        self._let_arrive()
        self._rooms.setdefault(room_id, set()).update(user_ids)

    def close_room(self, room_id: int) -> bool:
        """Close a room, which ends every push and recording in it; return whether it was open."""
        self._let_arrive()
        self._arrivals = [arrival for arrival in self._arrivals if arrival[1] != room_id]
        for identity in [identity for identity in self._pushes if identity.room_id == room_id]:
            self._end_push(identity)
        for identity in [identity for identity in self._recordings if identity.room_id == room_id]:
            self._end_recording(identity)
        return self._rooms.pop(room_id, None) is not None

    def enter(self, room_id: int, user_id: str, after: float = 0.0) -> None:
        """Let a user enter in `after` seconds; a room that does not exist is opened by it, as the first user does."""
        self._let_arrive()
        self._arrivals.append((self._clock() + after, room_id, user_id))
        self._let_arrive()

    def leave(self, room_id: int, user_id: str) -> bool:
        """Let a user leave, and not arrive if that was to come; return whether the user was in the room."""
        self._let_arrive()
        self._arrivals = [arrival for arrival in self._arrivals if arrival[1:] != (room_id, user_id)]
        return self.remove(room_id, user_id)

    def remove(self, room_id: int, user_id: str) -> bool:
        """Remove a member, as a kick does; return whether the user was in the room. A user who is still to arrive arrives."""
        self._let_arrive()
        users = self._rooms.get(room_id, set())
        if user_id not in users:
            return False
        users.discard(user_id)
        for kind in KINDS:
            identity = Identity(room_id, user_id, kind)
            if self._switches.push_ends_with_host and identity in self._pushes:
                self._end_push(identity)
            if self._switches.recording_ends_with_host and identity in self._recordings:
                self._end_recording(identity)
        return True

    # --- pushes --------------------------------------------------------------------------------------------------

    @property
    def pushes(self) -> tuple[Push, ...]:
        """The pushes that run now, oldest first."""
        return tuple(self._pushes.values())

    def start_push(
        self, identity: Identity, *, live_code: int, rates: tuple[str, ...], tape: bool, channel_name: str | None
    ) -> Push:
        """Put a stream on air.

        :raises Refused: with 410, 411 or 415.
        """
        self._require_room_and_user(identity, absent_user=411)
        if identity in self._pushes:
            raise Refused(415, "start repeated, the user is pushing")
        live_urls = self._urls(identity, LIVE_CODES[live_code], rates)
        push = Push(
            room_id=identity.room_id,
            user_id=identity.user_id,
            kind=identity.kind,
            started_at=self._now(),
            urls=tuple(live_url.url for live_url in live_urls),
            live_urls=live_urls,
            master_url=f"{self._stream_url(identity)}/master.m3u8" if live_code != 5 and len(rates) > 1 else None,
            channel_id=_FIRST_CHANNEL + self._number(),
            tape_task_id=_FIRST_TAPE_TASK + self._number() if tape else None,
            channel_name=channel_name,
        )
        self._pushes[identity] = push
        # A start for rtmp alone takes the playlist of an earlier push of the same identity away: nothing feeds it.
        self._streams.pop(identity, None)
        if live_code != 5:
            self._streams[identity] = Stream(
                rates=rates,
                started_at=self._clock(),
                first_segment_after=self._switches.first_segment_after,
                speed=self._switches.stream_speed,
            )
        return push

    def stop_push(self, identity: Identity) -> None:
        """Take a stream off air.

        :raises Refused: with 410, 411, 412 or 413.
        """
        if identity in self._pushes:
            self._let_arrive()
            self._end_push(identity)
            return
        self._require_room_and_user(identity, absent_user=411)
        raise Refused(self._switches.repeated_stop, "stop repeated, the push is already stopped")

    def stream(self, identity: Identity) -> Stream | None:
        """Return the playlists of the latest push of `identity`, which may have ended; None if there was none."""
        return self._streams.get(identity)

    @property
    def streams(self) -> dict[Identity, Stream]:
        """The playlists that exist, of pushes that run and of those that have ended."""
        return dict(self._streams)

    def _end_push(self, identity: Identity) -> None:
        del self._pushes[identity]
        if identity in self._streams:
            self._streams[identity].end(self._clock(), self._switches.playlist_after_stop)

    def _urls(self, identity: Identity, types: tuple[str, ...], rates: tuple[str, ...]) -> tuple[LiveUrl, ...]:
        path = self._stream_url(identity)
        host = path.removeprefix("http://").split(":", 1)[0]
        name = f"{identity.room_id}_{quote(identity.user_id, safe='')}_{identity.kind}"
        patterns = {"hls": path + "/{rate}.m3u8", "rtmp": f"rtmp://{host}/live/{name}_{{rate}}"}
        return tuple(
            LiveUrl(
                type=TYPE_OF[protocol],
                rate=_RATE_CODES[rate],
                url=patterns[protocol].replace("{rate}", rate),
            )
            for protocol in types
            for rate in rates
        )

    def _stream_url(self, identity: Identity) -> str:
        user = quote(identity.user_id, safe="")
        return f"{self._media_url()}/live/{identity.room_id}/{user}/{identity.kind}"

    # --- recordings ----------------------------------------------------------------------------------------------

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """The recordings that run now, oldest first."""
        return tuple(self._recordings.values())

    def start_recording(self, identity: Identity, file_name: str) -> Recording:
        """Start a recording.

        :raises Refused: with 410, 411 or 415.
        """
        self._require_room_and_user(identity, absent_user=self._switches.absent_recorder)
        if identity in self._recordings:
            raise Refused(415, "start repeated, the user is recording")
        recording = Recording(
            room_id=identity.room_id,
            user_id=identity.user_id,
            kind=identity.kind,
            started_at=self._now(),
            file_name=file_name,
        )
        self._recordings[identity] = recording
        return recording

    def stop_recording(self, identity: Identity) -> Recording:
        """End a recording; return it with its file ids.

        :raises Refused: with 410, 411, 412 or 413.
        """
        if identity in self._recordings:
            self._let_arrive()
            return self._end_recording(identity)
        self._require_room_and_user(identity, absent_user=411)
        if self._switches.second_stop_returns_file_ids:
            for recording in reversed(self._ended_recordings):
                if Identity(recording.room_id, recording.user_id, recording.kind) == identity:
                    return recording
        raise Refused(self._switches.repeated_stop, "stop repeated, the recording is already stopped")

    def file_ids(self, file_name: str) -> list[str]:
        """Return the ids of all files that were made under a name, oldest first, told to a client or not."""
        return [
            file_id
            for recording in self._ended_recordings
            if recording.file_name == file_name
            for file_id in recording.file_ids
        ]

    def _end_recording(self, identity: Identity) -> Recording:
        count = self._switches.files_per_recording
        recording = replace(
            self._recordings.pop(identity),
            file_ids=tuple(str(_FIRST_FILE + self._number()) for _ in range(count)),
        )
        self._ended_recordings.append(recording)
        return recording

    # --- common --------------------------------------------------------------------------------------------------

    def _require_room_and_user(self, identity: Identity, *, absent_user: int) -> None:
        self._let_arrive()
        if identity.room_id not in self._rooms:
            raise Refused(410, "the room does not exist")
        if identity.user_id not in self._rooms[identity.room_id]:
            raise Refused(absent_user, "the user is not in the room")

    def _let_arrive(self) -> None:
        now = self._clock()
        due = [arrival for arrival in self._arrivals if arrival[0] <= now]
        self._arrivals = [arrival for arrival in self._arrivals if arrival[0] > now]
        for _, room_id, user_id in sorted(due):
            self._rooms.setdefault(room_id, set()).add(user_id)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers
