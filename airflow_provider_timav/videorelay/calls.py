"""The table of operations of the videorelay API, and each of them as a value that is sent and reads its answer.

One function per operation returns a ``Call``. The synchronous and the asynchronous client send the same calls and differ
only in how they move bytes.

Sources: 0x6 sdk旁路直播请求 (push), 0x5 sdk录制请求 (recording), 0x1 of the common head (remove members).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, Unpack

from airflow_provider_timav.videorelay.answers import Echo, body_fields
from airflow_provider_timav.videorelay.bodies import (
    BrokenArgument,
    RemoveMembers,
    RemoveMembersArguments,
    Request,
    StartPush,
    StartPushArguments,
    StartRecord,
    StartRecordArguments,
    StopPush,
    StopPushArguments,
    StopRecord,
    StopRecordArguments,
)
from airflow_provider_timav.videorelay.errors import ConfigurationError
from airflow_provider_timav.videorelay.models import (
    FileIdsStatus,
    KickMembersResult,
    StartPushResult,
    StartRecordResult,
    StopPushResult,
    StopRecordResult,
)
from airflow_provider_timav.videorelay.outcomes import Action, Outcome, OutcomeClass
from airflow_provider_timav.videorelay.reply import Reply
from airflow_provider_timav.videorelay.values import digits, live_urls, texts

__all__ = [
    "OPERATIONS",
    "Call",
    "Operation",
    "kick_members",
    "start_push",
    "start_record",
    "stop_push",
    "stop_record",
]

log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")
RequestT = TypeVar("RequestT", bound=Request)

DONE_ALREADY: Final = frozenset({OutcomeClass.SUCCESS, OutcomeClass.SUCCESS_INCOMPLETE, OutcomeClass.GONE})


@dataclass(frozen=True, kw_only=True)
class Operation(Generic[RequestT, ResultT]):
    """One line of the table of operations.

    :param name: the name of the hook's method.
    :param sub_cmd: ``uint32_sub_cmd`` of the head; the body is named after it.
    :param oper: ``uint32_oper`` of the body; None if the specification gives this sub-command no body.
    :param family: the kind of thing that it acts on, as in the table of result codes.
    :param action: the kind of change; the table of result codes has a column for each.
    :param read: makes the result of the request and the fields of the answer's body.
    :param read_done_already: makes the result of a stop of something that is stopped or gone already.
    """

    name: str
    sub_cmd: int
    oper: int | None = None
    family: str
    action: Action
    request: type[RequestT]
    read: Callable[[RequestT, dict[str, Any]], ResultT]
    read_done_already: Callable[[Outcome], ResultT] | None = None

    def call(self, arguments: Mapping[str, Any]) -> Call[ResultT]:
        """Return the call that carries these arguments.

        :raises ConfigurationError: naming the first argument that breaks a rule of the specification; nothing was sent.
        """
        broken = ""
        try:
            request = self.request.of(arguments)
        except BrokenArgument as wrong:
            broken, field = str(wrong), wrong.field
        else:
            return Call(self, request)
        # Outside of the except clause: the frames of the other error hold the arguments.
        raise ConfigurationError(f"{self.name}: {broken}", field=field, outcome_class="fail")


@dataclass(frozen=True, slots=True)
class Call(Generic[ResultT]):
    """One operation, checked and ready to be sent as often as needed.

    A call is safe to send again: a start that runs already and a stop that is done already are answers of their own. That is
    how a lost answer is settled.
    """

    operation: Operation[Any, ResultT]
    request: Request

    @property
    def room_id(self) -> int:
        """The room (``uint32_auth_key``)."""
        return self.request.room_id

    @property
    def user_ids(self) -> tuple[str, ...]:
        """The users that the operation is about (``rpt_to_Account``)."""
        return self.request.accounts

    def body(self, *, seq: int, cookie: str, sdkappid: int) -> bytes:
        """Return the request's JSON, in UTF-8.

        ``str_av_token`` and ``str_openid`` of the common head are not filled by back ends.
        """
        operation = self.operation
        head = {
            "uint32_sub_cmd": operation.sub_cmd,
            "uint32_seq": seq,
            "uint32_auth_key": self.request.room_id,
            "uint32_sdk_appid": sdkappid,
            "rpt_to_Account": self.request.accounts,
            "bytes_cookie_buff": cookie,
        }
        fields = self.request.wire()
        if operation.oper is not None:
            fields = {"uint32_oper": operation.oper, **fields}
        wire = {"reqhead": head, "reqbody": {f"req_0x{operation.sub_cmd:x}": fields}}
        return json.dumps(wire, ensure_ascii=False, separators=(",", ":")).encode()

    def read(self, reply: Reply, *, seq: int, cookie: str, hide: Callable[[str], str] = str) -> ResultT:
        """Return the result that an answer to this call holds.

        :param hide: takes secrets that were sent out of a text of the service, before a message quotes it.
        :raises TimAVError: the failure that the answer means; ``outcome_class`` says how it is treated (``outcomes``).
        """
        operation = self.operation
        echo = Echo(operation.sub_cmd, seq, self.request.room_id, cookie)
        answer = body_fields(
            reply,
            family=operation.family,
            action=operation.action,
            echo=echo,
            has_body=operation.oper is not None,
            hide=hide,
        )
        if isinstance(answer, dict):
            return operation.read(self.request, answer)
        # On a stop, "already stopped" and "not there" are results; on a start, "already running" is for the caller to judge.
        if operation.read_done_already is not None and answer.outcome_class in DONE_ALREADY:
            return operation.read_done_already(answer)
        raise answer.error()


def _started_push(request: StartPush, body: dict[str, Any]) -> StartPushResult:
    urls = live_urls(body.get("msg_live_url"))
    tape_task_id = digits(body.get("uint32_tape_task_id"), "uint32_tape_task_id")
    if not urls:
        log.warning("The push is started, but the answer holds no live URL (msg_live_url).")
    if request.tape_flag and tape_task_id is None:
        log.warning("The push is to be recorded (tape_flag), but the answer holds no uint32_tape_task_id.")

    def plain(kind: str) -> str | None:
        of_kind = [url for url in urls if url.type == kind]
        original = [url for url in of_kind if url.rate == "original"]
        return next((url.url for url in original + of_kind), None)

    return StartPushResult(
        live_urls=tuple(urls),
        hls_url=plain("hls"),
        rtmp_url=plain("rtmp"),
        channel_id=digits(body.get("uint64_channel_id"), "uint64_channel_id"),
        tape_task_id=tape_task_id,
    )


def _stopped_push(_request: StopPush, _body: dict[str, Any]) -> StopPushResult:
    return StopPushResult()


def _no_push_to_stop(outcome: Outcome) -> StopPushResult:
    return StopPushResult(outcome="gone" if outcome.outcome_class is OutcomeClass.GONE else "already_stopped")


def _started_record(request: StartRecord, _body: dict[str, Any]) -> StartRecordResult:
    return StartRecordResult(file_name=request.file_name)


def _stopped_record(_request: StopRecord, body: dict[str, Any]) -> StopRecordResult:
    file_ids, is_whole = texts(body.get("str_fileID"), "str_fileID")
    # A recording was stopped and no id came, or one that nothing can keep: the service owes them, and they come only once.
    status: FileIdsStatus = "complete" if file_ids and is_whole else "lost"
    return StopRecordResult(file_ids=tuple(file_ids), file_ids_status=status)


def _no_recording_to_stop(outcome: Outcome) -> StopRecordResult:
    return StopRecordResult(
        outcome="gone" if outcome.outcome_class is OutcomeClass.GONE else "already_stopped", file_ids_status="lost"
    )


def _kicked_members(request: RemoveMembers, _body: dict[str, Any]) -> KickMembersResult:
    return KickMembersResult(user_ids=request.accounts)


# --- the table -------------------------------------------------------------------------------------------------------

_START_PUSH: Final = Operation(
    name="start_push", sub_cmd=0x6, oper=1, family="push", action="start", request=StartPush, read=_started_push
)
_STOP_PUSH: Final = Operation(
    name="stop_push",
    sub_cmd=0x6,
    oper=2,
    family="push",
    action="stop",
    request=StopPush,
    read=_stopped_push,
    read_done_already=_no_push_to_stop,
)
_START_RECORD: Final = Operation(
    name="start_record", sub_cmd=0x5, oper=1, family="record", action="start", request=StartRecord, read=_started_record
)
_STOP_RECORD: Final = Operation(
    name="stop_record",
    sub_cmd=0x5,
    oper=2,
    family="record",
    action="stop",
    request=StopRecord,
    read=_stopped_record,
    read_done_already=_no_recording_to_stop,
)
_KICK_MEMBERS: Final = Operation(
    name="kick_members", sub_cmd=0x1, family="room", action="remove", request=RemoveMembers, read=_kicked_members
)

_TABLE: Final[tuple[Operation[Any, Any], ...]] = (_START_PUSH, _STOP_PUSH, _START_RECORD, _STOP_RECORD, _KICK_MEMBERS)
OPERATIONS: Final[Mapping[str, Operation[Any, Any]]] = {operation.name: operation for operation in _TABLE}
"""The operations that the service has, by name."""


def start_push(**arguments: Unpack[StartPushArguments]) -> Call[StartPushResult]:
    """Return the call that starts a push (0x6, operation 1).

    :raises ConfigurationError: naming the argument that breaks a rule of the specification.
    """
    return _START_PUSH.call(arguments)


def stop_push(**arguments: Unpack[StopPushArguments]) -> Call[StopPushResult]:
    """Return the call that stops a push (0x6, operation 2).

    :raises ConfigurationError: naming the argument that breaks a rule of the specification.
    """
    return _STOP_PUSH.call(arguments)


def start_record(**arguments: Unpack[StartRecordArguments]) -> Call[StartRecordResult]:
    """Return the call that starts a recording (0x5, operation 1).

    :raises ConfigurationError: naming the argument that breaks a rule of the specification.
    """
    return _START_RECORD.call(arguments)


def stop_record(**arguments: Unpack[StopRecordArguments]) -> Call[StopRecordResult]:
    """Return the call that stops a recording (0x5, operation 2) and brings its file ids.

    :raises ConfigurationError: naming the argument that breaks a rule of the specification.
    """
    return _STOP_RECORD.call(arguments)


def kick_members(**arguments: Unpack[RemoveMembersArguments]) -> Call[KickMembersResult]:
    """Return the call that removes 1 to 10 members from a room (0x1).

    :raises ConfigurationError: naming the argument that breaks a rule of the specification.
    """
    return _KICK_MEMBERS.call(arguments)
