"""The wire format: request bytes to a validated operation, and results to answers, as the specification writes them.

Strict where a service may be lenient: a field that the specification does not give to this very operation is refused, so
that a client's misspelling, or a stop that carries what only a start carries, does not pass unseen.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from airflow_provider_timav.emulator.playlist import RATES
from airflow_provider_timav.emulator.world import KINDS, LIVE_CODES, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_timav.emulator.journal import Layer

OperationName = Literal["start_push", "stop_push", "start_record", "stop_record", "kick_members"]
OPERATIONS: Final[tuple[OperationName, ...]] = (
    "start_push",
    "stop_push",
    "start_record",
    "stop_record",
    "kick_members",
)
UINT32: Final = 2**32
MAX_ACCOUNTS: Final = 10
_MASKED: Final = frozenset({"str_player_pwd"})
_NAMES: Final[Mapping[tuple[int, int], OperationName]] = {
    (6, 1): "start_push",
    (6, 2): "stop_push",
    (5, 1): "start_record",
    (5, 2): "stop_record",
}
_OPTIONAL_HEAD: Final = {"str_av_token", "str_openid", "rpt_to_Account", "bytes_cookie_buff"}
_REQUIRED_HEAD: Final = ("uint32_sub_cmd", "uint32_seq", "uint32_auth_key", "uint32_sdk_appid")
_ECHOED: Final = (*_REQUIRED_HEAD, "rpt_to_Account", "bytes_cookie_buff")


class Failure(Exception):
    """The request fails in a layer with a code; `reason` names fields, never values."""

    def __init__(self, layer: Layer, code: int, reason: str) -> None:
        super().__init__(reason)
        self.layer: Layer = layer
        self.code = code
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A valid request: what to do, where, for whom, and the body's fields under the specification's names."""

    name: OperationName
    room_id: int
    user_ids: tuple[str, ...]
    kind: Kind | None
    fields: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a request says of itself, readable or not: for the journal, and to find the fault that is meant for it."""

    operation: OperationName | None = None
    room_id: int | None = None
    user_ids: tuple[str, ...] = ()
    kind: Kind | None = None
    seq: int | None = None
    cookie: str | None = None
    fields: Mapping[str, object]


# --- fields ------------------------------------------------------------------------------------------------------


def _is_uint32(value: object) -> bool:
    return type(value) is int and 0 <= value < UINT32


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


@dataclass(frozen=True)
class _Field:
    """One field of a body: `start` and `stop` are "yes" (required), "may" or "no", as in the specification's tables."""

    check: Callable[[object], bool]
    start: Literal["yes", "may"]
    stop: Literal["yes", "no"] = "no"
    code: int = 0  # the family's code when it is missing or wrong


_FLAG: Final = _one_of(0, 1)
_PUSH_FIELDS: Final = {
    "uint32_live_code": _Field(_one_of(*LIVE_CODES), "yes", code=3),
    "uint32_sdk_type": _Field(_one_of(1, 2), "yes", "yes"),
    "str_channel_name": _Field(_is_text, "may"),
    "str_channel_describe": _Field(_is_text, "may"),
    "str_player_pwd": _Field(_is_text, "may"),
    "uint32_push_data_type": _Field(_FLAG, "yes", "yes", code=4),
    "uint32_tape_flag": _Field(_FLAG, "yes"),
    "uint32_watermark_flag": _Field(_FLAG, "may"),
    "uint32_watermark_id": _Field(_is_uint32, "may"),
    "rpt_rate_type": _Field(_is_list_of_rates, "may"),
}
_RECORD_FIELDS: Final = {
    "string_file_name": _Field(_is_name, "yes", code=2),
    "string_tags": _Field(_is_list_of_texts, "may"),
    "uint32_classid": _Field(_is_uint32, "may"),
    "uint32_IsTransCode": _Field(_FLAG, "may"),
    "uint32_IsScreenShot": _Field(_FLAG, "may"),
    "uint32_IsWaterMark": _Field(_FLAG, "may"),
    "uint32_sdk_type": _Field(_one_of(1, 2), "yes", "yes"),
    "uint32_record_data_type": _Field(_FLAG, "yes", "yes", code=4),
}


@dataclass(frozen=True)
class _Family:
    """What the two sub-commands with a body differ in."""

    base: int
    fields: Mapping[str, _Field]
    kind_field: str
    no_operation: int
    wrong_operation: int


_FAMILIES: Final = {
    6: _Family(40_000_000, _PUSH_FIELDS, "uint32_push_data_type", no_operation=2, wrong_operation=5),
    5: _Family(30_000_000, _RECORD_FIELDS, "uint32_record_data_type", no_operation=3, wrong_operation=0),
}


def body_code(operation: OperationName, code: int) -> int:
    """Returns the specification's body code of an operation for one without its family: 411 -> 40000411."""
    return (40_000_000 if operation in ("start_push", "stop_push") else 30_000_000) + code


# --- requests ----------------------------------------------------------------------------------------------------


def parse(body: bytes) -> object:
    """Reads the body as strict JSON: UTF-8, no NaN, no key twice, no half pair. Raises Failure (gateway 60003)."""
    try:
        document: object = json.loads(body.decode(), object_pairs_hook=_no_key_twice, parse_constant=_no_constant)
        json.dumps(document, ensure_ascii=False).encode()  # half of a surrogate pair, which no answer could echo
    except (ValueError, RecursionError):
        raise Failure("gateway", 60003, "JSON parse error") from None
    return document


def _no_key_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key occurs twice")
    return members


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def read(document: object, *, sdkappid: int) -> Operation:
    """Validates a whole request. Raises Failure of the head (-1, -2, -4, -5), the body or, for accounts, the gateway."""
    if not isinstance(document, dict) or not isinstance(document.get("reqhead"), dict):
        raise Failure("head", -1, "the request is an object with reqhead and reqbody")
    _refuse_unknown(document, {"reqhead", "reqbody"}, -1)
    head = document["reqhead"]
    users = _read_head(head, sdkappid)
    body = document.get("reqbody", {})
    if not isinstance(body, dict):
        raise Failure("head", -2, "reqbody is not an object")
    sub_cmd = head["uint32_sub_cmd"]
    if sub_cmd == 1:
        return _read_kick(head, users, body)
    if len(users) != 1:
        raise Failure("head", -4, "rpt_to_Account holds exactly one account for this sub-command")
    return _read_push_or_record(head, users, body, f"req_0x{sub_cmd}")


def _read_head(head: Mapping[str, Any], sdkappid: int) -> tuple[str, ...]:
    _refuse_unknown(head, {*_REQUIRED_HEAD, *_OPTIONAL_HEAD}, -4)
    for name in _REQUIRED_HEAD:
        if not _is_uint32(head.get(name)):
            raise Failure("head", -4, f"{name} is missing or no unsigned 32-bit integer")
    if head["uint32_sub_cmd"] not in (1, 5, 6):
        raise Failure("head", -4, "uint32_sub_cmd is not 1, 5 or 6")
    if head["uint32_sdk_appid"] != sdkappid:
        raise Failure("head", -4, "uint32_sdk_appid is not that of the URL")
    if head.get("str_av_token", "") != "":
        raise Failure("head", -5, "str_av_token is not valid (a back end leaves it out)")
    for name in ("str_openid", "bytes_cookie_buff"):
        if not isinstance(head.get(name, ""), str):
            raise Failure("head", -4, f"{name} is not a string")
    users = head.get("rpt_to_Account")
    if not isinstance(users, list) or not 1 <= len(users) <= MAX_ACCOUNTS:
        raise Failure("head", -4, f"rpt_to_Account is a list of 1 to {MAX_ACCOUNTS} accounts")
    if not all(map(_is_text, users)):
        raise Failure("gateway", 60015, "an account is not a string")
    if "" in users:
        raise Failure("head", -4, "an account is empty")
    return tuple(users)


def _read_kick(head: Mapping[str, Any], users: tuple[str, ...], body: Mapping[str, Any]) -> Operation:
    # The specification gives this sub-command no body; an empty one under its name is what its callers send.
    if body not in ({}, {"req_0x1": {}}):
        raise Failure("head", -2, "reqbody holds an empty req_0x1 and nothing else")
    return Operation(name="kick_members", room_id=head["uint32_auth_key"], user_ids=users, kind=None, fields={})


def _read_push_or_record(
    head: Mapping[str, Any], users: tuple[str, ...], body: Mapping[str, Any], wrapper: str
) -> Operation:
    sub_cmd: int = head["uint32_sub_cmd"]
    family = _FAMILIES[sub_cmd]
    if wrapper not in body:
        raise Failure("body", family.base + 1, f"no {wrapper} in reqbody")
    _refuse_unknown(body, {wrapper}, -2)
    fields = body[wrapper]
    if not isinstance(fields, dict):
        raise Failure("body", family.base, f"{wrapper} is not an object")
    if "uint32_oper" not in fields:
        raise Failure("body", family.base + family.no_operation, "no uint32_oper")
    oper = fields["uint32_oper"]
    if type(oper) is not int or oper not in (1, 2):
        raise Failure("body", family.base + family.wrong_operation, "uint32_oper is not 1 or 2")
    name = _NAMES[sub_cmd, oper]
    for field_name, field in family.fields.items():
        wanted = field.start if oper == 1 else field.stop
        if field_name not in fields:
            if wanted == "yes":
                raise Failure("body", family.base + field.code, f"no {field_name}")
        elif wanted == "no":
            raise Failure("body", family.base, f"{name} does not carry {field_name}")
        elif not field.check(fields[field_name]):
            raise Failure("body", family.base + field.code, f"{field_name} has a wrong type or value")
    for field_name in fields:
        if field_name not in family.fields and field_name != "uint32_oper":
            raise Failure("body", family.base, f"unknown field {field_name[:40]!r}")
    return Operation(
        name=name,
        room_id=head["uint32_auth_key"],
        user_ids=users,
        kind=KINDS[fields[family.kind_field]],
        fields=fields,
    )


def _refuse_unknown(members: Mapping[str, object], known: set[str], code: int) -> None:
    for name in members:
        if name not in known:
            raise Failure("head", code, f"unknown field {name[:40]!r}")


def describe(document: object) -> Description:
    """Reads whatever can be read; never raises, and never returns a secret or a field the specification lacks."""
    parts = document if isinstance(document, dict) else {}
    head = parts.get("reqhead")
    head = head if isinstance(head, dict) else {}
    body = parts.get("reqbody")
    sub_cmd = head.get("uint32_sub_cmd")
    family = _FAMILIES.get(sub_cmd) if isinstance(sub_cmd, int) else None
    fields = body.get(f"req_0x{sub_cmd}") if isinstance(body, dict) else None
    fields = fields if isinstance(fields, dict) and family else {}
    oper, kind = fields.get("uint32_oper"), fields.get(family.kind_field) if family else None
    operation: OperationName | None = "kick_members" if sub_cmd == 1 else None
    if isinstance(sub_cmd, int) and isinstance(oper, int):
        operation = _NAMES.get((sub_cmd, oper))
    users = head.get("rpt_to_Account")
    cookie = head.get("bytes_cookie_buff")
    known = {"uint32_oper", *family.fields} if family else set()
    return Description(
        operation=operation,
        room_id=_uint32_or_none(head.get("uint32_auth_key")),
        user_ids=tuple(user for user in users if isinstance(user, str)) if isinstance(users, list) else (),
        kind=KINDS[kind] if type(kind) is int and kind in (0, 1) else None,
        seq=_uint32_or_none(head.get("uint32_seq")),
        cookie=cookie if isinstance(cookie, str) else None,
        fields={name: "***" if name in _MASKED else value for name, value in fields.items() if name in known},
    )


def _uint32_or_none(value: object) -> int | None:
    return value if isinstance(value, int) and _is_uint32(value) else None


# --- answers -----------------------------------------------------------------------------------------------------


def gateway_answer(code: int, reason: str) -> dict[str, Any]:
    """Returns the gateway's failure, which has none of the specification's parts."""
    return {"ActionStatus": "FAIL", "ErrorCode": code, "ErrorInfo": reason}


def head_answer(document: object, code: int = 0, reason: str = "") -> dict[str, Any]:
    """Returns an answer of the head alone, echoing what could be read of the request's."""
    head = document.get("reqhead") if isinstance(document, dict) else None
    head = head if isinstance(head, dict) else {}
    echoed = {name: head[name] for name in _ECHOED if name in head}
    return {"reqhead": {**echoed, "uint32_result": code, "str_error_msg": reason}}


def body_answer(
    document: object, sub_cmd: int, result: Mapping[str, Any], code: int = 0, reason: str = ""
) -> dict[str, Any]:
    """Returns an answer with a body: the result of sub-command `sub_cmd`, wrapped under its name."""
    body = {"uint32_result": code, "str_errorinfo": reason, **result}
    return {**head_answer(document), "rspbody": {f"rsp_0x{sub_cmd}": body}}
