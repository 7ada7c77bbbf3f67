"""The wire format: request bytes to a valid command, and results to answers, as the specification writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_timav.emulator.operations import BY_SUB_CMD, OPERATIONS, Command, Operation, is_uint32
from airflow_provider_timav.emulator.world import KINDS, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_timav.emulator.journal import Layer

__all__ = [
    "Description",
    "Failure",
    "body_answer",
    "describe",
    "failed_body",
    "gateway_answer",
    "head_answer",
    "parse",
    "read",
]

MAX_ACCOUNTS: Final = 10
_MASKED: Final = frozenset({"str_player_pwd"})
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
class Description:
    """The readable part of a request, valid or not: for the journal, and to find the fault that is meant for it."""

    operation: str | None = None
    room_id: int | None = None
    user_ids: tuple[str, ...] = ()
    kind: Kind | None = None
    seq: int | None = None
    cookie: str | None = None
    fields: Mapping[str, object]


# --- requests ----------------------------------------------------------------------------------------------------


def parse(body: bytes) -> object:
    """Return the body as strict JSON: UTF-8, no NaN, no key twice, no half pair.

    :raises Failure: of the gateway (60003) for anything else.
    """
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


def read(document: object, *, sdkappid: int) -> Command:
    """Return the valid command that a whole request is.

    :raises Failure: of the head (-1, -2, -4, -5), the body or, for accounts, the gateway.
    """
    if not isinstance(document, dict) or not isinstance(document.get("reqhead"), dict):
        raise Failure("head", -1, "the request is an object with reqhead and reqbody")
    _refuse_unknown(document, {"reqhead", "reqbody"}, -1)
    head = document["reqhead"]
    users = _read_head(head, sdkappid)
    body = document.get("reqbody", {})
    if not isinstance(body, dict):
        raise Failure("head", -2, "reqbody is not an object")
    operations = BY_SUB_CMD[head["uint32_sub_cmd"]]
    wrapper = f"req_0x{head['uint32_sub_cmd']:x}"
    operation = operations.get(None)
    if operation is not None:
        # The specification gives this sub-command no body; an empty one under its name is what its callers send.
        if body not in ({}, {wrapper: {}}):
            raise Failure("head", -2, f"reqbody holds an empty {wrapper} and nothing else")
        return Command(operation=operation, room_id=head["uint32_auth_key"], user_ids=users, kind=None, fields={})
    if len(users) != 1:
        raise Failure("head", -4, "rpt_to_Account holds exactly one account for this sub-command")
    operation, fields = _read_body(body, wrapper, operations)
    return Command(
        operation=operation,
        room_id=head["uint32_auth_key"],
        user_ids=users,
        kind=KINDS[fields[operation.family.kind_field]],
        fields=fields,
    )


def _read_head(head: Mapping[str, Any], sdkappid: int) -> tuple[str, ...]:
    _refuse_unknown(head, {*_REQUIRED_HEAD, *_OPTIONAL_HEAD}, -4)
    for name in _REQUIRED_HEAD:
        if not is_uint32(head.get(name)):
            raise Failure("head", -4, f"{name} is missing or no unsigned 32-bit integer")
    if head["uint32_sub_cmd"] not in BY_SUB_CMD:
        raise Failure("head", -4, f"uint32_sub_cmd is none of {', '.join(map(str, BY_SUB_CMD))}")
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
    if not all(isinstance(user, str) for user in users):
        raise Failure("gateway", 60015, "an account is not a string")
    if "" in users:
        raise Failure("head", -4, "an account is empty")
    return tuple(users)


def _read_body(
    body: Mapping[str, Any], wrapper: str, operations: Mapping[int | None, Operation]
) -> tuple[Operation, Mapping[str, Any]]:
    family = next(iter(operations.values())).family
    base = family.base or 0
    if wrapper not in body:
        raise Failure("body", base + 1, f"no {wrapper} in reqbody")
    _refuse_unknown(body, {wrapper}, -2)
    fields = body[wrapper]
    if not isinstance(fields, dict):
        raise Failure("body", base, f"{wrapper} is not an object")
    if "uint32_oper" not in fields:
        raise Failure("body", base + family.no_operation, "no uint32_oper")
    oper = fields["uint32_oper"]
    operation = operations.get(oper) if type(oper) is int else None
    if operation is None:
        known = " or ".join(str(each) for each in operations)
        raise Failure("body", base + family.wrong_operation, f"uint32_oper is not {known}")
    for name, field in operation.fields.items():
        if name not in fields:
            if field.required:
                raise Failure("body", base + field.code, f"no {name}")
        elif not field.check(fields[name]):
            raise Failure("body", base + field.code, f"{name} has a wrong type or value")
    for name in fields:
        if name not in operation.fields and name != "uint32_oper":
            raise Failure("body", base, f"{operation.name} carries no field {name[:40]!r}")
    return operation, fields


def _refuse_unknown(members: Mapping[str, object], known: set[str], code: int) -> None:
    for name in members:
        if name not in known:
            raise Failure("head", code, f"unknown field {name[:40]!r}")


def describe(document: object) -> Description:
    """Return whatever can be read, without a secret and without a field that the specification lacks; never raise."""
    parts = document if isinstance(document, dict) else {}
    head = parts.get("reqhead")
    head = head if isinstance(head, dict) else {}
    body = parts.get("reqbody")
    sub_cmd = head.get("uint32_sub_cmd")
    operations = BY_SUB_CMD.get(sub_cmd, {}) if isinstance(sub_cmd, int) else {}
    fields = body.get(f"req_0x{sub_cmd:x}") if isinstance(body, dict) and operations else None
    fields = fields if isinstance(fields, dict) else {}
    oper = fields.get("uint32_oper")
    operation = operations.get(None) or (operations.get(oper) if isinstance(oper, int) else None)
    known = {"uint32_oper"}.union(*(each.fields for each in operations.values()))
    kind = next((fields.get(each.family.kind_field) for each in operations.values()), None)
    users = head.get("rpt_to_Account")
    cookie = head.get("bytes_cookie_buff")
    return Description(
        operation=None if operation is None else operation.name,
        room_id=_uint32_or_none(head.get("uint32_auth_key")),
        user_ids=tuple(user for user in users if isinstance(user, str)) if isinstance(users, list) else (),
        kind=KINDS[kind] if type(kind) is int and kind in (0, 1) else None,
        seq=_uint32_or_none(head.get("uint32_seq")),
        cookie=cookie if isinstance(cookie, str) else None,
        fields={name: "***" if name in _MASKED else value for name, value in fields.items() if name in known},
    )


def _uint32_or_none(value: object) -> int | None:
    return value if isinstance(value, int) and is_uint32(value) else None


# --- answers -----------------------------------------------------------------------------------------------------


def gateway_answer(code: int, reason: str) -> dict[str, Any]:
    """Return the gateway's failure, which has none of the specification's parts."""
    return {"ActionStatus": "FAIL", "ErrorCode": code, "ErrorInfo": reason}


def head_answer(document: object, code: int = 0, reason: str = "") -> dict[str, Any]:
    """Return an answer of the head alone, echoing what could be read of the request's."""
    head = document.get("reqhead") if isinstance(document, dict) else None
    head = head if isinstance(head, dict) else {}
    echoed = {name: head[name] for name in _ECHOED if name in head}
    return {"reqhead": {**echoed, "uint32_result": code, "str_error_msg": reason}}


def body_answer(document: object, operation: Operation, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer of an operation that was carried out: its result, wrapped under the sub-command's name."""
    return _with_body(document, operation.family.sub_cmd, {**operation.success, **result})


def failed_body(document: Any, code: int, reason: str) -> dict[str, Any]:
    """Return an answer whose body says a failure, under the name of the sub-command that was asked for."""
    try:
        sub_cmd = document["reqhead"]["uint32_sub_cmd"]
    except (TypeError, KeyError):
        sub_cmd = None
    if type(sub_cmd) is not int:  # a fault may answer a request that nothing can read
        sub_cmd = OPERATIONS["start_push"].family.sub_cmd
    return _with_body(document, sub_cmd, {"uint32_result": code, "str_errorinfo": reason})


def _with_body(document: object, sub_cmd: int, body: Mapping[str, Any]) -> dict[str, Any]:
    return {**head_answer(document), "rspbody": {f"rsp_0x{sub_cmd:x}": dict(body)}}
