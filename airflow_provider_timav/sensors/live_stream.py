"""Waits until a live stream is live, or has ended, as its viewers see it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from airflow.sdk import BaseSensorOperator, conf
from airflow.sdk.bases.sensor import PokeReturnValue
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout

from airflow_provider_timav.arguments import is_constant, none_if_blank, parse_choice, parse_duration, template_marks
from airflow_provider_timav.options import check_argument, or_default
from airflow_provider_timav.retry import TimAVRetryPolicy
from airflow_provider_timav.runs import TaskKey
from airflow_provider_timav.templates import TextStaysText
from airflow_provider_timav.videorelay.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import Context, RetryPolicy

    from airflow_provider_timav.stream.state import StreamState

__all__ = ["LiveStreamSensor"]

POKE_SECONDS = 20.0
"""How long one poke polls a stream that may prove to be live in the next moment: three segments of six seconds."""

MEMORY = "watch"
"""The key in the task state store under which pokes hand on the state of the stream."""

_DEFERRAL_SLACK = timedelta(minutes=1)
"""The trigger keeps the deadline; Airflow's own limit applies if no triggerer runs."""

_RESULT = ("verdict", "since", "tail", "target_duration")


@dataclass(frozen=True, slots=True)
class _Wait:
    """The arguments, rendered and checked."""

    url: str
    until: Literal["live", "ended"]
    grace: float
    timav_conn_id: str | None


class LiveStreamSensor(TextStaysText, BaseSensorOperator):
    """Waits until a stream is live, or has ended.

    Live means that our own probes saw the HLS playlist get new segments twice and that one of them has bytes; one probe never
    suffices, because the cached list of the last broadcast is just the same. Ended means that the playlist says so, or that
    the stream was live and has been seen to be gone for longer than ``grace``; one that is refused to us, or that our network
    does not reach, is not seen, and ends after six hours. A stream that was never seen live does not end by its absence.

    Of RTMP, which needs the extra ``rtmp`` on workers and triggerers, live means that packets keep arriving with timestamps
    that advance. Nothing in RTMP says that a stream is over for good: it ends by ``grace``.

    All three modes come to the same result: ``mode="poke"`` and ``mode="reschedule"`` poll for up to 20 s in each poke
    and keep the stream's state in the task's state store; ``deferrable=True``, which wins over ``mode``, hands the wait to a
    trigger at once. After ``timeout`` each of them raises `AirflowSensorTimeout`; ``soft_fail`` holds for it in each.

    XCom ``return_value``: ``{"verdict": "LIVE" | "ENDED", "since": ISO 8601 in UTC, "tail": the number of the next segment,
    "target_duration": seconds}``; tail and target duration are None if no playlist declared them. Of RTMP the tail is the
    newest timestamp, in milliseconds.

    :param url: the address of an HLS playlist, media or master, or of an RTMP stream (templated).
    :param until: ``live`` or ``ended`` (templated). With ``live``, a stream that ends during the wait fails the task at
        once and for good; an end that was there before is the last broadcast's, and the wait goes on.
    :param grace: how long a stream which was live may be seen to be gone before it has ended: a timedelta, seconds or ISO 8601
        (templated).
    :param deferrable: whether to wait in the triggerer; Airflow's ``[operators] default_deferrable`` unless given.
    :param timav_conn_id: a connection of which only ``proxy`` is used, to read the stream (templated); RTMP does not go through
        it. No credential ever goes to a stream's servers. None uses no proxy.
    :raises ConfigurationError: if a rendered argument is wrong, or RTMP cannot be read here; ``field`` names it.
    """

    template_fields: Sequence[str] = ("url", "until", "grace", "timav_conn_id")
    ui_color = "#d9f0ec"

    def __init__(
        self,
        *,
        url: str,
        until: str = "live",
        grace: timedelta | float | str = timedelta(seconds=60),
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        timav_conn_id: str | None = None,
        retry_policy: RetryPolicy | None = TimAVRetryPolicy(),  # noqa: B008  # has no state; default_args must be able to win
        **kwargs: Any,
    ) -> None:
        super().__init__(retry_policy=retry_policy, **kwargs)
        self.url = url
        self.until = until
        self.grace = grace
        self.deferrable = deferrable
        self.timav_conn_id = timav_conn_id
        self._check_constants()

    def _check_constants(self) -> None:
        """Refuse constants that are wrong when the DAG is parsed."""
        if getattr(self, "_BaseOperator__from_mapped", False):
            return
        marks = template_marks(self.get_dag())
        if is_constant(self.until, marks):
            _until(self.until)
        if is_constant(self.grace, marks):
            check_argument("grace", self.grace)
        if is_constant(self.url, marks):
            _stream_url(self.url)
        if is_constant(self.timav_conn_id, marks):
            _conn_id(self.timav_conn_id)

    def execute(self, context: Context) -> Any:
        """Wait; return the result."""
        if self.deferrable:
            self._hand_over(context)
        return super().execute(context)

    def _hand_over(self, context: Context) -> NoReturn:
        wait = self._wait()
        # A wrong connection fails here, as in the other modes, and not in the triggerer.
        _proxy(wait.timav_conn_id)
        from airflow_provider_timav.stream.state import StreamState
        from airflow_provider_timav.triggers.live_stream import MEMORY as XCOM
        from airflow_provider_timav.triggers.live_stream import LiveStreamTrigger

        if wait.until == "ended":
            # So that the trigger finds one: Airflow logs an error for a missing XCom.
            context["ti"].xcom_push(key=XCOM, value=StreamState().to_json())
        self.defer(
            trigger=LiveStreamTrigger(
                url=wait.url,
                until=wait.until,
                grace=wait.grace,
                deadline=time.time() + self.timeout,
                timav_conn_id=wait.timav_conn_id,
                # For its XComs: `dag.test` does not give a trigger its task.
                task_key=TaskKey.of(context["ti"]).to_json(),
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout) + _DEFERRAL_SLACK,
        )

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Poll the stream for a short while; done if it has reached ``until``.

        :raises AirflowFailException: if the stream has ended and can no longer become live.
        """
        wait = self._wait()
        from airflow_provider_timav.stream.address import place
        from airflow_provider_timav.stream.reader import poll_briefly
        from airflow_provider_timav.stream.verdict import Verdict

        memory = _Memory(self, context, place(wait.url))
        state = poll_briefly(
            wait.url,
            memory.read(),
            grace=wait.grace,
            # A poke must not outlast the sensor's own timeout by much.
            seconds=min(POKE_SECONDS, self.timeout),
            proxy=_proxy(wait.timav_conn_id),
        )
        why = f" ({state.reason})" if state.reason else ""
        self.log.info("%s is %s%s", place(wait.url), state.verdict.value, why)

        if state.verdict is (Verdict.LIVE if wait.until == "live" else Verdict.ENDED):
            memory.forget()
            return PokeReturnValue(is_done=True, xcom_value=state.summary())
        if state.is_over:
            memory.forget()
            _fail_ended(state.summary())
        memory.write(state)
        return False

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Return the trigger's result.

        :raises AirflowFailException: if the stream has ended and can no longer become live.
        :raises AirflowSensorTimeout: if the time was over first.
        :raises RuntimeError: if the event is not one of this sensor's trigger.
        """
        status = event.get("status") if isinstance(event, dict) else None
        if status not in ("reached", "ended", "timeout") or any(name not in event for name in _RESULT):
            # No AirflowException: soft_fail would turn a fault into a skip.
            raise RuntimeError(f"the trigger fired an event that this sensor does not know (status {status!r})")
        result = {name: event[name] for name in _RESULT}
        if status == "ended":
            _fail_ended(result)
        if status == "timeout":
            raise AirflowSensorTimeout(
                f"Sensor has timed out after {self.timeout:g} s: "
                f"the stream has been {result['verdict']} since {result['since']}"
            )
        self.log.info("The stream has been %s since %s", result["verdict"], result["since"])
        return result

    def _wait(self) -> _Wait:
        """Check the arguments, which are rendered by now."""
        from airflow_provider_timav.stream.address import missing

        url = _stream_url(self.url)
        if (lack := missing(url)) is not None:
            raise ConfigurationError(f"url: {lack}", field="url")
        return _Wait(
            url=url,
            until=_until(self.until),
            grace=parse_duration(or_default(self.grace, "grace"), "grace").total_seconds(),
            timav_conn_id=_conn_id(self.timav_conn_id),
        )


class _Memory:
    """Keeps the findings of earlier pokes in the task's state store, which outlives reschedules and retries.

    They are bound to one address and to one life of the task, and forgotten when the wait is over: a task that is cleared must
    not take the end of an earlier broadcast for its own. Airflow raises ``max_tries`` when it clears a task that has ended.
    """

    def __init__(self, sensor: LiveStreamSensor, context: Context, place: str) -> None:
        self.log = sensor.log
        self._mine = {"place": place, "max_tries": getattr(context.get("ti"), "max_tries", None)}
        self._store: Any = context.get("task_state_store")
        if self._store is None:
            self.log.warning(
                "There is no task state store: each poke begins anew, and sees an end only if it happens during the poke"
            )

    def read(self) -> StreamState:
        from airflow_provider_timav.stream.state import StreamState

        stored = self._try("read", lambda: self._store.get(MEMORY))
        if not isinstance(stored, dict) or any(stored.get(name) != value for name, value in self._mine.items()):
            return StreamState()
        return StreamState.from_json(stored.get("watch"))

    def write(self, state: StreamState) -> None:
        self._try("stored", lambda: self._store.set(MEMORY, {**self._mine, "watch": state.to_json()}))

    def forget(self) -> None:
        self._try("removed", lambda: self._store.delete(MEMORY))

    def _try(self, what: str, access: Any) -> Any:
        if self._store is None:
            return None
        try:
            return access()
        except Exception:  # Airflow's stores may raise anything: a poke without its memory is better than none
            self.log.warning("The stream's state could not be %s", what, exc_info=True)
            return None


def _until(value: Any) -> Literal["live", "ended"]:
    word = "live" if none_if_blank(value) is None else parse_choice(("live", "ended"), value, "until")
    return "live" if word == "live" else "ended"


def _conn_id(value: Any) -> str | None:
    if none_if_blank(value) is None:
        return None
    check_argument("timav_conn_id", value)
    return str(value)


def _stream_url(value: Any) -> str:
    from airflow_provider_timav.stream.address import stream_fault

    url = value.strip() if isinstance(value, str) else value
    if none_if_blank(url) is None:
        raise ConfigurationError("url: there is no address of a stream to watch", field="url")
    if not isinstance(url, str):
        raise ConfigurationError(f"url must be the address of a stream, not a {type(url).__name__}", field="url")
    if (wrong := stream_fault(url)) is not None:
        raise ConfigurationError(
            f"url must be the http or https address of a playlist, or an RTMP address; this is {wrong}", field="url"
        )
    return url


def _proxy(timav_conn_id: str | None) -> str | None:
    if timav_conn_id is None:
        return None
    from airflow_provider_timav.hooks.timav import TimAVHook

    return TimAVHook(timav_conn_id).proxy


def _fail_ended(result: dict[str, Any]) -> NoReturn:
    raise AirflowFailException(f"the stream ended at {result['since']} and will not become live")
