"""Where the cases of the catalogue are played: one emulator, one peer in front of it, and a client that holds every secret."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import trustme
from airflow.sdk import Connection
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import Settings, TimAVHook
from airflow_provider_timav.videorelay import calls
from airflow_provider_timav.videorelay.calls import Call
from airflow_provider_timav.videorelay.errors import TimAVError
from airflow_provider_timav.videorelay.exchange import RetryBudget
from airflow_provider_timav.videorelay.tls import Identity
from airflow_provider_timav.videorelay.usersig import Credential
from harness.canary import Canaries, Sentry, everything_logged, texts_of
from harness.clients import AnyClient, Blocking, without_pauses
from harness.peer import Fault, Greeting, Peer, server_context

__all__ = ["OPERATIONS", "Observed", "Scene", "Stage"]

HOST = "host_1"
PASSPHRASE = "correct horse*battery/staple"
PLAYER_PASSWORD = "0pen*sesame&for+all"
PROXY_PASSWORD = "pr0xy*pass-w0rd"

GIVEN: Final[dict[str, Any]] = {
    "user_id": HOST,
    "user_ids": [HOST],
    "live_code": "hls+rtmp",
    "rate_types": ["original", "sd"],
    "tape_flag": True,
    "player_password": PLAYER_PASSWORD,
}


def _call_in(operation: calls.Operation[Any, Any]) -> Callable[[int], Call[Any]]:
    """Return what makes the call of an operation in a room, with those of the arguments above that it takes."""
    names = {field.name for field in dataclasses.fields(operation.request)}

    def call(room_id: int) -> Call[Any]:
        given = {"room_id": room_id, "file_name": f"{room_id}_news", **GIVEN}
        return operation.call({name: value for name, value in given.items() if name in names})

    return call


OPERATIONS: dict[str, Callable[[int], Call[Any]]] = {
    name: _call_in(operation) for name, operation in calls.OPERATIONS.items()
}
STARTED_BY = {
    stop.name: start.name
    for stop in calls.OPERATIONS.values()
    for start in calls.OPERATIONS.values()
    if (start.family, start.action, stop.action) == (stop.family, "start", "stop")
}


class _Hook(TimAVHook):
    """A hook on a connection of its own. Airflow masks nothing for it: what must not appear must not be there at all."""

    def __init__(self, connection: dict[str, Any]) -> None:
        super().__init__()
        self._given = {**connection, "conn_id": "timav_default", "extra": json.dumps(connection["extra"])}

    def settings(self) -> Settings:
        return Settings.of(Connection(**self._given))


class _Told:
    """A credential that tells the canaries of each UserSig that it gives out."""

    def __init__(self, inner: Credential, canaries: Canaries) -> None:
        self._inner = inner
        self._canaries = canaries

    @property
    def renewable(self) -> bool:
        return self._inner.renewable

    def usersig(self) -> str:
        usersig = self._inner.usersig()
        self._canaries.add("UserSig", usersig)
        return usersig


@dataclass(frozen=True)
class Observed:
    """What one operation came to, and the truth beside it.

    ``seen`` counts the posts that arrived, ``executed`` how often the service's state changed, ``connections`` what the peers
    accepted, ``elsewhere`` what a host accepted that is none of the operation's business.
    """

    error: TimAVError | None
    result: Any
    seconds: float
    seen: int
    executed: int
    connections: int
    elsewhere: int
    hits: set[str]
    log: str


@dataclass
class Scene:
    """One operation about to be played, for a case to change: its connection, its way, its client."""

    stage: Stage
    room_id: int
    connection: dict[str, Any]
    stack: contextlib.ExitStack
    peer: Peer | None = None
    without_certificate: bool = False
    before_call: Callable[[AnyClient], None] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def extra(self, **changes: Any) -> None:
        """Change the connection's extra; None removes a field."""
        merged = {**self.connection["extra"], **changes}
        self.connection["extra"] = {name: value for name, value in merged.items() if value is not None}

    def lead_to(self, port: int, host: str = "127.0.0.1") -> None:
        """Have the connection lead elsewhere."""
        self.connection |= {"host": f"https://{host}", "port": port}

    def through(
        self,
        *,
        fault: Fault | None = None,
        times: int = 0,
        greet: Greeting | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Put a peer between client and emulator."""
        self.peer = self.stack.enter_context(Peer(self.stage.emulator, context, fault, times, greet))
        self.lead_to(self.peer.port)


class Stage:
    """An emulator, a host that must never be contacted, key material of every kind; usable by one thread at a time.

    :param asynchronous: whether the asynchronous client is the one that is played with.
    """

    def __init__(self, *, asynchronous: bool = False) -> None:
        self._asynchronous = asynchronous

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        self._rooms = itertools.count(20001)
        self.emulator = self._stack.enter_context(Emulator(rooms={1: [HOST]}))
        self.elsewhere = self._stack.enter_context(Peer(self.emulator))
        self._sentry = self._stack.enter_context(Sentry())
        self.foreign = trustme.CA(organization_name="somebody else")
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="timav-faults-")))
        own = self.emulator.certificates
        key: Any = load_pem_private_key(own.client_key_pem.encode(), None)
        self.encrypted_key = key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE.encode())
        ).decode()
        self.canaries = Canaries()
        self.canaries.add("UserSig", self.emulator.usersig)
        self.canaries.add("secret key", self.emulator.secret_key)
        self.canaries.add("passphrase", PASSPHRASE)
        self.canaries.add("player password", PLAYER_PASSWORD)
        self.canaries.add("proxy credential", PROXY_PASSWORD)
        self.canaries.add_pem("private key", self.encrypted_key)
        self.canaries.add_pem("private key", own.client_key_pem, public=own.client_cert_pem)
        self.canaries.add_pem(
            "private key",
            Identity.load(client_cert=own.client_cert_pem, private_key=own.client_key_pem).key_pem.decode(),
            public=own.client_cert_pem,
        )
        self._plain = self._client({**self.emulator.connection()})
        self._stack.callback(self._plain.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def own_context(self, **facts: Any) -> ssl.SSLContext:
        """A server's context with a certificate of an authority that no connection trusts unless told to."""
        return server_context(self.emulator, self.foreign, **facts)

    def _client(self, connection: dict[str, Any]) -> AnyClient:
        hook = _Hook(connection)
        return without_pauses(Blocking(hook.async_client()) if self._asynchronous else hook.get_conn())

    def _call(self, client: AnyClient, operation: str, room_id: int, **limits: Any) -> Any:
        # A budget of its own: the process's would be spent by the faults of earlier cases.
        return client.call(OPERATIONS[operation](room_id), budget=RetryBudget(), **limits)

    def prepare(self, operation: str, room_id: int) -> None:
        """Have what ``operation`` needs: the room, the host in it, and for a stop what it stops."""
        self.emulator.open_room(room_id, HOST)
        if operation in STARTED_BY:
            self._plain.forget_connections()
            self._call(self._plain, STARTED_BY[operation], room_id)

    def play(
        self, operation: str, arrange: Callable[[Scene], None], *, prepared: bool = True, **limits: Any
    ) -> Observed:
        """Carry one operation out as ``arrange`` has it, and look at everything.

        :param prepared: whether the room is open, and what a stop stops is running.
        :param limits: of ``Client.call``.
        """
        room_id = next(self._rooms)
        if prepared:
            self.prepare(operation, room_id)
        self.emulator.clear_journal()
        with contextlib.ExitStack() as stack:
            connection = self.emulator.connection(
                sign=True, private_key=self.encrypted_key, private_key_passphrase=PASSPHRASE
            )
            scene = Scene(self, room_id, {**connection, "password": self.emulator.usersig}, stack)
            stack.callback(self.emulator.clear_faults)
            arrange(scene)
            stack.enter_context(_environment(scene.environment))
            before = self.emulator.connections, self.elsewhere.connections
            error: TimAVError | None = None
            result = None
            self._sentry.take()
            with everything_logged() as lines:
                began = time.monotonic()
                try:
                    result = self._operate(scene, operation, limits)
                except TimAVError as raised:
                    error = raised
                    self._sentry.see(raised)
                seconds = time.monotonic() - began
            # What a script does after its last byte must be over before the truth is looked at.
            peer = scene.peer
            stack.close()
            own = [entry for entry in self.emulator.journal if entry.room_id == room_id]
            log = "\n".join(lines)
            shown = [log, self._sentry.take(), repr(result), repr(own), *(entry.line() for entry in own)]
            shown += texts_of(error) if error is not None else []
            return Observed(
                error=error,
                result=result,
                seconds=seconds,
                seen=len(own) if peer is None else peer.posts,
                executed=sum(entry.executed for entry in own),
                connections=(self.emulator.connections - before[0]) + (peer.connections if peer else 0),
                elsewhere=self.elsewhere.connections - before[1],
                hits=self.canaries.hits("\n".join(shown)),
                log=log,
            )

    def _operate(self, scene: Scene, operation: str, limits: dict[str, Any]) -> Any:
        with contextlib.closing(self._client(scene.connection)) as client:
            bare = client.client if isinstance(client, Blocking) else client
            service = bare._service
            object.__setattr__(service, "credential", _Told(service.credential, self.canaries))
            if scene.without_certificate:
                bare._make_context = lambda: _bare_context(self.emulator.certificates.ca_pem)
            if scene.before_call is not None:
                scene.before_call(client)
            return self._call(client, operation, scene.room_id, **limits)


def _bare_context(ca_pem: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ca_pem)
    return context


@contextlib.contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def closed_port(stack: contextlib.ExitStack) -> int:
    """Return a port that is taken and on which nothing listens: connections to it are refused."""
    held = stack.enter_context(socket.socket())
    held.bind(("127.0.0.1", 0))
    port: int = held.getsockname()[1]
    return port
