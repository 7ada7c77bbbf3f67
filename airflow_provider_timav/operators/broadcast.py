"""The tasks of a `Broadcast` that are not a single operation, and the one that clears up after all broadcasts."""

from __future__ import annotations

from airflow_provider_timav.operators._on_air import OnAirOperator
from airflow_provider_timav.operators._reap import ReapBroadcastsOperator
from airflow_provider_timav.operators._reserve import ReserveBroadcastOperator
from airflow_provider_timav.operators._result import BroadcastResultOperator

__all__ = ["BroadcastResultOperator", "OnAirOperator", "ReapBroadcastsOperator", "ReserveBroadcastOperator"]
