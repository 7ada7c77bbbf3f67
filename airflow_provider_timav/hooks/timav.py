"""An Airflow connection of type ``timav`` → a client of the videorelay API.

Modules that need ``requests`` or pydantic are imported late: the connection form and DAG files import this module.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from airflow.sdk import BaseHook

from airflow_provider_timav.frames import without_variables
from airflow_provider_timav.hooks.connection import Settings, mask
from airflow_provider_timav.videorelay.errors import CertificateError, TimAVError
from airflow_provider_timav.videorelay.pem import ANYWHERE, is_text

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from datetime import datetime
    from typing import Unpack

    from airflow_provider_timav.videorelay.aclient import AsyncClient
    from airflow_provider_timav.videorelay.bodies import (
        RemoveMembersArguments,
        StartPushArguments,
        StartRecordArguments,
        StopPushArguments,
        StopRecordArguments,
    )
    from airflow_provider_timav.videorelay.calls import Call
    from airflow_provider_timav.videorelay.client import Client
    from airflow_provider_timav.videorelay.exchange import Service
    from airflow_provider_timav.videorelay.models import (
        KickMembersResult,
        StartPushResult,
        StartRecordResult,
        StopPushResult,
        StopRecordResult,
    )
    from airflow_provider_timav.videorelay.pem import Files
    from airflow_provider_timav.videorelay.tls import Identity

__all__ = ["Settings", "TimAVHook"]

log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

ROTATION_SECONDS: Final = 1.0
"""The wait for a pair of files that is just being replaced; a stop in a signal handler has little more time than that."""


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
        :raises AirflowNotFoundException: Airflow's own, if there is no such connection. Any other error of Airflow or a secrets
            backend passes as well: it is about no field of a connection, because none was read yet.
        """
        settings = Settings.of(self.get_connection(self.timav_conn_id))
        mask(settings)
        return settings

    @property
    def proxy(self) -> str | None:
        """The connection's proxy; it may hold a password. For readers of a stream, which need nothing else of it."""
        return self.settings().proxy

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
        """Return a second hook with connections of its own and the same settings, without a call to Airflow.

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

        The look-up of the connection blocks, and reading certificate and key takes milliseconds: call this in a thread
        (``await asyncio.to_thread(hook.async_client)``). The client itself never blocks the loop.

        :param settings: the result of ``settings``, if the caller has it; otherwise the connection is looked up.
        :raises ConfigurationError: see ``settings``.
        :raises CertificateError: see ``get_conn``.
        """
        from airflow_provider_timav.videorelay.aclient import AsyncClient

        settings = settings or self.settings()
        service, context = self._means(settings)
        return AsyncClient(service, context, proxy=settings.proxy)

    def _make_client(self, settings: Settings, files: Files = ANYWHERE, *, patient: bool = True) -> Client:
        from airflow_provider_timav.videorelay.client import Client

        service, context = self._means(settings, files, patient=patient)
        return Client(service, context, proxy=settings.proxy)

    def _means(
        self, settings: Settings, files: Files = ANYWHERE, *, patient: bool = True
    ) -> tuple[Service, Callable[[], ssl.SSLContext]]:
        """Return the parts of a client of either kind: the service, and the function that makes its context.

        :param patient: whether certificate and key are read once more after a moment if they are files that do not fit.
        """
        from airflow_provider_timav.videorelay.exchange import Service
        from airflow_provider_timav.videorelay.tls import trusted
        from airflow_provider_timav.videorelay.usersig import Credential, SignedUserSig, StaticUserSig

        ca_pem = trusted(settings.ca_cert, files)
        identity = self._identity = (_read_patiently if patient else _read_identity)(settings, files)
        credential: Credential
        if settings.secret_key:
            credential = SignedUserSig(settings.secret_key, sdkappid=settings.sdkappid, identifier=settings.identifier)
        else:
            credential = StaticUserSig(settings.usersig or "")
        service = Service(settings.endpoint, settings.sdkappid, settings.identifier, credential)

        def context() -> ssl.SSLContext:
            return identity.shared_context(ca_pem)

        return service, context

    @property
    def certificate_expires(self) -> datetime:
        """When the client certificate expires.

        :raises CertificateError: see ``get_conn``.
        """
        self.get_conn()
        assert self._identity is not None  # noqa: S101 - the client was made with it
        return self._identity.not_after

    @property
    def clock_skew(self) -> float | None:
        """The seconds by which this machine's clock is ahead of the service's, by its last answer; None before one."""
        return None if self._client is None else self._client.clock_skew

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
    def call(self, call: Call[ResultT], **limits: Any) -> ResultT:
        """Send an operation of ``videorelay.calls`` and return its result: the one way from operators to the service.

        :param call: what to send, checked; the same call can be sent again.
        :param limits: ``max_posts`` and ``seconds``, as ``Client.call`` takes them.
        :raises ConfigurationError: see ``settings``.
        :raises CertificateError: see ``get_conn``.
        :raises TimAVError: the failure that it came to; see ``videorelay.errors``.
        """
        return self.get_conn().call(call, **limits)

    @without_variables
    def start_push(self, **arguments: Unpack[StartPushArguments]) -> StartPushResult:
        """Start a push (specification, 0x6 with operation 1). The user must be in the room.

        :param arguments: those of ``StartPushOperator`` that go to the service: ``room_id``, ``user_id``, and optional ones.
        :raises ConfigurationError: naming the argument that breaks a rule, before anything is sent.
        :raises AlreadyRunning: if a push of this room, user and kind of data runs; its URLs are not in that answer.
        :raises TimAVError: see ``videorelay.errors``.
        """
        from airflow_provider_timav.videorelay import calls

        return self.call(calls.start_push(**arguments))

    def stop_push(self, **arguments: Unpack[StopPushArguments]) -> StopPushResult:
        """Stop a push (0x6 with operation 2). A push that is stopped or gone already is a result, no error.

        :param arguments: ``room_id``, ``user_id``, and ``sdk_type`` and ``push_data_type`` as at the start.
        :raises ConfigurationError: naming the argument that breaks a rule, before anything is sent.
        :raises TimAVError: see ``videorelay.errors``.
        """
        from airflow_provider_timav.videorelay import calls

        return self.call(calls.stop_push(**arguments))

    def start_record(self, **arguments: Unpack[StartRecordArguments]) -> StartRecordResult:
        """Start a recording (0x5 with operation 1). The user must be in the room.

        :param arguments: those of ``StartRecordOperator`` that go to the service: ``room_id``, ``user_id``, ``file_name``, and
            optional ones.
        :raises ConfigurationError: naming the argument that breaks a rule, before anything is sent.
        :raises AlreadyRunning: for 30000415, which means that a recording runs, or that the user does not exist.
        :raises TimAVError: see ``videorelay.errors``.
        """
        from airflow_provider_timav.videorelay import calls

        return self.call(calls.start_record(**arguments))

    def stop_record(self, **arguments: Unpack[StopRecordArguments]) -> StopRecordResult:
        """Stop a recording (0x5 with operation 2) and return its file ids. They come only once.

        :param arguments: ``room_id``, ``user_id``, and ``sdk_type`` and ``record_data_type`` as at the start.
        :raises ConfigurationError: naming the argument that breaks a rule, before anything is sent.
        :raises TimAVError: see ``videorelay.errors``.
        """
        from airflow_provider_timav.videorelay import calls

        return self.call(calls.stop_record(**arguments))

    def kick_members(self, **arguments: Unpack[RemoveMembersArguments]) -> KickMembersResult:
        """Request the removal of 1 to 10 members from a room (0x1). The service does not confirm that they are gone.

        :param arguments: ``room_id`` and ``user_ids``.
        :raises ConfigurationError: naming the argument that breaks a rule, before anything is sent.
        :raises TimAVError: see ``videorelay.errors``.
        """
        from airflow_provider_timav.videorelay import calls

        return self.call(calls.kick_members(**arguments))

    def test_connection(self) -> tuple[bool, str]:
        """Test whether certificate and credential are accepted, by a call that changes nothing: a stop of a push in room 0.

        Airflow's Test button calls this for a connection whose fields a person may have typed over. Stored
        secrets among them go to the place that their stored connection names (``hooks.stored``), or nothing is sent. Any code
        of the business body proves certificate and credential, because the gateway looks at them first.

        :returns: whether they are, and one line for a person: host, certificate (with the days it has left), credential, and
            what to do about the one that is wrong.
        """
        from airflow.sdk.exceptions import AirflowNotFoundException

        from airflow_provider_timav.hooks import diagnosis, stored
        from airflow_provider_timav.videorelay import calls

        try:
            connection = self.get_connection(self.timav_conn_id)
            self._settings = settings = Settings.of(connection)
            mask(settings)
            files = stored.key_files()
            stored.check(connection, settings, files)
            self._client = client = self._make_client(settings, files, patient=False)
            try:
                client.call(calls.stop_push(room_id=0, user_id="connection-test"), max_posts=1)
            except TimAVError as error:
                if error.layer != "body":
                    raise
        except TimAVError as error:
            return False, diagnosis.of_failure(error, self._settings, self._identity)
        except AirflowNotFoundException:
            raise  # Airflow says it, and needs to know
        except Exception as error:  # noqa: BLE001  # Airflow shows its text to the person, whatever may stand in it
            return False, f"Connection: not tested, because of an unexpected {type(error).__name__}."
        finally:
            self.close()
        return True, diagnosis.of_success(settings, self._identity)


def _read_patiently(settings: Settings, files: Files) -> Identity:
    """Read certificate and key; files that do not fit are read once more after a moment: one may be new, the other still old.

    :raises CertificateError: see ``TimAVHook.get_conn``.
    """
    unfit: CertificateError | None = None
    try:
        return _read_identity(settings, files)
    except CertificateError as error:
        unfit = error
    # Outside of the except clause: the error of the second reading has no context.
    if is_text(settings.client_cert) and is_text(settings.private_key):
        raise unfit
    log.warning("%s. Reading both files of the pair once more in %d s.", unfit.message, ROTATION_SECONDS)
    time.sleep(ROTATION_SECONDS)
    return _read_identity(settings, files)


def _read_identity(settings: Settings, files: Files) -> Identity:
    from airflow_provider_timav.videorelay.tls import Identity

    return Identity.load(
        client_cert=settings.client_cert,
        private_key=settings.private_key,
        passphrase=settings.private_key_passphrase,
        files=files,
    )
