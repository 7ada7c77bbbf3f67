"""One side: so many watchers of the package that stands first on the path, or bare pollers, in one loop.

It is run by its path and imports nothing of this project but the package, which may be another checkout's. For each line on
standard input it prints what it has done since the line before.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

BARE_SECONDS: Final = 2.0
"""Between two polls of a bare poller: as long as a watcher waits while a playlist of that target duration moves."""

MOST_SOCKETS: Final = 20


class Count:
    """Counts since they were last reported."""

    def __init__(self) -> None:
        self.probes = 0
        self.live = 0
        self.late: list[float] = []
        self._cpu = time.process_time()

    def told(self) -> dict[str, Any]:
        """Return it, and begin anew."""
        cpu = time.process_time()
        late = sorted(self.late) or [0.0]
        found = {
            "probes": self.probes,
            "live": self.live,
            "cpu": cpu - self._cpu,
            "late_p99": late[int(len(late) * 0.99)],
            "resident": resident(),
        }
        self.probes, self.live, self.late, self._cpu = 0, 0, [], cpu
        return found

    async def sleep(self, pause: float) -> None:
        """Sleep, and note how much longer it was."""
        began = time.monotonic()
        await asyncio.sleep(pause)
        self.late.append(time.monotonic() - began - pause)


def resident() -> int:
    """Return the bytes of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def watchers(base: str, many: int, count: Count, started: Callable[[], None]) -> None:
    """Poll with the provider's own reader, all in one loop."""
    from airflow_provider_timav.stream.reader import follow, shared_reader

    try:
        from airflow_provider_timav.stream.state import StreamState
    except ImportError:  # an older checkout
        from airflow_provider_timav.stream.watch import Watch as StreamState

    async def enough(state: StreamState) -> bool:
        count.probes += 1
        count.live += state.verdict == "LIVE"
        return False

    async def one(place: int) -> None:
        async with shared_reader() as reader:
            await asyncio.sleep(random.uniform(0, 2))  # noqa: S311 - it spreads load
            await follow(reader, f"{base}/{place}.m3u8", StreamState(), grace=60, enough=enough, sleep=count.sleep)

    async with shared_reader():
        await _all(one, many, started)


async def pollers(base: str, many: int, count: Count, started: Callable[[], None]) -> None:
    """Poll the same playlists without reading them: the cost of the bytes alone."""
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=MOST_SOCKETS)) as session:

        async def one(place: int) -> None:
            await asyncio.sleep(random.uniform(0, 2))  # noqa: S311 - it spreads load
            while True:
                async with session.get(f"{base}/{place}.m3u8") as response:
                    last = (await response.text()).rstrip().rpartition("\n")[2]
                async with session.get(f"{base}/{last}", headers={"Range": "bytes=0-1023"}) as response:
                    await response.read()
                count.probes += 1
                count.live += 1
                await count.sleep(BARE_SECONDS)

        await _all(one, many, started)


async def _all(one: Callable[[int], Any], many: int, started: Callable[[], None]) -> None:
    """Have one come so far that all is loaded that all share; then the others beside it."""
    tasks = [asyncio.create_task(one(0))]
    await asyncio.sleep(4)
    started()
    tasks += [asyncio.create_task(one(place)) for place in range(1, many)]
    await asyncio.gather(*tasks)


async def _run(options: argparse.Namespace) -> None:
    count, alone = Count(), 0

    def started() -> None:
        nonlocal alone
        gc.collect()
        alone = resident()

    side = pollers if options.bare else watchers
    work = asyncio.create_task(side(options.base, options.many, count, started))
    while await asyncio.to_thread(sys.stdin.readline):
        if work.done():
            work.result()
        print(json.dumps({"alone": alone, **count.told()}), flush=True)
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work


def main() -> None:
    """Run until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("base")
    parser.add_argument("many", type=int)
    parser.add_argument("--bare", action="store_true")
    parser.add_argument("--package", type=Path)
    options = parser.parse_args()
    if not options.bare:
        import airflow_provider_timav

        found = Path(airflow_provider_timav.__file__).resolve().parents[1]
        if found != options.package.resolve():
            sys.exit(f"{options.package} was asked for, and {found} is imported")
    asyncio.run(_run(options))


if __name__ == "__main__":
    main()
