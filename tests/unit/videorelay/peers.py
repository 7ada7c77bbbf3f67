"""A scripted other side for exchanges: answers by content, time that only the pauses move."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from airflow_provider_timav.videorelay.calls import Call
from airflow_provider_timav.videorelay.errors import TimAVError, TransportError
from airflow_provider_timav.videorelay.exchange import Exchange, Post, RetryBudget, Service
from airflow_provider_timav.videorelay.reply import Reply
from airflow_provider_timav.videorelay.usersig import StaticUserSig

REFUSED = b'{"ActionStatus":"FAIL","ErrorCode":70001,"ErrorInfo":"expired"}'
"""The body of a refusal by the gateway."""

Answer = Reply | TimAVError | Callable[[dict[str, Any]], Reply]


def result(code: int = 0, *, seq_off_by: int = 0) -> Answer:
    """An answer of the business body with a result code, echoing the request."""

    def made(request: dict[str, Any]) -> Reply:
        asked = request["reqhead"]
        echoed = {**asked, "uint32_seq": asked["uint32_seq"] + seq_off_by, "uint32_result": 0}
        name = f"rsp_0x{asked['uint32_sub_cmd']:x}"
        return Reply(200, json.dumps({"reqhead": echoed, "rspbody": {name: {"uint32_result": code}}}).encode())

    return made


def kicked() -> Answer:
    """A success of 0x1: a head and nothing else."""
    return lambda request: Reply(200, json.dumps({"reqhead": {**request["reqhead"], "uint32_result": 0}}).encode())


def head(code: int) -> Answer:
    """A refusal of the common head."""
    return Reply(200, json.dumps({"reqhead": {"uint32_result": code}}).encode())


def gateway(code: int) -> Answer:
    """A refusal of the gateway."""
    return Reply(200, json.dumps({"ActionStatus": "FAIL", "ErrorCode": code, "ErrorInfo": "?"}).encode())


def lost() -> Answer:
    """Sent, and no answer came."""
    return TransportError("gone", layer="transport", outcome_class="ambiguous", executed="maybe")


def refused() -> Answer:
    """Not reached."""
    return TransportError("refused", layer="transport", outcome_class="retry")


class _Signer:
    renewable = True

    def __init__(self) -> None:
        self.signed = 0

    def usersig(self) -> str:
        self.signed += 1
        return f"sig-{self.signed}"


class Talk:
    """One exchange, held with a script."""

    def __init__(
        self, call: Call[Any], *, signs: bool = False, seconds_per_post: float = 0.0, budget: RetryBudget | None = None
    ) -> None:
        self.now = 0.0
        self.sent: list[Post] = []
        self.pauses: list[float] = []
        self._per_post = seconds_per_post
        self._exchange = Exchange(
            call, self.service(signs=signs), clock=lambda: self.now, budget=budget or RetryBudget()
        )

    @staticmethod
    def service(*, signs: bool = False) -> Service:
        return Service("https://localhost", 1400000001, "admin", _Signer() if signs else StaticUserSig("eJw*a"))

    @property
    def posts(self) -> int:
        return len(self.sent)

    def hold(self, *answers: Answer) -> Any:
        """Answer each post in turn; return the result, or raise what the call comes to."""
        for answer in answers:
            post = self._exchange.next_post()
            self.sent.append(post)
            self.now += min(self._per_post, post.seconds)
            reply = answer(json.loads(post.body)) if callable(answer) else answer
            pause = self._exchange.failed(reply) if isinstance(reply, TimAVError) else self._exchange.answered(reply)
            if pause is None:
                return self._exchange.result
            self.pauses.append(pause)
            self.now += pause
        raise AssertionError("the script is too short")
