"""The synchronous client: moves the bytes of an exchange with requests, under deadlines that hold.

One client keeps one connection pool and one SSLContext: rebuilding them for each call costs many times the call itself. Five
traps of the library are closed here, each seen in a measurement:

- with a prebuilt context and ``verify=True``, requests adds certifi's CAs to it on every new connection: the trust is pinned;
- its timeouts count per read, so that a peer that drips holds a call for as long as it likes: ``sockets`` know the deadline;
- it has a way of its own to read HTTP: ``sockets`` give it the answer in its plainest form (``http1``);
- it follows redirects: it is used below the layer that does, because the UserSig is for the service only;
- its exceptions carry the request: none of them leaves this module.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import requests
import requests.adapters
from requests.structures import CaseInsensitiveDict

from airflow_provider_timav.frames import without_variables
from airflow_provider_timav.videorelay.blame import error_of
from airflow_provider_timav.videorelay.calls import Call
from airflow_provider_timav.videorelay.errors import TimAVError
from airflow_provider_timav.videorelay.exchange import (
    CONNECT_SECONDS,
    READ_SECONDS,
    Exchange,
    Post,
    Service,
)
from airflow_provider_timav.videorelay.line import Proxy, RequestLine
from airflow_provider_timav.videorelay.reply import Reply
from airflow_provider_timav.videorelay.sockets import Pool, TlsSocket
from airflow_provider_timav.videorelay.tls import unmade
from airflow_provider_timav.videorelay.transport import HEADERS, Flight, TlsObject, in_flight

__all__ = ["Client"]

ResultT = TypeVar("ResultT")

# A server's idle close that meets a reuse looks like an answer that was lost; after this long a new connection is cheaper.
IDLE_SECONDS: Final = 2.0

_POOLS: Final[dict[str, Any]] = {"https": Pool}


class _PinnedAdapter(requests.adapters.HTTPAdapter):
    """An adapter for one service, that uses one context for every connection and lets nothing widen its trust."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._pool: Any = None
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

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        # Every post goes to one endpoint in one way; the parent reads the address anew for each.
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
        return self._pool

    def request_url(self, request: Any, proxies: Any) -> str:
        # Never the whole address: through a proxy there is a tunnel.
        target: str = request.path_url
        return target

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, _ = super().build_connection_pool_key_attributes(request, verify, None)
        return host, {"ssl_context": self._context, "cert_reqs": "CERT_REQUIRED"}

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        # Only the parts of an answer that are read: the parent looks for cookies, and keeps the request with the address.
        response = requests.Response()
        response.status_code, response.headers, response.raw = resp.status, CaseInsensitiveDict(resp.headers), resp
        return response

    def forget_connections(self) -> None:
        """Close the kept connections; the next request opens a new one."""
        self._pool = None
        self.poolmanager.clear()
        for manager in self.proxy_manager.values():
            manager.clear()


@functools.lru_cache(maxsize=8)
def _template(endpoint: str) -> requests.PreparedRequest:
    """Return the request that all posts to an endpoint are copies of; preparing it takes longer than copying it."""
    return requests.Request("POST", endpoint, headers=HEADERS).prepare()


class Client:
    """Sends calls over mutual TLS. Not for use by several threads at once.

    :param service: the address to call, and the identity to call as.
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
        self._proxy = Proxy.of(proxy) if proxy else None
        self._sleep = sleep or self._wait
        self._flight: Flight | None = None
        self._cancelled = False
        self._is_cut = False
        self._adapter: _PinnedAdapter | None = None
        self._last_used = 0.0
        self._told_time: tuple[str, float] | None = None

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

    @without_variables
    def call(self, call: Call[ResultT], **limits: Any) -> ResultT:
        """Carry an operation out: at most 3 posts, 60 seconds in all, the same operation sent again if that is safe.

        :param limits: ``max_posts``, ``seconds`` and ``numbers`` of ``Exchange``.
        :raises TimAVError: the failure; it knows operation, room, users, posts and whether the operation was executed.
        """
        exchange = Exchange(call, self._service, **limits)
        while True:
            if self._cancelled:
                raise _cancelled(exchange)
            post = exchange.next_post()
            try:
                outcome: Reply | TimAVError = self._post(post)
            except TimAVError as error:
                outcome = error
            is_done = False
            # Outside of the except clause: the error of the call has no context.
            try:
                pause = exchange.failed(outcome) if isinstance(outcome, TimAVError) else exchange.answered(outcome)
                is_done = pause is None
            finally:
                if not is_done:
                    # A server that answered badly may be about to close, and the next post on that connection would be lost.
                    # And nothing shows that a refusal, or the answer to another request, was meant for this one.
                    self.forget_connections()
            if pause is None:
                return exchange.result
            self._sleep(pause)

    def _post(self, post: Post) -> Reply:
        """Send one post, return its reply: the one place that sees the transport's exceptions."""
        introduction = self._proxy.introduction if self._proxy else None
        flight = self._flight = Flight(time.monotonic() + post.seconds, RequestLine(post.usersig), introduction)
        if self._is_cut:  # in the moment before this flight began
            flight.deadline = time.monotonic()
        trouble: BaseException
        try:
            with in_flight(flight):
                try:
                    return self._send(post)
                except TimAVError:  # our own, of certificate and key
                    raise
                except Exception as raised:  # noqa: BLE001 - whatever a library raises, it carries the request
                    trouble = raised
        finally:
            self._flight = None
        # Outside of the except clause, so that the new error has no context: the request stands in the old one.
        error = error_of(trouble, flight, proxied=self._proxy is not None)
        trouble = error
        self.forget_connections()
        raise error

    @property
    def clock_skew(self) -> float | None:
        """The seconds by which this machine's clock is ahead of the service's; None if no answer has told the time.

        The ``Date`` of an answer tells whole seconds, and is as old as the answer's way was long.
        """
        if self._told_time is None:
            return None
        date, received = self._told_time
        try:
            told = parsedate_to_datetime(date).timestamp()
        except (ValueError, OverflowError):
            return None
        # Cut off to the second: half of it is the best guess.
        return received - told - 0.5

    def cancel(self, grace: float) -> None:
        """End the call that is in progress soon: cut the post in the air after ``grace`` seconds, and send no other.

        For signal handlers, which run on top of the call: it takes no lock and does not wait. The client is of no use
        afterwards.
        """
        self._cancelled = True
        timer = threading.Timer(grace, self._cut)
        timer.daemon = True
        timer.start()

    def _cut(self) -> None:
        self._is_cut = True
        # Again and again until it is down: a socket that is just about to connect does not feel the first one.
        while (flight := self._flight) is not None:
            # Before the socket is read: code that takes another one from now on reads the deadline first.
            flight.deadline = min(flight.deadline, time.monotonic())
            if (own := flight.socket) is not None:
                with contextlib.suppress(OSError):
                    own.shutdown(socket.SHUT_RDWR)
            time.sleep(0.1)

    def _wait(self, seconds: float) -> None:
        """Wait between posts in small steps, so that a cancelled call does not sit out its pause."""
        until = time.monotonic() + seconds
        while not self._cancelled and (left := until - time.monotonic()) > 0:
            time.sleep(min(0.1, left))

    def _send(self, post: Post) -> Reply:
        adapter = self._connected()
        request = _template(self._service.endpoint).copy()
        request.url = post.url
        # A viewers' password may be in it: as a view, it shows in no frame's variables.
        body_view: Any = memoryview(post.body)
        request.body = body_view
        request.headers["Content-Length"] = str(len(post.body))
        if time.monotonic() - self._last_used > IDLE_SECONDS:
            adapter.forget_connections()
        response = adapter.send(
            request,
            stream=True,
            timeout=(min(CONNECT_SECONDS, post.seconds), min(READ_SECONDS, post.seconds)),
            verify=True,
            proxies={"https": self._proxy.address} if self._proxy else {},
        )
        # Whole, unpacked and within the cap: the socket has seen to it.
        body: bytes = response.raw.read(decode_content=False)
        response.raw.release_conn()
        self._last_used = time.monotonic()
        if date := response.headers.get("Date"):
            self._told_time = date, time.time()
        return Reply(
            response.status_code,
            body,
            response.headers.get("Retry-After"),
            response.headers.get("Content-Type", ""),
        )

    def _connected(self) -> _PinnedAdapter:
        if self._adapter is None:
            context = _made(self._make_context)
            wrapper: Any = TlsSocket
            context.sslsocket_class, context.sslobject_class = wrapper, TlsObject
            self._adapter = _PinnedAdapter(context)
        return self._adapter

    def forget_connections(self) -> None:
        """Close the kept connections; the next post opens a new one."""
        if self._adapter is not None:
            self._adapter.forget_connections()


def _made(make_context: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    try:
        return make_context()
    except TimAVError:
        raise
    except Exception as unexpected:  # noqa: BLE001 - whatever it is, it is not of the network
        odd = unmade(unexpected)
    # Outside of the except clause: the new error has no context.
    raise odd


def _cancelled(exchange: Exchange[Any]) -> TimAVError:
    """Return the error of a call that was cancelled between two posts."""
    return exchange.abandoned("the task was told to end")
