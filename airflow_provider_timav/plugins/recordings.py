"""The newest recordings: what the ``result`` tasks of broadcasts have noted for the page, in one query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from airflow.models.xcom import XComModel
from sqlalchemy import or_, select

from airflow_provider_timav.notes import RECORDING, recording
from airflow_provider_timav.plugins.stored import as_text, value_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_provider_timav.plugins.rights import Rights

__all__ = ["recordings"]

SHOWN: Final = 20
LOOKED_AT: Final = 100
"""Of these the ones without a recording are left out."""


def recordings(session: Session, rights: Rights) -> list[dict[str, Any]]:
    """Return the recordings of the DAGs that the user may look into, newest first.

    Each with its run, ``title``, ``room_id``, ``user_id``, ``file_name``, ``file_ids``, ``file_ids_status``, ``outcome``,
    ``started_at``, ``ended_at``; what is not known is left out.
    """
    xcom = XComModel
    newest = (
        select(xcom.dag_id, xcom.run_id, as_text(xcom).label("text"))
        # This key is that of few XComs, and an index leads to them.
        .where(xcom.key == RECORDING, or_(xcom.task_id == "result", xcom.task_id.endswith(".result", autoescape=True)))
        .where(xcom.dag_id.in_(rights.readable_dag_ids()))
        .order_by(xcom.timestamp.desc())
        .limit(LOOKED_AT)
    )
    found = session.execute(newest).all()
    rights.learn(row.dag_id for row in found)
    shown: list[dict[str, Any]] = []
    for row in found:
        known = recording(value_of(row.text))
        if known is not None and rights.may_look(row.dag_id) and len(shown) < SHOWN:
            shown.append({"dag_id": row.dag_id, "run_id": row.run_id, **known})
    return shown
