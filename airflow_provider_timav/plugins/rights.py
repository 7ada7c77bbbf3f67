"""What a user may see and do, as Airflow's own routes decide it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.models.dag import DagModel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.orm import Session

__all__ = ["Rights"]


class Rights:
    """One user's, for one request: each question about a DAG is put to the auth manager once.

    :param manager: Airflow's auth manager.
    :param user: as Airflow has identified them.
    """

    def __init__(self, manager: Any, user: Any, session: Session) -> None:
        self._manager = manager
        self._user = user
        self._session = session
        self._teams: dict[str, str | None] = {}
        self._may = cache(self._ask)

    def learn(self, dag_ids: Iterable[str]) -> None:
        """Look up in one query which teams these DAGs belong to; to be called before anything is asked of them."""
        self._teams |= DagModel.get_dag_id_to_team_name_mapping(sorted(set(dag_ids)), session=self._session)

    def is_of_team(self, dag_id: str, team: str | None) -> bool:
        """Tell whether a DAG belongs to this team; None is none."""
        return self._teams.get(dag_id) == team

    def readable_dag_ids(self) -> set[str]:
        """Return the ids of all DAGs that the user may read."""
        found: set[str] = self._manager.get_authorized_dag_ids(user=self._user, method="GET", session=self._session)
        return found

    def may_look(self, dag_id: str) -> bool:
        """Tell whether the user may read what tasks of this DAG hand on, such as where a stream plays."""
        return self._may("GET", DagAccessEntity.XCOM, dag_id)

    def may_stop(self, dag_id: str) -> bool:
        """Tell whether the user may mark tasks of this DAG's runs."""
        return self._may("PUT", DagAccessEntity.TASK_INSTANCE, dag_id)

    def may_extend(self, dag_id: str) -> bool:
        """Tell whether the user may change what tasks of this DAG hand on, such as when a broadcast ends."""
        return self._may("PUT", DagAccessEntity.XCOM, dag_id)

    def _ask(self, method: str, entity: DagAccessEntity, dag_id: str) -> bool:
        details = DagDetails(id=dag_id, team_name=self._teams.get(dag_id))
        return bool(
            self._manager.is_authorized_dag(method=method, access_entity=entity, details=details, user=self._user)
        )
