"""The package as a whole: what importing its parts costs, which layer knows which, and what it promises."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

import airflow_provider_timav
from airflow_provider_timav.get_provider_info import get_provider_info
from harness.imports import loaded_by

PACKAGE = Path(airflow_provider_timav.__file__).parent

# What a DAG file names, and what it is named from.
DAG_FILE_MODULES = [
    "airflow_provider_timav.broadcast",
    *(
        name
        for kind in ("operators", "sensors")
        for group in get_provider_info()[kind]
        for name in group["python-modules"]
        if not name.endswith(".broadcast")  # comes with what `Broadcast` needs
    ),
]
HEAVY = ("requests", "aiohttp", "m3u8", "TLSSigAPIv2", "cryptography", "urllib3")


def test_the_package_itself_imports_nothing() -> None:
    assert {name for name in loaded_by("airflow_provider_timav") if name.startswith("airflow")} == {
        "airflow_provider_timav"
    }


def test_provider_info_imports_nothing() -> None:
    """Every Airflow command evaluates it, and an exception in it would break all of them."""
    loaded = loaded_by("airflow_provider_timav.get_provider_info")
    assert {name.partition(".")[0] for name in loaded} & {"airflow", "requests", "pydantic", "aiohttp"} == set()


def test_assets_import_the_standard_library_only() -> None:
    """Airflow loads them wherever the address of any asset is looked at."""
    loaded = {name.partition(".")[0] for name in loaded_by("airflow_provider_timav.assets")}
    assert loaded <= sys.stdlib_module_names | {"airflow_provider_timav", "__main__"}


@pytest.mark.parametrize("module", DAG_FILE_MODULES)
def test_dag_file_pays_for_airflow_and_next_to_nothing_more(module: str) -> None:
    loaded = loaded_by(module, after="airflow.sdk")
    assert module in loaded
    assert len([name for name in loaded if name.startswith("airflow_provider_timav")]) <= 25
    assert [name for name in loaded if name.partition(".")[0] in HEAVY] == []
    api = {name for name in loaded if name.startswith("airflow_provider_timav.videorelay.")}
    assert api <= {"airflow_provider_timav.videorelay.errors"}


@pytest.mark.parametrize("package", ["videorelay", "stream"])
def test_lower_layers_know_no_airflow(package: str) -> None:
    modules = [f"airflow_provider_timav.{package}.{file.stem}" for file in (PACKAGE / package).glob("[a-z]*.py")]
    assert modules
    loaded = loaded_by(", ".join(modules))
    assert {name for name in loaded if name == "airflow" or name.startswith("airflow.")} == set()


@pytest.mark.parametrize(
    ("module", "not_loaded"),
    [
        # A trigger imports it in its loop; aiohttp takes longer than a loop may be blocked.
        pytest.param("airflow_provider_timav.videorelay.aclient", {"aiohttp", "requests", "urllib3"}, id="async"),
        pytest.param("airflow_provider_timav.videorelay.client", {"aiohttp"}, id="sync"),
    ],
)
def test_client_imports_no_library_that_it_may_not_need(module: str, not_loaded: set[str]) -> None:
    assert {name.partition(".")[0] for name in loaded_by(module)} & not_loaded == set()


def test_one_module_of_the_triggers_sends_starts() -> None:
    """A trigger may run twice at the same time: what it sends is decided in one place (`Starting`), and sent in one."""
    senders = set()
    for file in (PACKAGE / "triggers").glob("*.py"):
        nodes = [*ast.walk(ast.parse(file.read_text()))]
        if {node.attr for node in nodes if isinstance(node, ast.Attribute)} & {"start_push", "start_record"}:
            senders.add(file.name)
    assert senders == {"_sender.py"}


def test_errors_import_the_standard_library_only() -> None:
    tree = ast.parse((PACKAGE / "videorelay" / "errors.py").read_text())
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name) or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names | {"__future__"}


def test_promised_names_are_where_they_are_promised() -> None:
    """DAG files and Airflow's database hold them."""
    import importlib

    promised = {
        "broadcast": ["Broadcast"],
        "hooks.timav": ["TimAVHook"],
        "notifications.broadcast": ["EndBroadcastNotifier"],
        "operators.broadcast": [
            "ReserveBroadcastOperator",
            "OnAirOperator",
            "BroadcastResultOperator",
            "ReapBroadcastsOperator",
        ],
        "operators.push": ["StartPushOperator", "StopPushOperator"],
        "operators.record": ["StartRecordOperator", "StopRecordOperator"],
        "operators.room": ["KickMembersOperator"],
        "sensors.live_stream": ["LiveStreamSensor"],
        "triggers.live_stream": ["LiveStreamTrigger"],
        "triggers.on_air": ["OnAirTrigger"],
        "triggers.start": ["StartTrigger"],
        "assets": ["convert_asset_to_openlineage", "create_asset", "sanitize_uri"],
        "links": ["PushConsoleLink", "RecordingConsoleLink", "RecordingLink", "WatchLiveLink"],
        "retry": ["TimAVRetryPolicy"],
        "plugins.timav": ["TimAVPlugin"],
        "emulator": ["Emulator"],
        "emulator.pytest_plugin": ["timav_emulator"],
        "videorelay.client": ["Client"],
        "videorelay.aclient": ["AsyncClient"],
        "videorelay.errors": [
            "TimAVError",
            "ConfigurationError",
            "CertificateError",
            "CredentialError",
            "TransportError",
            "AmbiguousOutcome",
            "ProtocolError",
            "RequestRejected",
            "RoomNotReady",
            "RateLimited",
            "AlreadyRunning",
            "QuotaExceeded",
            "ServiceError",
            "RecordingLost",
        ],
    }
    for module, names in promised.items():
        found = importlib.import_module(f"airflow_provider_timav.{module}")
        assert [name for name in names if not hasattr(found, name)] == []


def test_version_has_one_home() -> None:
    import tomllib
    from importlib.metadata import version

    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    assert version("airflow-provider-timav") == project["version"]
    texts = [file.read_text() for file in PACKAGE.rglob("*.py")]
    assert not any("__version__" in text for text in texts)


def test_plugin_makes_nothing_of_what_an_xcom_names() -> None:
    """The API server reads raw values: Airflow's own way to read one imports and makes the class that it names."""
    for file in (PACKAGE / "plugins").glob("*.py"):
        assert not re.search(r"deserialize|get_one|get_many|serde|import_string|xcom_pull", file.read_text()), file.name


def test_modules_are_small() -> None:
    longest = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in PACKAGE.rglob("*.py")}
    assert {file.name: lines for file, lines in longest.items() if lines > 400} == {}


def test_no_two_classes_share_a_name() -> None:
    """The emulator aside, which speaks of the same things on the other side."""
    places: dict[str, list[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        if "emulator" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(file.relative_to(PACKAGE)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
