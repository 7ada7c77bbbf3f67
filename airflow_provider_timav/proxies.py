"""Split the address of a proxy from its credentials, so that a library can get the one without the other."""

from __future__ import annotations

import base64
import urllib.parse

from airflow_provider_timav import hosts

__all__ = ["part", "secrets"]


def part(url: str) -> tuple[str, str | None]:
    """Split ``http://[user:password@]host:port`` into the address without credentials and the value of Proxy-Authorization.

    User and password may be percent-encoded; the proxy gets them in UTF-8 (RFC 7617), or the very bytes that are encoded. The
    host is in its one form (``hosts``), so that every library reads it alike.

    :raises ValueError: naming the form that a proxy must have, and quoting nothing.
    """
    scheme, _, rest = url.partition("://")
    # An address ends at these characters, so a password with one of them would be cut there.
    authority, _, path = rest.partition("/")
    credentials, known, place = authority.rpartition("@")
    wrong = ""
    if "://" not in url:
        wrong = "it has no http:// in front"
    elif scheme.lower() != "http":
        wrong = "it has another scheme than http"
    elif not place:
        wrong = "it has no host"
    elif path.strip("/") or "?" in rest or "#" in rest:
        wrong = "something stands behind its port"
    else:
        try:
            host, port = hosts.part(place)
        except ValueError as broken:
            wrong = str(broken)
    # Raised here, not in the handler: the other error would be its context, and that frame holds the given text.
    if wrong:
        raise ValueError(
            # No square brackets: consoles read them as markup, and leave out their content.
            f"proxy must be http://host:port or http://user:password@host:port ({wrong}); "
            "in user and password percent-encode / as %2F, ? as %3F, # as %23"
        )
    address = f"http://{host}" if port is None else f"http://{host}:{port}"
    if not known:
        return address, None
    user, _, password = (_bytes(each) for each in credentials.partition(":"))
    if b":" in user:
        # RFC 7617, 2: the proxy would take what follows for the password.
        raise ValueError("proxy: its user must hold no colon, not even an encoded one")
    return address, "Basic " + base64.b64encode(user + b":" + password).decode()


def secrets(url: str) -> list[str]:
    """Return the password in a proxy's address, as it is written and as the proxy gets it; or the user, if that is a token.

    For an invalid address, too: it uses all that precedes the last ``@``.
    """
    credentials = url.partition("://")[2].rpartition("@")[0]
    user, _, password = credentials.partition(":")
    secret = password or user
    return [secret, urllib.parse.unquote(secret)] if secret else []


def _bytes(text: str) -> bytes:
    return urllib.parse.unquote_to_bytes(text.encode(errors="surrogatepass"))
