"""Addresses of streams, playlists and segments: which may be requested, how they join, and how a text names them."""

from __future__ import annotations

import re
from importlib.util import find_spec
from urllib.parse import urlsplit

__all__ = ["fault", "host", "is_rtmp", "join", "missing", "place", "stream_fault", "written"]

LONGEST_ADDRESS = 8192
"""Characters; servers refuse longer ones, and a playlist must not make us carry its megabyte around."""

_PARTS = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.DOTALL)
"""RFC 3986, appendix B."""

_HOST = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#]*@)?([^/?#]*)")

_CONTROL = re.compile(r"[\x00-\x20\x7f]")

_MUST_BE_ESCAPED = re.compile(r"[^\x21\x23-\x3b\x3d\x3f-\x5f\x61-\x7a\x7c\x7e]")
"""Characters that browsers escape in a path or a query, and no ASCII character that a server may have signed as it stands."""


_AS_IT_IS = re.compile(r"https?://[A-Za-z0-9.:_~%\[\]-]+/[\x21\x24-\x3b\x3d\x3f-\x5f\x61-\x7a\x7c\x7e]*")
"""An address with nothing to escape, and no fragment."""


_PLAIN = re.compile(r"https?://[A-Za-z0-9._-]+(?::(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}))?/[!-~]*")
"""An address with which nothing can be wrong but its length: nearly all are so."""


HTTP = ("http", "https")
RTMP = ("rtmp", "rtmps")


def is_rtmp(url: str) -> bool:
    """Return whether this is the address of an RTMP stream."""
    return url.lower().startswith(("rtmp:", "rtmps:"))


def stream_fault(url: str) -> str | None:
    """Return why this is no address of a stream, or None if it is one: of HLS (`fault`), or of RTMP by the same rules."""
    return fault(url, RTMP) if is_rtmp(url) else fault(url)


def missing(url: str) -> str | None:
    """Return a sentence about the package that the stream at this address needs and that is missing, or None."""
    if not is_rtmp(url) or find_spec("av") is not None:
        return None
    return "RTMP is read with PyAV, which is not installed here: pip install 'airflow-provider-timav[rtmp]'"


def fault(url: str, schemes: tuple[str, ...] = HTTP) -> str | None:
    """Return why this address may not be requested, or None if it may: absolute, one of the schemes, a host, no credentials.

    A user name in an address would be sent to its host, and nothing of the kind ever goes to a CDN. The answer does not
    quote the address.
    """
    if schemes is HTTP and len(url) <= LONGEST_ADDRESS and _PLAIN.fullmatch(url):
        return None
    if len(url) > LONGEST_ADDRESS:
        return f"an address of more than {LONGEST_ADDRESS} characters"
    if _CONTROL.search(url):
        return "an address with a blank or a control character in it"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "an address that cannot be read"
    if parts.scheme not in schemes:
        return f"an address that is not {' or '.join(schemes)} but {parts.scheme[:16] or 'relative'}"
    if not host or port == 0:
        return "an address without a host"
    if parts.username is not None or parts.password is not None:
        return "an address with a user name or a password in it"
    return None


def join(base: str, reference: str) -> str:
    """Return the address that a reference in a document means (RFC 3986, 5.2): empty segments and escapes stay as written.

    ``urllib.parse.urljoin`` removes empty segments, and with them every path that holds another address. Blanks, which
    people write into names, are escaped as browsers do.

    :param base: the address of the document, absolute.
    """
    scheme, host, path, query = _split(reference.strip(" \t\r\n\f").replace(" ", "%20"))
    base_scheme, base_host, base_path, base_query = _split(base)
    if scheme is not None:
        return _together(scheme, host, _without_dots(path), query)
    if host is not None:
        return _together(base_scheme, host, _without_dots(path), query)
    if not path:
        return _together(base_scheme, base_host, base_path, base_query if query is None else query)
    if not path.startswith("/"):
        path = (base_path.rpartition("/")[0] if base_path else "") + "/" + path
    return _together(base_scheme, base_host, _without_dots(path), query)


def written(url: str) -> str:
    """Return the address as it goes over the wire: escapes stay as they were written, for servers sign them so.

    :raises ValueError: if its host is none.
    """
    if _AS_IT_IS.fullmatch(url):
        return url
    scheme, host, path, query = _split(url)
    if host is not None and not host.isascii():
        from yarl import URL

        host = URL(f"{scheme}://{host}").raw_authority
    return _together(scheme, host, _escaped(path) or "/", None if query is None else _escaped(query))


def host(url: str) -> str:
    """Return host and port of an address; empty if there is none."""
    found = _HOST.match(url)
    return found[1].lower() if found else ""


def place(url: str) -> str:
    """Name an address for a log or a message: scheme, host and path.

    The query is left out because it may let a viewer in; so are a user name and a password.
    """
    try:
        parts = urlsplit(url)
        name = parts.hostname or ""
        authority = f"[{name}]" if ":" in name else name
        authority = f"{authority}:{parts.port}" if parts.port else authority
    except ValueError:
        return "(an address that cannot be read)"
    return f"{parts.scheme}://{authority}{parts.path}"


def _split(url: str) -> tuple[str | None, str | None, str, str | None]:
    """Return scheme, authority, path and query; the fragment never goes to a server."""
    found = _PARTS.match(url)
    if found is None:  # the expression takes any text
        raise ValueError("an address that cannot be read")
    return found[1], found[2], found[3], found[4]


def _together(scheme: str | None, host: str | None, path: str, query: str | None) -> str:
    start = "" if scheme is None else f"{scheme}:"
    authority = "" if host is None else f"//{host}"
    return f"{start}{authority}{path}" + ("" if query is None else f"?{query}")


def _without_dots(path: str) -> str:
    """Remove dot segments (RFC 3986, 5.2.4)."""
    if "/." not in path:
        return path
    kept: list[str] = []
    parts = path.split("/")
    for part in parts:
        if part == "..":
            if len(kept) > 1:
                kept.pop()
        elif part != ".":
            kept.append(part)
    if parts[-1] in (".", ".."):
        kept.append("")
    return "/".join(kept)


def _escaped(text: str) -> str:
    def escaped(found: re.Match[str]) -> str:
        # Headers that are no UTF-8 come with surrogates.
        return "".join(f"%{byte:02X}" for byte in found[0].encode(errors="surrogateescape"))

    return _MUST_BE_ESCAPED.sub(escaped, text)
