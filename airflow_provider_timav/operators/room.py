"""Remove members from a room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_timav.arguments import own_arguments
from airflow_provider_timav.operators._base import TimAVOperator, log_failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

__all__ = ["KickMembersOperator"]


class KickMembersOperator(TimAVOperator):
    """Removes members from a room (specification, sub-command 0x1 of the common head).

    XComs, each also under its own key: ``user_ids`` and ``outcome``, which is ``requested``: the service does not confirm that
    they are gone, and nothing keeps them from entering again.

    :param room_id: the room (``uint32_auth_key``), 0 to 2^32 - 1 (templated).
    :param user_ids: 1 to 10 members, a list or a JSON list in one string (templated).
    :raises TimAVError: see ``videorelay.errors``; a wrong argument is a ``ConfigurationError`` before anything is sent.
    """

    def __init__(self, *, room_id: int | str, user_ids: Sequence[str] | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.room_id = room_id
        self.user_ids = user_ids
        self.check_constants(KickMembersOperator.template_fields)

    _own_arguments = own_arguments(__init__)
    template_fields: Sequence[str] = (*TimAVOperator.template_fields, *_own_arguments)

    def subject(self) -> str:
        """Return the removal that this is about, for a line of the log."""
        return f"Removal of {self.user_ids} from room {self.room_id}"

    @log_failure
    def execute(self, context: Context) -> dict[str, Any]:
        """Request the members' removal; return the result."""
        from airflow_provider_timav.videorelay import calls

        arguments = self.arguments(*self._own_arguments)
        call = calls.kick_members(**arguments)
        self.log_request(arguments)
        with self.make_hook() as hook:
            result = hook.call(call).model_dump(mode="json", exclude_none=True)
        self.log.info("Removal of %s from room %s: requested.", ", ".join(result["user_ids"]), self.room_id)
        return result
