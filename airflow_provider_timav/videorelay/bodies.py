"""The requests: each argument with its rule and its name on the wire.

An argument has the name that operators and hook use (``rate_types``) and goes out under the specification's
(``rpt_rate_type``). Each stands here twice: as a field of its request, and among the typed arguments of that request, from
which hook and calls have their signatures. None counts as not given, unknown arguments are refused, and a boolean is no number.

The standard library is enough for this, so that an author's constants can be held to the same rules when the DAG is parsed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Required, Self, TypedDict

from airflow_provider_timav.frames import HiddenText
from airflow_provider_timav.videorelay import rules

__all__ = [
    "ARGUMENTS",
    "OPTIONS",
    "REQUESTS",
    "BrokenArgument",
    "RemoveMembers",
    "RemoveMembersArguments",
    "Request",
    "StartPush",
    "StartPushArguments",
    "StartRecord",
    "StartRecordArguments",
    "StopPush",
    "StopPushArguments",
    "StopRecord",
    "StopRecordArguments",
]


class BrokenArgument(Exception):
    """An argument breaks a rule.

    :param field: the argument's name.
    :param rule: the rule, to be read after the name; it does not quote the value.
    """

    def __init__(self, field: str, rule: str, place: str = "") -> None:
        super().__init__(f"{field}{place} {rule}")
        self.field = field


def _argument(
    rule: Callable[[Any], Any],
    wire: str | None = None,
    default: Any = dataclasses.MISSING,
    *,
    option_of: str | None = None,
) -> Any:
    """Return a field of a request.

    :param rule: returns what goes to the service, or raises ``Broken``.
    :param wire: the name in the request's body; None for the arguments that the common head carries.
    :param default: the value that is sent if none is given; None sends nothing. Without a default the argument is required.
    :param option_of: the dict in which a ``Broadcast`` takes it, if it has no argument of its own there.
    """
    return dataclasses.field(default=default, metadata={"rule": rule, "wire": wire, "option_of": option_of})


def _password(value: Any) -> HiddenText:
    return HiddenText(rules.name(value))


@dataclass(frozen=True, kw_only=True)
class Request:
    """A checked request: the room and users of the common head, and the fields of its own body."""

    room_id: int = _argument(rules.uint)

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Self:
        """Return the request that these arguments make.

        :raises BrokenArgument: naming the first argument that breaks its rule, is missing, or is not one of this request.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        checked: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            if field.name in given:
                try:
                    checked[field.name] = field.metadata["rule"](given[field.name])
                except rules.Broken as broken:
                    raise BrokenArgument(field.name, broken.rule, broken.place) from None
            elif field.default is dataclasses.MISSING:
                raise BrokenArgument(field.name, "is required")
        for name in given:
            if name not in checked:
                raise BrokenArgument(name, "is not an argument of this operation")
        return cls(**checked)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments as JSON primitives: ``of`` makes the same request of them. A password is among them as it is."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return {name: str(value) if isinstance(value, str) else value for name, value in given.items()}

    @property
    def accounts(self) -> tuple[str, ...]:
        """The users that the request is about, as the head carries them (``rpt_to_Account``)."""
        raise AssertionError("each request names its users")

    @property
    def secrets(self) -> tuple[HiddenText, ...]:
        """The values of the request that no message may show."""
        return tuple(value for value in vars(self).values() if isinstance(value, HiddenText))

    def wire(self) -> dict[str, Any]:
        """Return the fields of the request's own body, named as on the wire, without those that were not given."""
        sent = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.metadata["wire"] is not None and value is not None:
                sent[field.metadata["wire"]] = int(value) if isinstance(value, bool) else value
        return sent


@dataclass(frozen=True, kw_only=True)
class _OneUser(Request):
    user_id: str = _argument(rules.user)

    @property
    def accounts(self) -> tuple[str, ...]:
        """The one user that 0x5 and 0x6 support."""
        return (self.user_id,)


class StopPushArguments(TypedDict, total=False):
    """The arguments of ``StopPush``."""

    room_id: Required[int | str]
    user_id: Required[str]
    sdk_type: str | int
    push_data_type: str | int


@dataclass(frozen=True, kw_only=True)
class StopPush(_OneUser):
    """req_0x6 with operation 2: the three fields that a stop of a push has."""

    sdk_type: int = _argument(rules.sdk_type, "uint32_sdk_type", 1)
    push_data_type: int = _argument(rules.data_type, "uint32_push_data_type", 0)


class StartPushArguments(StopPushArguments, total=False):
    """The arguments of ``StartPush``."""

    live_code: str | int
    tape_flag: bool
    channel_name: str | None
    channel_describe: str | None
    player_password: str | None
    watermark_flag: bool | None
    watermark_id: int | None
    rate_types: Sequence[str | int] | str | None


@dataclass(frozen=True, kw_only=True)
class StartPush(StopPush):
    """req_0x6 with operation 1: start a push (sdk旁路直播)."""

    live_code: int = _argument(rules.live_code, "uint32_live_code", 1)
    tape_flag: bool = _argument(rules.flag, "uint32_tape_flag", False)
    channel_name: str | None = _argument(rules.text, "str_channel_name", None)
    channel_describe: str | None = _argument(rules.text, "str_channel_describe", None, option_of="push_options")
    player_password: HiddenText | None = _argument(_password, "str_player_pwd", None)  # noqa: RUF009 - a field
    watermark_flag: bool | None = _argument(rules.flag, "uint32_watermark_flag", None, option_of="push_options")
    watermark_id: int | None = _argument(rules.uint, "uint32_watermark_id", None, option_of="push_options")
    rate_types: list[int] | None = _argument(rules.rate_types, "rpt_rate_type", None)  # noqa: RUF009 - a field

    def __post_init__(self) -> None:
        if self.watermark_id is not None and not self.watermark_flag:
            raise BrokenArgument("watermark_id", rules.WATERMARK_ID_ALONE)


class StopRecordArguments(TypedDict, total=False):
    """The arguments of ``StopRecord``."""

    room_id: Required[int | str]
    user_id: Required[str]
    sdk_type: str | int
    record_data_type: str | int


@dataclass(frozen=True, kw_only=True)
class StopRecord(_OneUser):
    """req_0x5 with operation 2: the three fields that a stop of a recording has."""

    sdk_type: int = _argument(rules.sdk_type, "uint32_sdk_type", 1)
    record_data_type: int = _argument(rules.data_type, "uint32_record_data_type", 0)


class StartRecordArguments(StopRecordArguments, total=False):
    """The arguments of ``StartRecord``."""

    file_name: Required[str]
    tags: Sequence[str] | str | None
    class_id: int | None
    transcode: bool | None
    screenshot: bool | None
    watermark: bool | None


@dataclass(frozen=True, kw_only=True)
class StartRecord(StopRecord):
    """req_0x5 with operation 1: start a recording."""

    file_name: str = _argument(rules.name, "string_file_name")
    tags: list[str] | None = _argument(rules.tags, "string_tags", None, option_of="record_options")  # noqa: RUF009 - a field
    class_id: int | None = _argument(rules.uint, "uint32_classid", None, option_of="record_options")
    transcode: bool | None = _argument(rules.flag, "uint32_IsTransCode", None, option_of="record_options")
    screenshot: bool | None = _argument(rules.flag, "uint32_IsScreenShot", None, option_of="record_options")
    watermark: bool | None = _argument(rules.flag, "uint32_IsWaterMark", None, option_of="record_options")


class RemoveMembersArguments(TypedDict):
    """The arguments of ``RemoveMembers``."""

    room_id: int | str
    user_ids: Sequence[str] | str


@dataclass(frozen=True, kw_only=True)
class RemoveMembers(Request):
    """req_0x1: remove 1 to 10 members from a room. The specification gives the head and no body."""

    user_ids: list[str] = _argument(rules.user_ids)  # noqa: RUF009 - a field

    @property
    def accounts(self) -> tuple[str, ...]:
        """The members to remove."""
        return tuple(self.user_ids)


REQUESTS: Final[tuple[type[Request], ...]] = (StartPush, StopPush, StartRecord, StopRecord, RemoveMembers)

ARGUMENTS: Final[Mapping[str, Callable[[Any], Any]]] = {
    field.name: field.metadata["rule"] for request in REQUESTS for field in dataclasses.fields(request)
}
"""The rule of each argument, by its name: a name means the same in every request."""

OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    option: tuple(
        dict.fromkeys(
            field.name
            for request in REQUESTS
            for field in dataclasses.fields(request)
            if field.metadata["option_of"] == option
        )
    )
    for option in ("push_options", "record_options")
}
"""The arguments that ``push_options`` and ``record_options`` may hold."""
