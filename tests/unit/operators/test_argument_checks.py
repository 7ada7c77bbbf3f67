"""What is refused when a DAG is parsed: constants that break a rule, by the words that hold after rendering, too."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, task, task_group

from airflow_provider_timav.arguments import short_repr
from airflow_provider_timav.broadcast import Broadcast
from airflow_provider_timav.operators._plan import Plan
from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator, StopRecordOperator
from airflow_provider_timav.operators.room import KickMembersOperator
from airflow_provider_timav.sensors.live_stream import LiveStreamSensor
from airflow_provider_timav.videorelay.errors import ConfigurationError

SHOW: dict[str, Any] = {"room_id": 10086, "user_id": "host_1", "duration": 600}

# Each option and a value that breaks its rule; where the message does not name the option first, what it names.
WRONG: list[dict[str, Any]] = [
    *(
        {"room_id": value}
        for value in (-5, 2**32, "studio", "", None, True, 1.5, "1_000", "+5", "0x10", "1e5", "①", [1], 10**5000)
    ),
    *({"user_id": value} for value in ("", " ", None, True, 1.5, ["a"], "a\0b", "\ud800", "x" * 1025)),
    *({"duration": value} for value in ("1_000", "\u0666\u0660")),
    *({"duration": value} for value in ("45M", 0, "PT0S", -1, True, "soon", "1:30", 10**12, 10**5000, timedelta(0))),
    *({"max_duration": value} for value in (0, "6h", timedelta(days=-1))),
    *({"ends_at": value, "duration": None} for value in ("22:00", "2026-01-01T00:00:00", datetime(2099, 1, 1), 7)),  # noqa: DTZ001
    *({"live_code": value} for value in ("dash", 2, True, ["hls"])),
    *({"rate_types": value} for value in (["4k"], "sd", [], ["sd", "sd"], 10, ["sd", 10], [0, 10, 20, 0])),
    *({"sdk_type": value} for value in ("web", 0)),
    *({"push_data_type": value} for value in ("audio", 2)),
    *({"channel_name": value} for value in (True, ["a"], "a\0", "\udfff", "x" * 1025)),
    *({"player_password": value} for value in (" ", ["0pen*sesame"], "0pen*sesame\0")),
    *({"record": value} for value in ("yes", 2, "on")),
    *({"require_file_ids": value} for value in ("perhaps", 7)),
    *({"file_name": value} for value in (" ", ["a"], "\0")),
    *({"wait_for_user": value} for value in ("soon", -1)),
    *({"grace": value} for value in ("1 min", "+60", -1, [60])),
    *({"skip_if_late": value} for value in ("never", -1)),
    *({"if_already_running": value} for value in ("ignore", 1)),
    *({"until": value} for value in ("dedline", ["deadline"])),
    *({"on_stall": value} for value in ("explode", True)),
    *({"timav_conn_id": value} for value in ("", None, " ", ["a"])),
    {"push_options": {"channel_name": "x"}},
    {"push_options": {"player_password": "0pen*sesame"}},
    {"push_options": {"watermark_flag": "perhaps"}},
    {"push_options": {"watermark_id": 1}},
    {"push_options": {"watermark_id": 1, "watermark_flag": False}},
    {"push_options": {"watermark_id": -1, "watermark_flag": True}},
    {"push_options": {"channel_describe": 1.5}},
    {"push_options": "watermark_flag"},
    {"push_options": '["watermark_flag"]'},
    {"push_options": '{"tags": ["a"]}'},
    {"push_options": []},
    {"push_options": {1: 2}},
    {"record_options": {"tags": 5}},
    {"record_options": {"tags": ["a", ""]}},
    {"record_options": {"class_id": "first", "tags": ["{{ x }}"]}},
    {"record_options": {"transcode": "perhaps"}},
    {"record_options": '{"screenshot": 7}'},
    {"record_options": {"file_name": "x"}},
    {"record_options": 5},
    {"record_options": []},
]
ACROSS: list[dict[str, Any]] = [
    {"duration": None},
    {"duration": ""},
    {"ends_at": "2099-01-01T00:00:00Z"},
]


def option_of(wrong: dict[str, Any]) -> str:
    return next(iter(wrong))


def name_of(wrong: dict[str, Any]) -> str:
    option, value = next(iter(wrong.items()))
    return ascii(f"{option}={short_repr(value)}")


@pytest.mark.parametrize("wrong", WRONG, ids=name_of)
def test_a_broadcast_with_it_is_refused_naming_option_and_rule(wrong: dict[str, Any]) -> None:
    with DAG("x", schedule=None), pytest.raises(ConfigurationError, match=option_of(wrong)) as refused:
        Broadcast(**{**SHOW, **wrong})
    named = refused.value.field
    assert named == option_of(wrong) or f"{option_of(wrong)}: {named}" in str(refused.value)
    assert "0pen*sesame" not in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("wrong", [*WRONG, *ACROSS], ids=name_of)
def test_the_reservation_refuses_the_same_in_the_same_words(wrong: dict[str, Any]) -> None:
    """As it would where a template has rendered to it."""
    with DAG("x", schedule=None) as dag, pytest.raises(ConfigurationError) as parsed:
        Broadcast(**{**SHOW, **wrong})
    with DAG("x", schedule=None) as dag:
        Broadcast(**SHOW)
    reserve: Any = dag.get_task("broadcast.reserve")
    with pytest.raises(ConfigurationError) as refused:
        Plan.of(replace(reserve.options, **wrong))
    assert (str(refused.value), refused.value.field) == (str(parsed.value), parsed.value.field)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"room_id": "studio"}, "room_id must be a whole number from 0 to 4294967295; it is 'studio'"),
        (
            {"duration": "45M"},
            "duration must be a timedelta, a number of seconds or an ISO 8601 duration such as PT45M, not '45M'",
        ),
        ({"until": "dedline"}, "until must be deadline or stream_ended, not 'dedline'"),
        ({"record": "yes"}, "record must be true or false (1 or 0); it is 'yes'"),
        ({"record_options": {"tags": 5}}, "record_options: tags must be a list, or a JSON list in one string; it is 5"),
        (
            {"rate_types": ["hd", "4k"]},
            "rate_types[1] must be one of 'original', 'sd', 'hd' or 0, 10, 20; it is ['hd', '4k']",
        ),
    ],
    ids=lambda value: None if isinstance(value, str) else option_of(value),
)
def test_the_message_says_all(wrong: dict[str, Any], said: str) -> None:
    with DAG("x", schedule=None), pytest.raises(ConfigurationError) as refused:
        Broadcast(**{**SHOW, **wrong})
    assert str(refused.value) == said


def _given(**kwargs: Any) -> int:
    return 7


@pytest.mark.parametrize(
    "late",
    [
        {"room_id": "{{ params.room }}"},
        {"room_id": "{% if x %}1{% endif %}"},
        {"room_id": "1{# the first #}"},
        {"room_id": _given},
        {"rate_types": ["sd", "{{ params.rate }}"]},
        {"user_id": "  {{ x }}"},
        {"push_options": "{{ params.push | tojson }}"},
        {"push_options": {"watermark_id": 1, "watermark_flag": "{{ x }}"}},
        {"push_options": {"watermark_id": "{{ x }}"}},
        {"record_options": {"tags": "{{ x }}"}},
        {"until": "{{ x }}", "live_code": "rtmp"},
        {"until": "stream_ended", "live_code": "{{ x }}"},
    ],
    ids=lambda late: str(late).split(" at ")[0],
)
def test_what_is_rendered_is_left_to_the_reservation(late: dict[str, Any]) -> None:
    with DAG("x", schedule=None):
        Broadcast(**{**SHOW, **late})


@pytest.mark.parametrize(
    "right",
    [
        {"room_id": " 10086 "},
        {"room_id": "010086"},
        {"user_id": 7},
        {"user_id": "+8613800000000"},
        {"channel_name": "早间节目"},
        {"channel_name": ""},
        {"rate_types": '["sd", 20]'},
        {"rate_types": ("sd",)},
        {"record": " TRUE "},
        {"skip_if_late": None},
        {"wait_for_user": ""},
        {"push_options": ""},
        {"push_options": '{"watermark_flag": true, "watermark_id": 0}'},
        {"record_options": {"tags": "", "class_id": None}},
        {"duration": None, "ends_at": datetime(2099, 1, 1, tzinfo=UTC)},
        {"duration": "", "ends_at": "2099-01-01T00:00:00Z"},
        {"duration": None, "ends_at": "2001-01-01T00:00:00Z"},
    ],
    ids=ascii,
)
def test_what_keeps_the_rules_is_taken(right: dict[str, Any]) -> None:
    """An end that has passed is one that a run will come too late for: the DAG is as good as it was."""
    with DAG("x", schedule=None) as dag:
        Broadcast(**{**SHOW, **right})
    reserve: Any = dag.get_task("broadcast.reserve")
    Plan.of(reserve.options)


OPERATORS: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    *(
        (StartPushOperator, wrong)
        for wrong in (
            {"room_id": -1},
            {"user_id": ""},
            {"tape_flag": "perhaps"},
            {"channel_describe": True},
            {"watermark_id": 3},
            {"push_options": {"watermark_id": 3}},
            {"watermark_flag": False, "push_options": {"watermark_flag": True, "watermark_id": 3}},
            {"watermark_id": 3, "push_options": {"watermark_flag": False}},
            {"watermark_id": 3, "watermark_flag": False, "push_options": "{{ params.push }}"},
            {"rate_types": ["4k"]},
            {"wait_for_user": "soon"},
            {"if_already_running": "retry"},
            {"timav_conn_id": ""},
            {"player_password": "\0"},
            {"push_options": {"tags": ["a"]}},
        )
    ),
    *(
        (StopPushOperator, wrong)
        for wrong in ({"room_id": "1_000"}, {"push_data_type": "audio"}, {"start_task_id": 1.5})
    ),
    *(
        (StartRecordOperator, wrong)
        for wrong in (
            {"user_id": None},
            {"tags": 5},
            {"class_id": "a"},
            {"transcode": "perhaps"},
            {"requested": "perhaps"},
            {"record_data_type": 7},
            {"record_options": {"class_id": -1}},
        )
    ),
    *((StopRecordOperator, wrong) for wrong in ({"sdk_type": "web"}, {"require_file_ids": "perhaps"})),
]


@pytest.mark.parametrize(("operator", "wrong"), OPERATORS, ids=lambda value: getattr(value, "__name__", ascii(value)))
def test_the_single_operators_refuse_theirs(operator: Callable[..., Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=option_of(wrong)):
        operator(task_id="a", **{"room_id": 1, "user_id": "a", **wrong})


@pytest.mark.parametrize("user_ids", [[], "a", ["a"] * 2, ["a", ""], [str(one) for one in range(11)], None])
def test_kicking_members_refuses_its_own(user_ids: Any) -> None:
    with pytest.raises(ConfigurationError, match="user_ids"):
        KickMembersOperator(task_id="a", room_id=1, user_ids=user_ids)


@pytest.mark.parametrize(
    "wrong",
    [{"url": ""}, {"url": "ftp://a/b"}, {"url": 7}, {"until": "deadline"}, {"grace": "soon"}, {"timav_conn_id": True}],
)
def test_the_sensor_refuses_its_own(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=option_of(wrong)):
        LiveStreamSensor(task_id="a", **{"url": "https://cdn.example/a.m3u8", **wrong})


def test_what_is_mapped_is_checked_by_its_task() -> None:
    with DAG("x", schedule=None) as dag:
        StartPushOperator.partial(task_id="a", user_id="a").expand(room_id=[-1])
        LiveStreamSensor.partial(task_id="b").expand(url=["ftp://a/b"])
    push: Any = dag.get_task("a").unmap({"room_id": -1})
    sensor: Any = dag.get_task("b").unmap({"url": "ftp://a/b"})
    assert (push.room_id, sensor.url) == (-1, "ftp://a/b")


class TestOptionsFromElsewhere:
    @pytest.mark.parametrize("option", ["push_options", "record_options"])
    def test_what_a_task_returns(self, option: str) -> None:
        with DAG("x", schedule=None) as dag:

            @task
            def pick() -> dict[str, Any]:
                return {}

            given: Any = {option: pick()}
            Broadcast(**SHOW, **given)
        assert "pick" in dag.get_task("broadcast.reserve").upstream_task_ids

    def test_an_entry_that_a_task_returns(self) -> None:
        with DAG("x", schedule=None) as dag:

            @task
            def pick() -> list[str]:
                return []

            Broadcast(**SHOW, record_options={"tags": pick()})
        assert "pick" in dag.get_task("broadcast.reserve").upstream_task_ids

    def test_arguments_of_a_mapped_group(self) -> None:
        with DAG("x", schedule=None) as dag:

            @task_group
            def room(room_id: Any, push: Any, record: Any) -> None:
                Broadcast(room_id=room_id, user_id="a", duration=5, push_options=push, record_options=record)

            room.expand_kwargs([{"room_id": 1, "push": {"channel_describe": "a"}, "record": '{"tags": ["b"]}'}])
        assert dag.has_task("room.broadcast.result")


def test_checking_them_imports_no_models() -> None:
    program = (
        "import sys\n"
        "from airflow.sdk import DAG\n"
        "from airflow_provider_timav.broadcast import Broadcast\n"
        "with DAG('x', schedule=None): Broadcast(room_id=1, user_id='a', duration=60, push_options={'watermark_flag': True})\n"
        "print(*[name for name in sys.modules if name.startswith('airflow_provider_timav.videorelay.') or name == 'requests'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {
        "airflow_provider_timav.videorelay.errors",
        "airflow_provider_timav.videorelay.bodies",
        "airflow_provider_timav.videorelay.rules",
    }
