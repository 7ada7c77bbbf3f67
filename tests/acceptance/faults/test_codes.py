"""Every row of the table of result codes, over every action, through the client: what it comes to, after how many posts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import RetryAction

from airflow_provider_timav.retry import TimAVRetryPolicy
from airflow_provider_timav.videorelay import errors
from airflow_provider_timav.videorelay.calls import OPERATIONS
from airflow_provider_timav.videorelay.errors import TimAVError
from airflow_provider_timav.videorelay.outcomes import table
from tests.acceptance.faults.stage import Observed, Scene, Stage
from tests.data import outcomes

pytestmark = pytest.mark.faults

# The operations of a family, by the column of the table that speaks of them.
ACTIONS: dict[str, dict[str, str]] = {}
for name, operation in OPERATIONS.items():
    ACTIONS.setdefault(operation.family, {})[f"on_{operation.action}"] = name
UNKNOWN = 987654321
POLICY = TimAVRetryPolicy()


@dataclasses.dataclass(frozen=True)
class Means:
    """What a class of result comes to: posts, the class of the error (None: a result), what a retry policy makes of it."""

    posts: int
    error: str | None
    retried: bool


CLASSES = {
    "fail": Means(1, "RequestRejected", retried=False),
    "fail_unknown": Means(1, "ServiceError", retried=False),
    "task_retry": Means(1, "ServiceError", retried=True),
    "wait_for_user": Means(1, "RoomNotReady", retried=True),
    "already_or_wait": Means(1, "AlreadyRunning", retried=True),
    "success_incomplete on a start": Means(1, "AlreadyRunning", retried=False),
    "success_incomplete on a stop": Means(1, None, retried=False),
    "success": Means(1, None, retried=False),
    "gone": Means(1, None, retried=False),
    # With a secret key, a second UserSig is signed and tried; with a UserSig that was downloaded there is no second one.
    "credential": Means(1, "CredentialError", retried=True),
    "credential, signing": Means(2, "CredentialError", retried=True),
    "retry": Means(3, "ServiceError", retried=True),
    "rate_limited": Means(3, "RateLimited", retried=True),
    "ambiguous": Means(3, "AmbiguousOutcome", retried=True),
}
# Codes whose error says more than their class does.
SPECIAL = {
    ("push", "20101"): "QuotaExceeded",
    ("push", "20406"): "QuotaExceeded",
    ("any", "60020"): "QuotaExceeded",
    **{("any", code): "CredentialError" for code in ("60010", "70009", "70013", "70014", "70016", "70050")},
    **{("any", code): "CredentialError" for code in ("70051", "70107", "70403")},
}


def asked() -> Iterator[Any]:
    """Each row with each operation that may meet it."""
    for row in outcomes():
        families = list(ACTIONS) if row["family"] == "any" else [row["family"]]
        for family in families:
            for column, operation in ACTIONS[family].items():
                if row[column]:
                    name = "any other" if row["code"] == "*" else row["code"]
                    yield pytest.param(row, column, operation, id=f"{row['layer']} {name} - {operation}")


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as running:
        yield running


def play(stage: Stage, row: dict[str, str], operation: str, *, sign: bool) -> Observed:
    code = UNKNOWN if row["code"] == "*" else int(row["code"])

    def arrange(scene: Scene) -> None:
        if not sign:
            scene.extra(secret_key=None)
        stage.emulator.fail_next(9, code=code, layer=row["layer"])

    return stage.play(operation, arrange)


@pytest.mark.parametrize(("row", "column", "operation"), list(asked()))
def test_code_comes_to_what_the_table_says(row: dict[str, str], column: str, operation: str, stage: Stage) -> None:
    word = row[column]
    kind = f"{word} on a {column.removeprefix('on_')}" if word == "success_incomplete" else word
    expected = CLASSES[kind]
    observed = play(stage, row, operation, sign=False)
    assert observed.hits == set()
    assert (observed.seen, observed.executed) == (expected.posts, 0)
    if expected.error is None:
        assert observed.error is None
        assert observed.result.outcome == ("gone" if word == "gone" else "already_stopped")
        if operation == "stop_record":
            assert (observed.result.file_ids, observed.result.file_ids_status) == ((), "lost")
        return
    error = observed.error
    assert error is not None
    assert type(error).__name__ == SPECIAL.get((row["family"], row["code"]), expected.error)
    assert (error.layer, error.code) == (row["layer"], UNKNOWN if row["code"] == "*" else int(row["code"]))
    assert (error.outcome_class, error.executed, error.posts) == (word, row["executed"], expected.posts)
    assert error.operation == operation
    code = None if row["code"] == "*" else int(row["code"])
    assert table()[row["family"], row["layer"], code].advice in str(error)
    assert_policy(error, retried=expected.retried)


def assert_policy(error: TimAVError, *, retried: bool) -> None:
    assert error.retryable is retried
    decision = POLICY.evaluate(error, 1, 3)
    assert decision.action is (RetryAction.RETRY if retried else RetryAction.FAIL)
    assert decision.retry_delay is None


REFUSED_CREDENTIALS = [case for case in asked() if case.values[0][case.values[1]] == "credential"]


@pytest.mark.parametrize(("row", "column", "operation"), REFUSED_CREDENTIALS)
def test_refused_usersig_is_signed_anew_once(row: dict[str, str], column: str, operation: str, stage: Stage) -> None:
    expected = CLASSES["credential, signing"]
    observed = play(stage, row, operation, sign=True)
    assert observed.hits == set()
    assert (observed.seen, observed.executed) == (expected.posts, 0)
    assert type(observed.error) is errors.CredentialError
    assert observed.error.posts == expected.posts
    assert_policy(observed.error, retried=expected.retried)


def test_service_that_names_a_time_is_asked_again_then(stage: Stage) -> None:
    """What comes with a Retry-After is tried again by Airflow after that time, not after the task's own delay."""
    observed = stage.play(
        "start_push",
        lambda scene: stage.emulator.fail_next(9, status=429, headers={"Retry-After": "17"}),
    )
    assert type(observed.error) is errors.RateLimited
    assert POLICY.evaluate(observed.error, 1, 3).retry_delay == timedelta(seconds=17)


def test_every_row_is_asked() -> None:
    rows = [(case.values[0]["family"], case.values[0]["layer"], case.values[0]["code"]) for case in asked()]
    assert set(rows) == {(row["family"], row["layer"], row["code"]) for row in outcomes()}
    assert len(set(rows)) == len(outcomes())
    words = {case.values[0][case.values[1]] for case in asked()}
    assert words == {name.partition(" on ")[0].partition(",")[0] for name in CLASSES}
