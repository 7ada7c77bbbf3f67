"""Each recording becomes one event of an asset, once, whatever is retried or cleared.

Airflow writes a task's events in the same transaction as its success, so its own record of them is the truth: what stands
there has been handed on, what does not has not, and nothing lies in between. It is asked for before anything is emitted again.

What is emitted is noted in ``task_state_store``, before the task's success. Without a note nothing was emitted, and nobody need
be asked. Where Airflow does not answer (3.3.2 cannot, while a run that an earlier event has started is queued), the note is
believed: a process that died between note and success then leaves recordings that are not handed on, and never one that is
handed on twice.

Events are emitted through an alias: a plain outlet would emit one at every success, with or without a recording. A recording
that the service has cut into several files is one event that names all of them: of several events of one asset in one
transaction, Airflow 3.3 hands on the first, and the others with the next recording only.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_timav.reading import LONGEST_FILE_ID, MOST_FILE_IDS, Fields, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow.sdk import Asset, AssetAlias, Context

__all__ = ["hand_on"]

log = logging.getLogger(__name__)

_NOTE: Final = "timav:handed_on"


def hand_on(
    file_ids: Sequence[str], asset: Asset, series: AssetAlias, what: Mapping[str, Any], context: Context
) -> list[str]:
    """Emit an event that names those of the file ids that no event has named yet; return these.

    :param series: the alias that is an outlet of the task.
    :param what: what else the event tells.
    """
    if not file_ids:
        return []
    from airflow.sdk import NEVER_EXPIRE  # type: ignore[attr-defined]  # Airflow's stub lacks it

    store: Any = context.get("task_state_store")
    known = _known(asset, context, store)
    fresh = [file_id for file_id in file_ids if file_id not in known]
    if fresh:
        extra: dict[str, Any] = {"file_ids": fresh, **what}
        context["outlet_events"][series].add(asset, extra)
        if store is not None:
            # For as long as the run is there: it may be cleared years later.
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
        log.warning("The events of %s could not be read; the task's own note is believed.", asset.uri, exc_info=True)
        return set(_noted(store))


def _noted(store: Any) -> list[str]:
    noted = store.get(_NOTE) if store is not None else None
    if noted is None:
        return []
    try:
        return list(Fields(noted).texts("file_ids", most=MOST_FILE_IDS, longest=LONGEST_FILE_ID))
    except Unreadable as wrong:
        log.warning("What was handed on by an earlier try cannot be read (%s): it is passed over.", wrong)
        return []
