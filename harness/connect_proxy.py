"""A small CONNECT proxy, for the tests of the clients."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from typing import Self

__all__ = ["ConnectProxy"]


class ConnectProxy:
    """Tunnels ``CONNECT`` requests, or answers them with another status, or (None) not at all.

    As a context manager, it serves in a thread of its own.
    """

    def __init__(self, status: int | None = 200, *, host: str = "127.0.0.1") -> None:
        self._status = status
        self._host = f"[{host}]" if ":" in host else host
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self.tunnels = 0
        self.heads: list[bytes] = []
        self._server = threading.Thread(target=self.serve, daemon=True)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
        self._server.join()

    @property
    def url(self) -> str:
        return f"http://user:pr0xypass@{self._host}:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(client)
            thread = threading.Thread(target=self._tunnel, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for each in [*self._sockets, self._listener]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in [*self._sockets, self._listener]:
            each.close()

    def _tunnel(self, client: socket.socket) -> None:
        asked = b""
        while b"\r\n\r\n" not in asked:
            if not (piece := client.recv(4096)):
                return
            asked += piece
        self.heads.append(asked)
        if self._status is None:
            client.recv(1)
            return
        if self._status != 200:
            client.sendall(f"HTTP/1.1 {self._status} No\r\nContent-Length: 0\r\n\r\n".encode())
            return
        self.tunnels += 1
        host, _, port = asked.split(b" ")[1].decode().partition(":")
        server = socket.create_connection((host, int(port)))
        self._sockets.append(server)
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with selectors.DefaultSelector() as waiting, contextlib.suppress(OSError):
            waiting.register(client, selectors.EVENT_READ, server)
            waiting.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in waiting.select():
                    source, target = key.fileobj, key.data
                    assert isinstance(source, socket.socket)
                    if not (piece := source.recv(65536)):
                        return
                    target.sendall(piece)
