"""Secrets to look for, and all the text there is to look in."""

from __future__ import annotations

import contextlib
import logging
import traceback
import urllib.parse
from collections.abc import Iterable, Iterator

from airflow_provider_timav.videorelay.errors import TimAVError

__all__ = ["Canaries", "everything_logged", "texts_of"]

WINDOW = 12


def _windows(text: str) -> Iterator[str]:
    return (text[place : place + WINDOW] for place in range(len(text) - WINDOW + 1))


class Canaries:
    """Secrets under their names; each has 12 characters or more, so that any window of 12 can be looked for."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def add(self, name: str, *secrets: str) -> None:
        """Look for these from now on: as they are, and quoted as in an address."""
        for secret in secrets:
            if len(secret) < WINDOW:
                raise ValueError(f"{name} is too short to look for a window of it")
            quoted = (urllib.parse.quote(secret, safe=""), urllib.parse.quote(secret), urllib.parse.quote_plus(secret))
            for form in (secret, *quoted):
                self._names.update(dict.fromkeys(_windows(form), name))

    def add_pem(self, name: str, pem: str) -> None:
        """Look for each line of base64 of a PEM; a last line that is shorter than a window is left out."""
        self.add(name, *(line for line in pem.splitlines() if "-----" not in line and len(line) >= WINDOW))

    def hits(self, text: str) -> set[str]:
        """Return the names of the secrets of which 12 characters in a row stand in ``text``."""
        return {self._names[window] for window in set(_windows(text)) & self._names.keys()}


@contextlib.contextmanager
def everything_logged() -> Iterator[list[str]]:
    """Collect what any logger says, at DEBUG, tracebacks included."""
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    collector = Collector(logging.DEBUG)
    root = logging.getLogger()
    known = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    # Only those that would keep something to themselves: setting a level costs a walk over all loggers.
    deaf = [each for each in known if each.level > logging.DEBUG or not each.propagate or each.disabled]
    before = [(each, each.level, each.propagate, each.disabled) for each in (root, *deaf)]
    for each, *_ in before:
        each.setLevel(logging.DEBUG)
        each.propagate, each.disabled = True, False
    root.addHandler(collector)
    try:
        yield lines
    finally:
        root.removeHandler(collector)
        for each, level, propagate, disabled in before:
            each.setLevel(level)
            each.propagate, each.disabled = propagate, disabled


def _chain(error: BaseException) -> Iterator[BaseException]:
    todo: list[BaseException | None] = [error]
    while todo:
        if (link := todo.pop()) is not None:
            yield link
            todo += [link.__cause__, link.__context__]


def texts_of(error: BaseException) -> Iterable[str]:
    """Give every text that can be made of an exception, its causes and its contexts, hidden ones too."""
    for link in _chain(error):
        yield str(link)
        yield repr(link)
        yield repr(link.args)
        yield repr(vars(link))
        yield "".join(traceback.format_exception(link))
        if isinstance(link, TimAVError):
            yield repr(link.__reduce__())
