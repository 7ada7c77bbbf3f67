"""The options of a `Broadcast`: the one list of their names, types, defaults, choices and rules.

`Broadcast`, the operators in it, their template fields and the checks all derive from `BroadcastOptions`; tests hold the
signature of `Broadcast` and the table in docs/broadcast.md to it. An argument that only a single operator has, such as
``start_task_id``, has its rule here as well, so that `check` knows all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from airflow_provider_timav.arguments import (
    apply_rule,
    none_if_blank,
    parse_bool,
    parse_choice,
    parse_datetime,
    parse_duration,
    parse_name,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow.sdk import Context

__all__ = ["NESTED", "OPTIONS", "TEMPLATED", "BroadcastOptions", "check_argument", "or_default"]

Rule = Callable[[Any, str], Any]
"""Returns what a value means, or raises ``ConfigurationError``, which names the argument: the second parameter."""


def _meta(
    rule: Rule | None = None,
    *,
    choices: tuple[str, ...] = (),
    nested: bool = False,
    none_counts: bool = False,
    templated: bool = True,
) -> dict[str, Any]:
    """Return the metadata of an option. Without a rule here, ``videorelay.bodies`` has it: the specification's.

    :param rule: what its values are held to.
    :param choices: the words that it may be, in place of a rule.
    :param nested: whether it is a dict of further arguments, those of ``videorelay.bodies.OPTIONS``.
    :param none_counts: whether None is a value of its own. Otherwise it means that the option was not given.
    """
    return {
        "rule": partial(parse_choice, choices) if choices else rule,
        "choices": choices,
        "nested": nested,
        "none_counts": none_counts,
        "templated": templated,
    }


@dataclass(frozen=True, kw_only=True)
class BroadcastOptions:
    """What the author of a `Broadcast` has given, or what that has rendered to; `Broadcast` documents each."""

    room_id: int | str
    user_id: str
    starts_at: datetime | str | None = field(default=None, metadata=_meta(parse_datetime))
    preroll: timedelta | float | str = field(default=timedelta(minutes=10), metadata=_meta(parse_duration))
    duration: timedelta | float | str | None = field(default=None, metadata=_meta(parse_duration))
    ends_at: datetime | str | None = field(default=None, metadata=_meta(parse_datetime))
    max_duration: timedelta | float | str = field(default=timedelta(hours=6), metadata=_meta(parse_duration))
    live_code: str | int = "hls"
    rate_types: Sequence[str | int] | str | None = None
    sdk_type: str | int = "normal"
    push_data_type: str | int = "camera"
    channel_name: str | None = None
    player_password: str | None = field(default=None, repr=False)
    push_options: dict[str, Any] | str | None = field(default=None, metadata=_meta(nested=True))
    record: bool | str = field(default=True, metadata=_meta(parse_bool))
    file_name: str | None = None
    record_options: dict[str, Any] | str | None = field(default=None, metadata=_meta(nested=True))
    require_file_ids: bool | str = field(default=False, metadata=_meta(parse_bool))
    wait_for_user: timedelta | float | str = field(default=timedelta(minutes=5), metadata=_meta(parse_duration))
    if_already_running: str = field(default="recover", metadata=_meta(choices=("recover", "restart", "fail")))
    until: Literal["deadline", "stream_ended"] | str = field(
        default="deadline", metadata=_meta(choices=("deadline", "stream_ended"))
    )
    grace: timedelta | float | str = field(default=timedelta(seconds=60), metadata=_meta(parse_duration))
    on_stall: Literal["ignore", "notify", "fail"] | str = field(
        default="ignore", metadata=_meta(choices=("ignore", "notify", "fail"))
    )
    on_stall_callback: Callable[[Context], Any] | None = field(default=None, metadata=_meta(templated=False))
    skip_if_late: timedelta | float | str | None = field(
        default=timedelta(minutes=10), metadata=_meta(parse_duration, none_counts=True)
    )
    timav_conn_id: str = field(default="timav_default", metadata=_meta(parse_name))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the options among these values, which may be more: an operator's attributes, say."""
        return cls(**{name: values[name] for name in OPTIONS.keys() & values.keys()})

    def as_dict(self) -> dict[str, Any]:
        """Return the options by their names."""
        return {name: getattr(self, name) for name in OPTIONS}

    def filled(self) -> Self:
        """Return rendered options with the default of each that rendered to nothing."""
        return replace(self, **{name: or_default(value, name) for name, value in self.as_dict().items()})


OPTIONS: Final[Mapping[str, Field[Any]]] = {option.name: option for option in fields(BroadcastOptions)}
"""The options by their names, in the order of the signature."""

TEMPLATED: Final = tuple(name for name, option in OPTIONS.items() if option.metadata.get("templated", True))
"""The names of those that are rendered."""

NESTED: Final = tuple(name for name, option in OPTIONS.items() if option.metadata.get("nested"))
"""The names of the options that are a dict of further arguments."""

_RULES: Final[Mapping[str, Rule]] = {
    **{name: option.metadata["rule"] for name, option in OPTIONS.items() if option.metadata.get("rule")},
    # of single operators
    "start_task_id": parse_name,
    "requested": parse_bool,
}


def or_default(value: Any, name: str) -> Any:
    """Return the value of an option, or its default if a form field was left empty. A required one has no default."""
    if none_if_blank(value) is not None or name not in vars(BroadcastOptions):
        return value
    none_counts = value is None and OPTIONS[name].metadata.get("none_counts")
    return None if none_counts else vars(BroadcastOptions)[name]


def check_argument(name: str, value: Any, *, within: str | None = None) -> None:
    """Check one argument against its rule. An optional one that was not given has none, and neither has an unknown name.

    :param within: the dict that it is an entry of, such as ``push_options``.
    :raises ConfigurationError: naming the argument, the rule and the value, which is left out if it is a password.
    """
    from airflow_provider_timav.videorelay import bodies, rules

    if name not in rules.REQUIRED and name != "timav_conn_id" and none_if_blank(value) is None:
        return
    if name in _RULES:
        _RULES[name](value, name)
    elif name in bodies.ARGUMENTS:
        apply_rule(bodies.ARGUMENTS[name], value, name, within=within)
