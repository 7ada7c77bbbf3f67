"""A small real web server for playlists, good and bad."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Page = Callable[["Visit"], None]


def media(
    sequence: int, count: int, *, target: float | str | None = 1, endlist: bool = False, segment: str = "/segment.ts"
) -> str:
    """Return a playlist with ``count`` segments, the first of which has the number ``sequence``."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:3"]
    lines += [f"#EXT-X-TARGETDURATION:{target}"] if target is not None else []
    lines += [f"#EXT-X-MEDIA-SEQUENCE:{sequence}"]
    for number in range(sequence, sequence + count):
        lines += ["#EXTINF:1.000,", f"{segment}?n={number}"]
    lines += ["#EXT-X-ENDLIST"] if endlist else []
    return "\n".join(lines) + "\n"


class Visit:
    """One request to the site, and the means to answer it."""

    def __init__(self, handler: BaseHTTPRequestHandler, closing: threading.Event) -> None:
        self.handler = handler
        self.headers = dict(handler.headers.items())
        self.path = handler.path
        self.closing: threading.Event = closing

    def answer(self, body: str | bytes, status: int = 200, **headers: str) -> None:
        content = body.encode() if isinstance(body, str) else body
        self.begin(
            status, {"Content-Length": str(len(content)), **{k.replace("_", "-"): v for k, v in headers.items()}}
        )
        self.write(content)

    def begin(self, status: int, headers: dict[str, str]) -> None:
        self.handler.send_response(status)
        for name, value in headers.items():
            self.handler.send_header(name, value)
        self.handler.end_headers()

    def write(self, content: bytes) -> None:
        self.handler.wfile.write(content)
        self.handler.wfile.flush()


class Site:
    """Pages by path (without the query); a path that has none gets ``otherwise``, or 404. Every visit is kept in ``visits``."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {"/segment.ts": lambda visit: visit.answer(b"\x47" * 4096)}
        self.otherwise: Page | None = None
        self.visits: list[Visit] = []
        self.open_connections = 0
        self.most_connections = 0
        self.all_connections = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.visited = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and body are two writes: 40 ms for each answer

            def setup(self) -> None:
                super().setup()
                with site.lock:
                    site.open_connections += 1
                    site.all_connections += 1
                    site.most_connections = max(site.most_connections, site.open_connections)

            def finish(self) -> None:
                with site.lock:
                    site.open_connections -= 1
                with suppress(OSError):
                    super().finish()

            def do_GET(self) -> None:
                visit = Visit(self, site.closing)
                site.visits.append(visit)
                site.visited.set()
                page = site.pages.get(self.path.partition("?")[0], site.otherwise)
                try:
                    if page is None:
                        visit.answer("nothing here", 404)
                    else:
                        page(visit)
                except OSError:
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def text(self, path: str, body: str | bytes, status: int = 200, **headers: str) -> str:
        """Put up a page that always answers the same, and return its address."""
        self.pages[path] = lambda visit: visit.answer(body, status, **headers)
        return self.url + path

    def live(self, path: str = "/live.m3u8", *, every: float = 0.5, target: int = 1, window: int = 3) -> str:
        """Put up a playlist to which a segment is added all the time, and return its address."""
        begun = time.monotonic()

        def page(visit: Visit) -> None:
            visit.answer(media(int((time.monotonic() - begun) / every), window, target=target))

        self.pages[path] = page
        return self.url + path

    def vanishing(self, path: str = "/live.m3u8", *, visits: int = 4) -> str:
        """Put up a playlist that has a segment more at each of so many visits, and then is gone."""
        left = iter(range(visits))

        def page(visit: Visit) -> None:
            if (number := next(left, None)) is None:
                visit.answer("", 404)
            else:
                visit.answer(media(number, 3, target=1))

        self.pages[path] = page
        return self.url + path

    def ending(self, path: str = "/live.m3u8", *, visits: int = 3) -> str:
        """Put up a playlist that has a segment more at each of so many visits, and then declares its end."""
        left = iter(range(visits))

        def page(visit: Visit) -> None:
            number = next(left, None)
            visit.answer(media(visits, 3, endlist=True) if number is None else media(number, 3))

        self.pages[path] = page
        return self.url + path

    def paths(self) -> list[str]:
        return [visit.path for visit in self.visits]


@contextmanager
def running() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.closing.set()
        site.server.shutdown()
        site.server.server_close()
        thread.join()
