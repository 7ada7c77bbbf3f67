"""A web that is a dict of answers, for probes of HLS streams. No byte is moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_provider_timav.stream.fetch import Answer, Get
from airflow_provider_timav.stream.hls import probe_hls
from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.session import Session
from airflow_provider_timav.stream.state import StreamState

URL = "https://cdn.example/live/42.m3u8?auth=secret"
SEGMENT = "https://cdn.example/segment.ts?n="
MASTER = (
    "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow/list.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\n//other.example/high.m3u8\n"
)


def master(*variants: str) -> str:
    return "#EXTM3U\n" + "".join(f"#EXT-X-STREAM-INF:BANDWIDTH=1\n{one}\n" for one in variants)


Web = dict[str, Any]
"""Answers by address; a function is called with the request."""


def ok(text: str | bytes, **facts: Any) -> Answer:
    return Answer(200, text if isinstance(text, bytes) else text.encode(), **facts)


def moved(location: str, status: int = 302) -> Answer:
    return Answer(status, location=location)


def probe(
    web: Web, state: StreamState | None = None, url: str = URL, *, session: Session | None = None, at: float = 1000.0
) -> tuple[Probe, list[Get]]:
    """Make a probe in a web that is a dict; other addresses answer 404."""
    conversation = probe_hls(url, state or StreamState(), lambda: at, session)
    gets: list[Get] = []
    try:
        get = next(conversation)
        while True:
            gets.append(get)
            answer = web.get(get.url, Answer(404))
            get = conversation.send(answer(get) if callable(answer) else answer)
    except StopIteration as end:
        found: Probe = end.value
    return found, gets


def follow(
    web: Web, probes: int, *, every: float = 1.0, step: Callable[[int], None] | None = None
) -> tuple[StreamState, list[Get]]:
    """Probe again and again, as one viewer; return the last state, and the requests of the last probe."""
    state, session = StreamState(), Session()
    gets: list[Get] = []
    for number in range(probes):
        if step is not None:
            step(number)
        found, gets = probe(web, state, session=session, at=1000.0 + number * every)
        state = state.after(found, grace=60)
    return state, gets


def absence(web: Web, url: str = URL) -> str:
    found, _ = probe(web, url=url)
    assert found.tail is None
    return found.absence


def expecting(tail: int) -> StreamState:
    return StreamState().after(Probe(at=999.0, tail=tail, segments=3, target_duration=1), grace=60)
