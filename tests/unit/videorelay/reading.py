"""One start of a push, and how an answer to it is read."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_timav.videorelay import calls
from airflow_provider_timav.videorelay.models import StartPushResult
from airflow_provider_timav.videorelay.reply import Reply

__all__ = ["CALL", "COOKIE", "HEAD", "SEQ", "answer", "read"]

SEQ, COOKIE = 41, "c0ffee"
HEAD = {
    "uint32_sub_cmd": 6,
    "uint32_seq": SEQ,
    "uint32_auth_key": 10086,
    "uint32_sdk_appid": 1,
    "bytes_cookie_buff": COOKIE,
    "uint32_result": 0,
}
CALL = calls.start_push(room_id=10086, user_id="host_1")


def read(body: bytes | str | dict[str, Any], status: int = 200, **fields: Any) -> StartPushResult:
    """Return the result that an answer of this body and HTTP status comes to."""
    raw = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
    return CALL.read(Reply(status, raw, **fields), seq=SEQ, cookie=COOKIE)


def answer(**rsp: Any) -> dict[str, Any]:
    """Return the answer of a success, with these fields in its body."""
    return {"reqhead": HEAD, "rspbody": {"rsp_0x6": {"uint32_result": 0, **rsp}}}
