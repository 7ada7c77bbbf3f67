"""The ledger's Variables without Airflow."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_provider_timav.leases import Variables


class Sheet(Variables):
    """Variables in memory: `texts`, by name. For `Ledger.store`."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def get(self, name: str) -> str | None:
        return self.texts.get(name)

    def set(self, name: str, text: str, *, read_back: bool = False) -> None:
        self.texts[name] = text

    def delete(self, name: str) -> None:
        self.texts.pop(name, None)

    def names(self) -> Iterable[str]:
        return list(self.texts)
