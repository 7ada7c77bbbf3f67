"""Secrets to look for, and all the text there is to look in."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import threading
import traceback
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any

import pytest
import sentry_sdk
import sentry_sdk.serializer
from sentry_sdk.envelope import Envelope
from sentry_sdk.scrubber import EventScrubber
from sentry_sdk.transport import Transport

from airflow_provider_timav.videorelay import aclient, client
from airflow_provider_timav.videorelay.errors import TimAVError
from harness.project import PROJECT

__all__ = ["Canaries", "Sentry", "everything_logged", "texts_of"]

WINDOW = 12


def _windows(text: str) -> Iterator[str]:
    return (text[place : place + WINDOW] for place in range(len(text) - WINDOW + 1))


def _in_base64(secret: str) -> Iterator[str]:
    """What of base64 a secret alone decides, wherever it begins in what is encoded."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + secret.encode()).decode()
        yield encoded[4 if before else 0 : -4]


class Canaries:
    """Secrets under their names; each has 12 characters or more, so that any window of 12 can be looked for."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def add(self, name: str, *secrets: str) -> None:
        """Look for these from now on: as they are, quoted as in an address, and within what is encoded in base64."""
        for secret in secrets:
            if len(secret) < WINDOW:
                raise ValueError(f"{name} is too short to look for a window of it")
            quoted = (urllib.parse.quote(secret, safe=""), urllib.parse.quote(secret), urllib.parse.quote_plus(secret))
            for form in (secret, *quoted, *_in_base64(secret)):
                self._names.update(dict.fromkeys(_windows(form), name))

    def add_pem(self, name: str, pem: str, *, public: str = "") -> None:
        """Look for each line of base64 of a PEM; a last line that is shorter than a window is left out.

        :param public: the PEM of what is no secret of it: a key holds its public part, which the certificate shows, at times
            in the same characters.
        """
        self.add(name, *(line for line in pem.splitlines() if "-----" not in line and len(line) >= WINDOW))
        for window in _windows(public):
            self._names.pop(window, None)

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


class _Kept(Transport):
    """Keeps what would be sent to Sentry."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__()
        self._texts = texts

    def capture_envelope(self, envelope: Envelope) -> None:
        self._texts.append(envelope.serialize().decode())


class Sentry:
    """Watches this process as Sentry does with its defaults, and tells more: all variables, none scrubbed by its name.

    It is shown each exception that leaves a call, and each that a library raises in one, before it is made into another.
    """

    def __init__(self) -> None:
        self._texts: list[str] = []

    def __enter__(self) -> Sentry:
        self._stack = contextlib.ExitStack()
        patch = self._stack.enter_context(pytest.MonkeyPatch.context())
        for name in ("MAX_DATABAG_DEPTH", "MAX_DATABAG_BREADTH"):
            patch.setattr(sentry_sdk.serializer, name, 50)
        for module in (client, aclient):
            patch.setattr(module, "error_of", self._shown_to(module.error_of))
        before = sentry_sdk.get_global_scope().client
        self._stack.callback(sentry_sdk.get_global_scope().set_client, before)
        # The scope outlives the client: what one test has let it see is none of the next one's.
        self._stack.callback(sentry_sdk.get_isolation_scope().clear_breadcrumbs)
        sentry_sdk.init(
            "http://key@127.0.0.1:1/1",
            transport=_Kept(self._texts),
            before_breadcrumb=self._crumb,
            event_scrubber=EventScrubber(denylist=[], pii_denylist=[]),
        )
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def see(self, error: BaseException) -> None:
        """Capture an exception. Frames of the tests above the product know the secrets, and are left out."""
        whole = error.__traceback__
        sentry_sdk.capture_exception(error.with_traceback(_below_the_tests(whole)))
        error.__traceback__ = whole

    def take(self) -> str:
        """Return what it was told since it was asked last: events and breadcrumbs."""
        told = "\n".join(self._texts)
        self._texts.clear()
        return told

    def _shown_to(self, error_of: Callable[..., TimAVError]) -> Callable[..., TimAVError]:
        def seen(trouble: BaseException, *args: Any, **facts: Any) -> TimAVError:
            self.see(trouble)
            return error_of(trouble, *args, **facts)

        return seen

    def _crumb(self, crumb: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any] | None:
        if threading.current_thread().name == "fault-peer":
            return None  # what hands a request on to the emulator knows the UserSig
        self._texts.append(json.dumps(crumb, default=repr))
        return crumb


def _below_the_tests(trace: TracebackType | None) -> TracebackType | None:
    tests = tuple(str(PROJECT / folder) for folder in ("tests", "harness"))
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename.startswith(tests):
        trace = trace.tb_next
    return trace
