"""Rendering with native objects: who is put on air is what was written."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest
from airflow.sdk import DAG, BaseOperator, literal

from airflow_provider_timav.broadcast import Broadcast
from airflow_provider_timav.operators._plan import Plan
from airflow_provider_timav.operators.push import StartPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator
from airflow_provider_timav.operators.room import KickMembersOperator
from airflow_provider_timav.sensors.live_stream import LiveStreamSensor
from airflow_provider_timav.videorelay.errors import ConfigurationError

TEXTS = [
    "1_000",
    "+8613800000000",
    "007",
    "1e5",
    "0x10",
    "None",
    "True",
    "[1]",
    "{'a': 1}",
    "1,2",
    "'a'",
    "(1)",
    "1.0",
    " 7 ",
    "...",
    "1 #",
]
PARAMS: dict[str, Any] = {
    "user": "007",
    "number": 8613800000000,
    "room": 10086,
    "users": ["007", "1_000"],
    "none": None,
    "yes": True,
    "push": {"channel_describe": "1_000", "watermark_flag": True},
}


@pytest.fixture(params=["of the DAG", "of the operator"])
def native(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The two ways to ask for native objects."""
    return {"render_template_as_native_obj": True} if request.param == "of the operator" else {}


def rendered(operator: type[BaseOperator], *, native: Any = None, context: Any = None, **arguments: Any) -> Any:
    lenient: Any = jinja2.Undefined
    with DAG("x", schedule=None, render_template_as_native_obj=not native, template_undefined=lenient):
        task: Any = operator(task_id="a", **arguments, **(native or {}))
    task.render_template_fields({"params": PARAMS, **(context or {})})
    return task


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("written", ["constant", "template", "piece by piece", "in a condition"])
def test_a_text_stays_that_text(text: str, written: str, native: dict[str, Any]) -> None:
    source = {
        "constant": text,
        "template": "{{ x }}",
        "piece by piece": "{{ x[:1] }}{{ x[1:] }}",
        "in a condition": "{% if x %}{{ x }}{% endif %}",
    }[written]
    task = rendered(
        StartPushOperator,
        native=native,
        context={"x": text},
        room_id=1,
        user_id=source,
        channel_name=source,
        player_password=source,
        timav_conn_id=source,
        push_options={"channel_describe": source},
    )
    found = (task.user_id, task.channel_name, task.player_password, task.timav_conn_id, task.push_options)
    assert found == (text, text, text, text, {"channel_describe": text})


@pytest.mark.parametrize("text", TEXTS)
def test_so_do_names_tags_and_members(text: str, native: dict[str, Any]) -> None:
    record = rendered(
        StartRecordOperator,
        native=native,
        context={"x": text},
        room_id=1,
        user_id="a",
        file_name="{{ x }}",
        tags=["{{ x }}", "b"],
    )
    assert (record.file_name, record.tags) == (text, [text, "b"])
    kick = rendered(KickMembersOperator, native=native, context={"x": text}, room_id=1, user_ids=["{{ x }}", "b"])
    assert kick.user_ids == [text, "b"]


def test_an_expression_that_stands_alone_gives_its_object(native: dict[str, Any]) -> None:
    task = rendered(
        StartPushOperator,
        native=native,
        room_id="{{ params.room }}",
        user_id="{{ params.number }}",
        rate_types="{{ ['sd', 'hd'] }}",
        watermark_flag="{{ params.yes }}",
        channel_name="{{ params.none }}",
        channel_describe="{{ params.nothing }}",
        push_options="{{ params.push }}",
    )
    assert (task.room_id, task.user_id, task.rate_types) == (10086, 8613800000000, ["sd", "hd"])
    assert (task.watermark_flag, task.channel_name, task.channel_describe) == (True, None, "")
    assert task.push_options == PARAMS["push"]
    kick = rendered(KickMembersOperator, native=native, room_id=1, user_ids="{% if 1 %}{{ params.users }}{% endif %}")
    assert kick.user_ids == ["007", "1_000"]


def test_whole_numbers_become_their_digits() -> None:
    with DAG("x", schedule=None, render_template_as_native_obj=True) as dag:
        Broadcast(
            room_id="{{ params.room }}",
            user_id="{{ params.number }}",
            duration=60,
            channel_name="{{ params.room }}",
            file_name="{{ params.room }}",
            timav_conn_id="{{ params.room }}",
        )
    reserve: Any = dag.get_task("broadcast.reserve")
    reserve.render_template_fields({"params": PARAMS})
    plan = Plan.of(reserve.options)
    assert (plan.key.user_id, plan.key.timav_conn_id, plan.title, plan.file_name) == (
        "8613800000000",
        "10086",
        "10086",
        "10086",
    )


@pytest.mark.parametrize("text", ["1_000", "+5", "0x10", "1e5", "None", "[1]"])
def test_a_room_that_is_no_decimal_digits_is_refused(text: str) -> None:
    with DAG("x", schedule=None, render_template_as_native_obj=True) as dag:
        Broadcast(room_id="{{ x }}", user_id="a", duration=60)
    reserve: Any = dag.get_task("broadcast.reserve")
    reserve.render_template_fields({"x": text})
    with pytest.raises(ConfigurationError, match="room_id must be a whole number"):
        Plan.of(reserve.options)


def test_the_sensors_texts_stay_texts(native: dict[str, Any]) -> None:
    sensor = rendered(
        LiveStreamSensor,
        native=native,
        context={"x": "007"},
        url="https://cdn.example/{{ x }}",
        timav_conn_id="{{ x }}",
    )
    assert (sensor.url, sensor.timav_conn_id) == ("https://cdn.example/007", "007")


def test_what_the_dag_says_of_what_is_undefined_holds(native: dict[str, Any]) -> None:
    with DAG("x", schedule=None, render_template_as_native_obj=True, template_undefined=jinja2.StrictUndefined):
        task = StartPushOperator(task_id="a", room_id=1, user_id="{{ nothing }}", **native)
    with pytest.raises(jinja2.UndefinedError, match="nothing"):
        task.render_template_fields({})


def test_filters_macros_and_marks_of_the_dag_hold() -> None:
    with DAG(
        "x",
        schedule=None,
        render_template_as_native_obj=True,
        user_defined_filters={"shout": str.upper, "two": lambda value: [value, value]},
        user_defined_macros={"studio": "007"},
        jinja_environment_kwargs={"variable_start_string": "[[", "variable_end_string": "]]"},
    ):
        task: Any = StartRecordOperator(task_id="a", room_id=1, user_id="[[ studio ]]", tags="[[ x | shout | two ]]")
    task.render_template_fields({"x": "a"})
    assert (task.user_id, task.tags) == ("007", ["A", "A"])


def test_what_is_marked_as_literal_is_not_rendered(native: dict[str, Any]) -> None:
    task = rendered(StartPushOperator, native=native, room_id=1, user_id=literal("{{ x }}"))
    assert task.user_id == "{{ x }}"


def test_without_native_objects_all_is_airflows_own() -> None:
    with DAG("x", schedule=None):
        task: Any = StartPushOperator(
            task_id="a", room_id="{{ params.room }}", user_id="{{ params.none }}", channel_name="1_000"
        )
    task.render_template_fields({"params": PARAMS})
    assert (task.room_id, task.user_id, task.channel_name) == ("10086", "None", "1_000")
