"""The text of an HLS playlist: its lines, the attributes in one, and the variables in all of them.

Of a long list (a broadcast that keeps all its segments grows for hours) the middle is only counted: the segments that are
requested stand at the end. The rest is read a piece at a time, so that reading it takes little memory beside the body, whatever
it contains; and all of it takes time in proportion to its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

__all__ = [
    "LARGEST_PLAYLIST",
    "Filling",
    "NotAPlaylist",
    "TooLong",
    "attributes",
    "defined_variables",
    "lines",
    "without_middle",
]

LARGEST_PLAYLIST: Final = 16 << 20
"""Bytes, decompressed. A day of two-second segments with signed addresses is about as long."""

LONG_LIST: Final = 1 << 18
"""Bytes from which on the middle of a list is only counted."""

_KEPT: Final = 1 << 16
"""Bytes at either end of a long list that are read line by line, and of one of its lines: no longer address is requested."""

_MOST_VARIABLES: Final = 1000

_MOST_KEYS: Final = 20
"""Tags of one kind before the middle of a long list that are kept."""

# A name begins if none stands before it: tried at each of its characters, a long one without a value would take the square
# of its length.
_ATTRIBUTE = re.compile(r'(?<![A-Z0-9-])([A-Z0-9-]+)=(?:"([^"]*)"|([^",]*))')
_VARIABLE = re.compile(r"\{\$([A-Za-z0-9_-]+)\}")


class NotAPlaylist(Exception):  # it is no error of the program: it is a finding
    """The body is no playlist that could be read; the message says why in a few words and quotes none of it."""


class TooLong(NotAPlaylist):
    """The body, or the body with its variables filled in, is too long to be read here; players may read it."""

    def __init__(self) -> None:
        super().__init__(f"a body of more than {LARGEST_PLAYLIST >> 20} MiB")


def lines(piece: bytes) -> Iterable[str]:
    """Return the lines of a playlist, or of a part of one.

    All lines of a long one at once would take up to twenty times as much memory as it does.
    """
    if len(piece) <= LONG_LIST:
        return piece.decode(errors="replace").split("\n")
    return _lines_of_slabs(piece)


def _lines_of_slabs(piece: bytes) -> Iterator[str]:
    begin = 0
    while begin < len(piece):
        end = piece.rfind(b"\n", begin, begin + _KEPT)
        if end < 0:  # one line, of which only the beginning is read
            end = piece.find(b"\n", begin)
        end = len(piece) if end < 0 else end
        yield from piece[begin : min(end, begin + _KEPT)].decode(errors="replace").split("\n")
        begin = end + 1


def without_middle(body: bytes) -> tuple[list[bytes], int, bool]:
    """Return the pieces of a playlist to read, how many segments lie between them, and whether an end is declared there.

    The pieces of a long list are its beginning, then the tags that hold for the end, and the end; of a list that is not long,
    or has no segments, all of it.
    """
    if len(body) <= LONG_LIST:
        return [body], 0, False
    mark = b"\n#EXTINF"
    begin = body.rfind(mark, 0, _KEPT)
    if begin < 0 and (begin := body.find(mark)) < 0:
        return [body], 0, False
    # Whatever follows the last segment, those before it are requested.
    end = body.find(mark, max(begin, body.rfind(mark) - _KEPT))
    kept: list[bytes] = []
    for tag in (b"\n#EXT-X-MAP:", b"\n#EXT-X-KEY:"):  # they hold for the segments that follow
        last = body.rfind(tag, 0, end)
        for _ in range(_MOST_KEYS if last >= 0 else 0):
            line_end = body.find(b"\n", last + 1)
            kept.insert(0, body[last + 1 : min(line_end, last + 1 + 8192)])
            last = body.rfind(b"\n", 0, last)
            if last < 0 or not body.startswith(tag, last):
                break
    pieces = [body[:begin], b"\n".join(kept), body[end + 1 :]]
    return pieces, body.count(mark, begin, end), body.find(b"\n#EXT-X-ENDLIST", begin, end) >= 0


def attributes(text: str) -> dict[str, str]:
    """Return an attribute list (RFC 8216, 4.2) by name, without quotes."""
    return {found[1]: found[2] if found[3] is None else found[3].strip() for found in _ATTRIBUTE.finditer(text)}


def defined_variables(head: bytes, url: str, imported: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of ``EXT-X-DEFINE`` (rfc8216bis, 4.4.2.3): by value, from the master playlist, or from the query.

    :raises NotAPlaylist: if a variable is to come from a place that does not have it.
    """
    query: dict[str, str] | None = None
    found: dict[str, str] = {}
    for line in lines(head):
        if not line.startswith("#EXT-X-DEFINE:"):
            continue
        given = attributes(line.partition(":")[2])
        if (name := given.get("NAME")) is not None:
            found[name] = given.get("VALUE", "")
        elif (name := given.get("IMPORT")) is not None and name in imported:
            found[name] = imported[name]
        elif (name := given.get("QUERYPARAM")) is not None:
            if query is None:
                query = dict(parse_qsl(urlsplit(url).query))
            if name not in query:
                raise NotAPlaylist("a playlist with a variable that its address does not have")
            found[name] = query[name]
        elif "IMPORT" in given:
            raise NotAPlaylist("a playlist with a variable that its master playlist does not define")
        if len(found) > _MOST_VARIABLES:
            raise NotAPlaylist(f"a body of more than {_MOST_VARIABLES} variables")
    return found


class Filling:
    """Fills variables in, until a playlist is longer with them than any that is read: a few bytes can mean gigabytes.

    :param length: of the playlist as it came.
    """

    def __init__(self, defined: Mapping[str, str], length: int) -> None:
        self._variables = defined
        self._sizes = {name: len(value.encode(errors="replace")) for name, value in defined.items()}
        self._length = length

    def filled_in(self, line: str) -> str:
        """Return a line with the values of its variables.

        :raises TooLong: if all lines up to this one are too long together; nothing has been put together by then.
        :raises NotAPlaylist: if it uses a variable that is not defined.
        """
        return _VARIABLE.sub(self._value, line) if "{$" in line else line

    def _value(self, found: re.Match[str]) -> str:
        if found[1] not in self._variables:
            raise NotAPlaylist("a playlist with a variable that it does not define")
        self._length += self._sizes[found[1]] - len(found[0])
        if self._length > LARGEST_PLAYLIST:
            raise TooLong
        return self._variables[found[1]]
