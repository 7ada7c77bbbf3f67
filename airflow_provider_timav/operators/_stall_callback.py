"""Check an author's ``on_stall_callback`` when the DAG is parsed: a fault in it would show only once a stream stalls."""

from __future__ import annotations

import contextlib
import functools
import inspect
from typing import TYPE_CHECKING, Any

from airflow_provider_timav.arguments import short_repr
from airflow_provider_timav.options import or_default
from airflow_provider_timav.videorelay.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["check_callback"]


def check_callback(callback: Any, on_stall: Any, is_final: Callable[[Any], bool]) -> None:
    """Refuse a callback that would never be called, or not as the author means it.

    :raises ConfigurationError: naming ``on_stall_callback``.
    """
    wanted = or_default(on_stall, "on_stall") if is_final(on_stall) else "notify"
    if callback is None:
        if wanted == "notify" and is_final(on_stall):
            raise ConfigurationError("on_stall_callback is missing: on_stall is notify", field="on_stall_callback")
        return
    if (wrong := _fault(callback)) is not None:
        rule = "on_stall_callback must be one function of the context, or one of Airflow's notifiers"
        raise ConfigurationError(f"{rule}, not {wrong}", field="on_stall_callback")
    if wanted != "notify":
        raise ConfigurationError(
            f"on_stall_callback is never called: on_stall is {wanted}, and only notify calls it",
            field="on_stall_callback",
        )


def _fault(callback: Any) -> str | None:
    """Return a description of the callback that says why it cannot be called; None if it can."""
    if isinstance(callback, type):
        return f"the class {callback.__name__}: give an instance"
    if not callable(callback):
        return short_repr(callback)
    called = callback
    while isinstance(called, functools.partial):
        called = called.func
    if inspect.iscoroutinefunction(called) or inspect.iscoroutinefunction(type(called).__call__):
        return f"{short_repr(callback)}, which is asynchronous"
    if getattr(getattr(type(called), "notify", None), "__qualname__", None) == "BaseNotifier.notify":
        return f"{short_repr(callback)}, which has no notify"
    with contextlib.suppress(ValueError):  # a function in C may have no signature
        try:
            inspect.signature(callback).bind({})
        except TypeError:
            return f"{short_repr(callback)}, which does not take the context as its one argument"
    return None
