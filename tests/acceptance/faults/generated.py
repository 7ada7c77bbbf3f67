"""Answers by the ten thousand, from a seed: true ones, and true ones that something happened to.

    python -m tests.acceptance.faults.generated 100000

Whatever comes, reading an answer ends with a result or with an error of this project.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from airflow_provider_timav.videorelay.calls import OPERATIONS, Call
from airflow_provider_timav.videorelay.errors import TimAVError
from airflow_provider_timav.videorelay.reply import Reply
from tests.data import vectors

__all__ = ["generated", "read_all"]

SEQ, COOKIE, ROOM = 41, "c0ffee", 10086
CALLS: Final[tuple[Call[Any], ...]] = tuple(
    OPERATIONS[case["call"]].call(case["arguments"])
    for case in vectors("requests")["cases"]
    if int(case["arguments"]["room_id"]) == ROOM
)
CODES: Final = (0, 0, 0, 415, 412, 413, 411, 401, 208, 301, 1, 999)
STRANGE: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 2**31, 2**32, 2**53 + 1, 2**64, 10**40, -(2**63), 0.0, 0.5, -0.0, 1e300, float("nan"),
    float("inf"), "", " ", "0", "-1", "00", "1e5", "٣", "９", "x" * 5000, "\ud800", "\x00", "签名过期", "[", "{}", '[{"a":1}]',
    [], [[]], [None], {}, {"": {}}, [1, "a", None, {}], "https://[::1", "http://a/\x00.m3u8", "rtmp://a/b", "javascript:1",
)  # fmt: skip
SPLICES: Final = (
    b"NaN", b"-Infinity", b"1e999", b"-", b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b"\\u12", b"\\ud800", b'"', b"{", b"}", b"[",
    b"]", b",", b":", b"9" * 5000, b"0" * 30, b"1.", b"tru", b"\xc7\xa9", b"/* */", b"'", b"\r\n", b"[" * 3000, b'{"a":' * 2000,
)  # fmt: skip
CODINGS: Final = ("utf-8", "utf-8-sig", "utf-16", "utf-32", "gbk", "latin-1")


def _truth(chance: random.Random, call: Call[Any]) -> dict[str, Any]:
    """Return an answer as the service gives it, with some code or none."""
    head: dict[str, Any] = {
        "uint32_sub_cmd": call.operation.sub_cmd,
        "uint32_seq": SEQ,
        "uint32_auth_key": ROOM,
        "uint32_sdk_appid": 1400000001,
        "bytes_cookie_buff": COOKIE,
        "uint32_result": 0,
    }
    if chance.random() < 0.1:
        return {"ActionStatus": "FAIL", "ErrorCode": chance.choice((60003, 70001, 60008, 91000)), "ErrorInfo": "错误"}
    family = {"push": 40000000, "record": 30000000}.get(call.operation.family, 0)
    code = chance.choice(CODES)
    body: dict[str, Any] = {"uint32_result": family + code if code else 0, "str_errorinfo": "成功"}
    if not code:
        body |= {
            "uint64_channel_id": 16093425727655551234,
            "uint32_tape_task_id": 880,
            "str_fileID": ["9896587163", "9896587164"],
            "msg_live_url": [
                {"uint32_type": 1, "string_play_url": "http://a.example/x.m3u8"},
                {"uint32_type": 5, "string_play_url": "rtmp://a.example/x", "RateType ": 20},
            ],
        }
    return {"reqhead": head, "rspbody": {f"rsp_0x{call.operation.sub_cmd:x}": body}}


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Give every container with every key or index in it."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    for key, inner in pairs:
        yield value, key
        yield from _places(inner)


def _place(chance: random.Random, answer: Any) -> tuple[Any, Any]:
    """Choose a container and a key of it; mostly in the business body, behind all that an answer is refused for."""
    inside = list(_places(answer.get("rspbody"))) if chance.random() < 0.7 else []
    return chance.choice(inside or list(_places(answer)))


def _replace(chance: random.Random, answer: Any) -> Any:
    holder, key = _place(chance, answer)
    holder[key] = copy.deepcopy(chance.choice(STRANGE))  # what is put in may be changed next
    return answer


def _remove(chance: random.Random, answer: Any) -> Any:
    holder, key = _place(chance, answer)
    del holder[key]
    return answer


def _rename(chance: random.Random, answer: Any) -> Any:
    holder, key = chance.choice([place for place in _places(answer) if isinstance(place[0], dict)])
    holder[chance.choice((f"{key} ", "", str(key).upper(), "ErrorCode", "uint32_result", "rsp_0x9"))] = holder.pop(key)
    return answer


def _wrap(chance: random.Random, answer: Any) -> Any:
    holder, key = _place(chance, answer)
    for _ in range(chance.choice((1, 2, 31, 40, 200))):
        holder[key] = [holder[key]] if chance.random() < 0.5 else {"a": holder[key]}
    return answer


def _instead(chance: random.Random, answer: Any) -> Any:
    return chance.choice((*STRANGE, [answer], {"reqhead": answer}, answer.get("rspbody")))


def _twice(chance: random.Random, text: str) -> str:
    """Have a name stand twice in one object."""
    name, value = chance.choice((("uint32_result", "0"), ("reqhead", "{}"), ("ErrorCode", "0"), ("a", "1")))
    place = text.find("{", chance.randrange(len(text)))
    return text if place < 0 else f'{text[: place + 1]}"{name}": {value}, "{name}": 7, {text[place + 1 :]}'


def _cut(chance: random.Random, body: bytes) -> bytes:
    return body[: chance.randrange(len(body) + 1)]


def _splice(chance: random.Random, body: bytes) -> bytes:
    place = chance.randrange(len(body) + 1)
    return body[:place] + chance.choice(SPLICES) + body[place + chance.choice((0, 0, 1, 8)) :]


def _flip(chance: random.Random, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        if changed:
            changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _noise(chance: random.Random, body: bytes) -> bytes:
    return chance.randbytes(chance.choice((0, 1, 3, 50, 400)))


TREES: Final[tuple[Callable[[random.Random, Any], Any], ...]] = (_replace, _replace, _remove, _rename, _wrap)
BYTES: Final[tuple[Callable[[random.Random, bytes], bytes], ...]] = (_cut, _splice, _splice, _flip, _flip, _noise)


def _one(chance: random.Random, call: Call[Any]) -> bytes:
    answer: Any = _truth(chance, call)
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        if any(True for _ in _places(answer)):
            answer = chance.choice(TREES)(chance, answer)
    if chance.random() < 0.03:
        answer = _instead(chance, answer)
    text = json.dumps(answer, ensure_ascii=chance.random() < 0.5)
    if chance.random() < 0.08:
        text = _twice(chance, text)
    coding = chance.choice(CODINGS) if chance.random() < 0.1 else "utf-8"
    body = text.encode(coding, errors="backslashreplace" if coding == "utf-8" else "replace")
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        body = chance.choice(BYTES)(chance, body)
    return body


def generated(count: int, *, seed: int = 1) -> Iterator[tuple[Call[Any], Reply]]:
    """Give calls, each with an answer to it; the same ones for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - to be repeatable
    for _ in range(count):
        call = chance.choice(CALLS)
        status = 200 if chance.random() < 0.97 else chance.choice((100, 204, 302, 400, 404, 429, 500, 503, 999))
        retry_after = chance.choice((None, None, "7", "-1", "９", "x", "9" * 400)) if status != 200 else None
        yield call, Reply(status, _one(chance, call), retry_after, chance.choice(("", "text/html", "application/json")))


def read_all(count: int, *, seed: int = 1) -> Counter[type[BaseException] | None]:
    """Read so many answers; return how often each type of exception came, None for a result. Nothing is hidden."""
    seen: Counter[type[BaseException] | None] = Counter()
    for call, reply in generated(count, seed=seed):
        try:
            call.read(reply, seq=SEQ, cookie=COOKIE)
        except Exception as error:  # noqa: BLE001 - which ones come is the question
            seen[type(error)] += 1
        else:
            seen[None] += 1
    return seen


def foreign(seen: Counter[type[BaseException] | None]) -> list[str]:
    """Return the names of what is not this project's own."""
    return sorted(kind.__name__ for kind in seen if kind is not None and not issubclass(kind, TimAVError))


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, print what came, return 1 if anything but this project's errors did."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.acceptance.faults.generated", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("count", type=int, nargs="?", default=100_000)
    parser.add_argument("--seed", type=int, default=1, help="another one gives other answers (default: 1)")
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # what is left out of an answer is said there, a hundred thousand times
    began = time.monotonic()
    try:
        seen = read_all(options.count, seed=options.seed)
    finally:
        logging.disable(logging.NOTSET)
    for kind, times in seen.most_common():
        print(f"{times:>8}  {kind.__name__ if kind else 'a result'}")
    others = foreign(seen)
    print(
        f"{seen.total()} answers in {time.monotonic() - began:.0f} s, other exceptions: {', '.join(others) or 'none'}"
    )
    return int(bool(others))


if __name__ == "__main__":
    sys.exit(main())
