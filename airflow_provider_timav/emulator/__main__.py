"""The emulator as a command: prints a ready connection, then one line per request, until it is interrupted."""

from __future__ import annotations

import argparse
import ast
import inspect
import os
import re
import shlex
import signal
import sys
import textwrap
import threading
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from airflow_provider_timav.emulator.emulator import DEFAULT_ROOM_ID, DEFAULT_USER_ID, Emulator
from airflow_provider_timav.emulator.switches import Switches

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["main"]


def _room(text: str) -> tuple[int, list[str]]:
    """Return the room and users of `10086:host_1,host_2`; a user id may hold colons, and there may be none."""
    room_id, _, users = text.partition(":")
    if not (room_id.isascii() and room_id.isdecimal() and int(room_id) < 2**32):
        raise argparse.ArgumentTypeError(f"{text!r} does not begin with a room number")
    return int(room_id), [user for user in users.split(",") if user]


def _whole(text: str) -> int:
    """Return the number that decimal digits write; int() would also take `1_000`, and digits of other scripts."""
    if not re.fullmatch("[0-9]{1,20}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def _decimal(text: str) -> float:
    """Return the number that decimal digits write, with a fraction or without."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return float(text)


_TYPES: dict[type, Callable[[str], Any]] = {int: _whole, float: _decimal, str: str}
"""How a value is read, by the type of its default."""


def _flag(text: str) -> bool:
    if text.lower() not in ("yes", "no"):
        raise argparse.ArgumentTypeError("yes or no")
    return text.lower() == "yes"


def _meanings() -> dict[str, str]:
    """Return the meaning of each switch, read from the text below its field."""
    body = ast.parse(textwrap.dedent(inspect.getsource(Switches))).body[0]
    statements = body.body if isinstance(body, ast.ClassDef) else []
    return {
        field.target.id: ast.literal_eval(meaning.value).replace("%", "%%")
        for field, meaning in pairwise(statements)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(meaning, ast.Expr)
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_timav.emulator",
        description="A stand-in for the videorelay service on loopback, with credentials of its own invention.",
    )
    parser.add_argument("--port", type=_whole, default=0, help="port of the API (default: any free one)")
    parser.add_argument("--media-port", type=_whole, default=0, help="port of playlists and control (default: any)")
    parser.add_argument(
        "--room",
        type=_room,
        action="append",
        metavar="ROOM:USER[,USER]",
        help=f"a room and who is in it; may be repeated (default: {DEFAULT_ROOM_ID}:{DEFAULT_USER_ID})",
    )
    parser.add_argument(
        "--host-enters-after",
        type=_decimal,
        default=0.0,
        metavar="SECONDS",
        help="rooms do not exist until their users enter, this many seconds after the start",
    )
    parser.add_argument("--sdkappid", type=_whole, default=1400000001)
    parser.add_argument("--identifier", default="administrator")
    parser.add_argument(
        "--write-connection", type=Path, metavar="FILE", help="also write the connection's JSON, readable by you alone"
    )
    group = parser.add_argument_group("switches, for what the specification leaves open")
    hints, meanings = get_type_hints(Switches), _meanings()
    for switch in fields(Switches):
        hint = hints[switch.name]
        options: dict[str, Any] = {"default": switch.default, "dest": switch.name}
        if hint is bool:
            options |= {"type": _flag, "metavar": "yes|no"}
            shown = "yes" if switch.default else "no"
        else:
            choices = get_args(hint)
            options |= {"type": _TYPES[type(switch.default)]} | ({"choices": choices} if choices else {})
            shown = repr(switch.default)
        group.add_argument(
            f"--{switch.name.replace('_', '-')}", help=f"{meanings[switch.name]} Default: {shown}.", **options
        )
    return parser


def _write_privately(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)  # an older file's mode would be kept
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return 0 then, and 1 when a port is taken or the file cannot be written."""
    parser = _parser()
    options = parser.parse_args(arguments)
    rooms: dict[int, list[str]] = {}
    for room_id, users in options.room or [(DEFAULT_ROOM_ID, [DEFAULT_USER_ID])]:
        rooms.setdefault(room_id, []).extend(users)
    try:
        emulator = Emulator(
            sdkappid=options.sdkappid,
            identifier=options.identifier,
            rooms={} if options.host_enters_after else rooms,
            api_port=options.port,
            media_port=options.media_port,
            switches=Switches(**{switch.name: getattr(options, switch.name) for switch in fields(Switches)}),
            on_request=lambda entry: print(f"{entry.at.astimezone():%H:%M:%S} {entry.line()}", flush=True),
        )
        for room_id, users in rooms.items() if options.host_enters_after else ():
            for user_id in users:
                emulator.enter(room_id, user_id, after=options.host_enters_after)
    except ValueError as error:
        parser.error(str(error))
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    doing = "listen"
    try:
        emulator.start()
        if options.write_connection:
            doing = f"write {options.write_connection}"
            _write_privately(options.write_connection, emulator.connection_json())
        _greet(emulator, rooms, options.host_enters_after)
        ended.wait()
    except OSError as error:
        print(f"The emulator cannot {doing}: {error.strerror or error}", file=sys.stderr)
        return 1
    finally:
        emulator.stop()
    print("The emulator has stopped.", flush=True)
    return 0


def _greet(emulator: Emulator, rooms: dict[int, list[str]], enters_after: float) -> None:
    when = f"in {enters_after:g} s" if enters_after else "now"
    print(f"# API      {emulator.api_url}  (mutual TLS)")
    print(f"# Control  {emulator.media_url}/control")
    for room_id, users in rooms.items():
        print(f"# Room     {room_id}: {', '.join(users) or 'no one'} ({when})")
    print("# Connection, with credentials that this emulator invented and no other knows:")
    print(f"export AIRFLOW_CONN_TIMAV_DEFAULT={shlex.quote(emulator.connection_json())}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
