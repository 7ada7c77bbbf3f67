"""The errors of the provider, ordered by what the author of a DAG can do about each.

::

    TimAVError
     ├─ ConfigurationError   an argument or a field of the connection is wrong: correct it
     ├─ CertificateError     the client certificate, its key or the CA: replace it in the connection
     ├─ CredentialError      the UserSig or the secret key: replace it in the connection
     ├─ TransportError       the service was not reached, surely nothing was executed: try again
     ├─ AmbiguousOutcome     sent, and not known whether it was executed: send the same operation again
     ├─ ProtocolError        the peer does not speak the videorelay API: check host and proxy
     ├─ RequestRejected      the service refused the request: it will refuse it again
     ├─ RoomNotReady         the room or the user is not there yet: wait for the host
     ├─ RateLimited          too many requests: try again later
     ├─ AlreadyRunning       a push or a recording of this room, user and kind of data runs already
     ├─ QuotaExceeded        the account's channels or balance: see the vendor's console
     ├─ ServiceError         the service failed: see whether to try again in ``retryable``
     └─ RecordingLost        the recording's file ids can no longer be retrieved: look for its name in the console

DAG authors write retry rules against these names. Errors carry codes and names, never an address with a query, a header or
a payload: an address holds the UserSig, and log texts leave every machine.

This module imports the standard library only, so that a DAG file may import it for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

__all__ = [
    "AlreadyRunning",
    "AmbiguousOutcome",
    "CertificateError",
    "ConfigurationError",
    "CredentialError",
    "ProtocolError",
    "QuotaExceeded",
    "RateLimited",
    "RecordingLost",
    "RequestRejected",
    "RoomNotReady",
    "ServiceError",
    "TimAVError",
    "TransportError",
]

Executed = Literal["no", "maybe", "yes"]


class TimAVError(Exception):
    """The base of everything that this provider raises on purpose.

    :param message: what happened. If it also says what to do about it, it ends with a full stop. It must hold no secret.
    :param field: the argument or connection field that is wrong, if one is.
    :param layer: the layer that failed: ``transport``, ``http``, ``protocol``, ``gateway``, ``head`` or ``body``.
    :param code: the result code of that layer, or the HTTP status.
    :param outcome_class: the class of the result, in the words of ``outcomes.csv``.
    :param retryable: whether the same operation may succeed later although nothing is changed.
    :param executed: whether the service may have carried the operation out all the same.
    :param retry_after: seconds that the service asked to wait, if it did.
    """

    default_retryable: ClassVar[bool] = False
    advice: ClassVar[str] = ""
    """The advice for people, for a message that gives none."""

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        layer: str | None = None,
        code: int | None = None,
        outcome_class: str | None = None,
        retryable: bool | None = None,
        executed: Executed = "no",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.layer = layer
        self.code = code
        self.outcome_class = outcome_class
        self.retryable = self.default_retryable if retryable is None else retryable
        self.executed: Executed = executed
        self.retry_after = retry_after
        self.operation: str | None = None
        self.room_id: int | None = None
        self.user_ids: tuple[str, ...] = ()
        self.seq: int | None = None
        self.posts: int = 0

    def about(self, *, operation: str, room_id: int, user_ids: tuple[str, ...], seq: int, posts: int) -> TimAVError:
        """Note the operation that this happened to: its name, room, users and post.

        :returns: the error itself, so that it can be raised in the same line.
        """
        self.operation, self.room_id, self.user_ids, self.seq, self.posts = operation, room_id, user_ids, seq, posts
        return self

    def to_json(self) -> dict[str, Any]:
        """Return the error as JSON primitives, as a trigger hands it to its task; `from_json` reads it."""
        facts = {name: getattr(self, name) for name in _FACTS}
        return {"class": type(self).__name__, "message": self.message, **facts, "user_ids": list(self.user_ids)}

    @staticmethod
    def from_json(noted: Mapping[str, Any]) -> TimAVError:
        """Return the error that `to_json` has noted; one of a class that is not known here is a ``TimAVError``."""
        kind: type[TimAVError] = globals()[noted["class"]] if noted.get("class") in __all__ else TimAVError
        error = kind(str(noted.get("message", "")))
        error.__dict__.update({name: noted[name] for name in _FACTS if name in noted})
        error.user_ids = tuple(error.user_ids)
        return error

    @property
    def with_advice(self) -> str:
        """The message together with the advice: a result code's own, else that of the class."""
        return self.message if self.message.endswith(".") else f"{self.message}. {self.advice}"

    def __str__(self) -> str:
        if self.operation is None:
            return self.message
        users = ", ".join(self.user_ids)
        return f"{self.operation} in room {self.room_id} for {users}: {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions cross process borders (Airflow, multiprocessing); the default would lose the keyword arguments.
        return _revive, (type(self), self.args, self.__dict__.copy())


_FACTS = (
    "field",
    "layer",
    "code",
    "outcome_class",
    "retryable",
    "executed",
    "retry_after",
    "operation",
    "room_id",
    "user_ids",
    "seq",
    "posts",
)


def _revive(kind: type[TimAVError], args: tuple[Any, ...], state: dict[str, Any]) -> TimAVError:
    error = kind(*args)
    error.__dict__.update(state)
    return error


class ConfigurationError(TimAVError):
    """An argument, or a field of the connection, breaks a rule; nothing was sent. ``field`` names it."""

    advice = "Correct the argument or the field of the connection that is named."


class CertificateError(TimAVError):
    """The client certificate, its private key or the CA is unusable or was refused; ``field`` names it if known."""

    advice = "Replace it in the connection; its Test button then says whether it is accepted."


class CredentialError(TimAVError):
    """The UserSig, the secret key or the account behind it was refused.

    Retryable if a new UserSig would do (70001: expired), so that a stop still runs once it is in the connection.
    """

    advice = (
        "Put a new UserSig, or the right secret key, into the connection; "
        "its Test button then says whether it is accepted."
    )


class TransportError(TimAVError):
    """The service was not reached: surely nothing was executed."""

    default_retryable = True
    advice = "Check host, port, proxy and the network; another try may succeed."


class AmbiguousOutcome(TimAVError):
    """The request was sent, and sending it again did not settle whether the operation was executed."""

    default_retryable = True
    advice = "Try again: the next try finds out, and goes on with what runs already."


class ProtocolError(TimAVError):
    """The peer does not speak the videorelay API, or its answer cannot be read."""

    advice = "Check host, port and proxy of the connection."


class RequestRejected(TimAVError):
    """The service refused the request and will refuse it again."""

    advice = "Correct what is refused: another try would be refused the same way."


class RoomNotReady(TimAVError):
    """The room does not exist yet, or the user is not in it."""

    default_retryable = True
    advice = "Have the host enter the room, and check room_id and user_id; wait_for_user says how long to wait."


class RateLimited(TimAVError):
    """Too many requests; ``retry_after`` holds the seconds to wait if the service said so."""

    default_retryable = True
    advice = "Try again later."


class AlreadyRunning(TimAVError):
    """A push or a recording with this room, user and kind of data runs already.

    ``after_ambiguity`` is true when an earlier post of the same call had got no answer: then what runs may well be ours.
    ``doubtful`` is true for 30000415, which the specification also gives to a user who does not exist.
    """

    advice = "Stop the one that runs, or let if_already_running be recover or restart."

    def __init__(self, message: str, *, after_ambiguity: bool = False, doubtful: bool = False, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.after_ambiguity = after_ambiguity
        self.doubtful = doubtful


class QuotaExceeded(TimAVError):
    """The account has no channel, plan or balance left: see the vendor's console."""

    advice = "Look into the vendor's console: channels, plan and balance of the account."


class ServiceError(TimAVError):
    """The service failed."""

    advice = "Try again; if it stays, report it to Tencent's support with code, room and time."


class RecordingLost(TimAVError):
    """The file ids of a recording can no longer be retrieved through this API; the message names the recording."""

    advice = "Look for the recording's name in the vendor's console."
