"""Two loopback ports and the thread that serves them: the API over mutual TLS, the audience and control over HTTP."""

from __future__ import annotations

import asyncio
import concurrent.futures
import ssl
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from airflow_provider_timav.emulator.http import BadRequest, Connection, Request, Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    Handler = Callable[[Connection, Request], Awaitable[bool]]
    Gate = Callable[[], Literal["refuse", "stall"] | None]

__all__ = ["HOST", "Port", "Server"]

HOST: Final = "127.0.0.1"
_IDLE_SECONDS: Final = 75.0
_HANDSHAKE_SECONDS: Final = 10.0
_START_SECONDS: Final = 10.0
T = TypeVar("T")


class Port:
    """One listening port. `handler` answers a request and returns whether the connection may be kept alive.

    With `context` it speaks TLS. `gate` is asked at each new connection whether it shall be refused or left hanging.
    """

    def __init__(
        self, handler: Handler, port: int, context: ssl.SSLContext | None = None, gate: Gate = lambda: None
    ) -> None:
        self.port = port
        self.connections = 0
        self.handshakes = 0
        self.handshake_failures: list[str] = []
        self._handler = handler
        self._context = context
        self._gate = gate
        self._server: asyncio.Server | None = None
        self._tasks: dict[asyncio.Task[None], Connection] = {}

    async def open(self) -> None:
        """Listen.

        :raises OSError: when the port is taken.
        """
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port, limit=2**18, backlog=1024)
            self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, so that connections are refused, and end those that exist."""
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close their sockets in the loop's next round

    def close_idle(self) -> None:
        """Close the connections that are kept alive and wait for a next request."""
        for connection in self._tasks.values():
            if not connection.busy:
                connection.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = Connection(reader, writer, self.connections)
        task = asyncio.get_running_loop().create_task(self._serve(connection))
        self._tasks[task] = connection
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def _serve(self, connection: Connection) -> None:
        try:
            gate = self._gate()
            if gate == "refuse":
                connection.reset()
            elif gate == "stall":
                connection.busy = True
                await asyncio.Event().wait()  # until the port closes
            else:
                if await self._greet(connection):
                    await self._converse(connection)
                await connection.close()
        except (OSError, ssl.SSLError, TimeoutError):
            pass  # the peer has gone, which is its right
        finally:
            connection.abort()

    async def _greet(self, connection: Connection) -> bool:
        if self._context is None:
            return True
        connection.busy = True
        try:
            async with asyncio.timeout(_HANDSHAKE_SECONDS):
                await connection.start_tls(self._context)
        except (OSError, ssl.SSLError, TimeoutError) as error:
            reason = getattr(error, "reason", None) or type(error).__name__
            self.handshake_failures.append(str(reason).lower().replace("_", " "))
            return False
        self.handshakes += 1
        return True

    async def _converse(self, connection: Connection) -> None:
        while True:
            connection.busy = False
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    request = await connection.read_request()
            except BadRequest as bad:
                answer = Response(status=bad.status, body=f"{bad.reason}\n".encode())
                await connection.write(answer.encode(keep_alive=False))
                return
            if request is None:
                return
            connection.busy = True
            if not await self._handler(connection, request):
                return


class Server:
    """Serves ports from a thread with an event loop of its own."""

    def __init__(self, *ports: Port) -> None:
        self._ports = ports
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def start(self) -> None:
        """Start the thread; return when all ports listen.

        :raises OSError: when a port is taken.
        :raises RuntimeError: if it is running.
        """
        if self.is_running:
            raise RuntimeError("the emulator is already running")
        started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main(started)), name="timav-emulator", daemon=True
        )
        self._thread.start()
        try:
            started.result(_START_SECONDS)
        except OSError:
            self._thread.join()
            raise

    def stop(self) -> None:
        """End all connections and the thread; return when nothing is left. May be called twice."""
        if self._thread is None:
            return
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            with suppress(RuntimeError):  # the loop has just closed by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._thread = None

    def run(self, work: Callable[[], Coroutine[None, None, T]]) -> T:
        """Run `work` in the server's loop and return its result; not to be called from that loop."""
        if self._loop is None or self._thread is None:
            raise RuntimeError("the emulator is not running")
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(_START_SECONDS)

    @property
    def is_own_thread(self) -> bool:
        """Whether the caller runs in the server's thread."""
        return threading.current_thread() is self._thread

    @property
    def is_running(self) -> bool:
        """Whether the thread serves."""
        return self._thread is not None and self._thread.is_alive()

    async def _main(self, started: concurrent.futures.Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            for port in self._ports:
                await port.open()
        except OSError as error:
            for port in self._ports:
                await port.close()
            started.set_exception(error)
            return
        started.set_result(None)
        await self._stop.wait()
        for port in self._ports:
            await port.close()
