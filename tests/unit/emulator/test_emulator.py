"""The emulator as a Python object, and as a package."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys

import pytest

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.emulator import __all__ as public_names
from harness.caller import START_PUSH, Caller


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


def test_emulators_can_share_their_credentials() -> None:
    """One connection's certificate and UserSig are then accepted by both."""
    lender = Emulator()
    with Emulator(credentials_of=lender) as one, Emulator(credentials_of=lender) as other:
        first, second = one.connection(), other.connection()
        assert {**first, "host": "", "port": 0} == {**second, "host": "", "port": 0}
        assert (first["host"], first["port"]) != (second["host"], second["port"])
