"""The client that triggers share: one for each connection and loop, at a pace that leaves the service room for stops."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.triggers import _clients
from airflow_provider_timav.triggers._clients import Pace, SharedClient, shared_client
from airflow_provider_timav.videorelay import calls
from airflow_provider_timav.videorelay.errors import CertificateError


class TestPace:
    def test_so_many_at_once_and_then_so_many_a_second(self) -> None:
        now = 0.0
        pace = Pace(per_second=10, at_once=3, clock=lambda: now)
        assert [pace.turn() for _ in range(5)] == pytest.approx([0, 0, 0, 0.1, 0.2])

    def test_time_that_passes_gives_turns_back_up_to_the_limit(self) -> None:
        times = iter([0.0, 0.0, 0.0, 100.0, 100.0, 100.0])
        pace = Pace(per_second=10, at_once=2, clock=lambda: next(times))
        assert [pace.turn() for _ in range(5)] == pytest.approx([0, 0, 0, 0, 0.1])


class TestSharing:
    def test_triggers_of_one_connection_share_context_and_sockets(self, timav_emulator: Emulator) -> None:
        async def many() -> int:
            settings = TimAVHook().settings()

            async def one(room: int) -> SharedClient:
                async with shared_client("timav_default", settings) as shared:
                    await shared.call(calls.stop_push(room_id=room, user_id="a"))
                    await asyncio.sleep(0.1)
                    return shared

            return len({id(shared) for shared in await asyncio.gather(*(one(room) for room in range(50)))})

        assert asyncio.run(many()) == 1
        assert timav_emulator.handshakes <= 20
        assert _clients._clients == {}

    def test_client_whose_certificate_cannot_be_read_is_made_anew_once_it_can(
        self, timav_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make = TimAVHook.async_client
        broken = [CertificateError("client_cert: not readable", field="client_cert")]

        def once_broken(hook: TimAVHook, settings: object) -> object:
            if broken:
                raise broken.pop()
            return make(hook, settings)  # type: ignore[arg-type]

        monkeypatch.setattr(TimAVHook, "async_client", once_broken)

        async def twice() -> None:
            async with shared_client("timav_default", TimAVHook().settings()) as shared:
                with pytest.raises(CertificateError):
                    await shared.open()
                await shared.call(calls.stop_push(room_id=1, user_id="a"))

        asyncio.run(twice())
        assert len(timav_emulator.journal) == 1
