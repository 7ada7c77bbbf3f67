"""Airflow's Variables as the ledger uses them: strings, under names of its own pattern and no others.

They are read from Airflow's API server, past the secrets backends of workers: an entry is no Variable of the site's, and no
such backend can hold one. (The API server reads the backends that are configured for itself.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

__all__ = ["NAME", "PREFIX", "Variables", "is_entry", "lease_of"]

PREFIX: Final = "timav_lease_"

NAME: Final = rf"(?P<lease>{PREFIX}[0-9a-f]{{32}})(-push|-watch|-unread|-record(-[0-9A-Za-z]{{1,64}})?)?"
"""The pattern of the ledger's names: every secrets backend takes them, and none of them is a path."""


def is_entry(name: str) -> bool:
    """Tell whether a Variable of this name can be one of the ledger's."""
    return re.fullmatch(NAME, name) is not None


def lease_of(name: str) -> str:
    """Return the name of the lease that an entry belongs to.

    :raises ValueError: if the ledger has no such name.
    """
    found = re.fullmatch(NAME, name)
    if found is None:
        raise ValueError("this is no name of the ledger's")
    return found["lease"]


class Variables:
    """The ledger's entries. Nothing under any other name is read, written or deleted.

    :raises ValueError: for a name that is not the ledger's.
    """

    def get(self, name: str) -> str | None:
        """Return the value, or None if there is none.

        :raises LookupError: if there is one, and it could not be read just now, or not by this task.
        """
        from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
        from airflow.sdk.execution_time import comms, task_runner

        lease_of(name)
        answer: object
        try:
            answer = task_runner.SUPERVISOR_COMMS.send(comms.GetVariable(key=name))
        except AirflowRuntimeError as error:
            answer = error.error
        if isinstance(answer, comms.ErrorResponse) and answer.error is not ErrorType.VARIABLE_NOT_FOUND:
            raise LookupError(f"the Variable {name} could not be read ({answer.error.value})")
        text: str | None = getattr(answer, "value", None)
        if text is None and name in self._keys(name):
            # Airflow reports read failures as "not found"; listing the names does raise.
            raise LookupError(f"the Variable {name} could not be read: Airflow fails just now, or it belongs to a team")
        return text

    def set(self, name: str, text: str, *, read_back: bool = False) -> None:
        """Write the value.

        :param read_back: whether to read it back: an entry of the same name in a secrets backend, or in another team, would be
            read in its place.
        :raises LookupError: if something else is read back.
        """
        from airflow.sdk.execution_time import comms, task_runner

        lease_of(name)
        task_runner.SUPERVISOR_COMMS.send(comms.PutVariable(key=name, value=text, description=None))
        if read_back and self.get(name) != text:
            raise LookupError(
                f"the Variable {name} was written and reads as something else: a secrets backend, an environment variable or a "
                "team has one of this name. Remove that one."
            )

    def delete(self, name: str) -> None:
        """Delete it; a name that is not there is no error."""
        from airflow.sdk.exceptions import AirflowRuntimeError
        from airflow.sdk.execution_time import comms, task_runner

        lease_of(name)
        try:
            task_runner.SUPERVISOR_COMMS.send(comms.DeleteVariable(key=name))
        except AirflowRuntimeError as error:
            if "not" not in str(error).lower() or "found" not in str(error).lower():
                raise

    def names(self) -> Iterable[str]:
        """Return the names of all entries."""
        return [name for name in self._keys(PREFIX) if is_entry(name)]

    def _keys(self, prefix: str) -> list[str]:
        from airflow.sdk import Variable

        return list(Variable.keys(prefix=prefix))
