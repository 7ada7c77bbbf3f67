"""Scripts that use earlier names find today's classes."""

from __future__ import annotations

from airflow_provider_timav.stream import reader as reader_module
from airflow_provider_timav.stream.probe import Probe
from airflow_provider_timav.stream.state import StreamState
from airflow_provider_timav.stream.watch import Look, Watch


def test_earlier_names_mean_probes_and_states() -> None:
    assert (Look, Watch) == (Probe, StreamState)
    assert vars(reader_module)["LOOK_SECONDS"] == reader_module.PROBE_SECONDS
    assert vars(reader_module.Reader)["look"] is reader_module.Reader.probe
