"""The one parser: from the bytes of an answer to the fields of a result, or to the error that it means.

An answer can fail in three layers of its own, looked at in this order (field notes, "How a call travels"): the gateway
(``ErrorCode``), the common head (``reqhead.uint32_result``), the business body (``rspbody.rsp_0x6.uint32_result``). Before them
stand the HTTP status and strict JSON; between head and body, that the answer is the answer to this request.

Raw dictionaries live in this module only. What it tolerates, it tolerates on purpose (field notes, "Quirks"): numbers as
text, lists as null or "", one object for a list of one, the rate key with its trailing blank, a body that is not wrapped,
unknown fields, control characters in texts, a head's result as unsigned 32 bits. What it refuses: NaN and infinities, a name
twice in one object, a boolean as a number, depth without end.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import unicodedata
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from airflow_provider_timav.videorelay.errors import (
    CertificateError,
    ProtocolError,
    RateLimited,
    ServiceError,
    TimAVError,
)
from airflow_provider_timav.videorelay.models import RATE_TYPES, UINT32_MAX, UINT64_MAX, LiveUrl
from airflow_provider_timav.videorelay.outcomes import Action, Family, Layer, Outcome, classify
from airflow_provider_timav.videorelay.said import fit_to_quote

__all__ = ["Echo", "Reply", "body_fields", "digits", "http_failure", "live_urls", "texts"]

log = logging.getLogger(__name__)

MAX_DEPTH: Final = 32
INT32_MIN: Final = -(2**31)
RETRY_AFTER_MAX: Final = 30.0
_RATE_WORDS: Final = {code: word for word, code in RATE_TYPES.items()}
_TYPE_WORDS: Final = {1: "hls", 5: "rtmp"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back over the wire: the HTTP status, the header fields that matter, the body (size already capped).

    ``repr`` shows no body: it may quote what was sent.
    """

    status: int
    body: bytes = field(repr=False)
    retry_after: str | None = None
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Echo:
    """What the answer to a request must repeat: it tells our answer from somebody else's."""

    sub_cmd: int
    seq: int
    auth_key: int
    cookie: str


def _unreadable(what: str) -> ProtocolError:
    """Return the error for an answer that cannot be read: the request may well have been carried out."""
    return ProtocolError(
        f"the answer cannot be used: {what}",
        layer="protocol",
        outcome_class="ambiguous",
        retryable=True,
        executed="maybe",
    )


def http_failure(reply: Reply) -> TimAVError | None:
    """Return the error that an HTTP status means, or None for 200, whose body decides.

    The gateway answers 200 even for failures; another status comes from something before it: a proxy, a balancer, nginx.
    """
    status = reply.status
    if status == 200:
        return None
    at_http: dict[str, Any] = {"layer": "http", "code": status}
    if (said := _of_client_certificate(reply)) is not None:
        return CertificateError(
            f"{said} (HTTP {status}). Check client_cert and private_key of the connection.",
            field="client_cert",
            outcome_class="fail",
            **at_http,
        )
    if status == 407:
        return ProtocolError(
            "a proxy behind the tunnel wants credentials (HTTP 407). Check proxy of the connection.",
            field="proxy",
            outcome_class="fail",
            **at_http,
        )
    if status == 511:
        # Of a network that wants a login first, never of the service itself (RFC 6585, 6).
        return ProtocolError(
            "the network lets nothing pass before a login (HTTP 511). Check proxy of the connection, and the network.",
            field="proxy",
            outcome_class="fail",
            **at_http,
        )
    if status in (408, 425, 429):
        return RateLimited(
            f"the service asks to wait (HTTP {status})",
            outcome_class="rate_limited",
            retry_after=_seconds(reply.retry_after),
            **at_http,
        )
    if status == 503 and (reply.retry_after is not None or "html" in reply.content_type.lower()):
        # With a Retry-After, or from a proxy's own page, nothing behind it was reached.
        return ServiceError(
            "the service is not available (HTTP 503)",
            outcome_class="rate_limited" if reply.retry_after is not None else "retry",
            retryable=True,
            retry_after=_seconds(reply.retry_after),
            **at_http,
        )
    if status >= 500 or status < 300:
        # 502 and 504 come with and without the upstream having been reached; it cannot be told apart.
        return ServiceError(
            f"no usable answer (HTTP {status})",
            outcome_class="ambiguous",
            retryable=True,
            executed="maybe",
            **at_http,
        )
    if status < 400:
        return ProtocolError(
            f"the host redirects (HTTP {status}); redirects are not followed, because the address holds the UserSig. "
            "Check host and port of the connection.",
            field="host",
            outcome_class="fail",
            **at_http,
        )
    return ProtocolError(
        f"the host does not take the request (HTTP {status}). Check host, port and proxy of the connection.",
        field="host" if status in _ANOTHER_HOST else None,
        outcome_class="fail",
        **at_http,
    )


# By these, what answers says that it is another host, or another port, than was meant: no such resource or method, not
# responsible (RFC 9110, 15.5.20), and nginx's 497 for plain HTTP on a port of TLS.
_ANOTHER_HOST: Final = frozenset({404, 405, 421, 497})
# What servers that end TLS write on a page of 400, 401 or 403 instead of an alert: nginx with ssl_verify_client, IIS (403.7 and
# 403.16), Apache with SSLVerifyClient, which asks for the certificate late.
_CERTIFICATE_PAGE: Final = re.compile(
    rb"SSL certificate|client certificate|post-handshake authentication", re.IGNORECASE
)
_NONE_ARRIVED: Final = re.compile(
    rb"No required SSL certificate|client certificate (is )?required|post-handshake authentication", re.IGNORECASE
)


def _of_client_certificate(reply: Reply) -> str | None:
    """Return what a server that ends TLS says of the client certificate in an answer of HTTP, or None if it says nothing."""
    # 495 and 496 are nginx's own; its relatives and balancers built on it send them as they are.
    is_page = reply.status in (400, 401, 403) and _CERTIFICATE_PAGE.search(reply.body) is not None
    if reply.status == 496 or (is_page and _NONE_ARRIVED.search(reply.body)):
        return "no client certificate arrived"
    if reply.status == 495 or is_page:
        return "the client certificate was refused (foreign, or expired)"
    return None


def _seconds(retry_after: str | None) -> float | None:
    """Return the seconds of a Retry-After, capped; its date form counts as not given (clocks differ)."""
    # isdigit alone is also true of a superscript, which is no number to float().
    if retry_after is None or not (retry_after.isascii() and retry_after.strip().isdigit()) or len(retry_after) > 9:
        return None
    return min(float(retry_after), RETRY_AFTER_MAX)


def _strict_json(body: bytes) -> dict[str, Any]:
    text = _decoded(body)
    try:
        # Not strict in one thing: a text that is refused for a line break in it would hide the code of a refusal beside it.
        value = json.loads(
            text, strict=False, parse_constant=_refuse_constant, object_pairs_hook=_unique, parse_float=_finite
        )
    except ProtocolError:
        raise
    except RecursionError:
        raise _unreadable("it is nested without end") from None
    except ValueError:
        raise _unreadable("it is not JSON") from None
    if not isinstance(value, dict):
        raise _unreadable("it is not a JSON object")
    if text.count("{") + text.count("[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise _unreadable(f"it is nested deeper than {MAX_DEPTH}")
    return value


def _decoded(body: bytes) -> str:
    """Return the text of an answer: error texts have come in GBK, and the codes around them are ASCII and still count.

    A character of GBK may end with the byte of a backslash, which would take the quote behind it along.
    """
    for encoding in ("utf-8-sig", "gb18030"):
        with contextlib.suppress(UnicodeDecodeError):
            return body.decode(encoding)
    return body.decode("utf-8", errors="replace").removeprefix("\ufeff")


def _refuse_constant(name: str) -> NoReturn:
    raise _unreadable(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _unreadable("a number is out of range")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _unreadable("a field stands in it twice")
    return found


def _depth(value: Any) -> int:
    """Return how deep a value is nested, without recursion: depth is what is in doubt."""
    deepest, todo = 0, [(value, 1)]
    while todo:
        item, depth = todo.pop()
        if isinstance(item, dict):
            todo.extend((inner, depth + 1) for inner in item.values())
        elif isinstance(item, list):
            todo.extend((inner, depth + 1) for inner in item)
        else:
            continue
        deepest = max(deepest, depth)
        if deepest > MAX_DEPTH:
            break
    return deepest


def _number(value: Any, what: str, *, least: int = 0, most: int = UINT32_MAX) -> int:
    """Return a number that came as number or text."""
    if isinstance(value, str) and len(value) <= 20:
        digits = value.strip()
        if digits.removeprefix("-").isdigit() and digits.isascii():
            value = int(digits)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _unreadable(f"{what} is not a number in its range")
    return value


def _result(holder: Mapping[str, Any], what: str) -> int:
    """Return a result code; absent means 0, as real answers have it. Null is neither."""
    name = "uint32_result"
    return _number(holder[name], f"{what}.{name}", least=INT32_MIN) if name in holder else 0


def _signed(head_result: int) -> int:
    """Return a head's result with its sign: the vendor's own protocol has it in an unsigned field of 32 bits."""
    return head_result - 2**32 if head_result >= 2**31 else head_result


def body_fields(
    reply: Reply, *, family: Family, action: Action, echo: Echo, hide: Callable[[str], str] = str
) -> dict[str, Any] | Outcome:
    """Return the fields of the business body of a success, or the outcome of the layer that failed.

    :param hide: see ``Call.read``.
    :raises TimAVError: if the HTTP status or the form of the answer already decides; ``outcome_class`` says how it counts.
    """
    failure = http_failure(reply)
    if failure is not None:
        raise failure

    def fail(layer: Layer, code: int, text: Any) -> Outcome:
        said = fit_to_quote(hide(text)) if isinstance(text, str) else ""
        return classify(family=family, layer=layer, code=code, action=action, said=said)

    answer = _strict_json(reply.body)
    error_code = _number(answer.get("ErrorCode", 0), "ErrorCode", least=INT32_MIN)
    status = answer.get("ActionStatus", "OK")
    if error_code != 0 or (isinstance(status, str) and status.strip().upper() == "FAIL"):
        return fail("gateway", error_code, answer.get("ErrorInfo"))
    head = answer.get("reqhead")
    if not isinstance(head, dict):
        raise _unreadable("it has no reqhead")
    head_result = _signed(_result(head, "reqhead"))
    if head_result != 0:
        return fail("head", head_result, head.get("str_error_msg"))
    _check_echo(head, echo)
    body = _unwrapped(answer.get("rspbody"), echo.sub_cmd)
    code = _result(body, "rspbody")
    return fail("body", code, body.get("str_errorinfo")) if code != 0 else body


def _check_echo(head: Mapping[str, Any], echo: Echo) -> None:
    for name, expected in (
        ("uint32_sub_cmd", echo.sub_cmd),
        ("uint32_seq", echo.seq),
        ("uint32_auth_key", echo.auth_key),
    ):
        if _number(head.get(name), f"reqhead.{name}") != expected:
            raise _unreadable(f"reqhead.{name} is not this request's: it answers another request")
    # The specification asks for the cookie back but does not call it required.
    if head.get("bytes_cookie_buff", echo.cookie) != echo.cookie:
        raise _unreadable("reqhead.bytes_cookie_buff is not this request's: it answers another request")


def _unwrapped(rspbody: Any, sub_cmd: int) -> dict[str, Any]:
    """Return the business body, whether it came wrapped (``{"rsp_0x6": {…}}``) or bare."""
    name = f"rsp_0x{sub_cmd:x}"
    if sub_cmd == 1 and rspbody in (None, "", {}):
        return {}  # the specification gives 0x1 no body
    if not isinstance(rspbody, dict) or not rspbody:
        raise _unreadable("it has no rspbody")
    inner = rspbody.get(name)
    if isinstance(inner, dict):
        return inner
    if any(key.startswith("rsp_0x") for key in rspbody):
        raise _unreadable(f"its rspbody has no {name}")
    return rspbody


def digits(value: Any, what: str) -> str | None:
    """Return an id that exceeds what JSON readers count exactly, as text; None where it is absent or not exact.

    A float has lost digits already: it is logged and left out rather than handed on wrong.
    """
    if value is None or value == "":
        return None
    try:
        return str(_number(value, what, most=UINT64_MAX))
    except ProtocolError:
        log.warning("The answer's %s is no whole number in its range; it is left out.", what)
        return None


def _items(value: Any, what: str) -> list[Any] | None:
    """Return a list that may be null, "", JSON in a string, or one object where a list was meant; None if it cannot be read."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            value = json.loads(value, parse_constant=_refuse_constant)
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
        rate = _number(_first(item, "RateType", "RateType ", default=0), "RateType")
        coding = _number(_first(item, "uint32_type", default=6), "uint32_type")
    except (ValueError, ProtocolError):
        return None
    if scheme not in ("http", "https", "rtmp", "rtmps"):
        return None
    # Type 6 is "hls+rtmp": then the scheme tells which of the two this address is.
    kind = _TYPE_WORDS.get(coding) or ("rtmp" if scheme.startswith("rtmp") else "hls")
    return LiveUrl.model_validate({"type": kind, "rate": _RATE_WORDS.get(rate, str(rate)), "url": url})
