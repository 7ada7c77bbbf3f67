"""An Airflow connection of type ``timav`` → a client of the videorelay API.

What needs ``requests`` or the models is imported where it is used: the connection form and DAG files import this module.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import BaseHook

from airflow_provider_timav.frames import HiddenText, without_variables
from airflow_provider_timav.videorelay.errors import ConfigurationError, TimAVError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from airflow.sdk import Connection
    from pydantic import JsonValue

    from airflow_provider_timav.videorelay.aclient import AsyncClient
    from airflow_provider_timav.videorelay.client import Client
    from airflow_provider_timav.videorelay.exchange import Service
    from airflow_provider_timav.videorelay.models import (
        KickMembersResult,
        StartPushResult,
        StartRecordResult,
        StopPushResult,
        StopRecordResult,
    )
    from airflow_provider_timav.videorelay.tls import Identity

__all__ = ["Settings", "TimAVHook"]

_EXTRAS: Final = (
    "sdkappid",
    "environment",
    "client_cert",
    "private_key",
    "private_key_passphrase",
    "ca_cert",
    "secret_key",
    "proxy",
)
SHORTEST_MASK: Final = 5
_ARMOUR: Final = re.compile(r"-----[^-]*-----")
# Names that somebody may think of; each gets an answer that says where the value belongs.
_MISPLACED: Final = {
    "usersig": "put the UserSig into password: Airflow hides a value by its field's name, and it would not hide this one",
    "verify": "there is no switch that turns verification off; name the CA to trust in ca_cert",
    "insecure": "there is no switch that turns verification off; name the CA to trust in ca_cert",
    "cert": "the client certificate is client_cert, its key private_key",
    "identifier": "put the identifier into login",
    "host": "the host is a field of the connection itself",
    "port": "the port is a field of the connection itself",
}


@dataclass(frozen=True)
class Settings:
    """The fields of a connection, each checked by itself. ``repr`` shows no credential."""

    endpoint: str
    sdkappid: int
    identifier: str
    usersig: str | None = field(repr=False)
    secret_key: str | None = field(repr=False)
    client_cert: str = field(repr=False)
    private_key: str = field(repr=False)
    private_key_passphrase: str | None = field(repr=False)
    ca_cert: str | None = field(repr=False)
    proxy: str | None = field(repr=False)

    @classmethod
    def of(cls, connection: Connection) -> Settings:
        """Read a connection.

        :raises ConfigurationError: naming the field that is missing, unknown or wrong; nothing was sent.
        """
        return _settings(connection.host, connection.port, connection.login, connection.password, connection.extra)

    def secrets(self) -> list[JsonValue]:
        """Return every form of a credential that a text could hold: raw, quoted in an address, a line of a PEM."""
        found: set[str] = set()
        for secret in (self.usersig, self.secret_key, self.private_key_passphrase, self.proxy):
            if secret:
                quoted = (
                    urllib.parse.quote(secret, safe=""),
                    urllib.parse.quote(secret),
                    urllib.parse.quote_plus(secret),
                )
                found.update((secret, secret.strip(), *quoted))
        if "-----BEGIN" in self.private_key:
            # Line by line: that hides the key in one piece, too, however its lines are joined; what has lost its line breaks is
            # one line. And nothing else: Airflow builds its expression anew for each of these, from all that it has to hide.
            lines = _ARMOUR.sub("\n", self.private_key.replace("\\r", "").replace("\\n", "\n")).splitlines()
            found.update(line.strip() for line in lines)
        # Airflow masks nothing shorter, and says so in each task's log: the last line of a PEM may be.
        return [*sorted(secret for secret in found if len(secret) >= SHORTEST_MASK)]


@functools.lru_cache(maxsize=8)
def _settings(
    host: str | None, port: int | None, login: str | None, password: str | None, extra_text: str | None
) -> Settings:
    """Return the settings of a connection with these fields; a process reads the same ones once."""
    from airflow_provider_timav.videorelay.exchange import endpoint

    extra = _extra(extra_text)
    # Whoever pastes takes blanks and line ends along.
    login, password = (login or "").strip(), (password or "").strip()
    if not login:
        raise ConfigurationError("login: the identifier (administrator account) is missing", field="login")
    secret_key = (_text(extra, "secret_key") or "").strip() or None
    if not password and not secret_key:
        raise ConfigurationError(
            "password: there is neither a UserSig (password) nor a secret key (extra secret_key)", field="password"
        )
    return Settings(
        endpoint=endpoint(host, port, _text(extra, "environment") or "production"),
        sdkappid=_sdkappid(extra.get("sdkappid")),
        identifier=login,
        usersig=password or None,
        secret_key=secret_key,
        client_cert=_required(extra, "client_cert"),
        private_key=_required(extra, "private_key"),
        private_key_passphrase=_text(extra, "private_key_passphrase"),
        ca_cert=_text(extra, "ca_cert"),
        proxy=_proxy(_text(extra, "proxy")),
    )


@functools.lru_cache(maxsize=8)
def mask(settings: Settings) -> None:
    """Have Airflow mask the secrets of these settings in the logs of this process and its supervisor, once."""
    from airflow.sdk.log import mask_secret

    mask_secret(settings.secrets())


def _extra(text: str | None) -> dict[str, Any]:
    extra: Any = None
    readable = False
    with contextlib.suppress(ValueError, RecursionError):
        extra, readable = json.loads(text) if text else {}, True
    if not readable:
        # Not where the reader's error would be its context: that one holds the whole text, and with it the private key.
        raise ConfigurationError("extra is not JSON", field="extra")
    if not isinstance(extra, dict):
        raise ConfigurationError("extra must be a JSON object", field="extra")
    # The connection form saves every field that was left alone, as null or as "".
    given = {name: value for name, value in extra.items() if value is not None and value != ""}
    for name in given:
        if name not in _EXTRAS:
            hint = _MISPLACED.get(name.lower(), f"known are {', '.join(_EXTRAS)}")
            raise ConfigurationError(f"extra {name} is not known: {hint}", field=name)
    return given


def _text(extra: Mapping[str, Any], name: str) -> str | None:
    value = extra.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{name} must be a text", field=name)
    return value


def _required(extra: Mapping[str, Any], name: str) -> str:
    value = _text(extra, name)
    if value is None:
        raise ConfigurationError(f"{name} is missing: the service asks for mutual TLS", field=name)
    return value


def _sdkappid(value: Any) -> int:
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value)
    if value is None:
        raise ConfigurationError("sdkappid is missing (the application's SDKAppID)", field="sdkappid")
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**32:
        raise ConfigurationError("sdkappid must be a whole number from 1 to 4294967295", field="sdkappid")
    return value


def _proxy(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        parts = urllib.parse.urlsplit(value.strip())
        usable = parts.scheme == "http" and parts.hostname and not parts.path.strip("/") and (parts.port or True)
    except ValueError:
        usable = False
    if not usable:
        # The value may hold a password: it is not shown.
        raise ConfigurationError("proxy must be http://[user:password@]host:port", field="proxy")
    return value.strip()


class TimAVHook(BaseHook):
    """Calls the videorelay API with the credentials of an Airflow connection.

    One hook resolves its connection once and keeps one client: one SSLContext, one pool of connections. A certificate, key or
    UserSig that was replaced in the connection counts from the next hook on.

    :param timav_conn_id: the id of a connection of type ``timav``.
    """

    conn_name_attr = "timav_conn_id"
    default_conn_name = "timav_default"
    conn_type = "timav"
    hook_name = "TIM AV"

    def __init__(self, timav_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.timav_conn_id = timav_conn_id
        self._settings: Settings | None = None
        self._client: Client | None = None
        self._identity: Identity | None = None

    def __repr__(self) -> str:
        return f"<TimAVHook {self.timav_conn_id}>"

    @without_variables
    def settings(self) -> Settings:
        """Look the connection up, read it, and have Airflow mask its secrets in logs.

        :raises ConfigurationError: naming the field of the connection that is missing, unknown or wrong.
        """
        settings = Settings.of(self.get_connection(self.timav_conn_id))
        mask(settings)
        return settings

    @property
    def proxy(self) -> str | None:
        """The connection's proxy; it may hold a password. For readers of a stream, which need nothing else of it."""
        proxy = self.settings().proxy
        return None if proxy is None else HiddenText(proxy)

    @without_variables
    def get_conn(self) -> Client:
        """Return the client, made at the first call.

        :raises ConfigurationError: see ``settings``.
        :raises CertificateError: naming ``client_cert``, ``private_key``, ``private_key_passphrase`` or ``ca_cert``: not
            readable, expired, or not made for each other. Nothing was sent.
        """
        if self._client is None:
            self._settings = self.settings()
            self._client = self._make_client(self._settings)
        return self._client

    @without_variables
    def another(self) -> TimAVHook:
        """Return a second hook with connections of its own and the same settings, without asking Airflow for anything.

        For signal handlers: the first hook may be in the middle of a call, and so may Airflow's channel to the supervisor.
        """
        twin = TimAVHook(self.timav_conn_id)
        if self._settings is not None:
            twin._settings = self._settings
            twin._client = twin._make_client(self._settings)
        return twin

    @without_variables
    def async_client(self, settings: Settings | None = None) -> AsyncClient:
        """Return a client for a trigger's loop, from the same settings and with the same trust; the trigger closes it.

        Looking the connection up blocks, and reading certificate and key takes milliseconds: call this in a thread
        (``await asyncio.to_thread(hook.async_client)``). The client itself never blocks the loop.

        :param settings: what ``settings`` returned, where the caller has it; otherwise the connection is looked up.
        :raises ConfigurationError: see ``settings``.
        :raises CertificateError: see ``get_conn``.
        """
        from airflow_provider_timav.videorelay.aclient import AsyncClient

        settings = settings or self.settings()
        service, context = self._means(settings)
        return AsyncClient(service, context, proxy=settings.proxy)

    def _make_client(self, settings: Settings) -> Client:
        from airflow_provider_timav.videorelay.client import Client

        service, context = self._means(settings)
        return Client(service, context, proxy=settings.proxy)

    def _means(self, settings: Settings) -> tuple[Service, Callable[[], ssl.SSLContext]]:
        """Return what a client of either kind is made of: where to call and as whom, and what makes its context."""
        from airflow_provider_timav.videorelay.exchange import Service
        from airflow_provider_timav.videorelay.tls import Identity, trusted
        from airflow_provider_timav.videorelay.usersig import Credential, SignedUserSig, StaticUserSig

        ca_pem = trusted(settings.ca_cert)
        identity = Identity.load(
            client_cert=settings.client_cert,
            private_key=settings.private_key,
            passphrase=settings.private_key_passphrase,
        )
        self._identity = identity
        credential: Credential
        if settings.secret_key:
            credential = SignedUserSig(settings.secret_key, sdkappid=settings.sdkappid, identifier=settings.identifier)
        else:
            credential = StaticUserSig(settings.usersig or "")
        service = Service(settings.endpoint, settings.sdkappid, settings.identifier, credential)

        def context() -> ssl.SSLContext:
            return identity.shared_context(ca_pem)

        return service, context

    def close(self) -> None:
        """Close the kept connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def __enter__(self) -> TimAVHook:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @without_variables
    def start_push(
        self,
        *,
        room_id: int | str,
        user_id: str,
        live_code: str | int = "hls",
        sdk_type: str | int = "normal",
        push_data_type: str | int = "camera",
        tape_flag: bool = False,
        channel_name: str | None = None,
        channel_describe: str | None = None,
        player_password: str | None = None,
        watermark_flag: bool | None = None,
        watermark_id: int | None = None,
        rate_types: Sequence[str | int] | str | None = None,
    ) -> StartPushResult:
        """Start a push (specification, 0x6 with operation 1). The user must be in the room.

        :raises ConfigurationError: naming the argument that breaks a rule, before anything is sent.
        :raises AlreadyRunning: if a push of this room, user and kind of data runs; its URLs are not in that answer.
        :raises TimAVError: see ``videorelay.errors``.
        """
        from airflow_provider_timav.videorelay import calls

        call = calls.start_push(
            room_id=room_id,
            user_id=user_id,
            live_code=live_code,
            sdk_type=sdk_type,
            push_data_type=push_data_type,
            tape_flag=tape_flag,
            channel_name=channel_name,
            channel_describe=channel_describe,
            player_password=player_password,
            watermark_flag=watermark_flag,
            watermark_id=watermark_id,
            rate_types=rate_types,
        )
        return self.get_conn().call(call)

    def stop_push(
        self,
        *,
        room_id: int | str,
        user_id: str,
        sdk_type: str | int = "normal",
        push_data_type: str | int = "camera",
    ) -> StopPushResult:
        """Stop a push (0x6 with operation 2). A push that is stopped or gone already is a result, no error.

        :raises ConfigurationError: naming the argument that breaks a rule, before anything is sent.
        :raises TimAVError: see ``videorelay.errors``.
        """
        from airflow_provider_timav.videorelay import calls

        call = calls.stop_push(room_id=room_id, user_id=user_id, sdk_type=sdk_type, push_data_type=push_data_type)
        return self.get_conn().call(call)

    def start_record(
        self,
        *,
        room_id: int | str,
        user_id: str,
        file_name: str,
        tags: Sequence[str] | str | None = None,
        class_id: int | None = None,
        transcode: bool | None = None,
        screenshot: bool | None = None,
        watermark: bool | None = None,
        sdk_type: str | int = "normal",
        record_data_type: str | int = "camera",
    ) -> StartRecordResult:
        """Start a recording (0x5 with operation 1). The user must be in the room.

        :raises ConfigurationError: naming the argument that breaks a rule, before anything is sent.
        :raises AlreadyRunning: for 30000415, which means that a recording runs, or that the user does not exist.
        :raises TimAVError: see ``videorelay.errors``.
        """
        from airflow_provider_timav.videorelay import calls

        call = calls.start_record(
            room_id=room_id,
            user_id=user_id,
            file_name=file_name,
            tags=tags,
            class_id=class_id,
            transcode=transcode,
            screenshot=screenshot,
            watermark=watermark,
            sdk_type=sdk_type,
            record_data_type=record_data_type,
        )
        return self.get_conn().call(call)

    def stop_record(
        self,
        *,
        room_id: int | str,
        user_id: str,
        sdk_type: str | int = "normal",
        record_data_type: str | int = "camera",
    ) -> StopRecordResult:
        """Stop a recording (0x5 with operation 2) and return its file ids. They come only once.

        :raises ConfigurationError: naming the argument that breaks a rule, before anything is sent.
        :raises TimAVError: see ``videorelay.errors``.
        """
        from airflow_provider_timav.videorelay import calls

        call = calls.stop_record(room_id=room_id, user_id=user_id, sdk_type=sdk_type, record_data_type=record_data_type)
        return self.get_conn().call(call)

    def kick_members(self, *, room_id: int | str, user_ids: Sequence[str] | str) -> KickMembersResult:
        """Ask for 1 to 10 members to be removed from a room (0x1). The service does not confirm that they are gone.

        :raises ConfigurationError: naming the argument that breaks a rule, before anything is sent.
        :raises TimAVError: see ``videorelay.errors``.
        """
        from airflow_provider_timav.videorelay import calls

        return self.get_conn().call(calls.kick_members(room_id=room_id, user_ids=user_ids))

    def test_connection(self) -> tuple[bool, str]:
        """Say whether certificate and credential are accepted, by a call that changes nothing: a stop of a push in room 0.

        Any code of the business body proves both, because the gateway looks at them first.

        :returns: whether they are, and one line for a person: host, certificate (with the days it has left), credential, and
            what to do about the one that is wrong.
        """
        from airflow_provider_timav.videorelay import calls

        try:
            client = self.get_conn()
            try:
                client.call(calls.stop_push(room_id=0, user_id="connection-test"), max_posts=1)
            except TimAVError as error:
                if error.layer != "body":
                    raise
        except TimAVError as error:
            return False, f"{self._what_is_wrong(error)}: {error.with_advice}"
        finally:
            self.close()
        return True, f"{self._so_far()} Credential ({self._credential()}): accepted."

    def _what_is_wrong(self, error: TimAVError) -> str:
        """Return which of host, certificate and credential it is, and what of them works."""
        host = "" if self._settings is None else f" {self._settings.endpoint}"
        match type(error).__name__:
            case "ConfigurationError":
                return "Connection: incomplete or wrong"
            case "CertificateError" if error.layer is None:
                return "Certificate: not usable"
            case "CertificateError" if error.field == "client_cert":
                return f"Host{host}: reached. Certificate: refused"
            case "CertificateError":
                return f"Host{host}: not trusted"
            case "CredentialError":
                return f"{self._so_far()} Credential ({self._credential()}): refused"
            case "TransportError":
                return f"Host{host}"  # the message says that it was not reached
            case "AmbiguousOutcome" | "ProtocolError":
                return f"Host{host}: gives no usable answer"
            case "RequestRejected":
                return f"{self._so_far()} Request: refused"
            case _:
                return f"Host{host}: asks to wait, or fails"

    def _so_far(self) -> str:
        """Return what is known to work once a result code of the service has come back."""
        host = "" if self._settings is None else f" {self._settings.endpoint}"
        days = "" if self._identity is None else f", {self._identity.days_left()} days left"
        return f"Host{host}: reached. Certificate: accepted{days}."

    def _credential(self) -> str:
        return "secret key" if self._settings is not None and self._settings.secret_key else "UserSig"
