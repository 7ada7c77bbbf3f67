"""Emit each recording as one event of an asset, once, over all retries and clears.

Airflow writes a task's events and its success in one transaction, so its record of events is the truth: a file id is in it
exactly if it was emitted by a try that succeeded. That record is read before anything is emitted again.

Emitted file ids are also noted in ``task_state_store``, before the task's success. Without such a note nothing was emitted, and
Airflow's record need not be read. If the record cannot be read (Airflow 3.3.2 fails while a run that an earlier event has
started is queued), the note decides: if a process died between note and success, its recording is never emitted; none is ever
emitted twice.

Events are emitted through an alias: a plain outlet would emit one at every success, with or without a recording. A recording
that the service has cut into several files is one event that names all of them: of several events of one asset in one
transaction, Airflow 3.3 delivers the first, and the others only with the next recording.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_timav.reading import LONGEST_FILE_ID, MOST_FILE_IDS, Fields, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow.sdk import Asset, AssetAlias, Context

__all__ = ["emit_recording"]

log = logging.getLogger(__name__)

_NOTE: Final = "timav:handed_on"


def emit_recording(
    file_ids: Sequence[str], asset: Asset, series: AssetAlias, extra: Mapping[str, Any], context: Context
) -> list[str]:
    """Emit an event that names those of the file ids that no event has named yet; return these.

    :param series: the alias that is an outlet of the task.
    :param extra: what else the event says.
    """
    if not file_ids:
        return []
    from airflow.sdk import NEVER_EXPIRE  # type: ignore[attr-defined]  # Airflow's stub lacks it

    store: Any = context.get("task_state_store")
    known = _known(asset, context, store)
    fresh = [file_id for file_id in file_ids if file_id not in known]
    if fresh:
        context["outlet_events"][series].add(asset, {"file_ids": [*fresh], **extra})
        if store is not None:
            # Kept as long as the run is: it may be cleared years later.
            store.set(_NOTE, {"file_ids": sorted({*_noted(store), *fresh})}, retention=NEVER_EXPIRE)
    return fresh


def _known(asset: Asset, context: Context, store: Any) -> set[str]:
    """Return the file ids that events of this asset have named since the run was due."""
    if store is not None and store.get(_NOTE) is None:
        return set()
    try:
        from airflow.sdk.execution_time.context import InletEventsAccessor

        events: Iterable[Any] = InletEventsAccessor(asset_name=asset.name, asset_uri=asset.uri).after(
            context["dag_run"].run_after.isoformat()
        )
        return {str(file_id) for event in events for file_id in event.extra.get("file_ids", ())}
    except Exception:  # whatever Airflow raises, or its internals having moved
        log.warning("Cannot read the events of %s; using the task's own note.", asset.uri, exc_info=True)
        return set(_noted(store))


def _noted(store: Any) -> list[str]:
    noted = store.get(_NOTE) if store is not None else None
    if noted is None:
        return []
    try:
        return list(Fields(noted).texts("file_ids", most=MOST_FILE_IDS, longest=LONGEST_FILE_ID))
    except Unreadable as wrong:
        log.warning("Cannot read what an earlier try has emitted (%s); ignoring it.", wrong)
        return []
