"""One client for all triggers of a loop that send starts on the same connection: one SSLContext, few sockets, one pace."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_timav.hooks.timav import Settings, TimAVHook

if TYPE_CHECKING:
    from airflow_provider_timav.videorelay.aclient import AsyncClient
    from airflow_provider_timav.videorelay.calls import Call

__all__ = ["Pace", "SharedClient", "shared_client"]

POSTS_PER_SECOND: Final = 100.0
"""Of starts, on one connection by one process. The service limits the calls of an application; a thousand triggers that wait
for their hosts must leave some of them to stops."""

POSTS_AT_ONCE: Final = 200
"""So many broadcasts may begin in the same second without one of them waiting for its turn."""


CLIENT_SECONDS: Final = 300.0
"""How long a client is lent to new users."""


class Pace:
    """A bucket of tokens: so many posts at once, and so many per second after that.

    :param clock: seconds that never go back.
    """

    def __init__(
        self,
        per_second: float = POSTS_PER_SECOND,
        at_once: int = POSTS_AT_ONCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = 1 / per_second
        self._ahead = at_once * self._seconds
        self._clock = clock
        self._next = clock() - self._ahead

    def turn(self) -> float:
        """Take a token; return the seconds until it may be used."""
        now = self._clock()
        self._next = max(self._next, now - self._ahead) + self._seconds
        return max(self._next - now, 0.0)


class SharedClient:
    """A client that several triggers use, and the pace of its posts; lent by `shared_client`."""

    def __init__(self, timav_conn_id: str, settings: Settings) -> None:
        self.users = 0
        self._made_at = time.monotonic()
        self._timav_conn_id = timav_conn_id
        self._settings = settings
        self._pace = Pace()
        self._opening: asyncio.Task[AsyncClient] | None = None

    @property
    def is_old(self) -> bool:
        """Whether a new one should be made for who borrows one: certificate and key may be files, and have been replaced."""
        return time.monotonic() - self._made_at >= CLIENT_SECONDS

    def retire(self) -> None:
        """Have a new one made for who borrows one from now on."""
        self._made_at = -math.inf

    async def open(self) -> AsyncClient:
        """Return the client, made once, in a thread: reading certificate and key takes milliseconds.

        :raises TimAVError: if they cannot be used; see ``TimAVHook.async_client``. The next call tries again.
        """
        opening = self._opening
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception() is not None)):
            hook = TimAVHook(self._timav_conn_id)
            opening = self._opening = asyncio.create_task(asyncio.to_thread(hook.async_client, self._settings))
        return await asyncio.shield(opening)

    async def call(self, call: Call[Any], **limits: Any) -> Any:
        """Send a start in its turn.

        :raises TimAVError: see ``open`` and ``AsyncClient.call``.
        """
        await asyncio.sleep(self._pace.turn())
        client = await self.open()
        return await client.call(call, **limits)

    async def close(self) -> None:
        """Close the client's connections."""
        opening, self._opening = self._opening, None
        if opening is not None:
            with contextlib.suppress(Exception):
                await (await opening).close()


_clients: Final[dict[tuple[asyncio.AbstractEventLoop, Settings], SharedClient]] = {}


@asynccontextmanager
async def shared_client(timav_conn_id: str, settings: Settings) -> AsyncIterator[SharedClient]:
    """Lend the client of the running loop for a connection; its last user closes it.

    :param settings: the connection's.
    """
    key = (asyncio.get_running_loop(), settings)
    if key not in _clients or _clients[key].is_old:
        _clients[key] = SharedClient(timav_conn_id, settings)
    shared = _clients[key]
    shared.users += 1
    try:
        yield shared
    finally:
        shared.users -= 1
        if not shared.users:
            # First out of sight, then closed: a user that comes in between gets a new one.
            if _clients.get(key) is shared:
                del _clients[key]
            await shared.close()
