"""Decide, after each answer to an operation, what to post next and when to stop. It does no I/O.

The service has no status query and no idempotency key, but each operation is safe to send again: a start that runs already
and a stop that is done already have codes of their own. So a lost answer is settled by sending the same operation again.

Limits: 3 posts and 60 seconds for one operation; pauses are jittered, so that a thousand tasks do not meet again.
"""

from __future__ import annotations

import functools
import os
import random
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from airflow_provider_timav import hosts
from airflow_provider_timav.videorelay.calls import Call
from airflow_provider_timav.videorelay.errors import (
    AlreadyRunning,
    AmbiguousOutcome,
    ConfigurationError,
    TimAVError,
    TransportError,
)
from airflow_provider_timav.videorelay.line import PATH, PLACEHOLDER, Secret
from airflow_provider_timav.videorelay.outcomes import OutcomeClass
from airflow_provider_timav.videorelay.reply import Reply
from airflow_provider_timav.videorelay.rules import UINT32_MAX
from airflow_provider_timav.videorelay.usersig import Credential

__all__ = [
    "ANSWER_BYTES",
    "CONNECT_SECONDS",
    "HOSTS",
    "READ_SECONDS",
    "Exchange",
    "Post",
    "RetryBudget",
    "Service",
    "endpoint",
]

ResultT = TypeVar("ResultT")

HOSTS: Final = {"production": "https://openapi.tim.qq.com", "test": "https://test.tim.qq.com"}

MAX_POSTS: Final = 3
OPERATION_SECONDS: Final = 60.0
POST_SECONDS: Final = 20.0
CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 15.0
ANSWER_BYTES: Final = 1024 * 1024

# Answers that settle an earlier, lost answer: the service has looked at the present state, and reports it.
_SETTLES: Final = frozenset({OutcomeClass.WAIT_FOR_USER, OutcomeClass.SUCCESS_INCOMPLETE, OutcomeClass.ALREADY_OR_WAIT})


def endpoint(host: str | None, port: int | None, environment: str) -> str:
    """Return the address to call, without a path: ``https://host[:port]``, the host in its one form (``hosts``).

    :param host: a host name, ``host:port`` or ``https://host:port``; None or "" for the vendor's host of the environment.
    :param environment: ``production`` or ``test``.
    :raises ConfigurationError: naming ``environment``, ``host`` or ``port``.
    """
    if environment not in HOSTS:
        raise ConfigurationError(f"environment must be production or test, not {environment!r}", field="environment")
    given = (host or "").strip() or HOSTS[environment]
    scheme, marked, place = given.partition("://")
    if not marked:
        scheme, place = "https", given
    if scheme.lower() != "https":
        raise ConfigurationError("host must be https://…: the service asks for mutual TLS", field="host")
    if "@" in place:
        raise ConfigurationError("host must hold no user and no password", field="host")
    place = place.rstrip("/")
    if any(mark in place for mark in "/?#\\") or any(char.isspace() for char in place):
        raise ConfigurationError("host must be a host name or https://host:port, without a path", field="host")
    if not marked and place.count(":") > 1 and "[" not in place:
        place = f"[{place}]"  # Airflow takes the brackets off if a connection is written as an address
    wrong = ""
    try:
        name, own_port = hosts.part(place)
    except ValueError as broken:
        wrong = str(broken)
    # Outside of the except clause, so that the new error has no context: a frame of the old one may hold a password.
    if wrong:
        raise ConfigurationError(f"host: {wrong}", field="host")
    if port is not None and (isinstance(port, bool) or not 0 < port < 65536):
        raise ConfigurationError("port must be from 1 to 65535", field="port")
    if own_port is not None and port is not None and own_port != port:
        raise ConfigurationError(f"port is {port}, but host names port {own_port}: give one of them", field="port")
    used = own_port or port
    return f"https://{name}" if used in (None, 443) else f"https://{name}:{used}"


@dataclass(frozen=True)
class Service:
    """The address to call and the identity to call as. ``repr`` shows no credential."""

    endpoint: str
    sdkappid: int
    identifier: str
    credential: Credential = field(repr=False)

    def url(self, *, number: int) -> str:
        """Return the address of one post as libraries get it: the UserSig takes its placeholder's place while the bytes leave.

        :param number: ``random`` of the specification, a 32-bit integer.
        """
        return f"{_address(self.endpoint, self.identifier, self.sdkappid)}{number}&apn=0&contenttype=json"


@functools.lru_cache(maxsize=8)
def _address(endpoint: str, identifier: str, sdkappid: int) -> str:
    """Return the beginning of the addresses of all posts of one service."""
    # A character that no address can hold is for the service to refuse.
    quoted = urllib.parse.quote(identifier, safe="", errors="surrogatepass")
    return f"{endpoint}{PATH}?usersig={PLACEHOLDER}&identifier={quoted}&sdkappid={sdkappid}&random="


@dataclass(frozen=True, slots=True)
class Post:
    """One request to send. ``seconds`` is all the time it may take, from connecting to the last byte of the answer.

    ``url`` holds a placeholder in the place of ``usersig``.
    """

    url: str = field(repr=False)
    usersig: Secret = field(repr=False)
    body: bytes = field(repr=False)
    seq: int
    cookie: str
    seconds: float


class RetryBudget:
    """The posts that this process may send again, so that an outage is not tripled by the tasks that wait it out.

    A bucket of 10: each repeated post takes one, each success gives one back.
    """

    def __init__(self, size: int = 10) -> None:
        self._size = size
        self._left = size
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take one if there is one left; return whether there was."""
        with self._lock:
            if self._left <= 0:
                return False
            self._left -= 1
            return True

    def give(self) -> None:
        """Give one back."""
        if self._left < self._size:
            with self._lock:
                self._left = min(self._size, self._left + 1)


BUDGET: Final = RetryBudget()


class Exchange(Generic[ResultT]):
    """One operation from its first post to its result.

    A client sends the post of ``next_post`` and hands its outcome over: ``answered`` with a reply, ``failed`` with the error
    of the transport. Both return how many seconds to wait before the next post, or None when ``result`` is there; when there
    will be no further post they raise.

    :param numbers: gives sequence number, cookie and ``random`` of a post; the golden vectors inject theirs.
    """

    def __init__(
        self,
        call: Call[ResultT],
        service: Service,
        *,
        max_posts: int = MAX_POSTS,
        seconds: float = OPERATION_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        numbers: Callable[[], tuple[int, str, int]] | None = None,
        budget: RetryBudget = BUDGET,
    ) -> None:
        self.call = call
        self.posts = 0
        self._service = service
        self._max_posts = max_posts
        self._clock = clock
        self._deadline = clock() + seconds
        self._numbers = numbers or _random_numbers
        self._budget = budget
        self._usersig = Secret.quoted(service.credential.usersig())
        self._confided = tuple(Secret.quoted(each) for each in call.request.secrets)
        self._signed_again = False
        self._in_doubt = False
        self._post: Post | None = None
        self._results: list[ResultT] = []

    @property
    def result(self) -> ResultT:
        """The result, once ``answered`` has returned None."""
        return self._results[0]

    def next_post(self) -> Post:
        """Return the post to send now: each has a new sequence number, cookie and random number."""
        seq, cookie, number = self._numbers()
        self.posts += 1
        self._post = Post(
            url=self._service.url(number=number),
            usersig=self._usersig,
            body=self.call.body(seq=seq, cookie=cookie, sdkappid=self._service.sdkappid),
            seq=seq,
            cookie=cookie,
            seconds=max(0.0, min(POST_SECONDS, self._deadline - self._clock())),
        )
        return self._post

    def answered(self, reply: Reply) -> float | None:
        """Read an answer: None means that ``result`` is there, a number is the seconds until the next post.

        :raises TimAVError: the failure of the operation, when there will be no further post.
        """
        assert self._post is not None  # noqa: S101 - a reply without a post is a bug of the client
        try:
            result = self.call.read(reply, seq=self._post.seq, cookie=self._post.cookie, hide=self._hide)
            self._results.append(result)
        except TimAVError as error:
            failure = error
        else:
            self._budget.give()
            return None
        # Outside of the except clause: the error of the operation has no context.
        return self.failed(failure)

    def _hide(self, text: str) -> str:
        """Return a text without the UserSig of the post and the secrets of the request."""
        assert self._post is not None  # noqa: S101 - see answered
        for secret in (self._post.usersig, *self._confided):
            text = secret.hide_in(text)
        return text

    def failed(self, error: TimAVError) -> float:
        """Take note of a post that came to nothing; return the seconds until the next one.

        :raises TimAVError: the failure of the operation, when there will be no further post.
        """
        kind = error.outcome_class
        pause = self._pause(error)
        if kind == OutcomeClass.AMBIGUOUS:
            self._in_doubt = True
        if pause is None or self.posts >= self._max_posts or self._clock() + pause >= self._deadline:
            raise self._final(error) from None
        if not self._budget.take():
            raise self._final(error) from None
        return pause

    def abandoned(self, why: str) -> TimAVError:
        """Return the error of the operation when no further post will be sent, although ``failed`` allowed one."""
        return self._final(
            TransportError(
                f"no further post was sent: {why}",
                layer="transport",
                outcome_class=str(OutcomeClass.RETRY),
                executed="no",
            )
        )

    def _pause(self, error: TimAVError) -> float | None:
        """Return the pause that the class of an error asks for, or None if the same call must not be sent again."""
        jitter: Callable[[float, float], float] = random.uniform
        match error.outcome_class:
            case OutcomeClass.RETRY:
                return jitter(0.0, min(8.0, 0.5 * 2**self.posts))
            case OutcomeClass.RATE_LIMITED:
                return error.retry_after or jitter(1.0, min(30.0, 2.0 * 2**self.posts))
            case OutcomeClass.AMBIGUOUS:
                return jitter(0.5, 2.0)
            case OutcomeClass.CREDENTIAL if self._service.credential.renewable and not self._signed_again:
                self._signed_again = True
                self._usersig = Secret.quoted(self._service.credential.usersig())
                return 0.0
        return None

    def _final(self, error: TimAVError) -> TimAVError:
        """Return the error that leaves the call: an outcome that is unknown stays unknown after a retry that failed."""
        settled = error.outcome_class in _SETTLES
        if isinstance(error, AlreadyRunning):
            error.after_ambiguity = self._in_doubt
        elif self._in_doubt and not settled and not isinstance(error, AmbiguousOutcome):
            error = AmbiguousOutcome(
                f"sent, but it is unknown whether it was carried out; the last failure: {error.message}",
                layer=error.layer,
                code=error.code,
                outcome_class=str(OutcomeClass.AMBIGUOUS),
                executed="maybe",
                retry_after=error.retry_after,
            )
        seq = self._post.seq if self._post else 0
        call = self.call
        return error.about(
            operation=call.operation.name, room_id=call.room_id, user_ids=call.user_ids, seq=seq, posts=self.posts
        )


def _random_numbers() -> tuple[int, str, int]:
    noise = os.urandom(24)
    seq = int.from_bytes(noise[:4], "big") or 1
    return seq, noise[8:].hex(), int.from_bytes(noise[4:8], "big") & UINT32_MAX
