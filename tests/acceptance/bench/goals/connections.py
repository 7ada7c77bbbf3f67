"""P2 and P4: what a second call makes anew, and whom a hook's context trusts. Counts, not times."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from unittest import mock

import certifi
from airflow.sdk import BaseHook

from airflow_provider_timav.emulator.certificates import Certificates
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.videorelay import tls
from airflow_provider_timav.videorelay.errors import CertificateError
from tests.acceptance.bench.report import Row
from tests.acceptance.bench.service import ServiceProcess
from tests.acceptance.bench.sides import ROOM_ID, connected

NEW_CONNECTIONS: Final = 10
# What libraries read: requests the first two, OpenSSL the third.
BUNDLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def rows(*, quick: bool) -> Iterator[Row]:
    """Count, against one server. A count is as quick as it is exact."""
    with ServiceProcess() as service, connected(service):
        yield _second_call(service)
        yield _trust(service)
        yield _foreign_authority(service)


def _call(hook: TimAVHook) -> None:
    hook.kick_members(room_id=ROOM_ID, user_ids=["nobody"])


@dataclass
class _Made:
    """What this process has looked up and made while it was watched."""

    contexts: list[ssl.SSLContext] = field(default_factory=list)
    look_ups: int = 0


@contextlib.contextmanager
def _watched() -> Iterator[_Made]:
    """Count at the sources, which no way to a context or a connection passes by."""
    made = _Made()
    new, get = ssl.SSLContext.__new__, BaseHook.get_connection

    def new_context(cls: type[ssl.SSLContext], *args: Any, **kwargs: Any) -> ssl.SSLContext:
        made.contexts.append(new(cls, *args, **kwargs))
        return made.contexts[-1]

    def get_connection(conn_id: str) -> Any:
        made.look_ups += 1
        return get(conn_id)

    with (
        mock.patch.object(ssl.SSLContext, "__new__", new_context),
        mock.patch.object(BaseHook, "get_connection", staticmethod(get_connection)),
    ):
        yield made


def _second_call(service: ServiceProcess) -> Row:
    counts = []
    with TimAVHook() as hook:
        for _ in range(2):
            before = service.handshakes()
            with _watched() as made:
                _call(hook)
            counts.append((service.handshakes() - before, made.look_ups, len(made.contexts)))
    first, second = (" / ".join(map(str, count)) for count in counts)
    return Row(
        goal_id="P2",
        what="second call: new handshakes / look-ups / contexts",
        measured=f"{second} (first call {first})",
        goal="0 / 0 / 0",
        # The first call shows that the counters count. (It may make a second context, to see whether a CA can be read.)
        met=counts[0][:2] == (1, 1) and counts[0][2] > 0 and counts[1] == (0, 0, 0),
        exact=True,
    )


def _trust(service: ServiceProcess) -> Row:
    configured = {ssl.PEM_cert_to_DER_cert(service.extra["ca_cert"])}
    environments: list[Mapping[str, str]] = [{}, *({name: certifi.where()} for name in BUNDLES)]
    trusted: set[bytes] = set()
    handshakes = service.handshakes()
    made_anew = 0
    for environment in environments:
        tls.forget_contexts()  # each environment has its say in a context of its own
        with mock.patch.dict(os.environ, environment), _watched() as made, TimAVHook() as hook:
            for _ in range(NEW_CONNECTIONS):
                _call(hook)
                hook.get_conn().forget_connections()
        made_anew += len(made.contexts)
        for context in made.contexts:
            trusted.update(context.get_ca_certs(binary_form=True))
    handshakes = service.handshakes() - handshakes
    return Row(
        goal_id="P4",
        what=f"CAs trusted after {NEW_CONNECTIONS} new connections, also with {BUNDLES[0]} etc. set",
        measured=f"{len(trusted)} of {len(configured)} configured ({handshakes} handshakes)",
        goal="those configured",
        met=trusted == configured
        and handshakes == NEW_CONNECTIONS * len(environments)
        and made_anew >= len(environments),
        exact=True,
    )


def _foreign_authority(service: ServiceProcess) -> Row:
    """A hook that trusts somebody else must refuse the server, though the environment names the server's own CA."""
    foreign = {**service.connection, "extra": {**service.extra, "ca_cert": Certificates().ca_pem}}
    with TemporaryDirectory() as folder:
        bundle = Path(folder, "ca.pem")
        bundle.write_text(service.extra["ca_cert"])
        said = []
        for name in BUNDLES:
            environment = {name: str(bundle), "AIRFLOW_CONN_TIMAV_DEFAULT": json.dumps(foreign)}
            with mock.patch.dict(os.environ, environment), TimAVHook() as hook:
                try:
                    _call(hook)
                except CertificateError as refused:
                    said.append(f"refused, {refused.field}")
                else:
                    said.append("accepted")
    return Row(
        goal_id="P4",
        what=f"server whose CA only {BUNDLES[0]} etc. names",
        measured="; ".join(sorted(set(said))),
        goal="refused, ca_cert",
        met=set(said) == {"refused, ca_cert"},
        exact=True,
    )
