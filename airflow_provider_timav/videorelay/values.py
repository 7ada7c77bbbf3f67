"""The values in an answer, however they are spelt: numbers, ids, lists of ids, live URLs.

Tolerated on purpose (field notes, "Quirks"): numbers as text, lists as null or "", one object for a list of one, the rate key
with its trailing blank. A boolean is no number.
"""

from __future__ import annotations

import json
import logging
import unicodedata
import urllib.parse
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from airflow_provider_timav.videorelay.errors import ProtocolError
from airflow_provider_timav.videorelay.models import LiveUrl
from airflow_provider_timav.videorelay.rules import RATE_TYPES, UINT32_MAX

__all__ = ["digits", "live_urls", "number", "refuse_constant", "texts", "unreadable"]

log = logging.getLogger(__name__)

UINT64_MAX: Final = 2**64 - 1
_RATE_WORDS: Final = {code: word for word, code in RATE_TYPES.items()}
_TYPE_WORDS: Final = {1: "hls", 5: "rtmp"}


def unreadable(what: str) -> ProtocolError:
    """Return the error for an answer that cannot be read: the request may well have been carried out."""
    return ProtocolError(
        f"the answer cannot be used: {what}",
        layer="protocol",
        outcome_class="ambiguous",
        retryable=True,
        executed="maybe",
    )


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which JSON does not have: ``parse_constant`` of ``json.loads``.

    :raises ProtocolError: always.
    """
    raise unreadable(f"{name} is not JSON")


def number(value: Any, what: str, *, least: int = 0, most: int = UINT32_MAX) -> int:
    """Return a number that came as number or text."""
    if isinstance(value, str) and len(value) <= 20:
        digits = value.strip()
        if digits.removeprefix("-").isdigit() and digits.isascii():
            value = int(digits)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise unreadable(f"{what} is not a number in its range")
    return value


def digits(value: Any, what: str) -> str | None:
    """Return an id that exceeds what JSON readers count exactly, as text; None if it is absent or not exact.

    A float has lost digits already: it is logged and left out rather than handed on wrong.
    """
    if value is None or value == "":
        return None
    try:
        return str(number(value, what, most=UINT64_MAX))
    except ProtocolError:
        log.warning("The answer's %s is no whole number in its range; it is left out.", what)
        return None


def _items(value: Any, what: str) -> list[Any] | None:
    """Return a list that may be null, "", JSON in a string, or one object for a list of one; None if it cannot be read."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            value = json.loads(value, parse_constant=refuse_constant)
        except (ValueError, RecursionError, ProtocolError):
            log.warning("The answer's %s cannot be read; it is left out.", what)
            return None
    if value is None or value == "":
        return []
    return value if isinstance(value, list) else [value]


def texts(value: Any, what: str) -> tuple[list[str], bool]:
    """Return a list of ids as text, without empty ones, and whether that is all there is; numbers become text.

    Ids that nothing could keep or show are logged and left out.
    """
    found = []
    items = _items(value, what)
    is_whole = items is not None
    for item in items or ():
        if isinstance(item, bool) or not isinstance(item, str | int) or not _is_writing(text := str(item).strip()):
            log.warning("The answer's %s holds something that is no id; it is left out.", what)
            is_whole = False
        elif text:
            found.append(text)
    return found, is_whole


# Control characters, those that turn writing round, halves of surrogate pairs, and separators of lines.
_NO_WRITING: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def _is_writing(text: str) -> bool:
    """Return whether every log, database and terminal can take a text: no line break forges a line, no NUL ends it."""
    return text.isprintable() or not any(unicodedata.category(char) in _NO_WRITING for char in text)


def live_urls(value: Any) -> list[LiveUrl]:
    """Return ``msg_live_url`` (LiveUrl in the specification); entries that make no sense are logged and left out."""
    found = []
    for item in _items(value, "msg_live_url") or ():
        url = _live_url(item)
        if url is None:
            log.warning("The answer's msg_live_url holds an entry without a usable address; it is left out.")
        else:
            found.append(url)
    return found


def _first(item: Mapping[str, Any], *names: str, default: int) -> Any:
    """Return the first of these fields that holds something; null and "" count as absent."""
    return next((item[name] for name in names if item.get(name) not in (None, "")), default)


def _live_url(item: Any) -> LiveUrl | None:
    if not isinstance(item, dict) or not isinstance(item.get("string_play_url"), str):
        return None
    url = item["string_play_url"].strip()
    if not _is_writing(url):  # before it is split: that takes line breaks out of an address
        return None
    try:
        scheme = urllib.parse.urlsplit(url).scheme
        rate = number(_first(item, "RateType", "RateType ", default=0), "RateType")
        coding = number(_first(item, "uint32_type", default=6), "uint32_type")
    except (ValueError, ProtocolError):
        return None
    if scheme not in ("http", "https", "rtmp", "rtmps"):
        return None
    # Type 6 is "hls+rtmp": then the scheme tells which of the two this address is.
    kind = _TYPE_WORDS.get(coding) or ("rtmp" if scheme.startswith("rtmp") else "hls")
    return LiveUrl.model_validate({"type": kind, "rate": _RATE_WORDS.get(rate, str(rate)), "url": url})
