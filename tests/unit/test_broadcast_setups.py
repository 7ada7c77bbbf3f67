"""Setups and teardowns around a broadcast: it begins after the ones, and the others wait until nothing is on air."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, BaseOperator, Label, TaskGroup, chain, task, task_group, teardown

from airflow_provider_timav.broadcast import Broadcast

SHOW: dict[str, Any] = {"room_id": 10086, "user_id": "host_1", "duration": 600}
TASKS = ("reserve", "start_push", "start_record", "on_air", "stop_record", "stop_push", "result")
STOPS = {"stop_record", "stop_push"}


def made(task_id: str) -> Any:
    return EmptyOperator(task_id=task_id).as_setup()  # type: ignore[no-untyped-call]  # Airflow's


def ended(task_id: str) -> Any:
    return EmptyOperator(task_id=task_id).as_teardown()


def before(dag: DAG, task_id: str) -> set[str]:
    return set(dag.get_task(task_id).get_flat_relative_ids(upstream=True))


def holds(
    dag: DAG,
    group: str = "broadcast",
    *,
    setups: tuple[str, ...] = ("create",),
    teardowns: tuple[str, ...] = ("delete",),
) -> None:
    """Hold a DAG to the order: setups, all of the broadcast, teardowns, which wait for each stop by themselves."""
    dag.validate_setup_teardown()  # type: ignore[no-untyped-call]  # Airflow's
    dag.check_cycle()
    for name in TASKS:
        assert set(setups) <= before(dag, f"{group}.{name}"), name
    assert set(setups) <= dag.get_task(f"{group}.reserve").upstream_task_ids
    for one in teardowns:
        assert {f"{group}.{name}" for name in TASKS} <= before(dag, one)
        assert {f"{group}.{name}" for name in STOPS} <= dag.get_task(one).upstream_task_ids


@pytest.mark.parametrize("beside", ["nothing", "before", "after", "a consumer", "another broadcast"])
def test_within_one_block(beside: str) -> None:
    with DAG("x", schedule=None) as dag, made("create") >> ended("delete"):
        if beside == "before":
            EmptyOperator(task_id="other")
        show = Broadcast(**SHOW)
        if beside == "after":
            EmptyOperator(task_id="other")
        if beside == "a consumer":
            EmptyOperator(task_id="other") << show
        if beside == "another broadcast":
            Broadcast("other", **SHOW)
    holds(dag)
    if beside == "another broadcast":
        holds(dag, "other")
    elif beside != "nothing":
        assert dag.get_task("other").downstream_task_ids == {"delete"}


def test_nothing_else_of_it_changes() -> None:
    with DAG("x", schedule=None) as plain:
        Broadcast(**SHOW)
    with DAG("x", schedule=None) as dag, made("create") >> ended("delete"):
        show = Broadcast(**SHOW)
    for name in TASKS:
        here, there = (one.get_task(f"broadcast.{name}") for one in (dag, plain))
        within = {one for one in here.downstream_task_ids if one.startswith("broadcast.")}
        assert (within, here.trigger_rule) == (there.downstream_task_ids, there.trigger_rule)
    assert [one.node_id for one in show.get_roots()] == ["broadcast.reserve"]
    assert [one.node_id for one in show.get_leaves()] == ["broadcast.result"]


def test_several_setups() -> None:
    with DAG("x", schedule=None) as dag:
        setups = [made("one"), made("two")]
        with setups >> ended("delete"):
            Broadcast(**SHOW)
    holds(dag, setups=("one", "two"))


def test_several_teardowns() -> None:
    with DAG("x", schedule=None) as dag:
        create = made("create")
        create >> [ended("one"), ended("two")]
        with create:
            Broadcast(**SHOW)
    holds(dag, teardowns=("one", "two"))


def test_one_block_within_another() -> None:
    with DAG("x", schedule=None) as dag, made("outer") >> ended("last"):
        EmptyOperator(task_id="first")
        with made("create") >> ended("delete"):
            Broadcast(**SHOW)
    holds(dag)
    holds(dag, setups=("create",), teardowns=("delete",))
    assert "outer" in before(dag, "broadcast.reserve")
    assert "delete" in before(dag, "last")


def test_a_setup_without_a_teardown() -> None:
    with DAG("x", schedule=None) as dag, made("create"):
        Broadcast(**SHOW)
        EmptyOperator(task_id="other")
    holds(dag, teardowns=())


def test_in_a_group_within_a_block() -> None:
    with DAG("x", schedule=None) as dag, made("create") >> ended("delete"), TaskGroup("studio"):
        Broadcast(**SHOW)
    holds(dag, "studio.broadcast")


def test_a_block_within_a_mapped_group() -> None:
    with DAG("x", schedule=None) as dag:

        @task_group
        def studio(room_id: int) -> None:
            with made("create") >> ended("delete"):
                Broadcast(room_id=room_id, user_id="a", duration=60)

        studio.expand(room_id=[1, 2])
    holds(dag, "studio.broadcast", setups=("studio.create",), teardowns=("studio.delete",))


def test_a_mapped_group_within_a_block() -> None:
    with DAG("x", schedule=None) as dag, made("create") >> ended("delete"):

        @task_group
        def studio(room_id: int) -> None:
            Broadcast(room_id=room_id, user_id="a", duration=60)

        studio.expand(room_id=[1, 2])
    holds(dag, "studio.broadcast")


def test_after_a_block_there_is_none() -> None:
    with DAG("x", schedule=None) as dag:
        with made("create") >> ended("delete"):
            EmptyOperator(task_id="other")
        Broadcast(**SHOW)
    assert dag.get_task("broadcast.reserve").upstream_task_ids == set()
    assert dag.get_task("delete").upstream_task_ids == {"create", "other"}


@pytest.mark.parametrize(
    "wired", ["show >> delete", "delete << show", "[show] >> delete", "chain", "label", "in a group"]
)
def test_by_arrows(wired: str) -> None:
    with DAG("x", schedule=None) as dag:
        create, delete = made("create"), ended("delete")
        if wired == "in a group":
            with TaskGroup("studio") as around:
                Broadcast(**SHOW)
            create >> around >> delete
        else:
            show = Broadcast(**SHOW)
            if wired == "chain":
                chain(create, show, delete)
            elif wired == "label":
                create >> Label("made") >> show >> Label("over") >> delete
            else:
                create >> show
                eval(wired, {"show": show, "delete": delete})  # noqa: S307 - one of the above
        delete.as_teardown(setups=create)
    holds(dag, "studio.broadcast" if wired == "in a group" else "broadcast")


def test_of_a_teardown_that_takes_what_came_of_it() -> None:
    with DAG("x", schedule=None) as dag:

        @teardown
        def delete(file_ids: Any) -> None: ...

        create = made("create")
        show = Broadcast(**SHOW)
        create >> show
        create >> delete(show.file_ids)
    holds(dag)


def test_a_task_below_that_is_no_teardown_waits_for_the_result_alone() -> None:
    """Or one that runs as soon as anything above has succeeded would run after a broadcast that failed."""
    with DAG("x", schedule=None) as dag:
        after = BaseOperator(task_id="after")
        Broadcast(**SHOW) >> after
    assert dag.get_task("after").upstream_task_ids == {"broadcast.result"}


def test_a_rule_of_default_args_is_left_out_below_a_setup() -> None:
    """Airflow refuses every other rule there."""
    with DAG("x", schedule=None, default_args={"trigger_rule": "none_failed"}) as dag:

        @task(trigger_rule="all_success")
        def other() -> None: ...

        with made("create") >> ended("delete"):
            Broadcast(**SHOW)
            other()
    holds(dag)
