"""Every case of the catalogue against every operation that it concerns."""

from __future__ import annotations

import base64
import http.client
import http.server
import logging
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.videorelay import exchange
from airflow_provider_timav.videorelay.client import Client
from airflow_provider_timav.videorelay.errors import AlreadyRunning, TransportError
from harness.canary import Canaries, Sentry, everything_logged
from harness.clients import KINDS, AnyClient, Blocking
from tests.acceptance.faults.catalogue import CASES, LEFT_OUT, NUMBERS, OTHERWHERE, Case
from tests.acceptance.faults.scenarios import SCENARIOS, Play
from tests.acceptance.faults.stage import PASSPHRASE, PLAYER_PASSWORD, Observed, Scene, Stage

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module", params=[False, True], ids=KINDS)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with Stage(asynchronous=request.param) as running:
        yield running


def holds_always(observed: Observed, case: Case) -> None:
    """Every case is bounded, shows no secret, contacts no other host, and is executed once at most."""
    assert observed.hits == set()
    assert observed.elsewhere == 0
    assert observed.seen <= 3
    assert observed.executed <= 1
    if case.seconds is not None:  # how exactly it is kept, `make limits` measures
        assert observed.seconds <= case.seconds + 3
    if observed.error is not None and observed.error.posts:
        assert (observed.error.__cause__, observed.error.__context__) == (None, None)


EVERY = [
    pytest.param(case, operation, id=f"{case.name} - {operation}") for case in CASES for operation in case.operations
]


@pytest.mark.parametrize(("case", "operation"), EVERY)
def test_fault_comes_to_what_the_catalogue_says(case: Case, operation: str, stage: Stage) -> None:
    observed = stage.play(operation, lambda scene: case.arrange(scene, 9), seconds=case.seconds or 60.0)
    expected = case.of(operation)
    holds_always(observed, case)
    assert (observed.seen, observed.executed) == (expected.seen, expected.executed), observed.error
    if expected.connections is not None:
        assert observed.connections == expected.connections
    assert case.warns in observed.log
    if expected.error is None:
        assert observed.error is None
        assert observed.result.outcome in ("started", "stopped", "requested")
        assert case.check is None or case.check(observed.result)
        return
    error = observed.error
    assert type(error) is expected.error
    assert (error.posts, error.executed, error.field) == (expected.tries, expected.says, expected.field)
    assert expected.words in str(error)
    if expected.tries:
        assert error.operation == operation


# One case for each number, executed or not: the answer is lost in many ways, and found again in one.
FIRST = {
    (case.number, case.expected.executed): case
    for case in reversed(CASES)
    if case.expected.settled and case.number not in ("C1", "C2", "C12", "T15")
}
PASSING = [
    pytest.param(case, operation, id=f"{case.name}, once - {operation}")
    for case in reversed(FIRST.values())
    for operation in case.operations
]


@pytest.mark.parametrize(("case", "operation"), PASSING)
def test_fault_that_passes_is_settled_by_the_next_post(case: Case, operation: str, stage: Stage) -> None:
    """The service's own word on the second post says what became of the first one."""
    observed = stage.play(operation, lambda scene: case.arrange(scene, 1))
    holds_always(observed, case)
    assert (observed.seen, observed.executed) == (2, 1)
    if case.of(operation).executed == 0:
        assert observed.result.outcome in ("started", "stopped", "requested")
    elif operation.startswith("start"):
        assert type(observed.error) is AlreadyRunning
        assert observed.error.after_ambiguity
    elif operation.startswith("stop"):
        assert observed.result.outcome == "already_stopped"
        if operation == "stop_record":
            assert (observed.result.file_ids, observed.result.file_ids_status) == ((), "lost")
    else:
        assert observed.result.outcome == "requested"


@pytest.fixture
def play(
    timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Play]:
    """Tasks against an emulator, without pauses; nothing secret in anything that was logged or printed meanwhile."""
    canaries = Canaries()
    canaries.add("UserSig", timav_emulator.usersig)
    canaries.add("player password", PLAYER_PASSWORD)
    pems = timav_emulator.certificates
    canaries.add_pem("private key", pems.client_key_pem, public=pems.client_cert_pem)
    monkeypatch.setattr(Client, "_wait", lambda self, seconds: None)
    monkeypatch.setattr(exchange.BUDGET, "_left", 10)
    monkeypatch.setattr("airflow_provider_timav.operators._start.time.sleep", lambda seconds: None)
    with everything_logged() as lines:
        play = Play(timav_emulator, monkeypatch, lines)
        yield play
    printed = capfd.readouterr()
    journal = "\n".join(repr(entry) for entry in timav_emulator.journal)
    assert canaries.hits("\n".join([*lines, printed.out, printed.err, journal])) == set()


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_task_comes_to_what_the_catalogue_says(scenario: Callable[[Play], None], play: Play) -> None:
    scenario(play)


def test_every_number_of_the_catalogue_is_a_test() -> None:
    tested = {case.number for case in CASES} | {name.split()[0] for name in SCENARIOS}
    assert tested | LEFT_OUT.keys() == NUMBERS
    assert len(LEFT_OUT) <= 2
    assert not tested & (LEFT_OUT.keys() | OTHERWHERE.keys())
    assert all(LEFT_OUT.values())
    assert all(OTHERWHERE.values())


class TestCanaries:
    """What looks for secrets finds them; otherwise no hit would mean nothing."""

    SECRET = "eJw*tzcz2+Value/of-a_UserSig="

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param(f"GET /?usersig={SECRET}&x", id="raw"),
            pytest.param("usersig=eJw%2Atzcz2%2BValue%2Fof", id="quoted"),
            pytest.param("…Value/of-a_U…", id="a window of it"),
            pytest.param(base64.b64encode(f"user:{SECRET}".encode()).decode(), id="within base64"),
        ],
    )
    def test_secret_is_found(self, text: str) -> None:
        canaries = Canaries()
        canaries.add("UserSig", self.SECRET)
        assert canaries.hits(text) == {"UserSig"}
        assert canaries.hits("Value/of-a_ and nothing more") == set()

    @pytest.fixture
    def answering(self) -> Iterator[http.server.HTTPServer]:
        """A server that answers with an error, whatever it is asked."""
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            yield server
            server.shutdown()
            thread.join()

    def test_what_sentry_is_told_is_searched(self, answering: http.server.HTTPServer) -> None:
        """The variables of frames, lines that are logged, and requests that http.client sends."""
        canaries = Canaries()
        for name, secret in (("variable", self.SECRET), ("line", PLAYER_PASSWORD), ("address", PASSPHRASE)):
            canaries.add(name, secret)

        def fails(secret: str) -> None:
            raise ValueError(len(secret))

        with Sentry() as sentry:
            logging.getLogger("somebody.else").warning("%s", PLAYER_PASSWORD)
            with closing(http.client.HTTPConnection("127.0.0.1", answering.server_port)) as there:
                there.request("GET", f"/?{urllib.parse.quote(PASSPHRASE)}")
                there.getresponse().read()
            with pytest.raises(ValueError) as failed:
                fails(self.SECRET)
            sentry.see(failed.value)
            assert canaries.hits(sentry.take()) == {"variable", "line", "address"}
            assert sentry.take() == ""

    def test_hidden_context_and_log_are_searched(self, stage: Stage) -> None:
        """A secret that a transport error holds, however well hidden, would be seen."""

        def tells(scene: Scene) -> None:
            def before_call(client: AnyClient) -> None:
                logging.getLogger("somebody.else").debug("%s", PLAYER_PASSWORD)
                bare = client.client if isinstance(client, Blocking) else client
                try:
                    int(bare._service.credential.usersig())
                except ValueError:
                    raise TransportError("not reached") from None

            scene.before_call = before_call

        observed = stage.play("start_push", tells)
        assert observed.hits == {"UserSig", "player password"}
