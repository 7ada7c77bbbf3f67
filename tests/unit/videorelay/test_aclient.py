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
from airflow_provider_timav.videorelay import asockets, calls
from airflow_provider_timav.videorelay.aclient import LARGE_ANSWER, AsyncClient
from airflow_provider_timav.videorelay.asockets import MOST_CONNECTIONS
from airflow_provider_timav.videorelay.errors import AmbiguousOutcome, CertificateError, RoomNotReady, TimAVError
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


def sockets_of(loop: asyncio.AbstractEventLoop) -> list[Any]:
    """Return the sockets of a loop that is running, but for its own."""
    found: Any = loop
    return [key for key in found._selector.get_map().values() if key.fd != found._ssock.fileno()]


async def stop_once(client: AsyncClient, **limits: Any) -> Any:
    async with client:
        return await stop(client, **limits)


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
        left: list[Any] = []

        async def cancelled(client: AsyncClient) -> None:
            async with client:
                task = asyncio.create_task(stop(client))
                await asyncio.sleep(0.15)
                task.cancel()
                await asyncio.wait([task])
                left.extend(sockets_of(asyncio.get_running_loop()))
            await task

        with getattr(Stuck, place)(emulator) as client:
            began = time.monotonic()
            with asyncio.Runner() as runner:
                loop = runner.get_loop()
                loop.set_exception_handler(lambda loop, context: complaints.append(context))
                with pytest.raises(asyncio.CancelledError):
                    runner.run(cancelled(client))
                assert [*left, *leftovers(loop)] == []
            assert time.monotonic() - began < 2.0
        assert complaints == []

    @pytest.mark.parametrize("place", PLACES)
    def test_time_limit_of_the_caller_is_the_callers(self, place: str, emulator: Emulator) -> None:
        """``asyncio.timeout`` around a call is not taken for the post's own deadline."""

        async def limited(client: AsyncClient) -> None:
            async with client, asyncio.timeout(0.15):
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
                return await stop_once(client)
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

        async def called_once(client: AsyncClient, call: Any) -> Any:
            async with client:
                return await client.call(call, budget=Watched())

        call = calls.stop_push(room_id=emulator.room_id, user_id=emulator.user_id)
        for size in (0, LARGE_ANSWER):
            with Peer(emulator, fault=padded(size), faults_left=1) as peer:
                client = client_of(emulator, endpoint=f"https://127.0.0.1:{peer.port}")
                assert asyncio.run(called_once(client, call)).outcome in ("already_stopped", "gone")
        assert threads[0] == threading.main_thread().name
        assert threads[1] != threads[0]

    def test_many_calls_at_once_make_one_context(self, emulator: Emulator) -> None:
        made: list[None] = []
        client = client_of(emulator, made=lambda: made.append(None))

        async def at_once() -> list[Any]:
            async with client:
                return await asyncio.gather(*(stop(client, room) for room in range(1, 21)))

        assert {result.outcome for result in asyncio.run(at_once())} == {"gone"}
        assert (len(made), len(emulator.journal)) == (1, 20)

    def test_client_outlives_its_loop_and_its_closing(self, emulator: Emulator) -> None:
        """As the synchronous one: what was closed opens again when it is used."""
        client = client_of(emulator)
        for _ in range(2):
            assert asyncio.run(stop_once(client)).outcome == "gone"
            asyncio.run(client.close())

    def test_context_that_cannot_be_made_is_tried_again(self, emulator: Emulator) -> None:
        broken = [True]

        def made() -> None:
            if broken.pop() if broken else False:
                raise CertificateError("client_cert: not readable", field="client_cert")

        client = client_of(emulator, made=made)
        with pytest.raises(CertificateError) as failed:
            asyncio.run(stop_once(client))
        assert failed.value.operation == "stop_push"
        assert asyncio.run(stop_once(client)).outcome == "gone"
        assert emulator.handshakes == 1


class TestKeptConnections:
    """As the synchronous client keeps its one, but several: triggers share a client."""

    @staticmethod
    def run(client: AsyncClient, *rooms: int, pause: float = 0.0) -> None:
        async def in_a_row() -> None:
            async with client:
                for room in rooms:
                    await stop(client, room)
                    await asyncio.sleep(pause)

        asyncio.run(in_a_row())

    def test_calls_in_a_row_share_one(self, emulator: Emulator) -> None:
        self.run(client_of(emulator), 1, 2, 3)
        assert (emulator.handshakes, len(emulator.journal)) == (1, 3)

    def test_calls_at_once_share_twenty(self, emulator: Emulator) -> None:
        async def at_once() -> None:
            async with client_of(emulator) as client:
                await asyncio.gather(*(stop(client, room) for room in range(60)))

        asyncio.run(at_once())
        assert 1 < emulator.handshakes <= MOST_CONNECTIONS
        assert len(emulator.journal) == 60

    def test_idle_one_is_closed(self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        """C10: a server's idle close that meets a reuse would look like a lost answer."""
        monkeypatch.setattr(asockets, "IDLE_SECONDS", 0.1)
        self.run(client_of(emulator), 1, 2, pause=0.15)
        assert emulator.handshakes == 2

    def test_host_who_is_not_there_yet_does_not_close_it(self, emulator: Emulator) -> None:
        """A start is polled until the host comes, and each of these answers was meant for its post."""

        async def polls() -> None:
            async with client_of(emulator) as client:
                for _ in range(3):
                    with pytest.raises(RoomNotReady):
                        await client.call(calls.start_push(room_id=emulator.room_id, user_id="nobody"))

        asyncio.run(polls())
        assert (emulator.handshakes, len(emulator.journal)) == (1, 3)

    def test_answer_of_the_gateway_closes_it(self, emulator: Emulator) -> None:
        """Nothing in it shows for which request it was meant."""

        async def refused() -> None:
            async with client_of(emulator) as client:
                emulator.fail_next(1, layer="gateway", code=60017)
                with pytest.raises(TimAVError):
                    await stop(client)
                await stop(client)

        asyncio.run(refused())
        assert emulator.handshakes == 2

    @pytest.mark.parametrize("unasked", [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"])
    def test_bytes_that_nothing_has_asked_for_are_no_answer(self, unasked: bytes, emulator: Emulator) -> None:
        """Whether they come with the answer, or while the connection carries nothing."""
        for late in (0.0, 0.1):

            def more(wire: Wire, late: float = late) -> None:
                wire.answer(wire.execute())
                time.sleep(late)
                wire.send(unasked)
                wire.hang()

            with Peer(emulator, fault=more, faults_left=1) as peer:
                self.run(client_of(emulator, endpoint=f"https://127.0.0.1:{peer.port}"), 1, 2, pause=0.3)
                assert (peer.connections, peer.posts) == (2, 2)

    def test_deadline_and_fault_of_a_post_are_its_own(self, emulator: Emulator) -> None:
        """A fault on a kept connection is judged by what this post has sent: here, nothing is known of its outcome."""

        async def second_is_lost() -> TimAVError:
            with Peer(emulator, fault=lambda wire: wire.reset()) as peer:
                async with client_of(emulator, endpoint=f"https://127.0.0.1:{peer.port}") as client:
                    await stop(client)
                    peer.faults_left = 1
                    with pytest.raises(AmbiguousOutcome) as lost:
                        await stop(client, max_posts=1)
                    await stop(client)
                    assert peer.connections == 2
                    return lost.value

        assert asyncio.run(second_is_lost()).executed == "maybe"

    def test_cancelled_call_closes_its_own_only(self, emulator: Emulator) -> None:
        async def one_of_two() -> None:
            async with client_of(emulator) as client:
                emulator.fail_next(1, delay=5.0)
                slow = asyncio.create_task(stop(client))
                await asyncio.sleep(0.1)
                await stop(client)
                slow.cancel()
                await asyncio.wait([slow])
                await stop(client)

        asyncio.run(one_of_two())
        assert emulator.handshakes == 2


def test_refusal_that_comes_before_the_request_is_written(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """T1: aiohttp then only says that the connection is closing; TLS has said why."""
    make = aiohttp.TCPConnector._create_connection

    async def slowly(*args: Any, **kwargs: Any) -> Any:
        protocol = await make(*args, **kwargs)
        await asyncio.sleep(0.1)
        return protocol

    monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", slowly)
    with pytest.raises(CertificateError) as failed:
        asyncio.run(stop_once(client_of(emulator, certificates=Certificates())))
    assert (failed.value.field, failed.value.posts) == ("client_cert", 1)
    assert emulator.journal == ()


def test_proxys_password_shows_nowhere(emulator: Emulator) -> None:
    client = client_of(emulator, proxy="http://user:pr0xypass@127.0.0.1:1")
    with pytest.raises(TimAVError) as failed:
        asyncio.run(stop_once(client, max_posts=1))
    for shown in (repr(client), repr(vars(client)), str(failed.value), repr(vars(failed.value))):
        assert "pr0xypass" not in shown
        assert emulator.usersig not in shown
