"""What a broadcast leaves in Airflow's interface: events of recordings, buttons, readable logs, and no secret anywhere.

On a site whose scheduler starts runs by itself: those that pick recordings up are started by nothing but events.
"""

from __future__ import annotations

import re
import secrets
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from airflow_provider_timav.emulator import Switches
from airflow_provider_timav.links import live_page
from harness.canary import Canaries
from harness.kept import kept
from harness.processes import until
from harness.rest import Run
from harness.service import Witness, connect
from harness.site import AirflowSite

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

SOURCE = Path(__file__).parent / "dags" / "recordings.py"
OWN, SERIES, RETRIED, SILENT, SLOW = 701, 702, 703, 704, 998
SHOWS = ("own", "series", "retried", "silent")
PLACES = {
    "own": "timav://timav_shown/701/host/camera",
    "series": "timav://timav_shown/702/host/camera",
    "retried": "timav://timav_flaky/703/host/camera",
}
PICKING_UP = ("picks_up_own", "picks_up_series", "picks_up_room")
CONSOLE = "https://console.cloud.tencent.com"


@dataclass
class Played:
    """All shows are over; what was done to them afterwards is over, too."""

    site: AirflowSite
    services: list[Witness]
    runs: dict[str, Run]
    canaries: Canaries
    while_running: dict[str, Any]
    before_clears: list[dict[str, Any]]
    swept: dict[str, str] = field(default_factory=dict)

    def file_ids(self, name: str) -> list[str]:
        """The ids that the service gave this broadcast's recording."""
        file_name = self.runs[name].xcom("broadcast.start_record", "file_name")
        return [file_id for service in self.services for file_id in service.file_ids(file_name)]


@pytest.fixture(scope="module")
def played(scheduling_site: AirflowSite) -> Iterator[Played]:
    rooms = {room: ["host"] for room in (OWN, SERIES, RETRIED, SILENT, SLOW)}
    two = Switches(files_per_recording=2)
    with (
        Witness(rooms=rooms, switches=two) as service,
        Witness(rooms=rooms, switches=two) as flaky,
        Witness(rooms=rooms) as slow,
    ):
        yield play(scheduling_site, service, flaky, slow)


def play(site: AirflowSite, service: Witness, flaky: Witness, slow: Witness) -> Played:
    """Three shows that are recorded and one that is not; then people clear what is over."""
    audience = secrets.token_urlsafe(18)
    canaries = Canaries()
    canaries.add("player password", audience)
    for name, emulator in (("timav_shown", service), ("timav_flaky", flaky), ("timav_slow", slow)):
        connect(site, name, emulator.connection())
        canaries.add("UserSig", emulator.usersig)
        pems = emulator.certificates
        canaries.add_pem("private key", pems.client_key_pem, public=pems.client_cert_pem)
    site.rest("POST", "variables", {"key": "audience_password", "value": audience})
    # What the trigger's two tries and the first one of the task come to: the plan is said to have expired, which may pass.
    flaky.fail_next(3, operation="stop_record", code=60020, layer="gateway")
    slow.fail_next(operation="start_push", delay_answer=8.0)
    site.write_dag("recordings", SOURCE.read_text())
    dags = ("shown_own", "shown_series", "shown_retried", "shown_failures")
    with site.held(*dags, *PICKING_UP):
        runs = {
            "own": site.trigger("shown_own", {"room_id": OWN}),
            "series": site.trigger("shown_series", {"room_id": SERIES}),
            "retried": site.trigger("shown_retried", {"room_id": RETRIED}),
            "silent": site.trigger("shown_own", {"room_id": SILENT, "record": False}),
            "failures": site.trigger("shown_failures"),
        }
    while_running = {"slow": buttons_while_running(site, runs["failures"], "slow")}
    site.wait_for_task(runs["own"], "broadcast.on_air", "deferred", timeout=90)
    while_running["on_air"] = links(site, runs["own"], "broadcast.on_air")
    states = {name: run.wait(timeout=180) for name, run in runs.items()}
    assert states == {**dict.fromkeys(SHOWS, "success"), "failures": "failed"}, site.consoles()
    played = Played(site, [service, flaky, slow], runs, canaries, while_running, [])
    picked_up(site, at_least=3)  # two followers of one recording, and one for the two of the series, however many runs
    played.before_clears = events(site)
    for name in PLACES:
        site.clear(runs[name], "broadcast.result")
        runs[name].wait(timeout=90)
        site.clear(runs[name], "broadcast.stop_record", downstream=True)
        runs[name].wait(timeout=90)
    picked_up(site, at_least=3)
    return played


def picked_up(site: AirflowSite, *, at_least: int) -> None:
    """Wait until the runs that events have started are over, and no event is left that would start another one.

    Until they have started, Airflow 3.3.2 answers questions about their events with 500.
    """

    def over() -> bool:
        runs = picking_up(site)
        queued = site.query("select count(*) as waiting from asset_dag_run_queue")[0]["waiting"]
        return len(runs) >= at_least and not queued and all(run.state == "success" for run in runs)

    until(over, timeout=90, failure=lambda: f"{[(run, run.state) for run in picking_up(site)]}", check=site.check)


def buttons_while_running(site: AirflowSite, run: Run, task_id: str) -> dict[str, str]:
    """The buttons that a task has while its operation is under way."""

    def seen() -> dict[str, str] | None:
        found = links(site, run, task_id)
        return found if site.task_instance(run, task_id).state == "running" and any(found.values()) else None

    return until(seen, timeout=90, failure=lambda: f"{task_id} was never seen with a button", check=site.check)


def links(site: AirflowSite, run: Run, task_id: str) -> dict[str, str]:
    found = site.rest("GET", f"{run.path}/taskInstances/{task_id}/links")["extra_links"]
    return {name: url for name, url in found.items() if url}


def events(site: AirflowSite) -> list[dict[str, Any]]:
    """Every event of an asset of ours that there is."""
    return _ours(site.rest("GET", "assets/events", params={"limit": 100})["asset_events"])


def _ours(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of our connections: example DAGs are on this site, too."""
    return [row for row in rows if row["uri"].startswith(("timav://timav_shown/", "timav://timav_flaky/"))]


def picking_up(site: AirflowSite) -> list[Run]:
    """The runs that events have started."""
    return [
        Run(dag_id, row["dag_run_id"], site)
        for dag_id in PICKING_UP
        for row in site.rest("GET", f"dags/{dag_id}/dagRuns", params={"limit": 100})["dag_runs"]
    ]


def handed_on(site: AirflowSite) -> dict[tuple[str, str], list[list[str]]]:
    """What the `triggering_asset_events` of all runs hold, by the DAG that ran for them and by the asset: file ids."""
    found: dict[tuple[str, str], list[list[str]]] = {}
    for run in picking_up(site):
        for row in site.rest("GET", f"{run.path}/upstreamAssetEvents")["asset_events"]:
            found.setdefault((run.dag_id, row["uri"]), []).append(row["extra"]["file_ids"])
    return found


class TestAssetEvents:
    def test_every_recording_stands_in_exactly_one_run(self, played: Played) -> None:
        """Of each DAG that follows; after a stop that was retried, a result that was taken down, and clears of both."""
        ids = {name: played.file_ids(name) for name in PLACES}
        assert {len(set(found)) for found in ids.values()} == {2}
        assert handed_on(played.site) == {
            ("picks_up_own", PLACES["own"]): [ids["own"]],
            ("picks_up_room", PLACES["own"]): [ids["own"]],
            ("picks_up_series", PLACES["series"]): [ids["series"]],
            ("picks_up_series", PLACES["retried"]): [ids["retried"]],
        }
        assert "QuotaExceeded" in played.runs["retried"].log("broadcast.stop_record")

    def test_the_run_that_picks_it_up_sees_the_same(self, played: Played) -> None:
        seen = {dag_id: list[str]() for dag_id in PICKING_UP}
        for run in picking_up(played.site):
            assert run.state == "success"
            seen[run.dag_id] += [file_id for extra in run.xcom("pick_up") for file_id in extra["file_ids"]]
        ids = {name: played.file_ids(name) for name in PLACES}
        assert {dag_id: sorted(found) for dag_id, found in seen.items()} == {
            "picks_up_own": sorted(ids["own"]),
            "picks_up_room": sorted(ids["own"]),
            "picks_up_series": sorted(ids["series"] + ids["retried"]),
        }

    def test_an_event_tells_what_is_known_of_the_recording(self, played: Played) -> None:
        run = played.runs["own"]
        (event,) = [event for event in events(played.site) if event["uri"] == PLACES["own"]]
        assert event["extra"] == {
            "file_ids": played.file_ids("own"),
            "file_name": run.xcom("broadcast.start_record", "file_name"),
            "room_id": OWN,
            "user_id": "host",
            "push_data_type": "camera",
            "started_at": run.xcom("broadcast.on_air", "started_at"),
            "ended_at": run.xcom("broadcast.on_air")["ended_at"],
        }
        source = {"source_dag_id": run.dag_id, "source_run_id": run.run_id, "source_task_id": "broadcast.result"}
        assert event.items() >= source.items()

    def test_clears_add_no_event(self, played: Played) -> None:
        assert [event["id"] for event in events(played.site)] == [event["id"] for event in played.before_clears]
        for name in PLACES:
            tries = played.runs[name].task("broadcast.result").try_number
            assert tries >= 3
            assert "An earlier try has emitted the recording" in played.runs[name].log("broadcast.result", tries)

    def test_airflow_lists_the_assets(self, played: Played) -> None:
        """One that a DAG is scheduled on at once; the others when the scheduler, once a minute, has looked."""

        def listed() -> set[str]:
            assets = played.site.rest("GET", "assets", params={"limit": 100})["assets"]
            return {row["uri"] for row in _ours(assets)}

        assert PLACES["own"] in listed()
        until(
            lambda: listed() == set(PLACES.values()),
            timeout=120,
            failure=lambda: f"only these are listed: {listed()}",
            check=played.site.check,
        )

    def test_a_show_that_is_not_recorded_has_no_event(self, played: Played) -> None:
        assert played.runs["silent"].state == "success"
        assert {event["uri"] for event in events(played.site)} == set(PLACES.values())

    def test_a_task_that_was_taken_down_before_its_success_hands_on_in_its_next_try(self, played: Played) -> None:
        """It had emitted and noted; Airflow's own record says that nothing had arrived."""
        first, second = (played.runs["series"].log("broadcast.result", number) for number in (1, 2))
        said = f"Emitted as an event of {PLACES['series']}"
        assert said in first
        assert "taken down" in first
        assert said in second


class TestLinks:
    def test_they_are_there_while_the_task_runs(self, played: Played) -> None:
        assert played.while_running["slow"] == {"Streams in Tencent's console": f"{CONSOLE}/live/streammanage"}
        on_air = played.while_running["on_air"]
        assert on_air["Watch live"] == live_page("any", broadcast=True)
        assert set(on_air) == {"Watch live", "Recording of this run", "Streams in Tencent's console"}

    def test_the_recording_is_where_the_link_leads(self, played: Played) -> None:
        run = played.runs["own"]
        result = f"/dags/shown_own/runs/{quote(run.run_id, safe='')}/tasks/broadcast.result/xcom"
        for task_id in ("start_record", "on_air", "stop_record", "result"):
            assert links(played.site, run, f"broadcast.{task_id}")["Recording of this run"] == result
        assert run.xcom("broadcast.result", "file_ids") == played.file_ids("own")
        page = played.site.request("GET", result)  # the interface is one page: it answers for every path that it knows
        assert page.status_code == 200

    def test_addresses_are_xcoms_of_their_own_as_plain_texts(self, played: Played) -> None:
        hls_url = played.runs["own"].xcom("broadcast.start_push", "hls_url")
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/live/701/host/camera/original\.m3u8", hls_url)


class TestLogs:
    @pytest.mark.parametrize(
        ("task_id", "said"),
        [
            ("reserve", r"Room 701 is reserved for host until \S+\."),
            ("start_push", r"Push of host in room 701: started\. HLS: http\S+\. RTMP: none\."),
            ("start_record", r"Recording of host in room 701: started\. File name: 701_[0-9a-f]{12}\."),
            ("on_air", r"Broadcast of host in room 701: on air until \S+\."),
            ("stop_push", r"Push of host in room 701: already_stopped\."),
            ("stop_record", r"Recording of host in room 701: already_stopped\. File ids \(recovered\): \d+, \d+\."),
            ("result", r"Broadcast of host in room 701: deadline\. File ids \(recovered\): \d+, \d+\."),
        ],
    )
    def test_each_operation_says_in_one_line_what_it_did(self, played: Played, task_id: str, said: str) -> None:
        assert re.search(rf" info {said}", played.runs["own"].log(f"broadcast.{task_id}"))

    @pytest.mark.parametrize(
        ("task_id", "said"),
        [
            (
                "wrong_room",
                r"Push of host in room -1: failed \(ConfigurationError\)\. "
                r"room_id must be a whole number from 0 to \d+; it is '-1'\. Correct",
            ),
            (
                "nobody_there",
                r'Push of host in room 999: failed \(RoomNotReady\)\. .*\(body code \d+: ".*"\)\. Check that the room is .*',
            ),
            (
                "nobody_named",
                r"Removal of \[\] from room 999: failed \(ConfigurationError\)\. user_ids must .* Correct",
            ),
        ],
    )
    def test_a_failure_says_what_to_do(self, played: Played, task_id: str, said: str) -> None:
        assert re.search(rf" error {said}", played.runs["failures"].log(task_id))

    def test_what_is_asked_for_is_folded(self, played: Played) -> None:
        lines = played.runs["own"].log("broadcast.start_push").splitlines()
        begin = next(number for number, line in enumerate(lines) if "::group::Arguments" in line)
        end = next(number for number, line in enumerate(lines[begin:], begin) if "::endgroup::" in line)
        folded = "\n".join(lines[begin:end])
        assert "channel_name: Evening show" in folded
        assert "player_password: ***" in folded
        assert not any("started. HLS" in line for line in lines[begin:end])


class TestSecrets:
    def test_none_is_in_anything_that_the_api_shows(self, played: Played) -> None:
        shown = sweep(played)
        assert len(shown) > 150, sorted(shown)
        assert {path.split("/")[1] for path in shown} >= {"api", "ui"}
        assert {path: played.canaries.hits(text) for path, text in shown.items() if played.canaries.hits(text)} == {}

    def test_none_is_in_what_airflow_keeps_and_logs(self, played: Played) -> None:
        assert {name for name, text in kept(played.site).items() if played.canaries.hits(text)} == set()

    def test_the_sweep_looks_where_they_would_be(self, played: Played) -> None:
        text = "\n".join(sweep(played).values())
        for word in ("Evening show", "timav_shown", "audience_password", "::group::Arguments", PLACES["own"]):
            assert word in text
        assert '"player_password": "***"' in text or '"player_password":"***"' in text


def sweep(played: Played) -> dict[str, str]:
    """What every address that only reads answers, of the public API and of the interface's own, for a few runs and tasks."""
    if played.swept:
        return played.swept
    with warnings.catch_warnings(action="ignore"):  # Airflow's imports warn of each other
        from airflow.api_fastapi.core_api.routes.ui import ui_router

    site = played.site
    known = site.request("GET", "openapi.json").json()["paths"]
    own: list[Any] = list(ui_router.routes)
    paths = {path for path, methods in known.items() if "get" in methods}
    paths |= {route.path for route in own if "GET" in route.methods}
    runs = [played.runs["own"], played.runs["failures"], picking_up(site)[0]]
    for path in sorted(paths):
        if "logout" in path:  # whoever asks for that is logged out
            continue
        for values in _values(site, path, runs):
            concrete = path.format_map({name: quote(str(value), safe="") for name, value in values.items()})
            asked: dict[str, Any] = {"limit": 100, "dag_id": "shown_own", **values}
            if concrete not in played.swept:
                with suppress(Exception):  # a stream without end, or an address that is not for us
                    played.swept[concrete] = site.request("GET", concrete, params=asked).text
    return played.swept


def _values(site: AirflowSite, path: str, runs: list[Run]) -> Iterator[dict[str, Any]]:
    """Values for the names in a path: those of a run's tasks where it is about one, else any that there are."""
    names = set(re.findall(r"\{(\w+)\}", path))
    base: dict[str, Any] = {"connection_id": "timav_shown", "variable_key": "audience_password", "map_index": -1}
    base |= {"try_number": 1, "task_try_number": 1, "pool_name": "default_pool", "asset_id": 1, "section": "core"}
    base |= {"xcom_key": "return_value", "key": "timav:push", "option": "parallelism", "event_log_id": 1}
    if not names & {"dag_id", "dag_run_id", "run_id", "task_id"}:
        if names <= base.keys():
            yield base
        return
    for run in runs:
        of_run = base | {"dag_id": run.dag_id, "dag_run_id": run.run_id, "run_id": run.run_id, "dag_version": 1}
        if "task_id" not in names:
            if names <= of_run.keys():
                yield of_run
            continue
        for task in site.task_instances(run):
            of_task = of_run | {"task_id": task.task_id}
            if names <= of_task.keys():
                yield of_task
