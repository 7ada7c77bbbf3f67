"""A stored secret goes where its stored connection sends it, and nowhere else: Airflow's own route of the Test button, on a
database of its own, and a proxy that would hear what is sent."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import airflow.models
import pytest
from airflow import settings as airflow_settings
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.datamodels.connections import ConnectionBody
from airflow.api_fastapi.core_api.routes.public.connections import test_connection as airflows_route
from airflow.models import Connection
from airflow.models.base import Base
from airflow.sdk import Connection as SdkConnection
from airflow.secrets import BaseSecretsBackend
from airflow.utils.strings import get_random_string
from fastapi import HTTPException
from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import StaticPool

from airflow_provider_timav.emulator import Certificates, Emulator
from airflow_provider_timav.hooks import stored
from harness.eavesdropper import Eavesdropper

# Airflow's own route uses what Airflow deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")


def in_base64(text: str) -> str:
    return base64.encodebytes(text.encode()).decode()


ADMIN = SimpleAuthManagerUser(username="admin", role="ADMIN")


class Everybody(SimpleAuthManager):
    """Airflow's simple one, without its file of passwords."""

    def __init__(self) -> None:
        """Needs nothing."""


class Vault(BaseSecretsBackend):
    """A secrets backend that gives what it is asked for by name, and lists nothing."""

    held: dict[str, dict[str, Any]] = {}  # noqa: RUF012  # Airflow makes the instance

    def get_connection(self, conn_id: str, team_name: str | None = None) -> Any:
        found = self.held.get(conn_id)
        return Connection(conn_id=conn_id, **found) if found else None


class Airflow:
    """The API server's side of connections."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    def save(self, conn_id: str, connection: dict[str, Any]) -> dict[str, Any]:
        with Session(self.engine) as session:
            session.add(Connection(conn_id=conn_id, **connection))
            session.commit()
        return connection

    def press(self, conn_id: str, body: dict[str, Any]) -> tuple[bool, str]:
        """Send a test of a connection, as the button and the REST API do."""
        extra = {"extra": json.dumps(body["extra"])} if "extra" in body else {}
        sent = ConnectionBody.model_validate({**body, **extra, "connection_id": conn_id})
        answer = airflows_route(sent, ADMIN, Everybody())
        return answer.status, answer.message


@pytest.fixture
def airflow_api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Airflow]:
    airflow.models.import_all_models()  # type: ignore[no-untyped-call]  # Airflow's
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    Base.metadata.create_all(engine)
    sessions = scoped_session(sessionmaker(bind=engine, expire_on_commit=False))
    monkeypatch.setattr(airflow_settings, "Session", sessions)
    monkeypatch.setenv("AIRFLOW__CORE__TEST_CONNECTION", "Enabled")
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    yield Airflow(engine)
    sessions.remove()
    engine.dispose()


@pytest.fixture
def service() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def foreign(service: Emulator) -> Iterator[Eavesdropper]:
    with Eavesdropper(service.certificates.ca_pem) as eavesdropper:
        yield eavesdropper


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    from airflow import configuration

    monkeypatch.setattr(Vault, "held", {})
    monkeypatch.setattr(configuration, "secrets_backend_list", [Vault(), *configuration.secrets_backend_list])
    assert len(configuration.secrets_backend_list) == 3
    return Vault.held


def shown(connection: dict[str, Any]) -> dict[str, Any]:
    """What the REST API shows of a connection, and the button sends back."""
    secret = {"private_key", "private_key_passphrase", "secret_key", "proxy"}
    extra = {name: "***" if name in secret else value for name, value in connection["extra"].items()}
    return {**connection, "extra": extra} | ({"password": "***"} if connection.get("password") else {})


def id_of_a_test() -> str:
    """The id that Airflow gives a connection for the time of a test."""
    return str(get_random_string())  # type: ignore[no-untyped-call]  # Airflow's


Change = Callable[[dict[str, Any], Eavesdropper], dict[str, Any]]


def with_extra(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    extra = {name: value for name, value in {**body["extra"], **changes}.items() if value is not None}
    return {**body, "extra": extra}


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


REROUTED: dict[str, tuple[Change, str]] = {
    "a proxy and its CA": (lambda b, f: with_extra(b, proxy=f.proxy, ca_cert=f.ca_pem), "proxy"),
    "a proxy alone": (lambda b, f: with_extra(b, proxy=f.proxy), "proxy"),
    "a CA alone": (lambda b, f: with_extra(b, ca_cert=f.ca_pem), "ca_cert"),
    "the system's CAs": (lambda b, f: with_extra(b, ca_cert=None), "ca_cert"),
    "a password left out": (
        lambda b, f: without(with_extra(b, proxy=f.proxy, ca_cert=f.ca_pem), "password"),
        "proxy",
    ),
    "host and port left out": (
        lambda b, f: without(with_extra(b, proxy=f.proxy, ca_cert=f.ca_pem), "host", "port"),
        "proxy",
    ),
    "an identifier of one's own": (
        lambda b, f: with_extra({**b, "login": "mallory"}, proxy=f.proxy, ca_cert=f.ca_pem),
        "proxy",
    ),
    "a UserSig of one's own beside the stored key": (
        lambda b, f: with_extra({**b, "password": "mine"}, proxy=f.proxy, ca_cert=f.ca_pem, secret_key=None),
        "proxy",
    ),
    "an SDKAppID written as text, which makes Airflow read each extra as JSON": (
        lambda b, f: with_extra(b, proxy=f.proxy, ca_cert=f.ca_pem, sdkappid="1400000001"),
        "proxy",
    ),
}


def assert_refused(answer: tuple[bool, str], name: str) -> None:
    ok, message = answer
    assert not ok
    assert message.startswith(f"Connection: not tested: {name}: "), message
    assert message.endswith("so nothing was sent: save the connection first, then test it.")


@pytest.mark.parametrize("sign", [False, True], ids=["downloaded UserSig", "signed UserSig"])
@pytest.mark.parametrize(("change", "name"), REROUTED.values(), ids=REROUTED.keys())
def test_stored_secret_takes_no_other_route(
    change: Change, name: str, sign: bool, airflow_api: Airflow, service: Emulator, foreign: Eavesdropper
) -> None:
    saved = airflow_api.save("timav_studio", service.connection(sign=sign))
    assert_refused(airflow_api.press("timav_studio", change(shown(saved), foreign)), name)
    assert foreign.got == (0, 0, b"")
    assert service.connections == 0


def test_the_probe_would_hear_it(airflow_api: Airflow, service: Emulator, foreign: Eavesdropper) -> None:
    """A proxy that breaks TLS open may be a company's own: a saved connection goes through it."""
    saved = service.connection(proxy=foreign.proxy, ca_cert=foreign.ca_pem)
    airflow_api.save("timav_studio", saved)
    assert not airflow_api.press("timav_studio", shown(saved))[0]
    assert foreign.callers
    assert foreign.certificates
    assert b"usersig=" in foreign.heard


@pytest.mark.parametrize("drop", ["proxy", "ca_cert"])
def test_stored_route_is_not_shortened(
    drop: str, airflow_api: Airflow, service: Emulator, foreign: Eavesdropper
) -> None:
    saved = airflow_api.save("x_y", service.connection(proxy="http://user:pr0xypass@127.0.0.1:1"))
    assert_refused(airflow_api.press("x_y", with_extra(shown(saved), **{drop: None})), drop)
    assert_refused(airflow_api.press("x_y", with_extra(shown(saved), proxy=foreign.proxy)), "proxy")
    assert (foreign.got, service.connections) == ((0, 0, b""), 0)


def test_environment_is_part_of_the_route(airflow_api: Airflow, service: Emulator) -> None:
    saved = {**service.connection(ca_cert=None, environment="production"), "host": None, "port": 443}
    airflow_api.save("x_y", saved)
    assert_refused(airflow_api.press("x_y", with_extra(shown(saved), environment="test")), "environment")


@pytest.mark.parametrize(
    "other",
    [
        {"conn_type": "postgres", "password": "hunter2hunter2"},
        {"conn_type": "ssh", "extra": json.dumps({"private_key": Certificates().client_key_pem})},
        {"conn_type": "ssh", "extra": json.dumps({"private_key": in_base64(Certificates().client_key_pem)})},
    ],
    ids=["a password", "a private key", "a private key in base64"],
)
def test_secret_of_another_type_is_not_taken(
    other: dict[str, Any], airflow_api: Airflow, service: Emulator, foreign: Eavesdropper
) -> None:
    airflow_api.save("warehouse", {"host": "DB.example.org", "port": 5432, "login": "etl", **other})
    body = with_extra(shown(service.connection()), proxy=foreign.proxy, ca_cert=foreign.ca_pem)
    body |= {"host": "DB.example.org", "port": 5432, "password": "***" if "password" in other else "mine"}
    typed = service.certificates.client_key_pem
    for key in ("***", typed) if "password" in other else ("***",):
        assert_refused(airflow_api.press("warehouse", with_extra(body, private_key=key)), "host")
    assert foreign.got == (0, 0, b"")


OTHERS_SECRETS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "password": ({"password": "hunter2hunter2"}, {}),
    "secret key": ({"extra": {"secret_key": "hunter2hunter2"}}, {"secret_key": "***"}),
    "number for a secret key": ({"extra": {"secret_key": 1234567890}}, {"secret_key": "***"}),
    "passphrase": ({"extra": {"private_key_passphrase": "hunter2hunter2"}}, {"private_key_passphrase": "***"}),
    "proxy": ({"extra": {"proxy": "http://u:hunter2hunter2@127.0.0.1:1"}}, {"proxy": "***"}),
    "password of a proxy, typed": (
        {"extra": {"proxies": [{"password": "hunter2 hunter2"}]}},
        {"proxy": "http://u:hunter2%20hunter2@127.0.0.1:1"},
    ),
}


class TestOtherTypes:
    """Airflow's own default connections have neither host nor port, and the vendor's hosts need none either."""

    @pytest.fixture
    def heard_by(self, service: Emulator, foreign: Eavesdropper) -> dict[str, Any]:
        """Typed by a person: it leads to one of the vendor's hosts, through a proxy that hears what is sent."""
        typed = service.connection(proxy=foreign.proxy, ca_cert=foreign.ca_pem, environment="test")
        return without(typed, "host", "port") | {"password": "a-UserSig-of-my-own"}

    def test_typed_secrets_are_tested_beside_them(
        self, airflow_api: Airflow, heard_by: dict[str, Any], foreign: Eavesdropper
    ) -> None:
        airflow_api.save("aws_default", {"conn_type": "aws", "password": "x" * 20, "extra": '{"region": "eu"}'})
        airflow_api.save("odd_default", {"conn_type": "generic", "extra": json.dumps({"verify": True, "a": [None, 1]})})
        airflow_api.press("timav_new", heard_by)
        assert b"a-UserSig-of-my-own" in foreign.heard

    def test_new_secret_for_a_saved_connection_is_tested_beside_them(
        self, airflow_api: Airflow, heard_by: dict[str, Any], foreign: Eavesdropper
    ) -> None:
        airflow_api.save("aws_default", {"conn_type": "aws", "password": "x" * 20})
        airflow_api.save("timav_studio", heard_by)
        airflow_api.press("timav_studio", {**shown(heard_by), "password": "a-newer-UserSig"})
        assert b"a-newer-UserSig" in foreign.heard

    @pytest.mark.parametrize("stored_in", ["the database", "the environment"])
    @pytest.mark.parametrize(("other", "extra"), OTHERS_SECRETS.values(), ids=OTHERS_SECRETS.keys())
    def test_each_of_their_secrets_is_kept(
        self,
        other: dict[str, Any],
        extra: dict[str, Any],
        stored_in: str,
        airflow_api: Airflow,
        heard_by: dict[str, Any],
        foreign: Eavesdropper,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        saved = {"conn_type": "generic", **other}
        if stored_in == "the database":
            airflow_api.save("warehouse", saved | ({"extra": json.dumps(other["extra"])} if "extra" in other else {}))
        else:
            monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(saved))
        body = without(heard_by, "password") if "password" in other else heard_by
        answer = airflow_api.press("warehouse", with_extra(body, **extra))
        assert_refused(answer, "host")
        assert "hunter2" not in answer[1]
        assert foreign.got == (0, 0, b"")

    def test_host_that_is_a_scheme_is_no_other_host(
        self, airflow_api: Airflow, heard_by: dict[str, Any], foreign: Eavesdropper
    ) -> None:
        """A test's address brings nothing back of it."""
        airflow_api.save("warehouse", {"conn_type": "generic", "host": "https://", "password": "hunter2hunter2"})
        body = without(heard_by, "password") | {"host": "https://"}
        assert_refused(airflow_api.press("warehouse", body), "host")
        assert foreign.got == (0, 0, b"")

    @pytest.mark.parametrize(
        "damage",
        [
            "update connection set password = 'gAAAAA', is_encrypted = 1",
            "update connection set extra = 'gAAAAA', is_extra_encrypted = 1",
        ],
        ids=["password", "extra"],
    )
    def test_one_that_cannot_be_deciphered_may_hold_anything(
        self, damage: str, airflow_api: Airflow, heard_by: dict[str, Any], foreign: Eavesdropper
    ) -> None:
        airflow_api.save("aws_default", {"conn_type": "aws"})
        with airflow_api.engine.begin() as connection:
            connection.execute(text(damage))
        answer = airflow_api.press("timav_new", heard_by)
        assert_refused(answer, "host")
        assert "cannot be read" in answer[1]
        assert foreign.got == (0, 0, b"")

    def test_those_at_other_hosts_are_not_read(self, airflow_api: Airflow, service: Emulator) -> None:
        """Airflow's masker takes a while for each that is."""
        airflow_api.save("warehouse", {"conn_type": "postgres", "host": "db", "password": "hunter2hunter2"})
        saved = airflow_api.save("timav_studio", service.connection())
        read: list[str] = []

        def note(connection: Connection, context: Any) -> None:
            read.append(connection.conn_id)

        event.listen(Connection, "load", note)
        try:
            assert airflow_api.press("timav_new", saved)[0]
        finally:
            event.remove(Connection, "load", note)
        assert read == ["timav_studio"]


@pytest.mark.parametrize("name", ["AIRFLOW_CONN_STUDIO", "AIRFLOW_CONN_TIMAV_STUDIO", "AIRFLOW_CONN__TEAM___STUDIO"])
@pytest.mark.parametrize("as_address", [False, True], ids=["JSON", "address"])
def test_connection_of_the_environment_is_a_stored_one(
    name: str,
    as_address: bool,
    airflow_api: Airflow,
    service: Emulator,
    foreign: Eavesdropper,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saved = service.connection()
    written = Connection(conn_id="x", **saved).get_uri() if as_address else json.dumps(saved)
    monkeypatch.setenv(name, written)
    conn_id = name.removeprefix("AIRFLOW_CONN_").lower()
    assert_refused(
        airflow_api.press(conn_id, with_extra(shown(saved), proxy=foreign.proxy, ca_cert=foreign.ca_pem)), "proxy"
    )
    assert foreign.got == (0, 0, b"")
    assert airflow_api.press(conn_id, shown(saved))[0]


class TestSecretsBackend:
    """It gives a connection by its name only, and the name is not known here."""

    @pytest.mark.parametrize("sign", [False, True], ids=["downloaded UserSig", "signed UserSig"])
    def test_stored_secret_takes_no_other_route(
        self, sign: bool, airflow_api: Airflow, service: Emulator, foreign: Eavesdropper, vault: dict[str, Any]
    ) -> None:
        vault["secret_studio"] = saved = service.connection(sign=sign)
        for change in (
            {"proxy": foreign.proxy, "ca_cert": foreign.ca_pem},
            {"proxy": foreign.proxy},
            {"ca_cert": foreign.ca_pem},
        ):
            ok, message = airflow_api.press("secret_studio", with_extra(shown(saved), **change))
            assert not ok
            assert "a secrets backend may hold the connection" in message
        assert (foreign.got, service.connections) == ((0, 0, b""), 0)

    def test_known_id_is_asked_for(self, airflow_api: Airflow, service: Emulator, vault: dict[str, Any]) -> None:
        """The default one, and those that the database has, too: the list of connections shows these."""
        vault["timav_default"] = vault["timav_studio"] = saved = service.connection()
        airflow_api.save("timav_studio", {**saved, "password": "an-older-one"})
        for conn_id in ("timav_default", "timav_studio"):
            ok, message = airflow_api.press(conn_id, shown(saved))
            assert ok, message

    def test_saved_connection_beside_it_is_tested(
        self, airflow_api: Airflow, service: Emulator, vault: dict[str, Any]
    ) -> None:
        saved = airflow_api.save("timav_studio", service.connection())
        ok, message = airflow_api.press("timav_studio", shown(saved))
        assert ok, message


def test_another_test_that_runs_now_is_no_stored_connection(
    airflow_api: Airflow, service: Emulator, foreign: Eavesdropper, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = airflow_api.save("timav_studio", service.connection())
    rerouted = with_extra(saved, proxy=foreign.proxy, ca_cert=foreign.ca_pem)
    monkeypatch.setenv(f"AIRFLOW_CONN_{id_of_a_test().upper()}", json.dumps(rerouted))
    assert_refused(airflow_api.press("timav_studio", shown(rerouted) | {"extra": rerouted["extra"]}), "proxy")
    monkeypatch.undo()
    assert foreign.got == (0, 0, b"")


class TestTypedIn:
    """Credentials that the person knows are tested wherever that person likes."""

    @pytest.mark.parametrize("sign", [False, True], ids=["downloaded UserSig", "signed UserSig"])
    def test_new_connection_is_tested(self, sign: bool, airflow_api: Airflow, service: Emulator) -> None:
        ok, message = airflow_api.press("timav_new", service.connection(sign=sign))
        assert ok, message

    def test_other_credentials_may_take_another_route_to_the_same_host(
        self, airflow_api: Airflow, service: Emulator, foreign: Eavesdropper
    ) -> None:
        airflow_api.save("timav_studio", service.connection())
        certificate, key = service.certificates.issue_client()
        typed = service.connection(
            client_cert=certificate, private_key=key, proxy=foreign.proxy, ca_cert=foreign.ca_pem
        )
        airflow_api.press("timav_new", {**typed, "password": "a-UserSig-of-my-own"})
        assert b"a-UserSig-of-my-own" in foreign.heard

    def test_the_stored_ones_typed_again_may_be_sent_to_another_port(
        self, airflow_api: Airflow, service: Emulator
    ) -> None:
        saved = airflow_api.save("timav_studio", service.connection())
        ok, message = airflow_api.press("timav_new", {**saved, "port": 1})
        assert not ok
        assert ":1: the service was not reached" in message

    def test_airflow_merges_nothing_for_another_host(
        self, airflow_api: Airflow, service: Emulator, foreign: Eavesdropper
    ) -> None:
        """What the rules here rest on."""
        saved = airflow_api.save("timav_studio", service.connection())
        for change in ({"port": foreign.port}, {"host": "https://localhost"}):
            with pytest.raises(HTTPException, match="host or port to test differs"):
                airflow_api.press("timav_studio", {**shown(saved), **change})


class TestSaved:
    @pytest.mark.parametrize("sign", [False, True], ids=["downloaded UserSig", "signed UserSig"])
    def test_it_is_tested_beside_others_that_share_its_secrets(
        self, sign: bool, airflow_api: Airflow, service: Emulator, foreign: Eavesdropper
    ) -> None:
        airflow_api.save("timav_proxied", service.connection(sign=sign, proxy=foreign.proxy, ca_cert=foreign.ca_pem))
        airflow_api.save("no_host", {"conn_type": "aws", "password": "x" * 20})
        saved = airflow_api.save("timav_studio", service.connection(sign=sign))
        ok, message = airflow_api.press("timav_studio", shown(saved))
        assert ok, message
        assert foreign.got == (0, 0, b"")

    def test_ca_in_a_file_is_its_route(self, airflow_api: Airflow, service: Emulator, tmp_path: Path) -> None:
        (tmp_path / "ca.pem").write_text(service.certificates.ca_pem)
        saved = airflow_api.save("timav_studio", service.connection(ca_cert=str(tmp_path / "ca.pem")))
        ok, message = airflow_api.press("timav_studio", shown(saved))
        assert ok, message

    def test_row_that_cannot_be_deciphered_is_in_no_ones_way(self, airflow_api: Airflow, service: Emulator) -> None:
        airflow_api.save("timav_old", service.connection())
        with airflow_api.engine.begin() as connection:
            connection.execute(text("update connection set password = 'gAAAAA', is_encrypted = 1"))
        saved = airflow_api.save("timav_studio", service.connection())
        ok, message = airflow_api.press("timav_studio", shown(saved))
        assert ok, message


class TestKeyInAFile:
    """A path is no key that the person knows."""

    @pytest.fixture
    def files(self, service: Emulator, tmp_path: Path) -> dict[str, Any]:
        (tmp_path / "client.pem").write_text(service.certificates.client_cert_pem)
        (tmp_path / "client.key").write_text(service.certificates.client_key_pem)
        return {"client_cert": str(tmp_path / "client.pem"), "private_key": str(tmp_path / "client.key")}

    @pytest.mark.parametrize("kept", ["as a path", "as text"])
    @pytest.mark.parametrize("path", ["{}/client.key", "{}/./client.key", "{}/../{name}/client.key"])
    def test_it_goes_to_no_host_of_ones_own(
        self,
        kept: str,
        path: str,
        files: dict[str, Any],
        airflow_api: Airflow,
        service: Emulator,
        foreign: Eavesdropper,
        tmp_path: Path,
    ) -> None:
        airflow_api.save("timav_studio", service.connection(**(files if kept == "as a path" else {})))
        named = files | {"private_key": path.format(tmp_path, name=tmp_path.name)}
        mine = service.connection(ca_cert=foreign.ca_pem, **named) | {"port": foreign.port, "password": "mine"}
        assert_refused(airflow_api.press("timav_new", mine), "host")
        assert foreign.got == (0, 0, b"")

    def test_saved_connection_uses_it(self, files: dict[str, Any], airflow_api: Airflow, service: Emulator) -> None:
        saved = airflow_api.save("timav_studio", service.connection(**files))
        ok, message = airflow_api.press("timav_studio", shown(saved))
        assert ok, message

    def test_on_a_worker_it_goes_to_the_vendors_hosts_only(
        self, files: dict[str, Any], service: Emulator, foreign: Eavesdropper
    ) -> None:
        """`connections/enqueue-test`: a worker gets the fields as they were sent, and sees nothing that is stored."""
        mine = service.connection(ca_cert=foreign.ca_pem, **files) | {"port": foreign.port}
        ok, message = SdkConnection(conn_id="timav_x", **mine | {"extra": json.dumps(mine["extra"])}).test_connection()
        assert not ok
        assert message.startswith("Connection: not tested: private_key: a test on a worker"), message
        assert foreign.got == (0, 0, b"")

    def test_on_a_worker_typed_text_is_tested(self, service: Emulator) -> None:
        typed = service.connection()
        typed["extra"] = json.dumps(typed["extra"])
        ok, message = SdkConnection(conn_id="timav_x", **typed).test_connection()
        assert ok, message


def test_unreadable_database_lets_no_secret_take_a_detour(
    airflow_api: Airflow, service: Emulator, foreign: Eavesdropper, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = airflow_api.save("timav_studio", service.connection())

    def fail(tested: Any) -> Any:
        raise RuntimeError("no database")

    monkeypatch.setattr(stored, "_in_database", fail)
    body = with_extra(shown(saved), proxy=foreign.proxy, ca_cert=foreign.ca_pem)
    assert_refused(airflow_api.press("timav_studio", body), "proxy")
    assert foreign.got == (0, 0, b"")
    straight = with_extra(service.connection(ca_cert=None))
    assert "not trusted" in airflow_api.press("timav_new", straight)[1]


def test_ids_of_airflows_tests_have_the_form_that_is_looked_for() -> None:
    """Under an id of another form a connection would pass for a stored one."""
    assert all(stored._OF_A_TEST.fullmatch(id_of_a_test()) for _ in range(100))


@pytest.mark.parametrize(
    "pack",
    [
        in_base64,
        lambda pem: pem.replace("\n", "\\n"),
        lambda pem: pem.replace("\n", "\\\\n"),
        lambda pem: pem.replace("\n", " "),
    ],
    ids=["base64", "escaped", "escaped twice", "one line"],
)
def test_packed_pem_is_the_same_secret_and_the_same_route(pack: Callable[[str], str]) -> None:
    certificates = Certificates()

    def fields(pack: Callable[[str], str]) -> stored._Fields:
        extra = {"private_key": pack(certificates.client_key_pem), "ca_cert": pack(certificates.ca_pem)}
        return stored._Fields.of(SdkConnection(conn_id="x", conn_type="timav", extra=json.dumps(extra)))

    packed, plain = fields(pack), fields(str)
    assert packed.secrets == plain.secrets
    assert packed.differences(plain) == []
    assert not packed.key_is_a_file
