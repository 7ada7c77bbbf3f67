"""What the tests of the web interface, its benchmark and its pictures stand on: an Airflow, an emulator and a browser.

with Stage() as stage:
    page = stage.visit("viewer")
    run = stage.show(10086, "host_1", title="Morning show")
    tile_of(page, "Morning show").wait_for()
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright
from sqlalchemy import create_engine, delete, select

import airflow_provider_timav.plugins
from airflow_provider_timav.leases import Claim, Lease, LeaseKey, Owner, Watch
from harness.database import Database
from harness.project import EXAMPLES
from harness.rest import Run
from harness.service import Witness, connect
from harness.site import ALL_PARTS, AirflowSite

# Debian's: the headless one where it is installed, which spares the browser's own windows that nobody sees.
CHROMIUM = next(filter(os.path.exists, ("/usr/bin/chromium-headless-shell", "/usr/bin/chromium")), None)
# Without anything that looks for a network, a graphics card or a person.
SWITCHES = (
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
ROUTE = "plugin/timav-broadcasts"

STATIC = Path(airflow_provider_timav.plugins.__file__).parent / "static"

ROOMS = {101: ["anna"], 102: ["ben"], 103: ["cleo"], 104: ["cleo"], 105: ["dora"], 106: ["emil"]}

FORM_DAG = "timav_broadcast_form"
DAG_ID = "live_show"
PROTECTED = "live_show_protected"
PASSWORD = "canary-of-the-viewers-password"
SHOW = f"""
    from datetime import timedelta

    from airflow.sdk import DAG, Param

    from airflow_provider_timav.broadcast import Broadcast

    for dag_id, password in (("{DAG_ID}", None), ("{PROTECTED}", "{PASSWORD}")):
        with DAG(
            dag_id,
            schedule=None,
            default_args={{"retry_delay": timedelta(seconds=1)}},
            params={{
                "room": Param(101, type="integer"),
                "host": Param("anna", type="string"),
                "title": Param(None, type=["string", "null"]),
                "seconds": Param(600, type="integer"),
                "live_code": Param("hls", type="string"),
            }},
        ):
            Broadcast(
                room_id="{{{{ params.room }}}}",
                user_id="{{{{ params.host }}}}",
                channel_name="{{{{ params.title or '' }}}}",
                duration="{{{{ params.seconds }}}}",
                live_code="{{{{ params.live_code }}}}",
                player_password=password,
            )
"""


class Stage:
    """A running Airflow with one DAG of a broadcast, its service, and Chromium.

    :param rooms: of the emulator: which are open, and who is in them.
    :param parts: of Airflow: the API server alone shows what was written into its database by hand.
    """

    def __init__(self, rooms: Mapping[int, Iterable[str]], *, parts: tuple[str, ...] = ALL_PARTS) -> None:
        self._rooms = rooms
        self._parts = parts
        self._exits = ExitStack()
        self._contexts: dict[str, BrowserContext] = {}

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            self.emulator = exits.enter_context(Witness(rooms=self._rooms))
            self.site = exits.enter_context(AirflowSite(parts=self._parts))
            connect(self.site, "timav_default", self.emulator.connection())
            self.site.write_dag(DAG_ID, SHOW)
            self.site.write_dag(FORM_DAG, (EXAMPLES / "broadcast_form.py").read_text())
            playwright = exits.enter_context(sync_playwright())
            expect.set_options(timeout=20_000)  # the machine is shared with Airflow
            self.browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
            exits.callback(self.browser.close)
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    # -- people --------------------------------------------------------------------------------------------------------

    def login(self, user: str) -> BrowserContext:
        """A browser's profile in which `user` has logged in."""
        context = self.browser.new_context(locale="en-GB")
        context.add_cookies([{"name": "_token", "value": self.site.token(user), "url": self.site.url}])
        return context

    def visit(self, user: str = "user", *, dark: bool = False, width: int = 1280, height: int = 800) -> Page:
        """The page "Broadcasts", as `user` sees it; a further one of the same user finds the cache filled."""
        if user not in self._contexts:
            self._contexts[user] = self.login(user)
        page = self._contexts[user].new_page()
        page.emulate_media(color_scheme="dark" if dark else "light")
        page.set_viewport_size({"width": width, "height": height})
        page.goto(f"{self.site.url}/{ROUTE}")
        return page

    # -- broadcasts ----------------------------------------------------------------------------------------------------

    def show(self, room: int, host: str, *, dag_id: str = DAG_ID, **params: Any) -> Run:
        """A run that brings a host on air."""
        return self.site.trigger(dag_id, {"room": room, "host": host, **params})

    def pretend(self, *broadcasts: Pretended) -> None:
        """Write what tasks and triggers leave of a broadcast: entries of the ledger, and what its run has noted."""
        texts = {name: text for one in broadcasts for name, text in one.texts.items()}
        engine = create_engine(self.site.database_url)
        database = Database(engine)
        for one in broadcasts:
            database.run(one.lease, {"start_push": "success"}, {("start_push", "plays"): one.plays}, over=True)
        engine.dispose()
        body = {
            "actions": [
                {"action": "create", "entities": [{"key": name, "value": text} for name, text in texts.items()]},
            ]
        }
        answer = self.site.rest("PATCH", "variables", body)
        assert not answer["create"]["errors"], answer

    def forget(self) -> None:
        """Remove all of the ledger's entries, and the runs that were pretended."""
        engine = create_engine(self.site.database_url)
        with engine.begin() as connection:
            pretended = TaskInstance.task_id.startswith(PRETENDED)
            of_runs = select(DagRun.id).where(
                DagRun.run_id.in_(select(TaskInstance.run_id).where(pretended)), DagRun.dag_id == DAG_ID
            )
            runs = [row.id for row in connection.execute(of_runs)]
            connection.execute(delete(XComModel).where(XComModel.task_id.startswith(PRETENDED)))
            connection.execute(delete(TaskInstance).where(pretended))
            connection.execute(delete(DagRun).where(DagRun.id.in_(runs)))
        engine.dispose()
        while True:
            answer = self.site.rest("GET", "variables", params={"limit": 100, "variable_key_pattern": "timav_lease_%"})
            keys = [row["key"] for row in answer["variables"]]
            if not keys:
                return
            self.site.rest("PATCH", "variables", {"actions": [{"action": "delete", "entities": keys}]})


PRETENDED = "pretended_"
"""What the groups of broadcasts begin with that were not."""


@dataclass(frozen=True)
class Pretended:
    """A broadcast that was not: its lease, the ledger's entries by name, and where its start says that it plays."""

    lease: Lease
    texts: Mapping[str, str]
    plays: Mapping[str, Any]


def entries(
    room: int,
    host: str,
    *,
    title: str | None = None,
    run_id: str = "manual__1",
    verdict: str | None = "LIVE",
    hls_url: str | None = None,
    rtmp_url: str | None = None,
    protected: bool = False,
    record: bool = True,
    state: str = "ours",
    since: timedelta = timedelta(minutes=12),
    left: timedelta = timedelta(minutes=48),
    error: str | None = None,
) -> Pretended:
    """One broadcast, as `Stage.pretend` takes it."""
    now = datetime.now(UTC)
    key, generation = LeaseKey("timav_default", room, host, "camera"), uuid4().hex
    owner = Owner(DAG_ID, run_id, f"{PRETENDED}{room}")
    lease = Lease(key, owner, generation, now + left, title, record, protected)
    push = Claim(generation, state, None, now - since)  # type: ignore[arg-type]
    texts = {key.variable: lease.to_json(), f"{key.variable}-push": push.to_json()}
    if record:
        texts[f"{key.variable}-record"] = Claim(generation, "ours", None, now - since).to_json()
    if verdict is not None:
        stream = {"verdict": verdict, "since": (now - since).timestamp() + 6, "at": now.timestamp()}
        texts[f"{key.variable}-watch"] = Watch(generation, stream=stream, error=error).to_json()
    plays = {name: url for name, url in (("hls_url", hls_url), ("rtmp_url", rtmp_url)) if url is not None}
    return Pretended(lease, {name: json.dumps(entry) for name, entry in texts.items()}, plays)


def chromium_is_there() -> bool:
    """Whether the browser is installed."""
    return CHROMIUM is not None


def tile_of(page: Page, title: str) -> Any:
    """The tile of a broadcast, found as people find it: by its heading."""
    return page.get_by_role("article", name=re.compile(re.escape(title)))


def clock(page: Page, title: str) -> float:
    """How far a tile's video has played: seconds."""
    return float(tile_of(page, title).locator("video").evaluate("video => video.currentTime"))
