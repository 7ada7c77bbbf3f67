"""From an empty Airflow to a recording's file ids, as people do it: in the browser, and with nothing else."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from playwright.sync_api import BrowserContext, Error, Page, Response, expect

from airflow_provider_timav.emulator import Certificates
from harness.canary import Canaries
from harness.kept import kept
from harness.processes import until
from harness.rest import Run
from harness.ui.forms import (
    add_connection,
    edit_connection,
    field,
    fill_connection,
    open_section,
    open_trigger,
    press_test,
    save,
    shown_values,
)
from harness.ui.stage import FORM_DAG, Stage, chromium_is_there, clock, tile_of

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not chromium_is_there(), reason="chromium is not installed (Debian: apt-get install chromium)"),
]

PASSPHRASE = secrets.token_urlsafe(18)
CONSOLE = "https://console.cloud.tencent.com/live"


class Person:
    """Somebody who is logged in, and all that Airflow ever answers to their browser."""

    def __init__(self, stage: Stage, user: str) -> None:
        self.stage = stage
        self.answers: list[tuple[str, str]] = []
        self.broken: list[str] = []
        self.context: BrowserContext = stage.login(user)
        self.context.on("response", self._keep)
        self.context.on("weberror", lambda error: self.broken.append(str(error.error)))

    def open(self, path: str) -> Page:
        page = self.context.new_page()
        page.set_viewport_size({"width": 1280, "height": 1000})
        page.goto(f"{self.stage.site.url}/{path}")
        return page

    def _keep(self, answer: Response) -> None:
        if answer.url.startswith(self.stage.site.url) and "/static/" not in answer.url:
            with suppress(Error):  # a redirect has no body, and one that a next page has overtaken is gone
                self.answers.append((answer.url, answer.text()))


@pytest.fixture(scope="module")
def encrypted_key(stage: Stage) -> str:
    """The client's private key under a passphrase."""
    key = load_pem_private_key(stage.emulator.certificates.client_key_pem.encode(), None)
    hidden = BestAvailableEncryption(PASSPHRASE.encode())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden).decode()


@pytest.fixture(scope="module")
def canaries(stage: Stage, encrypted_key: str) -> Canaries:
    found = Canaries()
    found.add("UserSig", stage.emulator.usersig)
    found.add("passphrase", PASSPHRASE)
    pems = stage.emulator.certificates
    found.add_pem("private key", pems.client_key_pem, public=pems.client_cert_pem)
    found.add_pem("encrypted private key", encrypted_key)
    return found


@pytest.fixture(scope="module")
def admin(stage: Stage) -> Iterator[Person]:
    """Without a connection: the stage's own is gone."""
    stage.site.rest("DELETE", "connections/timav_default")
    person = Person(stage, "admin")
    yield person
    assert person.broken == []


@pytest.fixture(scope="module")
def producer(stage: Stage) -> Iterator[Person]:
    person = Person(stage, "user")
    yield person
    assert person.broken == []


def wait(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    return until(condition, timeout=seconds, failure=lambda: what, check=lambda: None)


def end_of(run: Run) -> datetime:
    return datetime.fromisoformat(run.xcom("broadcast.on_air", "control")["end"])


def audited(run: Run, event: str) -> list[dict[str, Any]]:
    found = run.client.rest("GET", "eventLogs", params={"run_id": run.run_id, "event": event})
    return list(found["event_logs"])


class TestWholeShow:
    """One after the other: each goes on where the one before has stopped."""

    def test_connection_is_entered_and_its_certificate_refused(self, stage: Stage, admin: Person) -> None:
        """The form, and Test with a certificate that the service does not know."""
        certificate, key = Certificates().issue_client()
        given = stage.emulator.connection()
        page = admin.open("connections")
        dialog = add_connection(page, "timav_default")
        fill_connection(
            dialog,
            {"Host": given["host"], "Port": given["port"], "Identifier": given["login"], "UserSig": given["password"]},
            {
                "sdkappid": given["extra"]["sdkappid"],
                "client_cert": certificate,
                "private_key": key,
                "ca_cert": given["extra"]["ca_cert"],
            },
        )
        save(page, dialog)
        kind, said = press_test(page, "timav_default")
        assert (kind, "Certificate: refused" in said) == ("error", True), said
        page.close()

    def test_connection_is_corrected_and_works(self, stage: Stage, admin: Person, encrypted_key: str) -> None:
        """The same with a good one. What is left as it was shown, `***`, is kept: the UserSig."""
        given = stage.emulator.connection()
        page = admin.open("connections")
        dialog = edit_connection(page, "timav_default")
        assert shown_values(dialog)["password"] == "***"
        fill_connection(
            dialog,
            {},
            {
                "client_cert": given["extra"]["client_cert"],
                "private_key": encrypted_key,
                "private_key_passphrase": PASSPHRASE,
            },
        )
        save(page, dialog)
        kind, said = press_test(page, "timav_default")
        assert kind == "success", said
        assert re.search(r"Certificate: accepted, \d+ days left\. Credential \(UserSig\): accepted\.", said)
        page.close()

    def test_form_shows_no_secret_again(self, admin: Person, canaries: Canaries) -> None:
        page = admin.open("connections")
        dialog = edit_connection(page, "timav_default")
        shown = shown_values(dialog)
        open_section(dialog, "2. Mutual TLS")
        shown |= shown_values(dialog)
        assert shown["password"] == "***"
        assert shown["element_private_key"] == "***"
        assert shown["element_private_key_passphrase"] == "***"
        open_section(dialog, "Extra Fields JSON")
        assert canaries.hits("\n".join([page.content(), page.inner_text("body"), *shown.values()])) == set()
        page.close()

    def test_broadcast_is_triggered_watched_extended_and_stopped(self, stage: Stage, producer: Person) -> None:
        """From the form to the file ids in the list."""
        board = producer.open("plugin/timav-broadcasts")
        expect(board.get_by_text("Nothing is on air.")).to_be_visible()
        stage.site.wait_for_dag(FORM_DAG)
        page = producer.open(f"dags/{FORM_DAG}")
        dialog = open_trigger(page)
        field(dialog, "room_id").fill("101")
        field(dialog, "user_id").fill("anna")
        field(dialog, "title").fill("Morning show")
        field(dialog, "minutes").fill("10")
        open_section(dialog, "What is sent")
        dialog.get_by_role("combobox", name="Select one or multiple values").click()
        page.get_by_role("option", name="HD, 900 kbit/s").click()
        dialog.get_by_role("button", name="Trigger").click()

        tile = tile_of(board, "Morning show")
        expect(tile).to_have_attribute("data-phase", "on_air", timeout=60_000)
        seen = datetime.now(UTC)
        assert seen - stage.emulator.push(101, "anna").started_at < timedelta(seconds=5)
        for text in ("Room 101 · anna", "Since", "Until", "Recording"):
            expect(tile).to_contain_text(text)
        (row,) = stage.site.rest("GET", f"dags/{FORM_DAG}/dagRuns")["dag_runs"]
        run = Run(FORM_DAG, row["dag_run_id"], stage.site)
        assert row["triggering_user_name"] == "user"
        assert row["conf"].items() >= {"room_id": 101, "minutes": 10, "quality": ["original", "hd"]}.items()

        wait(lambda: clock(board, "Morning show") > 0, 15, "the video does not play")
        before = clock(board, "Morning show")
        time.sleep(10)
        assert clock(board, "Morning show") - before > 9
        expect(tile).to_contain_text("Live since", timeout=60_000)

        end = end_of(run)
        tile.get_by_role("button", name="Extend").click()
        question = board.get_by_role("dialog", name="Extend Morning show")
        question.get_by_label("By how many minutes?").fill("30")
        question.get_by_role("button", name="Extend").click()
        expect(board.get_by_role("status")).to_contain_text("Morning show now ends at")
        assert end_of(run) == end.replace(microsecond=end.microsecond // 1000 * 1000) + timedelta(minutes=30)
        expect(tile).to_contain_text(re.compile(r"\(3[89] min left\)"))  # of 40, on a machine that has other work
        (note,) = audited(run, "update_xcom_entry")
        assert (note["owner"], note["task_id"]) == ("user", "broadcast.on_air")
        assert json.loads(note["extra"])["value"] == run.xcom("broadcast.on_air", "control")

        tile.get_by_role("button", name="Stop now").click()
        board.get_by_role("dialog", name="Stop Morning show now?").get_by_role("button", name="Stop now").click()
        wait(lambda: not stage.emulator.on_air(101), 15, "it is still on air")
        (note,) = audited(run, "patch_task_instance")
        assert (note["owner"], note["task_id"]) == ("user", "broadcast.on_air")
        assert run.wait() == "success"
        assert run.xcom("broadcast.result", "outcome") == "stopped"
        expect(tile).to_have_count(0)

        name, (file_id,) = run.xcom("broadcast.result", "file_name"), run.xcom("broadcast.result", "file_ids")
        assert stage.emulator.file_ids(name) == [file_id]
        found = board.get_by_role("row").filter(has_text=name)
        expect(found).to_contain_text(file_id)
        for text in ("Morning show", "Room 101 · anna", "stopped by hand"):
            expect(found).to_contain_text(text)
        found.get_by_role("button", name=f"Copy file id {file_id}").click()
        expect(found).to_contain_text("Copied")
        found.get_by_role("link").click()
        expect(board).to_have_url(re.compile(f"/dags/{FORM_DAG}/runs/"))
        page.close()
        board.close()

    def test_links_of_the_task_lead_to_where_they_say(self, stage: Stage, producer: Person) -> None:
        """Those to the vendor's console are looked at only: there is no network here."""
        (row,) = stage.site.rest("GET", f"dags/{FORM_DAG}/dagRuns")["dag_runs"]
        run = Run(FORM_DAG, row["dag_run_id"], stage.site)
        details = f"dags/{FORM_DAG}/runs/{row['dag_run_id']}/tasks/broadcast.on_air/details"
        page = producer.open(details)
        console = page.get_by_role("link", name="Streams in Tencent's console")
        expect(console).to_have_attribute("href", f"{CONSOLE}/streammanage")
        page.get_by_role("link", name="Watch live").click()
        expect(page.get_by_role("heading", name="Broadcasts")).to_be_visible()
        page.go_back()
        page.get_by_role("link", name="Recording of this run").click()
        named = page.get_by_role("row", name=re.compile("^file_name "))
        expect(named).to_contain_text(run.xcom("broadcast.result", "file_name"))
        expect(page.get_by_role("row", name=re.compile("^file_ids "))).to_be_visible()
        page.close()

    def test_no_secret_is_in_anything_of_all_that(
        self, stage: Stage, admin: Person, producer: Person, canaries: Canaries
    ) -> None:
        """What the browser got, the task's pages, and all that Airflow keeps."""
        (row,) = stage.site.rest("GET", f"dags/{FORM_DAG}/dagRuns")["dag_runs"]
        task = f"dags/{FORM_DAG}/runs/{row['dag_run_id']}/tasks/broadcast.start_push"
        pages: dict[str, str] = {}
        for tab, word in {"": "started. HLS", "/rendered_templates": "Morning show", "/xcom": "hls_url"}.items():
            page = admin.open(task + tab)
            page.get_by_text(word).first.wait_for()
            pages[f"page {tab}"] = page.content() + page.inner_text("body")
            page.close()
        heard = admin.answers + producer.answers
        texts = pages | {f"{number} {url}": text for number, (url, text) in enumerate(heard)} | kept(stage.site)
        assert {name for name, text in texts.items() if canaries.hits(text)} == set()
        addresses = "\n".join(url for url, _ in heard)
        for part in (
            "ui/connections/hook_meta",
            "connections/timav_default",
            "timav/on-air",
            "taskInstances",
            "/logs/",
        ):
            assert part in addresses
