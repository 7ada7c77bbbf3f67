"""Connections by the ten thousand, from a seed: good ones, and good ones that something happened to.

    python -m tests.acceptance.faults.connections 100000

Whatever stands in a connection, the hook gives clients or an error of this project that names a field, the Test button gives a
line, and neither shows a secret. Nothing is sent: no name has an address here.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import itertools
import json
import logging
import os
import random
import re
import socket
import sys
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final
from unittest import mock

from airflow_provider_timav.hooks import connection as of_connection
from airflow_provider_timav.hooks import timav as of_hook
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.videorelay.der import sequence
from airflow_provider_timav.videorelay.errors import CertificateError, ConfigurationError, TimAVError
from harness.authorities import changed, pem_of
from harness.key_pool import Pool, Sealed
from tests.acceptance.faults.generated import STRANGE

__all__ = ["Case", "Outcome", "flaws", "generated", "try_all", "unplugged"]

CONN_ID: Final = "x_y"
PART: Final = 5000
"""Connections that one process tries in a row."""
MASKED_ONE_IN: Final = 20
"""Airflow's masker is told of the secrets of so many: it takes longer than everything else together."""
TEXTS: Final = (
    "client_cert", "private_key", "private_key_passphrase", "ca_cert", "secret_key", "proxy", "environment", "sdkappid",
)  # fmt: skip
PEMS: Final = ("client_cert", "private_key", "ca_cert")
HOSTS: Final = (
    "", " ", "openapi.tim.qq.com", "https://openapi.tim.qq.com", "http://a", "https://a:443", "a:0", "a:99999",
    "a:b", "[::1]",
    "::1", "[::1", "[::1]:443", "https://u:p@a", "a/b", "a?b", "a#b", "a b", "a..b", ".a", "a.", "x" * 64 + ".a",
    "x" * 300,
    "münchen.example", "日本.example", "xn--", "xn--a-ecp.ru", "١٢٧.0.0.1", "127.1", "0x7f.1", "2130706433",
    "a\u200b.b", "a\u3002b",
    "\ud800", "a\x00b", "a\tb", "a\nb", "a%41", "a%zz", "-a", "_a", "a_b.c", "a,b", "a;b", "a|b", "a\\b", "//a",
    "https://", "ftp://a",
    "{}", "'", '"', "<a>", "\u202ea", "a:443:443", "fe80::1%eth0", "[fe80::1%25eth0]", "[v1.a]", "*", "a" * 70_000,
)  # fmt: skip
PORTS: Final[tuple[Any, ...]] = (
    None, 0, 1, 443, 443, 8443, 65535, 65536, -1, 2**31, 10**5000, True, 4.5, "443", " 443\n", "", "x", "٤٤٣",
    [443], {"a": 1}, "9" * 5000,
)  # fmt: skip
PROXIES: Final = (
    "http://proxy:3128", "https://proxy:3128", "proxy:3128", "http://proxy", "http://", "http://:3128",
    "http://[::1]:3128",
    "http://[::1", "http://proxy:x", "http://proxy:0", "http://proxy:99999", "http://proxy:3128/",
    "http://proxy:3128/a", "socks5://proxy:1",
    "http://@proxy:1", "http://:@proxy:1", "http://pr oxy:1", "http://pröxy:1", "http://proxy:1?x",
    "http://proxy:1#x", "http://%zz@proxy:1",
    "http://" + "x" * 300, "http://" + "x" * 64 + ".a:1", "HTTP://PROXY:1", "\nhttp://proxy:1\n",
    "http://proxy\x00:1", "http://\ud800:1",
    "http://a@b@proxy:1", "http://proxy:٣١٢٨", "http://proxy..a:1", "http://*:1", "http://proxy:1;x",
)  # fmt: skip
# What happens to a text on its way into a field.
SPLICES: Final = (
    "\u200b", "\ufeff", "\u00a0", "\u2028", "\ud800", "\x00", "\x1b", "é", "密", "\\n", "\\\\n", "\\r\\n", "\r",
    "\n", "\t", " ", "-", "—", "=",
    "-----", "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", "-----BEGIN PRIVATE KEY-----",
    "-----END PRIVATE KEY-----",
    "-----BEGIN -----", "Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-128-CBC,00", "ENCRYPTED", "A" * 9000,
    "AAAA\n" * 200, "%0A", "&#10;", '"',
)  # fmt: skip
LABELS: Final = (
    "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE", "CERTIFICATE REQUEST", "PUBLIC KEY", "RSA PUBLIC KEY",
    "PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "PKCS7",
    "CMS", "X509 CRL",
    "EC PARAMETERS", "DH PARAMETERS", "", " ", "X",
)  # fmt: skip
# Extensions that certificates have, and one that none has (2.5.29.x, AIA, Netscape's, 1.2.3).
EXTENSIONS: Final = tuple(
    bytes.fromhex(oid)
    for oid in (
        "551d0e", "551d0f", "551d11", "551d12", "551d13", "551d1e", "551d1f", "551d20", "551d23", "551d24", "551d25",
        "551d25", "551d36",
        "2b06010505070101", "6086480186f8420101", "2a03", "2b06010401d679020402", "",
    )
)  # fmt: skip
CONTENTS: Final = tuple(
    bytes.fromhex(content)
    for content in (
        "", "00", "30", "3000", "3003010100", "30030101ff", "300a06082b06010505070302", "300a06082b06010505070301",
        "30060604551d2500",
        "3004a3023000", "300a87087f000001ffffff00", "03020780", "030205a0", "0402abcd",
        "301406082b0601050507030206082b06010505070301",
        "3080", "30820fff", "308400000001", "0c03c3bc00", "ff", "1f818181", "a000", "30050603ffffff", "300306018f",
        "0101ff",
    )
)  # fmt: skip
TIMES: Final = (
    (0x17, b"200101000000Z"), (0x17, b"491231235959Z"), (0x17, b"500101000000Z"), (0x17, b"200101000000+0130"),
    (0x17, b"2001010000Z"),
    (0x17, b""), (0x17, b"999999999999Z"), (0x17, b"20010100000\xff"), (0x18, b"21200101000000Z"),
    (0x18, b"99991231235959Z"),
    (0x18, b"00000101000000Z"), (0x18, b"20200101000000.5Z"), (0x18, b"20201301000000Z"), (0x18, b"0"),
    (0x04, b"200101000000Z"),
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A connection, with the texts in it that nothing may show. ``repr`` shows all of it: it is what is replayed."""

    connection: Any
    canaries: tuple[str, ...]


@dataclass
class Outcome:
    """What came of many connections.

    :param kinds: how often the hook gave a client (None) or each type of exception.
    :param lines: how the lines of the Test button began, and how often.
    :param broken: what must not come: another exception, a field that is not named, a secret, a text that cannot be encoded.
    """

    kinds: Counter[type[BaseException] | None] = field(default_factory=Counter)
    lines: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0


def _canary(chance: random.Random) -> str:
    return f"k4n4{chance.getrandbits(64):016x}"


def _extensions(chance: random.Random) -> bytes:
    made = []
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        critical = chance.choice((b"", b"", b"\x01\x01\xff", b"\x01\x01\x00", b"\x01\x00"))
        content = chance.choice(CONTENTS) if chance.random() < 0.7 else chance.randbytes(chance.choice((1, 4, 40)))
        made.append(sequence(sequence(chance.choice(EXTENSIONS), tag=6), critical, sequence(content, tag=4)))
    return sequence(sequence(*made), tag=0xA3)


def _name(chance: random.Random) -> bytes:
    parts = []
    for _ in range(chance.choice((0, 1, 1, 3))):
        kind, text = (
            chance.choice((0x0C, 0x13, 0x14, 0x16, 0x1C, 0x1E, 0x02, 0x30)),
            chance.randbytes(chance.choice((0, 3, 9))),
        )
        attribute = sequence(
            sequence(bytes.fromhex(chance.choice(("550403", "55040a", "2a", ""))), tag=6), sequence(text, tag=kind)
        )
        parts.append(sequence(attribute, tag=0x31))
    return sequence(*parts)


def _remade(chance: random.Random, der: bytes) -> bytes:
    """A certificate with some of its fields made anew; its signature is of no interest to the client that shows it."""

    def change(fields: list[bytes]) -> None:
        for _ in range(chance.choice((1, 1, 2, 3))):
            match chance.randrange(8):
                case 0 | 1 | 2:
                    fields[7:] = [_extensions(chance) for _ in range(chance.choice((1, 1, 1, 2)))]
                case 3:
                    fields[chance.choice((3, 5))] = _name(chance)
                case 4:
                    fields[4] = sequence(*(sequence(text, tag=tag) for tag, text in chance.choices(TIMES, k=2)))
                case 5:
                    fields[1] = sequence(chance.choice((b"", b"\0", b"\x80", b"\xff" * 30, b"\x01")), tag=2)
                case 6:
                    fields[0] = sequence(sequence(chance.choice((b"\0", b"\1", b"\2", b"\7", b""))), tag=0xA0)
                case _:
                    place = chance.randrange(len(fields))
                    fields[place] = chance.choice(
                        (b"", b"\x05\x00", fields[place] * 2, fields[place][:-1], chance.randbytes(9))
                    )
            if len(fields) < 8:
                return

    return changed(der, change)


def _damaged_bytes(chance: random.Random, der: bytes) -> bytes:
    changed_bytes = bytearray(der)
    for _ in range(chance.randint(1, 4)):
        # Mostly in front, where the structure is.
        most = len(changed_bytes) if chance.random() < 0.5 else min(60, len(changed_bytes))
        if most:
            changed_bytes[chance.randrange(most)] = chance.randrange(256)
    return bytes(changed_bytes[: chance.randrange(len(der) + 1)] if chance.random() < 0.1 else changed_bytes)


def _chain(chance: random.Random, pool: Pool, own: bytes) -> str:
    leaf = own if chance.random() < 0.6 else _remade(chance, own)
    if chance.random() < 0.08:
        leaf = _damaged_bytes(chance, leaf)
    chain = [leaf, *chance.choices(pool.issuers, k=chance.choice((0, 0, 1, 2, 4)))]
    if chance.random() < 0.1:
        chain.append(_remade(chance, chance.choice(pool.issuers)))
    if chance.random() < 0.1:
        chance.shuffle(chain)
    return "".join(map(pem_of, chain))


def _key(chance: random.Random, sealed: Sealed) -> str:
    if chance.random() < 0.9:
        return sealed.pem
    marks = re.match(r"-----BEGIN ([A-Z ]+)-----\n", sealed.pem)
    if marks is None or "Proc-Type" in sealed.pem:
        return _spliced(chance, sealed.pem)
    der = base64.b64decode("".join(sealed.pem.splitlines()[1:-1]))
    return pem_of(_damaged_bytes(chance, der), marks[1])


def _spliced(chance: random.Random, text: str) -> str:
    place = chance.randrange(len(text) + 1)
    return text[:place] + chance.choice(SPLICES) + text[place + chance.choice((0, 0, 1, 8)) :]


def _relabelled(chance: random.Random, text: str) -> str:
    label = chance.choice(LABELS)
    return re.sub(r"(?<=BEGIN )[A-Z0-9 ]+(?=-----)|(?<=END )[A-Z0-9 ]+(?=-----)", label, text)


def _shuffled(chance: random.Random, text: str) -> str:
    lines = text.split("\n")
    chance.shuffle(lines)
    return "\n".join(lines)


def _in_base64(chance: random.Random, text: str) -> str:
    raw = text.encode("utf-8", "surrogatepass")
    return (base64.encodebytes(raw) if chance.random() < 0.5 else base64.b64encode(raw)).decode()


DAMAGES: Final[tuple[Callable[[random.Random, str], str], ...]] = (
    _spliced,
    _spliced,
    _spliced,
    _relabelled,
    _shuffled,
    _in_base64,
    lambda chance, text: text[: chance.randrange(len(text) + 1)],
    lambda chance, text: text.replace(
        "\n", chance.choice(("", " ", "\r\n", "\r", "\\n", "\\\\n", "\\\\\\n", "\\r\\n", "\n\n", "%0A"))
    ),
    lambda chance, text: text * chance.choice((2, 2, 3, 40)),
    lambda chance, text: "".join(chance.choice((text, "x", "")) for _ in range(3)),
    lambda chance, text: text.replace("-----", chance.choice(("----", "------", "–––––", "-", ""))),
    lambda chance, text: chance.choice(("# ", "\ufeff", "Bag Attributes\n", '"', "b'", "\n\n")) + text,
    lambda chance, text: text + chance.choice(("\n", "\r\n", "\\n", " ", "\x00", '"')),
    lambda chance, text: "".join(line for line in text.splitlines(keepends=True) if chance.random() < 0.9),
)


def _proxy(chance: random.Random, canary: str) -> str:
    if chance.random() < 0.5:
        return chance.choice(PROXIES)
    user = chance.choice(
        (canary, f"u:{canary}", f"{canary}:", f"u:{canary}%zz", f"u:{urllib.parse.quote(canary + '@/?#')}")
    )
    return f"http://{user}@{chance.choice(('proxy:3128', 'proxy', '[::1]:1', 'x:y', ''))}"


def _fields(chance: random.Random, pool: Pool) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Return the fields of a connection as it should be, its extras, and what of them is secret."""
    canaries = [_canary(chance) for _ in range(3)]
    pair = chance.choice(pool.pairs)
    sealed = chance.choice(pair.keys)
    extra: dict[str, Any] = {
        "sdkappid": chance.choice((1400000001, "1400000001")),
        "client_cert": _chain(chance, pool, pair.certificate),
        "private_key": _key(chance, sealed),
    }
    if sealed.passphrase:
        extra["private_key_passphrase"] = sealed.passphrase + chance.choice(("", "", "", "\n"))
    if chance.random() < 0.97:  # the system's store takes long to load
        extra["ca_cert"] = "".join(map(pem_of, chance.choices(pool.issuers, k=chance.choice((1, 1, 2)))))
    if chance.random() < 0.3:
        extra["secret_key"] = canaries[0]
    if chance.random() < 0.2:
        extra["proxy"] = _proxy(chance, canaries[1])
    if chance.random() < 0.1:
        extra["environment"] = chance.choice(("production", "test", "", "test\n", "Test"))
    fields = {
        "host": chance.choice(HOSTS) if chance.random() < 0.1 else "127.0.0.1",
        "port": chance.choice(PORTS) if chance.random() < 0.05 else 443,
        "login": "admin",
        "password": canaries[2],
    }
    return fields, extra, [*canaries, *sealed.canaries]


def _befall(chance: random.Random, fields: dict[str, Any], extra: dict[str, Any]) -> None:
    """Have something happen to one field."""
    name = chance.choice((*fields, *TEXTS, *PEMS, *PEMS, *PEMS))
    holder = fields if name in fields else extra
    value = holder.get(name)
    match chance.randrange(10):
        case 0 | 1:
            holder[name] = chance.choice(STRANGE)
        case 2 if name not in {"host", "port"}:  # these may be shown
            holder[name] = extra.get(chance.choice(TEXTS))
        case 3:
            extra[
                chance.choice(("usersig", "verify", "", "\ud800", "x" * 90, "-----BEGIN PRIVATE KEY-----", "Proxy"))
            ] = value
        case 4:
            holder[name] = chance.choice(([value], {"a": value}, value, None))
        case 5 if holder is extra:
            extra.pop(name, None)
        case _ if isinstance(value, str) and value:
            holder[name] = chance.choice(DAMAGES)(chance, value)
        case _:
            holder[name] = "".join(map(chr, chance.choices(range(0xE000), k=chance.choice((1, 9, 90)))))


def _extra_as_stored(chance: random.Random, extra: dict[str, Any]) -> Any:
    dice = chance.random()
    with contextlib.suppress(ValueError):  # JSON has no number of more than 4300 digits
        if dice < 0.9:
            return json.dumps(extra, ensure_ascii=chance.random() < 0.5)
        if dice < 0.93:
            return _spliced(chance, json.dumps(extra))
    return chance.choice(STRANGE) if dice > 0.97 else extra  # no text at all


def generated(count: int, *, seed: int = 1, part: int = 0) -> Iterator[Case]:
    """Give connections of a part, the same ones for the same seed."""
    chance = random.Random(f"{seed}/{part}")  # noqa: S311 - to be repeatable
    pool = Pool.of(seed)
    for _ in range(count):
        fields, extra, canaries = _fields(chance, pool)
        for _ in range(chance.choice((0, 0, 0, 1, 1, 2))):
            _befall(chance, fields, extra)
        connection = SimpleNamespace(
            conn_id=CONN_ID, conn_type="timav", extra=_extra_as_stored(chance, extra), **fields
        )
        yield Case(connection, tuple(canaries))


class _Hook(TimAVHook):
    """A hook whose connection is the one of a case."""

    def __init__(self, connection: Any) -> None:
        super().__init__(CONN_ID)
        self._connection = connection

    def get_connection(self, conn_id: str) -> Any:  # type: ignore[override]  # there it is of the class
        """Return the connection as it is."""
        return self._connection


class _Collector(logging.Handler):
    """Keeps what was logged since it was asked last."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())

    def take(self) -> list[str]:
        """Return the lines, and forget them."""
        taken, self._lines = self._lines, []
        return taken


def _no_address(host: Any, *args: Any, **facts: Any) -> list[Any]:
    """Find no address, as a system without a network does; what is no name of a host is refused as it would be."""
    if isinstance(host, str):
        host.encode("idna")
    raise socket.gaierror(socket.EAI_NONAME, "no network")


@contextlib.contextmanager
def unplugged() -> Iterator[_Collector]:
    """Have no name lead anywhere, and collect what the provider logs. Airflow's masker is given back as it was.

    Files that do not fit are read again at once: none of them is being rotated.
    """
    from airflow.sdk._shared.secrets_masker import _secrets_masker

    masker, collector, count, mask = _secrets_masker(), _Collector(), itertools.count(), of_connection._tell

    def tell(secrets: Sequence[str]) -> None:
        if next(count) % MASKED_ONE_IN == 0:
            mask(secrets)

    log = logging.getLogger("airflow_provider_timav")
    before = log.level, log.propagate
    log.addHandler(collector)
    log.propagate = False
    log.setLevel(logging.DEBUG)
    try:
        with (
            mock.patch.object(socket, "getaddrinfo", _no_address),
            mock.patch.object(of_connection, "_tell", tell),
            mock.patch.object(of_hook, "ROTATION_SECONDS", 0),
            mock.patch.multiple(masker, patterns=set(), replacer=None),
        ):
            yield collector
    finally:
        log.removeHandler(collector)
        log.level, log.propagate = before


def _own_texts(error: BaseException) -> Iterator[str]:
    todo: list[BaseException | None] = [error]
    while todo:
        if (link := todo.pop()) is not None:
            yield f"{link} {link.args!r} {vars(link)!r}"
            todo += [link.__cause__, link.__context__]


def flaws(case: Case, texts: Sequence[str], error: BaseException | None = None) -> Iterator[str]:
    """Say what is wrong with what came of a case, without quoting it."""
    if error is not None and not isinstance(error, TimAVError):
        yield type(error).__name__
    if isinstance(error, ConfigurationError | CertificateError) and not error.field:
        yield f"{type(error).__name__} without a field"
    for text in texts:
        if found := re.search(r"because of an unexpected \w+", text):
            yield found[0]
        if any(canary in text for canary in case.canaries):
            yield "a secret is shown"
        if text != text.encode(errors="replace").decode():
            yield "a text that cannot be encoded"


def _try(case: Case, collector: _Collector, outcome: Outcome, *, aloud: Callable[[str], None]) -> None:
    error: BaseException | None = None
    texts: list[str] = []
    try:
        with _Hook(case.connection) as hook:
            hook.get_conn()
            hook.async_client()
    except Exception as raised:  # noqa: BLE001 - which ones come is the question
        error = raised
        texts += _own_texts(raised)
    outcome.kinds[None if error is None else type(error)] += 1
    if error is None or outcome.kinds.total() % 2:  # what fails takes the Test button as long again
        try:
            ok, line = _Hook(case.connection).test_connection()
            outcome.lines[f"{ok}, {line.partition(':')[0].partition(' http')[0]}"] += 1
            texts.append(line)
        except Exception as raised:  # noqa: BLE001 - nor must the Test button raise any
            error = raised
            texts.append("because of an unexpected exception")
    for flaw in flaws(case, [*texts, *collector.take()], error):
        outcome.broken[flaw] += 1
        aloud(f"{flaw}: {case!r}")


def try_all(count: int, *, seed: int = 1, part: int = 0, aloud: Callable[[str], None] = lambda flaw: None) -> Outcome:
    """Try so many connections with a hook that makes its clients; those that give some, and half of the others, with Test, too.

    :param aloud: is told each flaw with its case.
    """
    from airflow.sdk._shared.secrets_masker import _secrets_masker

    outcome = Outcome()
    with unplugged() as collector:
        for case in generated(count, seed=seed, part=part):
            _secrets_masker().patterns.clear()  # each further secret makes the next one slower
            began = time.monotonic()
            _try(case, collector, outcome, aloud=aloud)
            outcome.slowest = max(outcome.slowest, time.monotonic() - began)
    return outcome


def _try_part(count: int, seed: int, part: int, show: bool) -> Outcome:
    logging.getLogger().handlers.clear()  # Airflow's console
    return try_all(count, seed=seed, part=part, aloud=print if show else lambda flaw: None)


def _try_in_parts(count: int, *, seed: int, show: bool) -> Outcome:
    """Try so many connections in as many processes as there are cores."""
    whole = Outcome()
    parts = [min(PART, count - first) for first in range(0, count, PART)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(_try_part, parts, [seed] * len(parts), range(len(parts)), [show] * len(parts)):
            whole.kinds += found.kinds
            whole.lines += found.lines
            whole.broken += found.broken
            whole.slowest = max(whole.slowest, found.slowest)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Try, print what came, return 1 if anything came that must not."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.acceptance.faults.connections", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("count", type=int, nargs="?", default=100_000)
    parser.add_argument("--seed", type=int, default=1, help="another one gives other connections (default: 1)")
    parser.add_argument("--show", action="store_true", help="print each connection with which something is wrong")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    outcome = _try_in_parts(options.count, seed=options.seed, show=options.show)
    for kind, times in outcome.kinds.most_common():
        print(f"{times:>8}  {kind.__name__ if kind else 'clients'}")
    for line, times in outcome.lines.most_common():
        print(f"{times:>8}  Test: {line}")
    for flaw, times in outcome.broken.most_common():
        print(f"{times:>8}  WRONG: {flaw}")
    print(
        f"{outcome.kinds.total()} connections in {time.monotonic() - began:.0f} s, the slowest in {outcome.slowest:.1f} s, "
        f"what must not come: {', '.join(outcome.broken) or 'nothing'}"
    )
    return int(bool(outcome.broken))


if __name__ == "__main__":
    sys.exit(main())
