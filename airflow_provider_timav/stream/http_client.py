"""Makes one HTTP request of a probe.

A request sends no credential, and no cookie but to the host that has set it in the same session. It takes nothing from the
environment or from ``.netrc``.

Answers of a public server lead to public addresses only. Without a proxy each request goes through a pool that leads to such
addresses, or through one that leads to none (`pools`). Through a proxy it is the proxy that looks names up; addresses that are
written out are held to the rule here.

Importing this imports aiohttp.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
from dataclasses import replace
from typing import Final

import aiohttp
from yarl import URL

from airflow_provider_timav.names import RememberedNames
from airflow_provider_timav.stream import reasons
from airflow_provider_timav.stream.address import written
from airflow_provider_timav.stream.failures import why_no_answer, why_no_proxy
from airflow_provider_timav.stream.fetch import Answer, Get, NoAnswer
from airflow_provider_timav.stream.large_bodies import BodySlot, read_body
from airflow_provider_timav.stream.network import may_be_public
from airflow_provider_timav.stream.pools import Way, WrongNetwork, open_pool
from airflow_provider_timav.stream.session import Session
from airflow_provider_timav.stream.turns import MOST_TURNS

__all__ = ["HttpClient", "trust"]

CONNECT_SECONDS = 5.0
"""For a look-up of a name, and again for one connection, so that a dead host does not hold a socket for long."""

REFUSAL_BODY: Final = 1 << 16
"""Bytes that are read of an answer that is no success, so that its connection can be used again."""

REFUSAL_SECONDS = 0.2
"""For that; its status suffices by then."""

LARGEST_COOKIES: Final = 1 << 13
"""Bytes of the cookies of a session; servers refuse more."""

_HEADERS: Final = {"Accept-Encoding": "identity", "User-Agent": "airflow-provider-timav"}

_REFUSED: Final = NoAnswer("no server on an address that may be asked", refused=True)


@functools.cache
def trust() -> ssl.SSLContext:
    """Return a context that trusts the system's authorities (or ``SSL_CERT_FILE``); made once per process, in up to 20 ms."""
    return ssl.create_default_context()


class HttpClient:
    """Connections for all probes of one loop through one proxy, or without one. To be made in the loop.

    :param context: see `trust`.
    :param proxy: the proxy's address, without credentials, or None.
    :param introduction: the header with the proxy's credentials, if there are any. It goes to the proxy only.
    """

    def __init__(self, context: ssl.SSLContext, proxy: str | None, introduction: dict[str, str]) -> None:
        self._proxy = proxy
        self._introduction = introduction
        # A name server that does not answer must not block the loop's pool of threads, nor the end of a poke.
        names = RememberedNames()
        self._pools: dict[bool | None, aiohttp.ClientSession] = {
            public: open_pool(
                context, names, public=public, limit=MOST_TURNS, seconds=CONNECT_SECONDS, headers=_HEADERS
            )
            for public in ((True, False) if proxy is None else (None,))
        }

    async def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            await pool.close()

    async def get(self, get: Get, session: Session, slot: BodySlot, way: Way) -> Answer | NoAnswer:
        """Make one request."""
        try:
            address = session.address if session.address_of == get.url else _address(get, session)
        except ValueError as error:
            return NoAnswer(f"no answer ({type(error).__name__})")
        if self._proxy is not None:
            public = may_be_public(address.raw_host or "")
            if get.public_only and not public:
                return _REFUSED
            return replace(await self._get_through(None, address, get, session, slot, way), public=public)
        if not get.public_only:
            answer = await self._get_through(False, address, get, session, slot, way)
            if answer is not _REFUSED:
                return answer
        answer = await self._get_through(True, address, get, session, slot, way)
        if answer is not _REFUSED:
            return replace(answer, public=True)
        # If any address may be asked, the name has changed between two look-ups: the next probe will settle it.
        return _REFUSED if get.public_only else NoAnswer(reasons.NO_CONNECTION)

    async def _get_through(
        self, public: bool | None, address: URL, get: Get, session: Session, slot: BodySlot, way: Way
    ) -> Answer | NoAnswer:
        """Make one request through one of the pools."""
        headers: dict[str, str] = {}
        if get.offset is not None:
            headers["Range"] = f"bytes={get.offset}-{get.offset + get.limit - 1}"
        if get.gzip:
            headers["Accept-Encoding"] = "gzip"
        if session.cookies is not None and (cookies := session.cookies.filter_cookies(address)):
            headers["Cookie"] = "; ".join(f"{name}={cookie.coded_value}" for name, cookie in cookies.items())
        # Within TLS a request's headers are the server's to read: the proxy's header goes with the request for the tunnel.
        # Without TLS there is no tunnel, and the request is the proxy's.
        way.tunnel = address.scheme == "https"
        to_proxy = self._introduction if way.tunnel else None
        if to_proxy is None:
            headers |= self._introduction
        try:
            async with self._pools[public].get(
                address, headers=headers, allow_redirects=False, proxy=self._proxy, proxy_headers=to_proxy
            ) as response:
                way.answered = True
                if self._proxy is not None and response.status == 407:
                    return NoAnswer(reasons.PROXY_REFUSES)
                if "Set-Cookie" in response.headers:
                    _keep_cookies(session, response, address)
                body = b""
                if 200 <= response.status < 300:
                    body = await read_body(response.content, get, slot)
                elif not response.content.at_eof():
                    await _read_rest(response.content, way)
                return Answer(
                    status=response.status,
                    body=body,
                    encoding=response.headers.get("Content-Encoding", "").strip().lower(),
                    location=response.headers.get("Location"),
                    length=response.content_length if get.offset else None,
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(getattr(error, "os_error", None), WrongNetwork):
                return _REFUSED
            if self._proxy is not None and not way.is_past_proxy and (why := why_no_proxy(error, way)):
                return NoAnswer(why)
            return NoAnswer(why_no_answer(error))


def _address(get: Get, session: Session) -> URL:
    """Return an address in aiohttp's form; that of a playlist, which is requested again and again, is kept.

    :raises ValueError: if it is none.
    """
    # A signed query must arrive as it was written; only characters that are no ASCII have to be encoded.
    address = URL(written(get.url), encoded=True)
    if not get.sample:
        session.address_of, session.address = get.url, address
    return address


def _keep_cookies(session: Session, response: aiohttp.ClientResponse, address: URL) -> None:
    """Keep the cookies that a server has set, for this session: every player sends them back (RFC 6265)."""
    if session.cookies is None:
        session.cookies = aiohttp.CookieJar(unsafe=True, quote_cookie=False)
    with contextlib.suppress(ValueError):
        session.cookies.update_cookies_from_headers(response.headers.getall("Set-Cookie"), address)
    if sum(len(cookie.key) + len(cookie.value) for cookie in session.cookies) > LARGEST_COOKIES:
        session.cookies = None


async def _read_rest(content: aiohttp.StreamReader, way: Way) -> None:
    """Read the body of an answer whose status suffices, if it comes at once, so that its connection can be used again."""
    left, now = REFUSAL_BODY, asyncio.get_running_loop().time()
    # Nor must it take the time that is left: the status would be lost with it.
    with contextlib.suppress(aiohttp.ClientError, OSError, ValueError):
        async with asyncio.timeout_at(min(now + REFUSAL_SECONDS, (now + way.end) / 2)):
            while left and (piece := await content.read(left)):
                left -= len(piece)
