"""What the operators share: arguments checked after rendering, one hook for one operation, one readable line in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_provider_timav.arguments import optional
from airflow_provider_timav.retry import TimAVRetryPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import RetryPolicy

    from airflow_provider_timav.hooks.timav import TimAVHook
    from airflow_provider_timav.leases import Lease

__all__ = ["TimAVOperator"]


class TimAVOperator(BaseOperator):
    """One operation of the API as a task.

    Errors of the provider leave the task as they are; ``retry_policy`` decides about another try.

    :param timav_conn_id: the id of a connection of type ``timav`` (templated).
    """

    template_fields: Sequence[str] = ("timav_conn_id",)
    ui_color = "#d9f0ec"

    # The arguments of the hook's method of the same name that must be given; the others may be left out, "" or "None".
    required: ClassVar[frozenset[str]] = frozenset({"room_id", "user_id", "user_ids"})

    def __init__(
        self,
        *,
        timav_conn_id: str = "timav_default",
        retry_policy: RetryPolicy | None = TimAVRetryPolicy(),  # noqa: B008 - has no state; default_args must be able to win
        multiple_outputs: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(retry_policy=retry_policy, multiple_outputs=multiple_outputs, **kwargs)
        self.timav_conn_id = timav_conn_id

    def make_hook(self) -> TimAVHook:
        """Return a hook for this operation; close it after use."""
        from airflow_provider_timav.hooks.timav import TimAVHook

        return TimAVHook(self.timav_conn_id)

    def held_lease(self) -> Lease | None:
        """Return the broadcast's lease that ``reserve`` has handed on, None outside of a broadcast.

        :raises ConfigurationError: naming ``lease``, where it is none.
        """
        given = getattr(self, "lease", None)
        if optional(given) is None:
            return None
        from airflow_provider_timav.leases import given_lease

        return given_lease(given)

    def arguments(self, *names: str) -> dict[str, Any]:
        """Return the rendered arguments of these names that were given.

        An optional one that rendered to ``""`` or ``"None"`` was not. Required ones are handed on as they are, so that an empty
        one is refused under its name.
        """
        found = {name: getattr(self, name) for name in names}
        return {name: value for name, value in found.items() if name in self.required or optional(value) is not None}
