"""The synchronous client: moves the bytes of an exchange with requests, under deadlines that hold.

One client keeps one connection pool and one SSLContext: rebuilding them for each call costs many times the call itself. Four
traps of the library are closed here, each seen in a measurement:

- with a prebuilt context and ``verify=True``, requests adds certifi's CAs to it on every new connection: the trust is pinned;
- its timeouts count per read, so that a peer that drips holds a call for as long as it likes: ``sockets`` know the deadline;
- it follows redirects, with the UserSig in the address: it is used below the layer that does;
- its exceptions carry the address: none of them leaves this module.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import requests
import requests.adapters
import urllib3
import urllib3.exceptions

from airflow_provider_timav.videorelay.answers import Reply
from airflow_provider_timav.videorelay.calls import Call
from airflow_provider_timav.videorelay.errors import (
    CertificateError,
    ProtocolError,
    TimAVError,
    TransportError,
)
from airflow_provider_timav.videorelay.exchange import (
    ANSWER_BYTES,
    CONNECT_SECONDS,
    READ_SECONDS,
    Exchange,
    Post,
    Service,
)
from airflow_provider_timav.videorelay.sockets import Flight, Pool, TlsSocket, in_flight

__all__ = ["Client"]

ResultT = TypeVar("ResultT")

# A server's idle close that meets a reuse looks like an answer that was lost; after this long a new connection is cheaper.
IDLE_SECONDS: Final = 2.0
_HEADERS: Final = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "airflow-provider-timav",
}


class _WithoutQuery(logging.Filter):
    """Takes the UserSig out of the lines in which urllib3 logs a request's path, at DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if "usersig=" in message:
            record.msg, record.args = re.sub(r"usersig=[^&\s]*", "usersig=***", message), ()
        return True


# On the loggers that write the lines: a filter of a parent is not asked for the lines of a child.
for _name in ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(_WithoutQuery())


_POOLS: Final[dict[str, Any]] = {"https": Pool}


class _PinnedAdapter(requests.adapters.HTTPAdapter):
    """An adapter that uses one context for every connection, also through a proxy, and lets nothing widen its trust."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, ssl_context=self._context, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        # The parent would put certifi's CAs here, and urllib3 would load them into our context.
        conn.cert_reqs = "CERT_REQUIRED"
        conn.ca_certs = conn.ca_cert_dir = conn.ca_cert_data = None

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, _ = super().build_connection_pool_key_attributes(request, verify, None)
        return host, {"ssl_context": self._context, "cert_reqs": "CERT_REQUIRED"}

    def forget_connections(self) -> None:
        """Close the kept connections; the next request opens a new one."""
        self.poolmanager.clear()
        for manager in self.proxy_manager.values():
            manager.clear()


@functools.lru_cache(maxsize=8)
def _template(endpoint: str) -> requests.PreparedRequest:
    """Return what all posts to an endpoint have in common; preparing it takes longer than copying it."""
    return requests.Request("POST", endpoint, headers=_HEADERS).prepare()


class Client:
    """Sends calls over mutual TLS. Not for use by several threads at once.

    :param service: where to call and as whom.
    :param context: makes the SSLContext (``tls.Identity.context``); called once, before the first post.
    :param proxy: ``http://[user:password@]host:port`` to go through, or None. The environment has no say.
    :param sleep: waits between posts, instead of a wait that ``cancel`` ends.
    """

    def __init__(
        self,
        service: Service,
        context: Callable[[], ssl.SSLContext],
        *,
        proxy: str | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._service = service
        self._make_context = context
        self._proxies = {"https": proxy} if proxy else {}
        self._sleep = sleep or self._wait
        self._flight: Flight | None = None
        self._cancelled = False
        self._adapter: _PinnedAdapter | None = None
        self._last_used = 0.0

    def __repr__(self) -> str:
        return f"<Client of {self._service.endpoint}>"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept connections."""
        if self._adapter is not None:
            self._adapter.close()
            self._adapter = None

    def call(self, call: Call[ResultT], **limits: Any) -> ResultT:
        """Carry an operation out: at most 3 posts, 60 seconds in all, the same operation sent again where that is safe.

        :param limits: ``max_posts``, ``seconds`` and ``numbers`` of ``Exchange``.
        :raises TimAVError: what came of it; the error knows operation, room, users, posts and whether it was executed.
        """
        exchange = Exchange(call, self._service, **limits)
        while True:
            if self._cancelled:
                raise _cancelled(exchange)
            post = exchange.next_post()
            try:
                reply = self._post(post)
            except TimAVError as error:
                pause: float | None = exchange.failed(error)
            else:
                pause = exchange.answered(reply)
            if pause is None:
                return exchange.result
            self._sleep(pause)
            # What answered badly may be about to close: a repeat on the same connection could get lost with it.
            self.forget_connections()

    def _post(self, post: Post) -> Reply:
        """Send one post, return what came back: the one place that sees the address and the transport's exceptions."""
        flight = self._flight = Flight(time.monotonic() + post.seconds)
        trouble: BaseException
        with in_flight(flight):
            try:
                return self._send(post)
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as raised:
                trouble = raised
        # Outside of the except clause, so that the new error has no context: the address stands in the old one.
        error = _transport_error(trouble, flight, self._proxies)
        trouble = error
        self.forget_connections()
        raise error

    def cancel(self, grace: float) -> None:
        """Have the call that is under way end soon: the post in the air is cut after ``grace`` seconds, no other follows.

        For signal handlers, which run on top of the call: it takes no lock and does not wait. The client is of no use
        afterwards.
        """
        self._cancelled = True
        timer = threading.Timer(grace, self._cut)
        timer.daemon = True
        timer.start()

    def _cut(self) -> None:
        flight = self._flight
        if flight is not None and flight.socket is not None:
            with contextlib.suppress(OSError):
                # Of the plain socket: the TLS socket's own would take the state away under the thread that reads from it.
                socket.socket.shutdown(flight.socket, socket.SHUT_RDWR)

    def _wait(self, seconds: float) -> None:
        """Wait between posts in small steps, so that a cancelled call does not sit out its pause."""
        until = time.monotonic() + seconds
        while not self._cancelled and (left := until - time.monotonic()) > 0:
            time.sleep(min(0.1, left))

    def _send(self, post: Post) -> Reply:
        adapter = self._connected()
        request = _template(self._service.endpoint).copy()
        request.url = post.url
        request.body = post.body
        request.headers["Content-Length"] = str(len(post.body))
        if time.monotonic() - self._last_used > IDLE_SECONDS:
            adapter.forget_connections()
        response = adapter.send(
            request,
            stream=True,
            timeout=(min(CONNECT_SECONDS, post.seconds), min(READ_SECONDS, post.seconds)),
            verify=True,
            proxies=self._proxies,
        )
        body: bytes = response.raw.read(ANSWER_BYTES + 1, decode_content=True)
        if len(body) > ANSWER_BYTES:
            response.raw.close()
            raise _TooLargeError
        response.raw.release_conn()
        self._last_used = time.monotonic()
        return Reply(
            response.status_code,
            body,
            response.headers.get("Retry-After"),
            response.headers.get("Content-Type", ""),
        )

    def _connected(self) -> _PinnedAdapter:
        if self._adapter is None:
            context = self._make_context()
            context.sslsocket_class = TlsSocket
            self._adapter = _PinnedAdapter(context)
        return self._adapter

    def forget_connections(self) -> None:
        """Close the kept connections; the next post opens a new one."""
        if self._adapter is not None:
            self._adapter.forget_connections()


def _cancelled(exchange: Exchange[Any]) -> TimAVError:
    """Return what a call comes to that was cancelled between two posts."""
    return exchange.abandoned("the task was told to end")


class _TooLargeError(OSError):
    """The answer exceeds the cap."""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Give an exception and those that it stands for: requests and urllib3 wrap in ``args``, ``reason`` and ``__context__``."""
    seen: set[int] = set()
    todo: list[Any] = [error]
    while todo:
        item = todo.pop(0)
        if isinstance(item, BaseException) and id(item) not in seen:
            seen.add(id(item))
            yield item
            todo += [*item.args, getattr(item, "reason", None), item.__cause__, item.__context__]


def _transport_error(trouble: BaseException, flight: Flight, proxies: dict[str, str]) -> TimAVError:
    """Return the error that a fault of the transport means; its text holds kinds and system messages, no address."""
    chain = list(_chain(trouble))
    for link in chain:
        if isinstance(link, ssl.SSLError) and (error := _tls_error(link, sent=flight.sent)) is not None:
            return error
    kind = _kind(chain)
    if not flight.sent:
        by_proxy = bool(proxies) and any(isinstance(link, requests.exceptions.ProxyError) for link in chain)
        if by_proxy and any(isinstance(link, OSError) and _WANTS_CREDENTIALS.search(str(link)) for link in chain):
            return ProtocolError(
                "the proxy wants other credentials (407): check proxy of the connection",
                field="proxy",
                layer="transport",
                outcome_class="fail",
            )
        return TransportError(
            f"{'the proxy' if by_proxy else 'the service'} was not reached, nothing was executed ({kind}). "
            "Check host, port, proxy and the network.",
            layer="transport",
            outcome_class="retry",
        )
    return TransportError(
        f"the request was sent, but no whole answer came ({kind})",
        layer="transport",
        outcome_class="ambiguous",
        executed="maybe",
    )


def _kind(chain: list[BaseException]) -> str:
    """Return in a few words what happened, from types and system messages only."""
    if any(isinstance(link, _TooLargeError) for link in chain):
        return f"the answer exceeds {ANSWER_BYTES} bytes"
    if any(isinstance(link, socket.gaierror) for link in chain):
        return "the host name cannot be resolved"
    # The system's own word first: urllib3 counts a refused connection among its timeouts.
    for link in chain:
        if isinstance(link, OSError) and link.strerror and not isinstance(link, requests.RequestException):
            return re.sub(r"[^\w \[\]:,.-]", "", link.strerror)
    if any(isinstance(link, TimeoutError | urllib3.exceptions.TimeoutError) for link in chain):
        return "no answer in time"
    return type(chain[-1]).__name__


# What http.client says of a proxy's answer. The number alone stands in many a text: in ports, in addresses, in random numbers.
_WANTS_CREDENTIALS: Final = re.compile(r"Tunnel connection failed: 407\b")

# Alerts by which a server refuses the client's certificate; they reach us before anything was executed, even though with
# TLS 1.3 they come after the request was written.
_CLIENT_REFUSED: Final = re.compile(
    r"ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_(EXPIRED|REVOKED|UNKNOWN)|"
    r"UNSUPPORTED_CERTIFICATE|ACCESS_DENIED|HANDSHAKE_FAILURE|NO_CERTIFICATE|DECRYPT_ERROR)"
)


def _tls_error(error: ssl.SSLError, *, sent: bool) -> TimAVError | None:
    """Return the error that a fault of TLS means, or None where it is a broken connection like any other."""
    facts: dict[str, Any] = {"layer": "transport", "outcome_class": "fail"}
    if isinstance(error, ssl.SSLCertVerificationError):
        said = error.verify_message or "not trusted"
        message = f"the server's certificate is refused: {said}. Check host and ca_cert of the connection."
        return CertificateError(
            message, field="host" if "ostname" in said or "IP address" in said else "ca_cert", **facts
        )
    reason = error.reason or ""
    if _CLIENT_REFUSED.search(reason):
        message = f"the server refused the client certificate ({reason}). Check client_cert and private_key."
        return CertificateError(message, field="client_cert", **facts)
    if not sent and ("PROTOCOL" in reason or "VERSION" in reason or "WRONG_" in reason or "HTTP_REQUEST" in reason):
        message = f"the server does not speak TLS 1.2 or newer on this port ({reason}). Check host and port."
        return ProtocolError(message, field="host", **facts)
    return None
