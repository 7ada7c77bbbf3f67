"""Registers the page "Broadcasts" with Airflow.

Every component of Airflow imports this module, workers included, so it imports only Airflow's plugin class. The page's
application is imported when Airflow reads the attributes for it, which only an API server does.
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
    """The page "Broadcasts", and its application under ``/timav``.

    They depend on parts of Airflow that are no public interface: logins, permissions, the database's tables. If one of them
    has moved, there is no page, one warning says so, and everything else works.
    """

    name = "timav"

    @cached_property
    def _app(self) -> FastAPI | None:
        try:
            from airflow_provider_timav.plugins.app import make_app

            return make_app()
        except Exception as moved:  # noqa: BLE001 - any error: the API server must start without this page, too
            log.warning(
                "The page Broadcasts is off: this Airflow lacks an internal interface that it needs (%s: %s).",
                type(moved).__name__,
                moved,
            )
            return None

    @cached_property
    def fastapi_apps(self) -> list[Any]:  # type: ignore[override]  # Airflow's is a plain attribute
        """The application under ``/timav``."""
        return [] if self._app is None else [{"app": self._app, "url_prefix": "/timav", "name": "timav"}]

    @cached_property
    def react_apps(self) -> list[Any]:  # type: ignore[override]  # as above
        """The menu entry. Its URLs are relative to Airflow's own, wherever that is mounted."""
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
