"""The harness itself: a real Airflow does what DAGs ask, and says what is wrong."""

from __future__ import annotations

import pytest
import sqlalchemy.exc

from harness.processes import SiteError, until
from harness.rest import RestError
from harness.site import AirflowSite

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

DAGS = '''
"""A DAG that shows what arrives."""

from airflow.sdk import dag, get_current_context, task


@dag(schedule=None)
def site_value():
    @task
    def value():
        conf = get_current_context()["dag_run"].conf
        print("a line of print")
        return {"above_2_53": 2**53 + 1, "largest": 2**63 - 1, "conf": conf}

    value()


site_value()
'''


@pytest.fixture(scope="module")
def site(airflow_site: AirflowSite) -> AirflowSite:
    airflow_site.write_dag("site_value", DAGS)
    return airflow_site


def test_a_value_arrives_with_every_digit(site: AirflowSite) -> None:
    """Integers above 2**53, which JSON readers of browsers round, come back exact."""
    run = site.run("site_value", {"room": "r1"})
    assert run.state == "success"
    assert run.xcom("value") == {"above_2_53": 2**53 + 1, "largest": 2**63 - 1, "conf": {"room": "r1"}}
    assert "a line of print" in run.log("value")


def test_a_viewer_may_look_but_not_trigger(site: AirflowSite) -> None:
    assert site.rest("GET", "dags", user="viewer")["total_entries"] >= 6
    with pytest.raises(RestError) as caught:
        site.trigger("site_value", user="viewer")
    assert caught.value.status == 403
    assert site.request("GET", "api/v2/dags", user=None).status_code == 401


def test_a_broken_file_is_named_by_who_waits_for_its_dag(site: AirflowSite) -> None:
    file = site.write_dag("broken", "import airflow, no_such_module  # a DAG")
    try:
        until(
            lambda: any("broken" in name for name in site.import_errors()),
            timeout=30,
            failure=lambda: "the file was not parsed",
            check=site.check,
        )
        with pytest.raises(SiteError, match=r"there is no DAG 'broken'[\s\S]*no_such_module"):
            site.wait_for_dag("broken", timeout=0)
    finally:
        file.unlink()


def test_queries_cannot_write(site: AirflowSite) -> None:
    assert site.query("select dag_id from dag where dag_id = :dag", dag="site_value") == [{"dag_id": "site_value"}]
    with pytest.raises(sqlalchemy.exc.OperationalError, match="readonly"):
        site.query("delete from dag")
