"""Present recordings as Airflow assets: their addresses, and their names in OpenLineage.

An asset is the origin of recordings, in the terms that identify a recording for the service and a lease for us:
``timav://<connection>/<room>/<user>/<camera or screen>``. Each recording is one event of it. Only one broadcast at a time holds
that place, so two events of one asset never come in the same moment. (Airflow 3.3 would hold one of them back until the next.)

A series is an alias, through which events of any number of places are emitted: that of a broadcast,
``timav://recordings/<DAG id>/<group id>``. Schedule a DAG on the asset to get the recordings of one host, and on the alias to
get those of one broadcast, whatever its rooms are.

In both, characters other than ASCII letters, digits and ``_.-~`` are percent-encoded, and a part that is longer than Airflow's
tables allow is replaced by ``~`` and its digest.

Airflow loads this module whenever it reads the address of an asset: it imports the standard library only.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlsplit

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.sdk import Asset

__all__ = ["address_of", "convert_asset_to_openlineage", "create_asset", "sanitize_uri", "series_of"]

SHAPE: Final = "timav://<connection>/<room>/<user>/<camera or screen>"
KINDS: Final = ("camera", "screen")

LONGEST_PART: Final = 600
"""Characters, percent-encoded. Airflow's columns for names and addresses hold 1500, of ASCII only where they are MySQL's."""


def address_of(*, timav_conn_id: str, room_id: int, user_id: str, push_data_type: str) -> str:
    """Return the address of the asset whose events are the recordings of this user in this room."""
    return _joined(timav_conn_id, room_id, user_id, push_data_type)


def series_of(dag_id: str, group_id: str) -> str:
    """Return the name of the series that a broadcast's recordings belong to."""
    return _joined("recordings", dag_id, group_id)


def _joined(*parts: str | int) -> str:
    return "timav://" + "/".join(_quoted(str(part)) for part in parts)


def _quoted(part: str) -> str:
    quoted = quote(part, safe="")
    return quoted if len(quoted) <= LONGEST_PART else f"~{hashlib.sha256(part.encode()).hexdigest()}"


def create_asset(
    *,
    room_id: int,
    user_id: str,
    push_data_type: str = "camera",
    timav_conn_id: str = "timav_default",
    extra: dict[str, Any] | None = None,
) -> Asset:
    """Return the asset whose events are the recordings of this user in this room: for the schedule of a DAG.

    Its name is its address, as for any ``Asset`` that is created from an address alone.
    """
    from airflow.sdk import Asset

    address = address_of(timav_conn_id=timav_conn_id, room_id=room_id, user_id=user_id, push_data_type=push_data_type)
    return Asset(uri=address, extra=extra)


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Return the address of an asset unchanged.

    A wrong address is refused, not repaired: the asset's name would stay as it was written, and would never match an event.

    :raises ValueError: if no recording can have this address.
    """
    parts = [unquote(part) for part in (uri.netloc, *uri.path.removeprefix("/").split("/"))]
    if len(parts) != 4 or not all(parts) or not _is_room(parts[1]) or parts[3] not in KINDS:
        raise ValueError(f"the address of a timav asset is {SHAPE}")
    expected = address_of(timav_conn_id=parts[0], room_id=int(parts[1]), user_id=parts[2], push_data_type=parts[3])
    if uri.geturl() != expected:
        raise ValueError(f"write this address as {expected}")
    return uri


def _is_room(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 20


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> Dataset:
    """Return OpenLineage's dataset of an asset: the connection is its namespace, the rest its name."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    parts = urlsplit(asset.uri)
    return Dataset(namespace=f"{parts.scheme}://{parts.netloc}", name=parts.path.strip("/"))
