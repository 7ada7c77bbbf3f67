"""Earlier names of this package's parts, for scripts that still use them. The package itself does not."""

from __future__ import annotations

from typing import Final

from airflow_provider_timav.stream import reader
from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.state import StreamState

__all__ = ["Look", "Watch"]

Look: Final = Probe
Watch: Final = StreamState

setattr(reader, "LOOK_SECONDS", reader.PROBE_SECONDS)  # noqa: B010 - a name that the module does not have
setattr(reader.Reader, "look", reader.Reader.probe)  # noqa: B010
