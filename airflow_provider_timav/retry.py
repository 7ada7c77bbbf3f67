"""Decide when a failed task is worth another try (Airflow 3.3, "retry policies").

Operators raise every error unchanged; this policy decides. For another rule, a DAG author passes a ``retry_policy`` of their
own and writes it against the names in ``videorelay.errors``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import RetryDecision, RetryPolicy

from airflow_provider_timav.videorelay.errors import TimAVError

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["TimAVRetryPolicy"]


class TimAVRetryPolicy(RetryPolicy):
    """Fail at once on errors that would repeat, and retry the others while retries last.

    - An error of this provider that is not retryable (a wrong argument, a bad certificate, a refused request) fails the task.
    - A retryable one is retried, after the time that the service asked to wait, or else the task's ``retry_delay``.
    - A template that cannot be rendered, such as one with a variable that this run does not have, fails the task.
    - Anything else is left to Airflow.
    """

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        """Decide on an exception that ended a try."""
        kind = type(exception).__name__
        if not isinstance(exception, TimAVError):
            from jinja2 import TemplateError

            if isinstance(exception, TemplateError):
                return RetryDecision.fail(f"{kind}: a template would be rendered in the same way by another try")
            return RetryDecision.default()
        if not exception.retryable:
            return RetryDecision.fail(f"{kind}: another try would fail the same way")
        delay = None if exception.retry_after is None else timedelta(seconds=exception.retry_after)
        return RetryDecision.retry(delay, f"{kind}: may pass")

    def serialize(self) -> dict[str, Any]:
        """Return the policy's settings; it has none."""
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> TimAVRetryPolicy:
        """Return the policy."""
        return cls()
