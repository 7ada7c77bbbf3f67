"""A stand-in for the service, for demos and tests; shares nothing with the client.

Real mutual TLS on loopback, the specification's state machine, live playlists that players decode, faults on demand and
a journal of what was really executed. See `Emulator` for the Python side and `python -m airflow_provider_timav.emulator
--help` for the command. The names below are imported when they are first used: importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_timav.emulator.certificates import Certificates
    from airflow_provider_timav.emulator.emulator import Emulator
    from airflow_provider_timav.emulator.faults import Fault
    from airflow_provider_timav.emulator.journal import JournalEntry
    from airflow_provider_timav.emulator.switches import Switches
    from airflow_provider_timav.emulator.world import Push, Recording

__all__ = ["Certificates", "Emulator", "Fault", "JournalEntry", "Push", "Recording", "Switches"]

_HOMES = {
    "Certificates": "certificates",
    "Emulator": "emulator",
    "Fault": "faults",
    "JournalEntry": "journal",
    "Push": "world",
    "Recording": "world",
    "Switches": "switches",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
