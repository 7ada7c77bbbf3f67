"""How far the request that is being made has come, for those that the library hands nothing on to."""

from __future__ import annotations

from contextvars import ContextVar

__all__ = ["WAY", "Way"]


class Way:
    """How far a request has come: if nothing answers in time, it shows which party did not.

    :param end: when the request's time is over, by the loop's clock.
    """

    __slots__ = ("answered", "connected", "end", "resolving", "sockets", "tunnel")

    def __init__(self, end: float) -> None:
        self.end = end
        self.resolving = False
        """Whether a name is being looked up."""
        self.sockets = 0
        """Connections that were begun at the last try: within a tunnel TLS is a second one."""
        self.connected = False
        """Whether there is a connection for the request."""
        self.answered = False
        """Whether the head of an answer is there."""
        self.tunnel = False
        """Whether it leads through a tunnel, if it leads through a proxy."""

    @property
    def is_past_proxy(self) -> bool:
        """Return whether a proxy, if there is one, has done its part."""
        return self.answered or (self.tunnel and (self.connected or self.sockets > 1))


WAY: ContextVar[Way | None] = ContextVar("timav_way", default=None)
"""That of the request that is being made; the library hands nothing on to resolvers and connections."""
