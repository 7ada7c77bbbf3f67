"""The task group as authors see it: how it is wired, what it refuses, and how it stands in a DAG."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator, TaskGroup, TriggerRule, XComArg, task, task_group

from airflow_provider_timav.broadcast import Broadcast
from airflow_provider_timav.leases import Owner
from airflow_provider_timav.videorelay.errors import ConfigurationError

SHOW: dict[str, Any] = {"room_id": 10086, "user_id": "host_1", "duration": 600}
TASKS = ["reserve", "start_push", "start_record", "on_air", "stop_record", "stop_push", "result"]


@pytest.fixture
def dag() -> DAG:
    with DAG("show") as dag:
        Broadcast(**SHOW)
    return dag


def downstream(dag: DAG, name: str, group: str = "broadcast") -> set[str]:
    return {task_id.removeprefix(f"{group}.") for task_id in dag.get_task(f"{group}.{name}").downstream_task_ids}


def serialized(dag: DAG) -> Any:
    from airflow.serialization.serialized_objects import DagSerialization

    return DagSerialization.from_dict(DagSerialization.to_dict(dag))


class TestWiring:
    def test_tasks(self, dag: DAG) -> None:
        assert sorted(dag.task_ids) == sorted(f"broadcast.{name}" for name in TASKS)

    def test_edges(self, dag: DAG) -> None:
        assert downstream(dag, "start_push") == {"start_record"}
        assert downstream(dag, "start_record") == {"on_air"}
        assert downstream(dag, "on_air") == {"stop_record", "stop_push", "result"}
        assert downstream(dag, "stop_record") == downstream(dag, "stop_push") == {"result"}
        assert downstream(dag, "result") == set()
        assert downstream(dag, "reserve") >= {"start_push", "stop_record", "stop_push"}

    def test_a_stop_does_not_wait_for_the_other(self, dag: DAG) -> None:
        for one, other in (("stop_push", "stop_record"), ("stop_record", "stop_push")):
            assert f"broadcast.{other}" not in dag.get_task(f"broadcast.{one}").get_flat_relative_ids(upstream=True)

    def test_setup_and_teardowns(self, dag: DAG) -> None:
        kinds = {name: dag.get_task(f"broadcast.{name}") for name in TASKS}
        assert [name for name in TASKS if kinds[name].is_setup] == ["reserve"]
        assert [name for name in TASKS if kinds[name].is_teardown] == ["stop_record", "stop_push"]

    def test_every_other_task_needs_all_that_came_before(self, dag: DAG) -> None:
        """Or a failed broadcast could end as a run that succeeded."""
        rules = {name: TriggerRule(dag.get_task(f"broadcast.{name}").trigger_rule).value for name in TASKS}
        assert {rules[name] for name in TASKS if not name.startswith("stop")} == {"all_success"}
        assert {rules["stop_push"], rules["stop_record"]} == {"all_done_setup_success"}

    def test_one_root_one_leaf(self) -> None:
        with DAG("show") as dag:
            before, after = (BaseOperator(task_id=task_id) for task_id in ("before", "after"))
            show = Broadcast(**SHOW)
            before >> show >> after
        assert {root.node_id for root in show.get_roots()} == {"broadcast.reserve"}
        assert {leaf.node_id for leaf in show.get_leaves()} == {"broadcast.result"}
        assert dag.get_task("after").upstream_task_ids == {"broadcast.result"}
        assert dag.get_task("before").downstream_task_ids == {"broadcast.reserve"}

    def test_what_consumes_the_result_waits_for_it_alone(self) -> None:
        with DAG("show") as dag:

            @task
            def publish(file_ids: Any) -> None:
                pass

            @task
            def announce(url: Any) -> None:
                pass

            show = Broadcast(**SHOW)
            publish(show.file_ids)
            announce(show.hls_url)
        assert dag.get_task("publish").upstream_task_ids == {"broadcast.result"}
        assert dag.get_task("announce").upstream_task_ids == {"broadcast.start_push"}


@pytest.mark.parametrize(
    ("attribute", "task_id"),
    [
        ("live_urls", "start_push"),
        ("hls_url", "start_push"),
        ("rtmp_url", "start_push"),
        ("channel_id", "start_push"),
        ("file_ids", "result"),
        ("outcome", "result"),
    ],
)
def test_attributes(attribute: str, task_id: str) -> None:
    with DAG("show"):
        output: Any = getattr(Broadcast(**SHOW), attribute)
    assert isinstance(output, XComArg)
    assert (output.operator.task_id, output.key) == (f"broadcast.{task_id}", attribute)  # type: ignore[attr-defined]


class TestArguments:
    def test_place_is_the_one_that_was_reserved(self, dag: DAG) -> None:
        """A template could render to another room by the time of the stop."""
        for name in ("start_push", "start_record", "stop_record", "stop_push"):
            operator: Any = dag.get_task(f"broadcast.{name}")
            for argument in ("lease", "room_id", "user_id", "sdk_type"):
                assert getattr(operator, argument).operator.task_id == "broadcast.reserve"

    @pytest.mark.parametrize("times", [{}, {"duration": None}, {"duration": 60, "ends_at": "2099-01-01T00:00:00Z"}])
    def test_exactly_one_end(self, times: dict[str, Any]) -> None:
        with DAG("show"), pytest.raises(ConfigurationError, match="exactly one of duration and ends_at") as refused:
            Broadcast(room_id=1, user_id="a", **times)
        assert refused.value.field == "duration"

    @pytest.mark.parametrize(
        "times",
        [
            {"duration": "{{ params.duration }}"},
            {"ends_at": "{{ params.ends_at }}"},
            {"ends_at": datetime(2099, 1, 1, tzinfo=UTC)},
            {"duration": timedelta(minutes=5)},
        ],
    )
    def test_templates_count_as_given(self, times: dict[str, Any]) -> None:
        with DAG("show"):
            Broadcast(room_id=1, user_id="a", **times)

    def test_unknown_option_is_an_error(self) -> None:
        with DAG("show"), pytest.raises(TypeError, match="room"):
            Broadcast(**SHOW, room=1)

    def test_options_of_push_and_recording_reach_their_tasks(self) -> None:
        with DAG("show") as dag:
            Broadcast(**SHOW, push_options={"watermark_flag": "{{ x }}"}, record_options={"tags": ["news"]})
        start_push: Any = dag.get_task("broadcast.start_push")
        start_record: Any = dag.get_task("broadcast.start_record")
        assert start_push.push_options == {"watermark_flag": "{{ x }}"}
        assert start_record.record_options == {"tags": ["news"]}

    def test_options_are_not_changed(self) -> None:
        given: dict[str, Any] = {"watermark_flag": True}
        with DAG("show"):
            Broadcast(**SHOW, push_options=given)
        assert given == {"watermark_flag": True}

    def test_default_args_of_the_dag_count(self) -> None:
        with DAG("show", default_args={"retries": 2, "retry_delay": timedelta(minutes=2)}) as dag:
            Broadcast(**SHOW)
        assert {dag.get_task(f"broadcast.{name}").retries for name in TASKS} == {2}

    def test_without_them_stops_and_on_air_try_again(self, dag: DAG) -> None:
        retries = {name: dag.get_task(f"broadcast.{name}").retries for name in TASKS}
        assert {name: count for name, count in retries.items() if count} == {
            "on_air": 1,
            "stop_record": 5,
            "stop_push": 5,
        }


class TestGroupKeywords:
    """What Airflow's own task groups take."""

    @pytest.mark.parametrize(
        "keyword",
        [
            {"tooltip": "t"},
            {"group_display_name": "Morning"},
            {"ui_color": "#fff"},
            {"ui_fgcolor": "#000"},
            {"doc_md": "# Show"},
            {"default_args": {"retries": 3}},
        ],
        ids=lambda keyword: next(iter(keyword)),
    )
    def test_it_is_the_groups(self, keyword: dict[str, Any]) -> None:
        with DAG("show"):
            show = Broadcast(**SHOW, **keyword)
        ((name, value),) = keyword.items()
        assert getattr(show, name) == value

    def test_a_dag_without_its_block(self) -> None:
        dag = DAG("show")
        show = Broadcast(dag=dag, **SHOW)
        assert sorted(dag.task_ids) == sorted(f"broadcast.{name}" for name in TASKS)
        assert show.recordings.name == "timav://recordings/show/broadcast"
        assert set(serialized(dag).task_ids) == set(dag.task_ids)

    def test_a_group_around_it_without_its_block(self) -> None:
        with DAG("show", default_args={"retries": 1}) as dag:
            outer = TaskGroup("studio")
        outer.default_args["timav_conn_id"] = "studio"
        Broadcast(parent_group=outer, **SHOW)
        reserve: Any = dag.get_task("studio.broadcast.reserve")
        assert (reserve.timav_conn_id, reserve.retries) == ("studio", 1)

    def test_the_same_id_twice_with_a_suffix(self) -> None:
        with DAG("show") as dag:
            Broadcast(**SHOW)
            second = Broadcast(**SHOW, add_suffix_on_collision=True)
        assert dag.has_task("broadcast__1.result")
        assert second.recordings.name == "timav://recordings/show/broadcast__1"

    @pytest.mark.parametrize("nested", [False, True])
    def test_without_a_prefix_it_is_wired_alike(self, nested: bool) -> None:
        with DAG("show") as dag:
            if nested:
                with TaskGroup("studio"):
                    show = Broadcast(**SHOW, prefix_group_id=False)
            else:
                show = Broadcast(**SHOW, prefix_group_id=False)
        assert sorted(dag.task_ids) == sorted(TASKS)
        stop: Any = dag.get_task("stop_push")
        assert (stop.start_task_id, stop.upstream_task_ids) == ("start_push", {"on_air", "reserve"})
        output: Any = show.file_ids
        assert output.operator.task_id == "result"
        owner = Owner("show", "run", "")
        assert {owner.task(name).task_id for name in TASKS} == set(TASKS)

    @pytest.mark.parametrize(
        "keyword", ["tooltop", "children", "upstream_task_ids", "group", "retries", "pool", "trigger_rule"]
    )
    def test_any_other_is_an_error(self, keyword: str) -> None:
        given: Any = {keyword: 1}
        with DAG("show"), pytest.raises(TypeError, match=f"unexpected keyword argument '{keyword}'"):
            Broadcast(**SHOW, **given)


class TestPlaces:
    def test_in_a_loop(self) -> None:
        with DAG("show") as dag:
            for room_id in (1, 2, 3):
                Broadcast(f"room_{room_id}", room_id=room_id, user_id="host_1", duration=60)
        assert len(dag.task_ids) == 3 * len(TASKS)
        for room_id in (1, 2, 3):
            start: Any = dag.get_task(f"room_{room_id}.start_push")
            assert start.room_id.operator.task_id == f"room_{room_id}.reserve"
            assert downstream(dag, "stop_push", f"room_{room_id}") == {"result"}

    def test_one_after_the_other_in_one_room(self) -> None:
        with DAG("show") as dag:
            Broadcast("morning", **SHOW) >> Broadcast("evening", **SHOW)
        assert dag.get_task("evening.reserve").upstream_task_ids == {"morning.result"}

    def test_in_a_group(self) -> None:
        with DAG("show") as dag, TaskGroup("studio"):
            Broadcast(**SHOW)
        stop: Any = dag.get_task("studio.broadcast.stop_push")
        assert stop.start_task_id == "studio.broadcast.start_push"

    def test_in_an_expanded_group(self) -> None:
        with DAG("show") as dag:

            @task_group
            def studio(room_id: int) -> None:
                Broadcast(room_id=room_id, user_id="host_1", duration=60)

            studio.expand(room_id=[1, 2, 3])
        reserve = dag.get_task("studio.broadcast.reserve")
        assert reserve.is_setup
        assert dag.get_task("studio.broadcast.stop_push").is_teardown
        again = serialized(dag)
        assert set(again.task_ids) == set(dag.task_ids)

    def test_it_comes_back_from_the_database(self, dag: DAG) -> None:
        again = serialized(dag)
        assert sorted(again.task_ids) == sorted(dag.task_ids)
        for name in TASKS:
            here, there = (one.get_task(f"broadcast.{name}") for one in (dag, again))
            assert (there.is_setup, there.is_teardown) == (here.is_setup, here.is_teardown)
            assert there.downstream_task_ids == here.downstream_task_ids
            assert there.retries == here.retries

    def test_callback_does_not_keep_it_from_the_database(self) -> None:
        with DAG("show") as dag:
            Broadcast(**SHOW, on_stall="notify", on_stall_callback=print)
        assert serialized(dag).task_ids

    def test_template_of_a_password_stays_a_template_there(self) -> None:
        import json

        from airflow.serialization.serialized_objects import DagSerialization

        with DAG("show") as dag:
            Broadcast(**SHOW, player_password="{{ var.value.player_password }}")
        assert "{{ var.value.player_password }}" in json.dumps(DagSerialization.to_dict(dag))
