"""Arguments held to their rules, several at once; ``push_options`` and ``record_options`` are arguments in a dict."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_timav.arguments import check, optional, shown
from airflow_provider_timav.videorelay.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["hold", "hold_callback", "options", "settled"]

KNOWN: Final = ("push_options", "record_options")
"""The arguments that hold others, those of ``bodies.OPTIONS``."""


def settled(_: Any) -> bool:
    """Tell that a value is what it will be: after rendering all are."""
    return True


def hold(arguments: Mapping[str, Any], is_settled: Callable[[Any], bool], *, within: str | None = None) -> None:
    """Hold those of these arguments that are settled to their rules.

    :param is_settled: tells whether a value is what it will be, or still to be rendered.
    :param within: the dict that they are the entries of.
    :raises ConfigurationError: naming the argument, the rule and the value.
    """
    for name, value in arguments.items():
        if name not in KNOWN:
            if is_settled(value):
                check(name, value, within=within)
        elif isinstance(value, dict) or is_settled(value):
            # The keys of a dict are as they are written, and so are some of its values.
            hold(_as_dict(value, name), is_settled, within=name)
    if within is None:
        _hold_watermark(arguments, is_settled)


def options(given: Any, name: str) -> dict[str, Any]:
    """Return ``push_options`` or ``record_options``, rendered and held to its rules, as a dict of the entries that were given.

    :raises ConfigurationError: naming the option, where it is no dict of what is known.
    """
    return {option: value for option, value in _as_dict(given, name).items() if optional(value) is not None}


def hold_callback(callback: Any, on_stall: Any, is_settled: Callable[[Any], bool]) -> None:
    """Refuse an ``on_stall_callback`` that would never be called, or not as the author means it.

    :raises ConfigurationError: naming ``on_stall_callback``.
    """
    wanted = optional(on_stall) if is_settled(on_stall) else "notify"
    if callback is None:
        if wanted == "notify" and is_settled(on_stall):
            raise ConfigurationError("on_stall_callback is missing: on_stall is notify", field="on_stall_callback")
        return
    if (wrong := _fault(callback)) is not None:
        rule = "on_stall_callback must be one function of the context, or one of Airflow's notifiers"
        raise ConfigurationError(f"{rule}, not {wrong}", field="on_stall_callback")
    if wanted != "notify":
        raise ConfigurationError(
            f"on_stall_callback is never called: on_stall is {wanted or 'ignore'}, and only notify calls it",
            field="on_stall_callback",
        )


def _fault(callback: Any) -> str | None:
    """Say what is wrong with a callback, or None."""
    if isinstance(callback, type):
        return f"the class {callback.__name__}: give an instance"
    if not callable(callback):
        return shown(callback)
    called = callback
    while isinstance(called, functools.partial):
        called = called.func
    if inspect.iscoroutinefunction(called) or inspect.iscoroutinefunction(type(called).__call__):
        return f"{shown(callback)}, which is asynchronous"
    if getattr(getattr(type(called), "notify", None), "__qualname__", None) == "BaseNotifier.notify":
        return f"{shown(callback)}, which has no notify"
    with contextlib.suppress(ValueError):  # a function in C may show no signature
        try:
            inspect.signature(callback).bind({})
        except TypeError:
            return f"{shown(callback)}, which does not take the context as its one argument"
    return None


def _hold_watermark(arguments: Mapping[str, Any], is_settled: Callable[[Any], bool]) -> None:
    """Refuse the number of a watermark without its switch, whether each is given by itself or in ``push_options``."""
    from airflow_provider_timav.videorelay import rules

    pair = {name: arguments.get(name) for name in ("watermark_flag", "watermark_id")}
    # What is given by itself counts first; a template may turn out as given.
    own = {name: value for name, value in pair.items() if not is_settled(value) or optional(value) is not None}
    inside = arguments.get("push_options")
    readable = isinstance(inside, dict) or is_settled(inside)
    # Of a dict that is still to be rendered, so is each entry.
    merged = (_as_dict(inside, "push_options") if readable else dict.fromkeys(pair, inside)) | own
    flag, number = merged.get("watermark_flag"), merged.get("watermark_id")
    if not (is_settled(flag) and is_settled(number)) or optional(number) is None:
        return
    if optional(flag) is None or not rules.flag(flag):
        where = "" if "watermark_id" in own else "push_options: "
        raise ConfigurationError(f"{where}watermark_id {rules.WATERMARK_ID_ALONE}", field="watermark_id")


def _as_dict(given: Any, name: str) -> dict[str, Any]:
    if optional(given) is None:
        return {}
    from airflow_provider_timav.videorelay.bodies import OPTIONS

    known = OPTIONS[name]
    found = given
    if isinstance(given, str):
        try:
            found = json.loads(given)
        except (ValueError, RecursionError):
            found = None
    if not isinstance(found, dict):
        rule = f"{name} must be a dict with some of {', '.join(known)}, or such a JSON object in one string"
        raise ConfigurationError(f"{rule}, not {shown(given)}", field=name)
    for option in found:
        if option not in known:
            raise ConfigurationError(f"{name}: {option} is not known; known are {', '.join(known)}", field=name)
    return dict(found)
