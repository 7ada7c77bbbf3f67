"""Values that people can write where the provider reads back what it wrote; each breaks a reader that trusts it."""

from __future__ import annotations

import json
from typing import Any

TEXTS: dict[str, str] = {
    "nothing": "",
    "a blank": " ",
    "no JSON": "{",
    "half an object": '{"generation": "a1"',
    "a word": "stop",
    "null": "null",
    "a boolean": "true",
    "a number": "7",
    "a text": '"text"',
    "a list": "[]",
    "an empty object": "{}",
    "lists within lists": "[" * 10_000,
    "lists within lists, closed": "[" * 10_000 + "]" * 10_000,
    "objects within objects": '{"a":' * 10_000 + "1" + "}" * 10_000,
    "a text of a mebibyte": json.dumps("x" * 2**20),
    "an object of a mebibyte": json.dumps({"title": "x" * 2**20}),
    "a hundred thousand members": json.dumps({str(number): number for number in range(100_000)}),
    "infinity": '{"room_id": Infinity}',
    "minus infinity": '{"room_id": -Infinity}',
    "no number": '{"room_id": NaN}',
    "more than a float holds": '{"room_id": 1e400}',
    "more than a database holds": '{"room_id": ' + "9" * 40 + "}",
    "five thousand digits": '{"room_id": ' + "9" * 5000 + "}",
    "half a character": '"\\ud800"',
    "half a character as a name": '{"\\ud800": 1}',
    "a class": '{"__classname__": "subprocess.Popen", "__version__": 1, "__data__": {"args": ["true"]}}',
    "a prototype": '{"__proto__": {"state": "ours"}}',
    "NUL": "\x00",
}
"""No entry at all."""

ANYTHING: dict[str, Any] = {
    "null": None,
    "a boolean": True,
    "a number": -1,
    "a large number": 2**64,
    "infinity": float("inf"),
    "no number": float("nan"),
    "a fraction": 1.5,
    "an empty text": "",
    "half a character": "\ud800",
    "a long text": "x" * 5000,
    "a path": "../victim",
    "a list": ["x"],
    "a deep list": json.loads("[" * 100 + "]" * 100),
    "an object": {"a": 1},
    "a class": {"__classname__": "subprocess.Popen", "__version__": 1, "__data__": []},
}
"""In place of one member of an entry that is in order otherwise."""


def members(entry: dict[str, Any]) -> list[str]:
    """Every member of an entry, those within an object by their path."""
    found: list[str] = []
    for name, value in entry.items():
        found.append(name)
        if isinstance(value, dict):
            found += [f"{name}.{inner}" for inner in members(value)]
    return found


def with_member(entry: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The entry with another value for one member."""
    name, _, rest = path.partition(".")
    return {**entry, name: with_member(entry[name], rest, value) if rest else value}


def shapes(entry: dict[str, Any]) -> dict[str, str]:
    """Texts in place of this entry: no entry at all, and each member replaced by anything."""
    found = dict(TEXTS)
    for path in members(entry):
        for what, value in ANYTHING.items():
            found[f"{path}: {what}"] = json.dumps(with_member(entry, path, value))
    return found


def values(entry: dict[str, Any]) -> dict[str, Any]:
    """The same for a store whose values are parsed by Airflow: what JSON can carry through a database."""
    found: dict[str, Any] = {}
    for what, text in shapes(entry).items():
        found[what] = _parsed(text)
        found[f"{what}, as text"] = text
    return found


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
