"""The sixteen scripts: known behaviour of broadcasts and of their servers, each with dice for all that differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from errno import ECONNREFUSED, ENETUNREACH
from random import Random
from socket import EAI_AGAIN, gaierror
from typing import Any, Final

from tests.acceptance.verdicts.cdn import Edge, Reply, Request, gzipped, listed, media, playlist, segment_at
from tests.acceptance.verdicts.odd import ODD
from tests.acceptance.verdicts.segments import Holds, Segment
from tests.acceptance.verdicts.stream import Fresh, Shown, Stream, freshness, longest_pause, made

__all__ = ["SCRIPTS", "Dice", "Script", "stale_caches"]

FOREVER: Final = float("inf")


@dataclass(frozen=True)
class Script:
    """One of the sixteen; its text and its name are those of the function that throws the dice."""

    make: Callable[[Dice], Stream]

    @property
    def name(self) -> str:
        """Its name."""
        return self.make.__name__

    @property
    def what(self) -> str:
        """What happens, for the docs."""
        return self.make.__doc__ or ""

    def stream(self, seed: int) -> Stream:
        """Return the script's stream for this seed."""
        return self.make(Dice(self.name, seed))

    def __str__(self) -> str:
        return self.name


class Dice:
    """What every script lets chance decide, the same for the same script and seed.

    An encoder's first segment is listed at ``begin``: so long ago that the window is full at the first probe, which comes at
    any moment between two segments.
    """

    def __init__(self, name: str, seed: int) -> None:
        self.seed = seed
        self.random = Random(f"{name} {seed}")  # noqa: S311 - dice
        self.target = self.random.randint(1, 10)
        self.window = self.random.randint(3, 12)
        self.begin = -(self.window + self.random.random()) * self.target
        self.first = self.random.choice([50, 1_000, 65_500, 987_654, 1_795_435_200]) + self.random.randrange(100)
        # A list is renewed half a target duration after it was at the earliest, one and a half at the latest (RFC 8216, 6.2.1).
        self.jitter = self.random.choice([0.0, 0.2, 0.5])
        self.grace = float(self.random.randint(20, 60))
        self._seconds = Random(self.random.random())  # noqa: S311

    def one_of(self, *kinds: str) -> str:
        """Return one of these kinds: each comes up in turn as the seeds do."""
        return kinds[self.seed % len(kinds)]

    def targets(self, least: float, most: float) -> float:
        """Return seconds: between so many target durations."""
        return self.random.uniform(least, most) * self.target

    def encoder(self, *, begin: float | None = None, end: float, first: int | None = None) -> list[Segment]:
        """Return the segments that an encoder makes until ``end``."""
        return made(
            self.random,
            first=self.first if first is None else first,
            begin=self.begin if begin is None else begin,
            end=end,
            target=self.target,
            jitter=self.jitter,
        )

    def latency(self, path: str) -> float:
        """Return the seconds that a quick server takes."""
        return self._seconds.uniform(0.005, 0.15)

    def coin(self) -> bool:
        """Return heads or tails, to be thrown while the stream is watched."""
        return self._seconds.random() < 0.5

    def turns(self) -> Iterator[bool]:
        """Give heads or tails, to be thrown while the stream is watched: never heads twice in a row."""
        heads = False
        while True:
            heads = not heads and self.coin()
            yield heads

    @property
    def until_stalled(self) -> float:
        """Seconds within which a stall is noticed, generously."""
        return 3 * self.target + 3 * longest_pause(self.target)

    def stream(
        self,
        answer: Callable[[Request], Reply | None],
        *,
        seconds: float,
        fresh: list[Fresh],
        shows: Callable[[float], Shown] = lambda at: Shown.LISTED,
        **facts: Any,
    ) -> Stream:
        """Return the stream; facts that are left out are as usual."""
        usual = Stream(
            target=self.target,
            grace=self.grace,
            seconds=seconds,
            answer=answer,
            fresh=sorted(fresh, key=lambda one: one.first),
            shows=shows,
            latency=self.latency,
        )
        return replace(usual, **facts)


def steady(dice: Dice) -> Stream:
    """Live all along; each segment comes up to half a target duration late, and in every third seed servers answer slowly."""
    seconds = 40.0 * dice.target
    made_here = dice.encoder(end=seconds)
    edge = Edge(made_here, window=dice.window)
    slow = dice.one_of("quick", "quick", "slow") == "slow"

    def latency(path: str) -> float:
        return min(dice.targets(0.5, 2.0), 8.0) if slow and path.endswith(".m3u8") else dice.latency(path)

    return dice.stream(
        lambda request: listed(edge, dice.target, request),
        seconds=seconds,
        fresh=freshness(made_here),
        latency=latency,
        note=f"{'slow' if slow else 'quick'} answers, jitter {dice.jitter:g}",
    )


def odd(dice: Dice) -> Stream:
    """Live all along, with HTTP, addresses or lists that are odd and that browsers and players take: one kind for each seed."""
    seconds = 25.0 * dice.target
    kind = dice.one_of(*ODD)
    made_here = dice.encoder(end=seconds, first=ODD[kind].first)
    edge = Edge(made_here, window=None if ODD[kind].endless else dice.window)

    def answer(request: Request) -> Reply | None:
        return ODD[kind].answer(request, edge, dice.target)

    return dice.stream(answer, seconds=seconds, fresh=freshness(made_here), path=ODD[kind].path, note=kind)


def event(dice: Dice) -> Stream:
    """A list from which nothing is taken away grows past 1 MiB; in every other seed it is compressed. It ends with ENDLIST."""
    end = dice.targets(20, 25)
    signature = "".join(dice.random.choices("0123456789abcdef", k=2000))
    before = (1 << 20) // (len(signature) + 60) - 10
    made_here = dice.encoder(begin=dice.begin - before * dice.target, end=end, first=0)
    edge = Edge(made_here, window=None)
    zipped = dice.one_of("plain", "gzip") == "gzip"

    def answer(request: Request) -> Reply:
        if (reply := segment_at(edge, request)) is not None:
            return reply
        text = playlist(
            edge.listed(request.at),
            dice.target,
            over=request.at >= end,
            head=["#EXT-X-PLAYLIST-TYPE:EVENT"],
            name=lambda one: f"s{one.number}.ts?sign={signature}",
        )
        return gzipped(text) if zipped else Reply(text.encode())

    return dice.stream(
        answer,
        seconds=end + 5 * dice.target,
        fresh=freshness(made_here),
        shows=lambda at: Shown.OVER if at >= end else Shown.LISTED,
        note="gzip" if zipped else "plain",
    )


def endlist(dice: Dice) -> Stream:
    """Live, then ENDLIST; the list stays, or is taken away some time later."""
    last = dice.targets(15, 25)
    made_here = dice.encoder(end=last)
    edge = Edge(made_here, window=dice.window)
    over_at = last + dice.targets(0, 1)
    gone_at = over_at + dice.targets(3, 5) if dice.one_of("stays", "is taken away") != "stays" else FOREVER

    def answer(request: Request) -> Reply:
        if request.at >= gone_at:
            return Reply(b"gone", 404)
        return listed(edge, dice.target, request, over=request.at >= over_at)

    def shows(at: float) -> Shown:
        return Shown.LISTED if at < over_at else Shown.OVER if at < gone_at else Shown.NOTHING

    seconds = over_at + 12 * dice.target
    return dice.stream(answer, seconds=seconds, fresh=freshness(made_here), shows=shows)


def dies(dice: Dice) -> Stream:
    """Live, then the encoder dies and its last list stays; in every other seed one segment of it claims an absurd duration."""
    end = dice.targets(15, 25)
    made_here = dice.encoder(end=end)
    kind = dice.one_of("plain", "absurd duration")
    if kind != "plain":
        made_here[-1] = replace(made_here[-1], seconds=3012.48)
    edge = Edge(made_here, window=dice.window)
    return dice.stream(
        lambda request: listed(edge, dice.target, request),
        seconds=end + dice.until_stalled + dice.grace + 5 * longest_pause(dice.target),
        fresh=freshness(made_here),
        note=kind,
    )


def yesterday(dice: Dice) -> Stream:
    """The list of yesterday's broadcast, without ENDLIST: it answers 200, and its segments play."""
    day = 86_400.0
    edge = Edge(dice.encoder(begin=-day - 50 * dice.target, end=-day), window=dice.window)
    return dice.stream(lambda request: listed(edge, dice.target, request), seconds=30.0 * dice.target, fresh=[])


def stale_edges(dice: Dice) -> Stream:
    """After the end of a broadcast two caches take turns with different last lists; every other seed probes only then."""
    late = dice.one_of("seen live", "never live") == "never live"
    end = -dice.targets(20, 40) if late else dice.targets(15, 25)
    made_here = dice.encoder(begin=end - 100 * dice.target, end=end)
    behind = dice.random.randint(1, min(3, dice.window - 1))
    newer = Edge(made_here, window=dice.window)
    older = Edge(made_here, window=dice.window, frozen=made_here[-1 - behind].listed)
    # Both have the newest list at first: of a list that was never seen to be the older one, its growing is all that shows.
    apart_from = max(end + 1.5 * dice.target, 0.1 * dice.target)

    def answer(request: Request) -> Reply:
        return listed(older if request.at >= apart_from and dice.coin() else newer, dice.target, request)

    return dice.stream(
        answer,
        seconds=max(end, 0) + dice.until_stalled + dice.grace + 6 * dice.target,
        fresh=freshness(made_here),
        note=f"{'never live' if late else 'seen live'}, {behind} behind",
    )


def stale_caches(dice: Dice, *, variants: int, caches: int) -> Stream:
    """After the end of a broadcast, some caches of each of its variants take turns, each with another last list.

    It is no script of the matrix: how late a stall is told depends on which of them is read when.
    """
    end = dice.targets(15, 25)
    dice.window = max(dice.window, caches + 2)
    made_here = dice.encoder(begin=end - 100 * dice.target, end=end)
    newest = Edge(made_here, window=dice.window)
    stale = [Edge(made_here, window=dice.window, frozen=made_here[-1 - behind].listed) for behind in range(1, caches)]
    apart_from = end + 1.5 * dice.target

    def answer(request: Request) -> Reply:
        if request.path == "/live.m3u8" and variants > 1:
            lines = [f"#EXT-X-STREAM-INF:BANDWIDTH={place + 1}\n/{place}/list.m3u8\n" for place in range(variants)]
            return Reply("".join(["#EXTM3U\n", *lines]).encode())
        edge = dice.random.choice([newest, *stale]) if request.at >= apart_from else newest
        return segment_at(newest, request) or listed(edge, dice.target, request)

    return dice.stream(
        answer,
        seconds=end + 3 * (dice.until_stalled + dice.grace) + 20 * variants * dice.target,
        fresh=freshness(made_here),
        note=f"{variants} variants, {caches} caches",
    )


def lagging_edge(dice: Dice) -> Stream:
    """Live all along; two caches take turns, one of which gets each list up to one and a half target durations later."""
    seconds = 40.0 * dice.target
    dice.jitter = 0.0  # it lags, and that is enough
    made_here = dice.encoder(end=seconds)
    lag = dice.targets(0.5, 1.5)
    first, later = Edge(made_here, window=dice.window), Edge(made_here, window=dice.window, lag=lag)
    turns = dice.turns()

    def answer(request: Request) -> Reply:
        return segment_at(first, request) or listed(later if next(turns) else first, dice.target, request)

    return dice.stream(answer, seconds=seconds, fresh=freshness(made_here, lag), note=f"lags by {lag:.1f} s")


def restart(dice: Dice) -> Stream:
    """Live; the encoder restarts twice and counts from 0 or 1 again, its last list stays meanwhile."""
    runs = [dice.encoder(end=dice.targets(12, 16))]
    for _ in range(2):
        begin = runs[-1][-1].listed + dice.targets(1, 2)
        runs.append(dice.encoder(begin=begin, end=begin + dice.targets(20, 24), first=dice.random.randint(0, 1)))
    # A restart is told from an older copy of the list by its numbers: they are below the window.
    edge = Edge(*runs, window=min(dice.window, 8))
    return dice.stream(
        lambda request: listed(edge, dice.target, request),
        seconds=runs[-1][-1].listed,
        fresh=[one for run in runs for one in freshness(run)],
        begins=[run[0].listed for run in runs[1:]],
    )


def _outage(dice: Dice, kind: str, seconds: float) -> Stream:
    """The encoder is off for so many seconds, and meanwhile its list is not there, is empty, or stays as it was."""
    begin = dice.targets(12, 18)
    before = dice.encoder(end=begin)
    back = begin + seconds
    end = back + 15 * dice.target
    # Packagers go on counting where they were, or by the clock.
    skipped = dice.random.choice([0, int(seconds / dice.target)])
    after = dice.encoder(begin=back, end=end, first=before[-1].number + 1 + skipped)
    edge = Edge(before, after, window=dice.window)

    def off(at: float) -> bool:
        return begin <= at < back

    def answer(request: Request) -> Reply | None:
        if not off(request.at) or kind == "the list stays":
            return listed(edge, dice.target, request)
        if kind in ("hangs up", "refuses connections"):
            return None
        return Reply(playlist([], dice.target).encode()) if kind == "empty" else Reply(b"", int(kind))

    def fails(at: float, host: str) -> OSError | None:
        return ConnectionRefusedError(ECONNREFUSED, "refused") if off(at) and kind == "refuses connections" else None

    return dice.stream(
        answer,
        seconds=end,
        fresh=freshness([*before, *after]),
        shows=lambda at: Shown.NOTHING if off(at) and kind != "the list stays" else Shown.LISTED,
        begins=[after[0].listed],
        fails=fails,
        note=f"{kind}, {seconds:.0f} s",
    )


def short_outage(dice: Dice) -> Stream:
    """Live; the host drops and returns within the grace period."""
    kind = dice.one_of("404", "503", "empty", "the list stays", "hangs up", "refuses connections")
    return _outage(dice, kind, max(dice.random.uniform(0.2, 0.9) * dice.grace - dice.target, 1.0))


def long_outage(dice: Dice) -> Stream:
    """Live; the host drops for longer than the grace period, and then returns."""
    kind = dice.one_of("404", "503", "empty", "the list stays")
    return _outage(dice, kind, dice.until_stalled + dice.grace + dice.targets(3, 8))


def hidden(dice: Dice) -> Stream:
    """Live all along; for longer than the grace period we get 401, 403 or 429, or have no names or no network."""
    kind = dice.one_of("401", "403", "429", "no names", "no network")
    begin = dice.targets(12, 18)
    back = begin + dice.until_stalled + dice.grace + dice.targets(2, 6)
    end = back + 15 * dice.target
    made_here = dice.encoder(end=end)
    edge = Edge(made_here, window=dice.window)

    def off(at: float) -> bool:
        return begin <= at < back

    def answer(request: Request) -> Reply | None:
        if not off(request.at):
            return listed(edge, dice.target, request)
        return Reply(b"no", int(kind)) if kind.isdigit() else None

    def fails(at: float, host: str) -> OSError | None:
        if not off(at) or kind.isdigit():
            return None
        return gaierror(EAI_AGAIN, "try again") if kind == "no names" else OSError(ENETUNREACH, "unreachable")

    return dice.stream(
        answer,
        seconds=end,
        fresh=freshness(made_here),
        shows=lambda at: Shown.HIDDEN if off(at) else Shown.LISTED,
        fails=fails,
        host="cdn.example" if kind == "no names" else "127.0.0.1",
        note=f"{kind}, {back - begin:.0f} s",
    )


def variants(dice: Dice) -> Stream:
    """Live all along; sessions by the multivariant playlist, or first variants of which viewers have nothing."""
    kind = dice.one_of(
        "session each", "session by cookie", "404", "dead host", "stands still", "without segments", "404 later"
    )
    seconds = 40.0 * dice.target
    switch = dice.targets(15, 20)
    good = dice.encoder(end=seconds)
    # Numbers of different variants do not compare (RFC 8216, 6.2.4).
    bad = [replace(one, number=one.number + 7) for one in good]
    if kind == "without segments":
        bad = [replace(one, holds=Holds.NOTHING) for one in bad]
    first = Edge(bad, window=dice.window, frozen=switch if kind == "stands still" else FOREVER)
    second = Edge(good, window=dice.window)

    def answer(request: Request) -> Reply:
        folder = request.path.split("/")[1]
        if folder == "live.m3u8":
            return _master(kind, request)
        if folder == "session":
            return _session(dice, request)
        if folder == "cookie" and request.headers.get("cookie") != "viewer=1" and request.path.endswith(".m3u8"):
            return Reply(b"who are you", 401)
        if folder == "first" and (kind == "404" or (kind == "404 later" and request.at >= switch)):
            return Reply(b"", 404)
        return listed(first if folder == "first" else second, dice.target, request)

    def fails(at: float, host: str) -> OSError | None:
        return ConnectionRefusedError(ECONNREFUSED, "refused") if host == "127.0.0.2" else None

    # Each session begins at a moment of its own: all of them have got a new segment a target duration later.
    lag = float(dice.target) if kind == "session each" else 0.0
    return dice.stream(answer, seconds=seconds, fresh=freshness(good, lag), fails=fails, note=kind)


def _master(kind: str, request: Request) -> Reply:
    """Answer with the multivariant playlist; it names five useless renditions before a useful one."""
    names = [f"/first/list.m3u8?rendition={place}" for place in range(5)] + ["/second/list.m3u8"]
    headers: tuple[tuple[str, str], ...] = ()
    if kind == "session each":
        names = [f"/session/{request.at:.3f}/list.m3u8"]
    elif kind == "session by cookie":
        names = ["/cookie/list.m3u8"]
        headers = (("Set-Cookie", "viewer=1; Path=/; HttpOnly"),)
    elif kind == "dead host":
        names = [f"//127.0.0.2{name}" for name in names[:-1]] + names[-1:]
    elif kind in ("stands still", "without segments"):
        names = names[-2:]
    lines = [f"#EXT-X-STREAM-INF:BANDWIDTH=800000\n{name}\n" for name in names]
    return Reply("".join(["#EXTM3U\n", *lines]).encode(), headers=headers)


def _session(dice: Dice, request: Request) -> Reply:
    """Answer within a session: its encoder began, and counts from, when the multivariant playlist was loaded."""
    if request.path.endswith(".ts"):
        return media(request)
    age = request.at - float(request.path.split("/")[2])
    newest = dice.window + int(age / dice.target)
    shown = [Segment(number, float(dice.target), 0, 0) for number in range(newest - dice.window, newest)]
    return Reply(playlist(shown, dice.target).encode())


def late_at_edge(dice: Dice) -> Stream:
    """Live all along; each newest segment answers 404 for a while after it is listed, or until the next one is."""
    seconds = 40.0 * dice.target
    kind = dice.one_of("later", "with the next")
    delay = dice.targets(0.3, 1.0)
    made_here = dice.encoder(end=seconds)
    if kind == "later":
        made_here = [replace(one, there=one.listed + delay) for one in made_here]
    else:
        following = [one.listed for one in made_here[1:]]
        made_here = [replace(one, there=at) for one, at in zip(made_here, [*following, FOREVER], strict=True)]
    edge = Edge(made_here, window=dice.window)
    return dice.stream(
        lambda request: listed(edge, dice.target, request),
        seconds=seconds - dice.target,
        fresh=freshness(made_here[:-1]),
        note=f"{kind}, {delay:.1f} s" if kind == "later" else kind,
    )


def hollow(dice: Dice) -> Stream:
    """The list moves, and its segments are pages, missing, empty or gaps, some after a live start, or without key or map."""
    kind = dice.one_of("PAGE", "NOTHING", "NO_BYTES", "GAP", "key", "map")
    holds = Holds.NOTHING if kind in ("key", "map") else Holds[kind]
    seconds = 40.0 * dice.target
    # Every other round of the kinds is live at first.
    since = dice.targets(12, 16) if dice.seed // 6 % 2 and kind in Holds.__members__ else -FOREVER
    made_here = [replace(one, holds=holds) if one.listed >= since else one for one in dice.encoder(end=seconds)]
    edge = Edge(made_here, window=dice.window)
    head = {"key": '#EXT-X-KEY:METHOD=AES-128,URI="/key"', "map": '#EXT-X-MAP:URI="/init.mp4"'}.get(kind)

    def answer(request: Request) -> Reply:
        if head is not None:
            if request.path.endswith(".ts"):
                return media(request)
            if not request.path.endswith(".m3u8"):
                return Reply(b"", 404)
        reply = segment_at(edge, request)
        return reply or Reply(playlist(edge.listed(request.at), dice.target, head=[head] if head else []).encode())

    return dice.stream(
        answer, seconds=seconds, fresh=freshness(made_here), note=f"{kind}{', live at first' if since > 0 else ''}"
    )


def before_it_begins(dice: Dice) -> Stream:
    """At the address stands the last broadcast's list, an empty one or none; then the broadcast begins."""
    kind = dice.one_of("ended list", "ended list, same numbers", "the list stays", "empty", "404")
    begin = dice.targets(6, 14)
    end = begin + 20 * dice.target
    same = kind == "ended list, same numbers"
    old_first = 0 if same else dice.first
    old = dice.encoder(begin=-5000.0 - 20 * dice.target, end=-5000.0, first=old_first)
    first = 0 if same or dice.coin() else dice.first + 5000
    new = dice.encoder(begin=begin, end=end, first=first)
    edge = Edge(old, new, window=dice.window)
    over = kind.startswith("ended list")

    def answer(request: Request) -> Reply:
        shown = shows(request.at)
        if shown is not Shown.NOTHING:
            return listed(edge, dice.target, request, over=shown is Shown.OVER)
        return Reply(playlist([], dice.target).encode()) if kind == "empty" else Reply(b"", 404)

    def shows(at: float) -> Shown:
        if at >= new[0].listed or kind == "the list stays":
            return Shown.LISTED
        return Shown.OVER if over else Shown.NOTHING

    return dice.stream(answer, seconds=end, fresh=freshness(new), shows=shows, begins=[new[0].listed], note=kind)


SCRIPTS: Final = tuple(
    Script(make)
    for make in (
        steady,
        odd,
        event,
        endlist,
        dies,
        yesterday,
        stale_edges,
        lagging_edge,
        restart,
        short_outage,
        long_outage,
        hidden,
        variants,
        late_at_edge,
        hollow,
        before_it_begins,
    )
)
