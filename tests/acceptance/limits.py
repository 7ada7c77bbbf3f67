"""The limits that are promised for a single operation, measured, in one table.

    python -m tests.acceptance.limits            with the real deadlines: about 70 seconds
    python -m tests.acceptance.limits --quick    the same with a tenth of them

The exit status is 1 where a limit is missed. What takes more than one operation (crashes, triggers) has its own commands.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_timav.videorelay.errors import CertificateError, TimAVError

if TYPE_CHECKING:
    import ssl

    from airflow_provider_timav.emulator import Emulator
    from airflow_provider_timav.emulator.journal import JournalEntry
    from airflow_provider_timav.videorelay.exchange import Service
    from harness.peer import Wire
    from tests.acceptance.faults.stage import Stage

__all__ = ["Row", "main", "table"]

HEADINGS: Final = ("figure", "what", "bound", "measured", "met?")
MIB: Final = 1024 * 1024
ELSEWHERE: Final = """\
Checked elsewhere, because it is more than one operation or no figure:
  G7   crashes                     make crash
  G8   what is lost is said        pytest tests/acceptance/faults -k "M1 or M2 or M3 or M4 or M5"
  G10  a triggerer's restart       pytest tests/unit/triggers
  G13  every documented code       pytest tests/acceptance/faults/test_codes.py
       the cost of waiting         make waiting"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    figure: str
    what: str
    bound: str
    measured: str
    met: bool

    def cells(self) -> tuple[str, ...]:
        """Return the cells, under ``HEADINGS``."""
        return (self.figure, self.what, self.bound, self.measured, "yes" if self.met else "NO")


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text, in columns."""
    lines = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


@dataclass(frozen=True)
class Form:
    """Whether this is the quick form: a tenth of each deadline, and fewer plays."""

    quick: bool

    @property
    def scale(self) -> float:
        """What the deadlines are multiplied by."""
        return 0.1 if self.quick else 1.0

    def limit(self, figure: str, what: str, took: float, bound: float, *, least: float = 0.0) -> Row:
        """Return the row of a deadline: kept, and not because the fault had no effect (``least``)."""
        # A tenth is what the promise allows; a tenth of a tenth is less than a busy machine takes to wake a thread.
        allowed = bound * 1.1 + (0.4 if self.quick else 0.0)
        return Row(
            figure=figure,
            what=what,
            bound=f"<= {bound:g} s",
            measured=f"{took:.2f} s",
            met=least <= took <= allowed,
        )


# --- G1, G3: what all faults and all codes have in common ------------------------------------------------------------


def faults(stage: Stage, form: Form) -> Iterator[Row]:
    """Play the catalogue; count what leaked, how much was posted, and who else was contacted."""
    from tests.acceptance.faults.catalogue import CASES

    played, hits, elsewhere, most, twice = 0, 0, 0, 0, 0
    for case in CASES:
        for operation in case.operations[: 1 if form.quick else None]:
            seen = stage.play(operation, lambda scene, case=case: case.arrange(scene, 9), seconds=case.seconds or 60.0)  # type: ignore[misc]
            played += 1
            hits += len(seen.hits)
            elsewhere += seen.elsewhere
            most = max(most, seen.seen)
            twice += seen.executed > 1
    yield Row(
        figure="G1",
        what=f"secrets in errors, logs, results, journal: {played} plays of {len(CASES)} fault cases",
        bound="0 hits",
        measured=f"{hits} hits",
        met=hits == 0,
    )
    yield Row(
        figure="G3", what="posts of one operation, over the same plays", bound="<= 3", measured=str(most), met=most == 3
    )
    yield Row(
        figure="G3",
        what="redirects followed, other hosts contacted, over the same plays",
        bound="0",
        measured=str(elsewhere),
        met=elsewhere == 0,
    )
    yield Row(
        figure="G4",
        what="operations that the service carried out twice, over the same plays",
        bound="0",
        measured=str(twice),
        met=twice == 0,
    )


POSTS: Final = {"retry": 3, "rate_limited": 3, "ambiguous": 3, "credential": 2}


def codes(stage: Stage, form: Form) -> Iterator[Row]:
    """Meet every row of the table of result codes; count the posts, by class."""
    from airflow_provider_timav.videorelay.calls import OPERATIONS
    from airflow_provider_timav.videorelay.outcomes import table as rows

    posts: dict[str, Counter[int]] = {}
    for (family, layer, code), row in rows().items():
        for operation in OPERATIONS.values():
            word = row.classes.get(operation.action)
            if word is None or family not in (operation.family, "any") or (form.quick and str(word) in posts):
                continue
            # Of what the table does not list by itself, a hundred (``700xx``) or all others, one that it lacks.
            fault = {"code": 987654321 if code is None else int(str(code).replace("xx", "99")), "layer": layer}
            seen = stage.play(operation.name, lambda scene, fault=fault: stage.emulator.fail_next(9, **fault))  # type: ignore[misc]
            posts.setdefault(str(word), Counter())[seen.seen] += 1
    for bound in (1, 2, 3):
        words = {word: found for word, found in posts.items() if POSTS.get(word, 1) == bound}
        counted = sum((found for found in words.values()), Counter[int]())
        why = {1: "that are final", 2: "of a refused credential, signed anew once", 3: "that may pass"}[bound]
        yield Row(
            figure="G3",
            what=f"posts, over {counted.total()} plays of result codes {why} ({len(words)} classes)",
            bound=str(bound),
            measured=" or ".join(map(str, sorted(counted))),
            met=set(counted) == {bound},
        )


# --- G2: deadlines ---------------------------------------------------------------------------------------------------


def _drips_body(wire: Wire) -> None:
    body = wire.execute()
    wire.answer(b"", length=len(body) * 100)
    wire.drip(body * 100, 0.02)


def _drips_head(wire: Wire) -> None:
    wire.drip(
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000, 0.02
    )  # one header, because a hundred and first would be refused


def _is_silent(wire: Wire) -> None:
    wire.hang()


def _proxy_drips(connection: socket.socket) -> None:
    connection.recv(4096)
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000:
        connection.sendall(bytes((byte,)))
        time.sleep(0.02)


def _stalls(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


async def _called(client: Any, call: Any, **limits: Any) -> None:
    async with client:
        await client.call(call, **limits)


def _timed(
    emulator: Emulator,
    *,
    port: int,
    seconds: float,
    host: str = "127.0.0.1",
    max_posts: int = 3,
    proxy: str | None = None,
    asynchronous: bool = False,
) -> float:
    """Return how long a start takes to fail there."""
    from airflow_provider_timav.videorelay import calls
    from airflow_provider_timav.videorelay.aclient import AsyncClient
    from airflow_provider_timav.videorelay.client import Client
    from airflow_provider_timav.videorelay.exchange import RetryBudget

    call = calls.start_push(room_id=emulator.room_id, user_id=emulator.user_id)
    limits: dict[str, Any] = {"max_posts": max_posts, "seconds": seconds, "budget": RetryBudget()}
    means = _means(emulator, f"https://{host}:{port}")
    began = time.monotonic()
    try:
        if asynchronous:
            asyncio.run(_called(AsyncClient(*means, proxy=proxy), call, **limits))
        else:
            with Client(*means, proxy=proxy) as client:
                client.call(call, **limits)
    except TimAVError:
        return time.monotonic() - began
    raise RuntimeError("the fault did not happen")


def _means(emulator: Emulator, endpoint: str) -> tuple[Service, Callable[[], ssl.SSLContext]]:
    from airflow_provider_timav.videorelay.exchange import Service
    from airflow_provider_timav.videorelay.tls import Identity
    from airflow_provider_timav.videorelay.usersig import StaticUserSig

    own = emulator.certificates
    identity = Identity.load(client_cert=own.client_cert_pem, private_key=own.client_key_pem)
    service = Service(endpoint, emulator.sdkappid, emulator.identifier, StaticUserSig(emulator.usersig))
    return service, lambda: identity.context(own.ca_pem)


def deadlines(form: Form, stack: contextlib.ExitStack) -> Callable[[], list[Row]]:
    """Begin what takes as long as the deadlines are, all at once; return what waits for it."""
    from airflow_provider_timav.emulator import Emulator
    from airflow_provider_timav.videorelay import exchange
    from harness.look_ups import looked_up
    from harness.peer import BlackHole, Peer

    name = "many.invalid"
    stack.enter_context(looked_up(name, lambda look_up, *args, **facts: look_up(*args, **facts)[:1] * 8))
    emulator = stack.enter_context(Emulator())
    hole = stack.enter_context(BlackHole())

    def through(script: Callable[[Wire], None]) -> int:
        return stack.enter_context(Peer(emulator, fault=script, faults_left=99)).port

    stalled = stack.enter_context(Peer(emulator, greet=_stalls)).port
    proxy = f"http://127.0.0.1:{stack.enter_context(Peer(emulator, greet=_proxy_drips)).port}"
    post, operation = exchange.POST_SECONDS, exchange.OPERATION_SECONDS
    connect, read = exchange.CONNECT_SECONDS, exchange.READ_SECONDS
    # What, its bound, the least that it must take to have been a test, how it is called.
    asked: list[tuple[str, float, float, dict[str, Any]]] = [
        ("one post, its answer's body drips", post, post, {"port": through(_drips_body), "max_posts": 1}),
        ("one post, its answer's head drips", post, post, {"port": through(_drips_head), "max_posts": 1}),
        ("one post, a proxy's answer drips", post, post, {"port": 1, "proxy": proxy, "max_posts": 1}),
        ("one post, no answer at all", read, read, {"port": through(_is_silent), "max_posts": 1}),
        ("one connection, never answered", connect, connect, {"port": hole.port, "max_posts": 1}),
        ("one connection, eight addresses, none answers", connect, connect, {"port": hole.port, "host": name, "max_posts": 1}),
        ("one connection, the handshake stalls", connect, connect, {"port": stalled, "max_posts": 1}),
        ("one operation, every answer's body drips", operation, 2 * post, {"port": through(_drips_body)}),
        ("one operation, no answer at all", operation, 3 * read, {"port": through(_is_silent)}),
    ]  # fmt: skip
    asked += [
        # aiohttp's way to a proxy and through it is all connecting.
        (f"async: {what}", *((connect, connect) if "proxy" in how else times), {**how, "asynchronous": True})
        for what, *times, how in asked
    ]
    pool = stack.enter_context(ThreadPoolExecutor(len(asked)))
    futures = [pool.submit(_timed, emulator, **{"seconds": operation, **how}) for *_, how in asked]
    return lambda: [
        form.limit("G2", what, future.result(), bound, least=0.95 * least)
        for (what, bound, least, _), future in zip(asked, futures, strict=True)
    ]


@contextlib.contextmanager
def _scaled(scale: float) -> Iterator[None]:
    """Have the client's deadlines be so much of what they are."""
    from airflow_provider_timav.videorelay import asockets, client, exchange

    names = ("POST_SECONDS", "CONNECT_SECONDS", "READ_SECONDS", "OPERATION_SECONDS")
    before = [
        (module, name, getattr(module, name))
        for module in (exchange, client, asockets)
        for name in names
        if hasattr(module, name)
    ]
    for module, name, value in before:
        setattr(module, name, value * scale)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


# --- G5: memory ------------------------------------------------------------------------------------------------------


def memory(stage: Stage, form: Form) -> Iterator[Row]:
    """Answer with a bomb, and with as much as is taken; the client is a process of its own, which says how it grew."""
    import gzip
    import io

    from harness.peer import Peer

    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as bomb:
        for _ in range(200):
            bomb.write(bytes(MIB))

    def bombed(wire: Wire) -> None:
        wire.answer(packed.getvalue(), "Content-Encoding: gzip")

    with Peer(stage.emulator, fault=bombed, faults_left=1) as peer:
        said = _child("_grow", _way(stage.emulator, peer.port))
    yield Row(
        figure="G5",
        what="growth of memory under an answer of 200 MiB, packed by gzip",
        bound="<= 10 MiB",
        measured=f"{said['grown'] / MIB:.1f} MiB, then {said['error']}",
        met=said["grown"] <= 10 * MIB and said["error"] == "AmbiguousOutcome",
    )
    for what, size, taken in (("1 MiB", MIB, True), ("1 MiB and a byte", MIB + 1, False)):

        def padded(wire: Wire, size: int = size) -> None:
            wire.answer(wire.execute().ljust(size))

        seen = stage.play("start_push", lambda scene, padded=padded: scene.through(fault=padded, times=9))  # type: ignore[misc]
        yield Row(
            figure="G5",
            what=f"answer of {what}",
            bound="taken" if taken else "refused",
            measured="taken" if seen.error is None else f"refused, {type(seen.error).__name__}",
            met=(seen.error is None) is taken,
        )


def _way(emulator: Emulator, port: int) -> dict[str, Any]:
    connection = emulator.connection()
    return {**connection, "port": port}


def _child(function: str, given: Any, **facts: Any) -> dict[str, Any]:
    """Call a function of this module in a process of its own; it reads one JSON value and prints another."""
    done = subprocess.run(
        [sys.executable, "-c", f"from tests.acceptance import limits; limits.{function}()"],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        **facts,
    )
    if done.returncode:
        raise RuntimeError(f"{function}: {done.stderr}")
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def _status(name: str) -> int:
    """Return a figure of this process's memory, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _grow() -> None:
    """In a process of its own: call twice, the second time with an eye on the memory."""
    from airflow_provider_timav.videorelay import calls
    from airflow_provider_timav.videorelay.client import Client
    from airflow_provider_timav.videorelay.exchange import Service
    from airflow_provider_timav.videorelay.tls import Identity
    from airflow_provider_timav.videorelay.usersig import StaticUserSig

    given = json.load(sys.stdin)
    extra = given["extra"]
    identity = Identity.load(client_cert=extra["client_cert"], private_key=extra["private_key"])
    service = Service(
        f"{given['host']}:{given['port']}", extra["sdkappid"], given["login"], StaticUserSig(given["password"])
    )
    error = ""
    with Client(service, lambda: identity.context(extra["ca_cert"])) as client:
        call = calls.stop_push(room_id=1, user_id="host_1")
        client._connected()  # what every call needs is no growth
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forgets how much there was at most
        before = _status("VmRSS")
        try:
            client.call(call, max_posts=1)
        except TimAVError as raised:
            error = type(raised).__name__
        grown = _status("VmHWM") - before
    print(json.dumps({"grown": grown, "error": error}))


# --- G6: told to end -------------------------------------------------------------------------------------------------


def endings(home: str) -> list[Row]:
    """Run a start task in a process of its own, and tell it to end while its start is in the air."""
    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(_ending, home, answers_after) for answers_after in (1.5, 60.0)]
        (stop_1, exit_1), (stop_2, exit_2) = [future.result() for future in found]

    def row(what: str, took: float, bound: float) -> Row:
        return Row(figure="G6", what=what, bound=f"<= {bound:g} s", measured=f"{took:.2f} s", met=0 <= took <= bound)

    return [
        row("SIGTERM, the start is answered after 1.5 s: from that answer to the stop", stop_1 - 1.5, 1.0),
        row("SIGTERM, the start is answered after 1.5 s: until the process has ended", exit_1, 5.0),
        row("SIGTERM, the start is never answered: until the stop", stop_2, 4.0),
        row("SIGTERM, the start is never answered: until the process has ended", exit_2, 5.0),
    ]


def _ending(home: str, answers_after: float) -> tuple[float, float]:
    """Return how long after SIGTERM the stop came, and the end of the process."""
    from airflow_provider_timav.emulator import Emulator

    came: dict[str | None, float] = {}

    def note(entry: JournalEntry) -> None:
        came.setdefault(entry.operation, time.monotonic())

    with Emulator(on_request=note) as emulator:
        emulator.fail_next(1, "start_push", delay_answer=answers_after)
        environment = {**os.environ, "AIRFLOW_HOME": home, "AIRFLOW_CONN_TIMAV_DEFAULT": emulator.connection_json()}
        with subprocess.Popen(
            [sys.executable, "-c", "from tests.acceptance import limits; limits._operate()"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            _until(lambda: "start_push" in came)
            told = came["start_push"]
            process.send_signal(signal.SIGTERM)
            process.wait(20)
            ended = time.monotonic()
        if emulator.pushes:
            return float("inf"), ended - told
        return came["stop_push"] - told, ended - told


def _until(done: Callable[[], bool]) -> None:
    until = time.monotonic() + 30.0
    while not done():
        if time.monotonic() > until:
            raise RuntimeError("the task did not begin")
        time.sleep(0.01)


def _operate() -> None:
    """In a process of its own: a start task, with the signal handler that Airflow gives it."""
    from airflow_provider_timav.operators.push import StartPushOperator
    from harness.task import Task

    task = Task(StartPushOperator(task_id="start", room_id=10086, user_id="host_1", wait_for_user=0))
    signal.signal(signal.SIGTERM, lambda *_: task.operator.on_kill())
    task.execute()


# --- G11, G12: key material ------------------------------------------------------------------------------------------


def key_material(form: Form) -> Iterator[Row]:
    """Load a key 200 times in a process of its own, which has a terminal; look for files, descriptors, questions."""
    from airflow_provider_timav.emulator.certificates import Certificates

    own = Certificates()
    with tempfile.TemporaryDirectory() as folder:
        given = {"client_cert": own.client_cert_pem, "private_key": own.client_key_pem, "ca": own.ca_pem}
        environment = {**os.environ, "TMPDIR": folder, "PYTHONPATH": os.getcwd()}
        said = _child("_load", given, cwd=folder, env=environment, start_new_session=True)
        left = len(os.listdir(folder))
    yield Row(
        figure="G11",
        what="files opened for writing in 200 loads of a key; files left",
        bound="0; 0",
        measured=f"{said['written']}; {left}",
        met=(said["written"], left) == (0, 0),
    )
    yield Row(
        figure="G11",
        what="descriptors after 200 loads",
        bound="+0",
        measured=f"{said['descriptors']:+d}",
        met=said["descriptors"] == 0,
    )
    yield Row(
        figure="G11",
        what="an encrypted key without its passphrase, on a terminal: characters printed there",
        bound="0",
        measured=f"{said['asked']}, {said['error']}",
        met=said["asked"] == 0 and said["error"] == "CertificateError",
    )


def _load() -> None:
    """In a process of its own, with no terminal: get one, and load keys."""
    import pty

    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    from airflow_provider_timav.videorelay.tls import Identity

    given = json.load(sys.stdin)
    material = {"client_cert": given["client_cert"], "private_key": given["private_key"]}
    key: Any = load_pem_private_key(given["private_key"].encode(), None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")).decode()
    Identity.load(**material).context(given["ca"])
    written: list[str] = []

    def audit(event: str, facts: tuple[Any, ...]) -> None:
        if event == "open" and (facts[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            written.append(str(facts[0]))

    sys.addaudithook(audit)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(200):
        Identity.load(**material).context(given["ca"])
    descriptors, files = len(os.listdir("/proc/self/fd")) - before, len(written)
    master, slave = pty.openpty()
    os.open(os.ttyname(slave), os.O_RDWR)  # the first terminal that a session's leader opens becomes its own
    os.close(os.open("/dev/tty", os.O_RDWR))
    error = ""
    try:
        Identity.load(client_cert=given["client_cert"], private_key=encrypted).context(given["ca"])
    except CertificateError as refused:
        error = type(refused).__name__
    os.set_blocking(master, False)
    asked = b""
    with contextlib.suppress(BlockingIOError):
        asked = os.read(master, 4096)
    print(json.dumps({"written": files, "descriptors": descriptors, "asked": len(asked), "error": error}))


def validity(stage: Stage) -> Iterator[Row]:
    """Hold certificates against the time that they are valid for."""
    from airflow_provider_timav.videorelay.tls import Identity
    from harness.canary import everything_logged
    from tests.acceptance.faults.catalogue import CASES

    cases = [case for case in CASES if case.number in ("T4", "T5")]
    plays = [stage.play("start_push", lambda scene, case=case: case.arrange(scene, 9)) for case in cases]  # type: ignore[misc]
    refused = all(type(play.error) is CertificateError for play in plays)
    connections = sum(play.connections for play in plays)
    yield Row(
        figure="G12",
        what="certificate that is expired, or not valid yet: connections made",
        bound="0, refused",
        measured=f"{connections}, {'refused' if refused else 'not refused'}",
        met=refused and connections == 0,
    )
    now = datetime.now(UTC)
    said = {}
    for days in (31, 29, 6):
        certificate, key = stage.emulator.certificates.issue_client(
            not_before=now - timedelta(days=1), not_after=now + timedelta(days=days, hours=1)
        )
        with everything_logged() as lines:
            Identity.load(client_cert=certificate, private_key=key)
        said[days] = any("expires in" in line for line in lines)
    yield Row(
        figure="G12",
        what="warning before the certificate expires: " + ", ".join(f"{days} days" for days in said),
        bound="no, yes, yes",
        measured=", ".join("yes" if warned else "no" for warned in said.values()),
        met=list(said.values()) == [False, True, True],
    )


# --- G14: generated answers and connections ------------------------------------------------------------------------------


def answers(form: Form) -> Iterator[Row]:
    """Read generated answers; `make fuzz` reads a hundred thousand."""
    from tests.acceptance.faults import generated

    count = 2000 if form.quick else 20_000
    logging.disable(logging.CRITICAL)
    try:
        others = generated.foreign(generated.read_all(count, seed=2))
    finally:
        logging.disable(logging.NOTSET)
    yield Row(
        figure="G14",
        what=f"exceptions that are not the project's own, over {count} generated answers",
        bound="0",
        measured=", ".join(others) or "0",
        met=not others,
    )


def connections(form: Form) -> Iterator[Row]:
    """Try generated connections; `make fuzz` tries a hundred thousand."""
    from tests.acceptance.faults import connections as generated

    count = 500 if form.quick else 5000
    broken = generated.try_all(count, seed=2).broken
    yield Row(
        figure="G14",
        what=f"exceptions that are not the project's own, errors without a field and secrets shown, over {count} connections",
        bound="0",
        measured=", ".join(broken) or "0",
        met=not broken,
    )


# --- all of them -----------------------------------------------------------------------------------------------------


def measure(form: Form, home: str) -> list[Row]:
    """Measure everything; return the rows by figure."""
    from tests.acceptance.faults.stage import Stage

    logging.getLogger().handlers.clear()  # Airflow's console: the emulators' words are not the table
    with contextlib.ExitStack() as stack:
        stack.enter_context(_scaled(form.scale))
        waited = deadlines(form, stack)
        pool = stack.enter_context(ThreadPoolExecutor(1))
        ended = pool.submit(endings, home)
        stage = stack.enter_context(Stage())
        rows = [*memory(stage, form), *key_material(form), *validity(stage), *faults(stage, form), *codes(stage, form)]
        rows += answers(form)
        rows += ended.result()
        rows += waited()
        rows += connections(form)  # alone: no name of a host leads anywhere meanwhile
    return sorted(rows, key=lambda row: int(row.figure[1:]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.acceptance.limits",
        description="Measures the limits that are promised for a single operation.",
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of each deadline, and fewer plays")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="timav-limits-") as home:
        # A person's own Airflow has no part in this.
        for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
            del os.environ[name]
        os.environ["AIRFLOW_HOME"] = home
        rows = measure(Form(quick=options.quick), home)
    print(table(rows))
    missed = sum(not row.met for row in rows)
    form = " (quick: a tenth of each deadline)" if options.quick else ""
    print(f"\n{ELSEWHERE}")
    print(f"\n{len(rows) - missed} of {len(rows)} met, in {time.monotonic() - began:.0f} s{form}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
