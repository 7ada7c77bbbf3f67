"""One operation as a conversation: what is sent again, how often, and what a call comes to."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from airflow_provider_timav.videorelay import calls
from airflow_provider_timav.videorelay.errors import (
    AlreadyRunning,
    AmbiguousOutcome,
    ConfigurationError,
    CredentialError,
    RateLimited,
    RequestRejected,
    RoomNotReady,
    ServiceError,
    TimAVError,
    TransportError,
)
from airflow_provider_timav.videorelay.exchange import Exchange, RetryBudget, Service, endpoint
from airflow_provider_timav.videorelay.reply import Reply
from airflow_provider_timav.videorelay.usersig import SignedUserSig, StaticUserSig
from tests.unit.videorelay.peers import Talk, gateway, head, kicked, lost, refused, result

START = calls.start_push(room_id=10086, user_id="host_1")
STOP = calls.stop_push(room_id=10086, user_id="host_1")
STOP_RECORD = calls.stop_record(room_id=10086, user_id="host_1")


def test_success_takes_one_post() -> None:
    talk = Talk(START)
    assert talk.hold(result()).outcome == "started"
    assert talk.posts == 1


def test_every_post_is_a_new_one() -> None:
    """Sequence number, cookie and random number are new each time: none of them is an idempotency key."""
    talk = Talk(START)
    talk.hold(lost(), lost(), result())
    assert len({post.seq for post in talk.sent}) == len({post.cookie for post in talk.sent}) == 3
    assert len({post.url for post in talk.sent}) == 3


@pytest.mark.parametrize(
    ("answers", "posts", "kind"),
    [
        pytest.param([result(40000401)] * 3, 3, ServiceError, id="retry: three posts"),
        pytest.param([gateway(60018)] * 3, 3, RateLimited, id="rate limited: three posts"),
        pytest.param([lost()] * 3, 3, AmbiguousOutcome, id="ambiguous: three posts"),
        pytest.param([refused()] * 3, 3, TransportError, id="not reached: three posts"),
        pytest.param([result(40000001)], 1, RequestRejected, id="fail: one post"),
        pytest.param([result(40000301)], 1, ServiceError, id="fail, perhaps carried out: one post"),
        pytest.param([result(40000411)], 1, RoomNotReady, id="the host is not there: one post"),
        pytest.param([result(40000415)], 1, AlreadyRunning, id="running already: one post"),
        pytest.param(
            [gateway(70001)], 1, CredentialError, id="an expired UserSig that cannot be signed anew: one post"
        ),
        pytest.param([gateway(70050)], 1, CredentialError, id="locked out: one post"),
        pytest.param([head(-2)], 1, RequestRejected, id="head: one post"),
    ],
)
def test_posts_follow_the_class(answers: list[Any], posts: int, kind: type[TimAVError]) -> None:
    talk = Talk(START)
    with pytest.raises(kind) as failed:
        talk.hold(*answers)
    assert type(failed.value) is kind
    assert (talk.posts, failed.value.posts) == (posts, posts)


def test_error_knows_operation_room_and_user() -> None:
    with pytest.raises(
        RequestRejected, match=r"^start_push in room 10086 for host_1: .* Check that every field"
    ) as failed:
        Talk(START).hold(result(40000001))
    assert (failed.value.operation, failed.value.room_id, failed.value.user_ids) == ("start_push", 10086, ("host_1",))


class TestLostAnswer:
    """Sent, outcome unknown: the same operation again, and its "already" code is the answer."""

    def test_first_post_was_lost_before_it_was_executed(self) -> None:
        assert Talk(START).hold(lost(), result()).outcome == "started"

    def test_first_start_was_executed(self) -> None:
        with pytest.raises(AlreadyRunning) as running:
            Talk(START).hold(lost(), result(40000415))
        assert running.value.after_ambiguity

    def test_running_without_a_lost_answer_is_not_ours(self) -> None:
        with pytest.raises(AlreadyRunning) as running:
            Talk(START).hold(result(40000415))
        assert not running.value.after_ambiguity

    def test_first_stop_was_executed(self) -> None:
        assert Talk(STOP).hold(lost(), result(40000412)).outcome == "already_stopped"

    def test_first_stop_of_a_recording_took_the_ids_along(self) -> None:
        stopped = Talk(STOP_RECORD).hold(lost(), result(30000412))
        assert (stopped.outcome, stopped.file_ids, stopped.file_ids_status) == ("already_stopped", (), "lost")

    def test_another_requests_answer_counts_as_lost(self) -> None:
        assert Talk(START).hold(result(seq_off_by=1), result()).outcome == "started"

    def test_failure_to_ask_again_does_not_close_the_question(self) -> None:
        """The first post may have been executed; that the host is gone now says nothing about it."""
        with pytest.raises(AmbiguousOutcome) as failed:
            Talk(START).hold(lost(), refused(), refused())
        assert failed.value.executed == "maybe"

    def test_rejection_after_a_lost_answer_does_not_close_the_question(self) -> None:
        with pytest.raises(AmbiguousOutcome, match="60017"):
            Talk(START).hold(lost(), gateway(60017))

    def test_room_that_is_not_there_closes_it(self) -> None:
        with pytest.raises(RoomNotReady):
            Talk(START).hold(lost(), result(40000410))


def test_stop_of_what_is_not_there_is_a_result() -> None:
    assert Talk(STOP).hold(result(40000410)).outcome == "gone"
    assert Talk(STOP_RECORD).hold(result(30000411)).file_ids_status == "lost"


def test_kick_without_a_body_is_requested() -> None:
    call = calls.kick_members(room_id=7, user_ids=["a", "b"])
    assert Talk(call).hold(kicked()).user_ids == ("a", "b")


@pytest.mark.parametrize(
    ("secret_key", "identifier", "field"), [("k3y\ud800", "admin", "secret_key"), ("k3y", "admin\udfff", "login")]
)
def test_key_that_cannot_sign_is_refused_without_its_text(secret_key: str, identifier: str, field: str) -> None:
    with pytest.raises(ConfigurationError, match=field) as refused:
        SignedUserSig(secret_key, sdkappid=1, identifier=identifier)
    assert refused.value.field == field
    assert "k3y" not in str(refused.value)
    assert (refused.value.__cause__, refused.value.__context__) == (None, None)


class TestRenewal:
    """A connection that holds the secret key signs a new UserSig where one was refused, once."""

    def test_refused_usersig_is_signed_anew(self) -> None:
        talk = Talk(START, signs=True)
        assert talk.hold(gateway(70001), result()).outcome == "started"
        assert [bytes(post.usersig.view) for post in talk.sent] == [b"sig-1", b"sig-2"]
        assert all("usersig=***&" in post.url for post in talk.sent)

    def test_second_refusal_is_final(self) -> None:
        talk = Talk(START, signs=True)
        with pytest.raises(CredentialError):
            talk.hold(gateway(70001), gateway(70001))
        assert talk.posts == 2


class TestPauses:
    def test_retry_after_is_honoured(self) -> None:
        talk = Talk(START)
        talk.hold(Reply(429, b"", retry_after="7"), result())
        assert talk.pauses == [7.0]

    def test_pauses_are_jittered_and_bounded(self) -> None:
        found = set()
        for _ in range(50):
            talk = Talk(START)
            talk.hold(lost(), result())
            found.update(talk.pauses)
        assert all(0.5 <= pause <= 2.0 for pause in found)
        assert len(found) > 40

    def test_operation_ends_within_its_time(self) -> None:
        talk = Talk(START, seconds_per_post=20.0)
        with pytest.raises(AmbiguousOutcome):
            talk.hold(*[Reply(500, b"")] * 3)
        assert talk.now <= 60.0

    def test_post_gets_no_more_time_than_is_left(self) -> None:
        clock = itertools.count(0.0, 13.0)
        asked = Exchange(START, Talk.service(), seconds=30.0, clock=lambda: next(clock))
        assert asked.next_post().seconds == 17.0

    def test_outage_is_not_tripled(self) -> None:
        """Once the process has spent its budget on repeats, each call posts once; a success earns one back."""
        budget = RetryBudget(size=2)
        posts = []
        for _ in range(3):
            talk = Talk(START, budget=budget)
            with pytest.raises(AmbiguousOutcome):
                talk.hold(*[lost()] * 3)
            posts.append(talk.posts)
        assert posts == [3, 1, 1]
        Talk(START, budget=budget).hold(result())
        talk = Talk(START, budget=budget)
        with pytest.raises(AmbiguousOutcome):
            talk.hold(*[lost()] * 3)
        assert talk.posts == 2


class TestEndpoint:
    @pytest.mark.parametrize(
        ("host", "port", "expected"),
        [
            (None, None, "https://openapi.tim.qq.com"),
            ("", 443, "https://openapi.tim.qq.com"),
            ("yun.tim.qq.com", None, "https://yun.tim.qq.com"),
            ("yun.tim.qq.com:8443", None, "https://yun.tim.qq.com:8443"),
            ("https://yun.tim.qq.com/", 8443, "https://yun.tim.qq.com:8443"),
            ("https://[::1]:8443", None, "https://[::1]:8443"),
            ("::1", 8443, "https://[::1]:8443"),
            ("[2001:DB8::0:1]", 443, "https://[2001:db8::1]"),
            ("HTTPS://Yun.TIM.qq.com.:0443/", None, "https://yun.tim.qq.com"),
            ("bücher.example", 8443, "https://xn--bcher-kva.example:8443"),
        ],
    )
    def test_host_and_port_are_put_together(self, host: str | None, port: int | None, expected: str) -> None:
        assert endpoint(host, port, "production") == expected

    @pytest.mark.parametrize(
        ("host", "port", "environment", "field"),
        [
            ("http://a.example", None, "production", "host"),
            ("https://a.example/v3", None, "production", "host"),
            ("https://a.example?x=1", None, "production", "host"),
            ("https://user:pw@a.example", None, "production", "host"),
            ("https://a.example:99999", None, "production", "host"),
            ("https://me:pa55word", None, "production", "host"),
            ("me:pa55word@openapi.tim.qq.com：443", None, "production", "host"),
            ("https://[pa55word", None, "production", "host"),
            ("https://[pa55word]", None, "production", "host"),
            ("a example", None, "production", "host"),
            ("a\u3002example", None, "production", "host"),
            ("\u200ba.example", None, "production", "host"),
            ("a.example\\x", None, "production", "host"),
            ("127.0.0.1%20", None, "production", "host"),
            ("127.1", None, "production", "host"),
            ("a.example:0", None, "production", "host"),
            ("::1:x", None, "production", "host"),
            ("https://", None, "production", "host"),
            ("https://a.example:1", 2, "production", "host|port"),
            (None, 70000, "production", "port"),
            (None, None, "staging", "environment"),
        ],
    )
    def test_wrong_endpoint_names_the_field(
        self, host: str | None, port: int | None, environment: str, field: str
    ) -> None:
        with pytest.raises(ConfigurationError) as wrong:
            endpoint(host, port, environment)
        assert wrong.value.field in field.split("|")
        # What is wrong may hold a password.
        assert "pa55word" not in str(wrong.value)
        assert (wrong.value.__cause__, wrong.value.__context__) == (None, None)


def test_list_that_is_nested_without_end_is_refused_under_its_name() -> None:
    with pytest.raises(ConfigurationError, match="must be a list") as refused:
        calls.kick_members(room_id=7, user_ids="[" * 100_000)
    assert refused.value.field == "user_ids"


def test_credential_shows_in_no_repr() -> None:
    service = Service("https://a.example", 1, "admin", StaticUserSig("eJwSECRET"))
    exchange = Exchange(START, service)
    assert "SECRET" not in repr(service) + repr(exchange.next_post()) + repr(vars(exchange))
