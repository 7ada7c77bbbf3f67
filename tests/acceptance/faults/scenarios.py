"""The cases of the catalogue that take a task, or more than one operation: what came before, what comes after."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRescheduleException

from airflow_provider_timav.emulator import Emulator, Switches
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.operators._intent import Intent
from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator, StopRecordOperator
from airflow_provider_timav.videorelay.client import Client
from airflow_provider_timav.videorelay.errors import (
    AlreadyRunning,
    AmbiguousOutcome,
    ConfigurationError,
    RecordingLost,
    RoomNotReady,
)
from harness.killing import executed, told_to_end
from harness.peer import Peer
from harness.task import Store, Task
from tests.acceptance.faults.stage import HOST, PLAYER_PASSWORD

__all__ = ["SCENARIOS", "Play"]

ROOM = 10086
WHO: dict[str, Any] = {"room_id": ROOM, "user_id": HOST}
KINDS = ("push", "record")


class Killed(BaseException):
    """The process ends here; nothing of it runs on."""


@dataclass
class Play:
    """An emulator, tasks against it, and the truth."""

    emulator: Emulator
    monkeypatch: pytest.MonkeyPatch
    log: list[str]

    def connect(self, emulator: Emulator, **changes: Any) -> None:
        """Have the connection lead to another emulator, or hold other values."""
        connection = emulator.connection()
        connection["extra"] |= changes
        self.monkeypatch.setenv("AIRFLOW_CONN_TIMAV_DEFAULT", json.dumps(connection))

    def start(self, kind: str, **arguments: Any) -> Task:
        """A start task."""
        given = {**WHO, "wait_for_user": 0, **arguments}
        if kind == "push":
            return Task(StartPushOperator(task_id="start", **{"player_password": PLAYER_PASSWORD, **given}))
        return Task(StartRecordOperator(task_id="start", **given))

    def stop(self, kind: str, of: Task | None = None, **arguments: Any) -> Task:
        """A stop task, of what the task ``of`` has started."""
        operator = StopPushOperator if kind == "push" else StopRecordOperator
        named = {} if of is None else {"start_task_id": "start"}
        return Task(operator(task_id="stop", **WHO, **named, **arguments), peers={} if of is None else {"start": of})

    def start_elsewhere(self, kind: str, **arguments: Any) -> None:
        """Another caller starts one."""
        with TimAVHook() as hook:
            if kind == "push":
                hook.start_push(**WHO, **arguments)
            else:
                hook.start_record(**WHO, **{"file_name": "theirs", **arguments})

    def stop_elsewhere(self, kind: str) -> None:
        """Another caller stops it."""
        with TimAVHook() as hook:
            hook.stop_push(**WHO) if kind == "push" else hook.stop_record(**WHO)

    def running(self, kind: str, emulator: Emulator | None = None) -> int:
        """How many run now."""
        found = emulator or self.emulator
        return len(found.pushes if kind == "push" else found.recordings)

    def effective(self, operation: str) -> int:
        """How often the service has done it."""
        return sum(entry.executed for entry in self.emulator.journal if entry.operation == operation)

    def dies(self, where: Any, name: str) -> Any:
        """Within the block, the process ends instead of calling this."""
        return _patched(where, name, _die)


SCENARIOS: dict[str, Callable[[Play], None]] = {}
Scenario = Callable[..., None]


def scenario(number: str, what: str, **arguments: Any) -> Callable[[Scenario], Scenario]:
    """Enter a scenario under its number; with arguments, it may be entered several times."""

    def entered(play: Scenario) -> Scenario:
        SCENARIOS[f"{number} {what}"] = functools.partial(play, **arguments)
        return play

    return entered


def _die(*_: Any, **__: Any) -> None:
    raise Killed


@contextmanager
def _patched(where: Any, name: str, value: Any) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, name, value)
        yield


# --- T18: key material and credentials that change -------------------------------------------------------------------


@scenario("T18", "certificate changed between start and stop")
def certificate_changed(play: Play) -> None:
    with Peer(play.emulator) as peer:
        for name, task in (("first", play.start("push")), ("second", play.stop("push"))):
            certificate, key = play.emulator.certificates.issue_client(common_name=name)
            connection = play.emulator.connection(client_cert=certificate, private_key=key) | {"port": peer.port}
            play.monkeypatch.setenv("AIRFLOW_CONN_TIMAV_DEFAULT", json.dumps(connection))
            task.execute()
        assert peer.clients == ["first", "second"]
    assert play.running("push") == 0


@scenario("T18", "UserSig changed between two tries of a stop")
def usersig_changed(play: Play) -> None:
    play.start("push").execute()
    stale = play.emulator.sign(issued_at=time.time() - 200 * 86400)
    connection = play.emulator.connection() | {"password": stale}
    play.monkeypatch.setenv("AIRFLOW_CONN_TIMAV_DEFAULT", json.dumps(connection))
    stop = play.stop("push")
    with pytest.raises(Exception, match=r"stop_push in room 10086 for host_1: .*UserSig") as refused:
        stop.execute()
    assert getattr(refused.value, "retryable", False)
    play.connect(play.emulator)
    assert stop.execute()["outcome"] == "stopped"


# --- M: what answers mean --------------------------------------------------------------------------------------------


@scenario("M1", "own answer lost, push", kind="push", outcome="restarted")
@scenario("M1", "own answer lost, recording", kind="record", outcome="adopted")
def own_answer_lost(play: Play, kind: str, outcome: str) -> None:
    play.emulator.fail_next(1, f"start_{kind}", drop="after")
    task = play.start(kind)
    result = task.execute()
    assert result["outcome"] == outcome
    assert play.running(kind) == 1
    if kind == "push":
        assert result["hls_url"] in play.emulator.pushes[0].urls
    else:
        assert result["file_name"] == play.emulator.recordings[0].file_name


@scenario("M2", "a foreign push, recover", kind="push", policy="recover")
@scenario("M2", "a foreign push, fail", kind="push", policy="fail")
@scenario("M2", "a foreign push, restart", kind="push", policy="restart")
@scenario("M2", "a foreign recording, recover", kind="record", policy="recover")
@scenario("M2", "a foreign recording, fail", kind="record", policy="fail")
@scenario("M2", "a foreign recording, restart", kind="record", policy="restart")
def a_foreign_one(play: Play, kind: str, policy: str) -> None:
    play.start_elsewhere(kind)
    task = play.start(kind, if_already_running=policy)
    if policy == "fail":
        with pytest.raises(AlreadyRunning):
            task.execute()
    else:
        assert task.execute()["outcome"] == ("adopted" if policy == "recover" else "restarted")
    taken = policy == "restart"
    assert task.xcoms["claim"] == ("ours" if taken else "foreign")
    assert play.effective(f"stop_{kind}") == int(taken)
    stop = play.stop(kind, of=task)
    assert stop.execute()["outcome"] == ("stopped" if taken else "not_ours")
    assert play.running(kind) == int(not taken)


@scenario("M3", "first stop of ours finds it stopped, 412, push", kind="push", code=412)
@scenario("M3", "first stop of ours finds it stopped, 413, push", kind="push", code=413)
@scenario("M3", "first stop of ours finds it stopped, 412, recording", kind="record", code=412)
@scenario("M3", "first stop of ours finds it stopped, 413, recording", kind="record", code=413)
def stopped_by_another(play: Play, kind: str, code: Any) -> None:
    with Emulator(switches=Switches(repeated_stop=code)) as emulator:
        play.connect(emulator)
        start = play.start(kind)
        start.execute()
        play.stop_elsewhere(kind)
        stop = play.stop(kind, of=start)
        result = stop.execute()
        assert result["outcome"] == "already_stopped"
        if kind == "record":
            assert (result["file_ids"], result["file_ids_status"]) == ([], "lost")


@scenario("M4", "second stop of a recording has the ids of the first")
def ids_of_the_first_stop(play: Play) -> None:
    start = play.start("record")
    start.execute()
    stop = play.stop("record", of=start)
    first = stop.execute()
    assert first["file_ids"]
    second = stop.execute()
    assert (second["file_ids"], second["file_ids_status"]) == (first["file_ids"], "recovered")


@scenario("M5", "file ids missing", ids=None)
@scenario("M5", "file ids empty", ids=[])
@scenario("M5", "file ids of nothing", ids=[""])
def no_file_ids(play: Play, ids: Any) -> None:
    for required in (False, True):
        start = play.start("record")
        name = start.execute()["file_name"]
        play.emulator.fail_next(1, "stop_record", patch={"rspbody": {"rsp_0x5": {"str_fileID": ids}}})
        stop = play.stop("record", of=start, require_file_ids=required)
        if required:
            with pytest.raises(RecordingLost, match=name) as lost:
                stop.execute()
            assert not lost.value.retryable
        else:
            result = stop.execute()
            assert (result["outcome"], result["file_ids_status"]) == ("stopped", "lost")
        assert play.running("record") == 0


@scenario("M6", "push that is recorded and brings no task id", tape_flag=True)
@scenario("M6", "push that is not recorded", tape_flag=False)
def no_tape_task(play: Play, tape_flag: bool) -> None:
    play.emulator.fail_next(1, "start_push", patch={"rspbody": {"rsp_0x6": {"uint32_tape_task_id": None}}})
    result = play.start("push", tape_flag=tape_flag).execute()
    assert result["outcome"] == "started"
    assert "tape_task_id" not in result
    assert any("uint32_tape_task_id" in line for line in play.log) is tape_flag


@scenario("M8", "30000415 without an intent of ours")
def doubtful(play: Play) -> None:
    with Emulator(rooms={ROOM: []}, switches=Switches(absent_recorder=415)) as emulator:
        play.connect(emulator)
        task = play.start("record", wait_for_user=300)
        with pytest.raises(AirflowRescheduleException):
            task.execute()
        emulator.enter(ROOM, HOST)
        assert task.execute()["outcome"] == "started"
        assert task.xcoms["claim"] == "ours"


@scenario("M9", "user who comes late, push", kind="push", closed=False)
@scenario("M9", "room that opens late, push", kind="push", closed=True)
@scenario("M9", "user who comes late, recording", kind="record", closed=False)
@scenario("M9", "room that opens late, recording", kind="record", closed=True)
def late(play: Play, kind: str, closed: bool) -> None:
    if closed:
        play.emulator.close_room(ROOM)
    else:
        play.emulator.leave(ROOM, HOST)
    with pytest.raises(RoomNotReady):
        play.start(kind, wait_for_user=0).execute()
    task = play.start(kind, wait_for_user=300)
    with pytest.raises(AirflowRescheduleException):
        task.execute()
    play.emulator.enter(ROOM, HOST)
    assert task.execute()["outcome"] == "started"
    assert play.running(kind) == 1


@scenario("M10", "user who leaves midway, push", kind="push", closed=False)
@scenario("M10", "room that is closed midway, push", kind="push", closed=True)
@scenario("M10", "user who leaves midway, recording", kind="record", closed=False)
@scenario("M10", "room that is closed midway, recording", kind="record", closed=True)
def left(play: Play, kind: str, closed: bool) -> None:
    with Emulator(switches=Switches(recording_ends_with_host=True)) as emulator:
        play.connect(emulator)
        start = play.start(kind)
        start.execute()
        if closed:
            emulator.close_room(ROOM)
        else:
            emulator.leave(ROOM, HOST)
        result = play.stop(kind, of=start).execute()
        assert result["outcome"] == "gone"
        assert kind == "push" or result["file_ids_status"] == "lost"


@scenario("M11", "answer to the stop lost, push", kind="push")
@scenario("M11", "answer to the stop lost, recording", kind="record")
def stop_lost(play: Play, kind: str) -> None:
    start = play.start(kind)
    start.execute()
    play.emulator.fail_next(3, f"stop_{kind}", drop="after")
    stop = play.stop(kind, of=start)
    with pytest.raises(AmbiguousOutcome) as unknown:
        stop.execute()
    assert unknown.value.retryable
    assert stop.execute()["outcome"] == "already_stopped"
    assert (play.running(kind), play.effective(f"stop_{kind}")) == (0, 1)


# --- A: what becomes of the task -------------------------------------------------------------------------------------


@scenario("A1", "killed before the first post, push", kind="push")
@scenario("A1", "killed before the first post, recording", kind="record")
def killed_before_the_post(play: Play, kind: str) -> None:
    task = play.start(kind)
    with play.dies(Client, "_post"), pytest.raises(Killed):
        task.execute()
    assert play.emulator.journal == ()
    assert task.execute()["outcome"] == "started"
    assert play.running(kind) == 1


@scenario("A2", "killed before the result was noted, push", kind="push", outcome="restarted")
@scenario("A2", "killed before the result was noted, recording", kind="record", outcome="adopted")
def killed_before_the_note(play: Play, kind: str, outcome: str) -> None:
    task = play.start(kind)
    with play.dies(Intent, "settle"), pytest.raises(Killed):
        task.execute()
    assert play.running(kind) == 1
    result = task.execute()
    assert result["outcome"] == outcome
    assert play.running(kind) == 1
    assert kind == "record" or result["hls_url"] in play.emulator.pushes[0].urls


@scenario("A3", "killed before the XCom, push", kind="push")
@scenario("A3", "killed before the XCom, recording", kind="record")
def killed_before_the_xcom(play: Play, kind: str) -> None:
    task = play.start(kind)
    noted = task.execute()
    assert task.execute() == {**noted, "outcome": "recovered"}  # a new try begins without the XComs of the last one
    assert play.effective(f"start_{kind}") == 1


@scenario("A4", "stop of a recording killed before the ids were noted", noted=False)
@scenario("A4", "stop of a recording killed after the ids were noted", noted=True)
def killed_with_the_ids(play: Play, noted: bool) -> None:
    start = play.start("record")
    name = start.execute()["file_name"]
    stop = play.stop("record", of=start)
    if noted:
        stop.execute()
    else:
        with play.dies(Store, "set"), pytest.raises(Killed):
            stop.execute()
    result = stop.execute()
    expected = play.emulator.file_ids(name) if noted else []
    assert (result["file_ids"], result["file_ids_status"]) == (expected, "recovered" if noted else "lost")


@scenario("A5", "told to end with nothing under way, push", kind="push")
@scenario("A5", "told to end with nothing under way, recording", kind="record")
def told_to_end_later(play: Play, kind: str) -> None:
    task = play.start(kind)
    task.execute()
    task.operator.on_kill()
    assert (play.running(kind), play.effective(f"stop_{kind}")) == (0, 1)


@scenario("A6", "told to end while the start is answered, push", kind="push", answers_after=0.5)
@scenario("A6", "told to end while the start is answered, recording", kind="record", answers_after=0.5)
@scenario("A6", "told to end while the start is never answered", kind="push", answers_after=60.0)
def told_to_end_in_flight(play: Play, kind: str, answers_after: float) -> None:
    play.emulator.fail_next(1, f"start_{kind}", delay_answer=answers_after)
    task = play.start(kind)
    with (
        told_to_end(task, executed(play.emulator, f"start_{kind}")),
        pytest.raises(AmbiguousOutcome, match="told to end"),
    ):
        task.execute()
    done = [entry.operation for entry in play.emulator.journal if entry.executed]
    assert done == [f"start_{kind}", f"stop_{kind}"]
    assert play.running(kind) == 0


@scenario("A8", "stop that hangs when the task is told to end")
def stop_that_hangs(play: Play) -> None:
    task = play.start("push")
    task.execute()
    play.emulator.fail_next(9, "stop_push", delay=60.0, execute=False)
    began = time.monotonic()
    task.operator.on_kill()
    assert time.monotonic() - began < 4.0
    assert any("could not be stopped" in line for line in play.log)


@scenario("A13", "start cleared while it runs, push", kind="push", ended=False)
@scenario("A13", "start cleared after its end, push", kind="push", ended=True)
@scenario("A13", "start cleared while it runs, recording", kind="record", ended=False)
@scenario("A13", "start cleared after its end, recording", kind="record", ended=True)
def start_cleared(play: Play, kind: str, ended: bool) -> None:
    task = play.start(kind)
    task.execute()
    if ended:
        play.stop_elsewhere(kind)
    play.emulator.clear_journal()
    assert task.execute()["outcome"] == ("started" if ended else "recovered")
    assert [entry.operation for entry in play.emulator.journal][:1] == [f"start_{kind}"]
    assert play.running(kind) == 1


@scenario("A14", "stop cleared after its end, push", kind="push")
@scenario("A14", "stop cleared after its end, recording", kind="record")
def stop_cleared(play: Play, kind: str) -> None:
    start = play.start(kind)
    start.execute()
    stop = play.stop(kind, of=start)
    first = stop.execute()
    second = stop.execute()
    assert second["outcome"] == "already_stopped"
    assert second.get("file_ids") == first.get("file_ids")


@scenario("A16", "two runs in one room, push", kind="push")
@scenario("A16", "two runs in one room, recording", kind="record")
def two_runs(play: Play, kind: str) -> None:
    first, second = play.start(kind), play.start(kind, if_already_running="fail")
    second.run_id = "manual__2"
    first.execute()
    with pytest.raises(AlreadyRunning):
        second.execute()
    stop = play.stop(kind, of=second)
    stop.run_id = second.run_id
    assert stop.execute()["outcome"] == "not_ours"
    assert play.running(kind) == 1
    assert play.stop(kind, of=first).execute()["outcome"] == "stopped"


@scenario("A19", "connection that does not exist", text=None, error=AirflowNotFoundException)
@scenario("A19", "connection without anything", text='{"conn_type": "timav"}', error=ConfigurationError)
@scenario("A19", "connection with a field that is not known", text="?", error=ConfigurationError)
def no_connection(play: Play, text: str | None, error: type[Exception]) -> None:
    if text is None:
        play.monkeypatch.delenv("AIRFLOW_CONN_TIMAV_DEFAULT")
    elif text == "?":
        play.connect(play.emulator, usersig="eJw")
    else:
        play.monkeypatch.setenv("AIRFLOW_CONN_TIMAV_DEFAULT", text)
    for task in (play.start("push"), play.stop("push"), play.start("record"), play.stop("record")):
        with pytest.raises(error):
            task.execute()
        assert task.store is not None
        assert (task.store.values, task.xcoms) == ({}, {})
    assert play.emulator.connections == 0


@scenario("A20", "no state store, answer lost within the call", within=True)
@scenario("A20", "no state store, answer lost with the try", within=False)
def no_store(play: Play, within: bool) -> None:
    task = play.start("push")
    task.store = None
    play.emulator.fail_next(1 if within else 3, "start_push", drop="after")
    if within:
        assert task.execute()["outcome"] == "restarted"
    else:
        with pytest.raises(AmbiguousOutcome):
            task.execute()
        assert task.execute() == {"outcome": "adopted"}
    assert any("no task_state_store" in line for line in play.log)
    assert play.running("push") == 1


@scenario("A21", "XCom that fails once the start is done, push", kind="push")
@scenario("A21", "XCom that fails once the start is done, recording", kind="record")
def xcom_fails(play: Play, kind: str) -> None:
    task = play.start(kind)
    push, pushed = task.xcom_push, []

    def fails(*, key: str, value: Any) -> None:
        pushed.append((key, value))
        if (key, value) == ("claim", "ours"):
            raise OSError("the XCom backend is away")
        push(key=key, value=value)

    with _patched(task, "xcom_push", fails), pytest.raises(OSError, match="away"):
        task.execute()
    assert ("claim", "ours") in pushed
    result = task.execute()
    assert result["outcome"] == "recovered"
    assert kind == "record" or result["hls_url"] in play.emulator.pushes[0].urls
    assert play.effective(f"start_{kind}") == 1
