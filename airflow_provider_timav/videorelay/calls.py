"""The five operations of the videorelay API, each as a value: what is sent, and how its answer is read.

One function per operation returns a ``Call``. The synchronous and the asynchronous client send the same calls and differ
only in how they move bytes.

Sources: 0x6 sdk旁路直播请求 (push), 0x5 sdk录制请求 (recording), 0x1 of the common head (remove members).
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from airflow_provider_timav.videorelay.answers import Echo, Reply, body_fields, digits, live_urls, texts
from airflow_provider_timav.videorelay.errors import ConfigurationError
from airflow_provider_timav.videorelay.models import (
    FileIdsStatus,
    Head,
    KickMembersResult,
    RemoveMembers,
    Request,
    StartPush,
    StartPushResult,
    StartRecord,
    StartRecordResult,
    StopPush,
    StopPushResult,
    StopRecord,
    StopRecordResult,
)
from airflow_provider_timav.videorelay.outcomes import Action, Family, Outcome, OutcomeClass

__all__ = ["Call", "kick_members", "start_push", "start_record", "stop_push", "stop_record"]

log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")
RequestT = TypeVar("RequestT", bound=Request)

DONE_ALREADY = frozenset({OutcomeClass.SUCCESS, OutcomeClass.SUCCESS_INCOMPLETE, OutcomeClass.GONE})


@dataclass(frozen=True, slots=True)
class Call(Generic[ResultT]):
    """One operation, checked and ready to be sent as often as needed.

    A call is safe to send again: a start that runs already and a stop that is done already are answers of their own. That is
    how a lost answer is settled.
    """

    operation: str
    family: Family
    action: Action
    request: Request
    read_body: Callable[[dict[str, Any]], ResultT]
    read_done_already: Callable[[Outcome], ResultT] | None = None

    @property
    def room_id(self) -> int:
        """The room (``uint32_auth_key``)."""
        return self.request.room_id

    @property
    def user_ids(self) -> tuple[str, ...]:
        """The users that the operation is about (``rpt_to_Account``)."""
        return self.request.accounts

    def body(self, *, seq: int, cookie: str, sdkappid: int) -> bytes:
        """Return the request's JSON, in UTF-8."""
        head = Head(
            sub_cmd=self.request.sub_cmd,
            seq=seq,
            auth_key=self.request.room_id,
            sdk_appid=sdkappid,
            to_account=self.request.accounts,
            cookie_buff=cookie,
        )
        wire = {
            "reqhead": head.model_dump(by_alias=True, exclude_none=True),
            "reqbody": {self.request.body_name: self.request.wire()},
        }
        return json.dumps(wire, ensure_ascii=False, separators=(",", ":")).encode()

    def read(self, reply: Reply, *, seq: int, cookie: str, hide: Callable[[str], str] = str) -> ResultT:
        """Return the result that an answer to this call holds.

        :param hide: takes what was sent in confidence out of a text of the service, before a message quotes it.
        :raises TimAVError: what the answer means instead; ``outcome_class`` says how it is treated (``outcomes``).
        """
        echo = Echo(self.request.sub_cmd, seq, self.request.room_id, cookie)
        answer = body_fields(reply, family=self.family, action=self.action, echo=echo, hide=hide)
        if isinstance(answer, dict):
            return self.read_body(answer)
        # On a stop, "already stopped" and "not there" are results; on a start, "already running" is for the caller to judge.
        if self.read_done_already is not None and answer.outcome_class in DONE_ALREADY:
            return self.read_done_already(answer)
        raise answer.error()


def _checked(model: type[RequestT], operation: str, arguments: dict[str, Any]) -> RequestT:
    """Return the request.

    :raises ConfigurationError: naming the first field that breaks its rule; nothing was sent.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    try:
        return model(**given)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_context=False, include_input=False)[0]
        # An error of the whole model has no location; its type then names the field. (``from None``: pydantic's own text
        # may show what was put in.)
        field = str(first["loc"][0]) if first["loc"] else first["type"]
        rule = {"missing": "is required", "extra_forbidden": "is not an argument of this operation"}
        where = "".join(f"[{step}]" for step in first["loc"][1:] if isinstance(step, int))
        message = f"{operation}: {field}{where} {rule.get(first['type'], first['msg'])}"
    raise ConfigurationError(message, field=field, outcome_class="fail")


def start_push(**arguments: Any) -> Call[StartPushResult]:
    """Return the call that starts a push (0x6, operation 1).

    :param arguments: ``room_id``, ``user_id``, and what ``StartPush`` names; None counts as not given.
    :raises ConfigurationError: if an argument breaks a rule of the specification; it names the field.
    """
    request = _checked(StartPush, "start_push", arguments)
    return Call("start_push", "push", "start", request, functools.partial(_started_push, taped=bool(request.tape_flag)))


def stop_push(**arguments: Any) -> Call[StopPushResult]:
    """Return the call that stops a push (0x6, operation 2).

    :param arguments: ``room_id``, ``user_id``, ``sdk_type``, ``push_data_type``.
    :raises ConfigurationError: if an argument breaks a rule of the specification; it names the field.
    """
    request = _checked(StopPush, "stop_push", arguments)
    return Call("stop_push", "push", "stop", request, lambda _: StopPushResult(), _no_push_to_stop)


def start_record(**arguments: Any) -> Call[StartRecordResult]:
    """Return the call that starts a recording (0x5, operation 1).

    :param arguments: ``room_id``, ``user_id``, ``file_name``, and what ``StartRecord`` names; None counts as not given.
    :raises ConfigurationError: if an argument breaks a rule of the specification; it names the field.
    """
    request = _checked(StartRecord, "start_record", arguments)
    result = StartRecordResult(file_name=request.file_name)
    return Call("start_record", "record", "start", request, lambda _: result)


def stop_record(**arguments: Any) -> Call[StopRecordResult]:
    """Return the call that stops a recording (0x5, operation 2) and brings its file ids.

    :param arguments: ``room_id``, ``user_id``, ``sdk_type``, ``record_data_type``.
    :raises ConfigurationError: if an argument breaks a rule of the specification; it names the field.
    """
    request = _checked(StopRecord, "stop_record", arguments)
    return Call("stop_record", "record", "stop", request, _stopped_record, _no_recording_to_stop)


def kick_members(**arguments: Any) -> Call[KickMembersResult]:
    """Return the call that removes 1 to 10 members from a room (0x1).

    :param arguments: ``room_id`` and ``user_ids``.
    :raises ConfigurationError: if an argument breaks a rule of the specification; it names the field.
    """
    request = _checked(RemoveMembers, "kick_members", arguments)
    result = KickMembersResult(user_ids=request.accounts)
    return Call("kick_members", "kick", "kick", request, lambda _: result)


def _started_push(body: dict[str, Any], *, taped: bool) -> StartPushResult:
    urls = live_urls(body.get("msg_live_url"))
    tape_task_id = digits(body.get("uint32_tape_task_id"), "uint32_tape_task_id")
    if not urls:
        log.warning("The push is started, but the answer holds no live URL (msg_live_url).")
    if taped and tape_task_id is None:
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


def _stopped_record(body: dict[str, Any]) -> StopRecordResult:
    file_ids, is_whole = texts(body.get("str_fileID"), "str_fileID")
    # A recording was stopped and no id came, or one that nothing can keep: the service owes them, and they come only once.
    status: FileIdsStatus = "complete" if file_ids and is_whole else "lost"
    return StopRecordResult(file_ids=tuple(file_ids), file_ids_status=status)


def _no_push_to_stop(outcome: Outcome) -> StopPushResult:
    return StopPushResult(outcome="gone" if outcome.outcome_class is OutcomeClass.GONE else "already_stopped")


def _no_recording_to_stop(outcome: Outcome) -> StopRecordResult:
    return StopRecordResult(
        outcome="gone" if outcome.outcome_class is OutcomeClass.GONE else "already_stopped", file_ids_status="lost"
    )
