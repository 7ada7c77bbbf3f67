"""The retry policy: what is worth another try."""

from __future__ import annotations

from datetime import timedelta

import jinja2
import pytest
from airflow.sdk import RetryAction

from airflow_provider_timav.retry import TimAVRetryPolicy
from airflow_provider_timav.videorelay import errors

POLICY = TimAVRetryPolicy()


@pytest.mark.parametrize(
    "error",
    [
        errors.TransportError("x"),
        errors.AmbiguousOutcome("x"),
        errors.RoomNotReady("x"),
        errors.RateLimited("x"),
        errors.ServiceError("x", retryable=True),
        errors.CredentialError("x", retryable=True),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_may_pass_is_tried_again(error: errors.TimAVError) -> None:
    assert POLICY.evaluate(error, 1, 3).action is RetryAction.RETRY


@pytest.mark.parametrize(
    "error",
    [
        errors.ConfigurationError("x"),
        errors.CertificateError("x"),
        errors.CredentialError("x"),
        errors.ProtocolError("x"),
        errors.RequestRejected("x"),
        errors.AlreadyRunning("x"),
        errors.QuotaExceeded("x"),
        errors.ServiceError("x"),
        errors.RecordingLost("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_would_fail_again_fails_at_once(error: errors.TimAVError) -> None:
    assert POLICY.evaluate(error, 1, 3).action is RetryAction.FAIL


@pytest.mark.parametrize("template", ["{{ ds_nodash }}", "{{ 1 +"])
def test_a_template_that_cannot_be_rendered_fails_at_once(template: str) -> None:
    with pytest.raises(jinja2.TemplateError) as broken:
        jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(template).render()  # noqa: S701 - no HTML
    decision = POLICY.evaluate(broken.value, 1, 6)
    assert decision.action is RetryAction.FAIL
    assert "template" in str(decision.reason)


def test_anything_else_is_left_to_airflow() -> None:
    assert POLICY.evaluate(ValueError("x"), 1, 3).action is RetryAction.DEFAULT


def test_service_says_how_long_to_wait() -> None:
    decision = POLICY.evaluate(errors.RateLimited("x", retry_after=7.0), 1, 3)
    assert decision.retry_delay == timedelta(seconds=7)


def test_policy_survives_serialisation() -> None:
    assert isinstance(TimAVRetryPolicy.deserialize(POLICY.serialize()), TimAVRetryPolicy)


def test_every_error_has_its_policy_tested() -> None:
    assert set(errors.__all__) >= {"TimAVError", "RecordingLost"}
    assert len(errors.__all__) == 14
