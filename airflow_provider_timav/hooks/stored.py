"""Limits of a test of a connection: a stored secret goes to the place that its stored connection names, or nowhere.

Airflow's Test button takes the fields that a person sends and puts stored secrets in if a field was left out or is
``***``, as long as host and port are the stored ones (``test_connection`` in Airflow's routes of connections). Here ``proxy``,
``ca_cert`` and ``environment`` lead a secret somewhere, too: a person who may only test a connection would read its UserSig
in a proxy of their own. The merged connection comes under a random id, without a note of the merged fields. So it is
compared with the stored ones:

- Equal in secrets and route to a stored connection, it is that connection: it is tested.
- Host and port of a connection of another type, under whose id Airflow would put its secrets into this one: it is not tested
  with a secret that is that one's, nor if that one cannot be read.
- A credential of a stored connection with that host and port, but another route: it is not tested.
- With a secrets backend, which lists nothing, anything else may hold a secret of one that is not known. It is tested only
  if it goes straight to its host, whose certificate the system's CAs vouch for.
- Anything else was typed in, all of it, and is tested.

A key in a file of this machine is not typed in either: if a stored connection has it, it goes only to the place of that one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_timav.hooks.connection import secrets_of_proxy
from airflow_provider_timav.videorelay.errors import ConfigurationError, TimAVError
from airflow_provider_timav.videorelay.pem import FIELD_BYTES, Files, is_text, key_lines, unpacked

if TYPE_CHECKING:
    from airflow_provider_timav.hooks.connection import Settings

__all__ = ["Unsaved", "check", "key_files"]

log = logging.getLogger(__name__)

CONN_TYPE: Final = "timav"
_DEFAULT_ID: Final = "timav_default"
_ENVIRONMENT: Final = "AIRFLOW_CONN_"
# Airflow's ids of connections that exist for a test only: `get_random_string()`. People's ids mostly hold more than that.
_OF_A_TEST: Final = re.compile(r"[A-Za-z0-9]+")


class Unsaved(ConfigurationError):
    """A connection is not tested with this ``field`` before it is saved; nothing was sent."""


def key_files() -> Files:
    """Return which files of this machine a test may read, as ``[timav] key_folder`` sets it.

    Unset, those anywhere; a folder, those within; ``none``, no file.
    """
    from airflow.sdk.configuration import conf

    folder = (conf.get("timav", "key_folder", fallback=None) or "").strip()
    if not folder:
        return Files()
    if folder.lower() == "none":
        return Files(allowed=False, rule="; here a test reads no file ([timav] key_folder)")
    return Files(folder=folder, rule="; here a test reads only files within the folder of [timav] key_folder")


def check(connection: Any, settings: Settings, files: Files) -> None:
    """Check that a test of this connection sends each stored secret only to the place that it is stored for.

    :param connection: what Airflow gave for the id: its fields as they are.
    :param settings: the same, read.
    :param files: which files a path may lead to.
    :raises Unsaved: naming the field that differs.
    """
    tested = _Fields.of(connection)
    if _is_typed_on_a_worker(tested.conn_id):
        # Nothing is merged there, and nothing that is stored can be seen: only a file's key is not the person's own.
        if tested.key_is_a_file and not _is_plain(tested, settings):
            rule = "a test on a worker uses a key in a file with the vendor's own hosts only, without proxy and ca_cert"
            raise Unsaved(
                f"private_key: {rule}, so nothing was sent: save the connection first, then test it from the API server.",
                field="private_key",
            )
        return
    if not _may_be_merged(tested.conn_id):
        return
    try:
        known, backends = [*_in_database(tested), *_in_environment(tested)], _further_backends()
    except Exception:  # noqa: BLE001  # whatever it is that keeps the stored connections from being seen
        if not _is_plain(tested, settings):
            raise _unsaved(_detour(tested), "it cannot be held against the stored connections now") from None
        return
    _compare(tested, settings, [*known, *_in_backends(backends, tested, known)], files, unseen=bool(backends))


@dataclass(frozen=True)
class _Fields:
    """The fields of a connection as Airflow has them, in the one form in which two can be held against each other."""

    conn_id: str
    conn_type: str
    team: str | None
    host: str
    port: str
    may_be_a_test: bool = False
    """Whether this may be no stored connection, but one that exists for another test that runs now."""
    environment: str = ""
    proxy: str = field(default="", repr=False)
    ca_cert: str = field(default="", repr=False)
    usersig: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)
    held: frozenset[bytes] | None = field(default=frozenset(), repr=False)
    """The password and each value of the extras of a connection of another type, as digests; None if unreadable."""

    @classmethod
    def of(cls, connection: Any) -> _Fields:
        """Read a connection that may be wrong in every field: its secrets are secrets all the same."""
        extra: Any = {}
        with contextlib.suppress(Exception):
            extra = json.loads(connection.extra or "{}")
        extra = extra if isinstance(extra, dict) else {}
        conn_type = str(connection.conn_type or "")
        return cls(
            conn_id=str(connection.conn_id),
            conn_type=conn_type,
            team=getattr(connection, "team_name", None),
            host=_host(connection.host),
            port=_same(connection.port or None),  # a test's address has no port 0
            environment=_same(extra.get("environment")) or "production",
            proxy=_same(extra.get("proxy")),
            ca_cert=_same(extra.get("ca_cert")),
            usersig=_password(connection),
            secret_key=_same(extra.get("secret_key")),
            private_key=_same(extra.get("private_key")),
            passphrase=_same(extra.get("private_key_passphrase")),
            held=frozenset() if conn_type == CONN_TYPE else _held(connection),
        )

    @property
    def key_is_a_file(self) -> bool:
        return bool(self.private_key) and not is_text(self.private_key)

    def is_at(self, host: str, port: str) -> bool:
        """Return whether Airflow would take these for the same host and port."""
        return (self.host, self.port) == (host, port)

    @property
    def place(self) -> str:
        """The address that it calls, without the environment, which only chooses among the vendor's hosts."""
        return self._endpoint("production")

    def _endpoint(self, environment: str) -> str:
        from airflow_provider_timav.videorelay.exchange import endpoint

        with contextlib.suppress(TimAVError, ValueError):
            return endpoint(self.host, int(self.port) if self.port else None, environment)
        return f"{self.host}:{self.port}"

    @property
    def secrets(self) -> tuple[str, ...]:
        return self.usersig, self.secret_key, _bare(self.private_key), self.passphrase

    def differences(self, other: _Fields) -> list[str]:
        """Return the fields that lead a secret elsewhere than the other's do."""
        found = []
        if self._endpoint(self.environment) != other._endpoint(other.environment):
            found.append("environment" if self.place == other.place else "host")
        if self.proxy != other.proxy:
            found.append("proxy")
        if _pem(self.ca_cert) != _pem(other.ca_cert):
            found.append("ca_cert")
        return found


def _password(connection: Any) -> str:
    with contextlib.suppress(Exception):
        return str(connection.password or "").strip()
    return ""


def _held(connection: Any) -> frozenset[bytes] | None:
    with contextlib.suppress(Exception):
        password, extra = str(connection.password or "").strip(), connection.extra or ""
        with contextlib.suppress(ValueError):  # extras of other types may be any text
            extra = json.loads(extra)
        return _digests([password, *_values(extra)])
    return None


def _values(extra: Any) -> Iterator[str]:
    if isinstance(extra, dict | list):
        for each in extra.values() if isinstance(extra, dict) else extra:
            yield from _values(each)
    elif not isinstance(extra, bool):
        yield _same(extra)


def _digests(texts: Iterable[str]) -> frozenset[bytes]:
    """Return digests, whose comparison does not reveal, by the time that it takes, how much of a text is right."""
    return frozenset(hashlib.sha256(_bare(text).encode(errors="surrogatepass")).digest() for text in texts if text)


def _same(value: Any) -> str:
    """Return one form of a value that may come in several: a test reads each text of the extras as JSON, if it can."""
    with contextlib.suppress(ValueError, RecursionError):
        if isinstance(value, str) and not isinstance(parsed := json.loads(value), dict | list | float | bool | None):
            value = parsed
    return "" if value is None else str(value).strip()


def _host(value: Any) -> str:
    """Return a host as a test's address brings it back: of a bare ``https://`` it brings nothing."""
    host = _same(value).lower()
    return "" if host.endswith("://") else host


def _pem(text: str) -> str:
    return "".join(unpacked(text).split()) if is_text(text) else text


def _bare(private_key: str) -> str:
    """Return the base64 of a key, however its lines are broken, or the path of its file."""
    return "".join("".join(key_lines(private_key)).split()) or private_key


def _compare(tested: _Fields, settings: Settings, known: list[_Fields], files: Files, *, unseen: bool) -> None:
    ours = [each for each in known if each.conn_type == CONN_TYPE]
    if any(not each.may_be_a_test and each.secrets == tested.secrets and not tested.differences(each) for each in ours):
        return
    key = _key(tested, files)
    of_proxy = secrets_of_proxy(tested.proxy)
    sent = _digests([*tested.secrets, key, *of_proxy, tested.proxy if of_proxy else ""])
    for each in known:
        if each.conn_type == CONN_TYPE or not each.is_at(tested.host, tested.port):
            continue
        if each.held is None:
            raise _unsaved("host", "it and port are those of a stored connection of another type, which cannot be read")
        if not each.held.isdisjoint(sent):
            raise _unsaved("host", "it, port and a secret are those of a stored connection of another type")
    elsewhere = [tested.differences(each) for each in ours if _shares(tested, each, key, files)]
    if any(elsewhere):
        # Of several stored connections with that secret, the one that is meant differs least.
        field_name = min(filter(None, elsewhere), key=len)[0]
        raise _unsaved(field_name, "it is not that of the stored connection whose secret would be sent")
    if unseen and not _is_plain(tested, settings):
        raise _unsaved(_detour(tested), "a secrets backend may hold the connection whose secrets would be sent")


def _shares(tested: _Fields, each: _Fields, key: str, files: Files) -> bool:
    """Return whether a secret of a stored connection is sent that the tester need not know."""
    if tested.place == each.place or each.is_at(tested.host, tested.port):
        if tested.usersig and tested.usersig == each.usersig:
            return True
        if tested.secret_key and tested.secret_key == each.secret_key:
            return True
        if _bare(tested.private_key) == _bare(each.private_key):
            return True
    # Airflow merges nothing for another host. A person who types a key knows it; one who names a file need not.
    return tested.key_is_a_file and key == _key(each, files)


def _key(fields: _Fields, files: Files) -> str:
    """Return a mark by which keys are compared, that of a file by its contents."""
    if not fields.key_is_a_file:
        return _bare(fields.private_key)
    text = files.read(fields.private_key, FIELD_BYTES)
    return (_bare(text) if text is not None and is_text(text) else "") or fields.private_key


def _is_plain(tested: _Fields, settings: Settings) -> bool:
    """Return whether secrets go straight to a host that the system's CAs vouch for; a file's key, to the vendor's only."""
    from airflow_provider_timav.videorelay.exchange import HOSTS

    if tested.proxy or tested.ca_cert:
        return False
    return not tested.key_is_a_file or settings.endpoint in HOSTS.values()


def _detour(tested: _Fields) -> str:
    return "proxy" if tested.proxy else "ca_cert" if tested.ca_cert else "private_key"


def _unsaved(name: str, why: str) -> Unsaved:
    return Unsaved(f"{name}: {why}, so nothing was sent: save the connection first, then test it.", field=name)


def _may_be_merged(conn_id: str) -> bool:
    """Return whether Airflow may have made this connection of fields that a person sent and of stored ones.

    It does so in the API server only, under an id that is random. A task's connections come from its supervisor.
    """
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    is_in_a_task = getattr(runner, "SUPERVISOR_COMMS", None) is not None
    return not is_in_a_task and "fastapi" in sys.modules and _OF_A_TEST.fullmatch(conn_id) is not None


def _is_typed_on_a_worker(conn_id: str) -> bool:
    """Return whether a worker tests fields that a person sent (``connections/enqueue-test``): Airflow holds them ready."""
    context = sys.modules.get("airflow.sdk.execution_time.context")
    preset = getattr(context, "_preset_connections", None)
    return preset is not None and conn_id in (preset.get() or {})


def _in_database(tested: _Fields) -> Iterator[_Fields]:
    """Read the connections of Airflow's database: those of this type, and those of others with the tested host and port.

    Nothing else is read of the rest: Airflow's masker would take a while for each.
    """
    from airflow.models import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select
    from sqlalchemy.exc import SQLAlchemyError

    columns = (Connection.conn_id, Connection.conn_type, Connection.team_name, Connection.host, Connection.port)
    with create_session() as session:
        for conn_id, conn_type, team, host, port in session.execute(select(*columns)).all():
            unread = _Fields(conn_id, conn_type or "", team, _host(host), _same(port or None), held=None)
            is_ours = conn_type == CONN_TYPE
            if not is_ours and not unread.is_at(tested.host, tested.port):
                continue
            try:
                found = session.scalar(select(Connection).where(Connection.conn_id == conn_id))
            except SQLAlchemyError:
                raise
            except Exception as undecipherable:  # noqa: BLE001  # Airflow cannot read it either, and merges it with nothing
                log.debug("The connection %s cannot be read: %s", conn_id, type(undecipherable).__name__)
                if not is_ours:
                    yield unread
                continue
            if found is not None:
                yield _Fields.of(found)


def _in_environment(tested: _Fields) -> Iterator[_Fields]:
    from airflow.models import Connection

    own = f"{_ENVIRONMENT}{tested.conn_id.upper()}"
    for name, value in sorted(os.environ.items()):
        if not name.startswith(_ENVIRONMENT) or name == own:
            continue
        conn_id, given = name.removeprefix(_ENVIRONMENT), value.strip()
        with contextlib.suppress(Exception):  # Airflow merges nothing of a connection that it cannot read
            found = Connection.from_json(given, conn_id) if given.startswith("{") else Connection(conn_id, uri=given)
            yield replace(_Fields.of(found), may_be_a_test=_OF_A_TEST.fullmatch(conn_id) is not None)


def _in_backends(backends: list[Any], tested: _Fields, known: list[_Fields]) -> Iterator[_Fields]:
    """Look the known ids up in secrets backends, which list nothing: they may hold another connection under one."""
    looked_up: set[tuple[str, str | None]] = {(_DEFAULT_ID, None), (tested.conn_id, None)}
    looked_up.update((each.conn_id, each.team) for each in known if each.conn_type == CONN_TYPE)
    for backend in backends:
        for conn_id, team in sorted(looked_up, key=str):
            with contextlib.suppress(Exception):  # a connection that it does not give counts as unseen
                found = backend.get_connection(conn_id, team) if team else backend.get_connection(conn_id)
                if found is not None:
                    yield _Fields.of(found)


def _further_backends() -> list[Any]:
    from airflow.configuration import ensure_secrets_loaded
    from airflow.secrets.environment_variables import EnvironmentVariablesBackend
    from airflow.secrets.metastore import MetastoreBackend

    return [
        each for each in ensure_secrets_loaded() if type(each) not in (EnvironmentVariablesBackend, MetastoreBackend)
    ]
