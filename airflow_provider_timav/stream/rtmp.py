"""Looks at RTMP streams: a connection that is tried in the loop, then packets that PyAV reads in a thread.

PyAV (the extra ``rtmp``) brings FFmpeg's RTMP client, which blocks. A look has a thread of its own, and the number of looks at
once is limited, however many watches there are. What costs no thread is found out before: a name that is not known, a host
that does not answer. Streams that sent something at the last look do not wait behind those that did not: silence takes a
look's whole time, and a stream that is live two seconds.

Nothing is decoded. No proxy is used: those of connections speak HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import ssl
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from airflow_provider_timav.names import RememberedNames
from airflow_provider_timav.stream.address import missing, stream_fault
from airflow_provider_timav.stream.arrivals import Arrivals
from airflow_provider_timav.stream.network import is_public
from airflow_provider_timav.stream.reasons import HOST_UNKNOWN, NO_CONNECTION, NO_ROUTE, NO_TLS
from airflow_provider_timav.stream.watch import Look, Watch

__all__ = ["RtmpNotInstalled", "RtmpReader"]

LOOK_SECONDS: Final = 10.0
"""For packets, once there is a connection. Encoders commonly make a key frame every two to eight seconds, and many servers send
a player nothing before one."""

CONNECT_SECONDS: Final = 5.0

MOST_MOVING, MOST_OTHERS = 16, 32
"""Looks at once at streams that sent something at the last look, and at those that did not: threads, the first of which take
2.5 MB each while packets arrive, the second hardly anything."""

_OUR_NETWORK: Final = (
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.EADDRNOTAVAIL,
    errno.EMFILE,
    errno.ENFILE,
)
"""What the system says where the fault is on this side: no way, no address, no socket."""

MOST_ADDRESSES: Final = 4
"""Of a host's; they are tried side by side."""

_PORTS: Final = {"rtmp": 1935, "rtmps": 443}

_OPTIONS: Final = {
    "protocol_whitelist": "rtmp,rtmps,tcp,tls",
    "rtmp_live": "live",  # not a recording of that name
    # No more of the stream than its first packet is looked into: the time at which packets arrive is what matters.
    "probesize": "32",
    "analyzeduration": "1",
    "correct_ts_overflow": "0",  # `arrivals` knows how timestamps wrap
}


class RtmpNotInstalled(RuntimeError):
    """PyAV is missing where an RTMP stream is to be watched."""


@dataclass(frozen=True, slots=True)
class _Server:
    """Where to connect: a numeric address that has just answered, and the name that the server and TLS are told."""

    scheme: str
    host: str
    port: int
    number: str

    def address(self, url: str) -> str:
        """Return the address for FFmpeg. Within TLS it is the name that is checked, so there it has to be the name."""
        host = self.host if self.scheme == "rtmps" else self.number
        return urlunsplit(urlsplit(url)._replace(scheme=self.scheme, netloc=_netloc(host, self.port)))

    def options(self, url: str) -> dict[str, str]:
        """Return FFmpeg's options. The server is told the URL's host, from which it may tell whose stream is meant."""
        parts = urlsplit(url)
        app, name = _app_and_name(parts.path)
        options = {**_OPTIONS, "rtmp_tcurl": f"{self.scheme}://{_netloc(self.host, self.port)}/{app}"}
        if "/" in parts.query:  # which FFmpeg would take for a part of the path
            options |= {"rtmp_app": app, "rtmp_playpath": f"{name}?{parts.query}"}
        if self.scheme == "rtmps":
            options |= {"tls_verify": "1", "ca_file": _trusted()}
        return options


class _NoConnection(Exception):  # it is what was found
    """There is no connection; the message says why. ``public`` tells whether it was a server on a public address."""

    def __init__(self, reason: str, *, public: bool = False) -> None:
        super().__init__(reason)
        self.public = public


class RtmpReader:
    """Looks at RTMP streams, for one loop."""

    def __init__(self) -> None:
        self._names = RememberedNames()
        self._moving = asyncio.Semaphore(MOST_MOVING)
        self._others = asyncio.Semaphore(MOST_OTHERS)

    async def look(self, url: str, watch: Watch, clock: Callable[[], float]) -> Look:
        """Look at a stream once. What its server does, or does not do, raises nothing.

        :param watch: what is known so far.
        :param clock: returns the seconds since the epoch, from any thread.
        :raises RtmpNotInstalled: if PyAV is missing.
        """
        if (wrong := stream_fault(url)) is not None:
            return Look(at=clock(), absence=wrong)
        if (lack := missing(url)) is not None:
            raise RtmpNotInstalled(lack)
        arrivals = Arrivals(watch)
        try:
            server = await self._reach(url, watch)
        except _NoConnection as found:
            return arrivals.look(clock(), absence=str(found), public=found.public)
        turns = self._moving if watch.moving else self._others
        absence = await _in_a_thread(_Receiving(server.address(url), server.options(url), arrivals, clock), turns)
        return arrivals.look(clock(), absence=absence, public=is_public(server.number))

    async def _reach(self, url: str, watch: Watch) -> _Server:
        """Find the host's address that accepts a connection first.

        :raises _NoConnection: if none does in time.
        """
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                numbers = [found["host"] for found in await self._names.resolve(host, port)]
        except TimeoutError:
            raise _NoConnection(f"{HOST_UNKNOWN} in time") from None
        except OSError:
            raise _NoConnection(HOST_UNKNOWN) from None
        # As with HLS: a name with addresses of both kinds is a public one, and one that was public has to stay so.
        public = [number for number in numbers if is_public(number)]
        if watch.public and not public:
            raise _NoConnection("a stream whose host was on a public address and now is on a private address")
        numbers = (public or numbers)[:MOST_ADDRESSES]
        context = await asyncio.to_thread(_context) if parts.scheme == "rtmps" else None
        tries = [asyncio.ensure_future(_answers(number, port, host, context)) for number in numbers]
        reasons: list[str] = []
        try:
            for answer in asyncio.as_completed(tries, timeout=CONNECT_SECONDS):
                try:
                    return _Server(parts.scheme, host, port, await answer)
                except OSError as error:
                    reasons.append(_why_no_connection(error))
        finally:
            for one in tries:
                one.cancel()
            await asyncio.gather(*tries, return_exceptions=True)
        # What says something of the server comes before what says something of us only.
        raise _NoConnection(min(reasons, key=lambda reason: reason == NO_ROUTE), public=bool(public))


async def _answers(number: str, port: int, host: str, context: ssl.SSLContext | None) -> str:
    """Return the address once it has accepted a connection, which is closed again.

    :param context: for TLS with a host of that name; None without TLS.
    :raises OSError: if it does not.
    """
    name = None if context is None else host
    _, writer = await asyncio.open_connection(number, port, ssl=context, server_hostname=name)
    writer.transport.abort()
    return number


@functools.cache
def _context() -> ssl.SSLContext:
    """Trust what the system trusts (or ``SSL_CERT_FILE``), as the reader of HLS does."""
    return ssl.create_default_context(cafile=_trusted())


def _why_no_connection(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no connection in time"
    if isinstance(error, ssl.SSLError):
        return NO_TLS
    return NO_ROUTE if error.errno in _OUR_NETWORK else NO_CONNECTION


class _NoStream(Exception):  # it is what was found
    """PyAV reads nothing, or nothing more; the message says why."""


class _Receiving:
    """Reads packets of one stream until they are enough, in a thread."""

    def __init__(self, address: str, options: dict[str, str], arrivals: Arrivals, clock: Callable[[], float]) -> None:
        self._address = address
        self._options = options
        self._arrivals = arrivals
        self._clock = clock
        self.abandoned = False

    def __call__(self) -> str | None:
        """Return why the stream is not there; None if time is over, or what has arrived is enough."""
        end = self._clock() + LOOK_SECONDS
        try:
            with contextlib.closing(self._packets()) as packets:
                for kind, timestamp, size in packets:
                    now = self._clock()
                    if self.abandoned or now >= end:
                        return None
                    if kind in ("audio", "video") and timestamp is not None:
                        self._arrivals.add(kind, timestamp, at=now, size=size)
                    if self._arrivals.enough:
                        return None
        except _NoStream as found:
            # FFmpeg says that input and output fail where it has been interrupted, too.
            return None if self._clock() >= end - 0.5 else str(found)
        return "the server has ended the stream"

    def _packets(self) -> Generator[tuple[str, int | None, int], None, None]:
        """Give kind, timestamp and size of each packet.

        :raises _NoStream: whatever PyAV raises. FFmpeg's errors are not all: of texts that are no UTF-8 others come.
        """
        import av

        # Each of opening, finding the first packet, and reading one ends by itself then. The options are the container's
        # alone: older versions of PyAV hand all others to streams that are not there yet, and crash.
        limits = (LOOK_SECONDS, LOOK_SECONDS)
        try:
            with av.open(
                self._address,
                format="flv",
                container_options=self._options,
                metadata_errors="replace",  # encoders send what their users type, in whatever it is encoded
                timeout=limits,
            ) as source:
                for packet in source.demux():
                    yield packet.stream.type, packet.dts, packet.size
        except Exception as error:  # noqa: BLE001 - what the stream makes of PyAV is what was found of the stream
            raise _NoStream(_why(error)) from None


async def _in_a_thread(receiving: _Receiving, turns: asyncio.Semaphore) -> str | None:
    """Wait for a turn, receive in a thread of its own, and return why the stream is not there, or None.

    FFmpeg cannot be interrupted from outside, but ends by itself. A thread that nobody waits for any more keeps its turn until
    then, so that there are never more of them than turns.
    """
    loop = asyncio.get_running_loop()
    await turns.acquire()
    received: asyncio.Future[str | None] = loop.create_future()

    def settle(outcome: str | BaseException | None) -> None:
        turns.release()
        if received.done():
            return
        if isinstance(outcome, BaseException):
            received.set_exception(outcome)
        else:
            received.set_result(outcome)

    def run() -> None:
        outcome: str | BaseException | None
        try:
            outcome = receiving()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            outcome = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, outcome)

    try:
        threading.Thread(target=run, name="timav-rtmp", daemon=True).start()
    except RuntimeError:  # the interpreter ends
        turns.release()
        raise
    try:
        async with asyncio.timeout(LOOK_SECONDS + 1):
            return await received
    except TimeoutError:
        return None
    finally:
        receiving.abandoned = True


def _why(error: Exception) -> str:
    """Say why there is no stream. The text of these exceptions quotes the address; none of it is used."""
    reasons: tuple[tuple[type[Exception], str], ...] = (
        (ConnectionRefusedError, NO_CONNECTION),
        (PermissionError, "the server has no such stream, or refuses it"),
        (EOFError, "the server hung up"),
        (OSError, "the server hung up"),
    )
    return next((reason for kind, reason in reasons if isinstance(error, kind)), f"no answer ({type(error).__name__})")


def _netloc(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _app_and_name(path: str) -> tuple[str, str]:
    """Split a path into application and name as FFmpeg does: the first part, or two if there are more than two."""
    parts = path.removeprefix("/").split("/")
    length = 2 if len(parts) > 2 and ":" not in parts[1] else 1
    return "/".join(parts[:length]), "/".join(parts[length:])


@functools.cache
def _trusted() -> str:
    """Return the file of the authorities that the system trusts (or ``SSL_CERT_FILE``); FFmpeg takes no directory."""
    known = ssl.get_default_verify_paths()
    bundles = [known.cafile, known.capath and str(Path(known.capath) / "ca-certificates.crt")]
    from certifi import where  # requests brings it

    return next((bundle for bundle in bundles if bundle and Path(bundle).is_file()), where())
