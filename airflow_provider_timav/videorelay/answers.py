"""The one parser: from the bytes of an answer to the fields of its business body, or to the error that it means.

An answer can fail in three layers of its own, looked at in this order (field notes, "How a call travels"): the gateway
(``ErrorCode``), the common head (``reqhead.uint32_result``), the business body (``rspbody.rsp_0x6.uint32_result``). Before them
stand the HTTP status and strict JSON; between head and body, that the answer is the answer to this request.

It tolerates on purpose (field notes, "Quirks"): a body that is not wrapped, unknown fields, control characters in texts, a
head's result as unsigned 32 bits, and the spellings that ``values`` reads. It refuses NaN and infinities, a name twice in one
object, and depth without end.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_timav.videorelay.errors import ProtocolError
from airflow_provider_timav.videorelay.outcomes import Action, Layer, Outcome, classify
from airflow_provider_timav.videorelay.reply import Reply, http_failure
from airflow_provider_timav.videorelay.said import fit_to_quote
from airflow_provider_timav.videorelay.values import number, refuse_constant, unreadable

__all__ = ["Echo", "body_fields"]

MAX_DEPTH: Final = 32
INT32_MIN: Final = -(2**31)


@dataclass(frozen=True, slots=True)
class Echo:
    """The fields that the answer to a request must repeat, so that an answer to another request is not taken for it."""

    sub_cmd: int
    seq: int
    auth_key: int
    cookie: str


def _strict_json(body: bytes) -> dict[str, Any]:
    text = _decoded(body)
    try:
        # Not strict in one thing: a text that is refused for a line break in it would hide the code of a refusal beside it.
        value = json.loads(
            text, strict=False, parse_constant=refuse_constant, object_pairs_hook=_unique, parse_float=_finite
        )
    except ProtocolError:
        raise
    except RecursionError:
        raise unreadable("it is nested without end") from None
    except ValueError:
        raise unreadable("it is not JSON") from None
    if not isinstance(value, dict):
        raise unreadable("it is not a JSON object")
    if text.count("{") + text.count("[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise unreadable(f"it is nested deeper than {MAX_DEPTH}")
    return value


def _decoded(body: bytes) -> str:
    """Return the text of an answer: error texts have come in GBK, and the codes around them are ASCII and still count.

    A character of GBK may end with the byte of a backslash, which would take the quote behind it along.
    """
    for encoding in ("utf-8-sig", "gb18030"):
        with contextlib.suppress(UnicodeDecodeError):
            return body.decode(encoding)
    return body.decode("utf-8", errors="replace").removeprefix("\ufeff")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise unreadable("a number is out of range")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise unreadable("a field stands in it twice")
    return found


def _depth(value: Any) -> int:
    """Return how deep a value is nested, without recursion, because its depth is in doubt."""
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


def _result(holder: Mapping[str, Any], what: str) -> int:
    """Return a result code; absent means 0, as real answers have it. Null is neither."""
    name = "uint32_result"
    return number(holder[name], f"{what}.{name}", least=INT32_MIN) if name in holder else 0


def _signed(head_result: int) -> int:
    """Return a head's result with its sign: the vendor's own protocol has it in an unsigned field of 32 bits."""
    return head_result - 2**32 if head_result >= 2**31 else head_result


def body_fields(
    reply: Reply, *, family: str, action: Action, echo: Echo, has_body: bool = True, hide: Callable[[str], str] = str
) -> dict[str, Any] | Outcome:
    """Return the fields of the business body of a success, or the outcome of the layer that failed.

    :param has_body: whether the specification gives this sub-command a body; without, an answer may be a head alone.
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
    error_code = number(answer.get("ErrorCode", 0), "ErrorCode", least=INT32_MIN)
    status = answer.get("ActionStatus", "OK")
    if error_code != 0 or (isinstance(status, str) and status.strip().upper() == "FAIL"):
        return fail("gateway", error_code, answer.get("ErrorInfo"))
    head = answer.get("reqhead")
    if not isinstance(head, dict):
        raise unreadable("it has no reqhead")
    head_result = _signed(_result(head, "reqhead"))
    if head_result != 0:
        return fail("head", head_result, head.get("str_error_msg"))
    _check_echo(head, echo)
    rspbody = answer.get("rspbody")
    if not has_body and rspbody in (None, "", {}):
        return {}
    body = _unwrapped(rspbody, echo.sub_cmd)
    code = _result(body, "rspbody")
    return fail("body", code, body.get("str_errorinfo")) if code != 0 else body


def _check_echo(head: Mapping[str, Any], echo: Echo) -> None:
    for name, expected in (
        ("uint32_sub_cmd", echo.sub_cmd),
        ("uint32_seq", echo.seq),
        ("uint32_auth_key", echo.auth_key),
    ):
        if number(head.get(name), f"reqhead.{name}") != expected:
            raise unreadable(f"reqhead.{name} is not this request's: it answers another request")
    # The specification asks for the cookie back but does not call it required.
    if head.get("bytes_cookie_buff", echo.cookie) != echo.cookie:
        raise unreadable("reqhead.bytes_cookie_buff is not this request's: it answers another request")


def _unwrapped(rspbody: Any, sub_cmd: int) -> dict[str, Any]:
    """Return the business body, whether it came wrapped (``{"rsp_0x6": {…}}``) or bare."""
    name = f"rsp_0x{sub_cmd:x}"
    if not isinstance(rspbody, dict) or not rspbody:
        raise unreadable("it has no rspbody")
    inner = rspbody.get(name)
    if isinstance(inner, dict):
        return inner
    if any(key.startswith("rsp_0x") for key in rspbody):
        raise unreadable(f"its rspbody has no {name}")
    return rspbody
