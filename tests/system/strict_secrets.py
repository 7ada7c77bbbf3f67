"""A secrets backend as strict as those of the clouds: what is no name for it, it raises for, and it keeps what it was asked."""

from __future__ import annotations

import os
import re
from pathlib import Path

from airflow.secrets import BaseSecretsBackend

ASKED = "TIMAV_TESTS_ASKED"  # the variable that names the file in which each question is noted
NAME = re.compile(r"[A-Za-z0-9_-]+")


class StrictBackend(BaseSecretsBackend):
    """Holds nothing."""

    def get_variable(self, key: str, team_name: str | None = None) -> str | None:
        return self._ask("variable", key)

    def get_conn_value(self, conn_id: str, team_name: str | None = None) -> str | None:
        return self._ask("connection", conn_id)

    def get_config(self, key: str) -> str | None:
        return None

    @staticmethod
    def _ask(kind: str, name: str) -> str | None:
        with Path(os.environ[ASKED]).open("a") as asked:
            asked.write(f"{kind} {name}\n")
        if not NAME.fullmatch(name):
            raise ValueError(f"ValidationException: invalid secret name {name!r}")
        return None
