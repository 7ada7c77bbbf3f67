"""Airflow's tables in a file of their own, a user, and an auth manager of Airflow's: what the page's lists are made from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.variable import Variable
from airflow.models.xcom import XComModel
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import Engine, delete, event, insert
from sqlalchemy.orm import Session

from airflow_provider_timav.leases import Lease
from airflow_provider_timav.plugins.rights import Rights

USERS = {role: SimpleAuthManagerUser(username=role, role=role.upper()) for role in ("admin", "user", "viewer")}


class ByDag(SimpleAuthManager):
    """An auth manager as the larger ones are: a user sees some DAGs, and may edit fewer."""

    def __init__(self, *, read: set[str], edit: set[str]) -> None:
        self._read, self._edit = read, edit

    def is_authorized_dag(self, *, method: Any, user: Any, access_entity: Any = None, details: Any = None) -> bool:
        return details is not None and details.id in (self._read if method == "GET" else self._edit)


class Everybody(SimpleAuthManager):
    """Airflow's simple one, without its file of passwords: roles alone decide."""

    def __init__(self) -> None:
        """Needs nothing."""


@dataclass
class Database:
    """A database of Airflow's, and what tests put into it."""

    engine: Engine
    statements: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        event.listen(self.engine, "before_cursor_execute", self._note)

    def _note(self, _c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        self.statements.append(statement)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session, and the count of queries from here on."""
        with Session(self.engine) as session:
            self.statements.clear()
            yield session

    def rights(self, session: Session, role: str = "user", manager: Any = None) -> Rights:
        """What a user of this role may."""
        return Rights(manager or Everybody(), USERS[role], session)

    def variables(self, texts: dict[str, Any]) -> None:
        """Write Variables."""
        with Session(self.engine) as session:
            for name, value in texts.items():
                text = value if isinstance(value, str) else json.dumps(value)
                session.execute(delete(Variable).where(Variable.key == name))
                session.add(Variable(key=name, val=text))  # type: ignore[no-untyped-call]  # Airflow's
            session.commit()

    def run(
        self,
        lease: Lease,
        states: dict[str, str | None],
        xcoms: dict[tuple[str, str], Any] | None = None,
        *,
        confirmed: bool = True,
        over: bool = False,
    ) -> None:
        """Write the run that a lease belongs to: its tasks' states, and XComs by task and key.

        Its `reserve` has noted the reservation, unless it is not to be `confirmed`. No scheduler touches a run that is `over`.
        """
        owner = lease.owner
        states = {"reserve": "success", **states}
        if confirmed:
            xcoms = {("reserve", "reservation"): lease.reservation(), **(xcoms or {})}
        with Session(self.engine) as session:
            run = session.query(DagRun).filter_by(dag_id=owner.dag_id, run_id=owner.run_id).one_or_none()
            if run is None:
                run = DagRun(
                    dag_id=owner.dag_id,
                    run_id=owner.run_id,
                    run_type=DagRunType.MANUAL,
                    run_after=datetime.now(UTC),
                    triggered_by=DagRunTriggeredByType.TEST,
                    state=DagRunState.SUCCESS if over else DagRunState.RUNNING,
                )
                session.add(run)
                session.flush()
            for name, state in states.items():
                self._task(session, lease, name, state)
            for (name, key), value in (xcoms or {}).items():
                session.add(
                    XComModel(
                        dag_run_id=run.id,
                        dag_id=owner.dag_id,
                        run_id=owner.run_id,
                        task_id=owner.task(name).task_id,
                        map_index=owner.map_index,
                        key=key,
                        value=value,
                    )
                )
            session.commit()

    @staticmethod
    def _task(session: Session, lease: Lease, name: str, state: str | None) -> None:
        owner = lease.owner
        # The model's own constructor wants an operator.
        session.execute(
            insert(TaskInstance.__table__).values(
                id=uuid4(),
                dag_id=owner.dag_id,
                run_id=owner.run_id,
                task_id=owner.task(name).task_id,
                map_index=owner.map_index,
                state=state,
                pool="default_pool",
                pool_slots=1,
                queue="default",
                priority_weight=1,
                max_tries=0,
                try_number=1,
            )
        )

    def dag(self, *dag_ids: str) -> None:
        """Write DAGs, of which a user's list of readable ones is made."""
        with Session(self.engine) as session:
            if session.get(DagBundleModel, "dags") is None:
                session.add(DagBundleModel(name="dags"))
                session.flush()
            for dag_id in dag_ids:
                session.add(DagModel(dag_id=dag_id, bundle_name="dags", fileloc="f.py"))  # type: ignore[no-untyped-call]
            session.commit()
