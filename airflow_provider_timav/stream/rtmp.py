"""Probes RTMP streams: tries a connection in the loop, then has PyAV read packets in a thread.

PyAV (the extra ``rtmp``) brings FFmpeg's RTMP client, which blocks. A probe has a thread of its own, and the number of probes
at once is limited, however many streams there are. Faults that show without a thread are found before: a name that is not
known, a host that does not answer. Streams that sent something at the last probe do not wait behind those that did not:
silence takes a probe's whole time, and a stream that is live two seconds.

Nothing is decoded. No proxy is used: those of connections speak HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
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
from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.reasons import HOST_UNKNOWN, NO_CONNECTION, NO_ROUTE, NO_ROUTE_ERRNOS, NO_TLS
from airflow_provider_timav.stream.state import StreamState

__all__ = ["RtmpNotInstalled", "RtmpReader"]

PROBE_SECONDS: Final = 10.0
"""For packets, once there is a connection. Encoders commonly make a key frame every two to eight seconds, and many servers send
a player nothing before one."""

CONNECT_SECONDS: Final = 5.0

MOST_MOVING, MOST_OTHERS = 16, 32
"""Probes at once of streams that sent something at the last probe, and of those that did not: threads, the first of which take
2.5 MB each while packets arrive, the second hardly anything."""

MOST_ADDRESSES: Final = 4
"""Of a host's; they are tried side by side."""

_PORTS: Final = {"rtmp": 1935, "rtmps": 443}

_OPTIONS: Final = {
    "protocol_whitelist": "rtmp,rtmps,tcp,tls",
    "rtmp_live": "live",  # not a recording of that name
    # FFmpeg analyses no more of the stream than its first packet: only the time at which packets arrive matters.
    "probesize": "32",
    "analyzeduration": "1",
    "correct_ts_overflow": "0",  # `arrivals` knows how timestamps wrap
}


class RtmpNotInstalled(RuntimeError):
    """PyAV is missing, and an RTMP stream is to be probed."""


@dataclass(frozen=True, slots=True)
class _Server:
    """A numeric address that has just accepted a connection, and the name for the server and for TLS."""

    scheme: str
    host: str
    port: int
    number: str

    def address(self, url: str) -> str:
        """Return the address for FFmpeg. TLS checks the name, so within TLS it has to be the name."""
        host = self.host if self.scheme == "rtmps" else self.number
        return urlunsplit(urlsplit(url)._replace(scheme=self.scheme, netloc=_netloc(host, self.port)))

    def options(self, url: str) -> dict[str, str]:
        """Return FFmpeg's options. They hold the URL's host, by which the server may choose among its customers' streams."""
        parts = urlsplit(url)
        app, name = _app_and_name(parts.path)
        options = {**_OPTIONS, "rtmp_tcurl": f"{self.scheme}://{_netloc(self.host, self.port)}/{app}"}
        if "/" in parts.query:  # which FFmpeg would take for a part of the path
            options |= {"rtmp_app": app, "rtmp_playpath": f"{name}?{parts.query}"}
        if self.scheme == "rtmps":
            options |= {"tls_verify": "1", "ca_file": _trusted()}
        return options


class _NoConnection(Exception):  # it is a finding
    """There is no connection; the message says why. ``public`` is whether it was a server on a public address."""

    def __init__(self, reason: str, *, public: bool = False) -> None:
        super().__init__(reason)
        self.public = public


class RtmpReader:
    """Probes RTMP streams, for one loop."""

    def __init__(self) -> None:
        self._names = RememberedNames()
        self._moving = asyncio.Semaphore(MOST_MOVING)
        self._others = asyncio.Semaphore(MOST_OTHERS)

    async def probe(self, url: str, state: StreamState, clock: Callable[[], float]) -> Probe:
        """Probe a stream once. Whatever its server does raises nothing.

        :param state: the state so far.
        :param clock: returns the seconds since the epoch, from any thread.
        :raises RtmpNotInstalled: if PyAV is missing.
        """
        if (wrong := stream_fault(url)) is not None:
            return Probe(at=clock(), absence=wrong)
        if (lack := missing(url)) is not None:
            raise RtmpNotInstalled(lack)
        arrivals = Arrivals(state)
        try:
            server = await self._reach(url, state)
        except _NoConnection as found:
            return arrivals.probe(clock(), absence=str(found), public=found.public)
        turns = self._moving if state.moving else self._others
        absence = await _in_a_thread(_Receiving(server.address(url), server.options(url), arrivals, clock), turns)
        return arrivals.probe(clock(), absence=absence, public=is_public(server.number))

    async def _reach(self, url: str, state: StreamState) -> _Server:
        """Return the host's address that accepts a connection first.

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
        if state.public and not public:
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
        # A reason that lies with the server comes before one that lies with us only.
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
    """Return a context that trusts the system's authorities (or ``SSL_CERT_FILE``), as for HLS."""
    return ssl.create_default_context(cafile=_trusted())


def _why_no_connection(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no connection in time"
    if isinstance(error, ssl.SSLError):
        return NO_TLS
    return NO_ROUTE if error.errno in NO_ROUTE_ERRNOS else NO_CONNECTION


class _NoStream(Exception):  # it is a finding
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
        """Return why the stream is not there; None if time is over, or enough packets have arrived."""
        end = self._clock() + PROBE_SECONDS
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
            # FFmpeg reports an error of input and output if it has been interrupted, too.
            return None if self._clock() >= end - 0.5 else str(found)
        return "the server has ended the stream"

    def _packets(self) -> Generator[tuple[str, int | None, int], None, None]:
        """Give kind, timestamp and size of each packet.

        :raises _NoStream: whatever PyAV raises. Beside FFmpeg's errors there are those of texts that are no UTF-8.
        """
        import av

        # Each of opening, finding the first packet, and reading one ends by itself then. The options are the container's
        # alone: older versions of PyAV hand all others to streams that are not there yet, and crash.
        limits = (PROBE_SECONDS, PROBE_SECONDS)
        try:
            with av.open(
                self._address,
                format="flv",
                container_options=self._options,
                metadata_errors="replace",  # encoders send their users' texts, in any encoding
                timeout=limits,
            ) as source:
                for packet in source.demux():
                    yield packet.stream.type, packet.dts, packet.size
        except Exception as error:  # noqa: BLE001 - whatever a stream makes PyAV raise is a finding
            raise _NoStream(_why(error)) from None


async def _in_a_thread(receiving: _Receiving, turns: asyncio.Semaphore) -> str | None:
    """Wait for a turn, receive in a thread of its own, and return why the stream is not there, or None.

    FFmpeg cannot be interrupted from outside, but ends by itself. A thread that is not waited for any more keeps its turn until
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
        except BaseException as error:  # noqa: BLE001 - it is raised in the loop
            outcome = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, outcome)

    try:
        threading.Thread(target=run, name="timav-rtmp", daemon=True).start()
    except RuntimeError:  # the interpreter ends
        turns.release()
        raise
    try:
        async with asyncio.timeout(PROBE_SECONDS + 1):
            return await received
    except TimeoutError:
        return None
    finally:
        receiving.abandoned = True


def _why(error: Exception) -> str:
    """Return why there is no stream. The text of these exceptions quotes the address; none of it is used."""
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
