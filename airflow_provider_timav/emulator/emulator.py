"""The emulator as a Python object: a context manager that serves, and the methods that direct it."""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, Self
from urllib.parse import urlsplit

from airflow_provider_timav.emulator import audience, usersig
from airflow_provider_timav.emulator.arguments import require_seconds, require_text, require_uint32
from airflow_provider_timav.emulator.certificates import Certificates
from airflow_provider_timav.emulator.control import Control
from airflow_provider_timav.emulator.faults import Faults, fault_from
from airflow_provider_timav.emulator.http import Connection, Request, Response
from airflow_provider_timav.emulator.playlist import CHANGES
from airflow_provider_timav.emulator.server import HOST, Port, Server
from airflow_provider_timav.emulator.service import Application, Service
from airflow_provider_timav.emulator.switches import Switches
from airflow_provider_timav.emulator.world import KINDS, Identity, Kind, Push, Recording, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from airflow_provider_timav.emulator.journal import JournalEntry
    from airflow_provider_timav.emulator.playlist import Change, Stream

__all__ = ["DEFAULT_ROOM_ID", "DEFAULT_USER_ID", "Emulator"]

DEFAULT_ROOM_ID: Final = 10086
DEFAULT_USER_ID: Final = "host_1"
DEFAULT_ROOMS: Final[Mapping[int, Iterable[str]]] = {DEFAULT_ROOM_ID: [DEFAULT_USER_ID]}
_log = logging.getLogger("airflow_provider_timav.emulator")


class Emulator:
    """A stand-in for the videorelay service on loopback: `with Emulator() as emulator: ...`.

    It serves the API over mutual TLS at `api_url`, and playlists and the control interface over plain HTTP at
    `media_url`, from a thread of its own. Credentials and certificates are invented for each instance. RTMP URLs are
    announced, but nothing serves them. All methods may be called from any thread; a wrong argument raises ValueError
    naming it.

    `rooms` maps the rooms that are open from the start to the users in them. Ports of 0 are chosen by the system, and
    are known while it runs. `clock` returns Unix time and may be replaced in tests of long waits. `on_request` is called
    with each journal entry, in the server's thread; it may be replaced at any time. `credentials_of` is another emulator
    whose application, credentials and certificates this one has, too: a process that talks to hundreds has then one set
    of secrets to mask.
    """

    def __init__(
        self,
        *,
        sdkappid: int = 1400000001,
        identifier: str = "administrator",
        rooms: Mapping[int, Iterable[str]] | None = None,
        api_port: int = 0,
        media_port: int = 0,
        switches: Switches | None = None,
        clock: Callable[[], float] = time.time,
        on_request: Callable[[JournalEntry], None] | None = None,
        credentials_of: Emulator | None = None,
    ) -> None:
        require_uint32("sdkappid", sdkappid)
        require_text("identifier", identifier)
        for name, port in (("api_port", api_port), ("media_port", media_port)):
            if type(port) is not int or not 0 <= port < 65536:
                raise ValueError(f"{name} is a port number, 0 for any")
        if credentials_of is not None:
            sdkappid, identifier = credentials_of.sdkappid, credentials_of.identifier
        self.sdkappid: int = sdkappid
        self.identifier: str = identifier
        self.switches = Switches() if switches is None else switches
        self.certificates: Certificates = Certificates() if credentials_of is None else credentials_of.certificates
        self.secret_key: str = secrets.token_hex(32) if credentials_of is None else credentials_of.secret_key
        self._clock = clock
        self.on_request = on_request
        self._lock = threading.RLock()
        self._journal: list[JournalEntry] = []
        self._faults = Faults()
        self._world = World(clock=clock, switches=self.switches, media_url=lambda: self.media_url)
        self.usersig: str = (
            usersig.sign_with_star(
                sdkappid=sdkappid, identifier=identifier, secret_key=self.secret_key, issued_at=clock()
            )
            if credentials_of is None
            else credentials_of.usersig
        )
        opened = {room: tuple(users) for room, users in (DEFAULT_ROOMS if rooms is None else rooms).items()}
        for room_id, user_ids in opened.items():
            self.open_room(room_id, *user_ids)
        self.room_id = next(iter(opened), DEFAULT_ROOM_ID)
        self.user_id = next(iter(opened.get(self.room_id, ())), DEFAULT_USER_ID)
        service = Service(
            application=Application(sdkappid=sdkappid, identifier=identifier, secret_key=self.secret_key),
            world=self._world,
            faults=self._faults,
            switches=self.switches,
            lock=self._lock,
            clock=clock,
            record=self._record,
        )
        self._control = Control(self)
        self._api = Port(service.handle, api_port, self.certificates.server_context(), self._gate)
        self._media = Port(self._handle_media, media_port)
        self._server = Server(self._api, self._media)

    # --- running -------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Serve from now on, at the same ports as before if it was stopped; return itself. `with` does this.

        :raises OSError: when a port is taken.
        :raises RuntimeError: when it is already running.
        """
        self._server.start()
        return self

    def stop(self) -> None:
        """End every connection and the thread. State and journal can still be read."""
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"Emulator(api={self.api_url}, media={self.media_url})"

    @property
    def api_url(self) -> str:
        """The API's address: scheme, host and port. The certificate is valid for 127.0.0.1 and localhost."""
        return f"https://{HOST}:{self._api.port}"

    @property
    def media_url(self) -> str:
        """The address of playlists and the control interface: scheme, host and port."""
        return f"http://{HOST}:{self._media.port}"

    def connection(self, *, sign: bool = False, **extra_overrides: Any) -> dict[str, Any]:
        """Return a ready Airflow connection, as `AIRFLOW_CONN_TIMAV_DEFAULT` takes it once it is dumped as JSON.

        With `sign=True` it holds the secret key, so that UserSigs are signed by the client, in place of a UserSig. Any
        other keyword replaces a key of `extra`; None removes it.
        """
        extra: dict[str, Any] = {
            "sdkappid": self.sdkappid,
            "environment": "test",
            "client_cert": self.certificates.client_cert_pem,
            "private_key": self.certificates.client_key_pem,
            "ca_cert": self.certificates.ca_pem,
        }
        connection: dict[str, Any] = {
            "conn_type": "timav",
            "host": f"https://{HOST}",
            "port": urlsplit(self.api_url).port,
            "login": self.identifier,
        }
        if sign:
            extra["secret_key"] = self.secret_key
        else:
            connection["password"] = self.usersig
        merged = {key: value for key, value in {**extra, **extra_overrides}.items() if value is not None}
        return {**connection, "extra": merged}

    def connection_json(self) -> str:
        """Return `connection()` as JSON on one line."""
        return json.dumps(self.connection())

    def sign(
        self,
        *,
        identifier: str | None = None,
        sdkappid: int | None = None,
        secret_key: str | None = None,
        issued_at: float | None = None,
        validity_seconds: int = usersig.VALIDITY_SECONDS,
    ) -> str:
        """Return a UserSig, by default a good one; each argument makes it another's, another key's, or an old one."""
        return usersig.sign(
            sdkappid=self.sdkappid if sdkappid is None else sdkappid,
            identifier=self.identifier if identifier is None else identifier,
            secret_key=self.secret_key if secret_key is None else secret_key,
            issued_at=self._clock() if issued_at is None else issued_at,
            validity_seconds=validity_seconds,
        )

    # --- rooms ---------------------------------------------------------------------------------------------------

    @property
    def rooms(self) -> dict[int, frozenset[str]]:
        """The rooms that are open now, and the users in each."""
        with self._lock:
            return self._world.rooms

    def open_room(self, room_id: int, *user_ids: str) -> None:
        """Open a room with these users in it, or let them enter the one that is open."""
        require_uint32("room_id", room_id)
        for user_id in user_ids:
            require_text("user_ids", user_id)
        with self._lock:
            self._world.open_room(room_id, user_ids)

    def close_room(self, room_id: int) -> bool:
        """Close a room, which ends every push and recording in it; return whether it was open."""
        require_uint32("room_id", room_id)
        with self._lock:
            return self._world.close_room(room_id)

    def enter(self, room_id: int, user_id: str, after: float = 0.0) -> None:
        """Let a user enter in `after` seconds; a room that does not exist is opened by that."""
        require_uint32("room_id", room_id)
        require_text("user_id", user_id)
        require_seconds("after", after)
        with self._lock:
            self._world.enter(room_id, user_id, after)

    def leave(self, room_id: int, user_id: str) -> bool:
        """Let a user leave (and not arrive, if that was to come); return whether the user was in the room."""
        require_uint32("room_id", room_id)
        require_text("user_id", user_id)
        with self._lock:
            return self._world.leave(room_id, user_id)

    def members(self, room_id: int) -> frozenset[str]:
        """Return the users in a room; none in a room that does not exist."""
        return self.rooms.get(room_id, frozenset())

    # --- what runs -----------------------------------------------------------------------------------------------

    @property
    def pushes(self) -> tuple[Push, ...]:
        """The pushes that run now, oldest first."""
        with self._lock:
            return self._world.pushes

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """The recordings that run now, oldest first."""
        with self._lock:
            return self._world.recordings

    def file_ids(self, file_name: str) -> list[str]:
        """Return the ids of all files made under a name, oldest first, also when the answer that had them was lost."""
        require_text("file_name", file_name)
        with self._lock:
            return self._world.file_ids(file_name)

    # --- faults --------------------------------------------------------------------------------------------------

    def fail_next(self, n: int = 1, operation: str | None = None, **fault: Any) -> None:
        """Let something go wrong with the next `n` requests, or the next `n` of one operation.

        `operation` is a name in the table of operations, such as `start_push` or `kick_members`. `fault` is the vocabulary
        of `Fault`, for example `drop="after"`, `code=40000208`, `status=503, headers={"Retry-After": "1"}`.
        """
        made = fault_from(fault)
        with self._lock:
            self._faults.add(made, n, operation)
        if made.of_connection:
            self._close_idle()

    def clear_faults(self) -> None:
        """Forget the faults that have not happened yet."""
        with self._lock:
            self._faults.clear()

    @property
    def pending_faults(self) -> list[dict[str, object]]:
        """The queued faults: `{"n": left, "operation": name or None, "fault": text}`, first to happen first."""
        with self._lock:
            return self._faults.pending()

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Close the API's port while the block runs: connections are refused by the system."""
        self._server.run(self._api.close)
        try:
            yield
        finally:
            self._server.run(self._api.open)

    # --- streams -------------------------------------------------------------------------------------------------

    def freeze(self, room_id: int | None = None, user_id: str | None = None, kind: Kind = "camera") -> None:
        """Stop a stream's playlist; `resume` lets it go on. Without arguments: the default room's host's camera."""
        self.change_stream("freeze", room_id, user_id, kind)

    def resume(self, room_id: int | None = None, user_id: str | None = None, kind: Kind = "camera") -> None:
        """Undo every change to a stream."""
        self.change_stream("resume", room_id, user_id, kind)

    def reset_stream(self, room_id: int | None = None, user_id: str | None = None, kind: Kind = "camera") -> None:
        """Start a stream again with segment 0: its media sequence goes back, as after an encoder's restart."""
        self.change_stream("reset", room_id, user_id, kind)

    def end_stream(self, room_id: int | None = None, user_id: str | None = None, kind: Kind = "camera") -> None:
        """End a stream's playlist with EXT-X-ENDLIST; the push itself still runs for the API."""
        self.change_stream("end", room_id, user_id, kind)

    def change_stream(
        self, change: Change, room_id: int | None = None, user_id: str | None = None, kind: Kind = "camera"
    ) -> None:
        """Change the stream that one audience gets.

        `freeze`, `resume`, `reset`, `end` as the methods of these names; `absent`: 404 for everything; `error`: 500 for
        everything; `empty`: a playlist without segments; `hollow`: segments without bytes. `resume` undoes them.
        """
        if change not in CHANGES:
            raise ValueError(f"change is one of {', '.join(CHANGES)}, not {change!r}")
        with self._lock:
            self._stream(room_id, user_id, kind).change(change, self._clock())

    def _stream(self, room_id: int | None, user_id: str | None, kind: Kind) -> Stream:
        if kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}, not {kind!r}")
        room = self.room_id if room_id is None else room_id
        identity = Identity(room, self.user_id if user_id is None else user_id, kind)
        stream = self._world.stream(identity)
        if stream is None:
            raise ValueError(f"room_id, user_id, kind: no HLS stream of {identity}")
        return stream

    # --- what happened -------------------------------------------------------------------------------------------

    @property
    def journal(self) -> tuple[JournalEntry, ...]:
        """Every request that reached the API, oldest first."""
        with self._lock:
            return tuple(self._journal)

    def clear_journal(self) -> None:
        """Forget the requests so far."""
        with self._lock:
            self._journal.clear()

    @property
    def connections(self) -> int:
        """The number of TCP connections that the API's port has accepted."""
        return self._api.connections

    @property
    def handshakes(self) -> int:
        """The number of TLS handshakes that were completed at the API's port."""
        return self._api.handshakes

    @property
    def handshake_failures(self) -> tuple[str, ...]:
        """The reasons of failed TLS handshakes, oldest first: OpenSSL's in lower case."""
        return tuple(self._api.handshake_failures)

    # --- inside --------------------------------------------------------------------------------------------------

    def _record(self, entry: JournalEntry) -> None:
        self._journal.append(entry)
        _log.info("%s", entry.line())
        if self.on_request is not None:
            self.on_request(entry)

    def _gate(self) -> Literal["refuse", "stall"] | None:
        with self._lock:
            fault = self._faults.take_for_connection()
        if fault is None:
            return None
        return "refuse" if fault.refuse else "stall"

    def _close_idle(self) -> None:
        async def close_idle() -> None:
            self._api.close_idle()

        if self._server.is_own_thread:
            self._api.close_idle()
        elif self._server.is_running:
            self._server.run(close_idle)

    async def _handle_media(self, connection: Connection, request: Request) -> bool:
        with self._lock:
            if request.path.startswith("/control"):
                response = self._control.answer(request)
            elif request.method in ("GET", "HEAD"):
                response = audience.answer(self._world, request.path, self._clock())
            else:
                response = Response(status=405, body=b"GET or HEAD\n")
        head_only = request.method == "HEAD"
        await connection.write(response.encode(keep_alive=request.keep_alive, head_only=head_only))
        return request.keep_alive
