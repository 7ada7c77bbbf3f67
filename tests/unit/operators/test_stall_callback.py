"""An `on_stall_callback` that would not be called as its author means it is refused when the DAG is parsed."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from airflow.sdk import DAG, BaseNotifier

from airflow_provider_timav.broadcast import Broadcast
from airflow_provider_timav.operators.broadcast import OnAirOperator
from airflow_provider_timav.videorelay.errors import ConfigurationError

SHOW: dict[str, Any] = {"room_id": 10086, "user_id": "host_1", "duration": 600}


class AsyncOnly(BaseNotifier):
    """A notifier for deadlines only."""

    async def async_notify(self, context: Any) -> None: ...


class Told(BaseNotifier):
    """A notifier."""

    def notify(self, context: Any) -> None: ...


class CanBeCalled:
    """An object that can be called."""

    def __call__(self, context: Any) -> None: ...

    def method(self, context: Any) -> None: ...

    async def asynchronous(self, context: Any) -> None: ...


class Silent:
    def __call__(self) -> None: ...


async def asynchronous(context: Any) -> None: ...


def told(context: Any, more: Any = None) -> None: ...


class TestCallback:
    def test_notify_needs_one(self) -> None:
        with (
            DAG("x", schedule=None),
            pytest.raises(ConfigurationError, match="on_stall_callback is missing") as refused,
        ):
            Broadcast(**SHOW, on_stall="notify")
        assert refused.value.field == "on_stall_callback"

    @pytest.mark.parametrize(
        "callback",
        [
            [print],
            [print, print],
            (print,),
            {"on_stall": print},
            "module.function",
            7,
            Told,
            asynchronous,
            CanBeCalled().asynchronous,
            functools.partial(asynchronous),
            functools.partial(CanBeCalled().asynchronous),
            functools.partial(AsyncOnly()),
            functools.partial(lambda: None),
            functools.partial(told, {}, "more"),
            functools.partial(Silent()),
            Silent(),
            lambda: None,
            lambda one, two: None,
            AsyncOnly(),
        ],
        ids=lambda value: repr(value).split(" at ")[0],
    )
    @pytest.mark.parametrize("on_stall", ["notify", "{{ params.on_stall }}"])
    def test_one_that_cannot_be_called_is_refused(self, callback: Any, on_stall: str) -> None:
        with (
            DAG("x", schedule=None),
            pytest.raises(ConfigurationError, match="on_stall_callback must be one function") as wrong,
        ):
            Broadcast(**SHOW, on_stall=on_stall, on_stall_callback=callback)
        assert wrong.value.field == "on_stall_callback"

    @pytest.mark.parametrize("on_stall", [None, "", "ignore", "fail"])
    def test_one_that_never_would_be_called_is_refused(self, on_stall: Any) -> None:
        given = {} if on_stall is None else {"on_stall": on_stall}
        with DAG("x", schedule=None), pytest.raises(ConfigurationError, match="on_stall_callback is never called"):
            Broadcast(**SHOW, **given, on_stall_callback=print)

    @pytest.mark.parametrize(
        "callback",
        [
            print,
            told,
            Told(),
            CanBeCalled(),
            CanBeCalled().method,
            functools.partial(told, more=1),
            functools.partial(CanBeCalled()),
            functools.partial(lambda more, context: None, 1),
            {}.update,
            lambda context: None,
            lambda *a: None,
        ],
        ids=lambda value: repr(value).split(" at ")[0],
    )
    @pytest.mark.parametrize("on_stall", ["notify", "{{ params.on_stall }}"])
    def test_one_that_takes_the_context_is_taken(self, callback: Any, on_stall: str) -> None:
        with DAG("x", schedule=None) as dag:
            Broadcast(**SHOW, on_stall=on_stall, on_stall_callback=callback)
        on_air: Any = dag.get_task("broadcast.on_air")
        assert on_air.on_stall_callback is callback

    def test_on_air_alone_refuses_the_same(self) -> None:
        with pytest.raises(ConfigurationError, match="on_stall_callback"):
            OnAirOperator(task_id="a", lease={}, on_stall="notify", on_stall_callback=[print])  # type: ignore[arg-type]
