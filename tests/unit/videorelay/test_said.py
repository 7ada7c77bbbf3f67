"""What the service says in its own words: quoted, in one clean line, and without what was sent in confidence."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_timav.videorelay import calls
from airflow_provider_timav.videorelay.errors import TimAVError
from airflow_provider_timav.videorelay.exchange import Exchange, RetryBudget, Service
from airflow_provider_timav.videorelay.reply import Reply
from airflow_provider_timav.videorelay.said import LONGEST, fit_to_quote
from airflow_provider_timav.videorelay.usersig import StaticUserSig

USERSIG = "eJw*tzcz2+Value/of-a_UserSig="
PLAYER_PASSWORD = "0pen sesame"


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        pytest.param("sig check failed", "sig check failed", id="plain"),
        pytest.param("签名过期，请重新生成", "签名过期，请重新生成", id="Chinese"),
        pytest.param("one\r\ntwo\tthree\0four", "one two three four", id="control characters"),
        pytest.param("a\u202eb\u200bc\ufeffd", "a b c d", id="format characters"),
        pytest.param("half \ud800 of a pair", "half of a pair", id="half of a surrogate pair"),
        pytest.param("\x1b[31mred", "[31mred", id="a terminal's colours"),
        pytest.param('it is "refused"', "it is 'refused'", id="double quotes"),
        pytest.param(f"sig {'x' * 41} refused", "sig … refused", id="a word as long as a credential"),
        pytest.param("  ", "", id="blank"),
        pytest.param(None, "", id="null"),
        pytest.param({"a": 1}, "", id="an object"),
    ],
)
def test_text_is_one_clean_line(text: Any, quoted: str) -> None:
    assert fit_to_quote(text) == quoted


@given(st.text(st.characters(), max_size=3 * LONGEST))
def test_any_text_is_short_and_can_be_written(text: str) -> None:
    quoted = fit_to_quote(text)
    assert len(quoted) <= LONGEST
    assert not any(unicodedata.category(char)[0] == "C" for char in quoted)
    quoted.encode()


def test_long_text_is_cut_and_says_so() -> None:
    quoted = fit_to_quote("word " * 100_000)
    assert len(quoted) <= LONGEST
    assert quoted.endswith("…")


def refused(answer: dict[str, Any] | bytes) -> TimAVError:
    """Return what a start comes to whose first answer is this one."""
    call = calls.start_push(room_id=1, user_id="a", player_password=PLAYER_PASSWORD)
    service = Service("https://localhost", 1400000001, "admin", StaticUserSig(USERSIG))
    exchange = Exchange(call, service, budget=RetryBudget())
    exchange.next_post()
    with pytest.raises(TimAVError) as failed:
        exchange.answered(Reply(200, answer if isinstance(answer, bytes) else json.dumps(answer).encode()))
    return failed.value


LAYERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "gateway": lambda text: {"ActionStatus": "FAIL", "ErrorCode": 70003, "ErrorInfo": text},
    "head": lambda text: {"reqhead": {"uint32_result": -4, "str_error_msg": text}},
}


@pytest.mark.parametrize("answer", LAYERS.values(), ids=LAYERS.keys())
class TestQuoted:
    def test_refusal_quotes_the_service(self, answer: Any) -> None:
        assert ': "reason: decrypt failed")' in str(refused(answer("reason:\n decrypt failed")))

    @pytest.mark.parametrize(
        "echoed", [USERSIG, "eJw%2Atzcz2%2BValue%2Fof-a_UserSig%3D", PLAYER_PASSWORD], ids=["raw", "encoded", "player"]
    )
    def test_what_was_sent_in_confidence_is_not_quoted(self, answer: Any, echoed: str) -> None:
        error = refused(answer(f"got <{echoed}>"))
        assert 'got <***>"' in str(error)

    def test_text_that_is_none_is_not_quoted(self, answer: Any) -> None:
        for text in (None, 7, ["x"]):
            assert '"' not in str(refused(answer(text)))


def test_what_says_no_more_than_the_table_is_not_said_twice() -> None:
    assert str(refused(LAYERS["gateway"]("usersig CANNOT be parsed"))).count("annot be parsed") == 1


@pytest.mark.parametrize("raw", [b"\n", b"\t", b"\0", b"\x1b", b"\x7f"], ids=repr)
def test_refusal_with_a_raw_control_character_in_its_text_is_a_refusal(raw: bytes) -> None:
    """A text that JSON does not allow hides no code: the refusal would count as maybe executed."""
    error = refused(b'{"ActionStatus":"FAIL","ErrorCode":70003,"ErrorInfo":"Fail to check' + raw + b'userSig"}')
    assert (type(error).__name__, error.executed, error.posts) == ("CredentialError", "no", 1)
