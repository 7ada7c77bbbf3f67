"""A start whose arguments hold to every rule. A DAG file does not pay for it: only a task that runs imports this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_timav.videorelay.calls import Call

__all__ = ["CheckedStart"]


@dataclass(frozen=True)
class CheckedStart:
    """A start that holds to every rule, and the stop that ends what it starts: both can be sent as often as needed.

    :param arguments: those that were given, as they are logged.
    :param known: the result of one that runs, if the arguments tell all of it; None if only the answer to a start does.
    """

    arguments: Mapping[str, Any] = field(repr=False)
    start: Call[Any]
    stop: Call[Any]
    known: Mapping[str, Any] | None = None
