"""Generated connections: nothing but this project's errors comes of them, no secret is shown, and they reach every corner."""

from __future__ import annotations

import functools
import logging
import socket
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.videorelay.errors import CertificateError, ConfigurationError
from tests.acceptance.faults import connections
from tests.acceptance.faults.connections import Case, Outcome

pytestmark = pytest.mark.faults

COUNT = 3000


@functools.cache
def outcome() -> Outcome:
    return connections.try_all(COUNT)


def test_generated_connections_bring_nothing_that_must_not_come() -> None:
    assert outcome().broken == Counter()
    assert outcome().kinds.total() == COUNT
    assert COUNT // 2 <= outcome().lines.total() < COUNT


def test_generated_connections_reach_clients_and_errors_alike() -> None:
    """Connections that all failed at the first field would prove nothing."""
    kinds = outcome().kinds
    assert kinds.keys() == {None, ConfigurationError, CertificateError}
    assert min(kinds.values()) > COUNT // 10
    assert outcome().lines.keys() == {"False, Host", "False, Certificate", "False, Connection"}


def test_same_seed_gives_the_same_connections_but_for_signatures() -> None:
    def hosts(seed: int, part: int = 0) -> list[Any]:
        found = connections.generated(200, seed=seed, part=part)
        return [(case.connection.host, case.connection.port, case.canaries) for case in found]

    assert hosts(1) == hosts(1) != hosts(1, part=1)


def case(**fields: Any) -> Case:
    given = {"host": "127.0.0.1", "port": 443, "login": "a", "password": "k4n4-secret", "extra": "{}", **fields}
    return Case(SimpleNamespace(conn_id="x_y", conn_type="timav", **given), ("k4n4-secret",))


@pytest.mark.parametrize(
    ("line", "error", "flaw"),
    [
        ("the line", None, []),
        ("the line", ConfigurationError("x", field="host"), []),
        ("the line", KeyError("x"), ["KeyError"]),
        ("the line", CertificateError("x"), ["CertificateError without a field"]),
        ("because of an unexpected KeyError.", None, ["because of an unexpected KeyError"]),
        ("it is k4n4-secret", None, ["a secret is shown"]),
        ("\ud800", None, ["a text that cannot be encoded"]),
    ],
)
def test_flaws_are_told(line: str, error: Exception | None, flaw: list[str]) -> None:
    assert list(connections.flaws(case(), [line], error)) == flaw


def test_foreign_exception_of_the_hook_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise KeyError(self._connection.password)

    monkeypatch.setattr(TimAVHook, "_make_client", broken)
    told: list[str] = []
    found = connections.try_all(200, aloud=told.append)
    assert {"KeyError", "because of an unexpected KeyError", "a secret is shown"} <= found.broken.keys()
    assert len(told) == found.broken.total()
    assert connections.main(["100"]) == 1
    assert "WRONG: KeyError" in capsys.readouterr().out


def test_secret_in_a_log_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    log = logging.getLogger("airflow_provider_timav.hooks")

    def talks(self: Any, *args: Any, **kwargs: Any) -> Any:
        log.debug("%s", self._connection.password)
        raise ConfigurationError("x", field="host")

    monkeypatch.setattr(TimAVHook, "_make_client", talks)
    assert connections.try_all(100).broken.keys() == {"a secret is shown"}


def test_nothing_is_looked_up_or_sent() -> None:
    with connections.unplugged():
        for host in ("localhost", "127.0.0.1"):
            with pytest.raises(socket.gaierror):
                socket.getaddrinfo(host, 443)
    assert socket.getaddrinfo("127.0.0.1", 443)
