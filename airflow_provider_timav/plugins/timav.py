"""Tells Airflow of the page "Broadcasts".

Every component of Airflow imports this module, workers included: it imports Airflow's plugin class and nothing else. What
serves the page is imported where Airflow asks for it, which only an API server does.
"""

from __future__ import annotations

import logging
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["TimAVPlugin"]

log = logging.getLogger(__name__)


class TimAVPlugin(AirflowPlugin):
    """The page "Broadcasts", with what serves it under ``/timav``.

    It stands on parts of Airflow that are no public interface: logins, permissions, the database's tables. Where one of them
    has moved, there is no page, one warning says so, and all else goes on.
    """

    name = "timav"

    @cached_property
    def _app(self) -> FastAPI | None:
        try:
            from airflow_provider_timav.plugins.app import make_app

            return make_app()
        except Exception as moved:  # noqa: BLE001 - whatever it is: an API server must start without this page, too
            log.warning(
                "The page Broadcasts is switched off: this Airflow has moved what it stands on (%s: %s).",
                type(moved).__name__,
                moved,
            )
            return None

    @cached_property
    def fastapi_apps(self) -> list[Any]:  # type: ignore[override]  # Airflow's is a plain attribute
        """What answers under ``/timav``."""
        return [] if self._app is None else [{"app": self._app, "url_prefix": "/timav", "name": "timav"}]

    @cached_property
    def react_apps(self) -> list[Any]:  # type: ignore[override]  # as above
        """The entry of the menu. Its addresses are relative to Airflow's own, wherever that is mounted."""
        if self._app is None:
            return []
        return [
            {
                "name": "Broadcasts",
                "bundle_url": "timav/broadcasts.js",
                "icon": "timav/broadcasts.svg",
                "icon_dark_mode": "timav/broadcasts-dark.svg",
                "url_route": "timav-broadcasts",
                "destination": "nav",
                "nav_top_level": True,
            }
        ]
