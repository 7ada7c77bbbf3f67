"""What a person does with a running Airflow: trigger, watch, mark, clear, read XComs and logs, by its REST API."""

from __future__ import annotations

import json as json_module
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import requests

from harness.processes import SiteError, until

FINISHED = ("success", "failed")
PAGE = 100  # the most that Airflow hands out at once
REQUEST_SECONDS = 30


class RestError(SiteError):
    """The API refused: `status` and its `detail`."""

    def __init__(self, method: str, path: str, status: int, detail: str) -> None:
        super().__init__(f"{method} {path}: {status}: {detail}")
        self.status = status
        self.detail = detail


@dataclass(frozen=True)
class TaskInstance:
    """One task of one run, as the API showed it; `details` has all its fields."""

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    pid: int | None
    details: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Run:
    """A handle on one run of a DAG: what it shows is asked for anew each time."""

    dag_id: str
    run_id: str
    client: AirflowClient = field(repr=False, compare=False)

    @property
    def path(self) -> str:
        """Where the API has it."""
        return f"dags/{quote(self.dag_id, safe='')}/dagRuns/{quote(self.run_id, safe='')}"

    @property
    def state(self) -> str:
        """`queued`, `running`, `success` or `failed`."""
        return str(self.client.rest("GET", self.path)["state"])

    def wait(self, timeout: float = 90) -> str:
        """Its state, once it is finished."""
        return self.client.wait(self, timeout)

    def tasks(self) -> list[TaskInstance]:
        """Its task instances."""
        return self.client.task_instances(self)

    def task(self, task_id: str, map_index: int = -1) -> TaskInstance:
        """One of them."""
        return self.client.task_instance(self, task_id, map_index)

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """The value that a task left."""
        return self.client.xcom(self, task_id, key, map_index)

    def log(self, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """The log of one try."""
        return self.client.log(self, task_id, try_number, map_index)


class AirflowClient:
    """Talks to the Airflow at `url`; `passwords` maps the users that it may act as to their passwords."""

    def __init__(self, url: str, passwords: Mapping[str, str]) -> None:
        self.url = url
        self._passwords = passwords
        self._tokens: dict[str, str] = {}
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy of the environment is not meant for loopback

    def check(self) -> None:
        """Raise when the Airflow behind `url` cannot go on; called at every step of a wait."""

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    # -- requests ------------------------------------------------------------------------------------------------------

    def token(self, user: str = "admin") -> str:
        """A bearer token of `user`, from the auth manager; one per user and site."""
        if user not in self._tokens:
            body = {"username": user, "password": self._passwords[user]}
            answer = self._session.post(f"{self.url}/auth/token", json=body, timeout=REQUEST_SECONDS)
            if not answer.ok:
                raise RestError("POST", "/auth/token", answer.status_code, answer.text)
            self._tokens[user] = str(answer.json()["access_token"])
        return self._tokens[user]

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, str | int | bool] | None = None,
        user: str | None = "admin",
    ) -> requests.Response:
        """The answer, whatever its status, of `path` below the server's root, as `user` or (None) as nobody."""
        headers = {"Accept": "application/json"}
        if user is not None:
            headers["Authorization"] = f"Bearer {self.token(user)}"
        return self._session.request(
            method,
            f"{self.url}/{path.lstrip('/')}",
            json=json,
            params=dict(params or {}),
            headers=headers,
            timeout=REQUEST_SECONDS,
        )

    def rest(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        params: Mapping[str, str | int | bool] | None = None,
        user: str = "admin",
    ) -> Any:
        """The JSON (None for an empty body) that the public API answers for `path` below `/api/v2`, else `RestError`."""
        answer = self.request(method, f"api/v2/{path.lstrip('/')}", json=json, params=params, user=user)
        if not answer.ok:
            raise RestError(method, path, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def pages(self, path: str, key: str) -> list[dict[str, Any]]:
        """All rows that the public API lists at `path`, under `key` of its answers."""
        rows: list[dict[str, Any]] = []
        while True:
            page = self.rest("GET", path, params={"limit": PAGE, "offset": len(rows)})
            rows += page[key]
            if not page[key] or len(rows) >= page["total_entries"]:
                return rows

    # -- DAGs ----------------------------------------------------------------------------------------------------------

    def import_errors(self) -> dict[str, str]:
        """The DAG files that do not load, each with its trace."""
        return {row["filename"]: row["stack_trace"] for row in self.pages("importErrors", "import_errors")}

    def wait_for_dag(self, dag_id: str, timeout: float = 60) -> None:
        """Return once the DAG processor has brought `dag_id` in."""

        def known() -> bool:
            answer = self.request("GET", f"api/v2/dags/{quote(dag_id, safe='')}")
            if answer.status_code not in {200, 404}:
                raise RestError("GET", f"dags/{dag_id}", answer.status_code, answer.text)
            return bool(answer.ok and not answer.json()["is_stale"])

        def failure() -> str:
            errors = "".join(f"\n{file}:\n{trace}" for file, trace in self.import_errors().items())
            return f"there is no DAG {dag_id!r}; files that do not load: {errors or 'none'}"

        until(known, timeout=timeout, failure=failure, check=self.check)

    def pause(self, dag_id: str) -> None:
        """Schedule nothing more of this DAG."""
        self._set_paused(dag_id, paused=True)

    def unpause(self, dag_id: str) -> None:
        """Take that back."""
        self._set_paused(dag_id, paused=False)

    def _set_paused(self, dag_id: str, *, paused: bool) -> None:
        self.wait_for_dag(dag_id)
        self.rest("PATCH", f"dags/{quote(dag_id, safe='')}", {"is_paused": paused})

    @contextmanager
    def held(self, *dag_ids: str) -> Iterator[None]:
        """Let runs that are triggered in this block begin together at its end.

        On SQLite, an API server that writes for us while tasks write through it can wait for itself, for as long as it
        waits for a lock. So everything is made before the first run begins, and one request lets them all begin.
        """
        for dag_id in dag_ids:
            self.pause(dag_id)
        yield
        # The pattern is looked for anywhere in a name: it must find these, and no other one.
        params: dict[str, str | int | bool] = {"dag_id_pattern": "|".join(dag_ids), "limit": len(dag_ids) + 1}
        changed = self.rest("PATCH", "dags", {"is_paused": False}, params=params)["dags"]
        if {row["dag_id"] for row in changed} != set(dag_ids):
            raise SiteError(
                f"of {sorted(dag_ids)} and no others, {sorted(row['dag_id'] for row in changed)} were let go"
            )

    # -- runs ----------------------------------------------------------------------------------------------------------

    def trigger(
        self, dag_id: str, conf: Mapping[str, Any] | None = None, run_id: str | None = None, *, user: str = "admin"
    ) -> Run:
        """Start a run, as the form's button does; waits until the DAG is known."""
        self.wait_for_dag(dag_id)
        body = {"conf": dict(conf or {}), "logical_date": None, **({"dag_run_id": run_id} if run_id else {})}
        answer = self.rest("POST", f"dags/{quote(dag_id, safe='')}/dagRuns", body, user=user)
        return Run(dag_id, str(answer["dag_run_id"]), self)

    def wait(self, run: Run, timeout: float = 90) -> str:
        """The state of `run`, once it is `success` or `failed`."""

        def finished() -> str | None:
            state = run.state
            return state if state in FINISHED else None

        return until(finished, timeout=timeout, failure=lambda: self._picture(run), check=self.check)

    def run(self, dag_id: str, conf: Mapping[str, Any] | None = None, *, timeout: float = 90) -> Run:
        """Trigger and wait: a finished run, of whichever state."""
        run = self.trigger(dag_id, conf)
        self.wait(run, timeout)
        return run

    def wait_for_run(self, dag_id: str, timeout: float = 60) -> Run:
        """The newest run of `dag_id`, once there is one: for runs that nobody here triggered."""
        path = f"dags/{quote(dag_id, safe='')}/dagRuns"

        def newest() -> Run | None:
            rows = self.rest("GET", path, params={"limit": 1, "order_by": "-run_after"})["dag_runs"]
            return Run(dag_id, str(rows[0]["dag_run_id"]), self) if rows else None

        return until(newest, timeout=timeout, failure=lambda: f"{dag_id} has no run", check=self.check)

    def mark_run(self, run: Run, state: str, *, user: str = "admin") -> None:
        """Set the whole run to `success` or `failed`, or queue it again."""
        self.rest("PATCH", run.path, {"state": state}, user=user)

    # -- task instances ------------------------------------------------------------------------------------------------

    def task_instances(self, run: Run) -> list[TaskInstance]:
        """All of `run`, mapped ones too."""
        return [_task_instance(row) for row in self.pages(f"{run.path}/taskInstances", "task_instances")]

    def task_instance(self, run: Run, task_id: str, map_index: int = -1) -> TaskInstance:
        """One of `run`."""
        return _task_instance(self.rest("GET", _task_path(run, task_id, map_index)))

    def wait_for_task(
        self, run: Run, task_id: str, *states: str, map_index: int = -1, try_number: int = 1, timeout: float = 60
    ) -> TaskInstance:
        """The task instance, once it is in one of `states` in this try or a later one."""

        def reached() -> TaskInstance | None:
            found = self.task_instance(run, task_id, map_index)
            return found if found.state in states and found.try_number >= try_number else None

        def failure() -> str:
            return f"{task_id} is not {' or '.join(states)} in try {try_number}; {self._picture(run)}"

        return until(reached, timeout=timeout, failure=failure, check=self.check)

    def mark(self, run: Run, task_id: str, state: str, *, map_index: int = -1, user: str = "admin") -> None:
        """Set a task instance to `success`, `failed` or `skipped`."""
        self.rest("PATCH", _task_path(run, task_id, map_index), {"new_state": state}, user=user)

    def clear(self, run: Run, *task_ids: str, downstream: bool = False, user: str = "admin") -> list[TaskInstance]:
        """Let these tasks (none: all) of `run` run again, whatever their state; what was cleared."""
        body = {
            "dry_run": False,
            "dag_run_id": run.run_id,
            "only_failed": False,
            "include_downstream": downstream,
            **({"task_ids": list(task_ids)} if task_ids else {}),
        }
        answer = self.rest("POST", f"dags/{quote(run.dag_id, safe='')}/clearTaskInstances", body, user=user)
        return [_task_instance(row) for row in answer["task_instances"]]

    def xcom(self, run: Run, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """The value under `key`; a missing one is a `RestError` with status 404."""
        path = f"{run.path}/taskInstances/{quote(task_id, safe='')}/xcomEntries/{quote(key, safe='')}"
        # deserialised, or a value arrives in the envelope that it is stored in
        return self.rest("GET", path, params={"map_index": map_index, "deserialize": True})["value"]

    def state_store(self, run: Run, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """What the task keeps over its tries."""
        path = f"{run.path}/taskInstances/{quote(task_id, safe='')}/state-store"
        answer = self.rest("GET", path, params={"map_index": map_index, "limit": PAGE})
        return {row["key"]: row["value"] for row in answer["task_state_store"]}

    def log(self, run: Run, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """One line per message of that try, worker's and trigger's: time, level, text and whatever else it carries."""
        path = f"{run.path}/taskInstances/{quote(task_id, safe='')}/logs/{try_number}"
        answer = self.rest("GET", path, params={"map_index": map_index, "full_content": True})
        return "\n".join(_line(message) for message in answer["content"])

    def _picture(self, run: Run) -> str:
        lines = [f"{run.dag_id} {run.run_id} is {run.state}:"]
        for task in self.task_instances(run):
            lines.append(f"  {task.task_id}[{task.map_index}] {task.state}, try {task.try_number}")
        return "\n".join(lines)


def _task_path(run: Run, task_id: str, map_index: int) -> str:
    path = f"{run.path}/taskInstances/{quote(task_id, safe='')}"
    return path if map_index < 0 else f"{path}/{map_index}"


def _task_instance(row: Mapping[str, Any]) -> TaskInstance:
    return TaskInstance(
        task_id=row["task_id"],
        map_index=row["map_index"],
        state=row["state"],
        try_number=row["try_number"],
        pid=row["pid"],
        details=row,
    )


def _line(message: str | Mapping[str, Any]) -> str:
    if isinstance(message, str):
        return message
    rest = {key: value for key, value in message.items() if key not in {"timestamp", "level", "event"}}
    words: Sequence[object] = (message.get("timestamp"), message.get("level"), message.get("event"))
    text = " ".join(str(word) for word in words if word)
    return f"{text} {json_module.dumps(rest, ensure_ascii=False)}" if rest else text
