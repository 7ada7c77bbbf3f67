"""The sockets of the synchronous client: a connection that holds more than the answer is not used again."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_timav.emulator import Emulator
from airflow_provider_timav.videorelay import calls, sockets
from airflow_provider_timav.videorelay.errors import TimAVError
from harness.clients import ClientOf, start
from harness.peer import Peer, Wire
from tests.unit.videorelay.peers import REFUSED


def in_one_segment(wire: Wire, *pieces: bytes, behind: bytes = b"") -> None:
    """Send each of these as a record of TLS, all of them at once, and then bytes as they are."""
    wire.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    for piece in pieces:
        wire.send(piece)
    socket.socket.send(wire.connection, behind)
    wire.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


class TestConnectionOutOfStep:
    """An unrequested answer is never read as that to the next post, which would then count as refused, and run."""

    @staticmethod
    def answered(wire: Wire, *others: bytes, padding: int = 0, behind: bytes = b"") -> bool:
        """Answer truly, with this behind it; return whether the connection was used again."""
        in_one_segment(wire, ok(wire.execute() + b" " * padding), *others, behind=behind)
        return wire.connection.recv(1) != b""

    @pytest.mark.parametrize("padding", [0, 100, 15_000, 16_300, 40_000])
    @pytest.mark.parametrize(
        "facts",
        [
            pytest.param({"others": (ok(REFUSED),)}, id="another answer"),
            pytest.param({"others": (b"\r\n",)}, id="a blank line"),
            pytest.param({"behind": b"\x17\x03\x03\x00\x50" + b"x" * 9}, id="part of a record"),
            pytest.param({"behind": b"\x17\x03"}, id="part of a record's head"),
        ],
    )
    def test_what_came_behind_an_answer(
        self, padding: int, facts: dict[str, Any], emulator: Emulator, sync_client_of: ClientOf
    ) -> None:
        used_again: list[bool] = []

        def fault(wire: Wire) -> None:
            used_again.append(
                self.answered(wire, *facts.get("others", ()), padding=padding, behind=facts.get("behind", b""))
            )

        with (
            Peer(emulator, fault=fault, faults_left=1) as peer,
            sync_client_of(emulator, endpoint=f"https://127.0.0.1:{peer.port}") as client,
        ):
            assert start(client, emulator).outcome == "started"
            stop = calls.stop_push(room_id=emulator.room_id, user_id=emulator.user_id)
            assert client.call(stop, max_posts=1).outcome == "stopped"
            assert peer.connections == 2
        assert used_again == [False]

    def test_connection_that_holds_no_more_is_used_again(self, emulator: Emulator, sync_client_of: ClientOf) -> None:
        """The tickets of TLS 1.3 come together with the first answer, and are no answer."""
        with Peer(emulator) as peer, sync_client_of(emulator, endpoint=f"https://127.0.0.1:{peer.port}") as client:
            for _ in range(2):
                start(client, emulator)
                client.call(calls.stop_push(room_id=emulator.room_id, user_id=emulator.user_id))
            assert (peer.connections, peer.posts) == (1, 4)

    @pytest.mark.parametrize("body", [b"<html>", b'{"reqhead": {}}', REFUSED], ids=["no JSON", "another's", "refusal"])
    def test_answer_that_ends_a_call_badly_ends_its_connection(
        self, body: bytes, emulator: Emulator, sync_client_of: ClientOf
    ) -> None:
        used_again: list[bool] = []

        def fault(wire: Wire) -> None:
            wire.send(ok(body))
            used_again.append(wire.connection.recv(1) != b"")

        with (
            Peer(emulator, fault=fault, faults_left=1) as peer,
            sync_client_of(emulator, endpoint=f"https://127.0.0.1:{peer.port}") as client,
        ):
            with pytest.raises(TimAVError):
                start(client, emulator, max_posts=1)
            assert start(client, emulator, max_posts=1).outcome == "started"
        assert used_again == [False]

    @given(st.lists(st.integers(0, 40), max_size=9), st.integers(0, 40), st.lists(st.integers(1, 30), max_size=30))
    def test_end_of_a_record_is_known_however_it_comes(self, whole: list[int], part: int, sizes: list[int]) -> None:
        sent = b"".join(b"\x17\x03\x03" + size.to_bytes(2, "big") + b"x" * size for size in whole)
        begun = (b"\x17\x03\x03\x00\x28" + b"x" * 40)[:part]
        theirs, ours = socket.socketpair()
        with theirs, sockets._PlainSocket(fileno=ours.detach()) as plain:
            for content, between in ((sent, True), (begun, part == 0)):
                theirs.sendall(content)
                left = len(content)
                for size in [*sizes, 1000, 1000, 1000]:
                    left -= len(plain.recv(min(size, left))) if left else 0
                assert plain.is_between_records is between
