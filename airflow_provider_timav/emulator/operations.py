"""The table of operations: what the request of each may carry, and what it does to the world.

Stricter than a service may be: a field that the specification does not give to this very operation is refused, so
that a client's misspelling, or a stop that carries what only a start carries, does not pass unseen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_timav.emulator.playlist import RATES
from airflow_provider_timav.emulator.world import LIVE_CODES, Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_timav.emulator.switches import Switches
    from airflow_provider_timav.emulator.world import Kind, World

__all__ = ["BY_SUB_CMD", "OPERATIONS", "UINT32", "Command", "Family", "Field", "Operation", "is_uint32"]

UINT32: Final = 2**32


def is_uint32(value: object) -> bool:
    """Return whether a value is an unsigned 32-bit integer; a boolean is none."""
    return type(value) is int and 0 <= value < UINT32


@dataclass(frozen=True, kw_only=True)
class Family:
    """What the operations of one sub-command have in common.

    `base` is the first of its body codes, `kind_field` the field that tells camera from screen. `no_operation` and
    `wrong_operation` are the codes, without `base`, of a request whose `uint32_oper` is missing or unknown. A family
    without a `base` has no body, and knows one operation.
    """

    sub_cmd: int
    base: int | None = None
    kind_field: str = ""
    no_operation: int = 0
    wrong_operation: int = 0


@dataclass(frozen=True, kw_only=True)
class Command:
    """A valid request: the operation, the room, the users, and the body's fields under the specification's names."""

    operation: Operation
    room_id: int
    user_ids: tuple[str, ...]
    kind: Kind | None
    fields: Mapping[str, Any]

    @property
    def identity(self) -> Identity:
        """The push or recording that this is about."""
        assert self.kind is not None  # noqa: S101 - the operations of a room have no kind, and no identity
        return Identity(self.room_id, self.user_ids[0], self.kind)


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a body. `code` is the family's, without its base, when the field is missing or wrong."""

    check: Callable[[object], bool]
    required: bool = False
    code: int = 0


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One line of the table.

    `perform` changes the world; it returns the result's fields (None: the answer is the head alone) and whether the
    state changed, or raises Refused. `success` is what the body of a success begins with.
    """

    name: str
    family: Family
    oper: int | None
    fields: Mapping[str, Field]
    perform: Callable[[World, Switches, Command], tuple[dict[str, Any] | None, bool]]
    success: Mapping[str, Any] = field(default_factory=lambda: {"uint32_result": 0, "str_errorinfo": ""})


# --- what fields may hold ----------------------------------------------------------------------------------------


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_list_of_rates(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(type(rate) is int and rate in RATES for rate in value)
        and len(set(value)) == len(value)
    )


def _one_of(*allowed: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and value in allowed


_FLAG: Final = _one_of(0, 1)


# --- what operations do ------------------------------------------------------------------------------------------


def _start_push(world: World, switches: Switches, command: Command) -> tuple[dict[str, Any], bool]:
    push = world.start_push(
        command.identity,
        live_code=command.fields["uint32_live_code"],
        rates=tuple(RATES[code] for code in command.fields.get("rpt_rate_type", [0])),
        tape=bool(command.fields["uint32_tape_flag"]),
        channel_name=command.fields.get("str_channel_name"),
    )
    result: dict[str, Any] = {"uint64_channel_id": push.channel_id}
    if push.tape_task_id is not None:
        result["uint32_tape_task_id"] = push.tape_task_id
    result["msg_live_url"] = [
        {
            "uint32_type": live_url.type,
            "string_play_url": live_url.url,
            # Left out for the original rate: so the specification, and so clients must read it.
            **({switches.rate_key: live_url.rate} if live_url.rate else {}),
        }
        for live_url in push.live_urls
    ]
    return result, True


def _stop_push(world: World, switches: Switches, command: Command) -> tuple[dict[str, Any], bool]:
    world.stop_push(command.identity)
    return {}, True


def _start_record(world: World, switches: Switches, command: Command) -> tuple[dict[str, Any], bool]:
    world.start_recording(command.identity, command.fields["string_file_name"])
    return {}, True


def _stop_record(world: World, switches: Switches, command: Command) -> tuple[dict[str, Any], bool]:
    ran = len(world.recordings)
    recording = world.stop_recording(command.identity)
    return {"str_fileID": list(recording.file_ids)}, len(world.recordings) < ran


def _kick_members(world: World, switches: Switches, command: Command) -> tuple[dict[str, Any] | None, bool]:
    # The service confirms nothing here: a user who is not there, or a room that is not, is no failure.
    left = [world.remove(command.room_id, user_id) for user_id in command.user_ids]
    return {} if switches.kick_body else None, any(left)


# --- the table ---------------------------------------------------------------------------------------------------

_PUSH: Final = Family(sub_cmd=6, base=40_000_000, kind_field="uint32_push_data_type", no_operation=2, wrong_operation=5)
_RECORD: Final = Family(sub_cmd=5, base=30_000_000, kind_field="uint32_record_data_type", no_operation=3)
_ROOM: Final = Family(sub_cmd=1)

_OF_A_PUSH: Final = {
    "uint32_sdk_type": Field(check=_one_of(1, 2), required=True),
    "uint32_push_data_type": Field(check=_FLAG, required=True, code=4),
}
_OF_A_RECORDING: Final = {
    "uint32_sdk_type": Field(check=_one_of(1, 2), required=True),
    "uint32_record_data_type": Field(check=_FLAG, required=True, code=4),
}

_TABLE: Final = (
    Operation(
        name="start_push",
        family=_PUSH,
        oper=1,
        fields={
            "uint32_live_code": Field(check=_one_of(*LIVE_CODES), required=True, code=3),
            **_OF_A_PUSH,
            "uint32_tape_flag": Field(check=_FLAG, required=True),
            "str_channel_name": Field(check=_is_text),
            "str_channel_describe": Field(check=_is_text),
            "str_player_pwd": Field(check=_is_text),
            "uint32_watermark_flag": Field(check=_FLAG),
            "uint32_watermark_id": Field(check=is_uint32),
            "rpt_rate_type": Field(check=_is_list_of_rates),
        },
        perform=_start_push,
    ),
    Operation(name="stop_push", family=_PUSH, oper=2, fields=_OF_A_PUSH, perform=_stop_push),
    Operation(
        name="start_record",
        family=_RECORD,
        oper=1,
        fields={
            "string_file_name": Field(check=_is_name, required=True, code=2),
            **_OF_A_RECORDING,
            "string_tags": Field(check=_is_list_of_texts),
            "uint32_classid": Field(check=is_uint32),
            "uint32_IsTransCode": Field(check=_FLAG),
            "uint32_IsScreenShot": Field(check=_FLAG),
            "uint32_IsWaterMark": Field(check=_FLAG),
        },
        perform=_start_record,
    ),
    Operation(name="stop_record", family=_RECORD, oper=2, fields=_OF_A_RECORDING, perform=_stop_record),
    Operation(
        name="kick_members",
        family=_ROOM,
        oper=None,
        fields={},
        perform=_kick_members,
        success={"uint32_result": 0},
    ),
)

OPERATIONS: Final[Mapping[str, Operation]] = {operation.name: operation for operation in _TABLE}
"""The operations, by name."""

BY_SUB_CMD: Final[Mapping[int, Mapping[int | None, Operation]]] = {
    family.sub_cmd: {operation.oper: operation for operation in _TABLE if operation.family is family}
    for family in (_ROOM, _RECORD, _PUSH)
}
"""The operations, by `uint32_sub_cmd` and `uint32_oper`."""
