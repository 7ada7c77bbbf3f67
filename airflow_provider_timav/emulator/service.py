"""The API: from a request on a connection to an answer, an executed operation, a fault and an entry in the journal."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_timav.emulator import gateway, protocol
from airflow_provider_timav.emulator.faults import NO_FAULT, merge_patch
from airflow_provider_timav.emulator.http import Connection, Request, Response, json_response
from airflow_provider_timav.emulator.journal import JournalEntry
from airflow_provider_timav.emulator.playlist import RATES
from airflow_provider_timav.emulator.protocol import Failure, Operation
from airflow_provider_timav.emulator.world import Identity, Refused

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from airflow_provider_timav.emulator.faults import Fault, Faults
    from airflow_provider_timav.emulator.journal import Layer
    from airflow_provider_timav.emulator.switches import Switches
    from airflow_provider_timav.emulator.world import World


@dataclass(frozen=True, kw_only=True)
class Application:
    """Who may call: the application's number and key, and its administrator."""

    sdkappid: int
    identifier: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What a request came to: the answer's document, and what the journal says of it."""

    document: Any
    executed: bool = False
    layer: Layer | None = "body"
    code: int | None = 0
    reason: str = ""


class Service:
    """Answers requests. State is touched under `lock` only, because the emulator's methods run in other threads."""

    def __init__(
        self,
        *,
        application: Application,
        world: World,
        faults: Faults,
        switches: Switches,
        lock: threading.RLock,
        clock: Callable[[], float],
        record: Callable[[JournalEntry], None],
    ) -> None:
        self._application = application
        self._world = world
        self._faults = faults
        self._switches = switches
        self._lock = lock
        self._clock = clock
        self._record = record

    async def handle(self, connection: Connection, request: Request) -> bool:
        """Answers one request, or lets happen to it what is queued; returns whether the connection goes on."""
        try:
            document = protocol.parse(request.body)
        except Failure:
            document = None
        described = protocol.describe(document)
        with self._lock:
            fault = self._faults.take(described.operation) or NO_FAULT
        await asyncio.sleep(fault.delay)
        with self._lock:
            outcome = self._outcome(request, document, fault)
            answer = _encode(outcome, fault, request)
            lost = bool(fault.drop or fault.reset)
            status = None if lost or fault.raw is not None else fault.status or 200
            parameters: dict[str, str] = {}
            with suppress(Failure):
                parameters = gateway.read_query(request.query)
            self._record(
                JournalEntry(
                    at=datetime.fromtimestamp(self._clock(), UTC),
                    connection=connection.number,
                    client=connection.client,
                    method=request.method[:16],
                    path=request.path[:200],
                    operation=described.operation,
                    room_id=described.room_id,
                    user_ids=described.user_ids,
                    kind=described.kind,
                    seq=described.seq,
                    cookie=described.cookie,
                    random=gateway.random_number(parameters),
                    fields=described.fields,
                    fault=str(fault) or None,
                    executed=outcome.executed,
                    layer=outcome.layer,
                    code=outcome.code,
                    reason=outcome.reason,
                    status=status,
                )
            )
        await asyncio.sleep(fault.delay_answer)
        return await _send(connection, answer, fault) and request.keep_alive

    # --- what a request comes to ---------------------------------------------------------------------------------

    def _outcome(self, request: Request, document: Any, fault: Fault) -> _Outcome:
        outcome = self._answer(request) if fault.executes else _Outcome(document=None, layer=None, code=None)
        if fault.code is not None:
            failed = self._failure(document, Failure(fault.layer, fault.code, fault.reason))
            return replace(failed, executed=outcome.executed)
        if fault.status is not None or fault.has_answer or fault.raw is not None:
            return _Outcome(document=fault.answer, executed=outcome.executed, layer=None, code=None)
        if fault.patch is not None:
            return replace(outcome, document=merge_patch(outcome.document, fault.patch))
        return outcome

    def _answer(self, request: Request) -> _Outcome:
        document: object = None
        try:
            gateway.check(
                method=request.method,
                path=request.path,
                query=request.query,
                sdkappid=self._application.sdkappid,
                identifier=self._application.identifier,
                secret_key=self._application.secret_key,
                now=self._clock(),
            )
            document = protocol.parse(request.body)
            operation = protocol.read(document, sdkappid=self._application.sdkappid)
            try:
                result, executed = self._perform(operation)
            except Refused as refused:
                code = protocol.body_code(operation.name, refused.code)
                raise Failure("body", code, refused.reason) from None
        except Failure as failure:
            return self._failure(document, failure)
        return _Outcome(document=self._finish(self._success(document, operation, result)), executed=executed)

    def _success(self, document: object, operation: Operation, result: dict[str, Any]) -> dict[str, Any]:
        if operation.name == "kick_members":
            head_only = protocol.head_answer(document)
            return (
                {**head_only, "rspbody": {"rsp_0x1": {"uint32_result": 0}}} if self._switches.kick_body else head_only
            )
        return protocol.body_answer(document, _sub_cmd(operation), result)

    def _failure(self, document: object, failure: Failure) -> _Outcome:
        if failure.layer == "gateway":
            answer = protocol.gateway_answer(failure.code, failure.reason)
        elif failure.layer == "head":
            answer = self._finish(protocol.head_answer(document, failure.code, failure.reason), failed=True)
        else:
            sub_cmd = _sub_cmd_of(document)
            answer = protocol.body_answer(document, sub_cmd, {}, failure.code, failure.reason)
            answer = self._finish(answer, failed=True)
        return _Outcome(document=answer, layer=failure.layer, code=failure.code, reason=failure.reason)

    def _finish(self, answer: dict[str, Any], *, failed: bool = False) -> dict[str, Any]:
        """Gives an answer the shape that the switches say."""
        body = answer.get("rspbody")
        if body and not self._switches.wrap_body:
            answer = {**answer, "rspbody": next(iter(body.values()))}
        if self._switches.numbers_as_strings:
            answer = _with_strings(answer)
        if self._switches.action_status and not failed:
            answer = {"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": "", **answer}
        return answer

    # --- what an operation does ----------------------------------------------------------------------------------

    def _perform(self, operation: Operation) -> tuple[dict[str, Any], bool]:
        """Executes; returns the result's fields and whether the state changed. Raises Refused."""
        if operation.kind is None:
            # The service confirms nothing here: who is not there, or a room that is not, is no failure.
            left = [self._world.remove(operation.room_id, user_id) for user_id in operation.user_ids]
            return {}, any(left)
        identity = Identity(operation.room_id, operation.user_ids[0], operation.kind)
        if operation.name == "start_push":
            return self._start_push(identity, operation), True
        if operation.name == "stop_push":
            self._world.stop_push(identity)
            return {}, True
        if operation.name == "start_record":
            self._world.start_recording(identity, operation.fields["string_file_name"])
            return {}, True
        ran = len(self._world.recordings)
        recording = self._world.stop_recording(identity)
        return {"str_fileID": list(recording.file_ids)}, len(self._world.recordings) < ran

    def _start_push(self, identity: Identity, operation: Operation) -> dict[str, Any]:
        rates = tuple(RATES[code] for code in operation.fields.get("rpt_rate_type", [0]))
        push = self._world.start_push(
            identity,
            live_code=operation.fields["uint32_live_code"],
            rates=rates,
            tape=bool(operation.fields["uint32_tape_flag"]),
            channel_name=operation.fields.get("str_channel_name"),
        )
        result: dict[str, Any] = {"uint64_channel_id": push.channel_id}
        if push.tape_task_id is not None:
            result["uint32_tape_task_id"] = push.tape_task_id
        result["msg_live_url"] = [
            {
                "uint32_type": live_url.type,
                "string_play_url": live_url.url,
                # Left out for the original rate: so the specification, and so clients must read it.
                **({self._switches.rate_key: live_url.rate} if live_url.rate else {}),
            }
            for live_url in push.live_urls
        ]
        return result


def _encode(outcome: _Outcome, fault: Fault, request: Request) -> bytes:
    if fault.raw is not None:
        return fault.raw.encode() if isinstance(fault.raw, str) else fault.raw
    if fault.status is not None:
        response = Response(status=fault.status, body=fault.body.encode(), headers=fault.headers)
    elif fault.drop or fault.reset:
        return b""
    else:
        response = json_response(outcome.document)
    keep_alive = request.keep_alive and fault.truncate is None
    encoded = response.encode(keep_alive=keep_alive, head_only=request.method == "HEAD")
    if fault.truncate is not None:
        head, separator, body = encoded.partition(b"\r\n\r\n")
        encoded = head + separator + body[: fault.truncate]
    return encoded


async def _send(connection: Connection, answer: bytes, fault: Fault) -> bool:
    """Sends an answer as the fault has it; returns whether the connection can go on."""
    if fault.reset:
        connection.reset()
        return False
    if fault.drop:
        return False
    if fault.drip:
        for place in range(len(answer)):
            await connection.write(answer[place : place + 1])
            await asyncio.sleep(fault.drip)
    else:
        await connection.write(answer)
    return fault.raw is None and fault.truncate is None


def _sub_cmd(operation: Operation) -> int:
    return 6 if operation.name in ("start_push", "stop_push") else 5


def _sub_cmd_of(document: Any) -> int:
    try:
        sub_cmd = document["reqhead"]["uint32_sub_cmd"]
    except (TypeError, KeyError):
        return 6
    return sub_cmd if type(sub_cmd) is int else 6


def _with_strings(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_strings(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_with_strings(member) for member in value]
    return str(value) if type(value) is int else value
