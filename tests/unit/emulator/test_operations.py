"""The state machine and the validation, as the specification and its result codes say."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_timav.emulator import Emulator, Switches
from airflow_provider_timav.emulator.operations import OPERATIONS
from harness.caller import START_PUSH, START_RECORD, STOP_PUSH, STOP_RECORD, Caller, request
from tests.data import vectors

FAMILIES = [
    pytest.param(6, START_PUSH, STOP_PUSH, 40_000_000, "uint32_push_data_type", id="push"),
    pytest.param(5, START_RECORD, STOP_RECORD, 30_000_000, "uint32_record_data_type", id="record"),
]
each_family = pytest.mark.parametrize(("sub_cmd", "start", "stop", "base", "kind_field"), FAMILIES)
Fields = dict[str, Any]


@each_family
def test_start_and_stop_answer_by_state(
    caller: Caller, sub_cmd: int, start: Fields, stop: Fields, base: int, kind_field: str
) -> None:
    assert caller.code(sub_cmd, stop) == base + 412
    assert caller.code(sub_cmd, start) == 0
    assert caller.code(sub_cmd, start) == base + 415
    assert caller.code(sub_cmd, stop) == 0
    assert caller.code(sub_cmd, stop) == base + 412
    for fields in (start, stop):
        assert caller.code(sub_cmd, fields, room_id=1) == base + 410
        assert caller.code(sub_cmd, fields, users=("stranger",)) == base + 411


@each_family
def test_camera_and_screen_run_side_by_side(
    emulator: Emulator, caller: Caller, sub_cmd: int, start: Fields, stop: Fields, base: int, kind_field: str
) -> None:
    """The identity is room, user and kind of data."""
    assert caller.code(sub_cmd, start) == 0
    assert caller.code(sub_cmd, {**start, kind_field: 1}) == 0
    running = emulator.pushes if sub_cmd == 6 else emulator.recordings
    assert [(item.room_id, item.user_id, item.kind) for item in running] == [
        (10086, "host_1", "camera"),
        (10086, "host_1", "screen"),
    ]
    assert caller.code(sub_cmd, stop) == 0
    running = emulator.pushes if sub_cmd == 6 else emulator.recordings
    assert [item.kind for item in running] == ["screen"]


def test_a_repeated_start_carries_no_urls(caller: Caller) -> None:
    caller.call(6, START_PUSH)
    assert set(caller.call(6, START_PUSH)["rspbody"]["rsp_0x6"]) == {"uint32_result", "str_errorinfo"}


def test_file_ids_come_once_and_are_known_for_good(emulator: Emulator, caller: Caller) -> None:
    caller.call(5, START_RECORD)
    assert emulator.file_ids("10086_news") == []
    (file_id,) = caller.call(5, STOP_RECORD)["rspbody"]["rsp_0x5"]["str_fileID"]
    assert int(file_id) > 2**53
    assert "str_fileID" not in caller.call(5, STOP_RECORD)["rspbody"]["rsp_0x5"]
    assert emulator.file_ids("10086_news") == [file_id]


def test_file_ids_come_again_where_the_switch_says_so() -> None:
    with Emulator(switches=Switches(second_stop_returns_file_ids=True)) as emulator, Caller(emulator) as caller:
        caller.call(5, START_RECORD)
        first = caller.call(5, STOP_RECORD)
        assert caller.call(5, STOP_RECORD) == first
        assert [entry.executed for entry in emulator.journal] == [True, True, False]


def test_live_code_and_rates_decide_the_urls(emulator: Emulator, caller: Caller) -> None:
    answer = caller.call(6, {**START_PUSH, "uint32_live_code": 6, "rpt_rate_type": [0, 20], "uint32_tape_flag": 1})
    body = answer["rspbody"]["rsp_0x6"]
    assert [(url["uint32_type"], url.get("RateType")) for url in body["msg_live_url"]] == [
        (1, None),
        (1, 20),
        (5, None),
        (5, 20),
    ]
    assert body["uint64_channel_id"] > 2**53
    assert body["uint32_tape_task_id"] > 0
    (push,) = emulator.pushes
    assert list(push.urls) == [url["string_play_url"] for url in body["msg_live_url"]]
    assert push.urls[2].startswith("rtmp://")


def test_members_are_removed_and_who_is_not_there_is_no_failure(emulator: Emulator, caller: Caller) -> None:
    emulator.open_room(10086, "a", "b")
    answer = caller.call(1, {}, users=("a", "b", "nobody"))
    assert answer == {"reqhead": {**request(1, {}, users=("a", "b", "nobody"))["reqhead"], **SUCCESS}}
    assert emulator.members(10086) == {"host_1"}
    assert caller.call(1, {}, users=("a",))["reqhead"]["uint32_result"] == 0
    assert [entry.executed for entry in emulator.journal] == [True, False]


SUCCESS = {"uint32_result": 0, "str_error_msg": ""}


def test_a_user_who_is_removed_takes_the_push_along_but_not_the_recording(emulator: Emulator, caller: Caller) -> None:
    caller.call(6, START_PUSH)
    caller.call(5, START_RECORD)
    caller.call(1, {})
    assert emulator.pushes == ()
    assert caller.code(6, STOP_PUSH) == 40000411
    assert caller.call(5, STOP_RECORD)["rspbody"]["rsp_0x5"]["str_fileID"]


def test_what_ends_with_the_host_is_a_switch() -> None:
    switches = Switches(push_ends_with_host=False, recording_ends_with_host=True)
    with Emulator(switches=switches) as emulator, Caller(emulator) as caller:
        caller.call(6, START_PUSH)
        caller.call(5, START_RECORD)
        assert emulator.leave(10086, "host_1")
        assert len(emulator.pushes) == 1
        assert emulator.recordings == ()
        assert len(emulator.file_ids("10086_news")) == 1
        assert caller.code(6, STOP_PUSH) == 0
        assert caller.code(5, STOP_RECORD) == 30000411


def test_a_room_that_closes_ends_all_in_it(emulator: Emulator, caller: Caller) -> None:
    caller.call(6, START_PUSH)
    caller.call(5, START_RECORD)
    assert emulator.close_room(10086)
    assert (emulator.pushes, emulator.recordings) == ((), ())
    assert caller.code(6, STOP_PUSH) == 40000410
    assert not emulator.close_room(10086)


def test_a_host_enters_later() -> None:
    now = 1_800_000_000.0
    with Emulator(rooms={}, clock=lambda: now) as emulator, Caller(emulator) as caller:
        emulator.enter(10086, "host_1", after=30)
        assert caller.code(6, START_PUSH) == 40000410
        now += 29.9
        assert emulator.members(10086) == frozenset()
        now += 0.2
        assert emulator.members(10086) == {"host_1"}
        assert caller.code(6, START_PUSH) == 0
        emulator.enter(10086, "late", after=5)
        emulator.leave(10086, "late")
        now += 10
        assert emulator.members(10086) == {"host_1"}


def test_a_kick_removes_members_and_lets_others_arrive() -> None:
    now = 1_800_000_000.0
    with Emulator(clock=lambda: now) as emulator, Caller(emulator) as caller:
        emulator.enter(10086, "late", after=5)
        caller.call(1, {}, users=("late", "host_1"))
        assert emulator.members(10086) == frozenset()
        now += 10
        assert emulator.members(10086) == {"late"}


def test_codes_with_two_readings_are_switches() -> None:
    with Emulator(switches=Switches(repeated_stop=413, absent_recorder=415)) as emulator, Caller(emulator) as caller:
        assert caller.code(6, STOP_PUSH) == 40000413
        assert caller.code(5, STOP_RECORD) == 30000413
        assert caller.code(5, START_RECORD, users=("stranger",)) == 30000415
        assert caller.code(5, STOP_RECORD, users=("stranger",)) == 30000411


def _without(fields: Fields, name: str) -> Fields:
    return {key: value for key, value in fields.items() if key != name}


WRONG_BODIES = [
    pytest.param(6, _without(START_PUSH, "uint32_oper"), 40000002, id="push without an operation"),
    pytest.param(6, {**START_PUSH, "uint32_oper": 3}, 40000005, id="push with operation 3"),
    pytest.param(6, {**START_PUSH, "uint32_oper": True}, 40000005, id="push with operation true"),
    pytest.param(6, _without(START_PUSH, "uint32_live_code"), 40000003, id="push without a live code"),
    pytest.param(6, {**START_PUSH, "uint32_live_code": 2}, 40000003, id="push with live code 2"),
    pytest.param(6, _without(START_PUSH, "uint32_push_data_type"), 40000004, id="push without a kind"),
    pytest.param(6, {**START_PUSH, "uint32_push_data_type": 2}, 40000004, id="push of kind 2"),
    pytest.param(6, {**START_PUSH, "uint32_push_data_type": False}, 40000004, id="push of kind false"),
    pytest.param(6, _without(START_PUSH, "uint32_sdk_type"), 40000000, id="push without an SDK type"),
    pytest.param(6, _without(START_PUSH, "uint32_tape_flag"), 40000000, id="push without a tape flag"),
    pytest.param(6, {**START_PUSH, "str_chanel_name": "x"}, 40000000, id="push with a misspelt field"),
    pytest.param(6, {**START_PUSH, "rpt_rate_type": [0, 0]}, 40000000, id="push with a rate twice"),
    pytest.param(6, {**START_PUSH, "rpt_rate_type": [11]}, 40000000, id="push with rate 11"),
    pytest.param(6, {**START_PUSH, "uint32_tape_flag": "0"}, 40000000, id="push with a number as a string"),
    pytest.param(6, {**STOP_PUSH, "uint32_live_code": 1}, 40000000, id="stop of a push with a live code"),
    pytest.param(6, {**STOP_PUSH, "uint32_tape_flag": 0}, 40000000, id="stop of a push with a tape flag"),
    pytest.param(6, [], 40000000, id="push that is a list"),
    pytest.param(5, _without(START_RECORD, "uint32_oper"), 30000003, id="recording without an operation"),
    pytest.param(5, {**START_RECORD, "uint32_oper": 0}, 30000000, id="recording with operation 0"),
    pytest.param(5, _without(START_RECORD, "string_file_name"), 30000002, id="recording without a file name"),
    pytest.param(5, {**START_RECORD, "string_file_name": ""}, 30000002, id="recording with an empty file name"),
    pytest.param(5, {**START_RECORD, "uint32_record_data_type": 9}, 30000004, id="recording of kind 9"),
    pytest.param(5, {**START_RECORD, "string_tags": "news"}, 30000000, id="recording with tags that are no list"),
    pytest.param(5, {**START_RECORD, "uint32_IsTranscode": 1}, 30000000, id="recording with a misspelt field"),
    pytest.param(5, {**STOP_RECORD, "string_file_name": "f"}, 30000000, id="stop of a recording with a file name"),
]


@pytest.mark.parametrize(("sub_cmd", "fields", "code"), WRONG_BODIES)
def test_a_wrong_body_is_refused(emulator: Emulator, caller: Caller, sub_cmd: int, fields: object, code: int) -> None:
    assert caller.code(sub_cmd, fields) == code
    assert (emulator.pushes, emulator.recordings) == ((), ())
    assert not emulator.journal[-1].executed


@pytest.mark.parametrize(
    ("sub_cmd", "fields", "code"),
    [(6, {**STOP_PUSH, "uint32_oper": 3}, 40000005), (5, {**STOP_RECORD, "uint32_oper": 3}, 30000000)],
)
def test_an_operation_that_is_not_in_the_table_is_refused_and_stops_nothing(
    emulator: Emulator, caller: Caller, sub_cmd: int, fields: Fields, code: int
) -> None:
    caller.call(6, START_PUSH)
    caller.call(5, START_RECORD)
    assert caller.code(sub_cmd, fields) == code
    assert (len(emulator.pushes), len(emulator.recordings)) == (1, 1)
    entry = emulator.journal[-1]
    assert (entry.operation, entry.executed, entry.code) == (None, False, code)


def test_table_has_the_operations_of_the_golden_vectors() -> None:
    assert set(OPERATIONS) == {case["call"] for case in vectors("requests")["cases"]}


@pytest.mark.parametrize(("sub_cmd", "code"), [(6, 40000001), (5, 30000001)])
def test_no_body_is_refused(caller: Caller, sub_cmd: int, code: int) -> None:
    document: dict[str, Any] = request(sub_cmd, {})
    bodies: list[dict[str, Any]] = [{}, {f"req_{sub_cmd}": {}}]
    for body in bodies:
        answer = caller.post({**document, "reqbody": body})
        assert answer["rspbody"][f"rsp_0x{sub_cmd}"]["uint32_result"] == code
    del document["reqbody"]
    assert caller.post(document)["rspbody"][f"rsp_0x{sub_cmd}"]["uint32_result"] == code


WRONG_HEADS = [
    pytest.param({"uint32_sub_cmd": 7}, -4, id="sub-command 7"),
    pytest.param({"uint32_seq": None}, -4, id="no sequence number"),
    pytest.param({"uint32_seq": "41"}, -4, id="sequence number as a string"),
    pytest.param({"uint32_auth_key": 2**32}, -4, id="room past 32 bits"),
    pytest.param({"uint32_sdk_appid": 1}, -4, id="another application than the URL's"),
    pytest.param({"rpt_to_Account": ["a", "b"]}, -4, id="two accounts"),
    pytest.param({"rpt_to_Account": []}, -4, id="no account"),
    pytest.param({"rpt_to_Account": [""]}, -4, id="an empty account"),
    pytest.param({"rpt_to_account": ["a"]}, -4, id="a misspelt field"),
    pytest.param({"uint32_result": 0}, -4, id="a field of answers"),
    pytest.param({"bytes_cookie_buff": 7}, -4, id="a cookie that is no string"),
    pytest.param({"str_av_token": "x"}, -5, id="an av token"),
]


@pytest.mark.parametrize(("change", "code"), WRONG_HEADS)
def test_a_wrong_head_is_refused(caller: Caller, change: dict[str, object], code: int) -> None:
    document: dict[str, Any] = request(6, START_PUSH)
    document["reqhead"].update(change)
    document["reqhead"] = {name: value for name, value in document["reqhead"].items() if value is not None}
    answer = caller.post(document)
    assert answer["reqhead"]["uint32_result"] == code
    assert "rspbody" not in answer


def test_eleven_members_are_refused(caller: Caller) -> None:
    answer = caller.call(1, {}, users=tuple(f"m{number}" for number in range(11)))
    assert answer["reqhead"]["uint32_result"] == -4


@pytest.mark.parametrize(
    ("document", "code"),
    [
        pytest.param([], -1, id="a list"),
        pytest.param({}, -1, id="no head"),
        pytest.param({"reqhead": 1}, -1, id="a head that is a number"),
        pytest.param({**request(6, START_PUSH), "more": 1}, -1, id="a third part"),
        pytest.param({**request(6, START_PUSH), "reqbody": []}, -2, id="a body that is a list"),
        pytest.param({**request(1, {}), "reqbody": {"req_0x1": {"x": 1}}}, -2, id="fields of a kick"),
    ],
)
def test_what_cannot_be_unpacked_is_refused(caller: Caller, document: object, code: int) -> None:
    assert caller.post(document)["reqhead"]["uint32_result"] == code


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"sdkappid": "x"}, "sdkappid"),
        ({"identifier": ""}, "identifier"),
        ({"api_port": 65536}, "api_port"),
        ({"rooms": {-1: []}}, "room_id"),
        ({"rooms": {1: [""]}}, "user_ids"),
    ],
)
def test_wrong_arguments_name_their_field(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Emulator(**arguments)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("repeated_stop", 410),
        ("playlist_after_stop", "gone"),
        ("wrap_body", 1),
        ("files_per_recording", -1),
        ("first_segment_after", -1.0),
        ("stream_speed", 0),
        ("stream_speed", "fast"),
    ],
)
def test_wrong_switches_name_their_field(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        Switches(**{name: value})
