"""The operators of a `Broadcast` that are not a single operation of the API, and the reaper."""

from __future__ import annotations

from airflow_provider_timav.operators._on_air import OnAirOperator
from airflow_provider_timav.operators._reap import ReapBroadcastsOperator
from airflow_provider_timav.operators._reservation import ReserveBroadcastOperator
from airflow_provider_timav.operators._result import BroadcastResultOperator

__all__ = ["BroadcastResultOperator", "OnAirOperator", "ReapBroadcastsOperator", "ReserveBroadcastOperator"]
