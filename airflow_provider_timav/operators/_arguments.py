"""The names of an operator's own arguments, read from its signature: there is no second list to keep."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["own_arguments"]


def own_arguments(init: Callable[..., Any]) -> tuple[str, ...]:
    """Return the keyword-only arguments that an ``__init__`` names itself, in their order.

    :param init: as the class body has it, before Airflow wraps it.
    """
    parameters = inspect.signature(init).parameters.values()
    return tuple(each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY)
