"""Both clients under one face, so that one test says what each of them does."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Protocol, Self

from airflow_provider_timav.emulator import Certificates, Emulator
from airflow_provider_timav.videorelay import calls
from airflow_provider_timav.videorelay.aclient import AsyncClient
from airflow_provider_timav.videorelay.calls import Call
from airflow_provider_timav.videorelay.client import Client
from airflow_provider_timav.videorelay.exchange import RetryBudget, Service
from airflow_provider_timav.videorelay.tls import Identity
from airflow_provider_timav.videorelay.usersig import StaticUserSig

__all__ = ["KINDS", "AnyClient", "Blocking", "ClientOf", "leftovers", "maker", "start", "without_pauses"]

#: The names of both kinds, as ids of parameters that say whether the client is the asynchronous one.
KINDS = ["sync", "async"]


class Blocking:
    """An asynchronous client on a loop of its own, run for the time of each call.

    Whatever a call leaves behind in the loop fails the test: a task, a socket that is not kept, a complaint to the loop.
    """

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self._complaints: list[Any] = []
        self._runner = asyncio.Runner()
        self._runner.get_loop().set_exception_handler(lambda loop, context: self._complaints.append(context))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def call(self, call: Call[Any], **limits: Any) -> Any:
        """Call, and wait for it."""
        try:
            return self._runner.run(self.client.call(call, **limits))
        finally:
            self._runner.run(self._forget())
            left = leftovers(self._runner.get_loop())
            assert left == [], left
            assert self._complaints == []

    def forget_connections(self) -> None:
        """Do nothing: after each call they are forgotten already."""

    async def _forget(self) -> None:
        self.client.forget_connections()
        await asyncio.sleep(0)  # in which their sockets are closed

    def close(self) -> None:
        """Close the client and its loop."""
        self._runner.run(self.client.close())
        self._runner.close()


AnyClient = Client | Blocking


def leftovers(loop: asyncio.AbstractEventLoop) -> list[Any]:
    """Return the tasks and the sockets in a loop that is not running, but for the loop's own."""
    found: Any = loop
    own = found._ssock.fileno()
    watched = [key for key in found._selector.get_map().values() if key.fd != own]
    return [*asyncio.all_tasks(loop), *watched]


def without_pauses(client: AnyClient) -> AnyClient:
    """Have a client wait for nothing between posts."""
    if isinstance(client, Client):
        client._sleep = lambda seconds: None
    else:
        client.client._sleep = lambda seconds: asyncio.sleep(0)
    return client


class ClientOf(Protocol):
    """Makes a client of the kind that the test is run with; ``contexts`` collects the contexts that it makes."""

    def __call__(
        self,
        emulator: Emulator,
        *,
        endpoint: str | None = None,
        proxy: str | None = None,
        certificates: Certificates | None = None,
        contexts: list[ssl.SSLContext] | None = None,
        usersig: str | None = None,
        identifier: str | None = None,
    ) -> AnyClient: ...


def maker(*, asynchronous: bool) -> ClientOf:
    """Return what makes clients of one kind, for an emulator, that wait for nothing between posts."""

    def make(
        emulator: Emulator,
        *,
        endpoint: str | None = None,
        proxy: str | None = None,
        certificates: Certificates | None = None,
        contexts: list[ssl.SSLContext] | None = None,
        usersig: str | None = None,
        identifier: str | None = None,
    ) -> AnyClient:
        own = certificates or emulator.certificates
        identity = Identity.load(client_cert=own.client_cert_pem, private_key=own.client_key_pem)
        credential = StaticUserSig(usersig or emulator.usersig)
        where = endpoint or emulator.api_url
        service = Service(where, emulator.sdkappid, identifier or emulator.identifier, credential)
        made = [] if contexts is None else contexts

        def context() -> ssl.SSLContext:
            made.append(identity.context(emulator.certificates.ca_pem))
            return made[-1]

        kind = AsyncClient if asynchronous else Client
        client = kind(service, context, proxy=proxy)
        return without_pauses(Blocking(client) if isinstance(client, AsyncClient) else client)

    return make


def start(client: AnyClient, emulator: Emulator, **limits: Any) -> Any:
    """Start the push of the emulator's host.

    With a budget of its own: the process's would be spent by the faults of earlier tests.
    """
    call = calls.start_push(room_id=emulator.room_id, user_id=emulator.user_id)
    return client.call(call, budget=RetryBudget(), **limits)
