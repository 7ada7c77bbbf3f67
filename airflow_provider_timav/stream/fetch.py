"""Gets one address and follows redirects, as a conversation with the reader that moves the bytes. It does no input or output.

The conversation is a generator: it yields one request at a time and is sent the answer, or why there is none. Redirects are
followed in here and not by the HTTP client, because the rules are ours. One of them: answers of a public server lead to public
addresses only, by a redirect as by a variant or a segment. A stream on the internet must not have the network in which we stand
probed.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from airflow_provider_timav.stream.address import fault, join
from airflow_provider_timav.stream.reasons import of_status

__all__ = ["Absent", "Answer", "Conversation", "Get", "NoAnswer", "fetch"]

MOST_REDIRECTS: Final = 20
"""As many as browsers follow (Fetch, 4.4)."""

_REDIRECTS: Final = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Get:
    """A request: GET this address and return at most this many bytes of the body, as they come over the wire.

    ``sample`` means that the first bytes are enough, of the part that begins at ``offset`` (``Range``), or, if that is None, of
    the whole; otherwise one byte more than ``limit`` must be read, so that a longer body shows. ``public_only`` means that only
    servers on public addresses may get it. ``share`` is the part of the time that is left for the probe which this request
    may take; ``gzip`` whether compression is welcome.
    """

    url: str
    limit: int
    sample: bool = False
    public_only: bool = False
    offset: int | None = None
    share: float = 1.0
    gzip: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer, and whether it is on a public address.

    ``body`` is still in the content encoding that ``encoding`` names. ``length`` is that of the whole body, if it was
    declared and the request was for a part that does not begin at its first byte.
    """

    status: int
    body: bytes = b""
    encoding: str = ""
    location: str | None = None
    public: bool = False
    length: int | None = None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No server answered; ``reason`` says why in a few words without any address.

    ``public`` is whether the server is on a public address, and ``refused`` whether nothing was sent, because the request is
    for public servers only and this is none.
    """

    reason: str
    public: bool = False
    refused: bool = False


T = TypeVar("T")
Conversation = Generator[Get, Answer | NoAnswer, T]


class Absent(Exception):  # it is a finding
    """There is no playlist, or no segment; the message says why."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


def fetch(get: Get, what: str, hosts: list[bool] | None = None) -> Conversation[tuple[str, Answer, bool]]:
    """Get one address and follow redirects.

    :param what: names the resource in a text.
    :param hosts: gets whether each server is public.
    :returns: the final address, its answer, which is a success, and whether that leads to public addresses only: a public
        server has answered on the way.
    :raises Absent: if there is no such answer.
    """
    for _ in range(MOST_REDIRECTS + 1):
        if (wrong := fault(get.url)) is not None:
            raise Absent(wrong)
        answer = yield get
        if hosts is not None:
            hosts.append(answer.public)
        if isinstance(answer, NoAnswer):
            raise Absent(f"{what} on a private address" if answer.refused else answer.reason)
        if answer.status not in _REDIRECTS or answer.location is None:
            if 200 <= answer.status < 300:
                return get.url, answer, get.public_only or answer.public
            raise Absent(of_status(answer.status), answer.status)
        target = join(get.url, answer.location)
        if get.url.lower().startswith("https:") and target.lower().startswith("http:"):
            raise Absent("a redirect from https to http")
        get, what = replace(get, url=target, public_only=get.public_only or answer.public), "a redirect to a server"
    raise Absent(f"more than {MOST_REDIRECTS} redirects")
