"""The hook: what it takes from a connection, what it refuses before anything is sent, and what it shows."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from airflow.sdk import Connection
from airflow.sdk._shared.secrets_masker import SecretsMasker
from airflow.sdk.exceptions import AirflowNotFoundException
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.emulator.certificates import Certificates
from airflow_provider_timav.hooks.connection import read_extra
from airflow_provider_timav.hooks.timav import Settings, TimAVHook
from airflow_provider_timav.videorelay import calls
from airflow_provider_timav.videorelay.aclient import AsyncClient
from airflow_provider_timav.videorelay.errors import CertificateError, ConfigurationError, RoomNotReady, TimAVError


def connect(monkeypatch: pytest.MonkeyPatch, connection: dict[str, Any]) -> TimAVHook:
    monkeypatch.setenv("AIRFLOW_CONN_TIMAV_DEFAULT", json.dumps(connection))
    return TimAVHook()


def settings_of(connection: dict[str, Any]) -> Settings:
    return Settings.of(Connection(**connection | {"conn_id": "x", "extra": json.dumps(connection["extra"])}))


def without(connection: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in connection.items() if key != name}


FOREIGN = Certificates()
NOW = datetime.now(UTC)
EXPIRED = FOREIGN.issue_client(not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=1))

BAD: dict[str, tuple[Any, str]] = {
    "no sdkappid": (lambda e: e.connection(sdkappid=None), "sdkappid"),
    "sdkappid 0": (lambda e: e.connection(sdkappid=0), "sdkappid"),
    "sdkappid true": (lambda e: e.connection(sdkappid=True), "sdkappid"),
    "sdkappid no number": (lambda e: e.connection(sdkappid="14x"), "sdkappid"),
    "bad PEM": (lambda e: e.connection(client_cert="hello"), "client_cert"),
    "no certificate": (lambda e: e.connection(client_cert=None), "client_cert"),
    "no key": (lambda e: e.connection(private_key=None), "private_key"),
    "a number as key": (lambda e: e.connection(private_key=7), "private_key"),
    "key of another certificate": (lambda e: e.connection(private_key=FOREIGN.client_key_pem), "private_key"),
    "expired certificate": (lambda e: e.connection(client_cert=EXPIRED[0], private_key=EXPIRED[1]), "client_cert"),
    "bad CA": (lambda e: e.connection(ca_cert="-----BEGIN CERTIFICATE-----x-----END CERTIFICATE-----"), "ca_cert"),
    "unknown extra": (lambda e: e.connection(sdk_app_id=1), "sdk_app_id"),
    "usersig among the extras": (lambda e: e.connection(usersig="eJw"), "usersig"),
    "verify among the extras": (lambda e: e.connection(verify=False), "verify"),
    "wrong environment": (lambda e: {**e.connection(environment="staging"), "host": None}, "environment"),
    "proxy without a scheme": (lambda e: e.connection(proxy="localhost:8080"), "proxy"),
    "https proxy": (lambda e: e.connection(proxy="https://localhost:8080"), "proxy"),
    "proxy with a bad port": (lambda e: e.connection(proxy="http://localhost:x"), "proxy"),
    "no identifier": (lambda e: without(e.connection(), "login"), "login"),
    "neither UserSig nor secret key": (lambda e: without(e.connection(), "password"), "password"),
    "blank identifier": (lambda e: {**e.connection(), "login": " "}, "login"),
    "blank UserSig": (lambda e: {**e.connection(), "password": "\n"}, "password"),
    "blank secret key": (lambda e: {**without(e.connection(secret_key=" "), "password")}, "password"),
    "host with a full-width colon": (lambda e: {**e.connection(), "host": "openapi.tim.qq.com：443"}, "host"),
    "host with half a bracket": (lambda e: {**e.connection(), "host": "https://[abc"}, "host"),
    "http": (lambda e: {**e.connection(), "host": "http://127.0.0.1"}, "host"),
    "extra is a list": (lambda e: {**e.connection(), "extra": "[1]"}, "extra"),
    "extra is no JSON": (lambda e: {**e.connection(), "extra": "{"}, "extra"),
}


@pytest.mark.parametrize(("make", "field"), BAD.values(), ids=BAD.keys())
def test_bad_connection_is_refused_before_anything_is_sent(
    make: Any, field: str, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = connect(monkeypatch, make(timav_emulator))
    with pytest.raises((ConfigurationError, CertificateError), match=field) as refused:
        hook.stop_push(room_id=1, user_id="a")
    assert refused.value.field == field
    assert hook.test_connection()[0] is False
    assert (timav_emulator.connections, timav_emulator.journal) == (0, ())


def test_connection_that_airflow_cannot_read_is_told_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(conn_id: str) -> Any:
        raise ValueError("a whole connection: s3cret")

    hook = TimAVHook()
    monkeypatch.setattr(hook, "get_connection", unreadable)
    assert hook.test_connection() == (False, "Connection: not tested, because of an unexpected ValueError.")


def test_connection_that_is_not_there_is_airflows_to_tell() -> None:
    with pytest.raises(AirflowNotFoundException, match="isn't defined"):
        TimAVHook("nowhere").test_connection()


def test_form_saves_untouched_fields_as_null(timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    untouched = {"private_key_passphrase": None, "secret_key": "", "proxy": None}
    connection = timav_emulator.connection()
    connection["extra"] |= untouched
    assert connect(monkeypatch, connection).test_connection()[0]


def test_blanks_around_what_was_pasted_are_left_out(timav_emulator: Emulator) -> None:
    made = timav_emulator.connection(secret_key=" k3y\n")
    pasted = {**made, "login": " admin\n", "password": "\teJw ", "extra": json.dumps(made["extra"])}
    settings = Settings.of(Connection(conn_id="c", **pasted))
    assert (settings.identifier, settings.usersig, settings.secret_key) == ("admin", "eJw", "k3y")


def test_extra_that_is_no_json_is_refused_without_its_text() -> None:
    """The reader's error would hold all of it, and with it the private key."""
    for extra in ("{", "[" * 100_000):
        with pytest.raises(ConfigurationError, match="extra is not JSON") as refused:
            read_extra(extra)
        assert (refused.value.__cause__, refused.value.__context__) == (None, None)


def test_sdkappid_may_be_text(timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = connect(monkeypatch, timav_emulator.connection(sdkappid=str(timav_emulator.sdkappid)))
    assert hook.test_connection()[0]


@pytest.mark.parametrize("sign", [False, True], ids=["downloaded UserSig", "signed UserSig"])
def test_all_five_operations_reach_the_service(
    sign: bool, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    who: dict[str, Any] = {"room_id": timav_emulator.room_id, "user_id": timav_emulator.user_id}
    with connect(monkeypatch, timav_emulator.connection(sign=sign)) as hook:
        started = hook.start_push(**who, live_code="hls+rtmp", rate_types=["original", "hd"])
        assert (started.outcome, len(started.live_urls)) == ("started", 4)
        assert started.hls_url
        assert started.rtmp_url
        assert hook.start_record(**who, file_name="news").file_name == "news"
        stopped = hook.stop_record(**who)
        assert list(stopped.file_ids) == timav_emulator.file_ids("news")
        assert stopped.file_ids_status == "complete"
        assert hook.stop_push(**who).outcome == "stopped"
        assert hook.stop_push(**who).outcome == "already_stopped"
        assert hook.kick_members(room_id=who["room_id"], user_ids=[who["user_id"]]).outcome == "requested"
        with pytest.raises(RoomNotReady):
            hook.start_push(**who)
    assert not timav_emulator.pushes
    assert not timav_emulator.recordings


def test_checked_call_can_be_sent_again_within_limits(timav_emulator: Emulator) -> None:
    stop = calls.stop_push(room_id=timav_emulator.room_id, user_id=timav_emulator.user_id)
    timav_emulator.fail_next(1, status=503)
    with TimAVHook() as hook:
        with pytest.raises(TimAVError, match="HTTP 503"):
            hook.call(stop, max_posts=1, seconds=5.0)
        assert len(timav_emulator.journal) == 1
        assert hook.call(stop).outcome == "already_stopped"


def test_second_call_makes_no_handshake_no_look_up_and_no_context(
    timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = []
    look_up = TimAVHook.get_connection

    def counted(conn_id: str) -> Any:
        looked_up.append(conn_id)
        return look_up(conn_id)

    monkeypatch.setattr(TimAVHook, "get_connection", staticmethod(counted))
    with TimAVHook() as hook:
        for _ in range(5):
            hook.stop_push(room_id=timav_emulator.room_id, user_id="a")
    assert (timav_emulator.handshakes, looked_up) == (1, ["timav_default"])


class TestTestConnection:
    """What the Test button says, in one line."""

    @pytest.mark.parametrize("sign", [False, True], ids=["downloaded UserSig", "signed UserSig"])
    def test_good(self, sign: bool, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        ok, message = connect(monkeypatch, timav_emulator.connection(sign=sign)).test_connection()
        assert ok
        credential = "secret key" if sign else "UserSig"
        assert re.fullmatch(
            rf"Host {timav_emulator.api_url}: reached. Certificate: accepted, \d+ days left. "
            rf"Credential \({credential}\): accepted.",
            message,
        )

    def test_it_changes_nothing(self, timav_emulator: Emulator) -> None:
        TimAVHook().test_connection()
        assert [entry.executed for entry in timav_emulator.journal] == [False]

    def test_refused_certificate(self, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        cert, key = FOREIGN.issue_client()
        ok, message = connect(
            monkeypatch, timav_emulator.connection(client_cert=cert, private_key=key)
        ).test_connection()
        assert not ok
        assert message.startswith(
            f"Host {timav_emulator.api_url}: reached. Certificate: refused: the server refused the client certificate"
        )

    def test_refused_server(self, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        ok, message = connect(monkeypatch, timav_emulator.connection(ca_cert=FOREIGN.ca_pem)).test_connection()
        assert not ok
        assert "not trusted: the server's certificate is refused" in message

    def test_refused_credential(self, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        ok, message = connect(monkeypatch, {**timav_emulator.connection(), "password": "eJw*secret"}).test_connection()
        assert not ok
        assert "days left. Credential (UserSig): refused: UserSig cannot be parsed" in message

    def test_nothing_listens(self, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        timav_emulator.stop()
        ok, message = TimAVHook().test_connection()
        assert not ok
        assert "not reached" in message
        assert "Connection refused" in message

    def test_code_of_the_body_proves_certificate_and_credential(self, timav_emulator: Emulator) -> None:
        timav_emulator.fail_next(code=1001)
        assert TimAVHook().test_connection()[0]


def secrets_of(connection: dict[str, Any]) -> list[str]:
    extra = connection["extra"]
    key_lines = [line for line in extra["private_key"].splitlines() if "-----" not in line]
    return [
        connection.get("password", ""),
        extra.get("secret_key", ""),
        extra.get("private_key_passphrase", ""),
        *key_lines,
    ]


@pytest.mark.parametrize("sign", [False, True], ids=["downloaded UserSig", "signed UserSig"])
def test_hook_shows_no_credential(sign: bool, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    key = load_pem_private_key(timav_emulator.certificates.client_key_pem.encode(), None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"correct horse battery"))
    connection = timav_emulator.connection(
        sign=sign, private_key=encrypted.decode(), private_key_passphrase="correct horse battery"
    )
    with connect(monkeypatch, connection) as hook:
        hook.stop_push(room_id=1, user_id="a")
        client: Any = hook.get_conn()
        shown = " ".join(
            [repr(hook), str(hook), repr(vars(hook)), repr(client), repr(vars(client)), repr(hook.settings())]
        )
    for secret in filter(None, secrets_of(connection)):
        assert secret not in shown


def test_errors_and_logs_hold_no_credential(
    timav_emulator: Emulator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("urllib3").setLevel(logging.DEBUG)
    faults: list[dict[str, Any]] = [
        {"drop": "after"},
        {"reset": "after"},
        {"raw": b"HTTP/1.1 nonsense\r\n\r\n"},
        {"status": 500},
        {"code": 70003, "layer": "gateway"},
    ]
    shown = ""
    for fault in faults:
        timav_emulator.fail_next(3, **fault)
        with TimAVHook() as hook:
            hook.get_conn()._sleep = lambda seconds: None
            with pytest.raises(TimAVError) as failed:
                hook.start_push(
                    room_id=timav_emulator.room_id, user_id=timav_emulator.user_id, player_password="pa55word"
                )
        error: BaseException | None = failed.value
        while error is not None:
            shown += f"{error!s} {error!r} {vars(error)}"
            assert error.__cause__ is None
            error = error.__context__
        timav_emulator.clear_faults()
    # urllib3 logs each request's path, with its query, at DEBUG.
    ours = "".join(record.getMessage() for record in caplog.records)
    sig = timav_emulator.usersig
    for piece in (sig, sig.replace("*", "%2A"), "pa55word"):
        assert piece not in shown + ours
    assert "pa55word" not in shown


KEPT: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "stripped": str.strip,
    "with a dialog's line breaks": lambda pem: pem.replace("\n", "\r\n"),
    "with written line breaks": lambda pem: pem.replace("\n", "\\n"),
    "in one line": lambda pem: " ".join(pem.split("\n")),
    "in one line, with an empty one after it": lambda pem: " ".join(pem.split("\n")) + "\n\n",
    "without its first line break": lambda pem: pem.replace("\n", "", 1),
}
SHOWN: dict[str, Callable[[str], str]] = KEPT | {
    "as JSON": json.dumps,
    "as the repr of bytes": lambda pem: repr(pem.encode()),
    "line by line": lambda pem: repr(pem.splitlines()),
}


class TestMasks:
    """What Airflow is told to hide, in the texts in which it could stand; the masker is Airflow's."""

    @staticmethod
    def masked(text: str, connection: dict[str, Any]) -> str:
        masker = SecretsMasker()  # type: ignore[no-untyped-call]  # Airflow's
        masker.patterns = set()  # an attribute of the class otherwise
        masker.add_mask(settings_of(connection).secrets())
        return str(masker.redact(text))

    @pytest.mark.parametrize("quoted", [str, quote, quote_plus], ids=["raw", "quoted", "quoted for a form"])
    def test_usersig_is_hidden(self, quoted: Callable[[str], str], timav_emulator: Emulator) -> None:
        text = f"https://host/?usersig={quoted(timav_emulator.usersig)}&identifier=admin"
        assert self.masked(text, timav_emulator.connection()) == "https://host/?usersig=***&identifier=admin"

    @pytest.mark.parametrize("shown", SHOWN.values(), ids=SHOWN.keys())
    @pytest.mark.parametrize("kept", KEPT.values(), ids=KEPT.keys())
    def test_private_key_is_hidden_however_it_is_kept_and_shown(
        self, kept: Callable[[str], str], shown: Callable[[str], str], timav_emulator: Emulator
    ) -> None:
        given = kept(pem := timav_emulator.certificates.client_key_pem)
        text = self.masked(shown(given), timav_emulator.connection(private_key=given))
        secret = "".join(pem.splitlines()[1:-1])
        assert text.count("***") >= 1
        assert not [start for start in range(len(secret) - 11) if secret[start : start + 12] in text]

    def test_nothing_is_hidden_twice(self, timav_emulator: Emulator) -> None:
        """Each further mask costs every task: Airflow builds its expression anew with it, and so does the task's supervisor."""
        settings = settings_of(timav_emulator.connection())
        lines = [line for line in settings.private_key.splitlines() if "-----" not in line]
        sig = settings.usersig or ""
        assert sorted(map(str, settings.secrets())) == sorted({*lines, sig, quote(sig, safe="")})


class TestAsyncClient:
    """What a trigger gets: the same connection, the same checks, a client for its loop."""

    @pytest.mark.parametrize("sign", [False, True], ids=["downloaded UserSig", "signed UserSig"])
    def test_it_reaches_the_service(
        self, sign: bool, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hook = connect(monkeypatch, timav_emulator.connection(sign=sign))

        async def as_a_trigger() -> list[str]:
            settings = await asyncio.to_thread(hook.settings)
            who: dict[str, Any] = {"room_id": timav_emulator.room_id, "user_id": timav_emulator.user_id}
            async with await asyncio.to_thread(hook.async_client, settings) as client:
                started = await client.call(calls.start_push(**who))
                stopped = await client.call(calls.stop_push(**who))
                return [started.outcome, stopped.outcome]

        assert asyncio.run(as_a_trigger()) == ["started", "stopped"]

    def test_connection_is_looked_up_where_no_settings_are_given(self, timav_emulator: Emulator) -> None:
        async def call() -> Any:
            async with await asyncio.to_thread(TimAVHook().async_client) as client:
                return await client.call(calls.stop_push(room_id=timav_emulator.room_id, user_id="a"))

        assert asyncio.run(call()).outcome == "gone"

    @pytest.mark.parametrize(("make", "field"), BAD.values(), ids=BAD.keys())
    def test_bad_connection_is_refused_before_there_is_a_client(
        self, make: Any, field: str, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises((ConfigurationError, CertificateError), match=field) as refused:
            connect(monkeypatch, make(timav_emulator)).async_client()
        assert refused.value.field == field

    def test_both_clients_of_a_process_share_one_context(self, timav_emulator: Emulator) -> None:
        made: list[ssl.SSLContext] = []

        def watched(make: Callable[[], ssl.SSLContext]) -> Callable[[], ssl.SSLContext]:
            def context() -> ssl.SSLContext:
                made.append(make())
                return made[-1]

            return context

        call = calls.stop_push(room_id=timav_emulator.room_id, user_id="a")

        async def once(client: AsyncClient) -> None:
            async with client:
                await client.call(call)

        with TimAVHook() as hook:
            client = hook.get_conn()
            client._make_context = watched(client._make_context)
            client.call(call)
            for _ in range(3):
                asynchronous = hook.async_client()
                asynchronous._make_context = watched(asynchronous._make_context)
                asyncio.run(once(asynchronous))
            client.call(call)
        assert (len(made), len({id(context) for context in made})) == (4, 1)

    @pytest.mark.parametrize("sign", [False, True], ids=["downloaded UserSig", "signed UserSig"])
    def test_it_shows_no_credential(
        self, sign: bool, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = timav_emulator.connection(sign=sign, proxy="http://user:pr0xypass@127.0.0.1:1")
        client = connect(monkeypatch, connection).async_client()
        shown = f"{client!r} {client!s} {vars(client)}"
        for secret in filter(None, [*secrets_of(connection), "pr0xypass"]):
            assert secret not in shown


def test_proxy_for_readers_of_streams_shows_no_password(
    timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It becomes a variable of sensors and triggers."""
    proxy = connect(monkeypatch, timav_emulator.connection(proxy="http://user:pr0xypass@127.0.0.1:1")).proxy
    assert proxy == "http://user:pr0xypass@127.0.0.1:1"
    assert "pr0xypass" not in repr(proxy)
