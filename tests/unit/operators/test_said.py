"""What an operation says to the people who read its log: one line for what it did, one for what to do where it failed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.operators._base import TimAVOperator
from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator, StopRecordOperator
from airflow_provider_timav.operators.room import KickMembersOperator
from airflow_provider_timav.videorelay import errors
from airflow_provider_timav.videorelay.outcomes import table
from harness.task import Task

HOST: dict[str, Any] = {"room_id": 10086, "user_id": "host_1"}
KINDS: list[type[errors.TimAVError]] = [
    getattr(errors, name) for name in errors.__all__ if name not in ("TimAVError", "RecordingLost")
]
OPERATORS: dict[str, Callable[[], TimAVOperator]] = {
    "Push of host_1 in room 10086": lambda: StartPushOperator(task_id="start_push", **HOST, wait_for_user=0),
    "Push of host_1 in room 10086 ": lambda: StopPushOperator(task_id="stop_push", **HOST),
    "Recording of host_1 in room 10086": lambda: StartRecordOperator(task_id="start_record", **HOST, wait_for_user=0),
    "Recording of host_1 in room 10086 ": lambda: StopRecordOperator(task_id="stop_record", **HOST),
    "Removal of ['troll'] from room 10086": lambda: KickMembersOperator(
        task_id="kick", room_id=10086, user_ids=["troll"]
    ),
}
IDS = ["start_push", "stop_push", "start_record", "stop_record", "kick"]


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The events that operators have logged: Airflow prints them here, with a time before and the logger behind."""
    lines = re.findall(r"^\S+ \[\w+ *\] (.*?) +\[airflow\.task\.operators\.", capsys.readouterr().out, re.MULTILINE)
    return [re.sub(r"\x1b\[\d*m", "", line) for line in lines]


@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
@pytest.mark.parametrize(("subject", "make"), OPERATORS.items(), ids=IDS)
def test_every_failure_is_one_line_with_what_to_do(
    subject: str,
    make: Callable[[], TimAVOperator],
    kind: type[errors.TimAVError],
    timav_emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(self: TimAVHook) -> Any:
        raise kind("something happened")

    monkeypatch.setattr(TimAVHook, "get_conn", fails)
    with pytest.raises(kind):
        Task(make()).execute()
    expected = f"{subject.strip()}: failed ({kind.__name__}). something happened. {kind.advice}"
    assert [line for line in said(capsys) if "failed (" in line] == [expected]


def test_a_result_code_comes_with_its_own_advice(timav_emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    timav_emulator.close_room(10086)
    with pytest.raises(errors.RoomNotReady):
        Task(StartPushOperator(task_id="start_push", **HOST, wait_for_user=0)).execute()
    (line,) = [line for line in said(capsys) if "failed (" in line]
    assert line.startswith("Push of host_1 in room 10086: failed (RoomNotReady). room ")
    assert line.endswith(
        "Check that the room is open, that the host has entered it, and that room_id and user_id are right."
    )


def test_every_error_has_advice_and_every_code_its_own() -> None:
    kinds: list[type[errors.TimAVError]] = [*KINDS, errors.RecordingLost]
    for kind in kinds:
        assert kind.advice.endswith("."), kind
    assert [row for row in table().values() if not row.advice.endswith(".")] == []


def test_what_is_asked_for_is_folded_and_holds_no_password(
    timav_emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    start = StartPushOperator(task_id="start_push", **HOST, channel_name="News", player_password="pa55word")
    Task(start).execute()
    lines = said(capsys)
    begin, end = lines.index("::group::Arguments"), lines.index("::endgroup::")
    assert lines[begin + 1 : end] == [
        "timav_conn_id: timav_default",
        "room_id: 10086",
        "user_id: host_1",
        "sdk_type: normal",
        "push_data_type: camera",
        "live_code: hls",
        "tape_flag: False",
        "channel_name: News",
        "player_password: ***",
    ]
    assert any(line.startswith("Push of host_1 in room 10086: started.") for line in lines[end:])
    assert not any("pa55word" in line for line in lines)
