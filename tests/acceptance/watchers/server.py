"""The streams that are watched, in a process of their own: each gets a segment every two seconds, at a moment of its own."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any, Final

TARGET_SECONDS: Final = 2
SEGMENTS: Final = 10
_SEGMENT: Final = b"\x47" * 1024


def answer(path: str, now: float) -> bytes:
    """Return the answer for ``/<number>.m3u8`` or for a segment."""
    if not path.endswith(".m3u8"):
        return _ok(206, b"video/mp2t", _SEGMENT)
    phase = int(path.strip("/").partition(".")[0]) * 0.618 % 1
    newest = int(now / TARGET_SECONDS + phase)
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{TARGET_SECONDS}"]
    lines.append(f"#EXT-X-MEDIA-SEQUENCE:{newest - SEGMENTS}")
    lines += [f"#EXTINF:2.000,\nsegment-{number}.ts" for number in range(newest - SEGMENTS, newest)]
    return _ok(200, b"application/vnd.apple.mpegurl", "\n".join([*lines, ""]).encode())


def _ok(status: int, kind: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %d OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (status, kind, len(body))
    return head + body


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self._transport: asyncio.Transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            self._transport.write(answer(head.split(b" ", 2)[1].decode("ascii"), time.time()))


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until the owner ends, however it ends
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve())
