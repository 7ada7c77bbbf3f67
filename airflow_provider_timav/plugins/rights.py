"""What a user may see and do, decided as Airflow's own routes decide it."""

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
    """One user's rights, for one request; calls the auth manager once for each right to a DAG.

    :param manager: Airflow's auth manager.
    :param user: as Airflow has authenticated them.
    """

    def __init__(self, manager: Any, user: Any, session: Session) -> None:
        self._manager = manager
        self._user = user
        self._session = session
        self._teams: dict[str, str | None] = {}
        self._may = cache(self._is_authorized)

    def learn(self, dag_ids: Iterable[str]) -> None:
        """Read in one query which teams these DAGs belong to; call it before any question about them."""
        self._teams |= DagModel.get_dag_id_to_team_name_mapping(sorted(set(dag_ids)), session=self._session)

    def is_of_team(self, dag_id: str, team: str | None) -> bool:
        """Return whether a DAG belongs to this team; None stands for no team."""
        return self._teams.get(dag_id) == team

    def readable_dag_ids(self) -> set[str]:
        """Return the ids of all DAGs that the user may read."""
        found: set[str] = self._manager.get_authorized_dag_ids(user=self._user, method="GET", session=self._session)
        return found

    def may_read_xcoms(self, dag_id: str) -> bool:
        """Return whether the user may read the XComs of this DAG, such as the URLs of a stream."""
        return self._may("GET", DagAccessEntity.XCOM, dag_id)

    def may_stop(self, dag_id: str) -> bool:
        """Return whether the user may mark tasks of this DAG's runs."""
        return self._may("PUT", DagAccessEntity.TASK_INSTANCE, dag_id)

    def may_extend(self, dag_id: str) -> bool:
        """Return whether the user may edit the XComs of this DAG, such as the end of a broadcast."""
        return self._may("PUT", DagAccessEntity.XCOM, dag_id)

    def _is_authorized(self, method: str, entity: DagAccessEntity, dag_id: str) -> bool:
        details = DagDetails(id=dag_id, team_name=self._teams.get(dag_id))
        return bool(
            self._manager.is_authorized_dag(method=method, access_entity=entity, details=details, user=self._user)
        )
