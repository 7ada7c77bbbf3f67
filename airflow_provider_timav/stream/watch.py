"""Earlier names of this package's parts, for scripts outside of the project."""

from __future__ import annotations

from typing import Final

from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.state import StreamState

__all__ = ["Look", "Watch"]

Look: Final = Probe
Watch: Final = StreamState
