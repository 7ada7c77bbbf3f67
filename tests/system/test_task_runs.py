"""Operators and sensor in task runs of a real Airflow, with scheduler, worker and triggerer: what they leave, and what not.

All runs are started at once and played to their end before the first test looks at them.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from airflow_provider_timav.emulator import Switches, gateway
from airflow_provider_timav.links import live_page
from harness.caller import START_PUSH, START_RECORD, Caller
from harness.canary import Canaries
from harness.kept import kept, rows, written
from harness.processes import until
from harness.rest import RestError, Run, TaskInstance
from harness.service import Witness, connect
from harness.site import AirflowSite

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

DAGS = Path(__file__).parent / "dags"
MODES = ("poke", "reschedule", "deferrable")
SHOW, ENDLIST, GONE, LATE, MAPPED, FAULTY, FOREIGN, STUCK = 101, 201, 202, 301, (401, 402, 403), 500, 600, 700
# Whoever writes a secret into a DAG file has it here: Airflow keeps the file's text and what it parsed from it.
SOURCE_TABLES = ("dag_code", "serialized_dag")


class Secrets:
    """What must appear nowhere. `literal` stands in the DAG's own source, and is looked for everywhere else."""

    def __init__(self, service: Witness, signing: Witness, stuck: Witness) -> None:
        texts = [secrets.token_urlsafe(18) for _ in range(5)]
        self.literal, self.audience, self.passphrase, self.wrong_passphrase, proxy_password = texts
        self.proxy = f"http://user:{proxy_password}@127.0.0.1:1"  # where nobody listens
        self._signing = signing
        self._encrypted_keys = {each: self._encrypted_key(each) for each in (signing, stuck)}
        self.canaries = Canaries()
        self.canaries.add("player password", self.audience)
        self.canaries.add("passphrase", self.passphrase, self.wrong_passphrase)
        self.canaries.add("proxy credential", proxy_password)
        for encrypted_key in self._encrypted_keys.values():
            self.canaries.add_pem("private key", encrypted_key)
        for emulator in (service, signing, stuck):
            self.canaries.add("secret key", emulator.secret_key)
            self.canaries.add("UserSig", emulator.usersig)
            pems = emulator.certificates
            self.canaries.add_pem("private key", pems.client_key_pem, public=pems.client_cert_pem)
        self.in_source = Canaries()
        self.in_source.add("player password in the DAG file", self.literal)

    def _encrypted_key(self, emulator: Witness) -> str:
        key = load_pem_private_key(emulator.certificates.client_key_pem.encode(), None)
        return key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(self.passphrase.encode())
        ).decode()

    def connection(self, emulator: Witness | None = None, **extra: str) -> dict[str, Any]:
        """A connection with everything secret that one may hold: secret key, UserSig, encrypted key, passphrase."""
        signing = emulator or self._signing
        connection = signing.connection(
            sign=True, private_key=self._encrypted_keys[signing], private_key_passphrase=self.passphrase
        )
        return {**connection, "password": signing.usersig, "extra": connection["extra"] | extra}

    def add_posted(self, usersigs: set[str]) -> None:
        """Look for these, too."""
        assert len(usersigs) > 2, "besides the two that were downloaded there are those that tasks have signed"
        self.canaries.add("UserSig", *usersigs)

    def hits(self, text: str, *, source: bool = False) -> set[str]:
        """The names of what stands in the text, 12 characters in a row, raw or quoted; `source`: of a DAG file."""
        lines = "\n".join(set(text.splitlines()))  # logs repeat themselves
        return self.canaries.hits(lines) | (set() if source else self.in_source.hits(lines))


@dataclass
class Played:
    """All runs, finished, and what could be seen only on the way."""

    site: AirflowSite
    service: Witness
    faulty: Witness
    secrets: Secrets
    runs: dict[str, Run]
    waiting: dict[str, TaskInstance]
    asked: list[tuple[str | None, bool]]
    deferred: dict[str, dict[str, Any]]
    triggers: list[dict[str, Any]]
    said: list[str]
    told: dict[str, str]

    def result(self, run: str, task_id: str) -> dict[str, Any]:
        """The verdict that a sensor came to."""
        found = self.runs[run].xcom(task_id)
        return {name: found[name] for name in ("verdict", "target_duration")}


@pytest.fixture(scope="module")
def service() -> Iterator[Witness]:
    rooms = {SHOW: ["host", "troll_1", "troll_2"], ENDLIST: ["host"], GONE: ["host"], LATE: [], FOREIGN: ["host"]}
    rooms |= {room: ["host"] for room in MAPPED[:2]}
    with Witness(rooms=rooms, switches=Switches(files_per_recording=2)) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def faulty() -> Iterator[Witness]:
    with Witness(rooms={FAULTY: ["host", "troll"]}) as emulator:
        emulator.fail_next(operation="kick_members", code=60020, layer="gateway")  # the plan: another try may pass
        emulator.fail_next(operation="stop_record", code=60021, layer="gateway")  # the address: no try will pass
        emulator.fail_next(3, operation="start_push", drop="after")  # all that one call may post
        yield emulator


@pytest.fixture(scope="module")
def stuck() -> Iterator[Witness]:
    with Witness(rooms={STUCK: ["host"]}) as emulator:
        emulator.fail_next(9, operation="start_push", delay_answer=60.0)
        emulator.fail_next(9, operation="start_record", code=60021, layer="gateway")
        yield emulator


@pytest.fixture(scope="module")
def posted() -> Iterator[set[str]]:
    """Every UserSig that the services are sent, those too that a task signs for itself."""
    found: set[str] = set()
    read = gateway.read_query

    def noted(query: str) -> dict[str, str]:
        parameters = read(query)
        found.add(parameters["usersig"])
        return parameters

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway, "read_query", noted)
        yield found


@pytest.fixture(scope="module")
def said() -> Iterator[list[str]]:
    """What the emulators log, at DEBUG."""
    lines: list[str] = []
    handler = logging.Handler(logging.DEBUG)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("airflow_provider_timav.emulator")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logger, "level", logging.DEBUG)
        patch.setattr(logger, "disabled", False)
        logger.addHandler(handler)
        yield lines
        logger.removeHandler(handler)


@pytest.fixture(scope="module")
def played(
    airflow_site: AirflowSite,
    service: Witness,
    faulty: Witness,
    stuck: Witness,
    posted: set[str],
    said: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Played:
    hidden = Secrets(service, faulty, stuck)
    connect(airflow_site, "timav_runs", service.connection())
    connect(airflow_site, "timav_signed", hidden.connection())
    connect(airflow_site, "timav_proxied", hidden.connection(proxy=hidden.proxy))
    connect(airflow_site, "timav_stuck", hidden.connection(stuck))
    connect(airflow_site, "timav_closed", hidden.connection(stuck, private_key_passphrase=hidden.wrong_passphrase))
    with Caller(service) as somebody:
        somebody.call(6, START_PUSH, FOREIGN, ("host",))
        somebody.call(5, START_RECORD, FOREIGN, ("host",))
    airflow_site.rest("POST", "variables", {"key": "audience", "value": hidden.audience})
    folder = tmp_path_factory.mktemp("sentry")
    airflow_site.write_dag("watched", (DAGS / "watched.py").read_text().replace("@folder@", str(folder)))
    airflow_site.write_dag(
        "task_runs", (DAGS / "task_runs.py").read_text().replace("@player_password@", hidden.literal)
    )

    def trigger(name: str, room_id: int) -> Run:
        return airflow_site.trigger(name, {"room_id": room_id, "user_id": "host"})

    names = ("waits", "streams", "broadcast", "mapped", "failures", "foreign", "proxied", "watched")
    with airflow_site.held(*(f"runs_{name}" for name in names)):
        runs = {
            "waits": trigger("runs_waits", LATE),
            "endlist": trigger("runs_streams", ENDLIST),
            "gone": trigger("runs_streams", GONE),
            "show": trigger("runs_broadcast", SHOW),
            "mapped": airflow_site.trigger("runs_mapped"),
            "failures": airflow_site.trigger("runs_failures"),
            "foreign": trigger("runs_foreign", FOREIGN),
            "proxied": airflow_site.trigger("runs_proxied"),
            "watched": airflow_site.trigger("runs_watched"),
        }
    waiting = {
        task_id: airflow_site.wait_for_task(runs["waits"], task_id, "up_for_reschedule")
        for task_id in ("start_push", "start_record")
    }
    asked = service.operations(LATE)
    service.enter(LATE, "host")

    deferred: dict[str, Any] = {}
    found: dict[int, dict[str, Any]] = {}
    for name, task_id in (
        ("proxied", "live_deferrable"),
        ("endlist", "ended_deferrable"),
        ("gone", "ended_deferrable"),
    ):
        task = airflow_site.wait_for_task(runs[name], task_id, "deferred", timeout=90)
        deferred[name] = dict(task.details)
        # Now, and not when the last of them is there: the first may be over by then.
        found |= {row["id"]: row for row in airflow_site.query("select * from trigger")}
    triggers = list(found.values())
    fernet = Fernet(airflow_site.env["AIRFLOW__CORE__FERNET_KEY"])
    for row in triggers:  # the API does not show them, and Airflow does not always encrypt them
        if not row["kwargs"].startswith("{"):
            row["kwargs"] = fernet.decrypt(row["kwargs"].encode()).decode()
    triggers += airflow_site.query("select next_method, next_kwargs from task_instance where next_method is not null")
    for name in ("endlist", "gone"):
        until(
            lambda run=runs[name]: all(seen_live(airflow_site, run, mode) for mode in MODES),  # type: ignore[misc]
            timeout=120,
            failure=lambda name=name: f"{name}: not every sensor saw it live",  # type: ignore[misc]
            check=airflow_site.check,
        )
    service.end_stream(ENDLIST, "host")
    service.change_stream("absent", GONE, "host")
    for run in runs.values():
        run.wait(timeout=150)
    hidden.add_posted(posted)
    told = {file.name: file.read_text() for file in folder.iterdir()}
    return Played(airflow_site, service, faulty, hidden, runs, waiting, asked, deferred, triggers, said, told)


def seen_live(site: AirflowSite, run: Run, mode: str) -> bool:
    """Whether the sensor that waits for that has found it, and the one that waits for the end has noted it."""
    if run.task(f"live_{mode}").state != "success":
        return False
    with suppress(RestError, KeyError):  # there is no note yet
        if mode == "deferrable":
            return bool(run.xcom("ended_deferrable", "watch")["verdict"] == "LIVE")
        return bool(site.state_store(run, f"ended_{mode}")["watch"]["watch"]["verdict"] == "LIVE")
    return False


class TestOperators:
    def test_a_whole_broadcast_succeeds_and_leaves_nothing_on_air(self, played: Played) -> None:
        run = played.runs["show"]
        assert run.state == "success"
        assert played.service.on_air(SHOW) == []
        assert played.service.operations(SHOW)[:3] == [
            ("start_push", True),
            ("start_record", True),
            ("kick_members", True),
        ]
        assert played.service.members(SHOW) == {"host"}

    def test_start_push_hands_on_what_the_service_answered(self, played: Played) -> None:
        """Each key is an XCom of its own, and ids above 2^53 arrive in the next task as texts."""
        run, push = played.runs["show"], played.service.push(SHOW, "host")
        types, rates = {1: "hls", 5: "rtmp"}, {0: "original", 10: "sd"}
        live_urls = [{"type": types[one.type], "rate": rates[one.rate], "url": one.url} for one in push.live_urls]
        assert len(live_urls) == 4
        expected = {
            "live_urls": live_urls,
            "hls_url": next(url["url"] for url in live_urls if (url["type"], url["rate"]) == ("hls", "original")),
            "rtmp_url": next(url["url"] for url in live_urls if (url["type"], url["rate"]) == ("rtmp", "original")),
            "channel_id": str(push.channel_id),
            "tape_task_id": str(push.tape_task_id),
            "outcome": "started",
        }
        assert run.xcom("start_push") == expected
        assert run.xcom("read_push") == expected
        assert run.xcom("start_push", "claim") == "ours"
        assert push.channel_name == "Evening show"

    def test_start_record_hands_on_the_name_under_which_the_service_records(self, played: Played) -> None:
        run = played.runs["show"]
        file_name = run.xcom("start_record", "file_name")
        assert run.xcom("start_record") == {"file_name": file_name, "outcome": "started"}
        assert run.xcom("start_record", "claim") == "ours"
        assert len(played.service.file_ids(file_name)) == 2

    def test_stop_record_hands_on_every_file_id(self, played: Played) -> None:
        run = played.runs["show"]
        file_ids = played.service.file_ids(run.xcom("start_record", "file_name"))
        expected = {"file_ids": file_ids, "file_ids_status": "complete", "outcome": "stopped"}
        assert run.xcom("stop_record") == expected
        assert run.xcom("read_record") == expected

    def test_stop_push_and_kick_tell_their_outcome(self, played: Played) -> None:
        run = played.runs["show"]
        assert run.xcom("stop_push") == {"outcome": "stopped"}
        assert run.xcom("stop_push", "outcome") == "stopped"
        assert run.xcom("kick") == {"user_ids": ["troll_1", "troll_2"], "outcome": "requested"}
        assert run.xcom("kick", "outcome") == "requested"

    def test_the_result_is_kept_where_a_retry_finds_it(self, played: Played) -> None:
        run = played.runs["show"]
        kept = played.site.state_store(run, "start_push")["timav:push"]
        assert (kept["phase"], kept["claim"], kept["result"]) == ("done", "ours", run.xcom("start_push"))

    def test_links_lead_to_the_stream_and_to_the_console(self, played: Played) -> None:
        run = played.runs["show"]
        hls_url = run.xcom("start_push", "hls_url")
        console = {
            "push": "https://console.cloud.tencent.com/live/streammanage",
            "record": "https://console.cloud.tencent.com/vod/media",
        }
        expected = {
            "start_push": {
                "Watch live": live_page(hls_url, broadcast=False),
                "Streams in Tencent's console": console["push"],
            },
            "stop_push": {"Streams in Tencent's console": console["push"]},
            "start_record": {"Recordings in Tencent's console": console["record"]},
            "stop_record": {"Recordings in Tencent's console": console["record"]},
        }
        run_id = quote(run.run_id, safe="")
        for task_id in ("start_record", "stop_record"):
            xcoms = f"/dags/runs_broadcast/runs/{run_id}/tasks/{task_id}/xcom"
            expected[task_id]["Recording of this run"] = xcoms
        for task_id, links in expected.items():
            path = f"{run.path}/taskInstances/{task_id}/links"
            assert played.site.rest("GET", path)["extra_links"] == links
        assert run.xcom("start_push", "_link_WatchLiveLink") == live_page(hls_url, broadcast=False)

    def test_mapped_instances_do_not_touch_each_other(self, played: Played) -> None:
        """Of three rooms one is not open: its start fails, its stop has nothing to do, the other two are not affected."""
        run = played.runs["mapped"]
        states = [(run.task("start_push", index).state, run.task("stop_push", index).state) for index in range(3)]
        assert states == [("success", "success"), ("success", "success"), ("failed", "success")]
        for index, room_id in enumerate(MAPPED[:2]):
            assert run.xcom("start_push", "hls_url", index) == played.service.push(room_id, "host").live_urls[0].url
            assert run.xcom("stop_push", "outcome", index) == "stopped"
        assert run.xcom("stop_push", "outcome", 2) == "never_started"
        assert "RoomNotReady" in run.log("start_push", map_index=2)
        assert [played.service.on_air(room_id) for room_id in MAPPED] == [[], [], []]


class TestWaiting:
    @pytest.mark.parametrize("task_id", ["start_push", "start_record"])
    def test_a_host_who_is_late_costs_no_retry_and_no_slot(self, played: Played, task_id: str) -> None:
        """With retries=0: the task gives its slot back, asks again, and is still in its first try when the host is there."""
        assert played.waiting[task_id].state == "up_for_reschedule"
        assert (task_id, False) in played.asked
        assert not any(executed for _, executed in played.asked)
        run = played.runs["waits"]
        task = run.task(task_id)
        assert (task.state, task.try_number, task.details["max_tries"]) == ("success", 1, 0)
        assert run.xcom(task_id, "outcome") == "started"
        assert run.state == "success"
        assert played.service.on_air(LATE) == []


class TestSensor:
    @pytest.mark.parametrize(
        ("run", "until", "verdict"),
        [
            ("endlist", "live", "LIVE"),
            ("endlist", "ended", "ENDED"),
            ("gone", "live", "LIVE"),
            ("gone", "ended", "ENDED"),
        ],
        ids=["live", "ended by its playlist", "live, too", "ended by not being there any more"],
    )
    def test_every_mode_comes_to_the_same_result(self, played: Played, run: str, until: str, verdict: str) -> None:
        results = {mode: played.result(run, f"{until}_{mode}") for mode in MODES}
        assert results == {mode: {"verdict": verdict, "target_duration": 2} for mode in MODES}
        tasks = [played.runs[run].task(f"{until}_{mode}") for mode in MODES]
        assert [(task.state, task.try_number) for task in tasks] == [("success", 1)] * 3

    @pytest.mark.parametrize("run", ["endlist", "gone"])
    def test_each_mode_waits_in_its_own_way(self, played: Played, run: str) -> None:
        rows = played.site.query(
            "select ti.task_id as task_id, count(*) as times from task_reschedule"
            " join task_instance ti on ti.id = task_reschedule.ti_id"
            " where ti.run_id = :run and ti.dag_id = 'runs_streams' group by ti.task_id",
            run=played.runs[run].run_id,
        )
        rescheduled = {row["task_id"]: row["times"] for row in rows}
        assert rescheduled.get("ended_reschedule", 0) >= 1
        assert not {"ended_poke", "ended_deferrable", "live_poke", "live_deferrable"} & set(rescheduled)
        trigger = played.deferred[run]["trigger"]
        assert trigger["classpath"] == "airflow_provider_timav.triggers.live_stream.LiveStreamTrigger"

    def test_a_stream_is_watched_without_being_stopped(self, played: Played) -> None:
        for name, room_id in (("endlist", ENDLIST), ("gone", GONE)):
            assert played.runs[name].state == "success"
            assert played.runs[name].xcom("stop_push", "outcome") == "stopped"
            assert played.service.on_air(room_id) == []


class TestForeign:
    def test_what_runs_already_outlives_the_run_that_failed_at_it(self, played: Played) -> None:
        """Of a start that failed, or adopted what runs, no stop task sends anything; push and recording go on."""
        run = played.runs["foreign"]
        for kind in ("push", "record"):
            assert run.task(f"fail_{kind}").state == "failed"
            assert "AlreadyRunning" in run.log(f"fail_{kind}")
            assert run.xcom(f"recover_{kind}", "outcome") == "adopted"
            for policy in ("fail", "recover"):
                assert run.xcom(f"stop_{policy}_{kind}", "outcome") == "not_ours"
        assert played.service.on_air(FOREIGN) == ["push of host", "recording of host"]
        sent = [operation for operation, _ in played.service.operations(FOREIGN)]
        assert {name: sent.count(name) for name in sorted(map(str, sent))} == {"start_push": 3, "start_record": 3}


class TestRetries:
    def test_what_may_pass_is_tried_again(self, played: Played) -> None:
        run = played.runs["failures"]
        assert (run.task("retried").state, run.task("retried").try_number) == ("success", 2)
        assert "QuotaExceeded: may pass" in run.log("retried")
        assert [entry.code for entry in played.faulty.journal if entry.operation == "kick_members"] == [60020, 0]

    def test_what_will_fail_again_fails_at_once(self, played: Played) -> None:
        run = played.runs["failures"]
        rejected = run.task("rejected")
        assert (rejected.state, rejected.try_number, rejected.details["max_tries"]) == ("failed", 1, 5)
        assert "RequestRejected" in run.log("rejected")
        assert "60021" in run.log("rejected")
        assert len([entry for entry in played.faulty.journal if entry.operation == "stop_record"]) == 1

    def test_a_proxy_that_is_away_is_no_lost_answer(self, played: Played) -> None:
        run = played.runs["proxied"]
        for task_id in ("start_push", "stop_push", "start_record", "stop_record", "kick"):
            assert run.task(task_id).state == "failed"
            assert "the proxy was not reached, nothing was executed" in run.log(task_id)
        assert {run.task(f"live_{mode}").state for mode in MODES} == {"failed"}

    def test_a_wrong_argument_fails_at_once_and_nothing_is_sent(self, played: Played) -> None:
        run = played.runs["failures"]
        assert (run.task("refused").state, run.task("refused").try_number) == ("failed", 1)
        assert "ConfigurationError" in run.log("refused")
        assert "room_id must be from 0 to 4294967295" in run.log("refused")
        assert {entry.room_id for entry in played.faulty.journal} == {FAULTY}

    def test_a_start_whose_answers_were_lost_is_found_again_by_its_retry(self, played: Played) -> None:
        """No post of the first try was answered; the second knows from the store that what runs may be its own."""
        run = played.runs["failures"]
        assert (run.task("lost").state, run.task("lost").try_number) == ("success", 2)
        assert "AmbiguousOutcome" in run.log("lost")
        assert run.xcom("lost", "outcome") == "restarted"
        assert run.xcom("lost", "hls_url") == played.faulty.push(FAULTY, "host").live_urls[0].url
        assert run.xcom("stop_lost", "outcome") == "stopped"
        assert played.faulty.on_air(FAULTY) == []


class TestSecrets:
    def test_the_api_shows_no_secret_of_a_connection(self, played: Played) -> None:
        """Airflow hides an extra by its name alone."""
        for shown in (
            connect(played.site, "timav_shown", played.secrets.connection(proxy=played.secrets.proxy)),
            played.site.rest("GET", "connections/timav_shown"),
        ):
            extra = json.loads(shown["extra"])
            assert shown["password"] == "***"
            hidden = {name for name, value in extra.items() if value == "***"}
            assert hidden == {"private_key", "private_key_passphrase", "secret_key", "proxy"}
            assert extra["sdkappid"] == played.faulty.sdkappid
            assert played.secrets.hits(json.dumps(shown)) == set()

    def test_no_secret_is_left_anywhere(self, played: Played) -> None:
        """Not 12 characters of one, in the whole database, in all files that Airflow wrote (the logs of tasks, and what
        scheduler, workers, triggerer and the others print), in what the API shows, and in the emulators' logs and journals.

        The one exception is a password that somebody writes into a DAG file: Airflow keeps the file's text, and the
        arguments parsed from it in the serialized DAG.
        """
        texts = kept(played.site)
        texts["API"] = json.dumps([played.deferred, played.triggers, details(played)], default=str)
        journal = [entry for emulator in (played.service, played.faulty) for entry in emulator.journal]
        texts["emulators"] = "\n".join([*played.said, *(f"{entry!r}\n{entry.line()}" for entry in journal)])
        found = {name: played.secrets.hits(text, source=name in SOURCE_TABLES) for name, text in texts.items()}
        assert {name: hits for name, hits in found.items() if hits} == {}

    def test_sentry_is_told_no_credential(self, played: Played) -> None:
        """With its defaults, in the process of a task whose start fails: breadcrumbs, and the variables of all frames."""
        words = {
            "refused": "RequestRejected",
            "late": "AirflowTaskTimeout",
            "away": "TransportError",
            "closed": "CertificateError",
        }
        assert {task.task_id: task.state for task in played.runs["watched"].tasks()} == dict.fromkeys(words, "failed")
        assert played.told.keys() == words.keys()
        found = {name: played.secrets.hits(told) for name, told in played.told.items()}
        assert found == {name: set() for name in words}
        for name, told in played.told.items():
            assert f'"type":"{words[name]}"' in told
            assert '"vars":' in told
        assert "usersig=***" in played.told["refused"]

    def test_the_sweep_looks_where_secrets_would_be(self, played: Played) -> None:
        """It reads logs, consoles, rendered fields, XComs, the state store, triggers and events, with our words in them."""
        assert "Push of host in room 101: started" in "".join(file.read_text() for file in written(played.site))
        assert str(played.service.push(SHOW, "host").channel_id) in rows(played.site, "xcom")
        assert "timav:push" in rows(played.site, "task_state_store")
        assert '"channel_name"' in rows(played.site, "rendered_task_instance_fields")
        assert played.secrets.literal in rows(played.site, "dag_code")
        assert played.secrets.hits("x" + played.secrets.passphrase[3:15] + "y") == {"passphrase"}
        assert played.secrets.hits(played.secrets.literal)
        consoles = {file.stem for file in written(played.site) if file.parent.name == "consoles"}
        assert consoles >= {"api-server", "scheduler", "dag-processor", "triggerer"}
        assert "Push of host in room 101: started" in (played.site.home / "consoles" / "scheduler.log").read_text()
        assert played.deferred["proxied"]["trigger"]["classpath"].endswith(".LiveStreamTrigger")
        assert "timav_proxied" in json.dumps([row.get("kwargs") for row in played.triggers])
        assert any(row.get("next_method") for row in played.triggers)
        assert "start_push" in "".join(played.said)
        shown = played.site.rest("GET", f"{played.runs['waits'].path}/taskInstances/start_push")
        assert shown["rendered_fields"]["player_password"] == "***"


def details(played: Played) -> list[Any]:
    """Every task instance as the API shows it, rendered fields included, and its XComs."""
    found: list[Any] = []
    for run in played.runs.values():
        found += [task.details for task in run.tasks()]
        found.append(played.site.rest("GET", f"{run.path}/taskInstances/~/xcomEntries", params={"limit": 100}))
    return found
