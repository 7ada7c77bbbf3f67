"""The three ways to use it: command, context manager, fixture."""

from __future__ import annotations

import json
import os
import shlex
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_timav.emulator import Emulator, Switches
from airflow_provider_timav.emulator import __all__ as public_names
from airflow_provider_timav.emulator.__main__ import main
from harness.caller import START_PUSH, Caller

pytest_plugins = ["pytester"]


# --- context manager -------------------------------------------------------------------------------------------------


def test_the_package_is_cheap_to_import() -> None:
    """Names are imported when they are used; an unknown one is an AttributeError."""
    code = (
        "import sys, airflow_provider_timav.emulator as package\n"
        "assert not {'trustme', 'ssl', 'asyncio', 'airflow'} & set(sys.modules)\n"
        "assert package.Emulator.__name__ == 'Emulator'\n"
        "assert not {'airflow', 'requests', 'aiohttp', 'pytest'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=30)


def test_every_public_name_is_there() -> None:
    import airflow_provider_timav.emulator as package

    assert public_names == sorted(public_names)
    for name in public_names:
        assert getattr(package, name).__name__ == name
    with pytest.raises(AttributeError, match="Nothing"):
        _ = package.Nothing


def test_without_trustme_the_extra_is_named() -> None:
    code = "import sys; sys.modules['trustme'] = None\nfrom airflow_provider_timav.emulator import Emulator"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "pip install 'airflow-provider-timav[emulator]'" in done.stderr


def test_the_connection_is_ready(emulator: Emulator) -> None:
    connection = emulator.connection()
    certificates = emulator.certificates
    assert connection == {
        "conn_type": "timav",
        "host": "https://127.0.0.1",
        "port": int(emulator.api_url.rsplit(":", 1)[1]),
        "login": "administrator",
        "password": emulator.usersig,
        "extra": {
            "sdkappid": 1400000001,
            "environment": "test",
            "client_cert": certificates.client_cert_pem,
            "private_key": certificates.client_key_pem,
            "ca_cert": certificates.ca_pem,
        },
    }
    assert json.loads(emulator.connection_json()) == connection


def test_the_connection_can_be_changed(emulator: Emulator) -> None:
    """None removes a key, sign=True puts the secret key in the UserSig's place, any other key is set."""
    connection = emulator.connection(sign=True, ca_cert=None, proxy="http://127.0.0.1:1")
    assert "password" not in connection
    assert connection["extra"]["secret_key"] == emulator.secret_key
    assert "ca_cert" not in connection["extra"]
    assert connection["extra"]["proxy"] == "http://127.0.0.1:1"


def test_two_emulators_share_nothing(emulator: Emulator) -> None:
    with Emulator() as other, Caller(other) as caller:
        caller.call(6, START_PUSH)
        assert emulator.pushes == ()
        assert other.secret_key != emulator.secret_key
        with Caller(emulator, other.certificates.client_context()) as stranger, pytest.raises(ssl.SSLError):
            stranger.call(6, START_PUSH)


def test_rooms_of_the_start_are_the_defaults_of_the_methods() -> None:
    emulator = Emulator(rooms={7: ["a", "b"], 8: []})
    assert (emulator.room_id, emulator.user_id) == (7, "a")
    assert emulator.rooms == {7: frozenset({"a", "b"}), 8: frozenset()}
    assert (Emulator(rooms={}).room_id, Emulator(rooms={}).user_id) == (10086, "host_1")


def test_what_needs_the_server_says_that_it_does_not_run() -> None:
    with pytest.raises(RuntimeError, match="not running"), Emulator().unreachable():
        pass


def test_it_can_be_stopped_and_started_again() -> None:
    """At the same ports, with its state; not twice at a time."""
    emulator = Emulator()
    with emulator, Caller(emulator) as caller:
        url = emulator.api_url
        caller.call(6, START_PUSH)
        with pytest.raises(RuntimeError, match="already running"):
            emulator.start()
    with emulator, Caller(emulator) as caller:
        assert emulator.api_url == url
        assert caller.code(6, START_PUSH) == 40000415


def test_requests_are_told_as_they_come() -> None:
    lines: list[str] = []
    with Emulator(on_request=lambda entry: lines.append(entry.line())) as emulator, Caller(emulator) as caller:
        caller.call(6, START_PUSH)
    assert lines == [emulator.journal[0].line()]


# --- fixture ---------------------------------------------------------------------------------------------------------


def test_the_fixture_is_a_running_emulator(timav_emulator: Emulator) -> None:
    assert json.loads(os.environ["AIRFLOW_CONN_TIMAV_DEFAULT"]) == timav_emulator.connection()
    assert timav_emulator.members(timav_emulator.room_id) == {timav_emulator.user_id}
    with Caller(timav_emulator) as caller:
        assert caller.code(6, START_PUSH) == 0


def test_the_fixture_works_in_a_users_own_tests(pytester: pytest.Pytester) -> None:
    """With warnings as errors, and a new emulator for each test."""
    pytester.makeconftest('pytest_plugins = ["airflow_provider_timav.emulator.pytest_plugin"]')
    pytester.makepyfile(
        """
        import os

        def test_one(timav_emulator):
            timav_emulator.close_room(timav_emulator.room_id)

        def test_two(timav_emulator):
            assert timav_emulator.rooms
            assert "AIRFLOW_CONN_TIMAV_DEFAULT" in os.environ

        def test_three():
            assert "AIRFLOW_CONN_TIMAV_DEFAULT" not in os.environ
        """
    )
    result = pytester.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=3)


# --- command ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    arguments = ["--room", "7:a,b", "--write-connection", str(tmp_path / "connection.json"), "--repeated-stop", "413"]
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "airflow_provider_timav.emulator", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_stopped(
    command: subprocess.Popen[str], tmp_path: Path, number: signal.Signals
) -> None:
    """It prints a ready connection, then a line per request, and ends with 0."""
    assert command.stdout is not None
    assert command.stderr is not None
    lines: list[str] = []
    while not lines or not lines[-1].startswith("export "):
        lines.append(command.stdout.readline())
        assert lines[-1], command.stderr.read()
    name, _, value = shlex.split(lines[-1])[1].partition("=")
    assert name == "AIRFLOW_CONN_TIMAV_DEFAULT"
    file = tmp_path / "connection.json"
    assert json.loads(file.read_text()) == json.loads(value)
    assert file.stat().st_mode & 0o777 == 0o600
    control = next(line.split()[-1] for line in lines if "Control" in line)
    assert control.startswith("http://127.0.0.1:")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(control + "/state", timeout=5) as response:
        assert json.loads(response.read())["rooms"] == {"7": ["a", "b"]}
    command.send_signal(number)
    output, errors = command.communicate(timeout=5)
    assert output == "The emulator has stopped.\n"
    assert errors == ""
    assert command.returncode == 0


def test_the_command_says_each_request(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in this process, with a host who enters later and switches of every type."""
    created: list[Emulator] = []
    handlers: dict[int, Callable[[int, object], None]] = {}
    start = Emulator.start

    def start_and_tell(emulator: Emulator) -> Emulator:
        created.append(start(emulator))
        return emulator

    monkeypatch.setattr(Emulator, "start", start_and_tell)
    monkeypatch.setattr(signal, "signal", lambda number, handler: handlers.update({number: handler}))

    def use() -> None:
        while not created or not created[0].members(10086):
            time.sleep(0.01)
        with Caller(created[0]) as caller:
            caller.call(6, START_PUSH)
        handlers[signal.SIGTERM](signal.SIGTERM, None)

    thread = threading.Thread(target=use)
    thread.start()
    arguments = ["--host-enters-after", "0.1", "--wrap-body", "no", "--stream-speed", "2", "--rate-key", "RateType "]
    assert main(arguments) == 0
    thread.join()
    output = capsys.readouterr().out
    assert "10086: host_1 (in 0.1 s)" in output
    assert "start_push   room 10086 user host_1 camera seq 41 -> ok (executed)" in output
    assert created[0].switches == Switches(wrap_body=False, stream_speed=2.0, rate_key="RateType ")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--room", "x:a"], "room number"),
        (["--wrap-body", "maybe"], "yes or no"),
        (["--stream-speed", "0"], "stream_speed"),
        (["--port", "99999"], "api_port"),
        (["--port", "1_000"], "not a whole number"),
        (["--media-port", "\u0668\u0660"], "not a whole number"),
        (["--sdkappid", "+5"], "not a whole number"),
        (["--files-per-recording", "1_0"], "not a whole number"),
        (["--host-enters-after", "1_0"], "not a number"),
        (["--stream-speed", "\u0662"], "not a number"),
        (["--repeated-stop", "410"], "invalid choice"),
    ],
)
def test_a_wrong_option_is_named(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    assert exit_info.value.code == 2
    assert text in capsys.readouterr().err


def test_a_port_that_is_taken_is_said(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    port = emulator.media_url.rsplit(":", 1)[1]
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert main(["--media-port", port]) == 1
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert "cannot listen" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    arguments = [
        sys.executable,
        "-m",
        "airflow_provider_timav.emulator",
        "--write-connection",
        str(tmp_path / "no" / "x"),
    ]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_says_what_each_switch_means(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "Whether a push ends when its user leaves the room" in text


def test_emulators_can_share_their_credentials() -> None:
    """One connection's certificate and UserSig are then accepted by both."""
    lender = Emulator()
    with Emulator(credentials_of=lender) as one, Emulator(credentials_of=lender) as other:
        first, second = one.connection(), other.connection()
        assert {**first, "host": "", "port": 0} == {**second, "host": "", "port": 0}
        assert (first["host"], first["port"]) != (second["host"], second["port"])
