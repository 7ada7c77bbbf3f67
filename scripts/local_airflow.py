"""The environment in which the project's own commands run Airflow: a home of their own, nothing from the person's."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def fresh_home(name: str) -> Path:
    """Return an empty folder for AIRFLOW_HOME under the project, made anew."""
    home = PROJECT / name
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    return home


def environment(home: Path, connection: str) -> dict[str, str]:
    """Return the variables for ``airflow``: the example DAGs, an embedded database, the connection, and no colours.

    :param connection: the connection ``timav_default`` as JSON.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "example_dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__FERNET_KEY": "",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW_CONN_TIMAV_DEFAULT": connection,
        "NO_COLOR": "1",
    }
