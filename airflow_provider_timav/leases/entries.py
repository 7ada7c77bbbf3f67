"""The entries of the ledger as JSON, and their strict readers: people can write Variables and XComs.

Each ``from_json`` reads the form that its ``to_json`` writes; members that another version has added are passed over.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

from airflow_provider_timav.arguments import none_if_blank, parse_datetime
from airflow_provider_timav.leases.variables import PREFIX
from airflow_provider_timav.reading import LONGEST_FILE_ID, MOST_FILE_IDS, Fields, Unreadable, said, stored
from airflow_provider_timav.runs import TaskKey
from airflow_provider_timav.videorelay.errors import ConfigurationError

__all__ = [
    "CONTROL",
    "GENERATION",
    "KINDS",
    "RESERVATION",
    "STOPPED",
    "Claim",
    "Control",
    "Kind",
    "Lease",
    "LeaseKey",
    "Owner",
    "State",
    "Stopped",
    "Watch",
    "given_lease",
]

CONTROL: Final = "control"
"""The key of the XCom of ``on_air`` by which people move the end: ``{"end": ISO 8601 with a zone}`` or ``{"stop": true}``."""

STOPPED: Final = "stopped"
"""The key of the XCom of ``on_air`` in which its trigger notes what it has stopped (`Stopped`)."""

RESERVATION: Final = "reservation"
"""The key of the XCom of ``reserve`` and ``start_push`` that says which lease is their run's: ``{"lease": Variable,
"generation"}``."""

log = logging.getLogger(__name__)

GENERATION: Final = r"[0-9A-Za-z]{1,64}"

Kind = Literal["push", "record"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

State = Literal["planned", "sent", "ours", "foreign", "refused", "stopped"]

LONGEST_ID: Final = 250
"""Characters of an id of Airflow's."""

_STEPS: Final = r"(?!\.{1,2}(?:/|$))"
NAMED: Final = rf"{_STEPS}[\w.-]*"
RUN: Final = rf"{_STEPS}[^/\\?#%\x00-\x1f\x7f]+"
CONNECTION: Final = rf"(?:{_STEPS}[^/?%\x00-\x1f\x7f]*/)*{_STEPS}[^/?%\x00-\x1f\x7f]*"
"""Ids of DAGs and task groups, of runs, and of connections. Airflow's client puts them into addresses as they are: what leads
elsewhere there (``..``, a query) is none."""

LARGEST_ROOM: Final = 2**32 - 1
LONGEST_ERROR: Final = 2000
LONGEST_MOMENT: Final = 64

_CONTROL_RULE: Final = 'control must be {"end": ISO 8601 with a zone} or {"stop": true}'


@dataclass(frozen=True, slots=True)
class LeaseKey:
    """What a lease is for: one kind of data of one user in one room, on one connection.

    :param sdk_type: is sent with every stop; it is no part of the identity.
    """

    timav_conn_id: str
    room_id: int
    user_id: str
    push_data_type: str
    sdk_type: str = "normal"

    @property
    def variable(self) -> str:
        """The name of the lease's Variable."""
        identity = json.dumps([self.timav_conn_id, self.room_id, self.user_id, self.push_data_type])
        return PREFIX + hashlib.sha256(identity.encode()).hexdigest()[:32]

    def stop_arguments(self, kind: Kind) -> dict[str, Any]:
        """Return the arguments of the hook's stop of this kind."""
        data_type = "push_data_type" if kind == "push" else "record_data_type"
        return {
            "room_id": self.room_id,
            "user_id": self.user_id,
            "sdk_type": self.sdk_type,
            data_type: self.push_data_type,
        }


@dataclass(frozen=True, slots=True)
class Owner:
    """The broadcast that holds a lease: a task group of a run.

    :param group_id: the prefix of the ids of the group's tasks; empty if the group gives them none.
    """

    dag_id: str
    run_id: str
    group_id: str
    map_index: int = -1

    @classmethod
    def from_json(cls, noted: Any) -> Owner:
        """Read what `Lease.to_json` wrote.

        :raises Unreadable: for anything else.
        """
        fields = Fields(noted)
        return cls(
            fields.text("dag_id", most=LONGEST_ID, pattern=NAMED),
            fields.text("run_id", most=LONGEST_ID, pattern=RUN),
            fields.text("group_id", most=LONGEST_ID, pattern=NAMED),
            fields.whole("map_index", -1, 2**31 - 1, default=-1),
        )

    def task(self, name: str) -> TaskKey:
        """Return one of the group's tasks, such as ``on_air``."""
        return TaskKey(self.dag_id, self.run_id, f"{self.group_id}.{name}" if self.group_id else name, self.map_index)

    def __str__(self) -> str:
        mapped = f" [{self.map_index}]" if self.map_index >= 0 else ""
        return said(f"{self.group_id}{mapped} of run {self.run_id} of DAG {self.dag_id}", most=1000)


@dataclass(frozen=True, slots=True)
class Lease:
    """The reservation of a room for one broadcast: whose it is, and until when.

    :param generation: tells this broadcast from every other one of the same room; kept over retries and clears.
    :param end: as reserved. A person may have moved it since: see `Ledger.end_in_force`.
    :param start: when it is to begin; None if it begins with its run.
    :param title: the channel's name, for people.
    :param protected: whether viewers need a password to play it. The password itself is not stored.
    """

    key: LeaseKey
    owner: Owner
    generation: str
    end: datetime
    title: str | None = None
    record: bool = True
    protected: bool = False
    start: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the lease as a dict of JSON primitives."""
        return {
            **asdict(self.key),
            "owner": asdict(self.owner),
            "generation": self.generation,
            "end": self.end.astimezone(UTC).isoformat(),
            "title": self.title,
            "record": self.record,
            "protected": self.protected,
            "start": None if self.start is None else self.start.astimezone(UTC).isoformat(),
        }

    @classmethod
    def from_json(cls, noted: Any) -> Lease:
        """Read what `to_json` wrote.

        :raises Unreadable: for anything else.
        """
        fields = Fields(noted)
        return cls(
            key=LeaseKey(
                timav_conn_id=fields.text("timav_conn_id", most=LONGEST_ID, pattern=CONNECTION),
                room_id=fields.whole("room_id", 0, LARGEST_ROOM),
                user_id=fields.text("user_id"),
                push_data_type=fields.choice("push_data_type", ("camera", "screen")),
                sdk_type=fields.choice("sdk_type", ("normal", "iot_camera")),
            ),
            owner=Owner.from_json(fields.get("owner")),
            generation=fields.text("generation", pattern=GENERATION),
            end=fields.moment("end"),
            title=fields.text_or_none("title"),
            record=fields.flag("record", default=True),
            protected=fields.flag("protected", default=False),
            start=fields.moment_or_none("start"),
        )

    def reservation(self) -> dict[str, Any]:
        """Return the note that ``reserve`` keeps among its run's own XComs, under `RESERVATION`."""
        return {"lease": self.key.variable, "generation": self.generation}


def given_lease(value: Any) -> Lease | None:
    """Return the lease that ``reserve`` has handed to a task, as rendered; None if the task belongs to no broadcast.

    :raises ConfigurationError: naming ``lease``, if it is not one.
    """
    if none_if_blank(value) is None:
        return None
    try:
        return Lease.from_json(value)
    except Unreadable:
        raise ConfigurationError("lease must be what reserve has handed on", field="lease") from None


@dataclass(frozen=True, slots=True)
class Claim:
    """What a run may say of its push or recording.

    ``planned``: a trigger is to send a start, and has sent nothing yet; ``sent``: a start was sent, its outcome is not known
    yet; ``ours``: it runs and this broadcast started it; ``foreign``: one
    runs that this broadcast did not start, and must not stop; ``refused``: the service has said that nothing was started;
    ``stopped``: it was ours, and is stopped.

    :param start_id: tells one start of a task from a later one of the same task.
    :param at: when the claim was written; for ``ours``, when the stream began.
    :param file_ids: of a recording that is ``stopped``: those in the answer to the stop. They come only once.
    :param by: the name of the trigger's instance that sends the start; None if a task does.
    """

    generation: str
    state: State
    start_id: str | None = None
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    file_ids: tuple[str, ...] = ()
    by: str | None = None

    @property
    def on_air(self) -> bool:
        """Whether this broadcast may have something on air that it has to stop."""
        return self.state in ("sent", "ours")

    def to_json(self) -> dict[str, Any]:
        """Return the claim as a dict of JSON primitives."""
        noted = {**asdict(self), "at": self.at.astimezone(UTC).isoformat(), "file_ids": list(self.file_ids)}
        return {name: value for name, value in noted.items() if value not in (None, [])}

    @classmethod
    def from_json(cls, noted: Any) -> Claim:
        """Read what `to_json` wrote.

        :raises Unreadable: for anything else.
        """
        fields = Fields(noted)
        return cls(
            generation=fields.text("generation", pattern=GENERATION),
            state=fields.choice("state", get_args(State)),
            start_id=fields.text_or_none("start_id", most=64),
            at=fields.moment("at"),
            file_ids=fields.texts("file_ids", most=MOST_FILE_IDS, longest=LONGEST_FILE_ID),
            by=fields.text_or_none("by", most=64),
        )


@dataclass(frozen=True, slots=True)
class Watch:
    """The notes of a broadcast's trigger.

    :param end: the end in force, if a person has moved it.
    :param stream: `stream.state.StreamState` as JSON: the verdict, and the memory of having been live.
    :param error: the last fault, for people.
    """

    generation: str
    end: datetime | None = None
    stream: Mapping[str, Any] | None = None
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as a dict of JSON primitives."""
        end = None if self.end is None else self.end.astimezone(UTC).isoformat()
        error = None if self.error is None else said(self.error, most=LONGEST_ERROR)
        noted = {"generation": self.generation, "end": end, "stream": self.stream, "error": error}
        return {name: value for name, value in noted.items() if value is not None}

    @classmethod
    def from_json(cls, noted: Any) -> Watch:
        """Read what `to_json` wrote.

        :raises Unreadable: for anything else.
        """
        fields = Fields(noted)
        stream = fields.get("stream")
        if stream is not None and not isinstance(stream, dict):
            raise Unreadable("stream is no JSON object")
        return cls(
            generation=fields.text("generation", pattern=GENERATION),
            end=fields.moment_or_none("end"),
            stream=stream,
            error=fields.text_or_none("error", most=LONGEST_ERROR),
        )


@dataclass(frozen=True, slots=True)
class Stopped:
    """The outcome of a broadcast's stops, noted in the XCom ``stopped`` of ``on_air`` for the tasks after it.

    :param outcomes: of each stop that arrived, by kind.
    :param file_ids: those of the recording.
    :param ended_at: when the last stop was answered; None if nothing is noted.
    """

    outcomes: Mapping[Kind, str] = field(default_factory=dict)
    file_ids: tuple[str, ...] = ()
    ended_at: datetime | None = None

    def note(self, on_air: TaskKey) -> None:
        """Write the note among the XComs of ``on_air``, into Airflow's own database: that waits for no backend."""
        ended_at = None if self.ended_at is None else self.ended_at.astimezone(UTC).isoformat()
        noted = {"outcomes": dict(self.outcomes), "file_ids": list(self.file_ids), "ended_at": ended_at}
        on_air.set_raw_xcom(STOPPED, noted)

    @classmethod
    def noted_by(cls, on_air: TaskKey) -> Stopped:
        """Return the note of ``on_air``'s trigger; an empty one if there is none that can be read."""
        noted = on_air.raw_xcom(STOPPED)
        try:
            fields = Fields({} if noted is None else stored(noted))
            return cls(
                file_ids=fields.texts("file_ids", most=MOST_FILE_IDS, longest=LONGEST_FILE_ID),
                ended_at=fields.moment_or_none("ended_at"),
            )
        except Unreadable as wrong:
            log.warning("The XCom %s of %s cannot be read (%s): it is passed over.", STOPPED, on_air.task_id, wrong)
            return cls()


@dataclass(frozen=True, slots=True)
class Control:
    """The wish of a person for a broadcast that is on air, read from the XCom ``control`` of ``on_air``."""

    end: datetime | None = None
    stop: bool = False

    @classmethod
    def read(cls, value: Any, *, now: datetime) -> Control:
        """Read an XCom that people write.

        :param now: an end before it is refused: to stop a broadcast, write ``{"stop": true}``.
        :raises ConfigurationError: naming the rule that it breaks. Nothing is changed then.
        """
        if value is None:
            return cls()
        wanted: Any = None
        try:
            wanted = stored(value)
        except Unreadable as wrong:
            raise ConfigurationError(f"{_CONTROL_RULE}: {wrong}", field=CONTROL) from None
        if not isinstance(wanted, dict):
            raise ConfigurationError(_CONTROL_RULE, field=CONTROL)
        if wanted.get("stop") is True:
            return cls(stop=True)
        end = wanted.get("end")
        if isinstance(end, str) and len(end) > LONGEST_MOMENT:
            raise ConfigurationError(f"{_CONTROL_RULE}: end is longer than {LONGEST_MOMENT} characters", field=CONTROL)
        moment = parse_datetime(end if isinstance(end, str) else None, "control: end").astimezone(UTC)
        if moment <= now:
            raise ConfigurationError(f"control: end has passed: {moment.isoformat()}", field=CONTROL)
        return cls(end=moment)
