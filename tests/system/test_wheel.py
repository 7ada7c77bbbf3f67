"""The wheel holds the package and nothing else; installed elsewhere, with the emulator's extra, it serves a user's own test."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from textwrap import dedent

import pytest

from harness.project import PROJECT
from harness.site import inherited, migrated_sqlite

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

PACKAGE = "airflow_provider_timav"


def run(*command: str | Path, cwd: Path, **env: str) -> str:
    """What a command prints; it has to succeed."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=inherited() | {"PYTHONPATH": ""} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what is needed for it: the checkout stays as it is."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    for name in (PACKAGE, "example_dags", "tests/data"):
        shutil.copytree(PROJECT / name, source / name)
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", target, source, cwd=target)
    (made,) = target.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment of its own with the wheel in it; the dependencies are those of this environment.

    They are found by path alone, so that the checkout, which is installed here as editable, is not.
    """
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = ("install", "--quiet", "--no-index", "--ignore-installed", "--no-deps")
    run(python, "-m", "pip", *install, wheel, cwd=folder)
    # Resolves the extras as well: everything that they ask for must be there already, because nothing is downloaded.
    run(python, "-m", "pip", "install", "--quiet", "--no-index", "--dry-run", f"{wheel}[rtmp,emulator]", cwd=folder)
    return python


def test_the_wheel_holds_exactly_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    there = {
        str(file.relative_to(PROJECT))
        for file in (PROJECT / PACKAGE).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    (info,) = {name.split("/")[0] for name in names if not name.startswith(f"{PACKAGE}/")}
    licences = ("LICENSE", f"{PACKAGE}/plugins/static/hls.LICENSE.txt")
    described = ("METADATA", "WHEEL", "RECORD", "entry_points.txt", *(f"licenses/{name}" for name in licences))
    assert names - there == {f"{info}/{name}" for name in described}
    assert there - names == set()
    data = ("py.typed", "videorelay/outcomes.csv", "emulator/media/00.ts", "plugins/static/hls.LICENSE.txt")
    assert {f"{PACKAGE}/{name}" for name in data} <= names


def test_the_wheel_is_found_by_airflow(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (info,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
        metadata = archive.read(f"{info}/METADATA").decode()
    assert "[apache_airflow_provider]" in entry_points
    assert "airflow_provider_timav.get_provider_info:get_provider_info" in entry_points
    assert "[airflow.plugins]" in entry_points
    assert "airflow_provider_timav.plugins.timav:TimAVPlugin" in entry_points
    for line in ("Name: airflow-provider-timav", "Provides-Extra: emulator", "Provides-Extra: usersig"):
        assert line in metadata.splitlines()


CONFTEST = 'pytest_plugins = ["airflow_provider_timav.emulator.pytest_plugin"]\n'

DAG = """
    from airflow.sdk import DAG, task

    from airflow_provider_timav.operators.push import StartPushOperator, StopPushOperator
    from airflow_provider_timav.operators.record import StartRecordOperator, StopRecordOperator
    from airflow_provider_timav.sensors.live_stream import LiveStreamSensor

    with DAG("our_show", schedule=None) as dag:
        host = {"room_id": 10086, "user_id": "host_1"}
        start = StartPushOperator(task_id="start", **host)
        live = LiveStreamSensor(task_id="live", url=start.output["hls_url"])
        record = StartRecordOperator(task_id="record", **host, file_name="our_show")
        keep = StopRecordOperator(task_id="keep", **host)
        stop = StopPushOperator(task_id="stop", **host)

        @task
        def note(file_ids: list[str]) -> list[str]:
            return file_ids

        start >> live >> record >> keep >> stop
        note(keep.output["file_ids"])
"""

TEST = """
    import importlib.metadata
    import sys
    from pathlib import Path

    import airflow_provider_timav
    from dags.our_show import dag


    def test_the_package_is_the_installed_one():
        installed = Path(airflow_provider_timav.__file__)
        assert installed.is_relative_to(sys.prefix), installed
        assert importlib.metadata.distribution("airflow-provider-timav").read_text("direct_url.json")


    def test_our_show(timav_emulator):
        run = dag.test()
        assert run.state == "success"
        assert [entry.operation for entry in timav_emulator.journal] == [
            "start_push", "start_record", "stop_record", "stop_push"
        ]
        found = run.get_task_instance("note").xcom_pull(task_ids="note")
        assert found == timav_emulator.file_ids("our_show") != []
        assert timav_emulator.pushes == timav_emulator.recordings == ()
"""


def test_a_users_own_dag_test_passes_with_the_installed_wheel(elsewhere: Path, tmp_path: Path) -> None:
    """The fixture `timav_emulator`, a DAG and `dag.test()`, in a project that has never seen this one."""
    home, project = tmp_path / "airflow", tmp_path / "project"
    home.mkdir()
    (project / "dags").mkdir(parents=True)
    shutil.copy(migrated_sqlite(), home / "airflow.db")
    (project / "conftest.py").write_text(CONFTEST)
    (project / "dags" / "our_show.py").write_text(dedent(DAG))
    (project / "test_our_show.py").write_text(dedent(TEST))
    output = run(
        elsewhere,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        cwd=project,
        PYTHONPATH=str(project),
        AIRFLOW_HOME=str(home),
        AIRFLOW__CORE__DAGS_FOLDER=str(project / "dags"),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{home / 'airflow.db'}",
    )
    assert "2 passed" in output
    assert str(PROJECT / PACKAGE) not in output
