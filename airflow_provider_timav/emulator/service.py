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
from airflow_provider_timav.emulator.protocol import Failure
from airflow_provider_timav.emulator.world import Refused

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from airflow_provider_timav.emulator.faults import Fault, Faults
    from airflow_provider_timav.emulator.journal import Layer
    from airflow_provider_timav.emulator.switches import Switches
    from airflow_provider_timav.emulator.world import World

__all__ = ["Application", "Service"]


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
        """Answer one request, or let the queued fault happen to it; return whether the connection goes on."""
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
            command = protocol.read(document, sdkappid=self._application.sdkappid)
            operation = command.operation
            try:
                result, executed = operation.perform(self._world, self._switches, command)
            except Refused as refused:
                code = (operation.family.base or 0) + refused.code
                raise Failure("body", code, refused.reason) from None
        except Failure as failure:
            return self._failure(document, failure)
        answer = protocol.head_answer(document) if result is None else protocol.body_answer(document, operation, result)
        return _Outcome(document=self._finish(answer), executed=executed)

    def _failure(self, document: object, failure: Failure) -> _Outcome:
        if failure.layer == "gateway":
            answer = protocol.gateway_answer(failure.code, failure.reason)
        elif failure.layer == "head":
            answer = self._finish(protocol.head_answer(document, failure.code, failure.reason), failed=True)
        else:
            answer = self._finish(protocol.failed_body(document, failure.code, failure.reason), failed=True)
        return _Outcome(document=answer, layer=failure.layer, code=failure.code, reason=failure.reason)

    def _finish(self, answer: dict[str, Any], *, failed: bool = False) -> dict[str, Any]:
        """Return an answer in the shape that the switches ask for."""
        body = answer.get("rspbody")
        if body and not self._switches.wrap_body:
            answer = {**answer, "rspbody": next(iter(body.values()))}
        if self._switches.numbers_as_strings:
            answer = _with_strings(answer)
        if self._switches.action_status and not failed:
            answer = {"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": "", **answer}
        return answer


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
    """Send an answer as the fault has it; return whether the connection can go on."""
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


def _with_strings(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_strings(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_with_strings(member) for member in value]
    return str(value) if type(value) is int else value
