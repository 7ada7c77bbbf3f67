"""Keep values that are made of secrets for some minutes, found again by a digest and never by the secret itself."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

__all__ = ["Kept"]

T = TypeVar("T")

MINUTES_KEPT: Final = 5
# Of this process alone: the digest of a guess made elsewhere compares with nothing here.
_KEY: Final = secrets.token_bytes(32)


class Kept(Generic[T]):
    """Values by the parts that they were made of. All threads of a process may use it.

    The newest ``size`` are kept, each for ``seconds`` from its making: a value that holds a key is gone then, however often it
    is asked for. Expired values are dropped at every access.

    :param clock: seconds that never go back.
    """

    def __init__(
        self, *, size: int = 8, seconds: float = MINUTES_KEPT * 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._size = size
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._values: dict[bytes, tuple[float, T]] = {}

    def get(self, parts: tuple[object, ...], make: Callable[[], T]) -> T:
        """Return the value that was made of ``parts``, or make it.

        Two threads may make the same value at once; both get the first. An error that ``make`` raises is not kept.

        :param parts: texts, bytes, numbers, None, and tuples of those.
        """
        name = _digest(parts)
        with self._lock:
            self._let_go()
            if name in self._values:
                return self._values[name][1]
        made = make()
        with self._lock:
            self._let_go()
            value = self._values.setdefault(name, (self._clock(), made))[1]
            while len(self._values) > self._size:
                del self._values[next(iter(self._values))]
        return value

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._values.clear()

    def _let_go(self) -> None:
        oldest = self._clock() - self._seconds
        for name in [name for name, (made_at, _) in self._values.items() if made_at <= oldest]:
            del self._values[name]


def _digest(parts: tuple[object, ...]) -> bytes:
    hasher = hashlib.blake2b(key=_KEY, digest_size=32)
    for part in parts:
        if isinstance(part, str):
            kind, raw = b"s", part.encode("utf-8", "surrogatepass")
        elif isinstance(part, bytes):
            kind, raw = b"b", part
        else:
            kind, raw = b"o", repr(part).encode("utf-8", "surrogatepass")
        hasher.update(kind + len(raw).to_bytes(8, "big") + raw)
    return hasher.digest()
