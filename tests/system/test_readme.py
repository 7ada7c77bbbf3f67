"""The README, and the page on operators: every block in them does what it says."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from airflow.sdk import Connection

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.get_provider_info import get_provider_info
from airflow_provider_timav.hooks.timav import Settings
from harness.project import PROJECT
from harness.service import connect
from harness.site import AirflowSite

pytestmark = pytest.mark.system

README = (PROJECT / "README.md").read_text(encoding="utf-8")
OPERATORS = (PROJECT / "docs" / "operators.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\S+)(?: (\S+))?\n(.*?)^```$", README + OPERATORS, re.DOTALL | re.MULTILINE)


def blocks(language: str, name: str | None = None) -> list[str]:
    return [text for lang, label, text in BLOCKS if lang == language and (name is None or label == name)]


def dag_id_of(source: str) -> str:
    found = re.search(r'DAG\("(\w+)"', source)
    assert found is not None
    return found[1]


DAGS = blocks("python", "dag")


def test_every_block_is_one_that_a_test_executes() -> None:
    known = {("bash", ""), ("text", "demo"), ("json", "connection"), ("python", "conftest"), ("python", "test")}
    known |= {("python", "dag")} | {("text", dag_id_of(source)) for source in DAGS}
    assert {(language, label) for language, label, _ in BLOCKS} <= known


@pytest.fixture(scope="module")
def site(airflow_site: AirflowSite) -> AirflowSite:
    """Each DAG under a name of its own: one is an example, too."""
    for source in DAGS:
        dag_id = dag_id_of(source)
        airflow_site.write_dag(f"readme_{dag_id}", source.replace(f'DAG("{dag_id}"', f'DAG("readme_{dag_id}"'))
    return airflow_site


@pytest.mark.timeout(300)
@pytest.mark.parametrize("dag_id", [dag_id_of(source) for source in DAGS])
def test_dag_runs(dag_id: str, site: AirflowSite, timav_emulator: Emulator) -> None:
    connect(site, "timav_default", timav_emulator.connection())
    run = site.run(f"readme_{dag_id}", timeout=180)
    log = "\n".join(run.log(task.task_id) for task in run.tasks())
    assert run.state == "success", log
    for said in blocks("text", dag_id):
        for line in filter(None, said.splitlines()):
            assert re.sub(r":\d{4,5}/", f":{timav_emulator.media_url.rpartition(':')[2]}/", line) in log


def test_connection_is_understood() -> None:
    (text,) = blocks("json", "connection")
    given = json.loads(text)
    settings = Settings.of(Connection(conn_id="timav_default", **given | {"extra": json.dumps(given["extra"])}))
    assert (settings.endpoint, settings.sdkappid) == ("https://openapi.tim.qq.com", 1400000001)


def test_tests_of_ones_own_pass(tmp_path: Path) -> None:
    (conftest,) = blocks("python", "conftest")
    (test,) = blocks("python", "test")
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_show.py").write_text(test)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_commands_exist() -> None:
    assert set(re.findall(r"make ([a-z]+)", README)) <= targets().keys()
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert set(re.findall(r"airflow-provider-timav\[(\w+)\]", README)) == set(project["optional-dependencies"])


def targets() -> dict[str, str]:
    """The Makefile's targets, and what its help says of each."""
    makefile = (PROJECT / "Makefile").read_text()
    return {name: text or "" for name, text in re.findall(r"^([a-z]+):[^=#\n]*(?:## (.*))?$", makefile, re.MULTILINE)}


def test_help_explains_every_target() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    assert [name for name, text in targets().items() if not text] == []
    assert set(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split()) == set(targets())


GUARANTEES = (PROJECT / "docs" / "guarantees.md").read_text(encoding="utf-8")


def test_every_promise_names_the_command_that_checks_it() -> None:
    rows = [line for line in GUARANTEES.splitlines() if line.startswith("| ") and not line.startswith("| promise")]
    assert len(rows) > 8
    assert [row for row in rows if not re.search(r"`(pytest|make) [^`]+`[^|]*\|$", row)] == []
    for section in re.split(r"^## ", GUARANTEES, flags=re.MULTILINE)[1:]:
        assert re.search(r"`(pytest|make) ", section) or section.startswith("What cannot be promised")


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`(pytest [^`]+|make [^`]+)`", GUARANTEES))))
def test_commands_of_the_guarantees_exist(command: str) -> None:
    """What is named after `-k` is the name of a class or a part of a test's name."""
    program, _, rest = command.partition(" ")
    if program == "make":
        assert rest in targets()
        return
    names, _, words = rest.partition(" -k ")
    files = [file for name in names.split() for file in sorted((PROJECT / name).rglob("test_*.py")) or [PROJECT / name]]
    assert all(file.is_file() for file in files)
    assert not words or any(
        re.search(rf"^ *(def test_|class Test)\w*{words}", file.read_text(), re.MULTILINE) for file in files
    )


def single_operators() -> list[type]:
    """The operators and sensors that the provider names, but for those that only a `Broadcast` uses."""
    info = get_provider_info()
    names = [name for kind in ("operators", "sensors") for group in info[kind] for name in group["python-modules"]]
    modules = [importlib.import_module(name) for name in names if not name.endswith(".broadcast")]
    return [getattr(module, name) for module in modules for name in module.__all__]


@pytest.mark.parametrize("operator", single_operators())
def test_every_argument_is_explained(operator: type) -> None:
    """In the operator's own section, or in the one of what all of them take."""
    sections = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", OPERATORS, re.DOTALL | re.MULTILINE))
    explained = set(re.findall(r"`(\w+)`", sections[operator.__name__] + sections["What the five operators take"]))
    own = {
        name
        for part in operator.__mro__
        if part.__module__.startswith("airflow_provider_timav")
        for name in _named(part)
    }
    assert own
    assert own - explained == set()


def _named(part: type) -> set[str]:
    init = vars(part).get("__init__")
    return set() if init is None else set(inspect.signature(init).parameters) - {"self", "kwargs"}


def test_every_public_error_is_explained() -> None:
    from airflow_provider_timav.videorelay import errors

    assert [name for name in errors.__all__ if name != "TimAVError" and f"`{name}`" not in README] == []
