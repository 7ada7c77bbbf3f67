"""The address of a proxy and what it is told of its user: apart, so that a library can be given the one without the other."""

from __future__ import annotations

import base64
import contextlib
import urllib.parse

__all__ = ["part"]


def part(url: str) -> tuple[str, str | None]:
    """Part ``http://[user:password@]host:port``: its address without credentials, and the value of Proxy-Authorization.

    User and password may be percent-encoded; the proxy gets them in UTF-8 (RFC 7617), or the very bytes that are encoded.

    :raises ValueError: saying what a proxy must be, and quoting nothing.
    """
    usable, place = False, ""
    with contextlib.suppress(ValueError):  # its text holds the password
        parts = urllib.parse.urlsplit(url)
        place = parts.netloc
        # An address ends at these marks, so that a password with one of them would be cut there.
        whole = not parts.path.strip("/") and "?" not in url and "#" not in url
        usable = whole and parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
    if not usable:
        raise ValueError(
            "proxy must be http://[user:password@]host:port; in user and password percent-encode / as %2F, ? as %3F, # as %23"
        )
    credentials, known, place = place.rpartition("@")
    if not known:
        return f"http://{place}", None
    user, _, password = (_bytes(each) for each in credentials.partition(":"))
    return f"http://{place}", "Basic " + base64.b64encode(user + b":" + password).decode()


def _bytes(text: str) -> bytes:
    return urllib.parse.unquote_to_bytes(text.encode(errors="surrogatepass"))
