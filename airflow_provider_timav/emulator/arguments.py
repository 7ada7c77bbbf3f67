"""Checks of what the emulator's callers hand over; each names the argument that is wrong."""

from __future__ import annotations

from airflow_provider_timav.emulator.protocol import UINT32


def require_uint32(name: str, value: object) -> None:
    """Raises ValueError unless `value` is a room or an application number; a boolean is none."""
    if type(value) is not int or not 0 <= value < UINT32:
        raise ValueError(f"{name} is an unsigned 32-bit integer, not {value!r}")


def require_text(name: str, value: object) -> None:
    """Raises ValueError unless `value` is a string that is not empty and can be sent (no half of a surrogate pair)."""
    if not isinstance(value, str) or not value or any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError(f"{name} is a string of Unicode characters that is not empty")


def require_seconds(name: str, value: object) -> None:
    """Raises ValueError unless `value` is a finite number of seconds, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ValueError(f"{name} is a number of seconds, 0 or more")
