"""The page's list of the newest recordings, read from what the ``result`` tasks of broadcasts have noted for it.

One query suffices if the newest hundred notes hold enough recordings, or are all there are; otherwise older ones follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from airflow.models.xcom import XComModel
from sqlalchemy import func, or_, select

from airflow_provider_timav.notes import RECORDING, recording
from airflow_provider_timav.plugins.tables import as_text, value_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.orm import Session

    from airflow_provider_timav.plugins.rights import Rights

__all__ = ["recordings"]

SHOWN: Final = 20
OF_ONE_DAG: Final = 50
"""The most notes that are read of one DAG: one with many notes without a recording must not hide the others' recordings."""

MOST_READ: Final = 1000
PORTION: Final = 100
"""Notes in one query: each may be as large as an entry."""


def recordings(session: Session, rights: Rights) -> list[dict[str, Any]]:
    """Return the recordings of the DAGs that the user may read, newest first.

    Each with its run, ``title``, ``room_id``, ``user_id``, ``file_name``, ``file_ids``, ``file_ids_status``, ``outcome``,
    ``started_at``, ``ended_at``; unknown values are left out.
    """
    newest = _newest(rights.readable_dag_ids())
    shown: list[dict[str, Any]] = []
    for start in range(0, MOST_READ, PORTION):
        notes = session.execute(newest.limit(PORTION).offset(start)).all()
        rights.learn(note.dag_id for note in notes)
        for note in notes:
            known = recording(value_of(note.text))
            if known is not None and rights.may_read_xcoms(note.dag_id):
                shown.append({"dag_id": note.dag_id, "run_id": note.run_id, **known})
        if len(shown) >= SHOWN or len(notes) < PORTION:
            break
    return shown[:SHOWN]


def _newest(dag_ids: Collection[str]) -> Any:
    """Return a query for the notes of these DAGs, newest first, and only the newest of each DAG."""
    xcom = XComModel
    place = func.row_number().over(partition_by=xcom.dag_id, order_by=xcom.timestamp.desc())
    notes = (
        select(xcom, place.label("place"))
        # Few XComs have this key, and an index finds them.
        .where(xcom.key == RECORDING, or_(xcom.task_id == "result", xcom.task_id.endswith(".result", autoescape=True)))
        .where(xcom.dag_id.in_(dag_ids))
        .subquery()
    ).c
    return (
        select(notes.dag_id, notes.run_id, as_text(notes).label("text"))
        .where(notes.place <= OF_ONE_DAG)
        # Reading in portions needs a total order.
        .order_by(notes.timestamp.desc(), notes.dag_run_id, notes.task_id, notes.map_index)
    )
