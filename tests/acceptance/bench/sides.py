"""The sides of a comparison: the provider's hook, a bare ``requests.Session`` and Airflow's ``HttpHook``.

All send the same two requests over mutual TLS and read the same answers: a push is started, whose answer is the fullest
that there is, and stopped. A turn is both (``CALLS``), so that each side finds the service as the others did.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import ssl
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import certifi
import requests
import requests.adapters
from airflow.providers.http.hooks.http import HttpHook

from airflow_provider_timav.hooks.timav import Settings, TimAVHook
from airflow_provider_timav.videorelay import calls
from airflow_provider_timav.videorelay.exchange import Exchange, Post, Service
from airflow_provider_timav.videorelay.line import PLACEHOLDER
from airflow_provider_timav.videorelay.reply import Reply
from airflow_provider_timav.videorelay.usersig import StaticUserSig
from tests.acceptance.bench.service import ServiceProcess

ROOM_ID, USER_ID = 10086, "host_1"
CALLS = 2
HEADERS = {"Content-Type": "application/json"}
SECONDS = (5, 15)
"""The hook's own limits for connecting and reading, for all."""


@dataclass(frozen=True)
class Sides:
    """What can be timed; each is one turn: two calls."""

    hook: Callable[[], object]
    new_hook: Callable[[], object]
    new_hook_of_files: Callable[[], object]
    session: Callable[[], object]
    http_hook: Callable[[], object]
    new_http_hook: Callable[[], object]
    new_hook_of_public: Callable[[], object]
    new_http_hook_of_public: Callable[[], object]


@contextlib.contextmanager
def connected(service: ServiceProcess) -> Iterator[None]:
    """Let connections lead to the service while the block runs.

    ``timav_default`` holds its credentials as text, ``timav_files`` and ``http_default`` name files; ``timav_public`` and
    ``http_public`` trust all that a host on the Internet may need, which is what stands in for the vendor's own host here.
    """
    with _pem_files(service) as (client_pem, ca_pem):
        public_pem = ca_pem.with_name("public.pem")
        public_pem.write_text(Path(certifi.where()).read_text(encoding="utf-8") + ca_pem.read_text(), encoding="utf-8")
        # What HttpHook takes: certificate and key in one file, and the CA's.
        http: dict[str, Any] = {
            "conn_type": "http",
            "schema": "https",
            "host": urllib.parse.urlsplit(service.connection["host"]).hostname,
            "port": service.connection["port"],
            "extra": {"cert": str(client_pem), "verify": str(ca_pem), "timeout": SECONDS[1]},
        }
        files = {"client_cert": str(client_pem), "private_key": str(client_pem), "ca_cert": str(ca_pem)}
        made = {
            "TIMAV_DEFAULT": service.connection,
            "TIMAV_FILES": _with_extra(service.connection, files),
            "TIMAV_PUBLIC": _with_extra(service.connection, files | {"ca_cert": str(public_pem)}),
            "HTTP_DEFAULT": http,
            "HTTP_PUBLIC": _with_extra(http, {"verify": str(public_pem)}),
        }
        connections = {f"AIRFLOW_CONN_{name}": json.dumps(connection) for name, connection in made.items()}
        with mock.patch.dict(os.environ, connections):
            yield


def _with_extra(connection: dict[str, Any], extra: dict[str, str]) -> dict[str, Any]:
    return {**connection, "extra": {**connection["extra"], **extra}}


@contextlib.contextmanager
def opened(service: ServiceProcess) -> Iterator[Sides]:
    """Give the sides; what they keep is closed at the end of the block."""
    with connected(service), TimAVHook() as hook, _raw_session(service) as session:
        start, stop = _posts()
        http_hook = HttpHook()
        sides = Sides(
            hook=lambda: _turn_of(hook),
            new_hook=lambda: _turn_of_new_hooks("timav_default"),
            new_hook_of_files=lambda: _turn_of_new_hooks("timav_files"),
            session=lambda: [_plain(session, post) for post in (start, stop)],
            http_hook=lambda: [_by_http_hook(http_hook, post) for post in (start, stop)],
            new_http_hook=lambda: [_by_http_hook(HttpHook(), post) for post in (start, stop)],
            new_hook_of_public=lambda: _turn_of_new_hooks("timav_public"),
            new_http_hook_of_public=lambda: [
                _by_http_hook(HttpHook(http_conn_id="http_public"), post) for post in (start, stop)
            ],
        )
        _check(start, stop, lambda post: _plain(session, post))
        _check(start, stop, lambda post: _by_http_hook(http_hook, post))
        yield sides


def _turn_of(hook: TimAVHook) -> None:
    hook.start_push(room_id=ROOM_ID, user_id=USER_ID)
    hook.stop_push(room_id=ROOM_ID, user_id=USER_ID)


def _turn_of_new_hooks(conn_id: str) -> None:
    with TimAVHook(conn_id) as hook:
        hook.start_push(room_id=ROOM_ID, user_id=USER_ID)
    with TimAVHook(conn_id) as hook:
        hook.stop_push(room_id=ROOM_ID, user_id=USER_ID)


def first_calls() -> dict[str, str]:
    """Return code that a task's process runs once, by side: import the hook, make it, call."""
    post = _kick()
    endpoint = post.url.split("/", 3)[3]
    return {
        "hook": "from airflow_provider_timav.hooks.timav import TimAVHook\n"
        f"TimAVHook().kick_members(room_id={ROOM_ID}, user_ids=['nobody'])",
        "http": "from airflow.providers.http.hooks.http import HttpHook\n"
        f"HttpHook().run({endpoint!r}, data={post.body!r}, headers={HEADERS!r}).content",
    }


def _plain(session: requests.Session, post: Post) -> bytes:
    return session.post(post.url, data=post.body, timeout=SECONDS).content


def _by_http_hook(hook: HttpHook, post: Post) -> bytes:
    endpoint = post.url.split("/", 3)[3]
    answer: bytes = hook.run(endpoint, data=post.body, headers=HEADERS).content  # type: ignore[arg-type]  # bytes go
    return answer


def _start() -> Any:
    return calls.start_push(room_id=ROOM_ID, user_id=USER_ID)


def _stop() -> Any:
    return calls.stop_push(room_id=ROOM_ID, user_id=USER_ID)


def _posts() -> tuple[Post, Post]:
    """Return the two requests, made once: to the other sides they are bytes."""
    return _post(_start()), _post(_stop())


def _kick() -> Post:
    return _post(calls.kick_members(room_id=ROOM_ID, user_ids=["nobody"]))


def _post(call: Any) -> Post:
    """Return a request with its UserSig in the address, where the other sides have it."""
    post = Exchange(call, _service()).next_post()
    usersig = bytes(post.usersig.view).decode()
    return dataclasses.replace(post, url=post.url.replace(f"usersig={PLACEHOLDER}&", f"usersig={usersig}&", 1))


def _service() -> Service:
    settings = Settings.of(TimAVHook.get_connection("timav_default"))
    credential = StaticUserSig(settings.usersig or "")
    return Service(settings.endpoint, settings.sdkappid, settings.identifier, credential)


def _check(start: Post, stop: Post, send: Callable[[Post], bytes]) -> None:
    """Let the provider's parser say that a side gets the answers that it shall get: a refusal may be faster."""
    _start().read(Reply(200, send(start)), seq=start.seq, cookie=start.cookie)
    _stop().read(Reply(200, send(stop)), seq=stop.seq, cookie=stop.cookie)


class _Pinned(requests.adapters.HTTPAdapter):
    """A prebuilt context that is left as it is: what a careful person would write by hand, and no more."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"
        conn.ca_certs = conn.ca_cert_dir = None


def _raw_session(service: ServiceProcess) -> requests.Session:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with _pem_files(service) as (client_pem, ca_pem):
        context.load_verify_locations(ca_pem)
        context.load_cert_chain(client_pem)
    session = requests.Session()
    session.trust_env = False
    session.headers.update(HEADERS)
    session.mount("https://", _Pinned(context))
    return session


@contextlib.contextmanager
def _pem_files(service: ServiceProcess) -> Iterator[tuple[Path, Path]]:
    with tempfile.TemporaryDirectory(prefix="timav-bench-") as folder:
        client, ca = Path(folder, "client.pem"), Path(folder, "ca.pem")
        client.write_text(service.extra["private_key"] + service.extra["client_cert"])
        ca.write_text(service.extra["ca_cert"])
        yield client, ca
