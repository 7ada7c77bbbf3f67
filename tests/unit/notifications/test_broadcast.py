"""The notifier that ends the broadcasts of a run, from what callbacks and deadline alerts know of it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.notifications.broadcast import EndBroadcastNotifier
from airflow_provider_timav.videorelay import exchange
from airflow_provider_timav.videorelay.errors import TimAVError
from harness.supervisor import Run, Supervisor


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange.BUDGET, "_left", 0)


def of_run(run_id: str = "manual__1", dag_id: str = "show") -> Any:
    return {"dag_run": SimpleNamespace(dag_id=dag_id, run_id=run_id)}


def on_air(supervisor: Supervisor, emulator: Emulator, run_id: str = "manual__1", **arguments: Any) -> Run:
    emulator.enter(arguments.get("room_id", 10086), "host_1")
    group_id = arguments.pop("group_id", "broadcast")
    run = Run(supervisor, arguments, run_id=run_id, group_id=group_id)
    run.start()
    return run


@pytest.mark.parametrize(
    "context",
    [
        of_run(),
        {"dag_run": {"dag_id": "show", "dag_run_id": "manual__1"}},
        {"dag_run": {"dag_id": "show", "run_id": "manual__1", "conf": {}}},
        {"dag": DAG("show"), "run_id": "manual__1", "reason": "timed_out"},
    ],
    ids=["callback", "deadline", "plain", "callback of a run without a task"],
)
def test_every_broadcast_of_the_run_is_ended_and_no_other(
    context: Any, supervisor: Supervisor, timav_emulator: Emulator
) -> None:
    on_air(supervisor, timav_emulator, group_id="morning")
    on_air(supervisor, timav_emulator, room_id=10087, group_id="evening")
    on_air(supervisor, timav_emulator, "manual__2", room_id=10088)
    EndBroadcastNotifier()(context)
    assert [push.room_id for push in timav_emulator.pushes] == [10088]
    assert [recording.room_id for recording in timav_emulator.recordings] == [10088]


def test_run_of_another_dag_is_left_alone(supervisor: Supervisor, timav_emulator: Emulator) -> None:
    on_air(supervisor, timav_emulator)
    EndBroadcastNotifier()(of_run(dag_id="other"))
    assert len(timav_emulator.pushes) == 1


def test_only_the_named_group_is_ended(supervisor: Supervisor, timav_emulator: Emulator) -> None:
    on_air(supervisor, timav_emulator, group_id="morning")
    on_air(supervisor, timav_emulator, room_id=10087, group_id="evening")
    EndBroadcastNotifier(group_id="evening")(of_run())
    assert [push.room_id for push in timav_emulator.pushes] == [10086]


@pytest.mark.parametrize("group_id", ["", "None", None])
def test_group_that_was_left_empty_is_every_group(
    group_id: str | None, supervisor: Supervisor, timav_emulator: Emulator
) -> None:
    on_air(supervisor, timav_emulator)
    EndBroadcastNotifier(group_id=group_id)(of_run())
    assert not timav_emulator.pushes


def test_another_connection_is_left_alone_and_said(
    supervisor: Supervisor,
    timav_emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", timav_emulator.connection_json())
    on_air(supervisor, timav_emulator, timav_conn_id="other")
    EndBroadcastNotifier()(of_run())
    assert len(timav_emulator.pushes) == 1
    assert "another connection" in capsys.readouterr().out
    EndBroadcastNotifier(timav_conn_id="other")(of_run())
    assert not timav_emulator.pushes


def test_file_ids_are_there_for_the_tasks_that_come_after_it(supervisor: Supervisor, timav_emulator: Emulator) -> None:
    run = on_air(supervisor, timav_emulator)
    EndBroadcastNotifier()(of_run())
    assert supervisor.entries() == {"push", "record"}
    ids = timav_emulator.file_ids(run["start_record"].xcoms["file_name"])
    assert run.execute("stop_record")["file_ids"] == ids
    assert run.execute("stop_push") == {"outcome": "already_stopped"}


def test_what_is_not_ours_is_left_alone(supervisor: Supervisor, timav_emulator: Emulator) -> None:
    from airflow_provider_timav.hooks.timav import TimAVHook

    with TimAVHook() as hook:
        hook.start_push(room_id=10086, user_id="host_1")
    on_air(supervisor, timav_emulator, record=False)
    EndBroadcastNotifier()(of_run())
    assert len(timav_emulator.pushes) == 1


def test_broadcast_that_has_not_begun_does_not_begin(supervisor: Supervisor, timav_emulator: Emulator) -> None:
    run = Run(supervisor)
    run.execute("reserve")
    EndBroadcastNotifier()(of_run())
    with pytest.raises(AirflowFailException, match="was released"):
        run.execute("start_push")
    assert timav_emulator.journal == ()


def test_stop_that_fails_does_not_keep_the_others_and_is_told(supervisor: Supervisor, timav_emulator: Emulator) -> None:
    on_air(supervisor, timav_emulator, group_id="morning")
    on_air(supervisor, timav_emulator, room_id=10087, group_id="evening")
    timav_emulator.fail_next(1, "stop_push", code=20004)
    with pytest.raises(TimAVError):
        EndBroadcastNotifier()(of_run())
    assert len(timav_emulator.pushes) == 1
    assert not timav_emulator.recordings
    EndBroadcastNotifier()(of_run())
    assert not timav_emulator.pushes


def test_entry_that_cannot_be_read_does_not_keep_the_others(supervisor: Supervisor, timav_emulator: Emulator) -> None:
    run = on_air(supervisor, timav_emulator)
    on_air(supervisor, timav_emulator, room_id=10087, group_id="evening")

    def fail(message: Any) -> None:
        broken = type(message).__name__ == "GetVariable" and message.key == run.ledger.variable
        supervisor.failing = {"GetVariable"} if broken else set()

    supervisor.on_message = fail
    with pytest.raises(LookupError):
        EndBroadcastNotifier()(of_run())
    assert [push.room_id for push in timav_emulator.pushes] == [10086]


def test_deadline_alert_awaits_it_in_the_triggerers_loop(supervisor: Supervisor, timav_emulator: Emulator) -> None:
    on_air(supervisor, timav_emulator)
    supervisor.on_loop.clear()

    async def alert() -> None:
        notifier = EndBroadcastNotifier(context={"dag_run": {"dag_id": "show", "dag_run_id": "manual__1"}})
        await notifier

    asyncio.run(alert())
    assert not timav_emulator.pushes
    assert supervisor.on_loop == {False}


def test_its_arguments_are_templates() -> None:
    assert set(EndBroadcastNotifier.template_fields) == {"timav_conn_id", "group_id"}
