"""The ledger of what broadcasts have on air: who wants it there, until when, and who may stop it.

The service has no status query, and a process may die at any time; what must outlive it stands in Airflow Variables. They know
no compare-and-set, so each has one writer at a time, and nobody overwrites another:

=====================  ================================================================================================
``timav:lease:<key>``  ``reserve``: who wants it, and until when (`Lease`)
``….push``             whoever starts or stops the push: the start task, the stop task, the trigger at the end (`Claim`)
``….record``           the same of the recording
``….record.<gen.>``    whoever overwrites ``….record``: file ids of an earlier broadcast that it may not have picked up yet
``….watch``            the trigger: what it sees of the stream, and an end that a person has moved (`Watch`)
=====================  ================================================================================================

The key is a digest: Airflow's SDK does not quote the names of Variables, and rooms and users hold what they like.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, get_args

from airflow_provider_timav.arguments import optional, point_in_time
from airflow_provider_timav.runs import TaskKey
from airflow_provider_timav.videorelay.errors import ConfigurationError

__all__ = [
    "GRACE",
    "KINDS",
    "Claim",
    "Control",
    "Kind",
    "Lease",
    "LeaseKey",
    "Ledger",
    "Owner",
    "Standing",
    "Watch",
    "given_lease",
    "ledgers",
]

log = logging.getLogger(__name__)

PREFIX: Final = "timav:lease:"

GRACE: Final = timedelta(seconds=30)
"""How long after its end a lease is still left to those who hold it: their stops are on their way."""

CONTROL: Final = "control"
"""The key of the XCom of ``on_air`` by which people move the end: ``{"end": ISO 8601 with a zone}`` or ``{"stop": true}``."""

Kind = Literal["push", "record"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

State = Literal["sent", "ours", "foreign", "refused", "stopped"]
Standing = Literal["ours", "theirs", "over", "unknown"]


@dataclass(frozen=True, slots=True)
class LeaseKey:
    """What a lease is of: one user's one kind of data in one room, on one connection.

    :param sdk_type: goes with every stop; it is no part of the identity.
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
    """The broadcast that holds a lease: a task group of a run."""

    dag_id: str
    run_id: str
    group_id: str
    map_index: int = -1

    @classmethod
    def from_json(cls, noted: Mapping[str, Any]) -> Owner:
        """Read what `Lease.to_json` wrote; what another version has added is passed over.

        :raises KeyError, TypeError, ValueError: for anything else.
        """
        return cls(str(noted["dag_id"]), str(noted["run_id"]), str(noted["group_id"]), int(noted.get("map_index", -1)))

    def task(self, name: str) -> TaskKey:
        """Return one of the group's tasks, such as ``on_air``."""
        return TaskKey(self.dag_id, self.run_id, f"{self.group_id}.{name}", self.map_index)

    def __str__(self) -> str:
        mapped = f" [{self.map_index}]" if self.map_index >= 0 else ""
        return f"{self.group_id}{mapped} of run {self.run_id} of DAG {self.dag_id}"


@dataclass(frozen=True, slots=True)
class Lease:
    """Who wants it on air, and until when.

    :param generation: tells this broadcast from every other one in the same place; kept over retries and clears.
    :param end: as it was reserved. A person may have moved it since: see `Ledger.end`.
    :param title: the channel's name, for people.
    :param protected: whether viewers need a password to play it. The password itself stands nowhere.
    """

    key: LeaseKey
    owner: Owner
    generation: str
    end: datetime
    title: str | None = None
    record: bool = True
    protected: bool = False

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
        }

    @classmethod
    def from_json(cls, noted: Mapping[str, Any]) -> Lease:
        """Read what `to_json` wrote.

        :raises KeyError, TypeError, ValueError, ConfigurationError: for anything else.
        """
        return cls(
            key=LeaseKey(
                timav_conn_id=str(noted["timav_conn_id"]),
                room_id=int(noted["room_id"]),
                user_id=str(noted["user_id"]),
                push_data_type=str(noted["push_data_type"]),
                sdk_type=str(noted["sdk_type"]),
            ),
            owner=Owner.from_json(noted["owner"]),
            generation=str(noted["generation"]),
            end=point_in_time(noted["end"], "end"),
            title=_words(noted.get("title")),
            record=bool(noted.get("record", True)),
            protected=bool(noted.get("protected", False)),
        )


def _words(noted: Any) -> str | None:
    """Return a text for people, None for anything else: it is shown as it is."""
    return noted if isinstance(noted, str) else None


def given_lease(value: Any) -> Lease | None:
    """Return the lease that a task was handed by ``reserve``, as rendered; None where it belongs to no broadcast.

    :raises ConfigurationError: for what is none; it names ``lease``.
    """
    if optional(value) is None:
        return None
    try:
        return Lease.from_json(value)
    except (AttributeError, KeyError, TypeError, ValueError, ConfigurationError):
        raise ConfigurationError("lease must be what reserve has handed on", field="lease") from None


@dataclass(frozen=True, slots=True)
class Claim:
    """What is claimed of a push or a recording.

    ``sent``: a start was sent, and nobody knows yet what came of it; ``ours``: it runs and this broadcast started it;
    ``foreign``: one runs that this broadcast did not start, and must not stop; ``refused``: the service has said that nothing
    was started; ``stopped``: it was ours, and is stopped.

    :param start_id: tells one start of a task from a later one of the same task.
    :param at: when this was noted: of ``ours``, when the stream began.
    :param file_ids: of a recording that is ``stopped``: what the stop was given. They come only once.
    :param hls_url: of a push that is ``ours``: where it plays, for the page that shows what is on air.
    :param rtmp_url: the same, for players that no browser has.
    """

    generation: str
    state: State
    start_id: str | None = None
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    file_ids: tuple[str, ...] = ()
    hls_url: str | None = None
    rtmp_url: str | None = None

    @property
    def on_air(self) -> bool:
        """Whether this broadcast may have something on air that it has to stop."""
        return self.state in ("sent", "ours")

    def to_json(self) -> dict[str, Any]:
        """Return the claim as a dict of JSON primitives."""
        noted = {**asdict(self), "at": self.at.isoformat(), "file_ids": list(self.file_ids)}
        return {name: value for name, value in noted.items() if value not in (None, [])}

    @classmethod
    def from_json(cls, noted: Mapping[str, Any]) -> Claim:
        """Read what `to_json` wrote.

        :raises KeyError, TypeError, ValueError, ConfigurationError: for anything else.
        """
        if noted["state"] not in get_args(State):
            raise ValueError("a claim of no known state")
        return cls(
            generation=str(noted["generation"]),
            state=noted["state"],
            start_id=noted.get("start_id"),
            at=point_in_time(noted["at"], "at"),
            file_ids=tuple(str(file_id) for file_id in noted.get("file_ids", ())),
            hls_url=noted.get("hls_url"),
            rtmp_url=noted.get("rtmp_url"),
        )


@dataclass(frozen=True, slots=True)
class Watch:
    """What the trigger knows.

    :param end: the end in force, where a person has moved it.
    :param stream: `stream.watch.Watch` as JSON: the verdict, and the memory of having been live.
    :param error: what went wrong last, for people.
    """

    generation: str
    end: datetime | None = None
    stream: Mapping[str, Any] | None = None
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as a dict of JSON primitives."""
        end = None if self.end is None else self.end.astimezone(UTC).isoformat()
        noted = {"generation": self.generation, "end": end, "stream": self.stream, "error": self.error}
        return {name: value for name, value in noted.items() if value is not None}

    @classmethod
    def from_json(cls, noted: Mapping[str, Any]) -> Watch:
        """Read what `to_json` wrote.

        :raises KeyError, TypeError, ValueError, ConfigurationError: for anything else.
        """
        end = noted.get("end")
        return cls(
            generation=str(noted["generation"]),
            end=None if end is None else point_in_time(end, "end"),
            stream=noted.get("stream"),
            error=_words(noted.get("error")),
        )


@dataclass(frozen=True, slots=True)
class Control:
    """What a person wants of a broadcast that is on air, read from the XCom ``control`` of ``on_air``."""

    end: datetime | None = None
    stop: bool = False

    @classmethod
    def read(cls, value: Any, *, now: datetime) -> Control:
        """Read an XCom that people write: what makes no sense changes nothing.

        :param now: an end before it changes nothing either: who wants to stop says so.
        :raises ConfigurationError: saying what is wrong with it.
        """
        if value is None:
            return cls()
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                value = None
        if not isinstance(value, dict):
            raise ConfigurationError('control must be {"end": ISO 8601 with a zone} or {"stop": true}', field=CONTROL)
        if value.get("stop") is True:
            return cls(stop=True)
        end = point_in_time(value.get("end"), "control: end")
        if end <= now:
            raise ConfigurationError(f"control: end has passed: {end.isoformat()}", field=CONTROL)
        return cls(end=end)


class Variables:
    """Airflow's Variables as the ledger uses them: texts, by name."""

    def get(self, name: str) -> str | None:
        """Return the value, or None where there is none.

        :raises LookupError: if there is one, and it could not be read just now.
        """
        from airflow.sdk import Variable
        from airflow.sdk.execution_time.cache import SecretCache

        # In the DAG processor, where callbacks run, Airflow may keep values for a quarter of an hour.
        SecretCache.invalidate_variable(name)
        text: str | None = Variable.get(name, default=None)
        if text is None and name in Variable.keys(prefix=name):
            # Airflow takes every failure to read one for one that is not there. A list of names does raise.
            raise LookupError(f"the Variable {name} could not be read")
        return text

    def set(self, name: str, text: str) -> None:
        """Write the value."""
        from airflow.sdk import Variable

        Variable.set(name, text)

    def delete(self, name: str) -> None:
        """Remove it; no error where it is not there."""
        from airflow.sdk import Variable
        from airflow.sdk.exceptions import AirflowRuntimeError

        try:
            Variable.delete(name)
        except AirflowRuntimeError as error:
            if "not" not in str(error).lower() or "found" not in str(error).lower():
                raise

    def names(self) -> Iterable[str]:
        """Give the names of all of the ledger's."""
        from airflow.sdk import Variable

        return list(Variable.keys(prefix=PREFIX))


class Ledger:
    """The entries of one lease. What cannot be read counts as not there, with a warning: people can write Variables, too.

    :param variable: the name of the lease's Variable (`LeaseKey.variable`).
    :param kept: the names of those that keep file ids of earlier broadcasts, where they are known.
    """

    store: Variables = Variables()
    complaint = logging.WARNING
    """The level at which entries are told of that cannot be read."""

    def __init__(self, variable: str, kept: Iterable[str] = ()) -> None:
        self.variable = variable
        self._kept = kept

    def lease(self) -> Lease | None:
        """Return who holds it, or None."""
        lease: Lease | None = self._read(self.variable, Lease.from_json)
        return lease

    def hold(self, lease: Lease) -> None:
        """Note who holds it from now on."""
        self.store.set(self.variable, json.dumps(lease.to_json()))

    def claim(self, kind: Kind, generation: str) -> Claim | None:
        """Return what this generation claims of its push or recording, or None."""
        for name in self._claims(kind, generation):
            claim: Claim | None = self._read(name, Claim.from_json)
            if claim is not None and claim.generation == generation:
                return claim
        return None

    def tell(self, kind: Kind, claim: Claim) -> None:
        """Note what is claimed of the push or the recording.

        The claim of another broadcast is overwritten by a start only, and that of the one that holds the lease by nobody else:
        who comes late has nothing to say about what runs now. The file ids of whoever has to give way are kept beside it.
        """
        name = f"{self.variable}.{kind}"
        before: Claim | None = self._read(name, Claim.from_json)
        same = before is not None and (before.generation, before.start_id) == (claim.generation, claim.start_id)
        if before is not None and same and claim.state == "stopped":
            # Of two stops of one recording at once, one was given the ids, and the other one may be noted later.
            claim = replace(claim, file_ids=claim.file_ids or before.file_ids)
        if before is not None and before.generation != claim.generation:
            held = self.lease()
            # A stop's own start has overwritten all that came before it.
            late = claim.state == "stopped" or (held is not None and held.generation == before.generation)
            giving_way = claim if late else before
            if giving_way.file_ids:
                # Its own tasks may not have picked them up yet, and they come only once.
                for kept in self._claims(kind, giving_way.generation)[1:]:
                    self.store.set(kept, json.dumps(giving_way.to_json()))
            if late:
                return
        self.store.set(name, json.dumps(claim.to_json()))

    def _claims(self, kind: Kind, generation: str) -> list[str]:
        """Return the names under which a claim of this generation may stand."""
        name = f"{self.variable}.{kind}"
        # The SDK does not quote names, and people can write Variables: nothing but a generation of our own is put into one.
        return [name, f"{name}.{generation}"] if kind == "record" and generation.isalnum() else [name]

    def watch(self, generation: str) -> Watch | None:
        """Return what this generation's trigger knows, or None."""
        watch = self._read(f"{self.variable}.watch", Watch.from_json)
        return watch if watch is not None and watch.generation == generation else None

    def observe(self, watch: Watch) -> None:
        """Note what the trigger knows."""
        self.store.set(f"{self.variable}.watch", json.dumps(watch.to_json()))

    def end(self, lease: Lease) -> datetime:
        """Return the end in force by what the ledger holds: the one a person moved it to, else the one reserved."""
        watch = self.watch(lease.generation)
        return lease.end if watch is None or watch.end is None else watch.end

    def wanted_until(self, lease: Lease, *, now: datetime) -> datetime:
        """Return until when it is wanted on air, asking ``on_air`` itself first: its trigger may be dead.

        A broadcast that somebody has told to stop is wanted until ``now``, or until its end if that has passed.
        """
        try:
            control = Control.read(lease.owner.task("on_air").xcom(CONTROL), now=now)
        except Exception as unreadable:  # noqa: BLE001 - whatever Airflow raises, the run may be gone: the ledger decides
            if not isinstance(unreadable, ConfigurationError):
                log.warning("What people want of %s cannot be read: %s", lease.owner, unreadable)
            control = Control()
        if control.stop:
            return min(now, self.end(lease))
        return control.end or self.end(lease)

    def standing(self, lease: Lease) -> Standing:
        """Return how a broadcast stands with its room.

        ``ours``: it holds the lease, or, where somebody has deleted that, claims to have something on air; ``theirs``: another
        broadcast holds the lease; ``over``: nobody does, and it is noted that it was stopped; ``unknown``: nothing is noted.
        """
        held = self.lease()
        if held is not None:
            return "ours" if held.generation == lease.generation else "theirs"
        claims = [claim for kind in KINDS if (claim := self.claim(kind, lease.generation)) is not None]
        if any(claim.on_air for claim in claims):
            return "ours"
        return "over" if any(claim.state == "stopped" for claim in claims) else "unknown"

    def forget(self, kind: Kind, generation: str) -> None:
        """Remove this generation's claim, where there is one."""
        for name in self._claims(kind, generation):
            claim = self._read(name, Claim.from_json)
            if claim is not None and claim.generation == generation:
                self.store.delete(name)

    def close(self, generation: str) -> bool:
        """Give the lease up if this generation holds it and has nothing on air any more; return whether it holds none."""
        claims = [self.claim(kind, generation) for kind in KINDS]
        if any(claim is not None and claim.on_air for claim in claims):
            return False
        lease = self.lease()
        if lease is not None and lease.generation == generation:
            if self.watch(generation) is not None:
                self.store.delete(f"{self.variable}.watch")
            self.store.delete(self.variable)
        return True

    def clean(self, *, before: datetime) -> None:
        """Remove what is older and of no use: kept file ids, and claims and watches that nobody holds the lease of."""
        for name in self._kept:
            claim = self._read(name, Claim.from_json)
            if claim is None or claim.at < before:
                self.store.delete(name)
        if self.lease() is not None:
            return
        left = False
        for kind in KINDS:
            claim = self._read(f"{self.variable}.{kind}", Claim.from_json)
            if claim is None or claim.at < before:
                self.store.delete(f"{self.variable}.{kind}")
            else:
                left = True
        if not left:
            self.store.delete(f"{self.variable}.watch")

    def _read(self, name: str, read: Any) -> Any:
        noted = self.store.get(name)
        if noted is None:
            return None
        try:
            return read(json.loads(noted))
        except (AttributeError, KeyError, TypeError, ValueError, ConfigurationError) as wrong:
            log.log(
                self.complaint, "The Variable %s holds nothing that can be read (%s): it is passed over.", name, wrong
            )
            return None


def ledgers() -> list[Ledger]:
    """Return every ledger there is, also those of which only a claim is left."""
    kept: dict[str, list[str]] = {}
    for name in Ledger.store.names():
        variable, _, entry = name.partition(".")
        of_variable = kept.setdefault(variable, [])
        if "." in entry:
            of_variable.append(name)
    return [Ledger(variable, names) for variable, names in sorted(kept.items())]
