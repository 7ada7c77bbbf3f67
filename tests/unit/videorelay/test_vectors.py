"""The golden vectors: what is sent, what is refused, and what answers mean."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

import pytest

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.videorelay import calls
from airflow_provider_timav.videorelay.aclient import AsyncClient
from airflow_provider_timav.videorelay.client import Client
from airflow_provider_timav.videorelay.errors import ConfigurationError, TimAVError
from airflow_provider_timav.videorelay.exchange import Exchange, RetryBudget, Service, endpoint
from airflow_provider_timav.videorelay.line import PLACEHOLDER
from airflow_provider_timav.videorelay.reply import Reply
from airflow_provider_timav.videorelay.tls import Identity
from airflow_provider_timav.videorelay.usersig import StaticUserSig
from harness.clients import KINDS, AnyClient, Blocking
from harness.peer import Peer, Wire
from tests.data import least_arguments, vectors

ARGUMENTS = least_arguments()


def cases(name: str) -> list[Any]:
    found = vectors(name)
    listed = found["cases"] if isinstance(found, dict) else found
    return [pytest.param(case, id=case["name"]) for case in listed]


def given(name: str) -> tuple[int, str, int]:
    numbers = vectors(name)["given"]
    return numbers["uint32_seq"], numbers["bytes_cookie_buff"], numbers["random"]


def exchange(call: calls.Call[Any], service: Service, numbers: tuple[int, str, int]) -> Exchange[Any]:
    return Exchange(call, service, max_posts=1, numbers=lambda: numbers)


def service(case: dict[str, Any] | None = None) -> Service:
    if case is None:
        return Service("https://localhost", 1400000001, "admin", StaticUserSig("eJw*a"))
    where = endpoint(case["host"], None, case["environment"])
    return Service(where, case["sdkappid"], case["identifier"], StaticUserSig(case["usersig"]))


@pytest.mark.parametrize("case", cases("urls"))
def test_address_is_the_specifications(case: dict[str, Any]) -> None:
    post = exchange(calls.stop_push(room_id=1, user_id="a"), service(case), given("requests")).next_post()
    address, _, query = post.url.partition("?")
    assert address == case["url"]
    assert dict(parse_qsl(query, strict_parsing=True)) == case["query"] | {"usersig": PLACEHOLDER}
    assert unquote_to_bytes(bytes(post.usersig.view)).decode() == case["usersig"]
    assert "usersig" not in repr(post)


@pytest.mark.parametrize("case", cases("requests"))
def test_request_is_the_vector_field_for_field(case: dict[str, Any]) -> None:
    call = calls.OPERATIONS[case["call"]].call(case["arguments"])
    post = exchange(call, service(), given("requests")).next_post()
    assert json.loads(post.body) == case["body"]


@pytest.mark.parametrize("case", cases("refused"))
def test_refusal_names_field_and_rule(case: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=rf"{case['field']}.* (must|has) ") as refused:
        calls.OPERATIONS[case["call"]].call(case["arguments"])
    assert refused.value.field == case["field"]


def read(case: dict[str, Any], name: str) -> Any:
    call = calls.OPERATIONS[case["call"]].call(ARGUMENTS[case["call"]])
    asked = exchange(call, service(), given(name))
    asked.next_post()
    asked.answered(Reply(200, json.dumps(case["body"]).encode()))
    return asked.result


@pytest.mark.parametrize("case", cases("responses"))
def test_answer_is_read_as_it_really_comes(case: dict[str, Any]) -> None:
    result = read(case, "responses").model_dump(mode="json")
    assert {name: result[name] for name in case["result"]} == case["result"]


@pytest.mark.parametrize("case", cases("failures"))
def test_failure_has_its_layer_code_and_class(case: dict[str, Any]) -> None:
    with pytest.raises(TimAVError) as failed:
        read(case, "failures")
    expected = case["failure"]
    assert (failed.value.layer, failed.value.outcome_class) == (expected["layer"], expected["class"])
    assert failed.value.code == expected.get("code")


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


class Line:
    """A client and a peer that answers as it is told to: what the vectors say, said over TLS."""

    def __init__(self, peer: Peer, client: AnyClient) -> None:
        self._peer = peer
        self._client = client
        self._answer = b""
        self.arrived: list[Wire] = []
        peer.fault = self._take

    def _take(self, wire: Wire) -> None:
        self.arrived.append(wire)
        wire.answer(self._answer)

    def send_as(self, name: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Change a field of the client's service for the time of a test."""
        client = self._client.client if isinstance(self._client, Blocking) else self._client
        before = getattr(client._service, name)
        monkeypatch.setattr(client, "_service", dataclasses.replace(client._service, **{name: value}))
        assert type(before) is type(value)

    def call(self, case: dict[str, Any], arguments: dict[str, Any], name: str, answer: bytes = b"") -> Any:
        """Carry the operation of a case out, with the numbers of its file."""
        self.arrived.clear()
        self._answer = answer
        self._client.forget_connections()  # the peer closes each after its answer, without a word
        self._peer.faults_left = 1
        call = calls.OPERATIONS[case["call"]].call(arguments)
        return self._client.call(call, max_posts=1, numbers=lambda: given(name), budget=RetryBudget())


@pytest.fixture(scope="module", params=[False, True], ids=KINDS)
def line(request: pytest.FixtureRequest, emulator: Emulator) -> Iterator[Line]:
    own = emulator.certificates
    identity = Identity.load(client_cert=own.client_cert_pem, private_key=own.client_key_pem)
    with Peer(emulator) as peer:
        there = Service(f"https://127.0.0.1:{peer.port}", 1400000001, "admin", StaticUserSig("eJw*a"))
        kind = AsyncClient if request.param else Client
        made = kind(there, lambda: identity.context(own.ca_pem))
        with Blocking(made) if isinstance(made, AsyncClient) else made as client:
            yield Line(peer, client)


class TestOverTheWire:
    """The same vectors with both clients: nothing is lost or added on the way."""

    @pytest.mark.parametrize("case", cases("urls"))
    def test_address_arrives_as_the_vector(
        self, case: dict[str, Any], line: Line, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With the UserSig, of which the libraries on the way know nothing."""
        made = service(case)
        for name in ("sdkappid", "identifier", "credential"):
            line.send_as(name, getattr(made, name), monkeypatch)
        with pytest.raises(TimAVError):
            line.call({"call": "stop_push"}, ARGUMENTS["stop_push"], "requests")
        (wire,) = line.arrived
        path, _, query = wire.target.partition("?")
        assert path == urlsplit(case["url"]).path
        assert dict(parse_qsl(query, strict_parsing=True)) == case["query"]
        assert list(dict(parse_qsl(query))) == list(case["query"])

    @pytest.mark.parametrize("case", cases("requests"))
    def test_request_arrives_as_the_vector(self, case: dict[str, Any], line: Line) -> None:
        with pytest.raises(TimAVError):
            line.call(case, case["arguments"], "requests")
        (wire,) = line.arrived
        assert wire.method == "POST"
        assert json.loads(wire.body) == case["body"]

    @pytest.mark.parametrize("case", cases("responses"))
    def test_answer_is_read(self, case: dict[str, Any], line: Line) -> None:
        answer = json.dumps(case["body"]).encode()
        result = line.call(case, ARGUMENTS[case["call"]], "responses", answer).model_dump(mode="json")
        assert {name: result[name] for name in case["result"]} == case["result"]

    @pytest.mark.parametrize("case", cases("failures"))
    def test_failure_is_told(self, case: dict[str, Any], line: Line) -> None:
        with pytest.raises(TimAVError) as failed:
            line.call(case, ARGUMENTS[case["call"]], "failures", json.dumps(case["body"]).encode())
        expected = case["failure"]
        assert (failed.value.layer, failed.value.outcome_class) == (expected["layer"], expected["class"])
        assert failed.value.code == expected.get("code")
