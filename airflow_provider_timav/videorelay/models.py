"""The requests and results of the videorelay API, checked at the border.

Requests carry every field of the specification under its name without the type prefix (``uint32_live_code`` →
``live_code``); they are filled under the names that operators and hook use (``rate_types``, ``class_id`` …) and dumped under
the wire's. Unknown arguments are refused. A boolean is no number, in arguments as in answers. What each may hold stands in
``rules``.

Results are what the hook returns: frozen, with the closed sets of outcomes that the provider promises.
"""

from __future__ import annotations

from collections.abc import Callable
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

from airflow_provider_timav.videorelay import rules
from airflow_provider_timav.videorelay.rules import DATA_TYPES, RATE_TYPES, SDK_TYPES, UINT32_MAX

__all__ = [
    "DATA_TYPES",
    "RATE_TYPES",
    "SDK_TYPES",
    "UINT32_MAX",
    "UINT64_MAX",
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
]

UINT64_MAX: Final = 2**64 - 1


def _by(rule: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return a rule as pydantic wants it: its error is free of pydantic's own wording and of the input."""

    def check(value: Any) -> Any:
        try:
            return rule(value)
        except rules.Broken as broken:
            raise PydanticCustomError("rule", "{rule}", {"rule": broken.rule}) from None

    return check


def _secret(value: Any) -> SecretStr:
    return SecretStr(rules.name(value.get_secret_value() if isinstance(value, SecretStr) else value))


def _switch(value: Any) -> int:
    return int(rules.flag(value))


Uint32 = Annotated[int, BeforeValidator(_by(rules.uint))]
Switch = Annotated[int, BeforeValidator(_by(_switch))]
Text = Annotated[str, BeforeValidator(_by(rules.text))]
Name = Annotated[str, BeforeValidator(_by(rules.name))]
User = Annotated[str, BeforeValidator(_by(rules.user))]
LiveCode = Annotated[int, BeforeValidator(_by(rules.live_code))]
SdkType = Annotated[int, BeforeValidator(_by(rules.sdk_type))]
DataType = Annotated[int, BeforeValidator(_by(rules.data_type))]
RateType = Annotated[int, BeforeValidator(_by(rules.rate_type))]
Listed = BeforeValidator(_by(rules.listed))


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

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """What of the request no message may show."""
        return tuple(value for _, value in self if isinstance(value, SecretStr))

    def wire(self) -> dict[str, Any]:
        """Return the request's own body, keys as on the wire; what was not given is not sent."""
        fields = self.model_dump(by_alias=True, exclude_none=True, exclude=_IN_HEAD)
        return fields if self.oper is None else {"uint32_oper": self.oper, **fields}


class _OneUser(Request):
    user_id: User

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
    player_pwd: Annotated[SecretStr, BeforeValidator(_by(_secret))] | None = Field(
        None, validation_alias="player_password", serialization_alias="str_player_pwd", repr=False
    )
    push_data_type: DataType = Field(0, serialization_alias="uint32_push_data_type")
    tape_flag: Switch = Field(0, serialization_alias="uint32_tape_flag")
    watermark_flag: Switch | None = Field(None, serialization_alias="uint32_watermark_flag")
    watermark_id: Uint32 | None = Field(None, serialization_alias="uint32_watermark_id")
    rate_type: Annotated[list[RateType], Listed, AfterValidator(_by(rules.rate_count))] | None = Field(
        None, validation_alias="rate_types", serialization_alias="rpt_rate_type"
    )

    @field_serializer("player_pwd")
    def _reveal(self, value: SecretStr | None) -> str | None:
        return None if value is None else value.get_secret_value()

    @model_validator(mode="after")
    def _rules(self) -> StartPush:
        if self.watermark_id is not None and not self.watermark_flag:
            # The type names the field: an error of a whole model has no location of its own.
            raise PydanticCustomError("watermark_id", "{rule}", {"rule": rules.WATERMARK_ID_ALONE})
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
    tags: Annotated[list[Name], Listed] | None = Field(None, serialization_alias="string_tags")
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

    user_ids: Annotated[list[User], Listed, AfterValidator(_by(rules.user_count))]

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
