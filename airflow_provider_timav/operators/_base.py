"""The base of the operators: arguments checked after rendering, one hook for one operation, one readable line in the log."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from airflow.sdk import BaseOperator

from airflow_provider_timav.arguments import is_constant, none_if_blank, template_marks
from airflow_provider_timav.frames import without_variables
from airflow_provider_timav.links import show_links
from airflow_provider_timav.operators._argument_checks import always_final, check_arguments
from airflow_provider_timav.retry import TimAVRetryPolicy
from airflow_provider_timav.templates import TextStaysText
from airflow_provider_timav.videorelay.errors import TimAVError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow.sdk import Context, RetryPolicy

    from airflow_provider_timav.hooks.timav import TimAVHook
    from airflow_provider_timav.interrupted import Place
    from airflow_provider_timav.leases import Lease

__all__ = ["TimAVOperator", "log_failure"]

ExecuteT = TypeVar("ExecuteT", bound=Callable[..., Any])


def log_failure(execute: ExecuteT) -> ExecuteT:
    """Log a one-line failure summary (what failed, for which room and user, what to do about it), then re-raise.

    The error is re-raised as it is, without the variables of its frames: a viewers' password may be among them.
    """

    @without_variables
    @functools.wraps(execute)
    def saying(self: TimAVOperator, *args: Any, **kwargs: Any) -> Any:
        try:
            return execute(self, *args, **kwargs)
        except TimAVError as error:
            said = "%s: failed (%s). %s", self.subject(), type(error).__name__, error.with_advice
            self.log.error(*said)  # noqa: TRY400 - without a traceback: Airflow logs it
            raise

    return saying  # type: ignore[return-value]  # the same signature


class TimAVOperator(TextStaysText, BaseOperator):
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

    def check_constants(self, names: Iterable[str]) -> None:
        """Check constants that the author has written by the rules that hold after rendering: at the end of ``__init__``.

        The task of a mapped operator checks what that is unmapped to.

        :param names: of the arguments; not ``template_fields``, to which a subclass may add what it has not set yet.
        :raises ConfigurationError: naming the argument, its rule and the value.
        """
        if getattr(self, "_BaseOperator__from_mapped", False):
            return
        marks = template_marks(self.get_dag())
        self.check_arguments({name: getattr(self, name) for name in names}, lambda value: is_constant(value, marks))

    def check_arguments(self, arguments: Mapping[str, Any], is_final: Callable[[Any], bool]) -> None:
        """Check those of these arguments that are settled by their rules.

        :raises ConfigurationError: naming the argument, its rule and the value.
        """
        check_arguments(arguments, is_final)

    def pre_execute(self, context: Context) -> None:
        """Show the buttons that can be shown while the task runs."""
        show_links(self, context["ti"])

    def subject(self) -> str:
        """Return the subject of a line of the log: a push, a recording or a broadcast, its host and its room."""
        what = {"push": "Push", "record": "Recording"}.get(getattr(self, "kind", ""), "Broadcast")
        return f"{what} of {getattr(self, 'user_id', '?')} in room {getattr(self, 'room_id', '?')}"

    def log_request(self, arguments: Mapping[str, Any]) -> None:
        """Log the arguments, in a folded group; a viewers' password is left out."""
        self.log.info("::group::Arguments")
        self.log.info("timav_conn_id: %s", self.timav_conn_id)
        for name, value in arguments.items():
            self.log.info("%s: %s", name, "***" if name == "player_password" else value)
        self.log.info("::endgroup::")

    def make_hook(self) -> TimAVHook:
        """Return a hook for this operation; close it after use."""
        from airflow_provider_timav.hooks.timav import TimAVHook

        return TimAVHook(str(self.timav_conn_id))

    def place(self, arguments: Mapping[str, Any], kind: str | None = None) -> Place:
        """Return the identity of this push or recording, or of another kind with these arguments."""
        from airflow_provider_timav.interrupted import Place

        kind = str(kind or getattr(self, "kind", "push"))
        return Place(
            kind=kind,
            timav_conn_id=str(self.timav_conn_id),
            room_id=str(arguments["room_id"]),
            user_id=str(arguments["user_id"]),
            data_type=str(arguments.get(f"{kind}_data_type") or "camera"),
            of_broadcast=none_if_blank(getattr(self, "lease", None)) is not None,
        )

    def note_off_air(self, arguments: Mapping[str, Any]) -> None:
        """Note that an interrupted process has nothing to stop there any more."""
        from airflow_provider_timav.interrupted import forget

        forget(self.place(arguments))

    def held_lease(self) -> Lease | None:
        """Return the lease that ``reserve`` has handed on; None outside of a broadcast.

        :raises ConfigurationError: naming ``lease``, if it is not one.
        """
        given = getattr(self, "lease", None)
        if none_if_blank(given) is None:
            return None
        from airflow_provider_timav.leases import given_lease

        return given_lease(given)

    def arguments(self, *names: str) -> dict[str, Any]:
        """Return the rendered arguments of these names that were given.

        An optional one that rendered to ``""`` or ``"None"`` was not. Required ones are handed on as they are, so that an empty
        one is refused under its name.

        :raises ConfigurationError: naming the argument that breaks a rule.
        """
        found = {name: getattr(self, name) for name in names}
        self.check_arguments({"timav_conn_id": self.timav_conn_id, **found}, always_final)
        return {
            name: value for name, value in found.items() if name in self.required or none_if_blank(value) is not None
        }
