"""Checks of the arguments that the emulator's callers give."""

from __future__ import annotations

from airflow_provider_timav.emulator.operations import UINT32

__all__ = ["require_seconds", "require_text", "require_uint32"]


def require_uint32(name: str, value: object) -> None:
    """Refuse a value that is no room or application number; a boolean is none.

    :raises ValueError: naming the argument.
    """
    if type(value) is not int or not 0 <= value < UINT32:
        raise ValueError(f"{name} is an unsigned 32-bit integer, not {value!r}")


def require_text(name: str, value: object) -> None:
    """Refuse a value that is no string, empty, or not to be sent (half of a surrogate pair).

    :raises ValueError: naming the argument.
    """
    if not isinstance(value, str) or not value or any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError(f"{name} is a string of Unicode characters that is not empty")


def require_seconds(name: str, value: object) -> None:
    """Refuse a value that is no finite number of seconds, or negative.

    :raises ValueError: naming the argument.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ValueError(f"{name} is a number of seconds, 0 or more")
