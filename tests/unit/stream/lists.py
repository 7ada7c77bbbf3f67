"""Reads lists of segments for tests."""

from __future__ import annotations

from typing import Any

from airflow_provider_timav.stream.playlist import parse
from airflow_provider_timav.stream.segments import MediaPlaylist


def read(text: str, **facts: Any) -> MediaPlaylist:
    playlist = parse(text.encode(), **facts)
    assert isinstance(playlist, MediaPlaylist)
    return playlist
