"""What the plugin adds to Airflow, what that costs, and what it asks of those who call."""

from __future__ import annotations

import hashlib
import logging
import re
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import get_user
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

import airflow_provider_timav.plugins
from airflow_provider_timav.plugins import app as page
from airflow_provider_timav.plugins.timav import TimAVPlugin
from harness.database import USERS, Database, Everybody
from harness.imports import loaded_by
from tests.unit.plugins.test_broadcast_rows import ON_AIR, lease, ledger, ours

STATIC = Path(airflow_provider_timav.plugins.__file__).parent / "static"

# What `npm pack hls.js@1.7.4` holds as dist/hls.light.min.mjs.
HLS_JS = "3d82a88cf9ae0d9aaab3cbe9ff6ecbb64bb89c54a399c34ae9bf8b559baeb20f"

OWN = [route for route in page.make_app().routes if isinstance(route, APIRoute)]


@pytest.fixture
def application(database: Database, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """The application on a database of its own."""

    def session() -> Iterator[Any]:
        with database.session() as one:
            yield one

    made = page.make_app()
    made.dependency_overrides[SessionDep.__metadata__[0].dependency] = session  # type: ignore[attr-defined]
    monkeypatch.setattr(page, "get_auth_manager", Everybody)
    return made


@pytest.fixture
def client(application: FastAPI) -> TestClient:
    """Nobody in particular."""
    return TestClient(application)


@pytest.fixture
def viewer(application: FastAPI) -> TestClient:
    """One who has logged in."""
    application.dependency_overrides[get_user] = lambda: USERS["viewer"]
    return TestClient(application)


def test_plugin_costs_components_without_an_interface_next_to_nothing() -> None:
    """Workers, triggerers and schedulers import it, too."""
    loaded = loaded_by("airflow_provider_timav.plugins.timav", after="airflow.sdk.plugins_manager")
    assert {name for name in loaded if not name.startswith("airflow_provider_timav")} == set()
    assert {name for name in loaded if name.startswith("airflow_provider_timav.")} == {
        "airflow_provider_timav.plugins",
        "airflow_provider_timav.plugins.timav",
    }


def test_airflow_finds_the_plugin_by_its_entry_point() -> None:
    (entry,) = (one for one in entry_points(group="airflow.plugins") if one.name == "timav")
    assert entry.load() is TimAVPlugin
    assert TimAVPlugin.name == "timav"


def test_plugin_adds_one_page_and_what_serves_it() -> None:
    plugin = TimAVPlugin()
    (served,) = plugin.fastapi_apps
    (entry,) = plugin.react_apps
    assert served["url_prefix"] == "/timav"
    assert entry["destination"] == "nav"
    paths = {route.path for route in OWN}
    for address in (entry["bundle_url"], entry["icon"], entry["icon_dark_mode"]):
        assert address.removeprefix("timav") in paths
    assert plugin.react_apps is plugin.react_apps, "Airflow removes entries from the list that it was given"


def test_page_switches_itself_off_with_one_warning_where_airflow_has_moved(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "airflow_provider_timav.plugins.app")
    monkeypatch.setitem(sys.modules, "airflow.api_fastapi.core_api.security", None)
    plugin = TimAVPlugin()
    with caplog.at_level(logging.WARNING):
        assert plugin.fastapi_apps == plugin.react_apps == []
        assert plugin.fastapi_apps == plugin.react_apps == []
    (warning,) = (record for record in caplog.records if record.name == "airflow_provider_timav.plugins.timav")
    assert warning.getMessage().startswith("The page Broadcasts is off: this Airflow lacks")


@pytest.mark.parametrize("path", sorted(route.path for route in OWN))
def test_every_route_asks_for_a_login(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 401


def test_no_route_changes_anything() -> None:
    """Who stops and extends is Airflow's own REST API: there is no second door."""
    assert {method for route in OWN for method in route.methods} == {"GET"}


@pytest.mark.parametrize("path", sorted(f"/{file.name}" for file in STATIC.iterdir()))
def test_file_is_served_and_asked_for_only_once(viewer: TestClient, path: str) -> None:
    first = viewer.get(path)
    assert first.status_code == 200
    assert first.content == (STATIC / path[1:]).read_bytes()
    assert first.headers["Content-Type"].partition(";")[0] in page.MEDIA_TYPES.values()
    assert first.headers["X-Content-Type-Options"] == "nosniff"
    assert first.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert first.headers["Cache-Control"] == "private, no-cache"
    again = viewer.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_lists_are_kept_by_no_cache(database: Database, viewer: TestClient) -> None:
    held = lease()
    database.variables(ledger(held, ours(held)))
    for path, name in (("/on-air", "broadcasts"), ("/recordings", "recordings")):
        answer = viewer.get(path)
        assert answer.status_code == 200
        assert isinstance(answer.json()[name], list)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_hostile_texts_arrive_as_json_and_nothing_else(database: Database, viewer: TestClient) -> None:
    title = "</script><img src=x onerror=alert(1)>"
    held = lease(title=title)
    database.variables(ledger(held, ours(held)))
    database.run(held, ON_AIR)
    answer = viewer.get("/on-air")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["broadcasts"][0]["title"] == title


@pytest.mark.parametrize("file", sorted(STATIC.glob("*.js")), ids=lambda file: file.name)
def test_own_scripts_never_write_markup(file: Path) -> None:
    """Whatever a text holds, React makes a text node of it."""
    source = file.read_text()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|dangerouslySet|\beval\b|new Function", source
    )


def test_hls_js_is_the_published_one_with_its_licence() -> None:
    assert hashlib.sha256((STATIC / "hls.light.min.mjs").read_bytes()).hexdigest() == HLS_JS
    assert "Apache License, Version 2.0" in (STATIC / "hls.LICENSE.txt").read_text()
