"""Credentials on the line: libraries write a placeholder, and the real text takes its place while the bytes leave.

Tools that watch a process see what libraries see: breadcrumbs and spans of ``http.client``, traces of aiohttp, debug logs, the
variables of their frames. So none of them is given the UserSig or a proxy's password. There is no I/O in here.

The real value is kept and handed on as a ``memoryview``: it becomes a variable of frames of ``ssl``, and shows in no ``repr``.
"""

from __future__ import annotations

import html
import json
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_timav.proxies import part
from airflow_provider_timav.videorelay.errors import ConfigurationError

__all__ = ["PATH", "PLACEHOLDER", "Proxy", "RequestLine", "Secret", "forms", "introduced"]

PATH: Final = "/v3/openim/videorelay"
PLACEHOLDER: Final = "***"

# The beginning of each request: a known place, so that no other text is ever taken for the placeholder, whatever it holds.
_BEFORE: Final = f"POST {PATH}?usersig=".encode()
_OPENING: Final = _BEFORE + f"{PLACEHOLDER}&".encode()
_ESCAPE: Final = re.compile("%[0-9A-F]{2}")


def forms(text: str) -> set[str]:
    """Return the forms in which others write a text: in an address, in JSON (in JSON once more, too), in HTML, in Python.

    A text without quotes, backslashes and the like has few: each that Airflow is to mask costs every task.
    """
    as_json = {_in_json(text), _in_json(text, keep=True)}
    return {
        text,
        repr(text)[1:-1],
        html.escape(text),
        html.escape(text, quote=False),
        *as_json,
        *(_in_json(escaped, keep=True) for escaped in as_json),
        urllib.parse.quote(text, safe="", errors="surrogatepass"),
        urllib.parse.quote(text, errors="surrogatepass"),
        urllib.parse.quote_plus(text, errors="surrogatepass"),
    } - {""}


def _rarer(form: str) -> set[str]:
    """Return a form as only some write it: an address with small letters, JSON with escaped slashes."""
    return {form, form.replace("/", "\\/"), _ESCAPE.sub(lambda escape: escape[0].lower(), form)}


def _in_json(text: str, *, keep: bool = False) -> str:
    """Return a text as JSON has it between its quotes.

    :param keep: whether characters beyond ASCII stand as they are.
    """
    return json.dumps(text, ensure_ascii=not keep)[1:-1]


class Secret:
    """Bytes that show in no ``repr``, and in no ``vars``."""

    __slots__ = ("_view",)

    def __init__(self, content: bytes) -> None:
        self._view = memoryview(content)

    @classmethod
    def quoted(cls, text: str) -> Secret:
        """Return a text as it stands in an address; one that no address can hold is for the service to refuse."""
        return cls(urllib.parse.quote(text, safe="", errors="surrogatepass").encode())

    @property
    def view(self) -> memoryview:
        """The bytes themselves, in a form that shows nothing."""
        return self._view

    def hide_in(self, text: str) -> str:
        """Return a text with ``***`` wherever these bytes stand in it, as they are or in any of ``forms``."""
        quoted = bytes(self._view).decode(errors="replace")
        found = {quoted, *forms(urllib.parse.unquote(quoted, errors="surrogatepass"))} - {""}
        # The longest first: one form may be a part of another.
        for form in sorted(set().union(*map(_rarer, found)), key=len, reverse=True):
            text = text.replace(form, PLACEHOLDER)
        return text


class RequestLine:
    """Writes the bytes of a library to TLS, with the UserSig in its place in the request line: once, for one post.

    Bytes are taken as they come, in one piece or in many. A write that TLS wants repeated continues from the point at which it
    stopped.

    :param usersig: as it stands in the address.
    """

    __slots__ = ("_left", "_matched", "_taken", "_usersig")

    def __init__(self, usersig: Secret) -> None:
        self._usersig: Secret | None = usersig
        self._matched = 0
        self._left: memoryview | None = None
        self._taken = 0

    @property
    def filled(self) -> bool:
        """Whether the UserSig has left; later bytes are written as they are."""
        return self._usersig is None

    def write(self, written: Any, leave: Callable[[memoryview], int]) -> int:
        """Have bytes leave with the UserSig in its place; return how many of ``written`` are dealt with.

        :param written: bytes, a bytearray or a memoryview.
        :param leave: encrypts bytes, and returns how many it has taken.
        :raises OSError: if a request begins otherwise than all of them do; nothing of it has left.
        """
        if self._left is None and not self._fill(memoryview(written).cast("B")):
            return self._taken
        while self._left:
            self._left = self._left[leave(self._left) :]
        self._usersig = self._left = None
        return self._taken

    def _fill(self, written: memoryview) -> bool:
        """Note the bytes that are to leave; return False if the placeholder has not been written to its end yet."""
        awaited = _OPENING[self._matched :]
        if written[: len(awaited)] != awaited[: len(written)]:
            raise OSError("a request that begins otherwise than it should")
        self._taken = len(written)
        self._matched += min(len(awaited), len(written))
        if self._matched < len(_OPENING) or self._usersig is None:
            return False
        self._left = memoryview(b"".join((_BEFORE, self._usersig.view, b"&", written[len(awaited) :])))
        return True


@dataclass(frozen=True)
class Proxy:
    """The proxy to go through: its address without credentials, as libraries get it. ``repr`` shows no credential.

    :param introduction: the header line for its request for a tunnel, if it wants one.
    """

    address: str
    introduction: Secret | None

    @classmethod
    def of(cls, url: str) -> Proxy:
        """Read ``http://[user:password@]host:port``.

        :raises ConfigurationError: naming ``proxy``.
        """
        try:
            address, pair = part(url)
        except ValueError as unusable:
            why = str(unusable)
        else:
            line = f"Proxy-Authorization: {pair}\r\n".encode()
            return cls(address, None if pair is None else Secret(line))
        # Outside of the except clause, so that the new error has no context: a frame of the old one holds the password.
        raise ConfigurationError(why, field="proxy")


def introduced(written: Any, introduction: Secret) -> memoryview:
    """Return the request for a tunnel that a library writes, with the header line in it.

    :raises OSError: if it is none.
    """
    line, end, rest = bytes(written).partition(b"\r\n")
    if not end or not line.startswith(b"CONNECT "):
        raise OSError("a proxy that is asked otherwise than for a tunnel")
    return memoryview(b"".join((line, end, introduction.view, rest)))
