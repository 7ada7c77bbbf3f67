"""Check several arguments at once; ``push_options`` and ``record_options`` hold further arguments in a dict."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_provider_timav.arguments import none_if_blank, short_repr
from airflow_provider_timav.options import NESTED, check_argument
from airflow_provider_timav.videorelay.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["always_final", "check_arguments", "given_entries"]


def always_final(_: Any) -> bool:
    """Return True: after rendering, each value is final."""
    return True


def check_arguments(
    arguments: Mapping[str, Any], is_final: Callable[[Any], bool], *, within: str | None = None
) -> None:
    """Check those of these arguments whose values are final, each against its rule.

    :param is_settled: returns whether a value is final, or still to be rendered.
    :param within: the dict that they are the entries of.
    :raises ConfigurationError: naming the argument, the rule and the value.
    """
    for name, value in arguments.items():
        if name not in NESTED:
            if is_final(value):
                check_argument(name, value, within=within)
        elif isinstance(value, dict) or is_final(value):
            # Rendering changes no key of a dict, and may leave some of its values unchanged.
            check_arguments(_as_dict(value, name), is_final, within=name)
    if within is None:
        _check_watermark(arguments, is_final)


def given_entries(value: Any, name: str) -> dict[str, Any]:
    """Return the entries of ``push_options`` or ``record_options`` that were given, after rendering.

    :raises ConfigurationError: naming the option, if it is no dict of known arguments.
    """
    return {entry: held for entry, held in _as_dict(value, name).items() if none_if_blank(held) is not None}


def _check_watermark(arguments: Mapping[str, Any], is_final: Callable[[Any], bool]) -> None:
    """Refuse ``watermark_id`` without ``watermark_flag``, whether each is given by itself or in ``push_options``."""
    from airflow_provider_timav.videorelay import rules

    pair = {name: arguments.get(name) for name in ("watermark_flag", "watermark_id")}
    # An argument given by itself precedes its entry in the dict; a template may turn out as given.
    own = {name: value for name, value in pair.items() if not is_final(value) or none_if_blank(value) is not None}
    inside = arguments.get("push_options")
    readable = isinstance(inside, dict) or is_final(inside)
    # As long as the dict is to be rendered, so is each of its entries.
    merged = (_as_dict(inside, "push_options") if readable else dict.fromkeys(pair, inside)) | own
    flag, number = merged.get("watermark_flag"), merged.get("watermark_id")
    if not (is_final(flag) and is_final(number)) or none_if_blank(number) is None:
        return
    if none_if_blank(flag) is None or not rules.flag(flag):
        where = "" if "watermark_id" in own else "push_options: "
        raise ConfigurationError(f"{where}watermark_id {rules.WATERMARK_ID_ALONE}", field="watermark_id")


def _as_dict(value: Any, name: str) -> dict[str, Any]:
    if none_if_blank(value) is None:
        return {}
    from airflow_provider_timav.videorelay.bodies import OPTIONS

    known = ", ".join(OPTIONS[name])
    found = value
    if isinstance(value, str):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            found = None
    if not isinstance(found, dict):
        rule = f"{name} must be a dict with some of {known}, or such a JSON object in one string"
        raise ConfigurationError(f"{rule}, not {short_repr(value)}", field=name)
    for entry in found:
        if entry not in OPTIONS[name]:
            raise ConfigurationError(f"{name}: {entry} is not known; known are {known}", field=name)
    return dict(found)
