"""The emulator as a command."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_timav.emulator import Emulator, Switches
from airflow_provider_timav.emulator.__main__ import main
from harness.caller import START_PUSH, Caller


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
