"""Generated answers: only this project's errors come of them, and they reach every corner."""

from __future__ import annotations

from collections import Counter

import pytest

from airflow_provider_timav.videorelay import errors
from airflow_provider_timav.videorelay.calls import Call
from tests.acceptance.faults import generated

pytestmark = pytest.mark.faults

COUNT = 2000


def test_generated_answers_raise_nothing_but_own_errors() -> None:
    seen = generated.read_all(COUNT)
    assert generated.foreign(seen) == []
    assert seen.total() == COUNT


def test_generated_answers_reach_results_and_errors_alike() -> None:
    """Answers that all failed at the first brace would prove nothing."""
    seen = generated.read_all(COUNT)
    kinds = {
        errors.ProtocolError,
        errors.ServiceError,
        errors.RoomNotReady,
        errors.AlreadyRunning,
        errors.CredentialError,
    }
    assert kinds <= seen.keys()
    assert seen[None] > COUNT // 10
    assert seen[errors.ProtocolError] < COUNT * 9 // 10


def test_same_seed_gives_the_same_answers() -> None:
    def bodies(seed: int) -> list[bytes]:
        return [reply.body for _, reply in generated.generated(50, seed=seed)]

    assert bodies(7) == bodies(7) != bodies(8)


def test_foreign_exception_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("rspbody")

    monkeypatch.setattr(Call, "read", broken)
    assert generated.read_all(3) == Counter({KeyError: 3})
    assert generated.main(["3"]) == 1
    assert "other exceptions: KeyError" in capsys.readouterr().out
