"""The requests and results of the videorelay API, checked at the border.

Requests carry every field of the specification under its name without the type prefix (``uint32_live_code`` →
``live_code``); they are filled under the names that operators and hook use (``rate_types``, ``class_id`` …) and dumped under
the wire's. Unknown arguments are refused. A boolean is no number, in arguments as in answers.

Results are what the hook returns: frozen, with the closed sets of outcomes that the provider promises.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

__all__ = [
    "Head",
    "KickMembersResult",
    "LiveUrl",
    "RemoveMembers",
    "Request",
    "StartPush",
    "StartPushResult",
    "StartRecord",
    "StartRecordResult",
    "StopPush",
    "StopPushResult",
    "StopRecord",
    "StopRecordResult",
    "flag",
    "uint",
]

UINT32_MAX: Final = 2**32 - 1
UINT64_MAX: Final = 2**64 - 1

LIVE_CODES: Final = {"hls": 1, "rtmp": 5, "hls+rtmp": 6}
SDK_TYPES: Final = {"normal": 1, "iot_camera": 2}
DATA_TYPES: Final = {"camera": 0, "screen": 1}
RATE_TYPES: Final = {"original": 0, "sd": 10, "hd": 20}


def _broken(rule: str) -> PydanticCustomError:
    # PydanticCustomError keeps the message free of pydantic's own wording and of the input.
    return PydanticCustomError("rule", "{rule}", {"rule": rule})


def uint(value: Any, *, most: int = UINT32_MAX) -> int:
    """Return an unsigned integer that was given as int or as decimal digits.

    :raises PydanticCustomError: for anything else, booleans and floats included, and past ``most``.
    """
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value) <= 40:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _broken(f"must be a whole number from 0 to {most}")
    if not 0 <= value <= most:
        raise _broken(f"must be from 0 to {most}")
    return value


def flag(value: Any) -> bool:
    """Return a switch that was given as bool, as 0 or 1, or as true, false, 1 or 0 in any case.

    :raises PydanticCustomError: for anything else.
    """
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    if word in ("true", "1"):
        return True
    if word in ("false", "0"):
        return False
    raise _broken("must be true or false (1 or 0)")


def _word(words: Mapping[str, int]) -> Callable[[Any], int]:
    """Return a validator that takes the words of a set, or the specification's numbers for them."""
    allowed = " or ".join((", ".join(repr(word) for word in words), ", ".join(str(code) for code in words.values())))

    def check(value: Any) -> int:
        if isinstance(value, str) and value in words:
            return words[value]
        try:
            code = uint(value)
        except PydanticCustomError:
            raise _broken(f"must be one of {allowed}") from None
        if code not in words.values():
            raise _broken(f"must be one of {allowed}")
        return code

    return check


def _text(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # an id that Jinja or a form turned into a number
    if not isinstance(value, str):
        raise _broken("must be a text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise _broken("must be text that UTF-8 can carry") from None
    return value


def _name(value: Any) -> str:
    text = _text(value)
    if not text.strip():
        raise _broken("must not be empty")
    return text


def _listed(value: Any) -> list[Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise _broken("must be a list, or a JSON list in one string") from None
    if not isinstance(value, list | tuple):
        raise _broken("must be a list, or a JSON list in one string")
    return list(value)


def _counted(least: int, most: int) -> Callable[[list[Any]], list[Any]]:
    def check(values: list[Any]) -> list[Any]:
        if not least <= len(values) <= most:
            raise _broken(f"must have {least} to {most} entries, it has {len(values)}")
        if len(set(values)) != len(values):
            raise _broken("must name each entry once")
        return values

    return check


def _secret(value: Any) -> SecretStr:
    return SecretStr(_name(value.get_secret_value() if isinstance(value, SecretStr) else value))


def _switch(value: Any) -> int:
    return int(flag(value))


Uint32 = Annotated[int, BeforeValidator(uint)]
Switch = Annotated[int, BeforeValidator(_switch)]
Text = Annotated[str, BeforeValidator(_text)]
Name = Annotated[str, BeforeValidator(_name)]
LiveCode = Annotated[int, BeforeValidator(_word(LIVE_CODES))]
SdkType = Annotated[int, BeforeValidator(_word(SDK_TYPES))]
DataType = Annotated[int, BeforeValidator(_word(DATA_TYPES))]
RateType = Annotated[int, BeforeValidator(_word(RATE_TYPES))]


class Head(BaseModel):
    """GVCommOprHead, the common head, as a request carries it.

    ``str_av_token`` and ``str_openid`` exist in the specification and are not filled by back ends; the results belong to
    answers (``calls``).
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    sub_cmd: int = Field(serialization_alias="uint32_sub_cmd")
    seq: int = Field(serialization_alias="uint32_seq")
    auth_key: int = Field(serialization_alias="uint32_auth_key")
    sdk_appid: int = Field(serialization_alias="uint32_sdk_appid")
    av_token: str | None = Field(None, serialization_alias="str_av_token")
    openid: str | None = Field(None, serialization_alias="str_openid")
    to_account: tuple[str, ...] = Field(serialization_alias="rpt_to_Account")
    cookie_buff: str = Field(serialization_alias="bytes_cookie_buff")


_IN_HEAD: Final = {"room_id", "user_id", "user_ids"}


class Request(BaseModel):
    """What the requests share: the room and users of the head, a name on the wire, and that unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    sub_cmd: ClassVar[int]
    body_name: ClassVar[str]
    oper: ClassVar[int | None] = None

    room_id: Uint32

    @property
    def accounts(self) -> tuple[str, ...]:
        """The users that the request is about, as the head carries them (``rpt_to_Account``)."""
        raise AssertionError("each request names its users")

    def wire(self) -> dict[str, Any]:
        """Return the request's own body, keys as on the wire; what was not given is not sent."""
        fields = self.model_dump(by_alias=True, exclude_none=True, exclude=_IN_HEAD)
        return fields if self.oper is None else {"uint32_oper": self.oper, **fields}


class _OneUser(Request):
    user_id: Name

    @property
    def accounts(self) -> tuple[str, ...]:
        """The one user that 0x5 and 0x6 support."""
        return (self.user_id,)


class StopPush(_OneUser):
    """req_0x6 with operation 2: the three fields that a stop of a push has."""

    sub_cmd: ClassVar[int] = 6
    body_name: ClassVar[str] = "req_0x6"

    oper: ClassVar[int | None] = 2

    sdk_type: SdkType = Field(1, serialization_alias="uint32_sdk_type")
    push_data_type: DataType = Field(0, serialization_alias="uint32_push_data_type")


class StartPush(_OneUser):
    """req_0x6 with operation 1: start a push (sdk旁路直播)."""

    sub_cmd: ClassVar[int] = 6
    body_name: ClassVar[str] = "req_0x6"

    oper: ClassVar[int | None] = 1

    live_code: LiveCode = Field(1, serialization_alias="uint32_live_code")
    sdk_type: SdkType = Field(1, serialization_alias="uint32_sdk_type")
    channel_name: Text | None = Field(None, serialization_alias="str_channel_name")
    channel_describe: Text | None = Field(None, serialization_alias="str_channel_describe")
    player_pwd: Annotated[SecretStr, BeforeValidator(_secret)] | None = Field(
        None, validation_alias="player_password", serialization_alias="str_player_pwd", repr=False
    )
    push_data_type: DataType = Field(0, serialization_alias="uint32_push_data_type")
    tape_flag: Switch = Field(0, serialization_alias="uint32_tape_flag")
    watermark_flag: Switch | None = Field(None, serialization_alias="uint32_watermark_flag")
    watermark_id: Uint32 | None = Field(None, serialization_alias="uint32_watermark_id")
    rate_type: Annotated[list[RateType], BeforeValidator(_listed), AfterValidator(_counted(1, 3))] | None = Field(
        None, validation_alias="rate_types", serialization_alias="rpt_rate_type"
    )

    @field_serializer("player_pwd")
    def _reveal(self, value: SecretStr | None) -> str | None:
        return None if value is None else value.get_secret_value()

    @model_validator(mode="after")
    def _rules(self) -> StartPush:
        if self.watermark_id is not None and not self.watermark_flag:
            # The type names the field: an error of a whole model has no location of its own.
            raise PydanticCustomError("watermark_id", "has no effect without watermark_flag=True")
        return self


class StopRecord(_OneUser):
    """req_0x5 with operation 2: the three fields that a stop of a recording has."""

    sub_cmd: ClassVar[int] = 5
    body_name: ClassVar[str] = "req_0x5"

    oper: ClassVar[int | None] = 2

    sdk_type: SdkType = Field(1, serialization_alias="uint32_sdk_type")
    record_data_type: DataType = Field(0, serialization_alias="uint32_record_data_type")


class StartRecord(_OneUser):
    """req_0x5 with operation 1: start a recording."""

    sub_cmd: ClassVar[int] = 5
    body_name: ClassVar[str] = "req_0x5"

    oper: ClassVar[int | None] = 1

    file_name: Name = Field(serialization_alias="string_file_name")
    tags: Annotated[list[Name], BeforeValidator(_listed)] | None = Field(None, serialization_alias="string_tags")
    classid: Uint32 | None = Field(None, validation_alias="class_id", serialization_alias="uint32_classid")
    is_trans_code: Switch | None = Field(None, validation_alias="transcode", serialization_alias="uint32_IsTransCode")
    is_screen_shot: Switch | None = Field(
        None, validation_alias="screenshot", serialization_alias="uint32_IsScreenShot"
    )
    is_water_mark: Switch | None = Field(None, validation_alias="watermark", serialization_alias="uint32_IsWaterMark")
    sdk_type: SdkType = Field(1, serialization_alias="uint32_sdk_type")
    record_data_type: DataType = Field(0, serialization_alias="uint32_record_data_type")


class RemoveMembers(Request):
    """req_0x1: remove 1 to 10 members from a room. The specification gives the head and no body."""

    sub_cmd: ClassVar[int] = 1
    body_name: ClassVar[str] = "req_0x1"

    user_ids: Annotated[list[Name], BeforeValidator(_listed), AfterValidator(_counted(1, 10))]

    @property
    def accounts(self) -> tuple[str, ...]:
        """The members to remove."""
        return tuple(self.user_ids)


StartOutcome = Literal["started", "recovered", "adopted", "restarted", "not_requested"]
StopOutcome = Literal["stopped", "already_stopped", "gone", "never_started", "not_ours"]
FileIdsStatus = Literal["complete", "recovered", "none", "lost"]


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class LiveUrl(_Result):
    """One address of a stream: ``type`` is ``hls`` or ``rtmp``, ``rate`` is ``original``, ``sd`` (550K) or ``hd`` (900K)."""

    type: Literal["hls", "rtmp"]
    rate: str
    url: str


class StartPushResult(_Result):
    """What a started push is known by. ``channel_id`` is text: it exceeds what JavaScript, and so the UI, can count.

    ``hls_url`` and ``rtmp_url`` are those of the original rate where there is one. ``tape_task_id`` is there only with
    ``tape_flag``; no file id of such a recording ever comes through this API.
    """

    outcome: StartOutcome = "started"
    live_urls: tuple[LiveUrl, ...] = ()
    hls_url: str | None = None
    rtmp_url: str | None = None
    channel_id: str | None = None
    tape_task_id: str | None = None


class StopPushResult(_Result):
    """How a push ended: ``outcome``."""

    outcome: StopOutcome = "stopped"


class StartRecordResult(_Result):
    """What a started recording is known by: the name to find it under in the vendor's console."""

    outcome: StartOutcome = "started"
    file_name: str


class StopRecordResult(_Result):
    """The recording's file ids, as text, and whether they are all there is (``file_ids_status``)."""

    outcome: StopOutcome = "stopped"
    file_ids: tuple[str, ...] = ()
    file_ids_status: FileIdsStatus = "complete"


class KickMembersResult(_Result):
    """Who was asked to be removed; the service does not confirm that they are gone."""

    outcome: Literal["requested"] = "requested"
    user_ids: tuple[str, ...]
