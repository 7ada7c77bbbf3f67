"""``default_args`` and a DAG's settings: they reach what they should of a broadcast, and not what the wiring rests on."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jinja2
import pytest
from airflow.sdk import DAG, Asset, BaseOperator, TaskGroup, TriggerRule, task

from airflow_provider_timav.broadcast import Broadcast
from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator, StopRecordOperator
from airflow_provider_timav.operators.room import KickMembersOperator
from airflow_provider_timav.sensors.live_stream import LiveStreamSensor
from airflow_provider_timav.videorelay.errors import ConfigurationError
from harness.project import PROJECT

SHOW: dict[str, Any] = {"room_id": 10086, "user_id": "host_1", "duration": 600}
TASKS = ("reserve", "start_push", "start_record", "on_air", "stop_record", "stop_push", "result")
ALL, NONE = frozenset(TASKS), frozenset[str]()
RESERVE, RESULT = frozenset({"reserve"}), frozenset({"result"})
ASSET = Asset("x://y")


def hook(context: Any, result: Any = None) -> None:
    """Do nothing before or after a task."""


# Of each of Airflow's arguments: a value that is not its default, the attribute it ends in, and the tasks that it reaches.
AIRFLOWS: dict[str, tuple[Any, str, frozenset[str]]] = {
    "owner": ("studio", "owner", ALL),
    "email": ("a@b.example", "email", ALL),
    "email_on_retry": (False, "email_on_retry", ALL),
    "email_on_failure": (False, "email_on_failure", ALL),
    "retries": (7, "retries", ALL),
    "retry_delay": (timedelta(seconds=7), "retry_delay", ALL),
    "retry_exponential_backoff": (2, "retry_exponential_backoff", ALL),
    "max_retry_delay": (timedelta(seconds=70), "max_retry_delay", ALL),
    "retry_policy": (None, "retry_policy", ALL),
    "start_date": (datetime(2027, 1, 1, tzinfo=UTC), "start_date", RESERVE),
    "end_date": (datetime(2027, 1, 1, tzinfo=UTC), "end_date", RESERVE),
    "depends_on_past": (True, "depends_on_past", RESERVE),
    "ignore_first_depends_on_past": (
        not inspect.signature(BaseOperator.__init__).parameters["ignore_first_depends_on_past"].default,
        "ignore_first_depends_on_past",
        RESERVE,
    ),
    "wait_for_past_depends_before_skipping": (True, "wait_for_past_depends_before_skipping", RESERVE),
    "wait_for_downstream": (True, "wait_for_downstream", RESERVE),
    "priority_weight": (7, "priority_weight", ALL),
    "weight_rule": ("absolute", "weight_rule", ALL),
    "queue": ("studio", "queue", ALL),
    "pool": ("studio", "pool", ALL),
    "pool_slots": (2, "pool_slots", ALL),
    "execution_timeout": (timedelta(minutes=5), "execution_timeout", ALL - {"on_air"}),
    "on_execute_callback": ([hook], "on_execute_callback", ALL),
    "on_failure_callback": ([hook], "on_failure_callback", ALL),
    "on_success_callback": ([hook], "on_success_callback", ALL),
    "on_retry_callback": ([hook], "on_retry_callback", ALL),
    "on_skipped_callback": ([hook], "on_skipped_callback", ALL),
    "pre_execute": (hook, "_pre_execute_hook", RESERVE),
    "post_execute": (hook, "_post_execute_hook", RESERVE),
    "trigger_rule": (TriggerRule.NONE_FAILED, "trigger_rule", RESERVE),
    "run_as_user": ("studio", "run_as_user", ALL),
    "map_index_template": ("{{ x }}", "map_index_template", ALL),
    "max_active_tis_per_dag": (1, "max_active_tis_per_dag", RESERVE),
    "max_active_tis_per_dagrun": (1, "max_active_tis_per_dagrun", RESERVE),
    "executor": ("studio", "executor", ALL),
    "executor_config": ({"a": 1}, "executor_config", ALL),
    "do_xcom_push": (False, "do_xcom_push", NONE),
    "multiple_outputs": (False, "multiple_outputs", NONE),
    "inlets": ([ASSET], "inlets", RESERVE),
    "outlets": ([ASSET], "outlets", RESULT),
    "doc": ("a", "doc", ALL),
    "doc_md": ("a", "doc_md", ALL),
    "doc_json": ("a", "doc_json", ALL),
    "doc_yaml": ("a", "doc_yaml", ALL),
    "doc_rst": ("a", "doc_rst", ALL),
    "task_display_name": ("a", "_task_display_name", NONE),
    "logger_name": ("a", "_logger_name", ALL),
    "allow_nested_operators": (False, "allow_nested_operators", ALL),
    "render_template_as_native_obj": (True, "render_template_as_native_obj", ALL),
}
BY_OTHER_MEANS = {"self", "kwargs", "task_id", "dag", "task_group", "default_args", "params", "resources", "sla"}


@pytest.fixture(autouse=True)
def calm() -> Iterator[None]:
    """Let Airflow warn of what it will not have any more."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def tasks_of(dag: DAG, group: str = "broadcast") -> dict[str, Any]:
    return {name: dag.get_task(f"{group}.{name}") for name in TASKS}


def show(**dag: Any) -> dict[str, Any]:
    with DAG("show", schedule=None, **dag) as made:
        Broadcast(**SHOW, record=False)
    made.validate_setup_teardown()  # type: ignore[no-untyped-call]  # Airflow's
    return tasks_of(made)


class TestAirflowsArguments:
    # Dates of a DAG's default_args are the DAG's own.
    @pytest.mark.parametrize(
        ("argument", "of"),
        [(name, of) for name in AIRFLOWS for of in ("dag", "group") if of == "group" or not name.endswith("_date")],
    )
    def test_each_reaches_the_tasks_that_it_should_and_no_other(self, argument: str, of: str) -> None:
        value, attribute, reached = AIRFLOWS[argument]
        usual = show()
        if of == "dag":
            found = show(default_args={argument: value})
        else:
            given: Any = {argument: value}
            with DAG("show", schedule=None) as dag, TaskGroup("studio", default_args=given):
                Broadcast(**SHOW, record=False)
            dag.validate_setup_teardown()  # type: ignore[no-untyped-call]  # Airflow's
            found = tasks_of(dag, "studio.broadcast")
        for name in TASKS:
            seen, before = getattr(found[name], attribute), getattr(usual[name], attribute, None)
            if name in reached:
                assert seen == value, name
            elif attribute == "trigger_rule":
                assert seen == before, name
            else:
                assert seen in (before, None), name

    def test_every_one_is_decided_and_the_docs_say_so(self) -> None:
        decided = AIRFLOWS.keys() | BY_OTHER_MEANS
        assert inspect.signature(BaseOperator.__init__).parameters.keys() == decided
        docs = (PROJECT / "docs" / "broadcast.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| (.+?) \| (.+?) \|", docs.partition("reaches |")[2], re.MULTILINE)
        words = {ALL: "every task", RESERVE: "`reserve`", RESULT: "`result`", NONE: "none"}
        for argument, (_, _, reached) in AIRFLOWS.items():
            (said,) = [where for names, where in rows if f"`{argument}`" in names.split("of the operators")[0]]
            assert said.startswith(words.get(reached, "every task but `on_air`")), argument

    def test_a_group_within_the_dag_wins_over_it(self) -> None:
        with DAG("show", schedule=None, default_args={"retries": 1, "queue": "a"}) as dag:
            Broadcast(**SHOW, default_args={"retries": 2})
        assert {(one.retries, one.queue) for one in tasks_of(dag).values()} == {(2, "a")}

    @pytest.mark.parametrize("rule", TriggerRule)
    def test_no_trigger_rule_takes_the_wiring_apart(self, rule: TriggerRule) -> None:
        rules = {name: one.trigger_rule for name, one in show(default_args={"trigger_rule": rule}).items()}
        assert rules.pop("reserve") == rule
        stops = {rules.pop("stop_push"), rules.pop("stop_record")}
        assert (stops, set(rules.values())) == ({TriggerRule.ALL_DONE_SETUP_SUCCESS}, {TriggerRule.ALL_SUCCESS})

    @pytest.mark.parametrize("outlets", [ASSET, [ASSET], (ASSET,), {ASSET}], ids=["one", "list", "tuple", "set"])
    def test_outlets_are_told_of_once_beside_the_recordings(self, outlets: Any) -> None:
        with DAG("show", schedule=None, default_args={"outlets": outlets}) as dag:
            group = Broadcast(**SHOW)
        found = {name: one.outlets for name, one in tasks_of(dag).items() if one.outlets}
        assert found == {"result": [ASSET, group.recordings]}

    def test_without_retries_on_air_still_has_one(self) -> None:
        found = {name: one.retries for name, one in show(default_args={"retries": 0}).items()}
        assert found == dict.fromkeys(TASKS, 0) | {"on_air": 1}

    def test_parameters_of_the_tasks_are_there(self) -> None:
        found = show(default_args={"params": {"room": 7}})
        assert {one.params["room"] for one in found.values()} == {7}

    @pytest.mark.parametrize("junk", ["task_id", "group_id", "dag", "task_group", "room", "lease", "poke_interval"])
    def test_what_is_no_default_is_passed_over(self, junk: str) -> None:
        assert {one.task_id for one in show(default_args={junk: "x"}).values()} == {
            f"broadcast.{name}" for name in TASKS
        }


class TestOptions:
    def test_of_the_dag_reach_groups_and_operators(self) -> None:
        with DAG("show", schedule=None, default_args={"timav_conn_id": "studio"}) as dag:
            Broadcast(**SHOW)
            StartPushOperator(task_id="start_push", room_id=1, user_id="a")
            StopPushOperator(task_id="stop_push", room_id=1, user_id="a")
            StartRecordOperator(task_id="start_record", room_id=1, user_id="a")
            StopRecordOperator(task_id="stop_record", room_id=1, user_id="a")
            KickMembersOperator(task_id="kick", room_id=1, user_ids=["a"])
            LiveStreamSensor(task_id="live", url="https://cdn.example/a.m3u8")
            StartPushOperator.partial(task_id="mapped", room_id=1).expand(user_id=["a", "b"])
        found: dict[str, Any] = {one.task_id: one for one in dag.tasks}
        mapped = found.pop("mapped")
        assert mapped.unmap({"user_id": "a"}).timav_conn_id == "studio"
        outside = {name for name in found if "." not in name}
        assert {found[name].timav_conn_id for name in outside} == {"studio"}
        assert found["broadcast.reserve"].timav_conn_id == "studio"

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("timav_conn_id", "studio"),
            ("wait_for_user", "PT1M"),
            ("live_code", "hls+rtmp"),
            ("rate_types", ["sd"]),
            ("if_already_running", "fail"),
            ("skip_if_late", None),
            ("push_options", {"channel_describe": "a"}),
            ("record", False),
            ("max_duration", 60),
        ],
    )
    def test_each_option_that_is_not_given_is_taken(self, option: str, value: Any) -> None:
        with DAG("show", schedule=None, default_args={option: value}) as dag:
            Broadcast(**SHOW)
        assert getattr(tasks_of(dag)["reserve"], option) == value

    def test_what_is_given_wins_the_nearest_group_is_next(self) -> None:
        given: Any = {"timav_conn_id": "of_the_group", "user_id": "a"}
        with DAG("show", schedule=None, default_args={"timav_conn_id": "of_the_dag", "room_id": 1}) as dag:
            with TaskGroup("studio", default_args=given):
                Broadcast("one", duration=60)  # type: ignore[call-arg]  # room and user are of default_args
                Broadcast("two", duration=60, timav_conn_id="given")  # type: ignore[call-arg]
                Broadcast("three", duration=60, default_args={"timav_conn_id": "its_own"})  # type: ignore[call-arg]
        found: dict[str, Any] = {one: dag.get_task(f"studio.{one}.reserve") for one in ("one", "two", "three")}
        assert {name: one.timav_conn_id for name, one in found.items()} == {
            "one": "of_the_group",
            "two": "given",
            "three": "its_own",
        }
        assert {(one.room_id, one.user_id) for one in found.values()} == {(1, "a")}

    def test_end_beside_a_duration_of_the_dag_is_refused(self) -> None:
        with (
            DAG("show", schedule=None, default_args={"duration": 3600}),
            pytest.raises(ConfigurationError, match="give exactly one of duration and ends_at"),
        ):
            Broadcast(room_id=1, user_id="a", ends_at="2099-01-01T00:00:00Z")

    def test_none_opts_out(self) -> None:
        with DAG("show", schedule=None, default_args={"duration": 3600}) as dag:
            Broadcast(room_id=1, user_id="a", duration=None, ends_at="2099-01-01T00:00:00Z")
        reserve: Any = tasks_of(dag)["reserve"]
        assert (reserve.duration, reserve.ends_at) == (None, "2099-01-01T00:00:00Z")

    def test_one_that_is_missing_is_named(self) -> None:
        with DAG("show", schedule=None), pytest.raises(TypeError, match="user_id"):
            Broadcast(room_id=1, duration=60)  # type: ignore[call-arg]

    def test_a_wrong_one_is_refused(self) -> None:
        with (
            DAG("show", schedule=None, default_args={"until": "ended"}),
            pytest.raises(ConfigurationError, match="until"),
        ):
            Broadcast(**SHOW)

    @pytest.mark.parametrize("only_the_operators", ["tags", "tape_flag", "channel_describe", "watermark", "requested"])
    def test_what_only_the_operators_within_have_does_not_reach_them(self, only_the_operators: str) -> None:
        usual, found = show(), show(default_args={only_the_operators: "x"})
        for name in ("start_push", "start_record"):
            seen, before = (getattr(one[name], only_the_operators, None) for one in (found, usual))
            assert str(seen) == str(before)


class TestSettingsOfTheDag:
    @pytest.mark.parametrize(
        "settings",
        [
            {"fail_fast": True},
            {"max_active_tasks": 1},
            {"max_active_runs": 1},
            {"template_undefined": jinja2.Undefined},
            {"user_defined_filters": {"shout": str.upper}},
            {"render_template_as_native_obj": True},
            {"end_date": datetime(2027, 1, 1, tzinfo=UTC)},
        ],
        ids=lambda settings: next(iter(settings)),
    )
    def test_it_is_parsed_and_stored(self, settings: dict[str, Any]) -> None:
        from airflow.serialization.serialized_objects import DagSerialization

        with DAG("show", schedule=None, **settings) as dag:
            Broadcast(**SHOW)
        dag.validate_setup_teardown()  # type: ignore[no-untyped-call]  # Airflow's
        assert set(DagSerialization.from_dict(DagSerialization.to_dict(dag)).task_ids) == set(dag.task_ids)

    def test_marks_of_its_own_make_a_template(self) -> None:
        with DAG("show", schedule=None, jinja_environment_kwargs={"variable_start_string": "[["}):
            Broadcast(room_id="[[ params.room ]]", user_id="a", duration=60)
            with pytest.raises(ConfigurationError, match="room_id"):
                Broadcast("other", room_id="{{ params.room }}", user_id="a", duration=60)


def test_tasks_beside_it_keep_their_own() -> None:
    with DAG("show", schedule=None, default_args={"do_xcom_push": False, "depends_on_past": True}) as dag:

        @task
        def other() -> None: ...

        other()
        Broadcast(**SHOW)
    beside: Any = dag.get_task("other")
    assert (beside.do_xcom_push, beside.depends_on_past) == (False, True)
