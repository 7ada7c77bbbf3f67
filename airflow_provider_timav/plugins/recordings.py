"""The newest recordings: what the ``result`` tasks of broadcasts have handed on, in one query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from airflow.models.xcom import XComModel
from sqlalchemy import and_, select
from sqlalchemy.orm import aliased

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_provider_timav.plugins.rights import Rights

__all__ = ["recordings"]

SHOWN: Final = 20
LOOKED_AT: Final = 100
"""Of these the ones without a recording are left out."""

_TEXTS: Final = ("title", "user_id", "file_name", "file_ids_status", "outcome", "started_at", "ended_at")


def recordings(session: Session, rights: Rights) -> list[dict[str, Any]]:
    """Return the recordings of the DAGs that the user may look into, newest first.

    Each with its run, ``title``, ``room_id``, ``user_id``, ``file_name``, ``file_ids``, ``file_ids_status``, ``outcome``,
    ``started_at``, ``ended_at``; what is not known is left out.
    """
    mark, result = aliased(XComModel), aliased(XComModel)
    newest = (
        select(result.dag_id, result.run_id, result.value)
        .join(
            mark,
            and_(
                mark.dag_run_id == result.dag_run_id,
                mark.task_id == result.task_id,
                mark.map_index == result.map_index,
            ),
        )
        # This key is that of few XComs, and an index leads to them.
        .where(mark.key == "file_ids_status", mark.task_id.endswith(".result", autoescape=True))
        .where(result.key == "return_value", mark.dag_id.in_(rights.readable_dag_ids()))
        .order_by(mark.timestamp.desc())
        .limit(LOOKED_AT)
    )
    found = session.execute(newest).all()
    rights.learn(row.dag_id for row in found)
    shown: list[dict[str, Any]] = []
    for row in found:
        value = XComModel.deserialize_value(row)
        recorded = isinstance(value, dict) and value.get("file_ids_status") not in (None, "none")
        if recorded and rights.may_look(row.dag_id) and len(shown) < SHOWN:
            shown.append({"dag_id": row.dag_id, "run_id": row.run_id, **_of_result(value)})
    return shown


def _of_result(value: dict[str, Any]) -> dict[str, Any]:
    """Return what the page shows of it: people can write XComs, so only what has the right form."""
    ids, room_id = value.get("file_ids"), value.get("room_id")
    known = {name: value[name] for name in _TEXTS if isinstance(value.get(name), str)}
    if isinstance(room_id, int):
        known["room_id"] = room_id
    return {**known, "file_ids": [str(one) for one in ids] if isinstance(ids, list) else []}
