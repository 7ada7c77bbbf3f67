"""Reads bodies of answers, no more of each than is needed, and large ones a few at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from airflow_provider_timav.stream.fetch import Get

if TYPE_CHECKING:
    import aiohttp

__all__ = ["BodySlot", "read_body"]

MODEST_BODY: Final = 1 << 20
"""Bytes of a body that each probe may hold. For more it waits for its turn, so that twenty of them do not fill the memory."""

FIRST_BYTES: Final = 64
"""Bytes that distinguish a sample of a segment from a page."""


class BodySlot:
    """One of the few slots for large bodies, as far as a probe holds it."""

    __slots__ = ("_held", "_slots")

    def __init__(self, slots: asyncio.Semaphore) -> None:
        self._slots = slots
        self._held = False

    async def acquire(self) -> None:
        """Wait for a slot, unless it is held."""
        if not self._held:
            await self._slots.acquire()
            self._held = True

    def release(self) -> None:
        """Give the slot back, if it is held."""
        if self._held:
            self._held = False
            self._slots.release()


async def read_body(content: aiohttp.StreamReader, get: Get, slot: BodySlot) -> bytes:
    """Read as much of a body as is needed: of a sample the first bytes, of a playlist one byte beyond its limit."""
    if get.sample:
        most, needed = get.limit, min(FIRST_BYTES, get.limit)
    else:
        most = needed = get.limit + 1
    body = bytearray()
    while len(body) < min(needed, MODEST_BODY) and (piece := await content.read(most - len(body))):
        body += piece
    if MODEST_BODY <= len(body) < needed:
        await slot.acquire()  # the probe releases it once the body has been parsed
        while len(body) < needed and (piece := await content.read(most - len(body))):
            body += piece
    return bytes(body)
