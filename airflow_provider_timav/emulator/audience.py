"""The audience's side, over plain HTTP: playlists and segments under `/live/<room>/<user>/<kind>/`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from airflow_provider_timav.emulator.card import shipped_card
from airflow_provider_timav.emulator.http import Response
from airflow_provider_timav.emulator.world import KINDS, Identity

if TYPE_CHECKING:
    from airflow_provider_timav.emulator.world import World

__all__ = ["answer"]

# Players in a browser fetch from another origin; playlists must be asked for each time.
_HEADERS: Final = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store"}
_PLAYLIST: Final = "application/vnd.apple.mpegurl"


def answer(world: World, path: str, now: float) -> Response:
    """Return the answer to a GET of `path` (percent-encoded): 404 for all that is not, or is no longer, there."""
    parts = path.split("/")
    identity = _identity(parts[2:5])
    stream = world.stream(identity) if identity else None
    if stream is None or parts[1] != "live":
        return _status(404)
    match parts[5:]:
        case ["master.m3u8"]:
            return _playlist(stream.master_playlist(now))
        case [name] if name.endswith(".m3u8"):
            return _playlist(stream.media_playlist(name.removesuffix(".m3u8"), now))
        case [rate, name] if name.endswith(".ts") and (number := name.removesuffix(".ts")).isdecimal():
            if len(number) > 9:
                return _status(404)
            status = stream.segment_status(rate, int(number), now)
            if status != 200:
                return _status(status)
            segment = b"" if stream.condition == "hollow" else shipped_card().segment(int(number))
            return Response(body=segment, content_type="video/mp2t", headers=_HEADERS)
    return _status(404)


def _identity(parts: list[str]) -> Identity | None:
    if len(parts) != 3 or not parts[0].isdecimal() or len(parts[0]) > 10:
        return None
    for kind in KINDS:
        if parts[2] == kind:
            return Identity(int(parts[0]), unquote(parts[1]), kind)
    return None


def _playlist(text: str | int) -> Response:
    if isinstance(text, int):
        return _status(text)
    return Response(body=text.encode(), content_type=_PLAYLIST, headers=_HEADERS)


def _status(status: int) -> Response:
    return Response(status=status, body=b"not there\n" if status == 404 else b"\n", headers=_HEADERS)
