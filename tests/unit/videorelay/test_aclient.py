"""What only the asynchronous client can get wrong: the loop that it shares, and tasks that are cancelled in it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import pytest

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.emulator.certificates import Certificates
from airflow_provider_timav.videorelay import calls
from airflow_provider_timav.videorelay.aclient import LARGE_ANSWER, AsyncClient
from airflow_provider_timav.videorelay.errors import CertificateError, TimAVError
from airflow_provider_timav.videorelay.exchange import RetryBudget, Service
from airflow_provider_timav.videorelay.tls import Identity
from airflow_provider_timav.videorelay.usersig import StaticUserSig
from harness.clients import leftovers
from harness.look_ups import looked_up
from harness.peer import BlackHole, Peer, Wire


def client_of(
    emulator: Emulator,
    *,
    endpoint: str | None = None,
    proxy: str | None = None,
    certificates: Certificates | None = None,
    made: Callable[[], None] = lambda: None,
) -> AsyncClient:
    own = certificates or emulator.certificates
    identity = Identity.load(client_cert=own.client_cert_pem, private_key=own.client_key_pem)
    service = Service(
        endpoint or emulator.api_url, emulator.sdkappid, emulator.identifier, StaticUserSig(emulator.usersig)
    )

    def context() -> ssl.SSLContext:
        made()
        return identity.context(emulator.certificates.ca_pem)

    return AsyncClient(service, context, proxy=proxy, sleep=lambda seconds: asyncio.sleep(0))


def stop(client: AsyncClient, room_id: int = 1, **limits: Any) -> Any:
    return client.call(calls.stop_push(room_id=room_id, user_id="a"), budget=RetryBudget(), **limits)


@contextlib.contextmanager
def _silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


class Stuck:
    """Where a call can hang, each as an address and what else the client needs."""

    @staticmethod
    @contextlib.contextmanager
    def name(emulator: Emulator) -> Iterator[AsyncClient]:
        over = threading.Event()

        def answer(*args: Any, **facts: Any) -> list[Any]:
            over.wait(30.0)
            raise socket.gaierror(socket.EAI_AGAIN, "no name server answers")

        with looked_up("stuck.invalid", answer):
            try:
                yield client_of(emulator, endpoint="https://stuck.invalid")
            finally:
                over.set()

    @staticmethod
    @contextlib.contextmanager
    def connection(emulator: Emulator) -> Iterator[AsyncClient]:
        with BlackHole() as hole:
            yield client_of(emulator, endpoint=f"https://127.0.0.1:{hole.port}")

    @staticmethod
    @contextlib.contextmanager
    def proxy(emulator: Emulator) -> Iterator[AsyncClient]:
        with _silent() as port:
            yield client_of(emulator, proxy=f"http://user:pr0xypass@127.0.0.1:{port}")

    @staticmethod
    @contextlib.contextmanager
    def handshake(emulator: Emulator) -> Iterator[AsyncClient]:
        with _silent() as port:
            yield client_of(emulator, endpoint=f"https://127.0.0.1:{port}")

    @staticmethod
    @contextlib.contextmanager
    def answer(emulator: Emulator) -> Iterator[AsyncClient]:
        with Peer(emulator, fault=lambda wire: wire.hang(), faults_left=9) as peer:
            yield client_of(emulator, endpoint=f"https://127.0.0.1:{peer.port}")

    @staticmethod
    @contextlib.contextmanager
    def body(emulator: Emulator) -> Iterator[AsyncClient]:
        def half(wire: Wire) -> None:
            wire.answer(b"{", length=99)
            wire.hang()

        with Peer(emulator, fault=half, faults_left=9) as peer:
            yield client_of(emulator, endpoint=f"https://127.0.0.1:{peer.port}")


PLACES = ["name", "connection", "proxy", "handshake", "answer", "body"]


class TestCancelledTask:
    @pytest.mark.parametrize("place", PLACES)
    def test_nothing_is_left(self, place: str, emulator: Emulator) -> None:
        """No socket, no task, no complaint, and no thread of the loop's pool that would be waited for."""
        complaints: list[Any] = []

        async def cancelled(client: AsyncClient) -> None:
            task = asyncio.create_task(stop(client))
            await asyncio.sleep(0.15)
            task.cancel()
            await task

        with getattr(Stuck, place)(emulator) as client:
            began = time.monotonic()
            with asyncio.Runner() as runner:
                loop = runner.get_loop()
                loop.set_exception_handler(lambda loop, context: complaints.append(context))
                with pytest.raises(asyncio.CancelledError):
                    runner.run(cancelled(client))
                assert leftovers(loop) == []
            assert time.monotonic() - began < 2.0
        assert complaints == []

    @pytest.mark.parametrize("place", PLACES)
    def test_time_limit_of_the_caller_is_the_callers(self, place: str, emulator: Emulator) -> None:
        """``asyncio.timeout`` around a call is not taken for the post's own deadline."""

        async def limited(client: AsyncClient) -> None:
            async with asyncio.timeout(0.15):
                await stop(client)

        with getattr(Stuck, place)(emulator) as client, pytest.raises(TimeoutError):
            asyncio.run(limited(client))


class TestLoop:
    def test_it_is_not_blocked_by_key_material(self, emulator: Emulator) -> None:
        """The system's CAs, or a slow disk: others get their turns all the while."""
        gaps: list[float] = []

        async def beat() -> None:
            while True:
                before = time.monotonic()
                await asyncio.sleep(0.005)
                gaps.append(time.monotonic() - before)

        async def calls_meanwhile(client: AsyncClient) -> Any:
            beating = asyncio.create_task(beat())
            try:
                return await stop(client)
            finally:
                beating.cancel()

        client = client_of(emulator, made=lambda: time.sleep(0.6))
        assert asyncio.run(calls_meanwhile(client)).outcome == "gone"
        assert len(gaps) > 20
        assert max(gaps) < 0.4

    def test_large_answer_is_read_beside_it(self, emulator: Emulator) -> None:
        threads: list[str] = []

        class Watched(RetryBudget):
            def give(self) -> None:
                threads.append(threading.current_thread().name)

        def padded(size: int) -> Callable[[Wire], None]:
            return lambda wire: wire.answer(wire.execute().rstrip()[:-1] + b', "more": "' + b"x" * size + b'"}')

        call = calls.stop_push(room_id=emulator.room_id, user_id=emulator.user_id)
        for size in (0, LARGE_ANSWER):
            with Peer(emulator, fault=padded(size), faults_left=1) as peer:
                client = client_of(emulator, endpoint=f"https://127.0.0.1:{peer.port}")
                assert asyncio.run(client.call(call, budget=Watched())).outcome in ("already_stopped", "gone")
        assert threads[0] == threading.main_thread().name
        assert threads[1] != threads[0]

    def test_many_calls_at_once_make_one_context(self, emulator: Emulator) -> None:
        made: list[None] = []
        client = client_of(emulator, made=lambda: made.append(None))

        async def at_once() -> list[Any]:
            async with client:
                return await asyncio.gather(*(stop(client, room) for room in range(1, 21)))

        assert {result.outcome for result in asyncio.run(at_once())} == {"gone"}
        assert (len(made), emulator.handshakes, len(emulator.journal)) == (1, 20, 20)

    def test_many_calls_in_a_row_make_one_context(self, emulator: Emulator) -> None:
        made: list[None] = []
        client = client_of(emulator, made=lambda: made.append(None))

        async def in_a_row() -> None:
            for room in range(1, 6):
                await stop(client, room)

        asyncio.run(in_a_row())
        assert (len(made), emulator.handshakes) == (1, 5)

    def test_client_outlives_its_loop_and_its_closing(self, emulator: Emulator) -> None:
        """As the synchronous one: what was closed opens again when it is used."""
        client = client_of(emulator)
        for _ in range(2):
            assert asyncio.run(stop(client)).outcome == "gone"
            asyncio.run(client.close())

    def test_context_that_cannot_be_made_is_tried_again(self, emulator: Emulator) -> None:
        broken = [True]

        def made() -> None:
            if broken.pop() if broken else False:
                raise CertificateError("client_cert: not readable", field="client_cert")

        client = client_of(emulator, made=made)
        with pytest.raises(CertificateError) as failed:
            asyncio.run(stop(client))
        assert failed.value.operation == "stop_push"
        assert asyncio.run(stop(client)).outcome == "gone"
        assert emulator.handshakes == 1


def test_refusal_that_comes_before_the_request_is_written(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """T1: aiohttp then only says that the connection is closing; TLS has said why."""
    make = aiohttp.TCPConnector._create_connection

    async def slowly(*args: Any, **kwargs: Any) -> Any:
        protocol = await make(*args, **kwargs)
        await asyncio.sleep(0.1)
        return protocol

    monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", slowly)
    with pytest.raises(CertificateError) as failed:
        asyncio.run(stop(client_of(emulator, certificates=Certificates())))
    assert (failed.value.field, failed.value.posts) == ("client_cert", 1)
    assert emulator.journal == ()


def test_proxys_password_shows_nowhere(emulator: Emulator) -> None:
    client = client_of(emulator, proxy="http://user:pr0xypass@127.0.0.1:1")
    with pytest.raises(TimAVError) as failed:
        asyncio.run(stop(client, max_posts=1))
    for shown in (repr(client), repr(vars(client)), str(failed.value), repr(vars(failed.value))):
        assert "pr0xypass" not in shown
        assert emulator.usersig not in shown
