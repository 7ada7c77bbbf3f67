"""A proxy that opens what it is to pass on: it answers as the host itself, with a certificate of a CA of its own."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import Self

import trustme

__all__ = ["Eavesdropper"]


class Eavesdropper:
    """Answers CONNECT, then completes the TLS handshake in the host's place, asking for a client certificate.

    ``ca_pem`` is what a client must trust to be heard. ``callers`` counts those that came, ``certificates`` the client
    certificates whose key they proved to have, and ``heard`` has what they sent, decrypted.
    """

    def __init__(self, client_ca_pem: str, *, hosts: tuple[str, ...] = ("127.0.0.1", "test.tim.qq.com")) -> None:
        ca = trustme.CA()
        self.ca_pem = ca.cert_pem.bytes().decode()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert(*hosts).configure_cert(self._context)
        self._context.load_verify_locations(cadata=client_ca_pem)
        self._context.verify_mode = ssl.CERT_OPTIONAL
        self.callers = 0
        self.certificates = 0
        self.heard = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    @property
    def proxy(self) -> str:
        """Its address, as a connection names it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def got(self) -> tuple[int, int, bytes]:
        """All that reached it."""
        return self.callers, self.certificates, self.heard

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            self.callers += 1
            with caller, contextlib.suppress(OSError):
                caller.settimeout(10)
                self._listen(caller)

    def _listen(self, caller: socket.socket) -> None:
        head = caller.recv(65536, socket.MSG_PEEK)
        if head.startswith(b"CONNECT"):
            self.heard += caller.recv(65536)
            caller.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with self._context.wrap_socket(caller, server_side=True) as inside:
            self.heard += inside.recv(65536)
            self.certificates += inside.getpeercert() is not None
            inside.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
