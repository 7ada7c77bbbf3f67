"""Addresses of playlists and segments: which of them may be fetched, and how they are named in a text."""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = ["fault", "place"]

LONGEST_ADDRESS = 8192
"""Characters; servers refuse longer ones, and a playlist must not make us carry its megabyte around."""


def fault(url: str) -> str | None:
    """Say why this address may not be fetched, or None if it may: absolute, http or https, a host and no credentials.

    A user name in an address would be sent to its host, and nothing of the kind ever goes to a CDN. The answer does not
    quote the address.
    """
    if len(url) > LONGEST_ADDRESS:
        return f"an address of more than {LONGEST_ADDRESS} characters"
    if any(character <= " " or character == "\x7f" for character in url):
        return "an address with a blank or a control character in it"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "an address that cannot be read"
    if parts.scheme not in ("http", "https"):
        return f"an address that is not http or https but {parts.scheme[:16] or 'relative'}"
    if not host or port == 0:
        return "an address without a host"
    if parts.username is not None or parts.password is not None:
        return "an address with a user name or a password in it"
    return None


def place(url: str) -> str:
    """Name an address for a log or a message: scheme, host and path.

    The query is left out because it may be all that a viewer needs to be let in; so are a user name and a password.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        where = f"{host}:{parts.port}" if parts.port else host
    except ValueError:
        return "(an address that cannot be read)"
    return f"{parts.scheme}://{where}{parts.path}"
