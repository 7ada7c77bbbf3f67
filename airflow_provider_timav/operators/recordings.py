"""Each recording becomes one event of an asset, once, whatever is retried or cleared.

Airflow writes a task's events in the same transaction as its success, so its own record of them is the truth: what stands
there has been handed on, what does not has not, and nothing lies in between. It is asked for before anything is emitted. A
note in ``task_state_store`` stands in for it where it cannot be had; it is written before the task's success, so that a process
which dies in between leaves recordings that are noted and not handed on. None is handed on twice, then either.

Events are emitted through an alias: a plain outlet would emit one at every success, with or without a recording.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow.sdk import Asset, AssetAlias, Context

__all__ = ["alias_of", "hand_on"]

log = logging.getLogger(__name__)

_NOTE: Final = "timav:handed_on"


def alias_of(asset: Asset) -> AssetAlias:
    """Return the outlet through which a task emits events of this asset."""
    from airflow.sdk import AssetAlias

    return AssetAlias(name=asset.name)


def hand_on(asset: Asset, recordings: Sequence[dict[str, Any]], context: Context) -> list[str]:
    """Emit an event for each recording that has had none; return the file ids of those.

    :param recordings: what each event carries; ``file_id`` tells one recording from another.
    """
    if not recordings:
        return []
    store: Any = context.get("task_state_store")
    known = _known(asset, context, store)
    fresh = [recording for recording in recordings if recording["file_id"] not in known]
    for recording in fresh:
        context["outlet_events"][alias_of(asset)].add(asset, extra=recording)
    file_ids = [str(recording["file_id"]) for recording in fresh]
    if store is not None and fresh:
        store.set(_NOTE, {"file_ids": sorted({*_noted(store), *file_ids})})
    return file_ids


def _known(asset: Asset, context: Context, store: Any) -> set[str]:
    """Return the file ids of the events that there are of this asset since the run was due."""
    try:
        from airflow.sdk.execution_time.context import InletEventsAccessor

        events: Iterable[Any] = InletEventsAccessor(asset_name=asset.name, asset_uri=asset.uri)
        events = events.after(context["dag_run"].run_after)  # type: ignore[attr-defined]
        return {str(event.extra.get("file_id")) for event in events}
    except Exception:  # whatever Airflow raises, or its internals having moved
        log.warning("The events of %s could not be read; the task's own note is believed.", asset.uri, exc_info=True)
        return set(_noted(store))


def _noted(store: Any) -> list[str]:
    noted = store.get(_NOTE) if store is not None else None
    return [str(file_id) for file_id in noted["file_ids"]] if isinstance(noted, dict) else []
