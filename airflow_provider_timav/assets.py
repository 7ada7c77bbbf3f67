"""Recordings as assets of Airflow: ``timav://recordings/…``, what tells one from another, and how OpenLineage names them.

An asset is a series of recordings, and each recording is one event of it. By default the series is that of a broadcast:
``timav://recordings/<DAG id>/<group id>``. That is known when the DAG is parsed, stays the same when the show moves to another
room, and does not grow with the number of rooms; several broadcasts can share a series by naming one. Room, user and file are
in the event.

Airflow loads this module wherever the address of an asset is looked at: it imports the standard library only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.sdk import Asset

__all__ = ["convert_asset_to_openlineage", "create_asset", "sanitize_uri", "series_of"]

SCHEME: Final = "timav"
RECORDINGS: Final = f"{SCHEME}://recordings"


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Return the address of an asset as it is.

    :raises ValueError: if it has no name: ``timav://<kind>/<name>``, such as ``timav://recordings/news``.
    """
    if not uri.netloc or not uri.path.strip("/"):
        raise ValueError("the address of a timav asset is timav://<kind>/<name>, such as timav://recordings/news")
    return uri


def series_of(dag_id: str, group_id: str) -> str:
    """Return the name of the series that a broadcast's recordings make up unless it names another one."""
    return f"{dag_id}/{group_id}"


def create_asset(*, series: str, extra: dict[str, Any] | None = None) -> Asset:
    """Return the asset of a series of recordings; name and address are the same text, so that either one finds it.

    :param series: such as ``news``, or ``<DAG id>/<group id>``.
    """
    from airflow.sdk import Asset

    return Asset(uri=f"{RECORDINGS}/{quote(series, safe='/')}", extra=extra)


def given_asset(recordings: Asset | str) -> Asset:
    """Return the asset that was given, or the one at the address that was given.

    :raises ValueError: for an address that `sanitize_uri` refuses.
    """
    from airflow.sdk import Asset

    return Asset(uri=recordings) if isinstance(recordings, str) else recordings


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> Dataset:
    """Return OpenLineage's dataset for an asset: the kind is its namespace, the rest its name."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    parts = urlsplit(asset.uri)
    return Dataset(namespace=f"{parts.scheme}://{parts.netloc}", name=parts.path.strip("/"))
