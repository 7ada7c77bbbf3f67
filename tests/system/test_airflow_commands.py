"""Airflow's own commands know the provider, and its metadata is what Airflow's schemas and forms ask for."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.resources
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # ships no types; validate() is all that is used
import pytest

from airflow_provider_timav.emulator import Certificates, Emulator
from airflow_provider_timav.get_provider_info import get_provider_info
from harness.service import connect
from harness.site import AirflowSite, inherited

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

PACKAGE = "airflow-provider-timav"
INFO = get_provider_info()
SECRET_FIELDS = {"private_key", "private_key_passphrase", "secret_key", "proxy"}


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


def listed(site: AirflowSite, *command: str) -> list[dict[str, str]]:
    """The rows of a command's answer that name this package."""
    done = site.airflow(*command, "--output", "json")
    assert done.status == 0, done.output
    start = done.output.index("[{")  # warnings of other providers may stand before it
    rows: list[dict[str, str]] = json.JSONDecoder().raw_decode(done.output[start:])[0]
    return [row for row in rows if PACKAGE in row.values() or any("timav" in str(value) for value in row.values())]


class TestCommands:
    def test_providers_get(self, airflow_site: AirflowSite) -> None:
        (row,) = listed(airflow_site, "providers", "get", PACKAGE)
        assert row["Provider"] == PACKAGE

    def test_providers_hooks(self, airflow_site: AirflowSite) -> None:
        (row,) = listed(airflow_site, "providers", "hooks")
        assert row == {
            "connection_type": "timav",
            "class": "airflow_provider_timav.hooks.timav.TimAVHook",
            "conn_id_attribute_name": "timav_conn_id",
            "package_name": PACKAGE,
            "hook_name": "TIM AV",
        }

    def test_providers_triggers(self, airflow_site: AirflowSite) -> None:
        rows = listed(airflow_site, "providers", "triggers")
        assert sorted(row["class"] for row in rows) == [
            "airflow_provider_timav.triggers.live_stream",
            "airflow_provider_timav.triggers.on_air",
            "airflow_provider_timav.triggers.start",
        ]

    def test_providers_links(self, airflow_site: AirflowSite) -> None:
        rows = listed(airflow_site, "providers", "links")
        assert sorted(row["extra_link_class_name"] for row in rows) == sorted(INFO["extra-links"])

    def test_connections_test(self, airflow_site: AirflowSite, service: Emulator) -> None:
        connect(airflow_site, "timav_good", service.connection())
        done = airflow_site.airflow("connections", "test", "timav_good")
        assert done.status == 0, done.output
        assert "Connection success" in done.output
        assert service.usersig not in done.output

    def test_connections_test_says_what_is_wrong(self, airflow_site: AirflowSite, service: Emulator) -> None:
        other = Certificates()
        connect(airflow_site, "timav_bad", service.connection(private_key=other.client_key_pem))
        done = airflow_site.airflow("connections", "test", "timav_bad")
        assert done.status != 0
        assert "private_key is not the key of client_cert" in done.output
        assert other.client_key_pem.splitlines()[1] not in done.output

    @pytest.mark.parametrize(
        ("changes", "works", "said"),
        [
            ({}, True, "Credential (UserSig): accepted"),
            ({"password": "eJwrong"}, False, "Credential (UserSig): refused"),
            ({"port": 1}, False, ":1: the service was not reached"),
            ({"login": ""}, False, "login"),
        ],
        ids=["good", "wrong UserSig", "nobody listens", "no identifier"],
    )
    def test_the_test_button(
        self, airflow_site: AirflowSite, service: Emulator, changes: dict[str, Any], works: bool, said: str
    ) -> None:
        connection = service.connection() | changes
        body = {"connection_id": "timav_button", **connection, "extra": json.dumps(connection["extra"])}
        answer = airflow_site.rest("POST", "connections/test", body)
        assert (answer["status"], said in answer["message"]) == (works, True), answer["message"]
        assert service.usersig not in answer["message"]


class TestMetadata:
    def test_it_validates_against_airflows_schemas(self) -> None:
        """The one that is read at run time, and the stricter one that names what a connection type may hold."""
        airflow = importlib.resources.files("airflow")
        runtime = json.loads((airflow / "provider_info.schema.json").read_text())
        jsonschema.validate(INFO, runtime)
        strict = json.loads((airflow / "provider.yaml.schema.json").read_text())
        types = {**strict, **strict["properties"]["connection-types"]}
        types.pop("required", None)
        for key in ("properties", "additionalProperties", "allOf", "if", "then", "else"):
            types.pop(key, None)
        assert types["type"] == "array"
        jsonschema.validate(INFO["connection-types"], types)

    @pytest.mark.parametrize(
        "path",
        sorted({*INFO["extra-links"], *INFO["notifications"], INFO["connection-types"][0]["hook-class-name"]}),
    )
    def test_every_class_it_names_is_there(self, path: str) -> None:
        module, name = path.rsplit(".", 1)
        assert isinstance(getattr(importlib.import_module(module), name), type)

    @pytest.mark.parametrize(
        "module",
        [
            module
            for kind in ("hooks", "operators", "sensors", "triggers")
            for entry in INFO[kind]
            for module in entry["python-modules"]
        ],
    )
    def test_every_module_it_names_is_there_and_has_something_to_offer(self, module: str) -> None:
        assert importlib.import_module(module).__all__

    def test_it_names_every_module_that_users_import(self) -> None:
        root = Path(importlib.resources.files("airflow_provider_timav"))  # type: ignore[arg-type]
        shared = {
            "hooks.connection",
            "hooks.diagnosis",
            "hooks.stored",
        }
        there = {
            f"{kind}.{file.stem}"
            for kind in ("hooks", "operators", "sensors", "triggers")
            for file in (root / kind).glob("[a-z]*.py")
        }
        named = {
            module.removeprefix("airflow_provider_timav.")
            for kind in ("hooks", "operators", "sensors", "triggers")
            for entry in INFO[kind]
            for module in entry["python-modules"]
        }
        assert named == there - shared


FORM = """
import json, sys
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
from airflow.providers_manager import ProvidersManager
from airflow.sdk._shared.secrets_masker import should_hide_value_for_key

(ui,) = [meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "timav"]
named = [hook.connection_type for hook in ProvidersManager().iter_connection_type_hook_ui_metadata()]
print(json.dumps({
    "form": ui.model_dump(mode="json"),
    "named": "timav" in named,
    "imported": [name for name in sys.modules if name.startswith("airflow_provider_timav.")],
    "hidden": [name for name in ui.extra_fields if should_hide_value_for_key(name)],
    "known": ProvidersManager().providers["airflow-provider-timav"].version,
}))
"""


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    env = inherited() | {"AIRFLOW_HOME": str(tmp_path_factory.mktemp("form"))}
    done = subprocess.run(
        [sys.executable, "-c", FORM], env=env, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


class TestForm:
    def test_it_is_shown_without_importing_the_hook(self, form: dict[str, Any]) -> None:
        assert form["named"]
        assert form["imported"] == ["airflow_provider_timav.get_provider_info"]

    def test_every_field_of_the_connection_has_its_place(self, form: dict[str, Any]) -> None:
        fields = form["form"]["extra_fields"]
        assert list(fields) == [
            "sdkappid",
            "environment",
            "secret_key",
            "client_cert",
            "private_key",
            "private_key_passphrase",
            "ca_cert",
            "proxy",
        ]
        assert form["form"]["standard_fields"]["password"]["title"] == "UserSig (or a secret key below)"
        assert form["form"]["standard_fields"]["url_schema"]["hidden"] is True

    def test_airflow_hides_every_secret_field_by_its_name(self, form: dict[str, Any]) -> None:
        assert set(form["hidden"]) == SECRET_FIELDS

    def test_its_version_is_the_distributions(self, form: dict[str, Any]) -> None:
        assert form["known"] == importlib.metadata.version(PACKAGE)
