"""Both clients under one face, so that one test says what each of them does."""

from __future__ import annotations

import asyncio
from typing import Any, Self

from airflow_provider_timav.videorelay.aclient import AsyncClient
from airflow_provider_timav.videorelay.calls import Call
from airflow_provider_timav.videorelay.client import Client

__all__ = ["KINDS", "AnyClient", "Blocking", "without_pauses"]

#: The names of both kinds, as ids of parameters that say whether the client is the asynchronous one.
KINDS = ["sync", "async"]


class Blocking:
    """An asynchronous client on a loop of its own, run for the time of each call.

    Whatever a call leaves behind in the loop fails the test: a task, a socket, a complaint to the loop.
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
            left = leftovers(self._runner.get_loop())
            assert left == [], left
            assert self._complaints == []

    def forget_connections(self) -> None:
        """There are none to forget."""

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
